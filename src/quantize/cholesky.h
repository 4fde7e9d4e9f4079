/* cholesky.h - the triangular factor that GPTQ needs, in blocks, with the
 * products on the backend's kernels. */
#ifndef QN_QUANTIZE_CHOLESKY_H
#define QN_QUANTIZE_CHOLESKY_H

#include "backend/backend.h"
#include "quantize/tri.h"

/* The symmetric, positive definite matrix h becomes T in its place, with
 * inverse(h) = T T^T. QN_EINVAL when it is not positive definite. */
int qn_inverse_factor(qn_backend *be, qn_tri *h, qn_err *err);

#endif
