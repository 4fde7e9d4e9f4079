/* gptq.h - rounding with the errors made good by what is not yet rounded
 * (Frantar et al. 2022, "GPTQ", https://arxiv.org/abs/2210.17323).
 *
 * H = X^T X over the inputs x of a layer says how much an error in each weight
 * shows in the outputs. Columns are rounded one after the other; the error of
 * each, times a column of T, is taken from the columns that are left. T is lower
 * triangular with inverse(H) = T T^T.
 *
 * The columns may go by falling diagonal of H (activation order). Groups are
 * then either of columns that are neighbours in that order, which the layout
 * has to say (g_idx), or of those that are neighbours in the matrix, with
 * scales that were fixed before ("static").
 *
 * Deterministic whatever the threads; rows of a matrix are independent. */
#ifndef QN_QUANTIZE_GPTQ_H
#define QN_QUANTIZE_GPTQ_H

#include "backend/backend.h"
#include "quantize/tri.h"
#include "tensor/qmat.h"

enum {
    QN_GPTQ_BLOCK = 128 /* columns whose errors are kept back together */
};

typedef struct qn_gptq {
    qn_backend *be;
    const qn_tri *t;
    int32_t *order; /* [n] the column that is rounded at each turn; NULL:
                          as they stand */
    bool static_groups;
} qn_gptq;

/* The symmetric matrix h becomes T in its place, with damping * mean(diagonal)
 * added to the diagonal before. With `ordered`, order is made (qn_gptq_deinit
 * frees it) and T is that of the columns so ordered. QN_EINVAL: h is no such matrix (nothing
 * came through, not finite, or singular in spite of the damping). */
int qn_gptq_factor(qn_gptq *g, qn_backend *be, qn_tri *h, double damping,
                   bool ordered, qn_err *err);
void qn_gptq_deinit(qn_gptq *g); /* not T, which is the caller's h */

/* Codes, scales and zeros of all rows of w [n_out, n_in], which is used up (in
 * the end it holds what the codes mean). The scheme is one of integers. g_idx:
 * [n_in] or NULL, filled where groups follow the order. */
int qn_gptq_matrix(const qn_gptq *g, const qn_qmat *m, float *w, qn_qrows *out,
                   int32_t *g_idx, qn_err *err);

#endif
