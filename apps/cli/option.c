/* option.c - see option.h: the words of the command line, and the values.
 *
 * Every value, wherever it comes from, is text first and goes through
 * set_text(); a --config file's numbers are printed to be read again. */
#include "cli/option.h"

#include "base/file.h"
#include "base/nearest.h"
#include "cli/foreign.h"
#include "cli/option_int.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const qn_opt qn_general_opts[] = {
    {"config", 0, QN_OPT_FILE, .arg = "FILE",
     .help =
         "Read settings from a JSON object whose keys are these option names. A "
         "flag or an environment variable overrides the file."},
    {"check-config", 0, QN_OPT_FLAG,
     .help =
         "Check all settings, print them with where each comes from, and stop."},
    {"quiet", 'q', QN_OPT_FLAG, .help = "No progress, no statistics."},
    {"verbose", 'v', QN_OPT_FLAG,
     .help = "Also print what the library logs, to standard error."},
    {"help", 'h', QN_OPT_FLAG, .help = "Print this text."},
    {0},
};

int qn_usage(qn_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qn_vfail(err, QN_USAGE, fmt, ap);
    va_end(ap);
    return QN_USAGE;
}

/* ---- names --------------------------------------------------------------- */

/* '_' and '-' are the same letter in names. */
static bool same_name(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char x = a[i] == '_' ? '-' : a[i], y = b[i] == '_' ? '-' : b[i];
        if (x != y || x == 0)
            return false;
    }
    return b[n] == 0 || b[n] == ' ';
}

static bool opt_is(const qn_opt *o, const char *name, size_t n)
{
    if (same_name(name, o->name, n))
        return true;
    const char *p = o->also;
    while (p && *p) {
        if (same_name(name, p, n))
            return true;
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    return false;
}

static qn_value *find_value(const qn_args *a, const char *name, size_t n)
{
    for (size_t i = 0; i < a->values.n; i++)
        if (opt_is(a->values.v[i].opt, name, n))
            return &a->values.v[i];
    return NULL;
}

const qn_opt *qn_args_find(const qn_args *a, const char *name)
{
    const qn_value *v = find_value(a, name, strlen(name));
    return v ? v->opt : NULL;
}

static const char *offer_option(void *user, size_t i)
{
    const qn_args *a = user;
    return i < a->values.n ? a->values.v[i].opt->name : NULL;
}

static int unknown_option(const qn_args *a, const char *word, const char *name,
                          qn_err *err)
{
    const char *near = qn_nearest(name, offer_option, (void *)(uintptr_t)a);
    const char *hint = qn_foreign_option(a, name);
    if (hint)
        return qn_usage(err, "there is no option %s; %s", word, hint);
    if (near)
        return qn_usage(err, "there is no option %s; did you mean --%s?", word,
                        near);
    return qn_usage(err, "there is no option %s; 'quern %s --help' lists them",
                    word, a->cmd->name);
}

/* ---- values -------------------------------------------------------------- */

static void clear_value(qn_value *v)
{
    for (size_t i = 0; i < v->texts.n; i++)
        free(v->texts.v[i]);
    qn_vec_clear(&v->texts);
    qn_vec_clear(&v->ids);
}

static int set_number(qn_value *v, const char *text, const char *what,
                      qn_err *err)
{
    const qn_opt *o = v->opt;
    char *end;
    errno = 0;
    bool real = o->type == QN_OPT_REAL;
    double r = 0;
    int64_t i = 0;
    if (real)
        r = strtod(text, &end);
    else
        r = (double)(i = strtoll(text, &end, 10));
    if (end == text || *end || errno == ERANGE || !isfinite(r))
        return qn_usage(err, "%s wants %s number, not '%.60s'", what,
                        real ? "a" : "a whole", text);
    if (o->hi > o->lo && (r < o->lo || r > o->hi))
        return qn_usage(err, "%s is %.60s; it must lie between %.15g and %.15g",
                        what, text, o->lo, o->hi);
    v->i = i;
    v->r = r;
    return 0;
}

static int set_size(qn_value *v, const char *text, const char *what,
                    qn_err *err)
{
    static const char units[] = "kmgt";
    char *end;
    double r = strtod(text, &end), scale = 1;
    if (end != text && *end) {
        const char *u = strchr(units, *end | 0x20);
        if (u) {
            scale = ldexp(1, 10 * (int)(u - units + 1));
            end += end[1] == 'i' ? 2 : 1;
        }
        if (*end == 'B')
            end++;
    }
    if (end == text || *end || !(r >= 0) || r * scale > 9e18)
        return qn_usage(err,
                        "%s wants a size such as 512M or 8GiB, not '%.60s'",
                        what, text);
    v->r = r * scale;
    v->i = (int64_t)v->r;
    return 0;
}

static int set_flag(qn_value *v, const char *text, const char *what,
                    qn_err *err)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < QN_COUNTOF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            v->i = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return qn_usage(err, "%s is true or false, not '%.60s'", what, text);
}

