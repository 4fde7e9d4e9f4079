/* block_codes.c - see block_codes.h. The files of the formats, beside this
 * one, draw the blocks; a test holds both against each other. */
#include "tensor/block_codes.h"

#include "tensor/half.h"
#include "tensor/quant/k_scales.h"
#include "tensor/quant/unpack_iq.h"

#include <math.h>
#include <string.h>

static float half_at(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return qn_f32_of_f16(h);
}

/* n bytes: their low nibbles, then their high ones. */
static void nibbles(const uint8_t *q, int n, uint8_t *codes)
{
    for (int i = 0; i < n; i++) {
        codes[i] = q[i] & 15;
        codes[n + i] = q[i] >> 4;
    }
}

/* The fifth bits of 32 codes. */
static void fifth_bits(const uint8_t h[4], uint8_t *codes)
{
    for (int i = 0; i < 32; i++)
        codes[i] = (uint8_t)(codes[i] | (h[i / 8] >> i % 8 & 1) << 4);
}

static void unpack_q4_1(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    scales[0] = half_at(b);
    offsets[0] = -half_at(b + 2);
    nibbles(b + 4, 16, codes);
}

static void unpack_q5_0(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    (void)offsets;
    scales[0] = half_at(b);
    nibbles(b + 6, 16, codes);
    fifth_bits(b + 2, codes);
}

static void unpack_q5_1(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    scales[0] = half_at(b);
    offsets[0] = -half_at(b + 2);
    nibbles(b + 8, 16, codes);
    fifth_bits(b + 4, codes);
}

static void unpack_q2_k(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    float d = half_at(b + 80), m = half_at(b + 82);

    for (int j = 0; j < 16; j++) {
        const uint8_t *q = b + 16 + j / 8 * 32 + j % 2 * 16;
        scales[j] = d * (float)(b[j] & 15);
        offsets[j] = m * (float)(b[j] >> 4);
        for (int l = 0; l < 16; l++)
            *codes++ = q[l] >> j % 8 / 2 * 2 & 3;
    }
}

