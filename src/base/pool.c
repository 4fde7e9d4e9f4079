/* pool.c - dispatch by epoch, join by one line per thread.
 *
 * A run: the caller writes the job, then raises `epoch`. Workers spin on it
 * for a bounded time and then sleep in a futex on the same word. A worker that
 * is done writes the epoch into the `done` word of its own cache line; the
 * caller waits for each line in turn, so that finishing threads do not
 * contend. The barrier counts arrivals and releases by a generation number
 * (its lowest bit is the sense of a sense-reversing barrier).
 *
 * Sleeping without a lost wake-up, three times the same pattern:
 *   sleeper   announce (waiters += 1, seq_cst); futex_wait(word, old)
 *   waker     change word (seq_cst); if waiters != 0: futex_wake(word)
 * The kernel compares the word under its own lock: either it sees the change,
 * or the waker's load comes after the announcement.
 *
 * Invariants
 *   1. job and next are written only while every worker waits for an epoch.
 *   2. A worker touches nothing of a run after it has written `done`, but its
 *      own line's waiter count.
 *   3. Nobody spins longer than POOL_SPIN_NS, nor on a processor that another
 *      thread of the team needs. */
#include "base/pool.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/mem_int.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/pool_relax.h"

enum {
    POOL_LINE = 64,
    POOL_MAX_THREADS = 4096
};

/* How long a thread spins before it sleeps. Waking a sleeper takes 20 to 30 us
 * where this was measured: spinning for longer than twice that gains little. */
enum {
    POOL_SPIN_NS = 50000
};

/* A word that threads wait on. */
typedef struct pool_word {
    _Atomic uint32_t value;
    _Atomic uint32_t waiters;
} pool_word;

typedef struct pool_thread {
    _Alignas(POOL_LINE) pool_word done; /* epoch of the last finished run */
    _Atomic int cpu; /* where it began its last run, -1: none yet */
    qn_pool *pool;
    int index;
    pthread_t handle;
} pool_thread;

struct qn_pool {
    _Alignas(POOL_LINE) pool_word epoch;
    qn_pool_fn fn; /* NULL: leave */
    void *arg;
    int n_threads;
    pool_thread *threads;
    _Alignas(POOL_LINE) _Atomic int64_t next;
    _Alignas(POOL_LINE) _Atomic uint32_t arrived;
    _Alignas(POOL_LINE) pool_word generation;
};

/* ---- waiting ----------------------------------------------------------- */

static void pool_futex(pool_word *w, int op, uint32_t value)
{
    /* Errors (EAGAIN, EINTR) mean: look again, which every caller does. */
    (void)syscall(SYS_futex, (void *)&w->value, op, value, NULL, NULL, 0);
}

