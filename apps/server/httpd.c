/* httpd.c - libmicrohttpd's callbacks: from bytes to calls and back.
 *
 * Everything here runs on a daemon's I/O thread and may not wait. The first
 * call for a request decides by its header alone; the body is collected or,
 * when the answer is settled already, thrown away; then the handler gets the
 * call and the connection is suspended until there is something to send. */
#include "base/mem.h"
#include "server/guard.h"
#include "server/hints.h"
#include "server/origin.h"
#include "server/page.h"
#include "server/routes.h"
#include "server/server_int.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BLOCK 8192         /* bytes that MHD asks of a stream at once */
#define SEND_BUFFER 131072 /* of a socket: what a slow client holds back */
#define DRAIN_FACTOR \
    4 /* a body up to this many times the limit is read
                              to its end, so that the client sees the 413 */

/* ---- sending ----------------------------------------------------------- */

static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    qn_call *call = cls;
    ssize_t n = 0;
    bool room = false;
    pthread_mutex_lock(&call->lock);
    size_t have = call->out.n - call->taken;
    if (call->broken || !call->conn) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (have > 0) {
        n = (ssize_t)QN_MIN(have, max);
        memcpy(buf, call->out.p + call->taken, (size_t)n);
        call->taken += (size_t)n;
        size_t left = have - (size_t)n;
        if (call->t_blocked &&
            left < (size_t)call->srv->set.stream_buffer / 2) {
            call->t_blocked = 0;
            room = true;
        }
    } else if (call->done) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        call->suspended = true;
        MHD_suspend_connection(call->conn);
    }
    pthread_mutex_unlock(&call->lock);
    if (room)
        qn_server_wake(call->srv);
    return n;
}

static void stream_freed(void *cls)
{
    qn_call_unref(cls);
}

static void add_header(struct MHD_Response *r, const char *name,
                       const char *value)
{
    MHD_add_response_header(r, name, value);
}

static void add_headers(qn_call *call, struct MHD_Response *r)
{
    char number[24];
    add_header(r, "X-Request-Id", call->id);
    add_header(r, "X-Content-Type-Options", "nosniff");
    if (call->content_type)
        add_header(r, "Content-Type", call->content_type);
    if (call->etag)
        qn_page_headers(r, call->etag);
    else
        add_header(r, "Cache-Control", call->stream ? "no-cache" : "no-store");
    if (call->stream)
        add_header(r, "X-Accel-Buffering", "no");
    if (call->retry_after > 0) {
        snprintf(number, sizeof number, "%d", call->retry_after);
        add_header(r, "Retry-After", number);
    }
    if (call->status == 401)
        add_header(r, "WWW-Authenticate", "Bearer");
    if (call->status == 405)
        add_header(r, "Allow", call->arg);
    if (call->close)
        add_header(r, "Connection", "close");
}

/* The call is REPLIED: hands the answer to MHD. */
static enum MHD_Result send_reply(qn_call *call, struct MHD_Connection *conn)
{
    struct MHD_Response *r;
    if (call->broken)
        return MHD_NO;
    if (call->stream) {
        qn_call_ref(call);
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK,
                                              read_stream, call, stream_freed);
    } else {
        pthread_mutex_lock(&call->lock);
        size_t n;
        char *text = qn_str_take(&call->out, &n);
        call->taken = n;
        pthread_mutex_unlock(&call->lock);
        r = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
        if (!r)
            free(text);
    }
    if (!r) {
        if (call->stream)
            qn_call_unref(call);
        return MHD_NO;
    }
    add_headers(call, r);
    qn_origin_headers(call->srv->set.cors_origin, conn, r);
    unsigned timeout = (unsigned)(call->srv->set.stall_timeout + 0.999);
    MHD_set_connection_option(conn, MHD_CONNECTION_OPTION_TIMEOUT,
                              QN_MAX(timeout, 1u));
    enum MHD_Result rc = MHD_queue_response(conn, (unsigned)call->status, r);
    MHD_destroy_response(r);
    return rc;
}

/* ---- the header -------------------------------------------------------- */

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind,
                                 const char *name, size_t name_len,
                                 const char *value, size_t value_len)
{
    (void)kind;
    qn_guard_header(cls, name, name_len, value, value_len);
    return MHD_YES;
}

