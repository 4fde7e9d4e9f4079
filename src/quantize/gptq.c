/* gptq.c - see gptq.h. What goes by columns inside of a block is done on the
 * threads, some rows at a time; what a block does to the columns behind it is
 * one product of the backend. */
#include "quantize/gptq.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/cholesky.h"
#include "quantize/matmul.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES = 16, /* rows that are rounded side by side */
    RANGES = 8  /* that are tried for a group */
};
#define RANGE_STEP 0.05f

/* ---- the factor ---------------------------------------------------------- */

typedef struct rank {
    float v;
    int32_t k;
} rank;

static int by_weight(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    if (x->v != y->v)
        return x->v > y->v ? -1 : 1;
    return (x->k > y->k) - (x->k < y->k);
}

/* Columns by falling diagonal, and h in that order. at: where each column of
 * old is now; was: which one is at each place. */
static int put_in_order(qn_gptq *g, qn_tri *h, qn_err *err)
{
    int64_t n = h->n;
    rank *r = qn_alloc((size_t)n, sizeof *r);
    int32_t *at = qn_alloc((size_t)n, sizeof *at);
    int32_t *was = qn_alloc((size_t)n, sizeof *was);
    g->order = qn_alloc((size_t)n, sizeof *g->order);
    int rc = r && at && was && g->order
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM,
                           "activation order: no memory for %lld columns",
                           (long long)n);
    for (int64_t k = 0; k < n && rc == QN_OK; k++) {
        r[k] = (rank){*qn_tri_at(h, k, k), (int32_t)k};
        at[k] = was[k] = (int32_t)k;
    }
    if (rc == QN_OK)
        qsort(r, (size_t)n, sizeof *r, by_weight);
    for (int64_t i = 0; i < n && rc == QN_OK; i++) {
        int32_t from = at[r[i].k];
        g->order[i] = r[i].k;
        qn_tri_swap(h, i, from);
        was[from] = was[i];
        at[was[i]] = from;
        was[i] = r[i].k;
    }
    qn_free(r);
    qn_free(at);
    qn_free(was);
    return rc;
}

int qn_gptq_factor(qn_gptq *g, qn_backend *be, qn_tri *h, double damping,
                   bool ordered, qn_err *err)
{
    double mean = 0;
    *g = (qn_gptq){.be = be, .t = h};
    for (int64_t i = 0; i < h->n; i++)
        mean += (double)*qn_tri_at(h, i, i) / (double)h->n;
    if (!(mean > 0) || !isfinite(mean))
        return qn_fail(err, QN_EINVAL, "nothing came to the layer");
    if (ordered)
        QN_TRY(put_in_order(g, h, err));
    for (int64_t i = 0; i < h->n; i++)
        *qn_tri_at(h, i, i) += (float)(damping * mean);
    return qn_inverse_factor(be, h, err);
}

void qn_gptq_deinit(qn_gptq *g)
{
    qn_free(g->order);
    *g = (qn_gptq){0};
}

typedef struct round_job {
    const qn_gptq *g;
    const qn_qmat *m;
    qn_pool *pool;
    float *w;     /* [n_out, n] in the order of rounding */
    float *error; /* [n_out, QN_GPTQ_BLOCK]              */
    float *u;     /* [QN_GPTQ_BLOCK, QN_GPTQ_BLOCK] of T's transpose */
    qn_qrows *out;
    int64_t k0, k1;
    int32_t *group; /* [n] that scales the column rounded at each turn */
    float *share;   /* [n] of the loss: of each turn, or (static) column */
} round_job;

static int64_t place(const qn_gptq *g, int64_t k)
{
    return g->order ? g->order[k] : k;
}

/* ---- some rows at a time ------------------------------------------------- */

/* LANES rows go together, column by column: [column][LANES], so that what is
 * one after the other in a row is side by side in a register. */
