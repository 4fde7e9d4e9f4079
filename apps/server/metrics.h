/* metrics.h - counters and histograms, and their Prometheus text.
 *
 * Counting is lock-free and may be done by any thread. */
#ifndef QN_SERVER_METRICS_H
#define QN_SERVER_METRICS_H

#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef enum qn_metric {
    QN_METRIC_PROMPT_TOKENS,
    QN_METRIC_COMPLETION_TOKENS,
    QN_METRIC_REJECTED,  /* 429: the queue was full      */
    QN_METRIC_CANCELLED, /* the client left              */
    QN_METRIC_TIMED_OUT, /* queue-timeout, request-timeout */
    QN_METRIC_STOP,      /* completions by why they ended */
    QN_METRIC_LENGTH,
    QN_METRIC_ABORT,
    QN_METRIC_ERROR,
    QN_METRIC_N
} qn_metric;

typedef enum qn_sample {
    /* seconds */
    QN_SAMPLE_TTFT,
    QN_SAMPLE_ITL,     /* between two tokens of a completion */
    QN_SAMPLE_TPOT,    /* mean of a request's tokens after the first */
    QN_SAMPLE_E2E,     /* arrival to last token */
    QN_SAMPLE_QUEUE,   /* arrival to admission */
    QN_SAMPLE_PREFILL, /* admission to first token */
    QN_SAMPLE_DECODE,  /* first to last token */
    QN_SAMPLE_RUN,     /* admission to last token */
    /* tokens */
    QN_SAMPLE_PROMPT,
    QN_SAMPLE_COMPLETION,
    QN_SAMPLE_STEP, /* rows of a step: its batch */
    QN_SAMPLE_N
} qn_sample;

#define QN_SAMPLE_BUCKETS 20
#define QN_STATUS_CODES 600

typedef struct qn_histogram {
    atomic_uint_fast64_t count[QN_SAMPLE_BUCKETS + 1];
    atomic_uint_fast64_t sum_micro;
} qn_histogram;

typedef struct qn_metrics {
    atomic_uint_fast64_t counter[QN_METRIC_N];
    atomic_uint_fast64_t status[QN_STATUS_CODES];
    atomic_uint_fast64_t unfinished; /* answers that were cut off */
    qn_histogram sample[QN_SAMPLE_N];
} qn_metrics;

struct qn_server;

void qn_metrics_count(qn_metrics *m, qn_metric which, uint64_t n);
/* Seconds or tokens. */
void qn_metrics_sample(qn_metrics *m, qn_sample which, double v);
void qn_metrics_response(qn_metrics *m, int status, bool whole);
/* Everything, in the text format 0.0.4 of Prometheus. */
void qn_metrics_write(struct qn_server *srv, qn_str *out);

#endif
