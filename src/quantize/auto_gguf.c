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
    int probe; /* index */
} gq_row;

typedef struct allot_ctx {
    const qn_gq *g;
    const qn_optimize_params *p;
    qn_sensitivity *sens;
    qn_pool *pool;
    gq_row *row;
    qn_auto_row *choice;
    qn_sensitivity_place *place;
    double *error; /* [n, N_CHOICES] weighed squares, of some rows */
    double *kl;    /* of the probe */
    float *whole;  /* a changed tensor whose rows are read at once, or NULL */
    size_t n;
    uint64_t fixed;  /* bytes of tensors without a choice */
    double weights;  /* of those that are quantized */
    uint64_t spoken; /* bytes of quantized tensors without a choice */
    qn_err *err;
} allot_ctx;

/* ---- rounding ------------------------------------------------------------ */

/* Rows of a tensor, from its file or from memory. */
static int rows_of(const allot_ctx *c, const qn_gq_tensor *t, int64_t row,
                   int64_t n, float *dst, qn_err *err)
{
    size_t n_col = (size_t)t->n_cols;
    if (!c->whole)
        return qn_gq_rows(c->g, t, row, n, dst, err);
    memcpy(dst, c->whole + (size_t)row * n_col,
           (size_t)n * n_col * sizeof *dst);
    return QN_OK;
}

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

/* A row to what its codes mean, which may take its place. */
static int round_row(const qn_gq_tensor *t, qn_dtype type, int64_t row,
                     const float *x, float *back, qn_err *err)
{
    uint64_t bytes;
    QN_TRY(qn_dtype_bytes(type, (uint64_t)t->n_cols, &bytes, err));
    void *code = qn_xmalloc((size_t)bytes);
    int rc = qn_gq_encode(t, type, row, 1, x, code, err);
    if (rc == QN_OK)
        rc = qn_dtype_decode(type, code, back, (size_t)t->n_cols, err);
    qn_free(code);
    return rc;
}

/* The errors of some rows in all formats. */
typedef struct error_job {
    const allot_ctx *c;
    const gq_row *row;
    const qn_auto_row *choice;
    int64_t n, stride; /* rows stride * i of the tensor, i < n */
    double *sum;       /* [n, N_CHOICES] */
    pthread_mutex_t lock;
    int rc;
    qn_err *err;
} error_job;

static int error_row(const error_job *j, int64_t i, float *x, float *back,
                     qn_err *err)
{
    const qn_gq_tensor *t = &j->c->g->t.v[j->row->at];
    int64_t row = i * j->stride;
    QN_TRY(rows_of(j->c, t, row, 1, x, err));
    for (int k = 0; k < N_CHOICES; k++) {
        if (!j->choice->bytes[k])
            continue;
        QN_TRY(round_row(t, j->row->type[k], row, x, back, err));
        j->sum[i * N_CHOICES + k] = row_error(x, back, qn_gq_importance(t, row),
                                              t->n_cols);
    }
    return QN_OK;
}

static void error_thread(void *arg, int thread, int n_threads)
{
    error_job *j = arg;
    size_t n = (size_t)j->c->g->t.v[j->row->at].n_cols;
    int64_t begin, end;
    qn_err e = {0};
    float *x = qn_xcalloc(n, sizeof *x), *back = qn_xcalloc(n, sizeof *back);
    int rc = QN_OK;
    qn_pool_split(j->n, 1, thread, n_threads, &begin, &end);
    for (int64_t i = begin; i < end && rc == QN_OK; i++)
        rc = error_row(j, i, x, back, &e);
    pthread_mutex_lock(&j->lock);
    if (rc < 0 && j->rc == QN_OK && j->err)
        *j->err = e;
    j->rc = j->rc < 0 ? j->rc : rc;
    pthread_mutex_unlock(&j->lock);
    free(x);
    free(back);
}

