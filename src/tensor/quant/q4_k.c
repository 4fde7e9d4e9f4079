/* q4_k.c - ggml's 4-bit super-blocks.
 *
 *   block of 256, 144 bytes:  | d: f16 | m: f16 | s[12] | q[128] |
 *   8 sub-blocks of 32, with scale and offset of 6 bits (k_scales.h);
 *   element l of sub-block j: the low nibble of q[32 (j / 2) + l] for even j,
 *   the high one for odd j
 *     x = d * scale * nibble - m * offset
 *
 * Encoding: fit.h, with 8 sub-blocks, 16 codes, scales and offsets of six
 * bits. */
#include "tensor/codec.h"

#include "tensor/quant/fit.h"
#include "tensor/quant/k_scales.h"

#include <string.h>

typedef struct q4_k_block {
    uint16_t d, m;
    uint8_t s[12];
    uint8_t q[128];
} q4_k_block;
_Static_assert(sizeof(q4_k_block) == 144, "as in the file");

static void q4_k_values(const q4_k_block *b, float *x)
{
    for (int j = 0; j < 8; j++) {
        const uint8_t *q = b->q + j / 2 * 32;
        float scale, offset;
        k_scales_sub(b->d, b->m, b->s, j, &scale, &offset);
        for (int l = 0; l < 32; l++)
            *x++ = scale * (float)(q[l] >> j % 2 * 4 & 15) - offset;
    }
}

#define BLOCK_NAME qn_q4_k_decode
#define BLOCK_TYPE q4_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q4_k_values
#include "tensor/decode_block_tmpl.h"

static void q4_k_choose(const float *x, const float *w, q4_k_block *b)
{
    qn_fit_affine f;
    qn_fit_affine_super(x, w, 8, 15, 63, &f);
    b->d = f.d;
    b->m = f.m;
    k_scales_put(b->s, f.scale, f.offset);
    for (int i = 0; i < 256; i++) {
        uint8_t *q = &b->q[i / 64 * 32 + i % 32];
        *q = (uint8_t)(*q | f.q[i] << i / 32 % 2 * 4);
    }
}

#define BLOCK_NAME qn_q4_k_encode
#define BLOCK_WEIGHTED qn_q4_k_encode_weighted
#define BLOCK_TYPE q4_k_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE q4_k_choose
#include "tensor/encode_block_tmpl.h"
