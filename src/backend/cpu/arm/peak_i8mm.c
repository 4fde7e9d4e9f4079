/* peak_i8mm.c - how many smmla: 2 x 8 times 8 x 2 bytes. */
#include <arm_neon.h>

#define PEAK qn_peak_i8_i8mm
#define first(a) vgetq_lane_s32(a, 0)
typedef int32x4_t sums;

static inline sums start(int j)
{
    return (sums)vdupq_n_s32(j);
}

static inline sums step(sums a)
{
    const int32x4_t x = vdupq_n_s32(0x01010101), y = vdupq_n_s32(0x02020202);

    return vmmlaq_s32(a, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}

#include "backend/cpu/vec/peak_tmpl.h"
