/* jinja_eval.c - the value of expressions.
 *
 * One C call per level of the tree; each kind that needs room for more than a
 * value or two is a function of its own, so that the recursion stays thin. */
#include "text/jinja_eval.h"

#include "text/jinja_chars.h"

/* ---- variables ----------------------------------------------------------- */

static int eval_name(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    *out = *qn_jenv_at(env, n->up, n->slot);
    if (out->type != QN_J_MISSING)
        return 0;
    return qn_jrt_undef(rt, QN_JU_NAME, "", n->name, out);
}

static int eval_unpack(qn_jrt *rt, qn_jenv *env, const qn_jnode *target,
                       qn_jval v)
{
    qn_jiter *it;
    qn_jval x;
    uint32_t got = 0;
    int rc;

    if (!qn_jv_iterable(v))
        return qn_jrt_fail(rt, QN_EINVAL,
                           "cannot unpack non-iterable %s object",
                           qn_jv_type_name(v));
    /* Python unpacks all before it stores any. */
    qn_jlist *l;
    QN_TRY(qn_jv_list_new(rt, target->n, &l));
    QN_TRY(qn_jv_iter(rt, v, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        if (got == target->n)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "too many values to unpack (expected %u)",
                               (unsigned)target->n);
        l->v[got++] = x;
    }
    if (rc < 0)
        return rc;
    if (got < target->n)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "not enough values to unpack (expected %u, got %u)",
                           (unsigned)target->n, (unsigned)got);
    for (uint32_t i = 0; i < got; i++)
        QN_TRY(qn_jrt_assign(rt, env, target->v[i], l->v[i]));
    return 0;
}

int qn_jrt_assign(qn_jrt *rt, qn_jenv *env, const qn_jnode *target, qn_jval v)
{
    qn_jval *at;

    switch (target->kind) {
    case QN_JN_NAME: *qn_jenv_at(env, target->up, target->slot) = v; return 0;
    case QN_JN_NSREF:
        at = qn_jenv_at(env, target->up, target->slot);
        if (at->type != QN_J_NS)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "cannot assign attribute on non-namespace "
                               "object");
        return qn_jv_dict_put(rt, at->u.dict, qn_jv_view(target->name2), v);
    default: return eval_unpack(rt, env, target, v);
    }
}

/* ---- literals ------------------------------------------------------------ */

static int eval_list(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jlist *l;

    QN_TRY(qn_jv_list_new(rt, n->n, &l));
    for (; l->n < n->n; l->n++)
        QN_TRY(qn_jrt_eval(rt, env, n->v[l->n], &l->v[l->n]));
    *out = qn_jv_ptr(n->kind == QN_JN_TUPLE ? QN_J_TUPLE : QN_J_LIST, l);
    return 0;
}

static int eval_dict(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jdict *d;
    qn_jval key, value;

    QN_TRY(qn_jv_dict_new(rt, &d));
    for (uint32_t i = 0; i < n->n; i += 2) {
        QN_TRY(qn_jrt_eval(rt, env, n->v[i], &key));
        QN_TRY(qn_jrt_eval(rt, env, n->v[i + 1], &value));
        QN_TRY(qn_jv_dict_put(rt, d, key, value));
    }
    *out = qn_jv_ptr(QN_J_DICT, d);
    return 0;
}

/* ---- operators ----------------------------------------------------------- */

static int eval_compare_op(qn_jrt *rt, char op, qn_jval a, qn_jval b)
{
    int rc;

    switch (op) {
    case 'e': return qn_jv_equal(rt, a, b);
    case 'n': rc = qn_jv_equal(rt, a, b); return rc < 0 ? rc : !rc;
    case 'i': return qn_jv_in(rt, a, b);
    case 'x': rc = qn_jv_in(rt, a, b); return rc < 0 ? rc : !rc;
    default: return qn_jv_order(rt, op, a, b);
    }
}

static int eval_compare(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                        qn_jval *out)
{
    qn_jval a, b;

    QN_TRY(qn_jrt_eval(rt, env, n->a, &a));
    for (uint32_t i = 0; i < n->n; i++) {
        QN_TRY(qn_jrt_eval(rt, env, n->v[i]->a, &b));
        rt->line = n->v[i]->line;
        int rc = eval_compare_op(rt, n->v[i]->op, a, b);
        if (rc < 0)
            return rc;
        *out = qn_jv_bool(rc);
        if (!rc)
            break;
        a = b;
    }
    return 0;
}

