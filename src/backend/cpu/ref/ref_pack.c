/* ref_pack.c - a panel of 16 rows out of file order, element by element; in
 * stretches of STRETCH elements, so that the part of the panel being written
 * stays in the first-level cache. */
#include "backend/cpu/ref/ref.h"

#define STRETCH 64

static void pack_f32_ref(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                         uint8_t *panel)
{
    for (int64_t k0 = 0; k0 < n_in; k0 += STRETCH)
        for (int i = 0; i < QN_PANEL; i++)
            for (int64_t k = k0; k < QN_MIN(n_in, k0 + STRETCH); k++)
                memcpy(panel + (k * QN_PANEL + i) * 4,
                       rows + i * row_bytes + k * 4, 4);
}

static void pack_f16_ref(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                         uint8_t *panel)
{
    for (int64_t k0 = 0; k0 < n_in; k0 += STRETCH)
        for (int i = 0; i < QN_PANEL; i++)
            for (int64_t k = k0; k < QN_MIN(n_in, k0 + STRETCH); k++)
                memcpy(panel + (k * QN_PANEL + i) * 2,
                       rows + i * row_bytes + k * 2, 2);
}

/* Pairs are copied whole; an odd last element is completed by zero. */
static void pack_bf16_ref(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    for (int64_t k0 = 0; k0 < n_in; k0 += STRETCH)
        for (int i = 0; i < QN_PANEL; i++)
            for (int64_t k = k0; k < QN_MIN(n_in, k0 + STRETCH); k += 2) {
                uint8_t *to = panel + (k / 2 * QN_PANEL + i) * 4;
                const uint8_t *from = rows + i * row_bytes + k * 2;
                if (k + 1 < n_in)
                    memcpy(to, from, 4);
                else
                    memcpy(to, (uint8_t[4]){from[0], from[1]}, 4);
            }
}

/* Both block formats of ggml: an f16 scale, then the elements. A q4_0 byte
 * already holds elements j and 16 + j, as the panel wants them. */
static void pack_q8_0_ref(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    for (int64_t b = 0; b < n_in / QN_QBLOCK; b++, panel += 544) {
        for (int i = 0; i < QN_PANEL; i++) {
            const uint8_t *block = rows + i * row_bytes + b * 34;
            memcpy(panel + i * 2, block, 2);
            for (int j = 0; j < QN_QBLOCK; j++)
                panel[32 + (j / 4 * QN_PANEL + i) * 4 + j % 4] = block[2 + j] ^
                                                                 0x80;
        }
    }
}

static void pack_q4_0_ref(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    for (int64_t b = 0; b < n_in / QN_QBLOCK; b++, panel += 288) {
        for (int i = 0; i < QN_PANEL; i++) {
            const uint8_t *block = rows + i * row_bytes + b * 18;
            memcpy(panel + i * 2, block, 2);
            for (int j = 0; j < QN_QBLOCK / 8; j++)
                memcpy(panel + 32 + (j * QN_PANEL + i) * 4, block + 2 + j * 4,
                       4);
        }
    }
}

static void pack_codes8_ref(const uint8_t *codes, int64_t ld, int n,
                            uint8_t *to)
{
    for (int k = 0; k < n; k += 4)
        for (int i = 0; i < QN_PANEL; i++, to += 4)
            memcpy(to, codes + i * ld + k, 4);
}

static void pack_codes4_ref(const uint8_t *codes, int64_t ld, int n,
                            uint8_t *to)
{
    for (int k = 0; k < n; k += 8)
        for (int i = 0; i < QN_PANEL; i++)
            for (int j = k; j < k + 4; j++)
                *to++ = (uint8_t)(codes[i * ld + j] | codes[i * ld + j + 4]
                                                          << 4);
}

void qn_ref_pack(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_pack_fn fn;
    } rows[] = {
        {QN_LAYOUT_F32, "pack_f32_ref", pack_f32_ref},
        {QN_LAYOUT_F16, "pack_f16_ref", pack_f16_ref},
        {QN_LAYOUT_BF16, "pack_bf16_ref", pack_bf16_ref},
        {QN_LAYOUT_Q8_0, "pack_q8_0_ref", pack_q8_0_ref},
        {QN_LAYOUT_Q4_0, "pack_q4_0_ref", pack_q4_0_ref},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        k->pack[rows[i].layout].name = rows[i].name;
        k->pack[rows[i].layout].fn = rows[i].fn;
    }
    k->pack_codes[0].name = "pack_codes8_ref";
    k->pack_codes[0].fn = pack_codes8_ref;
    k->pack_codes[1].name = "pack_codes4_ref";
    k->pack_codes[1].fn = pack_codes4_ref;
}
