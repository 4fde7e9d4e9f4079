/* regex_grammar.c - see regex_grammar.h: a parser by descent, which makes nodes
 * as it goes. */
#include "text/regex_grammar.h"

#include "base/json.h"
#include "text/char_reader.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_NODES ((size_t)1 << 17)

typedef struct reader {
    qn_char_reader c;
    qn_grammar *g;
    bool json;
    bool open_start, open_end; /* no ^, no $ */
    bool branches;             /* | outside of groups */
} reader;

static int fail(const reader *r, int code, const char *message)
{
    return qn_chars_fail(&r->c, code, message);
}

static bool looking_at(const reader *r, const char *s)
{
    return qn_chars_at(&r->c, s);
}

static bool take(reader *r, const char *s)
{
    return qn_chars_take(&r->c, s);
}

static int node_of(reader *r, qn_code_set *s, qn_gram_node *out)
{
    *out = qn_code_set_node(s, r->g, r->json);
    if (*out == QN_GRAM_END)
        return fail(r, QN_EINVAL, "a class without characters");
    if (qn_gram_n_nodes(r->g) > MAX_NODES)
        return fail(r, QN_ELIMIT, "too large");
    return 0;
}

static int read_set(reader *r, qn_code_set *s, qn_gram_node *out)
{
    uint32_t c = QN_CHAR_NONE;
    if (take(r, ".")) {
        qn_code_set_add(s, '\n', '\n');
        qn_code_set_negate(s);
    } else if (take(r, "[")) {
        QN_TRY(qn_chars_take_class(&r->c, s));
    } else {
        QN_TRY(qn_chars_take_one(&r->c, s, &c));
    }
    if (c != QN_CHAR_NONE)
        qn_code_set_add(s, c, c);
    return node_of(r, s, out);
}

/* ---- what is made of them ---------------------------------------------- */

static int read_either(reader *r, int depth, qn_gram_node *out);

/* The name of a group, and > */
static bool take_name(reader *r)
{
    return qn_chars_take_name(&r->c, "") > 0 && take(r, ">");
}

static int read_group(reader *r, int depth, qn_gram_node *out)
{
    bool plain = !looking_at(r, "?") || take(r, "?:") ||
                 ((take(r, "?P<") || take(r, "?<")) && take_name(r));
    if (!plain)
        return fail(r, QN_EUNSUP, "this kind of group is not supported");
    QN_TRY(read_either(r, depth + 1, out));
    return take(r, ")") ? 0 : fail(r, QN_EINVAL, "a ( without its )");
}

static int read_atom(reader *r, int depth, qn_gram_node *out)
{
    if (take(r, "("))
        return read_group(r, depth, out);
    if (looking_at(r, "*") || looking_at(r, "+") || looking_at(r, "?"))
        return fail(r, QN_EINVAL, "nothing stands here to be repeated");
    if (looking_at(r, "^") || looking_at(r, "$"))
        return fail(r, QN_EUNSUP,
                    "^ and $ are supported at the start and at the end only");
    qn_code_set s = {0};
    int rc = read_set(r, &s, out);
    qn_code_set_deinit(&s);
    return rc;
}

static int read_repeats(reader *r, qn_gram_node *a)
{
    uint32_t min, max;
    size_t from = r->c.at;
    QN_TRY(qn_chars_take_repeat(&r->c, &min, &max));
    if (r->c.at == from)
        return 0;
    if (looking_at(r, "+"))
        return fail(r, QN_EUNSUP, "possessive repeats are not supported");
    take(r, "?");
    if (looking_at(r, "*") || looking_at(r, "+") || looking_at(r, "?"))
        return fail(r, QN_EINVAL, "a repeat of a repeat needs a group");
    if (max == 0)
        *a = qn_gram_empty(r->g);
    else if (*a != qn_gram_empty(r->g))
        *a = qn_gram_repeat(r->g, *a, min, max);
    return 0;
}

