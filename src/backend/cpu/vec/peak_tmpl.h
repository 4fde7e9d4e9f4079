/* peak_tmpl.h - chains of one instruction, for probe.c. The including file has
 *   PEAK   the function's name
 *   sums   a type of vectors
 *   start  what chain j begins with
 *   step   one instruction on a chain
 *   first  a lane of sums
 */
#include "backend/cpu/peaks.h"
#include "base/compiler.h"

double PEAK(void)
{
    sums a[QN_PEAK_CHAINS];

    QN_UNROLL
    for (int j = 0; j < QN_PEAK_CHAINS; j++)
        a[j] = start(j);
    for (int i = 0; i < QN_PEAK_ROUNDS; i++) {
        QN_UNROLL
        for (int j = 0; j < QN_PEAK_CHAINS; j++)
            a[j] = step(a[j]);
    }
    QN_UNROLL
    for (int j = 1; j < QN_PEAK_CHAINS; j++)
        a[0] += a[j];
    return (double)first(a[0]);
}
