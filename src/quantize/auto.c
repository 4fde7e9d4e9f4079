/* auto.c - see auto.h. */
#include "quantize/auto.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "quantize/sensitivity.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBE = 1 /* three bits */
};

const int qn_auto_bits[QN_AUTO_BITS] = {2, 3, 4, 5, 6, 8};

/* ---- the choice ---------------------------------------------------------- */

/* The next step up of a row that saves most loss per byte, of those that cost
 * no more than `room`; -1: none. */
static int best_step(const qn_auto_row *r, uint64_t room, double *gain,
                     uint64_t *cost)
{
    int best = -1;
    for (int i = r->pick + 1; i < QN_AUTO_CHOICES; i++) {
        if (!r->bytes[i] || r->bytes[i] <= r->bytes[r->pick] ||
            !(r->loss[i] < r->loss[r->pick]))
            continue;
        uint64_t more = r->bytes[i] - r->bytes[r->pick];
        double rate = (r->loss[r->pick] - r->loss[i]) / (double)more;
        if (more > room || (best >= 0 && !(rate > *gain)))
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
        int k = best_step(&rows[i], room, &gain, &c);
        if (k < 0 || !(gain > most))
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
        while (rows[i].pick < QN_AUTO_CHOICES - 1 &&
               !rows[i].bytes[rows[i].pick])
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

typedef struct auto_ctx {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    const qn_qmat *like;
    qn_opt_plan *plan;
    qn_probe *probe;
    qn_pool *pool;
    qn_auto_row *rows;
    size_t *item; /* of each row */
    int *layer;   /* of each row */
    size_t n;
    const qn_watch *watch;
    qn_err *err;
} auto_ctx;

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
            qn_affine_fit(m, w, n, &scale, &zero);
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
static uint64_t lay(const qn_qmat *like, const qn_opt_item *it, int bits,
                    qn_qmat *m)
{
    *m = *like;
    m->bits = bits;
    m->name = it->t->name;
    m->round = it->mat.round;
    m->n_out = it->mat.n_out;
    m->n_in = it->mat.n_in;
    return qn_qmat_lay(m, NULL) < 0 ? 0 : qn_qmat_bytes(m);
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
static int weigh_item(auto_ctx *c, size_t i)
{
    qn_auto_row *row = &c->rows[i];
    const qn_opt_item *it = &c->plan->items.v[c->item[i]];
    qn_net *net = qn_probe_net(c->probe);
    double error[QN_AUTO_BITS] = {0}, kl = 0;
    float *w = NULL;
    qn_qmat m;
    uint64_t t0 = qn_now_ns();
    float *to = qn_alloc((size_t)it->mat.n_out,
                         (size_t)it->mat.n_in * sizeof *to);
    int rc = to ? qn_matrix_read(it, c->ck, c->pool, &w, c->err)
                : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory",
                          it->t->name);
    for (int k = 0; k < QN_AUTO_BITS && rc == QN_OK; k++) {
        row->bytes[k] = lay(c->like, it, qn_auto_bits[k], &m);
        if (row->bytes[k])
            error[k] = error_of(c, &m, w, k == PROBE ? to : NULL);
    }
    if (rc == QN_OK)
        rc = qn_net_put_rows(net, it->t->name, to, c->err);
    if (rc == QN_OK)
        rc = qn_probe_kl(c->probe, c->layer[i], &kl, c->err);
    if (rc == QN_OK)
        rc = qn_net_put_rows(net, it->t->name, w, c->err);
    qn_log(2, "%s: KL %.2e with three bits, %.2f s", it->t->name, kl,
           qn_ms_since(t0) * 1e-3);
    for (int k = 0; k < QN_AUTO_BITS && error[PROBE] > 0; k++)
        row->loss[k] = fmax(kl, 1e-12) * error[k] / error[PROBE];
    qn_free(w);
    qn_free(to);
    return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int measure(auto_ctx *c)
{
    for (size_t i = 0; i < c->n; i++) {
        QN_TRY(weigh_item(c, i));
        QN_TRY(qn_watch_told(c->watch, (double)(i + 1) / (double)c->n,
                             "measuring", c->err));
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

int qn_auto_apply(const qn_qmat *like, qn_opt_plan *plan, const json_t *table,
                  qn_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->items.n; i++) {
        qn_opt_item *it = &plan->items.v[i];
        qn_qmat m;
        if (!it->quantize)
            continue;
        const json_t *row = json_array_get(table, n++);
        const json_t *bits = json_object_get(row, "bits");
        if (!lay(like, it, (int)json_integer_value(bits), &m))
            return qn_fail(err, QN_EFORMAT,
                           "tensor %s: an earlier run left no bits for it",
                           it->t->name);
        it->mat = m;
    }
    plan->table = json_incref((json_t *)table);
    qn_plan_count(plan);
    return QN_OK;
}

static int apply(auto_ctx *c)
{
    json_t *table = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const qn_opt_item *it = &c->plan->items.v[c->item[i]];
        const qn_auto_row *r = &c->rows[i];
        double bits = 8 * (double)r->bytes[r->pick] / (double)it->t->n_elems;
        json_array_append_new(
            table,
            json_pack("{s:o, s:i, s:f, s:f, s:f}", "module",
                      json_stringn(it->t->name, qn_module_len(it->t->name)),
                      "bits", qn_auto_bits[r->pick], "bits_per_weight", bits,
                      "kl_of_3_bits", r->loss[PROBE], "kl_expected",
                      r->loss[r->pick]));
    }
    int rc = qn_auto_apply(c->like, c->plan, table, c->err);
    json_decref(table);
    return rc;
}

/* The layer of each matrix: what lies before it needs not be run again. */
static void find_layers(auto_ctx *c)
{
    qn_net_matrix m;
    qn_map map;
    uint64_t layer;
    int n = qn_net_hparams(qn_probe_net(c->probe))->n_layer;
    qn_map_init(&map, c->n);
    for (size_t i = 0; qn_net_matrix_at(qn_probe_net(c->probe), i, &m); i++)
        qn_map_add(&map, m.tensor, strlen(m.tensor),
                   (uint64_t)(m.head ? n : QN_MAX(m.layer, 0)));
    for (size_t i = 0; i < c->n; i++) {
        const char *name = c->plan->items.v[c->item[i]].t->name;
        if (qn_map_get(&map, name, strlen(name), &layer))
            c->layer[i] = (int)layer;
    }
    qn_map_deinit(&map);
}

static int allot(auto_ctx *c)
{
    uint64_t max;
    QN_TRY(budget(c, &max));
    QN_TRY(qn_probe_open(&c->probe, c->p, c->ck, c->err));
    c->pool = qn_probe_pool(c->probe);
    find_layers(c);
    QN_TRY(measure(c));
    if (qn_auto_choose(c->rows, c->n, max, c->p->max_kl))
        return apply(c);
    char scales[64] = "a scale for each row";
    if (c->like->group > 0)
        snprintf(scales, sizeof scales, "groups of %lld",
                 (long long)c->like->group);
    return qn_fail(c->err, QN_EUNSUP,
                   "the target cannot be reached with 2 to 8 bits in %s; name "
                   "another target or --group-size",
                   scales);
}

int qn_auto_allot(const qn_optimize_params *p, const qn_ckpt *ck,
                  const qn_qmat *like, qn_opt_plan *plan, const qn_watch *watch,
                  qn_err *err)
{
    auto_ctx c = {.p = p,
                  .ck = ck,
                  .like = like,
                  .plan = plan,
                  .watch = watch,
                  .err = err};
    size_t n = plan->items.n;
    c.rows = qn_xcalloc(n, sizeof *c.rows);
    c.item = qn_xcalloc(n, sizeof *c.item);
    c.layer = qn_xcalloc(n, sizeof *c.layer);
    for (size_t i = 0; i < n; i++)
        if (plan->items.v[i].quantize)
            c.item[c.n++] = i;
    int rc = allot(&c);
    qn_probe_close(c.probe);
    free(c.rows);
    free(c.item);
    free(c.layer);
    return rc;
}
