/* matmul.h - products of matrices in f32 that are no layer of a network, with the
 * backend's kernels. */
#ifndef QN_QUANTIZE_MATMUL_H
#define QN_QUANTIZE_MATMUL_H

#include "backend/backend.h"

/* y [n_row, n_out] (+)= scale * x [n_row, n_in] w^T, w [n_out, n_in], with the
 * kernels of the backend. */
typedef struct qn_matmul {
    const float *x, *w;
    float *y;
    int64_t ldx, ldw, ldy;
    int64_t n_row, n_in, n_out;
    float scale;
    bool add;
    bool rounded; /* x and w to bf16, which some processors multiply faster */
    bool turned;  /* w lies as [n_in, n_out] */
} qn_matmul;
/* Work is shared among the threads of the backend. w is read before y is
 * written, so y may lie where w does. */
int qn_matmul_run(qn_backend *be, const qn_matmul *p, qn_err *err);

#endif