/* The i-th of "a|b|c" into buf, or NULL. */
const char *qn_choice_at(const char *choices, size_t i, char *buf, size_t cap)
{
    for (; i > 0 && choices; i--) {
        choices = strchr(choices, '|');
        choices = choices ? choices + 1 : NULL;
    }
    if (!choices)
        return NULL;
    size_t n = strcspn(choices, "|");
    snprintf(buf, cap, "%.*s", (int)QN_MIN(n, cap - 1), choices);
    return buf;
}

static int set_choice(qn_value *v, const char *text, const char *what,
                      qn_err *err)
{
    char buf[64];
    for (size_t i = 0; qn_choice_at(v->opt->arg, i, buf, sizeof buf); i++)
        if (strcmp(buf, text) == 0)
            return 0;
    return qn_usage(err, "%s is one of %s, not '%.60s'", what, v->opt->arg,
                    text);
}

#define MAX_VALUE_FILE ((size_t)64 << 20)

/* What stands before a number: blanks and brackets, and a comma if there is a
 * number before. A comma that nothing follows, or that follows nothing, is not
 * passed over. */
static const char *skip_between(const char *p, bool first)
{
    static const char blanks[] = " \t\r\n[]";
    const char *q = p + strspn(p, blanks);
    if (*q != ',' || first)
        return q;
    const char *next = q + 1 + strspn(q + 1, blanks);
    return *next && *next != ',' ? next : q;
}

int qn_ids_add(qn_id_list *ids, const char *text, const char *what, qn_err *err)
{
    const char *p = skip_between(text, true);
    while (*p) {
        char *end;
        errno = 0;
        long long id = strtoll(p, &end, 10);
        if (end == p || errno == ERANGE || id < 0 || id > INT32_MAX ||
            (*end && !strchr(", \t\r\n[]", *end)))
            return qn_usage(err, "%s such as 1,2,3, not '%.40s'", what, p);
        qn_vec_push(ids, (int32_t)id);
        p = skip_between(end, false);
    }
    return 0;
}

/* Some lists are of lengths or counts, which their tables call "N,N". */
static int add_ids(qn_value *v, const char *text, const char *name, qn_err *err)
{
    char what[200];
    bool numbers = v->opt->arg && strcmp(v->opt->arg, "N,N") == 0;
    snprintf(what, sizeof what, "%.160s wants %s", name,
             numbers ? "numbers" : "token ids");
    return qn_ids_add(&v->ids, text, what, err);
}

static int set_ids(qn_value *v, const char *text, const char *what, qn_err *err)
{
    qn_vec_clear(&v->ids);
    if (text[0] != '@')
        return add_ids(v, text, what, err);
    char *file;
    size_t n;
    QN_TRY(qn_file_slurp(&file, &n, text + 1, MAX_VALUE_FILE, err));
    int rc = add_ids(v, file, text, err);
    qn_free(file);
    return rc;
}

static int check_text(qn_value *v, const char *text, const char *what,
                      qn_err *err)
{
    switch (v->opt->type) {
    case QN_OPT_FLAG: return set_flag(v, text, what, err);
    case QN_OPT_INT:
    case QN_OPT_REAL: return set_number(v, text, what, err);
    case QN_OPT_SIZE: return set_size(v, text, what, err);
    case QN_OPT_CHOICE: return set_choice(v, text, what, err);
    case QN_OPT_IDS: return set_ids(v, text, what, err);
    case QN_OPT_FILE:
    case QN_OPT_DIR:
        if (!*text)
            return qn_usage(err, "%s wants a path, not an empty word", what);
        return 0;
    case QN_OPT_TEXT:
    case QN_OPT_JSON:
    case QN_OPT_SOURCE:
    case QN_OPT_LIST: break;
    }
    return 0;
}

