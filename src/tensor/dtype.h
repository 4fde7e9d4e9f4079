/* dtype.h - element and block formats as they lie in files.
 *
 * A format is a row: names, elements per block, bytes per block, scalar encode
 * and decode. The scalar code is the truth that kernels are tested against.
 * Pure functions, any thread. How a quantized format works is told in its file
 * under tensor/quant/. */
#ifndef QN_TENSOR_DTYPE_H
#define QN_TENSOR_DTYPE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum qn_dtype {
    QN_F32,
    QN_F16,
    QN_BF16,
    QN_F64,
    QN_F8_E4M3, /* OCP E4M3FN: no infinity, 0x7f is NaN */
    QN_F8_E5M2,
    QN_I8,
    QN_U8,
    QN_I16,
    QN_U16,
    QN_I32,
    QN_U32,
    QN_I64,
    QN_U64,
    QN_BOOL,
    QN_C64,         /* two f32; listed, never decoded to real numbers */
    QN_F8_E4M3FNUZ, /* no infinity, no -0: 0x80 is NaN; bias 8        */
    QN_F8_E5M2FNUZ, /* the same with bias 16                          */
    QN_F8_E8M0,     /* 2^(byte - 127), 0xff is NaN                    */
    QN_F6_E2M3,     /* 4 elements in 3 bytes                          */
    QN_F6_E3M2,
    QN_F4_E2M1, /* 2 elements in a byte, the low nibble first */

    QN_Q4_0, /* block of 32: f16 scale, 32 x 4 bit (ggml) */
    QN_Q4_1,
    QN_Q5_0,
    QN_Q5_1,
    QN_Q8_0, /* block of 32: f16 scale, 32 x int8  (ggml) */
    QN_Q8_1,
    QN_Q2_K,
    QN_Q3_K,
    QN_Q4_K,
    QN_Q5_K,
    QN_Q6_K,
    QN_Q8_K,
    QN_IQ1_S,
    QN_IQ1_M,
    QN_IQ2_XXS,
    QN_IQ2_XS,
    QN_IQ2_S,
    QN_IQ3_XXS,
    QN_IQ3_S,
    QN_IQ4_NL,
    QN_IQ4_XS,
    QN_TQ1_0,
    QN_TQ2_0,
    QN_MXFP4,
    QN_NVFP4,
    QN_Q1_0,
    QN_DTYPE_N
} qn_dtype;

typedef struct qn_dtype_row {
    const char *name;        /* ours, lower case: "bf16", "q8_0"           */
    const char *safetensors; /* "BF16", or NULL if that format has none    */
    const char *gguf;        /* "Q8_0", or NULL if that format has none    */
    int ggml;                /* ggml type id, or -1                        */
    int block_elems;         /* 1 for plain types                          */
    int block_bytes;
    /* n is a multiple of block_elems; src of decode and dst of encode may lie
     * at any address. NULL: known by name and size, but not decodable. */
    void (*decode)(const void *src, float *dst, size_t n);
    void (*encode)(const float *src, void *dst, size_t n);
    /* The same where elements matter unequally; weight [n], >= 0, or NULL. */
    void (*encode_weighted)(const float *src, const float *weight, void *dst,
                            size_t n);
} qn_dtype_row;

/* t < QN_DTYPE_N. */
const qn_dtype_row *qn_dtype_get(qn_dtype t);
bool qn_dtype_from_safetensors(const char *name, qn_dtype *out);
bool qn_dtype_from_ggml(uint32_t id, qn_dtype *out);
/* Bytes of n elements; QN_EFORMAT when n is no multiple of the block or the
 * product overflows. */
int qn_dtype_bytes(qn_dtype t, uint64_t n, uint64_t *bytes, qn_err *err);
/* QN_EUNSUP when the row has no decode / encode, QN_EFORMAT when n is no
 * multiple of the block. Encoding rounds to nearest, ties to even; what is out
 * of range becomes infinity, or NaN where the format has no infinity. */
int qn_dtype_decode(qn_dtype t, const void *src, float *dst, size_t n,
                    qn_err *err);
int qn_dtype_encode(qn_dtype t, const float *src, void *dst, size_t n,
                    qn_err *err);
/* The same, keeping sum weight[i] * error[i]^2 small; weight: [n], the mean
 * square of the activations that an element meets (an importance matrix). A
 * format that has no choice to make, and NULL, encode plainly. */
int qn_dtype_encode_weighted(qn_dtype t, const float *src, const float *weight,
                             void *dst, size_t n, qn_err *err);

#endif
