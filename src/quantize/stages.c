/* stages.c - methods that read a text: layer by layer, statistics first, then
 * the layer's matrices.
 *
 *   gptq   the layer is run, its matrices are rounded, and it is run again with
 *          what they became, so that the next one sees the errors
 *   awq    the layer is run once, unrounded; see awq.c */
#include "base/compiler.h"
#include "base/map.h"
#include "base/mem.h"
#include "quantize/awq.h"
#include "quantize/calibrate.h"
#include "quantize/gptq.h"

#include <stdlib.h>
#include <string.h>

struct qn_stages {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    qn_opt_plan *plan;
    qn_cal *cal;
    qn_pool *pool;
    int next; /* stage to be made */
};

/* ---- order --------------------------------------------------------------- */

static int by_stage(const void *a, const void *b)
{
    const qn_opt_item *x = a, *y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
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
            qn_map_get(&map, it->t->name, strlen(it->t->name), &layer))
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
    QN_TRY(qn_cal_open(&s->cal, p, ck, err));
    s->pool = qn_cal_backend(s->cal)->api->pool(qn_cal_backend(s->cal));
    assign(s);
    if (strcmp(p->method, "awq") == 0)
        QN_TRY(qn_awq_prepare(s->cal, plan, err));
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

static int gptq_item(qn_stages *s, qn_opt_item *it, qn_gptq *g, qn_err *err)
{
    const qn_qmat *m = &it->mat;
    size_t groups = (size_t)(m->n_out * qn_qmat_n_group(m));
    qn_qrows rows = {qn_alloc((size_t)m->n_out, (size_t)m->n_in),
                     qn_alloc(groups, sizeof(float)),
                     qn_alloc(groups, sizeof(float))};
    int32_t *g_idx = qn_alloc((size_t)m->n_in, sizeof *g_idx);
    float *w = NULL;
    int rc = rows.codes && rows.scales && rows.zeros && g_idx
                 ? qn_matrix_read(it, s->ck, s->pool, &w, err)
                 : qn_fail(err, QN_ENOMEM, "tensor %s: no memory for its codes",
                           it->t->name);
    g->static_groups = wants_static(s, it);
    if (rc == QN_OK)
        rc = qn_gptq_matrix(g, m, w, &rows, g_idx, err);
    if (rc == QN_OK)
        rc = qn_matrix_pack(it, &rows, s->pool, err);
    if (rc == QN_OK && g->order && strcmp(m->scheme->name, "gptq") == 0)
        for (int i = 0; i < QN_QPARTS; i++)
            if (m->part[i].name && strcmp(m->part[i].name, ".g_idx") == 0)
                memcpy(m->part[i].out, g_idx, (size_t)m->part[i].n_bytes);
    if (rc == QN_OK)
        rc = qn_net_put_rows(qn_cal_net(s->cal), it->t->name, w, err);
    qn_free(w);
    qn_free(g_idx);
    qn_free(rows.codes);
    qn_free(rows.scales);
    qn_free(rows.zeros);
    return rc;
}

/* All matrices of the stage that read this input. */
static int gptq_input(qn_stages *s, qn_cal_input *in, int stage, qn_err *err)
{
    double damping = s->p->damping > 0 ? s->p->damping : 0.01;
    qn_gptq g;
    int rc = qn_gptq_factor(&g, qn_cal_backend(s->cal), in->gram, in->n,
                            damping, wants_order(s), err);
    for (size_t i = 0; i < s->plan->items.n && rc == QN_OK; i++) {
        qn_opt_item *it = &s->plan->items.v[i];
        if (it->quantize && it->stage == stage && it->mat.n_in == in->n &&
            qn_cal_find(s->cal, it->t->name, -1) == in)
            rc = gptq_item(s, it, &g, err);
    }
    qn_gptq_deinit(&g);
    if (rc == QN_EINVAL) /* nothing came through: to nearest */
        rc = QN_OK;
    return rc;
}

static int gptq_stage(qn_stages *s, int stage, bool (*tick)(void *user),
                      void *user, qn_err *err)
{
    const char *first;
    qn_cal_input *in;
    QN_TRY(qn_cal_run(s->cal, QN_CAL_GRAM, false, tick, user, err));
    for (size_t i = 0; (in = qn_cal_input_at(s->cal, i, &first)); i++)
        QN_TRY(gptq_input(s, in, stage, err));
    return qn_cal_run(s->cal, 0, true, tick, user, err);
}

/* ---- all of it ----------------------------------------------------------- */

int qn_stages_reach(qn_stages *s, int stage, bool (*tick)(void *user),
                    void *user, qn_err *err)
{
    bool awq = strcmp(s->p->method, "awq") == 0;
    for (; s->next <= stage; s->next++) {
        QN_TRY(qn_cal_load(s->cal, s->next, err));
        QN_TRY(
            awq ? qn_awq_stage(s->cal, s->ck, s->plan, s->next, tick, user, err)
                : gptq_stage(s, s->next, tick, user, err));
        qn_cal_drop(s->cal);
    }
    return QN_OK;
}
