/* q6_k.c - ggml's 6-bit super-blocks.
 *
 *   block of 256, 210 bytes:  | l[128] | h[64] | s[16]: int8 | d: f16 |
 *   16 sub-blocks of 16. Element i, in half f = i / 128, line p = i % 128 / 32,
 *   at column c = i % 32:
 *     low four bits:  l[64 f + 32 (p % 2) + c] >> 4 (p / 2)
 *     high two bits:  h[32 f + c] >> 2 p
 *     x = d * s[i / 16] * (v - 32)
 *
 * Encoding: fit.h, with the numbers -32 to 31 and signed scales of eight
 * bits. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/fit.h"

#include <stdint.h>
#include <string.h>

typedef struct q6_k_block {
    uint8_t l[128];
    uint8_t h[64];
    int8_t s[16];
    uint16_t d;
} q6_k_block;
_Static_assert(sizeof(q6_k_block) == 210, "as in the file");

static void q6_k_values(const q6_k_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, line = i % 128 / 32, column = i % 32;
        int low = b->l[half * 64 + line % 2 * 32 + column] >> line / 2 * 4;
        int high = b->h[half * 32 + column] >> line * 2;
        float scale = d * (float)b->s[i / 16];
        x[i] = scale * (float)(((low & 15) | (high & 3) << 4) - 32);
    }
}

#define BLOCK_NAME qn_q6_k_decode
#define BLOCK_TYPE q6_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q6_k_values
#include "tensor/decode_block_tmpl.h"

static void q6_k_choose(const float *x, const float *w, q6_k_block *b)
{
    static const qn_fit_book book = {64, -32, NULL};
    qn_fit_scaled f;
    qn_fit_scaled_super(x, w, 16, &book, 128, &f);
    b->d = f.d;
    memcpy(b->s, f.scale, sizeof b->s);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, line = i % 128 / 32, column = i % 32;
        uint8_t *l = &b->l[half * 64 + line % 2 * 32 + column];
        uint8_t *h = &b->h[half * 32 + column];
        *l = (uint8_t)(*l | (f.q[i] & 15) << line / 2 * 4);
        *h = (uint8_t)(*h | (f.q[i] >> 4) << line * 2);
    }
}

#define BLOCK_NAME qn_q6_k_encode
#define BLOCK_WEIGHTED qn_q6_k_encode_weighted
#define BLOCK_TYPE q6_k_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE q6_k_choose
#include "tensor/encode_block_tmpl.h"
