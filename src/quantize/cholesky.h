/* cholesky.h - the triangular factor that GPTQ needs, in blocks, with the
 * products on the backend's kernels. */
#ifndef QN_QUANTIZE_CHOLESKY_H
#define QN_QUANTIZE_CHOLESKY_H

#include "backend/backend.h"

/* h [n, n], symmetric and positive definite, becomes U in its upper part, with
 * inverse(h) = U^T U; the rest of it then means nothing. QN_EINVAL when h is
 * not positive definite. */
int qn_inverse_factor(qn_backend *be, float *h, int64_t n, qn_err *err);

#endif
