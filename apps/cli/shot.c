/* shot.c - see shot.h. */
#include "cli/shot.h"

#include "base/clock.h"
#include "base/mem.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int qn_shot_parse_url(qn_shot_target *t, const char *url, qn_err *err)
{
    const char *p = url;
    *t = (qn_shot_target){.key = NULL};
    if (strncmp(p, "http://", 7) != 0)
        return qn_fail(err, QN_EINVAL, "%s: give an address http://host:port",
                       url);
    p += 7;
    size_t n = strcspn(p, ":/");
    if (n == 0 || n >= sizeof t->host)
        return qn_fail(err, QN_EINVAL, "%s: no host in it", url);
    memcpy(t->host, p, n);
    p += n;
    n = *p == ':' ? strcspn(p + 1, "/") : 0;
    if (n >= sizeof t->port)
        return qn_fail(err, QN_EINVAL, "%s: no port in it", url);
    snprintf(t->port, sizeof t->port, "%.*s", n ? (int)n : 2, n ? p + 1 : "80");
    snprintf(t->path, sizeof t->path, "/v1/completions");
    return 0;
}

/* ---- the connection ---------------------------------------------------- */

static int dial(const qn_shot_target *t)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1, on = 1;
    if (getaddrinfo(t->host, t->port, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool send_all(int fd, const char *p, size_t n)
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

static bool send_request(int fd, const qn_shot_target *t, const char *body,
                         size_t n)
{
    qn_str s = {0};
    qn_str_addf(&s,
                "POST %s HTTP/1.1\r\nHost: %s:%s\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n",
                t->path, t->host, t->port);
    if (t->key)
        qn_str_addf(&s, "Authorization: Bearer %s\r\n", t->key);
    qn_str_addf(&s, "Content-Length: %zu\r\n\r\n", n);
    qn_str_add(&s, body, n);
    bool ok = send_all(fd, s.p, s.n);
    qn_str_deinit(&s);
    return ok;
}

/* ---- the answer -------------------------------------------------------- */

typedef struct reader {
    qn_shot_result *r;
    uint64_t begin, last; /* ns; last: of the last chunk with text, 0: none */
    int cap;
    int n_chunks; /* with text */
    bool done;    /* [DONE] came */
    bool late;    /* time is over */
} reader;

static int number_after(const char *line, const char *key)
{
    const char *p = strstr(line, key);
    return p ? atoi(p + strlen(key)) : 0;
}

static void take_text(reader *d, uint64_t now)
{
    qn_shot_result *r = d->r;
    if (!d->last) {
        r->ttft = (double)(now - d->begin) * 1e-9;
    } else {
        if (r->n_gaps == d->cap) {
            d->cap = d->cap ? d->cap * 2 : 64;
            r->gaps = qn_xreallocarray(r->gaps, (size_t)d->cap,
                                       sizeof *r->gaps);
        }
        r->gaps[r->n_gaps++] = (double)(now - d->last) * 1e-9;
    }
    d->last = now;
}

/* One line of the stream. Chunk sizes of the transfer stand on lines of their
 * own, which are passed over like everything that is not data. */
static void take_line(reader *d, const char *line, uint64_t now)
{
    if (strncmp(line, "data: ", 6) != 0)
        return;
    if (strncmp(line + 6, "[DONE]", 6) == 0) {
        d->done = true;
        return;
    }
    if (strstr(line, "\"choices\":[{") && !strstr(line, "\"text\":\"\"")) {
        take_text(d, now);
        d->n_chunks++;
    }
    int n = number_after(line, "\"completion_tokens\":");
    if (n > 0) {
        d->r->n_out = n;
        d->r->n_prompt = number_after(line, "\"prompt_tokens\":");
    }
}

static void read_answer(int fd, reader *d, double timeout)
{
    qn_str in = {0};
    uint64_t end = d->begin + (uint64_t)(timeout * 1e9);
    while (!d->done) {
        uint64_t now = qn_now_ns();
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        d->late = now >= end;
        if (d->late || poll(&pf, 1, (int)((end - now) / 1000000) + 1) < 0)
            break;
        if (!(pf.revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        char buf[16384];
        ssize_t k = recv(fd, buf, sizeof buf, 0);
        if (k <= 0)
            break;
        now = qn_now_ns();
        qn_str_add(&in, buf, (size_t)k);
        size_t at = 0;
        for (char *eol; (eol = memchr(in.p + at, '\n', in.n - at)) != NULL;) {
            *eol = 0;
            if (d->r->status == 0)
                d->r->status = number_after(in.p + at, "HTTP/1.1 ");
            take_line(d, in.p + at, now);
            at = (size_t)(eol + 1 - in.p);
        }
        in.n -= at;
        memmove(in.p, in.p + at, in.n + 1);
    }
    qn_str_deinit(&in);
}

static qn_shot_end judge(const reader *d, const qn_shot *shot)
{
    const qn_shot_result *r = d->r;
    if (r->status == 429 || r->status == 503)
        return QN_SHOT_REFUSED;
    if (r->status != 200 && r->status != 0)
        return QN_SHOT_STATUS;
    if (d->late)
        return shot->leave > 0 ? QN_SHOT_LEFT : QN_SHOT_TIMEOUT;
    if (!d->done)
        return QN_SHOT_CUT;
    return r->n_out < shot->n_out ? QN_SHOT_SHORT : QN_SHOT_OK;
}

void qn_shot_run(const qn_shot_target *t, const qn_shot *shot, uint64_t t0,
                 qn_shot_result *r)
{
    *r = (qn_shot_result){.end = QN_SHOT_CONNECT};
    reader d = {.r = r, .begin = qn_now_ns()};
    r->start = (double)(d.begin - t0) * 1e-9;
    int fd = dial(t);
    if (fd < 0)
        return;
    if (send_request(fd, t, shot->body, shot->n))
        read_answer(fd, &d, shot->leave > 0 ? shot->leave : shot->timeout);
    close(fd);
    r->e2e = (double)(qn_now_ns() - d.begin) * 1e-9;
    if (r->n_out == 0) /* a server that tells no usage */
        r->n_out = d.n_chunks;
    r->end = judge(&d, shot);
}
