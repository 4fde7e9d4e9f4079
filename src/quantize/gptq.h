/* gptq.h - rounding with the errors made good by what is not yet rounded
 * (Frantar et al. 2022, "GPTQ", https://arxiv.org/abs/2210.17323).
 *
 * H = X^T X over the inputs x of a layer says how much an error in each weight
 * shows in the outputs. Columns are rounded one after the other; the error of
 * each, times a row of U, is taken from the columns that are left. U is upper
 * triangular with inverse(H) = U^T U.
 *
 * Pure functions; rows of a matrix are independent of each other. */
#ifndef QN_QUANTIZE_GPTQ_H
#define QN_QUANTIZE_GPTQ_H

#include "base/pool.h"
#include "tensor/qmat.h"

enum {
    QN_GPTQ_BLOCK = 128 /* columns whose errors are kept back together */
};

/* h [n, n], upper part filled, becomes u, with damping * mean(diagonal) added
 * to the diagonal before. false: h is no such matrix (not finite, or singular
 * in spite of the damping). */
bool qn_gptq_factor(float *h, int64_t n, double damping, qn_pool *pool);

/* Codes, scales and zeros of rows w [n_row, n_in], which is used up. `error` is
 * scratch [n_row, QN_GPTQ_BLOCK]. The scheme is one of integers. */
void qn_gptq_rows(const qn_qmat *m, const float *u, float *w, int64_t n_row,
                  float *error, qn_qrows *out);

#endif
