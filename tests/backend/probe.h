/* probe.h - what the machine can do at this moment, all threads of a pool:
 * the bounds that a kernel's speed is a fraction of. Virtual machines change
 * their mind from second to second, so probe beside each measurement. */
#ifndef QN_TESTS_BACKEND_PROBE_H
#define QN_TESTS_BACKEND_PROBE_H

#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum probe_kind {
    PROBE_F32,  /* fma                        */
    PROBE_BF16, /* vdpbf16ps                  */
    PROBE_I8    /* vpdpbusd                   */
} probe_kind;

/* Bytes per second read from 512 MiB of huge pages. */
double probe_read(qn_pool *pool);
/* Operations (2 per multiply-add) per second from registers; 0 when the
 * machine lacks the instruction. */
double probe_peak(qn_pool *pool, probe_kind kind);
/* Seconds since some fixed moment; with probe_cpu_time set, of this thread's
 * own running: for one thread on a machine that others use too. */
double probe_now(void);
extern bool probe_cpu_time;

#endif
