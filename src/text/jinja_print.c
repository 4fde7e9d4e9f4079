/* jinja_print.c - str() and repr() of values, as Python prints them.
 *
 * Objects whose text would hold a memory address (generators, bound methods)
 * cannot be printed the same way twice: that is refused. */
#include "text/jinja_rt.h"

#include "text/jinja_chars.h"

#include <stdio.h>

/* One character of a repr: escaped unless printable. */
static void print_repr_cp(qn_jsb *sb, uint32_t cp, char quote)
{
    switch (cp) {
    case '\n': qn_jsb_adds(sb, "\\n"); return;
    case '\r': qn_jsb_adds(sb, "\\r"); return;
    case '\t': qn_jsb_adds(sb, "\\t"); return;
    case '\\': qn_jsb_adds(sb, "\\\\"); return;
    default: break;
    }
    if (cp == (uint32_t)quote) {
        qn_jsb_addc(sb, '\\');
        qn_jsb_addc(sb, quote);
    } else if (qn_jchars_is(cp, QN_JP_PRINTABLE)) {
        qn_jsb_cp(sb, cp);
    } else if (cp < 0x100) {
        qn_jsb_addf(sb, "\\x%02x", (unsigned)cp);
    } else if (cp < 0x10000) {
        qn_jsb_addf(sb, "\\u%04x", (unsigned)cp);
    } else {
        qn_jsb_addf(sb, "\\U%08x", (unsigned)cp);
    }
}

static void repr_str(qn_jsb *sb, qn_view s)
{
    bool single = s.n && memchr(s.p, '\'', s.n);
    bool dbl = s.n && memchr(s.p, '"', s.n);
    char quote = single && !dbl ? '"' : '\'';
    size_t len, from = 0;

    qn_jsb_addc(sb, quote);
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        bool plain = cp >= 32 && cp < 127 && cp != '\\' &&
                     cp != (uint32_t)quote;
        if (plain)
            continue;
        qn_jsb_add(sb, s.p + from, i - from);
        print_repr_cp(sb, cp, quote);
        from = i + len;
    }
    qn_jsb_add(sb, s.p + from, s.n - from);
    qn_jsb_addc(sb, quote);
}

static int print_items(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    const qn_jlist *l = v.u.list;
    bool tuple = v.type == QN_J_TUPLE;

    qn_jsb_addc(sb, tuple ? '(' : '[');
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            qn_jsb_adds(sb, ", ");
        QN_TRY(qn_jv_repr_to(rt, l->v[i], sb));
    }
    if (tuple && l->n == 1)
        qn_jsb_addc(sb, ',');
    qn_jsb_addc(sb, tuple ? ')' : ']');
    return 0;
}

static int print_dict(qn_jrt *rt, const qn_jdict *d, qn_jsb *sb)
{
    qn_jsb_addc(sb, '{');
    for (uint32_t i = 0; i < d->n; i++) {
        if (i)
            qn_jsb_adds(sb, ", ");
        QN_TRY(qn_jv_repr_to(rt, d->v[i].key, sb));
        qn_jsb_adds(sb, ": ");
        QN_TRY(qn_jv_repr_to(rt, d->v[i].value, sb));
    }
    qn_jsb_addc(sb, '}');
    return 0;
}

