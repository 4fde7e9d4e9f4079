/* task.c - see task.h. */
#include "eval/task.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "eval/eval.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_CHOICES = 26,
    MAX_ITEMS = 10000000
};

#define FILE_MAX ((size_t)1 << 30)
#define LINE_MAX_BYTES ((size_t)4 << 20)

const char qn_eval_task_names[] = "hellaswag|arc|piqa|winogrande|lambada|gsm8k";

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

static qn_view strip(qn_view v)
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

/* An array of texts, each a choice behind the context. */
static int add_choices(qn_item *item, const char *context, const json_t *list,
                       clean_fn clean, const char *where, qn_err *err)
{
    size_t n = json_array_size(list);
    if (n < 2 || n > MAX_CHOICES)
        return qn_fail(err, QN_EFORMAT,
                       "%s: the choices are no array of 2 to %d texts", where,
                       MAX_CHOICES);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        qn_view text = {json_string_value(v), json_string_length(v)};
        qn_str s;
        if (!json_is_string(v))
            return qn_fail(err, QN_EFORMAT, "%s: choice %zu is no text", where,
                           i);
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
    text = strip(text);
    if (text.n >= strlen(word) && memcmp(text.p, word, strlen(word)) == 0)
        text = strip(qn_view_of(text.p + strlen(word), text.n - strlen(word)));
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
    text = strip(text);
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

static int read_arc(qn_item *item, const json_t *o, const char *where,
                    qn_err *err)
{
    qn_view text, key;
    const json_t *q = json_object_get(o, "question");
    const json_t *choices = json_object_get(o, "choices");
    json_t *texts, *labels;
    if (has(o, "query"))
        return read_query(item, o, question, NULL, where, err);
    if (json_is_object(q)) { /* as its authors published it */
        choices = json_object_get(q, "choices");
        QN_TRY(need_text(q, "stem", &text, where, err));
    } else {
        QN_TRY(need_text(o, "question", &text, where, err));
    }
    QN_TRY(need_text(o, "answerKey", &key, where, err));
    char *context = question(text);
    split_choices(choices, &texts, &labels);
    int rc = add_choices(item, context, texts, NULL, where, err);
    item->gold = gold_by_label(labels, key, item->choices.n);
    if (rc == 0 && item->gold < 0)
        rc = qn_fail(err, QN_EFORMAT, "%s: no choice has the label \"%.*s\"",
                     where, (int)QN_MIN(key.n, (size_t)20), key.p);
    json_decref(texts);
    json_decref(labels);
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
        add_choice(item, json_string_value(v), strip(end));
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
        add_choice(item, s.p ? s.p : "", strip(end));
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
        word = strip(word);
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

/* ---- files --------------------------------------------------------------- */

static const qn_task tasks[] = {
    {.name = "hellaswag", .read = read_hellaswag, .normalize = true},
    {.name = "arc", .read = read_arc, .normalize = true},
    {.name = "piqa", .read = read_piqa, .normalize = true},
    {.name = "winogrande", .read = read_winogrande},
    {.name = "lambada", .read = read_lambada, .greedy = true},
    {.name = "gsm8k", .read = read_gsm8k, .generate = true},
};

const qn_task *qn_task_find(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(tasks); i++)
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
    return NULL;
}

static int parse_line(qn_items *items, const qn_task *task, const char *where,
                      size_t line, qn_view text, qn_err *err)
{
    json_t *o = NULL;
    if (text.n > LINE_MAX_BYTES)
        return qn_fail(err, QN_ELIMIT, "%s: longer than %zu bytes", where,
                       LINE_MAX_BYTES);
    QN_TRY(qn_json_parse(&o, text.p, text.n, where, err));
    qn_item item = {.line = line};
    int rc = json_is_object(o)
                 ? task->read(&item, o, where, err)
                 : qn_fail(err, QN_EFORMAT, "%s: no JSON object", where);
    json_decref(o);
    qn_vec_push(&items->v, item); /* its texts are freed with the others */
    return rc;
}

int qn_items_parse(qn_items *items, const qn_task *task, const char *path,
                   const char *text, size_t n, qn_err *err)
{
    const char *at = text, *end = text + n;
    qn_str where;
    int rc = 0;
    qn_str_init(&where);
    for (size_t line = 1; at < end && rc == 0; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        qn_view row = {at, (size_t)((stop ? stop : end) - at)};
        at = stop ? stop + 1 : end;
        row = strip(row);
        if (row.n == 0)
            continue;
        qn_str_clear(&where);
        qn_str_addf(&where, "%.300s:%zu", path, line);
        rc = items->v.n < MAX_ITEMS
                 ? parse_line(items, task, where.p, line, row, err)
                 : qn_fail(err, QN_ELIMIT, "%s: more than %d items", where.p,
                           MAX_ITEMS);
    }
    qn_str_deinit(&where);
    return rc;
}

int qn_items_read(qn_items *items, const qn_task *task, const char *path,
                  qn_err *err)
{
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, FILE_MAX, err));
    int rc = qn_items_parse(items, task, path, text, n, err);
    qn_free(text);
    if (rc == 0 && items->v.n == 0)
        rc = qn_fail(err, QN_EINVAL, "%s has no items", path);
    return rc;
}

void qn_items_deinit(qn_items *items)
{
    for (size_t i = 0; i < items->v.n; i++) {
        qn_item *it = &items->v.v[i];
        for (size_t k = 0; k < it->choices.n; k++) {
            free(it->choices.v[k].context);
            free(it->choices.v[k].text);
        }
        qn_vec_deinit(&it->choices);
        free(it->answer);
    }
    qn_vec_deinit(&items->v);
}

void qn_item_solved(const qn_item *item, qn_str *out)
{
    const qn_choice *c = &item->choices.v[item->gold];
    qn_str_adds(out, c->context);
    qn_str_adds(out, c->text);
}
