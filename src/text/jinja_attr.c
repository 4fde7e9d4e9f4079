/* jinja_attr.c - obj.name, obj[key], obj[a:b:c].
 *
 * The sandbox of transformers: obj.name is the attribute (a method of the
 * type, most often) or else the item; obj['name'] is the item or else the
 * attribute. Names beginning with an underscore and methods that change lists
 * and dicts give an undefined value that raises once it is used. So an object
 * without the key 'items' still has obj['items']: its method. */
#include "text/jinja_chars.h"
#include "text/jinja_methods.h"
#include "text/jinja_text.h"

/* ---- attributes ---------------------------------------------------------- */

static int attr_bind(qn_jrt *rt, qn_jval self, const qn_jfunc *fn, qn_jval *out)
{
    qn_jbound *b = qn_jrt_alloc(rt, sizeof *b);

    if (!b)
        return rt->rc;
    *b = (qn_jbound){self, fn};
    *out = qn_jv_ptr(QN_J_BOUND, b);
    return 0;
}

static int attr_of_macro(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out)
{
    const qn_jmacro *m = obj.u.macro;

    if (qn_view_eqs(name, "name")) {
        *out = m->name.n ? qn_jv_view(m->name) : qn_jv_none();
        return 1;
    }
    if (qn_view_eqs(name, "arguments") || qn_view_eqs(name, "caller") ||
        qn_view_eqs(name, "catch_kwargs") ||
        qn_view_eqs(name, "catch_varargs") ||
        qn_view_eqs(name, "explicit_caller"))
        return qn_jrt_fail(rt, QN_EUNSUP, "the attribute '%.*s' of a macro",
                           (int)name.n, name.p);
    return 0;
}

static int attr_of_range(qn_jval obj, qn_view name, qn_jval *out)
{
    const qn_jrange *r = obj.u.range;

    if (qn_view_eqs(name, "start"))
        *out = qn_jv_int(r->start);
    else if (qn_view_eqs(name, "stop"))
        *out = qn_jv_int(r->stop);
    else if (qn_view_eqs(name, "step"))
        *out = qn_jv_int(r->step);
    else
        return 0;
    return 1;
}

static int attr_of_cycler(qn_jval obj, qn_view name, qn_jval *out)
{
    const qn_jcycler *c = obj.u.cycler;
    bool joiner = obj.type == QN_J_JOINER;

    if (joiner && qn_view_eqs(name, "sep"))
        *out = c->items;
    else if (joiner && qn_view_eqs(name, "used"))
        *out = qn_jv_bool(c->pos);
    else if (!joiner && qn_view_eqs(name, "items"))
        *out = c->items;
    else if (!joiner && qn_view_eqs(name, "pos"))
        *out = qn_jv_int(c->pos);
    else if (!joiner && qn_view_eqs(name, "current"))
        *out = c->items.u.list->v[c->pos];
    else
        return 0;
    return 1;
}

static int attr_of_number(qn_jval obj, qn_view name, qn_jval *out)
{
    int64_t i = 0;
    bool whole = qn_jv_as_int(obj, &i);

    if (qn_view_eqs(name, "real") || (whole && qn_view_eqs(name, "numerator")))
        *out = whole ? qn_jv_int(i) : obj;
    else if (qn_view_eqs(name, "imag"))
        *out = whole ? qn_jv_int(0) : qn_jv_float(0);
    else if (whole && qn_view_eqs(name, "denominator"))
        *out = qn_jv_int(1);
    else
        return 0;
    return 1;
}