static int eval_concat(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                       qn_jval *out)
{
    qn_jval x, text = qn_jv_str("", 0);

    for (uint32_t i = 0; i < n->n; i++) {
        QN_TRY(qn_jrt_eval(rt, env, n->v[i], &x));
        QN_TRY(qn_jv_to_str(rt, x, &x));
        if (i == 0)
            text = x;
        else
            QN_TRY(qn_jrt_concat(rt, qn_jv_text(text), qn_jv_text(x), &text));
    }
    *out = text;
    return 0;
}

static int eval_binary(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                       qn_jval *out)
{
    qn_jval a, b;

    QN_TRY(qn_jrt_eval(rt, env, n->a, &a));
    QN_TRY(qn_jrt_eval(rt, env, n->b, &b));
    rt->line = n->line;
    return qn_jv_binary(rt, n->op, a, b, out);
}

static int eval_slice(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jval obj, bounds[3];

    QN_TRY(qn_jrt_eval(rt, env, n->a, &obj));
    for (int i = 0; i < 3; i++) {
        bounds[i] = qn_jv_none();
        if (n->v[i])
            QN_TRY(qn_jrt_eval(rt, env, n->v[i], &bounds[i]));
    }
    rt->line = n->line;
    if (n->op == QN_JOP_FOLDED && !qn_jrt_has_slice(obj, bounds))
        return qn_jrt_undef_hint(rt, "a slice of what has no slices", out);
    return qn_jrt_slice(rt, obj, bounds, out);
}

static int eval_item(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jval obj, key;

    QN_TRY(qn_jrt_eval(rt, env, n->a, &obj));
    QN_TRY(qn_jrt_eval(rt, env, n->b, &key));
    rt->line = n->line;
    return qn_jrt_getitem(rt, obj, key, out);
}

static int eval_cond(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jval test;

    QN_TRY(qn_jrt_eval(rt, env, n->b, &test));
    if (qn_jv_truth(test))
        return qn_jrt_eval(rt, env, n->a, out);
    if (n->c)
        return qn_jrt_eval(rt, env, n->c, out);
    return qn_jrt_undef_hint(rt,
                             "the inline if-expression evaluated to false and "
                             "no else section was defined.",
                             out);
}

/* ---- calls --------------------------------------------------------------- */

