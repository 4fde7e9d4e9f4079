/* peak_f32_neon.c - how many fmas of 4 lanes. */
#include <arm_neon.h>

#define PEAK qn_peak_f32_neon
#define first(a) vgetq_lane_f32(a, 0)
typedef float32x4_t sums;

static inline sums step(sums a, int32x4_t x, int32x4_t y)
{
    return vfmaq_f32(a, vreinterpretq_f32_s32(x), vreinterpretq_f32_s32(y));
}

#include "backend/cpu/arm/peak_tmpl.h"
