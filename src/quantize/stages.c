/* stages.c - methods that read a text: layer by layer, statistics first, then
 * the layer's matrices.
 *
 *   gptq   the layer is run, its matrices are rounded, and it is run again with
 *          what they became, so that the next one sees the errors
 *   awq    the layer is run once, unrounded; see awq.c
 *
 * While matrices are rounded, the layer itself is not in memory: it is read
 * again. */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "quantize/awq.h"
#include "quantize/calibrate.h"
#include "quantize/gptq.h"
#include "quantize/hash.h"

#include <stdlib.h>
#include <string.h>

struct qn_stages {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    qn_opt_plan *plan;
    qn_cal *cal;
    qn_pool *pool;
    int next;        /* stage to be made */
    double share[3]; /* gptq: where in its time a stage is when its statistics
                        are gathered, when it is rounded, at its end */
};

/* ---- order --------------------------------------------------------------- */

static int by_stage(const void *a, const void *b)
{
    const qn_opt_item *x = a, *y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
    if (x->apart != y->apart) /* last, as the plan has it */
        return x->apart ? 1 : -1;
    if (x->t->file != y->t->file)
        return x->t->file < y->t->file ? -1 : 1;
    return (x->t->offset > y->t->offset) - (x->t->offset < y->t->offset);
}

/* The stage of each matrix that is quantized in one. */
static void assign(qn_stages *s)
{
    const qn_net *net = qn_cal_net(s->cal);
    qn_net_matrix m;
    qn_map map;
    uint64_t layer;
    bool chain = qn_cal_n_stages(s->cal) > 1;
    qn_map_init(&map, s->plan->items.n);
    for (size_t i = 0; qn_net_matrix_at(net, i, &m); i++)
        if (m.linear)
            qn_map_add(&map, m.tensor, strlen(m.tensor),
                       (uint64_t)QN_MAX(m.layer, 0));
    for (size_t i = 0; i < s->plan->items.n; i++) {
        qn_opt_item *it = &s->plan->items.v[i];
        it->stage = -1;
        if (it->quantize &&
            qn_map_get(&map, it->name, strlen(it->name), &layer))
            it->stage = chain ? (int)layer : 0;
    }
    qn_map_deinit(&map);
}

int qn_stages_open(qn_stages **out, const qn_optimize_params *p,
                   const qn_ckpt *ck, qn_opt_plan *plan, qn_err *err)
{
    qn_stages *s = *out = qn_xcalloc(1, sizeof *s);
    s->p = p;
    s->ck = ck;
    s->plan = plan;
    s->share[0] = 0.5;
    s->share[1] = 0.8;
    s->share[2] = 1;
    QN_TRY(qn_cal_open(&s->cal, p, ck, QN_CAL_NARROW, err));
    s->pool = qn_cal_backend(s->cal)->api->pool(qn_cal_backend(s->cal));
    assign(s);
    if (strcmp(p->method, "awq") == 0)
        qn_awq_prepare(s->cal, plan);
    qsort(plan->items.v, plan->items.n, sizeof *plan->items.v, by_stage);
    return QN_OK;
}

void qn_stages_close(qn_stages *s)
{
    if (!s)
        return;
    qn_cal_close(s->cal);
    qn_free(s);
}

void qn_stages_samples(const qn_stages *s, int *n, int *len)
{
    int64_t samples, tokens;
    qn_cal_samples(s->cal, &samples, &tokens);
    *n = (int)samples;
    *len = (int)tokens;
}

/* ---- gptq ---------------------------------------------------------------- */

static bool wants_order(const qn_stages *s)
{
    return s->p->desc_act;
}

/* Where the layout can say g_idx, groups follow the order. */
static bool wants_static(const qn_stages *s, const qn_opt_item *it)
{
    return s->p->desc_act &&
           (s->p->static_groups || strcmp(it->mat.scheme->name, "gptq") != 0);
}

static void codes_free(qn_qrows *q)
{
    qn_free(q->codes);
    qn_free(q->scales);
    qn_free(q->zeros);
}

static int codes_new(qn_qrows *q, const qn_opt_item *it, qn_err *err)
{
    const qn_qmat *m = &it->mat;
    size_t groups = (size_t)(m->n_out * qn_qmat_n_group(m));
    *q = (qn_qrows){qn_alloc((size_t)m->n_out, (size_t)m->n_in),
                    qn_alloc(groups, sizeof(float)),
                    qn_alloc(groups, sizeof(float))};
    return q->codes && q->scales && q->zeros
               ? QN_OK
               : qn_fail(err, QN_ENOMEM, "tensor %s: no memory for its codes",
                         it->t->name);
}

