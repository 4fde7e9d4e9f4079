/* Means, quantiles and intervals: against values that are known otherwise,
 * and against what the definition of an interval promises. */
#include "testing.h"

#include "base/rng.h"
#include "eval/position.h"
#include "eval/summary.h"

static void test_quantiles(void **state)
{
    double x[101];
    qn_summary s;
    (void)state;
    for (int i = 0; i <= 100; i++)
        x[i] = (i * 37) % 101; /* 0..100 in another order */
    qn_summarize(&s, x, 101);
    assert_true(s.mean.value == 50 && s.median.value == 50);
    assert_true(s.p90.value == 90 && s.p99.value == 99);
    assert_true(s.min == 0 && s.max == 100);
    /* ranks 50.5 -+ 9.85: order statistics 40 and 61 from 0 */
    assert_true(s.median.lo == 40 && s.median.hi == 61);
    double one = 7;
    qn_summarize(&s, &one, 1);
    assert_true(s.mean.value == 7 && s.mean.lo == 7 && s.mean.hi == 7 &&
                s.p99.hi == 7);
}

/* Wilson's interval of 15 of 20 (scipy: proportion_confint): 0.5313, 0.8881. */
static void test_wilson(void **state)
{
    (void)state;
    qn_estimate e = qn_wilson(15, 20);
    assert_true(e.value == 0.75);
    assert_true(fabs(e.lo - 0.5313) < 5e-5 && fabs(e.hi - 0.8881) < 5e-5);
    e = qn_wilson(0, 10);
    assert_true(fabs(e.lo) < 1e-12 && fabs(e.hi - 0.2775) < 5e-5);
}

/* Independent normal values: the interval is about 1.96 / sqrt(n) wide to each
 * side, and holds the true mean in about 95 of 100 cases. */
static void test_coverage(void **state)
{
    enum {
        N = 2000,
        TRIALS = 200
    };
    static double x[N];
    int held = 0;
    double wide = 0;
    (void)state;
    for (int t = 0; t < TRIALS; t++) {
        for (int i = 0; i < N; i++)
            x[i] = qn_rng_normal(5, (uint64_t)t, (uint64_t)i);
        qn_estimate e = qn_mean_estimate(x, N);
        held += e.lo <= 0 && e.hi >= 0;
        wide += (e.hi - e.lo) / 2 / TRIALS;
    }
    assert_true(fabs(wide * sqrt(N) - 1.96) < 0.15);
    assert_true(held >= 0.88 * TRIALS && held <= 0.99 * TRIALS);
}

/* Neighbours that are alike: an interval that took them for independent would
 * be four times too narrow here. */
static void test_blocks(void **state)
{
    enum {
        N = 16384
    };
    static double x[N];
    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = qn_rng_normal(6, 0, (uint64_t)i / 16);
    qn_estimate e = qn_mean_estimate(x, N);
    double independent = 1.96 / sqrt(N);
    assert_true((e.hi - e.lo) / 2 > 3 * independent);
    assert_true((e.hi - e.lo) / 2 < 5 * independent);
}

static void test_position(void **state)
{
    /* p = 1/2, 1/4, 1/4 beside 1/4, 1/2, 1/4: KL = 1/4 ln 2 */
    const float l = logf(2);
    float q[] = {l, 0, 0}, p[] = {5, 5 + l, 5};
    qn_position at;
    (void)state;
    qn_position_beside(&at, q, p, 3, 1);
    assert_true(fabs(at.kl - 0.25 * log(2)) < 1e-7);
    assert_true(fabs(at.nll - log(4)) < 1e-7);
    assert_true(fabs(at.base_nll - log(2)) < 1e-7);
    assert_true(fabs((double)at.dp + 0.25) < 1e-6);
    assert_true(!at.same_top && at.same_top5 == 3 && !at.hit);
    q[2] = NAN;
    qn_position_of(&at, q, 3, 0);
    assert_true(isnan(at.nll));
    qn_position_beside(&at, p, q, 3, 0);
    assert_true(isnan(at.base_nll) && !isnan(at.nll));
    q[0] = -INFINITY;
    q[2] = 0;
    qn_position_of(&at, q, 3, 0);
    assert_false(isfinite(at.nll));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles), cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_coverage),  cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
