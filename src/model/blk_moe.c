/* blk_moe.c - a mixture of experts: a router picks a few of many feed-forwards
 * for each row, and their results are summed by its weights. Some families
 * have one more that every row visits, with a weight sigmoid(x . g): that is a
 * mixture of one. */
#include "model/pass_int.h"

static void route(qn_fwd *f, const qn_part *router, const float *x, int n_exp,
                  int k, qn_route kind, bool renormalize, float scale)
{
    qn_pass *p = f->p;
    qn_emit_linear(f, router, x, f->hp->d_model, p->route_logits, n_exp,
                   QN_EPI_STORE, QN_ACT_NONE, 1);
    qn_emit(f, QN_OP_ROUTE)->u.route = (qn_op_route){
        .logits = p->route_logits,
        .ldl = n_exp,
        .n_row = f->n_row,
        .n_exp = n_exp,
        .k = k,
        .kind = kind,
        .renormalize = renormalize,
        .scale = scale,
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
    route(f, &p[QN_R_ROUTER], x, hp->n_exp, hp->n_exp_used, hp->route,
          hp->route_renorm, hp->route_scale * hp->residual_scale);
    visit(f, x, hp->n_exp, hp->n_exp_used, hp->d_ff_exp, w->exp[0], w->exp[1],
          w->exp[2], !qn_emit_to_branch(f));
    if (hp->d_ff_shared) {
        route(f, &p[QN_R_SHARED_ROUTER], x, 1, 1, QN_ROUTE_SIGMOID, false,
              hp->residual_scale);
        visit(f, x, 1, 1, hp->d_ff_shared, &p[QN_R_SHARED_GATE].w,
              &p[QN_R_SHARED_UP].w, &p[QN_R_SHARED_DOWN].w, true);
    }
    qn_emit_post(f, w, QN_R_MLP_NORM, QN_R_MLP_POST_NORM);
}
