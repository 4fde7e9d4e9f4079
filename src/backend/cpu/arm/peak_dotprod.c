/* peak_dotprod.c - how many sdot: 4 times 4 bytes. */
#include <arm_neon.h>

#define PEAK qn_peak_i8_dotprod
#define first(a) vgetq_lane_s32(a, 0)
typedef int32x4_t sums;

static inline sums step(sums a, int32x4_t x, int32x4_t y)
{
    return vdotq_s32(a, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}

#include "backend/cpu/arm/peak_tmpl.h"
