/* v_neon.h - the vocabulary of the kernel templates, in NEON: 4 lanes.
 * What the words mean is told in x86/v_avx512.h. Nothing here needs more than
 * the first ARMv8. */
#ifndef QN_BACKEND_CPU_V_NEON_H
#define QN_BACKEND_CPU_V_NEON_H
#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "compile this file for aarch64"
#endif

#include "base/compiler.h"

#include <arm_neon.h>
#include <stdint.h>

#define FN(name) name##_neon
#define FN_NAME(name) name "_neon"

enum {
    VL = 4
};
typedef float32x4_t vf;
typedef int32x4_t vi;
/* There are no masked loads: what is to be touched in memory is a count. */
typedef struct vm {
    uint32x4_t bits; /* all bits of a lane       */
    int n;           /* of a mask of first lanes */
} vm;

QN_INLINE vm v_first(int n)
{
    static const uint32_t iota[4] = {0, 1, 2, 3};
    return (vm){vcltq_u32(vld1q_u32(iota), vdupq_n_u32((uint32_t)n)), n};
}

QN_INLINE vf v_zero(void)
{
    return vdupq_n_f32(0);
}
QN_INLINE vf v_load(const float *p)
{
    return vld1q_f32(p);
}
QN_INLINE vf v_load_m(const float *p, vm m)
{
    vf a = v_zero();

    if (QN_LIKELY(m.n == VL))
        return v_load(p);
    if (m.n > 0)
        a = vld1q_lane_f32(p, a, 0);
    if (m.n > 1)
        a = vld1q_lane_f32(p + 1, a, 1);
    if (m.n > 2)
        a = vld1q_lane_f32(p + 2, a, 2);
    return a;
}
QN_INLINE void v_store(float *p, vf a)
{
    vst1q_f32(p, a);
}
QN_INLINE void v_store_m(float *p, vf a, vm m)
{
    if (QN_LIKELY(m.n == VL)) {
        v_store(p, a);
        return;
    }
    if (m.n > 0)
        vst1q_lane_f32(p, a, 0);
    if (m.n > 1)
        vst1q_lane_f32(p + 1, a, 1);
    if (m.n > 2)
        vst1q_lane_f32(p + 2, a, 2);
}
QN_INLINE vf v_set1(float f)
{
    return vdupq_n_f32(f);
}
QN_INLINE vf v_iota(void)
{
    static const float iota[4] = {0, 1, 2, 3};
    return vld1q_f32(iota);
}
QN_INLINE vf v_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
QN_INLINE vf v_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
QN_INLINE vf v_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
QN_INLINE vf v_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
QN_INLINE vf v_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
QN_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}
/* By comparing: fmax and fmaxnm say something else about NaN. */
QN_INLINE vf v_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
QN_INLINE vf v_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
QN_INLINE vf v_abs(vf a)
{
    return vabsq_f32(a);
}
QN_INLINE vf v_copysign(vf a, vf s)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), s, a);
}
QN_INLINE vm v_lt(vf a, vf b)
{
    return (vm){vcltq_f32(a, b), VL};
}
QN_INLINE vf v_sel(vm m, vf a, vf b)
{
    return vbslq_f32(m.bits, a, b);
}
QN_INLINE vf v_round(vf a)
{
    return vrndnq_f32(a);
}
/* In two factors, each a normal number for |n| <= 252. */
QN_INLINE vf v_ldexp(vf a, vf n)
{
    vi whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    vi bias = vdupq_n_s32(127);
    vi one = vshlq_n_s32(vaddq_s32(half, bias), 23);
    vi two = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);

    return v_mul(v_mul(a, vreinterpretq_f32_s32(one)),
                 vreinterpretq_f32_s32(two));
}
QN_INLINE vf v_exponent(vf a)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(a), 23));
}
QN_INLINE vf v_round_bf16(vf a)
{
    uint32x4_t u = vreinterpretq_u32_f32(a), r;
    uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));

    r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    r = vbslq_u32(vceqq_f32(a, a), r, quiet);
    return vreinterpretq_f32_u32(vandq_u32(r, vdupq_n_u32(0xffff0000u)));
}
QN_INLINE vf v_rotate_pairs(vf x, vf c, vf s)
{
    static const uint32_t minus_plus[4] = {0x80000000u, 0, 0x80000000u, 0};
    uint32x4_t t = vreinterpretq_u32_f32(v_mul(vrev64q_f32(x), s));

    t = veorq_u32(t, vld1q_u32(minus_plus));
    return v_fma(x, c, vreinterpretq_f32_u32(t));
}
QN_INLINE vf v_load_twice(const float *p)
{
    float32x2_t a = vld1_f32(p);
    vf both = vcombine_f32(a, a);

    return vzip1q_f32(both, both);
}

