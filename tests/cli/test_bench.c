/* quern bench on a tiny network: the report has every case with sane figures;
 * comparing finds what became slower, and nothing else. */
#include "testing.h"

#include "cli/bench.h"

static json_t *report(void)
{
    static const int32_t prefill[] = {16, 40}, depths[] = {0, 64},
                         batches[] = {1, 3};
    qn_bench_params p = {.path = qn_test_data("models/llama"),
                         .model = {.n_threads = 2},
                         .prefill = prefill,
                         .n_prefill = 2,
                         .depths = depths,
                         .n_depths = 2,
                         .batches = batches,
                         .n_batches = 2,
                         .n_tokens = 4,
                         .repeats = 3,
                         .warmup = 1,
                         .load_repeats = 2};
    json_t *o = NULL;
    qn_err err = {0};
    if (qn_bench_run(&o, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static json_t *result(const json_t *o, const char *name)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(o, "results"), i,
                       r) if (strcmp(json_string_value(json_object_get(r,
                                                                       "name")),
                                     name) == 0) return r;
    fail_msg("no result \"%s\"", name);
    return NULL;
}

static double value(const json_t *o, const char *name, const char *key)
{
    return json_number_value(json_object_get(result(o, name), key));
}

static void test_report(void **state)
{
    static const char *const cases[] = {"prefill 16", "prefill 40",
                                        "decode 1 at 0", "decode 1 at 64",
                                        "decode 3 at 0"};
    (void)state;
    json_t *o = report();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *v = json_object_get(result(o, cases[i]), "values");
        assert_int_equal(json_array_size(v), 3);
        double mid = value(o, cases[i], "median");
        assert_true(mid > 0 && mid >= value(o, cases[i], "min") &&
                    mid <= value(o, cases[i], "max"));
        assert_true(value(o, cases[i], "bound") > 0);
    }
    assert_int_equal(
        json_array_size(json_object_get(result(o, "load"), "values")), 2);
    assert_true(value(o, "read probe before", "median") > 0);
    assert_true(value(o, "memory", "median") > 1);
    FILE *f = tmpfile();
    qn_bench_print(o, f);
    qn_bench_print_csv(o, f);
    qn_bench_print_markdown(o, f);
    assert_true(ftell(f) > 1000);
    fclose(f);
    json_decref(o);
}

static json_t *made(double decode, double fraction, double load)
{
    return json_pack(
        "{s:[{s:s, s:s, s:f, s:f, s:f}, {s:s, s:s, s:f}, {s:s, s:s, s:f}]}",
        "results", "name", "decode 1 at 0", "unit", "tok/s", "median", decode,
        "bound", decode / fraction, "fraction", fraction, "name", "load",
        "unit", "ms", "median", load, "name", "read probe before", "unit",
        "GB/s", "median", decode);
}

static int compared(double decode, double fraction, double load)
{
    json_t *before = made(100, 0.8, 50), *now = made(decode, fraction, load);
    FILE *f = tmpfile();
    int n = qn_bench_compare(now, before, 0.05, f);
    fclose(f);
    json_decref(before);
    json_decref(now);
    return n;
}

static void test_compare(void **state)
{
    (void)state;
    assert_int_equal(compared(100, 0.8, 50), 0);
    assert_int_equal(compared(96, 0.77, 52), 0);
    assert_int_equal(compared(80, 0.64, 50), 1); /* slower */
    assert_int_equal(compared(80, 0.8, 50), 0);  /* the machine was */
    assert_int_equal(compared(100, 0.8, 60), 1); /* loads slower */
    assert_int_equal(compared(120, 0.9, 40), 0);
}

static void test_refused(void **state)
{
    static const int32_t bad[] = {-1};
    (void)state;
    json_t *o = NULL;
    qn_err err = {0};
    qn_bench_params p = {.path = qn_test_data("models/llama"),
                         .repeats = 1,
                         .n_tokens = 1,
                         .depths = bad,
                         .n_depths = 1};
    assert_int_equal(qn_bench_run(&o, &p, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "-1"));
    p.n_depths = 0;
    p.repeats = 0;
    assert_int_equal(qn_bench_run(&o, &p, &err), QN_EINVAL);
    p.repeats = 1;
    p.prefill = (const int32_t[]){100000};
    p.n_prefill = 1;
    assert_int_equal(qn_bench_run(&o, &p, &err), QN_ELIMIT);
    assert_null(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
