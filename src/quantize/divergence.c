/* divergence.c - see divergence.h. */
#include "quantize/divergence.h"

#include "base/compiler.h"

#include <math.h>

enum {
    SIDE = 16 /* tokens side by side */
};

typedef struct kl_job {
    const float *x, *base, *prob; /* [n_row, n] */
    float *to;                    /* the same, or */
    double *sum;                  /* [n_row] */
    int64_t n_row;
    int n;
} kl_job;

/* ---- divergence ---------------------------------------------------------- */

/* exp(x) - 1 - x, where |x| < 1/2 by a series whose next term is 2^-24 of it. */
static inline float rest_of_exp(float x)
{
    return x * x *
           (1.0f / 2 +
            x * (1.0f / 6 +
                 x * (1.0f / 24 +
                      x * (1.0f / 120 +
                           x * (1.0f / 720 +
                                x * (1.0f / 5040 + x * (1.0f / 40320)))))));
}

/* SIDE terms of the sum. */
static double kl_terms(const float *x, const float *base, const float *prob,
                       float mean)
{
    float most = 0, sum = 0, term[SIDE];
    for (int i = 0; i < SIDE; i++) {
        float d = x[i] - base[i] - mean;
        float far = fabsf(d);
        term[i] = prob[i] * rest_of_exp(d);
        most = most > far ? most : far;
    }
    for (int i = 0; i < SIDE && !(most < 0.5f); i++) {
        float d = x[i] - base[i] - mean;
        term[i] = prob[i] * (fabsf(d) < 0.5f ? rest_of_exp(d) : expm1f(d) - d);
    }
    for (int i = 0; i < SIDE; i++)
        sum += term[i];
    return (double)sum;
}

static double mean_change(const float *x, const float *base, const float *prob,
                          int n)
{
    double sum = 0;
    for (int i = 0; i < n; i += SIDE) {
        float part[SIDE], all = 0;
        int m = QN_MIN(SIDE, n - i);
        for (int k = 0; k < m; k++)
            part[k] = prob[i + k] * (x[i + k] - base[i + k]);
        for (int k = 0; k < m; k++)
            all += part[k];
        sum += (double)all;
    }
    return sum;
}

static double kl_row(const float *x, const float *base, const float *prob,
                     int n)
{
    float mean = (float)mean_change(x, base, prob, n);
    float last[3][SIDE] = {{0}};
    double sum = 0;
    int i = 0;
    for (; i + SIDE <= n; i += SIDE)
        sum += kl_terms(x + i, base + i, prob + i, mean);
    for (int k = 0; i + k < n; k++) {
        last[0][k] = x[i + k];
        last[1][k] = base[i + k];
        last[2][k] = prob[i + k];
    }
    return log1p(sum + kl_terms(last[0], last[1], last[2], mean));
}

static void kl_thread(void *arg, int thread, int n_threads)
{
    const kl_job *j = arg;
    int64_t n = j->n, begin, end;
    qn_pool_split(j->n_row, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        j->sum[r] = kl_row(j->x + r * n, j->base + r * n, j->prob + r * n,
                           j->n);
}

void qn_kl_rows(qn_pool *pool, const float *x, const float *base,
                const float *prob, int64_t n_row, int n, double *sum)
{
    kl_job j = {
        .x = x, .base = base, .prob = prob, .sum = sum, .n_row = n_row, .n = n};
    qn_pool_run(pool, kl_thread, &j);
}

/* ---- probabilities ------------------------------------------------------- */

static float log_sum(const float *x, int n)
{
    float max = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        max = fmaxf(max, x[i]);
    for (int i = 0; i < n; i++)
        sum += (double)expf(x[i] - max);
    return max + (float)log(sum);
}

static void softmax_thread(void *arg, int thread, int n_threads)
{
    const kl_job *j = arg;
    int64_t n = j->n, begin, end;
    qn_pool_split(j->n_row, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->base + r * n;
        float lse = log_sum(x, j->n);
        for (int64_t k = 0; k < n; k++)
            j->to[r * n + k] = expf(x[k] - lse);
    }
}

void qn_softmax_rows(qn_pool *pool, const float *base, float *prob,
                     int64_t n_row, int n)
{
    kl_job j = {.base = base, .to = prob, .n_row = n_row, .n = n};
    qn_pool_run(pool, softmax_thread, &j);
}
