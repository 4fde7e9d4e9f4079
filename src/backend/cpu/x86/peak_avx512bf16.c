/* peak_avx512bf16.c - how many vdpbf16ps: 16 times two products. */
#include <immintrin.h>

#define PEAK qn_peak_bf16_avx512bf16
#define first(a) _mm512_cvtss_f32(a)
typedef __m512 sums;

static inline sums start(int j)
{
    return _mm512_set1_ps((float)j);
}

static inline sums step(sums a)
{
    const __m512bh x = (__m512bh)_mm512_set1_epi32(0x3c003c00);

    return _mm512_dpbf16_ps(a, x, x);
}

#include "backend/cpu/vec/peak_tmpl.h"