/* What g_idx says goes into the part that has it. */
static void put_g_idx(qn_qmat *m, const int32_t *g_idx)
{
    for (int i = 0; i < QN_QPARTS; i++) {
        if (m->part[i].name && strcmp(m->part[i].name, ".g_idx") == 0) {
            memcpy(m->part[i].out, g_idx, (size_t)m->part[i].n_bytes);
            m->g_idx_part = i;
        }
    }
}

/* One matrix to its parts, which is all that is kept of it. */
static int gptq_item(qn_stages *s, qn_opt_item *it, qn_gptq *g, qn_err *err)
{
    qn_qmat *m = &it->mat;
    qn_qrows q;
    float *w = NULL;
    int32_t *g_idx = qn_xcalloc((size_t)m->n_in, sizeof *g_idx);
    int rc = codes_new(&q, it, err);
    g->static_groups = wants_static(s, it);
    if (rc == QN_OK)
        rc = qn_matrix_read(it, s->ck, s->pool, &w, err);
    if (rc == QN_OK)
        rc = qn_gptq_matrix(g, m, w, &q, g_idx, err);
    qn_free(w);
    if (rc == QN_OK)
        rc = qn_matrix_pack(it, &q, s->pool, err);
    if (rc == QN_OK && g->order && strcmp(m->scheme->name, "gptq") == 0)
        put_g_idx(m, g_idx);
    codes_free(&q);
    free(g_idx);
    return rc;
}

enum {
    MEANING_ROWS = 16
};

/* What the parts of a matrix say, as they will be read. */
typedef struct meaning_job {
    qn_qmat m;
    qn_pool *pool;
    float *w;
} meaning_job;

static void meaning_thread(void *arg, int thread, int n_threads)
{
    const meaning_job *j = arg;
    int64_t n_out = j->m.n_out;
    void *scratch = qn_xmalloc(qn_qmat_scratch(&j->m, MEANING_ROWS));
    (void)thread;
    (void)n_threads;
    for (int64_t r; (r = qn_pool_next(j->pool) * MEANING_ROWS) < n_out;)
        qn_qmat_decode(&j->m, r, QN_MIN((int64_t)MEANING_ROWS, n_out - r),
                       scratch, j->w + r * j->m.n_in);
    free(scratch);
}

static int put_meaning(qn_stages *s, const qn_opt_item *it, qn_err *err)
{
    const qn_qmat *m = &it->mat;
    meaning_job j = {.m = *m, .pool = s->pool};
    for (int i = 0; i < QN_QPARTS; i++)
        j.m.part[i].p = m->part[i].out;
    j.m.round = QN_F32; /* the scales are rounded already */
    j.w = qn_alloc((size_t)m->n_out, (size_t)m->n_in * sizeof(float));
    if (!j.w)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", it->t->name);
    qn_pool_run(s->pool, meaning_thread, &j);
    int rc = qn_net_put_rows(qn_cal_net(s->cal), it->t->name, j.w, err);
    qn_free(j.w);
    return rc;
}

/* The stage is loaded again, with what was rounded. */
static int put_rounded(qn_stages *s, int stage, qn_err *err)
{
    QN_TRY(qn_cal_load(s->cal, stage, err));
    for (size_t i = 0; i < s->plan->items.n; i++) {
        const qn_opt_item *it = &s->plan->items.v[i];
        if (it->stage == stage && it->ready)
            QN_TRY(put_meaning(s, it, err));
    }
    return QN_OK;
}

/* All matrices of the stage that read this input. */
static int gptq_input(qn_stages *s, qn_cal_input *in, const char *first,
                      int stage, qn_err *err)
{
    double damping = s->p->damping > 0 ? s->p->damping : 0.01;
    qn_gptq g;
    qn_err why = {0};
    int rc = qn_gptq_factor(&g, qn_cal_backend(s->cal), &in->gram, damping,
                            wants_order(s), &why);
    if (rc == QN_EINVAL) {
        qn_note_add(s->plan->notes,
                    "%s, and what reads the same: rounded to nearest, because "
                    "%s",
                    first, why.msg);
        qn_gptq_deinit(&g);
        return QN_OK;
    }
    if (rc < 0 && err)
        *err = why;
    for (size_t i = 0; i < s->plan->items.n && rc == QN_OK; i++) {
        qn_opt_item *it = &s->plan->items.v[i];
        if (it->quantize && it->stage == stage && it->mat.n_in == in->n &&
            qn_cal_find(s->cal, it->t->name, -1) == in)
            rc = gptq_item(s, it, &g, err);
        qn_mem_trim(); /* threads had pieces of it */
    }
    qn_gptq_deinit(&g);
    return rc;
}

