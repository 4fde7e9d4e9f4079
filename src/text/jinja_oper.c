/* jinja_oper.c - operators, weakest first:
 *
 *     x if c else y | or | and | not | == < in ... | + - | ~ | * / // % | **
 *
 * Binary chains make left-deep trees; qn_jparse_done bounds their depth. */
#include "text/jinja_ast.h"

#include <string.h>

static int oper_or(qn_jcomp *c, qn_jnode **out);

static int oper_binary_node(qn_jcomp *c, qn_jkind kind, char op, uint32_t line,
                            qn_jnode *a, qn_jnode *b, qn_jnode **out)
{
    QN_TRY(qn_jparse_node(c, kind, line, out));
    (*out)->op = op;
    (*out)->a = a;
    (*out)->b = b;
    return qn_jparse_done(c, *out);
}

/* A left-associative level: operators of `ops` over the level `inner`. */
typedef int (*oper_level)(qn_jcomp *c, qn_jnode **out);
static int oper_chain(qn_jcomp *c, const char *ops, oper_level inner,
                      qn_jnode **out)
{
    uint32_t line = c->tok->line;

    QN_TRY(inner(c, out));
    while (c->tok->kind == QN_JT_OP && c->tok->op && strchr(ops, c->tok->op)) {
        char op = c->tok++->op;
        qn_jnode *right;
        QN_TRY(inner(c, &right));
        QN_TRY(oper_binary_node(c, QN_JN_BINARY, op, line, *out, right, out));
        line = c->tok->line;
    }
    return 0;
}

static int oper_operand(qn_jcomp *c, qn_jnode **out)
{
    return qn_jparse_unary(c, true, out);
}

static int oper_pow(qn_jcomp *c, qn_jnode **out)
{
    return oper_chain(c, "p", oper_operand, out);
}

static int oper_product(qn_jcomp *c, qn_jnode **out)
{
    return oper_chain(c, "*/d%", oper_pow, out);
}

static int oper_concat(qn_jcomp *c, qn_jnode **out)
{
    uint32_t line = c->tok->line;
    qn_jnodes parts = {0};
    qn_jnode *part;

    QN_TRY(oper_product(c, out));
    if (!qn_jparse_is_op(c, '~'))
        return 0;
    qn_jparse_push(c, &parts, *out);
    while (qn_jparse_skip_op(c, '~')) {
        QN_TRY(oper_product(c, &part));
        qn_jparse_push(c, &parts, part);
    }
    QN_TRY(qn_jparse_node(c, QN_JN_CONCAT, line, out));
    (*out)->v = parts.v;
    (*out)->n = parts.n;
    return qn_jparse_done(c, *out);
}

static int oper_sum(qn_jcomp *c, qn_jnode **out)
{
    return oper_chain(c, "+-", oper_concat, out);
}

/* The comparison operator at the current token, consumed; 0 if none. */
static char oper_take_compare(qn_jcomp *c)
{
    if (c->tok->kind == QN_JT_OP && c->tok->op && strchr("en<>lg", c->tok->op))
        return c->tok++->op;
    if (qn_jparse_skip_name(c, "in"))
        return 'i';
    if (qn_jparse_is_name(c, "not") && c->tok[1].kind == QN_JT_NAME &&
        qn_view_eqs(c->tok[1].text, "in")) {
        c->tok += 2;
        return 'x';
    }
    return 0;
}

static int oper_compare(qn_jcomp *c, qn_jnode **out)
{
    uint32_t line = c->tok->line;
    qn_jnodes ops = {0};
    qn_jnode *first;
    char op;

    QN_TRY(oper_sum(c, &first));
    while ((op = oper_take_compare(c)) != 0) {
        qn_jnode *n;
        QN_TRY(qn_jparse_node(c, QN_JN_OPERAND, c->tok->line, &n));
        n->op = op;
        QN_TRY(oper_sum(c, &n->a));
        QN_TRY(qn_jparse_done(c, n));
        qn_jparse_push(c, &ops, n);
    }
    *out = first;
    if (ops.n == 0)
        return 0;
    QN_TRY(qn_jparse_node(c, QN_JN_COMPARE, line, out));
    (*out)->a = first;
    (*out)->v = ops.v;
    (*out)->n = ops.n;
    return qn_jparse_done(c, *out);
}

static int oper_not(qn_jcomp *c, qn_jnode **out)
{
    uint32_t line = c->tok->line;

    if (!qn_jparse_skip_name(c, "not"))
        return oper_compare(c, out);
    QN_TRY(qn_jparse_enter(c));
    QN_TRY(qn_jparse_node(c, QN_JN_NOT, line, out));
    qn_jnode *n = *out;
    QN_TRY(oper_not(c, &n->a));
    c->depth--;
    *out = n;
    return qn_jparse_done(c, n);
}

static int oper_logic(qn_jcomp *c, const char *word, qn_jkind kind,
                      oper_level inner, qn_jnode **out)
{
    uint32_t line = c->tok->line;

    QN_TRY(inner(c, out));
    while (qn_jparse_skip_name(c, word)) {
        qn_jnode *right;
        QN_TRY(inner(c, &right));
        QN_TRY(oper_binary_node(c, kind, 0, line, *out, right, out));
        line = c->tok->line;
    }
    return 0;
}

static int oper_and(qn_jcomp *c, qn_jnode **out)
{
    return oper_logic(c, "and", QN_JN_AND, oper_not, out);
}

static int oper_or(qn_jcomp *c, qn_jnode **out)
{
    return oper_logic(c, "or", QN_JN_OR, oper_and, out);
}

static int oper_cond(qn_jcomp *c, qn_jnode **out)
{
    uint32_t line = c->tok->line, n_unknown = c->unknown.n;

    QN_TRY(oper_or(c, out));
    while (qn_jparse_skip_name(c, "if")) {
        qn_jnode *n;
        QN_TRY(qn_jparse_node(c, QN_JN_COND, line, &n));
        n->a = *out;
        QN_TRY(oper_or(c, &n->b));
        if (qn_jparse_skip_name(c, "else"))
            QN_TRY(oper_cond(c, &n->c));
        QN_TRY(qn_jparse_done(c, n));
        *out = n;
        line = c->tok->line;
        c->unknown.n = n_unknown; /* all of it is conditional */
    }
    return 0;
}

int qn_jparse_expression(qn_jcomp *c, bool with_if, qn_jnode **out)
{
    QN_TRY(qn_jparse_enter(c));
    QN_TRY(with_if ? oper_cond(c, out) : oper_or(c, out));
    c->depth--;
    return 0;
}
