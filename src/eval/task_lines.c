/* task_lines.c - what a line of each data set means: context, choices, which is
 * right; worded as lm-evaluation-harness words it. */
#include "eval/task_lines.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "eval/eval.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_CHOICES = 26
};

const char qn_eval_task_names[] = "hellaswag|arc|piqa|winogrande|lambada|"
                                  "openbookqa|boolq|mmlu|gsm8k";

/* ---- members ------------------------------------------------------------- */

static int need_text(const json_t *o, const char *key, qn_view *out,
                     const char *where, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v))
        return qn_fail(err, QN_EFORMAT, "%s: \"%s\" is %s, it should be a text",
                       where, key, v ? "something else" : "missing");
    *out = qn_view_of(json_string_value(v), json_string_length(v));
    return 0;
}

static bool has(const json_t *o, const char *key)
{
    return json_object_get(o, key) != NULL;
}

/* Which choice is right: an index from `first`, also written as a text. */
static int need_gold(const json_t *o, const char *key, int first, int n,
                     int *gold, const char *where, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    const char *text = json_string_value(v);
    long long at = -1;
    if (json_is_integer(v))
        at = json_integer_value(v);
    else if (text && text[0] >= '0' && text[0] <= '9' && !text[1])
        at = text[0] - '0';
    if (at < first || at >= first + n)
        return qn_fail(err, QN_EFORMAT,
                       "%s: \"%s\" does not say which of %d choices is right "
                       "(%d to %d)",
                       where, key, n, first, first + n - 1);
    *gold = (int)(at - first);
    return 0;
}

qn_view qn_task_strip(qn_view v)
{
    while (v.n > 0 && isspace((unsigned char)v.p[0]))
        v = qn_view_of(v.p + 1, v.n - 1);
    while (v.n > 0 && isspace((unsigned char)v.p[v.n - 1]))
        v.n--;
    return v;
}

/* ---- choices ------------------------------------------------------------- */

static char *joined(const char *a, qn_view b, const char *c)
{
    qn_str s;
    qn_str_init(&s);
    qn_str_adds(&s, a);
    qn_str_addv(&s, b);
    qn_str_adds(&s, c);
    return qn_str_take(&s, NULL);
}

/* " answer" behind a context. */
static void add_choice(qn_item *item, const char *context, qn_view answer)
{
    qn_choice c = {.context = qn_xstrdup(context),
                   .text = joined(" ", answer, ""),
                   .norm = QN_MAX(qn_utf8_count(answer.p, answer.n),
                                  (size_t)1)};
    qn_vec_push(&item->choices, c);
}

typedef void (*clean_fn)(qn_str *out, qn_view text);

/* The choices of an item: an array of texts. */
static int need_choices(const json_t *list, const char *where, qn_err *err)
{
    size_t n = json_array_size(list);
    if (n < 2 || n > MAX_CHOICES)
        return qn_fail(err, QN_EFORMAT,
                       "%s: the choices are no array of 2 to %d texts", where,
                       MAX_CHOICES);
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(json_array_get(list, i)))
            return qn_fail(err, QN_EFORMAT, "%s: choice %zu is no text", where,
                           i);
    return 0;
}

