/* summary.h - from values at many positions to a few numbers, with what
 * chance leaves open.
 *
 * Neighbouring positions of a text are alike, so that they are not so many
 * independent observations. Intervals of means come from a block bootstrap
 * (Kunsch 1989): the values are cut into blocks of neighbours (64, fewer when
 * there are few values, more when there are very many), as many blocks are
 * drawn with replacement as there are, 1,000 times, from a fixed seed; the
 * interval is from the 2.5th to the 97.5th percentile of the means. Intervals
 * of quantiles are order statistics: the ranks n q -+ 1.96 sqrt(n q (1 - q)).
 * Intervals of proportions of independent trials are Wilson's (1927). */
#ifndef QN_EVAL_SUMMARY_H
#define QN_EVAL_SUMMARY_H

#include <stddef.h>

typedef struct qn_estimate {
    double value, lo, hi; /* 95 % */
} qn_estimate;

typedef struct qn_summary {
    size_t n;
    qn_estimate mean, median, p90, p99;
    double min, max;
} qn_summary;

/* x [n], n >= 1, is sorted afterwards. */
void qn_summarize(qn_summary *out, double *x, size_t n);
/* The mean alone, of values in the order of the positions. */
qn_estimate qn_mean_estimate(const double *x, size_t n);
/* `hits` of n independent trials, n >= 1. */
qn_estimate qn_wilson(double hits, double n);

#endif
