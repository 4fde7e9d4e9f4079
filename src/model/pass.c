/* pass.c - KV pages, workspace, and the step itself.
 *
 * One function (pass_layout) says what the workspace holds; the plan counts
 * with it, and the pass is laid out by it, so that the two cannot differ. */
#include "model/pass_int.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "model/rec.h"
#include "model/rope.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- plan -------------------------------------------------------------- */

/* The next n * size bytes of the workspace at base (NULL: only counted). */
static void *carve(char *base, uint64_t *at, uint64_t n, uint64_t size)
{
    char *p = base ? base + *at : NULL;
    *at += (n * size + 63) / 64 * 64;
    return p;
}

static float *carve_f(char *base, uint64_t *at, uint64_t rows, int dim)
{
    return carve(base, at, rows * (uint64_t)dim, sizeof(float));
}

/* The largest of each that any layer has. */
static qn_layer_hp widest(const qn_hparams *hp)
{
    qn_layer_hp w = {0};
    for (int i = 0; i < hp->n_layer; i++) {
        const qn_layer_hp *l = &hp->layer[i];
        w.n_kv = QN_MAX(w.n_kv, l->n_kv);
        w.d_head = QN_MAX(w.d_head, l->d_head);
        w.d_v = QN_MAX(w.d_v, l->d_v);
        w.d_ff = QN_MAX(w.d_ff, l->d_ff);
        w.act_cut = fmaxf(w.act_cut, fabsf(l->act_cut));
    }
    return w;
}

static uint64_t pass_layout(qn_pass *p, const qn_net *net,
                            const qn_pass_params *par, char *base)
{
    const qn_hparams *hp = &net->hp;
    uint64_t rows = (uint64_t)par->max_rows, outs = (uint64_t)par->max_out;
    uint64_t at = 0;
    p->h = carve_f(base, &at, rows, hp->d_model);
    p->x = carve_f(base, &at, rows, hp->d_model);
    p->h_out = carve_f(base, &at, outs, hp->d_model);
    p->x_out = carve_f(base, &at, outs, hp->d_model);
    if (hp->d_embed != hp->d_model)
        p->embed = carve_f(base, &at, rows, hp->d_embed);
    if (hp->parallel || hp->moe_beside || hp->attn_in_scale != 1 ||
        hp->rec.in_scale != 1)
        p->x2 = carve_f(base, &at, rows, hp->d_model);
    if (hp->norm_place == QN_NORM_SANDWICH ||
        hp->norm_place == QN_NORM_POST_BRANCH)
        p->branch = carve_f(base, &at, rows, hp->d_model);
    qn_layer_hp w = widest(hp);
    p->q = carve_f(base, &at, rows, hp->n_head * w.d_head);
    p->k = carve_f(base, &at, rows, w.n_kv * w.d_head);
    p->v = carve_f(base, &at, rows, w.n_kv * w.d_v);
    p->attn = carve_f(base, &at, rows, hp->n_head * w.d_v);
    const qn_mla_hp *m = &hp->mla;
    if (m->q_rank)
        p->lat_q = carve_f(base, &at, rows, m->q_rank);
    if (m->kv_rank)
        p->part = carve_f(base, &at, rows,
                          hp->n_head * QN_MAX(hp->d_head, hp->d_v));
    else if (hp->diff)
        p->part = carve_f(base, &at, rows, hp->n_kv * hp->d_head);
    else if (hp->attn_experts)
        p->part = carve_f(base, &at, rows, hp->n_head * hp->d_head);
    if (hp->attn_gate)
        p->gate = carve_f(base, &at, rows, hp->n_head * hp->d_v);
    int d_ff = QN_MAX(QN_MAX(w.d_ff, hp->d_ff_shared), hp->laurel_rank);
    p->ff = carve_f(base, &at, rows, d_ff);
    if (w.act_cut != 0 || hp->ff_gate_scale != 1)
        p->ff2 = carve_f(base, &at, rows, d_ff);
    if (hp->d_ple) {
        p->ple = carve_f(base, &at, rows, hp->n_layer * hp->d_ple);
        p->ple2 = carve_f(base, &at, rows, hp->n_layer * hp->d_ple);
        p->ple_out = carve_f(base, &at, outs, hp->d_ple);
    }
    if (hp->n_alt) {
        p->stream_size = (int64_t)rows * hp->d_model;
        p->streams = carve_f(base, &at, rows * (uint64_t)hp->n_alt,
                             hp->d_model);
        p->alt_m = carve_f(base, &at, rows, hp->n_alt);
        p->alt_c = carve_f(base, &at, rows, hp->n_alt * hp->n_alt);
    }

    if (net->n_state) {
        const qn_rec_hp *r = &hp->rec;
        qn_rec_cols c = qn_rec_columns(r);
        p->rec_in = carve_f(base, &at, rows, c.total);
        p->rec_conv = carve_f(base, &at, rows, c.n_conv);
        p->rec_y = carve_f(base, &at, rows, r->d_inner);
        if (r->kind == QN_REC_MAMBA) {
            p->rec_params = carve_f(base, &at, rows,
                                    r->dt_rank + 2 * r->d_state);
            p->rec_dt = carve_f(base, &at, rows, r->d_inner);
        }
    }
    for (int i = 0; i < hp->n_rope; i++) {
        int n = hp->rope[i].n_freq;
        bool by_length = qn_rope_by_length(&hp->rope[i]);
        p->table[i] = carve_f(base, &at, rows, 2 * n);
        p->table_out[i] = carve_f(base, &at, outs, 2 * n);
        p->freqs[i] = carve_f(base, &at,
                              by_length ? (uint64_t)par->max_spans : 1, n);
    }
    if (hp->n_exp > 0) {
        const qn_backend_api *api = net->be->api;
        p->route_logits = carve_f(base, &at, rows, hp->n_exp);
        p->route_weights = carve_f(base, &at, rows, hp->n_exp_used);
        p->route_ids = carve(base, &at, rows * (uint64_t)hp->n_exp_used,
                             sizeof(int32_t));
        bool apart = hp->exp_limit > 0 || hp->exp_up_offset != 0;
        uint64_t n = api->experts_scratch(net->be, par->max_rows,
                                          hp->n_exp_used, hp->d_model,
                                          hp->d_ff_exp * (apart ? 2 : 1));
        uint64_t one = api->experts_scratch(net->be, par->max_rows, 1,
                                            hp->d_model, hp->d_ff_shared);
        p->exp_scratch = carve(base, &at, QN_MAX(n, one), 1);
    }
    return at;
}

