/* v_avx2.h - the vocabulary of the kernel templates, in AVX2: 8 lanes.
 * What the words mean is told in v_avx512.h. */
#ifndef QN_BACKEND_CPU_V_AVX2_H
#define QN_BACKEND_CPU_V_AVX2_H
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with the flags of avx2 (cmake/isa.cmake)"
#endif

#include "base/compiler.h"

#include <immintrin.h>
#include <stdint.h>

#define FN(name) name##_avx2
#define FN_NAME(name) name "_avx2"

enum {
    VL = 8
};
typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vm; /* all bits of a lane */

QN_INLINE vm v_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

QN_INLINE vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
QN_INLINE vf v_load_m(const float *p, vm m)
{
    return _mm256_maskload_ps(p, m);
}
QN_INLINE void v_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
QN_INLINE void v_store_m(float *p, vf a, vm m)
{
    _mm256_maskstore_ps(p, m, a);
}
QN_INLINE vf v_set1(float f)
{
    return _mm256_set1_ps(f);
}
QN_INLINE vf v_zero(void)
{
    return _mm256_setzero_ps();
}
QN_INLINE vf v_iota(void)
{
    return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
}
QN_INLINE vf v_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
QN_INLINE vf v_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
QN_INLINE vf v_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
QN_INLINE vf v_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
QN_INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
QN_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
QN_INLINE vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
QN_INLINE vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
QN_INLINE vf v_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
QN_INLINE vf v_copysign(vf a, vf s)
{
    vf bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, s));
}
QN_INLINE vm v_lt(vf a, vf b)
{
    return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
QN_INLINE vf v_sel(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
}
QN_INLINE vf v_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* In two factors, each a normal number for |n| <= 252. */
QN_INLINE vf v_ldexp(vf a, vf n)
{
    vi whole = _mm256_cvtps_epi32(n);
    vi half = _mm256_srai_epi32(whole, 1);
    vi bias = _mm256_set1_epi32(127);
    vi one = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    vi two = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half),
                                                bias),
                               23);
    return v_mul(v_mul(a, _mm256_castsi256_ps(one)), _mm256_castsi256_ps(two));
}
QN_INLINE vf v_exponent(vf a)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
QN_INLINE vf v_round_bf16(vf a)
{
    vi u = _mm256_castps_si256(a);
    vi odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    vi r = _mm256_add_epi32(u,
                            _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    vi quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    vf nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    vf v = _mm256_blendv_ps(_mm256_castsi256_ps(r), _mm256_castsi256_ps(quiet),
                            nan);
    return _mm256_and_ps(v, _mm256_castsi256_ps(
                                _mm256_set1_epi32((int)0xffff0000)));
}
QN_INLINE vf v_rotate_pairs(vf x, vf c, vf s)
{
    return _mm256_fmaddsub_ps(x, c, v_mul(_mm256_permute_ps(x, 0xb1), s));
}
QN_INLINE vf v_load_twice(const float *p)
{
    const vi twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                    twice);
}

QN_INLINE float v_sum(vf b)
{
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b),
                          _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
QN_INLINE float v_top(vf b)
{
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b),
                          _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

enum {
    MAX_TOK = 6
};
QN_INLINE int in_flight(int T)
{
    return T <= 2 ? 2 : 1;
}
enum {
    VP = 2
};
QN_INLINE void v_panel_f32(const uint8_t *p, vf w[VP])
{
    w[0] = _mm256_loadu_ps((const float *)(const void *)p);
    w[1] = _mm256_loadu_ps((const float *)(const void *)(p + 32));
}
QN_INLINE void v_panel_f16(const uint8_t *p, vf w[VP])
{
    w[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
    w[1] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)));
}
QN_INLINE void v_dwords(const uint8_t *p, vi d[VP])
{
    d[0] = _mm256_loadu_si256((const __m256i *)p);
    d[1] = _mm256_loadu_si256((const __m256i *)(p + 32));
}
/* By a shuffle: some processors have one unit for shifts, and fmas share it. */
QN_INLINE vf v_low_bf16(vi d)
{
    const vi up = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 4, 5, -1, -1, 8, 9, -1,
                                   -1, 12, 13, -1, -1, 0, 1, -1, -1, 4, 5, -1,
                                   -1, 8, 9, -1, -1, 12, 13);
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(d, up));
}
QN_INLINE vf v_high_bf16(vi d)
{
    return _mm256_castsi256_ps(
        _mm256_and_si256(d, _mm256_set1_epi32((int)0xffff0000)));
}
/* 16 bytes at p as f32. */
QN_INLINE void v_panel_u8(const uint8_t *p, vf w[VP])
{
    w[0] = _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
    w[1] = _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8))));
}
/* Whole numbers of 32 bits: 4 bytes at p in each lane; VL bytes at p, one a
 * lane. */
QN_INLINE vi v_bytes4(const void *p)
{
    return _mm256_set1_epi32(*(const int32_t *)p);
}
QN_INLINE vi v_widen_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
QN_INLINE vf v_of_int(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
/* A book of 16 values, and the one that bits [shift, shift + 4) name. */
typedef struct v_book {
    vf low, high;
} v_book;
QN_INLINE v_book v_book_load(const float *p)
{
    return (v_book){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
QN_INLINE vf v_lookup(v_book b, vi d, int shift)
{
    vi at = _mm256_srli_epi32(d, shift);
    vf low = _mm256_permutevar8x32_ps(b.low, at);
    vf high = _mm256_permutevar8x32_ps(b.high, at);
    return _mm256_blendv_ps(low, high,
                            _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}
/* What begins a byte earlier has even bytes where odd ones are. Codes without an
 * exponent become subnormal: of weights in groups these are one in some thousands,
 * and an fma of them is slow on some processors (v_avx512.h). */
#define V_E4M3_UNIT 0x1p-120f
QN_INLINE void v_e4m3_pairs(const uint8_t *p, vi even[VP], vi odd[VP])
{
    const vi bits = _mm256_set1_epi16((short)0x87f0);

    v_dwords(p, odd);
    v_dwords(p - 1, even);
    QN_UNROLL
    for (int v = 0; v < VP; v++) {
        odd[v] = _mm256_and_si256(_mm256_srai_epi16(odd[v], 4), bits);
        even[v] = _mm256_and_si256(_mm256_srai_epi16(even[v], 4), bits);
    }
}
/* VL f16, each the nearest of a's; to wherever y is. */
QN_INLINE void v_store_f16(uint16_t *y, vf a)
{
    _mm_storeu_si128((__m128i *)(void *)y,
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT |
                                            _MM_FROUND_NO_EXC));
}
/* Rounded to f16 and back. */
QN_INLINE vf v_round_f16(vf a)
{
    return _mm256_cvtph_ps(
        _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
QN_INLINE vf v_field(vi d, int shift, int mask, int offset)
{
    vi u = _mm256_and_si256(_mm256_srli_epi32(d, shift),
                            _mm256_set1_epi32(mask));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(u, _mm256_set1_epi32(offset)));
}

#endif
