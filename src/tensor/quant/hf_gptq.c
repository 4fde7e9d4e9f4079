/* hf_gptq.c - GPTQ as AutoGPTQ and GPTQModel store it: 2, 3, 4 or 8 bits.
 *
 *   qweight  i32 [n_in * bits / 32, n_out]     codes, along k in each column
 *   qzeros   i32 [n_group, n_out * bits / 32]  zero points, along n_out
 *   scales   f16 [n_group, n_out]
 *   g_idx    i32 [n_in]                        group of each k, or absent
 *
 * Codes are a stream of bits through the words of their column (row for
 * qzeros), the low bits of a word first; a 3-bit code may lie in two words.
 * Version 1 of the format holds zero - 1 (modulo 2^bits), version 2
 * (checkpoint_format gptq_v2) the zero itself.
 *
 *   w = (code - zero) * scale */
#include "tensor/qscheme.h"

#include <string.h>

enum {
    P_QWEIGHT,
    P_QZEROS,
    P_SCALES,
    P_G_IDX
};

static int gptq_bits(qn_qmat *m, const json_t *q, qn_err *err)
{
    int64_t bits = 4;
    QN_TRY(qn_json_i64(q, "bits", &bits, "quantization_config", err));
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return qn_fail(err, QN_EUNSUP,
                       "quantization_config: gptq of %d bits cannot be read; "
                       "2, 3, 4 and 8 can",
                       (int)bits);
    m->bits = (int)bits;
    return QN_OK;
}

static int gptq_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    const qn_qpart *w = &m->part[P_QWEIGHT], *s = &m->part[P_SCALES];
    int64_t said = 0;
    QN_TRY(gptq_bits(m, q, err));
    QN_TRY(qn_json_i64(q, "group_size", &said, "quantization_config", err));
    QN_TRY(qn_qpart_want(m, P_QWEIGHT, QN_I32, err));
    QN_TRY(qn_qpart_want(m, P_QZEROS, QN_I32, err));
    QN_TRY(qn_qpart_want_float(m, P_SCALES, err));
    if (w->n_dims != 2 || w->shape[0] > INT32_MAX ||
        w->shape[0] * 32 % m->bits != 0)
        return qn_qpart_bad(m, P_QWEIGHT, "[n_in * bits / 32, n_out]", err);
    qn_qmat_shape2(m, w->shape[1], w->shape[0] * 32 / m->bits);
    if (s->n_dims != 2 || s->shape[1] != m->n_out)
        return qn_qpart_bad(m, P_SCALES, "[n_group, n_out]", err);
    if (m->n_out > INT32_MAX || !qn_qpart_is(&m->part[P_QZEROS], 2, s->shape[0],
                                             (m->n_out * m->bits + 31) / 32))
        return qn_qpart_bad(m, P_QZEROS, "[n_group, n_out * bits / 32]", err);
    QN_TRY(qn_qmat_group(m, s->shape[0], said, err));
    m->zeros = true;
    if (m->part[P_G_IDX].name) {
        QN_TRY(qn_qpart_want(m, P_G_IDX, QN_I32, err));
        if (!qn_qpart_is(&m->part[P_G_IDX], 1, m->n_in, 0))
            return qn_qpart_bad(m, P_G_IDX, "[n_in]", err);
        m->g_idx_part = P_G_IDX;
    }
    const char *f = json_string_value(json_object_get(q, "checkpoint_format"));
    m->extra = f && strcmp(f, "gptq_v2") == 0 ? 0 : 1;
    return QN_OK;
}

/* Code i of a stream whose words lie `stride` apart. */
static uint32_t stream_at(const uint8_t *p, int64_t stride, int64_t i, int bits)
{
    int64_t bit = i * bits;
    uint32_t lo, hi = 0;
    memcpy(&lo, p + bit / 32 * stride * 4, sizeof lo);
    int shift = (int)(bit % 32);
    if (shift + bits > 32)
        memcpy(&hi, p + (bit / 32 + 1) * stride * 4, sizeof hi);
    uint64_t both = (uint64_t)hi << 32 | lo;
    return (uint32_t)(both >> shift) & ((1u << bits) - 1);
}

/* Words that hold whole codes, one after the other. */
static void gptq_words(const qn_qmat *m, int64_t row, int64_t n_row,
                       const int bits, uint8_t *codes)
{
    const uint8_t *w = (const uint8_t *)m->part[P_QWEIGHT].p + row * 4;
    const int per = 32 / bits;
    for (int64_t k = 0; k < m->n_in; k += per, w += m->n_out * 4) {
        for (int64_t r = 0; r < n_row; r++) {
            uint8_t *to = codes + r * m->n_in + k;
            uint32_t v;
            memcpy(&v, w + r * 4, sizeof v);
            for (int j = 0; j < per; j++)
                to[j] = (uint8_t)(v >> j * bits & ((1u << bits) - 1));
        }
    }
}

