/* prep_neon.c - activations as whole numbers in blocks (QN_X_I8_*, QN_X_I16_*).
 *
 *   d = absmax / top, q = round(x / d), and the sum of q
 *
 * Bound: the row is read twice from the first-level cache. Reference: the preps
 * of ref/ref_coded.c, equal bit for bit.
 */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

/* 16 times 32 bits to bytes or to words. */
QN_INLINE void store_16(const vi q[4], uint8_t *y, const bool words)
{
    int16x8_t a = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]));
    int16x8_t b = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));

    if (words) {
        vst1q_u8(y, vreinterpretq_u8_s16(a));
        vst1q_u8(y + 16, vreinterpretq_u8_s16(b));
    } else {
        vst1q_u8(y,
                 vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(a), vmovn_s16(b))));
    }
}

QN_INLINE void prep_block(const float *x, uint8_t *y, const int B,
                          const int top)
{
    const vf low = v_set1((float)-top); /* what NaN becomes */
    const int size = top > 127 ? 2 : 1;
    vf v[16], most = v_zero();
    vi q[16], sum = vdupq_n_s32(0);
    float t, inv;
    qn_xi8 b;

    QN_UNROLL
    for (int i = 0; i < B / VL; i++) {
        v[i] = v_load(x + VL * i);
        most = v_max(v_abs(v[i]), most); /* of NaN: the other */
    }
    t = v_top(most);
    b.d = t / (float)top;
    inv = b.d > 0 ? (float)top / t : 0;
    QN_UNROLL
    for (int i = 0; i < B / VL; i++) {
        q[i] = vcvtnq_s32_f32(v_max(v_mul(v[i], v_set1(inv)), low));
        sum = vaddq_s32(sum, q[i]);
    }
    QN_UNROLL
    for (int i = 0; i < B / 16; i++)
        store_16(q + 4 * i, y + 16 * i * size, size == 2);
    b.sum = vaddvq_s32(sum);
    b.dsum = b.d * (float)b.sum;
    b.fix = QN_COUNT_BITS - 128 * b.sum;
    memcpy(y + B * size, &b, sizeof b);
}

QN_INLINE void prep(const float *x, int n, uint8_t *y, const int B,
                    const int top)
{
    for (; n >= B; n -= B, x += B) {
        prep_block(x, y, B, top);
        y += (top > 127 ? 2 * B : B) + (int)sizeof(qn_xi8);
    }
    if (n > 0) {
        float last[64] = {0};
        memcpy(last, x, (size_t)n * sizeof *x);
        prep_block(last, y, B, top);
    }
}

static void prep_i8_16_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, 127);
}

static void prep_i8_32_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, 127);
}

static void prep_i8_64_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, 127);
}

static void prep_i16_16_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, QN_X_I16_TOP);
}

static void prep_i16_32_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, QN_X_I16_TOP);
}

static void prep_i16_64_neon(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, QN_X_I16_TOP);
}

void qn_arm_prep_neon(qn_kernels *k)
{
    static const struct {
        qn_xform form;
        const char *name;
        qn_prep_fn fn;
    } rows[] = {
        {QN_X_I8_16, "prep_i8_16_neon", prep_i8_16_neon},
        {QN_X_I8_32, "prep_i8_32_neon", prep_i8_32_neon},
        {QN_X_I8_64, "prep_i8_64_neon", prep_i8_64_neon},
        {QN_X_I16_16, "prep_i16_16_neon", prep_i16_16_neon},
        {QN_X_I16_32, "prep_i16_32_neon", prep_i16_32_neon},
        {QN_X_I16_64, "prep_i16_64_neon", prep_i16_64_neon},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        k->prep[rows[i].form].name = rows[i].name;
        k->prep[rows[i].form].fn = rows[i].fn;
    }
}
