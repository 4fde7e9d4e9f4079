/* ranks.h - values in order: medians and other quantiles of measurements. */
#ifndef QN_BASE_RANKS_H
#define QN_BASE_RANKS_H

#include <stddef.h>

/* Ascending. No NaN. */
void qn_sort_doubles(double *v, size_t n);
/* What lies at a rank (0: the least, n - 1: the greatest) of sorted values,
 * between two of them by interpolation, as numpy does by default. n 0: 0. */
double qn_at_rank(const double *sorted, size_t n, double rank);
/* Sorts. n 0: 0. */
double qn_median(double *v, size_t n);

#endif
