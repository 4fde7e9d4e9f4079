/* tri.h - the lower half of a square matrix, in strips of columns.
 *
 * Strip s has the columns from s * QN_TRI_STRIP on, and of those the rows from
 * the same number down, one after the other, `ld` apart; so each strip is a
 * plain array, and all of them little more than half of the matrix. What lies
 * above the diagonal in the square that a strip begins with is nobody's.
 *
 *      0 1 . . .    strip 0: [5, 2], strip 1: [3, 2], strip 2: [1, 1],
 *      0 1 . . .    with a strip of two columns and five of all
 *      0 1 2 3 .
 *      0 1 2 3 .
 *      0 1 2 3 4
 *
 * Ownership: qn_tri_new allocates, qn_tri_free frees. */
#ifndef QN_QUANTIZE_TRI_H
#define QN_QUANTIZE_TRI_H

#include "base/err.h"

#include <stdint.h>

enum {
    QN_TRI_STRIP = 512
};

typedef struct qn_tri {
    int64_t n, ld;
    float *v; /* NULL: none */
} qn_tri;

/* All zeros. QN_ENOMEM. */
int qn_tri_new(qn_tri *t, int64_t n, qn_err *err);
void qn_tri_free(qn_tri *t); /* one of zeros is fine */

/* Row i of the strip that column k is in, from k on; i is no less than the
 * strip's first column. */
static inline float *qn_tri_at(const qn_tri *t, int64_t i, int64_t k)
{
    int64_t s = k / QN_TRI_STRIP, first = s * QN_TRI_STRIP;
    int64_t rows_before = s * t->n - s * (s - 1) / 2 * QN_TRI_STRIP;
    return t->v + (rows_before + i - first) * t->ld + k - first;
}

/* Where the strip of column k ends. */
static inline int64_t qn_tri_end(const qn_tri *t, int64_t k)
{
    int64_t end = (k / QN_TRI_STRIP + 1) * QN_TRI_STRIP;
    return end < t->n ? end : t->n;
}

/* Rows and columns p and q change places. */
void qn_tri_swap(qn_tri *t, int64_t p, int64_t q);

#endif
