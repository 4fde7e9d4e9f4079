/* server.c - see server.h: start, drain, stop. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/server_int.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WORKER_QUEUE 1024
#define SOCKET_MODE 0660
#define ADMIN_MODE 0600

/* ---- what other files ask ---------------------------------------------- */

void qn_server_forget(qn_server *srv, qn_call *call)
{
    atomic_fetch_sub(&srv->body_used, call->body_held);
    if (call->counted)
        qn_auth_end(srv->auth, call->tenant);
    atomic_fetch_sub(&srv->n_calls, 1);
}

void qn_server_wake(qn_server *srv)
{
    qn_runner_wake(srv->runner);
}

int qn_server_port(const qn_server *srv)
{
    return srv->port;
}

bool qn_server_draining(const qn_server *srv)
{
    return atomic_load(&srv->draining);
}

bool qn_server_failing(const qn_server *srv)
{
    return srv->runner && qn_runner_failing(srv->runner);
}

bool qn_server_ready(const qn_server *srv)
{
    return srv->loaded && !srv->draining && !qn_server_failing(srv);
}

/* ---- starting ---------------------------------------------------------- */

/* As many descriptors as the system grants: connections need one each. */
static void raise_limits(qn_server *srv)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return;
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    int64_t most = (int64_t)rl.rlim_cur - 256;
    if (rl.rlim_cur != RLIM_INFINITY && srv->set.max_connections > most)
        srv->set.max_connections = QN_MAX(most, 16);
}

static int listen_on(qn_server *srv, int which, int fd, const char *path,
                     qn_err *err)
{
    qn_listener *l = &srv->listen[which];
    l->srv = srv;
    l->admin = which == QN_LISTEN_ADMIN;
    l->tcp = which == QN_LISTEN_TCP;
    l->path = path ? qn_xstrdup(path) : NULL;
    int rc = qn_httpd_start(l, fd, err);
    if (rc < 0)
        close(fd);
    return rc;
}

static int open_sockets(qn_server *srv, qn_err *err)
{
    const qn_settings *set = &srv->set;
    int fd;
    if (*set->host) {
        QN_TRY(qn_listen_tcp(set->host, (int)set->port, &fd, &srv->port, err));
        QN_TRY(listen_on(srv, QN_LISTEN_TCP, fd, NULL, err));
        bool v6 = strchr(set->host, ':') != NULL;
        snprintf(srv->url, sizeof srv->url, "%s://%s%.100s%s:%d",
                 srv->tls ? "https" : "http", v6 ? "[" : "", set->host,
                 v6 ? "]" : "", srv->port);
    }
    if (set->unix_socket && *set->unix_socket) {
        QN_TRY(qn_listen_unix(set->unix_socket, SOCKET_MODE, &fd, err));
        QN_TRY(listen_on(srv, QN_LISTEN_UNIX, fd, set->unix_socket, err));
        if (!srv->url[0])
            snprintf(srv->url, sizeof srv->url, "%.150s", set->unix_socket);
    }
    if (set->admin_socket && *set->admin_socket) {
        QN_TRY(qn_listen_unix(set->admin_socket, ADMIN_MODE, &fd, err));
        QN_TRY(listen_on(srv, QN_LISTEN_ADMIN, fd, set->admin_socket, err));
    }
    return 0;
}

