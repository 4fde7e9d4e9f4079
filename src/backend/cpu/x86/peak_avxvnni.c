/* peak_avxvnni.c - how many vpdpbusd of 8 lanes. */
#include <immintrin.h>

#define PEAK qn_peak_i8_avxvnni
#define first(a) _mm_cvtsi128_si32(_mm256_castsi256_si128(a))
typedef __m256i sums;

static inline sums start(int j)
{
    return _mm256_set1_epi32(j);
}

static inline sums step(sums a)
{
    return _mm256_dpbusd_avx_epi32(a, _mm256_set1_epi8(3), _mm256_set1_epi8(1));
}

#include "backend/cpu/vec/peak_tmpl.h"
