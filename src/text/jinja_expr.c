/* jinja_expr.c - operands of expressions, targets and tuples.
 *
 * An operand is a literal, a name or something in brackets, then .name, [item]
 * and (call), then |filter and `is test`, with signs before it. The operators
 * between operands are in jinja_oper.c. Names that look like keywords are
 * ordinary names wherever the grammar lets them be, as in Jinja. */
#include "text/jinja_ast.h"
#include "text/jinja_rt.h"

#include <string.h>

/* ---- literals ------------------------------------------------------------ */

static int expr_const(qn_jcomp *c, qn_jval v, uint32_t line, qn_jnode **out)
{
    QN_TRY(qn_jparse_node(c, QN_JN_CONST, line, out));
    (*out)->val = v;
    return 0;
}

static int expr_string(qn_jcomp *c, qn_jnode **out)
{
    const qn_jtok *first = c->tok;
    size_t n = 0;

    for (const qn_jtok *t = first; t->kind == QN_JT_STRING; t++)
        n += t->text.n;
    if (first[1].kind != QN_JT_STRING) {
        c->tok++;
        return expr_const(c, qn_jv_view(first->text), first->line, out);
    }
    char *p = qn_arena_alloc(c->arena, n + 1), *o = p;
    for (; c->tok->kind == QN_JT_STRING; c->tok++) {
        if (c->tok->text.n)
            memcpy(o, c->tok->text.p, c->tok->text.n);
        o += c->tok->text.n;
    }
    return expr_const(c, qn_jv_str(p, n), first->line, out);
}

static bool expr_word_const(qn_view w, qn_jval *out)
{
    if (qn_view_eqs(w, "true") || qn_view_eqs(w, "True"))
        *out = qn_jv_bool(true);
    else if (qn_view_eqs(w, "false") || qn_view_eqs(w, "False"))
        *out = qn_jv_bool(false);
    else if (qn_view_eqs(w, "none") || qn_view_eqs(w, "None"))
        *out = qn_jv_none();
    else
        return false;
    return true;
}

/* Items up to the closing bracket; a trailing comma is allowed. */
static int expr_list(qn_jcomp *c, qn_jkind kind, char close, qn_jnode **out)
{
    qn_jnodes items = {0};
    uint32_t line = c->tok->line;
    qn_jnode *item;

    c->tok++;
    while (!qn_jparse_is_op(c, close)) {
        if (items.n)
            QN_TRY(qn_jparse_expect_op(c, ','));
        if (qn_jparse_is_op(c, close))
            break;
        QN_TRY(qn_jparse_expression(c, true, &item));
        qn_jparse_push(c, &items, item);
        if (kind == QN_JN_DICT) {
            QN_TRY(qn_jparse_expect_op(c, ':'));
            QN_TRY(qn_jparse_expression(c, true, &item));
            qn_jparse_push(c, &items, item);
        }
    }
    c->tok++;
    QN_TRY(qn_jparse_node(c, kind, line, out));
    (*out)->v = items.v;
    (*out)->n = items.n;
    return qn_jparse_done(c, *out);
}

static int expr_name(qn_jcomp *c, bool with_namespace, qn_jnode **out)
{
    const qn_jtok *t = c->tok++;
    qn_jval word;

    if (expr_word_const(t->text, &word))
        return expr_const(c, word, t->line, out);
    if (with_namespace && qn_jparse_skip_op(c, '.')) {
        qn_jtok *attr;
        QN_TRY(qn_jparse_expect(c, QN_JT_NAME, &attr));
        QN_TRY(qn_jparse_node(c, QN_JN_NSREF, t->line, out));
        (*out)->name = t->text;
        (*out)->name2 = attr->text;
        return 0;
    }
    QN_TRY(qn_jparse_node(c, QN_JN_NAME, t->line, out));
    (*out)->name = t->text;
    return 0;
}

static int expr_primary(qn_jcomp *c, bool with_namespace, qn_jnode **out)
{
    const qn_jtok *t = c->tok;

    switch (t->kind) {
    case QN_JT_NAME: return expr_name(c, with_namespace, out);
    case QN_JT_STRING: return expr_string(c, out);
    case QN_JT_INT:
        c->tok++;
        return expr_const(c, qn_jv_int(t->num.i), t->line, out);
    case QN_JT_FLOAT:
        c->tok++;
        return expr_const(c, qn_jv_float(t->num.f), t->line, out);
    case QN_JT_OP:
        if (t->op == '(') {
            c->tok++;
            QN_TRY(
                qn_jparse_tuple(c, (qn_jtuple_how){.parentheses = true}, out));
            return qn_jparse_expect_op(c, ')');
        }
        if (t->op == '[')
            return expr_list(c, QN_JN_LIST, ']', out);
        if (t->op == '{')
            return expr_list(c, QN_JN_DICT, '}', out);
        break;
    default: break;
    }
    return qn_jparse_unexpected(c, "an expression");
}