static int print_view(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    qn_jiter *it;
    qn_jval x;
    int rc, n = 0;

    qn_jsb_addf(sb, "%s([", qn_jv_type_name(v));
    QN_TRY(qn_jv_iter(rt, v, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        if (n++)
            qn_jsb_adds(sb, ", ");
        QN_TRY(qn_jv_repr_to(rt, x, sb));
    }
    qn_jsb_adds(sb, "])");
    return rc;
}

static void print_range(const qn_jrange *r, qn_jsb *sb)
{
    qn_jsb_addf(sb, "range(%lld, %lld", (long long)r->start,
                (long long)r->stop);
    if (r->step != 1)
        qn_jsb_addf(sb, ", %lld", (long long)r->step);
    qn_jsb_addc(sb, ')');
}

static int print_loop(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    qn_jval index, length;

    QN_TRY(qn_jrt_loop_attr(rt, v, qn_view_cstr("index"), &index));
    QN_TRY(qn_jrt_loop_attr(rt, v, qn_view_cstr("length"), &length));
    qn_jsb_addf(sb, "<LoopContext %lld/%lld>", (long long)index.u.i,
                (long long)length.u.i);
    return 0;
}

static int print_object(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    switch ((qn_jtype)v.type) {
    case QN_J_LIST:
    case QN_J_TUPLE: return print_items(rt, v, sb);
    case QN_J_DICT: return print_dict(rt, v.u.dict, sb);
    case QN_J_VIEW: return print_view(rt, v, sb);
    case QN_J_NS:
        qn_jsb_adds(sb, "<Namespace ");
        QN_TRY(print_dict(rt, v.u.dict, sb));
        qn_jsb_addc(sb, '>');
        return 0;
    case QN_J_LOOP: return print_loop(rt, v, sb);
    default:
        return qn_jrt_fail(rt, QN_EUNSUP, "printing a %s", qn_jv_type_name(v));
    }
}

int qn_jv_repr_to(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    char buf[32];

    QN_TRY(qn_jrt_step(rt, 1));
    switch ((qn_jtype)v.type) {
    case QN_J_MISSING:
    case QN_J_UNDEF: qn_jsb_adds(sb, "Undefined"); break;
    case QN_J_NONE: qn_jsb_adds(sb, "None"); break;
    case QN_J_BOOL: qn_jsb_adds(sb, v.u.b ? "True" : "False"); break;
    case QN_J_INT: qn_jsb_addf(sb, "%lld", (long long)v.u.i); break;
    case QN_J_FLOAT: qn_jsb_add(sb, buf, qn_jv_float_text(v.u.f, buf)); break;
    case QN_J_STR:
        QN_TRY(qn_jrt_pay(rt, v.n));
        if (qn_jv_is_markup(v))
            qn_jsb_adds(sb, "Markup(");
        repr_str(sb, qn_jv_text(v));
        if (qn_jv_is_markup(v))
            qn_jsb_addc(sb, ')');
        break;
    case QN_J_RANGE: print_range(v.u.range, sb); break;
    case QN_J_MACRO:
        qn_jsb_adds(sb, "<Macro ");
        if (v.u.macro->name.n)
            repr_str(sb, v.u.macro->name);
        else
            qn_jsb_adds(sb, "anonymous");
        qn_jsb_addc(sb, '>');
        break;
    default:
        QN_TRY(qn_jrt_enter(rt));
        QN_TRY(print_object(rt, v, sb));
        qn_jrt_leave(rt);
    }
    return sb->rc;
}

int qn_jv_str_to(qn_jrt *rt, qn_jval v, qn_jsb *sb)
{
    if (v.type == QN_J_STR) {
        qn_jsb_add(sb, v.u.s, v.n);
        return sb->rc;
    }
    if (v.type == QN_J_UNDEF || v.type == QN_J_MISSING)
        return 0;
    return qn_jv_repr_to(rt, v, sb);
}

int qn_jv_soft_str(qn_jrt *rt, qn_jval v, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);

    if (v.type == QN_J_STR) {
        *out = v;
        return 0;
    }
    QN_TRY(qn_jv_str_to(rt, v, &sb));
    return qn_jsb_done(&sb, out);
}

int qn_jv_to_str(qn_jrt *rt, qn_jval v, qn_jval *out)
{
    QN_TRY(qn_jv_soft_str(rt, v, out));
    out->flags &= (uint8_t)~QN_JF_MARKUP;
    return 0;
}

/* ---- HTML ---------------------------------------------------------------- */

int qn_jrt_escape(qn_jrt *rt, qn_jval v, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    qn_jval s;

    QN_TRY(qn_jv_soft_str(rt, v, &s));
    if (!qn_jv_is_markup(s)) {
        for (uint32_t i = 0; i < s.n; i++) {
            switch (s.u.s[i]) {
            case '&': qn_jsb_adds(&sb, "&amp;"); break;
            case '<': qn_jsb_adds(&sb, "&lt;"); break;
            case '>': qn_jsb_adds(&sb, "&gt;"); break;
            case '\'': qn_jsb_adds(&sb, "&#39;"); break;
            case '"': qn_jsb_adds(&sb, "&#34;"); break;
            default: qn_jsb_addc(&sb, s.u.s[i]);
            }
        }
        QN_TRY(qn_jrt_pay(rt, s.n));
        QN_TRY(qn_jsb_done(&sb, &s));
    }
    s.flags |= QN_JF_MARKUP;
    *out = s;
    return 0;
}
