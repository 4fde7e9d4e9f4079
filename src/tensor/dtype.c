/* dtype.c - the table of formats.
 *
 * Names and sizes: the safetensors format description (its Dtype list), and
 * ggml's type ids and block sizes (gguf-py/gguf/constants.py of llama.cpp,
 * MIT). A row without decode lets a file that holds the format be listed and
 * measured, and be refused with the format's name. */
#include "tensor/dtype.h"

#include "base/mem.h"
#include "tensor/codec.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum {
    NO_ID = -1
};

/* The functions of a format: none, to decode alone, both ways, and with an
 * encoder that weighs its choices. */
#define LISTED NULL, NULL, NULL
#define DECODED(f) qn_##f##_decode, NULL, NULL
#define BOTH(f) qn_##f##_decode, qn_##f##_encode, NULL
#define SEARCHED(f) qn_##f##_decode, qn_##f##_encode, qn_##f##_encode_weighted

/* {ours, safetensors, gguf, ggml id, elements, bytes, decode, encode,
 * encode_weighted} */
static const qn_dtype_row dtype_rows[QN_DTYPE_N] = {
    /* clang-format off */
    [QN_F32]  = {"f32",  "F32",  "F32",  0, 1, 4, BOTH(f32)},
    [QN_F16]  = {"f16",  "F16",  "F16",  1, 1, 2, BOTH(f16)},
    [QN_BF16] = {"bf16", "BF16", "BF16", 30, 1, 2, BOTH(bf16)},
    [QN_F64]  = {"f64",  "F64",  "F64",  28, 1, 8, BOTH(f64)},
    [QN_F8_E4M3] = {"f8_e4m3", "F8_E4M3", NULL, NO_ID, 1, 1, BOTH(e4m3)},
    [QN_F8_E5M2] = {"f8_e5m2", "F8_E5M2", NULL, NO_ID, 1, 1, BOTH(e5m2)},
    [QN_I8]   = {"i8",   "I8",   "I8",  24,    1, 1, DECODED(i8)},
    [QN_U8]   = {"u8",   "U8",   NULL,  NO_ID, 1, 1, DECODED(u8)},
    [QN_I16]  = {"i16",  "I16",  "I16", 25,    1, 2, DECODED(i16)},
    [QN_U16]  = {"u16",  "U16",  NULL,  NO_ID, 1, 2, DECODED(u16)},
    [QN_I32]  = {"i32",  "I32",  "I32", 26,    1, 4, DECODED(i32)},
    [QN_U32]  = {"u32",  "U32",  NULL,  NO_ID, 1, 4, DECODED(u32)},
    [QN_I64]  = {"i64",  "I64",  "I64", 27,    1, 8, DECODED(i64)},
    [QN_U64]  = {"u64",  "U64",  NULL,  NO_ID, 1, 8, DECODED(u64)},
    [QN_BOOL] = {"bool", "BOOL", NULL,  NO_ID, 1, 1, DECODED(bool)},
    [QN_C64]  = {"c64",  "C64",  NULL,  NO_ID, 1, 8, LISTED},
    [QN_F8_E4M3FNUZ] = {"f8_e4m3fnuz", "F8_E4M3FNUZ", NULL, NO_ID, 1, 1, DECODED(e4m3fnuz)},
    [QN_F8_E5M2FNUZ] = {"f8_e5m2fnuz", "F8_E5M2FNUZ", NULL, NO_ID, 1, 1, DECODED(e5m2fnuz)},
    [QN_F8_E8M0] = {"f8_e8m0", "F8_E8M0", NULL, NO_ID, 1, 1, DECODED(e8m0)},
    [QN_F6_E2M3] = {"f6_e2m3", "F6_E2M3", NULL, NO_ID, 4, 3, LISTED},
    [QN_F6_E3M2] = {"f6_e3m2", "F6_E3M2", NULL, NO_ID, 4, 3, LISTED},
    [QN_F4_E2M1] = {"f4_e2m1", "F4",      NULL, NO_ID, 2, 1, DECODED(e2m1)},

    [QN_Q4_0] = {"q4_0", NULL, "Q4_0", 2,   32,  18, BOTH(q4_0)},
    [QN_Q4_1] = {"q4_1", NULL, "Q4_1", 3,   32,  20, BOTH(q4_1)},
    [QN_Q5_0] = {"q5_0", NULL, "Q5_0", 6,   32,  22, BOTH(q5_0)},
    [QN_Q5_1] = {"q5_1", NULL, "Q5_1", 7,   32,  24, BOTH(q5_1)},
    [QN_Q8_0] = {"q8_0", NULL, "Q8_0", 8,   32,  34, BOTH(q8_0)},
    [QN_Q8_1] = {"q8_1", NULL, "Q8_1", 9,   32,  36, DECODED(q8_1)},
    [QN_Q2_K] = {"q2_k", NULL, "Q2_K", 10, 256,  84, SEARCHED(q2_k)},
    [QN_Q3_K] = {"q3_k", NULL, "Q3_K", 11, 256, 110, SEARCHED(q3_k)},
    [QN_Q4_K] = {"q4_k", NULL, "Q4_K", 12, 256, 144, SEARCHED(q4_k)},
    [QN_Q5_K] = {"q5_k", NULL, "Q5_K", 13, 256, 176, SEARCHED(q5_k)},
    [QN_Q6_K] = {"q6_k", NULL, "Q6_K", 14, 256, 210, SEARCHED(q6_k)},
    [QN_Q8_K] = {"q8_k", NULL, "Q8_K", 15, 256, 292, DECODED(q8_k)},
    [QN_IQ1_S]   = {"iq1_s",   NULL, "IQ1_S",   19, 256,  50, DECODED(iq1_s)},
    [QN_IQ1_M]   = {"iq1_m",   NULL, "IQ1_M",   29, 256,  56, DECODED(iq1_m)},
    [QN_IQ2_XXS] = {"iq2_xxs", NULL, "IQ2_XXS", 16, 256,  66, DECODED(iq2_xxs)},
    [QN_IQ2_XS]  = {"iq2_xs",  NULL, "IQ2_XS",  17, 256,  74, DECODED(iq2_xs)},
    [QN_IQ2_S]   = {"iq2_s",   NULL, "IQ2_S",   22, 256,  82, DECODED(iq2_s)},
    [QN_IQ3_XXS] = {"iq3_xxs", NULL, "IQ3_XXS", 18, 256,  98, DECODED(iq3_xxs)},
    [QN_IQ3_S]   = {"iq3_s",   NULL, "IQ3_S",   21, 256, 110, DECODED(iq3_s)},
    [QN_IQ4_NL]  = {"iq4_nl",  NULL, "IQ4_NL",  20,  32,  18, SEARCHED(iq4_nl)},
    [QN_IQ4_XS]  = {"iq4_xs",  NULL, "IQ4_XS",  23, 256, 136, SEARCHED(iq4_xs)},
    [QN_TQ1_0]   = {"tq1_0",   NULL, "TQ1_0",   34, 256,  54, DECODED(tq1_0)},
    [QN_TQ2_0]   = {"tq2_0",   NULL, "TQ2_0",   35, 256,  66, DECODED(tq2_0)},
    [QN_MXFP4]   = {"mxfp4",   NULL, "MXFP4",   39,  32,  17, BOTH(mxfp4)},
    [QN_NVFP4]   = {"nvfp4",   NULL, "NVFP4",   40,  64,  36, DECODED(nvfp4)},
    [QN_Q1_0]    = {"q1_0",    NULL, "Q1_0",    41, 128,  18, DECODED(q1_0)},
    /* clang-format on */
};

