/* auto.c - see auto.h. */
#include "quantize/auto.h"

#include "base/compiler.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/names.h"
#include "quantize/sensitivity.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <pthread.h>
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
    qn_sensitivity *sens;
    qn_pool *pool;
    qn_auto_row *rows;
    size_t *item;                /* of each row */
    qn_sensitivity_place *place; /* of each row */
    double *error;               /* [n, QN_AUTO_BITS] squares, of each choice */
    double *kl;                  /* of each row, with three bits */
    float *whole; /* of a transposed matrix that is changed, or NULL */
    size_t n;
    qn_err *err;
} auto_ctx;

/* ---- rounding ------------------------------------------------------------ */

enum {
    ERROR_ROWS = 16 /* that a thread reads at a time */
};

/* A row to what its codes mean. Returns the sum of the errors' squares. */
static double round_row(const qn_qmat *m, const float *w, float *to)
{
    float max = (float)((1 << m->bits) - 1);
    double sum = 0;
    for (int64_t k0 = 0; k0 < m->n_in; k0 += m->group) {
        int64_t n = QN_MIN(m->group, m->n_in - k0);
        float scale, zero, part = 0;
        qn_affine_fit(m, w + k0, n, &scale, &zero);
        float inv = 1.0f / scale;
        for (int64_t k = k0; k < k0 + n; k++) {
            float v = (qn_affine_round(w[k] * inv, zero, max) - zero) * scale;
            part += (v - w[k]) * (v - w[k]);
            if (to)
                to[k] = v;
        }
        sum += (double)part;
    }
    return sum;
}

/* The matrix with other bits; 0 bytes when the format has no such. */
static uint64_t lay(const qn_qmat *like, const qn_opt_item *it, int bits,
                    qn_qmat *m)
{
    *m = *like;
    m->bits = bits;
    m->name = it->name;
    m->round = it->mat.round;
    m->n_out = it->mat.n_out;
    m->n_in = it->mat.n_in;
    return qn_qmat_lay(m, NULL) < 0 ? 0 : qn_qmat_bytes(m);
}

/* Rows of a matrix, from its file or from memory. */
static int rows_of(const auto_ctx *c, const qn_opt_item *it, int64_t row,
                   int64_t n, float *dst, qn_err *err)
{
    size_t n_in = (size_t)it->mat.n_in;
    if (!c->whole)
        return qn_matrix_rows(it, c->ck, row, n, dst, err);
    memcpy(dst, c->whole + (size_t)row * n_in, (size_t)n * n_in * sizeof *dst);
    return QN_OK;
}

typedef struct error_job {
    const auto_ctx *c;
    const qn_opt_item *it;
    const qn_qmat *m; /* [QN_AUTO_BITS] */
    double *sum;      /* [n_out, QN_AUTO_BITS] */
    pthread_mutex_t lock;
    int rc;
    qn_err *err;
} error_job;

static int error_rows(const error_job *j, int64_t row, int64_t n, float *x,
                      qn_err *err)
{
    QN_TRY(rows_of(j->c, j->it, row, n, x, err));
    for (int64_t r = 0; r < n; r++)
        for (int k = 0; k < QN_AUTO_BITS; k++)
            if (j->m[k].bits)
                j->sum[(row + r) * QN_AUTO_BITS + k] =
                    round_row(&j->m[k], x + r * j->m[k].n_in, NULL);
    return QN_OK;
}

static void error_thread(void *arg, int thread, int n_threads)
{
    error_job *j = arg;
    int64_t n_out = j->it->mat.n_out, row;
    qn_err e = {0};
    float *x = qn_alloc(ERROR_ROWS, (size_t)j->it->mat.n_in * sizeof *x);
    int rc = x ? QN_OK
               : qn_fail(&e, QN_ENOMEM, "tensor %s: no memory for its rows",
                         j->it->t->name);
    (void)thread;
    (void)n_threads;
    while (rc == QN_OK && (row = qn_pool_next(j->c->pool) * ERROR_ROWS) < n_out)
        rc = error_rows(j, row, QN_MIN(n_out - row, (int64_t)ERROR_ROWS), x,
                        &e);
    pthread_mutex_lock(&j->lock);
    if (rc < 0 && j->rc == QN_OK && j->err)
        *j->err = e;
    j->rc = j->rc < 0 ? j->rc : rc;
    pthread_mutex_unlock(&j->lock);
    qn_free(x);
}