static void pool_note_cpu(pool_thread *t)
{
    int cpu = sched_getcpu();
    if (atomic_load_explicit(&t->cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&t->cpu, cpu, memory_order_relaxed);
}

/* Whether two threads of the team began their run on this processor: then
 * spinning keeps the one that is waited for from running. It happens with more
 * threads than cores, and when another program holds a core. */
static bool pool_shares_cpu(const qn_pool *pool)
{
    int here = sched_getcpu(), n = 0;
    for (int i = 0; here >= 0 && i < pool->n_threads; i++)
        n += here ==
             atomic_load_explicit(&pool->threads[i].cpu, memory_order_relaxed);
    return n > 1;
}

/* Spins while the word is `old`, for a bounded time; the word's last value. */
static uint32_t pool_spin(const qn_pool *pool, pool_word *w, uint32_t old)
{
    enum {
        CLOCK_EVERY = 32
    };
    uint64_t start = 0;
    for (unsigned i = 1;; i++) {
        uint32_t now = atomic_load_explicit(&w->value, memory_order_acquire);
        if (now != old)
            return now;
        pool_relax();
        if (i % CLOCK_EVERY != 0)
            continue;
        uint64_t t = qn_now_ns();
        if (start == 0)
            start = t;
        if (t - start > POOL_SPIN_NS || pool_shares_cpu(pool))
            return old;
    }
}

/* Waits until the word is no longer `old`. */
static void pool_wait(const qn_pool *pool, pool_word *w, uint32_t old)
{
    if (pool_spin(pool, w, old) != old)
        return;
    atomic_fetch_add(&w->waiters, 1);
    while (atomic_load(&w->value) == old)
        pool_futex(w, FUTEX_WAIT_PRIVATE, old);
    atomic_fetch_sub(&w->waiters, 1);
}

static void pool_set(pool_word *w, uint32_t value)
{
    atomic_store(&w->value, value);
    if (atomic_load(&w->waiters) != 0)
        pool_futex(w, FUTEX_WAKE_PRIVATE, INT_MAX);
}

/* ---- the team ---------------------------------------------------------- */

static void *pool_worker(void *arg)
{
    pool_thread *self = arg;
    qn_pool *pool = self->pool;
    char name[16];
    snprintf(name, sizeof name, "quern-%d", self->index);
    pthread_setname_np(pthread_self(), name);
    for (uint32_t seen = 0;;) {
        pool_wait(pool, &pool->epoch, seen);
        seen++;
        if (!pool->fn)
            return NULL;
        pool_note_cpu(self);
        pool->fn(pool->arg, self->index, pool->n_threads);
        pool_set(&self->done, seen);
    }
}

/* Ends and joins workers 1 .. n - 1. */
static void pool_stop(qn_pool *pool, int n)
{
    pool->fn = NULL;
    uint32_t epoch = atomic_load_explicit(&pool->epoch.value,
                                          memory_order_relaxed);
    pool_set(&pool->epoch, epoch + 1);
    for (int i = 1; i < n; i++)
        pthread_join(pool->threads[i].handle, NULL);
}

/* Starts the workers with all signals blocked: signals are for the threads
 * that the program knows of. Returns how many threads there are now. */
static int pool_start(qn_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int i = 1;
    for (; i < pool->n_threads; i++) {
        pool_thread *t = &pool->threads[i];
        t->pool = pool;
        t->index = i;
        if (qn_mem_inject() ||
            pthread_create(&t->handle, NULL, pool_worker, t) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return i;
}

static void *pool_alloc(size_t n, size_t size)
{
    void *p = qn_mem_inject() ? NULL : aligned_alloc(POOL_LINE, n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

int qn_pool_new(qn_pool **out, int n_threads, qn_err *err)
{
    if (n_threads == 0)
        n_threads = QN_MIN(qn_cpu_get()->n_cores, (int)POOL_MAX_THREADS);
    if (n_threads < 0 || n_threads > POOL_MAX_THREADS)
        return qn_fail(err, QN_EINVAL,
                       "%d threads asked for: 1 to %d are "
                       "possible, 0 means as many as the machine grants",
                       n_threads, POOL_MAX_THREADS);

    qn_pool *pool = pool_alloc(1, sizeof *pool);
    pool_thread *threads = pool_alloc((size_t)n_threads, sizeof *threads);
    if (!pool || !threads) {
        free(pool);
        free(threads);
        return qn_fail(err, QN_ENOMEM, "no memory for %d threads", n_threads);
    }
    pool->threads = threads;
    pool->n_threads = n_threads;
    for (int i = 0; i < n_threads; i++)
        atomic_init(&threads[i].cpu, -1);
    int started = pool_start(pool);
    if (started < n_threads) {
        pool_stop(pool, started);
        free(threads);
        free(pool);
        return qn_fail(err, QN_ENOMEM,
                       "only %d of %d threads could be "
                       "started; raise the process limit or ask for fewer",
                       started, n_threads);
    }
    *out = pool;
    return QN_OK;
}

void qn_pool_free(qn_pool *pool)
{
    if (!pool)
        return;
    pool_stop(pool, pool->n_threads);
    free(pool->threads);
    free(pool);
}

int qn_pool_n_threads(const qn_pool *pool)
{
    return pool->n_threads;
}

void qn_pool_run(qn_pool *pool, qn_pool_fn fn, void *arg)
{
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    if (pool->n_threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    pool_note_cpu(&pool->threads[0]);
    pool->fn = fn;
    pool->arg = arg;
    uint32_t old = atomic_load_explicit(&pool->epoch.value,
                                        memory_order_relaxed);
    pool_set(&pool->epoch, old + 1);
    fn(arg, 0, pool->n_threads);
    for (int i = 1; i < pool->n_threads; i++)
        pool_wait(pool, &pool->threads[i].done, old);
}

/* ---- inside a run ------------------------------------------------------ */

void qn_pool_barrier(qn_pool *pool)
{
    if (pool->n_threads == 1)
        return;
    uint32_t gen = atomic_load_explicit(&pool->generation.value,
                                        memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&pool->arrived, 1,
                                                memory_order_acq_rel);
    if (before + 1 < (uint32_t)pool->n_threads) {
        pool_wait(pool, &pool->generation, gen);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    pool_set(&pool->generation, gen + 1);
}

int64_t qn_pool_next(qn_pool *pool)
{
    return atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
}

void qn_pool_split(int64_t n, int64_t grain, int thread, int n_threads,
                   int64_t *begin, int64_t *end)
{
    int64_t grains = n / grain + (n % grain != 0);
    int64_t each = grains / n_threads, more = grains % n_threads;
    int64_t first = each * thread + QN_MIN((int64_t)thread, more);
    int64_t last = first + each + (thread < more);
    *begin = QN_MIN(first * grain, n);
    *end = QN_MIN(last * grain, n);
}
