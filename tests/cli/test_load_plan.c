/* The load of `quern bench serve`: what distributions and traces come to, where
 * it goes, what is made of the answers, and the figures of its report. */
#include "testing.h"

#include "cli/reply.h"
#include "cli/load_plan.h"
#include "cli/load_report.h"

#include <jansson.h>
#include <unistd.h>

static qn_load make(const qn_load_params *p)
{
    qn_load load;
    qn_err err;
    if (qn_load_make(&load, p, &err) < 0)
        fail_msg("%s", err.msg);
    return load;
}

static qn_load_params params(void)
{
    return (qn_load_params){.n = 20000,
                            .rate = 50,
                            .n_in = 400,
                            .n_out = 100,
                            .n_prefixes = 4,
                            .n_prefix = 3,
                            .vocab = 1000,
                            .abort_part = 0.25,
                            .abort_s = 2,
                            .seed = 7,
                            .speed = 1};
}

/* Means within five standard errors of what the distributions have. */
static void test_distributions(void **state)
{
    (void)state;
    static const struct {
        qn_spread spread;
        double ratio, deviation; /* of a length, as part of its mean */
    } rows[] = {
        {QN_SPREAD_UNIFORM, 0, 0},
        {QN_SPREAD_UNIFORM, 0.5, 0.2887},   /* r / sqrt 3 */
        {QN_SPREAD_LOGNORMAL, 0.5, 0.5329}, /* sqrt(exp(r^2) - 1) */
        {QN_SPREAD_EXPONENTIAL, 0, 1},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        qn_load_params p = params();
        p.spread = rows[k].spread;
        p.ratio = rows[k].ratio;
        qn_load load = make(&p);
        double in = 0, out = 0, square = 0, last = 0;
        int prefix[4] = {0}, n_leave = 0;
        for (int i = 0; i < load.n; i++) {
            const qn_load_shot *s = &load.shots[i];
            in += (double)s->n_in / load.n;
            out += (double)s->n_out / load.n;
            square += (double)s->n_in * (double)s->n_in / load.n;
            assert_true(s->due >= last && s->n_in >= 1 && s->n_out >= 1);
            last = s->due;
            prefix[s->prefix]++;
            n_leave += s->leave > 0;
            assert_true(s->leave <= 2.001);
        }
        double root = sqrt(load.n), sd = rows[k].deviation;
        assert_true(fabs(in / 400 - 1) <= 5 * sd / root + 1e-3);
        assert_true(fabs(out / 100 - 1) <= 5 * sd / root + 5e-3);
        assert_true(fabs(sqrt(fabs(square - in * in)) / in - sd) < 0.03);
        assert_true(fabs(last * 50 / load.n - 1) < 5 / root);
        assert_true(fabs(n_leave / (load.n * 0.25) - 1) < 0.1);
        for (int i = 0; i < 4; i++)
            assert_true(fabs(prefix[i] / (load.n * 0.25) - 1) < 0.1);
        qn_load_deinit(&load);
    }
}

/* Prompts that share a beginning do, and nothing else of them is alike. */
static void test_bodies(void **state)
{
    (void)state;
    qn_load_params p = params();
    p.n = 40;
    qn_load load = make(&p), again = make(&p);
    json_t *ids[40];
    for (int i = 0; i < 40; i++) {
        qn_str body = {0}, same = {0};
        qn_load_body(&load, i, &body);
        qn_load_body(&again, i, &same);
        assert_string_equal(body.p, same.p);
        json_t *doc = json_loads(body.p, 0, NULL);
        assert_non_null(doc);
        ids[i] = json_incref(json_object_get(doc, "prompt"));
        assert_int_equal(json_array_size(ids[i]), load.shots[i].n_in + 3);
        assert_int_equal(json_integer_value(json_object_get(doc, "max_tokens")),
                         load.shots[i].n_out);
        json_decref(doc);
        qn_str_deinit(&body);
        qn_str_deinit(&same);
    }
    for (int i = 1; i < 40; i++) {
        int n_same = 0, n_rest = 0;
        for (size_t k = 0; k < 403; k++) {
            int eq = json_equal(json_array_get(ids[0], k),
                                json_array_get(ids[i], k));
            *(k < 3 ? &n_same : &n_rest) += eq;
        }
        if (load.shots[i].prefix == load.shots[0].prefix)
            assert_int_equal(n_same, 3);
        assert_true(n_rest < 10);
    }
    for (int i = 0; i < 40; i++)
        json_decref(ids[i]);
    qn_load_deinit(&load);
    qn_load_deinit(&again);
}

