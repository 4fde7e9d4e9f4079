/* half.h - 16-bit and 8-bit floats, one at a time, exact.
 *
 * To f32: every value is representable, so nothing is rounded; a signalling
 * NaN becomes quiet, as the processors' own instructions have it. From f32:
 * round to nearest, ties to even, subnormals included; too large becomes
 * infinity (e4m3 has none: NaN); a NaN stays a quiet NaN.
 *
 *            sign exponent mantissa  bias  largest
 *   f16        1     5       10       15   65504
 *   bf16       1     8        7      127   3.39e38
 *   e5m2       1     5        2       15   57344
 *   e4m3       1     4        3        7   448, 0x7f and 0xff are NaN
 *
 * (IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0) */
#ifndef QN_TENSOR_HALF_H
#define QN_TENSOR_HALF_H

#include "base/compiler.h"

#include <stdint.h>
#include <string.h>

QN_INLINE float qn_f32_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

QN_INLINE uint32_t qn_bits_of_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* ---- 16 bits ----------------------------------------------------------- */

QN_INLINE float qn_f32_of_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    if ((u & 0x7fffffff) > 0x7f800000)
        u |= 0x00400000;
    return qn_f32_of_bits(u);
}

QN_INLINE uint16_t qn_bf16_of_f32(float f)
{
    uint32_t u = qn_bits_of_f32(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

QN_INLINE float qn_f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = h >> 10 & 0x1f, man = h & 0x3ff;

    if (exp == 0) { /* zero or subnormal: man * 2^-24 is exact in f32 */
        float f = (float)man * 0x1p-24f;
        return qn_f32_of_bits(sign | qn_bits_of_f32(f));
    }
    if (exp == 31)
        return qn_f32_of_bits(sign | 0x7f800000 | man << 13 |
                              (man ? 0x00400000 : 0));
    return qn_f32_of_bits(sign | (exp + 112) << 23 | man << 13);
}

QN_INLINE uint16_t qn_f16_of_f32(float f)
{
    uint32_t u = qn_bits_of_f32(f);
    uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;

    if (a > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x47800000) /* 65536 and up */
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000) { /* subnormal: the f32 adder rounds at 2^-24 */
        float r = qn_f32_of_bits(a) + 0.5f;
        return (uint16_t)(sign | (qn_bits_of_f32(r) - 0x3f000000));
    }
    a += 0xfff + (a >> 13 & 1);
    return (uint16_t)(sign | (a - 0x38000000) >> 13);
}

/* ---- 8 bits ------------------------------------------------------------ */

/* e5m2 is the upper half of an f16. */
QN_INLINE float qn_f32_of_e5m2(uint8_t b)
{
    return qn_f32_of_f16((uint16_t)(b << 8));
}

QN_INLINE uint8_t qn_e5m2_of_f32(float f)
{
    uint32_t u = qn_bits_of_f32(f);
    uint32_t sign = u >> 24 & 0x80, a = u & 0x7fffffff;

    if (a > 0x7f800000)
        return (uint8_t)(sign | 0x7e);
    if (a >= 0x47800000) /* 65536 and up; 61440 and up round there below */
        return (uint8_t)(sign | 0x7c);
    if (a < 0x38800000) { /* below 2^-14: units of 2^-16, rounded by + 128 */
        float r = qn_f32_of_bits(a) + 128.0f;
        return (uint8_t)(sign | (qn_bits_of_f32(r) - 0x43000000));
    }
    a += 0xfffff + (a >> 21 & 1);
    return (uint8_t)(sign | (a - 0x38000000) >> 21);
}

QN_INLINE float qn_f32_of_e4m3(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80) << 24;
    uint32_t exp = b >> 3 & 15, man = b & 7;

    if (exp == 0)
        return qn_f32_of_bits(sign | qn_bits_of_f32((float)man * 0x1p-9f));
    if ((b & 0x7f) == 0x7f)
        return qn_f32_of_bits(sign | 0x7fc00000);
    return qn_f32_of_bits(sign | (exp + 120) << 23 | man << 20);
}

QN_INLINE uint8_t qn_e4m3_of_f32(float f)
{
    uint32_t u = qn_bits_of_f32(f);
    uint32_t sign = u >> 24 & 0x80, a = u & 0x7fffffff;

    if (a > 0x43e80000) /* above 464, halfway between 448 and 480; or NaN */
        return (uint8_t)(sign | 0x7f);
    if (a < 0x3c800000) { /* below 2^-6: units of 2^-9, rounded by + 2^14 */
        float r = qn_f32_of_bits(a) + 16384.0f;
        return (uint8_t)(sign | (qn_bits_of_f32(r) - 0x46800000));
    }
    a += 0x7ffff + (a >> 20 & 1);
    return (uint8_t)(sign | (a - 0x3c000000) >> 20);
}

#endif
