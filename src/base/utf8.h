/* utf8.h - code points and bytes.
 *
 * Strict UTF-8 (no overlongs, no surrogates, <= U+10FFFF). */
#ifndef QN_BASE_UTF8_H
#define QN_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the code point at p (n > 0 bytes left): its length 1..4, or 0 when
 * the bytes are not valid; *cp untouched then. */
int qn_utf8_decode(const char *p, size_t n, uint32_t *cp);
/* Writes 1..4 bytes; surrogates and > U+10FFFF become U+FFFD. */
int qn_utf8_encode(uint32_t cp, char out[4]);
bool qn_utf8_valid(const char *p, size_t n);
/* Bytes at the end of p that begin a code point not yet complete (0..3). */
size_t qn_utf8_tail(const char *p, size_t n);
/* Length of the longest prefix of an ill-formed sequence that one U+FFFD
 * stands for (Unicode 3.9 "maximal subpart", as Rust and WHATWG do), >= 1. */
size_t qn_utf8_bad_len(const char *p, size_t n);
size_t qn_utf8_count(const char *p, size_t n);

#endif
