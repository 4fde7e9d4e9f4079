/* load_report.h - what a load on a server came to, with the figures and names
 * of vLLM's `bench serve`. */
#ifndef QN_CLI_LOAD_REPORT_H
#define QN_CLI_LOAD_REPORT_H

#include "cli/load_plan.h"
#include "cli/shot.h"

/* Goodput counts requests that keep to these; 0: any. ms. */
typedef struct qn_load_goal {
    double ttft, tpot, e2e;
} qn_load_goal;

typedef struct qn_load_run {
    const qn_load *load;
    const qn_shot_result *results; /* [load->n] */
    qn_load_goal goal;
    double seconds;
    int peak; /* requests under way at a time */
    int max_concurrency;
} qn_load_run;

/* To stdout, as a table or as one JSON object. */
void qn_load_report(const qn_load_run *run, bool json);

#endif
