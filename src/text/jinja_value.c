/* jinja_value.c - truth, containers, and values from JSON.
 *
 * Dicts keep the order of insertion. Up to DICT_SCAN entries are found by
 * looking at each; beyond that an open-addressing index is kept. Entries are
 * only ever removed by the mutating methods, which rebuild it. */
#include "text/jinja_rt.h"

#include "base/map.h"
#include "text/jinja_chars.h"

enum {
    DICT_SCAN = 8
};

const char *qn_jv_type_name(qn_jval v)
{
    switch ((qn_jtype)v.type) {
    case QN_J_MISSING:
    case QN_J_UNDEF: return "Undefined";
    case QN_J_NONE: return "NoneType";
    case QN_J_BOOL: return "bool";
    case QN_J_INT: return "int";
    case QN_J_FLOAT: return "float";
    case QN_J_STR: return v.flags & QN_JF_MARKUP ? "Markup" : "str";
    case QN_J_LIST: return "list";
    case QN_J_TUPLE: return "tuple";
    case QN_J_DICT: return "dict";
    case QN_J_VIEW:
        return v.aux == QN_JVIEW_KEYS     ? "dict_keys"
               : v.aux == QN_JVIEW_VALUES ? "dict_values"
                                          : "dict_items";
    case QN_J_RANGE: return "range";
    case QN_J_ITER: return "generator";
    case QN_J_NS: return "Namespace";
    case QN_J_MACRO: return "Macro";
    case QN_J_BOUND: return "builtin_function_or_method";
    case QN_J_FUNC: return "function";
    case QN_J_LOOP: return "LoopContext";
    case QN_J_CYCLER: return "Cycler";
    case QN_J_JOINER: return "Joiner";
    }
    return "object";
}

bool qn_jv_truth(qn_jval v)
{
    switch ((qn_jtype)v.type) {
    case QN_J_MISSING:
    case QN_J_UNDEF:
    case QN_J_NONE: return false;
    case QN_J_BOOL: return v.u.b;
    case QN_J_INT: return v.u.i != 0;
    case QN_J_FLOAT: return v.u.f != 0;
    case QN_J_STR: return v.n != 0;
    case QN_J_LIST:
    case QN_J_TUPLE: return v.u.list->n != 0;
    case QN_J_DICT:
    case QN_J_VIEW: return v.u.dict->n != 0;
    case QN_J_RANGE: return v.u.range->len != 0;
    default: return true;
    }
}

/* ---- lists --------------------------------------------------------------- */

int qn_jv_list_new(qn_jrt *rt, uint32_t cap, qn_jlist **out)
{
    qn_jlist *l = qn_jrt_alloc(rt, sizeof *l);
    if (!l)
        return rt->rc;
    *l = (qn_jlist){.cap = cap};
    if (cap) {
        l->v = qn_jrt_array(rt, cap, sizeof *l->v);
        if (!l->v)
            return rt->rc;
    }
    *out = l;
    return 0;
}

int qn_jv_list_push(qn_jrt *rt, qn_jlist *l, qn_jval v)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap + l->cap / 2 + 1 : 4;
        if (cap <= l->cap)
            return qn_jrt_fail(rt, QN_ELIMIT, "a list too long");
        qn_jval *p = qn_jrt_array(rt, cap, sizeof *p);
        if (!p)
            return rt->rc;
        if (l->n)
            memcpy(p, l->v, l->n * sizeof *p);
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return 0;
}

int qn_jv_tuple2(qn_jrt *rt, qn_jval a, qn_jval b, qn_jval *out)
{
    qn_jlist *l;
    QN_TRY(qn_jv_list_new(rt, 2, &l));
    l->v[0] = a;
    l->v[1] = b;
    l->n = 2;
    *out = qn_jv_ptr(QN_J_TUPLE, l);
    return 0;
}

/* ---- dicts --------------------------------------------------------------- */

int qn_jv_dict_new(qn_jrt *rt, qn_jdict **out)
{
    qn_jdict *d = qn_jrt_alloc(rt, sizeof *d);
    if (!d)
        return rt->rc;
    *d = (qn_jdict){0};
    *out = d;
    return 0;
}

static void dict_index_add(qn_jdict *d, uint64_t hash, uint32_t entry)
{
    uint32_t mask = d->index_cap - 1, i = (uint32_t)hash & mask;
    while (d->index[i])
        i = (i + 1) & mask;
    d->index[i] = entry + 1;
}

/* Strings hash without a rendering: for lookups by name. */
static uint64_t dict_hash_str(qn_view s)
{
    return qn_hash(s.p, s.n);
}

static int dict_reindex(qn_jrt *rt, qn_jdict *d)
{
    if (d->n <= DICT_SCAN || (d->index && d->n * 2 <= d->index_cap))
        return 0;
    uint32_t cap = 32;
    while (cap < d->n * 3)
        cap *= 2;
    uint32_t *index = qn_jrt_array(rt, cap, sizeof *index);
    if (!index)
        return rt->rc;
    memset(index, 0, cap * sizeof *index);
    d->index = index;
    d->index_cap = cap;
    for (uint32_t i = 0; i < d->n; i++) {
        uint64_t h;
        QN_TRY(qn_jv_hash(rt, d->v[i].key, &h));
        dict_index_add(d, h, i);
    }
    return 0;
}

