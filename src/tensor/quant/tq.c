/* tq.c - ggml's ternary blocks: every element is -d, 0 or d.
 *
 *   tq1_0  block of 256, 54 bytes:  | q[48] | h[4] | d: f16 |
 *     a byte holds five ternary digits (h: four) as a fraction b / 256; the
 *     most significant comes first: digit k is 3 * (b * 3^k mod 256) / 256.
 *     Digit k of the first 32 bytes are elements 32 k .. 32 k + 31; of the
 *     next 16, 160 + 16 k ..; of h, 240 + 4 k ..
 *   tq2_0  block of 256, 66 bytes:  | q[64] | d: f16 |
 *     element 128 f + 32 p + c is bits 2 p of q[32 f + c]
 *   x = d * (digit - 1) */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/unpack_iq.h"

#include <stdint.h>
#include <string.h>

typedef struct tq1_0_block {
    uint8_t q[48];
    uint8_t h[4];
    uint16_t d;
} tq1_0_block;
_Static_assert(sizeof(tq1_0_block) == 54, "as in the file");

typedef struct tq2_0_block {
    uint8_t q[64];
    uint16_t d;
} tq2_0_block;
_Static_assert(sizeof(tq2_0_block) == 66, "as in the file");

/* n bytes of `digits` digits each, digit by digit; where the next go. */
static float *tq1_digits(const uint8_t *q, int n, int digits, float d, float *x)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    for (int k = 0; k < digits; k++) {
        for (int i = 0; i < n; i++) {
            uint8_t rest = (uint8_t)(q[i] * power[k]);
            *x++ = d * (float)((rest * 3 >> 8) - 1);
        }
    }
    return x;
}

static void tq1_0_values(const tq1_0_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    x = tq1_digits(b->q, 32, 5, d, x);
    x = tq1_digits(b->q + 32, 16, 5, d, x);
    tq1_digits(b->h, 4, 4, d, x);
}

static void tq2_0_values(const tq2_0_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int i = 0; i < 256; i++) {
        int digit = b->q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        x[i] = d * (float)(digit - 1);
    }
}

static uint8_t *tq1_codes(const uint8_t *q, int n, int digits, uint8_t *codes)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    for (int k = 0; k < digits; k++)
        for (int i = 0; i < n; i++)
            *codes++ = (uint8_t)((uint8_t)(q[i] * power[k]) * 3 >> 8);
    return codes;
}

void qn_tq1_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    tq1_0_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    scales[0] = scales[1] = qn_f32_of_f16(b.d);
    codes = tq1_codes(b.q, 32, 5, codes);
    codes = tq1_codes(b.q + 32, 16, 5, codes);
    tq1_codes(b.h, 4, 4, codes);
}

void qn_tq2_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    tq2_0_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    scales[0] = scales[1] = qn_f32_of_f16(b.d);
    for (int i = 0; i < 256; i++)
        codes[i] = b.q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

#define BLOCK_NAME qn_tq1_0_decode
#define BLOCK_TYPE tq1_0_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE tq1_0_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_tq2_0_decode
#define BLOCK_TYPE tq2_0_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE tq2_0_values
#include "tensor/decode_block_tmpl.h"
