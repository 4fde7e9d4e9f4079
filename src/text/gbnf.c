/* gbnf.c - see gbnf.h: a parser by descent. A rule is a node that is defined
 * when its text is met; one that is used before is made then. */
#include "text/gbnf.h"

#include "base/mem.h"
#include "base/str.h"
#include "text/char_reader.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RULES 1024
#define MAX_DEPTH 64
#define MAX_NODES ((size_t)1 << 17)

typedef struct rule {
    qn_view name;
    qn_gram_node node;
    bool defined;
} rule;

typedef struct reader {
    qn_char_reader c;
    qn_grammar *g;
    QN_VEC(rule) rules;
} reader;

static int fail(const reader *r, int code, const char *message)
{
    return qn_chars_fail(&r->c, code, message);
}

static bool take(reader *r, const char *s)
{
    return qn_chars_take(&r->c, s);
}

static char here(const reader *r)
{
    return r->c.at < r->c.n ? r->c.p[r->c.at] : 0;
}

/* Blanks and comments; new lines only where the rule goes on behind them. */
static void skip(reader *r, bool lines)
{
    for (;; r->c.at++) {
        while (here(r) == '#')
            while (here(r) && here(r) != '\n')
                r->c.at++;
        bool line = here(r) == '\n' || here(r) == '\r';
        if (here(r) != ' ' && here(r) != '\t' && !(lines && line))
            return;
    }
}

/* ---- names ------------------------------------------------------------- */

static bool take_name(reader *r, qn_view *name)
{
    const char *from = r->c.p + r->c.at;
    *name = qn_view_of(from, qn_chars_take_name(&r->c, "-"));
    return name->n > 0;
}

static int rule_of(reader *r, qn_view name, size_t *out)
{
    for (*out = 0; *out < r->rules.n; ++*out)
        if (qn_view_eq(r->rules.v[*out].name, name))
            return 0;
    if (r->rules.n == MAX_RULES)
        return fail(r, QN_ELIMIT, "more than 1024 rules");
    qn_vec_push(&r->rules, ((rule){.name = name, .node = qn_gram_rule(r->g)}));
    return 0;
}

/* ---- parts ------------------------------------------------------------- */

static int read_either(reader *r, int depth, qn_gram_node *out);

static int read_text(reader *r, qn_gram_node *out)
{
    *out = qn_gram_empty(r->g);
    while (!take(r, "\"")) {
        qn_code_set s = {0};
        uint32_t c = QN_CHAR_NONE;
        if (!here(r))
            return fail(r, QN_EINVAL, "a text without its closing quote");
        int rc = qn_chars_take_one(&r->c, &s, &c);
        if (rc == 0 && c == QN_CHAR_NONE)
            rc = fail(r, QN_EINVAL, "a class of characters within a text");
        if (rc == 0) {
            qn_code_set_add(&s, c, c);
            *out = qn_gram_cat(r->g, *out, qn_code_set_node(&s, r->g, false));
        }
        qn_code_set_deinit(&s);
        QN_TRY(rc);
    }
    return 0;
}

static int read_class(reader *r, bool any, qn_gram_node *out)
{
    qn_code_set s = {0};
    int rc = any ? 0 : qn_chars_take_class(&r->c, &s);
    if (any)
        qn_code_set_add(&s, 1, 0x10ffff);
    if (rc == 0) {
        *out = qn_code_set_node(&s, r->g, false);
        if (*out == QN_GRAM_END)
            rc = fail(r, QN_EINVAL, "a class without characters");
    }
    qn_code_set_deinit(&s);
    return rc;
}

static int read_atom(reader *r, int depth, qn_gram_node *out)
{
    qn_view name;
    size_t i;
    if (qn_gram_n_nodes(r->g) > MAX_NODES)
        return fail(r, QN_ELIMIT, "too large");
    if (take(r, "\""))
        return read_text(r, out);
    if (take(r, "[") || take(r, "."))
        return read_class(r, r->c.p[r->c.at - 1] == '.', out);
    if (take(r, "(")) {
        QN_TRY(read_either(r, depth + 1, out));
        return take(r, ")") ? 0 : fail(r, QN_EINVAL, "a ( without its )");
    }
    if (!take_name(r, &name))
        return fail(r, QN_EINVAL,
                    "neither a text, a class, a group nor a name");
    QN_TRY(rule_of(r, name, &i));
    *out = r->rules.v[i].node;
    return 0;
}

