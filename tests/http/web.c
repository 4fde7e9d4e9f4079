/* web.c - see web.h. */
#include "web.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the server -------------------------------------------------------- */

static qn_server *srv;

const char *web_model(void)
{
    static char path[4096];
    const char *env = getenv("QUERN_DEFAULT_MODEL");
    if (env && *env)
        return env;
    snprintf(path, sizeof path, "%s/models/quern-14m.gguf",
             qn_test_source_dir());
    if (access(path, R_OK) != 0)
        QN_SKIP("the built-in model is not in models/");
    return path;
}

static void set_all(qn_settings *set, const char *const *o)
{
    qn_err err = {0};
    for (; o && *o; o += 2) {
        const qn_setting *row = qn_settings_find(o[0]);
        if (!row || qn_settings_set(set, row, o[1], &err) < 0)
            fail_msg("option %s: %s", o[0], err.msg);
    }
}

qn_server *web_running(void)
{
    return srv;
}

int web_stop(void **state)
{
    (void)state;
    qn_server_stop(srv);
    srv = NULL;
    return 0;
}

static void start(const char *path, const char *kernels,
                  const qn_engine_params *engine, const char *const *options)
{
    static const char *const base[] = {"port",      "0", "access-log", "none",
                                       "log-level", "0", NULL};
    qn_settings set;
    qn_err err = {0};
    qn_model *model = NULL;
    qn_model_params mp = {.n_threads = 2, .kernels = kernels};

    web_stop(NULL);
    if (qn_model_open(&model, path, &mp, &err) < 0)
        fail_msg("model: %s", err.msg);
    qn_settings_init(&set);
    set_all(&set, base);
    set_all(&set, options);
    qn_server_init init = {.model = model,
                           .name = "m",
                           .open = mp,
                           .engine = *engine,
                           .set = &set};
    if (qn_server_start(&srv, &init, &err) < 0)
        fail_msg("server: %s", err.msg);
}

void web_start_of(const char *path, const qn_engine_params *engine,
                  const char *const *options)
{
    start(path, NULL, engine, options);
}

void web_start_slow(const qn_engine_params *engine, const char *const *options)
{
    start(web_model(), "ref", engine, options);
}

void web_start_with(const qn_engine_params *engine, const char *const *options)
{
    web_start_of(web_model(), engine, options);
}

void web_start(const char *const *options)
{
    qn_engine_params engine = {.n_ctx = 8192, .prefix_cache = true};
    web_start_with(&engine, options);
}

void web_need(void)
{
    if (!srv)
        web_start(NULL);
}

const char *web_file(const char *name, const char *text)
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

/* ---- sockets ----------------------------------------------------------- */

double web_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void web_sleep(double seconds)
{
    usleep((useconds_t)(seconds * 1e6));
}

int web_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = qn_server_port(srv);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail_msg("cannot connect to port %d", port);
    return fd;
}

bool web_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

bool web_sends(int fd, const char *s)
{
    return web_send(fd, s, strlen(s));
}

/* More bytes: their number, 0 at the end, -1 when time is over. */
static ssize_t more(int fd, char *p, size_t n, double end)
{
    double left = end - web_now();
    struct pollfd pf = {.fd = fd, .events = POLLIN};
    if (left <= 0 || poll(&pf, 1, (int)(left * 1000) + 1) <= 0)
        return -1;
    ssize_t k = recv(fd, p, n, 0);
    return k < 0 ? 0 : k;
}

typedef struct input {
    int fd;
    double end;
    char *p;
    size_t n, cap, at; /* at: consumed */
} input;

static bool fill(input *in)
{
    if (in->n + 65536 + 1 > in->cap) {
        in->cap = in->cap * 2 + 131072;
        in->p = realloc(in->p, in->cap);
    }
    ssize_t k = more(in->fd, in->p + in->n, 65536, in->end);
    if (k <= 0)
        return false;
    in->n += (size_t)k;
    in->p[in->n] = 0;
    return true;
}

