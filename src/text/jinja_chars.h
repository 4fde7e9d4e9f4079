/* jinja_chars.h - characters as Python's str sees them (private to jinja_*.c).
 *
 * All text here is valid UTF-8. */
#ifndef QN_TEXT_JINJA_CHARS_H
#define QN_TEXT_JINJA_CHARS_H

#include "text/jinja_rt.h"

/* str.isspace(), which is also what \s matches. */
bool qn_jchars_is_space(uint32_t cp);
/* Bytes of whitespace at the beginning and at the end. */
size_t qn_jchars_space_prefix(qn_view s);
size_t qn_jchars_space_suffix(qn_view s);

/* The value of an ASCII digit or letter (0..35), 36 for anything else. */
int qn_jchars_digit(char c);
/* Bytes of the identifier at the beginning; 0 when there is none. */
size_t qn_jchars_name_prefix(qn_view s);

typedef enum qn_jprop {
    QN_JP_ALPHA,
    QN_JP_DECIMAL,
    QN_JP_DIGIT,
    QN_JP_NUMBER, /* category N*                             */
    QN_JP_LOWER,
    QN_JP_UPPER,
    QN_JP_TITLE, /* the few that are title case only       */
    QN_JP_CASED,
    QN_JP_IGNORABLE, /* case-ignorable: around a final sigma */
    QN_JP_PRINTABLE  /* shown by repr() as it is             */
} qn_jprop;
bool qn_jchars_is(uint32_t cp, qn_jprop prop);

/* The code point at the beginning and its length (>= 1; s is not empty). */
uint32_t qn_jchars_at(qn_view s, size_t *len);
/* Where the last code point of s begins (s is not empty). */
size_t qn_jchars_last(qn_view s);
/* Code points in s. */
size_t qn_jchars_count(qn_view s);
/* Does s hold only ASCII? */
bool qn_jchars_ascii(qn_view s);

typedef enum qn_jcase {
    QN_JCASE_LOWER,
    QN_JCASE_UPPER,
    QN_JCASE_TITLE,      /* str.title()      */
    QN_JCASE_CAPITALIZE, /* str.capitalize() */
    QN_JCASE_SWAP
} qn_jcase;
/* Appends s in another case, by Unicode's full mappings. */
void qn_jchars_case(qn_jsb *sb, qn_view s, qn_jcase how);

#endif
