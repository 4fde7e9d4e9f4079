/* jinja_methods.c - the methods of lists, dicts and the small objects.
 *
 * Rows without a function are methods that Python has and we do not: looking
 * at them is fine, calling them is an error. */
#include "text/jinja_methods.h"

/* ---- lists and tuples ---------------------------------------------------- */

static int method_list_count(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    int64_t n = 0;

    for (uint32_t i = 0; i < self.u.list->n; i++) {
        int eq = qn_jv_equal(rt, self.u.list->v[i], a->pos[0]);
        if (eq < 0)
            return eq;
        n += eq;
    }
    *out = qn_jv_int(n);
    return 0;
}

static int64_t method_bound(int64_t i, int64_t n)
{
    if (i < 0)
        i = i < -n ? 0 : i + n;
    return i;
}

/* Index of the value from `start` on, or -1, or an error in *rc. */
static int64_t method_list_find(qn_jrt *rt, qn_jval self, qn_jval x,
                                int64_t start, int64_t stop, int *rc)
{
    const qn_jlist *l = self.u.list;

    start = method_bound(start, l->n);
    stop = QN_MIN(method_bound(stop, l->n), (int64_t)l->n);
    for (int64_t i = start; i < stop; i++) {
        *rc = qn_jv_equal(rt, l->v[i], x);
        if (*rc < 0)
            return -1;
        if (*rc)
            return i;
    }
    *rc = 0;
    return -1;
}

static int method_list_index(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    int64_t start = 0, stop = self.u.list->n;
    int rc;

    QN_TRY(qn_jarg_int(rt, a->pos[1], "start", &start));
    QN_TRY(qn_jarg_int(rt, a->pos[2], "stop", &stop));
    int64_t at = method_list_find(rt, self, a->pos[0], start, stop, &rc);
    if (rc < 0)
        return rc;
    if (at < 0)
        return qn_jrt_fail(rt, QN_EINVAL, "the value is not in the %s",
                           qn_jv_type_name(self));
    *out = qn_jv_int(at);
    return 0;
}

