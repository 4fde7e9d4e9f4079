/* err.c - error messages: one clean line each.
 *
 * A message carries names from files (tensors, tokens, paths). They are made
 * harmless here, in the one place every message passes: no control bytes, no
 * broken UTF-8, no second line. */
#include "base/err.h"

#include "base/err_int.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* Code points that could move a terminal's cursor, break a line or reorder
 * the text around them. */
static bool err_is_unsafe(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp <= 0x9F) || cp == 0x2028 ||
           cp == 0x2029 || (cp >= 0x202A && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069);
}

/* Cleans s[n] in place; the result is never longer. */
static size_t err_clean(char *s, size_t n)
{
    size_t w = 0;
    for (size_t r = 0; r < n;) {
        uint32_t cp = 0;
        int len = qn_utf8_decode(s + r, n - r, &cp);
        if (len == 0) {
            r += qn_utf8_bad_len(s + r, n - r);
            s[w++] = '?';
        } else if (err_is_unsafe(cp)) {
            s[w++] = cp == '\n' || cp == '\t' ? ' ' : '?';
            r += (size_t)len;
        } else {
            memmove(s + w, s + r, (size_t)len);
            w += (size_t)len;
            r += (size_t)len;
        }
    }
    s[w] = '\0';
    return w;
}

/* Cuts s[n] so that "..." fits behind it in s[cap]. */
static size_t err_ellipsis(char *s, size_t n, size_t cap)
{
    if (n > cap - 4)
        n = cap - 4;
    n -= qn_utf8_tail(s, n);
    memcpy(s + n, "...", 4);
    return n + 3;
}

size_t qn_format_line(char *buf, size_t cap, const char *fmt, va_list ap)
{
    int want = vsnprintf(buf, cap, fmt, ap);
    if (want < 0)
        want = snprintf(buf, cap, "%s", "(message not printable)");
    size_t n = strlen(buf);
    if ((size_t)want > n)
        n = err_ellipsis(buf, n, cap);
    return err_clean(buf, n);
}

int qn_vfail(qn_err *err, int code, const char *fmt, va_list ap)
{
    if (!err)
        return code;
    err->code = code;
    qn_format_line(err->msg, sizeof err->msg, fmt, ap);
    return code;
}

int qn_fail(qn_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qn_vfail(err, code, fmt, ap);
    va_end(ap);
    return code;
}

int qn_err_prefix(qn_err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    char head[QN_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    size_t n = qn_format_line(head, sizeof head - 2, fmt, ap);
    va_end(ap);
    memcpy(head + n, ": ", 3);
    n += 2;

    size_t old = strnlen(err->msg, sizeof err->msg - 1);
    size_t room = sizeof err->msg - 1 - n;
    bool cut = old > room;
    if (cut)
        old = room;
    memmove(err->msg + n, err->msg, old);
    memcpy(err->msg, head, n);
    err->msg[n + old] = '\0';
    if (cut)
        err_ellipsis(err->msg, n + old, sizeof err->msg);
    err->code = code;
    return code;
}

const char *qn_code_name(int code)
{
    switch (code) {
    case QN_OK: return "OK";
    case QN_EINVAL: return "EINVAL";
    case QN_EIO: return "EIO";
    case QN_EFORMAT: return "EFORMAT";
    case QN_ENOENT: return "ENOENT";
    case QN_ENOMEM: return "ENOMEM";
    case QN_EUNSUP: return "EUNSUP";
    case QN_ELIMIT: return "ELIMIT";
    case QN_ECANCEL: return "ECANCEL";
    case QN_EINTERNAL: return "EINTERNAL";
    case QN_EBUSY: return "EBUSY";
    default: return "E?";
    }
}
