/* blk_moe.c - a mixture of experts: a router picks a few of many feed-forwards
 * for each row, and their results are summed by its weights. Some families
 * have one more that every row visits: with weight 1 it is a plain
 * feed-forward, with a weight sigmoid(x . g) a mixture of one. */
#include "model/pass_int.h"

static void route(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *w = f->net->layer[layer].p;
    qn_pass *p = f->p;
    qn_emit_linear(f, &w[QN_R_ROUTER], x, hp->d_model, p->route_logits,
                   hp->n_exp, QN_EPI_STORE, QN_ACT_NONE, 1);
    qn_emit(f, QN_OP_ROUTE)->u.route = (qn_op_route){
        .logits = p->route_logits,
        .ldl = hp->n_exp,
        .n_row = f->n_row,
        .n_exp = hp->n_exp,
        .k = hp->n_exp_used,
        .kind = hp->route,
        .renormalize = hp->route_renorm,
        .scale = hp->route_scale * hp->residual_scale,
        .bias = w[QN_R_ROUTE_BIAS].v,
        .n_group = hp->n_group,
        .k_group = hp->k_group,
        .group_max = hp->group_max,
        .ids = p->route_ids,
        .weights = p->route_weights,
    };
}

static void route_to_shared(qn_fwd *f, int layer, const float *x)
{
    qn_pass *p = f->p;
    qn_emit_linear(f, &f->net->layer[layer].p[QN_R_SHARED_ROUTER], x,
                   f->hp->d_model, p->route_logits, 1, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    qn_emit(f, QN_OP_ROUTE)->u.route = (qn_op_route){
        .logits = p->route_logits,
        .ldl = 1,
        .n_row = f->n_row,
        .n_exp = 1,
        .k = 1,
        .kind = QN_ROUTE_SIGMOID,
        .scale = f->hp->residual_scale,
        .ids = p->route_ids,
        .weights = p->route_weights,
    };
}

static void visit(qn_fwd *f, const float *x, int n_exp, int k, int d_ff,
                  qn_weight *const *gate, qn_weight *const *up,
                  qn_weight *const *down, bool add)
{
    const qn_hparams *hp = f->hp;
    qn_pass *p = f->p;
    qn_emit(f, QN_OP_EXPERTS)->u.experts = (qn_op_experts){
        .x = x,
        .y = qn_emit_to_branch(f) ? p->branch : f->h,
        .ldx = hp->d_model,
        .ldy = hp->d_model,
        .n_row = f->n_row,
        .n_exp = n_exp,
        .k = k,
        .d_ff = d_ff,
        .ids = p->route_ids,
        .weights = p->route_weights,
        .gate = hp->gated ? (const qn_weight *const *)gate : NULL,
        .up = (const qn_weight *const *)up,
        .down = (const qn_weight *const *)down,
        .act = hp->act,
        .add = add,
        .scratch = p->exp_scratch,
    };
}

void qn_blk_moe(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    const qn_part *p = w->p;
    route(f, layer, x);
    visit(f, x, hp->n_exp, hp->n_exp_used, hp->d_ff_exp, w->exp[0], w->exp[1],
          w->exp[2], !qn_emit_to_branch(f));
    if (hp->d_ff_shared && hp->shared_gated) {
        route_to_shared(f, layer, x);
        visit(f, x, 1, 1, hp->d_ff_shared, &p[QN_R_SHARED_GATE].w,
              &p[QN_R_SHARED_UP].w, &p[QN_R_SHARED_DOWN].w, true);
    } else if (hp->d_ff_shared) {
        qn_blk_shared_expert(f, layer, x);
    }
    qn_emit_post(f, w, QN_R_MLP_NORM, QN_R_MLP_POST_NORM);
}
