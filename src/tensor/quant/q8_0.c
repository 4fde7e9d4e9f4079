/* q8_0.c - ggml's 8-bit blocks.
 *
 *   block of 32, 34 bytes:  | d: f16 | q[0] .. q[31]: int8 |
 *   x[i] = d * q[i]
 *
 * Encoding: d = max |x| / 127, q[i] = x[i] / d rounded half away from zero.
 * d is used unrounded for that, and stored rounded to f16, as the reference
 * quantizer has it. */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    Q8_0_ELEMS = 32
};

typedef struct q8_0_block {
    uint16_t d;
    int8_t q[Q8_0_ELEMS];
} q8_0_block;
_Static_assert(sizeof(q8_0_block) == 34, "as in the file");

void qn_q8_0_decode(const void *src, float *dst, size_t n)
{
    const unsigned char *p = src;
    for (; n >= Q8_0_ELEMS; n -= Q8_0_ELEMS) {
        q8_0_block b;
        memcpy(&b, p, sizeof b);
        float d = qn_f32_of_f16(b.d);
        for (int i = 0; i < Q8_0_ELEMS; i++)
            dst[i] = d * (float)b.q[i];
        p += sizeof b;
        dst += Q8_0_ELEMS;
    }
}

/* x * id rounded; a NaN (from a NaN or infinite x) becomes -127. */
static int8_t q8_0_byte(float x, float id)
{
    float q = roundf(x * id);
    q = q > -127.0f ? q : -127.0f;
    return (int8_t)(q < 127.0f ? q : 127.0f);
}

void qn_q8_0_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= Q8_0_ELEMS; n -= Q8_0_ELEMS) {
        float max = 0.0f;
        for (int i = 0; i < Q8_0_ELEMS; i++)
            max = fmaxf(max, fabsf(src[i]));
        float d = max / 127.0f;
        float id = d > 0.0f ? 1.0f / d : 0.0f;
        q8_0_block b = {.d = qn_f16_of_f32(d)};
        for (int i = 0; i < Q8_0_ELEMS; i++)
            b.q[i] = q8_0_byte(src[i], id);
        memcpy(p, &b, sizeof b);
        p += sizeof b;
        src += Q8_0_ELEMS;
    }
}
