/* iq1.c - ggml's blocks of some 1.6 to 1.8 bits: eight elements of -1, 0, 1 at
 * once from a code book of 2048 vectors, a scale and a shift per group.
 *
 *   iq1_s  block of 256, 50 bytes:  | d: f16 | q[32] | h[8]: u16 |
 *     8 groups of 32, group j in h[j]: bits 0-11 the upper three bits of its
 *     four codes, bits 12-14 the scale, bit 15 the sign of the shift
 *   iq1_m  block of 256, 56 bytes:  | q[32] | h[16] | s[4]: u16 |
 *     d: the upper four bits of each s, s[0]'s the lowest, make an f16;
 *     16 groups of 16, group j: three bits of s[j / 4] from 3 (j % 4) the
 *     scale; code k of 32: nibble k of h, three upper bits of the code and the
 *     sign of its shift
 *   x = d * (2 * scale + 1) * (element + shift)    shift is 1/8 or -1/8 */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/iq_grid_tab.h"
#include "tensor/quant/unpack_iq.h"

#include <string.h>

typedef struct iq1_s_block {
    uint16_t d;
    uint8_t q[32];
    uint16_t h[8];
} iq1_s_block;
_Static_assert(sizeof(iq1_s_block) == 50, "as in the file");

typedef struct iq1_m_block {
    uint8_t q[32];
    uint8_t h[16];
    uint16_t s[4];
} iq1_m_block;
_Static_assert(sizeof(iq1_m_block) == 56, "as in the file");

static void iq1_put(int code, int negative, float scale, float *x)
{
    float shift = negative ? -0.125f : 0.125f;
    for (int i = 0; i < 8; i++)
        x[i] = scale * ((float)((iq1_grid[code] >> 2 * i & 3) - 1) + shift);
}

const float qn_iq1_book[16] = {-0.875f, 0.125f,  1.125f, 0,
                               -1.125f, -0.125f, 0.875f, 0};

static void iq1_codes(int code, int negative, uint8_t *codes)
{
    for (int i = 0; i < 8; i++)
        codes[i] = (uint8_t)((iq1_grid[code] >> 2 * i & 3) |
                             (negative ? 4 : 0));
}

static float iq1_m_d(const iq1_m_block *b)
{
    return qn_f32_of_f16((uint16_t)(b->s[0] >> 12 | b->s[1] >> 12 << 4 |
                                    b->s[2] >> 12 << 8 | b->s[3] >> 12 << 12));
}

static void iq1_s_values(const iq1_s_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int k = 0; k < 32; k++) {
        int h = b->h[k / 4];
        float scale = d * (float)(2 * (h >> 12 & 7) + 1);
        iq1_put(b->q[k] | (h >> k % 4 * 3 & 7) << 8, h >> 15, scale, x + 8 * k);
    }
}

static void iq1_m_values(const iq1_m_block *b, float *x)
{
    float d = iq1_m_d(b);
    for (int k = 0; k < 32; k++) {
        int h = b->h[k / 2] >> k % 2 * 4, group = k / 2;
        int s = b->s[group / 4] >> group % 4 * 3 & 7;
        iq1_put(b->q[k] | (h & 7) << 8, h & 8, d * (float)(2 * s + 1),
                x + 8 * k);
    }
}

void qn_iq1_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    iq1_s_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int k = 0; k < 32; k++) {
        int h = b.h[k / 4];
        scales[k / 4] = qn_f32_of_f16(b.d) * (float)(2 * (h >> 12 & 7) + 1);
        iq1_codes(b.q[k] | (h >> k % 4 * 3 & 7) << 8, h >> 15, codes + 8 * k);
    }
}

void qn_iq1_m_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    iq1_m_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int k = 0; k < 32; k++) {
        int h = b.h[k / 2] >> k % 2 * 4, group = k / 2;
        int s = b.s[group / 4] >> group % 4 * 3 & 7;
        scales[group] = iq1_m_d(&b) * (float)(2 * s + 1);
        iq1_codes(b.q[k] | (h & 7) << 8, h & 8, codes + 8 * k);
    }
}

#define BLOCK_NAME qn_iq1_s_decode
#define BLOCK_TYPE iq1_s_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq1_s_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_iq1_m_decode
#define BLOCK_TYPE iq1_m_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq1_m_values
#include "tensor/decode_block_tmpl.h"
