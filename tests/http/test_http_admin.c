/* What who runs a server does with it: sockets, admin routes, the log, keys and
 * certificates that change, an end. */
#include "web.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY(k) "Authorization: Bearer " k "\r\n"
#define SHORT_ASK "{\"prompt\":\"a\",\"max_tokens\":2}"
#define LONG_ASK                               \
    "{\"prompt\":\"Once\",\"max_tokens\":300," \
    "\"ignore_eos\":true,\"temperature\":0}"

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
    const char *log = web_file("full", before), *said = web_file("said", "");
    const char *const options[] = {"access-log", log, "log-level", "2", NULL};
    int kept = dup(STDERR_FILENO), fd = open(said, O_WRONLY | O_APPEND);
    assert_true(kept >= 0 && fd >= 0);
    signal(SIGXFSZ, SIG_IGN);
    web_start(options);
    dup2(fd, STDERR_FILENO);
    limit_files(FULL + 10);
    assert_int_equal(web_status("GET", "/v1/models", NULL, NULL), 200);
    bool one = web_metric_becomes("quern_access_log_lost_total", 1, 10);
    assert_int_equal(web_status("GET", "/v1/models", NULL, NULL), 200);
    bool two = web_metric_becomes("quern_access_log_lost_total", 2, 10);
    limit_files(0);
    assert_int_equal(web_status("GET", "/v1/models", NULL, NULL), 200);
    web_stop(NULL);
    dup2(kept, STDERR_FILENO);
    signal(SIGXFSZ, SIG_DFL);
    close(kept);
    close(fd);
    assert_true(one && two);
    char *text = qn_test_read_file(said, NULL);
    expect_once(text, "access log: lines are being lost: No space left");
    expect_once(text, "access log: lines are written again; 2 were lost");
    free(text);
    /* what was written in part ends before the next line begins */
    text = qn_test_read_file(log, NULL);
    expect_once(text, "\"status\":200");
    assert_int_equal(strcspn(text + FULL - 1, "\n"), 11);
    assert_int_equal(strncmp(text + FULL + 11, "{\"time\":", 8), 0);
    free(text);
}

/* ---- sockets ----------------------------------------------------------- */

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

/* What was asked with LONG_ASK is answered whole. */
static void ends_in_peace(int fd)
{
    web_reply r = web_read(fd, 200);
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.completion_tokens"), 300);
    web_free(&r);
    close(fd);
}

static void test_sockets(void **state)
{
    (void)state;
    const char *plain = web_file("s", NULL), *admin = web_file("a", NULL);
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
    assert_int_equal(web_status("POST", "/admin/drain", NULL, "{}"), 404);
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
    int fd = web_begin(LONG_ASK);
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    r = ask_unix(admin, "POST /admin/drain HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Length: 0\r\n\r\n");
    assert_int_equal(r.status, 200);
    web_free(&r);
    assert_int_equal(web_status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(web_status("GET", "/health", NULL, NULL), 200);
    r = web_post("/v1/completions", SHORT_ASK);
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.head, "Retry-After: "));
    web_free(&r);
    ends_in_peace(fd);
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
    return ask_unix(web_file("a2", NULL), text);
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
    const char *const options[] = {"admin-socket", web_file("a2", NULL),
                                   "drain-timeout", "200", NULL};
    web_start(options);
    int fd = web_begin(LONG_ASK);
    assert_true(web_metric_becomes("quern_requests_running", 1, 10));
    web_reply r = post_admin("unload", "");
    assert_int_equal(r.status, 200);
    assert_true(json_is_false(web_at(&r, "loaded")));
    web_free(&r);
    ends_in_peace(fd);
    assert_int_equal(web_status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(web_status("GET", "/health", NULL, NULL), 200);
    assert_int_equal(web_status("POST", "/v1/completions", NULL, SHORT_ASK),
                     503);
    assert_int_equal(web_status("POST", "/tokenize", NULL,
                                "{\"prompt\":\"a\"}"),
                     503);
    r = web_ask("GET", "/v1/models", NULL, NULL);
    assert_int_equal(json_array_size(web_at(&r, "data")), 0);
    web_free(&r);
    r = post_admin("load", "{\"model\":\"/no/such/model\"}");
    assert_int_equal(r.status, 400);
    web_free(&r);
    assert_int_equal(web_status("GET", "/ready", NULL, NULL), 503);
    char body[4200];
    snprintf(body, sizeof body, "{\"model\":\"%s\"}", web_model());
    for (int i = 0; i < 2; i++) { /* the second one after the first is gone */
        r = post_admin("load", body);
        assert_int_equal(r.status, 200);
        assert_true(json_is_true(web_at(&r, "loaded")));
        web_free(&r);
        assert_int_equal(web_status("GET", "/ready", NULL, NULL), 200);
        /* neither a slip nor another model takes its place */
        expect_loaded("{\"model\":\"/no/such/model\"}");
        expect_loaded(body);
        assert_int_equal(web_status("POST", "/v1/completions", NULL, SHORT_ASK),
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
    assert_int_equal(web_status("GET", "/ready", NULL, NULL), 503);
    assert_int_equal(web_status("POST", "/v1/completions", NULL, SHORT_ASK),
                     503);
}

/* The status has the settings as they are, not as they were given. */
static void test_status(void **state)
{
    (void)state;
    const char *admin = web_file("a2", NULL);
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
    const char *keys = web_file("keys4", "ann:annskey123\n");
    const char *const options[] = {"admin-socket", web_file("a2", NULL),
                                   "api-key-file", keys, NULL};
    web_start(options);
    web_reply r = post_admin("reload", "");
    assert_int_equal(r.status, 200);
    web_free(&r);
    web_file("keys4", "x\n");
    r = post_admin("reload", "");
    assert_non_null(
        strstr(web_str(&r, "error.message"), "API keys stay as they were: "));
    assert_non_null(strstr(web_str(&r, "error.message"), "keys4, key 1"));
    web_expect_error(r, 500, "server_error", NULL);
    assert_int_equal(web_status("GET", "/v1/models", KEY("annskey123"), NULL),
                     200);
}

/* Ending with requests in every phase leaves nothing hanging. */
static void test_stop_under_load(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        web_start(NULL);
        int fd[30];
        for (int i = 0; i < 30; i++)
            fd[i] = i % 3 ? web_begin(LONG_ASK) : web_connect();
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
    const char *cert = web_file("cert.pem", NULL),
               *key = web_file("key.pem", NULL);
    make_certificate(cert, key);
    const char *plain = web_file("t", NULL);
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
    qn_err err;
    make_certificate(cert, web_file("other.pem", NULL));
    assert_true(qn_server_reload(web_running(), &err) < 0);
    assert_non_null(strstr(err.msg, "do not belong together"));
    assert_int_equal(ask_tls(), 2);
    qn_test_write_file(cert, "nothing", 7);
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
