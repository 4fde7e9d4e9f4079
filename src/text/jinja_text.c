/* jinja_text.c - what str methods and filters do to text. */
#include "text/jinja_text.h"

#include "text/jinja_chars.h"

#include <string.h>

/* ---- stripping ----------------------------------------------------------- */

static bool text_has_cp(qn_view chars, uint32_t cp)
{
    size_t len;

    if (cp < 0x80)
        return chars.n && memchr(chars.p, (int)cp, chars.n);
    for (size_t i = 0; i < chars.n; i += len)
        if (qn_jchars_at(qn_view_of(chars.p + i, chars.n - i), &len) == cp)
            return true;
    return false;
}

int qn_jtext_strip(qn_jrt *rt, qn_view s, const qn_view *chars, int sides,
                   qn_view *out)
{
    size_t len;

    if (!chars) {
        size_t head = sides & QN_JSIDE_LEFT ? qn_jchars_space_prefix(s) : 0;
        s = qn_view_of(s.p + head, s.n - head);
        if (sides & QN_JSIDE_RIGHT)
            s.n -= qn_jchars_space_suffix(s);
        *out = s;
        return 0;
    }
    uint64_t cost = 1 + chars->n / 16;
    while ((sides & QN_JSIDE_LEFT) && s.n &&
           text_has_cp(*chars, qn_jchars_at(s, &len))) {
        QN_TRY(qn_jrt_step(rt, cost));
        s = qn_view_of(s.p + len, s.n - len);
    }
    while ((sides & QN_JSIDE_RIGHT) && s.n) {
        size_t at = qn_jchars_last(s);
        QN_TRY(qn_jrt_step(rt, cost));
        if (!text_has_cp(*chars,
                         qn_jchars_at(qn_view_of(s.p + at, s.n - at), &len)))
            break;
        s.n = at;
    }
    *out = s;
    return 0;
}

/* ---- replacing ----------------------------------------------------------- */

/* Between all characters, and at both ends. */
static int text_interleave(qn_jrt *rt, qn_view s, qn_view to, int64_t count,
                           qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    size_t len = 0, i = 0;

    for (; sb.rc == 0; i += len) {
        if (count == 0)
            break;
        count--;
        qn_jsb_addv(&sb, to);
        if (i == s.n)
            break;
        qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        qn_jsb_add(&sb, s.p + i, len);
    }
    qn_jsb_add(&sb, s.p + i, s.n - i);
    return qn_jsb_done(&sb, out);
}

int qn_jtext_replace(qn_jrt *rt, qn_view s, qn_view from, qn_view to,
                     int64_t count, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    const char *p = s.p, *end = s.p + s.n, *hit;
    bool any = false;

    QN_TRY(qn_jrt_pay(rt, s.n));
    if (from.n == 0)
        return text_interleave(rt, s, to, count, out);
    while (count != 0 && p < end && sb.rc == 0 &&
           (hit = memmem(p, (size_t)(end - p), from.p, from.n)) != NULL) {
        QN_TRY(qn_jrt_step(rt, 1));
        qn_jsb_add(&sb, p, (size_t)(hit - p));
        qn_jsb_addv(&sb, to);
        p = hit + from.n;
        count -= count > 0;
        any = true;
    }
    if (!any) {
        *out = qn_jv_view(s);
        return 0;
    }
    qn_jsb_add(&sb, p, (size_t)(end - p));
    return qn_jsb_done(&sb, out);
}

/* ---- splitting ----------------------------------------------------------- */

static int text_push(qn_jrt *rt, qn_jlist *l, const char *p, size_t n)
{
    QN_TRY(qn_jrt_step(rt, 1));
    return qn_jv_list_push(rt, l, qn_jv_str(p, n));
}

static size_t text_word(qn_view s)
{
    size_t i = 0, len;

    while (i < s.n && !qn_jchars_is_space(
                          qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len)))
        i += len;
    return i;
}

static int text_split_words(qn_jrt *rt, qn_view s, int64_t max, qn_jlist *l)
{
    for (;;) {
        size_t n = qn_jchars_space_prefix(s);
        s = qn_view_of(s.p + n, s.n - n);
        if (s.n == 0)
            return 0;
        if (max == 0) /* the rest as it is */
            return text_push(rt, l, s.p, s.n);
        max -= max > 0;
        n = text_word(s);
        QN_TRY(text_push(rt, l, s.p, n));
        s = qn_view_of(s.p + n, s.n - n);
    }
}

