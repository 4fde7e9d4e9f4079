/* whole_neon.c - coded_tmpl.h with the products of the first ARMv8.
 *
 * smlal multiplies signed bytes to 16 bits and adds. Nibbles: 15 * 127 = 1,905,
 * of which 17 fit, so the 16 of a block of 64 are added up there (8 bytes hold
 * 2 rows; a lane meets every fourth k). Points of a book: 127 * 127 * 2 =
 * 32,258 fits, but no third one.
 *
 * Bytes (A8, M8, q8_0): smlal of 16 bits costs no more than that of bytes and
 * the addition of its result, and x keeps 12 bits.
 */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/quads.h"

enum {
    TOK = 6
};

QN_INLINE int x_bytes(qn_layout l)
{
    return qn_layout_nibbles(l) ? 1 : 2;
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    (void)w;
    (void)bytes;
    (void)T;
}

/* 4 bytes of x, four times; 4 words of it, twice. */
QN_INLINE int8x16_t four_bytes(const uint8_t *x)
{
    int32_t four;

    memcpy(&four, x, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
QN_INLINE int16x8_t four_words(const uint8_t *x)
{
    int64_t four;

    memcpy(&four, x, sizeof four);
    return vreinterpretq_s16_s64(vdupq_n_s64(four));
}

/* Sums of rows 0, 0, 1, 1 and of 2, 2, 3, 3. */
QN_INLINE vi four_rows(int32x4_t a, int32x4_t b)
{
    return vpaddq_s32(a, b);
}

/* ---- nibbles and points times int8 --------------------------------------- */

/* s[i] = sums of 4 rows; 16 bits hold a block's. */
QN_INLINE void dot_nibbles(qn_layout l, vi book, const uint8_t *codes,
                           const uint8_t *x, int64_t x_tok, vi *s, const int B,
                           const int T)
{
    int16x8_t p[TOK][2];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        p[t][0] = p[t][1] = vdupq_n_s16(0);
    QN_UNROLL
    for (int i = 0; i < B / 8; i++) {
        int8x16_t q[2];
        quads(l, book, codes, i, q);
        QN_UNROLL
        for (int j = 0; j < 2; j++)
            QN_UNROLL
        for (int t = 0; t < T; t++) {
            int8x16_t v = four_bytes(x + t * x_tok + 8 * i + 4 * j);
            p[t][0] = vmlal_s8(p[t][0], vget_low_s8(q[j]), vget_low_s8(v));
            p[t][1] = vmlal_high_s8(p[t][1], q[j], v);
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = four_rows(vpaddlq_s16(p[t][0]), vpaddlq_s16(p[t][1]));
}

/* The same where 16 bits hold two products. */
QN_INLINE void dot_points(vi book, const uint8_t *codes, const uint8_t *x,
                          int64_t x_tok, vi *s, const int B, const int T)
{
    int32x4_t a[TOK][2];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        a[t][0] = a[t][1] = vdupq_n_s32(0);
    for (int i = 0; i < B / 8; i++) {
        int8x16_t q[2];
        quads(QN_LAYOUT_CB4, book, codes, i, q);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            int8x16_t u = four_bytes(x + t * x_tok + 8 * i);
            int8x16_t v = four_bytes(x + t * x_tok + 8 * i + 4);
            int16x8_t p = vmull_s8(vget_low_s8(q[0]), vget_low_s8(u));
            p = vmlal_s8(p, vget_low_s8(q[1]), vget_low_s8(v));
            a[t][0] = vpadalq_s16(a[t][0], p);
            p = vmull_high_s8(q[0], u);
            p = vmlal_high_s8(p, q[1], v);
            a[t][1] = vpadalq_s16(a[t][1], p);
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = four_rows(a[t][0], a[t][1]);
}

/* ---- bytes times int16 --------------------------------------------------- */

/* Zero points of 4 rows, each four times. */
QN_INLINE uint8x16_t spread_zeros(qn_layout l, const uint8_t *zeros)
{
    uint8x8_t z;
    uint32_t four;

    if (l != QN_LAYOUT_A8)
        return vdupq_n_u8(l == QN_LAYOUT_Q8_0 ? 128 : 0);
    memcpy(&four, zeros, sizeof four);
    z = vreinterpret_u8_u32(vdup_n_u32(four));
    z = vzip1_u8(z, z);
    return vreinterpretq_u8_u16(
        vzip1q_u16(vreinterpretq_u16_u8(vcombine_u8(z, z)),
                   vreinterpretq_u16_u8(vcombine_u8(z, z))));
}

QN_INLINE void dot_words(qn_layout l, const uint8_t *zeros,
                         const uint8_t *codes, const uint8_t *x, int64_t x_tok,
                         vi *s, const int B, const int T)
{
    const uint8x16_t zero = spread_zeros(l, zeros);
    int32x4_t a[TOK][4];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        a[t][0] = a[t][1] = a[t][2] = a[t][3] = vdupq_n_s32(0);
    for (int i = 0; i < B / 4; i++) {
        uint8x16_t d = vld1q_u8(codes + 64 * i);
        int16x8_t lo = vreinterpretq_s16_u16(
            vsubl_u8(vget_low_u8(d), vget_low_u8(zero)));
        int16x8_t hi = vreinterpretq_s16_u16(vsubl_high_u8(d, zero));
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            int16x8_t v = four_words(x + t * x_tok + 8 * i);
            a[t][0] = vmlal_s16(a[t][0], vget_low_s16(lo), vget_low_s16(v));
            a[t][1] = vmlal_high_s16(a[t][1], lo, v);
            a[t][2] = vmlal_s16(a[t][2], vget_low_s16(hi), vget_low_s16(v));
            a[t][3] = vmlal_high_s16(a[t][3], hi, v);
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = vpaddq_s32(vpaddq_s32(a[t][0], a[t][1]),
                          vpaddq_s32(a[t][2], a[t][3]));
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    QN_UNROLL
    for (int w = 0; w < at_once(T); w++, s += TOK, codes += 16) {
        const uint8_t *zeros = group + 64 + (v + w) * VL;
        if (!qn_layout_nibbles(l)) {
            dot_words(l, zeros, codes, x, t->x_tok, s, B, T);
            continue;
        }
        if (l == QN_LAYOUT_CB4)
            dot_points(book, codes, x, t->x_tok, s, B, T);
        else
            dot_nibbles(l, book, codes, x, t->x_tok, s, B, T);
        QN_UNROLL
        for (int i = 0; i < T; i++)
            s[i] = vmlaq_n_s32(s[i], lacking(l, zeros),
                               sum_of_x(x + i * t->x_tok, B));
    }
}

#include "backend/cpu/vec/whole_tmpl.h"
