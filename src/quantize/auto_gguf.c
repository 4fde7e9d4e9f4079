/* auto_gguf.c - see auto_gguf.h. */
#include "quantize/auto_gguf.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/auto.h"
#include "quantize/imatrix.h"
#include "quantize/sensitivity.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ERROR_ROWS = 256 /* of a tensor that rounding errors are taken from */
};

/* By bits: of rows of super-blocks, and of those of which blocks of 32 are
 * made. Of formats with as many bits the best is here: iq4_nl, not q4_0. */
enum {
    N_CHOICES = 7
};
static const qn_dtype choices[2][N_CHOICES] = {
    {QN_Q2_K, QN_Q3_K, QN_IQ4_XS, QN_Q4_K, QN_Q5_K, QN_Q6_K, QN_Q8_0},
    {QN_IQ4_NL, QN_Q4_1, QN_Q5_0, QN_Q5_1, QN_Q8_0, QN_Q8_0, QN_Q8_0}};
_Static_assert((int)N_CHOICES <= (int)QN_AUTO_CHOICES, "room for all of them");
#define PROBE QN_Q3_K /* or what takes its place */

typedef struct gq_row {
    size_t at; /* of the tensor */
    qn_dtype type[QN_AUTO_CHOICES];
    double kl; /* of the probe */
    int probe; /* index */
} gq_row;

typedef struct allot_ctx {
    const qn_gq *g;
    const qn_optimize_params *p;
    qn_probe *probe;
    qn_pool *pool;
    gq_row *row;
    qn_auto_row *choice;
    size_t n;
    uint64_t fixed;  /* bytes of tensors without a choice */
    double weights;  /* of those that are quantized */
    uint64_t spoken; /* bytes of quantized tensors without a choice */
    qn_err *err;
} allot_ctx;

/* ---- rounding ------------------------------------------------------------ */

typedef struct round_rows {
    const qn_gq_tensor *t;
    qn_dtype type;
    int64_t n, stride; /* rows stride * i of the tensor, i < n */
    size_t row_bytes;
    const float *x; /* [n, n_cols] */
    float *back;    /* [n, n_cols] what their codes mean, or NULL */
    double error;   /* weighed squares */
    pthread_mutex_t lock;
    int rc;
    qn_err *err;
} round_rows;

static double row_error(const float *x, const float *y, const float *weight,
                        int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
        double d = (double)x[k] - (double)y[k];
        sum += d * d * (weight ? (double)weight[k] : 1);
    }
    return sum;
}

static int one_row(const round_rows *j, int64_t i, void *code, float *back,
                   double *error, qn_err *err)
{
    const qn_gq_tensor *t = j->t;
    const float *x = j->x + i * t->n_cols;
    int64_t row = i * j->stride;
    QN_TRY(qn_gq_encode(t, j->type, row, 1, x, code, err));
    QN_TRY(qn_dtype_decode(j->type, code, back, (size_t)t->n_cols, err));
    *error += row_error(x, back, qn_gq_importance(t, row), t->n_cols);
    return QN_OK;
}

static void round_thread(void *arg, int thread, int n_threads)
{
    round_rows *j = arg;
    int64_t n = j->t->n_cols, begin, end;
    double error = 0;
    qn_err e = {0};
    void *code = qn_xmalloc(j->row_bytes);
    float *scratch = qn_xcalloc((size_t)n, sizeof *scratch);
    int rc = QN_OK;
    qn_pool_split(j->n, 1, thread, n_threads, &begin, &end);
    for (int64_t i = begin; i < end && rc == QN_OK; i++)
        rc = one_row(j, i, code, j->back ? j->back + i * n : scratch, &error,
                     &e);
    pthread_mutex_lock(&j->lock);
    j->error += error;
    if (rc < 0 && j->rc == QN_OK && j->err)
        *j->err = e;
    j->rc = j->rc < 0 ? j->rc : rc;
    pthread_mutex_unlock(&j->lock);
    free(code);
    free(scratch);
}

/* The error of rows in a format; back: what they become. */
static int round_in(const allot_ctx *c, const qn_gq_tensor *t, qn_dtype type,
                    const float *x, int64_t n, int64_t stride, float *back,
                    double *error)
{
    round_rows j = {.t = t,
                    .type = type,
                    .n = n,
                    .stride = stride,
                    .x = x,
                    .back = back,
                    .err = c->err};
    uint64_t bytes;
    QN_TRY(qn_dtype_bytes(type, (uint64_t)t->n_cols, &bytes, c->err));
    j.row_bytes = (size_t)bytes;
    pthread_mutex_init(&j.lock, NULL);
    qn_pool_run(c->pool, round_thread, &j);
    pthread_mutex_destroy(&j.lock);
    *error = j.error;
    return j.rc;
}

/* ---- one tensor ---------------------------------------------------------- */