static qn_kv_desc kv_desc(const qn_net *net, const qn_pass_params *par,
                          int layer)
{
    const qn_layer_hp *l = &net->hp.layer[layer];
    return (qn_kv_desc){
        .n_kv = l->n_kv,
        .d_k = l->d_head,
        .d_v = l->d_v,
        .dtype = par->kv_dtype,
        .n_pages = par->n_pages[net->group[layer]],
    };
}

static bool kv_same(const qn_kv_desc *a, const qn_kv_desc *b)
{
    return a->n_kv == b->n_kv && a->d_k == b->d_k && a->d_v == b->d_v &&
           a->dtype == b->dtype && a->n_pages == b->n_pages;
}

/* Whose memory the keys of a layer lie in: its own, or (one_layer) that of the
 * first one like it. */
static int kv_home(const qn_net *net, const qn_pass_params *par, int layer)
{
    qn_kv_desc d = kv_desc(net, par, layer);
    for (int i = 0; i < layer && par->one_layer; i++) {
        qn_kv_desc e = {0};
        if (qn_net_has_kv(net, i))
            e = kv_desc(net, par, i);
        if (kv_same(&d, &e))
            return i;
    }
    return layer;
}

void qn_net_plan(const qn_net *net, const qn_pass_params *par, qn_plan *plan)
{
    const qn_backend_api *api = net->be->api;
    qn_pass_params one = *par;
    for (int g = 0; g < QN_KV_GROUPS; g++)
        one.n_pages[g] = 1;
    memset(plan, 0, sizeof *plan);
    plan->weights = net->weight_bytes;
    for (int i = 0; i < net->hp.n_layer; i++) {
        if (!qn_net_has_kv(net, i) || kv_home(net, par, i) != i)
            continue;
        qn_kv_desc d = kv_desc(net, par, i);
        qn_kv_desc d1 = kv_desc(net, &one, i);
        plan->kv += api->kv_bytes(net->be, &d);
        plan->kv_per_token += api->kv_bytes(net->be, &d1);
    }
    plan->kv_per_token /= (uint64_t)api->page_tokens;
    qn_pass sizes = {0};
    plan->workspace = pass_layout(&sizes, net, par, NULL);
    int n_logits = par->n_logits ? par->n_logits : net->hp.n_vocab;
    plan->logits = (uint64_t)par->max_out * (uint64_t)n_logits * sizeof(float);
    plan->state = (uint64_t)par->n_slots * qn_net_state_bytes(net);
    plan->total = plan->weights + plan->kv + plan->state + plan->workspace +
                  plan->logits;
    plan->n_ctx = (int64_t)par->n_pages[0] * api->page_tokens;
}