/* The text itself, or that of the file which it names; free it. */
static int read_text(const qn_opt *o, const char *text, char **out, qn_err *err)
{
    size_t n;
    if (text[0] != '@' ||
        (o->type != QN_OPT_JSON && o->type != QN_OPT_SOURCE)) {
        *out = qn_xstrdup(text);
        return 0;
    }
    QN_TRY(qn_file_slurp(out, &n, text + 1, MAX_VALUE_FILE, err));
    if (strlen(*out) == n)
        return 0;
    free(*out);
    return qn_usage(err, "%s: a NUL in the text", text + 1);
}

/* `what` is what messages call the option: "--top-p", "QUERN_MODEL". A value
 * from a source higher than `from` stays, one from a lower one goes. */
static int set_text(qn_value *v, const char *text, qn_opt_source from,
                    const char *what, qn_err *err)
{
    if (v->from > from)
        return 0;
    char *own;
    QN_TRY(check_text(v, text, what, err));
    QN_TRY(read_text(v->opt, text, &own, err));
    if (v->from < from || v->opt->type != QN_OPT_LIST) {
        for (size_t i = 0; i < v->texts.n; i++)
            free(v->texts.v[i]);
        qn_vec_clear(&v->texts);
    }
    qn_vec_push(&v->texts, own);
    v->from = from;
    return 0;
}

/* ---- the words ----------------------------------------------------------- */

static void add_table(qn_args *a, const qn_opt *o)
{
    for (; o->name; o++) {
        qn_value v = {.opt = o};
        qn_vec_push(&a->values, v);
    }
}

static qn_value *value_of_letter(const qn_args *a, char letter)
{
    for (size_t i = 0; i < a->values.n; i++)
        if (a->values.v[i].opt->letter == letter)
            return &a->values.v[i];
    return NULL;
}

typedef struct words {
    int n, at;
    char **v;
} words;

/* The value behind '=', glued to a letter, or the next word. */
static int take_value(qn_args *a, qn_value *v, const char *glued, words *w,
                      qn_err *err)
{
    char what[80];
    snprintf(what, sizeof what, "--%s", v->opt->name);
    if (v->opt->type == QN_OPT_FLAG)
        return set_text(v, glued ? glued : "true", QN_FROM_FLAG, what, err);
    if (!glued && w->at == w->n)
        return qn_usage(err, "%s wants a value: %s %s", what, what,
                        v->opt->arg ? v->opt->arg : "VALUE");
    (void)a;
    return set_text(v, glued ? glued : w->v[w->at++], QN_FROM_FLAG, what, err);
}

static int take_long(qn_args *a, const char *word, words *w, qn_err *err)
{
    const char *name = word + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    qn_value *v = find_value(a, name, n);
    if (v)
        return take_value(a, v, eq ? eq + 1 : NULL, w, err);
    if (n > 3 && !eq &&
        (strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0)) {
        v = find_value(a, name + 3, n - 3);
        if (v && v->opt->type == QN_OPT_FLAG)
            return set_text(v, "false", QN_FROM_FLAG, word, err);
    }
    char bare[80];
    snprintf(bare, sizeof bare, "%.*s", (int)QN_MIN(n, sizeof bare - 1), name);
    return unknown_option(a, word, bare, err);
}

static int take_letters(qn_args *a, const char *word, words *w, qn_err *err)
{
    if (qn_foreign_letters(word))
        return unknown_option(a, word, word + 1, err);
    for (const char *p = word + 1; *p; p++) {
        qn_value *v = value_of_letter(a, *p);
        if (!v)
            return unknown_option(a, word, word + 1, err);
        if (v->opt->type != QN_OPT_FLAG)
            return take_value(a, v, p[1] ? p + 1 : NULL, w, err);
        QN_TRY(take_value(a, v, NULL, w, err));
    }
    return 0;
}

static bool asks_for_help(const words *w)
{
    for (int i = 0; i < w->n && strcmp(w->v[i], "--") != 0; i++)
        if (strcmp(w->v[i], "--help") == 0 || strcmp(w->v[i], "-h") == 0)
            return true;
    return false;
}

