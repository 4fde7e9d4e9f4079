/* The seconds that a progress line promises. */
#include "testing.h"

#include "cli/terminal.h"

#define SECOND 1000000000ull

/* Told every second that `step` more of 100 is done, from `begun` on, which
 * another run had done. */
static double promised(uint64_t begun, uint64_t step, int seconds)
{
    qn_progress p = {.t0 = SECOND, .off = true};
    p.told = true;
    p.from = begun;
    p.t_from = SECOND;
    uint64_t now = SECOND * (uint64_t)(1 + seconds);
    return qn_progress_left(&p, now, begun + step * (uint64_t)seconds, 100);
}

static void test_left(void **state)
{
    (void)state;
    assert_float_equal(promised(0, 10, 4), 6, 1e-9);
    /* half of it was there: 40 are left at 5 a second */
    assert_float_equal(promised(50, 5, 2), 8, 1e-9);
    /* the first telling says no pace: that since the beginning counts */
    qn_progress p = {.t0 = SECOND, .off = true};
    assert_float_equal(qn_progress_left(&p, 3 * SECOND, 20, 100), 8, 1e-9);
    assert_float_equal(qn_progress_left(&p, 3 * SECOND, 0, 100), 200, 1e-9);
}

/* What is told first is where it begins. */
static void test_first(void **state)
{
    (void)state;
    qn_progress p;
    qn_progress_begin(&p, "making", false, true);
    qn_progress_show(&p, 70, 100);
    assert_int_equal(p.from, 70);
    qn_progress_show(&p, 80, 100);
    assert_int_equal(p.from, 70);
    double left = qn_progress_left(&p, p.t_from + 5 * SECOND, 80, 100);
    assert_float_equal(left, 10, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