static int read_sequence(reader *r, int depth, qn_gram_node *out)
{
    QN_VEC(qn_gram_node) parts = {0};
    int rc = 0;
    while (rc == 0 && r->c.at < r->c.n && !looking_at(r, "|") &&
           !looking_at(r, ")")) {
        if (r->c.at == r->c.n - 1 && looking_at(r, "$")) {
            r->c.at++;
            r->open_end = false;
            break;
        }
        qn_gram_node a;
        rc = read_atom(r, depth, &a);
        if (rc == 0)
            rc = read_repeats(r, &a);
        if (rc == 0)
            qn_vec_push(&parts, a);
    }
    *out = qn_gram_empty(r->g);
    for (size_t i = parts.n; i > 0; i--)
        *out = qn_gram_cat(r->g, parts.v[i - 1], *out);
    qn_vec_deinit(&parts);
    return rc;
}

static int read_either(reader *r, int depth, qn_gram_node *out)
{
    qn_gram_node more;
    if (depth > MAX_DEPTH)
        return fail(r, QN_ELIMIT, "groups are nested more than 64 deep");
    QN_TRY(read_sequence(r, depth, out));
    while (take(r, "|")) {
        r->branches |= depth == 0;
        QN_TRY(read_sequence(r, depth, &more));
        *out = qn_gram_alt(r->g, *out, more);
    }
    return 0;
}

static int read_all(reader *r, qn_gram_node *out)
{
    if (r->c.n > QN_REGEX_MAX)
        return qn_fail(r->c.err, QN_ELIMIT,
                       "regular expression: %zu bytes; at most %zu", r->c.n,
                       QN_REGEX_MAX);
    r->open_start = !take(r, "^");
    r->open_end = true;
    QN_TRY(read_either(r, 0, out));
    return r->c.at == r->c.n ? 0 : fail(r, QN_EINVAL, "a ) without its (");
}

int qn_regex_grammar(qn_grammar **out, const char *pattern, size_t n,
                     qn_err *err)
{
    qn_grammar *g = qn_grammar_new();
    qn_gram_node all;
    reader r = {{pattern, n, 0, "regular expression", err}, .g = g};
    int rc = read_all(&r, &all);
    if (rc == 0)
        rc = qn_gram_finish(g, all, "regular expression", err);
    if (rc < 0)
        qn_grammar_free(g);
    else
        *out = g;
    return rc;
}

int qn_regex_json_node(qn_grammar *g, const char *pattern, size_t n,
                       qn_gram_node *out, qn_err *err)
{
    reader r = {{pattern, n, 0, "regular expression", err},
                .g = g,
                .json = true};
    qn_code_set any = {0};
    QN_TRY(read_all(&r, out));
    if (r.branches && !(r.open_start && r.open_end))
        return fail(&r, QN_EUNSUP,
                    "^ or $ of one branch of several is not supported: put "
                    "the branches into a group");
    qn_code_set_add(&any, 0x20, 0x10ffff);
    qn_gram_node rest = qn_gram_repeat(g, qn_code_set_node(&any, g, true), 0,
                                       QN_GRAM_MANY);
    qn_code_set_deinit(&any);
    if (r.open_start)
        *out = qn_gram_cat(g, rest, *out);
    if (r.open_end)
        *out = qn_gram_cat(g, *out, rest);
    return 0;
}

/* ---- choices ----------------------------------------------------------- */

static int add_choices(qn_grammar *g, const json_t *list, qn_gram_node *out,
                       qn_err *err)
{
    size_t n = json_array_size(list);
    if (n == 0 || n > QN_CHOICES_MAX)
        return qn_fail(err, QN_EINVAL, "%zu choices; use 1 to %d", n,
                       QN_CHOICES_MAX);
    for (size_t i = n; i > 0; i--) {
        const json_t *s = json_array_get(list, i - 1);
        if (!json_is_string(s) || json_string_length(s) == 0)
            return qn_fail(err, QN_EINVAL,
                           "choice %zu is no text, or an empty one", i - 1);
        qn_gram_node a = qn_gram_text(g, json_string_value(s),
                                      json_string_length(s));
        *out = i == n ? a : qn_gram_alt(g, a, *out);
    }
    return 0;
}

int qn_choice_grammar(qn_grammar **out, const char *json, size_t n, qn_err *err)
{
    json_t *list = NULL;
    QN_TRY(qn_json_parse(&list, json, n, "choices", err));
    qn_grammar *g = qn_grammar_new();
    qn_gram_node all = 0;
    int rc = add_choices(g, list, &all, err);
    json_decref(list);
    if (rc == 0)
        rc = qn_gram_finish(g, all, "choices", err);
    if (rc < 0)
        qn_grammar_free(g);
    else
        *out = g;
    return rc;
}
