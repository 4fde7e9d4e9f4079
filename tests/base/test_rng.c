/* Philox against the known answers of its authors (Random123, kat_vectors,
 * philox4x32 with 10 rounds), and the two distributions. */
#include "testing.h"

#include "base/clock.h"
#include "base/rng.h"

static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, stream, n;
        uint32_t out[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX,
         UINT64_MAX,
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t w[4];
        qn_philox(rows[i].seed, rows[i].stream, rows[i].n, w);
        assert_memory_equal(w, rows[i].out, sizeof w);
    }
}

/* Moments of n draws, within 6 standard errors. */
static void test_moments(void **state)
{
    (void)state;
    enum {
        N = 200000
    };
    double u1 = 0, u2 = 0, g1 = 0, g2 = 0, g4 = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = qn_rng_uniform(5, 6, i), g = qn_rng_normal(5, 7, i);
        assert_true(u >= 0 && u < 1);
        assert_true(isfinite(g));
        u1 += u;
        u2 += u * u;
        g1 += g;
        g2 += g * g;
        g4 += g * g * g * g;
    }
    const double se = 6 / sqrt(N);
    assert_true(fabs(u1 / N - 1.0 / 2) < se * sqrt(1.0 / 12));
    assert_true(fabs(u2 / N - 1.0 / 3) < se * sqrt(4.0 / 45));
    assert_true(fabs(g1 / N) < se);
    assert_true(fabs(g2 / N - 1) < se * sqrt(2));
    assert_true(fabs(g4 / N - 3) < se * sqrt(96));
}

static void test_streams_differ(void **state)
{
    (void)state;
    assert_true(qn_rng_uniform(1, 2, 3) == qn_rng_uniform(1, 2, 3));
    assert_true(qn_rng_uniform(1, 2, 3) != qn_rng_uniform(1, 2, 4));
    assert_true(qn_rng_uniform(1, 2, 3) != qn_rng_uniform(1, 3, 3));
    assert_true(qn_rng_uniform(1, 2, 3) != qn_rng_uniform(2, 2, 3));
    assert_true(qn_rng_entropy() != qn_rng_entropy());
}

static void test_clock(void **state)
{
    (void)state;
    uint64_t a = qn_now_ns(), b = qn_now_ns();
    assert_true(a > 0 && b >= a);
    assert_true(qn_ms_since(a) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
