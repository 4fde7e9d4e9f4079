/* jinja_parse.c - what both halves of the parser stand on: tokens, nodes,
 * lists of nodes, the bound on depth. */
#include "text/jinja_ast.h"

#include <string.h>

int qn_jparse_enter(qn_jcomp *c)
{
    if (c->depth >= QN_JINJA_MAX_DEPTH)
        return qn_jcomp_fail(c, c->tok->line, QN_ELIMIT,
                             "nested deeper than %d", QN_JINJA_MAX_DEPTH);
    c->depth++;
    return 0;
}

int qn_jparse_node(qn_jcomp *c, qn_jkind kind, uint32_t line, qn_jnode **out)
{
    qn_jnode *n = qn_arena_calloc(c->arena, 1, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = line;
    n->depth = 1;
    *out = n;
    return 0;
}

static void parse_deepen(qn_jnode *n, const qn_jnode *child)
{
    if (child && child->depth >= n->depth)
        n->depth = (uint16_t)(child->depth + 1);
}

int qn_jparse_done(qn_jcomp *c, qn_jnode *n)
{
    parse_deepen(n, n->a);
    parse_deepen(n, n->b);
    parse_deepen(n, n->c);
    for (uint32_t i = 0; i < n->n; i++)
        parse_deepen(n, n->v[i]);
    for (uint32_t i = 0; i < n->m; i++)
        parse_deepen(n, n->w[i]);
    if (n->depth > QN_JINJA_MAX_DEPTH)
        return qn_jcomp_fail(c, n->line, QN_ELIMIT, "nested deeper than %d",
                             QN_JINJA_MAX_DEPTH);
    return 0;
}

void qn_jparse_push(qn_jcomp *c, qn_jnodes *list, qn_jnode *n)
{
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? 2 * list->cap : 4;
        qn_jnode **v = qn_arena_calloc(c->arena, cap, sizeof *v);
        if (list->n)
            memcpy(v, list->v, list->n * sizeof *v);
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = n;
}

bool qn_jparse_is_op(const qn_jcomp *c, char op)
{
    return c->tok->kind == QN_JT_OP && c->tok->op == op;
}

bool qn_jparse_is_name(const qn_jcomp *c, const char *name)
{
    return c->tok->kind == QN_JT_NAME && qn_view_eqs(c->tok->text, name);
}

bool qn_jparse_skip_op(qn_jcomp *c, char op)
{
    bool hit = qn_jparse_is_op(c, op);
    c->tok += hit;
    return hit;
}

bool qn_jparse_skip_name(qn_jcomp *c, const char *name)
{
    bool hit = qn_jparse_is_name(c, name);
    c->tok += hit;
    return hit;
}

static const char *parse_op_text(char op)
{
    switch (op) {
    case 'd': return "//";
    case 'p': return "**";
    case 'e': return "==";
    case 'n': return "!=";
    case 'l': return "<=";
    case 'g': return ">=";
    default: return NULL;
    }
}

int qn_jparse_unexpected(qn_jcomp *c, const char *wanted)
{
    const qn_jtok *t = c->tok;
    const char *what = NULL;
    char one[2] = {t->op, 0};
    int n = (int)QN_MIN(t->text.n, (size_t)60);

    switch (t->kind) {
    case QN_JT_EOF: what = "end of template"; break;
    case QN_JT_DATA: what = "text"; break;
    case QN_JT_VAR_BEGIN: what = "{{"; break;
    case QN_JT_VAR_END: what = "}}"; break;
    case QN_JT_BLOCK_BEGIN: what = "{%"; break;
    case QN_JT_BLOCK_END: what = "%}"; break;
    case QN_JT_OP:
        what = parse_op_text(t->op);
        if (!what)
            what = one;
        break;
    default:
        return qn_jcomp_fail(c, t->line, QN_EFORMAT,
                             "unexpected '%.*s', expected %s", n, t->text.p,
                             wanted);
    }
    return qn_jcomp_fail(c, t->line, QN_EFORMAT, "unexpected %s, expected %s",
                         what, wanted);
}

int qn_jparse_expect_op(qn_jcomp *c, char op)
{
    char wanted[4] = {'\'', op == 'e' ? '=' : op, '\'', 0};

    if (qn_jparse_skip_op(c, op))
        return 0;
    return qn_jparse_unexpected(c, wanted);
}

int qn_jparse_expect(qn_jcomp *c, qn_jtok_kind kind, qn_jtok **out)
{
    if (c->tok->kind != kind)
        return qn_jparse_unexpected(c, kind == QN_JT_NAME        ? "a name"
                                       : kind == QN_JT_BLOCK_END ? "%}"
                                                                 : "}}");
    if (out)
        *out = c->tok;
    c->tok++;
    return 0;
}

/* ---- literals ------------------------------------------------------------ */

/* Filters that Jinja gives the context, so that they wait for it. */
static bool parse_needs_context(qn_view name)
{
    static const char *const names[] = {"map",        "select",     "reject",
                                        "selectattr", "rejectattr", "random"};

    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (qn_view_eqs(name, names[i]))
            return true;
    return false;
}

static bool parse_all_literal(qn_jnode *const *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (v[i] && !qn_jparse_is_literal(v[i]))
            return false;
    return true;
}

bool qn_jparse_is_literal(const qn_jnode *n)
{
    if (n->kind == QN_JN_NAME || n->kind == QN_JN_CALL || n->kind == QN_JN_DATA)
        return false;
    if ((n->kind == QN_JN_FILTER || n->kind == QN_JN_TEST) &&
        (!n->a || !n->x.func || parse_needs_context(n->name)))
        return false;
    qn_jnode *const one[] = {n->a, n->b, n->c};
    return parse_all_literal(one, 3) && parse_all_literal(n->v, n->n) &&
           parse_all_literal(n->w, n->m);
}

void qn_jparse_fold(qn_jnode *n)
{
    if (!n)
        return;
    if (n->kind == QN_JN_SLICE)
        n->op = QN_JOP_FOLDED;
    qn_jparse_fold(n->a);
    qn_jparse_fold(n->b);
    qn_jparse_fold(n->c);
    for (uint32_t i = 0; i < n->n; i++)
        qn_jparse_fold(n->v[i]);
    for (uint32_t i = 0; i < n->m; i++)
        qn_jparse_fold(n->w[i]);
}