/* Data attributes: 1 found, 0 none, or an error. */
static int attr_data(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out)
{
    switch ((qn_jtype)obj.type) {
    case QN_J_NS: return qn_jv_dict_find_str(obj.u.dict, name, out);
    case QN_J_LOOP: return qn_jrt_loop_attr(rt, obj, name, out);
    case QN_J_MACRO: return attr_of_macro(rt, obj, name, out);
    case QN_J_RANGE: return attr_of_range(obj, name, out);
    case QN_J_BOOL:
    case QN_J_INT:
    case QN_J_FLOAT: return attr_of_number(obj, name, out);
    case QN_J_CYCLER:
    case QN_J_JOINER: return attr_of_cycler(obj, name, out);
    case QN_J_TUPLE:
        if (!(obj.flags & QN_JF_GROUP))
            return 0;
        if (qn_view_eqs(name, "grouper"))
            *out = obj.u.list->v[0];
        else if (qn_view_eqs(name, "list"))
            *out = obj.u.list->v[1];
        else
            return 0;
        return 1;
    default: return 0;
    }
}

static bool attr_is_dunder(qn_view n)
{
    return n.n > 4 && n.p[0] == '_' && n.p[1] == '_' && n.p[n.n - 1] == '_' &&
           n.p[n.n - 2] == '_';
}

/* getattr(obj, name): 1 found (perhaps the undefined value of an unsafe one),
 * 0 there is none, or an error. */
static int attr_find(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out)
{
    int rc = attr_data(rt, obj, name, out);

    if (rc != 0 || obj.type == QN_J_NS)
        return rc;
    const qn_jfunc *fn = qn_jinja_method(obj, name);
    bool unsafe = attr_is_dunder(name);
    if (fn && (fn->flags & QN_JFN_MUTATES) && !rt->opts.mutable_values)
        unsafe = true;
    if (unsafe) {
        QN_TRY(qn_jrt_undef(rt, QN_JU_UNSAFE, qn_jv_type_name(obj), name, out));
        return 1;
    }
    if (!fn)
        return 0;
    QN_TRY(attr_bind(rt, obj, fn, out));
    return 1;
}

/* ---- items --------------------------------------------------------------- */

static bool attr_hashable(qn_jval v, int depth)
{
    if (v.type == QN_J_LIST || v.type == QN_J_DICT ||
        (v.type == QN_J_VIEW && v.aux != QN_JVIEW_VALUES))
        return false;
    if (v.type != QN_J_TUPLE)
        return true;
    for (uint32_t i = 0; i < v.u.list->n; i++)
        if (depth == 0 || !attr_hashable(v.u.list->v[i], depth - 1))
            return false;
    return true;
}

static int attr_item_at(qn_jrt *rt, qn_jval obj, int64_t i, qn_jval *out)
{
    int64_t n;

    QN_TRY(qn_jv_len(rt, obj, &n));
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return 0;
    if (obj.type == QN_J_STR)
        QN_TRY(qn_jtext_slice(rt, obj, i, 1, 1, out));
    else if (obj.type == QN_J_RANGE)
        *out = qn_jv_int(qn_jrange_at(obj.u.range, i));
    else
        *out = obj.u.list->v[i];
    return 1;
}

/* obj[key]: 1 found, 0 there is none, or an error. */
static int attr_item(qn_jrt *rt, qn_jval obj, qn_jval key, qn_jval *out)
{
    uint32_t at;
    int64_t i;
    int rc;

    switch ((qn_jtype)obj.type) {
    case QN_J_DICT:
        if (key.type == QN_J_STR)
            return qn_jv_dict_find_str(obj.u.dict, qn_jv_text(key), out);
        if (!attr_hashable(key, 16))
            return 0;
        rc = qn_jv_dict_find(rt, obj.u.dict, key, &at);
        if (rc > 0)
            *out = obj.u.dict->v[at].value;
        return rc;
    case QN_J_STR:
    case QN_J_LIST:
    case QN_J_TUPLE:
    case QN_J_RANGE:
        return qn_jv_as_int(key, &i) ? attr_item_at(rt, obj, i, out) : 0;
    default: return 0;
    }
}