/* Rows are added in their order, whoever computed them. */
static int weigh(const allot_ctx *c, size_t i)
{
    const qn_gq_tensor *t = &c->g->t.v[c->row[i].at];
    int64_t stride = QN_MAX(t->n_rows / ERROR_ROWS, 1);
    error_job j = {.c = c,
                   .row = &c->row[i],
                   .choice = &c->choice[i],
                   .stride = stride,
                   .n = t->n_rows / stride,
                   .err = c->err};
    j.sum = qn_xcalloc((size_t)j.n * N_CHOICES, sizeof *j.sum);
    pthread_mutex_init(&j.lock, NULL);
    qn_pool_run(c->pool, error_thread, &j);
    pthread_mutex_destroy(&j.lock);
    for (int k = 0; k < N_CHOICES; k++) {
        double *error = &c->error[i * N_CHOICES + (size_t)k];
        *error = 0;
        for (int64_t r = 0; r < j.n; r++)
            *error += j.sum[r * N_CHOICES + k];
    }
    free(j.sum);
    return j.rc;
}

/* ---- a change ------------------------------------------------------------ */

typedef struct change {
    const allot_ctx *c;
    const qn_gq_tensor *t;
    qn_dtype type;
    bool rounded;
    float scale; /* from the file's numbers to the source's */
    const qn_tensor *source;
    int64_t *from; /* the file's row, of each of the source's; -1: it is of
                      another tensor. NULL: the same */
} change;

/* A row of the source that another tensor of the file has. */
static int foreign_row(const change *j, int64_t row, int64_t n, float *dst,
                       qn_err *err)
{
    uint64_t bytes;
    qn_dtype type = j->source->dtype;
    QN_TRY(qn_dtype_bytes(type, (uint64_t)n, &bytes, err));
    void *raw = qn_xmalloc((size_t)bytes);
    int rc = qn_ckpt_read(j->c->g->ck, j->source, (uint64_t)row * bytes, raw,
                          (size_t)bytes, err);
    if (rc == QN_OK)
        rc = qn_dtype_decode(type, raw, dst, (size_t)n, err);
    qn_free(raw);
    return rc;
}

static int changed_row(void *user, int64_t row, int64_t n, float *dst,
                       qn_err *err)
{
    const change *j = user;
    int64_t at = j->from ? j->from[row] : row;
    if (at < 0)
        return foreign_row(j, row, n, dst, err);
    QN_TRY(rows_of(j->c, j->t, at, 1, dst, err));
    if (j->rounded)
        QN_TRY(round_row(j->t, j->type, at, dst, dst, err));
    for (int64_t k = 0; k < n && j->scale != 1; k++)
        dst[k] *= j->scale;
    return QN_OK;
}

/* The rows that come from one tensor of the source, from *row on. */
static int put_source(const allot_ctx *c, change *j, int64_t *row)
{
    const qn_gq *g = c->g;
    size_t i = (size_t)(j->t - g->t.v);
    int64_t to, first = *row;
    j->source = qn_gguf_export_source(g->e, i, first, &to);
    if (!j->source)
        return qn_fail(c->err, QN_EINTERNAL, "tensor %s, row %lld: computed",
                       j->t->name, (long long)first);
    size_t n = (size_t)j->source->n_elems / (size_t)j->t->n_cols;
    j->from = qn_xcalloc(n + 1, sizeof *j->from);
    for (size_t r = 0; r < n; r++)
        j->from[r] = -1;
    for (const qn_tensor *now = j->source; now == j->source;) {
        if (to >= 0 && (size_t)to < n)
            j->from[to] = *row;
        now = ++*row < j->t->n_rows ? qn_gguf_export_source(g->e, i, *row, &to)
                                    : NULL;
    }
    int rc = qn_net_put(qn_sensitivity_net(c->sens), j->source->name,
                        changed_row, j, c->err);
    free(j->from);
    j->from = NULL;
    return rc;
}

/* Rows as the file has them into the network, which has the source's. */
static int put_rows(const allot_ctx *c, const gq_row *row, bool changed)
{
    const qn_gq *g = c->g;
    const qn_gq_tensor *t = &g->t.v[row->at];
    change j = {.c = c,
                .t = t,
                .type = row->type[row->probe],
                .rounded = changed,
                .scale = 1};
    if (!g->e)
        return qn_net_put(qn_sensitivity_net(c->sens), t->source, changed_row,
                          &j, c->err);
    j.scale = 1 / qn_gguf_export_scale(g->e, row->at);
    for (int64_t r = 0; r < t->n_rows;)
        QN_TRY(put_source(c, &j, &r));
    return QN_OK;
}

