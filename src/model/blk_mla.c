/* blk_mla.c - multi-head latent attention (DeepSeek V2, 2024).
 *
 *   x -> q_a -> norm -> q: per head [nope | rope]       (or x -> q)
 *   x -> kv_a = [latent | rope];  norm(latent) -> per head its key and value
 *
 * The key of head h at position j is [K_h c_j | r_j], its value V_h c_j, with
 * the latent c_j and one rotated r_j for all heads. So
 *
 *   q . key = (K_h^T q_nope) . c_j + q_rope . r_j
 *   sum_j p_j V_h c_j = V_h (sum_j p_j c_j)
 *
 * and only [c_j | r_j] goes into the cache: one key head of kv_rank + d_rope,
 * whose first kv_rank elements are its value, too. Queries are taken to the
 * latent space before the heads, what comes out is taken back behind them. */
#include "model/pass_int.h"

static void latent_norm(qn_fwd *f, const qn_part *w, float *x, int dim,
                        int64_t ld)
{
    qn_emit_norm(f, w, x, x, NULL, dim);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->ldx = n->ldy = ld;
    n->eps = f->hp->mla.norm_eps;
}

/* One product per head, dx and dy from a head to the next. */
static void by_head(qn_fwd *f, int layer, qn_role role, const float *x, int dx,
                    float *y, int dy)
{
    int n = f->hp->n_head;
    qn_emit(f, QN_OP_HEADS)->u.heads = (qn_op_heads){
        .x = x,
        .y = y,
        .ldx = (int64_t)n * dx,
        .gx = dx,
        .ldy = (int64_t)n * dy,
        .gy = dy,
        .n_row = f->n_row,
        .n_head = n,
        .w = (const qn_weight *const *)f->net->layer[layer]
                 .exp[qn_role_stack(role)],
    };
}

void qn_blk_mla_queries(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_mla_hp *m = &hp->mla;
    const qn_part *p = f->net->layer[layer].p;
    int width = hp->n_head * hp->d_head, n_in = hp->d_model;
    int d_key = m->kv_rank + m->d_rope;
    float *q = f->p->part;
    if (m->q_rank) {
        qn_emit_linear(f, &p[QN_R_Q_A], x, n_in, f->p->lat_q, m->q_rank,
                       QN_EPI_STORE, QN_ACT_NONE, 1);
        latent_norm(f, &p[QN_R_Q_A_NORM], f->p->lat_q, m->q_rank, m->q_rank);
        x = f->p->lat_q;
        n_in = m->q_rank;
    }
    qn_emit_linear(f, &p[QN_R_Q], x, n_in, q, width, QN_EPI_STORE, QN_ACT_NONE,
                   1);
    qn_emit_rope(f, layer, q + m->d_nope, width, hp->n_head, hp->d_head);
    by_head(f, layer, QN_R_K, q, hp->d_head, f->p->q, d_key);
    qn_emit_apart(f);
    qn_emit_copy(f, (qn_op_copy){.x = q + m->d_nope,
                                 .y = f->p->q + m->kv_rank,
                                 .ldx = width,
                                 .gx = hp->d_head,
                                 .ldy = (int64_t)hp->n_head * d_key,
                                 .gy = d_key,
                                 .n_group = hp->n_head,
                                 .dim = m->d_rope});
}

void qn_blk_mla_keys(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    const qn_mla_hp *m = &hp->mla;
    const qn_part *p = f->net->layer[layer].p;
    int ld = m->kv_rank + m->d_rope;
    qn_emit_linear(f, &p[QN_R_KV_A], x, hp->d_model, f->p->k, ld, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    latent_norm(f, &p[QN_R_KV_A_NORM], f->p->k, m->kv_rank, ld);
    qn_emit_apart(f);
    qn_emit_rope(f, layer, f->p->k + m->kv_rank, ld, 1, m->d_rope);
}

void qn_blk_mla_values(qn_fwd *f, int layer)
{
    by_head(f, layer, QN_R_V, f->p->attn, f->hp->mla.kv_rank, f->p->part,
            f->hp->d_v);
}