int qn_jv_dict_find(qn_jrt *rt, const qn_jdict *d, qn_jval key, uint32_t *at)
{
    uint64_t h;

    QN_TRY(qn_jv_hash(rt, key, &h)); /* unhashable keys fail, found or not */
    if (!d->index) {
        for (uint32_t i = 0; i < d->n; i++) {
            int eq = qn_jv_equal(rt, d->v[i].key, key);
            if (eq == 0)
                continue;
            if (eq > 0 && at)
                *at = i;
            return eq;
        }
        return 0;
    }
    uint32_t mask = d->index_cap - 1;
    for (uint32_t i = (uint32_t)h & mask; d->index[i]; i = (i + 1) & mask) {
        int eq = qn_jv_equal(rt, d->v[d->index[i] - 1].key, key);
        if (eq == 0)
            continue;
        if (eq > 0 && at)
            *at = d->index[i] - 1;
        return eq;
    }
    return 0;
}

static bool dict_key_is(const qn_jdict *d, uint32_t i, qn_view key)
{
    return d->v[i].key.type == QN_J_STR &&
           qn_view_eq(qn_jv_text(d->v[i].key), key);
}

bool qn_jv_dict_find_str(const qn_jdict *d, qn_view key, qn_jval *out)
{
    uint32_t at = UINT32_MAX;

    if (!d->index) {
        for (uint32_t i = 0; i < d->n && at == UINT32_MAX; i++)
            if (dict_key_is(d, i, key))
                at = i;
    } else {
        uint32_t mask = d->index_cap - 1;
        uint32_t i = (uint32_t)dict_hash_str(key) & mask;
        for (; d->index[i] && at == UINT32_MAX; i = (i + 1) & mask)
            if (dict_key_is(d, d->index[i] - 1, key))
                at = d->index[i] - 1;
    }
    if (at == UINT32_MAX)
        return false;
    *out = d->v[at].value;
    return true;
}

int qn_jv_dict_put(qn_jrt *rt, qn_jdict *d, qn_jval key, qn_jval value)
{
    uint32_t at;
    int found = qn_jv_dict_find(rt, d, key, &at);

    if (found < 0)
        return found;
    if (found) {
        d->v[at].value = value;
        return 0;
    }
    if (d->n == d->cap) {
        uint32_t cap = d->cap ? d->cap * 2 : 4;
        struct qn_jpair *v = cap > d->cap ? qn_jrt_array(rt, cap, sizeof *v)
                                          : NULL;
        if (!v)
            return rt->rc < 0 ? rt->rc
                              : qn_jrt_fail(rt, QN_ELIMIT, "a dict too large");
        if (d->n)
            memcpy(v, d->v, d->n * sizeof *v);
        d->v = v;
        d->cap = cap;
    }
    d->v[d->n].key = key;
    d->v[d->n].value = value;
    d->n++;
    if (d->index && d->n * 2 <= d->index_cap) {
        uint64_t h;
        QN_TRY(qn_jv_hash(rt, key, &h));
        dict_index_add(d, h, d->n - 1);
        return 0;
    }
    return dict_reindex(rt, d);
}

void qn_jv_dict_remove(qn_jdict *d, uint32_t at)
{
    memmove(&d->v[at], &d->v[at + 1], (d->n - at - 1) * sizeof *d->v);
    d->n--;
    d->index = NULL; /* scanned from now on: removal is rare */
    d->index_cap = 0;
}

/* ---- from JSON ----------------------------------------------------------- */

static int value_from_text(qn_jrt *rt, const char *p, size_t n, qn_jval *out)
{
    if (n > UINT32_MAX / 2)
        return qn_jrt_fail(rt, QN_ELIMIT, "a string of %zu bytes", n);
    *out = qn_jv_str(p, n);
    if (qn_jchars_ascii(qn_view_of(p, n)))
        out->flags = QN_JF_ASCII;
    return 0;
}

static int value_from_array(qn_jrt *rt, const json_t *j, qn_jval *out)
{
    size_t n = json_array_size(j);
    qn_jlist *l;

    if (n > UINT32_MAX / 2)
        return qn_jrt_fail(rt, QN_ELIMIT, "an array of %zu items", n);
    QN_TRY(qn_jv_list_new(rt, (uint32_t)n, &l));
    for (size_t i = 0; i < n; i++)
        QN_TRY(qn_jv_from_json(rt, json_array_get(j, i), &l->v[i]));
    l->n = (uint32_t)n;
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int value_from_object(qn_jrt *rt, const json_t *j, qn_jval *out)
{
    /* jansson's iterators take a mutable object, which they do not change. */
    json_t *o = (json_t *)(uintptr_t)j;
    qn_jdict *d;

    QN_TRY(qn_jv_dict_new(rt, &d));
    for (void *it = json_object_iter(o); it;
         it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        qn_jval key, value;
        QN_TRY(value_from_text(rt, name, strlen(name), &key));
        QN_TRY(qn_jv_from_json(rt, json_object_iter_value(it), &value));
        QN_TRY(qn_jv_dict_put(rt, d, key, value));
    }
    *out = qn_jv_ptr(QN_J_DICT, d);
    return 0;
}

int qn_jv_from_json(qn_jrt *rt, const json_t *j, qn_jval *out)
{
    QN_TRY(qn_jrt_step(rt, 1));
    switch (json_typeof(j)) {
    case JSON_NULL: *out = qn_jv_none(); return 0;
    case JSON_TRUE: *out = qn_jv_bool(true); return 0;
    case JSON_FALSE: *out = qn_jv_bool(false); return 0;
    case JSON_INTEGER: *out = qn_jv_int(json_integer_value(j)); return 0;
    case JSON_REAL: *out = qn_jv_float(json_real_value(j)); return 0;
    case JSON_STRING:
        return value_from_text(rt, json_string_value(j), json_string_length(j),
                               out);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    QN_TRY(qn_jrt_enter(rt));
    QN_TRY(json_is_array(j) ? value_from_array(rt, j, out)
                            : value_from_object(rt, j, out));
    qn_jrt_leave(rt);
    return 0;
}
