/* names_hf.c - the names of checkpoints on the hub.
 *
 * Names are facts of those checkpoints. */
#include "model/names.h"

#include "base/compiler.h"

#define R(role) QN_R_##role
#define TABLE(rows) QN_COUNTOF(rows), rows

static const qn_name llama_rows[] = {
    {R(EMBED), "embed_tokens", 0, 0},
    {R(FINAL_NORM), "norm", 0, 0},
    {R(HEAD), "lm_head", 0, 0},
    {R(ATTN_NORM), "input_layernorm", 0, 0},
    {R(Q), "self_attn.q_proj", 0, 0},
    {R(K), "self_attn.k_proj", 0, 0},
    {R(V), "self_attn.v_proj", 0, 0},
    {R(O), "self_attn.o_proj", 0, 0},
    {R(Q_NORM), "self_attn.q_norm", 0, 0},
    {R(K_NORM), "self_attn.k_norm", 0, 0},
    {R(MLP_NORM), "post_attention_layernorm", 0, 0},
    {R(GATE), "mlp.gate_proj", 0, 0},
    {R(UP), "mlp.up_proj", 0, 0},
    {R(DOWN), "mlp.down_proj", 0, 0},
};
const qn_names qn_names_llama = {NULL, "layers.%d.", TABLE(llama_rows)};

static const qn_name stablelm_rows[] = {
    {R(Q_NORM), "self_attn.q_layernorm.norms.%d", 0, 0},
    {R(K_NORM), "self_attn.k_layernorm.norms.%d", 0, 0},
};
const qn_names qn_names_stablelm = {&qn_names_llama, NULL,
                                    TABLE(stablelm_rows)};

static const qn_name opt_rows[] = {
    {R(POS_EMBED), "embed_positions", 0, 0},
    {R(PROJ_IN), "project_in", 0, 0},
    {R(PROJ_OUT), "project_out", 0, 0},
    {R(FINAL_NORM), "final_layer_norm", 0, 0},
    {R(ATTN_NORM), "self_attn_layer_norm", 0, 0},
    {R(O), "self_attn.out_proj", 0, 0},
    {R(MLP_NORM), "final_layer_norm", 0, 0},
    {R(UP), "fc1", 0, 0},
    {R(DOWN), "fc2", 0, 0},
};
const qn_names qn_names_opt = {&qn_names_llama, NULL, TABLE(opt_rows)};

static const qn_name gpt2_rows[] = {
    {R(EMBED), "wte", 0, 0},
    {R(POS_EMBED), "wpe", 0, 0},
    {R(FINAL_NORM), "ln_f", 0, 0},
    {R(HEAD), "lm_head", 0, 0},
    {R(ATTN_NORM), "ln_1", 0, 0},
    {R(Q), "attn.c_attn", QN_CUT_QKV, QN_NAME_TRANSPOSED},
    {R(K), "attn.c_attn", QN_CUT_QKV, QN_NAME_TRANSPOSED},
    {R(V), "attn.c_attn", QN_CUT_QKV, QN_NAME_TRANSPOSED},
    {R(O), "attn.c_proj", 0, QN_NAME_TRANSPOSED},
    {R(MLP_NORM), "ln_2", 0, 0},
    {R(UP), "mlp.c_fc", 0, QN_NAME_TRANSPOSED},
    {R(DOWN), "mlp.c_proj", 0, QN_NAME_TRANSPOSED},
};
const qn_names qn_names_gpt2 = {NULL, "h.%d.", TABLE(gpt2_rows)};

static const qn_name openai_gpt_rows[] = {
    {R(EMBED), "tokens_embed", 0, 0},
    {R(POS_EMBED), "positions_embed", 0, 0},
};
const qn_names qn_names_openai_gpt = {&qn_names_gpt2, NULL,
                                      TABLE(openai_gpt_rows)};

static const qn_name gpt_neox_rows[] = {
    {R(EMBED), "embed_in", 0, 0},
    {R(FINAL_NORM), "final_layer_norm", 0, 0},
    {R(HEAD), "embed_out", 0, 0},
    {R(Q), "attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(K), "attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(V), "attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(O), "attention.dense", 0, 0},
    {R(UP), "mlp.dense_h_to_4h", 0, 0},
    {R(DOWN), "mlp.dense_4h_to_h", 0, 0},
};
const qn_names qn_names_gpt_neox = {&qn_names_llama, NULL,
                                    TABLE(gpt_neox_rows)};

/* One tensor per expert as Mixtral was published, or all in one as
 * transformers 5 holds them. */
static const qn_name mixtral_rows[] = {
    {R(ROUTER), "block_sparse_moe.gate", 0, 0},
    {R(ROUTER), "mlp.gate", 0, 0},
    {R(EXP_GATE), "block_sparse_moe.experts.%d.w1", 0, 0},
    {R(EXP_GATE), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_UP), "block_sparse_moe.experts.%d.w3", 0, 0},
    {R(EXP_UP), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_DOWN), "block_sparse_moe.experts.%d.w2", 0, 0},
    {R(EXP_DOWN), "mlp.experts.down_proj", 0, QN_NAME_BARE},
};
const qn_names qn_names_mixtral = {&qn_names_llama, NULL, TABLE(mixtral_rows)};

