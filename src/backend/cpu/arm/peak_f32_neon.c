/* peak_f32_neon.c - how many fmas of 4 lanes. */
#include <arm_neon.h>

#define PEAK qn_peak_f32_neon
#define first(a) vgetq_lane_f32(a, 0)
typedef float32x4_t sums;

static inline sums start(int j)
{
    return (sums)vdupq_n_s32(j);
}

static inline sums step(sums a)
{
    const int32x4_t x = vdupq_n_s32(0x01010101), y = vdupq_n_s32(0x02020202);

    return vfmaq_f32(a, vreinterpretq_f32_s32(x), vreinterpretq_f32_s32(y));
}

#include "backend/cpu/vec/peak_tmpl.h"
