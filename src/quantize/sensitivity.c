/* sensitivity.c - see sensitivity.h.
 *
 * With logits l of the base, p = softmax(l), and d = other logits - l:
 *     KL = log sum p exp(d) - sum p d = log(1 + sum p (exp(x) - 1 - x)),
 *     x = d - sum p d,
 * a sum of terms that are never negative and small when d is. */
#include "quantize/sensitivity.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct qn_probe {
    qn_optimize_params few;
    qn_cal *cal;
    qn_pool *pool;
    int64_t n_sample, len;
    int n_layer, n_vocab;
    size_t d_model;
    bool chain;
    /* [n_layer + 1][n_sample * len, d_model] before each layer and behind the
     * last; NULL where the network is no chain */
    float *stream;
    float *base; /* logits [n_sample * len, n_vocab] */
    float *prob; /* and their probabilities */
    float *h;    /* [len, d_model] */
    double *sum; /* [len] */
};

/* ---- divergence ---------------------------------------------------------- */

enum {
    SIDE = 16 /* tokens side by side */
};

typedef struct kl_job {
    const qn_probe *p;
    const float *logits, *base, *prob; /* of one sample */
    double *sum;
} kl_job;

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

/* SIDE terms of the sum. */
static double kl_terms(const float *x, const float *base, const float *prob,
                       float mean)
{
    float most = 0, sum = 0, term[SIDE];
    for (int i = 0; i < SIDE; i++) {
        float d = x[i] - base[i] - mean;
        float far = fabsf(d);
        term[i] = prob[i] * rest_of_exp(d);
        most = most > far ? most : far;
    }
    for (int i = 0; i < SIDE && !(most < 0.5f); i++) {
        float d = x[i] - base[i] - mean;
        term[i] = prob[i] * (fabsf(d) < 0.5f ? rest_of_exp(d) : expm1f(d) - d);
    }
    for (int i = 0; i < SIDE; i++)
        sum += term[i];
    return (double)sum;
}

static double mean_change(const float *x, const float *base, const float *prob,
                          int n)
{
    double sum = 0;
    for (int i = 0; i < n; i += SIDE) {
        float part[SIDE], all = 0;
        int m = QN_MIN(SIDE, n - i);
        for (int k = 0; k < m; k++)
            part[k] = prob[i + k] * (x[i + k] - base[i + k]);
        for (int k = 0; k < m; k++)
            all += part[k];
        sum += (double)all;
    }
    return sum;
}

static double kl_row(const float *x, const float *base, const float *prob,
                     int n)
{
    float mean = (float)mean_change(x, base, prob, n);
    float last[3][SIDE] = {{0}};
    double sum = 0;
    int i = 0;
    for (; i + SIDE <= n; i += SIDE)
        sum += kl_terms(x + i, base + i, prob + i, mean);
    for (int k = 0; i + k < n; k++) {
        last[0][k] = x[i + k];
        last[1][k] = base[i + k];
        last[2][k] = prob[i + k];
    }
    return log1p(sum + kl_terms(last[0], last[1], last[2], mean));
}

