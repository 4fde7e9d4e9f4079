/* gptq.c - see gptq.h. What goes by columns inside of a block is done row by
 * row on the threads; what a block does to the columns behind it is one product
 * of the backend. */
#include "quantize/gptq.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/calibrate.h"
#include "quantize/cholesky.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RANGES = 8 /* that are tried for a group */
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

/* Columns by falling diagonal, and h in that order. */
static int put_in_order(qn_gptq *g, float *h, int64_t n, qn_err *err)
{
    rank *r = qn_alloc((size_t)n, sizeof *r);
    float *row = qn_alloc((size_t)n, sizeof *row);
    float *copy = qn_alloc((size_t)n, (size_t)n * sizeof *copy);
    g->order = qn_alloc((size_t)n, sizeof *g->order);
    int rc = r && row && copy && g->order
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM,
                           "activation order: no memory for a matrix of %lld "
                           "columns",
                           (long long)n);
    for (int64_t k = 0; k < n && rc == QN_OK; k++)
        r[k] = (rank){h[k * n + k], (int32_t)k};
    if (rc == QN_OK) {
        qsort(r, (size_t)n, sizeof *r, by_weight);
        memcpy(copy, h, (size_t)(n * n) * sizeof *h);
        for (int64_t i = 0; i < n; i++) {
            g->order[i] = r[i].k;
            for (int64_t j = 0; j < n; j++)
                h[i * n + j] = copy[(int64_t)r[i].k * n + r[j].k];
        }
    }
    qn_free(r);
    qn_free(row);
    qn_free(copy);
    return rc;
}

int qn_gptq_factor(qn_gptq *g, qn_backend *be, float *h, int64_t n,
                   double damping, bool ordered, qn_err *err)
{
    double mean = 0;
    *g = (qn_gptq){.be = be, .n = n, .u = h};
    for (int64_t i = 0; i < n; i++)
        mean += (double)h[i * n + i] / (double)n;
    if (!(mean > 0) || !isfinite(mean))
        return qn_fail(err, QN_EINVAL, "nothing came to the layer");
    if (ordered)
        QN_TRY(put_in_order(g, h, n, err));
    for (int64_t i = 0; i < n; i++)
        h[i * n + i] += (float)(damping * mean);
    return qn_inverse_factor(be, h, n, err);
}

void qn_gptq_deinit(qn_gptq *g)
{
    qn_free(g->order);
    *g = (qn_gptq){0};
}

/* ---- rounding ------------------------------------------------------------ */

typedef struct round_job {
    const qn_gptq *g;
    const qn_qmat *m;
    qn_pool *pool;
    float *w;     /* [n_out, n] in the order of rounding */
    float *error; /* [n_out, QN_GPTQ_BLOCK]              */
    qn_qrows *out;
    int64_t k0, k1;
    int32_t *group; /* [n] that scales the column rounded at each turn */
    float *share;   /* [n] of the loss: of each turn, or (static) column */
} round_job;

static int64_t place(const qn_gptq *g, int64_t k)
{
    return g->order ? g->order[k] : k;
}

static qn_dtype stored_as(const qn_qmat *m)
{
    return m->scheme == &qn_ct_pack_scheme ? m->round : QN_F16;
}

/* What rounding costs with this range, each column by its share of the loss. */
static float fit_loss(const qn_qmat *m, const float *w, const float *share,
                      int64_t n, float scale, float zero)
{
    float max = (float)((1 << m->bits) - 1), inv = 1.0f / scale, sum = 0;
    for (int64_t k = 0; k < n; k++) {
        float e = (qn_affine_round(w[k] * inv, zero, max) - zero) * scale -
                  w[k];
        sum += share[k] * e * e;
    }
    return sum;
}

/* Scale and zero point of a group of weights; share: of its columns. A range
 * shorter than that of the weights is taken where it costs less. */
static void fit(const round_job *j, const float *w, const float *share,
                int64_t n, int64_t r, int64_t group)
{
    const qn_qmat *m = j->m;
    int64_t at = r * qn_qmat_n_group(m) + group;
    float least = INFINITY, ends[2] = {0, 0};
    for (int64_t k = 0; k < n; k++) {
        ends[0] = fminf(ends[0], w[k]);
        ends[1] = fmaxf(ends[1], w[k]);
    }
    for (int i = 0; i < RANGES; i++) {
        float part = 1 - RANGE_STEP * (float)i, scale, zero;
        float to[2] = {ends[0] * part, ends[1] * part};
        qn_affine_fit(m, stored_as(m), to, 2, &scale, &zero);
        float loss = fit_loss(m, w, share, n, scale, zero);
        if (i > 0 && !(loss < least))
            continue;
        least = loss;
        j->out->scales[at] = scale;
        if (m->zeros)
            j->out->zeros[at] = zero;
    }
}