/* "dict object", "None": what messages call the owner. */
static const char *attr_owner(qn_jval v)
{
    switch ((qn_jtype)v.type) {
    case QN_J_NONE: return "None";
    case QN_J_STR: return "str object";
    case QN_J_LIST: return "list object";
    case QN_J_DICT: return "dict object";
    case QN_J_INT: return "int object";
    default: return qn_jv_type_name(v);
    }
}

int qn_jrt_getattr(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out)
{
    if (obj.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, obj);
    int rc = attr_find(rt, obj, name, out);
    if (rc == 0)
        rc = attr_item(rt, obj, qn_jv_view(name), out);
    if (rc != 0)
        return QN_MIN(rc, 0);
    return qn_jrt_undef(rt, QN_JU_ATTR, attr_owner(obj), name, out);
}

int qn_jrt_attr_only(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out)
{
    if (obj.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, obj);
    int rc = attr_find(rt, obj, name, out);
    if (rc != 0)
        return QN_MIN(rc, 0);
    return qn_jrt_undef(rt, QN_JU_ATTR, attr_owner(obj), name, out);
}

int qn_jrt_getitem(qn_jrt *rt, qn_jval obj, qn_jval key, qn_jval *out)
{
    if (obj.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, obj);
    int rc = attr_item(rt, obj, key, out);
    if (rc == 0 && key.type == QN_J_STR)
        rc = attr_find(rt, obj, qn_jv_text(key), out);
    if (rc != 0)
        return QN_MIN(rc, 0);
    if (key.type == QN_J_STR)
        return qn_jrt_undef(rt, QN_JU_ATTR, attr_owner(obj), qn_jv_text(key),
                            out);
    qn_jsb sb = qn_jsb_new(rt);
    qn_jval text = qn_jv_cstr("of that kind");
    if (key.type == QN_J_INT || key.type == QN_J_FLOAT) {
        QN_TRY(qn_jv_repr_to(rt, key, &sb));
        QN_TRY(qn_jsb_done(&sb, &text));
    }
    return qn_jrt_undef(rt, QN_JU_ELEMENT, attr_owner(obj), qn_jv_text(text),
                        out);
}

static int attr_path_part(qn_jrt *rt, qn_jval obj, qn_jval part,
                          qn_jval otherwise, qn_jval *out)
{
    QN_TRY(qn_jrt_getitem(rt, obj, part, out));
    if (out->type == QN_J_UNDEF && otherwise.type != QN_J_MISSING &&
        otherwise.type != QN_J_NONE)
        *out = otherwise;
    return 0;
}

int qn_jrt_path(qn_jrt *rt, qn_jval obj, qn_jval path, qn_jval otherwise,
                qn_jval *out)
{
    *out = obj;
    if (path.type == QN_J_NONE || path.type == QN_J_MISSING)
        return 0;
    if (path.type != QN_J_STR)
        return attr_path_part(rt, obj, path, otherwise, out);
    qn_view rest = qn_jv_text(path);
    for (;;) {
        const char *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        qn_view part = {rest.p, dot ? (size_t)(dot - rest.p) : rest.n};
        qn_jval key = qn_jv_view(part);
        bool digits = part.n > 0, overflow;
        for (size_t i = 0; i < part.n; i++)
            digits &= part.p[i] >= '0' && part.p[i] <= '9';
        int64_t i;
        if (digits && qn_jv_parse_int(part, 10, &i, &overflow))
            key = qn_jv_int(i);
        QN_TRY(qn_jrt_step(rt, 1));
        QN_TRY(attr_path_part(rt, *out, key, otherwise, out));
        if (!dot)
            return 0;
        rest = qn_view_of(dot + 1, rest.n - part.n - 1);
    }
}

/* ---- slices -------------------------------------------------------------- */

typedef struct attr_range {
    int64_t start, stop, step, n;
} attr_range;

