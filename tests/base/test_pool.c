/* The pool: every thread once per run, barriers that order, a counter that
 * hands out each index once, splits that cover.
 *
 *     test_pool --bench    prints what a dispatch, a barrier and an idle gap
 *                          cost on this machine
 *
 * Threads other than 0 must not call cmocka, so they count, and the test
 * looks at the counts. */
#include "testing.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/ranks.h"
#include "base/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum {
    MAX_THREADS = 16
};

static qn_pool *pool_of(int n)
{
    qn_pool *pool = NULL;
    qn_err e;
    if (qn_pool_new(&pool, n, &e) != QN_OK)
        fail_msg("%s", e.msg);
    return pool;
}

/* Burns time without a system call. */
static void spin_for(uint64_t ns)
{
    uint64_t t0 = qn_now_ns();
    while (qn_now_ns() - t0 < ns)
        continue;
}

static void sleep_for(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- runs -------------------------------------------------------------- */

typedef struct visit {
    qn_pool *pool;
    int calls[MAX_THREADS]; /* by its own thread, not atomic: TSan watches */
    int n_seen[MAX_THREADS];
    uint64_t round;
    bool work;
} visit;

static void on_visit(void *arg, int thread, int n)
{
    visit *v = arg;
    v->calls[thread]++;
    v->n_seen[thread] = n;
    if (v->work)
        spin_for(
            (uint64_t)(qn_rng_uniform(1, v->round, (uint64_t)thread) * 20000));
}

static void test_every_thread_once(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 5, MAX_THREADS};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        int n = counts[k], runs = n > 3 ? 200 : 2000;
        visit v = {.pool = pool_of(n)};
        assert_int_equal(qn_pool_n_threads(v.pool), n);
        for (int r = 1; r <= runs; r++) {
            v.round = (uint64_t)r;
            v.work = r % 4 == 0;
            qn_pool_run(v.pool, on_visit, &v);
            for (int t = 0; t < n; t++)
                assert_int_equal(v.calls[t], r); /* all are done */
            if (r % 50 == 0)
                sleep_for(200000); /* beyond the spin: workers sleep */
        }
        for (int t = 0; t < MAX_THREADS; t++)
            assert_int_equal(v.n_seen[t], t < n ? n : 0);
        qn_pool_free(v.pool);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    qn_pool *pool = pool_of(0);
    assert_int_equal(qn_pool_n_threads(pool), qn_cpu_get()->n_cores);
    qn_pool_free(pool);
    qn_pool_free(NULL);
    qn_err e;
    pool = (qn_pool *)&e;
    assert_int_equal(qn_pool_new(&pool, -1, &e), QN_EINVAL);
    assert_int_equal(qn_pool_new(&pool, 1 << 20, &e), QN_EINVAL);
    assert_ptr_equal(pool, &e);
    for (int i = 0; i < 200; i++) /* never run: straight to the end */
        qn_pool_free(pool_of(1 + i % 4));
}

/* When memory or threads run out: an error, and those started are gone. */
static void test_no_threads_left(void **state)
{
    (void)state;
    int n = 0;
    for (;; n++) {
        qn_pool *pool = NULL;
        qn_err e = {0};
        qn_mem_fail_after(n);
        int rc = qn_pool_new(&pool, 4, &e);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, QN_OK);
            qn_pool_free(pool);
            break;
        }
        assert_int_equal(rc, QN_ENOMEM);
        assert_null(pool);
        assert_non_null(strstr(e.msg, "4 threads"));
    }
    assert_int_equal(n, 2 + 3); /* two blocks, three threads */
}

/* ---- barrier and counter ----------------------------------------------- */

enum {
    PHASES = 50,
    INDICES = 300
};

typedef struct phases {
    qn_pool *pool;
    int slot[2][MAX_THREADS]; /* plain: only the barrier orders them */
    int wrong[MAX_THREADS];
    uint64_t round;
} phases;

/* In every phase each thread writes its slot, and behind the barrier reads
 * everybody's. */
static void on_phases(void *arg, int thread, int n)
{
    phases *p = arg;
    for (int i = 0; i < PHASES; i++) {
        int *slot = p->slot[i & 1];
        uint64_t at = (uint64_t)(i * MAX_THREADS + thread);
        if (qn_rng_uniform(2, p->round, at) < 0.1)
            spin_for(5000);
        slot[thread] = i + 1;
        qn_pool_barrier(p->pool);
        for (int t = 0; t < n; t++)
            p->wrong[thread] += slot[t] != i + 1;
    }
}

static void test_barrier_orders(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 7};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        phases p = {.pool = pool_of(counts[k])};
        for (p.round = 0; p.round < 20; p.round++)
            qn_pool_run(p.pool, on_phases, &p);
        for (int t = 0; t < MAX_THREADS; t++)
            assert_int_equal(p.wrong[t], 0);
        qn_pool_free(p.pool);
    }
}

typedef struct taking {
    qn_pool *pool;
    int taken[INDICES]; /* plain: an index has one owner */
} taking;

static void on_taking(void *arg, int thread, int n)
{
    (void)thread;
    (void)n;
    taking *g = arg;
    for (int64_t i; (i = qn_pool_next(g->pool)) < INDICES;)
        g->taken[i]++;
}

