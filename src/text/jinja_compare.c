/* jinja_compare.c - equality, order, membership, hashing and sorting, with
 * Python's rules: numbers compare across types, sequences element by element,
 * everything else by identity; types without an order raise. */
#include "text/jinja_rt.h"

#include "base/map.h"

#include <math.h>

/* ---- equality ------------------------------------------------------------ */

static int compare_lists(qn_jrt *rt, const qn_jlist *a, const qn_jlist *b)
{
    if (a == b)
        return 1;
    if (a->n != b->n)
        return 0;
    for (uint32_t i = 0; i < a->n; i++) {
        int eq = qn_jv_equal(rt, a->v[i], b->v[i]);
        if (eq <= 0)
            return eq;
    }
    return 1;
}

static int compare_dicts(qn_jrt *rt, const qn_jdict *a, const qn_jdict *b)
{
    if (a == b)
        return 1;
    if (a->n != b->n)
        return 0;
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t at;
        int rc = qn_jv_dict_find(rt, b, a->v[i].key, &at);
        if (rc > 0)
            rc = qn_jv_equal(rt, a->v[i].value, b->v[at].value);
        if (rc <= 0)
            return rc;
    }
    return 1;
}

static int compare_ranges(const qn_jrange *a, const qn_jrange *b)
{
    return a->len == b->len &&
           (a->len == 0 ||
            (a->start == b->start && (a->len == 1 || a->step == b->step)));
}

static int compare_deep(qn_jrt *rt, qn_jval a, qn_jval b)
{
    QN_TRY(qn_jrt_enter(rt));
    int rc = a.type == QN_J_DICT ? compare_dicts(rt, a.u.dict, b.u.dict)
                                 : compare_lists(rt, a.u.list, b.u.list);
    qn_jrt_leave(rt);
    return rc;
}

int qn_jv_equal(qn_jrt *rt, qn_jval a, qn_jval b)
{
    QN_TRY(qn_jrt_step(rt, 1));
    if (qn_jv_is_number(a) && qn_jv_is_number(b))
        return qn_jv_num_cmp(a, b) == 0;
    if (a.type != b.type)
        return 0;
    switch ((qn_jtype)a.type) {
    case QN_J_MISSING:
    case QN_J_UNDEF:
    case QN_J_NONE: return 1;
    case QN_J_STR:
        QN_TRY(qn_jrt_step(rt, a.n / 16));
        return qn_view_eq(qn_jv_text(a), qn_jv_text(b));
    case QN_J_LIST:
    case QN_J_TUPLE:
    case QN_J_DICT: return compare_deep(rt, a, b);
    case QN_J_RANGE: return compare_ranges(a.u.range, b.u.range);
    case QN_J_BOUND:
        return a.u.bound->fn == b.u.bound->fn &&
               a.u.bound->self.u.p == b.u.bound->self.u.p;
    case QN_J_VIEW: return qn_jrt_fail(rt, QN_EUNSUP, "comparing dict views");
    default: return a.u.p == b.u.p;
    }
}

/* ---- order --------------------------------------------------------------- */

static int compare_by_op(char op, int c)
{
    if (c == 2)
        return 0; /* NaN */
    return op == '<' ? c < 0 : op == 'l' ? c <= 0 : op == '>' ? c > 0 : c >= 0;
}

static int compare_str_order(qn_view a, qn_view b)
{
    /* The order of UTF-8 bytes is the order of code points. */
    size_t n = QN_MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;

    if (c == 0)
        c = (a.n > b.n) - (a.n < b.n);
    return c < 0 ? -1 : c > 0;
}

static int compare_list_order(qn_jrt *rt, char op, const qn_jlist *a,
                              const qn_jlist *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int eq = qn_jv_equal(rt, a->v[i], b->v[i]);
        if (eq < 0)
            return eq;
        if (!eq)
            return qn_jv_order(rt, op, a->v[i], b->v[i]);
    }
    return compare_by_op(op, (a->n > b->n) - (a->n < b->n));
}

int qn_jv_order(qn_jrt *rt, char op, qn_jval a, qn_jval b)
{
    static const char *const text[] = {"<", "<=", ">", ">="};

    QN_TRY(qn_jrt_step(rt, 1));
    if (qn_jv_is_number(a) && qn_jv_is_number(b))
        return compare_by_op(op, qn_jv_num_cmp(a, b));
    if (a.type == QN_J_STR && b.type == QN_J_STR) {
        QN_TRY(qn_jrt_step(rt, QN_MIN(a.n, b.n) / 16));
        return compare_by_op(op,
                             compare_str_order(qn_jv_text(a), qn_jv_text(b)));
    }
    if (qn_jv_is_seq(a) && a.type == b.type) {
        QN_TRY(qn_jrt_enter(rt));
        int rc = compare_list_order(rt, op, a.u.list, b.u.list);
        qn_jrt_leave(rt);
        return rc;
    }
    if (a.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, a);
    if (b.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, b);
    if (a.type == QN_J_VIEW && b.type == QN_J_VIEW)
        return qn_jrt_fail(rt, QN_EUNSUP, "comparing dict views");
    return qn_jrt_fail(rt, QN_EINVAL,
                       "'%s' not supported between instances of '%s' and '%s'",
                       text[op == '<'   ? 0
                            : op == 'l' ? 1
                            : op == '>' ? 2
                                        : 3],
                       qn_jv_type_name(a), qn_jv_type_name(b));
}