static int load_trace(const char *text, qn_load *load, qn_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/trace.csv", qn_test_tmpdir());
    qn_test_write_file(path, text, strlen(text));
    qn_load_params p = params();
    p.n = 3;
    p.trace = path;
    p.speed = 2;
    p.n_prefix = 0;
    p.max_len = 100;
    return qn_load_make(load, &p, err);
}

static void test_traces(void **state)
{
    (void)state;
    qn_load load;
    qn_err err;
    /* columns by name, out of order, a day's end between, one too long */
    assert_int_equal(load_trace("\"GeneratedTokens\",x,TIMESTAMP,ContextTokens"
                                "\r\n5,a,2023-12-31 23:59:58.5,10\r\n"
                                "80,b,2024-01-01 00:00:02.5,90\n"
                                "7,c,2024-01-01T00:00:01,20\n\n"
                                "9,d,2024-01-02 00:00:00,20\n",
                                &load, &err),
                     0);
    assert_int_equal(load.n, 3);
    static const double due[] = {0, 1.25, 2};
    static const int in[] = {10, 20, 50}, out[] = {5, 7, 50};
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(load.shots[i].due - due[i]) < 1e-6);
        assert_int_equal(load.shots[i].n_in, in[i]);
        assert_int_equal(load.shots[i].n_out, out[i]);
    }
    qn_load_deinit(&load);
    static const char *const wrong[] = {
        "",
        "TIMESTAMP,ContextTokens\n1,2\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\nnow,2,3\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n1,-2,3\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n1,nan,3\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (load_trace(wrong[i], &load, &err) == 0)
            fail_msg("taken: %s", wrong[i]);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *port, *path; /* host NULL: refused */
    } rows[] = {
        {"http://a", "a", "80", "/v1/completions"},
        {"http://a:8000/", "a", "8000", "/v1/completions"},
        {"http://a:8000/v1", "a", "8000", "/v1/completions"},
        {"http://a:8000/v1/", "a", "8000", "/v1/completions"},
        {"http://a/x/y/v1", "a", "80", "/x/y/v1/completions"},
        {"http://a/x", "a", "80", "/x/v1/completions"},
        {"http://[::1]:81/v1", "::1", "81", "/v1/completions"},
        {"http://[::1]", "::1", "80", "/v1/completions"},
        {"https://a", NULL, NULL, NULL},
        {"a:8000", NULL, NULL, NULL},
        {"http://", NULL, NULL, NULL},
        {"http://:80", NULL, NULL, NULL},
        {"http://a:", NULL, NULL, NULL},
        {"http://a:b", NULL, NULL, NULL},
        {"http://[::1", NULL, NULL, NULL},
        {"http://[::1]x", NULL, NULL, NULL},
        {"http://a/b c", NULL, NULL, NULL},
        {"http://a\r\nX: y", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qn_shot_target t;
        qn_err err = {0};
        int rc = qn_shot_parse_url(&t, rows[i].url, &err);
        if ((rc == 0) != (rows[i].host != NULL))
            fail_msg("%s: %d %s", rows[i].url, rc, err.msg);
        if (rc < 0)
            continue;
        assert_string_equal(t.host, rows[i].host);
        assert_string_equal(t.port, rows[i].port);
        assert_string_equal(t.path, rows[i].path);
    }
}

