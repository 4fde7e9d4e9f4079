/* peak_tmpl.h - chains of one instruction, for probe.c. The including file has
 *   PEAK   the function's name
 *   sums   a type of vectors
 *   step   one instruction: step(sums, from the registers x and y)
 *   first  a lane of sums
 */
#include "base/compiler.h"
#include "backend/cpu/peaks.h"

double PEAK(void)
{
    int32x4_t x = vdupq_n_s32(0x01010101), y = vdupq_n_s32(0x02020202);
    sums a[QN_PEAK_CHAINS];

    QN_UNROLL
    for (int j = 0; j < QN_PEAK_CHAINS; j++)
        a[j] = (sums)vdupq_n_s32(j);
    for (int i = 0; i < QN_PEAK_ROUNDS; i++) {
        QN_UNROLL
        for (int j = 0; j < QN_PEAK_CHAINS; j++)
            a[j] = step(a[j], x, y);
    }
    QN_UNROLL
    for (int j = 1; j < QN_PEAK_CHAINS; j++)
        a[0] += a[j];
    return (double)first(a[0]);
}
