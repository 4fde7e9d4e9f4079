/* blk_attn.c - attention: projections, norms and rotation of q and k, the
 * cache, the heads.
 *
 * In the last layer nobody looks at most rows of a prompt any more: their keys
 * and values must go into the cache, but queries, heads and all that follows
 * are computed for the wanted rows alone. Rows are independent (backend.h,
 * law 1), so the results are the same bits. */
#include "model/pass_int.h"

#include <math.h>

static void qk_norm(qn_fwd *f, const qn_part *w, float *x, int d_head,
                    int n_head)
{
    const qn_hparams *hp = f->hp;
    bool row = hp->qk_norm == QN_QK_ROW;
    int width = n_head * d_head;
    qn_emit_norm(f, w, x, x, NULL, row ? width : d_head);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->n_group = row ? 1 : n_head;
    n->w_per_group = hp->qk_norm == QN_QK_HEADS;
    n->ldx = n->ldy = width;
}

/* Products of x with some of Wq, Wk, Wv. */
static void project(qn_fwd *f, int layer, const float *x, bool q, bool kv)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[layer];
    const qn_part *p = f->net->layer[layer].p;
    qn_op_linear *op = &qn_emit(f, QN_OP_LINEAR)->u.linear;
    op->x = x;
    op->ldx = hp->d_model;
    op->n_row = f->n_row;
    op->scale = 1;
    const struct {
        bool on;
        qn_role role;
        float *y;
        int n_out;
    } parts[] = {
        {q, QN_R_Q, f->p->q, hp->n_head * l->d_head},
        {kv, QN_R_K, f->p->k, l->n_kv * l->d_head},
        {kv && !l->k_is_v, QN_R_V, hp->diff ? f->p->part : f->p->v,
         l->n_kv * (hp->diff ? l->d_head : l->d_v)},
    };
    for (int i = 0; i < 3; i++) {
        if (!parts[i].on)
            continue;
        int at = op->n_part++;
        op->part[at].w = p[parts[i].role].w;
        op->part[at].bias = p[parts[i].role].b;
        op->part[at].y = parts[i].y;
        op->part[at].ldy = parts[i].n_out;
    }
}

static void norms(qn_fwd *f, int layer, bool q, bool k)
{
    const qn_part *p = f->net->layer[layer].p;
    const qn_layer_hp *l = &f->hp->layer[layer];
    if (!l->qk_norm)
        return;
    if (q)
        qk_norm(f, &p[QN_R_Q_NORM], f->p->q, l->d_head, f->hp->n_head);
    if (q && k)
        qn_emit_apart(f);
    if (k)
        qk_norm(f, &p[QN_R_K_NORM], f->p->k, l->d_head, l->n_kv);
}

static void clip(qn_fwd *f, float *x, int width)
{
    qn_emit(f, QN_OP_CURVE)->u.curve = (qn_op_curve){
        .x = x,
        .y = x,
        .ldx = width,
        .ldy = width,
        .n_row = f->n_row,
        .dim = width,
        .kind = QN_CURVE_CLIP,
        .limit = f->hp->qkv_clip,
    };
}

/* Queries of the experts that a router chooses: [k][n_kv] heads, which the
 * attention wants by kv head. */
static void expert_queries(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    int width = hp->n_head * hp->d_head, k = hp->n_exp_used;
    qn_emit_route(f, &w->p[QN_R_ATTN_ROUTER], NULL, x);
    qn_emit(f, QN_OP_PICK)->u.pick = (qn_op_pick){
        .x = x,
        .y = f->p->part,
        .ldx = hp->d_model,
        .ldy = width,
        .n_row = f->n_row,
        .k = k,
        .ids = f->p->route_ids,
        .w = (const qn_weight *const *)w->exp[3],
    };
    for (int j = 0; j < k; j++) {
        qn_emit_copy(f, (qn_op_copy){.x = f->p->part + (int64_t)j * width / k,
                                     .y = f->p->q + (int64_t)j * hp->d_head,
                                     .ldx = width,
                                     .gx = hp->d_head,
                                     .ldy = width,
                                     .gy = (int64_t)k * hp->d_head,
                                     .n_group = hp->n_kv,
                                     .dim = hp->d_head});
        if (j + 1 < k)
            qn_emit_apart(f);
    }
}

