/* jinja_iter.c - going through values.
 *
 * Everything that Python can iterate gives a qn_jiter. Generators (map,
 * select, ...) are values that are their own iterator: lazy and used up as
 * they are read, which templates can observe. A chain of generators nests C
 * calls, so qn_jv_next counts depth. */
#include "text/jinja_rt.h"

#include "text/jinja_chars.h"

static int iter_nothing(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    (void)rt;
    (void)it;
    (void)out;
    return 0;
}

static int iter_seq(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    const qn_jlist *l = it->src.u.list;

    (void)rt;
    if (it->i >= l->n)
        return 0;
    *out = l->v[it->i++];
    return 1;
}

static int iter_str(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    size_t at = (size_t)it->i, len;

    (void)rt;
    if (at >= it->src.n)
        return 0;
    qn_jchars_at(qn_view_of(it->src.u.s + at, it->src.n - at), &len);
    *out = qn_jv_str(it->src.u.s + at, len);
    it->i += (int64_t)len;
    return 1;
}

static int iter_dict_at(qn_jrt *rt, qn_jval v, int64_t i, qn_jval *out)
{
    const qn_jdict *d = v.u.dict;
    unsigned what = v.type == QN_J_VIEW ? v.aux : QN_JVIEW_KEYS;

    if (i < 0 || i >= d->n)
        return 0;
    if (what == QN_JVIEW_ITEMS)
        QN_TRY(qn_jv_tuple2(rt, d->v[i].key, d->v[i].value, out));
    else
        *out = what == QN_JVIEW_KEYS ? d->v[i].key : d->v[i].value;
    return 1;
}

static int iter_dict(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    return iter_dict_at(rt, it->src, it->i++, out);
}

static int iter_range(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    const qn_jrange *r = it->src.u.range;

    (void)rt;
    if (it->i >= r->len)
        return 0;
    *out = qn_jv_int(qn_jrange_at(r, it->i++));
    return 1;
}

bool qn_jv_iterable(qn_jval v)
{
    switch ((qn_jtype)v.type) {
    case QN_J_UNDEF:
    case QN_J_STR:
    case QN_J_LIST:
    case QN_J_TUPLE:
    case QN_J_DICT:
    case QN_J_VIEW:
    case QN_J_RANGE:
    case QN_J_ITER: return true;
    default: return false;
    }
}

int qn_jv_iter(qn_jrt *rt, qn_jval v, qn_jiter **out)
{
    qn_jiter *it;

    if (v.type == QN_J_ITER) {
        *out = v.u.iter;
        return 0;
    }
    if (v.type == QN_J_LOOP)
        return qn_jrt_fail(rt, QN_EUNSUP, "iterating over 'loop'");
    if (!qn_jv_iterable(v))
        return qn_jrt_fail(rt, QN_EINVAL, "'%s' object is not iterable",
                           qn_jv_type_name(v));
    it = qn_jrt_alloc(rt, sizeof *it);
    if (!it)
        return rt->rc;
    *it = (qn_jiter){.src = v};
    switch ((qn_jtype)v.type) {
    case QN_J_STR: it->next = iter_str; break;
    case QN_J_LIST:
    case QN_J_TUPLE: it->next = iter_seq; break;
    case QN_J_DICT:
    case QN_J_VIEW: it->next = iter_dict; break;
    case QN_J_RANGE: it->next = iter_range; break;
    default: it->next = iter_nothing; break;
    }
    *out = it;
    return 0;
}

int qn_jv_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    QN_TRY(qn_jrt_step(rt, 1));
    QN_TRY(qn_jrt_enter(rt));
    int rc = it->next(rt, it, out);
    qn_jrt_leave(rt);
    if (rc == 0)
        it->next = iter_nothing; /* once at the end, always at the end */
    return rc;
}

int qn_jv_generator(qn_jrt *rt, int (*next)(qn_jrt *, qn_jiter *, qn_jval *),
                    qn_jval src, const void *state, qn_jval *out)
{
    qn_jiter *it = qn_jrt_alloc(rt, sizeof *it);

    if (!it)
        return rt->rc;
    *it = (qn_jiter){.next = next, .src = src, .state = state};
    *out = qn_jv_ptr(QN_J_ITER, it);
    return 0;
}

int qn_jv_to_list(qn_jrt *rt, qn_jval v, qn_jlist **out)
{
    qn_jiter *it;
    qn_jval x;
    int rc;
    int64_t n = 0;

    QN_TRY(qn_jv_iter(rt, v, &it));
    if (v.type != QN_J_ITER && v.type != QN_J_STR)
        QN_TRY(qn_jv_len(rt, v, &n));
    QN_TRY(qn_jv_list_new(rt, (uint32_t)QN_MIN(n, (int64_t)1 << 20), out));
    while ((rc = qn_jv_next(rt, it, &x)) > 0)
        QN_TRY(qn_jv_list_push(rt, *out, x));
    return rc;
}

int qn_jv_len(qn_jrt *rt, qn_jval v, int64_t *out)
{
    switch ((qn_jtype)v.type) {
    case QN_J_UNDEF: *out = 0; return 0;
    case QN_J_STR:
        if (v.flags & QN_JF_ASCII) {
            *out = v.n;
            return 0;
        }
        QN_TRY(qn_jrt_pay(rt, v.n));
        *out = (int64_t)qn_jchars_count(qn_jv_text(v));
        return 0;
    case QN_J_LIST:
    case QN_J_TUPLE: *out = v.u.list->n; return 0;
    case QN_J_DICT:
    case QN_J_VIEW: *out = v.u.dict->n; return 0;
    case QN_J_RANGE: *out = v.u.range->len; return 0;
    case QN_J_LOOP: {
        qn_jval n;
        QN_TRY(qn_jrt_loop_attr(rt, v, qn_view_cstr("length"), &n));
        *out = n.u.i;
        return 0;
    }
    default:
        return qn_jrt_fail(rt, QN_EINVAL, "object of type '%s' has no len()",
                           qn_jv_type_name(v));
    }
}

/* ---- backwards ----------------------------------------------------------- */

static int iter_back(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    qn_jval v = it->src;
    int64_t i = --it->i;

    if (i < 0)
        return 0;
    switch ((qn_jtype)v.type) {
    case QN_J_LIST:
    case QN_J_TUPLE:
        if (i >= v.u.list->n)
            return 0;
        *out = v.u.list->v[i];
        return 1;
    case QN_J_RANGE: *out = qn_jv_int(qn_jrange_at(v.u.range, i)); return 1;
    case QN_J_STR: {
        /* The position is in bytes here. */
        size_t at = qn_jchars_last(qn_view_of(v.u.s, (size_t)i + 1));
        *out = qn_jv_str(v.u.s + at, (size_t)i + 1 - at);
        it->i = (int64_t)at;
        return 1;
    }
    default: return iter_dict_at(rt, v, i, out);
    }
}

int qn_jv_reversed(qn_jrt *rt, qn_jval v, qn_jval *out)
{
    int64_t n = 0;

    if (v.type == QN_J_STR)
        n = v.n;
    else if (v.type != QN_J_ITER && v.type != QN_J_UNDEF && qn_jv_iterable(v))
        QN_TRY(qn_jv_len(rt, v, &n));
    else if (v.type != QN_J_UNDEF)
        return qn_jrt_fail(rt, QN_EINVAL, "'%s' object is not reversible",
                           qn_jv_type_name(v));
    QN_TRY(qn_jv_generator(rt, v.type == QN_J_UNDEF ? iter_nothing : iter_back,
                           v, NULL, out));
    out->u.iter->i = n;
    return 0;
}