static const qn_name gemma2_rows[] = {
    {R(ATTN_POST_NORM), "post_attention_layernorm", 0, 0},
    {R(MLP_NORM), "pre_feedforward_layernorm", 0, 0},
    {R(MLP_POST_NORM), "post_feedforward_layernorm", 0, 0},
};
const qn_names qn_names_gemma2 = {&qn_names_llama, NULL, TABLE(gemma2_rows)};

static const qn_name phi_rows[] = {
    {R(FINAL_NORM), "final_layernorm", 0, 0},
    {R(O), "self_attn.dense", 0, 0},
    {R(Q_NORM), "self_attn.q_layernorm", 0, 0},
    {R(K_NORM), "self_attn.k_layernorm", 0, 0},
    {R(UP), "mlp.fc1", 0, 0},
    {R(DOWN), "mlp.fc2", 0, 0},
};
const qn_names qn_names_phi = {&qn_names_llama, NULL, TABLE(phi_rows)};

static const qn_name phi3_rows[] = {
    {R(Q), "self_attn.qkv_proj", QN_CUT_QKV, 0},
    {R(K), "self_attn.qkv_proj", QN_CUT_QKV, 0},
    {R(V), "self_attn.qkv_proj", QN_CUT_QKV, 0},
    {R(GATE), "mlp.gate_up_proj", QN_CUT_GATE_UP, 0},
    {R(UP), "mlp.gate_up_proj", QN_CUT_GATE_UP, 0},
    /* with adapters for images and sound beside */
    {R(Q), "self_attn.qkv_proj.base_layer", QN_CUT_QKV, 0},
    {R(K), "self_attn.qkv_proj.base_layer", QN_CUT_QKV, 0},
    {R(V), "self_attn.qkv_proj.base_layer", QN_CUT_QKV, 0},
    {R(O), "self_attn.o_proj", 0, 0},
    {R(O), "self_attn.o_proj.base_layer", 0, 0},
    {R(GATE), "mlp.gate_up_proj.base_layer", QN_CUT_GATE_UP, 0},
    {R(UP), "mlp.gate_up_proj.base_layer", QN_CUT_GATE_UP, 0},
    {R(DOWN), "mlp.down_proj", 0, 0},
    {R(DOWN), "mlp.down_proj.base_layer", 0, 0},
};
const qn_names qn_names_phi3 = {&qn_names_llama, NULL, TABLE(phi3_rows)};

static const qn_name olmo2_rows[] = {
    {R(ATTN_POST_NORM), "post_attention_layernorm", 0, 0},
    {R(MLP_POST_NORM), "post_feedforward_layernorm", 0, 0},
};
const qn_names qn_names_olmo2 = {&qn_names_llama, NULL, TABLE(olmo2_rows)};

static const qn_name starcoder2_rows[] = {
    {R(UP), "mlp.c_fc", 0, 0},
    {R(DOWN), "mlp.c_proj", 0, 0},
};
const qn_names qn_names_starcoder2 = {&qn_names_llama, NULL,
                                      TABLE(starcoder2_rows)};

static const qn_name glm_rows[] = {
    {R(GATE), "mlp.gate_up_proj", QN_CUT_GATE_UP, 0},
    {R(UP), "mlp.gate_up_proj", QN_CUT_GATE_UP, 0},
};
const qn_names qn_names_glm = {&qn_names_llama, NULL, TABLE(glm_rows)};

static const qn_name glm4_rows[] = {
    {R(ATTN_POST_NORM), "post_self_attn_layernorm", 0, 0},
    {R(MLP_POST_NORM), "post_mlp_layernorm", 0, 0},
};
const qn_names qn_names_glm4 = {&qn_names_glm, NULL, TABLE(glm4_rows)};

static const qn_name gptj_rows[] = {
    {R(Q), "attn.q_proj", 0, 0}, {R(K), "attn.k_proj", 0, 0},
    {R(V), "attn.v_proj", 0, 0}, {R(O), "attn.out_proj", 0, 0},
    {R(UP), "mlp.fc_in", 0, 0},  {R(DOWN), "mlp.fc_out", 0, 0},
};
const qn_names qn_names_gptj = {&qn_names_gpt2, NULL, TABLE(gptj_rows)};

static const qn_name codegen_rows[] = {
    {R(Q), "attn.qkv_proj", QN_CUT_QVK_4, 0},
    {R(K), "attn.qkv_proj", QN_CUT_QVK_4, 0},
    {R(V), "attn.qkv_proj", QN_CUT_QVK_4, 0},
};
const qn_names qn_names_codegen = {&qn_names_gptj, NULL, TABLE(codegen_rows)};

static const qn_name gpt_neo_rows[] = {
    {R(Q), "attn.attention.q_proj", 0, 0},
    {R(K), "attn.attention.k_proj", 0, 0},
    {R(V), "attn.attention.v_proj", 0, 0},
    {R(O), "attn.attention.out_proj", 0, 0},
    {R(UP), "mlp.c_fc", 0, 0},
    {R(DOWN), "mlp.c_proj", 0, 0},
};
const qn_names qn_names_gpt_neo = {&qn_names_gpt2, NULL, TABLE(gpt_neo_rows)};