static bool expr_tuple_end(const qn_jcomp *c, const char *until)
{
    return c->tok->kind == QN_JT_VAR_END || c->tok->kind == QN_JT_BLOCK_END ||
           qn_jparse_is_op(c, ')') || (until && qn_jparse_is_name(c, until));
}

int qn_jparse_tuple(qn_jcomp *c, qn_jtuple_how how, qn_jnode **out)
{
    qn_jnodes items = {0};
    bool is_tuple = false;
    uint32_t line = c->tok->line;
    qn_jnode *item;

    for (;;) {
        if (items.n)
            QN_TRY(qn_jparse_expect_op(c, ','));
        if (expr_tuple_end(c, how.until))
            break;
        if (how.targets) {
            QN_TRY(qn_jparse_enter(c));
            QN_TRY(expr_primary(c, how.namespaces, &item));
            c->depth--;
        } else {
            QN_TRY(qn_jparse_expression(c, !how.no_if, &item));
        }
        qn_jparse_push(c, &items, item);
        if (!qn_jparse_is_op(c, ','))
            break;
        is_tuple = true;
    }
    if (!is_tuple && items.n) {
        *out = items.v[0];
        return 0;
    }
    if (!is_tuple && !how.parentheses)
        return qn_jparse_unexpected(c, "an expression");
    QN_TRY(qn_jparse_node(c, QN_JN_TUPLE, line, out));
    (*out)->v = items.v;
    (*out)->n = items.n;
    return qn_jparse_done(c, *out);
}

/* ---- what follows a primary ---------------------------------------------- */

static int expr_slice(qn_jcomp *c, qn_jnode *first, uint32_t line,
                      qn_jnode **out)
{
    qn_jnode **bounds = qn_arena_calloc(c->arena, 3, sizeof *bounds);

    bounds[0] = first;
    c->tok++; /* the colon */
    if (!qn_jparse_is_op(c, ':') && !qn_jparse_is_op(c, ']') &&
        !qn_jparse_is_op(c, ','))
        QN_TRY(qn_jparse_expression(c, true, &bounds[1]));
    if (qn_jparse_skip_op(c, ':') && !qn_jparse_is_op(c, ']') &&
        !qn_jparse_is_op(c, ','))
        QN_TRY(qn_jparse_expression(c, true, &bounds[2]));
    QN_TRY(qn_jparse_node(c, QN_JN_SLICE, line, out));
    (*out)->v = bounds;
    (*out)->n = 3;
    return 0;
}

/* One subscript between the brackets; *slice tells a:b:c. */
static int expr_subscribed(qn_jcomp *c, qn_jnode **out, bool *slice)
{
    uint32_t line = c->tok->line;
    qn_jnode *first = NULL;

    *slice = true;
    if (!qn_jparse_is_op(c, ':')) {
        QN_TRY(qn_jparse_expression(c, true, &first));
        if (!qn_jparse_is_op(c, ':')) {
            *slice = false;
            *out = first;
            return 0;
        }
    }
    return expr_slice(c, first, line, out);
}

static int expr_item(qn_jcomp *c, qn_jnode *on, qn_jnode **out)
{
    uint32_t line = c->tok->line;
    qn_jnodes args = {0};
    qn_jnode *arg, *item;
    bool slice = false;

    c->tok++;
    while (!qn_jparse_is_op(c, ']')) {
        if (args.n)
            QN_TRY(qn_jparse_expect_op(c, ','));
        if (slice)
            return qn_jcomp_fail(c, line, QN_EUNSUP, "a tuple of slices");
        QN_TRY(expr_subscribed(c, &arg, &slice));
        if (slice && args.n)
            return qn_jcomp_fail(c, line, QN_EUNSUP, "a tuple of slices");
        qn_jparse_push(c, &args, arg);
    }
    c->tok++;
    if (slice) {
        args.v[0]->a = on;
        *out = args.v[0];
        return qn_jparse_done(c, *out);
    }
    QN_TRY(qn_jparse_node(c, QN_JN_ITEM, line, &item));
    item->a = on;
    if (args.n == 1) {
        item->b = args.v[0];
    } else {
        QN_TRY(qn_jparse_node(c, QN_JN_TUPLE, line, &item->b));
        item->b->v = args.v;
        item->b->n = args.n;
        QN_TRY(qn_jparse_done(c, item->b));
    }
    *out = item;
    return qn_jparse_done(c, item);
}

