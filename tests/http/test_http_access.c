/* Who may ask, and how much at a time. */
#include "web.h"

#include "base/str.h"
#include "server/auth.h"

#include <sys/socket.h>
#include <unistd.h>

/* ---- keys -------------------------------------------------------------- */

#define KEY(k) "Authorization: Bearer " k "\r\n"

static void test_keys(void **state)
{
    (void)state;
    const char *keys = web_file("keys", "# two\nann:annskey123\nbobskey4567\n");
    const char *const options[] = {"api-key-file", keys, NULL};
    web_start(options);
    assert_int_equal(web_status("GET", "/health", NULL, NULL), 200);
    assert_int_equal(web_status("GET", "/v1/models", NULL, NULL), 401);
    assert_int_equal(web_status("GET", "/metrics", NULL, NULL), 401);
    assert_int_equal(web_status("GET", "/ready", NULL, NULL), 401);
    assert_int_equal(web_status("GET", "/v1/models", KEY("annskey123"), NULL),
                     200);
    assert_int_equal(web_status("GET", "/v1/models", KEY("bobskey4567"), NULL),
                     200);
    static const char *const wrong[] = {KEY("annskey12"),
                                        KEY("annskey1234"),
                                        KEY("ann"),
                                        KEY("ann:annskey123"),
                                        KEY(""),
                                        KEY("# two"),
                                        "Authorization: Basic annskey123\r\n",
                                        "Authorization: annskey123\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(web_status("GET", "/v1/models", wrong[i], NULL), 401);
    web_reply r = web_post("/v1/completions", "{\"prompt\":\"a\"}");
    assert_int_equal(r.status, 401);
    assert_string_equal(web_str(&r, "error.code"), "invalid_api_key");
    assert_non_null(strstr(r.head, "WWW-Authenticate: Bearer"));
    web_free(&r);
    /* read again: ann goes, carl comes; a broken file changes nothing */
    web_file("keys", "bobskey4567\ncarl:carlskey99\n");
    assert_int_equal(qn_server_reload(web_running(), NULL), 0);
    assert_int_equal(web_status("GET", "/v1/models", KEY("annskey123"), NULL),
                     401);
    assert_int_equal(web_status("GET", "/v1/models", KEY("carlskey99"), NULL),
                     200);
    web_file("keys", "x\n");
    assert_true(qn_server_reload(web_running(), NULL) < 0);
    assert_int_equal(web_status("GET", "/v1/models", KEY("bobskey4567"), NULL),
                     200);
}

/* More keys in one life than there may be at a time: the numbers go on, and
 * what is counted by them stays where it belongs. */
static void test_many_keys(void **state)
{
    (void)state;
    qn_auth *a = NULL;
    char header[64];
    int first = 0, last = 0;
    for (int i = 0; i < 4; i++) {
        qn_str text = {0};
        qn_str_addf(&text, "stays:thisstays1\n");
        for (int k = 1; k < QN_AUTH_MAX_KEYS / 3; k++)
            qn_str_addf(&text, "key-%d-of-%d\n", k, i);
        const char *keys = web_file("many", text.p);
        qn_str_deinit(&text);
        if (!a)
            assert_int_equal(qn_auth_new(&a, keys, NULL), 0);
        else
            assert_int_equal(qn_auth_reload(a, NULL), 0);
        assert_int_equal(qn_auth_check(a, "Bearer thisstays1"), 1);
        assert_int_equal(qn_auth_begin(a, 1), i);
        snprintf(header, sizeof header, "Bearer key-%d-of-%d", 7, i);
        last = qn_auth_check(a, header);
        assert_int_equal(qn_auth_begin(a, last), 0);
        first = first ? first : last;
    }
    assert_true(last > first);
    /* the counts of one that is gone go on while it is in use, and then not */
    assert_int_equal(qn_auth_begin(a, first), 1);
    qn_auth_end(a, first);
    qn_auth_end(a, first);
    assert_int_equal(qn_auth_check(a, "Bearer key-7-of-0"), -1);
    assert_int_equal(qn_auth_reload(a, NULL), 0);
    assert_int_equal(qn_auth_begin(a, first), 0);
    assert_int_equal(qn_auth_begin(a, first), 0);
    qn_auth_free(a);
}

/* Tokens of a prompt that were known when the second of two keys sends what the
 * first has sent. */
static int known_to_another(const char *share)
{
    const char *keys = web_file("keys3", "ann:annskey123\nbob:bobskey4567\n");
    const char *const options[] = {"api-key-file", keys, "share-prefixes",
                                   share, NULL};
    char body[4000] = "{\"max_tokens\":1,\"prompt\":\"";
    web_start(options);
    for (int i = 0; i < 300; i++)
        strcat(body, "mill ");
    strcat(body, "\"}");
    web_reply a = web_ask("POST", "/v1/completions", KEY("annskey123"), body);
    web_reply b = web_ask("POST", "/v1/completions", KEY("bobskey4567"), body);
    assert_int_equal(a.status, 200);
    int n = (int)web_int(&b, "usage.prompt_tokens_details.cached_tokens");
    web_free(&a);
    web_free(&b);
    return n;
}

static void test_shared_prefixes(void **state)
{
    (void)state;
    assert_int_equal(known_to_another("false"), 0);
    assert_true(known_to_another("true") >= 128);
}

/* ---- pages of other origins -------------------------------------------- */

static void test_origins(void **state)
{
    (void)state;
    static const char *const options[] = {
        "cors-origin", "https://a.example, https://b.example", NULL};
    web_start(NULL);
    assert_int_equal(web_status("GET", "/version",
                                "Origin: https://a.example\r\n", NULL),
                     403);
    assert_int_equal(web_status("GET", "/version",
                                "Origin: http://localhost\r\n", NULL),
                     200);
    web_start(options);
    web_reply r = web_ask("GET", "/version", "Origin: https://b.example\r\n",
                          NULL);
    assert_int_equal(r.status, 200);
    assert_non_null(
        strstr(r.head, "Access-Control-Allow-Origin: https://b.example\r\n"));
    web_free(&r);
    assert_int_equal(web_status("GET", "/version",
                                "Origin: https://c.example\r\n", NULL),
                     403);
    assert_int_equal(web_status("GET", "/version",
                                "Origin: https://b.example.c\r\n", NULL),
                     403);
    r = web_ask("OPTIONS", "/v1/chat/completions",
                "Origin: https://a.example\r\n"
                "Access-Control-Request-Method: POST\r\n",
                NULL);
    assert_int_equal(r.status, 204);
    assert_non_null(strstr(r.head, "Access-Control-Allow-Headers: "));
    web_free(&r);
    /* the headers of a client, when they are names */
    static const char *const names[][2] = {
        {"authorization,x-stainless-os, x-stainless-lang",
         "authorization,x-stainless-os, x-stainless-lang\r\n"},
        {"a b", "Authorization, Content-Type, X-Request-Id\r\n"},
        {"a,", "Authorization, Content-Type, X-Request-Id\r\n"},
    };
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char head[256], want[256];
        snprintf(head, sizeof head,
                 "Origin: https://a.example\r\nAccess-Control-Request-Method: "
                 "POST\r\nAccess-Control-Request-Headers: %s\r\n",
                 names[i][0]);
        snprintf(want, sizeof want, "Access-Control-Allow-Headers: %s",
                 names[i][1]);
        r = web_ask("OPTIONS", "/v1/chat/completions", head, NULL);
        if (r.status != 204 || !strstr(r.head, want))
            fail_msg("%s: %s", names[i][0], r.head);
        web_free(&r);
    }
    r = web_ask("GET", "/version", "Origin: https://a.example\r\n", NULL);
    assert_non_null(strstr(r.head, "Access-Control-Expose-Headers: Allow, "
                                   "Retry-After, WWW-Authenticate, "
                                   "X-Request-Id\r\n"));
    web_free(&r);
}