/* Errors of all choices; rows are added in their order, whoever computed them. */
static int weigh(const auto_ctx *c, size_t i, const qn_qmat *m)
{
    const qn_opt_item *it = &c->plan->items.v[c->item[i]];
    error_job j = {.c = c, .it = it, .m = m, .err = c->err};
    size_t n = (size_t)it->mat.n_out;
    j.sum = qn_alloc(n, QN_AUTO_BITS * sizeof *j.sum);
    if (!j.sum)
        return qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory", it->t->name);
    memset(j.sum, 0, n * QN_AUTO_BITS * sizeof *j.sum);
    pthread_mutex_init(&j.lock, NULL);
    qn_pool_run(c->pool, error_thread, &j);
    pthread_mutex_destroy(&j.lock);
    for (int k = 0; k < QN_AUTO_BITS; k++) {
        double *error = &c->error[i * QN_AUTO_BITS + (size_t)k];
        *error = 0;
        for (size_t r = 0; r < n; r++)
            *error += j.sum[r * QN_AUTO_BITS + (size_t)k];
    }
    qn_free(j.sum);
    return j.rc;
}

/* ---- a change ------------------------------------------------------------ */

typedef struct change {
    const auto_ctx *c;
    const qn_opt_item *it;
    const qn_qmat *m; /* of three bits; NULL: rows as they are */
} change;

static int changed_row(void *user, int64_t row, int64_t n, float *dst,
                       qn_err *err)
{
    const change *j = user;
    (void)n;
    QN_TRY(rows_of(j->c, j->it, row, 1, dst, err));
    if (j->m)
        round_row(j->m, dst, dst);
    return QN_OK;
}

/* A transposed matrix is turned once, and so in memory while it is changed. */
static int turn(auto_ctx *c, const qn_opt_item *it)
{
    qn_free(c->whole);
    c->whole = NULL;
    return it->transposed
               ? qn_matrix_read(it, c->ck, c->pool, &c->whole, c->err)
               : QN_OK;
}

static int put(void *user, size_t i, bool changed, qn_err *err)
{
    auto_ctx *c = user;
    const qn_opt_item *it = &c->plan->items.v[c->item[i]];
    qn_qmat m[QN_AUTO_BITS];
    change j = {c, it, changed ? &m[PROBE] : NULL};
    if (changed) {
        for (int k = 0; k < QN_AUTO_BITS; k++)
            if (!lay(c->like, it, qn_auto_bits[k], &m[k]))
                m[k].bits = 0;
        QN_TRY(turn(c, it));
        if (!(c->error[i * QN_AUTO_BITS + PROBE] >
              0)) /* the head: each piece */
            QN_TRY(weigh(c, i, m));
    }
    /* a head apart is still the embeddings in the network that is measured */
    qn_net *net = qn_sensitivity_net(c->sens);
    const char *name = qn_plan_unties(c->plan, it)
                           ? qn_net_tensor(net, QN_R_EMBED, -1, false, NULL)
                           : it->t->name;
    return qn_net_put(net, name, changed_row, &j, err);
}

/* ---- all of it ----------------------------------------------------------- */