static bool sequence_ends(const reader *r, int depth)
{
    char c = here(r);
    return !c || c == '|' || c == ')' ||
           (depth == 0 && (c == '\n' || c == '\r'));
}

static int read_sequence(reader *r, int depth, qn_gram_node *out)
{
    *out = qn_gram_empty(r->g);
    for (skip(r, depth > 0); !sequence_ends(r, depth); skip(r, depth > 0)) {
        qn_gram_node a;
        uint32_t min, max;
        QN_TRY(read_atom(r, depth, &a));
        QN_TRY(qn_chars_take_repeat(&r->c, &min, &max));
        if (max == 0)
            a = qn_gram_empty(r->g);
        else if ((min != 1 || max != 1) && a != qn_gram_empty(r->g))
            a = qn_gram_repeat(r->g, a, min, max);
        *out = qn_gram_cat(r->g, *out, a);
    }
    return 0;
}

static int read_either(reader *r, int depth, qn_gram_node *out)
{
    if (depth > MAX_DEPTH)
        return fail(r, QN_ELIMIT, "parentheses are nested more than 64 deep");
    QN_TRY(read_sequence(r, depth, out));
    while (take(r, "|")) {
        qn_gram_node more;
        skip(r, true);
        QN_TRY(read_sequence(r, depth, &more));
        *out = qn_gram_alt(r->g, *out, more);
    }
    return 0;
}

/* ---- rules ------------------------------------------------------------- */

static int read_rule(reader *r)
{
    qn_view name;
    qn_gram_node a;
    size_t i;
    if (!take_name(r, &name))
        return fail(r, QN_EINVAL, "a rule has to begin with its name");
    QN_TRY(rule_of(r, name, &i));
    skip(r, true);
    if (!take(r, "::="))
        return fail(r, QN_EINVAL, "::= has to follow the name of a rule");
    if (r->rules.v[i].defined)
        return fail(r, QN_EINVAL, "this rule is there already");
    r->rules.v[i].defined = true;
    skip(r, true);
    QN_TRY(read_either(r, 0, &a));
    if (here(r) == ')')
        return fail(r, QN_EINVAL, "a ) without its (");
    qn_gram_define(r->g, r->rules.v[i].node, a);
    return 0;
}

static int fail_rule(const reader *r, const rule *x, const char *message)
{
    return qn_fail(r->c.err, QN_EINVAL, "grammar: rule %.*s %s",
                   (int)QN_MIN(x->name.n, (size_t)60), x->name.p, message);
}

static int read_all(reader *r, qn_gram_node *root)
{
    size_t i;
    if (r->c.n > QN_GBNF_MAX)
        return qn_fail(r->c.err, QN_ELIMIT, "grammar: %zu bytes; at most %zu",
                       r->c.n, QN_GBNF_MAX);
    for (skip(r, true); r->c.at < r->c.n; skip(r, true))
        QN_TRY(read_rule(r));
    QN_TRY(rule_of(r, qn_view_of("root", 4), &i));
    *root = r->rules.v[i].node;
    for (i = 0; i < r->rules.n; i++)
        if (!r->rules.v[i].defined)
            return fail_rule(r, &r->rules.v[i], "is used, but not there");
    return 0;
}

int qn_gbnf_grammar(qn_grammar **out, const char *text, size_t n, qn_err *err)
{
    qn_grammar *g = qn_grammar_new();
    qn_gram_node root;
    reader r = {{text, n, 0, "grammar", err}, .g = g};
    int rc = read_all(&r, &root);
    if (rc == 0)
        rc = qn_gram_finish(g, root, "grammar", err);
    qn_vec_deinit(&r.rules);
    if (rc < 0)
        qn_grammar_free(g);
    else
        *out = g;
    return rc;
}
