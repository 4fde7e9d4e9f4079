/* names.c - looking names up; what roles are called in messages. */
#include "model/names.h"

#include "model/keys.h"

#include <stddef.h>
#include <string.h>

#define R(role) QN_R_##role

const qn_name *qn_names_row(const qn_names *t, qn_role role, int at)
{
    for (; t; t = t->base) {
        int seen = 0;
        for (int i = 0; i < t->n_rows; i++) {
            if (t->rows[i].role == role && seen++ == at)
                return &t->rows[i];
        }
        if (seen)
            return NULL;
    }
    return NULL;
}

const char *qn_names_layer(const qn_names *t)
{
    while (!t->layer && t->base)
        t = t->base;
    return t->layer;
}

bool qn_names_idle(const char *name)
{
    return qn_word_in("*rotary_emb.inv_freq *.masked_bias *.attn.bias "
                      "*.attention.bias *.rotary_pos_emb.inv_freq "
                      "rope_freqs.weight rope_factors_*",
                      name);
}

const char *qn_role_name(qn_role role)
{
    static const char *const names[QN_R_N] = {
        [R(EMBED)] = "token embedding",
        [R(POS_EMBED)] = "position embedding",
        [R(EMBED_NORM)] = "embedding norm",
        [R(PROJ_IN)] = "input projection",
        [R(PROJ_OUT)] = "output projection",
        [R(PLE_EMBED)] = "embedding of layer inputs",
        [R(PLE_PROJ)] = "projection to layer inputs",
        [R(PLE_NORM)] = "norm of layer inputs",
        [R(ALT_PROJ)] = "projection to a stream",
        [R(ALT_UNPROJ)] = "projection from a stream",
        [R(ROUTER_NORM)] = "router norm",
        [R(EXP_SCALE)] = "factor of an expert",
        [R(MLP_OWN_NORM)] = "norm of the dense feed-forward",
        [R(EXP_NORM)] = "norm before experts",
        [R(EXP_POST_NORM)] = "norm after experts",
        [R(PLE_GATE)] = "gate of a layer's input",
        [R(PLE_OUT)] = "output of a layer's input",
        [R(PLE_POST_NORM)] = "norm after a layer's input",
        [R(LAYER_SCALE)] = "factor of a layer",
        [R(ALT_ROUTER)] = "router of streams",
        [R(ALT_ROUTER_NORM)] = "norm before the router of streams",
        [R(ALT_PREDICT)] = "mixing of streams",
        [R(ALT_CORRECT)] = "correction of streams",
        [R(ALT_SCALE)] = "factors of the active stream",
        [R(LAUREL_LEFT)] = "low-rank path in",
        [R(LAUREL_RIGHT)] = "low-rank path out",
        [R(LAUREL_NORM)] = "norm of the low-rank path",
        [R(FINAL_NORM)] = "final norm",
        [R(HEAD)] = "head",
        [R(ATTN_NORM)] = "attention norm",
        [R(Q_A)] = "latent query",
        [R(Q_A_NORM)] = "latent query norm",
        [R(KV_A)] = "latent key and value",
        [R(KV_A_NORM)] = "latent key and value norm",
        [R(Q)] = "query",
        [R(K)] = "key",
        [R(V)] = "value",
        [R(O)] = "attention output",
        [R(DIFF_Q1)] = "lambda q1",
        [R(DIFF_K1)] = "lambda k1",
        [R(DIFF_Q2)] = "lambda q2",
        [R(DIFF_K2)] = "lambda k2",
        [R(ATTN_ROUTER)] = "attention router",
        [R(ATTN_GATE)] = "attention gate",
        [R(O_NORM)] = "norm of attention output",
        [R(SINKS)] = "attention sinks",
        [R(Q_NORM)] = "query norm",
        [R(K_NORM)] = "key norm",
        [R(ATTN_POST_NORM)] = "norm after attention",
        [R(REC_X)] = "recurrent input",
        [R(REC_Z)] = "recurrent gate",
        [R(REC_Q)] = "recurrent query",
        [R(REC_K)] = "recurrent key",
        [R(REC_B)] = "recurrent input factor",
        [R(REC_DT)] = "time steps",
        [R(REC_BETA)] = "strength of writing",
        [R(REC_CONV)] = "convolution",
        [R(REC_PARAMS)] = "time steps, B and C",
        [R(REC_DT_UP)] = "time step expansion",
        [R(REC_DT_BIAS)] = "bias of time steps",
        [R(REC_A)] = "decay",
        [R(REC_D)] = "skip",
        [R(REC_DT_NORM)] = "norm of time steps",
        [R(REC_B_NORM)] = "norm of B",
        [R(REC_C_NORM)] = "norm of C",
        [R(REC_NORM)] = "norm at the gate",
        [R(REC_OUT)] = "recurrent output",
        [R(MLP_NORM)] = "feed-forward norm",
        [R(GATE)] = "gate",
        [R(UP)] = "up",
        [R(DOWN)] = "down",
        [R(XIELU_P)] = "xIELU alpha_p",
        [R(XIELU_N)] = "xIELU alpha_n",
        [R(XIELU_BETA)] = "xIELU beta",
        [R(XIELU_EPS)] = "xIELU eps",
        [R(DOWN_NORM)] = "norm before down",
        [R(MLP_POST_NORM)] = "norm after feed-forward",
        [R(ROUTER)] = "router",
        [R(ROUTE_BIAS)] = "bias of the choice of experts",
        [R(EXP_GATE)] = "expert gate",
        [R(EXP_UP)] = "expert up",
        [R(EXP_DOWN)] = "expert down",
        [R(EXP_Q)] = "expert query",
        [R(EXP_O)] = "expert attention output",
        [R(MOE_BIAS)] = "bias of the experts' sum",
        [R(ATTN_MOE_BIAS)] = "bias of the attention experts' sum",
        [R(SHARED_ROUTER)] = "shared expert router",
        [R(SHARED_GATE)] = "shared expert gate",
        [R(SHARED_UP)] = "shared expert up",
        [R(SHARED_DOWN)] = "shared expert down",
    };
    return names[role];
}