static const qn_name bigcode_rows[] = {
    {R(Q), "attn.c_attn", QN_CUT_QKV_HEADS, 0},
    {R(K), "attn.c_attn", QN_CUT_QKV_HEADS, 0},
    {R(V), "attn.c_attn", QN_CUT_QKV_HEADS, 0},
    {R(O), "attn.c_proj", 0, 0},
    {R(UP), "mlp.c_fc", 0, 0},
    {R(DOWN), "mlp.c_proj", 0, 0},
};
const qn_names qn_names_bigcode = {&qn_names_gpt2, NULL, TABLE(bigcode_rows)};

/* Falcon and Bloom */
static const qn_name falcon_rows[] = {
    {R(EMBED), "word_embeddings", 0, 0},
    {R(EMBED_NORM), "word_embeddings_layernorm", 0, 0},
    {R(FINAL_NORM), "ln_f", 0, 0},
    {R(HEAD), "lm_head", 0, 0},
    {R(ATTN_NORM), "input_layernorm", 0, 0},
    {R(ATTN_NORM), "ln_attn", 0, 0},
    {R(Q), "self_attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(K), "self_attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(V), "self_attention.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(O), "self_attention.dense", 0, 0},
    {R(MLP_NORM), "post_attention_layernorm", 0, 0},
    {R(MLP_NORM), "ln_mlp", 0, 0},
    {R(UP), "mlp.dense_h_to_4h", 0, 0},
    {R(DOWN), "mlp.dense_4h_to_h", 0, 0},
};
const qn_names qn_names_falcon = {NULL, "h.%d.", TABLE(falcon_rows)};

static const qn_name mpt_rows[] = {
    {R(EMBED), "wte", 0, 0},
    {R(FINAL_NORM), "norm_f", 0, 0},
    {R(HEAD), "lm_head", 0, 0},
    {R(ATTN_NORM), "norm_1", 0, 0},
    {R(Q), "attn.Wqkv", QN_CUT_QKV, 0},
    {R(K), "attn.Wqkv", QN_CUT_QKV, 0},
    {R(V), "attn.Wqkv", QN_CUT_QKV, 0},
    {R(O), "attn.out_proj", 0, 0},
    {R(MLP_NORM), "norm_2", 0, 0},
    {R(UP), "ffn.up_proj", 0, 0},
    {R(DOWN), "ffn.down_proj", 0, 0},
};
const qn_names qn_names_mpt = {NULL, "blocks.%d.", TABLE(mpt_rows)};

static const qn_name persimmon_rows[] = {
    {R(FINAL_NORM), "final_layernorm", 0, 0},
    {R(Q), "self_attn.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(K), "self_attn.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(V), "self_attn.query_key_value", QN_CUT_QKV_HEADS, 0},
    {R(O), "self_attn.dense", 0, 0},
    {R(Q_NORM), "self_attn.q_layernorm", 0, 0},
    {R(K_NORM), "self_attn.k_layernorm", 0, 0},
    {R(UP), "mlp.dense_h_to_4h", 0, 0},
    {R(DOWN), "mlp.dense_4h_to_h", 0, 0},
};
const qn_names qn_names_persimmon = {&qn_names_llama, NULL,
                                     TABLE(persimmon_rows)};

static const qn_name vaultgemma_rows[] = {
    {R(MLP_NORM), "pre_feedforward_layernorm", 0, 0},
};
const qn_names qn_names_vaultgemma = {&qn_names_llama, NULL,
                                      TABLE(vaultgemma_rows)};

static const qn_name hunyuan_rows[] = {
    {R(Q_NORM), "self_attn.query_layernorm", 0, 0},
    {R(K_NORM), "self_attn.key_layernorm", 0, 0},
};
const qn_names qn_names_hunyuan = {&qn_names_llama, NULL, TABLE(hunyuan_rows)};

static const qn_name qwen_moe_rows[] = {
    {R(ROUTER), "mlp.gate", 0, 0},
    {R(EXP_GATE), "mlp.experts.%d.gate_proj", 0, 0},
    {R(EXP_GATE), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_UP), "mlp.experts.%d.up_proj", 0, 0},
    {R(EXP_UP), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_DOWN), "mlp.experts.%d.down_proj", 0, 0},
    {R(EXP_DOWN), "mlp.experts.down_proj", 0, QN_NAME_BARE},
    {R(SHARED_ROUTER), "mlp.shared_expert_gate", 0, 0},
    {R(SHARED_GATE), "mlp.shared_expert.gate_proj", 0, 0},
    {R(SHARED_UP), "mlp.shared_expert.up_proj", 0, 0},
    {R(SHARED_DOWN), "mlp.shared_expert.down_proj", 0, 0},
};
const qn_names qn_names_qwen_moe = {&qn_names_llama, NULL,
                                    TABLE(qwen_moe_rows)};

