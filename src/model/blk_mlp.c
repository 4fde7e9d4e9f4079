/* blk_mlp.c - the dense feed-forward: down(act(gate x) * up x), or without a
 * gate down(act(up x)). */
#include "model/pass_int.h"

/* act(scale * gate) * up: no single operation has a scale there. */
static void scaled_gate(qn_fwd *f, const qn_part *gate, const qn_part *up,
                        const float *x, int d_ff)
{
    const qn_hparams *hp = f->hp;
    float *a = f->p->ff, *b = f->p->ff2;
    qn_emit_linear(f, gate, x, hp->d_model, a, d_ff, QN_EPI_STORE, hp->act,
                   hp->ff_gate_scale);
    qn_emit_apart(f);
    qn_emit_linear(f, up, x, hp->d_model, b, d_ff, QN_EPI_STORE, QN_ACT_NONE,
                   1);
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){.x = b,
                                               .mul = a,
                                               .y = a,
                                               .ldx = d_ff,
                                               .ldm = d_ff,
                                               .ldy = d_ff,
                                               .n_row = f->n_row,
                                               .dim = d_ff,
                                               .act = QN_ACT_NONE,
                                               .scale = 1};
}

static void up(qn_fwd *f, const qn_part *gate, const qn_part *up,
               const float *x, int d_ff)
{
    const qn_hparams *hp = f->hp;
    if (!hp->gated) {
        qn_emit_linear(f, up, x, hp->d_model, f->p->ff, d_ff, QN_EPI_STORE,
                       hp->act, 1);
        return;
    }
    if (hp->ff_gate_scale != 1) {
        scaled_gate(f, gate, up, x, d_ff);
        return;
    }
    qn_emit(f, QN_OP_LINEAR)->u.linear = (qn_op_linear){
        .x = x,
        .ldx = hp->d_model,
        .n_row = f->n_row,
        .n_part = 2,
        .part = {{gate->w, gate->b, f->p->ff, d_ff}, {up->w, up->b, NULL, 0}},
        .epi = QN_EPI_GLU,
        .act = hp->act,
        .scale = 1,
    };
}

/* What is in p->ff now goes into the next product and nowhere else. */
static void hand_on(qn_fwd *f)
{
    qn_op *last = &f->ops[f->n_op - 1];
    if (last->kind == QN_OP_LINEAR)
        last->u.linear.hand_on = true;
}

/* The gate's large values alone. */
static void cut_up(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int d = hp->layer[layer].d_ff;
    qn_emit_linear(f, &p[QN_R_GATE], x, hp->d_model, f->p->ff, d, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    qn_emit_apart(f);
    qn_emit_linear(f, &p[QN_R_UP], x, hp->d_model, f->p->ff2, d, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    qn_emit(f, QN_OP_CURVE)->u.curve = (qn_op_curve){
        .x = f->p->ff,
        .y = f->p->ff,
        .ldx = d,
        .ldy = d,
        .n_row = f->n_row,
        .dim = d,
        .kind = QN_CURVE_TOP,
        .limit = hp->layer[layer].act_cut,
    };
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = f->p->ff,
        .mul = f->p->ff2,
        .y = f->p->ff,
        .ldx = d,
        .ldm = d,
        .ldy = d,
        .n_row = f->n_row,
        .dim = d,
        .act = hp->act,
        .scale = 1,
    };
}

/* Up to what the last product reads, in p->ff. */
static void hidden(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    int d_ff = hp->layer[layer].d_ff;
    if (hp->layer[layer].act_cut != 0)
        cut_up(f, layer, x);
    else
        up(f, &w->p[QN_R_GATE], &w->p[QN_R_UP], x, d_ff);
    if (hp->xielu)
        qn_emit(f, QN_OP_CURVE)->u.curve = (qn_op_curve){
            .x = f->p->ff,
            .y = f->p->ff,
            .ldx = d_ff,
            .ldy = d_ff,
            .n_row = f->n_row,
            .dim = d_ff,
            .kind = QN_CURVE_XIELU,
            .param = {w->p[QN_R_XIELU_P].v, w->p[QN_R_XIELU_N].v,
                      w->p[QN_R_XIELU_BETA].v, w->p[QN_R_XIELU_EPS].v},
        };
    if (hp->sub_norm)
        qn_emit_norm(f, &w->p[QN_R_DOWN_NORM], f->p->ff, f->p->ff, NULL, d_ff);
    hand_on(f);
}

void qn_blk_mlp(qn_fwd *f, int layer, const float *x)
{
    hidden(f, layer, x);
    qn_emit_residual(f, &f->net->layer[layer], QN_R_DOWN, QN_R_MLP_POST_NORM,
                     f->p->ff, f->hp->layer[layer].d_ff);
}

/* Adds no residual: into p->branch. */
void qn_blk_mlp_branch(qn_fwd *f, int layer, const float *x)
{
    hidden(f, layer, x);
    qn_emit_linear(f, &f->net->layer[layer].p[QN_R_DOWN], f->p->ff,
                   f->hp->layer[layer].d_ff, f->p->branch, f->hp->d_model,
                   QN_EPI_STORE, QN_ACT_NONE, 1);
}

void qn_blk_shared_expert(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    up(f, &p[QN_R_SHARED_GATE], &p[QN_R_SHARED_UP], x, hp->d_ff_shared);
    hand_on(f);
    qn_emit_linear(f, &p[QN_R_SHARED_DOWN], f->p->ff, hp->d_ff_shared,
                   qn_emit_to_branch(f) ? f->p->branch : f->h, hp->d_model,
                   QN_EPI_ADD, QN_ACT_NONE, hp->residual_scale);
}
