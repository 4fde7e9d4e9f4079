/* blk_mlp.c - the dense feed-forward: down(act(gate x) * up x), or without a
 * gate down(act(up x)). */
#include "model/pass_int.h"

void qn_blk_mlp(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_parts *w = &f->net->layer[layer];
    const qn_part *up = &w->p[QN_R_UP], *gate = &w->p[QN_R_GATE];
    if (hp->gated) {
        qn_emit(f, QN_OP_LINEAR)->u.linear = (qn_op_linear){
            .x = x,
            .ldx = hp->d_model,
            .n_row = f->n_row,
            .n_part = 2,
            .part = {{gate->w, gate->b, f->p->ff, hp->d_ff},
                     {up->w, up->b, NULL, 0}},
            .epi = QN_EPI_GLU,
            .act = hp->act,
            .scale = 1,
        };
    } else {
        qn_emit_linear(f, up, x, hp->d_model, f->p->ff, hp->d_ff, QN_EPI_STORE,
                       hp->act, 1);
    }
    qn_emit_residual(f, w, QN_R_DOWN, QN_R_MLP_POST_NORM, f->p->ff, hp->d_ff);
}