static void gptq_codes(const qn_qmat *m, int64_t row, int64_t n_row,
                       uint8_t *codes)
{
    const uint8_t *w = m->part[P_QWEIGHT].p;
    switch (m->bits) {
    case 2: gptq_words(m, row, n_row, 2, codes); return;
    case 4: gptq_words(m, row, n_row, 4, codes); return;
    case 8: gptq_words(m, row, n_row, 8, codes); return;
    default: break;
    }
    for (int64_t k = 0; k < m->n_in; k++)
        for (int64_t r = 0; r < n_row; r++)
            codes[r * m->n_in + k] = (uint8_t)stream_at(w + (row + r) * 4,
                                                        m->n_out, k, m->bits);
}

static void gptq_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                        qn_qrows *out)
{
    const uint8_t *z = m->part[P_QZEROS].p;
    int64_t n_group = qn_qmat_n_group(m);
    int64_t z_row = m->part[P_QZEROS].shape[1] * 4;
    uint32_t mask = (1u << m->bits) - 1;
    gptq_codes(m, row, n_row, out->codes);
    for (int64_t g = 0; g < n_group; g++) {
        for (int64_t r = 0; r < n_row; r++) {
            int64_t at = r * n_group + g;
            uint32_t zero = stream_at(z + g * z_row, 1, row + r, m->bits);
            out->zeros[at] = (float)((zero + (uint32_t)m->extra) & mask);
            out->scales[at] = qn_qpart_at(&m->part[P_SCALES],
                                          g * m->n_out + row + r);
        }
    }
}

static int gptq_lay(qn_qmat *m, qn_err *err)
{
    int64_t g = m->group > 0 ? m->group : m->n_in;
    if (m->bits != 2 && m->bits != 3 && m->bits != 4 && m->bits != 8)
        return qn_fail(err, QN_EUNSUP, "codes have 2, 3, 4 or 8 bits, not %d",
                       m->bits);
    if (m->n_in % 32 || m->n_out % 32 || m->n_in % g)
        return qn_fail(err, QN_EUNSUP,
                       "gptq wants multiples of 32 rows and columns and whole "
                       "groups, not %lld x %lld in groups of %lld",
                       (long long)m->n_out, (long long)m->n_in, (long long)g);
    m->group = g;
    m->zero = (float)(1 << (m->bits - 1));
    m->extra = 1;
    m->stored = QN_F16;
    qn_qpart_lay(m, P_QWEIGHT, QN_I32, 2, m->n_in * m->bits / 32, m->n_out);
    qn_qpart_lay(m, P_QZEROS, QN_I32, 2, m->n_in / g, m->n_out * m->bits / 32);
    qn_qpart_lay(m, P_SCALES, QN_F16, 2, m->n_in / g, m->n_out);
    qn_qpart_lay(m, P_G_IDX, QN_I32, 1, m->n_in, 0);
    return QN_OK;
}

/* Code i of a stream, which was zero. */
static void stream_put(uint8_t *p, int64_t stride, int64_t i, int bits,
                       uint32_t code)
{
    int64_t bit = i * bits;
    uint64_t both = (uint64_t)code << bit % 32;
    for (int64_t w = bit / 32; both; w++, both >>= 32) {
        uint32_t v;
        memcpy(&v, p + w * stride * 4, sizeof v);
        v |= (uint32_t)both;
        memcpy(p + w * stride * 4, &v, sizeof v);
    }
}

static void gptq_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                      const qn_qrows *rows)
{
    uint8_t *w = m->part[P_QWEIGHT].out, *z = m->part[P_QZEROS].out;
    int64_t n_group = qn_qmat_n_group(m);
    int64_t z_row = m->part[P_QZEROS].shape[1] * 4;
    uint32_t mask = (1u << m->bits) - 1;
    for (int64_t k = 0; k < m->n_in; k++)
        for (int64_t r = 0; r < n_row; r++)
            stream_put(w + (row + r) * 4, m->n_out, k, m->bits,
                       rows->codes[r * m->n_in + k]);
    for (int64_t g = 0; g < n_group; g++) {
        for (int64_t r = 0; r < n_row; r++) {
            int64_t at = r * n_group + g;
            float zero = m->zeros ? rows->zeros[at] : m->zero;
            stream_put(z + g * z_row, 1, row + r, m->bits,
                       ((uint32_t)zero - (uint32_t)m->extra) & mask);
            qn_qpart_put(m, P_SCALES, g * m->n_out + row + r, rows->scales[at]);
        }
    }
}

/* The group of each k, unless somebody put it there (activation order). */
static void gptq_finish(const qn_qmat *m)
{
    int32_t *idx = m->part[P_G_IDX].out;
    for (int64_t k = 0; k < m->n_in && m->g_idx_part < 0; k++)
        idx[k] = (int32_t)(k / m->group);
}

const qn_qscheme qn_gptq_scheme = {
    .name = "gptq",
    .method = "gptq",
    .part = {{".qweight", true, false},
             {".qzeros", true, false},
             {".scales", true, false},
             {".g_idx", false, false}},
    .plan = gptq_plan,
    .unpack = gptq_unpack,
    .lay = gptq_lay,
    .quantize = qn_affine_quantize,
    .pack = gptq_pack,
    .finish = gptq_finish,
    .row_unit = 32,
};
