/* peak_f32_avx2.c - how many fmas of 8 lanes. */
#include <immintrin.h>

#define PEAK qn_peak_f32_avx2
#define first(a) _mm256_cvtss_f32(a)
typedef __m256 sums;

static inline sums start(int j)
{
    return _mm256_set1_ps((float)j);
}

static inline sums step(sums a)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(1e-9f), _mm256_set1_ps(0.5f), a);
}

#include "backend/cpu/vec/peak_tmpl.h"
