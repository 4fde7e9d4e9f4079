/* codec.h - the decode and encode functions that the rows of dtype.c name.
 *
 * Each handles n elements (a multiple of its block), is pure, and reads and
 * writes file bytes at any alignment. decode: file bytes -> f32; encode: back,
 * rounding to nearest. Files are little-endian, and so must the machine be. */
#ifndef QN_TENSOR_CODEC_H
#define QN_TENSOR_CODEC_H

#include <stddef.h>

/* plain.c */
void qn_f32_decode(const void *src, float *dst, size_t n);
void qn_f32_encode(const float *src, void *dst, size_t n);
void qn_f16_decode(const void *src, float *dst, size_t n);
void qn_f16_encode(const float *src, void *dst, size_t n);
void qn_bf16_decode(const void *src, float *dst, size_t n);
void qn_bf16_encode(const float *src, void *dst, size_t n);
void qn_f64_decode(const void *src, float *dst, size_t n);
void qn_f64_encode(const float *src, void *dst, size_t n);
void qn_i8_decode(const void *src, float *dst, size_t n);
void qn_u8_decode(const void *src, float *dst, size_t n);
void qn_i16_decode(const void *src, float *dst, size_t n);
void qn_u16_decode(const void *src, float *dst, size_t n);
void qn_i32_decode(const void *src, float *dst, size_t n);
void qn_u32_decode(const void *src, float *dst, size_t n);
void qn_i64_decode(const void *src, float *dst, size_t n);
void qn_u64_decode(const void *src, float *dst, size_t n);
void qn_bool_decode(const void *src, float *dst, size_t n);

/* minifloat.c */
void qn_e4m3_decode(const void *src, float *dst, size_t n);
void qn_e4m3_encode(const float *src, void *dst, size_t n);
void qn_e5m2_decode(const void *src, float *dst, size_t n);
void qn_e5m2_encode(const float *src, void *dst, size_t n);
void qn_e4m3fnuz_decode(const void *src, float *dst, size_t n);
void qn_e5m2fnuz_decode(const void *src, float *dst, size_t n);
void qn_e8m0_decode(const void *src, float *dst, size_t n);
void qn_e2m1_decode(const void *src, float *dst, size_t n);

/* quant/, one file per format or family of formats */
void qn_q8_0_decode(const void *src, float *dst, size_t n);
void qn_q8_0_encode(const float *src, void *dst, size_t n);
void qn_q4_0_decode(const void *src, float *dst, size_t n);
void qn_q4_0_encode(const float *src, void *dst, size_t n);
void qn_q4_1_decode(const void *src, float *dst, size_t n);
void qn_q4_1_encode(const float *src, void *dst, size_t n);
void qn_q5_0_decode(const void *src, float *dst, size_t n);
void qn_q5_0_encode(const float *src, void *dst, size_t n);
void qn_q5_1_decode(const void *src, float *dst, size_t n);
void qn_q5_1_encode(const float *src, void *dst, size_t n);
void qn_q8_1_decode(const void *src, float *dst, size_t n);
void qn_q8_k_decode(const void *src, float *dst, size_t n);
void qn_q2_k_decode(const void *src, float *dst, size_t n);
void qn_q2_k_encode(const float *src, void *dst, size_t n);
void qn_q2_k_encode_weighted(const float *src, const float *weight, void *dst,
                             size_t n);
void qn_q3_k_decode(const void *src, float *dst, size_t n);
void qn_q3_k_encode(const float *src, void *dst, size_t n);
void qn_q3_k_encode_weighted(const float *src, const float *weight, void *dst,
                             size_t n);
void qn_q4_k_decode(const void *src, float *dst, size_t n);
void qn_q4_k_encode(const float *src, void *dst, size_t n);
void qn_q4_k_encode_weighted(const float *src, const float *weight, void *dst,
                             size_t n);
void qn_q5_k_decode(const void *src, float *dst, size_t n);
void qn_q5_k_encode(const float *src, void *dst, size_t n);
void qn_q5_k_encode_weighted(const float *src, const float *weight, void *dst,
                             size_t n);
void qn_q6_k_decode(const void *src, float *dst, size_t n);
void qn_q6_k_encode(const float *src, void *dst, size_t n);
void qn_q6_k_encode_weighted(const float *src, const float *weight, void *dst,
                             size_t n);
void qn_iq1_s_decode(const void *src, float *dst, size_t n);
void qn_iq1_m_decode(const void *src, float *dst, size_t n);
void qn_iq2_xxs_decode(const void *src, float *dst, size_t n);
void qn_iq2_xs_decode(const void *src, float *dst, size_t n);
void qn_iq2_s_decode(const void *src, float *dst, size_t n);
void qn_iq3_xxs_decode(const void *src, float *dst, size_t n);
void qn_iq3_s_decode(const void *src, float *dst, size_t n);
void qn_iq4_nl_decode(const void *src, float *dst, size_t n);
void qn_iq4_nl_encode(const float *src, void *dst, size_t n);
void qn_iq4_nl_encode_weighted(const float *src, const float *weight, void *dst,
                               size_t n);
void qn_iq4_xs_decode(const void *src, float *dst, size_t n);
void qn_iq4_xs_encode(const float *src, void *dst, size_t n);
void qn_iq4_xs_encode_weighted(const float *src, const float *weight, void *dst,
                               size_t n);
void qn_tq1_0_decode(const void *src, float *dst, size_t n);
void qn_tq2_0_decode(const void *src, float *dst, size_t n);
void qn_mxfp4_decode(const void *src, float *dst, size_t n);
void qn_mxfp4_encode(const float *src, void *dst, size_t n);
void qn_nvfp4_decode(const void *src, float *dst, size_t n);
void qn_q1_0_decode(const void *src, float *dst, size_t n);

#endif
