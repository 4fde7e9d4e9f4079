/* scaled.c - panels of codes with a scale per group (kernels.h draws them). */
#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"
#include "tensor/quant/k_scales.h"

#include <assert.h>
#include <float.h>
#include <math.h>

enum {
    A6_HEAD = 32 + 256, /* factors, scales                */
    A6_CODES = 192,     /* of 16 k's                      */
    A6_ZERO = 32,
    K_SCALES = 2 * 32, /* factors before them         */
    K_HEAD = K_SCALES + 8 * 32,
    K_CODES = 32 / 2 * QN_PANEL, /* of 32 k's, before their fifth bits */
    K5_FIFTH = 32 / 8 * QN_PANEL
};

int qn_scaled_k_step(qn_layout l)
{
    return K_CODES + (l == QN_LAYOUT_K5 ? K5_FIFTH : 0);
}

static int code_bits(qn_layout l)
{
    return qn_layout_nibbles(l) ? 4 : 8;
}

/* Whole numbers for the book's values. The unit may be anything up to where
 * the largest value is 127: the one with the least error in all is taken. */
static void round_book(qn_scaled *q)
{
    float top = 0, best = INFINITY;

    for (int i = 0; i < 16; i++)
        top = fmaxf(top, fabsf(q->book[i]));
    if (!(top > FLT_MIN * 128) || !isfinite(top)) /* nothing, or no units */
        return;
    for (int step = 4 * 127; step >= 4 * 64; step--) {
        float unit = top * 4 / (float)step, sum = 0;
        int8_t points[16];
        for (int i = 0; i < 16; i++) {
            float v = q->book[i] / unit, e = (v - rintf(v)) * unit;
            points[i] = (int8_t)rintf(v);
            sum += e * e;
        }
        if (sum < best) {
            best = sum;
            q->unit = unit;
            memcpy(q->points, points, sizeof points);
        }
    }
}

void qn_scaled_make(qn_scaled *q, qn_layout l, int group, qn_dtype round,
                    const float *book)
{
    assert(group == 16 || group == 32 || group == 64 || group == 128);
    *q =
        (qn_scaled){.group = group, .block = QN_MIN(group, 64), .round = round};
    if (l == QN_LAYOUT_A6) {
        q->group = 256;
        q->block = QN_SUMS_BLOCK;
        q->head = A6_HEAD;
        q->bytes = A6_HEAD + 16 * A6_CODES;
        return;
    }
    if (qn_layout_two_levels(l)) {
        q->group = 256;
        q->block = 32;
        q->head = K_HEAD;
        q->bytes = K_HEAD + 8 * qn_scaled_k_step(l);
        return;
    }
    q->head = QN_PANEL * (int)sizeof(float) * (qn_layout_mins(l) ? 2 : 1) +
              (qn_layout_zeros(l) ? QN_PANEL : 0);
    q->bytes = q->head + group * code_bits(l) / 8 * QN_PANEL;
    if (l == QN_LAYOUT_CB4) {
        memcpy(q->book, book, sizeof q->book);
        round_book(q);
    }
}

qn_layout qn_scaled_init(qn_scaled *q, const qn_weight_codes *c)
{
    static const qn_layout layouts[] = {
        [QN_CODE_BOOK4] = QN_LAYOUT_CB4,
        [QN_CODE_INT4] = QN_LAYOUT_A4,
        [QN_CODE_INT8] = QN_LAYOUT_A8,
        [QN_CODE_FP8] = QN_LAYOUT_F8,
    };

    qn_scaled_make(q, layouts[c->kind], c->group, c->round, c->book);
    return layouts[c->kind];
}

int64_t qn_scaled_panel_bytes(const qn_scaled *q, int64_t n_in)
{
    return (n_in + q->group - 1) / q->group * q->bytes;
}

/* The byte, among a group's codes, that holds k of the group in a lane (and
 * k + 4, in its high half, if codes have 4 bits). */
static int64_t code_byte(qn_layout l, int64_t k, int64_t lane)
{
    return (k / (code_bits(l) == 4 ? 8 : 4) * QN_PANEL + lane) * 4 + k % 4;
}

void qn_scaled_put_head(qn_layout l, float scale, float offset, uint8_t *group,
                        int64_t lane)
{
    memcpy(group + lane * 4, &scale, 4);
    if (qn_layout_zeros(l))
        group[64 + lane] = (uint8_t)offset;
    else if (qn_layout_mins(l))
        memcpy(group + 64 + lane * 4, &offset, 4);
}

