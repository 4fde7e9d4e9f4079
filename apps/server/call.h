/* call.h - one HTTP request on its way to its answer.
 *
 *   BODY     the I/O thread collects the body
 *   WORK     a handler has it (worker, then maybe the engine thread);
 *            the connection is suspended
 *   REPLIED  status and headers are decided; the I/O thread sends `out`
 *   DONE     nothing more will be added to `out`
 *   OVER     the connection is finished with it (conn == NULL)
 *
 * Ownership: counted references. The connection holds one until OVER, whoever
 * works on the call another one.
 * Threads: what stands above `lock` belongs to the thread that has the call
 * (I/O thread until dispatch, then its handler). What stands below is read
 * and written under `lock`. Functions may be called from any thread.
 *
 * Invariants
 *  1. `suspended` is true exactly while MHD has the connection suspended;
 *     whoever turns it false resumes the connection, under `lock`.
 *  2. After `gone` nobody adds to `out`; whoever works on the call notices by
 *     a failed write, or is woken by the call's on_gone.
 *  3. `out` grows past the stream buffer by one event at most: its producer
 *     looks at qn_call_behind() and pauses. */
#ifndef QN_SERVER_CALL_H
#define QN_SERVER_CALL_H

#include "base/json.h"
#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>

struct MHD_Connection;
struct qn_server;
struct qn_route;
struct qn_gen;

typedef struct qn_call {
    struct qn_server *srv;
    const struct qn_route *route;
    char id[128];     /* request id, for log and client */
    char target[160]; /* path as the log shows it */
    char arg[256];    /* what {} of the route's path matched */
    char method[8];
    int tenant;       /* whose key; 0 without keys */
    bool counted;     /* in the tenant's number of requests */
    bool named;       /* the client's header gave the id */
    uint64_t t_start; /* ns */
    qn_str body;
    size_t body_held; /* bytes taken from the server's body memory */
    bool too_large;
    bool dispatched;
    struct qn_gen *gen; /* of generating routes, else NULL */
    int n_prompt, n_completion;

    atomic_int refs;
    atomic_bool gone; /* nobody will read the answer */

    pthread_mutex_t lock;
    struct MHD_Connection *conn; /* NULL once OVER */
    bool suspended, replied, stream, done, broken;
    int status;
    const char *error; /* why a stream ended early, for the log; static */
    int retry_after;   /* seconds; 0: no such header */
    bool close;        /* the connection ends with this answer */
    const char *content_type;
    const char *etag; /* of a file of the web page, else NULL; static */
    qn_str out;
    size_t taken;       /* bytes of out that MHD has */
    uint64_t t_write;   /* of the last addition to out */
    uint64_t t_blocked; /* since when out is over the mark; 0: it is not */
} qn_call;

qn_call *qn_call_new(struct qn_server *srv);
void qn_call_ref(qn_call *call);
void qn_call_unref(qn_call *call);

/* The client's name for it becomes its id, if it is short and harmless; false
 * if not. */
bool qn_call_name(qn_call *call, const char *id);
/* Its body as JSON; the caller's. */
int qn_call_json(const qn_call *call, json_t **doc, qn_err *err);
/* Whether `name` is the model's that is served; answers with 404 if not. */
bool qn_call_serves(qn_call *call, const char *name);
/* The whole answer at once; takes the text. */
void qn_call_reply(qn_call *call, int status, const char *type, qn_str *text);
/* OpenAI's error object, or KServe's under /v2. `param` and `code` may be NULL;
 * the kind of error follows from the status. After a stream has begun it is
 * sent as an event and the stream ends. `code` is static. */
void qn_call_fail(qn_call *call, int status, const char *code,
                  const char *param, const char *fmt, ...) QN_PRINTF(5, 6);
/* 500 for what is not the client's doing: the log has `why`, the client that it
 * is there, and under which id. */
void qn_call_break(qn_call *call, const char *why);
/* As qn_call_fail, with a Retry-After header. */
void qn_call_retry(qn_call *call, int status, int seconds, const char *fmt, ...)
    QN_PRINTF(4, 5);

/* Begins an event stream (status 200). */
void qn_call_stream(qn_call *call);
/* Adds to the stream; false when the client has gone. */
bool qn_call_write(qn_call *call, const char *p, size_t n);
void qn_call_end(qn_call *call);
/* The client has left: ends the waiting of everybody involved. */
void qn_call_left(qn_call *call);
/* Whether out is over the stream buffer's mark. */
bool qn_call_behind(qn_call *call);
/* A comment, if the stream has been silent since before `t`. */
void qn_call_keep_alive(qn_call *call, uint64_t t);

#endif