static const qn_name granite_moe_rows[] = {
    {R(ROUTER), "block_sparse_moe.router.layer", 0, 0},
    {R(EXP_GATE), "block_sparse_moe.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_UP), "block_sparse_moe.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_DOWN), "block_sparse_moe.output_linear", 0, 0},
};
const qn_names qn_names_granite_moe = {&qn_names_llama, NULL,
                                       TABLE(granite_moe_rows)};

/* ---- recurrent layers -------------------------------------------------- */

static const qn_name mamba_rows[] = {
    {R(EMBED), "embeddings", 0, 0},
    {R(FINAL_NORM), "norm_f", 0, 0},
    {R(ATTN_NORM), "norm", 0, 0},
    {R(REC_X), "mixer.in_proj", QN_CUT_REC, 0},
    {R(REC_Z), "mixer.in_proj", QN_CUT_REC, 0},
    {R(REC_DT), "mixer.in_proj", QN_CUT_REC, 0},
    {R(REC_CONV), "mixer.conv1d", 0, 0},
    {R(REC_PARAMS), "mixer.x_proj", 0, 0},
    {R(REC_DT_UP), "mixer.dt_proj", 0, 0},
    {R(REC_DT_BIAS), "mixer.dt_bias", 0, QN_NAME_BARE},
    {R(REC_A), "mixer.A_log", 0, QN_NAME_BARE},
    {R(REC_D), "mixer.D", 0, QN_NAME_BARE},
    {R(REC_NORM), "mixer.norm", 0, 0},
    {R(REC_OUT), "mixer.out_proj", 0, 0},
};
const qn_names qn_names_mamba = {&qn_names_llama, NULL, TABLE(mamba_rows)};

static const qn_name jamba_rows[] = {
    {R(FINAL_NORM), "final_layernorm", 0, 0},
    {R(REC_X), "mamba.in_proj", QN_CUT_REC, 0},
    {R(REC_Z), "mamba.in_proj", QN_CUT_REC, 0},
    {R(REC_DT), "mamba.in_proj", QN_CUT_REC, 0},
    {R(REC_CONV), "mamba.conv1d", 0, 0},
    {R(REC_PARAMS), "mamba.x_proj", 0, 0},
    {R(REC_DT_UP), "mamba.dt_proj", 0, 0},
    {R(REC_DT_BIAS), "mamba.dt_bias", 0, QN_NAME_BARE},
    {R(REC_A), "mamba.A_log", 0, QN_NAME_BARE},
    {R(REC_D), "mamba.D", 0, QN_NAME_BARE},
    {R(REC_DT_NORM), "mamba.dt_layernorm", 0, 0},
    {R(REC_B_NORM), "mamba.b_layernorm", 0, 0},
    {R(REC_C_NORM), "mamba.c_layernorm", 0, 0},
    {R(REC_NORM), "mamba.norm", 0, 0},
    {R(REC_OUT), "mamba.out_proj", 0, 0},
    {R(MLP_NORM), "pre_ff_layernorm", 0, 0},
    {R(GATE), "feed_forward.gate_proj", 0, 0},
    {R(UP), "feed_forward.up_proj", 0, 0},
    {R(DOWN), "feed_forward.down_proj", 0, 0},
    {R(ROUTER), "feed_forward.router", 0, 0},
    {R(EXP_GATE), "feed_forward.experts.%d.gate_proj", 0, 0},
    {R(EXP_GATE), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE},
    {R(EXP_UP), "feed_forward.experts.%d.up_proj", 0, 0},
    {R(EXP_UP), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE},
    {R(EXP_DOWN), "feed_forward.experts.%d.down_proj", 0, 0},
    {R(EXP_DOWN), "feed_forward.experts.down_proj", 0, QN_NAME_BARE},
};
const qn_names qn_names_jamba = {&qn_names_llama, NULL, TABLE(jamba_rows)};

static const qn_name granite_hybrid_rows[] = {
    {R(FINAL_NORM), "norm", 0, 0},
    {R(MLP_NORM), "post_attention_layernorm", 0, 0},
    {R(GATE), "shared_mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(UP), "shared_mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(DOWN), "shared_mlp.output_linear", 0, 0},
    {R(ROUTER), "block_sparse_moe.router.layer", 0, 0},
    {R(EXP_GATE), "block_sparse_moe.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_UP), "block_sparse_moe.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_DOWN), "block_sparse_moe.output_linear", 0, 0},
    {R(SHARED_GATE), "shared_mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(SHARED_UP), "shared_mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(SHARED_DOWN), "shared_mlp.output_linear", 0, 0},
};
const qn_names qn_names_granite_hybrid = {&qn_names_jamba, NULL,
                                          TABLE(granite_hybrid_rows)};

