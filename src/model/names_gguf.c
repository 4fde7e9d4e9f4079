/* names_gguf.c - GGUF's names.
 *
 * From the specification's list of tensor names and llama.cpp's converters. */
#include "model/names.h"

#include "base/compiler.h"

#define R(role) QN_R_##role
#define TABLE(rows) QN_COUNTOF(rows), rows

/* Converters turn fused tensors of any order into q, k, v one after the
 * other. */
static const qn_name gguf_rows[] = {
    {R(EMBED), "token_embd", 0, 0},
    {R(POS_EMBED), "position_embd", 0, 0},
    {R(EMBED_NORM), "token_embd_norm", 0, 0},
    {R(FINAL_NORM), "output_norm", 0, 0},
    {R(HEAD), "output", 0, 0},
    {R(ATTN_NORM), "attn_norm", 0, 0},
    {R(Q_A), "attn_q_a", 0, 0},
    {R(Q_A_NORM), "attn_q_a_norm", 0, 0},
    {R(KV_A), "attn_kv_a_mqa", 0, 0},
    {R(KV_A_NORM), "attn_kv_a_norm", 0, 0},
    {R(Q), "attn_q", 0, 0},
    {R(Q), "attn_q_b", 0, 0},
    {R(Q), "attn_qkv", QN_CUT_QKV, 0},
    {R(K), "attn_k", 0, 0},
    {R(K), "attn_qkv", QN_CUT_QKV, 0},
    {R(K), "attn_kv_b", QN_CUT_KV_HEADS, 0},
    {R(K), "attn_k_b", 0, QN_NAME_BY_HEAD | QN_NAME_TRANSPOSED},
    {R(V), "attn_v", 0, 0},
    {R(V), "attn_qkv", QN_CUT_QKV, 0},
    {R(V), "attn_kv_b", QN_CUT_KV_HEADS, 0},
    {R(V), "attn_v_b", 0, QN_NAME_BY_HEAD},
    {R(O), "attn_output", 0, 0},
    {R(ATTN_GATE), "attn_gate", 0, 0},
    {R(O_NORM), "attn_sub_norm", 0, 0},
    {R(SINKS), "attn_sinks", 0, 0},
    {R(Q_NORM), "attn_q_norm", 0, 0},
    {R(K_NORM), "attn_k_norm", 0, 0},
    {R(ATTN_POST_NORM), "post_attention_norm", 0, 0},
    {R(MLP_NORM), "ffn_norm", 0, 0},
    {R(MLP_NORM), "ffn_norm", 0, QN_NAME_BARE}, /* Falcon-H1 */
    {R(GATE), "ffn_gate", 0, 0},
    {R(UP), "ffn_up", 0, 0},
    {R(DOWN), "ffn_down", 0, 0},
    {R(DOWN_NORM), "ffn_sub_norm", 0, 0},
    {R(XIELU_P), "xielu_alpha_p", 0, QN_NAME_BARE},
    {R(XIELU_N), "xielu_alpha_n", 0, QN_NAME_BARE},
    {R(XIELU_BETA), "xielu_beta", 0, QN_NAME_BARE},
    {R(XIELU_EPS), "xielu_eps", 0, QN_NAME_BARE},
    {R(MLP_POST_NORM), "post_ffw_norm", 0, 0},
    {R(ROUTER), "ffn_gate_inp", 0, 0},
    {R(ROUTE_BIAS), "exp_probs_b.bias", 0, QN_NAME_BARE},
    {R(EXP_GATE), "ffn_gate_exps", 0, 0},
    {R(EXP_GATE), "ffn_gate.%d", 0, 0},
    {R(EXP_UP), "ffn_up_exps", 0, 0},
    {R(EXP_UP), "ffn_up.%d", 0, 0},
    {R(EXP_GATE), "ffn_gate_up_exps", QN_CUT_GATE_UP, 0},
    {R(EXP_UP), "ffn_gate_up_exps", QN_CUT_GATE_UP, 0},
    {R(EXP_DOWN), "ffn_down_exps", 0, 0},
    {R(EXP_DOWN), "ffn_down.%d", 0, 0},
    {R(ROUTER_NORM), "ffn_gate_inp.scale", 0, QN_NAME_BARE}, /* Gemma 4 */
    {R(EXP_SCALE), "ffn_down_exps.scale", 0, QN_NAME_BARE},
    {R(MLP_OWN_NORM), "post_ffw_norm_1", 0, 0},
    {R(EXP_NORM), "pre_ffw_norm_2", 0, 0},
    {R(EXP_POST_NORM), "post_ffw_norm_2", 0, 0},
    {R(SHARED_ROUTER), "ffn_gate_inp_shexp", 0, 0},
    {R(SHARED_GATE), "ffn_gate_shexp", 0, 0},
    {R(SHARED_UP), "ffn_up_shexp", 0, 0},
    {R(SHARED_DOWN), "ffn_down_shexp", 0, 0},
    {R(FINAL_NORM), "token_embd_norm", 0, 0}, /* LFM2 */
    {R(REC_X), "ssm_in", QN_CUT_REC, 0},
    {R(REC_X), "shortconv.in_proj", QN_CUT_REC, 0},
    {R(REC_Z), "ssm_in", QN_CUT_REC, 0},
    {R(REC_Z), "shortconv.in_proj", QN_CUT_REC, 0},
    {R(REC_B), "shortconv.in_proj", QN_CUT_REC, 0},
    {R(REC_DT), "ssm_in", QN_CUT_REC, 0},
    {R(REC_CONV), "ssm_conv1d", 0, 0},
    {R(REC_CONV), "shortconv.conv", 0, 0},
    {R(REC_PARAMS), "ssm_x", 0, 0},
    {R(REC_DT_UP), "ssm_dt", 0, 0},
    {R(REC_DT_BIAS), "ssm_dt.bias", 0, QN_NAME_BARE},
    {R(REC_A), "ssm_a", 0, QN_NAME_BARE},
    {R(REC_D), "ssm_d", 0, QN_NAME_BARE},
    {R(REC_DT_NORM), "ssm_dt_norm", 0, 0},
    {R(REC_B_NORM), "ssm_b_norm", 0, 0},
    {R(REC_C_NORM), "ssm_c_norm", 0, 0},
    {R(REC_NORM), "ssm_norm", 0, 0},
    {R(REC_OUT), "ssm_out", 0, 0},
    {R(REC_OUT), "shortconv.out_proj", 0, 0},
    {R(PLE_EMBED), "per_layer_token_embd", 0, 0},
    {R(PLE_PROJ), "per_layer_model_proj", 0, 0},
    {R(PLE_NORM), "per_layer_proj_norm", 0, 0},
    {R(PLE_GATE), "inp_gate", 0, 0},
    {R(PLE_OUT), "proj", 0, 0},
    {R(PLE_POST_NORM), "post_norm", 0, 0},
    {R(ALT_PROJ), "altup_proj", 0, 0},
    {R(ALT_UNPROJ), "altup_unembd_proj", 0, 0},
    {R(ALT_ROUTER), "altup_router", 0, 0},
    {R(ALT_ROUTER_NORM), "altup_router_norm", 0, 0},
    {R(ALT_PREDICT), "altup_predict_coef", 0, 0},
    {R(ALT_CORRECT), "altup_correct_coef", 0, 0},
    {R(ALT_SCALE), "altup_correct_scale", 0, 0},
    {R(LAUREL_LEFT), "laurel_l", 0, 0},
    {R(LAUREL_RIGHT), "laurel_r", 0, 0},
    {R(LAUREL_NORM), "laurel_post_norm", 0, 0},
    {R(LAYER_SCALE), "layer_output_scale", 0, 0},
};
const qn_names qn_names_gguf = {NULL, "blk.%d.", TABLE(gguf_rows)};