/* Whether it would be a route without the slash at its end. */
static bool only_slash_wrong(const char *path, unsigned kinds)
{
    char bare[256], arg[256];
    const char *other = NULL;
    size_t n = strlen(path);
    if (n < 2 || n > sizeof bare || path[n - 1] != '/')
        return false;
    memcpy(bare, path, n - 1);
    bare[n - 1] = 0;
    return qn_routes_find("GET", bare, kinds, arg, sizeof arg, &other) || other;
}

static void find_route(qn_call *call, const char *path, bool admin)
{
    const char *other = NULL;
    unsigned kinds = admin                ? QN_ROUTE_ADMIN
                     : call->srv->set.web ? QN_ROUTE_PAGE
                                          : 0;
    call->route = qn_routes_find(call->method, path, kinds, call->arg,
                                 sizeof call->arg, &other);
    if (call->route)
        return;
    if (!other) {
        qn_call_fail(call, 404, NULL, NULL, "no such route: %s %s; %s",
                     call->method, call->target,
                     only_slash_wrong(path, kinds)
                         ? "leave out the slash at its end"
                         : qn_hint_route(path));
        return;
    }
    snprintf(call->arg, sizeof call->arg, "%s", other);
    qn_call_fail(call, 405, NULL, NULL, "%s wants %s, not %s", call->target,
                 other, call->method);
}

