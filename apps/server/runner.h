/* runner.h - the thread that owns the engine.
 *
 * Takes prepared generations from a queue, submits their requests, steps the
 * engine, hands events to the answers. Nothing else touches qn_engine. It
 * waits only when no request can make progress.
 *
 *   pushed -> SUBMITTED -> (admitted by the engine) ADMITTED -> ended
 *
 * A stream's answer begins when the engine has admitted it, so that what goes
 * wrong before that still has a status code. */
#ifndef QN_SERVER_RUNNER_H
#define QN_SERVER_RUNNER_H

#include "base/err.h"
#include "server/gen.h"

typedef struct qn_runner qn_runner;
struct qn_server;

typedef struct qn_runner_stats {
    qn_engine_stats engine;
    double host_ms; /* the thread's time outside engine steps and waiting */
} qn_runner_stats;

/* Without an engine so far. */
int qn_runner_new(qn_runner **out, struct qn_server *srv, qn_err *err);
/* Takes the engine (NULL: none) and frees the one before, when what runs on it
 * has ended; after `seconds` it is ended. From the worker, which pushes. */
void qn_runner_set_engine(qn_runner *r, qn_engine *engine, double seconds);
/* Ends what runs: their clients get an error or a broken connection. */
void qn_runner_free(qn_runner *r);

/* From the worker: the call's gen is the runner's from now on. */
void qn_runner_push(qn_runner *r, qn_call *call);
/* Something about a call has changed: look again. Any thread. */
void qn_runner_wake(qn_runner *r);
/* The last step failed: what it ran on is broken, such as a model's file that was
 * written over. Until a step succeeds, or, a minute later and then each minute,
 * the model's files are found to be as they were. Any thread. */
bool qn_runner_failing(qn_runner *r);
/* Requests that wait for admission. Any thread. */
int qn_runner_waiting(qn_runner *r);
/* Seconds after which a refused client may try again. Any thread. */
int qn_runner_retry_after(qn_runner *r);
void qn_runner_get_stats(qn_runner *r, qn_runner_stats *s);

#endif