static int expr_dot(qn_jcomp *c, qn_jnode *on, qn_jnode **out)
{
    uint32_t line = c->tok->line;
    const qn_jtok *t = ++c->tok;

    if (t->kind == QN_JT_NAME) {
        QN_TRY(qn_jparse_node(c, QN_JN_ATTR, line, out));
        (*out)->name = t->text;
    } else if (t->kind == QN_JT_INT) {
        QN_TRY(qn_jparse_node(c, QN_JN_ITEM, line, out));
        QN_TRY(expr_const(c, qn_jv_int(t->num.i), t->line, &(*out)->b));
    } else {
        return qn_jparse_unexpected(c, "a name or a number");
    }
    c->tok++;
    (*out)->a = on;
    return qn_jparse_done(c, *out);
}

static int expr_one_arg(qn_jcomp *c, qn_jnode *call, qn_jnodes *pos,
                        qn_jnodes *kw)
{
    uint32_t line = c->tok->line;
    qn_jnode *value;

    if (qn_jparse_is_op(c, '*')) {
        if (call->b || call->c)
            goto order;
        c->tok++;
        return qn_jparse_expression(c, true, &call->b);
    }
    if (qn_jparse_is_op(c, 'p')) {
        if (call->c)
            goto order;
        c->tok++;
        return qn_jparse_expression(c, true, &call->c);
    }
    if (c->tok->kind == QN_JT_NAME && c->tok[1].kind == QN_JT_OP &&
        c->tok[1].op == '=') {
        const qn_jtok *name = c->tok;
        if (call->c)
            goto order;
        for (uint32_t i = 0; i < kw->n; i++)
            if (qn_view_eq(kw->v[i]->name, name->text))
                return qn_jcomp_fail(c, line, QN_EFORMAT,
                                     "keyword argument %.*s given twice",
                                     (int)QN_MIN(name->text.n, (size_t)60),
                                     name->text.p);
        c->tok += 2;
        QN_TRY(qn_jparse_expression(c, true, &value));
        qn_jnode *node;
        QN_TRY(qn_jparse_node(c, QN_JN_KW, line, &node));
        node->name = name->text;
        node->a = value;
        qn_jparse_push(c, kw, node);
        return qn_jparse_done(c, node);
    }
    if (call->b || call->c || kw->n)
        goto order;
    QN_TRY(qn_jparse_expression(c, true, &value));
    qn_jparse_push(c, pos, value);
    return 0;
order:
    return qn_jcomp_fail(c, line, QN_EFORMAT,
                         "arguments of a call in a wrong order");
}

/* "(" ... ")" into call->v, w, b, c. */
static int expr_args(qn_jcomp *c, qn_jnode *call)
{
    qn_jnodes pos = {0}, kw = {0};
    bool comma = false;

    c->tok++;
    while (!qn_jparse_is_op(c, ')')) {
        if (comma) {
            QN_TRY(qn_jparse_expect_op(c, ','));
            if (qn_jparse_is_op(c, ')'))
                break;
        }
        QN_TRY(expr_one_arg(c, call, &pos, &kw));
        comma = true;
    }
    c->tok++;
    call->v = pos.v;
    call->n = pos.n;
    call->w = kw.v;
    call->m = kw.n;
    return 0;
}

static int expr_call(qn_jcomp *c, qn_jnode *on, qn_jnode **out)
{
    QN_TRY(qn_jparse_node(c, QN_JN_CALL, c->tok->line, out));
    (*out)->a = on;
    QN_TRY(expr_args(c, *out));
    return qn_jparse_done(c, *out);
}

static int expr_postfix(qn_jcomp *c, qn_jnode **node)
{
    for (;;) {
        if (qn_jparse_is_op(c, '.'))
            QN_TRY(expr_dot(c, *node, node));
        else if (qn_jparse_is_op(c, '['))
            QN_TRY(expr_item(c, *node, node));
        else if (qn_jparse_is_op(c, '('))
            QN_TRY(expr_call(c, *node, node));
        else
            return 0;
    }
}

/* The dotted name of a filter or test. */
static int expr_dotted(qn_jcomp *c, qn_view *out)
{
    qn_jtok *t;

    QN_TRY(qn_jparse_expect(c, QN_JT_NAME, &t));
    *out = t->text;
    while (qn_jparse_is_op(c, '.')) { /* no built-in one has a dot */
        c->tok++;
        QN_TRY(qn_jparse_expect(c, QN_JT_NAME, &t));
        out->n = (size_t)(t->text.p + t->text.n - out->p);
    }
    return 0;
}

/* Looks the filter or test up. One that nobody knows is an error of the
 * template unless it stands in an if, where it is one only when reached. */
static void expr_lookup(qn_jcomp *c, qn_jnode *n)
{
    n->x.func = n->kind == QN_JN_FILTER ? qn_jinja_filter(n->name)
                                        : qn_jinja_is_test(n->name);
    if (!n->x.func && !c->soft)
        qn_jparse_push(c, &c->unknown, n);
}

