/* char_reader.h - what notations of patterns have in common: characters,
 * escapes, classes, counts. Functions return 0 or fail with a message that says
 * where. */
#ifndef QN_TEXT_CHAR_READER_H
#define QN_TEXT_CHAR_READER_H

#include "text/code_set.h"

#include <stddef.h>

#define QN_CHAR_NONE UINT32_MAX /* no single character */

typedef struct qn_char_reader {
    const char *p;
    size_t n, at;
    const char *what; /* is read, for messages */
    qn_err *err;
} qn_char_reader;

int qn_chars_fail(const qn_char_reader *r, int code, const char *message);
bool qn_chars_at(const qn_char_reader *r, const char *s);
/* The same, and it is read. */
bool qn_chars_take(qn_char_reader *r, const char *s);

/* The letters, digits and _ that stand here, and those of `more`; how many. */
size_t qn_chars_take_name(qn_char_reader *r, const char *more);

/* A character as it stands, or escaped; a class of letters (\d) goes into the
 * set, and then *c is QN_CHAR_NONE. */
int qn_chars_take_one(qn_char_reader *r, qn_code_set *s, uint32_t *c);
/* Behind [, up to and with ] */
int qn_chars_take_class(qn_char_reader *r, qn_code_set *s);

/* * + ? {m} {m,} {,n} {m,n} where one stands, into *min and *max, which are 1
 * otherwise. What is in braces and no count stands for itself. */
int qn_chars_take_repeat(qn_char_reader *r, uint32_t *min, uint32_t *max);

#endif
