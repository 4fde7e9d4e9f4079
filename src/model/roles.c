/* roles.c - shapes from hyper-parameters. */
#include "model/roles.h"

#include "base/compiler.h"
#include "model/rec.h"

static qn_role_shape matrix(int n_out, int n_in, bool bias)
{
    return (qn_role_shape){QN_MATRIX, n_out, n_in, 1, bias, 0};
}

static qn_role_shape experts(int n_out, int n_in, bool bias)
{
    return (qn_role_shape){QN_EXPERTS, n_out, n_in, 1, bias, 0};
}

static qn_role_shape norm(int n, bool bias)
{
    return (qn_role_shape){QN_VECTOR, n, 1, 1, bias, 0};
}

static qn_role_shape qk_norm(const qn_hparams *hp, int d_head, int n_head)
{
    switch (hp->qk_norm) {
    case QN_QK_HEADS:
        return (qn_role_shape){QN_VECTOR, n_head * d_head, 1, n_head, false, 0};
    case QN_QK_ROW: return norm(n_head * d_head, hp->norm_bias);
    default: return norm(d_head, hp->norm_bias);
    }
}

static bool global_shape(const qn_hparams *hp, qn_role role, qn_role_shape *out)
{
    bool projected = hp->d_embed != hp->d_model;
    switch (role) {
    case QN_R_EMBED: *out = matrix(hp->n_vocab, hp->d_embed, false); break;
    case QN_R_POS_EMBED:
        *out = matrix((int)hp->n_ctx_train + hp->pos_offset, hp->d_model,
                      false);
        return hp->pos == QN_POS_LEARNED;
    case QN_R_EMBED_NORM:
        *out = norm(hp->d_embed, hp->norm_bias);
        return hp->embed_norm;
    case QN_R_PROJ_IN:
        *out = matrix(hp->d_model, hp->d_embed, false);
        return projected;
    case QN_R_PROJ_OUT:
        *out = matrix(hp->d_embed, hp->d_model, false);
        return projected;
    case QN_R_FINAL_NORM:
        *out = norm(hp->d_model, hp->norm_bias);
        return hp->final_norm;
    case QN_R_PLE_EMBED:
        *out = matrix(hp->ple_vocab, hp->n_layer * hp->d_ple, false);
        return hp->d_ple > 0;
    case QN_R_PLE_PROJ:
        *out = matrix(hp->n_layer * hp->d_ple, hp->d_model, false);
        return hp->d_ple > 0;
    case QN_R_PLE_NORM: *out = norm(hp->d_ple, false); return hp->d_ple > 0;
    case QN_R_ALT_PROJ:
    case QN_R_ALT_UNPROJ:
        *out = experts(hp->d_model, hp->d_model, false);
        return hp->n_alt > 1;
    case QN_R_HEAD:
        *out = matrix(hp->n_vocab, hp->d_embed, hp->head_bias);
        return !hp->tied || hp->head_bias;
    default: return false;
    }
    return true;
}

/* ---- attention --------------------------------------------------------- */

static bool latent_shape(const qn_hparams *hp, qn_role role, qn_role_shape *out)
{
    const qn_mla_hp *mla = &hp->mla;
    int d = hp->d_model;
    switch (role) {
    case QN_R_Q_A:
        *out = matrix(mla->q_rank, d, hp->qkv_bias);
        return mla->q_rank > 0;
    case QN_R_Q_A_NORM: *out = norm(mla->q_rank, false); return mla->q_rank > 0;
    case QN_R_KV_A:
        *out = matrix(mla->kv_rank + mla->d_rope, d, hp->qkv_bias);
        return mla->kv_rank > 0;
    case QN_R_KV_A_NORM:
        *out = norm(mla->kv_rank, false);
        return mla->kv_rank > 0;
    default: return false;
    }
}

