/* clock.h - monotonic time. */
#ifndef QN_BASE_CLOCK_H
#define QN_BASE_CLOCK_H

#include <stdint.h>

uint64_t qn_now_ns(void);
static inline double qn_ms_since(uint64_t t0)
{
    return (double)(qn_now_ns() - t0) * 1e-6;
}

#endif
