/* probe.c - see probe.h. */
#include "backend/cpu/probe.h"

#include "backend/cpu/peaks.h"
#include "base/compiler.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/ranks.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* Read at a time. The parts of a larger buffer take turns where the last cache
 * would hold one of them. */
#define PART ((size_t)256 << 20)
#define MOST_PARTS 4

struct qn_probe {
    qn_pool *pool;
    uint8_t *data;
    int n_part, part;
    bool cpu_time;
};

double qn_probe_now(const qn_probe *p)
{
    struct timespec t;

    clock_gettime(p->cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef double (*peak_fn)(void);

enum {
    CHAINS = QN_PEAK_CHAINS,
    ROUNDS = QN_PEAK_ROUNDS,
    TRIES = 5, /* some milliseconds each; a thread that has slept comes late */
    READS = 3
};

typedef struct peak_row {
    qn_probe_kind kind;
    qn_isa isa;
    double ops; /* of one instruction of each chain */
    peak_fn fn;
} peak_row;

#if defined(__x86_64__)
#include <immintrin.h>

/* As so many streams at once: which number is the fastest depends on the
 * prefetchers. */
__attribute__((target("avx2"))) static double read_part(const uint8_t *p,
                                                        int64_t n, int streams)
{
    const int64_t line = 128, ahead = 1024;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (int64_t i = 0; i + line <= n / streams; i += line)
        for (int s = 0; s < streams; s++) {
            const uint8_t *at = p + i + n / streams * s;
            const __m256i *v = (const __m256i *)(const void *)at;
            if (streams == 8) {
                _mm_prefetch((const char *)at + ahead, _MM_HINT_T1);
                _mm_prefetch((const char *)at + ahead + 64, _MM_HINT_T1);
            }
            a = _mm256_xor_si256(a, _mm256_loadu_si256(v));
            b = _mm256_xor_si256(b, _mm256_loadu_si256(v + 1));
            c = _mm256_xor_si256(c, _mm256_loadu_si256(v + 2));
            d = _mm256_xor_si256(d, _mm256_loadu_si256(v + 3));
        }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (double)_mm256_extract_epi32(a, 0);
}

static const peak_row peaks[] = {
    /* the best first */
    {QN_PROBE_F32, QN_ISA_AVX512, 2 * 16, qn_peak_f32_avx512},
    {QN_PROBE_F32, QN_ISA_AVX2, 2 * 8, qn_peak_f32_avx2},
    {QN_PROBE_BF16, QN_ISA_AVX512BF16, 4 * 16, qn_peak_bf16_avx512bf16},
    {QN_PROBE_I8, QN_ISA_AVX512VNNI, 8 * 16, qn_peak_i8_avx512vnni},
    {QN_PROBE_I8, QN_ISA_AVXVNNI, 8 * 8, qn_peak_i8_avxvnni},
    {QN_PROBE_I8, QN_ISA_AVX2, 8 * 8, qn_peak_i8_avx2},
};
#else
static double read_part(const uint8_t *p, int64_t n, int streams)
{
    const uint64_t *v = (const uint64_t *)(const void *)p;
    uint64_t a = 0;

    (void)streams;
    for (int64_t i = 0; i < n / 8; i++)
        a ^= v[i];
    return (double)a;
}

#endif

#if defined(__aarch64__)
static const peak_row peaks[] = {
    {QN_PROBE_F32, QN_ISA_NEON, 2 * 4, qn_peak_f32_neon},
    {QN_PROBE_BF16, QN_ISA_BF16, 2 * 16, qn_peak_bf16_bf16},
    {QN_PROBE_I8, QN_ISA_I8MM, 2 * 32, qn_peak_i8_i8mm},
    {QN_PROBE_I8, QN_ISA_DOTPROD, 2 * 16, qn_peak_i8_dotprod},
    {QN_PROBE_I8, QN_ISA_NEON, 2 * 8, qn_peak_i8_neon},
};
#elif !defined(__x86_64__)
static const peak_row peaks[] = {{QN_PROBE_N, QN_ISA_N, 0, NULL}};
#endif

typedef struct probe_job {
    peak_fn fn;
    const uint8_t *data;
    int streams;
    volatile double sink;
} probe_job;

static void peak_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    double v = j->fn();
    (void)n_threads;
    if (thread == 0)
        j->sink = v;
}

double qn_probe_peak(qn_probe *p, qn_probe_kind kind)
{
    for (size_t i = 0; i < QN_COUNTOF(peaks); i++) {
        const peak_row *r = &peaks[i];
        if (r->kind != kind || !qn_isa_granted(r->isa))
            continue;
        probe_job j = {.fn = r->fn};
        double t[TRIES];
        for (int k = 0; k < TRIES; k++) {
            t[k] = qn_probe_now(p);
            qn_pool_run(p->pool, peak_run, &j);
            t[k] = qn_probe_now(p) - t[k];
        }
        return r->ops * CHAINS * ROUNDS * qn_pool_n_threads(p->pool) /
               qn_median(t, TRIES);
    }
    return 0;
}

qn_probe_kind qn_probe_bound(qn_probe *p, qn_probe_kind kind)
{
    return qn_probe_peak(p, kind) < qn_probe_peak(p, QN_PROBE_F32)
               ? QN_PROBE_F32
               : kind;
}

static void read_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    int64_t begin, end;

    qn_pool_split((int64_t)PART, 4096, thread, n_threads, &begin, &end);
    /* volatile: compilers leave out what only thread 0 makes use of */
    volatile double v = read_part(j->data + begin, end - begin, j->streams);
    if (thread == 0)
        j->sink = v;
}

static void touch_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    int64_t begin, end;

    qn_pool_split((int64_t)PART, 4096, thread, n_threads, &begin, &end);
    for (int64_t i = begin; i < end; i += 4096)
        ((volatile uint8_t *)(uintptr_t)j->data)[i] = 1;
}

int qn_probe_new(qn_probe **out, qn_pool *pool, bool cpu_time, qn_err *err)
{
    uint64_t room = qn_mem_available() / 8 / PART;
    uint64_t n = 2 * qn_cpu_get()->l3 / PART + 1;
    void *data;
    n = QN_MAX(QN_MIN(n, QN_MIN(room, (uint64_t)MOST_PARTS)), (uint64_t)1);
    QN_TRY(qn_big_alloc(&data, n * PART, QN_MEM_OTHER, err));
    qn_probe *p = qn_xcalloc(1, sizeof *p);
    *p = (qn_probe){
        .pool = pool, .data = data, .n_part = (int)n, .cpu_time = cpu_time};
    for (int i = 0; i < p->n_part; i++) {
        probe_job j = {.data = p->data + (size_t)i * PART};
        qn_pool_run(pool, touch_run, &j);
    }
    *out = p;
    return 0;
}

void qn_probe_free(qn_probe *p)
{
    if (!p)
        return;
    qn_big_free(p->data, (size_t)p->n_part * PART, QN_MEM_OTHER);
    free(p);
}

double qn_probe_read(qn_probe *p)
{
    static const int streams[] = {1, 4, 8};
    double best = 0;
    for (size_t i = 0; i < QN_COUNTOF(streams); i++) {
        double t[READS];
        for (int k = 0; k < READS; k++) {
            probe_job j = {.data = p->data + (size_t)p->part * PART,
                           .streams = streams[i]};
            t[k] = qn_probe_now(p);
            qn_pool_run(p->pool, read_run, &j);
            t[k] = qn_probe_now(p) - t[k];
            p->part = (p->part + 1) % p->n_part;
        }
        best = QN_MAX(best, (double)PART / qn_median(t, READS));
    }
    return best;
}
