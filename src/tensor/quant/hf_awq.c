/* hf_awq.c - AWQ in AutoAWQ's "gemm" layout: 4 bits, along n_out.
 *
 *   qweight  i32 [n_in, n_out / 8]
 *   qzeros   i32 [n_group, n_out / 8]
 *   scales   f16 [n_group, n_out]
 *
 * Of the eight columns in a word, 0 2 4 6 1 3 5 7 are its nibbles from the
 * lowest on.
 *
 *   w = (code - zero) * scale */
#include "tensor/qscheme.h"

#include <string.h>

enum {
    P_QWEIGHT,
    P_QZEROS,
    P_SCALES
};

static int awq_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    const qn_qpart *w = &m->part[P_QWEIGHT], *s = &m->part[P_SCALES];
    int64_t said = 0, bits = 4;
    QN_TRY(qn_json_i64(q, "bits", &bits, "quantization_config", err));
    QN_TRY(qn_json_i64(q, "group_size", &said, "quantization_config", err));
    if (bits != 4)
        return qn_fail(err, QN_EUNSUP,
                       "quantization_config: awq of %d bits cannot be read; "
                       "there is only 4",
                       (int)bits);
    QN_TRY(qn_qpart_want(m, P_QWEIGHT, QN_I32, err));
    QN_TRY(qn_qpart_want(m, P_QZEROS, QN_I32, err));
    QN_TRY(qn_qpart_want_float(m, P_SCALES, err));
    if (w->n_dims != 2 || w->shape[1] > INT32_MAX)
        return qn_qpart_bad(m, P_QWEIGHT, "[n_in, n_out / 8]", err);
    qn_qmat_shape2(m, w->shape[1] * 8, w->shape[0]);
    m->bits = 4;
    m->zeros = true;
    if (s->n_dims != 2 || s->shape[1] != m->n_out)
        return qn_qpart_bad(m, P_SCALES, "[n_group, n_out]", err);
    if (!qn_qpart_is(&m->part[P_QZEROS], 2, s->shape[0], m->n_out / 8))
        return qn_qpart_bad(m, P_QZEROS, "[n_group, n_out / 8]", err);
    return qn_qmat_group(m, s->shape[0], said, err);
}

static const uint8_t nibble_place[8] = {0, 4, 1, 5, 2, 6, 3, 7};

/* Nibble of column c in row i of a part that is [.., n_out / 8]. */
static uint8_t awq_at(const qn_qpart *p, int64_t i, int64_t c)
{
    uint32_t word = (uint32_t)qn_qpart_i32(p, i * p->shape[1] + c / 8);
    return word >> 4 * nibble_place[c % 8] & 15;
}

/* Nibble j of a word in byte j. */
static uint64_t spread(uint32_t word)
{
    uint64_t v = word;
    v = (v | v << 16) & 0x0000ffff0000ffff;
    v = (v | v << 8) & 0x00ff00ff00ff00ff;
    return (v | v << 4) & 0x0f0f0f0f0f0f0f0f;
}

/* Byte j of v[i] becomes byte i of v[j] (Warren, Hacker's Delight, 7-3). */
static void transpose8(uint64_t v[8])
{
    static const uint64_t masks[] = {0x00ff00ff00ff00ff, 0x0000ffff0000ffff,
                                     0x00000000ffffffff};
    for (int s = 0; s < 3; s++) {
        int d = 1 << s;
        for (int i = 0; i < 8; i++) {
            if (i & d)
                continue;
            uint64_t t = (v[i] >> 8 * d ^ v[i + d]) & masks[s];
            v[i + d] ^= t;
            v[i] ^= t << 8 * d;
        }
    }
}

/* Eight rows, the first a multiple of eight, for eight k's from k on. */
static void unpack_square(const qn_qmat *m, int64_t row, int64_t k,
                          uint8_t *codes)
{
    uint64_t v[8];
    for (int i = 0; i < 8; i++)
        v[i] = spread(
            (uint32_t)qn_qpart_i32(&m->part[P_QWEIGHT],
                                   (k + i) * (m->n_out / 8) + row / 8));
    transpose8(v);
    for (int c = 0; c < 8; c++)
        memcpy(codes + c * m->n_in + k, &v[nibble_place[c]], sizeof v[0]);
}

