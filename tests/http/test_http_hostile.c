/* What strangers send: malformed requests, sizes without measure, clients that
 * dawdle, leave, or do not read. After each the server has to be as before:
 * it answers, nothing runs, nothing is held. */
#include "web.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What bodies may leave behind in this process, which holds the client's
 * copies of them too: a tree of JSON takes up to forty times its text. */
#ifdef __SANITIZE_THREAD__ /* which keeps records of as much again */
#define MEMORY (600.0 * 1024 * 1024)
#else
#define MEMORY (300.0 * 1024 * 1024)
#endif

static void assert_alive(void)
{
    double t = web_now();
    web_reply r = web_ask("GET", "/health", NULL, NULL);
    assert_int_equal(r.status, 200);
    web_free(&r);
    assert_true(web_now() - t < 15);
}

static double resident(void)
{
    return web_metric("process_resident_memory_bytes");
}

static void assert_idle(double seconds)
{
    assert_alive();
    assert_true(web_metric_becomes("quern_requests_running", 0, seconds));
    assert_true(web_metric_becomes("quern_requests_waiting", 0, 1));
    /* what is held beyond running requests belongs to the prefix cache */
    double used = web_metric("quern_kv_cache_used_ratio");
    assert_true(used == 0);
}

/* ---- malformed requests ------------------------------------------------ */

#define POST_HEAD "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"