#undef LISTED
#undef DECODED
#undef BOTH
#undef SEARCHED

const qn_dtype_row *qn_dtype_get(qn_dtype t)
{
    assert((unsigned)t < QN_DTYPE_N);
    return &dtype_rows[t];
}

bool qn_dtype_from_safetensors(const char *name, qn_dtype *out)
{
    for (int i = 0; i < QN_DTYPE_N; i++) {
        const char *s = dtype_rows[i].safetensors;
        if (!s || strcmp(s, name) != 0)
            continue;
        *out = (qn_dtype)i;
        return true;
    }
    return false;
}

bool qn_dtype_from_ggml(uint32_t id, qn_dtype *out)
{
    for (int i = 0; i < QN_DTYPE_N; i++) {
        if (dtype_rows[i].ggml < 0 || (uint32_t)dtype_rows[i].ggml != id)
            continue;
        *out = (qn_dtype)i;
        return true;
    }
    return false;
}

int qn_dtype_bytes(qn_dtype t, uint64_t n, uint64_t *bytes, qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    uint64_t elems = (uint64_t)row->block_elems;
    if (n % elems != 0)
        return qn_fail(err, QN_EFORMAT,
                       "%" PRIu64 " elements of %s: not a multiple of its "
                       "block of %d",
                       n, row->name, row->block_elems);
    uint64_t size;
    if (!qn_mul_u64(n / elems, (uint64_t)row->block_bytes, &size))
        return qn_fail(err, QN_EFORMAT,
                       "%" PRIu64 " elements of %s: more than 2^64 bytes", n,
                       row->name);
    *bytes = size;
    return QN_OK;
}

/* What decode and encode both ask for. */
static int dtype_check(const qn_dtype_row *row, bool able, const char *verb,
                       size_t n, qn_err *err)
{
    if (!able)
        return qn_fail(err, QN_EUNSUP, "format %s cannot be %s", row->name,
                       verb);
    if (n % (size_t)row->block_elems != 0)
        return qn_fail(err, QN_EFORMAT,
                       "%zu elements of %s: not a multiple of its block of %d",
                       n, row->name, row->block_elems);
    return QN_OK;
}

int qn_dtype_decode(qn_dtype t, const void *src, float *dst, size_t n,
                    qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    QN_TRY(dtype_check(row, row->decode, "decoded", n, err));
    row->decode(src, dst, n);
    return QN_OK;
}

int qn_dtype_encode(qn_dtype t, const float *src, void *dst, size_t n,
                    qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    QN_TRY(dtype_check(row, row->encode, "encoded", n, err));
    row->encode(src, dst, n);
    return QN_OK;
}

int qn_dtype_encode_weighted(qn_dtype t, const float *src, const float *weight,
                             void *dst, size_t n, qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    if (!weight || !row->encode_weighted)
        return qn_dtype_encode(t, src, dst, n, err);
    QN_TRY(dtype_check(row, row->encode, "encoded", n, err));
    row->encode_weighted(src, weight, dst, n);
    return QN_OK;
}
