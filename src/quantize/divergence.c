/* divergence.c - see divergence.h. */
#include "quantize/divergence.h"

#include "base/compiler.h"

#include <math.h>

enum {
    SIDE = 16 /* tokens side by side */
};

typedef struct kl_job {
    const qn_kl_piece *p;
    const float *x; /* [n_row, n] */
    qn_kl_sum *to;  /* [n_row]    */
} kl_job;

/* ---- divergence ---------------------------------------------------------- */

/* exp(x) - 1 - x, where |x| < 1/2 by a series whose next term is 2^-24 of it. */
static inline float rest_of_exp(float x)
{
    return x * x *
           (1.0f / 2 +
            x * (1.0f / 6 +
                 x * (1.0f / 24 +
                      x * (1.0f / 120 +
                           x * (1.0f / 720 +
                                x * (1.0f / 5040 + x * (1.0f / 40320)))))));
}

/* SIDE terms of both sums. */
static void kl_terms(const float *x, const float *base, const float *weight,
                     qn_kl_sum *s)
{
    float most = 0, first = 0, rest = 0, term[2][SIDE];
    double far = 0; /* what is beyond a float */
    for (int i = 0; i < SIDE; i++) {
        float d = x[i] - base[i] - s->mean;
        float size = fabsf(d);
        term[0][i] = weight[i] * d;
        term[1][i] = weight[i] * rest_of_exp(d);
        most = most > size ? most : size;
    }
    for (int i = 0; i < SIDE && !(most < 0.5f); i++) {
        float d = x[i] - base[i] - s->mean;
        if (d > 80)
            far += (double)weight[i] * (expm1((double)d) - (double)d);
        term[1][i] = weight[i] * (fabsf(d) < 0.5f ? rest_of_exp(d)
                                  : d > 80        ? 0
                                                  : expm1f(d) - d);
    }
    for (int i = 0; i < SIDE; i++) {
        first += term[0][i];
        rest += term[1][i];
    }
    s->first += (double)first;
    s->rest += (double)rest + far;
}

static double mean_change(const float *x, const float *base,
                          const float *weight, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i += SIDE) {
        float part[SIDE], all = 0;
        int m = QN_MIN(SIDE, n - i);
        for (int k = 0; k < m; k++)
            part[k] = weight[i + k] * (x[i + k] - base[i + k]);
        for (int k = 0; k < m; k++)
            all += part[k];
        sum += (double)all;
    }
    return sum;
}

/* Sums over weights of `past` together, from x to x - by. */
static void move_mean(qn_kl_sum *s, double past, float mean)
{
    double by = (double)mean - (double)s->mean;
    double all = past + s->first + s->rest; /* of exp(x) */
    s->first -= by * past;
    s->rest = all * exp(-by) - past - s->first;
    s->mean = mean;
}

static void kl_row(const float *x, const float *base, const float *weight,
                   int n, const qn_kl_base *b, qn_kl_sum *s)
{
    float last[3][SIDE] = {{0}};
    int i = 0;
    s->first *= (double)b->scale;
    s->rest *= (double)b->scale;
    double change = b->past * (double)s->mean + s->first;
    change += mean_change(x, base, weight, n);
    move_mean(s, b->past, (float)(change / b->sum));
    for (; i + SIDE <= n; i += SIDE)
        kl_terms(x + i, base + i, weight + i, s);
    for (int k = 0; k < SIDE; k++) {
        bool in = i + k < n;
        last[0][k] = in ? x[i + k] : s->mean;
        last[1][k] = in ? base[i + k] : 0;
        last[2][k] = in ? weight[i + k] : 0;
    }
    kl_terms(last[0], last[1], last[2], s);
}

static void kl_thread(void *arg, int thread, int n_threads)
{
    const kl_job *j = arg;
    const qn_kl_piece *p = j->p;
    int64_t begin, end;
    qn_pool_split(p->n_row, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        kl_row(j->x + r * p->n, p->base + r * p->ld, p->weight + r * p->n, p->n,
               &p->sum[r], &j->to[r]);
}

void qn_kl_add(qn_pool *pool, const qn_kl_piece *p, const float *x,
               qn_kl_sum *s)
{
    kl_job j = {.p = p, .x = x, .to = s};
    qn_pool_run(pool, kl_thread, &j);
}

/* ---- the base ------------------------------------------------------------ */

static void weigh_row(const float *x, float *weight, int n, qn_kl_base *b)
{
    bool first = !(b->sum > 0);
    float max = first ? x[0] : b->max;
    double sum = 0;
    for (int i = 0; i < n; i++)
        max = fmaxf(max, x[i]);
    for (int i = 0; i < n; i++) {
        weight[i] = expf(x[i] - max);
        sum += (double)weight[i];
    }
    b->scale = first ? 1 : expf(b->max - max);
    b->past = b->sum * (double)b->scale;
    b->sum = b->past + sum;
    b->max = max;
}

static void weigh_thread(void *arg, int thread, int n_threads)
{
    const qn_kl_piece *p = arg;
    int64_t begin, end;
    qn_pool_split(p->n_row, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        weigh_row(p->base + r * p->ld, p->weight + r * p->n, p->n, &p->sum[r]);
}

void qn_kl_weigh(qn_pool *pool, const qn_kl_piece *p)
{
    qn_kl_piece piece = *p;
    qn_pool_run(pool, weigh_thread, &piece);
}

/* ---- the end ------------------------------------------------------------- */

double qn_kl_of(const qn_kl_base *b, const qn_kl_sum *s)
{
    double first = s->first / b->sum;
    return log1p(first + s->rest / b->sum) - first;
}

double qn_kl_log_sum(const qn_kl_base *b)
{
    return (double)b->max + log(b->sum);
}

double qn_kl_log_sum_other(const qn_kl_base *b, const qn_kl_sum *s)
{
    return qn_kl_log_sum(b) + (double)s->mean +
           log1p((s->first + s->rest) / b->sum);
}