typedef struct strip {
    int64_t r0;   /* its first row                       */
    int n;        /* rows; the others repeat the last    */
    float *group; /* [group, LANES] the weights of one   */
    float w[QN_GPTQ_BLOCK][LANES], error[QN_GPTQ_BLOCK][LANES];
} strip;

/* Columns [k, k + n) of the strip's rows of w to [n][LANES]. */
static void gather(const round_job *j, const strip *s, int64_t k, int64_t n,
                   float *to)
{
    for (int l = 0; l < LANES; l++) {
        int row = QN_MIN(l, s->n - 1);
        const float *w = j->w + (s->r0 + row) * j->m->n_in + k;
        for (int64_t i = 0; i < n; i++)
            to[i * LANES + l] = w[i];
    }
}

/* What rounding costs with these ranges, each column by its share of the loss. */
static void fit_loss(const qn_qmat *m, const float *w, const float *share,
                     int64_t n, const float *scale, const float *zero,
                     float *loss)
{
    float max = (float)((1 << m->bits) - 1), inv[LANES];
    for (int l = 0; l < LANES; l++) {
        inv[l] = 1.0f / scale[l];
        loss[l] = 0;
    }
    for (int64_t k = 0; k < n; k++, w += LANES) {
        for (int l = 0; l < LANES; l++) {
            float q = qn_affine_round(w[l] * inv[l], zero[l], max);
            float e = (q - zero[l]) * scale[l] - w[l];
            loss[l] += share[k] * e * e;
        }
    }
}

/* Scales and zero points of a group of weights, w [n][LANES]; share: of its
 * columns. A range shorter than that of the weights is taken where it costs
 * less. */
static void fit(const round_job *j, const strip *s, const float *w,
                const float *share, int64_t n, int64_t group)
{
    const qn_qmat *m = j->m;
    float ends[2][LANES] = {{0}}, least[LANES], loss[LANES];
    for (int64_t k = 0; k < n; k++) {
        for (int l = 0; l < LANES; l++) {
            float v = w[k * LANES + l];
            ends[0][l] = v < ends[0][l] ? v : ends[0][l];
            ends[1][l] = v > ends[1][l] ? v : ends[1][l];
        }
    }
    for (int i = 0; i < RANGES; i++) {
        float part = 1 - RANGE_STEP * (float)i, scale[LANES], zero[LANES];
        for (int l = 0; l < LANES; l++) {
            float to[2] = {ends[0][l] * part, ends[1][l] * part};
            qn_affine_fit(m, to, 2, &scale[l], &zero[l]);
        }
        fit_loss(m, w, share, n, scale, zero, loss);
        for (int l = 0; l < s->n; l++) {
            int64_t at = (s->r0 + l) * qn_qmat_n_group(m) + group;
            if (i > 0 && !(loss[l] < least[l]))
                continue;
            least[l] = loss[l];
            j->out->scales[at] = scale[l];
            if (m->zeros)
                j->out->zeros[at] = zero[l];
        }
    }
}

/* The group that begins with column k: the block's columns as the strip has
 * them, those behind it as they lie. */
static void fit_at(const round_job *j, strip *s, int64_t k)
{
    int64_t n = QN_MIN(j->m->group, j->m->n_in - k);
    int64_t here = QN_MIN(n, j->k1 - k);
    memcpy(s->group, s->w[k - j->k0], (size_t)here * sizeof s->w[0]);
    if (n > here)
        gather(j, s, k + here, n - here, s->group + here * LANES);
    fit(j, s, s->group, j->share + k, n, k / j->m->group);
}

/* ---- rounding ------------------------------------------------------------ */