/* The coding of the transfer may cut an event anywhere. */
static void test_answers(void **state)
{
    (void)state;
    static const char body[] =
        "data: {\"choices\":[{\"text\":\"a\"}]}\n\n"
        ": alive\n\n"
        "data: {\"choices\": [{\"text\": \"b\"}], \"usage\": null}\n\n"
        "data: {\"choices\":[{\"text\":\"\"}],\"usage\":{\"prompt_tokens\":7,"
        "\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
    for (size_t cut = 1; cut < sizeof body - 1; cut++) {
        qn_str s = {0};
        qn_reply a = {0};
        qn_str_adds(&s,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        qn_str_addf(&s, "%zx\r\n", cut);
        qn_str_add(&s, body, cut);
        qn_str_addf(&s, "\r\n%zx\r\n", sizeof body - 1 - cut);
        qn_str_adds(&s, body + cut);
        qn_str_adds(&s, "\r\n0\r\n\r\n");
        qn_reply_feed(&a, s.p, s.n, 1000);
        assert_true(a.done && !a.broken);
        assert_int_equal(a.n_texts, 2);
        assert_int_equal(a.n_gaps, 1);
        assert_int_equal(a.n_prompt, 7);
        assert_int_equal(a.n_out, 5);
        qn_reply_deinit(&a);
        qn_str_deinit(&s);
    }
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int want;
    } rows[] = {
        {"retry-after: 7\r\n", 7},
        {"Retry-After:12\r\n", 12},
        {"Retry-After: Thu, 26 Nov 2026 22:00:00 GMT\r\n", 0},
        {"Retry-After: 99999999999999999999999\r\n", 86400},
        {"X-Retry-After: 7\r\n", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qn_str s = {0};
        qn_reply a = {0};
        qn_str_addf(&s, "HTTP/1.1 429 Too Many Requests\r\n%s\r\n",
                    rows[i].header);
        qn_reply_feed(&a, s.p, s.n, 1000);
        assert_int_equal(a.status, 429);
        assert_int_equal(a.retry_after, rows[i].want);
        qn_reply_deinit(&a);
        qn_str_deinit(&s);
    }
}

/* Figures of known results, worked out by hand. */
static void test_report(void **state)
{
    (void)state;
    qn_load_params p = params();
    p.n = 6;
    qn_load load = make(&p);
    double gaps[] = {0.010, 0.030};
    qn_shot_result r[6] = {
        {.end = QN_SHOT_OK,
         .n_prompt = 10,
         .n_out = 3,
         .ttft = 0.1,
         .e2e = 0.3,
         .gaps = gaps,
         .n_gaps = 2},
        {.end = QN_SHOT_OK,
         .n_prompt = 20,
         .n_out = 1,
         .ttft = 0.2,
         .e2e = 0.2},
        {.end = QN_SHOT_OK,
         .n_prompt = 30,
         .n_out = 5,
         .ttft = 0.4,
         .e2e = 0.8},
        {.end = QN_SHOT_REFUSED, .status = 429, .n_retries = 2},
        {.end = QN_SHOT_CUT, .status = 200},
        {.end = QN_SHOT_LEFT, .status = 200},
    };
    qn_load_run run = {.load = &load,
                       .results = r,
                       .goal = {300, 0, 250},
                       .seconds = 2,
                       .peak = 4,
                       .max_concurrency = 8};
    char path[4096];
    snprintf(path, sizeof path, "%s/report", qn_test_tmpdir());
    fflush(stdout);
    int out = dup(STDOUT_FILENO);
    assert_non_null(freopen(path, "w", stdout));
    qn_load_report(&run, true);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    json_t *doc = json_load_file(path, 0, NULL);
    assert_non_null(doc);
    static const struct {
        const char *name;
        double want;
    } rows[] = {
        {"completed", 3},
        {"failed", 2},
        {"failed_refused", 1},
        {"failed_cut", 1},
        {"aborted", 1},
        {"retries", 2},
        {"total_input_tokens", 60},
        {"total_output_tokens", 9},
        {"request_throughput", 1.5},
        {"request_goodput", 0.5},
        {"output_throughput", 4.5},
        {"total_token_throughput", 34.5},
        {"max_concurrent_requests", 4},
        {"mean_ttft_ms", 700.0 / 3},
        {"median_ttft_ms", 200},
        {"std_ttft_ms", 124.721913},
        {"p90_ttft_ms", 360},
        {"p99_ttft_ms", 396},
        {"mean_tpot_ms", 100},
        {"mean_itl_ms", 20},
        {"p50_itl_ms", 20},
        {"p90_itl_ms", 28},
        {"mean_e2el_ms", 1300.0 / 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *v = json_object_get(doc, rows[i].name);
        if (!json_is_number(v) ||
            fabs(json_number_value(v) - rows[i].want) > 1e-4)
            fail_msg("%s is %g, expected %g", rows[i].name,
                     json_number_value(v), rows[i].want);
    }
    json_decref(doc);
    qn_load_deinit(&load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
