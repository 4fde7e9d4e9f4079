/* str.c - the growing byte buffer.
 *
 * Invariant: when p is not NULL, n < cap and p[n] is NUL. */
#include "base/str.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

void qn_str_init(qn_str *s)
{
    *s = (qn_str){0};
}

void qn_str_deinit(qn_str *s)
{
    free(s->p);
    *s = (qn_str){0};
}

void qn_str_clear(qn_str *s)
{
    s->n = 0;
    if (s->p)
        s->p[0] = '\0';
}

void qn_str_reserve(qn_str *s, size_t extra)
{
    /* A sum that overflows asks for everything, which dies as it should. */
    size_t want;
    if (!qn_add_size(s->n, extra, &want) || !qn_add_size(want, 1, &want))
        want = SIZE_MAX;
    if (want <= s->cap)
        return;
    size_t cap = s->cap + s->cap / 2;
    if (cap < want)
        cap = want;
    if (cap < 32)
        cap = 32;
    s->p = qn_xrealloc(s->p, cap);
    s->p[s->n] = '\0';
    s->cap = cap;
}

void qn_str_add(qn_str *s, const char *p, size_t n)
{
    if (n == 0)
        return;
    qn_str_reserve(s, n);
    memcpy(s->p + s->n, p, n);
    s->n += n;
    s->p[s->n] = '\0';
}

void qn_str_adds(qn_str *s, const char *cstr)
{
    qn_str_add(s, cstr, strlen(cstr));
}

void qn_str_addv(qn_str *s, qn_view v)
{
    qn_str_add(s, v.p, v.n);
}

void qn_str_addc(qn_str *s, char c)
{
    qn_str_add(s, &c, 1);
}

static void str_vaddf(qn_str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    qn_str_reserve(s, 64);
    size_t room = s->cap - s->n;
    int n = vsnprintf(s->p + s->n, room, fmt, ap);
    if (n >= 0 && (size_t)n >= room) {
        qn_str_reserve(s, (size_t)n);
        n = vsnprintf(s->p + s->n, s->cap - s->n, fmt, again);
    }
    va_end(again);
    if (n > 0)
        s->n += (size_t)n;
    s->p[s->n] = '\0';
}

void qn_str_addf(qn_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    str_vaddf(s, fmt, ap);
    va_end(ap);
}

char *qn_str_take(qn_str *s, size_t *n)
{
    qn_str_reserve(s, 0);
    char *p = s->p;
    if (n)
        *n = s->n;
    *s = (qn_str){0};
    return p;
}

bool qn_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool qn_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

const char *qn_fmt_bytes(char *buf, size_t cap, uint64_t n)
{
    static const char *const unit[] = {"B",   "KiB", "MiB", "GiB",
                                       "TiB", "PiB", "EiB"};
    size_t u = 0;
    double x = (double)n;
    while (x >= 1024 && u + 1 < QN_COUNTOF(unit)) {
        x /= 1024;
        u++;
    }
    /* Three digits, so that a column of sizes can be compared by eye. */
    int decimals = u == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
    snprintf(buf, cap, "%.*f %s", decimals, x, unit[u]);
    return buf;
}

/* ---- documents ----------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool qn_view_document(qn_view *rest, const char *split, qn_view *doc)
{
    if (!rest->p)
        return false;
    size_t len = split ? strlen(split) : 0;
    const char *end = len ? memmem(rest->p, rest->n, split, len) : NULL;
    *doc = qn_view_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    *rest = end ? qn_view_of(end + len, rest->n - doc->n - len)
                : qn_view_of(NULL, 0);
    if (!len)
        return true;
    while (doc->n > 0 && is_blank(doc->p[0]))
        *doc = qn_view_of(doc->p + 1, doc->n - 1);
    while (doc->n > 0 && is_blank(doc->p[doc->n - 1]))
        doc->n--;
    return true;
}
