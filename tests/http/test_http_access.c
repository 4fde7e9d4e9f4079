/* Who may ask, how much at a time, and how a server ends. */
#include "web.h"

#include "base/file.h"
#include "base/str.h"
#include "server/auth.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int status(const char *method, const char *path, const char *headers,
                  const char *body)
{
    web_reply r = web_ask(method, path, headers, body);
    int s = r.status;
    web_free(&r);
    return s;
}

static const char *file(const char *name, const char *text)
{
    static char path[4][4096];
    static const char *dir;
    static int i;
    if (!dir)
        dir = qn_test_tmpdir();
    char *p = path[i++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    if (text)
        qn_test_write_file(p, text, strlen(text));
    return p;
}

/* qn_free it. */
static void read_text(const char *path, char **text)
{
    size_t n;
    assert_int_equal(qn_file_slurp(text, &n, path, 1 << 20, NULL), 0);
}

/* ---- keys -------------------------------------------------------------- */

#define KEY(k) "Authorization: Bearer " k "\r\n"

static void test_keys(void **state)
{
    (void)state;
    const char *keys = file("keys", "# two\nann:annskey123\nbobskey4567\n");
    const char *const options[] = {"api-key-file", keys, NULL};
    web_start(options);
    assert_int_equal(status("GET", "/health", NULL, NULL), 200);
    assert_int_equal(status("GET", "/v1/models", NULL, NULL), 401);
    assert_int_equal(status("GET", "/metrics", NULL, NULL), 401);
    assert_int_equal(status("GET", "/ready", NULL, NULL), 401);
    assert_int_equal(status("GET", "/v1/models", KEY("annskey123"), NULL), 200);
    assert_int_equal(status("GET", "/v1/models", KEY("bobskey4567"), NULL),
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
        assert_int_equal(status("GET", "/v1/models", wrong[i], NULL), 401);
    web_reply r = web_post("/v1/completions", "{\"prompt\":\"a\"}");
    assert_int_equal(r.status, 401);
    assert_string_equal(web_str(&r, "error.code"), "invalid_api_key");
    assert_non_null(strstr(r.head, "WWW-Authenticate: Bearer"));
    web_free(&r);
    /* read again: ann goes, carl comes; a broken file changes nothing */
    file("keys", "bobskey4567\ncarl:carlskey99\n");
    assert_int_equal(qn_server_reload(web_running(), NULL), 0);
    assert_int_equal(status("GET", "/v1/models", KEY("annskey123"), NULL), 401);
    assert_int_equal(status("GET", "/v1/models", KEY("carlskey99"), NULL), 200);
    file("keys", "x\n");
    assert_true(qn_server_reload(web_running(), NULL) < 0);
    assert_int_equal(status("GET", "/v1/models", KEY("bobskey4567"), NULL),
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
        const char *keys = file("many", text.p);
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
    const char *keys = file("keys3", "ann:annskey123\nbob:bobskey4567\n");
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
    assert_int_equal(status("GET", "/version", "Origin: https://a.example\r\n",
                            NULL),
                     403);
    assert_int_equal(status("GET", "/version", "Origin: http://localhost\r\n",
                            NULL),
                     200);
    web_start(options);
    web_reply r = web_ask("GET", "/version", "Origin: https://b.example\r\n",
                          NULL);
    assert_int_equal(r.status, 200);
    assert_non_null(
        strstr(r.head, "Access-Control-Allow-Origin: https://b.example\r\n"));
    web_free(&r);
    assert_int_equal(status("GET", "/version", "Origin: https://c.example\r\n",
                            NULL),
                     403);
    assert_int_equal(status("GET", "/version",
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
    const char *const keys[] = {"api-key-file", file("k", "annskey123\n"),
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
    assert_int_equal(status("POST", "/v1/completions", NULL, ODD), 400);
    assert_true(web_metric("vllm:num_requests_running") == -1);
    web_stop(NULL);
    web_start(options);
    assert_int_equal(status("POST", "/v1/completions", NULL, ODD), 200);
    assert_int_equal(status("POST", "/tokenize", NULL, ODD), 200);
    /* what is known is still checked */
    assert_int_equal(status("POST", "/v1/completions", NULL,
                            "{\"prompt\":\"a\",\"temperature\":-1}"),
                     400);
    assert_true(web_metric_becomes("vllm:num_requests_running", 0, 10));
    assert_true(web_metric_becomes("vllm:generation_tokens_total", 2, 10));
    assert_true(
        web_metric_becomes("vllm:request_generation_tokens_sum", 2, 10));
}

/* ---- queue ------------------------------------------------------------- */

#define ASK_FOR(tokens)                                                   \
    "{\"prompt\":\"Once\",\"max_tokens\":" tokens ",\"ignore_eos\":true," \
    "\"temperature\":0}"
#define LONG_ASK ASK_FOR("300")
#define LONGEST_ASK ASK_FOR("1000")

static int send_ask(const char *body)
{
    int fd = web_connect();
    char *text = web_request("/v1/completions", body);
    web_sends(fd, text);
    free(text);
    return fd;
}

static int send_long(void)
{
    return send_ask(LONG_ASK);
}

static void test_queue(void **state)
{
    (void)state;
    static const char *const options[] = {"max-queue", "2", "queue-timeout",
                                          "3", NULL};
    qn_engine_params one = {.n_ctx = 2048, .max_seqs = 1};
    /* who runs does so longer than others wait */
    web_start_slow(&one, options);
    int runs = send_ask(LONGEST_ASK);
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    int a = send_ask(LONGEST_ASK), b = send_ask(LONGEST_ASK);
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
    assert_int_equal(status("POST", "/v1/completions", NULL,
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
    int runs = send_ask(body);
    web_sleep(0.05);
    static const char *const asks[] = {
        "{\"prompt\":\"a\",\"guided_regex\":\"(?=a)\"}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
        "{\"prompt\":\"Once\",\"max_tokens\":8,\"ignore_eos\":true}",
    };
    int fd[QN_COUNTOF(asks)];
    for (size_t i = 0; i < QN_COUNTOF(asks); i++) {
        fd[i] = send_ask(asks[i]);
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
    assert_int_equal(status("POST", "/v1/completions", NULL, body), 200);
}

static void test_per_key(void **state)
{
    (void)state;
    const char *keys = file("keys2", "ann:annskey123\nbob:bobskey4567\n");
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
    assert_int_equal(status("POST", "/v1/completions", KEY("annskey123"),
                            SHORT_ASK),
                     429);
    assert_int_equal(status("POST", "/v1/completions", KEY("bobskey4567"),
                            SHORT_ASK),
                     200);
    web_reply r = web_read(fd, 200);
    assert_int_equal(r.status, 200);
    web_free(&r);
    close(fd);
    web_sleep(0.2);
    assert_int_equal(status("POST", "/v1/completions", KEY("annskey123"),
                            SHORT_ASK),
                     200);
}

static void test_request_timeout(void **state)
{
    (void)state;
    const char *log = file("log", "");
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
    char *text = NULL;
    read_text(log, &text);
    const char *stream = strstr(text, "\"status\":200,");
    assert_non_null(strstr(text, "\"status\":504,"));
    assert_non_null(stream);
    assert_non_null(strstr(stream, ",\"error\":\"timeout\""));
    assert_ptr_equal(strstr(text, "\"error\""), strstr(stream, "\"error\""));
    qn_free(text);
}

/* ---- a full disk ------------------------------------------------------- */

static void limit_files(size_t bytes)
{
    struct rlimit rl;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &rl), 0);
    rl.rlim_cur = bytes ? bytes : rl.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

/* Once in the text. */
static void expect_once(const char *text, const char *what)
{
    const char *at = strstr(text, what);
    if (!at || strstr(at + 1, what))
        fail_msg("not once \"%s\": %s", what, text);
}

/* Lines that find no room are counted, and the server says so twice. */
static void test_lost_lines(void **state)
{
    (void)state;
    enum {
        FULL = 4096 /* bytes, of which the messages need less */
    };
    char before[FULL];
    memset(before, '-', sizeof before - 2);
    memcpy(before + sizeof before - 2, "\n", 2);
    const char *log = file("full", before), *said = file("said", "");
    const char *const options[] = {"access-log", log, "log-level", "2", NULL};
    int kept = dup(STDERR_FILENO), fd = open(said, O_WRONLY | O_APPEND);
    assert_true(kept >= 0 && fd >= 0);
    signal(SIGXFSZ, SIG_IGN);
    web_start(options);
    dup2(fd, STDERR_FILENO);
    limit_files(FULL + 10);
    assert_int_equal(status("GET", "/v1/models", NULL, NULL), 200);
    bool one = web_metric_becomes("quern_access_log_lost_total", 1, 10);
    assert_int_equal(status("GET", "/v1/models", NULL, NULL), 200);
    bool two = web_metric_becomes("quern_access_log_lost_total", 2, 10);
    limit_files(0);
    assert_int_equal(status("GET", "/v1/models", NULL, NULL), 200);
    web_stop(NULL);
    dup2(kept, STDERR_FILENO);
    signal(SIGXFSZ, SIG_DFL);
    close(kept);
    close(fd);
    assert_true(one && two);
    char *text = NULL;
    read_text(said, &text);
    expect_once(text, "access log: lines are being lost: No space left");
    expect_once(text, "access log: lines are written again; 2 were lost");
    qn_free(text);
    /* what was written in part ends before the next line begins */
    read_text(log, &text);
    expect_once(text, "\"status\":200");
    assert_int_equal(strcspn(text + FULL - 1, "\n"), 11);
    assert_int_equal(strncmp(text + FULL + 11, "{\"time\":", 8), 0);
    qn_free(text);
}

/* ---- other sockets ----------------------------------------------------- */

static web_reply ask_unix(const char *path, const char *text)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail_msg("cannot connect to %s", path);
    web_sends(fd, text);
    web_reply r = web_read(fd, 200);
    close(fd);
    return r;
}

static void test_sockets(void **state)
{
    (void)state;
    const char *plain = file("s", NULL), *admin = file("a", NULL);
    const char *const options[] = {"unix-socket", plain, "admin-socket", admin,
                                   NULL};
    web_start(options);
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
    web_reply r = ask_unix(plain, GET("/v1/models"));
    assert_int_equal(r.status, 200);
    web_free(&r);
    r = ask_unix(plain, GET("/admin/status"));
    assert_int_equal(r.status, 404);
    web_free(&r);
    assert_int_equal(status("POST", "/admin/drain", NULL, "{}"), 404);
    struct stat st;
    assert_int_equal(stat(admin, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    r = ask_unix(admin, GET("/admin/status"));
    assert_int_equal(r.status, 200);
    assert_true(json_is_false(web_at(&r, "draining")));
    web_free(&r);
    r = ask_unix(admin, GET("/v1/models"));
    assert_int_equal(r.status, 404);
    web_free(&r);
    r = ask_unix(admin, "POST /admin/log-level HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Length: 11\r\n\r\n{\"level\":0}");
    assert_int_equal(r.status, 200);
    web_free(&r);
    /* draining: what runs ends in peace, nothing new begins */
    int fd = send_long();
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    r = ask_unix(admin, "POST /admin/drain HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Length: 0\r\n\r\n");
    assert_int_equal(r.status, 200);
    web_free(&r);
    assert_int_equal(status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(status("GET", "/health", NULL, NULL), 200);
    r = web_post("/v1/completions", SHORT_ASK);
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.head, "Retry-After: "));
    web_free(&r);
    r = web_read(fd, 200);
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.completion_tokens"), 300);
    web_free(&r);
    close(fd);
    assert_true(qn_server_wait_idle(web_running(), 5));
    web_stop(NULL);
    assert_int_not_equal(stat(admin, &st), 0);
}

static web_reply post_admin(const char *path, const char *body)
{
    char text[4400];
    snprintf(text, sizeof text,
             "POST /admin/%s HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             path, strlen(body), body);
    return ask_unix(file("a2", NULL), text);
}

static void expect_loaded(const char *body)
{
    web_reply r = post_admin("load", body);
    assert_string_equal(web_str(&r, "error.code"), "model_loaded");
    web_expect_error(r, 409, "invalid_request_error", NULL);
}

/* A model goes and comes back, and another one comes, while the server stays;
 * what runs meanwhile ends in peace. */
static void test_load(void **state)
{
    (void)state;
    const char *const options[] = {"admin-socket", file("a2", NULL),
                                   "drain-timeout", "200", NULL};
    web_start(options);
    int fd = send_long();
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    web_reply r = post_admin("unload", "");
    assert_int_equal(r.status, 200);
    assert_true(json_is_false(web_at(&r, "loaded")));
    web_free(&r);
    r = web_read(fd, 200);
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.completion_tokens"), 300);
    web_free(&r);
    close(fd);
    assert_int_equal(status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(status("GET", "/health", NULL, NULL), 200);
    assert_int_equal(status("POST", "/v1/completions", NULL, SHORT_ASK), 503);
    assert_int_equal(status("POST", "/tokenize", NULL, "{\"prompt\":\"a\"}"),
                     503);
    r = web_ask("GET", "/v1/models", NULL, NULL);
    assert_int_equal(json_array_size(web_at(&r, "data")), 0);
    web_free(&r);
    r = post_admin("load", "{\"model\":\"/no/such/model\"}");
    assert_int_equal(r.status, 400);
    web_free(&r);
    assert_int_equal(status("GET", "/ready", NULL, NULL), 503);
    char body[4200];
    snprintf(body, sizeof body, "{\"model\":\"%s\"}", web_model());
    for (int i = 0; i < 2; i++) { /* the second one after the first is gone */
        r = post_admin("load", body);
        assert_int_equal(r.status, 200);
        assert_true(json_is_true(web_at(&r, "loaded")));
        web_free(&r);
        assert_int_equal(status("GET", "/ready", NULL, NULL), 200);
        /* neither a slip nor another model takes its place */
        expect_loaded("{\"model\":\"/no/such/model\"}");
        expect_loaded(body);
        assert_int_equal(status("POST", "/v1/completions", NULL, SHORT_ASK),
                         200);
        r = post_admin("unload", "");
        assert_int_equal(r.status, 200);
        web_free(&r);
    }
    web_expect_error(post_admin("load", "{\"model\":\"builtin\",\"name\":1}"),
                     400, "invalid_request_error", "name");
    web_expect_error(post_admin("log-level", "{\"level\":2,\"lvl\":1}"), 400,
                     "invalid_request_error", "lvl");
    /* the built-in model is served under its own name */
    r = post_admin("load", "{\"model\":\"builtin\"}");
    assert_int_equal(r.status, 200);
    web_free(&r);
    r = web_ask("GET", "/v1/models", NULL, NULL);
    assert_string_equal(web_str(&r, "data.0.id"), "quern-14m");
    web_free(&r);
    /* no model ends a drain */
    static const char *const steps[][2] = {{"drain", ""},
                                           {"unload", ""},
                                           {"load", "{\"model\":\"builtin\"}"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        r = post_admin(steps[i][0], steps[i][1]);
        assert_int_equal(r.status, 200);
        assert_true(json_is_true(web_at(&r, "draining")));
        web_free(&r);
    }
    assert_int_equal(status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(status("POST", "/v1/completions", NULL, SHORT_ASK), 503);
}

/* The status has the settings as they are, not as they were given. */
static void test_status(void **state)
{
    (void)state;
    const char *admin = file("a2", NULL);
    const char *const options[] = {"admin-socket",   admin, "idle-timeout",
                                   "12.5",           "web", "false",
                                   "max-body",       "64K", "served-model-name",
                                   "name \"of\" it", NULL};
    qn_engine_params engine = {
        .n_ctx = 8192, .max_seqs = 3, .prefix_cache = true, .max_step_ms = 900};
    web_start_with(&engine, options);
    web_reply r = ask_unix(admin, GET("/admin/status"));
    assert_int_equal(r.status, 200);
    assert_true(json_is_false(web_at(&r, "failing")));
    assert_string_equal(web_str(&r, "model"), "name \"of\" it");
    assert_string_equal(web_str(&r, "path"), "m");
    assert_int_equal(web_int(&r, "settings.threads"), 2);
    assert_int_equal(web_int(&r, "settings.context"), 8192);
    assert_int_equal(web_int(&r, "settings.batch-size"), 3);
    assert_int_equal(web_int(&r, "settings.chunk-size"), 512);
    assert_int_equal(web_int(&r, "settings.max-body"), 65536);
    assert_int_equal(web_int(&r, "settings.port"),
                     qn_server_port(web_running()));
    assert_int_equal(web_int(&r, "settings.log-level"), 0);
    assert_int_equal(web_int(&r, "settings.max-length"), 1024);
    assert_true(json_number_value(web_at(&r, "settings.idle-timeout")) == 12.5);
    assert_true(json_number_value(web_at(&r, "settings.max-step-time")) == 0.9);
    assert_true(json_is_false(web_at(&r, "settings.web")));
    assert_true(json_is_null(web_at(&r, "settings.tls-cert")));
    for (size_t i = 0; i < qn_setting_n_rows; i++)
        assert_non_null(
            json_object_get(web_at(&r, "settings"), qn_setting_rows[i].name));
    web_free(&r);
    r = post_admin("log-level", "{\"level\":1}");
    assert_int_equal(web_int(&r, "settings.log-level"), 1);
    web_free(&r);
    r = post_admin("unload", "");
    assert_true(json_is_null(web_at(&r, "model")));
    assert_true(json_is_null(web_at(&r, "path")));
    web_free(&r);
}

/* Who asks for keys to be read again hears that they could not be. */
static void test_reload(void **state)
{
    (void)state;
    const char *keys = file("keys4", "ann:annskey123\n");
    const char *const options[] = {"admin-socket", file("a2", NULL),
                                   "api-key-file", keys, NULL};
    web_start(options);
    web_reply r = post_admin("reload", "");
    assert_int_equal(r.status, 200);
    web_free(&r);
    file("keys4", "x\n");
    r = post_admin("reload", "");
    assert_non_null(
        strstr(web_str(&r, "error.message"), "API keys stay as they were: "));
    assert_non_null(strstr(web_str(&r, "error.message"), "keys4, key 1"));
    web_expect_error(r, 500, "server_error", NULL);
    assert_int_equal(status("GET", "/v1/models", KEY("annskey123"), NULL), 200);
}

/* Ending with requests in every phase leaves nothing hanging. */
static void test_stop_under_load(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        web_start(NULL);
        int fd[30];
        for (int i = 0; i < 30; i++)
            fd[i] = i % 3 ? send_long() : web_connect();
        web_sleep(0.05 * round);
        double t = web_now();
        web_stop(NULL);
        assert_true(web_now() - t < 20);
        for (int i = 0; i < 30; i++) {
            assert_true(web_closes(fd[i], 1));
            close(fd[i]);
        }
    }
}

/* ---- TLS --------------------------------------------------------------- */

static void make_certificate(const char *cert_path, const char *key_path)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    static unsigned char serial = 1;
    gnutls_x509_privkey_init(&key);
    gnutls_x509_privkey_generate(
        key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
        0);
    gnutls_x509_crt_init(&crt);
    gnutls_x509_crt_set_version(crt, 3);
    gnutls_x509_crt_set_serial(crt, &serial, 1);
    serial++;
    gnutls_x509_crt_set_dn(crt, "CN=localhost", NULL);
    gnutls_x509_crt_set_activation_time(crt, time(NULL) - 1000);
    gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 100000);
    gnutls_x509_crt_set_key(crt, key);
    gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
    gnutls_datum_t d;
    gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d);
    qn_test_write_file(cert_path, d.data, d.size);
    gnutls_free(d.data);
    gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &d);
    qn_test_write_file(key_path, d.data, d.size);
    gnutls_free(d.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

/* The serial number of the server's certificate; checks an answer. */
static int ask_tls(void)
{
    gnutls_session_t s;
    gnutls_certificate_credentials_t cred;
    gnutls_init(&s, GNUTLS_CLIENT);
    gnutls_certificate_allocate_credentials(&cred);
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
    gnutls_set_default_priority(s);
    int fd = web_connect();
    gnutls_transport_set_int(s, fd);
    int rc;
    do
        rc = gnutls_handshake(s);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    assert_int_equal(rc, 0);
    unsigned n;
    const gnutls_datum_t *peer = gnutls_certificate_get_peers(s, &n);
    gnutls_x509_crt_t crt;
    unsigned char serial[32];
    size_t n_serial = sizeof serial;
    gnutls_x509_crt_init(&crt);
    gnutls_x509_crt_import(crt, peer, GNUTLS_X509_FMT_DER);
    gnutls_x509_crt_get_serial(crt, serial, &n_serial);
    gnutls_x509_crt_deinit(crt);
    static const char get[] = GET("/health");
    gnutls_record_send(s, get, sizeof get - 1);
    char buf[4096];
    ssize_t k = gnutls_record_recv(s, buf, sizeof buf - 1);
    assert_true(k > 12 && strncmp(buf, "HTTP/1.1 200", 12) == 0);
    gnutls_deinit(s);
    gnutls_certificate_free_credentials(cred);
    close(fd);
    return serial[n_serial - 1];
}

static void test_tls(void **state)
{
    (void)state;
    const char *cert = file("cert.pem", NULL), *key = file("key.pem", NULL);
    make_certificate(cert, key);
    const char *plain = file("t", NULL);
    const char *const options[] = {
        "tls-cert", cert,          "tls-key", key, "header-timeout",
        "1",        "unix-socket", plain,     NULL};
    web_start(options);
    web_reply r = ask_unix(plain, GET("/health"));
    assert_int_equal(r.status, 200);
    web_free(&r);
    assert_int_equal(ask_tls(), 1);
    make_certificate(cert, key);
    assert_int_equal(ask_tls(), 1);
    assert_int_equal(qn_server_reload(web_running(), NULL), 0);
    assert_int_equal(ask_tls(), 2);
    qn_test_write_file(cert, "nothing", 7);
    qn_err err;
    assert_true(qn_server_reload(web_running(), &err) < 0);
    assert_non_null(strstr(err.msg, "certificate stays as it was: "));
    assert_int_equal(ask_tls(), 2);
    /* somebody who speaks no TLS, or nothing */
    int fd = web_connect();
    web_sends(fd, GET("/health"));
    assert_true(web_closes(fd, 4));
    close(fd);
    fd = web_connect();
    assert_true(web_closes(fd, 4));
    close(fd);
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
        cmocka_unit_test_teardown(test_lost_lines, web_stop),
        cmocka_unit_test_teardown(test_sockets, web_stop),
        cmocka_unit_test_teardown(test_load, web_stop),
        cmocka_unit_test_teardown(test_status, web_stop),
        cmocka_unit_test_teardown(test_reload, web_stop),
        cmocka_unit_test_teardown(test_stop_under_load, web_stop),
        cmocka_unit_test_teardown(test_tls, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