qn_kv_dtype qn_net_kv_auto(const qn_net *net)
{
    for (size_t i = 0; i < net->slots.n; i++) {
        const qn_slot *s = &net->slots.v[i];
        if (s->kind != QN_VECTOR && s->stored != QN_F32 && s->stored != QN_F64)
            return net->be->api->kv_half(net->be);
    }
    return QN_KV_CELL_F32;
}

/* ---- passes ------------------------------------------------------------ */

/* The weights are there already. */
static int pass_check_memory(const qn_net *net, const qn_plan *plan,
                             int n_slots, qn_err *err)
{
    uint64_t need = plan->total - plan->weights;
    uint64_t have = qn_mem_available();
    if (net->memory_limit) /* weights within it: net.c */
        have = net->memory_limit - net->weight_bytes;
    if (need <= have)
        return QN_OK;
    char kv[32], work[32], left[32];
    return qn_fail(err, QN_ENOMEM,
                   "the KV cache of %" PRId64 " positions and the states of %d "
                   "sequences need %s, workspace and logits %s; %s are left "
                   "beside the weights: ask for a shorter context, fewer "
                   "sequences or smaller batches",
                   plan->n_ctx, n_slots,
                   qn_fmt_bytes(kv, sizeof kv, plan->kv + plan->state),
                   qn_fmt_bytes(work, sizeof work,
                                plan->workspace + plan->logits),
                   qn_fmt_bytes(left, sizeof left, have));
}

static int pass_memory(qn_pass *p, const qn_plan *plan, qn_err *err)
{
    const qn_net *net = p->net;
    const qn_backend_api *api = net->be->api;
    void *m;
    QN_TRY(api->buf_new(net->be, plan->workspace, QN_MEM_WORKSPACE, &m, err));
    p->ws = m;
    p->ws_bytes = plan->workspace;
    pass_layout(p, net, &p->par, m);
    QN_TRY(api->buf_new(net->be, plan->logits, QN_MEM_LOGITS, &m, err));
    p->logits = m;
    p->logits_bytes = plan->logits;
    if (!api->host_memory) {
        p->host_logits = qn_alloc(plan->logits, 1);
        if (!p->host_logits)
            return qn_fail(err, QN_ENOMEM,
                           "no memory for %" PRIu64 " bytes of logits",
                           plan->logits);
    }
    if (plan->state) {
        QN_TRY(api->buf_new(net->be, plan->state, QN_MEM_KV, &m, err));
        p->state = m;
        p->state_bytes = plan->state;
    }
    for (int i = 0; i < net->hp.n_layer; i++) {
        if (!qn_net_has_kv(net, i))
            continue;
        qn_kv_desc d = kv_desc(net, &p->par, i);
        int home = kv_home(net, &p->par, i);
        if (home < i)
            p->kv[i] = p->kv[home];
        else
            QN_TRY(api->kv_new(net->be, &d, &p->kv[i], err));
    }
    return QN_OK;
}

