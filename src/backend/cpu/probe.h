/* probe.h - what the machine can do at this moment, on all threads of a pool:
 * the bounds that a kernel's speed is a fraction of. Virtual machines change
 * their mind from second to second, so probe beside each measurement. */
#ifndef QN_BACKEND_CPU_PROBE_H
#define QN_BACKEND_CPU_PROBE_H

#include "base/err.h"
#include "base/pool.h"

#include <stdbool.h>

typedef enum qn_probe_kind {
    QN_PROBE_F32,  /* fma                                             */
    QN_PROBE_BF16, /* vdpbf16ps; bfmmla                               */
    QN_PROBE_I8,   /* vpdpbusd; vpmaddubsw and vpmaddwd where it lacks;
                      smmla, sdot or smlal */
    QN_PROBE_N
} qn_probe_kind;

typedef struct qn_probe qn_probe;

/* Holds huge pages: 256 MiB, or up to 1 GiB if the last cache is large, so that
 * what is read comes from memory. `cpu_time`: count the time that the calling
 * thread runs, for one thread on a machine that others use too. */
int qn_probe_new(qn_probe **out, qn_pool *pool, bool cpu_time, qn_err *err);
void qn_probe_free(qn_probe *p);

/* Bytes per second read, in one, four or eight streams a thread, the latter with
 * prefetches: the fastest way's median of three passes. */
double qn_probe_read(qn_probe *p);
/* Operations (2 per multiply-add) per second from registers, the median of five
 * tries; 0 when the machine lacks the instruction. */
double qn_probe_peak(qn_probe *p, qn_probe_kind kind);
/* What bounds products that could be made by dot products of `kind`: these, or f32
 * where those are slower or missing, and weights are converted first. */
qn_probe_kind qn_probe_bound(qn_probe *p, qn_probe_kind kind);
/* Seconds since some fixed moment, on the probe's clock. */
double qn_probe_now(const qn_probe *p);

#endif
