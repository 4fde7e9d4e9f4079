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

typedef struct qn_shot_result {
    bool ok;
    int status;          /* HTTP; 0: the connection failed */
    int n_prompt, n_out; /* tokens, from the usage chunk   */
    double start;        /* s since the run began          */
    double ttft, e2e;    /* s                              */
    double *gaps;        /* [n_gaps] s between chunks with text; freed by the
                            caller */
    int n_gaps;
} qn_shot_result;

/* http://host[:port][/v1]; the path becomes that of the completions. */
int qn_shot_parse_url(qn_shot_target *t, const char *url, qn_err *err);
/* Sends the body and reads the answer to its end. `t0`: qn_now_ns() of the
 * run's beginning. Blocks; any number of threads at a time. */
void qn_shot_run(const qn_shot_target *t, const char *body, size_t n,
                 double timeout, uint64_t t0, qn_shot_result *r);

#endif
