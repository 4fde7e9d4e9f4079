/* probe.c - see probe.h. The loops are compiled for their instructions by
 * function attributes, since only files of src/backend/cpu/x86 get flags. */
#include "backend/probe.h"

#include "base/cpu.h"
#include "base/mem.h"

#include <stdlib.h>
#include <time.h>

bool probe_cpu_time;

double probe_now(void)
{
    struct timespec t;

    clock_gettime(probe_cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC,
                  &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct probe_job {
    probe_kind kind;
    const uint8_t *data;
    int64_t n;
    volatile double sink;
} probe_job;

#if defined(__x86_64__)
#include <immintrin.h>

enum {
    CHAINS = 12,
    ROUNDS = 4000000
};

__attribute__((target("avx2"))) static double read_part(const uint8_t *p,
                                                        int64_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (int64_t i = 0; i + 128 <= n; i += 128) {
        const __m256i *v = (const __m256i *)(const void *)(p + i);
        a = _mm256_xor_si256(a, _mm256_loadu_si256(v));
        b = _mm256_xor_si256(b, _mm256_loadu_si256(v + 1));
        c = _mm256_xor_si256(c, _mm256_loadu_si256(v + 2));
        d = _mm256_xor_si256(d, _mm256_loadu_si256(v + 3));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (double)_mm256_extract_epi32(a, 0);
}

__attribute__((target("avx512f"))) static double peak_f32(void)
{
    __m512 a[CHAINS], x = _mm512_set1_ps(1e-9f), y = _mm512_set1_ps(0.5f);

    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_fmadd_ps(x, y, a[j]);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    return (double)_mm512_reduce_add_ps(a[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static double peak_bf16(void)
{
    __m512 a[CHAINS];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3c003c00), y = x;

    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_dpbf16_ps(a[j], x, y);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    return (double)_mm512_reduce_add_ps(a[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static double peak_i8(void)
{
    __m512i a[CHAINS], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(1);

    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_epi32(j);
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_dpbusd_epi32(a[j], x, y);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_epi32(a[0], a[j]);
    return (double)_mm512_reduce_add_epi32(a[0]);
}

static void peak_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    double v = j->kind == PROBE_F32    ? peak_f32()
               : j->kind == PROBE_BF16 ? peak_bf16()
                                       : peak_i8();
    (void)n_threads;
    if (thread == 0)
        j->sink = v;
}

double probe_peak(qn_pool *pool, probe_kind kind)
{
    static const qn_isa need[] = {QN_ISA_AVX512, QN_ISA_AVX512BF16,
                                  QN_ISA_AVX512VNNI};
    static const double ops[] = {2 * 16, 4 * 16, 8 * 16};
    probe_job j = {.kind = kind};
    double t;

    if (qn_cpu_get()->isa_detected < need[kind])
        return 0;
    t = probe_now();
    qn_pool_run(pool, peak_run, &j);
    t = probe_now() - t;
    return ops[kind] * CHAINS * ROUNDS * qn_pool_n_threads(pool) / t;
}
#else
static double read_part(const uint8_t *p, int64_t n)
{
    const uint64_t *v = (const uint64_t *)(const void *)p;
    uint64_t a = 0;

    for (int64_t i = 0; i < n / 8; i++)
        a ^= v[i];
    return (double)a;
}

double probe_peak(qn_pool *pool, probe_kind kind)
{
    (void)pool;
    (void)kind;
    return 0;
}
#endif

static void read_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    int64_t begin, end;

    qn_pool_split(j->n, 4096, thread, n_threads, &begin, &end);
    double v = read_part(j->data + begin, end - begin);
    if (thread == 0)
        j->sink = v;
}

static void touch_run(void *arg, int thread, int n_threads)
{
    probe_job *j = arg;
    int64_t begin, end;

    qn_pool_split(j->n, 4096, thread, n_threads, &begin, &end);
    for (int64_t i = begin; i < end; i += 4096)
        ((volatile uint8_t *)j->data)[i] = 1;
}

double probe_read(qn_pool *pool)
{
    static void *data;
    enum {
        BYTES = 512 << 20
    };
    probe_job j = {.n = BYTES};
    double t;

    if (!data) {
        if (qn_big_alloc(&data, BYTES, QN_MEM_OTHER, NULL) < 0)
            abort();
        j.data = data;
        qn_pool_run(pool, touch_run, &j);
    }
    j.data = data;
    t = probe_now();
    qn_pool_run(pool, read_run, &j);
    return BYTES / (probe_now() - t);
}
