/* divergence.h - small differences of two networks' logits, as KL divergence.
 *
 * With logits l of the base, p = softmax(l), and d = other logits - l:
 *     KL = log sum p exp(d) - sum p d = log(1 + sum p (exp(x) - 1 - x)),
 *     x = d - sum p d,
 * a sum of terms that are never negative and small when d is. */
#ifndef QN_QUANTIZE_DIVERGENCE_H
#define QN_QUANTIZE_DIVERGENCE_H

#include "base/pool.h"

/* prob = softmax(base), [n_row, n] both, by the threads. */
void qn_softmax_rows(qn_pool *pool, const float *base, float *prob,
                     int64_t n_row, int n);
/* sum[r]: of row r of the logits x, each against the base's; [n_row, n]. */
void qn_kl_rows(qn_pool *pool, const float *x, const float *base,
                const float *prob, int64_t n_row, int n, double *sum);

#endif
