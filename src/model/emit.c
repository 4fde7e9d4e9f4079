/* emit.c - operations of the shapes that blocks are made of. */
#include "model/pass_int.h"

#include <assert.h>
#include <string.h>

qn_op *qn_emit(qn_fwd *f, qn_op_kind kind)
{
    assert(f->n_op < f->p->max_ops);
    qn_op *op = &f->ops[f->n_op++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    return op;
}

void qn_emit_apart(qn_fwd *f)
{
    f->ops[f->n_op - 1].no_barrier = true;
}

void qn_emit_norm(qn_fwd *f, const qn_part *w, const float *x, float *y,
                  const float *residual, int dim)
{
    qn_emit(f, QN_OP_NORM)->u.norm = (qn_op_norm){
        .rms = f->hp->rms,
        .eps = f->eps,
        .n_row = f->n_row,
        .n_group = 1,
        .dim = dim,
        .x = x,
        .w = w->v,
        .b = w->b,
        .residual = residual,
        .y = y,
        .ldx = dim,
        .ldy = dim,
        .ldr = dim,
    };
}

void qn_emit_embed(qn_fwd *f, const qn_part *w, const int32_t *ids, float scale,
                   float *y, int dim)
{
    if (!w->w && scale == 1)
        return;
    if (f->n_op > 0)
        qn_emit_apart(f);
    if (!w->w)
        qn_emit_scale(f, y, y, dim, scale);
    else
        qn_emit(f, QN_OP_EMBED)->u.embed = (qn_op_embed){.table = w->w,
                                                         .ids = ids,
                                                         .n_row = f->n_row,
                                                         .scale = scale,
                                                         .y = y,
                                                         .ldy = dim};
}

void qn_emit_linear(qn_fwd *f, const qn_part *w, const float *x, int n_in,
                    float *y, int n_out, qn_epilogue epi, qn_act act,
                    float scale)
{
    qn_emit(f, QN_OP_LINEAR)->u.linear = (qn_op_linear){
        .x = x,
        .ldx = n_in,
        .n_row = f->n_row,
        .n_part = 1,
        .part = {{w->w, w->b, y, n_out}},
        .epi = epi,
        .act = act,
        .scale = scale,
    };
}

void qn_emit_gather(qn_fwd *f, const float *x, float *y, int dim)
{
    qn_emit(f, QN_OP_GATHER)->u.gather = (qn_op_gather){
        .x = x,
        .rows = f->all->out_rows,
        .y = y,
        .ldx = dim,
        .ldy = dim,
        .n_out = f->all->n_out,
        .dim = dim,
    };
}

float *qn_emit_narrow(qn_fwd *f, float *x)
{
    qn_pass *p = f->p;
    int d = f->hp->d_model;
    bool same = x == f->h;
    qn_emit_gather(f, f->h, p->h_out, d);
    if (!same) {
        qn_emit_apart(f);
        qn_emit_gather(f, x, p->x_out, d);
    }
    for (int i = 0; i < f->hp->n_rope; i++) {
        qn_emit_apart(f);
        qn_emit_gather(f, p->table[i], p->table_out[i],
                       2 * f->hp->rope[i].n_freq);
    }
    if (f->hp->d_ple) { /* the last layer's inputs */
        int ld = f->hp->n_layer * f->hp->d_ple;
        qn_emit_apart(f);
        qn_emit_gather(f, p->ple + ld - f->hp->d_ple, p->ple_out, f->hp->d_ple);
        f->ops[f->n_op - 1].u.gather.ldx = ld;
    }
    f->h = p->h_out;
    f->x = p->x_out;
    f->table = p->table_out;
    f->q_scale = p->q_scale_out;
    f->batch = f->out;
    f->n_row = f->out->n_row;
    return same ? p->h_out : p->x_out;
}

void qn_emit_rope(qn_fwd *f, int layer, float *x, int64_t ldx, int n_head,
                  int d_head)
{
    int kind = f->hp->layer[layer].rope;
    const qn_rope_hp *r = &f->hp->rope[kind];
    qn_emit(f, QN_OP_ROPE)->u.rope = (qn_op_rope){
        .table = f->table[kind],
        .n_freq = r->n_freq,
        .interleaved = r->interleaved,
        .n_row = f->n_row,
        .n_head = n_head,
        .d_head = d_head,
        .x = x,
        .ldx = ldx,
    };
}

void qn_emit_copy(qn_fwd *f, qn_op_copy how)
{
    how.n_row = f->n_row;
    qn_emit(f, QN_OP_COPY)->u.copy = how;
}

void qn_emit_route(qn_fwd *f, const qn_part *router, const float *bias,
                   const float *x)
{
    const qn_hparams *hp = f->hp;
    qn_pass *p = f->p;
    qn_emit_linear(f, router, x, hp->d_model, p->route_logits, hp->n_exp,
                   QN_EPI_STORE, QN_ACT_NONE, 1);
    qn_emit(f, QN_OP_ROUTE)->u.route = (qn_op_route){
        .logits = p->route_logits,
        .ldl = hp->n_exp,
        .n_row = f->n_row,
        .n_exp = hp->n_exp,
        .k = hp->n_exp_used,
        .kind = hp->route,
        .renormalize = hp->route_renorm,
        .renorm_p = hp->renorm_p,
        .jitter = hp->route_jitter,
        .scale = hp->route_scale * hp->residual_scale,
        .bias = bias,
        .n_group = hp->n_group,
        .k_group = hp->k_group,
        .group_max = hp->group_max,
        .ids = p->route_ids,
        .weights = p->route_weights,
    };
}

bool qn_emit_to_branch(const qn_fwd *f)
{
    return f->hp->norm_place == QN_NORM_SANDWICH ||
           f->hp->norm_place == QN_NORM_POST_BRANCH;
}

void qn_emit_post(qn_fwd *f, const qn_parts *layer, qn_role norm,
                  qn_role post_norm)
{
    int d = f->hp->d_model;
    if (qn_emit_to_branch(f))
        qn_emit_norm(f, &layer->p[post_norm], f->p->branch, f->h, f->h, d);
    else if (f->hp->norm_place == QN_NORM_POST)
        qn_emit_norm(f, &layer->p[norm], f->h, f->h, NULL, d);
}

/* Of what a role's product adds. */
static float scale_of(const qn_hparams *hp, qn_role role)
{
    float own = role == QN_R_O         ? hp->attn_out_scale
                : role == QN_R_REC_OUT ? hp->rec.out_scale
                                       : hp->ff_out_scale;
    return own * hp->residual_scale;
}

void qn_emit_scale(qn_fwd *f, const float *x, float *y, int dim, float scale)
{
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){.x = x,
                                               .y = y,
                                               .ldx = dim,
                                               .ldy = dim,
                                               .n_row = f->n_row,
                                               .dim = dim,
                                               .act = QN_ACT_NONE,
                                               .scale = scale};
}

float *qn_emit_scaled(qn_fwd *f, float *x, float scale)
{
    if (scale == 1)
        return x;
    qn_emit_scale(f, x, f->p->x2, f->hp->d_model, scale);
    return f->p->x2;
}

void qn_emit_residual(qn_fwd *f, const qn_parts *layer, qn_role role,
                      qn_role post_norm, const float *x, int n_in)
{
    bool branch = qn_emit_to_branch(f);
    qn_role norm = role < QN_R_MLP_NORM ? QN_R_ATTN_NORM : QN_R_MLP_NORM;
    qn_emit_linear(f, &layer->p[role], x, n_in, branch ? f->p->branch : f->h,
                   f->hp->d_model, branch ? QN_EPI_STORE : QN_EPI_ADD,
                   QN_ACT_NONE, scale_of(f->hp, role));
    qn_emit_post(f, layer, norm, post_norm);
}
