/* code_set.c - see code_set.h. */
#include "text/code_set.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST 0x10ffffu
#define NONE QN_GRAM_END

void qn_code_set_deinit(qn_code_set *s)
{
    qn_vec_deinit(&s->v);
}

void qn_code_set_add(qn_code_set *s, uint32_t lo, uint32_t hi)
{
    qn_vec_push(&s->v, ((qn_code_range){lo, hi}));
}

void qn_code_set_add_all(qn_code_set *s, const qn_code_set *other)
{
    for (size_t i = 0; i < other->v.n; i++)
        qn_vec_push(&s->v, other->v.v[i]);
}

static int by_low(const void *x, const void *y)
{
    const qn_code_range *a = x, *b = y;
    return (a->lo > b->lo) - (a->lo < b->lo);
}

void qn_code_set_order(qn_code_set *s)
{
    size_t n = 0;
    if (s->v.n == 0)
        return;
    qsort(s->v.v, s->v.n, sizeof *s->v.v, by_low);
    for (size_t i = 1; i < s->v.n; i++) {
        qn_code_range r = s->v.v[i];
        if (r.lo <= s->v.v[n].hi || r.lo - s->v.v[n].hi == 1)
            s->v.v[n].hi = QN_MAX(s->v.v[n].hi, r.hi);
        else
            s->v.v[++n] = r;
    }
    s->v.n = n + 1;
}

void qn_code_set_negate(qn_code_set *s)
{
    qn_code_set rest = {0};
    uint32_t at = 1;
    qn_code_set_order(s);
    for (size_t i = 0; i < s->v.n; i++) {
        if (s->v.v[i].lo > at)
            qn_code_set_add(&rest, at, s->v.v[i].lo - 1);
        at = s->v.v[i].hi + 1;
    }
    if (at <= LAST)
        qn_code_set_add(&rest, at, LAST);
    qn_code_set_deinit(s);
    *s = rest;
}

/* ---- bytes ------------------------------------------------------------- */

static qn_gram_node either(qn_grammar *g, qn_gram_node a, qn_gram_node b)
{
    if (a == NONE || b == NONE)
        return a == NONE ? b : a;
    return qn_gram_alt(g, a, b);
}

/* Sequences of n bytes from lo to hi; all but the first are 80 .. bf. */
static qn_gram_node between(qn_grammar *g, const uint8_t *lo, const uint8_t *hi,
                            int n)
{
    static const uint8_t lows[] = {0x80, 0x80, 0x80},
                         highs[] = {0xbf, 0xbf, 0xbf};
    if (n == 1)
        return qn_gram_range(g, lo[0], hi[0]);
    size_t rest = (size_t)n - 1;
    if (lo[0] == hi[0])
        return qn_gram_cat(g, qn_gram_range(g, lo[0], lo[0]),
                           between(g, lo + 1, hi + 1, n - 1));
    qn_gram_node all = NONE;
    uint8_t first = lo[0], last = hi[0];
    if (memcmp(lo + 1, lows, rest) != 0) {
        all = qn_gram_cat(g, qn_gram_range(g, first, first),
                          between(g, lo + 1, highs, n - 1));
        first++;
    }
    if (memcmp(hi + 1, highs, rest) != 0) {
        all = either(g, all,
                     qn_gram_cat(g, qn_gram_range(g, last, last),
                                 between(g, lows, hi + 1, n - 1)));
        last--;
    }
    if (first > last)
        return all;
    return either(g, all,
                  qn_gram_cat(g, qn_gram_range(g, first, last),
                              between(g, lows, highs, n - 1)));
}

/* Code points of lo..hi beyond ASCII. */
static qn_gram_node beyond(qn_grammar *g, uint32_t lo, uint32_t hi)
{
    static const qn_code_range parts[] = {
        {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, LAST}};
    qn_gram_node all = NONE;
    for (size_t i = 0; i < QN_COUNTOF(parts); i++) {
        uint32_t a = QN_MAX(lo, parts[i].lo), b = QN_MIN(hi, parts[i].hi);
        uint8_t from[4], to[4];
        if (a > b)
            continue;
        int n = qn_utf8_encode(a, (char *)from);
        qn_utf8_encode(b, (char *)to);
        all = either(g, all, between(g, from, to, n));
    }
    return all;
}

/* A character that has to be escaped in a JSON string. */
static qn_gram_node escaped(qn_grammar *g, uint32_t c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char text[8];
    const char *at = strchr(from, (int)c);
    if (at)
        snprintf(text, sizeof text, "\\%c", to[at - from]);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    return qn_gram_text(g, text, strlen(text));
}

qn_gram_node qn_code_set_node(qn_code_set *s, qn_grammar *g, bool json)
{
    char plain[129];
    size_t n = 0;
    qn_gram_node all = NONE;
    qn_code_set_order(s);
    for (size_t i = 0; i < s->v.n; i++) {
        qn_code_range r = s->v.v[i];
        for (uint32_t c = QN_MAX(r.lo, 1); c <= QN_MIN(r.hi, 0x7f); c++) {
            if (json && (c < 0x20 || c == '"' || c == '\\' || c == 0x7f))
                all = either(g, all, escaped(g, c));
            else
                plain[n++] = (char)c;
        }
        if (r.hi >= 0x80)
            all = either(g, all, beyond(g, QN_MAX(r.lo, 0x80), r.hi));
    }
    plain[n] = 0;
    return n ? either(g, qn_gram_any_of(g, plain), all) : all;
}