static const qn_name nemotron_h_rows[] = {
    {R(Q), "mixer.q_proj", 0, 0},
    {R(K), "mixer.k_proj", 0, 0},
    {R(V), "mixer.v_proj", 0, 0},
    {R(O), "mixer.o_proj", 0, 0},
    {R(MLP_NORM), "norm", 0, 0},
    {R(UP), "mixer.up_proj", 0, 0},
    {R(DOWN), "mixer.down_proj", 0, 0},
    {R(ROUTER), "mixer.gate", 0, 0},
    {R(ROUTE_BIAS), "mixer.gate.e_score_correction_bias", 0, QN_NAME_BARE},
    {R(EXP_UP), "mixer.experts.%d.up_proj", 0, 0},
    {R(EXP_UP), "mixer.experts.up_proj", 0, QN_NAME_BARE},
    {R(EXP_DOWN), "mixer.experts.%d.down_proj", 0, 0},
    {R(EXP_DOWN), "mixer.experts.down_proj", 0, QN_NAME_BARE},
    {R(SHARED_UP), "mixer.shared_experts.up_proj", 0, 0},
    {R(SHARED_DOWN), "mixer.shared_experts.down_proj", 0, 0},
};
const qn_names qn_names_nemotron_h = {&qn_names_mamba, NULL,
                                      TABLE(nemotron_h_rows)};

static const qn_name lfm2_rows[] = {
    {R(FINAL_NORM), "embedding_norm", 0, 0},
    {R(ATTN_NORM), "operator_norm", 0, 0},
    {R(O), "self_attn.out_proj", 0, 0},
    {R(Q_NORM), "self_attn.q_layernorm", 0, 0},
    {R(K_NORM), "self_attn.k_layernorm", 0, 0},
    {R(REC_X), "conv.in_proj", QN_CUT_REC, 0},
    {R(REC_Z), "conv.in_proj", QN_CUT_REC, 0},
    {R(REC_B), "conv.in_proj", QN_CUT_REC, 0},
    {R(REC_CONV), "conv.conv", 0, 0},
    {R(REC_OUT), "conv.out_proj", 0, 0},
    {R(MLP_NORM), "ffn_norm", 0, 0},
    {R(GATE), "feed_forward.w1", 0, 0},
    {R(UP), "feed_forward.w3", 0, 0},
    {R(DOWN), "feed_forward.w2", 0, 0},
    {R(ROUTER), "feed_forward.gate", 0, 0},
    {R(ROUTE_BIAS), "feed_forward.expert_bias", 0, QN_NAME_BARE},
    {R(EXP_GATE), "feed_forward.experts.%d.w1", 0, 0},
    {R(EXP_GATE), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE},
    {R(EXP_UP), "feed_forward.experts.%d.w3", 0, 0},
    {R(EXP_UP), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE},
    {R(EXP_DOWN), "feed_forward.experts.%d.w2", 0, 0},
    {R(EXP_DOWN), "feed_forward.experts.down_proj", 0, QN_NAME_BARE},
};
const qn_names qn_names_lfm2 = {&qn_names_llama, NULL, TABLE(lfm2_rows)};

/* The projections of Qwen3-Next are fused, those of Qwen3.5 nearly not. */
static const qn_name qwen_next_rows[] = {
    {R(Q), "self_attn.q_proj", QN_CUT_Q_GATE, 0},
    {R(ATTN_GATE), "self_attn.q_proj", QN_CUT_Q_GATE, 0},
    {R(REC_Q), "linear_attn.in_proj_qkvz", QN_CUT_REC_HEADS, 0},
    {R(REC_Q), "linear_attn.in_proj_qkv", QN_CUT_REC, 0},
    {R(REC_K), "linear_attn.in_proj_qkvz", QN_CUT_REC_HEADS, 0},
    {R(REC_K), "linear_attn.in_proj_qkv", QN_CUT_REC, 0},
    {R(REC_X), "linear_attn.in_proj_qkvz", QN_CUT_REC_HEADS, 0},
    {R(REC_X), "linear_attn.in_proj_qkv", QN_CUT_REC, 0},
    {R(REC_Z), "linear_attn.in_proj_qkvz", QN_CUT_REC_HEADS, 0},
    {R(REC_Z), "linear_attn.in_proj_z", 0, 0},
    {R(REC_DT), "linear_attn.in_proj_ba", QN_CUT_REC_HEADS, 0},
    {R(REC_DT), "linear_attn.in_proj_a", 0, 0},
    {R(REC_BETA), "linear_attn.in_proj_ba", QN_CUT_REC_HEADS, 0},
    {R(REC_BETA), "linear_attn.in_proj_b", 0, 0},
    {R(REC_CONV), "linear_attn.conv1d", 0, 0},
    {R(REC_DT_BIAS), "linear_attn.dt_bias", 0, QN_NAME_BARE},
    {R(REC_A), "linear_attn.A_log", 0, QN_NAME_BARE},
    {R(REC_NORM), "linear_attn.norm", 0, 0},
    {R(REC_OUT), "linear_attn.out_proj", 0, 0},
};
const qn_names qn_names_qwen_next = {&qn_names_qwen_moe, NULL,
                                     TABLE(qwen_next_rows)};

/* DeepSeek's experts and their relatives */
static const qn_name deepseek_rows[] = {
    {R(ROUTE_BIAS), "mlp.gate.e_score_correction_bias", 0, QN_NAME_BARE},
    {R(ROUTE_BIAS), "mlp.e_score_correction_bias", 0, QN_NAME_BARE},
    {R(SHARED_GATE), "mlp.shared_experts.gate_proj", 0, 0},
    {R(SHARED_UP), "mlp.shared_experts.up_proj", 0, 0},
    {R(SHARED_DOWN), "mlp.shared_experts.down_proj", 0, 0},
};
const qn_names qn_names_deepseek = {&qn_names_qwen_moe, NULL,
                                    TABLE(deepseek_rows)};

