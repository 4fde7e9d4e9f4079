/* blk_moe.c - a mixture of experts: a router picks a few of many feed-forwards
 * for each row, and their results are summed by its weights. Some families
 * have one more that every row visits: with weight 1 it is a plain
 * feed-forward, with a weight sigmoid(x . g) a mixture of one. */
#include "model/pass_int.h"

#include <math.h>

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

/* The op, but for what is different with the shared expert. */
static qn_op_experts *visit(qn_fwd *f, const float *x, bool add)
{
    const qn_hparams *hp = f->hp;
    qn_pass *p = f->p;
    qn_op_experts *op = &qn_emit(f, QN_OP_EXPERTS)->u.experts;
    *op = (qn_op_experts){
        .x = x,
        .y = qn_emit_to_branch(f) ? p->branch : f->h,
        .ldx = hp->d_model,
        .ldy = hp->d_model,
        .n_row = f->n_row,
        .ids = p->route_ids,
        .weights = p->route_weights,
        .act = hp->act,
        .add = add,
        .scratch = p->exp_scratch,
    };
    return op;
}

static void visit_chosen(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    qn_op_experts *op = visit(f, x, !qn_emit_to_branch(f));
    op->n_exp = hp->n_exp;
    op->k = hp->n_exp_used;
    op->d_ff = hp->d_ff_exp;
    op->gate = hp->gated ? (const qn_weight *const *)w->exp[0] : NULL;
    op->up = (const qn_weight *const *)w->exp[1];
    op->down = (const qn_weight *const *)w->exp[2];
    op->gate_bias = w->p[QN_R_EXP_GATE].b;
    op->up_bias = w->p[QN_R_EXP_UP].b;
    op->down_bias = w->p[QN_R_EXP_DOWN].b;
    op->bias = w->p[QN_R_MOE_BIAS].v;
    op->limit = hp->exp_limit;
    op->up_offset = hp->exp_up_offset;
    op->x_weighted = hp->exp_x_weighted;
}

static void visit_shared(qn_fwd *f, int layer, const float *x)
{
    const qn_part *p = f->net->layer[layer].p;
    qn_op_experts *op = visit(f, x, true);
    op->n_exp = op->k = 1;
    op->d_ff = f->hp->d_ff_shared;
    op->gate = f->hp->gated ? (const qn_weight *const *)&p[QN_R_SHARED_GATE].w
                            : NULL;
    op->up = (const qn_weight *const *)&p[QN_R_SHARED_UP].w;
    op->down = (const qn_weight *const *)&p[QN_R_SHARED_DOWN].w;
}

void qn_blk_moe(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    qn_emit_route(f, &p[QN_R_ROUTER], p[QN_R_ROUTE_BIAS].v, x);
    visit_chosen(f, layer, x);
    if (hp->d_ff_shared && hp->shared_gated) {
        route_to_shared(f, layer, x);
        visit_shared(f, layer, x);
    } else if (hp->d_ff_shared) {
        qn_blk_shared_expert(f, layer, x);
    }
    qn_emit_post(f, &f->net->layer[layer], QN_R_MLP_NORM, QN_R_MLP_POST_NORM);
}

/* Gemma 4: experts with a norm and a router of their own beside the dense
 * feed-forward, both of h. */
void qn_blk_moe_beside(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int d = hp->d_model;
    qn_blk_mlp_branch(f, layer, x);
    qn_emit_norm(f, &p[QN_R_MLP_OWN_NORM], f->p->branch, f->p->branch, NULL, d);
    qn_emit_norm(f, &p[QN_R_ROUTER_NORM], f->h, f->x, NULL, d);
    qn_emit_route(f, &p[QN_R_ROUTER], NULL, f->x);
    f->ops[f->n_op - 2].u.linear.scale = 1 / sqrtf((float)d);
    f->ops[f->n_op - 1].u.route.expert_scale = p[QN_R_EXP_SCALE].v;
    qn_emit_norm(f, &p[QN_R_EXP_NORM], f->h, f->x, NULL, d);
    visit_chosen(f, layer, f->x);
    f->ops[f->n_op - 1].u.experts.y = f->p->x2;
    qn_emit_norm(f, &p[QN_R_EXP_POST_NORM], f->p->x2, f->p->branch,
                 f->p->branch, d);
    qn_emit_post(f, &f->net->layer[layer], QN_R_MLP_NORM, QN_R_MLP_POST_NORM);
}
