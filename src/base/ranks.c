/* ranks.c - see ranks.h. */
#include "base/ranks.h"

#include "base/compiler.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qn_sort_doubles(double *v, size_t n)
{
    if (n)
        qsort(v, n, sizeof *v, by_value);
}

double qn_at_rank(const double *sorted, size_t n, double rank)
{
    if (n == 0)
        return 0;
    double at = QN_MIN(QN_MAX(rank, 0.0), (double)(n - 1));
    size_t i = (size_t)at;
    double next = sorted[QN_MIN(i + 1, n - 1)];
    return sorted[i] + (at - (double)i) * (next - sorted[i]);
}

double qn_median(double *v, size_t n)
{
    qn_sort_doubles(v, n);
    return qn_at_rank(v, n, 0.5 * (double)(n - 1));
}
