/* q4_0.c - ggml's 4-bit blocks without an offset.
 *
 *   block of 32, 18 bytes:  | d: f16 | q[0] .. q[15]: two nibbles each |
 *   x[i]      = d * ((q[i] & 15) - 8)    i < 16
 *   x[i + 16] = d * ((q[i] >> 4) - 8)
 *
 * Encoding: the element of largest magnitude, with its sign, becomes -8; so d
 * may be negative, and one side has a step more than the other. */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    Q4_0_ELEMS = 32,
    Q4_0_HALF = Q4_0_ELEMS / 2
};

typedef struct q4_0_block {
    uint16_t d;
    uint8_t q[Q4_0_HALF];
} q4_0_block;
_Static_assert(sizeof(q4_0_block) == 18, "as in the file");

void qn_q4_0_decode(const void *src, float *dst, size_t n)
{
    const unsigned char *p = src;
    for (; n >= Q4_0_ELEMS; n -= Q4_0_ELEMS) {
        q4_0_block b;
        memcpy(&b, p, sizeof b);
        float d = qn_f32_of_f16(b.d);
        for (int i = 0; i < Q4_0_HALF; i++) {
            dst[i] = d * (float)((b.q[i] & 15) - 8);
            dst[i + Q4_0_HALF] = d * (float)((b.q[i] >> 4) - 8);
        }
        p += sizeof b;
        dst += Q4_0_ELEMS;
    }
}

/* x * id is in [-8, 8]; the nibble is that plus 8, rounded, at most 15. A NaN
 * (from a NaN or infinite x) becomes 0. */
static uint8_t q4_0_nibble(float x, float id)
{
    float q = x * id + 8.5f;
    q = q > 0.0f ? q : 0.0f;
    return (uint8_t)(q < 15.0f ? q : 15.0f);
}

void qn_q4_0_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= Q4_0_ELEMS; n -= Q4_0_ELEMS) {
        float max = 0.0f;
        for (int i = 0; i < Q4_0_ELEMS; i++)
            if (fabsf(src[i]) > fabsf(max))
                max = src[i];
        float d = max / -8.0f;
        float id = d != 0.0f ? 1.0f / d : 0.0f;
        q4_0_block b = {.d = qn_f16_of_f32(d)};
        for (int i = 0; i < Q4_0_HALF; i++)
            b.q[i] = (uint8_t)(q4_0_nibble(src[i], id) |
                               q4_0_nibble(src[i + Q4_0_HALF], id) << 4);
        memcpy(p, &b, sizeof b);
        p += sizeof b;
        src += Q4_0_ELEMS;
    }
}
