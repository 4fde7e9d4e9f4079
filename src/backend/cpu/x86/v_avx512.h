/* v_avx512.h - the vocabulary of the kernel templates, in AVX-512: 16 lanes.
 *
 * v_avx2.h says the same with 8. A template is written once in these words
 * and included by a file per instruction set. */
#ifndef QN_BACKEND_CPU_V_AVX512_H
#define QN_BACKEND_CPU_V_AVX512_H
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "compile this file with the flags of avx512 (cmake/isa.cmake)"
#endif

#include "base/compiler.h"

#include <immintrin.h>
#include <stdint.h>

#define FN(name) name##_avx512
#define FN_NAME(name) name "_avx512"

enum {
    VL = 16
};
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

/* Lanes [0, n), n in 0..VL. */
QN_INLINE vm v_first(int n)
{
    return (vm)((1u << n) - 1);
}

QN_INLINE vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
/* Lanes outside of the mask read as 0 and are not touched in memory. */
QN_INLINE vf v_load_m(const float *p, vm m)
{
    return _mm512_maskz_loadu_ps(m, p);
}
QN_INLINE void v_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
QN_INLINE void v_store_m(float *p, vf a, vm m)
{
    _mm512_mask_storeu_ps(p, m, a);
}
QN_INLINE vf v_set1(float f)
{
    return _mm512_set1_ps(f);
}
QN_INLINE vf v_zero(void)
{
    return _mm512_setzero_ps();
}
QN_INLINE vf v_iota(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
QN_INLINE vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
QN_INLINE vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
QN_INLINE vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
QN_INLINE vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
/* a * b + c, one rounding; c - a * b. */
QN_INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
QN_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
/* If either is NaN, the result is b. */
QN_INLINE vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
QN_INLINE vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
QN_INLINE vf v_abs(vf a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}
/* |a| with the sign of s. */
QN_INLINE vf v_copysign(vf a, vf s)
{
    vf bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, a), _mm512_and_ps(bit, s));
}
QN_INLINE vm v_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
/* m ? a : b */
QN_INLINE vf v_sel(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}
QN_INLINE vf v_round(vf a)
{
    return _mm512_roundscale_ps(a,
                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n for whole n; infinity and subnormals as they should be. */
QN_INLINE vf v_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}
/* 2^(n - 127) where the low bits of a's representation are n, 1..254. */
QN_INLINE vf v_exponent(vf a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
/* The bits of a rounded to bf16, as f32. */
QN_INLINE vf v_round_bf16(vf a)
{
    vi u = _mm512_castps_si512(a);
    vi odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    vi r = _mm512_add_epi32(u,
                            _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    vm nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(
        _mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000)));
}
/* a + b for pairs of neighbours: x0 c0 - x1 s0, x1 c0 + x0 s0, ... */
QN_INLINE vf v_rotate_pairs(vf x, vf c, vf s)
{
    return _mm512_fmaddsub_ps(x, c, v_mul(_mm512_permute_ps(x, 0xb1), s));
}
/* VL / 2 floats, each twice. */
QN_INLINE vf v_load_twice(const float *p)
{
    const vi twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
                                       7, 7);
    return _mm512_permutexvar_ps(twice,
                                 _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

/* Sums and maxima over lanes, always in the same tree. */
QN_INLINE float v_sum(vf a)
{
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a),
                             _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b),
                          _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
QN_INLINE float v_top(vf a)
{
    return _mm512_reduce_max_ps(a);
}

/* Tiles of f32 products: the most tokens, and the panels to take at once for
 * T tokens. Few chains would wait for the fma's latency (bf16, 4 tokens, one core of
 * an Emerald Rapids: 6.5 GB/s on 1 panel, 9.9 on 4); many tokens want each x
 * broadcast used twice. */
enum {
    MAX_TOK = 12
};
QN_INLINE int in_flight(int T)
{
    return T <= 6 ? 4 : 2;
}

/* 16 values of 16 bits at p, as f32, in VP vectors. */
enum {
    VP = 1
};
QN_INLINE void v_panel_f32(const uint8_t *p, vf w[VP])
{
    w[0] = _mm512_loadu_ps((const float *)(const void *)p);
}
QN_INLINE void v_panel_f16(const uint8_t *p, vf w[VP])
{
    w[0] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
/* 16 dwords at p, in VP vectors, and what they hold. */
QN_INLINE void v_dwords(const uint8_t *p, vi d[VP])
{
    d[0] = _mm512_loadu_si512(p);
}
QN_INLINE vf v_low_bf16(vi d)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(d, 16));
}
QN_INLINE vf v_high_bf16(vi d)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(d, _mm512_set1_epi32((int)0xffff0000)));
}
/* 16 bytes at p as f32. */
QN_INLINE void v_panel_u8(const uint8_t *p, vf w[VP])
{
    w[0] = _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
/* A book of 16 values, and the one that bits [shift, shift + 4) name. */
typedef struct v_book {
    vf all;
} v_book;
QN_INLINE v_book v_book_load(const float *p)
{
    return (v_book){_mm512_loadu_ps(p)};
}
QN_INLINE vf v_lookup(v_book b, vi d, int shift)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(d, (unsigned)shift), b.all);
}
/* The f8_e4m3 of a panel for four k's, no NaN among them, as pairs of bf16 for
 * v_low_bf16 and v_high_bf16: bytes 0 and 2, and bytes 1 and 3, times
 * V_E4M3_UNIT. The byte before p may be read.
 *
 * Here no bf16 is subnormal, since an fma of one takes 150 cycles on processors
 * of Intel: what makes a bf16 of bits that stand in its place is added, 120 to the
 * exponent, or for m 2^-9 what a table says. */
#define V_E4M3_UNIT 1.0f
QN_INLINE vi v_e4m3_words(vi w)
{
    /* bf16 of m 2^-9, less m where the mantissa has it */
    const vi small = _mm512_set4_epi32(0x3bf03be0, 0x3bd03bc0, 0x3b903b60,
                                       0x3af00000);
    vi t = _mm512_and_si512(_mm512_srai_epi16(w, 4),
                            _mm512_set1_epi16((short)0x87f0));
    __mmask32 m = _mm512_testn_epi16_mask(t, _mm512_set1_epi16(0x0780));
    vi more = _mm512_mask_permutexvar_epi16(_mm512_set1_epi16(120 << 7), m,
                                            _mm512_srli_epi16(w, 8), small);

    return _mm512_add_epi16(t, more);
}
QN_INLINE void v_e4m3_pairs(const uint8_t *p, vi even[VP], vi odd[VP])
{
    vi d[VP];

    v_dwords(p, d);
    odd[0] = v_e4m3_words(d[0]);
    even[0] = v_e4m3_words(_mm512_slli_epi16(d[0], 8));
}
/* VL f16, each the nearest of a's; to wherever y is. */
QN_INLINE void v_store_f16(uint16_t *y, vf a)
{
    _mm256_storeu_si256((__m256i *)(void *)y,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT |
                                               _MM_FROUND_NO_EXC));
}
/* Rounded to f16 and back. */
QN_INLINE vf v_round_f16(vf a)
{
    return _mm512_cvtph_ps(
        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* (bits [shift, ...) & mask) - offset, as f32. */
QN_INLINE vf v_field(vi d, int shift, int mask, int offset)
{
    vi u = _mm512_and_si512(_mm512_srli_epi32(d, (unsigned)shift),
                            _mm512_set1_epi32(mask));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(u, _mm512_set1_epi32(offset)));
}

#endif