/* Rows as the file has them into the network, which has the source's. */
static int put(const allot_ctx *c, const qn_gq_tensor *t, const float *y)
{
    qn_net *net = qn_probe_net(c->probe);
    const qn_gq *g = c->g;
    size_t i = (size_t)(t - g->t.v);
    if (!g->e)
        return qn_net_put_rows(net, t->source, y, c->err);
    float scale = 1 / qn_gguf_export_scale(g->e, i);
    float *w = qn_alloc((size_t)t->n_rows, (size_t)t->n_cols * sizeof *w);
    int rc = w ? QN_OK
               : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    for (int64_t r = 0; r < t->n_rows && rc == QN_OK;) {
        int64_t to, first = r;
        const qn_tensor *src = qn_gguf_export_source(g->e, i, r, &to);
        const qn_tensor *now = src;
        while (now == src) {
            for (int64_t k = 0; k < t->n_cols; k++)
                w[to * t->n_cols + k] = y[r * t->n_cols + k] * scale;
            now = ++r < t->n_rows ? qn_gguf_export_source(g->e, i, r, &to)
                                  : NULL;
        }
        rc = src ? qn_net_put_rows(net, src->name, w, c->err)
                 : qn_fail(c->err, QN_EINTERNAL,
                           "tensor %s, row %lld: computed", t->name,
                           (long long)first);
    }
    qn_free(w);
    return rc;
}

static int layer_of(const allot_ctx *c, const qn_gq_tensor *t)
{
    int n = qn_net_hparams(qn_probe_net(c->probe))->n_layer;
    bool apart = false; /* the head is a table of its own */
    for (size_t i = 0; i < c->g->t.n; i++)
        apart |= c->g->t.v[i].what == QN_GQ_EMBED;
    if (t->what == QN_GQ_HEAD)
        return apart ? n : -1;
    return t->layer;
}

/* Errors of all formats, from some rows. */
static int weigh_choices(const allot_ctx *c, size_t i, const float *x,
                         double *error)
{
    const gq_row *row = &c->row[i];
    const qn_gq_tensor *t = &c->g->t.v[row->at];
    int64_t stride = QN_MAX(t->n_rows / ERROR_ROWS, 1);
    int64_t n = t->n_rows / stride;
    float *some = qn_alloc((size_t)n, (size_t)t->n_cols * sizeof *some);
    int rc = some ? QN_OK
                  : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    for (int64_t r = 0; r < n && rc == QN_OK; r++)
        memcpy(some + r * t->n_cols, x + r * stride * t->n_cols,
               (size_t)t->n_cols * sizeof *some);
    for (int k = 0; k < N_CHOICES && rc == QN_OK; k++)
        if (c->choice[i].bytes[k])
            rc = round_in(c, t, row->type[k], some, n, stride, NULL, &error[k]);
    qn_free(some);
    return rc;
}

static int weigh_tensor(allot_ctx *c, size_t i)
{
    gq_row *row = &c->row[i];
    const qn_gq_tensor *t = &c->g->t.v[row->at];
    size_t n = (size_t)t->n_rows;
    double error[QN_AUTO_CHOICES] = {0}, all;
    float *x = qn_alloc(n, (size_t)t->n_cols * sizeof *x);
    float *y = qn_alloc(n, (size_t)t->n_cols * sizeof *y);
    int rc = x && y
                 ? qn_gq_rows(c->g, t, 0, t->n_rows, x, c->err)
                 : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    if (rc == QN_OK)
        rc = weigh_choices(c, i, x, error);
    if (rc == QN_OK)
        rc = round_in(c, t, row->type[row->probe], x, t->n_rows, 1, y, &all);
    if (rc == QN_OK)
        rc = put(c, t, y);
    if (rc == QN_OK)
        rc = qn_probe_kl(c->probe, layer_of(c, t), &row->kl, c->err);
    if (rc == QN_OK)
        rc = put(c, t, x);
    qn_free(x);
    qn_free(y);
    double unit = error[row->probe];
    for (int k = 0; k < N_CHOICES; k++)
        c->choice[i].loss[k] = unit > 0 ? fmax(row->kl, 1e-12) * error[k] / unit
                                        : 0;
    return rc;
}

/* ---- what there is to choose ---------------------------------------------- */

static int add_tensor(allot_ctx *c, size_t at)
{
    const qn_gq_tensor *t = &c->g->t.v[at];
    qn_gq_tensor as = *t;
    qn_dtype said;
    gq_row *row = &c->row[c->n];
    qn_auto_row *choice = &c->choice[c->n];
    double n = (double)t->n_rows * (double)t->n_cols;
    if (t->what == QN_GQ_STAYS || t->kept) {
        c->fixed += t->n_bytes;
        return QN_OK;
    }
    c->weights += n;
    QN_TRY(qn_gq_said(t, c->p, &said, c->err));
    if (said != QN_DTYPE_N || !t->source) {
        c->spoken += t->n_bytes;
        return QN_OK;
    }
    row->at = at;
    row->probe = -1;
    uint64_t before = 0;
    const qn_dtype *of =
        choices[t->n_cols % qn_dtype_get(PROBE)->block_elems != 0];
    for (int k = 0; k < N_CHOICES; k++) {
        QN_TRY(qn_gq_set(&as, of[k], c->err));
        row->type[k] = as.dtype;
        choice->bytes[k] = as.n_bytes > before ? as.n_bytes : 0;
        before = QN_MAX(before, as.n_bytes);
        if (choice->bytes[k] && (row->probe < 0 || of[k] == PROBE))
            row->probe = k;
    }
    c->n++;
    return QN_OK;
}

