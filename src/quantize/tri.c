/* tri.c - see tri.h. */
#include "quantize/tri.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <string.h>

static size_t n_bytes(const qn_tri *t)
{
    int64_t rows = 0;
    for (int64_t a = 0; a < t->n; a += QN_TRI_STRIP)
        rows += t->n - a;
    return (size_t)rows * (size_t)t->ld * sizeof *t->v;
}

/* Rows are an odd number of cache lines apart, so that one column of many does
 * not fall on few cache sets. */
int qn_tri_new(qn_tri *t, int64_t n, qn_err *err)
{
    void *v;
    *t = (qn_tri){.n = n};
    t->ld = ((QN_MIN(n, (int64_t)QN_TRI_STRIP) + 15) / 16 | 1) * 16;
    QN_TRY(qn_big_alloc(&v, n_bytes(t), QN_MEM_OTHER, err));
    t->v = v;
    return QN_OK;
}

void qn_tri_free(qn_tri *t)
{
    if (t->v)
        qn_big_free(t->v, n_bytes(t), QN_MEM_OTHER);
    *t = (qn_tri){0};
}

static void swap(float *a, float *b)
{
    float v = *a;
    *a = *b;
    *b = v;
}

void qn_tri_swap(qn_tri *t, int64_t p, int64_t q)
{
    int64_t lo = QN_MIN(p, q), hi = QN_MAX(p, q);
    if (lo == hi)
        return;
    for (int64_t k = 0, end; k < lo; k = end) {
        float *a = qn_tri_at(t, lo, k), *b = qn_tri_at(t, hi, k);
        end = QN_MIN(qn_tri_end(t, k), lo);
        for (int64_t i = 0; i < end - k; i++)
            swap(a + i, b + i);
    }
    swap(qn_tri_at(t, lo, lo), qn_tri_at(t, hi, hi));
    float *down = qn_tri_at(t, lo, lo);
    for (int64_t k = lo + 1; k < hi; k++)
        swap(down + (k - lo) * t->ld, qn_tri_at(t, hi, k));
    float *other = qn_tri_at(t, hi, hi);
    for (int64_t k = hi + 1; k < t->n; k++)
        swap(down + (k - lo) * t->ld, other + (k - hi) * t->ld);
}
