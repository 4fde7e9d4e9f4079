/* q5_1.c - ggml's 5-bit blocks with an offset.
 *
 *   block of 32, 24 bytes:  | d: f16 | m: f16 | h: u32 | q[0] .. q[15] |
 *   x[i]      = d * (q[i] & 15 | bit i of h << 4) + m         i < 16
 *   x[i + 16] = d * (q[i] >> 4 | bit i + 16 of h << 4) + m
 *
 * Encoding: as q4_1, with 31 steps. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/minmax.h"

#include <stdint.h>
#include <string.h>

typedef struct q5_1_block {
    uint16_t d, m;
    uint8_t h[4];
    uint8_t q[16];
} q5_1_block;
_Static_assert(sizeof(q5_1_block) == 24, "as in the file");

static void q5_1_values(const q5_1_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d), m = qn_f32_of_f16(b->m);
    for (int i = 0; i < 16; i++) {
        int low = (b->h[i / 8] >> i % 8 & 1) << 4;
        int high = (b->h[i / 8 + 2] >> i % 8 & 1) << 4;
        x[i] = d * (float)((b->q[i] & 15) | low) + m;
        x[i + 16] = d * (float)(b->q[i] >> 4 | high) + m;
    }
}

#define BLOCK_NAME qn_q5_1_decode
#define BLOCK_TYPE q5_1_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE q5_1_values
#include "tensor/decode_block_tmpl.h"

void qn_q5_1_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= 32; n -= 32, src += 32, p += sizeof(q5_1_block)) {
        uint8_t q[32];
        q5_1_block b = {0};
        quant_minmax(src, 31, &b.d, &b.m, q);
        for (int i = 0; i < 32; i++) {
            b.q[i % 16] = (uint8_t)(b.q[i % 16] | (q[i] & 15) << i / 16 * 4);
            b.h[i / 8] = (uint8_t)(b.h[i / 8] | (q[i] >> 4) << i % 8);
        }
        memcpy(p, &b, sizeof b);
    }
}
