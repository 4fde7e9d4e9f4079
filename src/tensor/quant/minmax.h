/* minmax.h - what q4_1 and q5_1 share: 32 elements between their least and
 * their largest, in equal steps. */
#ifndef QN_TENSOR_MINMAX_H
#define QN_TENSOR_MINMAX_H

#include "tensor/half.h"

#include <float.h>
#include <stdint.h>

/* q[i] in [0, top] with x[i] near d * q[i] + m; d and m as f16. A NaN, or an
 * element of an infinite span, becomes 0. */
static inline void quant_minmax(const float *x, int top, uint16_t *d,
                                uint16_t *m, uint8_t *q)
{
    float lo = FLT_MAX, hi = -FLT_MAX;
    for (int i = 0; i < 32; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    float step = (hi - lo) / (float)top;
    float id = step != 0.0f ? 1.0f / step : 0.0f;
    for (int i = 0; i < 32; i++) {
        float v = (x[i] - lo) * id + 0.5f;
        v = v > 0.0f ? v : 0.0f;
        q[i] = (uint8_t)(v < (float)top ? v : (float)top);
    }
    *d = qn_f16_of_f32(step);
    *m = qn_f16_of_f32(lo);
}

#endif