static int gptq_round(qn_stages *s, int stage, const qn_watch *watch,
                      qn_err *err)
{
    const char *first;
    qn_cal_input *in;
    size_t n = 0;
    while (qn_cal_input_at(s->cal, n, &first))
        n++;
    for (size_t i = 0; (in = qn_cal_input_at(s->cal, i, &first)); i++) {
        QN_TRY(gptq_input(s, in, first, stage, err));
        qn_cal_input_drop(in);
        QN_TRY(qn_watch_told(watch, (double)(i + 1) / (double)n, "quantizing",
                             err));
    }
    return QN_OK;
}

/* How the time of a stage is divided, by the last one. */
static void learn_shares(qn_stages *s, const uint64_t *t)
{
    qn_log(2, "layer %d: statistics %.1f s, rounding %.1f s, run again %.1f s",
           s->next, (double)(t[1] - t[0]) * 1e-9, (double)(t[2] - t[1]) * 1e-9,
           (double)(t[3] - t[2]) * 1e-9);
    double all = (double)(t[3] - t[0]);
    for (int i = 0; i < 3 && all > 0; i++)
        s->share[i] = (double)(t[i + 1] - t[0]) / all;
}

static int gptq_stage(qn_stages *s, int stage, const qn_watch *watch,
                      qn_err *err)
{
    const double *at = s->share;
    uint64_t t[4] = {qn_now_ns()};
    qn_watch in = qn_watch_part(watch, 0, at[0]);
    QN_TRY(qn_cal_run(s->cal, QN_CAL_GRAM, false, &in, err));
    qn_cal_unload(s->cal);
    t[1] = qn_now_ns();
    in = qn_watch_part(watch, at[0], at[1]);
    QN_TRY(gptq_round(s, stage, &in, err));
    t[2] = qn_now_ns();
    in = qn_watch_part(watch, at[1], 1);
    if (stage + 1 < qn_cal_n_stages(s->cal)) { /* something reads it */
        QN_TRY(put_rounded(s, stage, err));
        QN_TRY(qn_cal_run(s->cal, 0, true, &in, err));
    }
    t[3] = qn_now_ns();
    learn_shares(s, t);
    return QN_OK;
}

/* ---- all of it ----------------------------------------------------------- */

int qn_stages_reach(qn_stages *s, int stage, const qn_watch *watch, qn_err *err)
{
    bool awq = strcmp(s->p->method, "awq") == 0;
    for (; s->next <= stage; s->next++) {
        QN_TRY(qn_cal_load(s->cal, s->next, err));
        QN_TRY(awq ? qn_awq_stage(s->cal, s->ck, s->plan, s->next, watch, err)
                   : gptq_stage(s, s->next, watch, err));
        qn_cal_drop(s->cal);
    }
    return QN_OK;
}

/* ---- to be gone on with -------------------------------------------------- */

int qn_stages_next(const qn_stages *s)
{
    return s->next;
}

int qn_stages_save(const qn_stages *s, const char *path, uint64_t *hash,
                   qn_err *err)
{
    size_t n;
    const float *h = qn_cal_stream(s->cal, &n);
    *hash = qn_hash_bytes(h, n * sizeof *h);
    return qn_file_write(path, h, n * sizeof *h, err);
}

int qn_stages_resume(qn_stages *s, int next, const char *path, uint64_t hash,
                     qn_err *err)
{
    size_t n;
    float *h = qn_cal_stream(s->cal, &n);
    qn_file f;
    if (next < 0 || next > qn_cal_n_stages(s->cal))
        return qn_fail(err, QN_EFORMAT, "%s: no such layer", path);
    QN_TRY(qn_file_open(&f, path, err));
    int rc = qn_file_pread(&f, h, 0, n * sizeof *h, err);
    if (rc == QN_OK &&
        (f.size != n * sizeof *h || qn_hash_bytes(h, n * sizeof *h) != hash))
        rc = qn_fail(err, QN_EFORMAT,
                     "%s is not what the earlier run left; remove the folder "
                     "it lies in to begin anew",
                     path);
    qn_file_close(&f);
    s->next = next;
    return rc;
}