int qn_jtext_split(qn_jrt *rt, qn_view s, const qn_view *sep, int64_t max,
                   qn_jval *out)
{
    const char *hit;
    qn_jlist *l;

    QN_TRY(qn_jrt_pay(rt, s.n));
    QN_TRY(qn_jv_list_new(rt, 4, &l));
    *out = qn_jv_ptr(QN_J_LIST, l);
    if (!sep)
        return text_split_words(rt, s, max, l);
    if (sep->n == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "empty separator");
    while (max != 0 && s.n &&
           (hit = memmem(s.p, s.n, sep->p, sep->n)) != NULL) {
        QN_TRY(text_push(rt, l, s.p, (size_t)(hit - s.p)));
        s.n -= (size_t)(hit - s.p) + sep->n;
        s.p = hit + sep->n;
        max -= max > 0;
    }
    return text_push(rt, l, s.p, s.n);
}

static int text_rsplit_words(qn_jrt *rt, qn_view s, int64_t max, qn_jlist *l)
{
    for (;;) {
        s.n -= qn_jchars_space_suffix(s);
        if (s.n == 0)
            return 0;
        if (max == 0)
            return text_push(rt, l, s.p, s.n);
        max -= max > 0;
        size_t at = s.n, len;
        while (at > 0) {
            size_t last = qn_jchars_last(qn_view_of(s.p, at));
            if (qn_jchars_is_space(
                    qn_jchars_at(qn_view_of(s.p + last, at - last), &len)))
                break;
            at = last;
        }
        QN_TRY(text_push(rt, l, s.p + at, s.n - at));
        s.n = at;
    }
}