static bool attn_shape(const qn_hparams *hp, qn_role role, int layer,
                       qn_role_shape *out)
{
    const qn_mla_hp *mla = &hp->mla;
    const qn_layer_hp *l = &hp->layer[layer];
    int d = hp->d_model;
    int d_q = hp->n_head * (mla->kv_rank ? hp->d_head : l->d_head);
    int d_v = mla->kv_rank ? hp->d_v : hp->diff ? l->d_v / 2 : l->d_v;
    bool own_kv = l->kv_from == layer;
    switch (role) {
    case QN_R_Q:
        *out = matrix(d_q, mla->q_rank ? mla->q_rank : d,
                      hp->qkv_bias && !mla->kv_rank);
        return !hp->attn_experts;
    case QN_R_K:
        *out = mla->kv_rank
                   ? matrix(hp->n_kv * mla->d_nope, mla->kv_rank, false)
                   : matrix(l->n_kv * l->d_head, d, hp->qkv_bias);
        return own_kv;
    case QN_R_V:
        *out = mla->kv_rank ? matrix(hp->n_kv * hp->d_v, mla->kv_rank, false)
                            : matrix(l->n_kv * d_v, d, hp->qkv_bias);
        return own_kv && !l->k_is_v;
    case QN_R_O:
        *out = matrix(d, hp->n_head * d_v, hp->o_bias);
        return !hp->attn_experts;
    case QN_R_DIFF_Q1:
    case QN_R_DIFF_K1:
    case QN_R_DIFF_Q2:
    case QN_R_DIFF_K2: *out = norm(hp->d_head, false); return hp->diff;
    case QN_R_ATTN_ROUTER:
        *out = matrix(hp->n_exp, d, false);
        return hp->attn_experts;
    case QN_R_EXP_Q:
        *out = experts(hp->n_kv * hp->d_head, d, false);
        return hp->attn_experts;
    case QN_R_EXP_O:
        *out = experts(d, hp->n_kv * hp->d_v, false);
        return hp->attn_experts;
    case QN_R_ATTN_MOE_BIAS: *out = norm(d, false); return hp->attn_experts;
    case QN_R_ATTN_GATE:
        *out = matrix(hp->n_head * l->d_v, d, hp->gate_in_q && hp->qkv_bias);
        return hp->attn_gate;
    case QN_R_SINKS: *out = norm(hp->n_head, false); return hp->sinks;
    case QN_R_O_NORM:
        *out = norm(hp->n_head * l->d_v, hp->norm_bias);
        return hp->sub_norm;
    case QN_R_Q_NORM:
        *out = qk_norm(hp, l->d_head, hp->n_head);
        return l->qk_norm && !hp->qk_norm_bare;
    case QN_R_K_NORM:
        *out = qk_norm(hp, l->d_head, l->n_kv);
        return own_kv && l->qk_norm && !hp->qk_norm_bare;
    default: return latent_shape(hp, role, out);
    }
}

/* ---- feed-forward ------------------------------------------------------ */

static bool ff_shape(const qn_hparams *hp, qn_role role, int layer,
                     qn_role_shape *out)
{
    const qn_layer_hp *l = &hp->layer[layer];
    int d = hp->d_model;
    bool moe = l->moe, dense = !moe || hp->moe_beside;
    bool beside = moe && hp->moe_beside;
    switch (role) {
    case QN_R_XIELU_P:
    case QN_R_XIELU_N:
    case QN_R_XIELU_BETA:
    case QN_R_XIELU_EPS: *out = norm(1, false); return dense && hp->xielu;
    case QN_R_MOE_BIAS: *out = norm(d, false); return moe && hp->moe_bias;
    case QN_R_GATE:
        *out = matrix(l->d_ff, d, hp->mlp_bias);
        return dense && hp->gated;
    case QN_R_UP: *out = matrix(l->d_ff, d, hp->mlp_bias); return dense;
    case QN_R_DOWN: *out = matrix(d, l->d_ff, hp->mlp_bias); return dense;
    case QN_R_DOWN_NORM:
        *out = norm(l->d_ff, hp->norm_bias);
        return dense && hp->sub_norm;
    case QN_R_ROUTE_BIAS:
        *out = norm(hp->n_exp, false);
        return moe && hp->route_bias;
    case QN_R_ROUTER: *out = matrix(hp->n_exp, d, hp->router_bias); return moe;
    case QN_R_EXP_GATE:
        *out = experts(hp->d_ff_exp, d, hp->exp_bias);
        return moe && hp->gated;
    case QN_R_EXP_UP: *out = experts(hp->d_ff_exp, d, hp->exp_bias); return moe;
    case QN_R_EXP_DOWN:
        *out = experts(d, hp->d_ff_exp, hp->exp_bias);
        return moe;
    case QN_R_SHARED_ROUTER:
        *out = matrix(1, d, false);
        return moe && hp->d_ff_shared && hp->shared_gated;
    case QN_R_SHARED_GATE:
        *out = matrix(hp->d_ff_shared, d, hp->mlp_bias);
        return moe && hp->d_ff_shared && hp->gated;
    case QN_R_SHARED_UP:
        *out = matrix(hp->d_ff_shared, d, hp->mlp_bias);
        return moe && hp->d_ff_shared;
    case QN_R_SHARED_DOWN:
        *out = matrix(d, hp->d_ff_shared, hp->mlp_bias);
        return moe && hp->d_ff_shared;
    case QN_R_ROUTER_NORM: *out = norm(d, false); return beside;
    case QN_R_EXP_SCALE: *out = norm(hp->n_exp, false); return beside;
    case QN_R_MLP_OWN_NORM:
    case QN_R_EXP_NORM:
    case QN_R_EXP_POST_NORM: *out = norm(d, false); return beside;
    default: return false;
    }
}