static const qn_name ernie_moe_rows[] = {
    {R(ROUTE_BIAS), "mlp.moe_statics.e_score_correction_bias", 0, QN_NAME_BARE},
    {R(ROUTE_BIAS), "mlp.gate.moe_statics.e_score_correction_bias", 0,
     QN_NAME_BARE},
};
const qn_names qn_names_ernie_moe = {&qn_names_deepseek, NULL,
                                     TABLE(ernie_moe_rows)};

static const qn_name flex_olmo_rows[] = {
    {R(ATTN_POST_NORM), "post_attention_layernorm", 0, 0},
    {R(MLP_POST_NORM), "post_feedforward_layernorm", 0, 0},
};
const qn_names qn_names_flex_olmo = {&qn_names_qwen_moe, NULL,
                                     TABLE(flex_olmo_rows)};

static const qn_name minimax_rows[] = {
    {R(ROUTE_BIAS), "block_sparse_moe.e_score_correction_bias", 0,
     QN_NAME_BARE},
    {R(ROUTE_BIAS), "mlp.e_score_correction_bias", 0, QN_NAME_BARE},
};
const qn_names qn_names_minimax = {&qn_names_mixtral, NULL,
                                   TABLE(minimax_rows)};

static const qn_name hunyuan_moe_rows[] = {
    {R(Q_NORM), "self_attn.query_layernorm", 0, 0},
    {R(K_NORM), "self_attn.key_layernorm", 0, 0},
    {R(ROUTER), "mlp.gate.wg", 0, 0},
    {R(SHARED_GATE), "mlp.shared_mlp.gate_proj", 0, 0},
    {R(SHARED_UP), "mlp.shared_mlp.up_proj", 0, 0},
    {R(SHARED_DOWN), "mlp.shared_mlp.down_proj", 0, 0},
};
const qn_names qn_names_hunyuan_moe = {&qn_names_qwen_moe, NULL,
                                       TABLE(hunyuan_moe_rows)};

static const qn_name afmoe_rows[] = {
    {R(ATTN_GATE), "self_attn.gate_proj", 0, 0},
    {R(ATTN_POST_NORM), "post_attention_layernorm", 0, 0},
    {R(MLP_NORM), "pre_mlp_layernorm", 0, 0},
    {R(MLP_POST_NORM), "post_mlp_layernorm", 0, 0},
    {R(ROUTER), "mlp.router.gate", 0, 0},
    {R(ROUTE_BIAS), "mlp.expert_bias", 0, QN_NAME_BARE},
};
const qn_names qn_names_afmoe = {&qn_names_deepseek, NULL, TABLE(afmoe_rows)};

static const qn_name bitnet_rows[] = {
    {R(O_NORM), "self_attn.attn_sub_norm", 0, 0},
    {R(DOWN_NORM), "mlp.ffn_sub_norm", 0, 0},
};
const qn_names qn_names_bitnet = {&qn_names_llama, NULL, TABLE(bitnet_rows)};

/* The experts as blocks of 4-bit floats, or expanded. */
static const qn_name gpt_oss_rows[] = {
    {R(SINKS), "self_attn.sinks", 0, QN_NAME_BARE},
    {R(ROUTER), "mlp.router", 0, 0},
    {R(EXP_GATE), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP_MIX,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(EXP_GATE), "mlp.experts.gate_up_proj_blocks", QN_CUT_GATE_UP_MIX,
     QN_NAME_BARE},
    {R(EXP_UP), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP_MIX,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(EXP_UP), "mlp.experts.gate_up_proj_blocks", QN_CUT_GATE_UP_MIX,
     QN_NAME_BARE},
    {R(EXP_DOWN), "mlp.experts.down_proj", 0,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(EXP_DOWN), "mlp.experts.down_proj_blocks", 0, QN_NAME_BARE},
};
const qn_names qn_names_gpt_oss = {&qn_names_llama, NULL, TABLE(gpt_oss_rows)};

static const qn_name llama4_rows[] = {
    {R(GATE), "feed_forward.gate_proj", 0, 0},
    {R(UP), "feed_forward.up_proj", 0, 0},
    {R(DOWN), "feed_forward.down_proj", 0, 0},
    {R(ROUTER), "feed_forward.router", 0, 0},
    {R(EXP_GATE), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(EXP_UP), "feed_forward.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(EXP_DOWN), "feed_forward.experts.down_proj", 0,
     QN_NAME_BARE | QN_NAME_TRANSPOSED},
    {R(SHARED_GATE), "feed_forward.shared_expert.gate_proj", 0, 0},
    {R(SHARED_UP), "feed_forward.shared_expert.up_proj", 0, 0},
    {R(SHARED_DOWN), "feed_forward.shared_expert.down_proj", 0, 0},
};
const qn_names qn_names_llama4 = {&qn_names_llama, NULL, TABLE(llama4_rows)};