/* Bytes and loss of each choice. */
static void fill_rows(auto_ctx *c)
{
    qn_qmat m;
    for (size_t i = 0; i < c->n; i++) {
        const qn_opt_item *it = &c->plan->items.v[c->item[i]];
        const double *error = c->error + i * QN_AUTO_BITS;
        qn_auto_row *row = &c->rows[i];
        qn_log(2, "%s: KL %.2e with three bits", it->name, c->kl[i]);
        for (int k = 0; k < QN_AUTO_BITS; k++) {
            row->bytes[k] = lay(c->like, it, qn_auto_bits[k], &m);
            if (error[PROBE] > 0)
                row->loss[k] = fmax(c->kl[i], 1e-12) * error[k] / error[PROBE];
        }
    }
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
                           it->name);
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
            table, json_pack("{s:o, s:i, s:f, s:f, s:f}", "module",
                             json_stringn(it->name, qn_module_len(it->name)),
                             "bits", qn_auto_bits[r->pick], "bits_per_weight",
                             bits, "kl_of_3_bits", r->loss[PROBE],
                             "kl_expected", r->loss[r->pick]));
    }
    int rc = qn_auto_apply(c->like, c->plan, table, c->err);
    json_decref(table);
    return rc;
}

/* Where each matrix is: what lies before it needs not be run again. */
static void find_places(auto_ctx *c)
{
    qn_net_matrix m;
    qn_map map;
    uint64_t layer;
    int n = qn_net_hparams(qn_sensitivity_net(c->sens))->n_layer;
    qn_map_init(&map, c->n);
    for (size_t i = 0; qn_net_matrix_at(qn_sensitivity_net(c->sens), i, &m);
         i++)
        qn_map_add(&map, m.tensor, strlen(m.tensor),
                   (uint64_t)(m.head ? n : QN_MAX(m.layer, 0)));
    for (size_t i = 0; i < c->n; i++) {
        const qn_opt_item *it = &c->plan->items.v[c->item[i]];
        const char *name = it->name;
        if (qn_plan_unties(c->plan, it))
            c->place[i] = (qn_sensitivity_place){n, true};
        else if (qn_map_get(&map, name, strlen(name), &layer))
            c->place[i] = (qn_sensitivity_place){(int)layer, (int)layer == n};
    }
    qn_map_deinit(&map);
}

static int measure(auto_ctx *c, qn_resume *resume, const qn_watch *watch)
{
    json_t *beside = json_pack("{s:i}", "items", 0);
    qn_sensitivity_work w = {.n = c->n,
                             .place = c->place,
                             .put = put,
                             .user = c,
                             .found = c->error,
                             .n_found = QN_AUTO_BITS,
                             .kl = c->kl,
                             .resume = resume,
                             .beside = beside};
    int rc = qn_sensitivity_run(c->sens, &w, watch, c->err);
    json_decref(beside);
    return rc;
}

static int allot(auto_ctx *c, qn_resume *resume, const qn_watch *watch)
{
    uint64_t max;
    QN_TRY(budget(c, &max));
    QN_TRY(qn_sensitivity_open(&c->sens, c->p, c->ck, c->err));
    c->pool = qn_sensitivity_pool(c->sens);
    find_places(c);
    QN_TRY(measure(c, resume, watch));
    fill_rows(c);
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
                  const qn_qmat *like, qn_opt_plan *plan, qn_resume *resume,
                  const qn_watch *watch, qn_err *err)
{
    auto_ctx c = {.p = p, .ck = ck, .like = like, .plan = plan, .err = err};
    size_t n = plan->items.n;
    c.rows = qn_xcalloc(n, sizeof *c.rows);
    c.item = qn_xcalloc(n, sizeof *c.item);
    c.place = qn_xcalloc(n, sizeof *c.place);
    c.error = qn_xcalloc(n, QN_AUTO_BITS * sizeof *c.error);
    c.kl = qn_xcalloc(n, sizeof *c.kl);
    for (size_t i = 0; i < n; i++)
        if (plan->items.v[i].quantize)
            c.item[c.n++] = i;
    int rc = allot(&c, resume, watch);
    qn_sensitivity_close(c.sens);
    qn_free(c.whole);
    free(c.rows);
    free(c.item);
    free(c.place);
    free(c.error);
    free(c.kl);
    return rc;
}