/* Each a choice behind the context. */
static int add_choices(qn_item *item, const char *context, const json_t *list,
                       clean_fn clean, const char *where, qn_err *err)
{
    QN_TRY(need_choices(list, where, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        qn_view text = {json_string_value(v), json_string_length(v)};
        qn_str s;
        qn_str_init(&s);
        if (clean)
            clean(&s, text);
        else
            qn_str_addv(&s, text);
        add_choice(item, context, qn_view_of(s.p, s.n));
        qn_str_deinit(&s);
    }
    return 0;
}

/* "Question: ...\nAnswer:", also of a text that has the first word already. */
static char *question(qn_view text)
{
    static const char word[] = "Question:";
    text = qn_task_strip(text);
    if (text.n >= strlen(word) && memcmp(text.p, word, strlen(word)) == 0)
        text = qn_task_strip(
            qn_view_of(text.p + strlen(word), text.n - strlen(word)));
    return joined("Question: ", text, "\nAnswer:");
}

/* {"query", "choices", "gold"} */
static int read_query(qn_item *item, const json_t *o, char *(*prompt)(qn_view),
                      clean_fn clean, const char *where, qn_err *err)
{
    qn_view query;
    QN_TRY(need_text(o, "query", &query, where, err));
    char *context = prompt(query);
    int rc = add_choices(item, context, json_object_get(o, "choices"), clean,
                         where, err);
    free(context);
    QN_TRY(rc);
    return need_gold(o, "gold", 0, (int)item->choices.n, &item->gold, where,
                     err);
}

/* ---- hellaswag ----------------------------------------------------------- */

/* What lm-evaluation-harness does to its texts: " [title]" is a full stop,
 * what else stands in brackets goes, pairs of blanks become one. */
static void clean_wikihow(qn_str *out, qn_view text)
{
    static const char title[] = " [title]";
    qn_str s;
    qn_str_init(&s);
    text = qn_task_strip(text);
    for (size_t i = 0; i < text.n;) {
        const char *p = text.p + i;
        size_t left = text.n - i;
        if (left >= strlen(title) && memcmp(p, title, strlen(title)) == 0) {
            qn_str_adds(&s, ". ");
            i += strlen(title);
            continue;
        }
        const char *end = *p == '[' ? memchr(p, ']', left) : NULL;
        if (end && !memchr(p, '\n', (size_t)(end - p))) {
            i += (size_t)(end - p) + 1;
            continue;
        }
        qn_str_addc(&s, *p);
        i++;
    }
    for (size_t i = 0; i < s.n; i++) {
        qn_str_addc(out, s.p[i]);
        if (s.p[i] == ' ' && i + 1 < s.n && s.p[i + 1] == ' ')
            i++;
    }
    qn_str_deinit(&s);
}

static char *as_wikihow(qn_view text)
{
    qn_str s;
    qn_str_init(&s);
    clean_wikihow(&s, text);
    return qn_str_take(&s, NULL);
}

/* The first letter large, the others small, as Python's capitalize (letters
 * outside of ASCII stay). */
static void add_capitalized(qn_str *s, qn_view v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        int changed = c >= 128 ? c : i == 0 ? toupper(c) : tolower(c);
        qn_str_addc(s, (char)changed);
    }
}

static int read_hellaswag(qn_item *item, const json_t *o, const char *where,
                          qn_err *err)
{
    qn_view label, a, b;
    if (has(o, "query"))
        return read_query(item, o, as_wikihow, clean_wikihow, where, err);
    QN_TRY(need_text(o, "activity_label", &label, where, err));
    QN_TRY(need_text(o, "ctx_a", &a, where, err));
    QN_TRY(need_text(o, "ctx_b", &b, where, err));
    qn_str s;
    qn_str_init(&s);
    qn_str_addv(&s, label);
    qn_str_adds(&s, ": ");
    qn_str_addv(&s, a);
    qn_str_adds(&s, " ");
    add_capitalized(&s, b);
    char *context = as_wikihow(qn_view_of(s.p, s.n));
    qn_str_deinit(&s);
    int rc = add_choices(item, context, json_object_get(o, "endings"),
                         clean_wikihow, where, err);
    free(context);
    QN_TRY(rc);
    return need_gold(o, "label", 0, (int)item->choices.n, &item->gold, where,
                     err);
}

/* ---- arc ----------------------------------------------------------------- */

/* {"text": [...], "label": [...]} or [{"text", "label"}, ...] as two arrays. */
static void split_choices(const json_t *choices, json_t **texts,
                          json_t **labels)
{
    size_t i;
    json_t *c;
    if (json_is_object(choices)) {
        *texts = json_incref(json_object_get(choices, "text"));
        *labels = json_incref(json_object_get(choices, "label"));
        return;
    }
    *texts = json_array();
    *labels = json_array();
    json_array_foreach((json_t *)(uintptr_t)choices, i, c)
    {
        json_array_append(*texts, json_object_get(c, "text"));
        json_array_append(*labels, json_object_get(c, "label"));
    }
}

static int gold_by_label(const json_t *labels, qn_view key, size_t n)
{
    for (size_t i = 0; i < n && i < json_array_size(labels); i++) {
        const json_t *v = json_array_get(labels, i);
        qn_view label = {json_string_value(v), json_string_length(v)};
        if (json_is_string(v) && qn_view_eq(label, key))
            return (int)i;
    }
    return -1;
}

/* The choices of `of` behind the context; "answerKey" of the line is the label
 * of the right one. */
static int add_labelled(qn_item *item, const json_t *o, const json_t *of,
                        const char *context, const char *where, qn_err *err)
{
    qn_view key;
    json_t *texts, *labels;
    QN_TRY(need_text(o, "answerKey", &key, where, err));
    key = qn_task_strip(key);
    split_choices(json_object_get(of, "choices"), &texts, &labels);
    int rc = add_choices(item, context, texts, NULL, where, err);
    item->gold = gold_by_label(labels, key, item->choices.n);
    if (rc == 0 && item->gold < 0)
        rc = qn_fail(err, QN_EFORMAT, "%s: no choice has the label \"%.*s\"",
                     where, (int)QN_MIN(key.n, (size_t)20), key.p);
    json_decref(texts);
    json_decref(labels);
    return rc;
}