/* Families that had gate and up in one tensor keep them so. */
static const qn_name gguf_gate_up_rows[] = {
    {R(GATE), "ffn_up", QN_CUT_GATE_UP, 0},
    {R(UP), "ffn_up", QN_CUT_GATE_UP, 0},
};
const qn_names qn_names_gguf_gate_up = {&qn_names_gguf, NULL,
                                        TABLE(gguf_gate_up_rows)};

/* A layer is one block and has one norm. */
static const qn_name gguf_one_block_rows[] = {
    {R(MLP_NORM), "attn_norm", 0, 0},
};
const qn_names qn_names_gguf_one_block = {&qn_names_gguf, NULL,
                                          TABLE(gguf_one_block_rows)};

/* One norm behind attention, which is that before the feed-forward. */
static const qn_name gguf_post_attn_rows[] = {
    {R(MLP_NORM), "post_attention_norm", 0, 0},
};
const qn_names qn_names_gguf_post_attn = {&qn_names_gguf, NULL,
                                          TABLE(gguf_post_attn_rows)};

static const qn_name gguf_dbrx_rows[] = {
    {R(MLP_NORM), "attn_output_norm", 0, 0},
};
const qn_names qn_names_gguf_dbrx = {&qn_names_gguf, NULL,
                                     TABLE(gguf_dbrx_rows)};

/* The second norm, where there is one, is that of attention. */
static const qn_name gguf_falcon_rows[] = {
    {R(ATTN_NORM), "attn_norm_2", 0, 0},
    {R(ATTN_NORM), "attn_norm", 0, 0},
    {R(MLP_NORM), "attn_norm", 0, 0},
};
const qn_names qn_names_gguf_falcon = {&qn_names_gguf, NULL,
                                       TABLE(gguf_falcon_rows)};

/* Early files of Qwen3-Next keep its fused projections. */
static const qn_name gguf_delta_rows[] = {
    {R(Q), "attn_q", QN_CUT_Q_GATE, 0},
    {R(ATTN_GATE), "attn_q", QN_CUT_Q_GATE, 0},
    {R(REC_Q), "attn_qkv", QN_CUT_REC, 0},
    {R(REC_Q), "ssm_in", QN_CUT_REC_HEADS, 0},
    {R(REC_K), "attn_qkv", QN_CUT_REC, 0},
    {R(REC_K), "ssm_in", QN_CUT_REC_HEADS, 0},
    {R(REC_X), "attn_qkv", QN_CUT_REC, 0},
    {R(REC_X), "ssm_in", QN_CUT_REC_HEADS, 0},
    {R(REC_Z), "attn_gate", 0, 0},
    {R(REC_Z), "ssm_in", QN_CUT_REC_HEADS, 0},
    {R(REC_DT), "ssm_ba", QN_CUT_REC_HEADS, 0},
    {R(REC_DT), "ssm_alpha", 0, 0},
    {R(REC_BETA), "ssm_ba", QN_CUT_REC_HEADS, 0},
    {R(REC_BETA), "ssm_beta", 0, 0},
};
const qn_names qn_names_gguf_delta = {&qn_names_gguf_post_attn, NULL,
                                      TABLE(gguf_delta_rows)};