static void check_key(qn_call *call, struct MHD_Connection *conn)
{
    call->tenant = 0;
    if (call->route->flags & (QN_ROUTE_OPEN | QN_ROUTE_ADMIN))
        return;
    call->tenant = qn_auth_check(
        call->srv->auth,
        MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Authorization"));
    if (call->tenant >= 0)
        return;
    call->tenant = 0;
    qn_call_fail(
        call, 401, "invalid_api_key", NULL,
        "this server wants a valid API key: Authorization: Bearer KEY");
}

/* Takes n bytes of body memory for the call. */
static bool hold_body(qn_call *call, size_t n)
{
    size_t used = atomic_fetch_add(&call->srv->body_used, n);
    if (used + n > (size_t)call->srv->set.body_memory) {
        atomic_fetch_sub(&call->srv->body_used, n);
        return false;
    }
    call->body_held += n;
    return true;
}

static void fail_memory(qn_call *call)
{
    qn_call_retry(call, 503, 1, "too many request bodies at once; try again");
}

static void check_length(qn_call *call, const qn_guard *g)
{
    uint64_t limit = (uint64_t)call->srv->set.max_body;
    if (g->n_lengths == 0)
        return;
    if (g->length > limit) {
        call->close = g->length / DRAIN_FACTOR > limit;
        call->too_large = true;
        qn_call_fail(call, 413, "request_too_large", NULL,
                     "the body has %llu bytes; the server takes %llu",
                     (unsigned long long)g->length, (unsigned long long)limit);
    } else if (!hold_body(call, (size_t)g->length)) {
        fail_memory(call);
    } else {
        qn_str_reserve(&call->body, (size_t)g->length);
    }
}

/* Everything that can be said of a request by its header. */
static void judge(qn_call *call, const qn_listener *l,
                  struct MHD_Connection *conn, const char *url,
                  const char *version)
{
    qn_guard g = {0};
    MHD_get_connection_values_n(conn, MHD_HEADER_KIND, on_header, &g);
    bool http11 = strcmp(version, "HTTP/1.1") == 0;
    const char *flaw = qn_guard_verdict(&g, http11);
    if (!flaw && !http11 && strcmp(version, "HTTP/1.0") != 0)
        flaw = "only HTTP/1.1 and HTTP/1.0 are spoken here";
    url = qn_guard_path(url, MHD_lookup_connection_value(conn, MHD_HEADER_KIND,
                                                         "Host"));
    if (!flaw && !url)
        flaw = "the request's target is of another host than its Host header";
    if (!flaw && !qn_guard_target(url))
        flaw = "the request's path is not a plain one";
    if (flaw) {
        call->close = true;
        qn_call_fail(call, 400, "bad_request", NULL, "%s", flaw);
        return;
    }
    snprintf(call->target, sizeof call->target, "%s", url);
    const char *id = MHD_lookup_connection_value(conn, MHD_HEADER_KIND,
                                                 "X-Request-Id");
    call->named = id && qn_call_name(call, id);
    if (l->tcp && !qn_auth_on(call->srv->auth) &&
        !qn_origin_host(call->srv->set.allowed_host, !call->srv->loopback,
                        conn)) {
        qn_call_fail(call, 403, "host_not_allowed", NULL,
                     "the Host header names neither localhost nor an address: "
                     "without API keys that may be a page that wants to reach "
                     "this server through your browser; see --allowed-host");
        return;
    }
    const char *why = NULL;
    switch (
        qn_origin_check(call->srv->set.cors_origin, conn, call->method, &why)) {
    case QN_ORIGIN_OK: break;
    case QN_ORIGIN_PREFLIGHT:
        qn_call_reply(call, 204, NULL, &(qn_str){0});
        return;
    case QN_ORIGIN_REFUSED:
        qn_call_fail(call, 403, "origin_not_allowed", NULL, "%s", why);
        return;
    }
    find_route(call, url, l->admin);
    if (!call->replied)
        check_key(call, conn);
    if (!call->replied)
        check_length(call, &g);
}

static qn_conn *conn_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static enum MHD_Result first_call(qn_listener *l, struct MHD_Connection *conn,
                                  const char *url, const char *method,
                                  const char *version, void **con_cls)
{
    qn_conn *k = conn_of(conn);
    if (!k)
        return MHD_NO;
    qn_conns_body(l->srv->conns, k);
    qn_call *call = qn_call_new(l->srv);
    atomic_fetch_add(&l->srv->n_calls, 1);
    call->conn = conn;
    snprintf(call->method, sizeof call->method, "%s", method);
    *con_cls = call;
    judge(call, l, conn, url, version);
    return call->replied && call->close ? send_reply(call, conn) : MHD_YES;
}

/* ---- body, dispatch ---------------------------------------------------- */

static void add_body(qn_call *call, const char *data, size_t n)
{
    if (call->replied)
        return;
    if (call->body.n + n > (size_t)call->srv->set.max_body) {
        qn_str_deinit(&call->body);
        qn_call_fail(call, 413, "request_too_large", NULL,
                     "the body has more than %lld bytes, which is what the "
                     "server takes",
                     (long long)call->srv->set.max_body);
        return;
    }
    size_t want = call->body.n + n;
    if (want > call->body_held && !hold_body(call, want - call->body_held)) {
        qn_str_deinit(&call->body);
        fail_memory(call);
        return;
    }
    qn_str_add(&call->body, data, n);
}

/* Whether one more generation may be taken on. */
static bool may_generate(qn_call *call)
{
    qn_server *srv = call->srv;
    if (qn_server_draining(srv)) {
        call->close = true;
        qn_call_retry(call, 503, 5, "the server is shutting down");
        return false;
    }
    if (!srv->loaded) {
        qn_call_retry(call, 503, 5, "no model is loaded at the moment");
        return false;
    }
    int64_t limit = srv->set.max_per_key;
    int running = qn_auth_begin(srv->auth, call->tenant);
    call->counted = true;
    if (limit > 0 && running >= limit) {
        qn_call_retry(call, 429, 1,
                      "this key has %d requests running; at most "
                      "%lld are allowed",
                      running, (long long)limit);
        return false;
    }
    int waiting = qn_worker_waiting(srv->worker) +
                  qn_runner_waiting(srv->runner);
    if (waiting >= srv->set.max_queue) {
        qn_metrics_count(&srv->metrics, QN_METRIC_REJECTED, 1);
        qn_call_retry(call, 429, qn_runner_retry_after(srv->runner),
                      "%d requests wait already; try again later", waiting);
        return false;
    }
    return true;
}

static enum MHD_Result dispatch(qn_call *call, struct MHD_Connection *conn)
{
    call->dispatched = true;
    if (call->replied)
        return send_reply(call, conn);
    if ((call->route->flags & QN_ROUTE_GENERATE) && !may_generate(call))
        return send_reply(call, conn);
    if (call->route->flags & QN_ROUTE_INLINE) {
        call->route->handle(call);
        return send_reply(call, conn);
    }
    qn_conns_work(call->srv->conns, conn_of(conn), call);
    if (!qn_worker_push(call->srv->worker, call)) {
        qn_call_retry(call, 503, 1, "too many requests at once; try again");
        return send_reply(call, conn);
    }
    pthread_mutex_lock(&call->lock);
    bool now = call->replied || call->broken; /* or the client has left */
    if (!now) {
        call->suspended = true;
        MHD_suspend_connection(conn);
    }
    pthread_mutex_unlock(&call->lock);
    return now ? send_reply(call, conn) : MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *n_data, void **con_cls)
{
    qn_call *call = *con_cls;
    if (!call)
        return first_call(cls, conn, url, method, version, con_cls);
    if (*n_data > 0) {
        add_body(call, data, *n_data);
        *n_data = 0;
        return MHD_YES;
    }
    if (!call->dispatched)
        return dispatch(call, conn);
    pthread_mutex_lock(&call->lock);
    bool ready = call->replied || call->broken;
    if (!ready) { /* woken for nothing */
        call->suspended = true;
        MHD_suspend_connection(conn);
    }
    pthread_mutex_unlock(&call->lock);
    return ready ? send_reply(call, conn) : MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    qn_listener *l = cls;
    qn_call *call = *con_cls;
    *con_cls = NULL;
    qn_conn *k = conn_of(conn);
    if (k) {
        qn_conns_header(l->srv->conns, k);
        unsigned idle = (unsigned)(l->srv->set.idle_timeout + 0.999);
        MHD_set_connection_option(conn, MHD_CONNECTION_OPTION_TIMEOUT,
                                  QN_MAX(idle, 1u));
    }
    if (!call)
        return;
    pthread_mutex_lock(&call->lock);
    call->conn = NULL;
    call->suspended = false;
    call->replied = true; /* nothing of what the log reads changes any more */
    bool whole = why == MHD_REQUEST_TERMINATED_COMPLETED_OK && call->done;
    pthread_mutex_unlock(&call->lock);
    if (!atomic_exchange(&call->gone, true) && !whole)
        qn_server_wake(l->srv);
    qn_accesslog_request(l->srv->log, call, whole);
    qn_metrics_response(&l->srv->metrics, call->status, whole);
    qn_call_unref(call);
}

/* ---- connections ------------------------------------------------------- */

static void tune(int fd)
{
    int on = 1, buffer = SEND_BUFFER, lost_ms = 30000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof lost_ms);
}

