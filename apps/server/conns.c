/* conns.c - see conns.h. */
#include "server/conns.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/server_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCAN_MS 100
#define N_EVENTS 64
#define STOP UINT64_MAX

typedef enum state {
    FREE,
    HEADER,
    BODY,
    WORK
} state;

struct qn_conn {
    uint32_t slot, generation;
    int fd;
    state state;
    uint64_t since; /* of the state, ns */
    uint64_t deadline;
    qn_call *call; /* of WORK, a reference */
};

struct qn_conns {
    struct qn_server *srv;
    pthread_mutex_t lock;
    qn_conn **slots; /* [cap] */
    uint32_t cap, n;
    uint32_t *free_slots; /* a stack of cap - n */
    int epoll, stop;
    pthread_t thread;
};

static uint64_t after(double seconds)
{
    return qn_now_ns() + (uint64_t)(seconds * 1e9);
}

static uint64_t tag(const qn_conn *conn)
{
    return (uint64_t)conn->generation << 32 | conn->slot;
}

static void cut(qn_conn *conn)
{
    shutdown(conn->fd, SHUT_RDWR);
    conn->deadline = UINT64_MAX;
}

/* ---- the table --------------------------------------------------------- */

static void grow(qn_conns *c)
{
    uint32_t cap = c->cap ? c->cap * 2 : 64;
    c->slots = qn_xreallocarray(c->slots, cap, sizeof *c->slots);
    c->free_slots = qn_xreallocarray(c->free_slots, cap, sizeof(uint32_t));
    for (uint32_t i = c->cap; i < cap; i++) {
        c->slots[i] = qn_xcalloc(1, sizeof(qn_conn));
        c->slots[i]->slot = i;
        c->free_slots[i - c->cap] = cap - 1 - (i - c->cap);
    }
    c->cap = cap;
}

/* The connection that has waited longest in HEADER, or NULL. */
static qn_conn *idlest(qn_conns *c)
{
    qn_conn *best = NULL;
    for (uint32_t i = 0; i < c->cap; i++) {
        qn_conn *k = c->slots[i];
        if (k->state == HEADER && k->deadline != UINT64_MAX &&
            (!best || k->since < best->since))
            best = k;
    }
    return best;
}

qn_conn *qn_conns_open(qn_conns *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    if (c->n >= (uint64_t)c->srv->set.max_connections) {
        qn_conn *victim = idlest(c);
        if (victim)
            cut(victim);
        if (!victim ||
            c->n >= (uint64_t)c->srv->set.max_connections + QN_SPARE_CONNS) {
            pthread_mutex_unlock(&c->lock);
            return NULL;
        }
    }
    if (c->n == c->cap)
        grow(c);
    qn_conn *conn = c->slots[c->free_slots[c->cap - c->n - 1]];
    c->n++;
    conn->generation++;
    conn->fd = fd;
    conn->state = HEADER;
    conn->since = qn_now_ns();
    conn->deadline = after(c->srv->set.header_timeout);
    pthread_mutex_unlock(&c->lock);
    return conn;
}