float qn_scaled_group_scale(qn_layout l, const uint8_t *codes, int64_t n,
                            float scale)
{
    bool nan = false;

    for (int64_t k = 0; l == QN_LAYOUT_F8 && k < n; k++)
        nan |= (codes[k] & 0x7f) == 0x7f;
    return nan ? NAN : scale;
}

/* At `to` begin the codes of 16 rows. */
static void put_codes(qn_layout l, const uint8_t *codes, int64_t n, uint8_t *to,
                      int64_t lane)
{
    bool four = code_bits(l) == 4;

    for (int64_t k = 0; k < n; k += four ? 8 : 4) {
        uint8_t c[4];
        memcpy(c, codes + k, 4);
        for (int j = 0; j < 4 && four; j++)
            c[j] |= (uint8_t)(codes[k + 4 + j] << 4);
        memcpy(to + code_byte(l, k, lane), c, 4);
    }
}

void qn_scaled_put_group(const qn_scaled *q, qn_layout l, const uint8_t *codes,
                         int64_t n, float scale, float offset, uint8_t *group,
                         int64_t lane)
{
    qn_scaled_put_head(l, qn_scaled_group_scale(l, codes, n, scale), offset,
                       group, lane);
    put_codes(l, codes, n, group + q->head, lane);
}

void qn_scaled_put(const qn_scaled *q, qn_layout l, const qn_qrows *rows,
                   int64_t i, int64_t n_in, uint8_t *panel, int64_t lane)
{
    int64_t n_group = (n_in + q->group - 1) / q->group;
    const uint8_t *codes = rows->codes + i * n_in;

    for (int64_t g = 0; g < n_group; g++, panel += q->bytes) {
        int64_t n = QN_MIN(q->group, n_in - g * q->group);
        float zero = qn_layout_zeros(l) ? rows->zeros[i * n_group + g] : 0;
        qn_scaled_put_group(q, l, codes, n, rows->scales[i * n_group + g], zero,
                            panel, lane);
        codes += n;
    }
}

/* Blocks of a file: [128] low halves, two of them a byte, [64] high ones, four
 * a byte, [16] scales, the factor (tensor/quant/q6_k.c draws them). */
void qn_scaled_put_q6_k(const uint8_t *block, uint8_t *group, int64_t lane)
{
    const uint32_t low = 0x0f0f0f0f, high = 0x03030303;

    memcpy(group + 2 * lane, block + 208, 2);
    for (int i = 0; i < 16; i++) {
        const uint8_t *half = block + i / 8 * 64;
        const uint8_t *quarter = block + 128 + i / 8 * 32 + i % 2 * 16;
        int line = i % 8 / 2;
        uint32_t l[4], h[4];
        uint8_t *to = group + A6_HEAD + i * A6_CODES + 4 * lane;
        memcpy(l, half + line % 2 * 32 + i % 2 * 16, sizeof l);
        memcpy(h, quarter, sizeof h);
        for (int j = 0; j < 4; j++) {
            l[j] = l[j] >> line / 2 * 4 & low;
            h[j] = h[j] >> line * 2 & high;
        }
        l[0] |= l[1] << 4;
        l[2] |= l[3] << 4;
        h[0] |= h[1] << 2 | h[2] << 4 | h[3] << 6;
        memcpy(to, &l[0], 4);
        memcpy(to + 64, &l[2], 4);
        memcpy(to + 128, &h[0], 4);
        group[32 + 16 * i + lane] = block[192 + i];
    }
}

/* Factors, scales and minima of a block. */
static void put_k_head(const uint8_t *block, uint8_t *group, int64_t lane)
{
    memcpy(group + 2 * lane, block, 2);
    memcpy(group + 32 + 2 * lane, block + 2, 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        k_scales_get(block + 4, j, &scale, &min);
        group[K_SCALES + 32 * j + lane] = (uint8_t)scale;
        group[K_SCALES + 32 * j + 16 + lane] = (uint8_t)min;
    }
}

