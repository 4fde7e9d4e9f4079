/* blk_moe.c - a mixture of experts: a router picks a few of many feed-forwards
 * for each row, and their results are summed by its weights. */
#include "model/pass_int.h"

void qn_blk_moe(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    qn_pass *p = f->p;
    bool branch = qn_emit_to_branch(f);
    qn_emit_linear(f, &w->p[QN_R_ROUTER], x, hp->d_model, p->route_logits,
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
        .ids = p->route_ids,
        .weights = p->route_weights,
    };
    qn_emit(f, QN_OP_EXPERTS)->u.experts = (qn_op_experts){
        .x = x,
        .y = branch ? p->branch : f->h,
        .ldx = hp->d_model,
        .ldy = hp->d_model,
        .n_row = f->n_row,
        .n_exp = hp->n_exp,
        .k = hp->n_exp_used,
        .d_ff = hp->d_ff_exp,
        .ids = p->route_ids,
        .weights = p->route_weights,
        .gate = (const qn_weight *const *)w->exp[0],
        .up = (const qn_weight *const *)w->exp[1],
        .down = (const qn_weight *const *)w->exp[2],
        .act = hp->act,
        .add = !branch,
        .scratch = p->exp_scratch,
    };
    qn_emit_post(f, w, QN_R_MLP_NORM, QN_R_MLP_POST_NORM);
}
