/* pool.h - the compute thread pool.
 *
 * A fixed team that runs one function at a time on all threads (the caller is
 * thread 0). Waiting is a bounded spin, then a futex, so that a third busy
 * process costs little. Inside a run, threads may meet at qn_pool_barrier or
 * take tiles from a shared counter (qn_pool_next).
 *
 * One run at a time per pool; runs do not nest. Never more threads than
 * qn_cpu_get()->n_cores unless asked. */
#ifndef QN_BASE_POOL_H
#define QN_BASE_POOL_H

#include "base/err.h"

#include <stdint.h>

typedef struct qn_pool qn_pool;

typedef void (*qn_pool_fn)(void *arg, int thread, int n_threads);

/* n_threads 0: what the machine grants. */
int qn_pool_new(qn_pool **out, int n_threads, qn_err *err);
void qn_pool_free(qn_pool *pool);
int qn_pool_n_threads(const qn_pool *pool);

/* Runs fn on every thread and returns when all are done. */
void qn_pool_run(qn_pool *pool, qn_pool_fn fn, void *arg);

/* Inside a run: all threads meet. */
void qn_pool_barrier(qn_pool *pool);
/* Inside a run: the next index from a counter shared by the team, which
 * starts at 0 with each run. */
int64_t qn_pool_next(qn_pool *pool);

/* Splits [0, n) so that every thread's part is a multiple of `grain` except
 * the last; independent of anything but its arguments. */
void qn_pool_split(int64_t n, int64_t grain, int thread, int n_threads,
                   int64_t *begin, int64_t *end);

#endif