static char *find_text(input *in, const char *what)
{
    size_t from = in->at;
    for (;;) {
        char *at = in->n > from
                       ? memmem(in->p + from, in->n - from, what, strlen(what))
                       : NULL;
        if (at)
            return at;
        size_t keep = strlen(what) - 1;
        from = in->n > in->at + keep ? in->n - keep : in->at;
        if (!fill(in))
            return NULL;
    }
}

static bool has_bytes(input *in, size_t n)
{
    while (in->n - in->at < n)
        if (!fill(in))
            return false;
    return true;
}

static void append(web_reply *r, const char *p, size_t n)
{
    r->body = realloc(r->body, r->n_body + n + 1);
    if (n)
        memcpy(r->body + r->n_body, p, n);
    r->n_body += n;
    r->body[r->n_body] = 0;
}

static void read_chunks(input *in, web_reply *r)
{
    for (;;) {
        char *eol = find_text(in, "\r\n");
        if (!eol)
            break;
        char *end;
        size_t size = strtoul(in->p + in->at, &end, 16);
        in->at = (size_t)(eol + 2 - in->p);
        if (!has_bytes(in, size + 2))
            break;
        append(r, in->p + in->at, size);
        in->at += size + 2;
        if (size == 0) {
            r->whole = true;
            return;
        }
    }
    append(r, in->n > in->at ? in->p + in->at : "", in->n - in->at);
}

static const char *header_of(const char *head, const char *name)
{
    for (const char *p = strstr(head, "\r\n"); p; p = strstr(p, "\r\n")) {
        p += 2;
        size_t n = strlen(name);
        if (strncasecmp(p, name, n) == 0 && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, " ");
    }
    return NULL;
}

web_reply web_read(int fd, double seconds)
{
    web_reply r = {0};
    input in = {.fd = fd, .end = web_now() + seconds};
    append(&r, "", 0);
    char *end;
    do { /* interim answers (100 Continue) are passed over */
        free(r.head);
        r.head = NULL;
        end = find_text(&in, "\r\n\r\n");
        if (!end)
            break;
        size_t n = (size_t)(end + 2 - (in.p + in.at));
        r.head = strndup(in.p + in.at, n);
        in.at += n + 2;
        r.status = atoi(r.head + strcspn(r.head, " "));
    } while (r.status == 100);
    if (r.head) {
        const char *length = header_of(r.head, "Content-Length");
        const char *coding = header_of(r.head, "Transfer-Encoding");
        if (coding && strncasecmp(coding, "chunked", 7) == 0) {
            read_chunks(&in, &r);
        } else {
            size_t n = length ? strtoul(length, NULL, 10) : 0;
            r.whole = has_bytes(&in, n);
            append(&r, in.p + in.at, r.whole ? n : in.n - in.at);
        }
    }
    free(in.p);
    r.json = json_loadb(r.body, r.n_body, JSON_DECODE_ANY, NULL);
    return r;
}

bool web_wait_for(int fd, const char *what, double seconds)
{
    input in = {.fd = fd, .end = web_now() + seconds};
    bool found = find_text(&in, what) != NULL;
    free(in.p);
    return found;
}

bool web_closes(int fd, double seconds)
{
    char buf[4096];
    double end = web_now() + seconds;
    for (;;) {
        ssize_t k = more(fd, buf, sizeof buf, end);
        if (k <= 0)
            return k == 0;
    }
}

void web_free(web_reply *r)
{
    free(r->head);
    free(r->body);
    json_decref(r->json);
    *r = (web_reply){0};
}

/* ---- requests ---------------------------------------------------------- */

static char *compose(const char *method, const char *path, const char *headers,
                     const char *body)
{
    char *text = NULL;
    int n = asprintf(&text,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\n%s"
                     "Content-Type: application/json\r\n",
                     method, path, headers ? headers : "");
    if (n < 0)
        fail();
    char *all = NULL;
    n = body ? asprintf(&all, "%sContent-Length: %zu\r\n\r\n%s", text,
                        strlen(body), body)
             : asprintf(&all, "%s\r\n", text);
    free(text);
    if (n < 0)
        fail();
    return all;
}

