/* q4_1.c - ggml's 4-bit blocks with an offset.
 *
 *   block of 32, 20 bytes:  | d: f16 | m: f16 | q[0] .. q[15]: two nibbles |
 *   x[i]      = d * (q[i] & 15) + m    i < 16
 *   x[i + 16] = d * (q[i] >> 4) + m
 *
 * Encoding: m is the least element, d a fifteenth of the span; both are used
 * unrounded to choose q, and stored rounded to f16, as the reference quantizer
 * has it. */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/minmax.h"

#include <stdint.h>
#include <string.h>

typedef struct q4_1_block {
    uint16_t d, m;
    uint8_t q[16];
} q4_1_block;
_Static_assert(sizeof(q4_1_block) == 20, "as in the file");

static void q4_1_values(const q4_1_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d), m = qn_f32_of_f16(b->m);
    for (int i = 0; i < 16; i++) {
        x[i] = d * (float)(b->q[i] & 15) + m;
        x[i + 16] = d * (float)(b->q[i] >> 4) + m;
    }
}

#define BLOCK_NAME qn_q4_1_decode
#define BLOCK_TYPE q4_1_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE q4_1_values
#include "tensor/decode_block_tmpl.h"

void qn_q4_1_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= 32; n -= 32, src += 32, p += sizeof(q4_1_block)) {
        uint8_t q[32];
        q4_1_block b;
        quant_minmax(src, 15, &b.d, &b.m, q);
        for (int i = 0; i < 16; i++)
            b.q[i] = (uint8_t)(q[i] | q[i + 16] << 4);
        memcpy(p, &b, sizeof b);
    }
}
