/* Quantiles, against what numpy.percentile gives for the same values. */
#include "testing.h"

#include "base/ranks.h"

static void test_ranks(void **state)
{
    (void)state;
    double v[] = {7, -1, 3.5, 100, 3.5, 12};
    size_t n = sizeof v / sizeof v[0];
    qn_sort_doubles(v, n);
    for (size_t i = 1; i < n; i++)
        assert_true(v[i - 1] <= v[i]);
    assert_true(qn_at_rank(v, n, 0) == -1);
    assert_true(qn_at_rank(v, n, 5) == 100);
    assert_true(qn_at_rank(v, n, 0.9 * 5) == 56); /* the 90th percentile */
    assert_true(qn_at_rank(v, n, -2) == -1);
    assert_true(qn_at_rank(v, n, 99) == 100);
    assert_true(qn_at_rank(NULL, 0, 1) == 0);
}

static void test_median(void **state)
{
    (void)state;
    double odd[] = {5, 1, 9}, even[] = {4, 1, 2, 40}, one[] = {6};
    assert_true(qn_median(odd, 3) == 5);
    assert_true(qn_median(even, 4) == 3);
    assert_true(qn_median(one, 1) == 6);
    assert_true(qn_median(NULL, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