/* The status of a GET with this Host header. */
static int status_of_host(const char *host, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "GET /version HTTP/1.1\r\nHost: %s\r\n%s\r\n",
             host, more);
    int fd = web_connect();
    web_sends(fd, text);
    web_reply r = web_read(fd, 20);
    int s = r.status;
    web_free(&r);
    close(fd);
    return s;
}

/* A page whose name was made to resolve to this machine. */
static void test_rebinding(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        int status;
    } rows[] = {
        {"localhost", 200},         {"LOCALHOST:8000", 200},
        {"127.0.0.1:8000", 200},    {"[::1]:8000", 200},
        {"app.localhost", 200},     {"rebind.example:8000", 403},
        {"rebind.example", 403},    {"localhost.example", 403},
        {"127.0.0.1.example", 403}, {".localhost", 403},
        {"llm.example:8000", 200},  {"", 403},
    };
    static const char *const options[] = {"allowed-host", "llm.example", NULL};
    web_start(options);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (status_of_host(rows[i].host, "") != rows[i].status)
            fail_msg("Host: %s: not %d", rows[i].host, rows[i].status);
    assert_int_equal(status_of_host("rebind.example",
                                    "Origin: http://rebind.example\r\n"),
                     403);
    web_stop(NULL);
    /* who has a key may come by any name */
    const char *const keys[] = {"api-key-file", web_file("k", "annskey123\n"),
                                NULL};
    web_start(keys);
    assert_int_equal(status_of_host("rebind.example", KEY("annskey123")), 200);
}

