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
    QN_Q8_0, /* block of 32: f16 scale, 32 x int8  (ggml) */
    QN_Q4_0, /* block of 32: f16 scale, 32 x 4 bit (ggml) */
    QN_DTYPE_N
} qn_dtype;

typedef struct qn_dtype_row {
    const char *name;        /* ours, lower case: "bf16", "q8_0"           */
    const char *safetensors; /* "BF16", or NULL if that format has none    */
    int ggml;                /* ggml type id, or -1                        */
    int block_elems;         /* 1 for plain types                          */
    int block_bytes;
    /* n is a multiple of block_elems. NULL: known, not decodable yet. */
    void (*decode)(const void *src, float *dst, size_t n);
    void (*encode)(const float *src, void *dst, size_t n);
} qn_dtype_row;

const qn_dtype_row *qn_dtype_get(qn_dtype t);
bool qn_dtype_from_safetensors(const char *name, qn_dtype *out);
bool qn_dtype_from_ggml(uint32_t id, qn_dtype *out);
/* Bytes of n elements; QN_EFORMAT when n is no multiple of the block. */
int qn_dtype_bytes(qn_dtype t, uint64_t n, uint64_t *bytes, qn_err *err);
/* QN_EUNSUP when the row has no decode / encode. */
int qn_dtype_decode(qn_dtype t, const void *src, float *dst, size_t n,
                    qn_err *err);
int qn_dtype_encode(qn_dtype t, const float *src, void *dst, size_t n,
                    qn_err *err);

#endif
