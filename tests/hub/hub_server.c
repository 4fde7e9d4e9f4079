/* hub_server.c: a hub on loopback. One thread per port, one request per
 * connection: simple, and every way of breaking off is one close(). */
#include "hub_server.h"

#include "hub/hub_digest.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FAULTS 8
#define MAX_SEEN 200

struct hub_server {
    const char *repo;
    hub_file *files;
    size_t n_files;
    bool terse;
    const char *token;
    hub_fault faults[MAX_FAULTS];
    int n_faults;
    hub_seen seen[MAX_SEEN];
    int n_seen;
    pthread_mutex_t lock;
    int fd[2], port[2];
    pthread_t thread[2];
    bool stop;
    const char *cache;
};

typedef struct port_of {
    hub_server *s;
    int which;
} port_of;

/* ---- answers ----------------------------------------------------------- */

static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static void answer(int fd, int status, const char *headers, const char *body,
                   bool head)
{
    char buf[1024];
    int n = snprintf(buf, sizeof buf,
                     "HTTP/1.1 %d x\r\nConnection: close\r\n%s"
                     "Content-Length: %zu\r\n\r\n",
                     status, headers, strlen(body));

    send_all(fd, buf, (size_t)n);
    if (!head)
        send_all(fd, body, strlen(body));
}

static bool take_fault(hub_server *s, const char *path, hub_fault *out)
{
    bool found = false;

    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_faults && !found; i++) {
        if (s->faults[i].times <= 0 || !strstr(path, s->faults[i].path))
            continue;
        s->faults[i].times--;
        *out = s->faults[i];
        found = true;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void send_file(int fd, const hub_file *f, long from, bool head,
                      const hub_fault *fault)
{
    int kind = fault ? (int)fault->kind : -1;
    size_t at = from > 0 && kind != FAULT_WHOLE ? (size_t)from : 0;
    size_t extra = kind == FAULT_LONGER ? (size_t)fault->arg : 0;
    char buf[512], range[128] = "";
    char *data = calloc(1, f->n + extra + 1);

    if (from > 0 && at >= f->n) {
        answer(fd, 416, "", "", head);
        free(data);
        return;
    }
    memcpy(data, f->data, f->n);
    if (kind == FAULT_WRONG)
        data[f->n / 2] ^= 1;
    if (kind == FAULT_OTHER_RANGE)
        at /= 2;
    size_t n = f->n - at + extra;
    if (kind == FAULT_SHORT && n > (size_t)fault->arg)
        n = (size_t)fault->arg;
    if (from > 0 && kind != FAULT_WHOLE)
        snprintf(range, sizeof range, "Content-Range: bytes %zu-%zu/%zu\r\n",
                 at, f->n - 1, f->n);
    int len = snprintf(buf, sizeof buf,
                       "HTTP/1.1 %d x\r\nConnection: close\r\nETag: \"%s\"\r\n"
                       "%sX-Repo-Commit: " HUB_COMMIT "\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       range[0] ? 206 : 200, f->etag, range, n);
    send_all(fd, buf, (size_t)len);
    if (kind == FAULT_CUT && n > (size_t)fault->arg)
        n = (size_t)fault->arg;
    if (!head)
        send_all(fd, data + at, n);
    free(data);
}

static void send_info(hub_server *s, int fd)
{
    char *body = malloc(65536), *p = body;

    p += sprintf(p,
                 "{\"id\": \"%s\", \"sha\": \"" HUB_COMMIT
                 "\", \"siblings\": [",
                 s->repo);
    for (size_t i = 0; i < s->n_files; i++) {
        const hub_file *f = &s->files[i];
        p += sprintf(p, "%s{\"rfilename\": \"%s\"", i ? ", " : "", f->name);
        if (!s->terse && f->lfs)
            p += sprintf(p,
                         ", \"size\": %zu, \"blobId\": \"%040d\", \"lfs\": "
                         "{\"sha256\": \"%s\", \"size\": %zu, "
                         "\"pointerSize\": 134}",
                         f->n, 7, f->etag, f->n);
        else if (!s->terse)
            p += sprintf(p, ", \"size\": %zu, \"blobId\": \"%s\"", f->n,
                         f->etag);
        p += sprintf(p, "}");
    }
    sprintf(p, "]}");
    answer(fd, 200, "Content-Type: application/json\r\n", body, false);
    free(body);
}

static void send_link(hub_server *s, int fd, const hub_file *f)
{
    char headers[512];

    snprintf(headers, sizeof headers,
             "Location: http://127.0.0.1:%d/cdn/%s?sig=1\r\n"
             "X-Linked-Etag: \"%s\"\r\nX-Linked-Size: %zu\r\n"
             "ETag: \"something-else\"\r\nX-Repo-Commit: " HUB_COMMIT "\r\n",
             s->port[1], f->etag, f->etag, f->n);
    answer(fd, 302, headers, "Found. Redirecting", false);
}

static void route(hub_server *s, int fd, const hub_seen *req,
                  const hub_fault *fault)
{
    char prefix[256];

    snprintf(prefix, sizeof prefix, "/api/models/%s/revision/", s->repo);
    if (strncmp(req->path, prefix, strlen(prefix)) == 0) {
        send_info(s, fd);
        return;
    }
    snprintf(prefix, sizeof prefix, "/%s/resolve/%s/", s->repo, HUB_COMMIT);
    for (size_t i = 0; i < s->n_files; i++) {
        const hub_file *f = &s->files[i];
        bool here = strncmp(req->path, prefix, strlen(prefix)) == 0 &&
                    strcmp(req->path + strlen(prefix), f->name) == 0;
        bool there = strncmp(req->path, "/cdn/", 5) == 0 &&
                     strncmp(req->path + 5, f->etag, 64) == 0;
        if (here && f->lfs && req->port == 0)
            send_link(s, fd, f);
        else if ((here && !f->lfs) || there)
            send_file(fd, f, req->from, req->head, fault);
        else
            continue;
        return;
    }
    answer(fd, 404, "X-Error-Code: RepoNotFound\r\n",
           "{\"error\": \"Repository not found\"}", req->head);
}

/* ---- requests ---------------------------------------------------------- */

static void serve_one(hub_server *s, int which, int fd)
{
    char buf[8192], want[256];
    hub_seen req = {.port = which, .from = -1};
    hub_fault fault;
    const char *token, *p;
    size_t n = 0;
    ssize_t r;

    buf[0] = '\0';
    while (n < sizeof buf - 1 && !strstr(buf, "\r\n\r\n") &&
           (r = recv(fd, buf + n, sizeof buf - 1 - n, 0)) > 0)
        buf[n += (size_t)r] = '\0';
    if (sscanf(buf, "%7s %255s", want, req.path) != 2)
        return;
    req.head = strcmp(want, "HEAD") == 0;
    if ((p = strcasestr(buf, "\r\nrange: bytes=")))
        req.from = strtol(p + 15, NULL, 10);
    req.token = strcasestr(buf, "\r\nauthorization:") != NULL;
    pthread_mutex_lock(&s->lock);
    if (s->n_seen < MAX_SEEN)
        s->seen[s->n_seen++] = req;
    token = s->token;
    pthread_mutex_unlock(&s->lock);
    if (token && which == 0) {
        snprintf(want, sizeof want, "\r\nAuthorization: Bearer %s\r\n", token);
        if (!strstr(buf, want)) {
            answer(fd, 401, "X-Error-Code: RepoNotFound\r\n",
                   "{\"error\": \"Invalid username or password.\"}", req.head);
            return;
        }
    }
    if (!take_fault(s, req.path, &fault))
        route(s, fd, &req, NULL);
    else if (fault.kind == FAULT_STATUS)
        answer(fd, (int)fault.arg, fault.text ? fault.text : "",
               "{\"error\": \"as the test wants it\"}", req.head);
    else
        route(s, fd, &req, &fault);
}

static void *serve(void *arg)
{
    port_of *at = arg;
    hub_server *s = at->s;
    bool stop = false;

    while (!stop) {
        struct pollfd pfd = {.fd = s->fd[at->which], .events = POLLIN};
        if (poll(&pfd, 1, 20) > 0) {
            int fd = accept(s->fd[at->which], NULL, NULL);
            if (fd >= 0) {
                serve_one(s, at->which, fd);
                /* What was sent arrives before the end is seen. */
                shutdown(fd, SHUT_WR);
                close(fd);
            }
        }
        pthread_mutex_lock(&s->lock);
        stop = s->stop;
        pthread_mutex_unlock(&s->lock);
    }
    free(at);
    return NULL;
}

/* ---- life -------------------------------------------------------------- */

static void open_port(hub_server *s, int which)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    port_of *at = malloc(sizeof *at);

    s->fd[which] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd[which], (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd[which], 64), 0);
    getsockname(s->fd[which], (struct sockaddr *)&a, &len);
    s->port[which] = ntohs(a.sin_port);
    *at = (port_of){s, which};
    assert_int_equal(pthread_create(&s->thread[which], NULL, serve, at), 0);
}