/* Back to [k][n_kv], and through the experts' output. */
static void expert_output(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    int width = hp->n_head * hp->d_v, k = hp->n_exp_used;
    bool branch = qn_emit_to_branch(f);
    for (int j = 0; j < k; j++)
        qn_emit_copy(f, (qn_op_copy){.x = f->p->attn + (int64_t)j * hp->d_v,
                                     .y = f->p->part + (int64_t)j * width / k,
                                     .ldx = width,
                                     .gx = (int64_t)k * hp->d_v,
                                     .ldy = width,
                                     .gy = hp->d_v,
                                     .n_group = hp->n_kv,
                                     .dim = hp->d_v});
    qn_emit(f, QN_OP_PICK)->u.pick = (qn_op_pick){
        .x = f->p->part,
        .bias = w->p[QN_R_ATTN_MOE_BIAS].v,
        .y = branch ? f->p->branch : f->h,
        .ldx = width,
        .ldy = hp->d_model,
        .n_row = f->n_row,
        .k = k,
        .ids = f->p->route_ids,
        .weights = f->p->route_weights,
        .w = (const qn_weight *const *)w->exp[4],
        .add = !branch,
    };
    qn_emit_post(f, w, QN_R_ATTN_NORM, QN_R_ATTN_POST_NORM);
}

/* Differential attention: kv head i of the first half and of the second have
 * the values of both. */
static void pair_values(qn_fwd *f)
{
    const qn_hparams *hp = f->hp;
    int d = hp->d_head, half = hp->n_kv / 2;
    for (int side = 0; side < 4; side++) {
        int to = side / 2, from = side % 2;
        qn_emit_copy(f,
                     (qn_op_copy){.x = f->p->part + (int64_t)from * half * d,
                                  .y = f->p->v + (int64_t)to * half * hp->d_v +
                                       (int64_t)from * d,
                                  .ldx = hp->n_kv * d,
                                  .gx = d,
                                  .ldy = hp->n_kv * hp->d_v,
                                  .gy = hp->d_v,
                                  .n_group = half,
                                  .dim = d});
    }
}

static void subtract_heads(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int width = hp->n_head * hp->d_v, half = width / 2;
    float init = (float)(0.8 - 0.6 * exp(-0.3 * layer));
    static const qn_part bare;
    qn_emit(f, QN_OP_DIFF)->u.diff = (qn_op_diff){
        .x = f->p->attn,
        .y = f->p->q,
        .ldx = width,
        .ldy = half,
        .n_row = f->n_row,
        .dim = half,
        .q1 = p[QN_R_DIFF_Q1].v,
        .k1 = p[QN_R_DIFF_K1].v,
        .q2 = p[QN_R_DIFF_Q2].v,
        .k2 = p[QN_R_DIFF_K2].v,
        .n_lambda = hp->d_head,
        .init = init,
    };
    qn_emit_norm(f, &bare, f->p->q, f->p->q, NULL, hp->d_v);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->n_group = hp->n_head / 2;
    n->ldx = n->ldy = half;
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = f->p->q,
        .y = f->p->attn,
        .ldx = half,
        .ldy = half,
        .n_row = f->n_row,
        .dim = half,
        .scale = 1 - init,
    };
}

/* Values that are the keys; the norm of values. */
static void values(qn_fwd *f, int layer)
{
    static const qn_part bare;
    const qn_layer_hp *l = &f->hp->layer[layer];
    int width = l->n_kv * l->d_v;
    if (l->k_is_v)
        qn_emit_copy(f, (qn_op_copy){.x = f->p->k,
                                     .y = f->p->v,
                                     .ldx = width,
                                     .ldy = width,
                                     .n_group = 1,
                                     .dim = width});
    if (!f->hp->v_norm)
        return;
    qn_emit_norm(f, &bare, f->p->v, f->p->v, NULL, l->d_v);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->n_group = l->n_kv;
    n->ldx = n->ldy = width;
}

/* Norm and rotation of q, k or both. */
static void prepare(qn_fwd *f, int layer, bool q, bool k)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[layer];
    int d_q = hp->n_head * l->d_head, d_k = l->n_kv * l->d_head;
    if (k)
        values(f, layer);
    if (!hp->qk_norm_last)
        norms(f, layer, q, k);
    if (hp->qkv_clip > 0 && q)
        clip(f, f->p->q, d_q);
    if (hp->qkv_clip > 0 && k) {
        clip(f, f->p->k, d_k);
        clip(f, f->p->v, l->n_kv * l->d_v);
    }
    if (l->rope >= 0) {
        if (q)
            qn_emit_rope(f, layer, f->p->q, d_q, hp->n_head, l->d_head);
        if (q && k)
            qn_emit_apart(f);
        if (k)
            qn_emit_rope(f, layer, f->p->k, d_k, l->n_kv, l->d_head);
    }
    if (hp->qk_norm_last)
        norms(f, layer, q, k);
}