static const qn_name apertus_rows[] = {
    {R(ATTN_NORM), "attention_layernorm", 0, 0},
    {R(MLP_NORM), "feedforward_layernorm", 0, 0},
    {R(XIELU_P), "mlp.act_fn.alpha_p", 0, QN_NAME_BARE},
    {R(XIELU_N), "mlp.act_fn.alpha_n", 0, QN_NAME_BARE},
    {R(XIELU_BETA), "mlp.act_fn.beta", 0, QN_NAME_BARE},
    {R(XIELU_EPS), "mlp.act_fn.eps", 0, QN_NAME_BARE},
};
const qn_names qn_names_apertus = {&qn_names_llama, NULL, TABLE(apertus_rows)};

static const qn_name dbrx_rows[] = {
    {R(ATTN_NORM), "norm_attn_norm.norm_1", 0, 0},
    {R(Q), "norm_attn_norm.attn.Wqkv", QN_CUT_QKV, 0},
    {R(K), "norm_attn_norm.attn.Wqkv", QN_CUT_QKV, 0},
    {R(V), "norm_attn_norm.attn.Wqkv", QN_CUT_QKV, 0},
    {R(O), "norm_attn_norm.attn.out_proj", 0, 0},
    {R(MLP_NORM), "norm_attn_norm.norm_2", 0, 0},
    {R(ROUTER), "ffn.router.layer", 0, 0},
    {R(EXP_GATE), "ffn.experts.mlp.w1", 0, QN_NAME_BARE | QN_NAME_FLAT},
    {R(EXP_UP), "ffn.experts.mlp.v1", 0, QN_NAME_BARE | QN_NAME_FLAT},
    {R(EXP_DOWN), "ffn.experts.mlp.w2", 0,
     QN_NAME_BARE | QN_NAME_FLAT | QN_NAME_TRANSPOSED},
};
const qn_names qn_names_dbrx = {&qn_names_mpt, NULL, TABLE(dbrx_rows)};

static const qn_name phimoe_rows[] = {
    {R(ROUTER), "block_sparse_moe.gate", 0, 0},
    {R(ROUTER), "mlp.router", 0, 0},
};
const qn_names qn_names_phimoe = {&qn_names_mixtral, NULL, TABLE(phimoe_rows)};

static const qn_name xglm_rows[] = {
    {R(FINAL_NORM), "layer_norm", 0, 0},
};
const qn_names qn_names_xglm = {&qn_names_opt, NULL, TABLE(xglm_rows)};

/* DeepSeek's attention with its experts */
static const qn_name mla_rows[] = {
    {R(Q_A), "self_attn.q_a_proj", 0, 0},
    {R(Q_A_NORM), "self_attn.q_a_layernorm", 0, 0},
    {R(KV_A), "self_attn.kv_a_proj_with_mqa", 0, 0},
    {R(KV_A_NORM), "self_attn.kv_a_layernorm", 0, 0},
    {R(Q), "self_attn.q_proj", 0, 0},
    {R(Q), "self_attn.q_b_proj", 0, 0},
    {R(K), "self_attn.kv_b_proj", QN_CUT_KV_HEADS, 0},
    {R(V), "self_attn.kv_b_proj", QN_CUT_KV_HEADS, 0},
};
const qn_names qn_names_mla = {&qn_names_deepseek, NULL, TABLE(mla_rows)};

static const qn_name diffllama_rows[] = {
    {R(DIFF_Q1), "self_attn.lambda_q1", 0, QN_NAME_BARE},
    {R(DIFF_K1), "self_attn.lambda_k1", 0, QN_NAME_BARE},
    {R(DIFF_Q2), "self_attn.lambda_q2", 0, QN_NAME_BARE},
    {R(DIFF_K2), "self_attn.lambda_k2", 0, QN_NAME_BARE},
};
const qn_names qn_names_diffllama = {&qn_names_llama, NULL,
                                     TABLE(diffllama_rows)};

