/* JSON: limits, messages, numbers, typed members; and the public JSON test
 * suite, where it lies beside the source. */
#include "testing.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <float.h>

static json_t *parsed(const char *text)
{
    json_t *v = NULL;
    qn_err e;
    if (qn_json_parse(&v, text, strlen(text), "t", &e) != QN_OK)
        fail_msg("%s: %s", text, e.msg);
    return v;
}

static void refused(const char *text, size_t n, const char *says)
{
    json_t *v = NULL;
    qn_err e;
    assert_int_equal(qn_json_parse(&v, text, n, "doc.json", &e), QN_EFORMAT);
    assert_null(v);
    if (!strstr(e.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", e.msg, says);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("", 0, "doc.json:");
    refused("{\"a\": 1,\n \"a\": 2}", 17, "doc.json:2:");
    refused("{\"a\": 1,\n \"a\": 2}", 17, "duplicate");
    refused("[1, 2", 5, "doc.json:1:");
    refused("[1] x", 5, "not valid JSON");
    refused("[\"\xff\"]", 5, "not valid JSON");
    refused("[NaN]", 5, "not valid JSON");
    refused("[1e999]", 7, "not valid JSON");
    refused("[1]\0", 4, "NUL byte at byte 3");
    refused("12\0", 3, "NUL byte at byte 2");
}

/* `depth` brackets, with brackets in strings that must not count. */
static char *nested(int depth, char open, char close)
{
    qn_str s = {0};
    for (int i = 0; i < depth; i++)
        qn_str_adds(&s, open == '[' ? "[\"]\\\"[[{\", " : "{\"{[\\\\\": ");
    qn_str_adds(&s, "\"[\"");
    for (int i = 0; i < depth; i++)
        qn_str_addc(&s, close);
    return qn_str_take(&s, NULL);
}

static void test_depth(void **state)
{
    (void)state;
    static const char pair[2][2] = {{'[', ']'}, {'{', '}'}};
    for (int k = 0; k < 2; k++) {
        char *ok = nested(256, pair[k][0], pair[k][1]);
        char *deep = nested(257, pair[k][0], pair[k][1]);
        json_decref(parsed(ok));
        refused(deep, strlen(deep), "deeper than 256");
        qn_free(ok);
        qn_free(deep);
    }
    char *open = qn_xmalloc(1000000);
    memset(open, '[', 1000000);
    refused(open, 1000000, "deeper");
    qn_free(open);
    /* Quotes that never close do not lead the scan astray. */
    refused("[\"\\", 3, "not valid");
    refused("[\"abc", 5, "not valid");
    refused("\"\\\\\\\"", 5, "not valid");
}

static void test_strings(void **state)
{
    (void)state;
    json_t *v = parsed("\"a\\u0000b\\ud83d\\ude00\"");
    assert_int_equal(json_string_length(v), 7);
    assert_memory_equal(json_string_value(v), "a\0b\xf0\x9f\x98\x80", 8);
    json_decref(v);
}

static void test_numbers(void **state)
{
    (void)state;
    json_t *v = parsed(
        "{\"max\": 1000000000000000019884624838656, \"s\": \"12345678901"
        "2345678901234567890\", \"a\": [-99999999999999999999, "
        "9223372036854775807, -9223372036854775808, "
        "9223372036854775808, 12345678901234567890.5, "
        "1e3, 0, -0.0, 10000000000000000000e0]}");
    assert_true(json_real_value(json_object_get(v, "max")) ==
                1000000000000000019884624838656.0);
    assert_string_equal(json_string_value(json_object_get(v, "s")),
                        "123456789012345678901234567890");
    json_t *a = json_object_get(v, "a");
    assert_true(json_real_value(json_array_get(a, 0)) == -1e20);
    assert_true(json_integer_value(json_array_get(a, 1)) == INT64_MAX);
    assert_true(json_integer_value(json_array_get(a, 2)) == INT64_MIN);
    assert_true(json_real_value(json_array_get(a, 3)) == 0x1p63);
    assert_true(json_real_value(json_array_get(a, 4)) ==
                12345678901234567890.5);
    assert_true(json_real_value(json_array_get(a, 5)) == 1000);
    assert_true(json_is_integer(json_array_get(a, 6)));
    assert_true(json_real_value(json_array_get(a, 8)) == 1e19);
    json_decref(v);
    /* A leading zero stays an error where a number had to be replaced. */
    refused("[99999999999999999999, 012]", 27, "not valid");
    refused("[012345678901234567890]", 23, "not valid");

    /* With that memory short: an error, not a crash. */
    const char *text = "[99999999999999999999]";
    json_t *w = NULL;
    qn_mem_fail_after(0);
    assert_true(qn_json_parse(&w, text, strlen(text), "t", NULL) < 0);
    assert_true(qn_mem_fail_after(-1));
    assert_null(w);
}

static void test_python(void **state)
{
    (void)state;
    const char *text = "{\"limit\": [0.0, Infinity], \"n\": NaN, \"m\": "
                       "-Infinity, \"s\": \"NaN Infinity \\\" NaN\"}";
    json_t *v = NULL;
    qn_err e;
    assert_int_equal(qn_json_parse(&v, text, strlen(text), "t", &e),
                     QN_EFORMAT);
    assert_int_equal(qn_json_parse_python(&v, text, strlen(text), "t", &e),
                     QN_OK);
    json_t *limit = json_array_get(json_object_get(v, "limit"), 1);
    assert_true(json_real_value(limit) == DBL_MAX);
    assert_true(isinf((float)json_real_value(limit)));
    assert_true(json_real_value(json_object_get(v, "m")) == -DBL_MAX);
    assert_true(json_is_null(json_object_get(v, "n")));
    assert_string_equal(json_string_value(json_object_get(v, "s")),
                        "NaN Infinity \" NaN");
    json_decref(v);
    const char *bad[] = {"[NaNa]", "[Inf]", "{NaN: 1}", "[1,]", "[1 NaN]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        v = NULL;
        assert_int_equal(qn_json_parse_python(&v, bad[i], strlen(bad[i]), "t",
                                              &e),
                         QN_EFORMAT);
    }
}

static void test_members(void **state)
{
    (void)state;
    json_t *o = parsed("{\"i\": -7, \"r\": 2.5, \"whole\": 3.0, \"big\": 1e300,"
                       "\"t\": true, \"s\": \"x\", \"z\": null, \"a\": []}");
    int64_t i = 42;
    double d = 42;
    bool b = false;
    const char *s = "none";
    qn_err e;
    assert_int_equal(qn_json_i64(o, "i", &i, "c", &e), 1);
    assert_int_equal(i, -7);
    assert_int_equal(qn_json_i64(o, "whole", &i, "c", &e), 1);
    assert_int_equal(i, 3);
    assert_int_equal(qn_json_i64(o, "z", &i, "c", &e), 0);
    assert_int_equal(qn_json_i64(o, "absent", &i, "c", &e), 0);
    assert_int_equal(qn_json_i64(o, "r", &i, "c", &e), QN_EFORMAT);
    assert_int_equal(qn_json_i64(o, "big", &i, "c", &e), QN_EFORMAT);
    assert_int_equal(qn_json_i64(o, "s", &i, "config.json", &e), QN_EFORMAT);
    assert_string_equal(e.msg, "config.json: \"s\" should be an integer of 64 "
                               "bits, is a string");
    assert_int_equal(i, 3);
    assert_int_equal(qn_json_f64(o, "i", &d, "c", &e), 1);
    assert_true(d == -7);
    assert_int_equal(qn_json_f64(o, "r", &d, "c", &e), 1);
    assert_true(d == 2.5);
    assert_int_equal(qn_json_f64(o, "a", &d, "c", &e), QN_EFORMAT);
    assert_int_equal(qn_json_bool(o, "t", &b, "c", &e), 1);
    assert_true(b);
    assert_int_equal(qn_json_bool(o, "i", &b, "c", &e), QN_EFORMAT);
    assert_int_equal(qn_json_str(o, "s", &s, "c", &e), 1);
    assert_string_equal(s, "x");
    assert_int_equal(qn_json_str(o, "t", &s, "c", &e), QN_EFORMAT);
    assert_int_equal(qn_json_str(o, "z", &s, "c", &e), 0);
    json_decref(o);
}

static void test_load(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/doc.json", qn_test_tmpdir());
    qn_test_write_file(path, "{\"a\": [1, 2]}", 13);
    json_t *v = NULL;
    qn_err e;
    assert_int_equal(qn_json_load(&v, path, 12, &e), QN_ELIMIT);
    assert_int_equal(qn_json_load(&v, path, 13, &e), QN_OK);
    assert_int_equal(json_array_size(json_object_get(v, "a")), 2);
    json_decref(v);
    assert_int_equal(qn_json_load(&v, "no/such.json", 13, &e), QN_ENOENT);
    qn_test_write_file(path, "{\"a\": [1, 2}", 12);
    assert_int_equal(qn_json_load(&v, path, 100, &e), QN_EFORMAT);
    assert_non_null(strstr(e.msg, path));
}

/* y_*: must be read, n_*: must be refused, i_*: must not crash. Where we are
 * stricter or more lenient on purpose, the file is named. */
static bool expected(const char *name, bool *accept)
{
    static const char *const ours[] = {
        "y_object_duplicated_key.json", /* duplicate keys are refused */
        "y_object_duplicated_key_and_value.json",
        "y_object_escaped_null_in_key.json", /* jansson has no such keys */
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(name, ours[i]) == 0) {
            *accept = false;
            return true;
        }
    }
    *accept = name[0] == 'y';
    return name[0] == 'y' || name[0] == 'n';
}

static void test_suite(void **state)
{
    (void)state;
    const char *dir = qn_test_shared(
        "data/conformance/jsontestsuite/test_parsing");
    if (!dir)
        QN_SKIP("no shared data");
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0, wrong = 0;
    for (struct dirent *i; (i = readdir(d));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, i->d_name);
        if (!strstr(i->d_name, ".json"))
            continue;
        size_t len;
        char *text = qn_test_read_file(path, &len);
        json_t *v = NULL;
        bool accept, fixed = expected(i->d_name, &accept);
        bool got = qn_json_parse(&v, text, len, i->d_name, NULL) == QN_OK;
        json_decref(v);
        free(text);
        n++;
        if (fixed && got != accept) {
            print_message("%s: %s\n", i->d_name, got ? "read" : "refused");
            wrong++;
        }
    }
    closedir(d);
    print_message("%d documents\n", n);
    assert_true(n > 100);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_strings),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_python),   cmocka_unit_test(test_members),
        cmocka_unit_test(test_load),     cmocka_unit_test(test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
