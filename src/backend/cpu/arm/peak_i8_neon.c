/* peak_i8_neon.c - how many products of 8 bytes that are added to 16 bits. */
#include <arm_neon.h>

#define PEAK qn_peak_i8_neon
#define first(a) vgetq_lane_s16(a, 0)
typedef int16x8_t sums;

static inline sums start(int j)
{
    return (sums)vdupq_n_s32(j);
}

static inline sums step(sums a)
{
    const int32x4_t x = vdupq_n_s32(0x01010101), y = vdupq_n_s32(0x02020202);

    return vmlal_high_s8(a, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}

#include "backend/cpu/vec/peak_tmpl.h"