static int budget(const allot_ctx *c, uint64_t *max)
{
    const qn_optimize_params *p = c->p;
    uint64_t least = 0, taken = c->spoken;
    *max = 0;
    if (p->target_bits > 0)
        *max = (uint64_t)(p->target_bits * c->weights / 8);
    if (p->target_size) {
        *max = p->target_size;
        taken += c->fixed;
    }
    for (size_t i = 0; i < c->n; i++)
        for (int k = 0; k < QN_AUTO_CHOICES; k++)
            if (c->choice[i].bytes[k]) {
                least += c->choice[i].bytes[k];
                break;
            }
    if (*max && *max < least + taken && p->target_bits > 0)
        return qn_fail(c->err, QN_EUNSUP,
                       "the shapes of this model and the types of GGUF take "
                       "%.3f bits a weight at least; name a larger "
                       "--target-bits",
                       8 * (double)(least + taken) / c->weights);
    if (*max && *max < least + taken)
        return qn_fail(c->err, QN_EUNSUP,
                       "the tensors take %llu bytes at least; name a larger "
                       "--target-size",
                       (unsigned long long)(least + taken));
    if (*max)
        *max -= taken;
    return QN_OK;
}

static json_t *table_of(const allot_ctx *c)
{
    json_t *table = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const gq_row *row = &c->row[i];
        const qn_auto_row *r = &c->choice[i];
        const qn_gq_tensor *t = &c->g->t.v[row->at];
        double n = (double)t->n_rows * (double)t->n_cols;
        json_array_append_new(
            table,
            json_pack("{s:s, s:s, s:f, s:s, s:f, s:f}", "tensor", t->name,
                      "type", qn_dtype_get(row->type[r->pick])->name,
                      "bits_per_weight", 8 * (double)r->bytes[r->pick] / n,
                      "probe", qn_dtype_get(row->type[row->probe])->name,
                      "kl_probe", row->kl, "kl_expected", r->loss[r->pick]));
    }
    return table;
}

static int allot(allot_ctx *c, const qn_watch *watch)
{
    uint64_t max;
    for (size_t i = 0; i < c->g->t.n; i++)
        QN_TRY(add_tensor(c, i));
    QN_TRY(budget(c, &max));
    QN_TRY(qn_probe_open(&c->probe, c->p, c->g->ck, c->err));
    c->pool = qn_probe_pool(c->probe);
    for (size_t i = 0; i < c->n; i++) {
        QN_TRY(weigh_tensor(c, i));
        QN_TRY(qn_watch_told(watch, (double)(i + 1) / (double)c->n, "measuring",
                             c->err));
    }
    if (!qn_auto_choose(c->choice, c->n, max, c->p->max_kl))
        return qn_fail(c->err, QN_EUNSUP,
                       "q8_0 for all of it is not expected to stay below "
                       "--max-kl; name a larger one");
    return QN_OK;
}

int qn_gq_allot(const qn_gq *g, const qn_optimize_params *p, json_t **table,
                const qn_watch *watch, qn_err *err)
{
    allot_ctx c = {.g = g, .p = p, .err = err};
    c.row = qn_xcalloc(g->t.n, sizeof *c.row);
    c.choice = qn_xcalloc(g->t.n, sizeof *c.choice);
    int rc = allot(&c, watch);
    if (rc == QN_OK)
        *table = table_of(&c);
    qn_probe_close(c.probe);
    free(c.row);
    free(c.choice);
    return rc;
}

/* ---- the table ----------------------------------------------------------- */

int qn_gq_apply(qn_gq *g, const json_t *table, qn_err *err)
{
    const json_t *row;
    size_t i, at = 0;
    json_array_foreach((json_t *)table, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "tensor"));
        const char *type = json_string_value(json_object_get(row, "type"));
        qn_dtype dtype;
        while (name && at < g->t.n && strcmp(g->t.v[at].name, name) != 0)
            at++;
        if (!name || at == g->t.n || !type || !qn_gguf_type_named(type, &dtype))
            return qn_fail(err, QN_EFORMAT,
                           "an earlier run left types of another model");
        QN_TRY(qn_gq_set(&g->t.v[at], dtype, err));
    }
    return QN_OK;
}

int qn_gq_file_type(const qn_gq *g)
{
    int64_t n[QN_DTYPE_N] = {0};
    int best = QN_F32;
    const qn_gguf_kind *k;
    for (size_t i = 0; i < g->t.n; i++)
        n[g->t.v[i].dtype] += g->t.v[i].n_rows * g->t.v[i].n_cols;
    for (int d = 0; d < QN_DTYPE_N; d++)
        best = n[d] > n[best] ? d : best;
    for (size_t i = 0; (k = qn_gguf_kind_at(i)); i++)
        if ((int)k->dtype == best && !k->more)
            return k->file_type;
    return 0;
}
