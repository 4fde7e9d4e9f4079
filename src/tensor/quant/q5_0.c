/* q5_0.c - ggml's 5-bit blocks without an offset.
 *
 *   block of 32, 22 bytes:  | d: f16 | h: u32 | q[0] .. q[15]: two nibbles |
 *   x[i]      = d * ((q[i] & 15 | bit i of h << 4) - 16)         i < 16
 *   x[i + 16] = d * ((q[i] >> 4 | bit i + 16 of h << 4) - 16)
 *
 * Encoding: the element of largest magnitude, with its sign, becomes -16; so d
 * may be negative, and one side has a step more than the other. */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct q5_0_block {
    uint16_t d;
    uint8_t h[4];
    uint8_t q[16];
} q5_0_block;
_Static_assert(sizeof(q5_0_block) == 22, "as in the file");

static void q5_0_values(const q5_0_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int i = 0; i < 16; i++) {
        int low = (b->h[i / 8] >> i % 8 & 1) << 4;
        int high = (b->h[i / 8 + 2] >> i % 8 & 1) << 4;
        x[i] = d * (float)(((b->q[i] & 15) | low) - 16);
        x[i + 16] = d * (float)((b->q[i] >> 4 | high) - 16);
    }
}

#define BLOCK_NAME qn_q5_0_decode
#define BLOCK_TYPE q5_0_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE q5_0_values
#include "tensor/decode_block_tmpl.h"

void qn_q5_0_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= 32; n -= 32, src += 32, p += sizeof(q5_0_block)) {
        float max = 0.0f;
        for (int i = 0; i < 32; i++)
            if (fabsf(src[i]) > fabsf(max))
                max = src[i];
        float d = max / -16.0f;
        float id = d != 0.0f ? 1.0f / d : 0.0f;
        q5_0_block b = {.d = qn_f16_of_f32(d)};
        for (int i = 0; i < 32; i++) {
            float v = src[i] * id + 16.5f; /* NaN becomes 0 */
            v = v > 0.0f ? v : 0.0f;
            int q = (int)(v < 31.0f ? v : 31.0f);
            b.q[i % 16] = (uint8_t)(b.q[i % 16] | (q & 15) << i / 16 * 4);
            b.h[i / 8] = (uint8_t)(b.h[i / 8] | (q >> 4) << i % 8);
        }
        memcpy(p, &b, sizeof b);
    }
}