/* Rounds column k of row r; the error over U's diagonal. */
static float round_one(const round_job *j, float *w, int64_t r, int64_t k,
                       int64_t n_group, float u)
{
    const qn_qmat *m = j->m;
    int64_t at = r * n_group + j->group[k];
    float max = (float)((1 << m->bits) - 1), scale = j->out->scales[at];
    float zero = m->zeros ? j->out->zeros[at] : m->zero;
    float q = qn_affine_round(*w / scale, zero, max);
    j->out->codes[r * m->n_in + place(j->g, k)] = (uint8_t)q;
    float back = (q - zero) * scale, error = (*w - back) / u;
    *w = back;
    return error;
}

static void axpy(float *y, float f, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += f * x[i];
}

static void round_thread(void *arg, int thread, int n_threads)
{
    round_job *j = arg;
    const qn_qmat *m = j->m;
    int64_t n = m->n_in, n_group = qn_qmat_n_group(m), begin, end;
    qn_pool_split(m->n_out, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *w = j->w + r * n, *e = j->error + r * QN_GPTQ_BLOCK;
        for (int64_t k = j->k0; k < j->k1; k++) {
            const float *u = j->g->u + k * n;
            if (!j->g->static_groups && k % m->group == 0)
                fit(j, w + k, j->share + k, QN_MIN(m->group, n - k), r,
                    k / m->group);
            e[k - j->k0] = round_one(j, w + k, r, k, n_group, u[k]);
            axpy(w + k + 1, -e[k - j->k0], u + k + 1, j->k1 - k - 1);
        }
    }
}

/* What the errors of a block do to the columns behind it. */
static int spread(round_job *j, float *turned, qn_err *err)
{
    int64_t n = j->m->n_in, left = n - j->k1, width = j->k1 - j->k0;
    if (left == 0)
        return QN_OK;
    for (int64_t k = j->k0; k < j->k1; k++)
        for (int64_t i = 0; i < left; i++)
            turned[i * width + k - j->k0] = j->g->u[k * n + j->k1 + i];
    qn_product_of p = {.x = j->error,
                       .w = turned,
                       .y = j->w + j->k1,
                       .ldx = QN_GPTQ_BLOCK,
                       .ldw = width,
                       .ldy = n,
                       .n_row = j->m->n_out,
                       .n_in = width,
                       .n_out = left,
                       .scale = -1,
                       .add = true};
    return qn_cal_product(j->g->be, &p, err);
}

static void static_thread(void *arg, int thread, int n_threads)
{
    round_job *j = arg;
    const qn_qmat *m = j->m;
    int64_t begin, end;
    qn_pool_split(m->n_out, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        for (int64_t k = 0; k < m->n_in; k += m->group)
            fit(j, j->w + r * m->n_in + k, j->share + k,
                QN_MIN(m->group, m->n_in - k), r, k / m->group);
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
    int64_t n = t->g->n, begin, end;
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

/* An error e in the column of turn k costs (e / U[k][k])^2. */
static void set_turn(round_job *j, int64_t k)
{
    int64_t at = j->g->static_groups ? place(j->g, k) : k;
    float u = j->g->u[k * j->m->n_in + k];
    j->group[k] = (int32_t)(at / j->m->group);
    j->share[at] = 1 / (u * u);
}

int qn_gptq_matrix(const qn_gptq *g, const qn_qmat *m, float *w, qn_qrows *out,
                   int32_t *g_idx, qn_err *err)
{
    round_job j = {
        .g = g, .m = m, .pool = g->be->api->pool(g->be), .w = w, .out = out};
    float *turned = qn_alloc((size_t)m->n_in, QN_GPTQ_BLOCK * sizeof(float));
    int rc = QN_OK;
    j.error = qn_alloc((size_t)m->n_out, QN_GPTQ_BLOCK * sizeof(float));
    j.group = qn_alloc((size_t)m->n_in, sizeof *j.group);
    j.share = qn_alloc((size_t)m->n_in, sizeof *j.share);
    if (!j.error || !turned || !j.group || !j.share)
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
        qn_pool_run(j.pool, round_thread, &j);
        rc = spread(&j, turned, err);
    }
    if (rc == QN_OK)
        turn(&j, true);
    for (int64_t k = 0; g_idx && k < m->n_in && rc == QN_OK; k++)
        g_idx[place(g, k)] = j.group[k];
    qn_free(j.error);
    qn_free(j.group);
    qn_free(j.share);
    qn_free(turned);
    return rc;
}
