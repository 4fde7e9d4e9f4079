/* q5_k.c - ggml's 5-bit super-blocks.
 *
 *   block of 256, 176 bytes:  | d: f16 | m: f16 | s[12] | h[32] | q[128] |
 *   as q4_k, and bit j of h[l] is the fifth bit of element l of sub-block j
 *
 * Encoding: fit.h, with 8 sub-blocks, 32 codes, scales and offsets of six
 * bits. */
#include "tensor/codec.h"

#include "tensor/quant/fit.h"
#include "tensor/quant/k_scales.h"

#include <string.h>

typedef struct q5_k_block {
    uint16_t d, m;
    uint8_t s[12];
    uint8_t h[32];
    uint8_t q[128];
} q5_k_block;
_Static_assert(sizeof(q5_k_block) == 176, "as in the file");

static void q5_k_values(const q5_k_block *b, float *x)
{
    for (int j = 0; j < 8; j++) {
        const uint8_t *q = b->q + j / 2 * 32;
        float scale, offset;
        k_scales_sub(b->d, b->m, b->s, j, &scale, &offset);
        for (int l = 0; l < 32; l++) {
            int v = (q[l] >> j % 2 * 4 & 15) | (b->h[l] >> j & 1) << 4;
            *x++ = scale * (float)v - offset;
        }
    }
}

#define BLOCK_NAME qn_q5_k_decode
#define BLOCK_TYPE q5_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q5_k_values
#include "tensor/decode_block_tmpl.h"

static void q5_k_choose(const float *x, const float *w, q5_k_block *b)
{
    qn_fit_affine f;
    qn_fit_affine_super(x, w, 8, 31, 63, &f);
    b->d = f.d;
    b->m = f.m;
    k_scales_put(b->s, f.scale, f.offset);
    for (int i = 0; i < 256; i++) {
        uint8_t *q = &b->q[i / 64 * 32 + i % 32], *h = &b->h[i % 32];
        *q = (uint8_t)(*q | (f.q[i] & 15) << i / 32 % 2 * 4);
        *h = (uint8_t)(*h | (f.q[i] >> 4) << i / 32);
    }
}

#define BLOCK_NAME qn_q5_k_encode
#define BLOCK_WEIGHTED qn_q5_k_encode_weighted
#define BLOCK_TYPE q5_k_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE q5_k_choose
#include "tensor/encode_block_tmpl.h"
