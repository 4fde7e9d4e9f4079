/* peak_f32_avx512.c - how many fmas of 16 lanes. */
#include <immintrin.h>

#define PEAK qn_peak_f32_avx512
#define first(a) _mm512_cvtss_f32(a)
typedef __m512 sums;

static inline sums start(int j)
{
    return _mm512_set1_ps((float)j);
}

static inline sums step(sums a)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(1e-9f), _mm512_set1_ps(0.5f), a);
}

#include "backend/cpu/vec/peak_tmpl.h"
