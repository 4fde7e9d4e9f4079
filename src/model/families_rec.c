/* families_rec.c - the rows of networks with a state. */
#include "model/families_int.h"

/* Keys that only say how a selective state space was initialized or how it is
 * cut into chunks. */
#define MAMBA_IGNORES                                          \
    "chunk_size mamba_chunk_size time_step_min time_step_max " \
    "time_step_floor time_step_scale time_step_init_scheme "   \
    "rescale_prenorm_residual residual_in_fp32 use_mambapy "   \
    "use_associative_scan use_mamba_kernels mamba_ssm_cache_dtype "

#define MAMBA_KEYS                                                       \
    "mamba_d_state mamba_d_ssm mamba_d_conv mamba_expand mamba_dt_rank " \
    "use_bias mamba_conv_bias "

/* Their length has no end; a round number stands for it. */
#define MAMBA_SET                                              \
    SET(N_CTX, 1 << 20), SET(REC_STATE, 16), SET(REC_TAPS, 4), \
        SET(REC_EXPAND, 2), SET(REC_CONV_BIAS, 1)

/* Layers of a state alone. */
#define MAMBA_LIKE                                        \
    .kind = QN_LAYER_REC, .no_attn = true, .no_ff = true, \
    .names = &qn_names_mamba

#define MAMBA_HP .rms = true, .final_norm = true, .norm_eps = 1e-5f

#define LFM2_IGNORES                                                   \
    "block_mlp_init_scale block_out_init_scale block_use_xavier_init " \
    "conv_use_xavier_init conv_dim conv_dim_out block_dim "            \
    "block_norm_eps num_heads"

#define LFM2_LIKE \
    LLAMA_LIKE, .tied = true, .qk_norm = QN_QK_HEAD, .rec = {QN_REC_CONV}

#define QWEN_NEXT_KEYS                                                  \
    "attention_bias layer_types full_attention_interval mamba_d_state " \
    "mamba_d_conv mamba_d_ssm mamba_n_heads mamba_d_head mamba_n_groups "

#define QWEN_NEXT_SET                                              \
    SET(N_CTX, 32768), SET(ROPE_PARTIAL, 0.25), SET(D_HEAD, 256),  \
        SET(ATTN_EVERY, 4), SET(REC_TAPS, 4), SET(REC_STATE, 128), \
        SET(REC_D_HEAD, 128), SET(REC_GROUPS, 16), SET(REC_HEADS, 32)

#define QWEN_NEXT_LIKE                                                 \
    LLAMA_LIKE, .norm_plus_one = true, .qk_norm = QN_QK_HEAD,          \
                .attn_gate = true, .gate_in_q = true,                  \
                .rec = {QN_REC_DELTA, .norm = QN_REC_NORM_BEFORE_GATE, \
                        .norm_shared = true}

