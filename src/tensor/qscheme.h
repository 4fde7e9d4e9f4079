/* qscheme.h - what the files quant/hf_*.c share, and their rows. */
#ifndef QN_TENSOR_QSCHEME_H
#define QN_TENSOR_QSCHEME_H

#include "tensor/qmat.h"

extern const qn_qscheme qn_bnb_nf4_scheme, qn_bnb_fp4_scheme, qn_bnb_i8_scheme;
extern const qn_qscheme qn_gptq_scheme, qn_awq_scheme;
extern const qn_qscheme qn_ct_pack_scheme, qn_ct_int8_scheme, qn_ct_fp8_scheme;
extern const qn_qscheme qn_ct_nvfp4_scheme, qn_ct_mxfp4_scheme;
extern const qn_qscheme qn_fp8_scheme, qn_fp8_block_scheme;
extern const qn_qscheme qn_modelopt_fp8_scheme, qn_modelopt_nvfp4_scheme;
extern const qn_qscheme qn_mxfp4_scheme;

/* Code books: what 4-bit floats (2 exponent bits) and e4m3 bytes mean. */
extern const float qn_e2m1_table[16];
const float *qn_e4m3_table(void); /* [256] */

/* Element i of a part whose type is f32, f16, bf16, f8_e4m3, u8 or i8. */
float qn_qpart_at(const qn_qpart *p, int64_t i);
/* n of them, from number i on. */
void qn_qpart_some(const qn_qpart *p, int64_t i, int64_t n, float *to);
int32_t qn_qpart_i32(const qn_qpart *p, int64_t i);

/* ---- checks, with the words of an error -------------------------------- */

/* The part has these dimensions. */
bool qn_qpart_is(const qn_qpart *p, int n_dims, int64_t d0, int64_t d1);
int qn_qpart_bad(const qn_qmat *m, int part, const char *wanted, qn_err *err);
/* Part i is of a floating type / of that type. */
int qn_qpart_want_float(const qn_qmat *m, int part, qn_err *err);
int qn_qpart_want(const qn_qmat *m, int part, qn_dtype t, qn_err *err);
/* The matrix is [n_out, n_in]. */
void qn_qmat_shape2(qn_qmat *m, int64_t n_out, int64_t n_in);
/* Group size of n_in elements in n_group groups when the configuration says
 * `said` (<= 0: nothing, or all of the row). */
int qn_qmat_group(qn_qmat *m, int64_t n_group, int64_t said, qn_err *err);

/* ---- writing ----------------------------------------------------------- */

/* Part i is there, with this type and shape. */
void qn_qpart_lay(qn_qmat *m, int part, qn_dtype t, int n_dims, int64_t d0,
                  int64_t d1);
/* v as element i of a part to be written. */
void qn_qpart_put(const qn_qmat *m, int part, int64_t i, float v);
/* Integers to nearest, group by group: symmetric (scale = absmax / (2^bits - 1)
 * * 2), or with zero points when m->zeros; scales are rounded to what
 * m->stored says before they are used. */
void qn_affine_quantize(const qn_qmat *m, const float *w, int64_t n_row,
                        qn_qrows *out);
/* Scale and zero point of n weights of one group, as above. */
void qn_affine_fit(const qn_qmat *m, const float *w, int64_t n, float *scale,
                   float *zero);
/* The code nearest to v + zero in [0, max], ties to even; 0 for a NaN. Adding
 * and taking 1.5 * 2^23 rounds to whole numbers where the result counts. */
static inline float qn_affine_round(float v, float zero, float max)
{
    float q = v + zero;
    q = q > 0 ? q : 0;
    q = q < max ? q : max;
    return (q - zero + 0x1.8p23f) - 0x1.8p23f + zero;
}
/* v rounded to type t (f32, f16, bf16). */
float qn_rounded(float v, qn_dtype t);

#endif