static const qn_name jetmoe_rows[] = {
    {R(K), "self_attention.kv_proj", QN_CUT_KV, 0},
    {R(V), "self_attention.kv_proj", QN_CUT_KV, 0},
    {R(ATTN_ROUTER), "self_attention.experts.router.layer", 0, 0},
    {R(EXP_Q), "self_attention.experts.input_linear", 0, 0},
    {R(EXP_O), "self_attention.experts.output_linear", 0, 0},
    {R(ATTN_MOE_BIAS), "self_attention.experts.bias", 0, QN_NAME_BARE},
    {R(ROUTER), "mlp.router.layer", 0, 0},
    {R(EXP_GATE), "mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_UP), "mlp.input_linear", QN_CUT_GATE_UP, 0},
    {R(EXP_DOWN), "mlp.output_linear", 0, 0},
    {R(MOE_BIAS), "mlp.bias", 0, QN_NAME_BARE},
};
const qn_names qn_names_jetmoe = {&qn_names_llama, NULL, TABLE(jetmoe_rows)};

/* Gemma 3n and 4: inputs of each layer */
static const qn_name gemma3n_rows[] = {
    {R(PLE_EMBED), "embed_tokens_per_layer", 0, 0},
    {R(PLE_PROJ), "per_layer_model_projection", 0, 0},
    {R(PLE_NORM), "per_layer_projection_norm", 0, 0},
    {R(PLE_GATE), "per_layer_input_gate", 0, 0},
    {R(PLE_OUT), "per_layer_projection", 0, 0},
    {R(PLE_POST_NORM), "post_per_layer_input_norm", 0, 0},
    {R(ALT_PROJ), "altup_projections.%d", 0, 0},
    {R(ALT_UNPROJ), "altup_unembed_projections.%d", 0, 0},
    {R(ALT_ROUTER), "altup.modality_router", 0, 0},
    {R(ALT_ROUTER_NORM), "altup.router_norm", 0, 0},
    {R(ALT_PREDICT), "altup.prediction_coefs", 0, 0},
    {R(ALT_CORRECT), "altup.correction_coefs", 0, 0},
    {R(ALT_SCALE), "altup.correct_output_scale", 0, QN_NAME_BARE},
    {R(LAUREL_LEFT), "laurel.linear_left", 0, 0},
    {R(LAUREL_RIGHT), "laurel.linear_right", 0, 0},
    {R(LAUREL_NORM), "laurel.post_laurel_norm", 0, 0},
};
const qn_names qn_names_gemma3n = {&qn_names_gemma2, NULL, TABLE(gemma3n_rows)};

static const qn_name gemma4_rows[] = {
    {R(LAYER_SCALE), "layer_scalar", 0, QN_NAME_BARE},
    {R(ROUTER), "router.proj", 0, 0},
    {R(ROUTER_NORM), "router.scale", 0, QN_NAME_BARE},
    {R(EXP_SCALE), "router.per_expert_scale", 0, QN_NAME_BARE},
    {R(EXP_GATE), "experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_UP), "experts.gate_up_proj", QN_CUT_GATE_UP, QN_NAME_BARE},
    {R(EXP_DOWN), "experts.down_proj", 0, QN_NAME_BARE},
    {R(MLP_OWN_NORM), "post_feedforward_layernorm_1", 0, 0},
    {R(EXP_NORM), "pre_feedforward_layernorm_2", 0, 0},
    {R(EXP_POST_NORM), "post_feedforward_layernorm_2", 0, 0},
};
const qn_names qn_names_gemma4 = {&qn_names_gemma3n, NULL, TABLE(gemma4_rows)};

/* ---- relatives --------------------------------------------------------- */

static const qn_name qwen3_vl_moe_rows[] = {
    {R(EXP_GATE), "mlp.experts.%d.gate_proj", 0, 0},
    {R(EXP_GATE), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE | QN_NAME_TRANSPOSED | QN_NAME_EITHER},
    {R(EXP_UP), "mlp.experts.%d.up_proj", 0, 0},
    {R(EXP_UP), "mlp.experts.gate_up_proj", QN_CUT_GATE_UP,
     QN_NAME_BARE | QN_NAME_TRANSPOSED | QN_NAME_EITHER},
    {R(EXP_DOWN), "mlp.experts.%d.down_proj", 0, 0},
    {R(EXP_DOWN), "mlp.experts.down_proj", 0,
     QN_NAME_BARE | QN_NAME_TRANSPOSED | QN_NAME_EITHER},
};
const qn_names qn_names_qwen3_vl_moe = {&qn_names_qwen_moe, NULL,
                                        TABLE(qwen3_vl_moe_rows)};

static const qn_name internlm2_rows[] = {
    {R(EMBED), "tok_embeddings", 0, 0},
    {R(HEAD), "output", 0, 0},
    {R(ATTN_NORM), "attention_norm", 0, 0},
    {R(Q), "attention.wqkv", QN_CUT_QKV_HEADS, 0},
    {R(K), "attention.wqkv", QN_CUT_QKV_HEADS, 0},
    {R(V), "attention.wqkv", QN_CUT_QKV_HEADS, 0},
    {R(O), "attention.wo", 0, 0},
    {R(MLP_NORM), "ffn_norm", 0, 0},
    {R(GATE), "feed_forward.w1", 0, 0},
    {R(UP), "feed_forward.w3", 0, 0},
    {R(DOWN), "feed_forward.w2", 0, 0},
};
const qn_names qn_names_internlm2 = {&qn_names_llama, NULL,
                                     TABLE(internlm2_rows)};

static const qn_name exaone_rows[] = {
    {R(EMBED), "wte", 0, 0},
    {R(FINAL_NORM), "ln_f", 0, 0},
    {R(ATTN_NORM), "ln_1", 0, 0},
    {R(Q), "attn.attention.q_proj", 0, 0},
    {R(K), "attn.attention.k_proj", 0, 0},
    {R(V), "attn.attention.v_proj", 0, 0},
    {R(O), "attn.attention.out_proj", 0, 0},
    {R(MLP_NORM), "ln_2", 0, 0},
    {R(GATE), "mlp.c_fc_0", 0, 0},
    {R(UP), "mlp.c_fc_1", 0, 0},
    {R(DOWN), "mlp.c_proj", 0, 0},
};
const qn_names qn_names_exaone = {&qn_names_llama, "h.%d.", TABLE(exaone_rows)};