/* ---- round them -------------------------------------------------------- */

static bool stream_shape(const qn_hparams *hp, qn_role role, qn_role_shape *out)
{
    int d = hp->d_model, n = hp->n_alt, rank = hp->laurel_rank;
    switch (role) {
    case QN_R_ALT_ROUTER: *out = matrix(n, d, false); return n > 0;
    case QN_R_ALT_ROUTER_NORM: *out = norm(d, false); return n > 0;
    case QN_R_ALT_PREDICT: *out = matrix(n * n, n, false); return n > 0;
    case QN_R_ALT_CORRECT: *out = matrix(n, n, false); return n > 0;
    case QN_R_ALT_SCALE: *out = norm(d, false); return n > 0 && hp->alt_scale;
    case QN_R_LAUREL_LEFT: *out = matrix(rank, d, false); return rank > 0;
    case QN_R_LAUREL_RIGHT: *out = matrix(d, rank, false); return rank > 0;
    case QN_R_LAUREL_NORM: *out = norm(d, false); return rank > 0;
    default: return false;
    }
}

static bool layer_shape(const qn_hparams *hp, qn_role role, int layer,
                        qn_role_shape *out)
{
    int d = hp->d_model;
    bool pre = hp->norm_place == QN_NORM_PRE;
    bool branch = hp->norm_place == QN_NORM_POST_BRANCH;
    bool sandwich = hp->norm_place == QN_NORM_SANDWICH;
    switch (role) {
    case QN_R_ATTN_NORM: *out = norm(d, hp->norm_bias); return !branch;
    case QN_R_ATTN_POST_NORM:
    case QN_R_MLP_POST_NORM:
        *out = norm(d, hp->norm_bias);
        return branch || sandwich;
    case QN_R_MLP_NORM:
        *out = norm(d, hp->norm_bias);
        return !branch && !(pre && hp->parallel && hp->shared_norm);
    case QN_R_PLE_GATE:
        *out = matrix(hp->d_ple, d, false);
        return hp->d_ple > 0;
    case QN_R_PLE_OUT: *out = matrix(d, hp->d_ple, false); return hp->d_ple > 0;
    case QN_R_PLE_POST_NORM: *out = norm(d, false); return hp->d_ple > 0;
    case QN_R_LAYER_SCALE: *out = norm(1, false); return hp->layer_scale;
    default:
        return attn_shape(hp, role, layer, out) ||
               ff_shape(hp, role, layer, out) || stream_shape(hp, role, out);
    }
}

/* Does the layer have the part that the role belongs to? (names.h has the
 * roles in this order.) */
static bool layer_has(const qn_layer_hp *l, qn_role role)
{
    if (role >= QN_R_MLP_NORM)
        return l->ff;
    if (role >= QN_R_REC_X)
        return l->rec;
    if (role == QN_R_ATTN_NORM || role == QN_R_ATTN_POST_NORM)
        return l->attn || l->rec;
    return l->attn;
}

