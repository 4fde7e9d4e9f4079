/* quads.h - weights of any layout with whole numbers as signed bytes: 4 k's of
 * 4 rows in a register, as the products of bytes want them.
 *
 * A register of the panel is 4 rows x 4 bytes. Nibbles become two registers;
 * bytes lose 128, which fits them into a sign; codes of a book become its
 * points. What the bytes then lack to be the weights' whole numbers is the
 * same for all k of a row: it goes into the sum of products as a multiple of
 * the sum of x.
 */
#ifndef QN_BACKEND_CPU_QUADS_H
#define QN_BACKEND_CPU_QUADS_H

#include "backend/cpu/arm/v_neon.h"
#include "backend/cpu/kernels.h"

/* The points of a matrix in CB4. */
QN_INLINE vi load_book(const qn_scaled *q)
{
    return vreinterpretq_s32_s8(vld1q_s8(q->points));
}

QN_INLINE int8x16_t low_nibbles(uint8x16_t d)
{
    return vreinterpretq_s8_u8(vandq_u8(d, vdupq_n_u8(15)));
}
QN_INLINE int8x16_t high_nibbles(uint8x16_t d)
{
    return vreinterpretq_s8_u8(vshrq_n_u8(d, 4));
}

/* The 8 k's from 8 i on of a block, 4 rows: two registers, one k after the
 * other. `codes` is where the block's codes of these rows begin. */
QN_INLINE void quads(qn_layout l, vi book, const uint8_t *codes, const int i,
                     int8x16_t q[2])
{
    const uint8x16_t top = vdupq_n_u8(128);
    const uint8_t *at = codes + 64 * i;

    if (l == QN_LAYOUT_Q4_0) {
        at = codes + 128 * (i % 2);
        QN_UNROLL
        for (int j = 0; j < 2; j++)
            q[j] = i < 2 ? low_nibbles(vld1q_u8(at + 64 * j))
                         : high_nibbles(vld1q_u8(at + 64 * j));
    } else if (qn_layout_nibbles(l)) {
        q[0] = low_nibbles(vld1q_u8(at));
        q[1] = high_nibbles(vld1q_u8(at));
    } else {
        at = codes + 128 * i;
        QN_UNROLL
        for (int j = 0; j < 2; j++)
            q[j] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(at + 64 * j), top));
    }
    if (l == QN_LAYOUT_CB4) {
        QN_UNROLL
        for (int j = 0; j < 2; j++)
            q[j] = vqtbl1q_s8(vreinterpretq_s8_s32(book),
                              vreinterpretq_u8_s8(q[j]));
    }
}

/* Of 4 rows: what is to be added to each byte, given their zero points. */
QN_INLINE vi lacking(qn_layout l, const uint8_t *zeros)
{
    vi lack = vdupq_n_s32(l == QN_LAYOUT_Q4_0                      ? -8
                          : l == QN_LAYOUT_A8 || l == QN_LAYOUT_M8 ? 128
                                                                   : 0);
    uint32_t four;

    if (l != QN_LAYOUT_A4 && l != QN_LAYOUT_A8)
        return lack;
    memcpy(&four, zeros, sizeof four);
    uint16x8_t z = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vsubq_s32(lack, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(z))));
}

/* The sum of x in a block of B, which lies behind its `bytes`. */
QN_INLINE int32_t sum_of_x(const uint8_t *x, const int bytes)
{
    int32_t sum;

    memcpy(&sum, x + bytes + offsetof(qn_xi8, sum), sizeof sum);
    return sum;
}

#endif