int qn_jtext_rsplit(qn_jrt *rt, qn_view s, const qn_view *sep, int64_t max,
                    qn_jval *out)
{
    qn_jlist *l;
    int64_t at = 0;

    QN_TRY(qn_jrt_pay(rt, s.n));
    QN_TRY(qn_jv_list_new(rt, 4, &l));
    *out = qn_jv_ptr(QN_J_LIST, l);
    if (sep && sep->n == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "empty separator");
    if (!sep)
        QN_TRY(text_rsplit_words(rt, s, max, l));
    while (sep && at >= 0) {
        at = -1;
        if (max != 0)
            QN_TRY(qn_jtext_rfind(rt, s, *sep, &at));
        size_t from = at < 0 ? 0 : (size_t)at + sep->n;
        QN_TRY(text_push(rt, l, s.p + from, s.n - from));
        s.n = at < 0 ? 0 : (size_t)at;
        max -= max > 0;
    }
    for (uint32_t i = 0; i < l->n / 2; i++) {
        qn_jval t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
    return 0;
}

static bool text_line_end(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 ||
           cp == 0x2028 || cp == 0x2029;
}

int qn_jtext_splitlines(qn_jrt *rt, qn_view s, bool keep, qn_jlist **out)
{
    size_t from = 0, len;

    QN_TRY(qn_jrt_pay(rt, s.n));
    QN_TRY(qn_jv_list_new(rt, 4, out));
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        if (!text_line_end(cp))
            continue;
        if (cp == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
            len = 2;
        QN_TRY(text_push(rt, *out, s.p + from, (keep ? i + len : i) - from));
        from = i + len;
    }
    return from < s.n ? text_push(rt, *out, s.p + from, s.n - from) : 0;
}

/* ---- positions ----------------------------------------------------------- */

/* Byte offset of code point i (0 <= i; the end when there are fewer). */
static size_t text_offset(qn_jval s, int64_t i)
{
    size_t at = 0;

    if (s.flags & QN_JF_ASCII)
        return (size_t)QN_MIN(i, (int64_t)s.n);
    for (; at < s.n; at++)
        if (((unsigned char)s.u.s[at] & 0xc0) != 0x80 && i-- == 0)
            break;
    return at;
}

/* A bound as slices read it: negative from the end, none absent. */
static int text_bound(qn_jrt *rt, qn_jval v, int64_t len, int64_t absent,
                      int64_t *out)
{
    *out = absent;
    if (v.type == QN_J_MISSING || v.type == QN_J_NONE)
        return 0;
    QN_TRY(qn_jarg_int(rt, v, "a position", out));
    if (*out < 0)
        *out = *out < -len ? 0 : *out + len;
    return 0;
}

int qn_jtext_range(qn_jrt *rt, qn_jval s, qn_jval start, qn_jval end,
                   qn_view *out, int64_t *from, bool *valid)
{
    int64_t len, to;

    *valid = true;
    *from = 0;
    *out = qn_jv_text(s);
    if ((start.type == QN_J_MISSING || start.type == QN_J_NONE) &&
        (end.type == QN_J_MISSING || end.type == QN_J_NONE))
        return 0;
    QN_TRY(qn_jv_len(rt, s, &len));
    QN_TRY(text_bound(rt, start, len, 0, from));
    QN_TRY(text_bound(rt, end, len, len, &to));
    to = QN_MIN(to, len);
    *valid = *from <= len && *from <= to;
    if (!*valid) {
        *out = qn_view_of(s.u.s, 0);
        return 0;
    }
    QN_TRY(qn_jrt_pay(rt, s.n));
    size_t a = text_offset(s, *from), b = text_offset(s, to);
    *out = qn_view_of(s.u.s + a, b - a);
    return 0;
}

int qn_jtext_rfind(qn_jrt *rt, qn_view s, qn_view what, int64_t *out)
{
    *out = -1;
    if (what.n > s.n)
        return 0;
    if (what.n == 0) {
        *out = (int64_t)s.n;
        return 0;
    }
    size_t at = s.n - what.n + 1;
    while (at > 0) {
        const char *hit = memrchr(s.p, what.p[0], at);
        if (!hit)
            return 0;
        QN_TRY(qn_jrt_pay(rt, what.n));
        at = (size_t)(hit - s.p);
        if (memcmp(hit, what.p, what.n) == 0) {
            *out = (int64_t)at;
            return 0;
        }
    }
    return 0;
}

int qn_jtext_slice(qn_jrt *rt, qn_jval s, int64_t start, int64_t step,
                   int64_t n, qn_jval *out)
{
    if (n <= 0) {
        *out = qn_jv_str("", 0);
        out->flags = s.flags;
        return 0;
    }
    QN_TRY(qn_jrt_pay(rt, s.n));
    size_t at = text_offset(s, start);
    if (step == 1) {
        qn_jval rest = qn_jv_str(s.u.s + at, s.n - at);
        rest.flags = s.flags;
        *out = qn_jv_str(rest.u.s, text_offset(rest, n));
        out->flags = s.flags;
        return 0;
    }
    qn_jsb sb = qn_jsb_new(rt);
    for (int64_t i = 0; i < n && sb.rc == 0; i++) {
        size_t len;
        qn_jchars_at(qn_view_of(s.u.s + at, s.n - at), &len);
        qn_jsb_add(&sb, s.u.s + at, len);
        QN_TRY(qn_jrt_step(rt, 1));
        if (i + 1 == n)
            break;
        for (int64_t k = step; k > 0; k--) {
            qn_jchars_at(qn_view_of(s.u.s + at, s.n - at), &len);
            at += len;
        }
        for (int64_t k = step; k < 0; k++)
            at = qn_jchars_last(qn_view_of(s.u.s, at));
    }
    QN_TRY(qn_jsb_done(&sb, out));
    out->flags = s.flags;
    return 0;
}

int qn_jtext_pad(qn_jrt *rt, qn_jval s, int64_t width, qn_view fill, int where,
                 qn_jval *out)
{
    int64_t len;

    QN_TRY(qn_jv_len(rt, s, &len));
    if (width <= len) {
        *out = s;
        return 0;
    }
    if (width > UINT32_MAX)
        return qn_jrt_fail(rt, QN_ELIMIT, "padding to %lld characters",
                           (long long)width);
    int64_t pad = width - len, left = where > 0 ? pad : 0;
    if (where == 0) /* Python puts the odd one left when width is odd too */
        left = pad / 2 + (pad & width & 1);
    qn_jsb sb = qn_jsb_new(rt);
    for (int64_t i = 0; i < left && sb.rc == 0; i++)
        qn_jsb_addv(&sb, fill);
    qn_jsb_add(&sb, s.u.s, s.n);
    for (int64_t i = left; i < pad && sb.rc == 0; i++)
        qn_jsb_addv(&sb, fill);
    QN_TRY(qn_jrt_step(rt, (uint64_t)pad));
    return qn_jsb_done(&sb, out);
}