static int attr_bound(qn_jrt *rt, qn_jval v, int64_t *out, bool *given)
{
    *given = v.type != QN_J_NONE;
    if (!*given || qn_jv_as_int(v, out))
        return 0;
    return qn_jrt_fail(rt, QN_EINVAL,
                       "slice indices must be integers or None, not %s",
                       qn_jv_type_name(v));
}

static int64_t attr_fit(int64_t i, int64_t len, int64_t step)
{
    if (i < 0)
        i = i < -len ? -1 : i + len;
    if (i < 0)
        return step < 0 ? -1 : 0;
    return i >= len ? (step < 0 ? len - 1 : len) : i;
}

static int attr_fit_slice(qn_jrt *rt, const qn_jval b[3], int64_t len,
                          attr_range *r)
{
    int64_t stop = 0;
    bool has_start, has_stop, has_step;

    QN_TRY(attr_bound(rt, b[0], &r->start, &has_start));
    QN_TRY(attr_bound(rt, b[1], &stop, &has_stop));
    QN_TRY(attr_bound(rt, b[2], &r->step, &has_step));
    if (!has_step)
        r->step = 1;
    if (r->step == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "slice step cannot be zero");
    r->step = QN_MAX(r->step, -INT64_MAX);
    bool back = r->step < 0;
    r->start = has_start ? attr_fit(r->start, len, r->step)
                         : (back ? len - 1 : 0);
    stop = has_stop ? attr_fit(stop, len, r->step) : (back ? -1 : len);
    int64_t span = back ? r->start - stop : stop - r->start;
    int64_t step = back ? -r->step : r->step;
    r->stop = stop;
    r->n = span > 0 ? (span - 1) / step + 1 : 0;
    return 0;
}

bool qn_jrt_has_slice(qn_jval obj, const qn_jval bounds[3])
{
    int64_t at;

    for (int i = 0; i < 3; i++)
        if (bounds[i].type != QN_J_NONE && !qn_jv_as_int(bounds[i], &at))
            return false;
    return obj.type == QN_J_STR || obj.type == QN_J_RANGE ||
           obj.type == QN_J_UNDEF || qn_jv_is_seq(obj);
}

int qn_jrt_slice(qn_jrt *rt, qn_jval obj, const qn_jval bounds[3], qn_jval *out)
{
    int64_t len;
    attr_range r = {0};

    if (obj.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, obj);
    if (obj.type != QN_J_STR && !qn_jv_is_seq(obj) && obj.type != QN_J_RANGE)
        return qn_jrt_fail(rt, QN_EINVAL, "'%s' object cannot be sliced",
                           qn_jv_type_name(obj));
    QN_TRY(qn_jv_len(rt, obj, &len));
    QN_TRY(attr_fit_slice(rt, bounds, len, &r));
    if (obj.type == QN_J_STR)
        return qn_jtext_slice(rt, obj, r.start, r.step, r.n, out);
    if (obj.type == QN_J_RANGE) {
        const qn_jrange *from = obj.u.range;
        qn_jrange *to = qn_jrt_alloc(rt, sizeof *to);
        if (!to)
            return rt->rc;
        if (__builtin_mul_overflow(from->step, r.step, &to->step))
            return qn_jrt_fail(rt, QN_ELIMIT, "a step exceeds 64 bits");
        to->len = r.n;
        to->start = qn_jrange_at(from, r.start);
        to->stop = qn_jrange_at(from, r.stop);
        *out = qn_jv_ptr(QN_J_RANGE, to);
        return 0;
    }
    qn_jlist *l;
    QN_TRY(qn_jrt_pay(rt, (size_t)r.n));
    QN_TRY(qn_jv_list_new(rt, (uint32_t)r.n, &l));
    for (int64_t i = 0; i < r.n; i++)
        l->v[i] = obj.u.list->v[r.start + i * r.step];
    l->n = (uint32_t)r.n;
    *out = qn_jv_ptr((qn_jtype)obj.type, l);
    return 0;
}
