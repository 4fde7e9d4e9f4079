/* q1_0.c - ggml's 1-bit blocks.
 *
 *   block of 128, 18 bytes:  | d: f16 | q[16] |
 *   x[i] = d where bit i of q (the lowest first) is set, else -d */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/unpack_iq.h"

#include <stdint.h>
#include <string.h>

typedef struct q1_0_block {
    uint16_t d;
    uint8_t q[16];
} q1_0_block;
_Static_assert(sizeof(q1_0_block) == 18, "as in the file");

static void q1_0_values(const q1_0_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int i = 0; i < 128; i++)
        x[i] = b->q[i / 8] >> i % 8 & 1 ? d : -d;
}

void qn_q1_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                    float *offsets)
{
    q1_0_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    scales[0] = qn_f32_of_f16(b.d);
    for (int i = 0; i < 128; i++)
        codes[i] = (b.q[i / 8] >> i % 8 & 1) * 2;
}

#define BLOCK_NAME qn_q1_0_decode
#define BLOCK_TYPE q1_0_block
#define BLOCK_ELEMS 128
#define BLOCK_DECODE q1_0_values
#include "tensor/decode_block_tmpl.h"