/* ---- leniency, other names ---------------------------------------------- */

static void test_lenient(void **state)
{
    (void)state;
    static const char *const options[] = {"lenient-fields", "true",
                                          "vllm-metrics", "true", NULL};
#define ODD "{\"prompt\":\"a\",\"max_tokens\":2,\"novelty\":{\"x\":1}}"
    web_start(NULL);
    assert_int_equal(web_status("POST", "/v1/completions", NULL, ODD), 400);
    assert_true(web_metric("vllm:num_requests_running") == -1);
    web_stop(NULL);
    web_start(options);
    assert_int_equal(web_status("POST", "/v1/completions", NULL, ODD), 200);
    assert_int_equal(web_status("POST", "/tokenize", NULL, ODD), 200);
    /* what is known is still checked */
    assert_int_equal(web_status("POST", "/v1/completions", NULL,
                                "{\"prompt\":\"a\",\"temperature\":-1}"),
                     400);
    assert_true(web_metric_becomes("vllm:num_requests_running", 0, 10));
    assert_true(web_metric_becomes("vllm:generation_tokens_total", 2, 10));
    assert_true(
        web_metric_becomes("vllm:request_generation_tokens_sum", 2, 10));
}

/* ---- queue ------------------------------------------------------------- */

#define LONGEST_ASK                             \
    "{\"prompt\":\"Once\",\"max_tokens\":1000," \
    "\"ignore_eos\":true,\"temperature\":0}"

static void test_queue(void **state)
{
    (void)state;
    static const char *const options[] = {"max-queue", "2", "queue-timeout",
                                          "3", NULL};
    qn_engine_params one = {.n_ctx = 2048, .max_seqs = 1};
    /* who runs does so longer than others wait */
    web_start_slow(&one, options);
    int runs = web_begin(LONGEST_ASK);
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    int a = web_begin(LONGEST_ASK), b = web_begin(LONGEST_ASK);
    /* one that goes from queue to queue is counted twice for a moment */
    for (int i = 0; i < 5; i++)
        assert_true(web_metric_becomes("quern_requests_waiting", 2, 10));
    web_reply r = web_post("/v1/completions", LONGEST_ASK);
    assert_int_equal(r.status, 429);
    assert_string_equal(web_str(&r, "error.type"), "rate_limit_error");
    assert_non_null(strstr(r.head, "Retry-After: "));
    web_free(&r);
    /* the others wait no longer than they may */
    web_reply late = web_read(a, 5);
    assert_int_equal(late.status, 503);
    assert_non_null(strstr(late.head, "Retry-After: "));
    web_free(&late);
    close(a);
    close(b);
    close(runs);
    assert_true(web_metric_becomes("quern_requests_running", 0, 2));
    assert_int_equal(web_status("POST", "/v1/completions", NULL,
                                "{\"prompt\":\"a\",\"max_tokens\":2}"),
                     200);
}

/* Who comes first is served first, whoever of those that came together is
 * refused. */
