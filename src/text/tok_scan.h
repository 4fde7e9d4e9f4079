/* tok_scan.h - a forward reader of JSON for the big parts of tokenizer files.
 *
 * A vocabulary of 250,000 tokens as a tree of JSON values costs more time and
 * memory than the tokenizer made of it. So the vocabulary and the merges are
 * read straight from the text; everything small is cut out as a slice and
 * goes to base/json.h. Nothing is recursive. */
#ifndef QN_TEXT_TOK_SCAN_H
#define QN_TEXT_TOK_SCAN_H

#include "base/err.h"
#include "base/str.h"

typedef struct qn_scan {
    const char *begin, *p, *end;
    const char *name; /* of the document, for messages */
    bool first;       /* no element of the open container was read yet */
    qn_err *err;
} qn_scan;

void qn_scan_init(qn_scan *s, qn_view text, const char *name, qn_err *err);

/* Steps into the container at the current place: '{' or '['. */
int qn_scan_open(qn_scan *s, char bracket);
/* 1: an element follows (in an object: its key); 0: the container, which
 * `bracket` closes ('}' or ']'), has ended. */
int qn_scan_more(qn_scan *s, char bracket);
/* The string at the current place, decoded, appended to out. */
int qn_scan_string(qn_scan *s, qn_str *out);
/* The colon behind a key. */
int qn_scan_colon(qn_scan *s);
int qn_scan_int(qn_scan *s, int64_t *out);
/* Cuts out the value at the current place. Brackets and quotes are matched;
 * what is inside is checked by whoever reads the slice. */
int qn_scan_slice(qn_scan *s, qn_view *out);
/* What the next value begins with; 0 at the end. */
char qn_scan_peek(qn_scan *s);
/* Only blanks may follow. */
int qn_scan_end(qn_scan *s);

#endif