static int read_arc(qn_item *item, const json_t *o, const char *where,
                    qn_err *err)
{
    qn_view text;
    const json_t *q = json_object_get(o, "question"), *of = o;
    if (has(o, "query"))
        return read_query(item, o, question, NULL, where, err);
    if (json_is_object(q)) { /* as its authors published it */
        of = q;
        QN_TRY(need_text(q, "stem", &text, where, err));
    } else {
        QN_TRY(need_text(o, "question", &text, where, err));
    }
    char *context = question(text);
    int rc = add_labelled(item, o, of, context, where, err);
    free(context);
    return rc;
}

/* ---- piqa ---------------------------------------------------------------- */

static int read_piqa(qn_item *item, const json_t *o, const char *where,
                     qn_err *err)
{
    qn_view goal, sol1, sol2;
    if (has(o, "query"))
        return read_query(item, o, question, NULL, where, err);
    QN_TRY(need_text(o, "goal", &goal, where, err));
    QN_TRY(need_text(o, "sol1", &sol1, where, err));
    QN_TRY(need_text(o, "sol2", &sol2, where, err));
    char *context = joined("Question: ", goal, "\nAnswer:");
    add_choice(item, context, sol1);
    add_choice(item, context, sol2);
    free(context);
    return need_gold(o, "label", 0, 2, &item->gold, where, err);
}

/* ---- winogrande ---------------------------------------------------------- */

static int read_options(qn_item *item, const json_t *o, const char *where,
                        qn_err *err)
{
    const json_t *list = json_object_get(o, "context_options");
    size_t n = json_array_size(list);
    qn_view end;
    QN_TRY(need_text(o, "continuation", &end, where, err));
    if (n < 2 || n > MAX_CHOICES)
        return qn_fail(err, QN_EFORMAT,
                       "%s: \"context_options\" is no array of 2 to %d texts",
                       where, MAX_CHOICES);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v))
            return qn_fail(err, QN_EFORMAT, "%s: context option %zu is no text",
                           where, i);
        add_choice(item, json_string_value(v), qn_task_strip(end));
    }
    return need_gold(o, "gold", 0, (int)n, &item->gold, where, err);
}

static int read_winogrande(qn_item *item, const json_t *o, const char *where,
                           qn_err *err)
{
    static const char *const keys[] = {"option1", "option2"};
    qn_view text, option;
    if (has(o, "context_options"))
        return read_options(item, o, where, err);
    QN_TRY(need_text(o, "sentence", &text, where, err));
    const char *blank = memchr(text.p, '_', text.n);
    if (!blank)
        return qn_fail(err, QN_EFORMAT, "%s: \"sentence\" has no blank _",
                       where);
    qn_view end = {blank + 1, text.n - (size_t)(blank + 1 - text.p)};
    for (size_t i = 0; i < QN_COUNTOF(keys); i++) {
        qn_str s;
        QN_TRY(need_text(o, keys[i], &option, where, err));
        qn_str_init(&s);
        qn_str_add(&s, text.p, (size_t)(blank - text.p));
        qn_str_addv(&s, option);
        add_choice(item, s.p ? s.p : "", qn_task_strip(end));
        qn_str_deinit(&s);
    }
    return need_gold(o, "answer", 1, 2, &item->gold, where, err);
}

/* ---- lambada, gsm8k ------------------------------------------------------ */

static int read_lambada(qn_item *item, const json_t *o, const char *where,
                        qn_err *err)
{
    qn_view context, word;
    if (has(o, "context")) {
        QN_TRY(need_text(o, "context", &context, where, err));
        QN_TRY(need_text(o, "continuation", &word, where, err));
        word = qn_task_strip(word);
    } else {
        QN_TRY(need_text(o, "text", &context, where, err));
        const char *blank = context.n ? memrchr(context.p, ' ', context.n)
                                      : NULL;
        if (!blank)
            return qn_fail(err, QN_EFORMAT, "%s: \"text\" is a single word",
                           where);
        word = qn_view_of(blank + 1,
                          context.n - (size_t)(blank + 1 - context.p));
        context.n = (size_t)(blank - context.p);
    }
    if (context.n == 0 || word.n == 0)
        return qn_fail(err, QN_EFORMAT, "%s: no context, or no last word",
                       where);
    char *before = joined("", context, "");
    add_choice(item, before, word);
    free(before);
    return 0;
}