static int take_words(qn_args *a, words *w, qn_err *err)
{
    bool only_operands = false;
    while (w->at < w->n) {
        const char *word = w->v[w->at++];
        if (only_operands || word[0] != '-' || !word[1])
            qn_vec_push(&a->operands, word);
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else if (word[1] == '-')
            QN_TRY(take_long(a, word, w, err));
        else
            QN_TRY(take_letters(a, word, w, err));
    }
    int max = a->cmd->max_operands;
    if (max >= 0 && a->operands.n > (size_t)max)
        return qn_usage(err,
                        "one word too many: '%.60s' (usage: quern %s "
                        "[options] %s)",
                        a->operands.v[max], a->cmd->name, a->cmd->operands);
    return 0;
}

/* ---- the other sources --------------------------------------------------- */

/* So that it reads as the same number: 0.7, not 0.69999999999999996. */
static void print_real(char *buf, size_t cap, double r)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, cap, "%.*g", digits, r);
        if (strtod(buf, NULL) == r)
            break;
    }
}

/* Whether the option's value is words, so that a number or true is a mistake:
 * {"prompt": true} is no prompt "true". */
static bool wants_words(const qn_opt *o)
{
    return o->type == QN_OPT_TEXT || o->type == QN_OPT_SOURCE ||
           o->type == QN_OPT_FILE || o->type == QN_OPT_DIR ||
           o->type == QN_OPT_CHOICE;
}

/* A member of a file as the text that a flag would have. */
static int set_member(qn_value *v, const json_t *m, qn_opt_source from,
                      const char *what, qn_err *err)
{
    char buf[64];
    if (wants_words(v->opt) && !json_is_string(m))
        return qn_usage(err, "%s: expected text, not %s", what,
                        qn_json_type_name(m));
    if (json_is_boolean(m))
        return set_text(v, json_is_true(m) ? "true" : "false", from, what, err);
    if (json_is_string(m)) {
        if (strlen(json_string_value(m)) != json_string_length(m))
            return qn_usage(err, "%s: a NUL in the text", what);
        return set_text(v, json_string_value(m), from, what, err);
    }
    if (json_is_number(m)) {
        if (json_is_integer(m))
            snprintf(buf, sizeof buf, "%lld", (long long)json_integer_value(m));
        else
            print_real(buf, sizeof buf, json_real_value(m));
        return set_text(v, buf, from, what, err);
    }
    return qn_usage(err, "%s: expected text, a number, true or false%s", what,
                    v->opt->type == QN_OPT_LIST ? ", or a list of them" : "");
}

/* As the text that a flag would have. */
static int set_document(qn_value *v, const json_t *m, qn_opt_source from,
                        const char *what, qn_err *err)
{
    char *text = json_dumps(m, JSON_COMPACT | JSON_ENCODE_ANY);
    int rc = set_text(v, text ? text : "?", from, what, err);
    free(text);
    return rc;
}

/* {"5": -1} is the list of "5=-1". */
static int set_pairs(qn_value *v, const json_t *o, qn_opt_source from,
                     const char *what, qn_err *err)
{
    json_t *object = (json_t *)(uintptr_t)o;
    const char *key;
    json_t *m;
    json_object_foreach(object, key, m)
    {
        char *text = json_dumps(m, JSON_ENCODE_ANY);
        size_t n = strlen(key) + strlen(text) + 2;
        char *pair = qn_xmalloc(n);
        snprintf(pair, n, "%s=%s", key, text);
        int rc = set_text(v, pair, from, what, err);
        free(pair);
        free(text);
        QN_TRY(rc);
    }
    return 0;
}

static int set_any(qn_value *v, const json_t *m, qn_opt_source from,
                   const char *what, qn_err *err)
{
    if (v->from > from)
        return 0;
    if ((v->opt->type == QN_OPT_IDS && json_is_array(m)) ||
        (v->opt->type == QN_OPT_JSON && !json_is_string(m)))
        return set_document(v, m, from, what, err);
    if (v->opt->type != QN_OPT_LIST)
        return set_member(v, m, from, what, err);
    if (v->from == from) { /* a list replaces one from the same source */
        clear_value(v);
        v->from = QN_FROM_NOWHERE;
    }
    if (json_is_object(m))
        return set_pairs(v, m, from, what, err);
    if (!json_is_array(m))
        return set_member(v, m, from, what, err);
    for (size_t i = 0; i < json_array_size(m); i++)
        QN_TRY(set_member(v, json_array_get(m, i), from, what, err));
    return 0;
}