/* Rounds column k; errors are over T's diagonal. */
static void round_column(const round_job *j, strip *s, int64_t k,
                         const float *scale, const float *zero, float u)
{
    const qn_qmat *m = j->m;
    float max = (float)((1 << m->bits) - 1), q[LANES];
    float *w = s->w[k - j->k0], *error = s->error[k - j->k0];
    for (int l = 0; l < LANES; l++) {
        q[l] = qn_affine_round(w[l] / scale[l], zero[l], max);
        float back = (q[l] - zero[l]) * scale[l];
        error[l] = (w[l] - back) / u;
        w[l] = back;
    }
    for (int l = 0; l < s->n; l++)
        j->out->codes[(s->r0 + l) * m->n_in + place(j->g, k)] = (uint8_t)q[l];
}

/* The errors of a column, from the n columns that follow it: w [n][LANES]. */
static void take_errors(float (*w)[LANES], const float *error, const float *u,
                        int64_t n)
{
    float e[LANES];
    memcpy(e, error, sizeof e);
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++)
            w[i][l] -= e[l] * u[i];
}

static void load_scales(const round_job *j, const strip *s, int64_t group,
                        float *scale, float *zero)
{
    const qn_qmat *m = j->m;
    for (int l = 0; l < LANES; l++) {
        int64_t row = s->r0 + QN_MIN(l, s->n - 1);
        int64_t at = row * qn_qmat_n_group(m) + group;
        scale[l] = j->out->scales[at];
        zero[l] = m->zeros ? j->out->zeros[at] : m->zero;
    }
}

static void round_strip(const round_job *j, strip *s)
{
    int64_t n_in = j->m->n_in, n = j->k1 - j->k0, group = -1;
    float scale[LANES], zero[LANES];
    gather(j, s, j->k0, n, s->w[0]);
    for (int64_t k = j->k0; k < j->k1; k++) {
        const float *u = j->u + (k - j->k0) * QN_GPTQ_BLOCK + k - j->k0;
        if (!j->g->static_groups && k % j->m->group == 0)
            fit_at(j, s, k);
        if (j->group[k] != group)
            load_scales(j, s, j->group[k], scale, zero);
        group = j->group[k];
        round_column(j, s, k, scale, zero, u[0]);
        take_errors(s->w + (k + 1 - j->k0), s->error[k - j->k0], u + 1,
                    j->k1 - k - 1);
    }
    for (int l = 0; l < s->n; l++) {
        float *w = j->w + (s->r0 + l) * n_in + j->k0;
        float *error = j->error + (s->r0 + l) * QN_GPTQ_BLOCK;
        for (int64_t k = 0; k < n; k++) {
            w[k] = s->w[k][l];
            error[k] = s->error[k][l];
        }
    }
}

/* Strips of the rows are taken by the threads. */
static void each_strip(round_job *j, void (*fn)(const round_job *j, strip *s))
{
    int64_t n_out = j->m->n_out;
    strip *s = qn_xcalloc(1, sizeof *s);
    s->group = qn_xcalloc((size_t)j->m->group, LANES * sizeof *s->group);
    for (int64_t r; (r = qn_pool_next(j->pool) * LANES) < n_out;) {
        s->r0 = r;
        s->n = (int)QN_MIN(LANES, n_out - r);
        fn(j, s);
    }
    free(s->group);
    free(s);
}

static void round_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    each_strip(arg, round_strip);
}

/* The block's own part of T, columns side by side. */
static void copy_block(round_job *j)
{
    const qn_tri *t = j->g->t;
    int64_t width = j->k1 - j->k0;
    for (int64_t i = 0; i < width; i++)
        for (int64_t k = 0; k <= i; k++)
            j->u[k * QN_GPTQ_BLOCK + i] = qn_tri_at(t, j->k0 + i, j->k0)[k];
}

/* What the errors of a block do to the columns behind it. */
static int spread(const round_job *j, qn_err *err)
{
    int64_t n = j->m->n_in, left = n - j->k1, width = j->k1 - j->k0;
    if (left == 0)
        return QN_OK;
    qn_matmul p = {.x = j->error,
                   .w = qn_tri_at(j->g->t, j->k1, j->k0),
                   .y = j->w + j->k1,
                   .ldx = QN_GPTQ_BLOCK,
                   .ldw = j->g->t->ld,
                   .ldy = n,
                   .n_row = j->m->n_out,
                   .n_in = width,
                   .n_out = left,
                   .scale = -1,
                   .add = true};
    return qn_matmul_run(j->g->be, &p, err);
}

