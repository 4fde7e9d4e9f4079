/* blk_mla.c - multi-head latent attention (DeepSeek V2, 2024).
 *
 *   x -> q_a -> norm -> q: per head [nope | rope]       (or x -> q)
 *   x -> kv_a = [latent | rope];  norm(latent) -> per head its key and value
 *
 * The rope part of a key is one for all heads. What goes into the cache are
 * whole keys and values of each head, so that the attention operation is the
 * usual one. */
#include "model/pass_int.h"

static void latent_norm(qn_fwd *f, const qn_part *w, float *x, int dim,
                        int64_t ld)
{
    qn_emit_norm(f, w, x, x, NULL, dim);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->ldx = n->ldy = ld;
    n->eps = f->hp->mla.norm_eps;
}

void qn_blk_mla_queries(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_mla_hp *m = &hp->mla;
    const qn_part *p = f->net->layer[layer].p;
    int width = hp->n_head * hp->d_head, n_in = hp->d_model;
    if (m->q_rank) {
        qn_emit_linear(f, &p[QN_R_Q_A], x, n_in, f->p->lat_q, m->q_rank,
                       QN_EPI_STORE, QN_ACT_NONE, 1);
        latent_norm(f, &p[QN_R_Q_A_NORM], f->p->lat_q, m->q_rank, m->q_rank);
        x = f->p->lat_q;
        n_in = m->q_rank;
    }
    qn_emit_linear(f, &p[QN_R_Q], x, n_in, f->p->q, width, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    qn_emit_rope(f, layer, f->p->q + m->d_nope, width, hp->n_head, hp->d_head);
}

void qn_blk_mla_keys(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_mla_hp *m = &hp->mla;
    const qn_part *p = f->net->layer[layer].p;
    int ld = m->kv_rank + m->d_rope, d_keys = hp->n_kv * m->d_nope;
    float *lat = f->p->lat_kv;
    qn_emit_linear(f, &p[QN_R_KV_A], x, hp->d_model, lat, ld, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    latent_norm(f, &p[QN_R_KV_A_NORM], lat, m->kv_rank, ld);
    qn_emit_apart(f);
    qn_emit_rope(f, layer, lat + m->kv_rank, ld, 1, m->d_rope);
    qn_emit(f, QN_OP_LINEAR)->u.linear = (qn_op_linear){
        .x = lat,
        .ldx = ld,
        .n_row = f->n_row,
        .n_part = 2,
        .part = {{p[QN_R_K].w, NULL, f->p->part, d_keys},
                 {p[QN_R_V].w, NULL, f->p->v, hp->n_kv * hp->d_v}},
        .epi = QN_EPI_STORE,
        .act = QN_ACT_NONE,
        .scale = 1,
    };
    qn_emit_copy(f, (qn_op_copy){.x = f->p->part,
                                 .y = f->p->k,
                                 .ldx = d_keys,
                                 .gx = m->d_nope,
                                 .ldy = hp->n_kv * hp->d_head,
                                 .gy = hp->d_head,
                                 .n_group = hp->n_kv,
                                 .dim = m->d_nope});
    qn_emit_apart(f);
    qn_emit_copy(f, (qn_op_copy){.x = lat + m->kv_rank,
                                 .y = f->p->k + m->d_nope,
                                 .ldx = ld,
                                 .ldy = hp->n_kv * hp->d_head,
                                 .gy = hp->d_head,
                                 .n_group = hp->n_kv,
                                 .dim = m->d_rope});
}