static bool is_loopback(const char *host)
{
    return !*host || qn_starts(host, "127.") || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static int start(qn_server *srv, const qn_server_init *init, qn_err *err)
{
    qn_settings *set = &srv->set;
    QN_TRY(qn_settings_check(set, err));
    raise_limits(srv);
    QN_TRY(qn_accesslog_new(&srv->log, set->access_log, err));
    qn_accesslog_level(srv->log, (int)set->log_level);
    QN_TRY(qn_auth_new(&srv->auth, set->api_key_file, err));
    if (set->tls_cert)
        QN_TRY(qn_tls_new(&srv->tls, set->tls_cert, set->tls_key, err));
    QN_TRY(qn_runner_new(&srv->runner, srv, err));
    QN_TRY(qn_reload_install(srv, srv->model, init->name, err));
    QN_TRY(qn_worker_new(&srv->worker, WORKER_QUEUE, err));
    QN_TRY(qn_conns_new(&srv->conns, srv, err));
    srv->loopback = is_loopback(set->host);
    QN_TRY(open_sockets(srv, err));
    if (!srv->loopback && !qn_auth_on(srv->auth))
        qn_accesslog_say(srv->log, 1,
                         "listening on %s without API keys: whoever reaches "
                         "this address may use the server (--api-key-file)",
                         set->host);
    return 0;
}

int qn_server_start(qn_server **out, const qn_server_init *init, qn_err *err)
{
    qn_server *srv = qn_xcalloc(1, sizeof *srv);
    srv->set = *init->set;
    *init->set = (qn_settings){0};
    srv->model = init->model;
    srv->open = init->open;
    srv->engine = init->engine;
    /* the engine would do the same, but /admin/status is to tell */
    if (srv->engine.max_seqs == 0)
        srv->engine.max_seqs = QN_DEFAULT_SEQS;
    if (srv->engine.max_batch == 0)
        srv->engine.max_batch = QN_DEFAULT_BATCH;
    srv->created = (int64_t)time(NULL);
    srv->id_seed = qn_rng_entropy();
    int rc = start(srv, init, err);
    if (rc < 0) {
        qn_server_stop(srv);
        return rc;
    }
    *out = srv;
    return 0;
}

/* ---- ending ------------------------------------------------------------ */

void qn_server_drain(qn_server *srv)
{
    if (!atomic_exchange(&srv->draining, true))
        qn_accesslog_say(srv->log, 2, "draining: no new requests");
}

bool qn_server_wait_idle(qn_server *srv, double seconds)
{
    uint64_t end = qn_now_ns() + (uint64_t)(seconds * 1e9);
    while (atomic_load(&srv->n_calls) > 0) {
        if (qn_now_ns() >= end)
            return false;
        usleep(10000);
    }
    return true;
}

int qn_server_reload(qn_server *srv, qn_err *err)
{
    qn_err keys = {0}, cert = {0};
    bool kept_keys = qn_auth_reload(srv->auth, &keys) < 0;
    bool kept_cert = srv->tls && qn_tls_reload(srv->tls, &cert) < 0;
    if (kept_keys)
        qn_err_prefix(&keys, keys.code, "API keys stay as they were");
    if (kept_cert)
        qn_err_prefix(&cert, cert.code, "the certificate stays as it was");
    if (kept_keys || kept_cert) {
        const char *and = kept_keys && kept_cert ? "; " : "";
        qn_err all;
        int rc = qn_fail(&all, kept_keys ? keys.code : cert.code, "%s%s%s",
                         keys.msg, and, cert.msg);
        qn_accesslog_say(srv->log, 0, "%s", all.msg);
        return qn_fail(err, rc, "%s", all.msg);
    }
    qn_accesslog_say(srv->log, 2, "reloaded");
    return 0;
}

/* Order: no new connections; the threads that answer end and fail what they
 * hold; connections are cut, so that nothing is suspended any more when the
 * daemons stop (libmicrohttpd forbids that). */
void qn_server_stop(qn_server *srv)
{
    if (!srv)
        return;
    atomic_store(&srv->draining, true);
    atomic_store(&srv->stopping, true);
    for (int i = 0; i < QN_LISTEN_N; i++)
        qn_httpd_quiesce(&srv->listen[i]);
    if (srv->conns) {
        qn_server_wait_idle(srv, 0.05); /* answers on their way */
        qn_conns_cut_all(srv->conns);
        qn_server_wait_idle(srv, 30);
    }
    for (int i = 0; i < QN_LISTEN_N; i++)
        qn_httpd_stop(&srv->listen[i]);
    qn_conns_free(srv->conns);
    qn_worker_free(srv->worker);
    qn_runner_free(srv->runner);
    qn_model_close(srv->model);
    qn_tls_free(srv->tls);
    qn_auth_free(srv->auth);
    qn_accesslog_free(srv->log);
    for (size_t i = 0; i < srv->names.n; i++)
        free(srv->names.v[i]);
    qn_vec_deinit(&srv->names);
    qn_call_shape_deinit(&srv->call_shape);
    qn_settings_deinit(&srv->set);
    free(srv);
}

/* ---- the program ------------------------------------------------------- */

static void drain_and_wait(qn_server *srv, const sigset_t *signals)
{
    uint64_t end = qn_now_ns() + (uint64_t)(srv->set.drain_timeout * 1e9);
    qn_server_drain(srv);
    while (qn_now_ns() < end && !qn_server_wait_idle(srv, 0.05)) {
        struct timespec none = {0};
        int sig = sigtimedwait(signals, NULL, &none);
        if (sig == SIGTERM || sig == SIGINT)
            return;
    }
}

/* A SIGINT that is ignored stays so: a shell without job control ignores it for
 * what it runs in the background, where Ctrl-C is meant for another. (Blocked,
 * it would be waited for all the same.) */
static sigset_t our_signals(void)
{
    sigset_t signals;
    struct sigaction sa;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    if (sigaction(SIGINT, NULL, &sa) != 0 || sa.sa_handler != SIG_IGN)
        sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    return signals;
}

void qn_server_block_signals(void)
{
    sigset_t signals = our_signals();
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int qn_server_run(const qn_server_init *init, qn_err *err)
{
    sigset_t signals = our_signals();
    qn_server *srv = NULL;
    QN_TRY(qn_server_start(&srv, init, err));
    fprintf(stderr, "quern serves %s on %s (context %lld tokens)\n",
            (char *)srv->name, srv->url, (long long)srv->max_model_len);
    for (;;) {
        int sig = sigwaitinfo(&signals, NULL);
        if (sig == SIGHUP)
            qn_server_reload(srv, NULL); /* its log says how it went */
        else if (sig == SIGTERM || sig == SIGINT)
            break;
        else if (sig < 0 && errno != EINTR)
            break;
    }
    drain_and_wait(srv, &signals);
    qn_server_stop(srv);
    return 0;
}