static void kl_thread(void *arg, int thread, int n_threads)
{
    const kl_job *j = arg;
    int64_t n = j->p->n_vocab, begin, end;
    qn_pool_split(j->p->len, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        j->sum[r] = kl_row(j->logits + r * n, j->base + r * n, j->prob + r * n,
                           (int)n);
}

static float log_sum(const float *x, int n)
{
    float max = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        max = fmaxf(max, x[i]);
    for (int i = 0; i < n; i++)
        sum += (double)expf(x[i] - max);
    return max + (float)log(sum);
}

/* ---- opening ------------------------------------------------------------- */

static float *stream_of(const qn_probe *p, int layer, int64_t sample)
{
    size_t rows = (size_t)(p->n_sample * p->len);
    size_t at = (size_t)layer * rows + (size_t)(sample * p->len);
    return p->stream + at * p->d_model;
}

/* Layer by layer, every stream kept. */
static int run_chain(qn_probe *p, int64_t sample, const float **logits,
                     qn_err *err)
{
    size_t n = (size_t)p->len * p->d_model;
    for (int l = 0; l < p->n_layer; l++) {
        QN_TRY(qn_cal_layers(p->cal, (int)sample, l, l + 1, p->h, err));
        memcpy(stream_of(p, l + 1, sample), p->h, n * sizeof *p->h);
    }
    return qn_cal_head(p->cal, (int)sample, p->h, logits, err);
}

static int run_base(qn_probe *p, qn_err *err)
{
    for (int64_t s = 0; s < p->n_sample; s++) {
        const float *logits;
        size_t n = (size_t)p->n_vocab, at = (size_t)(s * p->len);
        QN_TRY(p->chain ? run_chain(p, s, &logits, err)
                        : qn_cal_logits(p->cal, (int)s, &logits, err));
        memcpy(p->base + at * n, logits, (size_t)p->len * n * sizeof *logits);
        for (size_t r = 0; r < (size_t)p->len; r++) {
            float lse = log_sum(logits + r * n, p->n_vocab);
            for (size_t k = 0; k < n; k++)
                p->prob[(at + r) * n + k] = expf(logits[r * n + k] - lse);
        }
    }
    return QN_OK;
}

static int make_room(qn_probe *p, qn_err *err)
{
    const qn_hparams *hp = qn_net_hparams(qn_cal_net(p->cal));
    qn_cal_samples(p->cal, &p->n_sample, &p->len);
    size_t rows = (size_t)(p->n_sample * p->len);
    p->chain = qn_net_is_chain(qn_cal_net(p->cal));
    p->n_layer = hp->n_layer;
    p->n_vocab = hp->n_vocab;
    p->d_model = (size_t)hp->d_model;
    p->base = qn_alloc(rows, (size_t)p->n_vocab * sizeof *p->base);
    p->prob = qn_alloc(rows, (size_t)p->n_vocab * sizeof *p->prob);
    p->h = qn_alloc((size_t)p->len, p->d_model * sizeof *p->h);
    p->sum = qn_alloc((size_t)p->len, sizeof *p->sum);
    bool ok = p->base && p->prob && p->h && p->sum;
    if (p->chain) {
        p->stream = qn_alloc(rows * ((size_t)p->n_layer + 1),
                             p->d_model * sizeof *p->stream);
        ok = ok && p->stream;
    }
    return ok ? QN_OK
              : qn_fail(err, QN_ENOMEM,
                        "no memory for what %zu tokens make of the network",
                        rows);
}

static bool is_large(const qn_ckpt *ck)
{
    uint64_t n = 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++)
        n += qn_ckpt_tensor(ck, i)->n_elems;
    return n >= QN_PROBE_LARGE;
}

static int probe_open(qn_probe *p, const qn_ckpt *ck, qn_err *err)
{
    QN_TRY(qn_cal_open(&p->cal, &p->few, ck, !is_large(ck), err));
    p->pool = qn_cal_backend(p->cal)->api->pool(qn_cal_backend(p->cal));
    QN_TRY(make_room(p, err));
    QN_TRY(qn_cal_load_all(p->cal, err));
    return run_base(p, err);
}

int qn_probe_open(qn_probe **out, const qn_optimize_params *params,
                  const qn_ckpt *ck, qn_err *err)
{
    qn_probe *p = *out = qn_xcalloc(1, sizeof *p);
    p->few = *params;
    p->few.n_samples = QN_PROBE_SAMPLES;
    p->few.n_context = QN_PROBE_SAMPLE_TOKENS;
    return probe_open(p, ck, err);
}

void qn_probe_close(qn_probe *p)
{
    if (!p)
        return;
    qn_cal_close(p->cal);
    qn_free(p->stream);
    qn_free(p->base);
    qn_free(p->prob);
    qn_free(p->h);
    qn_free(p->sum);
    qn_free(p);
}

qn_net *qn_probe_net(const qn_probe *p)
{
    return qn_cal_net(p->cal);
}

qn_pool *qn_probe_pool(const qn_probe *p)
{
    return p->pool;
}

/* ---- a change ------------------------------------------------------------ */

static int run_from(qn_probe *p, int layer, int64_t sample,
                    const float **logits, qn_err *err)
{
    size_t n = (size_t)p->len * p->d_model;
    if (!p->chain)
        return qn_cal_logits(p->cal, (int)sample, logits, err);
    layer = QN_MAX(layer, 0);
    if (layer > 0)
        memcpy(p->h, stream_of(p, layer, sample), n * sizeof *p->h);
    if (layer < p->n_layer)
        QN_TRY(
            qn_cal_layers(p->cal, (int)sample, layer, p->n_layer, p->h, err));
    return qn_cal_head(p->cal, (int)sample, p->h, logits, err);
}

int qn_probe_kl(qn_probe *p, int layer, double *kl, qn_err *err)
{
    *kl = 0;
    for (int64_t s = 0; s < p->n_sample; s++) {
        size_t at = (size_t)(s * p->len) * (size_t)p->n_vocab;
        kl_job j = {
            .p = p, .base = p->base + at, .prob = p->prob + at, .sum = p->sum};
        QN_TRY(run_from(p, layer, s, &j.logits, err));
        qn_pool_run(p->pool, kl_thread, &j);
        for (int64_t r = 0; r < p->len; r++)
            *kl += p->sum[r] / (double)(p->len * p->n_sample);
    }
    return QN_OK;
}
