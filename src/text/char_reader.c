/* char_reader.c - see char_reader.h. */
#include "text/char_reader.h"

#include "base/str.h"
#include "base/utf8.h"

#include <string.h>

#define MAX_COUNT 10000

int qn_chars_fail(const qn_char_reader *r, int code, const char *message)
{
    return qn_fail(r->err, code, "%s: %s (at byte %zu)", r->what, message,
                   r->at);
}

bool qn_chars_at(const qn_char_reader *r, const char *s)
{
    size_t n = strlen(s);
    return r->n - r->at >= n && memcmp(r->p + r->at, s, n) == 0;
}

bool qn_chars_take(qn_char_reader *r, const char *s)
{
    if (!qn_chars_at(r, s))
        return false;
    r->at += strlen(s);
    return true;
}

size_t qn_chars_take_name(qn_char_reader *r, const char *more)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t from = r->at;
    while (r->at < r->n && r->p[r->at] &&
           (strchr(letters, r->p[r->at]) || strchr(more, r->p[r->at])))
        r->at++;
    return r->at - from;
}

/* ---- characters -------------------------------------------------------- */

static void add_class(qn_code_set *s, char name)
{
    static const struct {
        char name;
        uint32_t lo, hi;
    } rows[] = {{'d', '0', '9'}, {'w', '0', '9'}, {'w', 'A', 'Z'},
                {'w', '_', '_'}, {'w', 'a', 'z'}, {'s', '\t', '\r'},
                {'s', ' ', ' '}};
    qn_code_set one = {0};
    char low = (char)(name | 32);
    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        if (rows[i].name == low)
            qn_code_set_add(&one, rows[i].lo, rows[i].hi);
    if (name != low)
        qn_code_set_negate(&one);
    qn_code_set_add_all(s, &one);
    qn_code_set_deinit(&one);
}

/* Digits behind \x or \u: so many, or any number in braces. */
static int take_hex(qn_char_reader *r, size_t digits, uint32_t *out)
{
    bool braces = qn_chars_take(r, "{");
    uint32_t c = 0;
    size_t n = 0;
    for (; r->at < r->n && (braces ? n < 8 : n < digits); n++) {
        int h = qn_hex_digit(r->p[r->at]);
        if (h < 0)
            break;
        c = c * 16 + (uint32_t)h;
        r->at++;
    }
    if (n == 0 || (!braces && n < digits) || (braces && !qn_chars_take(r, "}")))
        return qn_chars_fail(r, QN_EINVAL,
                             "a code needs its hexadecimal digits");
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return qn_chars_fail(r, QN_EINVAL, "a code that is no character");
    *out = c;
    return 0;
}

/* Behind a backslash: a class (then *c is QN_CHAR_NONE) or a character. */
static int take_escape(qn_char_reader *r, qn_code_set *s, uint32_t *c)
{
    static const char names[] = "nrtfv", codes[] = "\n\r\t\f\v";
    if (r->at >= r->n)
        return qn_chars_fail(r, QN_EINVAL, "a backslash with nothing behind");
    char e = r->p[r->at++];
    *c = QN_CHAR_NONE;
    if (e && strchr("dwsDWS", e)) {
        add_class(s, e);
        return 0;
    }
    if (e == 'x' || e == 'u')
        return take_hex(r, e == 'x' ? 2 : 4, c);
    const char *at = e ? strchr(names, e) : NULL;
    if (at) {
        *c = (uint8_t)codes[at - names];
        return 0;
    }
    if ((unsigned char)e >= 0x80 || e == '_' || !e || (e >= '0' && e <= '9') ||
        ((e | 32) >= 'a' && (e | 32) <= 'z'))
        return qn_chars_fail(r, QN_EUNSUP, "this escape is not supported");
    *c = (uint8_t)e;
    return 0;
}

/* The next character as it stands. */
static int take_char(qn_char_reader *r, uint32_t *c)
{
    int n = 0;
    if (r->at < r->n)
        n = qn_utf8_decode(r->p + r->at, r->n - r->at, c);
    if (n <= 0 || *c == 0)
        return qn_chars_fail(r, QN_EINVAL, "neither UTF-8 nor a character");
    r->at += (size_t)n;
    return 0;
}

int qn_chars_take_one(qn_char_reader *r, qn_code_set *s, uint32_t *c)
{
    return qn_chars_take(r, "\\") ? take_escape(r, s, c) : take_char(r, c);
}

int qn_chars_take_class(qn_char_reader *r, qn_code_set *s)
{
    bool negated = qn_chars_take(r, "^");
    for (bool first = true; first || !qn_chars_at(r, "]"); first = false) {
        uint32_t lo, hi;
        if (r->at >= r->n)
            return qn_chars_fail(r, QN_EINVAL, "a [ without its ]");
        if (qn_chars_at(r, "[:") || qn_chars_at(r, "&&") ||
            qn_chars_at(r, "--"))
            return qn_chars_fail(r, QN_EUNSUP,
                                 "this part of a class is not supported");
        QN_TRY(qn_chars_take_one(r, s, &lo));
        hi = lo;
        bool range = qn_chars_at(r, "-") && !qn_chars_at(r, "-]");
        if (range && lo != QN_CHAR_NONE) {
            r->at++;
            QN_TRY(qn_chars_take_one(r, s, &hi));
            if (hi == QN_CHAR_NONE || hi < lo)
                return qn_chars_fail(r, QN_EINVAL,
                                     "a range without an end or turned");
        }
        if (lo != QN_CHAR_NONE)
            qn_code_set_add(s, lo, hi);
    }
    r->at++;
    if (negated)
        qn_code_set_negate(s);
    return 0;
}

/* ---- counts ------------------------------------------------------------ */

static bool take_number(qn_char_reader *r, uint32_t *out)
{
    size_t from = r->at;
    *out = 0;
    while (r->at < r->n && r->p[r->at] >= '0' && r->p[r->at] <= '9') {
        *out = QN_MIN(*out * 10 + (uint32_t)(r->p[r->at] - '0'), 1u << 24);
        r->at++;
    }
    return r->at > from;
}

/* {m} {m,} {,n} {m,n}; false, and nothing read, where it is something else,
 * which then stands for itself. */
static bool take_counts(qn_char_reader *r, uint32_t *min, uint32_t *max)
{
    size_t from = r->at;
    r->at++;
    bool low = take_number(r, min), high = false;
    *max = *min;
    if (qn_chars_take(r, ",")) {
        high = take_number(r, max);
        if (!high)
            *max = QN_GRAM_MANY;
    }
    if ((low || high) && qn_chars_take(r, "}"))
        return true;
    r->at = from;
    return false;
}

int qn_chars_take_repeat(qn_char_reader *r, uint32_t *min, uint32_t *max)
{
    *min = *max = 1;
    if (qn_chars_take(r, "*"))
        *min = 0, *max = QN_GRAM_MANY;
    else if (qn_chars_take(r, "+"))
        *max = QN_GRAM_MANY;
    else if (qn_chars_take(r, "?"))
        *min = 0;
    else if (!qn_chars_at(r, "{") || !take_counts(r, min, max))
        *min = *max = 1;
    if (*min > *max)
        return qn_chars_fail(r, QN_EINVAL, "a repeat of more than its most");
    if (*min > MAX_COUNT || (*max != QN_GRAM_MANY && *max > MAX_COUNT))
        return qn_chars_fail(r, QN_ELIMIT, "a count above 10000");
    return 0;
}
