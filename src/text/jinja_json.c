/* jinja_json.c - json.dumps, as the tojson of transformers calls it:
 * characters beyond ASCII stay, keys keep their order, ", " and ": " between
 * items unless told otherwise. */
#include "text/jinja_rt.h"

#include "text/jinja_chars.h"

#include <math.h>

static int dump_value(qn_jrt *rt, qn_jval v, const qn_jdump *how,
                      uint32_t level, qn_jsb *sb);

static void dump_escape(qn_jsb *sb, uint32_t cp)
{
    switch (cp) {
    case '"': qn_jsb_adds(sb, "\\\""); return;
    case '\\': qn_jsb_adds(sb, "\\\\"); return;
    case '\n': qn_jsb_adds(sb, "\\n"); return;
    case '\r': qn_jsb_adds(sb, "\\r"); return;
    case '\t': qn_jsb_adds(sb, "\\t"); return;
    case '\f': qn_jsb_adds(sb, "\\f"); return;
    case '\b': qn_jsb_adds(sb, "\\b"); return;
    default: break;
    }
    if (cp >= 0x10000) {
        cp -= 0x10000;
        qn_jsb_addf(sb, "\\u%04x", 0xd800u + (unsigned)(cp >> 10));
        cp = 0xdc00 + (cp & 0x3ff);
    }
    qn_jsb_addf(sb, "\\u%04x", (unsigned)cp);
}

static void dump_str(qn_jsb *sb, qn_view s, bool ascii)
{
    size_t len, from = 0;

    qn_jsb_addc(sb, '"');
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = (unsigned char)s.p[i];
        len = 1;
        if (ascii)
            cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        if (cp >= 32 && cp != '"' && cp != '\\' && (!ascii || cp < 127))
            continue;
        qn_jsb_add(sb, s.p + from, i - from);
        dump_escape(sb, cp);
        from = i + len;
    }
    qn_jsb_add(sb, s.p + from, s.n - from);
    qn_jsb_addc(sb, '"');
}

static void dump_float(qn_jsb *sb, double f)
{
    char buf[32];

    if (isnan(f))
        qn_jsb_adds(sb, "NaN");
    else if (isinf(f))
        qn_jsb_adds(sb, f > 0 ? "Infinity" : "-Infinity");
    else
        qn_jsb_add(sb, buf, qn_jv_float_text(f, buf));
}

static void dump_newline(const qn_jdump *how, uint32_t level, qn_jsb *sb)
{
    if (!how->has_indent)
        return;
    qn_jsb_addc(sb, '\n');
    for (uint32_t i = 0; i < level && sb->rc == 0; i++)
        qn_jsb_addv(sb, how->indent);
}

static int dump_list(qn_jrt *rt, const qn_jlist *l, const qn_jdump *how,
                     uint32_t level, qn_jsb *sb)
{
    if (l->n == 0) {
        qn_jsb_adds(sb, "[]");
        return 0;
    }
    qn_jsb_addc(sb, '[');
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            qn_jsb_addv(sb, how->item_sep);
        dump_newline(how, level + 1, sb);
        QN_TRY(dump_value(rt, l->v[i], how, level + 1, sb));
    }
    dump_newline(how, level, sb);
    qn_jsb_addc(sb, ']');
    return 0;
}

/* Keys are strings, or the simple values that json.dumps turns into some. */
static int dump_key(qn_jrt *rt, qn_jval key, const qn_jdump *how, qn_jsb *sb)
{
    switch ((qn_jtype)key.type) {
    case QN_J_STR: dump_str(sb, qn_jv_text(key), how->ensure_ascii); return 0;
    case QN_J_NONE:
    case QN_J_BOOL:
    case QN_J_INT:
    case QN_J_FLOAT:
        qn_jsb_addc(sb, '"');
        QN_TRY(dump_value(rt, key, how, 0, sb));
        qn_jsb_addc(sb, '"');
        return 0;
    default:
        return qn_jrt_fail(rt, QN_EINVAL,
                           "keys must be str, int, float, bool or None, not %s",
                           qn_jv_type_name(key));
    }
}

static int dump_sorted(qn_jrt *rt, const qn_jdict *d, qn_jlist **order)
{
    qn_jlist *keys;

    QN_TRY(qn_jv_list_new(rt, d->n, &keys));
    QN_TRY(qn_jv_list_new(rt, d->n, order));
    for (uint32_t i = 0; i < d->n; i++) {
        keys->v[i] = d->v[i].key;
        (*order)->v[i] = qn_jv_int(i);
    }
    return qn_jv_sort(rt, (*order)->v, keys->v, d->n, false);
}

static int dump_dict(qn_jrt *rt, const qn_jdict *d, const qn_jdump *how,
                     uint32_t level, qn_jsb *sb)
{
    qn_jlist *order = NULL;

    if (d->n == 0) {
        qn_jsb_adds(sb, "{}");
        return 0;
    }
    if (how->sort_keys)
        QN_TRY(dump_sorted(rt, d, &order));
    qn_jsb_addc(sb, '{');
    for (uint32_t i = 0; i < d->n; i++) {
        const struct qn_jpair *p = &d->v[order ? order->v[i].u.i : i];
        if (i)
            qn_jsb_addv(sb, how->item_sep);
        dump_newline(how, level + 1, sb);
        QN_TRY(dump_key(rt, p->key, how, sb));
        qn_jsb_addv(sb, how->key_sep);
        QN_TRY(dump_value(rt, p->value, how, level + 1, sb));
    }
    dump_newline(how, level, sb);
    qn_jsb_addc(sb, '}');
    return 0;
}

static int dump_value(qn_jrt *rt, qn_jval v, const qn_jdump *how,
                      uint32_t level, qn_jsb *sb)
{
    QN_TRY(qn_jrt_step(rt, 1));
    switch ((qn_jtype)v.type) {
    case QN_J_NONE: qn_jsb_adds(sb, "null"); break;
    case QN_J_BOOL: qn_jsb_adds(sb, v.u.b ? "true" : "false"); break;
    case QN_J_INT: qn_jsb_addf(sb, "%lld", (long long)v.u.i); break;
    case QN_J_FLOAT: dump_float(sb, v.u.f); break;
    case QN_J_STR:
        QN_TRY(qn_jrt_pay(rt, v.n));
        dump_str(sb, qn_jv_text(v), how->ensure_ascii);
        break;
    case QN_J_LIST:
    case QN_J_TUPLE:
    case QN_J_DICT:
        QN_TRY(qn_jrt_enter(rt));
        QN_TRY(v.type == QN_J_DICT ? dump_dict(rt, v.u.dict, how, level, sb)
                                   : dump_list(rt, v.u.list, how, level, sb));
        qn_jrt_leave(rt);
        break;
    default:
        return qn_jrt_fail(rt, QN_EINVAL,
                           "object of type %s is not JSON serializable",
                           qn_jv_type_name(v));
    }
    return sb->rc;
}

int qn_jv_dump(qn_jrt *rt, qn_jval v, const qn_jdump *how, qn_jsb *sb)
{
    return dump_value(rt, v, how, 0, sb);
}