static void unpack_q3_k(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    const uint8_t *h = b, *q = b + 32, *s = b + 96;
    float d = half_at(b + 108);

    (void)offsets;
    for (int j = 0; j < 16; j++) {
        int low = s[j % 8] >> j / 8 * 4 & 15, high = s[8 + j % 4] >> j / 4 * 2;
        scales[j] = d * (float)((low | (high & 3) << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int low = q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        codes[i] = (uint8_t)(low | (h[i % 32] >> i / 32 & 1) << 2);
    }
}

/* Scales and offsets that q4_k and q5_k begin with. */
static void unpack_k_scales(const uint8_t *b, float *scales, float *offsets)
{
    uint16_t unit[2];

    memcpy(unit, b, sizeof unit);
    for (int j = 0; j < 8; j++)
        k_scales_sub(unit[0], unit[1], b + 4, j, &scales[j], &offsets[j]);
}

static void unpack_q4_k(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    unpack_k_scales(b, scales, offsets);
    for (int j = 0; j < 4; j++)
        nibbles(b + 16 + 32 * j, 32, codes + 64 * j);
}

static void unpack_q5_k(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    unpack_k_scales(b, scales, offsets);
    for (int j = 0; j < 4; j++)
        nibbles(b + 48 + 32 * j, 32, codes + 64 * j);
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)(codes[i] | (b[16 + i % 32] >> i / 32 & 1) << 4);
}

static void unpack_q6_k(const uint8_t *b, uint8_t *codes, float *scales,
                        float *offsets)
{
    float d = half_at(b + 208);

    (void)offsets;
    for (int j = 0; j < 16; j++)
        scales[j] = d * (float)(int8_t)b[192 + j];
    for (int i = 0; i < 256; i++) {
        int line = i % 128 / 32, column = i % 32;
        int low = b[i / 128 * 64 + line % 2 * 32 + column] >> line / 2 * 4;
        int high = b[128 + i / 128 * 32 + column] >> line * 2;
        codes[i] = (uint8_t)((low & 15) | (high & 3) << 4);
    }
}

static void unpack_iq4_nl(const uint8_t *b, uint8_t *codes, float *scales,
                          float *offsets)
{
    (void)offsets;
    scales[0] = half_at(b);
    nibbles(b + 2, 16, codes);
}

static void unpack_iq4_xs(const uint8_t *b, uint8_t *codes, float *scales,
                          float *offsets)
{
    float d = half_at(b);
    int h = b[2] | b[3] << 8;

    (void)offsets;
    for (int j = 0; j < 8; j++) {
        int s = (b[4 + j / 2] >> j % 2 * 4 & 15) | (h >> 2 * j & 3) << 4;
        scales[j] = d * (float)(s - 32);
        nibbles(b + 8 + 16 * j, 16, codes + 32 * j);
    }
}

static void unpack_mxfp4(const uint8_t *b, uint8_t *codes, float *scales,
                         float *offsets)
{
    (void)offsets;
    scales[0] = ldexpf(1.0f, (int)b[0] - 128);
    nibbles(b + 1, 16, codes);
}

static void unpack_nvfp4(const uint8_t *b, uint8_t *codes, float *scales,
                         float *offsets)
{
    (void)offsets;
    for (int j = 0; j < 4; j++) {
        uint8_t s = b[j] & 127;
        scales[j] = s == 127 ? 0.0f : qn_f32_of_e4m3(s) * 0.5f;
        nibbles(b + 4 + 8 * j, 8, codes + 16 * j);
    }
}

static const float iq4_book[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
/* Twice the values of E2M1. */
static const float fp4_book[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                   0, -1, -2, -3, -4, -6, -8, -12};

static const qn_block_codes rows[QN_DTYPE_N] = {
    [QN_Q4_1] = {32, 4, 0, true, NULL, unpack_q4_1},
    [QN_Q5_0] = {32, 8, 16, false, NULL, unpack_q5_0},
    [QN_Q5_1] = {32, 8, 0, true, NULL, unpack_q5_1},
    [QN_Q2_K] = {16, 4, 0, true, NULL, unpack_q2_k},
    [QN_Q3_K] = {16, 4, 4, false, NULL, unpack_q3_k},
    [QN_Q4_K] = {32, 4, 0, true, NULL, unpack_q4_k},
    [QN_Q5_K] = {32, 8, 0, true, NULL, unpack_q5_k},
    [QN_Q6_K] = {16, 8, 32, false, NULL, unpack_q6_k},
    [QN_IQ4_NL] = {32, 4, 0, false, iq4_book, unpack_iq4_nl},
    [QN_IQ4_XS] = {32, 4, 0, false, iq4_book, unpack_iq4_xs},
    [QN_MXFP4] = {32, 4, 0, false, fp4_book, unpack_mxfp4},
    [QN_NVFP4] = {16, 4, 0, false, fp4_book, unpack_nvfp4},
    [QN_IQ1_S] = {32, 4, 0, false, qn_iq1_book, qn_iq1_s_unpack},
    [QN_IQ1_M] = {16, 4, 0, false, qn_iq1_book, qn_iq1_m_unpack},
    [QN_IQ2_XXS] = {32, 4, 0, false, qn_iq2_book, qn_iq2_xxs_unpack},
    [QN_IQ2_XS] = {16, 4, 0, false, qn_iq2_book, qn_iq2_xs_unpack},
    [QN_IQ2_S] = {16, 4, 0, false, qn_iq2_book, qn_iq2_s_unpack},
    [QN_IQ3_XXS] = {32, 4, 0, false, qn_iq3_xxs_book, qn_iq3_xxs_unpack},
    [QN_IQ3_S] = {32, 4, 0, false, qn_iq3_s_book, qn_iq3_s_unpack},
    [QN_TQ1_0] = {128, 4, 1, false, NULL, qn_tq1_0_unpack},
    [QN_TQ2_0] = {128, 4, 1, false, NULL, qn_tq2_0_unpack},
    [QN_Q1_0] = {128, 4, 1, false, NULL, qn_q1_0_unpack},
};

const qn_block_codes *qn_block_codes_get(qn_dtype t)
{
    return t < QN_DTYPE_N && rows[t].unpack ? &rows[t] : NULL;
}
