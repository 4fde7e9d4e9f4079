/* KL divergence of logits that come in pieces, against the definition. */
#include "testing.h"

#include "base/compiler.h"
#include "quantize/divergence.h"

#include <math.h>

enum {
    ROWS = 5,
    N = 1000
};

typedef struct rows_at {
    float base[ROWS][N], other[ROWS][N];
} rows_at;

/* In the first of these the likeliest tokens come late, in the second early. */
static void make(rows_at *l, double change, double spread)
{
    uint32_t x = 12345;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < N; i++) {
            double u[2];
            for (int k = 0; k < 2; k++) {
                x = x * 1664525u + 1013904223u;
                u[k] = (double)(x >> 8) / (1 << 24) - 0.5;
            }
            double slope = (r % 2 ? i : N - i) * 0.03;
            l->base[r][i] = (float)(u[0] * spread + slope);
            l->other[r][i] = l->base[r][i] + (float)(u[1] * change - 0.2);
        }
}

static double log_sum(const float *x)
{
    double max = (double)x[0], sum = 0;
    for (int i = 1; i < N; i++)
        max = fmax(max, (double)x[i]);
    for (int i = 0; i < N; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* sum p (log p - log q), by its definition, in double. */
static double kl_whole(const float *base, const float *other)
{
    double a = log_sum(base), b = log_sum(other), sum = 0;
    for (int i = 0; i < N; i++) {
        double p = (double)base[i] - a, q = (double)other[i] - b;
        sum += exp(p) * (p - q);
    }
    return sum;
}

static void in_pieces(const rows_at *l, int piece, qn_kl_base *own,
                      qn_kl_sum *sum)
{
    qn_pool *pool = NULL;
    qn_err err = {0};
    float *weight = malloc(sizeof(float) * ROWS * N),
          *x = malloc(sizeof(float) * ROWS * N);
    assert_int_equal(qn_pool_new(&pool, 2, &err), 0);
    memset(own, 0, ROWS * sizeof *own);
    memset(sum, 0, ROWS * sizeof *sum);
    for (int from = 0; from < N; from += piece) {
        int n = QN_MIN(piece, N - from);
        qn_kl_piece p = {.base = l->base[0] + from,
                         .weight = weight,
                         .ld = N,
                         .n_row = ROWS,
                         .n = n,
                         .sum = own};
        for (int r = 0; r < ROWS; r++)
            memcpy(x + r * n, l->other[r] + from, (size_t)n * sizeof *x);
        qn_kl_weigh(pool, &p);
        qn_kl_add(pool, &p, x, sum);
    }
    qn_pool_free(pool);
    free(weight);
    free(x);
}

/* p has a relative error of some 2^-24 (expf), a term of few more. */
static void check(double change, double spread)
{
    static const int pieces[] = {N, 512, 100, 7};
    rows_at *l = malloc(sizeof *l);
    make(l, change, spread);
    for (size_t i = 0; i < QN_COUNTOF(pieces); i++) {
        qn_kl_base own[ROWS];
        qn_kl_sum sum[ROWS];
        in_pieces(l, pieces[i], own, sum);
        for (int r = 0; r < ROWS; r++) {
            double want = kl_whole(l->base[r], l->other[r]);
            double got = qn_kl_of(&own[r], &sum[r]);
            if (!(fabs(got - want) <= 4e-6 * want + 1e-13))
                fail_msg("change %g, pieces of %d, row %d: %.9e, not %.9e",
                         change, pieces[i], r, got, want);
            double a = qn_kl_log_sum(&own[r]), b = log_sum(l->base[r]);
            assert_true(fabs(a - b) <= 1e-6);
            a = qn_kl_log_sum_other(&own[r], &sum[r]);
            b = log_sum(l->other[r]);
            assert_true(fabs(a - b) <= 1e-6 * (1 + fabs(b)));
        }
    }
    free(l);
}

static void test_small(void **state)
{
    (void)state;
    check(1e-2, 4);
    check(1, 4);
}

/* Of what broke: differences beyond what a float's exponential holds. */
static void test_large(void **state)
{
    (void)state;
    check(30, 10);
    check(300, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