bool qn_opt_only_typed(const qn_opt *o)
{
    static const char *const names[] = {"config", "check-config", "help"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (strcmp(o->name, names[i]) == 0)
            return true;
    return false;
}

static int unknown_key(const qn_args *a, const char *name, const char *key,
                       qn_err *err)
{
    const char *near = qn_nearest(key, offer_option, (void *)(uintptr_t)a);
    const char *hint = qn_foreign_option(a, key);
    if (hint)
        return qn_usage(err, "%s is not a setting; %s", name, hint);
    return near ? qn_usage(err, "%s is not a setting; did you mean \"%s\"?",
                           name, near)
                : qn_usage(err,
                           "%s is not a setting; the keys are the options "
                           "that 'quern %s --help' lists",
                           name, a->cmd->name);
}

/* The member behind `at` that means the same option: a key has several names,
 * and which of two values counts would be a matter of their order. */
static const char *same_key(const qn_args *a, json_t *o, void *at,
                            const qn_value *v)
{
    while ((at = json_object_iter_next(o, at))) {
        const char *key = json_object_iter_key(at);
        if (!json_is_null(json_object_iter_value(at)) &&
            find_value(a, key, strlen(key)) == v)
            return key;
    }
    return NULL;
}

int qn_args_set_json(qn_args *a, const json_t *object, const char *what,
                     qn_opt_source from, qn_err *err)
{
    if (!json_is_object(object))
        return qn_usage(err, "%s: expected a JSON object of options", what);
    json_t *o = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(o); at;
         at = json_object_iter_next(o, at)) {
        const char *key = json_object_iter_key(at);
        json_t *m = json_object_iter_value(at);
        char name[160];
        if (key[0] == '$' || json_is_null(m)) /* "$schema" */
            continue;
        snprintf(name, sizeof name, "%s: \"%.60s\"", what, key);
        qn_value *v = find_value(a, key, strlen(key));
        if (!v)
            return unknown_key(a, name, key, err);
        if (qn_opt_only_typed(v->opt))
            return qn_usage(err, "%s is for the command line only", name);
        const char *twice = same_key(a, o, at, v);
        if (twice)
            return qn_usage(err,
                            "%s and \"%.60s\" are the same setting: give "
                            "one",
                            name, twice);
        QN_TRY(set_any(v, m, from, name, err));
    }
    return 0;
}

#define MAX_CONFIG ((size_t)1 << 20)

static int take_file(qn_args *a, qn_err *err)
{
    const char *path = qn_args_text(a, "config");
    json_t *o = NULL;
    if (!path)
        return 0;
    QN_TRY(qn_json_load(&o, path, MAX_CONFIG, err));
    int rc = qn_args_set_json(a, o, path, QN_FROM_FILE, err);
    json_decref(o);
    return rc;
}

static int take_environment(qn_args *a, qn_err *err)
{
    for (size_t i = 0; i < a->values.n; i++) {
        qn_value *v = &a->values.v[i];
        const char *text = v->opt->env ? getenv(v->opt->env) : NULL;
        if (text && *text && v->from < QN_FROM_ENV)
            QN_TRY(set_text(v, text, QN_FROM_ENV, v->opt->env, err));
    }
    return 0;
}

static int take_defaults(qn_args *a, qn_err *err)
{
    for (size_t i = 0; i < a->values.n; i++) {
        qn_value *v = &a->values.v[i];
        if (v->opt->def && v->from == QN_FROM_NOWHERE)
            QN_TRY(
                set_text(v, v->opt->def, QN_FROM_DEFAULT, v->opt->name, err));
    }
    return 0;
}

int qn_args_parse(qn_args *a, const qn_command *cmd, int argc, char **argv,
                  qn_err *err)
{
    words w = {.n = argc, .v = argv};
    *a = (qn_args){.cmd = cmd};
    for (const qn_opt_group *g = cmd->groups; g && g->title; g++)
        add_table(a, g->opts);
    add_table(a, qn_general_opts);
    a->help = asks_for_help(&w);
    if (a->help)
        return 0;
    QN_TRY(take_words(a, &w, err));
    QN_TRY(take_environment(a, err));
    QN_TRY(take_file(a, err));
    return take_defaults(a, err);
}