/* Groups as they stand, before anything is rounded. */
static void fit_strip(const round_job *j, strip *s)
{
    const qn_qmat *m = j->m;
    for (int64_t k = 0; k < m->n_in; k += m->group) {
        int64_t n = QN_MIN(m->group, m->n_in - k);
        gather(j, s, k, n, s->group);
        fit(j, s, s->group, j->share + k, n, k / m->group);
    }
}

static void static_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    each_strip(arg, fit_strip);
}

typedef struct turn_job {
    const qn_gptq *g;
    float *w;
    int64_t n_out;
    bool back;
} turn_job;

/* Columns into the order of rounding, or back. */
static void turn_thread(void *arg, int thread, int n_threads)
{
    turn_job *t = arg;
    int64_t n = t->g->t->n, begin, end;
    float *row = qn_xcalloc((size_t)n, sizeof *row);
    qn_pool_split(t->n_out, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *w = t->w + r * n;
        memcpy(row, w, (size_t)n * sizeof *row);
        for (int64_t k = 0; k < n; k++) {
            if (t->back)
                w[t->g->order[k]] = row[k];
            else
                w[k] = row[t->g->order[k]];
        }
    }
    free(row);
}

static void turn(round_job *j, bool back)
{
    turn_job t = {j->g, j->w, j->m->n_out, back};
    if (j->g->order)
        qn_pool_run(j->pool, turn_thread, &t);
}

/* An error e in the column of turn k costs (e / T[k][k])^2. */
static void set_turn(round_job *j, int64_t k)
{
    int64_t at = j->g->static_groups ? place(j->g, k) : k;
    float u = *qn_tri_at(j->g->t, k, k);
    j->group[k] = (int32_t)(at / j->m->group);
    j->share[at] = 1 / (u * u);
}

int qn_gptq_matrix(const qn_gptq *g, const qn_qmat *m, float *w, qn_qrows *out,
                   int32_t *g_idx, qn_err *err)
{
    round_job j = {
        .g = g, .m = m, .pool = g->be->api->pool(g->be), .w = w, .out = out};
    int rc = QN_OK;
    j.error = qn_alloc((size_t)m->n_out, QN_GPTQ_BLOCK * sizeof(float));
    j.u = qn_alloc(QN_GPTQ_BLOCK, QN_GPTQ_BLOCK * sizeof *j.u);
    j.group = qn_alloc((size_t)m->n_in, sizeof *j.group);
    j.share = qn_alloc((size_t)m->n_in, sizeof *j.share);
    if (!j.error || !j.u || !j.group || !j.share)
        rc = qn_fail(err, QN_ENOMEM, "%s: no memory to round %lld rows",
                     m->name ? m->name : "matrix", (long long)m->n_out);
    for (int64_t k = 0; k < m->n_in && rc == QN_OK; k++)
        set_turn(&j, k);
    if (rc == QN_OK && g->static_groups)
        qn_pool_run(j.pool, static_thread, &j);
    if (rc == QN_OK)
        turn(&j, false);
    for (; j.k0 < m->n_in && rc == QN_OK; j.k0 = j.k1) {
        j.k1 = QN_MIN(j.k0 + QN_GPTQ_BLOCK, m->n_in);
        copy_block(&j);
        qn_pool_run(j.pool, round_thread, &j);
        rc = spread(&j, err);
    }
    if (rc == QN_OK)
        turn(&j, true);
    for (int64_t k = 0; g_idx && k < m->n_in && rc == QN_OK; k++)
        g_idx[place(g, k)] = j.group[k];
    qn_free(j.error);
    qn_free(j.u);
    qn_free(j.group);
    qn_free(j.share);
    return rc;
}
