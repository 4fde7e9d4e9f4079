/* iq4.c - ggml's 4-bit blocks with unequal steps, denser around zero.
 *
 *   iq4_nl  block of 32, 18 bytes:  | d: f16 | q[16]: two nibbles each |
 *     x[i] = d * value[q[i] & 15], x[i + 16] by the high nibble
 *   iq4_xs  block of 256, 136 bytes:  | d: f16 | h: u16 | l[4] | q[128] |
 *     8 sub-blocks of 32, laid out as in iq4_nl; scale j is nibble j of l and
 *     two bits of h, less 32
 *     x = d * scale * value
 *
 * Encoding: fit.h, with the values as the book; iq4_nl without importance as
 * the reference quantizer has it. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/fit.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct iq4_nl_block {
    uint16_t d;
    uint8_t q[16];
} iq4_nl_block;
_Static_assert(sizeof(iq4_nl_block) == 18, "as in the file");

typedef struct iq4_xs_block {
    uint16_t d;
    uint16_t h;
    uint8_t l[4];
    uint8_t q[128];
} iq4_xs_block;
_Static_assert(sizeof(iq4_xs_block) == 136, "as in the file");

static const float iq4_value[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};

static void iq4_put(const uint8_t q[16], float scale, float *x)
{
    for (int i = 0; i < 16; i++) {
        x[i] = scale * iq4_value[q[i] & 15];
        x[i + 16] = scale * iq4_value[q[i] >> 4];
    }
}

static void iq4_nl_values(const iq4_nl_block *b, float *x)
{
    iq4_put(b->q, qn_f32_of_f16(b->d), x);
}

static void iq4_xs_values(const iq4_xs_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int j = 0; j < 8; j++) {
        int s = (b->l[j / 2] >> j % 2 * 4 & 15) | (b->h >> 2 * j & 3) << 4;
        iq4_put(b->q + 16 * j, d * (float)(s - 32), x + 32 * j);
    }
}

#define BLOCK_NAME qn_iq4_nl_decode
#define BLOCK_TYPE iq4_nl_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE iq4_nl_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_iq4_xs_decode
#define BLOCK_TYPE iq4_xs_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq4_xs_values
#include "tensor/decode_block_tmpl.h"

static const qn_fit_book iq4_book = {16, -127, iq4_value};

static void iq4_pack(const uint8_t *codes, uint8_t q[16])
{
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

/* The nearest code, of two as near the higher. */
static int iq4_code(float v)
{
    int code = 0;
    for (int k = 1; k < 16; k++)
        code += v - iq4_value[k - 1] >= iq4_value[k] - v;
    return code;
}

/* What an inverse scale is worth: x's share of the codes it gives, vx^2 / vv,
 * where errors weigh by the square of the element. */
static void iq4_share(const float *x, float inv, float *vx, float *vv)
{
    *vx = *vv = 0.0f;
    for (int i = 0; i < 32; i++) {
        float v = iq4_value[iq4_code(x[i] * inv)], w = x[i] * x[i];
        *vx += w * v * x[i];
        *vv += w * v * v;
    }
}

/* The scale by the reference quantizer's search: the element of largest
 * magnitude at values around -127, and at the opposite. */
static float iq4_nl_scale(const float *x)
{
    float max = 0.0f, vx, vv, best = 0.0f, d = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(max))
            max = x[i];
    if (!(fabsf(max) >= 1e-15f))
        return 0.0f;
    for (int k = -8; k <= 7; k++) {
        float target = k < -7 ? -iq4_value[0] : iq4_value[0] + (float)k;
        iq4_share(x, target / max, &vx, &vv);
        if (vv > 0.0f && vx * vx > best * vv) {
            d = vx / vv;
            best = d * vx;
        }
    }
    return d;
}

/* Without importance the reference quantizer's choice, which makes its bytes;
 * with it, the least weighted error. */
static void iq4_nl_choose(const float *x, const float *w, iq4_nl_block *b)
{
    uint8_t codes[32];
    if (w) {
        qn_fit_scaled_block(x, w, 32, &iq4_book, &b->d, codes);
    } else {
        float d = iq4_nl_scale(x), inv = d != 0.0f ? 1.0f / d : 0.0f;
        b->d = qn_f16_of_f32(d);
        for (int i = 0; i < 32; i++)
            codes[i] = (uint8_t)iq4_code(x[i] * inv);
    }
    iq4_pack(codes, b->q);
}

static void iq4_xs_choose(const float *x, const float *w, iq4_xs_block *b)
{
    qn_fit_scaled f;
    qn_fit_scaled_super(x, w, 8, &iq4_book, 32, &f);
    b->d = f.d;
    for (int j = 0; j < 8; j++) {
        int s = f.scale[j] + 32;
        b->l[j / 2] = (uint8_t)(b->l[j / 2] | (s & 15) << j % 2 * 4);
        b->h = (uint16_t)(b->h | (s >> 4) << 2 * j);
        iq4_pack(f.q + 32 * j, b->q + 16 * j);
    }
}

#define BLOCK_NAME qn_iq4_nl_encode
#define BLOCK_WEIGHTED qn_iq4_nl_encode_weighted
#define BLOCK_TYPE iq4_nl_block
#define BLOCK_ELEMS 32
#define BLOCK_ENCODE iq4_nl_choose
#include "tensor/encode_block_tmpl.h"

#define BLOCK_NAME qn_iq4_xs_encode
#define BLOCK_WEIGHTED qn_iq4_xs_encode_weighted
#define BLOCK_TYPE iq4_xs_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE iq4_xs_choose
#include "tensor/encode_block_tmpl.h"