/* Frequencies that no length changes. */
static void constant_freqs(qn_pass *p)
{
    const qn_backend_api *api = p->net->be->api;
    for (int i = 0; i < p->net->hp.n_rope; i++) {
        const qn_rope_hp *r = &p->net->hp.rope[i];
        if (qn_rope_by_length(r))
            continue;
        float *f = qn_xcalloc((size_t)r->n_freq, sizeof *f);
        qn_rope_freqs(r, 0, f);
        api->write(p->net->be, p->freqs[i], f, (size_t)r->n_freq * sizeof *f);
        free(f);
    }
}

int qn_pass_new(qn_pass **out, qn_net *net, const qn_pass_params *par,
                qn_err *err)
{
    *out = NULL;
    bool groups = net->n_state == 0 || par->n_slots > 0;
    for (int g = 0; g < net->n_groups; g++)
        groups = groups && par->n_pages[g] > 0;
    if (par->max_rows < 1 || par->max_out < 1 || par->max_spans < 1 || !groups)
        return qn_fail(err, QN_EINVAL,
                       "a pass needs at least one row, output, sequence, page "
                       "and state slot");
    qn_plan plan;
    qn_net_plan(net, par, &plan);
    QN_TRY(pass_check_memory(net, &plan, par->n_slots, err));

    qn_pass *p = qn_xcalloc(1, sizeof *p);
    int n_layer = net->hp.n_layer, n_freq = 1;
    for (int i = 0; i < net->hp.n_rope; i++)
        n_freq = QN_MAX(n_freq, net->hp.rope[i].n_freq);
    p->net = net;
    p->par = *par;
    p->kv = qn_xcalloc((size_t)n_layer, sizeof *p->kv);
    p->kv_there = qn_xcalloc((size_t)n_layer, sizeof *p->kv_there);
    p->max_ops = n_layer * QN_OPS_PER_LAYER + QN_OPS_ENDS;
    p->ops = qn_xcalloc((size_t)p->max_ops, sizeof *p->ops);
    p->pos_ids = qn_xcalloc((size_t)par->max_rows, sizeof *p->pos_ids);
    p->ple_ids = qn_xcalloc((size_t)par->max_rows, sizeof *p->ple_ids);
    p->q_scale = qn_xcalloc((size_t)par->max_rows, sizeof *p->q_scale);
    p->q_scale_out = qn_xcalloc((size_t)par->max_out, sizeof *p->q_scale_out);
    p->out_spans = qn_xcalloc((size_t)par->max_out, sizeof *p->out_spans);
    p->host_freqs = qn_xcalloc((size_t)par->max_spans * (size_t)n_freq,
                               sizeof *p->host_freqs);
    p->row = qn_xcalloc(QN_MAX(qn_lookup_row_bytes(net->embed),
                               qn_lookup_row_bytes(net->ple)),
                        1);
    int rc = pass_memory(p, &plan, err);
    if (rc < 0) {
        qn_pass_free(p);
        return rc;
    }
    constant_freqs(p);
    *out = p;
    return QN_OK;
}

void qn_pass_free(qn_pass *p)
{
    if (!p)
        return;
    qn_backend *be = p->net->be;
    for (int i = 0; i < p->net->hp.n_layer; i++) {
        if (p->kv[i] && kv_home(p->net, &p->par, i) == i)
            be->api->kv_free(be, p->kv[i]);
    }
    if (p->ws)
        be->api->buf_free(be, p->ws, p->ws_bytes, QN_MEM_WORKSPACE);
    if (p->state)
        be->api->buf_free(be, p->state, p->state_bytes, QN_MEM_KV);
    if (p->logits)
        be->api->buf_free(be, p->logits, p->logits_bytes, QN_MEM_LOGITS);
    free(p->host_logits);
    free(p->kv);
    free(p->kv_there);
    free(p->ops);
    free(p->pos_ids);
    free(p->ple_ids);
    free(p->q_scale);
    free(p->q_scale_out);
    free(p->out_spans);
    free(p->host_freqs);
    free(p->row);
    free(p);
}