static int method_list_copy(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    qn_jlist *l;

    (void)a;
    QN_TRY(qn_jv_to_list(rt, self, &l));
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int method_list_append(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    *out = qn_jv_none();
    return qn_jv_list_push(rt, self.u.list, a->pos[0]);
}

static int method_list_extend(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    qn_jlist *more;

    *out = qn_jv_none();
    QN_TRY(qn_jv_to_list(rt, a->pos[0], &more));
    for (uint32_t i = 0; i < more->n; i++)
        QN_TRY(qn_jv_list_push(rt, self.u.list, more->v[i]));
    return 0;
}

static void method_list_drop(qn_jlist *l, int64_t at)
{
    memmove(&l->v[at], &l->v[at + 1], (size_t)(l->n - at - 1) * sizeof *l->v);
    l->n--;
}

static int method_list_insert(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    qn_jlist *l = self.u.list;
    int64_t at = 0;

    *out = qn_jv_none();
    QN_TRY(qn_jarg_int(rt, a->pos[0], "the index", &at));
    at = QN_MIN(method_bound(at, l->n), (int64_t)l->n);
    QN_TRY(qn_jrt_pay(rt, l->n));
    QN_TRY(qn_jv_list_push(rt, l, a->pos[1]));
    memmove(&l->v[at + 1], &l->v[at], (size_t)(l->n - at - 1) * sizeof *l->v);
    l->v[at] = a->pos[1];
    return 0;
}

static int method_list_pop(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    qn_jlist *l = self.u.list;
    int64_t at = -1;

    QN_TRY(qn_jarg_int(rt, a->pos[0], "the index", &at));
    if (at < 0)
        at += l->n;
    if (at < 0 || at >= l->n)
        return qn_jrt_fail(rt, QN_EINVAL, "pop index out of range");
    *out = l->v[at];
    QN_TRY(qn_jrt_pay(rt, l->n));
    method_list_drop(l, at);
    return 0;
}

static int method_list_remove(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    int rc;
    int64_t at = method_list_find(rt, self, a->pos[0], 0, self.u.list->n, &rc);

    *out = qn_jv_none();
    if (rc < 0)
        return rc;
    if (at < 0)
        return qn_jrt_fail(rt, QN_EINVAL, "list.remove(x): x not in list");
    method_list_drop(self.u.list, at);
    return 0;
}

static int method_list_reverse(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                               qn_jval *out)
{
    qn_jlist *l = self.u.list;

    (void)a;
    QN_TRY(qn_jrt_pay(rt, l->n));
    for (uint32_t i = 0; i < l->n / 2; i++) {
        qn_jval t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
    *out = qn_jv_none();
    return 0;
}

static int method_list_clear(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    (void)rt, (void)a;
    self.u.list->n = 0;
    *out = qn_jv_none();
    return 0;
}

static const qn_jfunc method_list[] = {
    {"append", method_list_append, "/ object", QN_JFN_MUTATES},
    {"clear", method_list_clear, "", QN_JFN_MUTATES},
    {"copy", method_list_copy, "", 0},
    {"count", method_list_count, "/ value", 0},
    {"extend", method_list_extend, "/ iterable", QN_JFN_MUTATES},
    {"index", method_list_index, "/ value | start stop", 0},
    {"insert", method_list_insert, "/ index object", QN_JFN_MUTATES},
    {"pop", method_list_pop, "/ | index", QN_JFN_MUTATES},
    {"remove", method_list_remove, "/ value", QN_JFN_MUTATES},
    {"reverse", method_list_reverse, "", QN_JFN_MUTATES},
    {"sort", NULL, "", QN_JFN_MUTATES},
};

static const qn_jfunc method_tuple[] = {
    {"count", method_list_count, "/ value", 0},
    {"index", method_list_index, "/ value | start stop", 0},
};

/* ---- dicts --------------------------------------------------------------- */

static int method_dict_get(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    uint32_t at;
    int rc = qn_jv_dict_find(rt, self.u.dict, a->pos[0], &at);

    if (rc < 0)
        return rc;
    *out = rc                         ? self.u.dict->v[at].value
           : qn_jarg_given(a->pos[1]) ? a->pos[1]
                                      : qn_jv_none();
    return 0;
}

static int method_dict_view(qn_jval self, unsigned what, qn_jval *out)
{
    *out = qn_jv_ptr(QN_J_VIEW, self.u.dict);
    out->aux = (uint16_t)what;
    return 0;
}

static int method_dict_items(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    (void)rt, (void)a;
    return method_dict_view(self, QN_JVIEW_ITEMS, out);
}

static int method_dict_keys(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    (void)rt, (void)a;
    return method_dict_view(self, QN_JVIEW_KEYS, out);
}

static int method_dict_values(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    (void)rt, (void)a;
    return method_dict_view(self, QN_JVIEW_VALUES, out);
}

static int method_dict_copy(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    const qn_jdict *from = self.u.dict;
    qn_jdict *d;

    (void)a;
    QN_TRY(qn_jv_dict_new(rt, &d));
    for (uint32_t i = 0; i < from->n; i++)
        QN_TRY(qn_jv_dict_put(rt, d, from->v[i].key, from->v[i].value));
    *out = qn_jv_ptr(QN_J_DICT, d);
    return 0;
}

static int method_dict_pop(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    uint32_t at;
    int rc = qn_jv_dict_find(rt, self.u.dict, a->pos[0], &at);

    if (rc < 0)
        return rc;
    if (!rc && !qn_jarg_given(a->pos[1]))
        return qn_jrt_fail(rt, QN_EINVAL, "pop(): the key is not there");
    *out = rc ? self.u.dict->v[at].value : a->pos[1];
    if (rc) {
        QN_TRY(qn_jrt_pay(rt, self.u.dict->n));
        qn_jv_dict_remove(self.u.dict, at);
    }
    return 0;
}

static int method_dict_setdefault(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                                  qn_jval *out)
{
    uint32_t at;
    int rc = qn_jv_dict_find(rt, self.u.dict, a->pos[0], &at);

    if (rc < 0)
        return rc;
    if (rc) {
        *out = self.u.dict->v[at].value;
        return 0;
    }
    *out = qn_jarg_given(a->pos[1]) ? a->pos[1] : qn_jv_none();
    return qn_jv_dict_put(rt, self.u.dict, a->pos[0], *out);
}

static int method_dict_update(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    *out = qn_jv_none();
    return qn_jinja_dict_fill(rt, self.u.dict, a, "update");
}

static int method_dict_clear(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    (void)rt, (void)a;
    *self.u.dict = (qn_jdict){0};
    *out = qn_jv_none();
    return 0;
}

static const qn_jfunc method_dict[] = {
    {"clear", method_dict_clear, "", QN_JFN_MUTATES},
    {"copy", method_dict_copy, "", 0},
    {"fromkeys", NULL, "", 0},
    {"get", method_dict_get, "/ key | default", 0},
    {"items", method_dict_items, "", 0},
    {"keys", method_dict_keys, "", 0},
    {"pop", method_dict_pop, "/ key | default", QN_JFN_MUTATES},
    {"popitem", NULL, "", QN_JFN_MUTATES},
    {"setdefault", method_dict_setdefault, "/ key | default", QN_JFN_MUTATES},
    {"update", method_dict_update, "*", QN_JFN_MUTATES},
    {"values", method_dict_values, "", 0},
};

static const qn_jfunc method_view[] = {
    {"isdisjoint", NULL, "", 0},
    {"mapping", NULL, "", 0},
};

/* ---- the rest ------------------------------------------------------------ */

static int method_cycler_next(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    qn_jcycler *c = self.u.cycler;

    (void)rt, (void)a;
    *out = c->items.u.list->v[c->pos];
    c->pos = (c->pos + 1) % c->items.u.list->n;
    return 0;
}

static int method_cycler_reset(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                               qn_jval *out)
{
    (void)rt, (void)a;
    self.u.cycler->pos = 0;
    *out = qn_jv_none();
    return 0;
}

static const qn_jfunc method_cycler[] = {
    {"next", method_cycler_next, "", 0},
    {"reset", method_cycler_reset, "", 0},
};

static int method_is_integer(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    (void)rt, (void)a;
    double f = self.u.f;
    *out = qn_jv_bool(f == f && f - f == 0 && __builtin_floor(f) == f);
    return 0;
}

static const qn_jfunc method_float[] = {
    {"as_integer_ratio", NULL, "", 0},
    {"conjugate", NULL, "", 0},
    {"fromhex", NULL, "", 0},
    {"hex", NULL, "", 0},
    {"is_integer", method_is_integer, "", 0},
};

static const qn_jfunc method_int[] = {
    {"as_integer_ratio", NULL, "", 0}, {"bit_count", NULL, "", 0},
    {"bit_length", NULL, "", 0},       {"conjugate", NULL, "", 0},
    {"from_bytes", NULL, "", 0},       {"to_bytes", NULL, "", 0},
};

static const qn_jfunc method_iter[] = {
    {"close", NULL, "", 0},
    {"send", NULL, "", 0},
    {"throw", NULL, "", 0},
};

static const qn_jfunc method_range[] = {
    {"count", NULL, "", 0},
    {"index", NULL, "", 0},
};

const qn_jfunc *qn_jinja_method(qn_jval obj, qn_view name)
{
    switch ((qn_jtype)obj.type) {
    case QN_J_STR:
        return qn_jfunc_find(qn_jinja_str_methods, qn_jinja_n_str_methods,
                             name);
    case QN_J_LIST:
        return qn_jfunc_find(method_list, QN_COUNTOF(method_list), name);
    case QN_J_TUPLE:
        return qn_jfunc_find(method_tuple, QN_COUNTOF(method_tuple), name);
    case QN_J_DICT:
        return qn_jfunc_find(method_dict, QN_COUNTOF(method_dict), name);
    case QN_J_VIEW:
        return qn_jfunc_find(method_view, QN_COUNTOF(method_view), name);
    case QN_J_CYCLER:
        return qn_jfunc_find(method_cycler, QN_COUNTOF(method_cycler), name);
    case QN_J_FLOAT:
        return qn_jfunc_find(method_float, QN_COUNTOF(method_float), name);
    case QN_J_BOOL:
    case QN_J_INT:
        return qn_jfunc_find(method_int, QN_COUNTOF(method_int), name);
    case QN_J_ITER:
        return qn_jfunc_find(method_iter, QN_COUNTOF(method_iter), name);
    case QN_J_RANGE:
        return qn_jfunc_find(method_range, QN_COUNTOF(method_range), name);
    default: return NULL;
    }
}
