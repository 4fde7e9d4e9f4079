/* awq.c - see awq.h.
 *
 * A candidate's loss is |X (Q(W s) / s - W)^T|^2, X being rows of the text and
 * Q rounding to nearest. Candidates are s = m^a, m the root mean square of what
 * a column meets, with or without the mean magnitude of its weights (relative
 * to their group's largest) divided out; a = 0, no scaling, is one of them, so
 * the loss on those rows never grows. */
#include "quantize/awq.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/names.h"
#include "quantize/awq_fold.h"
#include "quantize/matmul.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS = 10,       /* of the exponent               */
    CLIPS = 12,       /* shortenings that are tried    */
    CLIP_ROWS = 128,  /* whose ranges are tried at once */
    CLIP_GROUP = 256, /* longer groups are not clipped */
    SIDE = 8          /* weights side by side */
};
#define CLIP_STEP 0.04f

typedef struct awq_ctx {
    qn_cal *cal;
    const qn_ckpt *ck;
    qn_opt_plan *plan;
    qn_backend *be;
    qn_pool *pool;
    qn_err *err;
} awq_ctx;

/* ---- before the stages --------------------------------------------------- */

void qn_awq_prepare(const qn_cal *cal, qn_opt_plan *plan)
{
    const qn_net *net = qn_cal_net(cal);
    qn_folds folds = {0};
    for (int l = 0; l < qn_net_hparams(net)->n_layer; l++)
        qn_folds_find(&folds, net, plan, l);
    for (size_t i = 0; i < folds.n; i++) {
        folds.v[i].by->stage = folds.v[i].layer;
        if (folds.v[i].bias)
            folds.v[i].bias->stage = folds.v[i].layer;
    }
    qn_vec_deinit(&folds);
}

/* ---- scales -------------------------------------------------------------- */

/* Rows of Q(w s) / s - w, into d. */
typedef struct delta_job {
    const qn_qmat *m;
    const float *w, *s;
    float *d;
} delta_job;

static void delta_row(const delta_job *j, const float *w, float *d)
{
    const qn_qmat *m = j->m;
    float max = (float)((1 << m->bits) - 1);
    for (int64_t k = 0; k < m->n_in; k++)
        d[k] = w[k] * j->s[k];
    for (int64_t k0 = 0; k0 < m->n_in; k0 += m->group) {
        int64_t k1 = QN_MIN(k0 + m->group, m->n_in);
        float scale, zero;
        qn_affine_fit(m, d + k0, k1 - k0, &scale, &zero);
        float inv = 1.0f / scale;
        for (int64_t k = k0; k < k1; k++) {
            float q = qn_affine_round(d[k] * inv, zero, max);
            d[k] = (q - zero) * scale / j->s[k] - w[k];
        }
    }
}

