/* q2_k.c - ggml's 2-bit super-blocks.
 *
 *   block of 256, 84 bytes:  | s[16] | q[64] | d: f16 | m: f16 |
 *   16 sub-blocks of 16; of number j
 *     scale = d * (s[j] & 15), offset = m * (s[j] >> 4)
 *   element l of it, in half h = j / 8 and line p = j % 8 / 2:
 *     x = scale * (q[32 h + 16 (j % 2) + l] >> 2 p & 3) - offset
 *   (a byte of q holds the four lines of a half at one column)
 *
 * Encoding: fit.h, with 16 sub-blocks, four codes, scales and offsets of four
 * bits. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/fit.h"

#include <stdint.h>
#include <string.h>

typedef struct q2_k_block {
    uint8_t s[16];
    uint8_t q[64];
    uint16_t d, m;
} q2_k_block;
_Static_assert(sizeof(q2_k_block) == 84, "as in the file");

static void q2_k_values(const q2_k_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d), m = qn_f32_of_f16(b->m);
    for (int j = 0; j < 16; j++) {
        const uint8_t *q = b->q + j / 8 * 32 + j % 2 * 16;
        float scale = d * (float)(b->s[j] & 15);
        float offset = m * (float)(b->s[j] >> 4);
        for (int l = 0; l < 16; l++)
            *x++ = scale * (float)(q[l] >> j % 8 / 2 * 2 & 3) - offset;
    }
}

#define BLOCK_NAME qn_q2_k_decode
#define BLOCK_TYPE q2_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q2_k_values
#include "tensor/decode_block_tmpl.h"

static void q2_k_choose(const float *x, const float *w, q2_k_block *b)
{
    qn_fit_affine f;
    qn_fit_affine_super(x, w, 16, 3, 15, &f);
    b->d = f.d;
    b->m = f.m;
    for (int j = 0; j < 16; j++)
        b->s[j] = (uint8_t)(f.scale[j] | f.offset[j] << 4);
    for (int i = 0; i < 256; i++) {
        uint8_t *q = &b->q[i / 128 * 32 + i % 32];
        *q = (uint8_t)(*q | f.q[i] << i % 128 / 32 * 2);
    }
}

#define BLOCK_NAME qn_q2_k_encode
#define BLOCK_WEIGHTED qn_q2_k_encode_weighted
#define BLOCK_TYPE q2_k_block
#define BLOCK_ELEMS 256
#define BLOCK_ENCODE q2_k_choose
#include "tensor/encode_block_tmpl.h"