hub_server *hub_server_start(const char *repo, hub_file *files, size_t n)
{
    static const char *const unset[] = {
        "HF_TOKEN",       "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE", "HF_HUB_CACHE",           "HUGGINGFACE_HUB_CACHE"};
    hub_server *s = calloc(1, sizeof *s);
    char text[64];

    s->repo = repo;
    s->files = files;
    s->n_files = n;
    for (size_t i = 0; i < n; i++) {
        qn_digest d;
        qn_digest_init(&d, files[i].lfs ? QN_DIGEST_SHA256 : QN_DIGEST_GIT,
                       files[i].n);
        qn_digest_add(&d, files[i].data, files[i].n);
        qn_digest_done(&d, files[i].etag);
    }
    pthread_mutex_init(&s->lock, NULL);
    open_port(s, 0);
    open_port(s, 1);
    s->cache = qn_test_tmpdir();
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        unsetenv(unset[i]);
    setenv("HF_HOME", s->cache, 1);
    setenv("no_proxy", "*", 1);
    snprintf(text, sizeof text, "http://127.0.0.1:%d/", s->port[0]);
    setenv("HF_ENDPOINT", text, 1);
    return s;
}

void hub_server_stop(hub_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < 2; i++) {
        pthread_join(s->thread[i], NULL);
        close(s->fd[i]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void hub_server_terse(hub_server *s, bool terse)
{
    s->terse = terse;
}

void hub_server_token(hub_server *s, const char *token)
{
    pthread_mutex_lock(&s->lock);
    s->token = token;
    pthread_mutex_unlock(&s->lock);
}

void hub_server_fault(hub_server *s, hub_fault f)
{
    pthread_mutex_lock(&s->lock);
    assert_true(s->n_faults < MAX_FAULTS);
    s->faults[s->n_faults++] = f;
    pthread_mutex_unlock(&s->lock);
}

void hub_server_clear(hub_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->n_faults = s->n_seen = 0;
    pthread_mutex_unlock(&s->lock);
}

int hub_server_seen(hub_server *s, const char *part, int i, hub_seen *out)
{
    int n = 0;

    pthread_mutex_lock(&s->lock);
    for (int k = 0; k < s->n_seen; k++) {
        if (!strstr(s->seen[k].path, part))
            continue;
        if (n == i && out)
            *out = s->seen[k];
        n++;
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

const char *hub_server_cache(hub_server *s)
{
    return s->cache;
}
