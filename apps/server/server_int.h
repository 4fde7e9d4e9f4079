/* server_int.h - what the files of the server share. */
#ifndef QN_SERVER_SERVER_INT_H
#define QN_SERVER_SERVER_INT_H

#include "base/vec.h"
#include "server/accesslog.h"
#include "server/auth.h"
#include "server/conns.h"
#include "server/gen_tools.h"
#include "server/metrics.h"
#include "server/runner.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/worker.h"

#include <stdatomic.h>

/* Connections above the limit while the idlest ones are being closed. */
#define QN_SPARE_CONNS 64

enum {
    QN_LISTEN_TCP,
    QN_LISTEN_UNIX,
    QN_LISTEN_ADMIN,
    QN_LISTEN_N
};

typedef struct qn_listener {
    struct qn_server *srv;
    struct MHD_Daemon *daemon; /* NULL: not listening */
    bool admin;
    bool tcp;
    int ended;  /* by qn_httpd_quiesce: its socket + 1, or 0 */
    char *path; /* of a socket file, removed at the end      */
} qn_listener;

struct qn_server {
    qn_settings set;
    qn_model_params open;
    qn_engine_params engine;
    /* Of the worker, and of the engine thread while something runs; NULL when
     * none is loaded. */
    qn_model *model;
    qn_call_shape call_shape;
    qn_reasoning_kind reasoning;
    _Atomic(char *) name; /* of the model in the API; all are kept */
    _Atomic(char *) path; /* where it is from; the same */
    QN_VEC(char *) names;
    atomic_int_fast64_t max_model_len;
    atomic_bool loaded;

    char url[160];
    int port;
    int64_t created; /* seconds since 1970 */
    uint64_t id_seed;

    qn_auth *auth;
    qn_tls *tls;
    qn_conns *conns;
    qn_worker *worker;
    qn_runner *runner;
    qn_accesslog *log;
    qn_metrics metrics;
    qn_listener listen[QN_LISTEN_N];

    bool loopback; /* the TCP socket is nobody else's */

    atomic_uint_fast64_t next_id;
    atomic_size_t body_used; /* bytes of bodies that are held */
    atomic_int n_calls;      /* not yet freed */
    atomic_bool draining, stopping;
};

/* A call's last reference is gone: what it held of limits is given back. */
void qn_server_forget(struct qn_server *srv, qn_call *call);
/* The engine thread looks at its calls again. */
void qn_server_wake(struct qn_server *srv);

/* reload.c, for the worker (and before it runs). The model is taken; `path`
 * names it where --served-model-name does not. */
int qn_reload_install(struct qn_server *srv, qn_model *model, const char *path,
                      qn_err *err);
/* Opens one while there is none; when that fails there is still none. */
int qn_reload_model(struct qn_server *srv, const char *path, qn_err *err);
/* What runs may end within drain-timeout. */
void qn_reload_unload(struct qn_server *srv);

/* httpd.c: `fd` is a listening socket, which is the daemon's from then on. */
int qn_httpd_start(qn_listener *l, int fd, qn_err *err);
/* No new connections; those that exist go on. */
void qn_httpd_quiesce(qn_listener *l);
void qn_httpd_stop(qn_listener *l);

/* listen.c */
int qn_listen_tcp(const char *host, int port, int *fd, int *bound_port,
                  qn_err *err);
/* Refuses to replace anything but a socket that nobody listens on. */
int qn_listen_unix(const char *path, unsigned mode, int *fd, qn_err *err);

#endif
