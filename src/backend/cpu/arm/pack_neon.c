/* pack_neon.c - panels of 16 rows out of file order, by transposing registers.
 *
 * 4 rows x 4 dwords at a time: a dword is an f32, a pair of 16 bits, 4 bytes of
 * q8_0 or 8 nibbles of q4_0. Bound: memory, at 2 bytes moved per byte.
 * Reference: ref/ref_pack.c, equal bit for bit.
 */
#include "backend/cpu/arm/arm.h"

#include <arm_neon.h>

/* 16 rows of 4 dwords at p: c[j][i] is dword j of rows 4 i .. 4 i + 3. */
QN_INLINE void columns(const uint8_t *p, int64_t row_bytes, uint8x16_t c[4][4])
{
    QN_UNROLL
    for (int i = 0; i < 4; i++, p += 4 * row_bytes) {
        uint32x4_t r[4], a, b;
        QN_UNROLL
        for (int j = 0; j < 4; j++)
            r[j] = vreinterpretq_u32_u8(vld1q_u8(p + j * row_bytes));
        /* dwords 0, 1 and 2, 3 of rows 0, 1 and of rows 2, 3 */
        for (int h = 0; h < 2; h++) {
            a = h ? vzip2q_u32(r[0], r[1]) : vzip1q_u32(r[0], r[1]);
            b = h ? vzip2q_u32(r[2], r[3]) : vzip1q_u32(r[2], r[3]);
            c[2 * h][i] = vreinterpretq_u8_u64(
                vzip1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
            c[2 * h + 1][i] = vreinterpretq_u8_u64(
                vzip2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
        }
    }
}

QN_INLINE void store_line(uint8_t *to, const uint8x16_t c[4], uint8x16_t flip)
{
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        vst1q_u8(to + 16 * i, veorq_u8(c[i], flip));
}

/* n dwords of 16 rows to n lines. */
QN_INLINE void lines(const uint8_t *rows, int64_t row_bytes, int64_t n,
                     uint8_t flip, uint8_t *to)
{
    for (int64_t j = 0; j < n; j += 4) {
        uint8x16_t c[4][4];
        columns(rows + 4 * j, row_bytes, c);
        QN_UNROLL
        for (int i = 0; i < 4; i++)
            store_line(to + (j + i) * 64, c[i], vdupq_n_u8(flip));
    }
}

static void pack_f32_neon(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    int64_t k = n_in / 4 * 4;

    lines(rows, row_bytes, k, 0, panel);
    for (; k < n_in; k++)
        for (int i = 0; i < QN_PANEL; i++)
            memcpy(panel + (k * QN_PANEL + i) * 4, rows + i * row_bytes + k * 4,
                   4);
}

static void pack_bf16_neon(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    int64_t k = n_in / 8 * 8;

    lines(rows, row_bytes, k / 2, 0, panel);
    for (; k < n_in; k += 2) /* an odd last element is completed by zero */
        for (int i = 0; i < QN_PANEL; i++) {
            uint8_t two[4] = {0};
            memcpy(two, rows + i * row_bytes + k * 2, k + 1 < n_in ? 4 : 2);
            memcpy(panel + (k / 2 * QN_PANEL + i) * 4, two, 4);
        }
}

/* As bf16, then each line of pairs is split into its two k's. */
static void pack_f16_neon(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    int64_t k = 0;

    for (; k + 8 <= n_in; k += 8) {
        uint8x16_t c[4][4];
        columns(rows + 2 * k, row_bytes, c);
        QN_UNROLL
        for (int j = 0; j < 4; j++)
            QN_UNROLL
        for (int i = 0; i < 2; i++) {
            uint16x8_t a = vreinterpretq_u16_u8(c[j][2 * i]);
            uint16x8_t b = vreinterpretq_u16_u8(c[j][2 * i + 1]);
            uint8_t *to = panel + (k + 2 * j) * 32 + 16 * i;
            vst1q_u8(to, vreinterpretq_u8_u16(vuzp1q_u16(a, b)));
            vst1q_u8(to + 32, vreinterpretq_u8_u16(vuzp2q_u16(a, b)));
        }
    }
    for (; k < n_in; k++)
        for (int i = 0; i < QN_PANEL; i++)
            memcpy(panel + (k * QN_PANEL + i) * 2, rows + i * row_bytes + k * 2,
                   2);
}

QN_INLINE void pack_blocks(const uint8_t *rows, int64_t row_bytes, int64_t n,
                           const int n_dword, uint8_t flip, uint8_t *panel)
{
    for (int64_t b = 0; b < n; b++) {
        for (int i = 0; i < QN_PANEL; i++)
            memcpy(panel + 2 * i, rows + i * row_bytes, 2);
        lines(rows + 2, row_bytes, n_dword, flip, panel + 32);
        rows += 2 + 4 * n_dword;
        panel += 32 + 64 * n_dword;
    }
}

static void pack_q8_0_neon(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    pack_blocks(rows, row_bytes, n_in / QN_QBLOCK, 8, 128, panel);
}

static void pack_q4_0_neon(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    pack_blocks(rows, row_bytes, n_in / QN_QBLOCK, 4, 0, panel);
}

void qn_arm_pack_neon(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_pack_fn fn;
    } rows[] = {
        {QN_LAYOUT_F32, "pack_f32_neon", pack_f32_neon},
        {QN_LAYOUT_F16, "pack_f16_neon", pack_f16_neon},
        {QN_LAYOUT_BF16, "pack_bf16_neon", pack_bf16_neon},
        {QN_LAYOUT_Q8_0, "pack_q8_0_neon", pack_q8_0_neon},
        {QN_LAYOUT_Q4_0, "pack_q4_0_neon", pack_q4_0_neon},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        k->pack[rows[i].layout].name = rows[i].name;
        k->pack[rows[i].layout].fn = rows[i].fn;
    }
}
