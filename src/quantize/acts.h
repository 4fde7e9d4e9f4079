/* acts.h - numbers of which there are more the longer the text is: streams,
 * logits and what is made of them. They are counted (QN_MEM_ACTIVATIONS), so
 * that a run can say how much of its memory they were.
 *
 * Ownership: qn_acts_new allocates, qn_acts_free frees. */
#ifndef QN_QUANTIZE_ACTS_H
#define QN_QUANTIZE_ACTS_H

#include "base/mem.h"

typedef struct qn_acts {
    float *v; /* NULL: none */
    size_t n;
} qn_acts;

/* Zeros; false when there is no memory. */
static inline bool qn_acts_new(qn_acts *a, size_t n_row, size_t n_col)
{
    void *p = NULL;
    size_t bytes;
    if (!qn_mul_size(n_row, n_col, &a->n) ||
        !qn_mul_size(a->n, sizeof *a->v, &bytes) ||
        qn_big_alloc(&p, bytes, QN_MEM_ACTIVATIONS, NULL) < 0)
        return false;
    a->v = p;
    return true;
}

static inline void qn_acts_free(qn_acts *a)
{
    qn_big_free(a->v, a->n * sizeof *a->v, QN_MEM_ACTIVATIONS);
    *a = (qn_acts){0};
}

#endif
