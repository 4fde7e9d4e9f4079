/* minifloat.c - floats of 8 and 4 bits.
 *
 * The FNUZ variants spend the code of minus zero on their only NaN and have no
 * infinity, so that all other exponents are numbers. */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The value of a sign-exponent-mantissa byte without special codes. */
static float minifloat_value(uint8_t b, int man_bits, int bias)
{
    int exp = (b & 0x7f) >> man_bits, man = b & ((1 << man_bits) - 1);
    if (exp > 0)
        man |= 1 << man_bits;
    else
        exp = 1;
    float f = ldexpf((float)man, exp - bias - man_bits);
    return b & 0x80 ? -f : f;
}

static float minifloat_e4m3fnuz(uint8_t b)
{
    return b == 0x80 ? NAN : minifloat_value(b, 3, 8);
}

static float minifloat_e5m2fnuz(uint8_t b)
{
    return b == 0x80 ? NAN : minifloat_value(b, 2, 16);
}

/* A power of two, as the scale of a microscaling block. */
static float minifloat_e8m0(uint8_t b)
{
    return b == 0xff ? NAN : ldexpf(1.0f, b - 127);
}

#define DECODE_NAME qn_e4m3_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) qn_f32_of_e4m3(x)
#include "tensor/decode_tmpl.h"

#define ENCODE_NAME qn_e4m3_encode
#define ENCODE_TYPE uint8_t
#define ENCODE_F32(f) qn_e4m3_of_f32(f)
#include "tensor/encode_tmpl.h"

#define DECODE_NAME qn_e5m2_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) qn_f32_of_e5m2(x)
#include "tensor/decode_tmpl.h"

#define ENCODE_NAME qn_e5m2_encode
#define ENCODE_TYPE uint8_t
#define ENCODE_F32(f) qn_e5m2_of_f32(f)
#include "tensor/encode_tmpl.h"

#define DECODE_NAME qn_e4m3fnuz_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) minifloat_e4m3fnuz(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_e5m2fnuz_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) minifloat_e5m2fnuz(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_e8m0_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) minifloat_e8m0(x)
#include "tensor/decode_tmpl.h"

void qn_e2m1_decode(const void *src, float *dst, size_t n)
{
    static const float value[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                    4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                    -2.0f, -3.0f, -4.0f, -6.0f};
    const uint8_t *p = src;
    for (size_t i = 0; i < n / 2; i++) {
        dst[2 * i] = value[p[i] & 15];
        dst[2 * i + 1] = value[p[i] >> 4];
    }
}