void qn_scaled_put_k(qn_layout l, const uint8_t *block, uint8_t *codes,
                     uint8_t *group, int64_t lane, bool whole)
{
    const int step = qn_scaled_k_step(l);
    const uint32_t fifth = 0x01010101, low = 0x0f0f0f0f;
    uint8_t *to = group + K_HEAD;

    put_k_head(block, group, lane);
    for (int k = 0; k < 256; k += 32, to += step) {
        uint32_t c, bits = 0;
        for (int j = 0; j < 8 && l == QN_LAYOUT_K5; j++) {
            memcpy(&c, codes + k + 4 * j, sizeof c);
            bits |= (c >> 4 & fifth) << j;
            c &= low;
            memcpy(codes + k + 4 * j, &c, sizeof c);
        }
        if (l == QN_LAYOUT_K5)
            memcpy(to + K_CODES + 4 * lane, &bits, sizeof bits);
        if (!whole)
            put_codes(l, codes + k, 32, to, lane);
    }
}

static int code_k5(const uint8_t *group, int64_t lane, int64_t k)
{
    const uint8_t *p = group + K_HEAD + k / 32 * qn_scaled_k_step(QN_LAYOUT_K5);
    int64_t r = k % 32;
    int c = p[code_byte(QN_LAYOUT_K5, r, lane)];

    return (r & 4 ? c >> 4 : c & 15) |
           (p[K_CODES + 4 * lane + r % 4] >> r / 4 & 1) << 4;
}

static int code_a6(const uint8_t *group, int64_t lane, int64_t k)
{
    const uint8_t *p = group + A6_HEAD + k / 16 * A6_CODES + 4 * lane + k % 4;
    int r = (int)(k % 16);

    return (p[r / 8 * 64] >> (r & 4) & 15) | (p[128] >> r / 4 * 2 & 3) << 4;
}

int qn_scaled_code(const qn_scaled *q, qn_layout l, const uint8_t *group,
                   int64_t lane, int64_t k)
{
    if (l == QN_LAYOUT_A6)
        return code_a6(group, lane, k);
    if (l == QN_LAYOUT_K5)
        return code_k5(group, lane, k);
    uint8_t c = group[q->head + code_byte(l, k, lane)];

    return code_bits(l) != 4 ? c : k & 4 ? c >> 4 : c & 15;
}

int qn_scaled_zero(qn_layout l, const uint8_t *group, int64_t lane)
{
    return l == QN_LAYOUT_A6    ? A6_ZERO
           : qn_layout_zeros(l) ? group[64 + lane]
                                : 0;
}

float qn_scaled_scale(qn_layout l, const uint8_t *group, int64_t lane,
                      int64_t k)
{
    uint16_t factor;
    float scale;

    if (l == QN_LAYOUT_A6) {
        memcpy(&factor, group + 2 * lane, sizeof factor);
        return qn_f32_of_f16(factor) *
               (float)(int8_t)group[32 + k / 16 * 16 + lane];
    }
    if (qn_layout_two_levels(l)) {
        memcpy(&factor, group + 2 * lane, sizeof factor);
        return qn_f32_of_f16(factor) *
               (float)group[K_SCALES + k / 32 * 32 + lane];
    }
    memcpy(&scale, group + lane * 4, sizeof scale);
    return scale;
}

float qn_scaled_min(qn_layout l, const uint8_t *group, int64_t lane, int64_t k)
{
    uint16_t factor;
    float min;

    if (qn_layout_two_levels(l)) {
        memcpy(&factor, group + 32 + 2 * lane, sizeof factor);
        return qn_f32_of_f16(factor) *
               (float)group[K_SCALES + k / 32 * 32 + 16 + lane];
    }
    memcpy(&min, group + 64 + lane * 4, sizeof min);
    return min;
}

float qn_scaled_at(const qn_scaled *q, qn_layout l, const uint8_t *panel,
                   int64_t lane, int64_t k)
{
    const uint8_t *g = panel + k / q->group * q->bytes;
    int c = qn_scaled_code(q, l, g, lane, k % q->group);
    float scale = qn_scaled_scale(l, g, lane, k % q->group), v;

    if (qn_layout_mins(l)) {
        v = (float)c * scale;
        return v - qn_scaled_min(l, g, lane, k % q->group);
    }
    v = l == QN_LAYOUT_CB4  ? q->book[c]
        : l == QN_LAYOUT_F8 ? qn_f32_of_e4m3((uint8_t)c)
                            : (float)(c - qn_scaled_zero(l, g, lane));
    v *= scale;
    return l != QN_LAYOUT_CB4    ? v
           : q->round == QN_BF16 ? qn_f32_of_bf16(qn_bf16_of_f32(v))
           : q->round == QN_F16  ? qn_f32_of_f16(qn_f16_of_f32(v))
                                 : v;
}