void qn_pass_copy_page(qn_pass *p, int group, int32_t dst, int32_t src)
{
    qn_backend *be = p->net->be;
    for (int i = 0; i < p->net->hp.n_layer; i++) {
        if (p->net->group[i] == group && p->kv[i])
            be->api->kv_copy_page(be, p->kv[i], dst, src);
    }
}

/* The next layer of a group from `layer` on that has pages of its own. */
static int next_kv(const qn_pass *p, int group, int layer)
{
    while (layer < p->net->hp.n_layer &&
           (p->net->group[layer] != group || !p->kv[layer]))
        layer++;
    return layer;
}

uint64_t qn_pass_page_bytes(const qn_pass *p, int group)
{
    uint64_t n = 0;
    for (int i = next_kv(p, group, 0); i < p->net->hp.n_layer;
         i = next_kv(p, group, i + 1))
        n += p->net->be->api->kv_page_bytes(p->kv[i]);
    return n;
}

/* Layers have about the same pages and would come to the end of a block of
 * memory in the same step: the one that is closest to its end is first. */
bool qn_pass_populate(qn_pass *p, const int32_t used[QN_KV_GROUPS])
{
    const qn_backend_api *api = p->net->be->api;
    int64_t least = QN_PASS_AHEAD;
    int layer = -1;
    for (int i = 0; api->kv_populate && i < p->net->hp.n_layer; i++) {
        int group = p->net->group[i];
        if (!p->kv[i] || p->kv_there[i] >= p->par.n_pages[group])
            continue;
        int64_t bytes = (int64_t)api->kv_page_bytes(p->kv[i]);
        int64_t ahead = (p->kv_there[i] - used[group]) * bytes;
        if (ahead < least) {
            least = ahead;
            layer = i;
        }
    }
    if (layer < 0)
        return false;
    int64_t bytes = (int64_t)api->kv_page_bytes(p->kv[layer]);
    int64_t n = QN_MAX(QN_PASS_BLOCK / bytes, 1);
    int32_t first = p->kv_there[layer];
    n = QN_MIN(n, p->par.n_pages[p->net->group[layer]] - first);
    api->kv_populate(p->net->be, p->kv[layer], first, (int32_t)n);
    p->kv_there[layer] += (int32_t)n;
    return true;
}

void qn_pass_read_page(qn_pass *p, int group, int32_t page, void *host)
{
    const qn_backend_api *api = p->net->be->api;
    char *at = host;
    for (int i = next_kv(p, group, 0); i < p->net->hp.n_layer;
         i = next_kv(p, group, i + 1)) {
        api->kv_read_page(p->net->be, p->kv[i], page, at);
        at += api->kv_page_bytes(p->kv[i]);
    }
}

void qn_pass_write_page(qn_pass *p, int group, int32_t page, const void *host)
{
    const qn_backend_api *api = p->net->be->api;
    const char *at = host;
    for (int i = next_kv(p, group, 0); i < p->net->hp.n_layer;
         i = next_kv(p, group, i + 1)) {
        api->kv_write_page(p->net->be, p->kv[i], page, at);
        at += api->kv_page_bytes(p->kv[i]);
    }
}

void qn_pass_copy_state(qn_pass *p, int dst, int src)
{
    qn_backend *be = p->net->be;
    int64_t n = p->net->n_state;
    be->api->copy(be, p->state + dst * n, p->state + src * n,
                  qn_net_state_bytes(p->net));
}

/* ---- the step ---------------------------------------------------------- */

static int check_batch(const qn_pass *p, const qn_batch *b, qn_err *err)
{
    const qn_hparams *hp = &p->net->hp;
    if (b->n_row < 1 || b->n_row > p->par.max_rows ||
        b->n_span > p->par.max_spans || b->n_out > p->par.max_out)
        return qn_fail(err, QN_ELIMIT,
                       "a batch of %d rows, %d sequences, %d outputs; this "
                       "pass takes %d, %d, %d",
                       b->n_row, b->n_span, b->n_out, p->par.max_rows,
                       p->par.max_spans, p->par.max_out);
    int64_t end = qn_net_max_positions(p->net);
    for (int i = 0; i < b->n_row; i++) {
        if (b->tokens && (b->tokens[i] < 0 || b->tokens[i] >= hp->n_vocab))
            return qn_fail(err, QN_EINVAL,
                           "token %d is not in the vocabulary of %d",
                           b->tokens[i], hp->n_vocab);
        if (b->pos[i] >= end)
            return qn_fail(err, QN_ELIMIT,
                           "position %d: the model has %" PRId64 " positions",
                           b->pos[i], end);
    }
    return QN_OK;
}