static int read_gsm8k(qn_item *item, const json_t *o, const char *where,
                      qn_err *err)
{
    qn_view q, answer;
    qn_str number;
    QN_TRY(need_text(o, "question", &q, where, err));
    QN_TRY(need_text(o, "answer", &answer, where, err));
    qn_str_init(&number);
    qn_answer_strict(&number, answer.p, answer.n);
    if (number.n == 0) {
        qn_str_deinit(&number);
        return qn_fail(err, QN_EFORMAT, "%s: \"answer\" has no \"#### number\"",
                       where);
    }
    item->answer = qn_str_take(&number, NULL);
    char *context = joined("Question: ", q, "\nAnswer:");
    add_choice(item, context, answer);
    free(context);
    return 0;
}

/* ---- openbookqa, boolq, mmlu ---------------------------------------------- */

static int read_openbookqa(qn_item *item, const json_t *o, const char *where,
                           qn_err *err)
{
    const json_t *q = json_object_get(o, "question"); /* as published */
    const json_t *of = json_is_object(q) ? q : o;
    qn_view stem;
    QN_TRY(need_text(of, json_is_object(q) ? "stem" : "question_stem", &stem,
                     where, err));
    char *context = joined("", stem, "");
    int rc = add_labelled(item, o, of, context, where, err);
    free(context);
    return rc;
}

static int read_boolq(qn_item *item, const json_t *o, const char *where,
                      qn_err *err)
{
    const json_t *answer = json_object_get(o, "answer"); /* as published */
    qn_view passage, q;
    qn_str s;
    QN_TRY(need_text(o, "passage", &passage, where, err));
    QN_TRY(need_text(o, "question", &q, where, err));
    qn_str_init(&s);
    qn_str_addv(&s, passage);
    qn_str_adds(&s, "\nQuestion: ");
    qn_str_addv(&s, q);
    qn_str_adds(&s, "?\nAnswer:");
    add_choice(item, s.p, qn_view_cstr("no"));
    add_choice(item, s.p, qn_view_cstr("yes"));
    qn_str_deinit(&s);
    item->gold = json_is_true(answer);
    return json_is_boolean(answer)
               ? 0
               : need_gold(o, "label", 0, 2, &item->gold, where, err);
}

/* The sentence that stands before all questions of a subject. */
static char *subject_topic(qn_view subject)
{
    qn_str s;
    qn_str_init(&s);
    qn_str_adds(&s, "The following are multiple choice questions (with "
                    "answers) about ");
    for (size_t i = 0; i < subject.n; i++)
        qn_str_addc(&s, subject.p[i] == '_' ? ' ' : subject.p[i]);
    qn_str_adds(&s, ".\n\n");
    return qn_str_take(&s, NULL);
}

/* The choices stand in the question; the letters are what is scored. */
static int read_mmlu(qn_item *item, const json_t *o, const char *where,
                     qn_err *err)
{
    const json_t *list = json_object_get(o, "choices");
    size_t n = json_array_size(list);
    qn_view q, subject;
    qn_str s;
    QN_TRY(need_text(o, "question", &q, where, err));
    QN_TRY(need_text(o, "subject", &subject, where, err));
    QN_TRY(need_choices(list, where, err));
    qn_str_init(&s);
    qn_str_addv(&s, qn_task_strip(q));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        qn_str_addf(&s, "\n%c. ", (char)('A' + i));
        qn_str_add(&s, json_string_value(v), json_string_length(v));
    }
    qn_str_adds(&s, "\nAnswer:");
    for (size_t i = 0; i < n; i++) {
        char letter = (char)('A' + i);
        add_choice(item, s.p, qn_view_of(&letter, 1));
    }
    qn_str_deinit(&s);
    item->topic = subject_topic(subject);
    return need_gold(o, "answer", 0, (int)n, &item->gold, where, err);
}

/* ---- all of them ----------------------------------------------------------- */

const qn_task qn_task_rows[] = {
    {.name = "hellaswag", .read = read_hellaswag, .normalize = true},
    {.name = "arc", .read = read_arc, .normalize = true},
    {.name = "piqa", .read = read_piqa, .normalize = true},
    {.name = "winogrande", .read = read_winogrande},
    {.name = "lambada", .read = read_lambada, .greedy = true},
    {.name = "openbookqa", .read = read_openbookqa, .normalize = true},
    {.name = "boolq", .read = read_boolq},
    {.name = "mmlu", .read = read_mmlu},
    {.name = "gsm8k", .read = read_gsm8k, .generate = true},
    {0},
};
