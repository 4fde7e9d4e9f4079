/* iq3.c - ggml's blocks of some 3.1 to 3.4 bits: the magnitudes of four
 * elements at once from a code book, their signs, and a 4-bit scale.
 *
 *   iq3_xxs  block of 256, 98 bytes:  | d: f16 | q[64] | aux[8]: u32 |
 *     4 elements: a byte is the code; 32 elements: 4 x 7 bits of signs from
 *     bit 0 of aux, bits 28-31 the scale
 *     x = +- d * (scale + 1/2) / 2 * magnitude
 *   iq3_s    block of 256, 110 bytes:  | d: f16 | q[64] | h[8] | signs[32] | s[4] |
 *     4 elements: a byte and a bit of h the code; 32 elements: a nibble of s
 *     the scale
 *     x = +- d * (2 * scale + 1) * magnitude */
#include "tensor/codec.h"

#include "tensor/half.h"
#include "tensor/quant/iq_grid_tab.h"
#include "tensor/quant/iq_signs.h"
#include "tensor/quant/unpack_iq.h"

#include <string.h>

typedef struct iq3_xxs_block {
    uint16_t d;
    uint8_t q[64];
    uint8_t aux[8][4];
} iq3_xxs_block;
_Static_assert(sizeof(iq3_xxs_block) == 98, "as in the file");

typedef struct iq3_s_block {
    uint16_t d;
    uint8_t q[64];
    uint8_t h[8];
    uint8_t signs[32];
    uint8_t s[4];
} iq3_s_block;
_Static_assert(sizeof(iq3_s_block) == 110, "as in the file");

static void iq3_put(unsigned entry, const float *magnitude, unsigned signs,
                    float scale, float *x)
{
    for (int i = 0; i < 4; i++) {
        float v = scale * magnitude[entry >> 3 * i & 7];
        x[i] = signs >> i & 1 ? -v : v;
    }
}

static void iq3_xxs_values(const iq3_xxs_block *b, float *x)
{
    static const float magnitude[] = {4, 12, 20, 28, 36, 44, 52, 62};
    float d = qn_f32_of_f16(b->d);
    for (int j = 0; j < 8; j++) {
        uint32_t aux;
        memcpy(&aux, b->aux[j], sizeof aux);
        float scale = d * (0.5f + (float)(aux >> 28)) * 0.5f;
        for (int k = 0; k < 8; k++)
            iq3_put(iq3_xxs_grid[b->q[8 * j + k]], magnitude,
                    iq_signs(aux >> 7 * (k / 2) & 127) >> k % 2 * 4, scale,
                    x + 32 * j + 4 * k);
    }
}

static void iq3_s_values(const iq3_s_block *b, float *x)
{
    static const float magnitude[] = {1, 3, 5, 7, 9, 11, 13, 15};
    float d = qn_f32_of_f16(b->d);
    for (int k = 0; k < 64; k++) {
        int s = b->s[k / 16] >> k % 16 / 8 * 4 & 15;
        int high = b->h[k / 8] >> k % 8 & 1;
        iq3_put(iq3_s_grid[b->q[k] | high << 8], magnitude,
                (unsigned)b->signs[k / 2] >> k % 2 * 4, d * (float)(1 + 2 * s),
                x + 4 * k);
    }
}

const float qn_iq3_xxs_book[16] = {4,  12,  20,  28,  36,  44,  52,  62,
                                   -4, -12, -20, -28, -36, -44, -52, -62};
const float qn_iq3_s_book[16] = {1,  3,  5,  7,  9,  11,  13,  15,
                                 -1, -3, -5, -7, -9, -11, -13, -15};

static void iq3_codes(unsigned entry, unsigned signs, uint8_t *codes)
{
    for (int i = 0; i < 4; i++)
        codes[i] = (uint8_t)((entry >> 3 * i & 7) | (signs >> i & 1) << 3);
}

void qn_iq3_xxs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                       float *offsets)
{
    iq3_xxs_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int j = 0; j < 8; j++) {
        uint32_t aux;
        memcpy(&aux, b.aux[j], sizeof aux);
        scales[j] = qn_f32_of_f16(b.d) * (0.5f + (float)(aux >> 28)) * 0.5f;
        for (int k = 0; k < 8; k++)
            iq3_codes(iq3_xxs_grid[b.q[8 * j + k]],
                      iq_signs(aux >> 7 * (k / 2) & 127) >> k % 2 * 4,
                      codes + 32 * j + 4 * k);
    }
}

void qn_iq3_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets)
{
    iq3_s_block b;

    (void)offsets;
    memcpy(&b, block, sizeof b);
    for (int k = 0; k < 64; k++) {
        int s = b.s[k / 16] >> k % 16 / 8 * 4 & 15;
        int high = b.h[k / 8] >> k % 8 & 1;
        scales[k / 8] = qn_f32_of_f16(b.d) * (float)(1 + 2 * s);
        iq3_codes(iq3_s_grid[b.q[k] | high << 8],
                  (unsigned)b.signs[k / 2] >> k % 2 * 4, codes + 4 * k);
    }
}

#define BLOCK_NAME qn_iq3_xxs_decode
#define BLOCK_TYPE iq3_xxs_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq3_xxs_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_iq3_s_decode
#define BLOCK_TYPE iq3_s_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE iq3_s_values
#include "tensor/decode_block_tmpl.h"