static void unwatch(qn_conns *c, qn_conn *conn, qn_call **call)
{
    if (conn->state != WORK)
        return;
    epoll_ctl(c->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    *call = conn->call;
    conn->call = NULL;
}

static void set_state(qn_conns *c, qn_conn *conn, state st, double limit)
{
    qn_call *call = NULL;
    pthread_mutex_lock(&c->lock);
    unwatch(c, conn, &call);
    conn->state = st;
    conn->since = qn_now_ns();
    conn->deadline = after(limit);
    pthread_mutex_unlock(&c->lock);
    if (call)
        qn_call_unref(call);
}

void qn_conns_header(qn_conns *c, qn_conn *conn)
{
    set_state(c, conn, HEADER, c->srv->set.idle_timeout);
}

void qn_conns_body(qn_conns *c, qn_conn *conn)
{
    set_state(c, conn, BODY, c->srv->set.body_timeout);
}

void qn_conns_work(qn_conns *c, qn_conn *conn, qn_call *call)
{
    pthread_mutex_lock(&c->lock);
    conn->state = WORK;
    conn->since = qn_now_ns();
    conn->deadline = UINT64_MAX;
    conn->call = call;
    qn_call_ref(call);
    struct epoll_event ev = {.events = EPOLLRDHUP, .data.u64 = tag(conn)};
    epoll_ctl(c->epoll, EPOLL_CTL_ADD, conn->fd, &ev);
    pthread_mutex_unlock(&c->lock);
}

void qn_conns_close(qn_conns *c, qn_conn *conn)
{
    qn_call *call = NULL;
    pthread_mutex_lock(&c->lock);
    unwatch(c, conn, &call);
    conn->state = FREE;
    c->n--;
    c->free_slots[c->cap - c->n - 1] = conn->slot;
    pthread_mutex_unlock(&c->lock);
    if (call)
        qn_call_unref(call);
}

int qn_conns_count(qn_conns *c)
{
    pthread_mutex_lock(&c->lock);
    int n = (int)c->n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

void qn_conns_cut_all(qn_conns *c)
{
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->cap; i++)
        if (c->slots[i]->state != FREE)
            cut(c->slots[i]);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the thread -------------------------------------------------------- */

/* The client of a connection in WORK has left (or closed its half). */
static void client_left(qn_conns *c, uint64_t t)
{
    uint32_t slot = (uint32_t)t;
    qn_call *call = NULL;
    pthread_mutex_lock(&c->lock);
    if (slot < c->cap && tag(c->slots[slot]) == t &&
        c->slots[slot]->state == WORK) {
        call = c->slots[slot]->call;
        qn_call_ref(call);
        epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->slots[slot]->fd, NULL);
    }
    pthread_mutex_unlock(&c->lock);
    if (call) {
        qn_call_left(call);
        qn_call_unref(call);
    }
}

/* Deadlines, silent streams, clients that do not read. */
static void look_after(qn_conns *c, qn_conn *conn, uint64_t now)
{
    if (conn->deadline <= now)
        cut(conn);
    if (conn->state != WORK)
        return;
    qn_call_keep_alive(conn->call,
                       now - (uint64_t)(c->srv->set.keep_alive * 1e9));
    uint64_t stall = (uint64_t)(c->srv->set.stall_timeout * 1e9);
    pthread_mutex_lock(&conn->call->lock);
    bool stuck = conn->call->t_blocked && conn->call->t_blocked + stall < now;
    pthread_mutex_unlock(&conn->call->lock);
    if (stuck)
        cut(conn);
}

static void scan(qn_conns *c)
{
    uint64_t now = qn_now_ns();
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->cap; i++)
        if (c->slots[i]->state != FREE)
            look_after(c, c->slots[i], now);
    pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
    qn_conns *c = arg;
    uint64_t next = 0;
    for (;;) {
        struct epoll_event ev[N_EVENTS];
        int n = epoll_wait(c->epoll, ev, N_EVENTS, SCAN_MS);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 == STOP)
                return NULL;
            client_left(c, ev[i].data.u64);
        }
        uint64_t now = qn_now_ns();
        if (now >= next) {
            scan(c);
            next = now + SCAN_MS * 1000000ull;
        }
    }
}

int qn_conns_new(qn_conns **out, struct qn_server *srv, qn_err *err)
{
    qn_conns *c = qn_xcalloc(1, sizeof *c);
    c->srv = srv;
    pthread_mutex_init(&c->lock, NULL);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->stop = eventfd(0, EFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = STOP};
    if (c->epoll < 0 || c->stop < 0 ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->stop, &ev) < 0 ||
        pthread_create(&c->thread, NULL, run, c) != 0) {
        int rc = qn_fail(err, QN_EIO, "watching connections: %s",
                         strerror(errno));
        close(c->epoll);
        close(c->stop);
        free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void qn_conns_free(qn_conns *c)
{
    if (!c)
        return;
    uint64_t one = 1;
    ssize_t n = write(c->stop, &one, sizeof one);
    (void)n;
    pthread_join(c->thread, NULL);
    for (uint32_t i = 0; i < c->cap; i++)
        free(c->slots[i]);
    free(c->slots);
    free(c->free_slots);
    close(c->epoll);
    close(c->stop);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
