/* peak_bf16.c - how many bfmmla: 2 x 4 times 4 x 2. */
#include <arm_neon.h>

#define PEAK qn_peak_bf16_bf16
#define first(a) vgetq_lane_f32(a, 0)
typedef float32x4_t sums;

static inline sums start(int j)
{
    return (sums)vdupq_n_s32(j);
}

static inline sums step(sums a)
{
    const int32x4_t x = vdupq_n_s32(0x01010101), y = vdupq_n_s32(0x02020202);

    return vbfmmlaq_f32(a, vreinterpretq_bf16_s32(x),
                        vreinterpretq_bf16_s32(y));
}

#include "backend/cpu/vec/peak_tmpl.h"