/* ---- membership ---------------------------------------------------------- */

static int compare_in_str(qn_jrt *rt, qn_jval item, qn_jval box)
{
    if (item.type != QN_J_STR)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "'in <string>' requires string as left operand, "
                           "not %s",
                           qn_jv_type_name(item));
    QN_TRY(qn_jrt_pay(rt, box.n));
    return item.n == 0 || memmem(box.u.s, box.n, item.u.s, item.n) != NULL;
}

static int compare_in_iter(qn_jrt *rt, qn_jval item, qn_jval box)
{
    qn_jiter *it;
    qn_jval v;
    int rc;

    QN_TRY(qn_jv_iter(rt, box, &it));
    while ((rc = qn_jv_next(rt, it, &v)) > 0) {
        rc = qn_jv_equal(rt, v, item);
        if (rc != 0)
            return rc;
    }
    return rc;
}

int qn_jv_in(qn_jrt *rt, qn_jval item, qn_jval box)
{
    switch ((qn_jtype)box.type) {
    case QN_J_STR: return compare_in_str(rt, item, box);
    case QN_J_DICT: return qn_jv_dict_find(rt, box.u.dict, item, NULL);
    case QN_J_VIEW:
        if (box.aux == QN_JVIEW_KEYS)
            return qn_jv_dict_find(rt, box.u.dict, item, NULL);
        break;
    case QN_J_UNDEF: return 0;
    default: break;
    }
    if (!qn_jv_iterable(box))
        return qn_jrt_fail(rt, QN_EINVAL,
                           "argument of type '%s' is not iterable",
                           qn_jv_type_name(box));
    return compare_in_iter(rt, item, box);
}

/* ---- hashing ------------------------------------------------------------- */

static uint64_t compare_mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    return h * 0xff51afd7ed558ccdu;
}

static uint64_t compare_hash_number(qn_jval v)
{
    int64_t i;

    if (v.type == QN_J_FLOAT) { /* 1.0 and 1 are the same key */
        double f = v.u.f;
        if (f >= -9.2e18 && f <= 9.2e18 && f == floor(f))
            i = (int64_t)f;
        else
            return qn_hash(&f, sizeof f);
    } else {
        qn_jv_as_int(v, &i);
    }
    return qn_hash(&i, sizeof i);
}

int qn_jv_hash(qn_jrt *rt, qn_jval v, uint64_t *out)
{
    switch ((qn_jtype)v.type) {
    case QN_J_BOOL:
    case QN_J_INT:
    case QN_J_FLOAT: *out = compare_hash_number(v); return 0;
    case QN_J_STR:
        QN_TRY(qn_jrt_step(rt, v.n / 16));
        *out = qn_hash(v.u.s, v.n);
        return 0;
    case QN_J_NONE:
    case QN_J_UNDEF: *out = v.type; return 0;
    case QN_J_TUPLE:
        QN_TRY(qn_jrt_enter(rt));
        *out = 0x7475706c65;
        for (uint32_t i = 0; i < v.u.list->n; i++) {
            uint64_t h;
            QN_TRY(qn_jv_hash(rt, v.u.list->v[i], &h));
            *out = compare_mix(*out, h);
        }
        qn_jrt_leave(rt);
        return 0;
    case QN_J_VIEW:
        if (v.aux == QN_JVIEW_VALUES) {
            *out = qn_hash(&v.u.p, sizeof v.u.p);
            return 0;
        } /* fall through */
    case QN_J_LIST:
    case QN_J_DICT:
        return qn_jrt_fail(rt, QN_EINVAL, "unhashable type: '%s'",
                           qn_jv_type_name(v));
    case QN_J_RANGE: *out = (uint64_t)v.u.range->len; return 0;
    default: *out = qn_hash(&v.u.p, sizeof v.u.p); return 0;
    }
}

/* ---- sorting ------------------------------------------------------------- */

typedef struct compare_row {
    qn_jval key, value;
} compare_row;

/* Merges [a, mid) and [mid, n) through tmp. */
static int compare_merge(qn_jrt *rt, compare_row *v, compare_row *tmp,
                         uint32_t mid, uint32_t n, bool reverse)
{
    uint32_t i = 0, j = mid, k = 0;

    memcpy(tmp, v, mid * sizeof *v);
    while (i < mid && j < n) {
        /* Take from the right only when it is strictly smaller. */
        int rc = reverse ? qn_jv_order(rt, '<', tmp[i].key, v[j].key)
                         : qn_jv_order(rt, '<', v[j].key, tmp[i].key);
        if (rc < 0)
            return rc;
        v[k++] = rc ? v[j++] : tmp[i++];
    }
    while (i < mid)
        v[k++] = tmp[i++];
    return 0;
}

int qn_jv_sort(qn_jrt *rt, qn_jval *v, qn_jval *keys, uint32_t n, bool reverse)
{
    if (n < 2)
        return 0;
    compare_row *rows = qn_jrt_array(rt, n, 2 * sizeof *rows);
    if (!rows)
        return rt->rc;
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (compare_row){keys[i], v[i]};
    for (uint64_t w = 1; w < n; w *= 2) {
        for (uint64_t at = 0; at + w < n; at += 2 * w)
            QN_TRY(compare_merge(rt, rows + at, rows + n, (uint32_t)w,
                                 (uint32_t)QN_MIN(2 * w, n - at), reverse));
    }
    for (uint32_t i = 0; i < n; i++)
        v[i] = rows[i].value;
    return 0;
}
