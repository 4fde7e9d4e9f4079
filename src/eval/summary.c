/* summary.c - see summary.h. */
#include "eval/summary.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "base/ranks.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

enum {
    BLOCK = 64,
    MIN_BLOCKS = 20,
    MAX_BLOCKS = 2000,
    RESAMPLES = 1000
};

#define SEED 20240229u
#define Z95 1.959963984540054

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static size_t block_length(size_t n)
{
    size_t len = BLOCK;
    if (n / len < MIN_BLOCKS)
        len = QN_MAX(n / MIN_BLOCKS, (size_t)1);
    if (n / len > MAX_BLOCKS)
        len = n / MAX_BLOCKS;
    return len;
}

qn_estimate qn_mean_estimate(const double *x, size_t n)
{
    size_t len = block_length(n), blocks = (n + len - 1) / len;
    double *sum = qn_xcalloc(blocks, sizeof *sum), means[RESAMPLES];
    qn_estimate e = {.value = mean_of(x, n)};
    for (size_t i = 0; i < n; i++)
        sum[i / len] += x[i];
    for (int r = 0; r < RESAMPLES; r++) {
        double total = 0, count = 0;
        uint32_t w[4];
        for (size_t b = 0; b < blocks; b++) {
            if (b % 4 == 0)
                qn_philox(SEED, (uint64_t)r, b / 4, w);
            size_t k = (size_t)(((uint64_t)w[b % 4] * blocks) >> 32);
            total += sum[k];
            count += (double)(k + 1 < blocks ? len : n - k * len);
        }
        means[r] = total / count;
    }
    qn_sort_doubles(means, RESAMPLES);
    e.lo = means[(int)(0.025 * RESAMPLES)];
    e.hi = means[(int)(0.975 * RESAMPLES) - 1];
    free(sum);
    return e;
}

static qn_estimate quantile_estimate(const double *x, size_t n, double q)
{
    double half = Z95 * sqrt((double)n * q * (1 - q));
    return (qn_estimate){.value = qn_at_rank(x, n, q * (double)(n - 1)),
                         .lo = qn_at_rank(x, n, floor((double)n * q - half)),
                         .hi = qn_at_rank(x, n, ceil((double)n * q + half))};
}

void qn_summarize(qn_summary *out, double *x, size_t n)
{
    out->n = n;
    out->mean = qn_mean_estimate(x, n);
    qn_sort_doubles(x, n);
    out->median = quantile_estimate(x, n, 0.5);
    out->p90 = quantile_estimate(x, n, 0.9);
    out->p99 = quantile_estimate(x, n, 0.99);
    out->min = x[0];
    out->max = x[n - 1];
}

qn_estimate qn_wilson(double hits, double n)
{
    double p = hits / n, z2 = Z95 * Z95;
    double mid = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    return (qn_estimate){p, mid - half, mid + half};
}
