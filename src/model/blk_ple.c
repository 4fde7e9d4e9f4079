/* blk_ple.c - inputs of each layer (Gemma 3n and 4): a second embedding has
 * d_ple elements per token and layer, to which a projection of the first one
 * is added. A layer mixes its part in at its end:
 *
 *   h += norm(W_out (act(W_gate h) * input)) */
#include "model/pass_int.h"

#include <math.h>

void qn_blk_ple_inputs(qn_fwd *f)
{
    const qn_hparams *hp = f->hp;
    const qn_part *top = f->net->top.p;
    int width = hp->n_layer * hp->d_ple;
    float half = (float)sqrt(0.5);
    qn_emit_embed(f, &top[QN_R_PLE_EMBED], f->p->ple_ids,
                  half * sqrtf((float)hp->d_ple), f->p->ple, width);
    qn_emit_linear(f, &top[QN_R_PLE_PROJ], f->h, hp->d_model, f->p->ple2, width,
                   QN_EPI_STORE, QN_ACT_NONE, 1 / sqrtf((float)hp->d_model));
    qn_emit_norm(f, &top[QN_R_PLE_NORM], f->p->ple2, f->p->ple2, NULL,
                 hp->d_ple);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->n_group = hp->n_layer;
    n->ldx = n->ldy = width;
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = f->p->ple2,
        .y = f->p->ple,
        .ldx = width,
        .ldy = width,
        .n_row = f->n_row,
        .dim = width,
        .scale = half,
        .add = true,
    };
}

void qn_blk_ple_mix(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    bool narrowed = f->n_row < f->all->n_row || f->h == f->p->h_out;
    int64_t ld = narrowed ? hp->d_ple : (int64_t)hp->n_layer * hp->d_ple;
    const float *in = narrowed ? f->p->ple_out
                               : f->p->ple + (int64_t)layer * hp->d_ple;
    qn_emit_linear(f, &p[QN_R_PLE_GATE], x, hp->d_model, f->p->ple2, hp->d_ple,
                   QN_EPI_STORE, hp->act, 1);
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = f->p->ple2,
        .mul = in,
        .y = f->p->ple2,
        .ldx = hp->d_ple,
        .ldm = ld,
        .ldy = hp->d_ple,
        .n_row = f->n_row,
        .dim = hp->d_ple,
        .scale = 1,
    };
    qn_emit_linear(f, &p[QN_R_PLE_OUT], f->p->ple2, hp->d_ple, f->p->branch,
                   hp->d_model, QN_EPI_STORE, QN_ACT_NONE, 1);
}
