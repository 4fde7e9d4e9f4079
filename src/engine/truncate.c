/* truncate.c - steps that keep a part of the distribution.
 *
 * Candidates are sorted by falling logit, so that top_k, top_n_sigma, top_p
 * and min_p each keep a prefix. Sorting a vocabulary of 128k for every token
 * would cost milliseconds: collect() first finds, in linear passes, a bound
 * below which nothing can survive, and sorts only what lies above it. The
 * bound is exact: it never removes what the plain definition keeps. */
#include "engine/sample_int.h"

#include <math.h>
#include <stdlib.h>

static int by_logit(const void *a, const void *b)
{
    const qn_cand *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static void reserve(qn_cands *c, size_t n)
{
    if (n <= c->cap)
        return;
    c->v = qn_xreallocarray(c->v, n, sizeof *c->v);
    c->cap = n;
}

static void *scratch(qn_cands *c, size_t n, size_t size)
{
    if (n * size > c->scratch_cap) {
        c->scratch = qn_xreallocarray(c->scratch, n, size);
        c->scratch_cap = n * size;
    }
    return c->scratch;
}

void qn_cands_deinit(qn_cands *c)
{
    free(c->v);
    free(c->scratch);
}

/* The k-th largest of v[0..n), 1 <= k <= n; reorders v (Hoare's select). */
static float kth_largest(float *v, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1, want = k - 1;
    while (lo < hi) {
        float pivot = v[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i >= j)
                break;
            float t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        /* [lo..j] >= pivot >= [j+1..hi] */
        if (want <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return v[want];
}

static float bound_top_k(qn_cands *c, const float *row, int n, int k)
{
    float *v = scratch(c, (size_t)n, sizeof *v);
    size_t m = 0;
    for (int i = 0; i < n; i++)
        if (row[i] > -INFINITY)
            v[m++] = row[i];
    float bound = -INFINITY;
    if (m > (size_t)k)
        bound = kth_largest(v, m, (size_t)k);
    return bound;
}

/* max - n_sigma * standard deviation of the logits (after temperature the
 * ratio is the same, so temperature does not matter here). */
static float bound_sigma(const float *row, int n, float top, float n_sigma)
{
    double sum = 0, sq = 0;
    size_t m = 0;
    for (int i = 0; i < n; i++)
        if (row[i] > -INFINITY) {
            sum += (double)row[i];
            m++;
        }
    double mean = sum / (double)m;
    for (int i = 0; i < n; i++)
        if (row[i] > -INFINITY) {
            double d = (double)row[i] - mean;
            sq += d * d;
        }
    return top - n_sigma * (float)sqrt(sq / (double)m);
}

#define BUCKETS 512

/* A bound above which at least `mass` of the softmax over logits >= floor
 * lies: a histogram of the distance to the maximum, in steps of 1/16, the
 * last bucket open. The bucket in which the mass is reached is kept whole. */
static float bound_mass(const float *row, int n, float top, float floor_,
                        float inv_t, double mass)
{
    double bucket[BUCKETS] = {0}, total = 0;
    for (int i = 0; i < n; i++) {
        if (!(row[i] >= floor_) || row[i] == -INFINITY)
            continue;
        float d = (top - row[i]) * inv_t;
        double e = exp(-(double)d);
        int b = d * 16.0f < BUCKETS - 1 ? (int)(d * 16.0f) : BUCKETS - 1;
        bucket[b] += e;
        total += e;
    }
    double acc = 0;
    for (int b = 0; b < BUCKETS - 1; b++) {
        acc += bucket[b];
        /* the slack covers rounding of the sums: one more bucket, never less */
        if (acc >= mass * total * (1.0 + 1e-9))
            return top - ((float)(b + 1) / 16.0f + 1e-3f) / inv_t;
    }
    return -INFINITY;
}

void qn_cands_softmax(qn_cands *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->v[i].p = exp((double)c->v[i].logit - (double)c->v[0].logit);
        sum += c->v[i].p;
    }
    for (size_t i = 0; i < c->n; i++)
        c->v[i].p /= sum;
}

void qn_cands_collect(qn_cands *c, const float *row, int n,
                      const qn_sampling *p)
{
    float top = -INFINITY, bound = -INFINITY;
    for (int i = 0; i < n; i++)
        if (row[i] > top) /* NaN is not */
            top = row[i];
    bool miro = p->mirostat == 2;
    if (!miro && p->top_k > 0 && p->top_k < n)
        bound = bound_top_k(c, row, n, p->top_k);
    if (!miro && p->top_n_sigma > 0) {
        float b = bound_sigma(row, n, top, p->top_n_sigma);
        bound = QN_MAX(bound, b);
    }
    /* A prefix by mass is taken early only to sort less: what typical_p or
     * mirostat would keep need not be a prefix, so not then. top_p's mass is
     * of what is left, so the probabilities must still be those of all. */
    float inv_t = 1.0f / p->temperature;
    float cut = bound;
    bool by_mass = !miro && p->typical_p >= 1.0f && p->top_p < 1.0f;
    if (by_mass)
        cut = QN_MAX(bound,
                     bound_mass(row, n, top, bound, inv_t, (double)p->top_p));
    double total = 0;
    size_t left = 0;
    reserve(c, (size_t)n);
    c->n = 0;
    for (int i = 0; i < n; i++) {
        if (row[i] == -INFINITY || !(row[i] >= bound))
            continue;
        left++;
        if (by_mass)
            total += exp(((double)row[i] - (double)top) * (double)inv_t);
        if (row[i] >= cut)
            c->v[c->n++] = (qn_cand){.logit = row[i] * inv_t, .id = i};
    }
    qsort(c->v, c->n, sizeof *c->v, by_logit);
    if (!miro && p->top_k > 0 && left > (size_t)p->top_k) {
        /* ties at the k-th place, all equal to the bound: lower ids stay */
        total -= (double)(left - (size_t)p->top_k) *
                 exp(((double)bound - (double)top) * (double)inv_t);
        if (c->n > (size_t)p->top_k)
            c->n = (size_t)p->top_k;
    }
    qn_cands_softmax(c);
    if (by_mass && total > 0)
        for (size_t i = 0; i < c->n; i++)
            c->v[i].p = exp((double)c->v[i].logit - (double)c->v[0].logit) /
                        total;
}

static void renormalize(qn_cands *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        sum += c->v[i].p;
    for (size_t i = 0; i < c->n; i++)
        c->v[i].p /= sum;
}

/* The smallest prefix whose probability reaches mass. */
void qn_keep_top_p(qn_cands *c, double mass)
{
    double acc = 0;
    for (size_t i = 0; i < c->n; i++) {
        acc += c->v[i].p;
        if (acc >= mass) {
            c->n = i + 1;
            break;
        }
    }
    renormalize(c);
}

void qn_keep_min_p(qn_cands *c, double ratio)
{
    size_t n = 1;
    while (n < c->n && c->v[n].p >= ratio * c->v[0].p)
        n++;
    c->n = n;
    renormalize(c);
}

typedef struct oddity {
    double score; /* | surprise - entropy | */
    size_t at;    /* index into the candidates */
} oddity;

static int by_score(const void *a, const void *b)
{
    const oddity *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Locally typical sampling (Meister et al. 2022): the tokens whose surprise
 * is nearest to the entropy, until their probability reaches mass. */
void qn_keep_typical(qn_cands *c, double mass)
{
    double h = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].p > 0)
            h -= c->v[i].p * log(c->v[i].p);
    oddity *o = scratch(c, c->cap, sizeof *o);
    for (size_t i = 0; i < c->n; i++)
        o[i] = (oddity){fabs(-log(c->v[i].p) - h), i};
    qsort(o, c->n, sizeof *o, by_score);
    double acc = 0;
    size_t keep = 0;
    while (keep < c->n) {
        acc += c->v[o[keep++].at].p;
        if (acc >= mass)
            break;
    }
    for (size_t i = keep; i < c->n; i++)
        c->v[o[i].at].id = -1;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].id >= 0)
            c->v[n++] = c->v[i];
    c->n = n;
    renormalize(c);
}