/* q, or k and v, or all of them, as the cache and the heads want them. */
static void make_qkv(qn_fwd *f, int layer, const float *x, bool q, bool kv)
{
    const qn_hparams *hp = f->hp;
    kv = kv && hp->layer[layer].kv_from == layer;
    if (!q && !kv)
        return;
    if (hp->mla.kv_rank) {
        if (q)
            qn_blk_mla_queries(f, layer, x);
        if (kv)
            qn_blk_mla_keys(f, layer, x);
        return;
    }
    if (hp->attn_experts && q)
        expert_queries(f, layer, x);
    if (kv || !hp->attn_experts)
        project(f, layer, x, q && !hp->attn_experts, kv);
    if (hp->diff && kv)
        pair_values(f);
    prepare(f, layer, q, kv);
}

static void append(qn_fwd *f, int layer)
{
    const qn_layer_hp *l = &f->hp->layer[layer];
    if (l->kv_from != layer)
        return;
    bool latent = f->hp->mla.kv_rank > 0; /* keys begin with their values */
    qn_emit(f, QN_OP_KV_APPEND)->u.kv_append = (qn_op_kv_append){
        .kv = f->p->kv[layer],
        .group = f->net->group[layer],
        .batch = f->batch,
        .k = f->p->k,
        .v = latent ? f->p->k : f->p->v,
        .ldk = l->n_kv * l->d_head,
        .ldv = latent ? l->d_head : l->n_kv * l->d_v,
    };
}

/* Heads' outputs times sigmoid(x Wg); the product stands before the heads. */
static void gate_product(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    if (hp->attn_gate)
        qn_emit_linear(f, &f->net->layer[layer].p[QN_R_ATTN_GATE], x,
                       hp->d_model, f->p->gate, hp->n_head * hp->d_v,
                       QN_EPI_STORE, QN_ACT_NONE, 1);
}

static void gate(qn_fwd *f)
{
    int width = f->hp->n_head * f->hp->d_v;
    if (f->hp->attn_gate)
        qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
            .x = f->p->gate,
            .mul = f->p->attn,
            .y = f->p->attn,
            .ldx = width,
            .ldm = width,
            .ldy = width,
            .n_row = f->n_row,
            .dim = width,
            .act = QN_ACT_SIGMOID,
            .scale = 1,
        };
}

void qn_blk_attn(qn_fwd *f, int layer, float *x, bool only_wanted)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[layer];
    if (only_wanted) {
        make_qkv(f, layer, x, false, true);
        append(f, layer);
        if (f->out->n_row == 0) {
            f->n_row = 0;
            return;
        }
        x = qn_emit_narrow(f, x);
        make_qkv(f, layer, x, true, false);
    } else {
        make_qkv(f, layer, x, true, true);
        append(f, layer);
    }
    gate_product(f, layer, x);
    qn_emit(f, QN_OP_ATTN)->u.attn = (qn_op_attn){
        .kv = f->p->kv[l->kv_from],
        .group = f->net->group[layer],
        .batch = f->batch,
        .q = f->p->q,
        .out = f->p->attn,
        .ldq = hp->n_head * l->d_head,
        .ldo = hp->n_head * l->d_v,
        .n_head = hp->n_head,
        .scale = l->attn_scale,
        .softcap = hp->attn_softcap,
        .window = l->window,
        .chunk = l->chunk,
        .slopes = f->net->slopes,
        .sinks = f->net->layer[layer].p[QN_R_SINKS].v,
        .q_scale = l->q_scaled ? f->q_scale : NULL,
    };
    gate(f);
    if (hp->diff)
        subtract_heads(f, layer);
    if (hp->mla.kv_rank)
        qn_blk_mla_values(f, layer);
}

void qn_blk_attn_out(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[layer];
    bool latent = hp->mla.kv_rank > 0;
    int width = hp->n_head * (latent     ? hp->d_v
                              : hp->diff ? l->d_v / 2
                                         : l->d_v);
    if (hp->attn_experts) {
        expert_output(f, layer);
        return;
    }
    if (hp->sub_norm)
        qn_emit_norm(f, &f->net->layer[layer].p[QN_R_O_NORM], f->p->attn,
                     f->p->attn, NULL, width);
    qn_emit_residual(f, &f->net->layer[layer], QN_R_O, QN_R_ATTN_POST_NORM,
                     latent ? f->p->part : f->p->attn, width);
}
