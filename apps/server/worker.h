/* worker.h - the thread between a complete body and the engine.
 *
 * Parses, validates, renders templates, tokenizes: work that would hold up
 * the sockets on an I/O thread and every running request on the engine's. One
 * thread, so that at most one JSON tree of a stranger exists at a time. */
#ifndef QN_SERVER_WORKER_H
#define QN_SERVER_WORKER_H

#include "base/err.h"
#include "server/call.h"

typedef struct qn_worker qn_worker;

int qn_worker_new(qn_worker **out, size_t cap, qn_err *err);
/* Calls that still wait are dropped (their clients are gone by then). */
void qn_worker_free(qn_worker *w);
/* Queues route->handle(call), with a reference; false when `cap` wait. */
bool qn_worker_push(qn_worker *w, qn_call *call);
int qn_worker_waiting(qn_worker *w);

#endif
