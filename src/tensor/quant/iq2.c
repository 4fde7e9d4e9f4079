/* iq2.c - ggml's blocks of some 2.1 to 2.6 bits: the magnitudes of eight
 * elements at once from a code book, their signs, and a 4-bit scale.
 *
 *   iq2_xxs  block of 256, 66 bytes:  | d: f16 | q[8]: 8 bytes each |
 *     32 elements: four codes of a byte, then a u32: 4 x 7 bits of signs from
 *     bit 0, bits 28-31 the scale
 *   iq2_xs   block of 256, 74 bytes:  | d: f16 | q[32]: u16 | s[8] |
 *     8 elements: bits 0-8 the code, 9-15 the signs
 *   iq2_s    block of 256, 82 bytes:  | d: f16 | q[32] | signs[32] | h[8] | s[8] |
 *     8 elements: a byte and two bits of h the code, eight signs
 *   In the latter two a nibble of s is the scale of 16 elements.
 *   x = +- d * (scale + 1/2) / 4 * magnitude */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/iq_grid_tab.h"
#include "tensor/quant/iq_signs.h"
#include "tensor/quant/unpack_iq.h"

#include <string.h>

typedef struct iq2_xxs_block {
    uint16_t d;
    uint8_t q[8][8];
} iq2_xxs_block;
_Static_assert(sizeof(iq2_xxs_block) == 66, "as in the file");

typedef struct iq2_xs_block {
    uint16_t d;
    uint16_t q[32];
    uint8_t s[8];
} iq2_xs_block;
_Static_assert(sizeof(iq2_xs_block) == 74, "as in the file");

typedef struct iq2_s_block {
    uint16_t d;
    uint8_t q[32];
    uint8_t signs[32];
    uint8_t h[8];
    uint8_t s[8];
} iq2_s_block;
_Static_assert(sizeof(iq2_s_block) == 82, "as in the file");

static void iq2_put(unsigned entry, unsigned signs, float scale, float *x)
{
    static const float magnitude[] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++) {
        float v = scale * magnitude[entry >> 2 * i & 3];
        x[i] = signs >> i & 1 ? -v : v;
    }
}

static float iq2_scale(float d, int s)
{
    return d * (0.5f + (float)s) * 0.25f;
}

static void iq2_xxs_values(const iq2_xxs_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int j = 0; j < 8; j++) {
        uint32_t aux;
        memcpy(&aux, b->q[j] + 4, sizeof aux);
        float scale = iq2_scale(d, (int)(aux >> 28));
        for (int k = 0; k < 4; k++)
            iq2_put(iq2_xxs_grid[b->q[j][k]], iq_signs(aux >> 7 * k & 127),
                    scale, x + 32 * j + 8 * k);
    }
}

static void iq2_xs_values(const iq2_xs_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int k = 0; k < 32; k++)
        iq2_put(iq2_xs_grid[b->q[k] & 511], iq_signs(b->q[k] >> 9),
                iq2_scale(d, b->s[k / 4] >> k % 4 / 2 * 4 & 15), x + 8 * k);
}

static void iq2_s_values(const iq2_s_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int k = 0; k < 32; k++) {
        int high = b->h[k / 4] >> k % 4 * 2 & 3;
        iq2_put(iq2_s_grid[b->q[k] | high << 8], b->signs[k],
                iq2_scale(d, b->s[k / 4] >> k % 4 / 2 * 4 & 15), x + 8 * k);
    }
}

const float qn_iq2_book[16] = {8, 25, 43, 0, -8, -25, -43, 0};

static void iq2_codes(unsigned entry, unsigned signs, uint8_t *codes)
{
    for (int i = 0; i < 8; i++)
        codes[i] = (uint8_t)((entry >> 2 * i & 3) | (signs >> i & 1) << 2);
}

void qn_iq2_xxs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                       float *offsets)
{
    iq2_xxs_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int j = 0; j < 8; j++) {
        uint32_t aux;
        memcpy(&aux, b.q[j] + 4, sizeof aux);
        scales[j] = iq2_scale(qn_f32_of_f16(b.d), (int)(aux >> 28));
        for (int k = 0; k < 4; k++)
            iq2_codes(iq2_xxs_grid[b.q[j][k]], iq_signs(aux >> 7 * k & 127),
                      codes + 32 * j + 8 * k);
    }
}

void qn_iq2_xs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                      float *offsets)
{
    iq2_xs_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int k = 0; k < 32; k++) {
        scales[k / 2] = iq2_scale(qn_f32_of_f16(b.d),
                                  b.s[k / 4] >> k % 4 / 2 * 4 & 15);
        iq2_codes(iq2_xs_grid[b.q[k] & 511], iq_signs(b.q[k] >> 9),
                  codes + 8 * k);
    }
}

void qn_iq2_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    iq2_s_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int k = 0; k < 32; k++) {
        int high = b.h[k / 4] >> k % 4 * 2 & 3;
        scales[k / 2] = iq2_scale(qn_f32_of_f16(b.d),
                                  b.s[k / 4] >> k % 4 / 2 * 4 & 15);
        iq2_codes(iq2_s_grid[b.q[k] | high << 8], b.signs[k], codes + 8 * k);
    }
}

#define BLOCK_NAME qn_iq2_xxs_decode
#define BLOCK_TYPE iq2_xxs_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq2_xxs_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_iq2_xs_decode
#define BLOCK_TYPE iq2_xs_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq2_xs_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_iq2_s_decode
#define BLOCK_TYPE iq2_s_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq2_s_values
#include "tensor/decode_block_tmpl.h"
