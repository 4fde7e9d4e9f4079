/* server.h - the HTTP server as a library: start, wait, stop.
 *
 *   starting -> serving -> draining -> stopped
 *
 * Threads: one I/O thread per listening socket (libmicrohttpd's), one that
 * watches connections, one worker that parses and tokenizes, one that owns
 * the engine. README.md has the rules. The functions here belong to one
 * thread, but for qn_server_drain and qn_server_reload. */
#ifndef QN_SERVER_SERVER_H
#define QN_SERVER_SERVER_H

#include "server/settings.h"

typedef struct qn_server qn_server;

typedef struct qn_server_init {
    qn_model *model;         /* taken                                     */
    const char *name;        /* its path or name; NULL: the built-in one   */
    qn_model_params open;    /* for models that are loaded later           */
    qn_engine_params engine; /* max_seqs 0: 16; max_batch 0: 512           */
    qn_settings *set;        /* taken: left empty                          */
} qn_server_init;

/* Binds and serves. What is taken is taken also when it fails. */
int qn_server_start(qn_server **out, const qn_server_init *init, qn_err *err);
/* The TCP port, 0 without. */
int qn_server_port(const qn_server *srv);

/* No new generations from now on; any thread, signal handlers excepted. */
void qn_server_drain(qn_server *srv);
bool qn_server_draining(const qn_server *srv);
/* What runs on the model fails (runner.h). */
bool qn_server_failing(const qn_server *srv);
/* A model is loaded, does not fail, and the server does not drain. */
bool qn_server_ready(const qn_server *srv);
/* true when nothing is being answered (waits up to `seconds` for it). */
bool qn_server_wait_idle(qn_server *srv, double seconds);
/* Keys and certificate are read again; what cannot be stays as it was,
 * which is logged and the error. */
int qn_server_reload(qn_server *srv, qn_err *err);
/* Ends what still runs and frees everything. */
void qn_server_stop(qn_server *srv);

/* Signals wait to be taken by qn_server_run; for all threads that are started
 * afterwards, which those of a model have to be. */
void qn_server_block_signals(void);
/* Serves until SIGTERM or SIGINT (unless that is ignored): then drains for up to
 * drain-timeout (a second signal cuts that short) and stops. SIGHUP reloads. */
int qn_server_run(const qn_server_init *init, qn_err *err);

#endif
