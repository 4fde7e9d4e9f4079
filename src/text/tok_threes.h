/* tok_threes.h - digits in threes, counted from the right, by hand.
 *
 * Published patterns look ahead from every group to the end of its run of
 * digits, which takes a regular expression time that grows with the square of
 * the run. How long a run is says at once where it falls apart. */
#ifndef QN_TEXT_TOK_THREES_H
#define QN_TEXT_TOK_THREES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct qn_tok_threes {
    const char *pattern; /* as tokenizer.json has it */
    unsigned digits;     /* the flag of what counts  */
    bool before_border;  /* only runs before what is no word character */
    bool empty;          /* matches are empty, before each three, and not the
                            groups themselves */
} qn_tok_threes;

/* NULL when it is none of them. */
const qn_tok_threes *qn_tok_threes_of(const char *pattern, size_t n);

/* Calls fn for each match in p[n], valid UTF-8, in order. */
typedef void qn_tok_threes_fn(void *user, size_t begin, size_t end);
void qn_tok_threes_each(const qn_tok_threes *t, const char *p, size_t n,
                        qn_tok_threes_fn *fn, void *user);

#endif