QN_INLINE float v_sum(vf a)
{
    return vaddvq_f32(a);
}
QN_INLINE float v_top(vf a)
{
    return vmaxnmvq_f32(a);
}

enum {
    MAX_TOK = 6
};
QN_INLINE int in_flight(int T)
{
    return T == 1 ? 2 : 1;
}
QN_INLINE int at_once(int T)
{
    return T <= 4 ? 4 : 2;
}
QN_INLINE int streams(int T)
{
    (void)T;
    return 1;
}

enum {
    VP = 4
};
QN_INLINE void v_panel_f32(const uint8_t *p, vf w[VP])
{
    QN_UNROLL
    for (int i = 0; i < VP; i++)
        w[i] = vreinterpretq_f32_u8(vld1q_u8(p + 16 * i));
}
QN_INLINE void v_panel_f16(const uint8_t *p, vf w[VP])
{
    QN_UNROLL
    for (int i = 0; i < VP; i++)
        w[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i)));
}
QN_INLINE void v_dwords(const uint8_t *p, vi d[VP])
{
    QN_UNROLL
    for (int i = 0; i < VP; i++)
        d[i] = vreinterpretq_s32_u8(vld1q_u8(p + 16 * i));
}
QN_INLINE vf v_low_bf16(vi d)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(d, 16));
}
QN_INLINE vf v_high_bf16(vi d)
{
    return vreinterpretq_f32_s32(vandq_s32(d, vdupq_n_s32((int)0xffff0000)));
}
QN_INLINE void v_panel_u8(const uint8_t *p, vf w[VP])
{
    uint8x16_t b = vld1q_u8(p);
    uint16x8_t lo = vmovl_u8(vget_low_u8(b)), hi = vmovl_high_u8(b);

    w[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(lo)));
    w[1] = vcvtq_f32_u32(vmovl_high_u16(lo));
    w[2] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(hi)));
    w[3] = vcvtq_f32_u32(vmovl_high_u16(hi));
}
QN_INLINE vf v_of_int(vi a)
{
    return vcvtq_f32_s32(a);
}
/* Bits [shift, ...) of a lane. */
QN_INLINE uint32x4_t bits_from(vi d, int shift)
{
    return vshlq_u32(vreinterpretq_u32_s32(d), vdupq_n_s32(-shift));
}
typedef struct v_book {
    uint8x16x4_t bytes;
} v_book;
QN_INLINE v_book v_book_load(const float *p)
{
    v_book b;

    for (int i = 0; i < 4; i++)
        b.bytes.val[i] = vreinterpretq_u8_f32(vld1q_f32(p + 4 * i));
    return b;
}
/* The four bytes of value c are at 4 c. */
QN_INLINE vf v_lookup(v_book b, vi d, int shift)
{
    uint32x4_t c = vandq_u32(bits_from(d, shift), vdupq_n_u32(15));
    uint32x4_t at = vmlaq_u32(vdupq_n_u32(0x03020100), c,
                              vdupq_n_u32(0x04040404));

    return vreinterpretq_f32_u8(vqtbl4q_u8(b.bytes, vreinterpretq_u8_u32(at)));
}
#define V_E4M3_UNIT 0x1p-120f
QN_INLINE void v_e4m3_pairs(const uint8_t *p, vi even[VP], vi odd[VP])
{
    const int16x8_t bits = vdupq_n_s16((int16_t)0x87f0);
    vi d[VP];

    v_dwords(p, d);
    QN_UNROLL
    for (int v = 0; v < VP; v++) {
        int16x8_t o = vreinterpretq_s16_s32(d[v]), e = vshlq_n_s16(o, 8);
        odd[v] = vreinterpretq_s32_s16(vandq_s16(vshrq_n_s16(o, 4), bits));
        even[v] = vreinterpretq_s32_s16(vandq_s16(vshrq_n_s16(e, 4), bits));
    }
}
QN_INLINE void v_store_f16(uint16_t *y, vf a)
{
    vst1_u16(y, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
QN_INLINE vf v_round_f16(vf a)
{
    return vcvt_f32_f16(vcvt_f16_f32(a));
}
QN_INLINE vf v_field(vi d, int shift, int mask, int offset)
{
    vi u = vreinterpretq_s32_u32(bits_from(d, shift));

    u = vandq_s32(u, vdupq_n_s32(mask));
    return vcvtq_f32_s32(vsubq_s32(u, vdupq_n_s32(offset)));
}

#endif