int qn_jparse_filters(qn_jcomp *c, qn_jnode *on, bool bare, qn_jnode **out)
{
    *out = on;
    while (bare || qn_jparse_skip_op(c, '|')) {
        qn_jnode *n;
        QN_TRY(qn_jparse_node(c, QN_JN_FILTER, c->tok->line, &n));
        QN_TRY(expr_dotted(c, &n->name));
        n->a = *out;
        if (qn_jparse_is_op(c, '('))
            QN_TRY(expr_args(c, n));
        expr_lookup(c, n);
        QN_TRY(qn_jparse_done(c, n));
        *out = n;
        bare = false;
    }
    return 0;
}

static bool expr_starts_test_arg(const qn_jcomp *c)
{
    switch (c->tok->kind) {
    case QN_JT_NAME:
        return !qn_jparse_is_name(c, "else") && !qn_jparse_is_name(c, "or") &&
               !qn_jparse_is_name(c, "and");
    case QN_JT_STRING:
    case QN_JT_INT:
    case QN_JT_FLOAT: return true;
    case QN_JT_OP:
        return c->tok->op == '(' || c->tok->op == '[' || c->tok->op == '{';
    default: return false;
    }
}

static int expr_test(qn_jcomp *c, qn_jnode *on, qn_jnode **out)
{
    uint32_t line = c->tok++->line;
    bool negated = qn_jparse_skip_name(c, "not");
    qn_jnode *n, *arg;

    QN_TRY(qn_jparse_node(c, QN_JN_TEST, line, &n));
    QN_TRY(expr_dotted(c, &n->name));
    n->a = on;
    if (qn_jparse_is_op(c, '(')) {
        QN_TRY(expr_args(c, n));
    } else if (expr_starts_test_arg(c)) {
        if (qn_jparse_is_name(c, "is"))
            return qn_jcomp_fail(c, line, QN_EFORMAT,
                                 "tests cannot be chained with 'is'");
        QN_TRY(expr_primary(c, false, &arg));
        QN_TRY(expr_postfix(c, &arg));
        qn_jnodes args = {0};
        qn_jparse_push(c, &args, arg);
        n->v = args.v;
        n->n = 1;
    }
    expr_lookup(c, n);
    QN_TRY(qn_jparse_done(c, n));
    if (negated) {
        qn_jnode *inner = n;
        QN_TRY(qn_jparse_node(c, QN_JN_NOT, line, &n));
        n->a = inner;
        QN_TRY(qn_jparse_done(c, n));
    }
    *out = n;
    return 0;
}

static int expr_filters_and_tests(qn_jcomp *c, qn_jnode **node)
{
    for (;;) {
        if (qn_jparse_is_op(c, '|'))
            QN_TRY(qn_jparse_filters(c, *node, false, node));
        else if (qn_jparse_is_name(c, "is"))
            QN_TRY(expr_test(c, *node, node));
        else if (qn_jparse_is_op(c, '('))
            QN_TRY(expr_call(c, *node, node));
        else
            return 0;
    }
}

int qn_jparse_unary(qn_jcomp *c, bool with_filter, qn_jnode **out)
{
    uint32_t line = c->tok->line;

    QN_TRY(qn_jparse_enter(c));
    if (qn_jparse_is_op(c, '-') || qn_jparse_is_op(c, '+')) {
        qn_jnode *n;
        QN_TRY(qn_jparse_node(c, QN_JN_UNARY, line, &n));
        n->op = c->tok++->op;
        QN_TRY(qn_jparse_unary(c, false, &n->a));
        QN_TRY(qn_jparse_done(c, n));
        *out = n;
    } else {
        QN_TRY(expr_primary(c, false, out));
    }
    QN_TRY(expr_postfix(c, out));
    if (with_filter)
        QN_TRY(expr_filters_and_tests(c, out));
    c->depth--;
    return 0;
}

/* ---- targets ------------------------------------------------------------- */

static int expr_make_target(qn_jcomp *c, qn_jnode *n)
{
    if (n->kind == QN_JN_NAME) {
        n->ctx = QN_JCTX_STORE;
    } else if (n->kind == QN_JN_TUPLE) {
        for (uint32_t i = 0; i < n->n; i++)
            QN_TRY(expr_make_target(c, n->v[i]));
    } else if (n->kind != QN_JN_NSREF) {
        return qn_jcomp_fail(c, n->line, QN_EFORMAT,
                             "this cannot be assigned to");
    }
    return 0;
}

int qn_jparse_target(qn_jcomp *c, qn_jtuple_how how, qn_jnode **out)
{
    how.targets = true;
    QN_TRY(qn_jparse_tuple(c, how, out));
    return expr_make_target(c, *out);
}
