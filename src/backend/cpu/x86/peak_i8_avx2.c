/* peak_i8_avx2.c - two instructions and an addition for what vpdpbusd does in
 * one: 8 times 4 products of bytes. */
#include <immintrin.h>

#define PEAK qn_peak_i8_avx2
#define first(a) _mm_cvtsi128_si32(_mm256_castsi256_si128(a))
typedef __m256i sums;

static inline sums start(int j)
{
    return _mm256_set1_epi32(j);
}

static inline sums step(sums a)
{
    __m256i p = _mm256_maddubs_epi16(_mm256_set1_epi8(3), a);

    return _mm256_add_epi32(a, _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
}

#include "backend/cpu/vec/peak_tmpl.h"
