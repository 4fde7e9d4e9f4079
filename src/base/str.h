/* str.h - byte strings: a borrowed view and a growing buffer.
 * Buffers are always NUL-terminated; views need not be. */
#ifndef QN_BASE_STR_H
#define QN_BASE_STR_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct qn_view {
    const char *p;
    size_t n;
} qn_view;

static inline qn_view qn_view_of(const char *p, size_t n)
{
    return (qn_view){p, n};
}
static inline qn_view qn_view_cstr(const char *s)
{
    return (qn_view){s, s ? strlen(s) : 0};
}
static inline bool qn_view_eq(qn_view a, qn_view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* The text up to the next separator, without the white space round it; moves
 * *rest behind the separator, to {NULL, 0} behind the last. Without a separator
 * (NULL, "") all of it, as it is. false: there is no more. */
bool qn_view_document(qn_view *rest, const char *split, qn_view *doc);
static inline bool qn_view_eqs(qn_view a, const char *s)
{
    return qn_view_eq(a, qn_view_cstr(s));
}

/* The value of a hexadecimal digit; -1: it is none. */
static inline int qn_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

typedef struct qn_str {
    char *p; /* NULL until the first byte is added */
    size_t n, cap;
} qn_str;

void qn_str_init(qn_str *s);
void qn_str_deinit(qn_str *s);
void qn_str_clear(qn_str *s); /* keeps the memory */
void qn_str_reserve(qn_str *s, size_t extra);
void qn_str_add(qn_str *s, const char *p, size_t n);
void qn_str_adds(qn_str *s, const char *cstr);
void qn_str_addv(qn_str *s, qn_view v);
void qn_str_addc(qn_str *s, char c);
void qn_str_addf(qn_str *s, const char *fmt, ...) QN_PRINTF(2, 3);
/* Hands the buffer over (never NULL) and leaves s empty; free with qn_free. */
char *qn_str_take(qn_str *s, size_t *n);

bool qn_starts(const char *s, const char *prefix);
bool qn_ends(const char *s, const char *suffix);
/* "1.50 GiB", "230 KiB" into buf (at least 16 bytes); returns buf. */
const char *qn_fmt_bytes(char *buf, size_t cap, uint64_t n);

#endif