char *web_request(const char *path, const char *body)
{
    return compose("POST", path, NULL, body);
}

web_reply web_ask(const char *method, const char *path, const char *headers,
                  const char *body)
{
    int fd = web_connect();
    char *text = compose(method, path, headers, body);
    web_sends(fd, text);
    free(text);
    web_reply r = web_read(fd, 300);
    close(fd);
    return r;
}

web_reply web_post(const char *path, const char *body)
{
    return web_ask("POST", path, NULL, body);
}

int web_status(const char *method, const char *path, const char *headers,
               const char *body)
{
    web_reply r = web_ask(method, path, headers, body);
    int s = r.status;
    web_free(&r);
    return s;
}

int web_begin(const char *body)
{
    int fd = web_connect();
    char *text = web_request("/v1/completions", body);
    web_sends(fd, text);
    free(text);
    return fd;
}

/* ---- answers ----------------------------------------------------------- */

const json_t *web_at(const web_reply *r, const char *path)
{
    const json_t *v = r->json;
    char part[128];
    for (const char *p = path; v && *p;) {
        size_t n = strcspn(p, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        v = isdigit((unsigned char)part[0])
                ? json_array_get(v, (size_t)atoi(part))
                : json_object_get(v, part);
        p += n + (p[n] == '.');
    }
    if (!v)
        fail_msg("no %s in: %s", path, r->body);
    return v;
}

const char *web_str(const web_reply *r, const char *path)
{
    const char *s = json_string_value(web_at(r, path));
    if (!s)
        fail_msg("%s is no string in: %s", path, r->body);
    return s;
}

int64_t web_int(const web_reply *r, const char *path)
{
    const json_t *v = web_at(r, path);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

void web_expect_error(web_reply r, int status, const char *type,
                      const char *param)
{
    if (r.status != status)
        fail_msg("status %d, expected %d: %s", r.status, status, r.body);
    assert_string_equal(web_str(&r, "error.type"), type);
    assert_true(strlen(web_str(&r, "error.message")) > 10);
    const json_t *p = web_at(&r, "error.param");
    if (param)
        assert_string_equal(json_string_value(p), param);
    web_at(&r, "error.code");
    web_free(&r);
}

web_events web_split_events(const char *body)
{
    web_events e = {0};
    for (const char *p = body; *p;) {
        const char *end = strstr(p, "\n\n");
        if (!end)
            fail_msg("an event without its end: %s", p);
        if (strncmp(p, "event: ", 7) == 0 && strchr(p, '\n') < end)
            p = strchr(p, '\n') + 1; /* the data says it, too */
        if (strncmp(p, "data: ", 6) == 0) {
            e.v = realloc(e.v, (e.n + 1) * sizeof *e.v);
            e.v[e.n++] = strndup(p + 6, (size_t)(end - p - 6));
        } else if (*p != ':') {
            fail_msg("neither data nor comment: %s", p);
        }
        p = end + 2;
    }
    return e;
}

void web_events_free(web_events *e)
{
    for (size_t i = 0; i < e->n; i++)
        free(e->v[i]);
    free(e->v);
    *e = (web_events){0};
}

double web_metric(const char *line)
{
    web_reply r = web_ask("GET", "/metrics", NULL, NULL);
    double v = -1;
    size_t n = strlen(line);
    for (const char *p = r.body; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, line, n) == 0) {
            const char *space = p + n;
            while (*space && *space != ' ' && *space != '\n')
                space++;
            v = strtod(space, NULL);
            break;
        }
    }
    web_free(&r);
    return v;
}

bool web_metric_becomes(const char *line, double value, double seconds)
{
    double end = web_now() + seconds;
    while (web_metric(line) != value) {
        if (web_now() > end)
            return false;
        web_sleep(0.02);
    }
    return true;
}
