/* hub_ask.h - one download's common state, and asking with patience: what is
 * worth trying again, how long to wait before, and what a refusal means. */
#ifndef QN_HUB_HUB_ASK_H
#define QN_HUB_HUB_ASK_H

#include "hub/hub_http.h"

#include <pthread.h>

typedef struct qn_hub_tuning {
    int retry_ms;   /* before the first repetition; doubles each time */
    int max_tries;  /* in a row without a single new byte */
    int stall_s;    /* silence on a connection after which it is given up */
    int max_wait_s; /* a longer Retry-After is an error */
} qn_hub_tuning;

extern const qn_hub_tuning qn_hub_tuning_default;

typedef struct qn_hub_ctx {
    qn_hub_site site;
    const char *name; /* of the repository, as given, for messages */
    const char *repo;
    qn_hub_tuning tuning;
    atomic_bool stop; /* cancelled, or another file failed */
    _Atomic uint64_t done, total;
    atomic_int files_done, files_total;
    pthread_mutex_t lock; /* over note */
    char note[256];       /* what is being waited for; "" */
} qn_hub_ctx;

/* Sets (or with NULL ends) what the user may be told of a wait. */
void qn_hub_note(qn_hub_ctx *c, const char *fmt, ...) QN_PRINTF(2, 3);

/* Sleeps. QN_ECANCEL as soon as c->stop is set. */
int qn_hub_sleep(qn_hub_ctx *c, uint64_t ms, qn_err *err);

/* Decides on an attempt that ended with `rc` of qn_http_get and, if 0, with
 * this reply: 0 after having waited (try again), or the error. `tries` counts
 * attempts in a row that brought nothing. `what` is the file or "". */
int qn_hub_again(qn_hub_ctx *c, int rc, const qn_http_reply *r,
                 const char *what, int tries, qn_err *err);

/* GET of something small into memory (qn_free it), or, with out == NULL, a
 * HEAD; r (the caller's to deinit) is of the last attempt, 2xx or a link. */
int qn_hub_ask(qn_hub_ctx *c, qn_http *h, const char *url, const char *what,
               size_t max, char **out, size_t *n, qn_http_reply *r,
               qn_err *err);

/* Appends path, percent-encoded; '/' stays when `slashes`. */
void qn_hub_add_encoded(qn_str *s, const char *path, bool slashes);

#endif
