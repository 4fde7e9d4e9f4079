/* load_plan.h - which requests `quern bench serve` sends, and when: lengths
 * and times drawn from distributions, or those of a recorded trace. The same
 * parameters give the same plan. */
#ifndef QN_CLI_LOAD_PLAN_H
#define QN_CLI_LOAD_PLAN_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

typedef enum qn_spread { /* of lengths around their mean */
    QN_SPREAD_UNIFORM,   /* evenly, by `ratio` of the mean up and down */
    QN_SPREAD_LOGNORMAL, /* `ratio` is the deviation of the logarithm  */
    QN_SPREAD_EXPONENTIAL
} qn_spread;

typedef struct qn_load_params {
    int n;           /* requests; of a trace, at most        */
    double rate;     /* per second, Poisson; 0: all at once  */
    int64_t n_in;    /* mean length of prompts, tokens       */
    int64_t n_out;   /* and of answers                       */
    int64_t max_len; /* prompt and answer together; 0: any   */
    qn_spread spread;
    double ratio;
    int64_t n_prefix;  /* tokens at the beginning that prompts share */
    int n_prefixes;    /* different ones of those              */
    int64_t vocab;     /* ids are below                        */
    double abort_part; /* of the clients leave in the middle   */
    double abort_s;    /* at a random time up to this          */
    uint64_t seed;
    const char *trace; /* CSV file, or NULL                    */
    double speed;      /* of the trace's clock                 */
} qn_load_params;

typedef struct qn_load_shot {
    double due;          /* s since the beginning             */
    int64_t n_in, n_out; /* n_in without the shared beginning */
    int prefix;          /* which shared beginning            */
    double leave;        /* s after it was sent; 0: never     */
} qn_load_shot;

typedef struct qn_load {
    qn_load_params p;
    qn_load_shot *shots; /* [n], by time */
    int n;
} qn_load;

int qn_load_make(qn_load *load, const qn_load_params *p, qn_err *err);
void qn_load_deinit(qn_load *load);
/* The body of the i-th request; any thread. */
void qn_load_body(const qn_load *load, int i, qn_str *body);

#endif
