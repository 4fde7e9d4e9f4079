/* divergence.h - small differences of two networks' logits, as KL divergence.
 *
 * With logits l of the base, p = softmax(l), and d = other logits - l:
 *     KL = log sum p exp(d) - sum p d
 *        = log(1 + sum p x + sum p (exp(x) - 1 - x)) - sum p x,   x = d - c,
 * whatever c is. As the mean of d it makes x small where d is, the last sum's
 * terms are never negative, and what rounding does to sum p x cancels.
 *
 * A vocabulary comes in pieces, one after the other: c is the mean of d over
 * what has come, to which the sums are moved, and p is exp(l - the largest l so
 * far) until the end divides by the sum of these. So no more than a piece of
 * logits needs to be in memory. */
#ifndef QN_QUANTIZE_DIVERGENCE_H
#define QN_QUANTIZE_DIVERGENCE_H

#include "base/pool.h"

/* Of a row of the base; zeros before the first piece. */
typedef struct qn_kl_base {
    double sum;  /* of exp(l - max) */
    double past; /* of it, over earlier pieces */
    float max;   /* of the logits so far */
    float scale; /* what sums over earlier pieces are multiplied by, as max
                    became another one with this piece */
} qn_kl_base;

/* Of a row of other logits; zeros before the first piece. */
typedef struct qn_kl_sum {
    double first, rest; /* sums of exp(l - max) x, exp(l - max) (e^x - 1 - x) */
    float mean;         /* c */
} qn_kl_sum;

/* A piece of the vocabulary. */
typedef struct qn_kl_piece {
    const float *base; /* [n_row, n], rows ld apart    */
    float *weight;     /* [n_row, n]: exp(base - max) */
    int64_t ld, n_row;
    int n;
    qn_kl_base *sum; /* [n_row] */
} qn_kl_piece;

/* The base's logits of the piece: weight and sum, by the threads. */
void qn_kl_weigh(qn_pool *pool, const qn_kl_piece *p);
/* Logits x [n_row, n] of the piece, whose base was weighed, into s [n_row]. */
void qn_kl_add(qn_pool *pool, const qn_kl_piece *p, const float *x,
               qn_kl_sum *s);

/* When all pieces were added: the divergence, and log sum exp of the base's
 * and of the other logits. */
double qn_kl_of(const qn_kl_base *b, const qn_kl_sum *s);
double qn_kl_log_sum(const qn_kl_base *b);
double qn_kl_log_sum_other(const qn_kl_base *b, const qn_kl_sum *s);

#endif
