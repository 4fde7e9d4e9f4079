/* shot.h - one streamed completion over HTTP/1.1, with the times at which its
 * pieces came: the client of `quern bench serve`. */
#ifndef QN_CLI_SHOT_H
#define QN_CLI_SHOT_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

typedef struct qn_shot_target {
    char host[256], port[16], path[256];
    const char *key; /* or NULL */
} qn_shot_target;

typedef enum qn_shot_end {
    QN_SHOT_OK,
    QN_SHOT_LEFT,    /* the client left on purpose      */
    QN_SHOT_REFUSED, /* 429 or 503                      */
    QN_SHOT_STATUS,  /* another status than 200         */
    QN_SHOT_CONNECT, /* no connection                   */
    QN_SHOT_TIMEOUT, /* no end within the time          */
    QN_SHOT_CUT,     /* the answer ended before its end */
    QN_SHOT_SHORT,   /* fewer tokens than were asked    */
    QN_SHOT_ENDS
} qn_shot_end;

typedef struct qn_shot_result {
    qn_shot_end end;
    int status;          /* HTTP; 0: there was none */
    char *why;           /* what the system or the server said of its failure,
                            or NULL; freed by the caller */
    int n_retries;       /* times that it was sent again */
    int n_prompt, n_out; /* tokens, from the usage chunk   */
    double start;        /* s since the run began          */
    double ttft, e2e;    /* s since it was first sent      */
    double *gaps;        /* [n_gaps] s between chunks with text; freed by the
                            caller */
    int n_gaps;
} qn_shot_result;

typedef struct qn_shot {
    const char *body;
    size_t n;
    double timeout; /* s */
    double leave;   /* s after which the client leaves; 0: it stays */
    int64_t n_out;  /* tokens that have to come */
    int retries; /* when it is refused, after the time that the server says */
} qn_shot;

/* http://host[:port][/path][/v1], [host] for an IPv6 address; the path of the
 * completions comes behind it. */
int qn_shot_parse_url(qn_shot_target *t, const char *url, qn_err *err);
/* Sends the body and reads the answer to its end. `t0`: qn_now_ns() of the
 * run's beginning. Blocks; any number of threads at a time. */
void qn_shot_run(const qn_shot_target *t, const qn_shot *shot, uint64_t t0,
                 qn_shot_result *r);

#endif