static void test_next_covers_once(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 4, 9};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        taking g = {.pool = pool_of(counts[k])};
        for (int r = 1; r <= 50; r++) {
            qn_pool_run(g.pool, on_taking, &g);
            for (int i = 0; i < INDICES; i++)
                assert_int_equal(g.taken[i], r);
        }
        qn_pool_free(g.pool);
    }
}

static void test_split(void **state)
{
    (void)state;
    static const int64_t ns[] = {0, 1, 7, 31, 32, 33, 100, 4096, 4097, 151936};
    static const int64_t grains[] = {1, 4, 16, 32, 1000};
    for (size_t a = 0; a < sizeof ns / sizeof *ns; a++) {
        for (size_t b = 0; b < sizeof grains / sizeof *grains; b++) {
            for (int threads = 1; threads <= 17; threads++) {
                int64_t n = ns[a], grain = grains[b], at = 0;
                int64_t least = INT64_MAX, most = 0;
                for (int t = 0; t < threads; t++) {
                    int64_t begin, end;
                    qn_pool_split(n, grain, t, threads, &begin, &end);
                    assert_int_equal(begin, at);
                    assert_true(end >= begin && end <= n);
                    assert_true(end % grain == 0 || end == n);
                    at = end;
                    int64_t part = (end - begin + grain - 1) / grain;
                    least = part < least ? part : least;
                    most = part > most ? part : most;
                }
                assert_int_equal(at, n);
                assert_true(most - least <= 1); /* balanced in grains */
            }
        }
    }
    int64_t begin, end;
    qn_pool_split(INT64_MAX / 2, 1 << 20, 3, 4, &begin, &end);
    assert_true(end == INT64_MAX / 2 && begin > 0 && begin < end);
}

/* ---- waiting ----------------------------------------------------------- */

static void on_name(void *arg, int thread, int n)
{
    (void)n;
    char(*names)[16] = arg;
    pthread_getname_np(pthread_self(), names[thread], 16);
}

static void test_names(void **state)
{
    (void)state;
    char names[3][16] = {{0}};
    qn_pool *pool = pool_of(3);
    qn_pool_run(pool, on_name, names);
    qn_pool_free(pool);
    assert_string_equal(names[1], "quern-1");
    assert_string_equal(names[2], "quern-2");
}

static double cpu_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec * 1e-6;
}

static void on_nothing(void *arg, int thread, int n)
{
    (void)arg;
    (void)thread;
    (void)n;
}

static void on_late(void *arg, int thread, int n)
{
    (void)n;
    if (thread == 1)
        sleep_for(100000000);
    qn_pool_barrier(arg);
}

/* Whoever waits, sleeps: neither idle workers, nor a caller or a barrier that
 * waits for a late thread, use the processor all the while. */
static void test_waiting_is_cheap(void **state)
{
    (void)state;
    qn_pool *pool = pool_of(3);
    qn_pool_run(pool, on_nothing, NULL);
    double before = cpu_ms();
    sleep_for(100000000);
    assert_true(cpu_ms() - before < 50);
    before = cpu_ms();
    qn_pool_run(pool, on_late, pool);
    assert_true(cpu_ms() - before < 50);
    qn_pool_free(pool);
}

/* ---- bench ------------------------------------------------------------- */

static void on_barriers(void *arg, int thread, int n)
{
    (void)thread;
    (void)n;
    for (int i = 0; i < 1000; i++)
        qn_pool_barrier(arg);
}

/* Dispatch and join behind an idle gap: median and 99th percentile. */
static void bench_gap(qn_pool *pool, uint64_t gap_ns)
{
    enum {
        N = 1000
    };
    static double us[N];
    int n = gap_ns >= 1000000 ? N / 10 : N;
    for (int i = 0; i < n; i++) {
        spin_for(gap_ns);
        uint64_t t0 = qn_now_ns();
        qn_pool_run(pool, on_nothing, NULL);
        us[i] = qn_ms_since(t0) * 1e3;
    }
    qn_sort_doubles(us, (size_t)n);
    printf("  after %6.0f us idle: %6.2f us, p99 %6.2f us\n",
           (double)gap_ns * 1e-3, us[n / 2], us[n * 99 / 100]);
}

static int bench(void)
{
    int cores = qn_cpu_get()->n_cores;
    for (int n = 1; n <= 2 * cores; n *= 2) {
        qn_pool *pool = pool_of(n);
        enum {
            RUNS = 20000
        };
        double best = 1e9;
        for (int rep = 0; rep < 5; rep++) {
            uint64_t t0 = qn_now_ns();
            for (int i = 0; i < RUNS; i++)
                qn_pool_run(pool, on_nothing, NULL);
            double ns = qn_ms_since(t0) * 1e6 / RUNS;
            best = ns < best ? ns : best;
        }
        uint64_t t0 = qn_now_ns();
        qn_pool_run(pool, on_barriers, pool);
        printf("%d threads on %d cores: dispatch and join %.0f ns, barrier "
               "%.0f ns\n",
               n, cores, best, qn_ms_since(t0) * 1e3);
        static const uint64_t gaps[] = {5,   10,  20,   40,   80,
                                        150, 300, 1000, 10000};
        for (size_t i = 0; n > 1 && i < sizeof gaps / sizeof *gaps; i++)
            bench_gap(pool, gaps[i] * 1000);
        qn_pool_free(pool);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_thread_once),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_no_threads_left),
        cmocka_unit_test(test_barrier_orders),
        cmocka_unit_test(test_next_covers_once),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_waiting_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