/* Frequencies of this step's sequences, where their lengths matter. */
static void step_freqs(qn_pass *p, const qn_batch *b)
{
    const qn_backend_api *api = p->net->be->api;
    for (int i = 0; i < p->net->hp.n_rope; i++) {
        const qn_rope_hp *r = &p->net->hp.rope[i];
        if (!qn_rope_by_length(r))
            continue;
        size_t n = (size_t)r->n_freq;
        for (int s = 0; s < b->n_span; s++)
            qn_rope_freqs(r, b->spans[s].rope_len,
                          p->host_freqs + (size_t)s * n);
        api->write(p->net->be, p->freqs[i], p->host_freqs,
                   (size_t)b->n_span * n * sizeof(float));
    }
}

static float query_scale(const qn_hparams *hp, int64_t pos)
{
    if (hp->q_beta == 0)
        return 1;
    int64_t n = (pos + hp->q_shift) / hp->q_floor;
    return 1 + hp->q_beta * log1pf((float)n);
}

void qn_pass_observe(qn_pass *pass, qn_pass_observe_fn fn, void *user)
{
    pass->observe = fn;
    pass->observe_user = user;
}

/* Rows of tables that are not in memory, to where the list would put them. */
static int look_up(qn_pass *p, const qn_batch *b, qn_err *err)
{
    const qn_net *net = p->net;
    const qn_hparams *hp = &net->hp;
    float *y = hp->d_embed != hp->d_model ? p->embed : p->h;
    if (net->embed)
        QN_TRY(qn_lookup_rows(net->embed, b->tokens, b->n_row, p->row, y, err));
    if (net->ple)
        QN_TRY(qn_lookup_rows(net->ple, p->ple_ids, b->n_row, p->row, p->ple,
                              err));
    return QN_OK;
}

/* What the list reads beside the batch itself; `begins`: with the tokens. */
static int step_inputs(qn_pass *p, const qn_batch *batch, bool begins,
                       qn_err *err)
{
    step_freqs(p, batch);
    for (int i = 0; i < batch->n_row; i++) {
        p->pos_ids[i] = batch->pos[i] + p->net->hp.pos_offset;
        int32_t id = batch->tokens ? batch->tokens[i] : 0;
        p->ple_ids[i] = id < p->net->hp.ple_vocab ? id : 0;
        p->q_scale[i] = query_scale(&p->net->hp, batch->pos[i]);
    }
    return begins ? look_up(p, batch, err) : QN_OK;
}

void qn_pass_watch(qn_pass *pass, qn_pass_stop_fn fn, void *user)
{
    pass->stop = fn;
    pass->stop_user = user;
}

#define WATCHED_OPS 4 /* at a time: about a third of a layer */

static bool hands_on(const qn_op *op)
{
    return op->kind == QN_OP_LINEAR && op->u.linear.hand_on;
}

/* In parts, where somebody looks at it meanwhile. */
static int run_list(qn_pass *p, int n, qn_err *err)
{
    qn_backend *be = p->net->be;
    int part = p->observe ? 1 : p->stop ? WATCHED_OPS : n;
    for (int i = 0, end; i < n; i = end) {
        end = QN_MIN(i + part, n);
        if (part > 1 && end < n && hands_on(&p->ops[end - 1]))
            end++;
        if (p->stop && p->stop(p->stop_user))
            return qn_fail(err, QN_ECANCEL, "the pass was stopped");
        if (p->observe && !p->observe(p->observe_user, &p->ops[i]))
            return QN_OK;
        QN_TRY(be->api->exec(be, &p->ops[i], end - i, err));
    }
    return QN_OK;
}