/* Where a row costs as much as all of them, they are read once. */
static int read_whole(allot_ctx *c, const qn_gq_tensor *t)
{
    qn_free(c->whole);
    c->whole = NULL;
    if (!t->whole)
        return QN_OK;
    float *x = qn_alloc((size_t)t->n_rows, (size_t)t->n_cols * sizeof *x);
    int rc = x ? qn_gq_rows(c->g, t, 0, t->n_rows, x, c->err)
               : qn_fail(c->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    c->whole = x;
    return rc;
}

static int put(void *user, size_t i, bool changed, qn_err *err)
{
    allot_ctx *c = user;
    (void)err; /* c->err is the same */
    if (changed) {
        const gq_row *row = &c->row[i];
        QN_TRY(read_whole(c, &c->g->t.v[row->at]));
        if (!(c->error[i * N_CHOICES + (size_t)row->probe] > 0))
            QN_TRY(weigh(c, i)); /* once of the head, which comes in pieces */
    }
    return put_rows(c, &c->row[i], changed);
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
                      "kl_probe", c->kl[i], "kl_expected", r->loss[r->pick]));
    }
    return table;
}

static void find_places(allot_ctx *c)
{
    int n = qn_net_hparams(qn_sensitivity_net(c->sens))->n_layer;
    bool apart = false; /* the head is a table of its own */
    for (size_t i = 0; i < c->g->t.n; i++)
        apart |= c->g->t.v[i].what == QN_GQ_EMBED;
    for (size_t i = 0; i < c->n; i++) {
        const qn_gq_tensor *t = &c->g->t.v[c->row[i].at];
        bool head = t->what == QN_GQ_HEAD;
        c->place[i] = (qn_sensitivity_place){!head   ? t->layer
                                             : apart ? n
                                                     : -1,
                                             head};
    }
}

static int measure(allot_ctx *c, qn_resume *resume, const json_t *beside,
                   const qn_watch *watch)
{
    qn_sensitivity_work w = {.n = c->n,
                             .place = c->place,
                             .put = put,
                             .user = c,
                             .found = c->error,
                             .n_found = N_CHOICES,
                             .kl = c->kl,
                             .resume = resume,
                             .beside = beside};
    QN_TRY(qn_sensitivity_run(c->sens, &w, watch, c->err));
    for (size_t i = 0; i < c->n; i++) {
        const double *error = c->error + i * N_CHOICES;
        double unit = error[c->row[i].probe];
        for (int k = 0; k < N_CHOICES && unit > 0; k++)
            c->choice[i].loss[k] = fmax(c->kl[i], 1e-12) * error[k] / unit;
    }
    return QN_OK;
}

static int allot(allot_ctx *c, qn_resume *resume, const json_t *beside,
                 const qn_watch *watch)
{
    uint64_t max;
    for (size_t i = 0; i < c->g->t.n; i++)
        QN_TRY(add_tensor(c, i));
    QN_TRY(budget(c, &max));
    QN_TRY(qn_sensitivity_open(&c->sens, c->p, c->g->ck, c->err));
    c->pool = qn_sensitivity_pool(c->sens);
    find_places(c);
    QN_TRY(measure(c, resume, beside, watch));
    if (!qn_auto_choose(c->choice, c->n, max, c->p->max_kl))
        return qn_fail(c->err, QN_EUNSUP,
                       "q8_0 for all of it is not expected to stay below "
                       "--max-kl; name a larger one");
    return QN_OK;
}

int qn_gq_allot(const qn_gq *g, const qn_optimize_params *p, json_t **table,
                qn_resume *resume, const json_t *beside, const qn_watch *watch,
                qn_err *err)
{
    allot_ctx c = {.g = g, .p = p, .err = err};
    c.row = qn_xcalloc(g->t.n, sizeof *c.row);
    c.choice = qn_xcalloc(g->t.n, sizeof *c.choice);
    c.place = qn_xcalloc(g->t.n, sizeof *c.place);
    c.error = qn_xcalloc(g->t.n, N_CHOICES * sizeof *c.error);
    c.kl = qn_xcalloc(g->t.n, sizeof *c.kl);
    int rc = allot(&c, resume, beside, watch);
    if (rc == QN_OK)
        *table = table_of(&c);
    qn_sensitivity_close(c.sens);
    qn_free(c.whole);
    free(c.row);
    free(c.choice);
    free(c.place);
    free(c.error);
    free(c.kl);
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