static void on_connection(void *cls, struct MHD_Connection *conn,
                          void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    qn_listener *l = cls;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            qn_conns_close(l->srv->conns, *context);
        *context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    tune(info->connect_fd);
    *context = qn_conns_open(l->srv->conns, info->connect_fd);
    if (!*context)
        shutdown(info->connect_fd, SHUT_RDWR);
}

/* Paths are decoded by the router, part by part. */
static size_t leave_escaped(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls;
    (void)conn;
    return strlen(s);
}

int qn_httpd_start(qn_listener *l, int fd, qn_err *err)
{
    const qn_settings *set = &l->srv->set;
    unsigned idle = (unsigned)(set->idle_timeout + 0.999);
    struct MHD_OptionItem more[8] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ITC;
    if (l->srv->tls && l->tcp) /* a socket file has its rights */
        flags |= qn_tls_options(l->srv->tls, more);
    l->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, l,
                         MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
                         MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
                         MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)set->max_connections + 2 * QN_SPARE_CONNS,
                         MHD_OPTION_CONNECTION_TIMEOUT, QN_MAX(idle, 1u),
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)set->max_header, MHD_OPTION_STRICT_FOR_CLIENT,
                         1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (!l->daemon)
        return qn_fail(err, QN_EIO,
                       "the HTTP daemon does not start: too few threads or "
                       "descriptors, or a certificate that it cannot read");
    return 0;
}

/* The daemon's thread may still name the socket to epoll: it is shut here, so
 * that nobody connects, and closed when that thread has ended. */
void qn_httpd_quiesce(qn_listener *l)
{
    if (!l->daemon)
        return;
    int fd = MHD_quiesce_daemon(l->daemon);
    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR);
        l->ended = fd + 1;
    }
}

void qn_httpd_stop(qn_listener *l)
{
    if (l->daemon)
        MHD_stop_daemon(l->daemon);
    l->daemon = NULL;
    if (l->ended > 0)
        close(l->ended - 1);
    l->ended = 0;
    if (l->path) {
        unlink(l->path);
        free(l->path);
        l->path = NULL;
    }
}