/* Exclude top choices: of the tokens at or above the threshold only the least
 * likely stays. */
void qn_drop_xtc(qn_cands *c, double threshold)
{
    size_t above = 0;
    while (above < c->n && c->v[above].p >= threshold)
        above++;
    if (above < 2)
        return;
    size_t drop = above - 1;
    for (size_t i = drop; i < c->n; i++)
        c->v[i - drop] = c->v[i];
    c->n -= drop;
    renormalize(c);
}

/* a comes before b: the larger logit, or the lower id of equal ones. */
static bool before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
}

/* heap[at] sinks until what is below comes before it: the root is the last in
 * order of those that are kept. */
static void sink(const float *logits, int32_t *heap, int n, int at)
{
    int32_t id = heap[at];
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(logits, heap[child], heap[child + 1]))
            child++;
        if (!before(logits, id, heap[child]))
            break;
        heap[at] = heap[child];
    }
    heap[at] = id;
}

int qn_top_k(const float *logits, int n, int k, int32_t *out)
{
    int m = 0;
    for (int i = 0; i < n && k > 0; i++) {
        if (!(logits[i] > -INFINITY))
            continue;
        if (m < k) {
            out[m++] = i;
            if (m == k)
                for (int at = k / 2 - 1; at >= 0; at--)
                    sink(logits, out, k, at);
        } else if (before(logits, i, out[0])) {
            out[0] = i;
            sink(logits, out, k, 0);
        }
    }
    if (m < k)
        for (int at = m / 2 - 1; at >= 0; at--)
            sink(logits, out, m, at);
    for (int end = m - 1; end > 0; end--) { /* the last goes to the end */
        int32_t id = out[end];
        out[end] = out[0];
        out[0] = id;
        sink(logits, out, end, 0);
    }
    return m;
}
