/* Error messages and log lines: formatting, cleaning, cutting, prefixing. */
#include "testing.h"

#include "base/err.h"
#include "base/log.h"
#include "base/utf8.h"

static void test_fill(void **state)
{
    (void)state;
    qn_err e;
    assert_int_equal(qn_fail(&e, QN_EFORMAT, "x.gguf: %d of %s", 3, "five"),
                     QN_EFORMAT);
    assert_int_equal(e.code, QN_EFORMAT);
    assert_string_equal(e.msg, "x.gguf: 3 of five");
    assert_int_equal(qn_fail(NULL, QN_EIO, "nobody listens"), QN_EIO);
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
    } rows[] = {
        {"a\nERROR: b", "a ERROR: b"},
        {"a\tb\rc", "a b?c"},
        {"\033[31mred\033[0m", "?[31mred?[0m"},
        {"del\x7f", "del?"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 ?31m"},
        {"line\xe2\x80\xa8sep", "line?sep"},
        {"bidi \xe2\x80\xae"
         "abc",
         "bidi ?abc"},
        {"bad \xff\xfe utf8", "bad ?? utf8"},
        {"cut \xe4\xb8", "cut ?"},
        {"fine \xe4\xb8\xad \xf0\x9f\x98\x80",
         "fine \xe4\xb8\xad \xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qn_err e;
        qn_fail(&e, QN_EFORMAT, "%s", rows[i].name);
        assert_string_equal(e.msg, rows[i].shown);
    }
}

static void test_no_control_byte_passes(void **state)
{
    (void)state;
    for (int c = 1; c < 0xa0; c++) {
        qn_err e;
        char name[3] = {(char)c, 0, 0};
        if (c >= 0x80) { /* C1, as UTF-8 */
            name[0] = (char)0xc2;
            name[1] = (char)c;
        }
        qn_fail(&e, QN_EFORMAT, "<%s>", name);
        bool keep = c >= 0x20 && c < 0x7f;
        bool blank = c == '\n' || c == '\t';
        assert_int_equal(strlen(e.msg), 3);
        assert_int_equal(e.msg[1], keep ? c : blank ? ' ' : '?');
    }
}

/* Messages around the limit: never too long, never a broken code point, and
 * cut visibly. */
static void test_cutting(void **state)
{
    (void)state;
    char text[QN_ERR_MAX * 2];
    for (size_t lead = 0; lead < 4; lead++) {
        for (size_t n = QN_ERR_MAX - 8; n < QN_ERR_MAX + 8; n++) {
            memset(text, 'a', lead);
            size_t len = lead;
            for (; len + 3 <= n; len += 3)
                memcpy(text + len, "\xe4\xb8\xad", 3);
            text[len] = '\0';
            qn_err e;
            qn_fail(&e, QN_EFORMAT, "%s", text);
            size_t m = strlen(e.msg);
            assert_true(m < QN_ERR_MAX);
            assert_true(qn_utf8_valid(e.msg, m));
            if (len < QN_ERR_MAX)
                assert_string_equal(e.msg, text);
            else
                assert_string_equal(e.msg + m - 3, "...");
            assert_null(strchr(e.msg, '?'));
        }
    }
}

static void test_prefix(void **state)
{
    (void)state;
    qn_err e;
    qn_fail(&e, QN_EFORMAT, "offset %d is odd", 7);
    assert_int_equal(qn_err_prefix(&e, e.code, "tensor %s", "w\n1"),
                     QN_EFORMAT);
    assert_string_equal(e.msg, "tensor w 1: offset 7 is odd");
    assert_int_equal(qn_err_prefix(NULL, QN_EIO, "x"), QN_EIO);

    char text[QN_ERR_MAX];
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    qn_fail(&e, QN_EIO, "%s", text);
    for (int i = 0; i < 3; i++)
        qn_err_prefix(&e, e.code, "%s", text);
    assert_true(strlen(e.msg) < QN_ERR_MAX);
    qn_fail(&e, QN_EIO, "%s", text);
    qn_err_prefix(&e, e.code, "file f");
    assert_memory_equal(e.msg, "file f: mmm", 11);
    assert_string_equal(e.msg + strlen(e.msg) - 4, "m...");
}

static int forward(int rc)
{
    QN_TRY(rc);
    return 5;
}

static int cleanup(int code, int *cleaned, qn_err *err)
{
    int rc = QN_OK;
    if (code)
        QN_FAIL_OUT(code, "asked to");
    QN_TRY_OUT(forward(1));
out:
    ++*cleaned;
    return rc;
}

static void test_macros(void **state)
{
    (void)state;
    assert_int_equal(forward(QN_ENOENT), QN_ENOENT);
    assert_int_equal(forward(3), 5);
    int cleaned = 0;
    qn_err e;
    assert_int_equal(cleanup(QN_ELIMIT, &cleaned, &e), QN_ELIMIT);
    assert_string_equal(e.msg, "asked to");
    assert_int_equal(cleanup(0, &cleaned, &e), 5);
    assert_int_equal(cleaned, 2);
}

static void test_code_names(void **state)
{
    (void)state;
    for (int c = QN_EBUSY; c <= QN_OK; c++)
        for (int d = QN_EBUSY; d < c; d++)
            assert_string_not_equal(qn_code_name(c), qn_code_name(d));
    assert_non_null(qn_code_name(-1000));
}

typedef struct log_seen {
    int n, level;
    char line[2048];
} log_seen;

static void on_log(void *user, int level, const char *line)
{
    log_seen *s = user;
    s->n++;
    s->level = level;
    snprintf(s->line, sizeof s->line, "%s", line);
    if (s->n == 2)
        qn_set_log(NULL, NULL); /* a callback may take itself away */
}

static void test_log(void **state)
{
    (void)state;
    log_seen seen = {0};
    qn_log(0, "into the void");
    qn_set_log(on_log, &seen);
    qn_log(2, "%d\n%s", 1, "x\033");
    assert_int_equal(seen.level, 2);
    assert_string_equal(seen.line, "1 x?");
    qn_log(1, "last");
    qn_log(1, "not heard");
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.line, "last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_no_control_byte_passes),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_macros),
        cmocka_unit_test(test_code_names),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
