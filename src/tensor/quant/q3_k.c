/* q3_k.c - ggml's 3-bit super-blocks.
 *
 *   block of 256, 110 bytes:  | h[32] | q[64] | s[12] | d: f16 |
 *   16 sub-blocks of 16, each with a 6-bit scale, stored plus 32:
 *     low four bits   of j: s[j % 8], the low nibble for j < 8, else the high
 *     high two bits   of j: s[8 + j % 4] >> 2 (j / 4)
 *   element l of sub-block j, in half f = j / 8 and line p = j % 8 / 2, at
 *   column c = 16 (j % 2) + l:
 *     v = (q[32 f + c] >> 2 p & 3) | (bit 4 f + p of h[c]) << 2
 *     x = d * scale * (v - 4)
 *
 * Encoding: fit.h, with the numbers -4 to 3 and signed scales of six bits. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/fit.h"

#include <stdint.h>
#include <string.h>

typedef struct q3_k_block {
    uint8_t h[32];
    uint8_t q[64];
    uint8_t s[12];
    uint16_t d;
} q3_k_block;
_Static_assert(sizeof(q3_k_block) == 110, "as in the file");

static int q3_k_scale(const q3_k_block *b, int j)
{
    int low = b->s[j % 8] >> j / 8 * 4 & 15;
    int high = b->s[8 + j % 4] >> j / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

static void q3_k_values(const q3_k_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int j = 0; j < 16; j++) {
        int half = j / 8, line = j % 8 / 2, column = j % 2 * 16;
        float scale = d * (float)q3_k_scale(b, j);
        for (int l = column; l < column + 16; l++) {
            int low = b->q[half * 32 + l] >> line * 2 & 3;
            int high = b->h[l] >> (half * 4 + line) & 1;
            *x++ = scale * (float)((low | high << 2) - 4);
        }
    }
}

#define BLOCK_NAME qn_q3_k_decode
#define BLOCK_TYPE q3_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q3_k_values
#include "tensor/decode_block_tmpl.h"

static void q3_k_choose(const float *x, const float *w, q3_k_block *b)
{
    static const qn_fit_book book = {8, -4, NULL};
    qn_fit_scaled f;
    qn_fit_scaled_super(x, w, 16, &book, 32, &f);
    b->d = f.d;
    for (int j = 0; j < 16; j++) {
        int s = f.scale[j] + 32;
        b->s[j % 8] = (uint8_t)(b->s[j % 8] | (s & 15) << j / 8 * 4);
        b->s[8 + j % 4] = (uint8_t)(b->s[8 + j % 4] | (s >> 4) << j / 4 * 2);
    }
    for (int i = 0; i < 256; i++) {
        uint8_t *q = &b->q[i / 128 * 32 + i % 32], *h = &b->h[i % 32];
        *q = (uint8_t)(*q | (f.q[i] & 3) << i % 128 / 32 * 2);
        *h = (uint8_t)(*h | (f.q[i] >> 2) << i / 32);
    }
}

#define BLOCK_NAME qn_q3_k_encode
#define BLOCK_WEIGHTED qn_q3_k_encode_weighted
#define BLOCK_TYPE q3_k_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE q3_k_choose
#include "tensor/encode_block_tmpl.h"
