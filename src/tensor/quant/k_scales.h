/* k_scales.h - the eight 6-bit scales and eight 6-bit offsets of q4_k and q5_k
 * in twelve bytes.
 *
 *   byte     0 .. 3        4 .. 7        8 .. 11
 *   bits 0-5 scale 0 .. 3  offset 0..3   scale 4 .. 7, low four bits
 *   bits 6-7 (4 .. 7)'s    (4 .. 7)'s    bits 4-7: offset 4 .. 7, low four
 *            high two      high two */
#ifndef QN_TENSOR_K_SCALES_H
#define QN_TENSOR_K_SCALES_H

#include "tensor/half.h"

#include <stdint.h>

static inline void k_scales_get(const uint8_t s[12], int j, int *scale,
                                int *offset)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *offset = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *offset = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* What the codes of sub-block j are multiplied by, and what is taken from them,
 * in a super-block with units d and m (f16). */
static inline void k_scales_sub(uint16_t d, uint16_t m, const uint8_t s[12],
                                int j, float *scale, float *offset)
{
    int a, b;
    k_scales_get(s, j, &a, &b);
    *scale = qn_f32_of_f16(d) * (float)a;
    *offset = qn_f32_of_f16(m) * (float)b;
}

static inline void k_scales_put(uint8_t s[12], const uint8_t scale[8],
                                const uint8_t offset[8])
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(offset[j] | offset[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (offset[j + 4] & 15) << 4);
    }
}

#endif