void qn_args_deinit(qn_args *a)
{
    for (size_t i = 0; i < a->values.n; i++) {
        clear_value(&a->values.v[i]);
        qn_vec_deinit(&a->values.v[i].texts);
        qn_vec_deinit(&a->values.v[i].ids);
    }
    qn_vec_deinit(&a->values);
    qn_vec_deinit(&a->operands);
}

void qn_args_copy(qn_args *a, const qn_args *from)
{
    *a = (qn_args){.cmd = from->cmd, .help = from->help};
    for (size_t i = 0; i < from->operands.n; i++)
        qn_vec_push(&a->operands, from->operands.v[i]);
    for (size_t i = 0; i < from->values.n; i++) {
        const qn_value *f = &from->values.v[i];
        qn_value v = {.opt = f->opt, .from = f->from, .i = f->i, .r = f->r};
        for (size_t k = 0; k < f->texts.n; k++)
            qn_vec_push(&v.texts, qn_xstrdup(f->texts.v[k]));
        for (size_t k = 0; k < f->ids.n; k++)
            qn_vec_push(&v.ids, f->ids.v[k]);
        qn_vec_push(&a->values, v);
    }
}

int qn_args_set(qn_args *a, const char *name, const char *text, qn_err *err)
{
    qn_value *v = find_value(a, name, strlen(name));
    if (!v)
        return unknown_option(a, name, name, err);
    if (v->opt->type == QN_OPT_LIST) {
        clear_value(v);
        v->from = QN_FROM_NOWHERE;
    }
    return set_text(v, text, QN_FROM_FLAG, v->opt->name, err);
}

/* ---- asking -------------------------------------------------------------- */

static const qn_value *get(const qn_args *a, const char *name)
{
    const qn_value *v = find_value(a, name, strlen(name));
    assert(v && "the command has no such option");
    return v;
}

bool qn_args_has(const qn_args *a, const char *name)
{
    return find_value(a, name, strlen(name)) != NULL;
}

bool qn_args_given(const qn_args *a, const char *name)
{
    return get(a, name)->from > QN_FROM_DEFAULT;
}

qn_opt_source qn_args_source(const qn_args *a, const char *name)
{
    return get(a, name)->from;
}

bool qn_args_flag(const qn_args *a, const char *name)
{
    return get(a, name)->i != 0;
}

int64_t qn_args_int(const qn_args *a, const char *name)
{
    return get(a, name)->i;
}

double qn_args_real(const qn_args *a, const char *name)
{
    return get(a, name)->r;
}

const char *qn_args_text(const qn_args *a, const char *name)
{
    const qn_value *v = get(a, name);
    return v->texts.n ? v->texts.v[v->texts.n - 1] : NULL;
}

bool qn_args_is(const qn_args *a, const char *name, const char *choice)
{
    const char *text = qn_args_text(a, name);
    return text && strcmp(text, choice) == 0;
}

size_t qn_args_list(const qn_args *a, const char *name,
                    const char *const **texts)
{
    const qn_value *v = get(a, name);
    *texts = (const char *const *)v->texts.v;
    return v->texts.n;
}

size_t qn_args_ids(const qn_args *a, const char *name, const int32_t **ids)
{
    const qn_value *v = get(a, name);
    *ids = v->ids.v;
    return v->ids.n;
}

const char *qn_args_operand(const qn_args *a, size_t i)
{
    return i < a->operands.n ? a->operands.v[i] : NULL;
}

void qn_args_print(const qn_args *a)
{
    static const char *const from[] = {"", "default", "file", "environment",
                                       "flag"};
    for (size_t i = 0; i < a->values.n; i++) {
        const qn_value *v = &a->values.v[i];
        if (v->from == QN_FROM_NOWHERE || opt_is(v->opt, "check-config", 12))
            continue;
        printf("%-22s ", v->opt->name);
        for (size_t k = 0; k < v->texts.n; k++)
            printf("%s%s", k ? ", " : "", v->texts.v[k]);
        printf("  (%s)\n", from[v->from]);
    }
}
