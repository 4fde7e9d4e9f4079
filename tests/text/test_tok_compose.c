/* test_tok_compose.c - the four normalization forms against Unicode's own
 * NormalizationTest.txt, and a run of marks long enough to show quadratic
 * work. */
#include "testing.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_step.h"

static qn_tok_steps form_steps[4]; /* NFC NFD NFKC NFKD */

static int open_forms(void **state)
{
    (void)state;
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    for (int k = 0; k < 4; k++) {
        qn_err err = {0};
        json_t *o = json_pack("{s:s}", "type", names[k]);
        int rc = qn_tok_steps_parse(&form_steps[k], &qn_tok_normalizers, o,
                                    "test", &err);
        json_decref(o);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int close_forms(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++)
        qn_tok_steps_deinit(&form_steps[k]);
    return 0;
}

static void expect(int form, qn_view text, qn_view want, const char *line)
{
    qn_err err = {0};
    qn_tok_work w;
    qn_tok_work_init(&w, text.p, text.n, 0, &err);
    w.want_al = true;
    assert_int_equal(qn_tok_steps_run(&form_steps[form], &w), 0);
    if (!qn_view_eq(qn_view_of(w.p, w.n), want))
        fail_msg("form %d is wrong for: %.80s", form, line);
    /* Alignments stay inside the text and do not run backwards. */
    for (size_t k = 0; k < w.n; k++) {
        qn_tok_al al = qn_tok_work_al(&w, k);
        assert_true(al.b <= al.e && al.e <= text.n);
    }
    qn_tok_work_deinit(&w);
}

/* "0041 0301;00C1;..." into five texts. */
static bool columns(const char *line, qn_str col[5])
{
    for (int k = 0; k < 5; k++) {
        char *end;
        qn_str_clear(&col[k]);
        for (;;) {
            unsigned long cp = strtoul(line, &end, 16);
            char buf[4];
            if (end == line)
                return false;
            qn_str_add(&col[k], buf, (size_t)qn_utf8_encode((uint32_t)cp, buf));
            line = end;
            if (*line == ';')
                break;
        }
        line++;
    }
    return true;
}

static void test_conformance(void **state)
{
    (void)state;
    const char *path = qn_test_shared(
        "data/conformance/unicode/NormalizationTest-8.0.0.txt");
    if (!path)
        QN_SKIP("no shared NormalizationTest");
    /* Which column each column becomes, by form. */
    static const int becomes[4][5] = {
        {1, 1, 1, 3, 3}, {2, 2, 2, 4, 4}, {3, 3, 3, 3, 3}, {4, 4, 4, 4, 4}};
    size_t n, lines = 0;
    char *text = qn_test_read_file(path, &n);
    qn_str col[5] = {{0}, {0}, {0}, {0}, {0}};
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (!columns(line, col))
            continue;
        lines++;
        for (int form = 0; form < 4; form++)
            for (int k = 0; k < 5; k++) {
                const qn_str *want = &col[becomes[form][k]];
                expect(form, qn_view_of(col[k].p, col[k].n),
                       qn_view_of(want->p, want->n), line);
            }
    }
    for (int k = 0; k < 5; k++)
        qn_str_deinit(&col[k]);
    free(text);
    assert_true(lines > 18000);
}

static void test_few(void **state)
{
    (void)state;
    static const struct {
        int form;
        const char *text, *want;
    } cases[] = {
        {0, "a\u0301e\u0327\u0301", "\u00E1\u0229\u0301"},
        {0, "\u1112\u1161\u11AB", "\uD55C"},
        {0, "\uD558\u11AB", "\uD55C"},
        {1, "\uD55C\u00C5", "\u1112\u1161\u11ABA\u030A"},
        {2, "\uFB03 \u00BD", "ffi 1\u20442"},
        {3, "\uFB03\u00E9", "ffie\u0301"},
        {0, "\u212B", "\u00C5"},
        {0, "\u0958", "\u0915\u093C"}, /* excluded from composition */
        {0, "\u0301a", "\u0301a"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        expect(cases[k].form, qn_view_cstr(cases[k].text),
               qn_view_cstr(cases[k].want), cases[k].text);
}

static double seconds_for(size_t n)
{
    qn_err err = {0};
    qn_str text;
    qn_str_init(&text);
    qn_str_adds(&text, "a");
    while (text.n < n) /* of two classes, never in order */
        qn_str_adds(&text, "\u0301\u0327");
    qn_tok_work w;
    qn_tok_work_init(&w, text.p, text.n, 0, &err);
    uint64_t begin = qn_now_ns();
    assert_int_equal(qn_tok_steps_run(&form_steps[0], &w), 0);
    double took = qn_ms_since(begin) * 1e-3;
    qn_tok_work_deinit(&w);
    qn_str_deinit(&text);
    return took;
}

static void test_linear(void **state)
{
    (void)state;
    double small = seconds_for(1 << 14), large = seconds_for(1 << 18);
    assert_true(large < 100 * small + 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests(tests, open_forms, close_forms);
}