static const qn_family rec_rows[] = {
    /* Gu and Dao 2023 */
    {.type = "mamba",
     .keys = MAMBA_KEYS,
     .expects = "rms_norm=true",
     .ignores = MAMBA_IGNORES "d_inner fused_add_norm pad_vocab_size_multiple",
     .defaults = {MAMBA_SET},
     MAMBA_LIKE,
     .hp = {MAMBA_HP, .tied = true, .rec = {QN_REC_MAMBA}}},

    /* Zuo et al. 2024: time steps, B and C are normalized, without weights */
    {.type = "falcon_mamba",
     .keys = MAMBA_KEYS "mixer_rms_eps",
     .ignores = "rescale_prenorm_residual residual_in_fp32 time_step_* "
                "use_*mambapy use_associative_scan",
     .defaults = {MAMBA_SET, SET(REC_INNER_EPS, 1e-6)},
     MAMBA_LIKE,
     .hp = {MAMBA_HP, .tied = true,
            .rec = {QN_REC_MAMBA, .inner_norms = true, .inner_bare = true}}},

    /* Dao and Gu 2024 */
    {.type = "mamba2",
     .keys =
         "mamba_d_state mamba_d_ssm mamba_d_conv mamba_expand mamba_n_groups use_bias "
         "mamba_conv_bias time_step_limit",
     .ignores = MAMBA_IGNORES "time_step_rank rms_norm norm_before_gate",
     .defaults = {SET(N_CTX, 1 << 20), SET(REC_STATE, 128), SET(REC_TAPS, 4),
                  SET(REC_EXPAND, 2), SET(REC_GROUPS, 8), SET(N_HEAD, 128),
                  SET(D_HEAD, 64), SET(REC_CONV_BIAS, 1)},
     MAMBA_LIKE,
     .hp = {MAMBA_HP, .rec = {QN_REC_MAMBA2, .norm = QN_REC_NORM_AFTER_GATE,
                              .norm_groups = 1}}},

    /* Lieber et al. 2024 */
    {.type = "jamba",
     .keys =
         "mamba_d_state mamba_d_ssm mamba_d_conv mamba_expand mamba_dt_rank "
         "use_bias full_attn_idxs mlp_only_layers "
         "mamba_conv_bias full_attention_interval attn_layer_offset "
         "expert_layer_period expert_layer_offset num_local_experts "
         "num_experts_per_tok layer_types",
     .ignores = MAMBA_IGNORES,
     .defaults = {SET(N_CTX, 262144), SET(N_KV, 8), SET(REC_STATE, 16),
                  SET(REC_TAPS, 4), SET(REC_EXPAND, 2), SET(REC_CONV_BIAS, 1),
                  SET(ATTN_EVERY, 8), SET(ATTN_OFFSET, 4), SET(MOE_PERIOD, 2),
                  SET(MOE_OFFSET, 1), SET(N_EXP, 16), SET(N_EXP_USED, 2)},
     .names = &qn_names_jamba,
     .hp = {.rms = true,
            .final_norm = true,
            .norm_eps = 1e-6f,
            .gated = true,
            .act = QN_ACT_SILU,
            .route = QN_ROUTE_SOFTMAX,
            .rec = {QN_REC_MAMBA, .inner_norms = true}}},

    /* attention and Mamba 2 side by side in every layer */
    {.type = "falcon_h1",
     .keys = "attention_bias mlp_bias mamba_d_state mamba_d_conv mamba_expand "
             "mamba_d_ssm mamba_n_heads mamba_d_head mamba_n_groups use_bias "
             "projectors_bias mamba_conv_bias mamba_rms_norm "
             "mamba_norm_before_gate time_step_limit key_multiplier "
             "attention_in_multiplier attention_out_multiplier "
             "ssm_in_multiplier ssm_out_multiplier ssm_multipliers "
             "mlp_multipliers embedding_multiplier logit_scale",
     .ignores = MAMBA_IGNORES "mamba_use_mlp mlp_expansion_factor",
     .defaults = {SET(N_CTX, 8192), SET(N_KV, 8), SET(REC_D_INNER, 1024),
                  SET(REC_HEADS, 128), SET(REC_STATE, 256), SET(REC_TAPS, 4),
                  SET(REC_EXPAND, 2), SET(REC_CONV_BIAS, 1),
                  SET(REC_OUT_BIAS, 0), SET(REC_NORM, 0),
                  SET(REC_NORM_FIRST, 1)},
     .kind = QN_LAYER_BOTH,
     .names = &qn_names_jamba,
     .hp = {LLAMA_LIKE, .rec = {QN_REC_MAMBA2}}},

    {.type = "granitemoehybrid",
     .keys =
         "attention_bias mamba_d_ssm full_attn_idxs attention_multiplier embedding_multiplier "
         "residual_multiplier logits_scaling num_local_experts "
         "num_experts_per_tok shared_expert_intermediate_size "
         "position_embedding_type layer_types mamba_d_state mamba_d_conv "
         "mamba_expand mamba_n_heads mamba_d_head mamba_n_groups use_bias "
         "mamba_conv_bias time_step_limit",
     .ignores = MAMBA_IGNORES "init_method normalization_function",
     .defaults = {SET(ATTN_SCALE, 1), SET(N_EXP, 8), SET(N_EXP_USED, 2),
                  SET(D_FF_SHARED, 1024), SET(REC_STATE, 256), SET(REC_TAPS, 4),
                  SET(REC_EXPAND, 2), SET(REC_HEADS, 128),
                  SET(REC_CONV_BIAS, 1)},
     .kind = QN_LAYER_REC,
     .pos_named = true,
     .gguf_interleaved = true,
     .names = &qn_names_granite_hybrid,
     .hp = {LLAMA_LIKE, .route = QN_ROUTE_TOPK_SOFTMAX,
            .rec = {QN_REC_MAMBA2, .norm = QN_REC_NORM_AFTER_GATE,
                    .norm_groups = 1}}},

    /* Every layer is one block. */
    {.type = "nemotron_h",
     .keys =
         "attention_bias mamba_d_ssm mlp_bias layer_types hybrid_override_pattern "
         "mamba_d_state mamba_d_conv mamba_expand mamba_n_heads "
         "mamba_d_head mamba_n_groups use_bias mamba_conv_bias "
         "mamba_hidden_act time_step_limit time_step_min num_local_experts "
         "num_experts_per_tok moe_intermediate_size "
         "shared_expert_intermediate_size norm_topk_prob n_group "
         "topk_group routed_scaling_factor",
     .ignores = MAMBA_IGNORES "n_shared_experts moe_shared_expert_overlap "
                              "mtp_* num_nextn_predict_layers time_step_rank",
     .defaults = {SET(N_CTX, 4096), SET(N_KV, 8), SET(D_HEAD, 128),
                  SET(D_FF, 21504), SET(REC_STATE, 128), SET(REC_TAPS, 4),
                  SET(REC_HEADS, 128), SET(REC_D_HEAD, 64), SET(REC_GROUPS, 8),
                  SET(REC_CONV_BIAS, 1), SET(REC_DT_FLOOR, 0.001),
                  SET(N_EXP, 8), SET(N_EXP_USED, 2), SET(D_FF_EXP, 7688),
                  SET(D_FF_SHARED, 7688), SET(ROUTE_RENORM, 1)},
     .one_block = true,
     .names = &qn_names_nemotron_h,
     .gguf = &qn_names_gguf_one_block,
     .hp = {.rms = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .act = QN_ACT_RELU2,
            SIGMOID_ROUTER,
            .rec = {QN_REC_MAMBA2, .norm = QN_REC_NORM_AFTER_GATE}}},

    /* Liquid's short convolutions */
    {.type = "lfm2",
     .keys = "layer_types full_attn_idxs mamba_d_conv use_bias "
             "block_auto_adjust_ff_dim block_ffn_dim_multiplier "
             "block_multiple_of",
     .expects = "block_use_swiglu=true use_pos_enc=true",
     .ignores = LFM2_IGNORES,
     .defaults = {SET(N_CTX, 128000), SET(N_KV, 8), SET(ROPE_THETA, 1e6),
                  SET(REC_TAPS, 3), SET(FF_ADJUST, 1)},
     .act_fixed = true,
     .names = &qn_names_lfm2,
     .hp = {LFM2_LIKE}},

    {.type = "lfm2_moe",
     .keys = "layer_types full_attn_idxs mamba_d_conv use_bias "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "first_k_dense_replace norm_topk_prob routed_scaling_factor "
             "use_expert_bias",
     .expects = "block_use_swiglu=true use_pos_enc=true",
     .ignores = LFM2_IGNORES,
     .defaults = {SET(N_CTX, 128000), SET(N_KV, 8), SET(ROPE_THETA, 1e6),
                  SET(REC_TAPS, 3), SET(N_EXP, 32), SET(N_EXP_USED, 4),
                  SET(D_FF_EXP, 1792), SET(DENSE_FIRST, 2),
                  SET(ROUTE_BIASED, 1), SET(ROUTE_RENORM, 1)},
     .names = &qn_names_lfm2,
     .hp = {LFM2_LIKE, SIGMOID_ROUTER}},

    /* Gated delta rule in three layers of four */
    {.type = "qwen3_next",
     .keys = QWEN_NEXT_KEYS
     "num_local_experts num_experts_per_tok moe_intermediate_size "
     "shared_expert_intermediate_size norm_topk_prob decoder_sparse_step "
     "mlp_only_layers",
     .expects = "attn_output_gate=true",
     .ignores = "max_window_layers",
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 2), SET(N_EXP, 512),
                  SET(N_EXP_USED, 10), SET(D_FF_EXP, 512),
                  SET(D_FF_SHARED, 512), SET(ROUTE_RENORM, 1)},
     .names = &qn_names_qwen_next,
     .gguf = &qn_names_gguf_delta,
     .hp = {QWEN_NEXT_LIKE, .shared_gated = true}},

    {.type = "qwen3_5_text",
     .keys = QWEN_NEXT_KEYS,
     .expects = "attn_output_gate=true",
     .ignores = "mamba_ssm_dtype mtp_*",
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 4)},
     .gguf_by_turns = true,
     .names = &qn_names_qwen_next,
     .gguf = &qn_names_gguf_delta,
     .hp = {QWEN_NEXT_LIKE}},

    {.type = "qwen3_5_moe_text",
     .keys = QWEN_NEXT_KEYS
     "num_local_experts num_experts_per_tok moe_intermediate_size "
     "shared_expert_intermediate_size",
     .expects = "attn_output_gate=true",
     .ignores = "mamba_ssm_dtype mtp_* norm_topk_prob",
     /* all layers have experts: nothing is as wide as D_FF */
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 2), SET(N_EXP, 256), SET(D_FF, 512),
                  SET(N_EXP_USED, 8), SET(D_FF_EXP, 512), SET(D_FF_SHARED, 512),
                  SET(ROUTE_RENORM, 1)},
     .gguf_by_turns = true,
     .names = &qn_names_qwen_next,
     .gguf = &qn_names_gguf_delta,
     .hp = {QWEN_NEXT_LIKE, .shared_gated = true}},
};

const qn_family_list qn_families_rec = {rec_rows, QN_COUNTOF(rec_rows)};