int qn_pass_layers(qn_pass *p, const qn_batch *batch, int from, int to,
                   float *h, qn_err *err)
{
    size_t n = (size_t)batch->n_row * (size_t)p->net->hp.d_model;
    QN_TRY(check_batch(p, batch, err));
    if (!p->net->be->api->host_memory || from < 0 || from >= to ||
        to > p->net->hp.n_layer || (!batch->tokens && !qn_net_is_chain(p->net)))
        return qn_fail(err, QN_EINVAL, "layers %d to %d of %d cannot be run",
                       from, to, p->net->hp.n_layer);
    QN_TRY(step_inputs(p, batch, from == 0 && batch->tokens, err));
    if (from > 0 || !batch->tokens)
        memcpy(p->h, h, n * sizeof *h);
    QN_TRY(run_list(p, qn_forward_layers(p, batch, from, to), err));
    memcpy(h, p->h, n * sizeof *h);
    return QN_OK;
}

int qn_pass_embed(qn_pass *p, const qn_batch *batch, float *h, qn_err *err)
{
    size_t n = (size_t)batch->n_row * (size_t)p->net->hp.d_model;
    QN_TRY(check_batch(p, batch, err));
    if (!p->net->be->api->host_memory || !qn_net_is_chain(p->net))
        return qn_fail(err, QN_EINVAL,
                       "embeddings of %d rows cannot be had alone",
                       batch->n_row);
    QN_TRY(step_inputs(p, batch, true, err));
    QN_TRY(run_list(p, qn_forward_begin(p, batch), err));
    memcpy(h, p->h, n * sizeof *h);
    return QN_OK;
}

int qn_pass_head(qn_pass *p, const qn_batch *batch, const float *h,
                 const float **logits, qn_err *err)
{
    size_t n = (size_t)batch->n_row * (size_t)p->net->hp.d_model;
    QN_TRY(check_batch(p, batch, err));
    if (!p->net->be->api->host_memory || !qn_net_is_chain(p->net) ||
        batch->n_row > p->par.max_out ||
        (p->par.n_logits &&
         (!p->net->head_n || p->net->head_n > p->par.n_logits)))
        return qn_fail(err, QN_EINVAL, "logits of %d rows cannot be had alone",
                       batch->n_row);
    memcpy(p->h, h, n * sizeof *h);
    QN_TRY(run_list(p, qn_forward_head(p, batch), err));
    *logits = p->logits;
    return QN_OK;
}

int qn_pass_forward(qn_pass *p, const qn_batch *batch, const float **logits,
                    qn_err *err)
{
    qn_backend *be = p->net->be;
    QN_TRY(check_batch(p, batch, err));
    QN_TRY(step_inputs(p, batch, true, err));
    QN_TRY(run_list(p, qn_forward_build(p, batch), err));
    if (!p->host_logits) {
        *logits = p->logits;
        return QN_OK;
    }
    be->api->read(be, p->host_logits, p->logits,
                  (uint64_t)batch->n_out * (uint64_t)p->net->hp.n_vocab *
                      sizeof(float));
    *logits = p->host_logits;
    return QN_OK;
}

/* All rows as one sequence at the end of the cache: no part of a batch has more
 * of anything. */
int qn_pass_reserve(qn_pass *p, qn_err *err)
{
    qn_backend *be = p->net->be;
    int64_t cached = (int64_t)p->par.n_pages[0] * be->api->page_tokens;
    qn_span span = {.n_row = p->par.max_rows,
                    .pos0 = QN_MAX(cached - p->par.max_rows, 0)};
    qn_batch all = {.n_row = span.n_row, .n_span = 1, .spans = &span};
    qn_batch out = {.n_row = p->par.max_out};
    QN_TRY(be->api->reserve(be, p->ops,
                            qn_forward_layers(p, &all, 0, p->net->hp.n_layer),
                            err));
    return be->api->reserve(be, p->ops, qn_forward_head(p, &out), err);
}
