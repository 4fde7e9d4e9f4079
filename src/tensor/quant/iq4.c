/* iq4.c - ggml's 4-bit blocks with unequal steps, denser around zero.
 *
 *   iq4_nl  block of 32, 18 bytes:  | d: f16 | q[16]: two nibbles each |
 *     x[i] = d * value[q[i] & 15], x[i + 16] by the high nibble
 *   iq4_xs  block of 256, 136 bytes:  | d: f16 | h: u16 | l[4] | q[128] |
 *     8 sub-blocks of 32, laid out as in iq4_nl; scale j is nibble j of l and
 *     two bits of h, less 32
 *     x = d * scale * value */
#include "tensor/codec.h"

#include "tensor/half.h"

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
#include "tensor/block_tmpl.h"

#define BLOCK_NAME qn_iq4_xs_decode
#define BLOCK_TYPE iq4_xs_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq4_xs_values
#include "tensor/block_tmpl.h"
