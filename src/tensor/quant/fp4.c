/* fp4.c - ggml's blocks of 4-bit floats (E2M1) with a shared 8-bit scale.
 *
 *   mxfp4  block of 32, 17 bytes:  | e | q[16]: two nibbles each |
 *     x[i] = 2^(e - 127) * E2M1(q[i] & 15), x[i + 16] by the high nibble
 *     (OCP Microscaling 1.0; e = 255, there a NaN, is a power like any here,
 *     as ggml has it)
 *   nvfp4  block of 64, 36 bytes:  | s[4] | q[32] |
 *     16 elements each: x[16 j + i] = E4M3(s[j]) * E2M1(q[8 j + i] & 15),
 *     x[16 j + 8 + i] by the high nibble; s has no sign, its NaN is 0. A
 *     factor for the whole tensor, if there is one, is a tensor of its own.
 *
 * Encoding mxfp4: e is the exponent of the largest magnitude less 2 (that of
 * E2M1's largest, 6); every element becomes the nearest value, the one that
 * comes first in the code book where two are as near: as the reference
 * quantizer has it. */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct mxfp4_block {
    uint8_t e;
    uint8_t q[16];
} mxfp4_block;
_Static_assert(sizeof(mxfp4_block) == 17, "as in the file");

typedef struct nvfp4_block {
    uint8_t s[4];
    uint8_t q[32];
} nvfp4_block;
_Static_assert(sizeof(nvfp4_block) == 36, "as in the file");

/* Twice the values of E2M1, so that they are whole. */
static const float fp4_twice[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                    0, -1, -2, -3, -4, -6, -8, -12};

static void mxfp4_values(const mxfp4_block *b, float *x)
{
    float half = ldexpf(1.0f, (int)b->e - 128);
    for (int i = 0; i < 16; i++) {
        x[i] = half * fp4_twice[b->q[i] & 15];
        x[i + 16] = half * fp4_twice[b->q[i] >> 4];
    }
}

static void nvfp4_values(const nvfp4_block *b, float *x)
{
    for (int j = 0; j < 4; j++) {
        uint8_t s = b->s[j] & 127;
        float half = s == 127 ? 0.0f : qn_f32_of_e4m3(s) * 0.5f;
        const uint8_t *q = b->q + j * 8;
        for (int i = 0; i < 8; i++) {
            x[16 * j + i] = half * fp4_twice[q[i] & 15];
            x[16 * j + 8 + i] = half * fp4_twice[q[i] >> 4];
        }
    }
}

#define BLOCK_NAME qn_mxfp4_decode
#define BLOCK_TYPE mxfp4_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE mxfp4_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_nvfp4_decode
#define BLOCK_TYPE nvfp4_block
#define BLOCK_ELEMS 64
#define BLOCK_DECODE nvfp4_values
#include "tensor/decode_block_tmpl.h"

static uint8_t fp4_nearest(float x, float half)
{
    int best = 0;
    float least = INFINITY;
    for (int i = 0; i < 16; i++) {
        float e = fabsf(fp4_twice[i] * half - x);
        if (e < least) {
            least = e;
            best = i;
        }
    }
    return (uint8_t)best;
}

/* The exponent of the largest finite magnitude, less 2, plus the bias. */
static uint8_t mxfp4_exponent(const float *x)
{
    float max = 0.0f;
    for (int i = 0; i < 32; i++)
        if (isfinite(x[i]))
            max = fmaxf(max, fabsf(x[i]));
    if (max == 0.0f)
        return 0;
    int e = ilogbf(max) - 2 + 127;
    return (uint8_t)(e > 0 ? e : 0);
}

void qn_mxfp4_encode(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= 32; n -= 32, src += 32, p += sizeof(mxfp4_block)) {
        mxfp4_block b = {.e = mxfp4_exponent(src)};
        float half = ldexpf(1.0f, (int)b.e - 128);
        for (int i = 0; i < 16; i++)
            b.q[i] = (uint8_t)(fp4_nearest(src[i], half) |
                               fp4_nearest(src[i + 16], half) << 4);
        memcpy(p, &b, sizeof b);
    }
}