static void delta_thread(void *arg, int thread, int n_threads)
{
    const delta_job *j = arg;
    int64_t n = j->m->n_in, begin, end;
    qn_pool_split(j->m->n_out, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        delta_row(j, j->w + r * n, j->d + r * n);
}

static double sum_squares(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* A matrix that reads the input, in memory. */
typedef struct awq_reader {
    qn_opt_item *item;
    float *w;
} awq_reader;

typedef struct scale_search {
    awq_ctx *c;
    const qn_cal_input *in;
    awq_reader r[QN_FOLD_READERS];
    int n;
    float *d, *y; /* scratch for the largest */
} scale_search;

static int loss_of(scale_search *q, const float *s, double *loss)
{
    *loss = 0;
    for (int i = 0; i < q->n; i++) {
        const qn_qmat *m = &q->r[i].item->mat;
        delta_job j = {m, q->r[i].w, s, q->d};
        qn_pool_run(q->c->pool, delta_thread, &j);
        qn_matmul p = {.x = q->in->rows,
                       .w = q->d,
                       .y = q->y,
                       .ldx = m->n_in,
                       .ldw = m->n_in,
                       .ldy = m->n_out,
                       .n_row = q->in->n_rows,
                       .n_in = m->n_in,
                       .n_out = m->n_out,
                       .scale = 1,
                       .rounded = true};
        QN_TRY(qn_matmul_run(q->c->be, &p, q->c->err));
        *loss += sum_squares(q->y, (size_t)(q->in->n_rows * m->n_out));
    }
    return QN_OK;
}

/* Mean over all rows of |w| by the largest of its group. */
static void weight_share(const scale_search *q, float *share)
{
    int64_t n = q->in->n, rows = 0;
    memset(share, 0, (size_t)n * sizeof *share);
    for (int i = 0; i < q->n; i++) {
        const qn_qmat *m = &q->r[i].item->mat;
        for (int64_t r = 0; r < m->n_out; r++) {
            const float *w = q->r[i].w + r * n;
            for (int64_t k0 = 0; k0 < n; k0 += m->group) {
                int64_t k1 = QN_MIN(k0 + m->group, n);
                float max = 0;
                for (int64_t k = k0; k < k1; k++)
                    max = fmaxf(max, fabsf(w[k]));
                for (int64_t k = k0; k < k1 && max > 0; k++)
                    share[k] += fabsf(w[k]) / max;
            }
        }
        rows += m->n_out;
    }
    for (int64_t k = 0; k < n; k++)
        share[k] /= (float)rows;
}

/* s of one candidate, around 1. */
static void candidate(const scale_search *q, const float *share, int step,
                      bool both, float *s)
{
    float a = (float)step / STEPS, lo = INFINITY, hi = 0;
    for (int64_t k = 0; k < q->in->n; k++) {
        float v = powf(sqrtf(q->in->squares[k]), a);
        if (both)
            v /= powf(share[k] + 1e-4f, 1 - a);
        v = isfinite(v) ? fmaxf(v, 1e-4f) : 1;
        s[k] = v;
        lo = fminf(lo, v);
        hi = fmaxf(hi, v);
    }
    float mid = sqrtf(lo) * sqrtf(hi);
    for (int64_t k = 0; k < q->in->n; k++)
        s[k] = step || both ? s[k] / mid : 1;
}

static int try_all(scale_search *q, float *best, bool *scaled)
{
    size_t n = (size_t)q->in->n;
    float *s = qn_xcalloc(n, sizeof *s), *share = qn_xcalloc(n, sizeof *share);
    double least = INFINITY, loss;
    int rc = QN_OK;
    weight_share(q, share);
    for (int i = 0; i <= 2 * STEPS && rc == QN_OK; i++) {
        bool both = i > STEPS;
        if (both && i % 2) /* coarser there */
            continue;
        candidate(q, share, both ? i - STEPS - 1 : i, both, s);
        rc = loss_of(q, s, &loss);
        if (rc < 0 || !(loss < least))
            continue;
        least = loss;
        memcpy(best, s, n * sizeof *s);
        *scaled = i > 0;
    }
    qn_free(s);
    qn_free(share);
    return rc;
}

static int search_open(scale_search *q, const qn_fold *fold)
{
    int64_t n_out = 0;
    for (int i = 0; i < fold->n_reader; i++) {
        q->r[i].item = fold->reader[i];
        QN_TRY(qn_matrix_read(q->r[i].item, q->c->ck, q->c->pool, &q->r[i].w,
                              q->c->err));
        q->n++;
        n_out = QN_MAX(n_out, q->r[i].item->mat.n_out);
    }
    q->d = qn_alloc((size_t)n_out, (size_t)q->in->n * sizeof *q->d);
    q->y = qn_alloc((size_t)n_out, (size_t)q->in->n_rows * sizeof *q->y);
    return q->d && q->y ? QN_OK
                        : qn_fail(q->c->err, QN_ENOMEM,
                                  "tensor %s: no memory to choose scales",
                                  fold->reader[0]->t->name);
}

static void search_close(scale_search *q)
{
    for (int i = 0; i < q->n; i++)
        qn_free(q->r[i].w);
    qn_free(q->d);
    qn_free(q->y);
}

/* Keeps the scales in the items: readers' columns, the others' rows. */
static void apply(const qn_fold *fold, const float *s, int64_t n)
{
    qn_opt_item *divided[2] = {fold->by, fold->bias};
    for (int i = 0; i < fold->n_reader; i++) {
        qn_opt_item *it = fold->reader[i];
        it->col_mul = qn_xcalloc((size_t)n, sizeof *s);
        memcpy(it->col_mul, s, (size_t)n * sizeof *s);
    }
    for (int i = 0; i < 2; i++) {
        if (!divided[i])
            continue;
        divided[i]->row_mul = qn_xcalloc((size_t)n, sizeof *s);
        for (int64_t k = 0; k < n; k++)
            divided[i]->row_mul[k] = 1 / s[k];
        divided[i]->plus_one = fold->plus_one && i == 0;
    }
}

static int do_fold(awq_ctx *c, const qn_fold *fold)
{
    const char *name = fold->reader[0]->t->name;
    scale_search q = {.c = c, .in = qn_cal_find(c->cal, name, -1)};
    int64_t rows = (int64_t)fold->by->t->shape[0];
    bool scaled = false;
    if (!q.in || q.in->n_rows == 0)
        return QN_OK;
    for (int i = 0; i < fold->n_reader; i++) /* all see the same */
        if (qn_cal_find(c->cal, fold->reader[i]->t->name, -1) != q.in ||
            fold->reader[i]->mat.n_in != q.in->n)
            return QN_OK;
    if (rows != q.in->n || fold->by->transposed ||
        (fold->bias && fold->bias->t->shape[0] != rows))
        return QN_OK;
    float *s = qn_xcalloc((size_t)q.in->n, sizeof *s);
    int rc = search_open(&q, fold);
    if (rc == QN_OK)
        rc = try_all(&q, s, &scaled);
    if (rc == QN_OK && scaled)
        apply(fold, s, q.in->n);
    search_close(&q);
    qn_free(s);
    return rc;
}

/* ---- clipping ------------------------------------------------------------ */

/* Of some rows the weights of one group, with every shortening: what rounding
 * leaves of each, d, times the inputs' products G is y, and d y its loss. */
typedef struct clip_job {
    const qn_qmat *m;
    float *w;         /* [n_out, n_in], clipped in place  */
    int64_t k0, n;    /* columns of the group             */
    int64_t r0, rows; /* at most CLIP_ROWS                */
    float *d, *y;     /* [CLIP_ROWS, CLIPS, n]            */
} clip_job;

static float clip_to(float top, int i)
{
    return top * (1 - (float)i * CLIP_STEP);
}

static float clamp(float v, float most)
{
    v = v < most ? v : most;
    return v > -most ? v : -most;
}

/* The least and the largest of n weights and 0, some side by side. */
static void ends_of(const float *w, int64_t n, float ends[2])
{
    float lo[SIDE] = {0}, hi[SIDE] = {0};
    for (int64_t k = 0; k < n; k += SIDE)
        for (int64_t i = 0; i < QN_MIN(n - k, (int64_t)SIDE); i++) {
            lo[i] = w[k + i] < lo[i] ? w[k + i] : lo[i];
            hi[i] = w[k + i] > hi[i] ? w[k + i] : hi[i];
        }
    for (int i = 1; i < SIDE; i++) {
        lo[0] = lo[i] < lo[0] ? lo[i] : lo[0];
        hi[0] = hi[i] > hi[0] ? hi[i] : hi[0];
    }
    ends[0] = lo[0];
    ends[1] = hi[0];
}

static float top_of(const float ends[2])
{
    return -ends[0] > ends[1] ? -ends[0] : ends[1];
}

/* What rounding leaves of w within +-most. */
static void clip_delta(const qn_qmat *m, const float *w, int64_t n,
                       const float ends[2], float most, float *d)
{
    float within[2] = {clamp(ends[0], most), clamp(ends[1], most)};
    float max = (float)((1 << m->bits) - 1), scale, zero;
    qn_affine_fit(m, within, 2, &scale, &zero);
    float inv = 1.0f / scale;
    for (int64_t k = 0; k < n; k++) {
        float q = qn_affine_round(clamp(w[k], most) * inv, zero, max);
        d[k] = (q - zero) * scale - w[k];
    }
}

static void clip_try(void *arg, int thread, int n_threads)
{
    const clip_job *j = arg;
    int64_t begin, end;
    qn_pool_split(j->rows, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *w = j->w + (j->r0 + r) * j->m->n_in + j->k0;
        float ends[2];
        ends_of(w, j->n, ends);
        for (int i = 0; i < CLIPS; i++)
            clip_delta(j->m, w, j->n, ends, clip_to(top_of(ends), i),
                       j->d + (r * CLIPS + i) * j->n);
    }
}

/* The shortening that loses least; of equals the first. */
static int least_loss(const clip_job *j, int64_t r)
{
    const float *d = j->d + r * CLIPS * j->n, *y = j->y + r * CLIPS * j->n;
    float least = INFINITY;
    int best = 0;
    for (int i = 0; i < CLIPS; i++, d += j->n, y += j->n) {
        float part[SIDE] = {0}, sum = 0;
        for (int64_t k = 0; k < j->n; k += SIDE)
            for (int64_t l = 0; l < QN_MIN(j->n - k, (int64_t)SIDE); l++)
                part[l] += d[k + l] * y[k + l];
        for (int l = 0; l < SIDE; l++)
            sum += part[l];
        if (!(sum < least))
            continue;
        least = sum;
        best = i;
    }
    return best;
}

static void clip_take(void *arg, int thread, int n_threads)
{
    const clip_job *j = arg;
    int64_t begin, end;
    qn_pool_split(j->rows, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *w = j->w + (j->r0 + r) * j->m->n_in + j->k0;
        float ends[2];
        ends_of(w, j->n, ends);
        float most = clip_to(top_of(ends), least_loss(j, r));
        for (int64_t k = 0; k < j->n; k++)
            w[k] = clamp(w[k], most);
    }
}

/* g [n, n] of row length m->group: the products of the group's inputs. */
static int clip_rows(const awq_ctx *c, clip_job *j, const float *g)
{
    qn_matmul p = {.x = j->d,
                   .w = g,
                   .y = j->y,
                   .ldx = j->n,
                   .ldw = j->m->group,
                   .ldy = j->n,
                   .n_row = j->rows * CLIPS,
                   .n_in = j->n,
                   .n_out = j->n,
                   .scale = 1,
                   .rounded = true};
    qn_pool_run(c->pool, clip_try, j);
    QN_TRY(qn_matmul_run(c->be, &p, c->err));
    qn_pool_run(c->pool, clip_take, j);
    return QN_OK;
}

/* gram [n_group][group, group] */
static int clip(const awq_ctx *c, const qn_qmat *m, float *w, const float *gram)
{
    size_t n = (size_t)CLIP_ROWS * CLIPS * (size_t)m->group;
    clip_job j = {.m = m,
                  .w = w,
                  .d = qn_xcalloc(n, sizeof(float)),
                  .y = qn_xcalloc(n, sizeof(float))};
    int rc = QN_OK;
    for (j.k0 = 0; j.k0 < m->n_in && rc == QN_OK; j.k0 += m->group) {
        j.n = QN_MIN(m->group, m->n_in - j.k0);
        for (j.r0 = 0; j.r0 < m->n_out && rc == QN_OK; j.r0 += CLIP_ROWS) {
            j.rows = QN_MIN((int64_t)CLIP_ROWS, m->n_out - j.r0);
            rc = clip_rows(c, &j, gram + j.k0 * m->group);
        }
    }
    qn_free(j.d);
    qn_free(j.y);
    return rc;
}

/* X^T X of each group's columns, X divided by the scales. */
typedef struct gram_job {
    const qn_cal_input *in;
    const qn_opt_item *it;
    float *g; /* [n_group][group, group] */
    qn_pool *pool;
} gram_job;

static void group_gram(const gram_job *j, int64_t k0)
{
    int64_t group = j->it->mat.group, n = QN_MIN(group, j->in->n - k0);
    const float *by = j->it->col_mul;
    float *to = j->g + k0 * group, x[CLIP_GROUP];
    for (int64_t r = 0; r < j->in->n_rows; r++) {
        const float *row = j->in->rows + r * j->in->n + k0;
        for (int64_t k = 0; k < n; k++)
            x[k] = row[k] / (by ? by[k0 + k] : 1);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < n; k++)
                to[i * group + k] += x[i] * x[k];
    }
}

static void gram_thread(void *arg, int thread, int n_threads)
{
    const gram_job *j = arg;
    (void)thread;
    (void)n_threads;
    for (int64_t k0;
         (k0 = qn_pool_next(j->pool) * j->it->mat.group) < j->in->n;)
        group_gram(j, k0);
}

static float *group_grams(const awq_ctx *c, const qn_cal_input *in,
                          const qn_opt_item *it)
{
    int64_t group = it->mat.group, n_group = (in->n + group - 1) / group;
    gram_job j = {in, it, NULL, c->pool};
    j.g = qn_alloc((size_t)n_group, (size_t)(group * group) * sizeof *j.g);
    if (j.g)
        qn_pool_run(c->pool, gram_thread, &j);
    return j.g;
}

/* Queries and keys meet each other, not the residual stream: what clipping
 * takes from them shows otherwise than in their own outputs. */
static bool is_clipped(const qn_cal *cal, const qn_opt_item *it)
{
    const qn_net *net = qn_cal_net(cal);
    static const int roles[] = {QN_R_Q, QN_R_K};
    for (size_t i = 0; i < QN_COUNTOF(roles); i++) {
        const char *name = qn_net_tensor(net, roles[i], it->stage, false, NULL);
        if (name && strcmp(name, it->t->name) == 0)
            return false;
    }
    return it->mat.group <= CLIP_GROUP;
}

static int do_item(awq_ctx *c, qn_opt_item *it)
{
    const qn_cal_input *in = qn_cal_find(c->cal, it->t->name, -1);
    float *w = NULL, *gram = NULL;
    int rc = qn_matrix_read(it, c->ck, c->pool, &w, c->err);
    if (rc == QN_OK && in && in->n_rows && in->n == it->mat.n_in &&
        is_clipped(c->cal, it)) {
        gram = group_grams(c, in, it);
        rc = gram ? clip(c, &it->mat, w, gram)
                  : qn_fail(c->err, QN_ENOMEM,
                            "tensor %s: no memory to choose ranges",
                            it->t->name);
    }
    if (rc == QN_OK)
        rc = qn_matrix_from(it, w, c->pool, c->err);
    qn_free(gram);
    qn_free(w);
    return rc;
}

/* ---- a stage ------------------------------------------------------------- */

static int fold_stage(awq_ctx *c, int stage, const qn_watch *watch)
{
    qn_folds folds = {0};
    int from, to, rc = QN_OK;
    qn_cal_stage(c->cal, stage, &from, &to);
    for (int l = from; l < to; l++)
        qn_folds_find(&folds, qn_cal_net(c->cal), c->plan, l);
    for (size_t i = 0; i < folds.n && rc == QN_OK; i++) {
        rc = do_fold(c, &folds.v[i]);
        if (rc == QN_OK)
            rc = qn_watch_told(watch, (double)(i + 1) / (double)folds.n,
                               "quantizing", c->err);
    }
    qn_vec_deinit(&folds);
    return rc;
}

int qn_awq_stage(qn_cal *cal, const qn_ckpt *ck, qn_opt_plan *plan, int stage,
                 const qn_watch *watch, qn_err *err)
{
    awq_ctx c = {.cal = cal,
                 .ck = ck,
                 .plan = plan,
                 .be = qn_cal_backend(cal),
                 .err = err};
    c.pool = c.be->api->pool(c.be);
    uint64_t t0 = qn_now_ns();
    qn_watch in = qn_watch_part(watch, 0, 0.3);
    QN_TRY(qn_cal_run(cal, QN_CAL_SQUARES | QN_CAL_ROWS, true, &in, err));
    qn_cal_unload(cal);
    double read = qn_ms_since(t0) * 1e-3;
    in = qn_watch_part(watch, 0.3, 0.7);
    QN_TRY(fold_stage(&c, stage, &in));
    double folded = qn_ms_since(t0) * 1e-3;
    size_t n = 0, done = 0;
    for (size_t i = 0; i < plan->items.n; i++)
        n += plan->items.v[i].quantize && plan->items.v[i].stage == stage;
    for (size_t i = 0; i < plan->items.n; i++) {
        qn_opt_item *it = &plan->items.v[i];
        if (!it->quantize || it->stage != stage)
            continue;
        QN_TRY(do_item(&c, it));
        QN_TRY(qn_watch_told(watch, 0.7 + 0.3 * (double)++done / (double)n,
                             "quantizing", err));
    }
    qn_log(2, "layer %d: statistics %.1f s, scales %.1f s, ranges %.1f s",
           stage, read, folded - read, qn_ms_since(t0) * 1e-3 - folded);
    return QN_OK;
}
