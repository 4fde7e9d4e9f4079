/* fit.h - the choice of scales and codes that the encoders of super-blocks
 * share.
 *
 * What is minimized is sum w[i] (x[i] - value[i])^2: with w = the mean square of
 * the activation that element i is multiplied with, the error of the product.
 * w NULL weighs all the same. Any input is defined; what is not finite encodes
 * to something. Pure functions. */
#ifndef QN_TENSOR_FIT_H
#define QN_TENSOR_FIT_H

#include <stdint.h>

enum {
    QN_FIT_ELEMS = 256, /* of a super-block */
    QN_FIT_SUBS = 16    /* sub-blocks at most */
};

/* value = D * scale[j] * q[i] - M * offset[j] for element i of sub-block j,
 * where D and M are d and m as numbers. */
typedef struct qn_fit_affine {
    uint16_t d, m; /* f16 */
    uint8_t scale[QN_FIT_SUBS], offset[QN_FIT_SUBS];
    uint8_t q[QN_FIT_ELEMS];
} qn_fit_affine;

/* n_sub sub-blocks of 256 / n_sub elements, q in [0, top], scale and offset in
 * [0, code_top]. */
void qn_fit_affine_super(const float *x, const float *w, int n_sub, int top,
                         int code_top, qn_fit_affine *out);

/* The values that a code may stand for, ascending: count whole numbers from
 * `first` on, or the list. */
typedef struct qn_fit_book {
    int count;
    float first;
    const float *list; /* [count] or NULL */
} qn_fit_book;

/* value = D * scale[j] * book[q[i]] */
typedef struct qn_fit_scaled {
    uint16_t d; /* f16 */
    int8_t scale[QN_FIT_SUBS];
    uint8_t q[QN_FIT_ELEMS];
} qn_fit_scaled;

/* scale in [-code_half, code_half - 1]. */
void qn_fit_scaled_super(const float *x, const float *w, int n_sub,
                         const qn_fit_book *book, int code_half,
                         qn_fit_scaled *out);

/* One block of n elements: value = D * book[q[i]]. */
void qn_fit_scaled_block(const float *x, const float *w, int n,
                         const qn_fit_book *book, uint16_t *d, uint8_t *q);

#endif