static void test_order(void **state)
{
    (void)state;
    qn_engine_params one = {.n_ctx = 2048, .max_seqs = 1};
    web_start_slow(&one, NULL);
    /* one step, during which the others come */
    char body[2000] = "{\"max_tokens\":1,\"prompt\":\"";
    for (int i = 0; i < 100; i++)
        strcat(body, "mill ");
    strcat(body, "\"}");
    int runs = web_begin(body);
    web_sleep(0.05);
    static const char *const asks[] = {
        "{\"prompt\":\"a\",\"guided_regex\":\"(?=a)\"}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
    };
    int fd[QN_COUNTOF(asks)];
    for (size_t i = 0; i < QN_COUNTOF(asks); i++) {
        fd[i] = web_begin(asks[i]);
        web_sleep(0.005);
    }
    web_reply r = web_read(fd[3], 60);
    assert_int_equal(r.status, 200);
    web_free(&r);
    for (size_t i = 0; i < 3; i++) { /* these are there already */
        char c;
        if (recv(fd[i], &c, 1, MSG_DONTWAIT) != 1)
            fail_msg("the last came before %zu", i);
    }
    for (size_t i = 0; i < QN_COUNTOF(asks); i++)
        close(fd[i]);
    close(runs);
}

/* A step that takes longer than a request may wait: who was in it has had its
 * turn. */
static void test_long_step(void **state)
{
    (void)state;
    static const char *const options[] = {"queue-timeout", "0.001", NULL};
    web_start(options);
    char body[4000] = "{\"max_tokens\":2,\"prompt\":\"";
    for (int i = 0; i < 400; i++)
        strcat(body, "mill ");
    strcat(body, "\"}");
    assert_int_equal(web_status("POST", "/v1/completions", NULL, body), 200);
}

static void test_per_key(void **state)
{
    (void)state;
    const char *keys = web_file("keys2", "ann:annskey123\nbob:bobskey4567\n");
    const char *const options[] = {"api-key-file", keys, "max-requests-per-key",
                                   "1", NULL};
    web_start(options);
    int fd = web_connect();
    char text[512];
    snprintf(text, sizeof text,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" KEY(
                 "annskey123") "Content-Length: %zu\r\n\r\n" LONGEST_ASK,
             strlen(LONGEST_ASK));
    web_sends(fd, text);
    web_sleep(0.1);
#define SHORT_ASK "{\"prompt\":\"a\",\"max_tokens\":2}"
    assert_int_equal(web_status("POST", "/v1/completions", KEY("annskey123"),
                                SHORT_ASK),
                     429);
    assert_int_equal(web_status("POST", "/v1/completions", KEY("bobskey4567"),
                                SHORT_ASK),
                     200);
    web_reply r = web_read(fd, 200);
    assert_int_equal(r.status, 200);
    web_free(&r);
    close(fd);
    web_sleep(0.2);
    assert_int_equal(web_status("POST", "/v1/completions", KEY("annskey123"),
                                SHORT_ASK),
                     200);
}

static void test_request_timeout(void **state)
{
    (void)state;
    const char *log = web_file("log", "");
    const char *const options[] = {"request-timeout", "0.2", "access-log", log,
                                   "log-level",       "2",   NULL};
    web_start(options);
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once\",\"max_tokens\":900,"
                           "\"ignore_eos\":true,\"n\":8}");
    assert_int_equal(r.status, 504);
    web_free(&r);
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once\",\"max_tokens\":900,\"n\":8,"
                 "\"ignore_eos\":true,\"stream\":true}");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "data: {\"error\":{"));
    assert_null(strstr(r.body, "[DONE]"));
    web_free(&r);
    /* where the status does not tell, the access log does */
    web_stop(NULL);
    char *text = qn_test_read_file(log, NULL);
    const char *stream = strstr(text, "\"status\":200,");
    assert_non_null(strstr(text, "\"status\":504,"));
    assert_non_null(stream);
    assert_non_null(strstr(stream, ",\"error\":\"timeout\""));
    assert_ptr_equal(strstr(text, "\"error\""), strstr(stream, "\"error\""));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_keys, web_stop),
        cmocka_unit_test_teardown(test_many_keys, web_stop),
        cmocka_unit_test_teardown(test_shared_prefixes, web_stop),
        cmocka_unit_test_teardown(test_origins, web_stop),
        cmocka_unit_test_teardown(test_rebinding, web_stop),
        cmocka_unit_test_teardown(test_lenient, web_stop),
        cmocka_unit_test_teardown(test_queue, web_stop),
        cmocka_unit_test_teardown(test_order, web_stop),
        cmocka_unit_test_teardown(test_long_step, web_stop),
        cmocka_unit_test_teardown(test_per_key, web_stop),
        cmocka_unit_test_teardown(test_request_timeout, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
