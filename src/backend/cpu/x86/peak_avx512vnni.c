/* peak_avx512vnni.c - how many vpdpbusd of 16 lanes. */
#include <immintrin.h>

#define PEAK qn_peak_i8_avx512vnni
#define first(a) _mm_cvtsi128_si32(_mm512_castsi512_si128(a))
typedef __m512i sums;

static inline sums start(int j)
{
    return _mm512_set1_epi32(j);
}

static inline sums step(sums a)
{
    return _mm512_dpbusd_epi32(a, _mm512_set1_epi8(3), _mm512_set1_epi8(1));
}

#include "backend/cpu/vec/peak_tmpl.h"
