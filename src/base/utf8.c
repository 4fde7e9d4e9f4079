/* utf8.c - strict UTF-8, after table 3-7 of the Unicode standard:
 *
 *   first     second    third     fourth
 *   00..7F
 *   C2..DF    80..BF
 *   E0        A0..BF    80..BF
 *   E1..EC    80..BF    80..BF
 *   ED        80..9F    80..BF              (no surrogates)
 *   EE..EF    80..BF    80..BF
 *   F0        90..BF    80..BF    80..BF
 *   F1..F3    80..BF    80..BF    80..BF
 *   F4        80..8F    80..BF    80..BF    (<= U+10FFFF)
 */
#include "base/utf8.h"

#include <string.h>

/* Length that a first byte announces; 0 when it can begin nothing. */
static int utf8_need(uint8_t b)
{
    if (b < 0x80)
        return 1;
    if (b < 0xC2)
        return 0;
    if (b < 0xE0)
        return 2;
    if (b < 0xF0)
        return 3;
    return b < 0xF5 ? 4 : 0;
}

static bool utf8_second_ok(uint8_t first, uint8_t second)
{
    uint8_t lo = 0x80, hi = 0xBF;
    if (first == 0xE0)
        lo = 0xA0;
    else if (first == 0xED)
        hi = 0x9F;
    else if (first == 0xF0)
        lo = 0x90;
    else if (first == 0xF4)
        hi = 0x8F;
    return second >= lo && second <= hi;
}

/* Bytes at p (n > 0) that agree with the table for the sequence that p[0]
 * begins; *need is the announced length. 0 when p[0] can begin nothing. */
static int utf8_match(const uint8_t *p, size_t n, int *need)
{
    *need = utf8_need(p[0]);
    if (*need <= 1)
        return *need;
    int m = 1;
    while (m < *need && (size_t)m < n) {
        bool ok = m == 1 ? utf8_second_ok(p[0], p[1]) : (p[m] & 0xC0) == 0x80;
        if (!ok)
            break;
        m++;
    }
    return m;
}

int qn_utf8_decode(const char *p, size_t n, uint32_t *cp)
{
    const uint8_t *u = (const uint8_t *)p;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    int need;
    if (utf8_match(u, n, &need) != need || need == 0)
        return 0;
    uint32_t c = u[0] & (0xFFu >> (need + 1));
    for (int i = 1; i < need; i++)
        c = c << 6 | (u[i] & 0x3Fu);
    *cp = c;
    return need;
}

int qn_utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Length of the run of ASCII at p. */
static size_t utf8_ascii_run(const char *p, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        if (w & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < n && (uint8_t)p[i] < 0x80)
        i++;
    return i;
}

bool qn_utf8_valid(const char *p, size_t n)
{
    size_t i = 0;
    while ((i += utf8_ascii_run(p + i, n - i)) < n) {
        int need;
        int m = utf8_match((const uint8_t *)p + i, n - i, &need);
        if (m != need || need == 0)
            return false;
        i += (size_t)need;
    }
    return true;
}

size_t qn_utf8_tail(const char *p, size_t n)
{
    const uint8_t *u = (const uint8_t *)p;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t b = u[n - back];
        if ((b & 0xC0) == 0x80)
            continue;
        int need;
        int m = utf8_match(u + n - back, back, &need);
        return need > m && (size_t)m == back ? back : 0;
    }
    return 0;
}

size_t qn_utf8_bad_len(const char *p, size_t n)
{
    int need;
    int m = utf8_match((const uint8_t *)p, n, &need);
    return m > 0 ? (size_t)m : 1;
}

size_t qn_utf8_count(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; count++) {
        size_t run = utf8_ascii_run(p + i, n - i);
        if (run > 0) {
            i += run;
            count += run - 1;
        } else {
            i += qn_utf8_bad_len(p + i, n - i);
        }
    }
    return count;
}
