/* auto.c - see auto.h. */
#include "quantize/auto.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/calibrate.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 4, /* that divergences are measured on */
    SAMPLE_TOKENS = 128,
    PROBE = 1 /* three bits */
};

const int qn_auto_bits[QN_AUTO_BITS] = {2, 3, 4, 5, 6, 8};

/* ---- the choice ---------------------------------------------------------- */

/* The next step up of a row that saves most loss per byte; -1: none. */
static int best_step(const qn_auto_row *r, double *gain, uint64_t *cost)
{
    int best = -1;
    for (int i = r->pick + 1; i < QN_AUTO_BITS; i++) {
        if (!r->bytes[i] || r->bytes[i] <= r->bytes[r->pick] ||
            !(r->loss[i] < r->loss[r->pick]))
            continue;
        uint64_t more = r->bytes[i] - r->bytes[r->pick];
        double rate = (r->loss[r->pick] - r->loss[i]) / (double)more;
        if (best >= 0 && !(rate > *gain))
            continue;
        best = i;
        *gain = rate;
        *cost = more;
    }
    return best;
}

/* Of all rows, the best step that the budget has room for. */
static bool step_up(qn_auto_row *rows, size_t n, uint64_t room, uint64_t *cost)
{
    double most = 0, gain;
    uint64_t c;
    size_t who = n;
    int to = 0;
    for (size_t i = 0; i < n; i++) {
        int k = best_step(&rows[i], &gain, &c);
        if (k < 0 || c > room || !(gain > most))
            continue;
        most = gain;
        who = i;
        to = k;
        *cost = c;
    }
    if (who == n)
        return false;
    rows[who].pick = to;
    return true;
}

bool qn_auto_choose(qn_auto_row *rows, size_t n, uint64_t max_bytes,
                    double max_loss)
{
    uint64_t bytes = 0, cost = 0;
    for (size_t i = 0; i < n; i++) {
        rows[i].pick = 0;
        while (rows[i].pick < QN_AUTO_BITS - 1 && !rows[i].bytes[rows[i].pick])
            rows[i].pick++;
        bytes += rows[i].bytes[rows[i].pick];
    }
    if (max_bytes && bytes > max_bytes)
        return false;
    for (;;) {
        double loss = 0;
        for (size_t i = 0; i < n; i++)
            loss += rows[i].loss[rows[i].pick];
        if (max_loss > 0 && loss <= max_loss)
            return true;
        if (!step_up(rows, n, max_bytes ? max_bytes - bytes : UINT64_MAX,
                     &cost))
            return max_loss <= 0;
        bytes += cost;
    }
}

/* ---- divergence ---------------------------------------------------------- */

typedef struct auto_ctx {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    const qn_qmat *like;
    qn_opt_plan *plan;
    qn_cal *cal;
    qn_pool *pool;
    int64_t n_sample, len;
    int n_vocab;
    float *base; /* log probabilities [n_sample * len, n_vocab] */
    qn_auto_row *rows;
    size_t *item; /* of each row */
    size_t n;
    bool (*tick)(void *user);
    void *user;
    qn_err *err;
} auto_ctx;

static void log_softmax(const float *x, float *y, int n)
{
    float max = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        max = fmaxf(max, x[i]);
    for (int i = 0; i < n; i++)
        sum += (double)expf(x[i] - max);
    float off = max + (float)log(sum);
    for (int i = 0; i < n; i++)
        y[i] = x[i] - off;
}

typedef struct kl_job {
    const float *logits;
    float *base;
    int64_t n_row;
    int n_vocab;
    bool keep;   /* as the base */
    double *sum; /* of each row */
} kl_job;

static void kl_thread(void *arg, int thread, int n_threads)
{
    const kl_job *j = arg;
    int64_t begin, end;
    float *q = qn_xcalloc((size_t)j->n_vocab, sizeof *q);
    qn_pool_split(j->n_row, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *p = j->base + r * j->n_vocab;
        log_softmax(j->logits + r * j->n_vocab, j->keep ? p : q, j->n_vocab);
        double sum = 0;
        for (int i = 0; i < j->n_vocab && !j->keep; i++)
            sum += (double)(expf(p[i]) * (p[i] - q[i]));
        j->sum[r] = sum;
    }
    free(q);
}