static const struct raw {
    const char *text;
    int low, high; /* status; 0: or closed without one */
} raws[] = {
    {POST_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
               "0\r\n\r\nGET /",
     400, 400},
    {POST_HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400, 400},
    {POST_HEAD "Content-Length: 2, 2\r\n\r\n{}", 400, 400},
    {POST_HEAD "Content-Length: +5\r\n\r\n12345", 400, 400},
    {POST_HEAD "Content-Length: -1\r\n\r\n", 400, 400},
    {POST_HEAD "Content-Length: 0x10\r\n\r\n", 400, 400},
    {POST_HEAD "Content-Length: 99999999999999999999999\r\n\r\n", 400, 413},
    {POST_HEAD "Content-Length: 100000000000\r\n\r\n", 413, 413},
    {POST_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, 400},
    {POST_HEAD "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 400,
     400},
    {POST_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
               "\r\n0\r\n\r\n",
     400, 400},
    {POST_HEAD "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, 400},
    {POST_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 0, 400},
    {POST_HEAD "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n\r\n", 0,
     413},
    {"POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400, 400},
    {"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, 400},
    {"GET /health HTTP/1.1\r\n\r\n", 400, 400},
    {"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400,
     400},
    {"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\n"
     "Authorization: Bearer b\r\n\r\n",
     400, 400},
    {"GET /health HTTP/1.1\nHost: localhost\n\n", 200,
     400}, /* RFC 9112, 2.2: may */
    {"GET /health HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n", 400, 400},
    {"GET /health HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n", 0, 400},
    {"GET /health HTTP/1.1\r\nHost: localhost\r\nnocolon\r\n\r\n", 0, 400},
    {"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", 0, 505},
    {"GET /health\r\n\r\n", 0, 400},
    {"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 400},
    {"GET /health%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 404},
    {"GET /v1/models/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 404},
    {"GET /v1/models/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 404},
    {"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200,
     200},
    {"GET HTTP://LocalHost:80/health?x=1 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
     200, 200},
    {"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 200},
    {"GET http://other/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 400},
    {"GET http://localhost.b/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400,
     400},
    {"GET ftp://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400,
     400},
    {"GET http://localhost/health HTTP/1.0\r\n\r\n", 400, 400},
    {"GET /../health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 404},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505},
    {"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, 405},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0, 400},
    {"\r\n\r\n\r\n", 0, 400},
};

static void test_malformed(void **state)
{
    (void)state;
    static const char *const options[] = {"header-timeout", "0.5",
                                          "body-timeout", "0.5", NULL};
    int fds[sizeof raws / sizeof *raws];
    web_start(options);
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
        fds[i] = web_connect();
        web_sends(fds[i], raws[i].text);
        shutdown(fds[i], SHUT_WR);
    }
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++) {
        web_reply r = web_read(fds[i], 10);
        bool ok = (r.status == 0 && raws[i].low == 0) ||
                  (r.status >= (raws[i].low ? raws[i].low : 100) &&
                   r.status <= raws[i].high);
        if (!ok)
            fail_msg("status %d for: %s", r.status, raws[i].text);
        web_free(&r);
        close(fds[i]);
    }
    assert_idle(5);
}

/* A second request must never be taken out of the body of a refused one. */
static void test_no_smuggling(void **state)
{
    (void)state;
    web_start(NULL);
    int fd = web_connect();
    web_sends(fd, POST_HEAD "Content-Length: 6\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                            "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
    web_reply r = web_read(fd, 10);
    assert_int_equal(r.status, 400);
    web_free(&r);
    assert_false(web_wait_for(fd, "HTTP/1.1", 1));
    assert_true(web_closes(fd, 1));
    close(fd);
}

static void huge_header(size_t n, bool many)
{
    char *text = malloc(2 * n + 200);
    char *p = text +
              sprintf(text, "GET /health HTTP/1.1\r\nHost: localhost\r\n");
    if (many)
        for (size_t i = 0; i < n / 8; i++)
            p += sprintf(p, "a: b\r\n");
    else {
        p += sprintf(p, "a: ");
        memset(p, 'x', n);
        p += n;
        p += sprintf(p, "\r\n");
    }
    sprintf(p, "\r\n");
    int fd = web_connect();
    web_sends(fd, text);
    web_reply r = web_read(fd, 10);
    if (r.status != 0 && (r.status < 400 || r.status >= 500))
        fail_msg("status %d for a header of %zu bytes", r.status, n);
    web_free(&r);
    close(fd);
    free(text);
}

static void test_sizes(void **state)
{
    (void)state;
    static const char *const options[] = {"max-body", "64K", NULL};
    web_start(options);
    huge_header(100000, false);
    huge_header(10000000, false);
    huge_header(1000000, true);
    size_t n = 200000;
    char *body = malloc(n + 100);
    sprintf(body, "{\"prompt\":\"");
    memset(body + 11, 'a', n);
    strcpy(body + 11 + n, "\"}");
    web_reply r = web_post("/tokenize", body);
    assert_int_equal(r.status, 413);
    web_free(&r);
    /* without a length, too */
    int fd = web_connect();
    web_sends(fd, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        web_sends(fd, "2710\r\n");
        web_send(fd, body, 10000);
        web_sends(fd, "\r\n");
    }
    web_sends(fd, "0\r\n\r\n");
    r = web_read(fd, 10);
    assert_int_equal(r.status, 413);
    web_free(&r);
    close(fd);
    free(body);
    assert_idle(5);
}

/* ---- bodies ------------------------------------------------------------ */

static int status_of(const char *path, const char *body, size_t n)
{
    char head[256];
    int fd = web_connect();
    snprintf(
        head, sizeof head,
        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
        path, n);
    web_sends(fd, head);
    web_send(fd, body, n);
    web_reply r = web_read(fd, 120);
    int status = r.status;
    web_free(&r);
    close(fd);
    return status;
}

static void test_bodies(void **state)
{
    (void)state;
    web_start(NULL);
    double before = resident();
    static const char *const paths[] = {
        "/v1/completions", "/v1/chat/completions", "/tokenize",
        "/detokenize",     "/apply-template",      "/v2/models/m/generate"};
    size_t n = 1000000;
    char *deep = malloc(2 * n);
    memset(deep, '[', n);
    memset(deep + n, ']', n);
    char *object = malloc(8 * n);
    size_t k = 0;
    for (size_t i = 0; i < 300000; i++)
        k += (size_t)sprintf(object + k, "{\"a\":");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *p = paths[i];
        assert_int_equal(status_of(p, deep, 2 * n), 400);
        assert_int_equal(status_of(p, object, k), 400);
        assert_int_equal(status_of(p, "", 0), 400);
        assert_int_equal(status_of(p, "{}", 2), 400);
        assert_int_equal(status_of(p, "null", 4), 400);
        assert_int_equal(status_of(p, "{\"prompt\":\"\xff\xfe\"}", 15), 400);
        assert_int_equal(status_of(p, "{\"prompt\":\"\xed\xa0\x80\"}", 16),
                         400);
        assert_int_equal(status_of(p, "{\"prompt\0\":1}", 13), 400);
        assert_int_equal(status_of(p, "\0\0\0\0", 4), 400);
        assert_int_equal(status_of(p, "{\"n\":1e999}", 11), 400);
    }
    free(deep);
    free(object);
    assert_true(resident() - before < MEMORY);
    assert_idle(5);
}

static void test_counts(void **state)
{
    (void)state;
    web_start(NULL);
    double before = resident();
    size_t n = 1000000;
    char *body = malloc(n * 4 + 100);
    char *p = body + sprintf(body, "{\"prompt\":\"a\",\"stop\":[\"a\"");
    for (size_t i = 1; i < n; i++)
        p += sprintf(p, ",\"\"");
    p += sprintf(p, "]}");
    assert_int_equal(status_of("/v1/completions", body, (size_t)(p - body)),
                     400);
    p = body + sprintf(body, "{\"prompt\":[1");
    for (size_t i = 1; i < n; i++)
        p += sprintf(p, ",1");
    p += sprintf(p, "]}");
    assert_int_equal(status_of("/v1/completions", body, (size_t)(p - body)),
                     400);
    p = body + sprintf(body, "{\"prompt\":[\"a\"");
    for (size_t i = 1; i < n / 2; i++)
        p += sprintf(p, ",\"a\"");
    p += sprintf(p, "]}");
    assert_int_equal(status_of("/v1/completions", body, (size_t)(p - body)),
                     400);
    free(body);
    static const char *const rows[] = {
        "{\"prompt\":\"a\",\"n\":16384}",
        "{\"prompt\":\"a\",\"best_of\":16384}",
        "{\"prompt\":\"a\",\"logprobs\":16384}",
        "{\"prompt\":\"a\",\"max_tokens\":2147483647}",
        "{\"prompt\":\"a\",\"max_tokens\":1e300}",
        "{\"prompt\":\"a\",\"seed\":1.5}",
        "{\"prompt\":\"a\",\"logit_bias\":{\"99999999999\":1}}",
        "{\"prompt\":\"a\",\"logit_bias\":{\"50000000\":1}}",
        "{\"prompt\":\"a\",\"allowed_token_ids\":[]}",
        "{\"prompt\":\"a\",\"temperature\":1e30}",
        "{\"prompt\":\"a\",\"stop\":\"\"}",
        "{\"prompt\":\"\\u0000\",\"stop\":\"\\u0000\"}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int s = status_of("/v1/completions", rows[i], strlen(rows[i]));
        if (s != 400)
            fail_msg("status %d for %s", s, rows[i]);
    }
    assert_true(resident() - before < MEMORY);
    assert_idle(5);
}

/* ---- dawdling ---------------------------------------------------------- */

static bool drip(int fd, const char *text, double seconds)
{
    double end = web_now() + seconds;
    for (size_t i = 0; text[i] && web_now() < end; i++) {
        if (!web_send(fd, text + i, 1))
            return true;
        if (web_closes(fd, 0.05))
            return true;
    }
    return false;
}

static void test_slow(void **state)
{
    (void)state;
    static const char *const options[] = {"header-timeout",
                                          "0.5",
                                          "body-timeout",
                                          "0.5",
                                          "idle-timeout",
                                          "0.5",
                                          NULL};
    web_start(options);
    /* nothing at all */
    int fd = web_connect();
    assert_true(web_closes(fd, 2));
    close(fd);
    /* a header, byte by byte */
    char text[600] = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ";
    memset(text + strlen(text), 'a', 300);
    fd = web_connect();
    assert_true(drip(fd, text, 3));
    close(fd);
    /* a body, byte by byte */
    fd = web_connect();
    web_sends(fd, POST_HEAD "Content-Length: 1000\r\n\r\n");
    assert_true(drip(fd, text, 3));
    close(fd);
    /* a second header on the same connection */
    fd = web_connect();
    web_sends(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(web_wait_for(fd, "ok", 5));
    assert_true(drip(fd, text, 3));
    close(fd);
    assert_alive();
}

/* ---- crowds ------------------------------------------------------------ */

static void test_idle_crowd(void **state)
{
    (void)state;
    static const char *const options[] = {"max-connections", "200",
                                          "header-timeout", "20", NULL};
    web_start(options);
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    int n = rl.rlim_cur > 11000 ? 10000 : (int)(rl.rlim_cur - 500);
    int *fd = calloc((size_t)n, sizeof *fd);
    for (int i = 0; i < n; i++) {
        fd[i] = web_connect();
        if (i % 1000 == 999)
            assert_alive();
    }
    assert_alive();
    assert_true(web_metric("quern_http_connections") < 300);
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once\",\"max_tokens\":2}");
    assert_int_equal(r.status, 200);
    web_free(&r);
    for (int i = 0; i < n; i++)
        close(fd[i]);
    free(fd);
    assert_true(web_metric_becomes("quern_http_connections", 1, 10));
}

#define LONG_ASK(more)                                             \
    "{\"prompt\":\"Once\",\"max_tokens\":900,\"ignore_eos\":true," \
    "\"temperature\":0" more "}"

/* Many streams, half of which leave, long before their end: the others get all of their
 * text. */
static void test_streams_leave(void **state)
{
    (void)state;
    static const char *const options[] = {
        "max-queue", "2000", "max-connections", "2000", "queue-timeout",
        "0",         NULL};
    web_start(options);
    enum {
        N = 1000
    };
    int *fd = calloc(N, sizeof *fd);
    char *ask[] = {
        web_request("/v1/completions", LONG_ASK(",\"stream\":true")),
        web_request("/v1/completions",
                    "{\"prompt\":\"Once upon a time\",\"stream\":true,"
                    "\"temperature\":0,\"max_tokens\":3,"
                    "\"ignore_eos\":true}")};
    for (int i = 0; i < N; i++) {
        fd[i] = web_connect();
        web_sends(fd[i], ask[i % 2]);
    }
    free(ask[0]);
    free(ask[1]);
    assert_true(web_wait_for(fd[0], "data:", 100)); /* else none had begun */
    for (int i = 0; i < N; i += 2)
        close(fd[i]);
    char *first = NULL;
    for (int i = 1; i < N; i += 2) {
        web_reply r = web_read(fd[i], 100);
        assert_int_equal(r.status, 200);
        assert_true(r.whole);
        web_events e = web_split_events(r.body);
        assert_string_equal(e.v[e.n - 1], "[DONE]");
        char text[4096] = "";
        for (size_t k = 0; k + 1 < e.n; k++) {
            json_t *c = json_loads(e.v[k], 0, NULL);
            json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
            strcat(text, json_string_value(json_object_get(choice, "text")));
            json_decref(c);
        }
        if (!first)
            first = strdup(text);
        assert_string_equal(text, first);
        web_events_free(&e);
        web_free(&r);
        close(fd[i]);
    }
    free(first);
    free(fd);
    assert_true(web_metric("quern_cancelled_total") > 0);
    assert_idle(5);
}

/* ---- leaving, not reading ---------------------------------------------- */

/* Whether it ran to its end is judged by tokens, not by a clock. */
static double n_written(void)
{
    return web_metric("quern_completion_tokens_total");
}

static void send_ask(int fd, const char *body)
{
    char *ask = web_request("/v1/completions", body);
    web_sends(fd, ask);
    free(ask);
}

/* A prompt of about so many tokens. */
static char *long_prompt(int n_prompt, int max_tokens)
{
    char *body = malloc((size_t)n_prompt * 8 + 100);
    int n = sprintf(body, "{\"max_tokens\":%d,\"prompt\":\"", max_tokens);
    for (int i = 0; i < n_prompt; i++)
        n += sprintf(body + n, "mill ");
    sprintf(body + n, "\"}");
    return body;
}

/* A request of so many tokens that is being answered, of which nobody is left
 * to read. */
static void leave_while_decoding(const char *body, int n_tok)
{
    double before = n_written();
    int fd = web_connect();
    send_ask(fd, body);
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    double t = web_now();
    close(fd);
    assert_true(web_metric_becomes("quern_requests_running", 0, 60));
    print_message("noticed after %.3f s\n", web_now() - t);
    assert_true(n_written() - before < n_tok);
}

static void test_leaving(void **state)
{
    (void)state;
    qn_engine_params small = {.n_ctx = 2048, .max_seqs = 1, .max_batch = 8};
    web_start_with(&small, NULL);
    leave_while_decoding(LONG_ASK(""), 900);
    leave_while_decoding(LONG_ASK(",\"stream\":true"), 900);
    /* prefilling: a long prompt in chunks of 8 */
    char *body = long_prompt(700, 50);
    leave_while_decoding(body, 50);
    free(body);
    /* waiting behind another one */
    double before = n_written();
    int first = web_connect(), second = web_connect();
    send_ask(first, LONG_ASK(""));
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    send_ask(second, LONG_ASK(""));
    assert_true(web_metric_becomes("quern_requests_waiting", 1, 10));
    double t = web_now();
    close(second);
    assert_true(web_metric_becomes("quern_requests_waiting", 0, 60));
    print_message("noticed after %.3f s\n", web_now() - t);
    assert_true(n_written() - before < 900); /* the first goes on */
    close(first);
    assert_idle(60);
}

/* In the middle of one pass over the whole prompt, which would take seconds:
 * it is given up, and none of its rows counts. */
static void test_leaving_in_a_pass(void **state)
{
    (void)state;
    qn_engine_params whole = {.n_ctx = 2048, .max_seqs = 2, .max_batch = 1024};
    web_start_slow(&whole, NULL);
    char *body = long_prompt(300, 5);
    int fd = web_connect();
    send_ask(fd, body);
    free(body);
    web_sleep(0.5);
    double t = web_now();
    close(fd);
    assert_true(web_metric_becomes("quern_cancelled_total", 1, 60));
    print_message("noticed after %.3f s\n", web_now() - t);
    assert_true(web_metric("quern_engine_rows_total") == 0);
    assert_idle(10);
}

/* It neither reads nor leaves. Others are served meanwhile, and in the end it
 * is cut off. */
static void test_not_reading(void **state)
{
    (void)state;
    static const char *const options[] = {"stream-buffer", "4096",
                                          "stall-timeout", "1.5", NULL};
    web_start(options);
    int fd = web_connect(), small = 2048;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_ask(fd, LONG_ASK(",\"stream\":true,\"logprobs\":20"));
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    for (int i = 0; i < 5; i++) {
        web_reply r = web_post("/v1/completions",
                               "{\"prompt\":\"Once\",\"max_tokens\":4}");
        assert_int_equal(r.status, 200);
        web_free(&r);
    }
    /* paused, not finished: its tokens stop short of 900 */
    web_sleep(0.7);
    assert_true(web_metric("quern_requests_running") == 1);
    assert_true(web_metric_becomes("quern_requests_running", 0, 120));
    assert_true(web_metric("quern_completion_tokens_total") < 900);
    close(fd);
    assert_idle(2);
}

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Who waits behind one that is paused costs no processor time, and begins when
 * that one has ended. */
static void test_waiting_for_who_does_not_read(void **state)
{
    (void)state;
    static const char *const options[] = {"stream-buffer", "4096",
                                          "stall-timeout", "100", NULL};
    qn_engine_params one = {.n_ctx = 2048, .max_seqs = 1};
    web_start_with(&one, options);
    int fd = web_connect(), next_fd = web_connect(), small = 2048;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_ask(fd, LONG_ASK(",\"stream\":true,\"logprobs\":20"));
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    send_ask(next_fd, "{\"prompt\":\"Once\",\"max_tokens\":4}");
    assert_true(web_metric_becomes("quern_requests_waiting", 1, 10));
    bool quiet = false;
    for (int i = 0; i < 30 && !quiet; i++) { /* until it is paused */
        double before = processor_seconds();
        web_sleep(1); /* who spins gets more, whatever else runs */
        quiet = processor_seconds() - before < 0.04;
    }
    assert_true(quiet);
    assert_true(web_metric("quern_requests_waiting") == 1);
    close(fd);
    web_reply r = web_read(next_fd, 60);
    assert_int_equal(r.status, 200);
    web_free(&r);
    close(next_fd);
}

/* ---- noise ------------------------------------------------------------- */

static uint32_t noise = 12345;
static uint32_t next(uint32_t n)
{
    noise = noise * 1664525 + 1013904223;
    return (noise >> 8) % n;
}

static void read_noise(int fd)
{
    web_reply r = web_read(fd, 10);
    assert_true(r.status < 500 || r.status == 505 || r.status == 501);
    web_free(&r);
    close(fd);
}

static void test_noise(void **state)
{
    (void)state;
    static const char *const options[] = {"header-timeout", "0.5",
                                          "body-timeout", "0.5", NULL};
    enum {
        N = 800,
        SIDE = 50 /* at a time */
    };
    int waiting[SIDE], n_waiting = 0;
    web_start(options);
    for (int i = 0; i < N; i++) {
        char *text = web_request(i % 2 ? "/v1/chat/completions"
                                       : "/v1/completions",
                                 i % 2 ? "{\"messages\":[{\"role\":\"user\","
                                         "\"content\":\"a\"}],\"n\":1,"
                                         "\"max_tokens\":1,\"stream\":true}"
                                       : "{\"prompt\":\"Once\",\"seed\":3,"
                                         "\"max_tokens\":1,\"stop\":[\"a\"],"
                                         "\"logit_bias\":{\"1\":2}}");
        size_t n = strlen(text);
        for (uint32_t k = 0; k <= next(4); k++)
            text[next((uint32_t)n)] = (char)next(256);
        int fd = web_connect();
        web_send(fd, text, next(8) ? n : next((uint32_t)n));
        if (next(3) == 0)
            shutdown(fd, SHUT_WR);
        if (next(3))
            waiting[n_waiting++] = fd;
        else
            close(fd);
        free(text);
        if (n_waiting == SIDE || i == N - 1)
            for (; n_waiting > 0; n_waiting--)
                read_noise(waiting[n_waiting - 1]);
    }
    assert_idle(5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_malformed, web_stop),
        cmocka_unit_test_teardown(test_no_smuggling, web_stop),
        cmocka_unit_test_teardown(test_sizes, web_stop),
        cmocka_unit_test_teardown(test_bodies, web_stop),
        cmocka_unit_test_teardown(test_counts, web_stop),
        cmocka_unit_test_teardown(test_slow, web_stop),
        cmocka_unit_test_teardown(test_idle_crowd, web_stop),
        cmocka_unit_test_teardown(test_streams_leave, web_stop),
        cmocka_unit_test_teardown(test_leaving, web_stop),
        cmocka_unit_test_teardown(test_leaving_in_a_pass, web_stop),
        cmocka_unit_test_teardown(test_not_reading, web_stop),
        cmocka_unit_test_teardown(test_waiting_for_who_does_not_read, web_stop),
        cmocka_unit_test_teardown(test_noise, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
