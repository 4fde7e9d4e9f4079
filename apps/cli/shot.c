/* shot.c - see shot.h. */
#include "cli/shot.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/reply.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the address ------------------------------------------------------- */

/* n bytes at p, where they fit and are no blanks or controls. */
static bool take_part(char *dst, size_t cap, const char *p, size_t n)
{
    if (n == 0 || n >= cap)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= ' ' || p[i] == 127)
            return false;
    memcpy(dst, p, n);
    dst[n] = 0;
    return true;
}

int qn_shot_parse_url(qn_shot_target *t, const char *url, qn_err *err)
{
    static const char completions[] = "/v1/completions";
    const char *p = url;
    *t = (qn_shot_target){.port = "80"};
    if (strncmp(p, "http://", 7) != 0)
        return qn_fail(err, QN_EINVAL, "%s: give an address http://host:port",
                       url);
    p += 7;
    bool v6 = *p == '[';
    size_t n = strcspn(p + v6, v6 ? "]" : ":/");
    if (!take_part(t->host, sizeof t->host, p + v6, n) || (v6 && !p[n + 1]))
        return qn_fail(err, QN_EINVAL, "%s: no host in it", url);
    p += n + 2 * v6;
    if (*p == ':') {
        n = strcspn(++p, "/");
        if (strspn(p, "0123456789") != n ||
            !take_part(t->port, sizeof t->port, p, n))
            return qn_fail(err, QN_EINVAL, "%s: no port in it", url);
        p += n;
    }
    n = strlen(p);
    while (n > 0 && p[n - 1] == '/')
        n--;
    if (n >= 3 && memcmp(p + n - 3, "/v1", 3) == 0)
        n -= 3;
    if ((n > 0 &&
         (*p != '/' ||
          !take_part(t->path, sizeof t->path - sizeof completions, p, n))))
        return qn_fail(err, QN_EINVAL, "%s: its path makes no sense", url);
    strcat(t->path, completions);
    return 0;
}

/* ---- the connection ---------------------------------------------------- */

/* -1: there is none, and *why says why. */
static int dial(const qn_shot_target *t, const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1, on = 1;
    int rc = getaddrinfo(t->host, t->port, &hints, &list);
    if (rc != 0) {
        *why = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            break;
        *why = strerrordesc_np(errno);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void make_request(qn_str *s, const qn_shot_target *t, const char *body,
                         size_t n)
{
    bool v6 = strchr(t->host, ':') != NULL;
    qn_str_addf(s,
                "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n",
                t->path, v6 ? "[" : "", t->host, v6 ? "]" : "", t->port);
    if (t->key)
        qn_str_addf(s, "Authorization: Bearer %s\r\n", t->key);
    qn_str_addf(s, "Content-Length: %zu\r\n\r\n", n);
    qn_str_add(s, body, n);
}

/* ---- the answer -------------------------------------------------------- */

/* Sends what it takes now of p [n]; how many bytes. All that is left where it
 * takes no more: it has answered already, and that is read. */
static size_t send_some(int fd, const char *p, size_t n)
{
    ssize_t k = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k >= 0)
        return (size_t)k;
    return errno == EAGAIN || errno == EINTR ? 0 : n;
}

/* Sends p [n] and reads the answer, which may come, and be the last word,
 * before all is sent (429). True when the time is over before the answer is. */
static bool exchange(int fd, const char *p, size_t n, qn_reply *a, uint64_t end)
{
    char buf[16384];
    for (bool more = true; more;) {
        uint64_t now = qn_now_ns();
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        if (n > 0)
            pf.events |= POLLOUT;
        if (now >= end)
            return true;
        if (poll(&pf, 1, (int)QN_MIN((end - now) / 1000000 + 1, 1000000u)) < 0)
            return false;
        if (n > 0 && (pf.revents & (POLLOUT | POLLHUP | POLLERR))) {
            size_t k = send_some(fd, p, n);
            p += k;
            n -= k;
        }
        if (!(pf.revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        ssize_t k = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (k < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        more = k > 0 && qn_reply_feed(a, buf, (size_t)k, qn_now_ns());
    }
    return false;
}

static qn_shot_end judge(const qn_reply *a, const qn_shot *shot, bool late)
{
    if (a->status == 429 || a->status == 503)
        return QN_SHOT_REFUSED;
    if (a->status != 200 && a->status != 0)
        return QN_SHOT_STATUS;
    if (late)
        return shot->leave > 0 ? QN_SHOT_LEFT : QN_SHOT_TIMEOUT;
    if (!a->done)
        return QN_SHOT_CUT;
    int n_out = a->n_out ? a->n_out : a->n_texts;
    return n_out < shot->n_out ? QN_SHOT_SHORT : QN_SHOT_OK;
}

static void take_answer(qn_shot_result *r, qn_reply *a, uint64_t begin)
{
    r->status = a->status;
    r->n_prompt = a->n_prompt;
    r->n_out = a->n_out ? a->n_out : a->n_texts; /* it may tell no usage */
    if (a->first)
        r->ttft = (double)(a->first - begin) * 1e-9;
    r->gaps = a->gaps;
    r->n_gaps = a->n_gaps;
    a->gaps = NULL;
    if (a->error.n) {
        qn_str why = {0};
        qn_reply_why(a, &why);
        r->why = why.n ? qn_str_take(&why, NULL) : NULL;
        qn_str_deinit(&why);
    } else if (a->broken) {
        r->why = qn_xstrdup("what it answers is not HTTP/1.1");
    }
}

/* One sending and its answer. True: the time was over first; *why: there was no
 * connection. */
static bool attempt(const qn_shot_target *t, const qn_shot *shot, uint64_t end,
                    qn_reply *a, const char **why)
{
    int fd = dial(t, why);
    if (fd < 0)
        return false;
    *why = NULL;
    qn_str request = {0};
    make_request(&request, t, shot->body, shot->n);
    bool late = exchange(fd, request.p, request.n, a, end);
    qn_str_deinit(&request);
    close(fd);
    return late;
}

/* Until the server wants to be asked again; false: not within the time. */
static bool wait_to_retry(const qn_reply *a, uint64_t end)
{
    unsigned s = (unsigned)QN_MAX(a->retry_after, 1);
    if (qn_now_ns() + s * 1000000000ull >= end)
        return false;
    sleep(s);
    return true;
}

void qn_shot_run(const qn_shot_target *t, const qn_shot *shot, uint64_t t0,
                 qn_shot_result *r)
{
    *r = (qn_shot_result){.end = QN_SHOT_CONNECT};
    qn_reply a = {0};
    uint64_t begin = qn_now_ns();
    double most = shot->leave > 0 ? shot->leave : shot->timeout;
    uint64_t end = begin + (uint64_t)(most * 1e9);
    const char *why = "no address";
    r->start = (double)(begin - t0) * 1e-9;
    bool late = attempt(t, shot, end, &a, &why);
    while (!why && !late && judge(&a, shot, late) == QN_SHOT_REFUSED &&
           r->n_retries < shot->retries && wait_to_retry(&a, end)) {
        r->n_retries++;
        qn_reply_deinit(&a);
        late = attempt(t, shot, end, &a, &why);
    }
    if (why) {
        r->why = qn_xstrdup(why);
        return;
    }
    r->e2e = (double)(qn_now_ns() - begin) * 1e-9;
    r->end = judge(&a, shot, late);
    take_answer(r, &a, begin);
    qn_reply_deinit(&a);
}