bool qn_role_shape_of(const qn_hparams *hp, qn_role role, int layer,
                      qn_role_shape *out)
{
    bool there;
    if (layer < 0)
        there = global_shape(hp, role, out);
    else if (!layer_has(&hp->layer[layer], role))
        return false;
    else if (role >= QN_R_REC_X && role <= QN_R_REC_OUT)
        there = qn_rec_shape(hp, role, out);
    else
        there = layer_shape(hp, role, layer, out);
    return there && !(hp->norm_bare && qn_role_is_norm(role));
}

int qn_role_count(const qn_hparams *hp, qn_role role)
{
    if (role == QN_R_K || role == QN_R_V)
        return hp->n_head;
    return role < QN_R_GLOBAL_N ? hp->n_alt - 1 : hp->n_exp;
}

int qn_role_stack(qn_role role)
{
    if (role == QN_R_K || role == QN_R_V)
        return role == QN_R_K ? QN_ROLE_STACKS - 2 : QN_ROLE_STACKS - 1;
    return role < QN_R_GLOBAL_N ? (int)role - QN_R_ALT_PROJ
                                : (int)role - QN_R_EXP_GATE;
}

bool qn_role_is_norm(qn_role role)
{
    switch (role) {
    case QN_R_EMBED_NORM:
    case QN_R_FINAL_NORM:
    case QN_R_ATTN_NORM:
    case QN_R_Q_A_NORM:
    case QN_R_KV_A_NORM:
    case QN_R_O_NORM:
    case QN_R_Q_NORM:
    case QN_R_K_NORM:
    case QN_R_ATTN_POST_NORM:
    case QN_R_MLP_NORM:
    case QN_R_DOWN_NORM:
    case QN_R_MLP_POST_NORM: return true;
    default: return false;
    }
}

qn_row_map qn_role_rows(const qn_hparams *hp, qn_role role, qn_cut cut,
                        int64_t n_out)
{
    int64_t q = (int64_t)hp->n_head * hp->d_head;
    int64_t k = (int64_t)hp->n_kv * hp->d_head;
    int64_t v = (int64_t)hp->n_kv * hp->d_v;
    /* rows of the q heads of one kv head */
    int64_t group = q / QN_MAX(hp->n_kv, 1);
    int64_t unit = group + hp->d_head + hp->d_v;
    bool up = role == QN_R_UP || role == QN_R_EXP_UP || role == QN_R_SHARED_UP;
    switch (cut) {
    case QN_CUT_QKV:
        return (qn_row_map){n_out, 0,
                            role == QN_R_Q   ? 0
                            : role == QN_R_K ? q
                                             : q + k,
                            q + k + v};
    case QN_CUT_QKV_HEADS:
        if (role == QN_R_Q)
            return (qn_row_map){group, unit, 0, q + k + v};
        if (role == QN_R_K)
            return (qn_row_map){hp->d_head, unit, group, q + k + v};
        return (qn_row_map){hp->d_v, unit, group + hp->d_head, q + k + v};
    case QN_CUT_KV:
        return (qn_row_map){n_out, 0, role == QN_R_K ? 0 : k, k + v};
    case QN_CUT_KV_HEADS:
        k = hp->mla.d_nope;
        return (qn_row_map){role == QN_R_K ? k : hp->d_v, k + hp->d_v,
                            role == QN_R_K ? 0 : k, (k + hp->d_v) * hp->n_kv};
    case QN_CUT_QVK_4:
        return (qn_row_map){q / 4, 3 * q / 4,
                            role == QN_R_Q   ? 0
                            : role == QN_R_V ? q / 4
                                             : q / 2,
                            q + k + v};
    case QN_CUT_GATE_UP:
        return (qn_row_map){n_out, 0, up ? n_out : 0, 2 * n_out};
    case QN_CUT_GATE_UP_MIX: return (qn_row_map){1, 2, up, 2 * n_out};
    case QN_CUT_Q_GATE: /* heads are as wide as their gates */
        return (qn_row_map){hp->d_head, 2 * hp->d_head,
                            role == QN_R_Q ? 0 : hp->d_head, 2 * q};
    case QN_CUT_REC:
    case QN_CUT_REC_HEADS: return qn_rec_rows(hp, role, cut, n_out);
    case QN_CUT_WHOLE: break;
    }
    return (qn_row_map){n_out, 0, 0, n_out};
}