/* Mean divergence of the network as it is now; `keep`: it is the base. */
static int divergence(auto_ctx *c, bool keep, double *kl)
{
    double *sum = qn_xcalloc((size_t)c->len, sizeof *sum);
    int rc = QN_OK;
    *kl = 0;
    for (int64_t s = 0; s < c->n_sample && rc == QN_OK; s++) {
        const float *logits;
        rc = qn_cal_logits(c->cal, (int)s, &logits, c->err);
        if (rc < 0)
            break;
        kl_job j = {.logits = logits,
                    .base = c->base + s * c->len * c->n_vocab,
                    .n_row = c->len,
                    .n_vocab = c->n_vocab,
                    .keep = keep,
                    .sum = sum};
        qn_pool_run(c->pool, kl_thread, &j);
        for (int64_t r = 0; r < c->len; r++)
            *kl += sum[r] / (double)(c->len * c->n_sample);
    }
    free(sum);
    return rc;
}

/* ---- rounding errors ----------------------------------------------------- */

typedef struct error_job {
    const qn_qmat *m;
    const float *w;
    float *to;   /* what the codes mean, or NULL */
    double *sum; /* of each thread */
} error_job;

static void error_thread(void *arg, int thread, int n_threads)
{
    const error_job *j = arg;
    const qn_qmat *m = j->m;
    float max = (float)((1 << m->bits) - 1);
    int64_t begin, end;
    double sum = 0;
    qn_pool_split(m->n_out, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        for (int64_t k0 = 0; k0 < m->n_in; k0 += m->group) {
            int64_t n = QN_MIN(m->group, m->n_in - k0);
            const float *w = j->w + r * m->n_in + k0;
            float scale, zero, part = 0;
            qn_affine_fit(m, m->round, w, n, &scale, &zero);
            float inv = 1.0f / scale;
            for (int64_t k = 0; k < n; k++) {
                float v = (qn_affine_round(w[k] * inv, zero, max) - zero) *
                          scale;
                part += (v - w[k]) * (v - w[k]);
                if (j->to)
                    j->to[r * m->n_in + k0 + k] = v;
            }
            sum += (double)part;
        }
    }
    j->sum[thread] = sum;
}

/* The matrix with other bits; 0 bytes when the format has no such. */
static uint64_t lay(const auto_ctx *c, const qn_opt_item *it, int bits,
                    qn_qmat *m)
{
    uint64_t n = 0;
    *m = *c->like;
    m->bits = bits;
    m->name = it->t->name;
    m->round = it->mat.round;
    m->n_out = it->mat.n_out;
    m->n_in = it->mat.n_in;
    if (qn_qmat_lay(m, NULL) < 0)
        return 0;
    for (int i = 0; i < QN_QPARTS; i++)
        n += m->part[i].name ? m->part[i].n_bytes : 0;
    return n;
}

static double error_of(const auto_ctx *c, const qn_qmat *m, const float *w,
                       float *to)
{
    double all = 0, *sum;
    int n = qn_pool_n_threads(c->pool);
    sum = qn_xcalloc((size_t)n, sizeof *sum);
    error_job j = {m, w, to, sum};
    qn_pool_run(c->pool, error_thread, &j);
    for (int i = 0; i < n; i++)
        all += sum[i];
    free(sum);
    return all;
}

/* One matrix: bytes and loss of each choice. */
static int weigh_item(auto_ctx *c, qn_auto_row *row, const qn_opt_item *it)
{
    qn_net *net = qn_cal_net(c->cal);
    double error[QN_AUTO_BITS] = {0}, kl = 0;
    float *w = NULL;
    qn_qmat m;
    float *to = qn_alloc((size_t)it->mat.n_out,
                         (size_t)it->mat.n_in * sizeof *to);
    int rc = to ? qn_matrix_read(it, c->ck, c->pool, &w, c->err)
                : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory",
                          it->t->name);
    for (int i = 0; i < QN_AUTO_BITS && rc == QN_OK; i++) {
        row->bytes[i] = lay(c, it, qn_auto_bits[i], &m);
        if (row->bytes[i])
            error[i] = error_of(c, &m, w, i == PROBE ? to : NULL);
    }
    if (rc == QN_OK)
        rc = qn_net_put_rows(net, it->t->name, to, c->err);
    if (rc == QN_OK)
        rc = divergence(c, false, &kl);
    if (rc == QN_OK)
        rc = qn_net_put_rows(net, it->t->name, w, c->err);
    for (int i = 0; i < QN_AUTO_BITS && error[PROBE] > 0; i++)
        row->loss[i] = fmax(kl, 1e-12) * error[i] / error[PROBE];
    qn_free(w);
    qn_free(to);
    return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int measure(auto_ctx *c)
{
    double none;
    QN_TRY(divergence(c, true, &none));
    for (size_t i = 0; i < c->n; i++) {
        QN_TRY(weigh_item(c, &c->rows[i], &c->plan->items.v[c->item[i]]));
        if (c->tick && !c->tick(c->user))
            return qn_fail(c->err, QN_ECANCEL, "measuring was interrupted");
    }
    return QN_OK;
}