static int eval_star_args(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                          qn_jlist *pos)
{
    qn_jval v, x;
    qn_jiter *it;
    int rc;

    QN_TRY(qn_jrt_eval(rt, env, n->b, &v));
    QN_TRY(qn_jv_iter(rt, v, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0)
        QN_TRY(qn_jv_list_push(rt, pos, x));
    return rc;
}

static int eval_star_kwargs(qn_jrt *rt, qn_jval v, qn_jkw *kw, uint32_t *n)
{
    for (uint32_t i = 0; i < v.u.dict->n; i++) {
        qn_jval key = v.u.dict->v[i].key;
        if (key.type != QN_J_STR)
            return qn_jrt_fail(rt, QN_EINVAL, "keywords must be strings");
        for (uint32_t k = 0; k < *n; k++)
            if (qn_view_eq(kw[k].name, qn_jv_text(key)))
                return qn_jrt_fail(rt, QN_EINVAL,
                                   "multiple values for keyword argument "
                                   "'%.*s'",
                                   (int)QN_MIN(key.n, 60u), key.u.s);
        QN_TRY(qn_jrt_step(rt, 1 + *n / 16));
        kw[(*n)++] = (qn_jkw){qn_jv_text(key), v.u.dict->v[i].value};
    }
    return 0;
}

int qn_jrt_eval_args(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                     const qn_jkw *extra, qn_jargs *out)
{
    qn_jlist *pos;
    qn_jkw *kw = NULL;
    qn_jval more = {.type = QN_J_MISSING};
    uint32_t n_kw = 0;
    size_t room = n->m + (extra != NULL);

    QN_TRY(qn_jv_list_new(rt, n->n, &pos));
    for (; pos->n < n->n; pos->n++)
        QN_TRY(qn_jrt_eval(rt, env, n->v[pos->n], &pos->v[pos->n]));
    if (room) {
        kw = qn_jrt_array(rt, room, sizeof *kw);
        if (!kw)
            return rt->rc;
    }
    for (; n_kw < n->m; n_kw++) {
        kw[n_kw].name = n->w[n_kw]->name;
        QN_TRY(qn_jrt_eval(rt, env, n->w[n_kw]->a, &kw[n_kw].value));
    }
    if (extra)
        kw[n_kw++] = *extra;
    if (n->b)
        QN_TRY(eval_star_args(rt, env, n, pos));
    if (n->c) {
        QN_TRY(qn_jrt_eval(rt, env, n->c, &more));
        if (more.type != QN_J_DICT)
            return qn_jrt_fail(
                rt, QN_EINVAL,
                "the argument after ** must be a mapping, not %s",
                qn_jv_type_name(more));
        qn_jkw *all = qn_jrt_array(rt, n_kw + (size_t)more.u.dict->n + 1,
                                   sizeof *all);
        if (!all)
            return rt->rc;
        if (n_kw)
            memcpy(all, kw, n_kw * sizeof *all);
        kw = all;
        QN_TRY(eval_star_kwargs(rt, more, kw, &n_kw));
    }
    *out = (qn_jargs){pos->v, pos->n, kw, n_kw};
    return 0;
}

static int eval_call(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jval callee;
    qn_jargs args;

    QN_TRY(qn_jrt_eval(rt, env, n->a, &callee));
    QN_TRY(qn_jrt_eval_args(rt, env, n, NULL, &args));
    rt->line = n->line;
    return qn_jrt_call(rt, callee, &args, out);
}

/* A filter or a test. */
static int eval_apply(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    qn_jval v = rt->block;
    qn_jargs args;

    if (n->a)
        QN_TRY(qn_jrt_eval(rt, env, n->a, &v));
    QN_TRY(qn_jrt_eval_args(rt, env, n, NULL, &args));
    rt->line = n->line;
    if (!n->x.func)
        return qn_jrt_fail(rt, QN_EINVAL, "no %s named '%.*s'",
                           n->kind == QN_JN_FILTER ? "filter" : "test",
                           (int)QN_MIN(n->name.n, (size_t)60), n->name.p);
    return qn_jrt_call_builtin(rt, n->x.func, v, &args, out);
}

/* ---- all ----------------------------------------------------------------- */

static int eval_inner(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    switch ((qn_jkind)n->kind) {
    case QN_JN_TUPLE:
    case QN_JN_LIST: return eval_list(rt, env, n, out);
    case QN_JN_DICT: return eval_dict(rt, env, n, out);
    case QN_JN_COND: return eval_cond(rt, env, n, out);
    case QN_JN_AND:
    case QN_JN_OR:
        QN_TRY(qn_jrt_eval(rt, env, n->a, out));
        if (qn_jv_truth(*out) == (n->kind == QN_JN_AND))
            return qn_jrt_eval(rt, env, n->b, out);
        return 0;
    case QN_JN_NOT:
        QN_TRY(qn_jrt_eval(rt, env, n->a, out));
        *out = qn_jv_bool(!qn_jv_truth(*out));
        return 0;
    case QN_JN_COMPARE: return eval_compare(rt, env, n, out);
    case QN_JN_BINARY: return eval_binary(rt, env, n, out);
    case QN_JN_UNARY:
        QN_TRY(qn_jrt_eval(rt, env, n->a, out));
        return qn_jv_unary(rt, n->op, *out, out);
    case QN_JN_CONCAT: return eval_concat(rt, env, n, out);
    case QN_JN_ATTR:
        QN_TRY(qn_jrt_eval(rt, env, n->a, out));
        rt->line = n->line;
        return qn_jrt_getattr(rt, *out, n->name, out);
    case QN_JN_ITEM: return eval_item(rt, env, n, out);
    case QN_JN_SLICE: return eval_slice(rt, env, n, out);
    case QN_JN_CALL: return eval_call(rt, env, n, out);
    case QN_JN_FILTER:
    case QN_JN_TEST: return eval_apply(rt, env, n, out);
    default: break;
    }
    return qn_jrt_fail(rt, QN_EINTERNAL, "not an expression");
}

int qn_jrt_eval(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out)
{
    rt->line = n->line;
    QN_TRY(qn_jrt_step(rt, 1));
    if (n->kind == QN_JN_CONST) {
        *out = n->val;
        return 0;
    }
    if (n->kind == QN_JN_NAME)
        return eval_name(rt, env, n, out);
    QN_TRY(qn_jrt_enter(rt));
    QN_TRY(eval_inner(rt, env, n, out));
    qn_jrt_leave(rt);
    return 0;
}