static void awq_codes(const qn_qmat *m, int64_t row, int64_t n_row,
                      uint8_t *codes)
{
    bool square = row % 8 == 0 && n_row % 8 == 0;
    int64_t done = square ? m->n_in / 8 * 8 : 0;
    for (int64_t r = 0; r < n_row && done; r += 8)
        for (int64_t k = 0; k < done; k += 8)
            unpack_square(m, row + r, k, codes + r * m->n_in);
    for (int64_t k = done; k < m->n_in; k++)
        for (int64_t r = 0; r < n_row; r++)
            codes[r * m->n_in + k] = awq_at(&m->part[P_QWEIGHT], k, row + r);
}

static void awq_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                       qn_qrows *out)
{
    int64_t n_group = qn_qmat_n_group(m);
    awq_codes(m, row, n_row, out->codes);
    for (int64_t g = 0; g < n_group; g++) {
        for (int64_t r = 0; r < n_row; r++) {
            int64_t at = r * n_group + g;
            out->zeros[at] = awq_at(&m->part[P_QZEROS], g, row + r);
            out->scales[at] = qn_qpart_at(&m->part[P_SCALES],
                                          g * m->n_out + row + r);
        }
    }
}

static int awq_lay(qn_qmat *m, qn_err *err)
{
    int64_t g = m->group > 0 ? m->group : m->n_in;
    if (m->bits != 4 || m->n_out % 8 || m->n_in % g)
        return qn_fail(err, QN_EUNSUP,
                       "awq wants 4 bits, a multiple of 8 rows and whole "
                       "groups, not %d bits and %lld x %lld in groups of %lld",
                       m->bits, (long long)m->n_out, (long long)m->n_in,
                       (long long)g);
    m->group = g;
    m->zeros = true;
    m->stored = QN_F16;
    qn_qpart_lay(m, P_QWEIGHT, QN_I32, 2, m->n_in, m->n_out / 8);
    qn_qpart_lay(m, P_QZEROS, QN_I32, 2, m->n_in / g, m->n_out / 8);
    qn_qpart_lay(m, P_SCALES, QN_F16, 2, m->n_in / g, m->n_out);
    return QN_OK;
}

static void awq_put(const qn_qpart *p, int64_t i, int64_t c, uint32_t code)
{
    uint8_t *at = (uint8_t *)p->out + (i * p->shape[1] + c / 8) * 4;
    uint32_t v;
    memcpy(&v, at, sizeof v);
    v |= code << 4 * nibble_place[c % 8];
    memcpy(at, &v, sizeof v);
}

static void awq_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                     const qn_qrows *rows)
{
    int64_t n_group = qn_qmat_n_group(m);
    for (int64_t k = 0; k < m->n_in; k++)
        for (int64_t r = 0; r < n_row; r++)
            awq_put(&m->part[P_QWEIGHT], k, row + r,
                    rows->codes[r * m->n_in + k]);
    for (int64_t g = 0; g < n_group; g++) {
        for (int64_t r = 0; r < n_row; r++) {
            int64_t at = r * n_group + g;
            awq_put(&m->part[P_QZEROS], g, row + r, (uint32_t)rows->zeros[at]);
            qn_qpart_put(m, P_SCALES, g * m->n_out + row + r, rows->scales[at]);
        }
    }
}

const qn_qscheme qn_awq_scheme = {
    .name = "awq",
    .method = "awq",
    .part = {{".qweight", true, false},
             {".qzeros", true, false},
             {".scales", true, false}},
    .plan = awq_plan,
    .unpack = awq_unpack,
    .lay = awq_lay,
    .quantize = qn_affine_quantize,
    .pack = awq_pack,
    .row_unit = 8,
};