/* Bytes that the matrices may take together; 0: as many as it takes. */
static int budget(const auto_ctx *c, uint64_t *max)
{
    const qn_optimize_params *p = c->p;
    double weights = 0;
    uint64_t rest = 0;
    *max = 0;
    for (size_t i = 0; i < c->plan->items.n; i++) {
        const qn_opt_item *it = &c->plan->items.v[i];
        if (it->quantize)
            weights += (double)it->t->n_elems;
        else
            rest += it->t->n_bytes;
    }
    if (p->target_bits > 0)
        *max = (uint64_t)(p->target_bits * weights / 8);
    if (p->target_size && p->target_size <= rest)
        return qn_fail(c->err, QN_EUNSUP,
                       "what is not quantized takes %llu bytes alone, more "
                       "than --target-size",
                       (unsigned long long)rest);
    if (p->target_size)
        *max = p->target_size - rest;
    return QN_OK;
}

static int apply(auto_ctx *c)
{
    json_t *table = json_array();
    for (size_t i = 0; i < c->n; i++) {
        qn_opt_item *it = &c->plan->items.v[c->item[i]];
        const qn_auto_row *r = &c->rows[i];
        double bits = 8 * (double)r->bytes[r->pick] / (double)it->t->n_elems;
        qn_qmat m;
        lay(c, it, qn_auto_bits[r->pick], &m);
        it->mat = m;
        json_array_append_new(
            table,
            json_pack("{s:o, s:i, s:f, s:f, s:f}", "module",
                      json_stringn(it->t->name, qn_module_len(it->t->name)),
                      "bits", qn_auto_bits[r->pick], "bits_per_weight", bits,
                      "kl_of_3_bits", r->loss[PROBE], "kl_expected",
                      r->loss[r->pick]));
    }
    c->plan->table = table;
    qn_plan_count(c->plan);
    return QN_OK;
}

static int allot(auto_ctx *c)
{
    uint64_t max;
    size_t base;
    QN_TRY(budget(c, &max));
    QN_TRY(qn_cal_load_all(c->cal, c->err));
    qn_cal_samples(c->cal, &c->n_sample, &c->len);
    c->n_vocab = qn_net_hparams(qn_cal_net(c->cal))->n_vocab;
    base = (size_t)(c->n_sample * c->len) * (size_t)c->n_vocab;
    c->base = qn_alloc(base, sizeof *c->base);
    if (!c->base)
        return qn_fail(c->err, QN_ENOMEM, "no memory for the base's logits");
    QN_TRY(measure(c));
    if (!qn_auto_choose(c->rows, c->n, max, c->p->max_kl))
        return qn_fail(c->err, QN_EUNSUP,
                       "the target cannot be reached with 2 to 8 bits in "
                       "groups of %lld; name another target or --group-size",
                       (long long)c->like->group);
    return apply(c);
}

int qn_auto_allot(const qn_optimize_params *p, const qn_ckpt *ck,
                  const qn_qmat *like, qn_opt_plan *plan,
                  bool (*tick)(void *user), void *user, qn_err *err)
{
    qn_optimize_params few = *p;
    auto_ctx c = {.p = p,
                  .ck = ck,
                  .like = like,
                  .plan = plan,
                  .tick = tick,
                  .user = user,
                  .err = err};
    few.n_samples = SAMPLES;
    few.n_context = SAMPLE_TOKENS;
    c.rows = qn_xcalloc(plan->items.n, sizeof *c.rows);
    c.item = qn_xcalloc(plan->items.n, sizeof *c.item);
    for (size_t i = 0; i < plan->items.n; i++)
        if (plan->items.v[i].quantize)
            c.item[c.n++] = i;
    int rc = qn_cal_open(&c.cal, &few, ck, err);
    if (rc == QN_OK) {
        c.pool = qn_cal_backend(c.cal)->api->pool(qn_cal_backend(c.cal));
        rc = allot(&c);
    }
    qn_cal_close(c.cal);
    qn_free(c.base);
    free(c.rows);
    free(c.item);
    return rc;
}
