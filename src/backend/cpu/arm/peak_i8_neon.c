/* peak_i8_neon.c - how many products of 8 bytes that are added to 16 bits. */
#include <arm_neon.h>

#define PEAK qn_peak_i8_neon
#define first(a) vgetq_lane_s16(a, 0)
typedef int16x8_t sums;

static inline sums step(sums a, int32x4_t x, int32x4_t y)
{
    return vmlal_high_s8(a, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}

#include "backend/cpu/arm/peak_tmpl.h"
