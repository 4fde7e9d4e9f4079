/* families_own.c - the rows of designs that are one of a kind. */
#include "model/families_int.h"

#define GEMMA_4_LIKE                                                          \
    RMS_ROPE, .norm_place = QN_NORM_SANDWICH, .gated = true,                  \
              .act = QN_ACT_GELU_TANH, .qk_norm = QN_QK_HEAD, .v_norm = true, \
              .tied = true

#define MLA_KEYS                                                             \
    "kv_lora_rank q_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim " \
    "num_local_experts num_experts_per_tok moe_intermediate_size "           \
    "n_shared_experts routed_scaling_factor n_group topk_group topk_method " \
    "first_k_dense_replace"

static const qn_family own_rows[] = {
    {.type = "gpt_oss",
     .keys = "attention_bias sliding_window layer_types num_local_experts "
             "num_experts_per_tok swiglu_limit",
     .ignores = "initial_context_length experts_per_token",
     .defaults = {SET(D_HEAD, 64), SET(N_KV, 8), SET(NORM_EPS, 1e-5),
                  SET(WINDOW, 128), SET(WINDOW_EVERY, 2), SET(ATTN_BIAS, 1),
                  SET(ROPE_THETA, 150000), SET(N_EXP, 128), SET(N_EXP_USED, 4),
                  SET(EXP_LIMIT, 7)},
     .slide = QN_SLIDE_EVERY,
     .rope_default = "{\"rope_type\": \"yarn\", \"factor\": 32.0, "
                     "\"beta_fast\": 32.0, \"beta_slow\": 1.0, "
                     "\"truncate\": false, "
                     "\"original_max_position_embeddings\": 4096}",
     .act_fixed = true,
     .names = &qn_names_gpt_oss,
     .gguf = &qn_names_gguf_post_attn,
     .hp = {RMS_ROPE, .gated = true, .act = QN_ACT_GELU_QUICK, .sinks = true,
            .route = QN_ROUTE_TOPK_SOFTMAX, .router_bias = true,
            .exp_bias = true, .exp_up_offset = 1}},

    {.type = "ministral3",
     .keys = "sliding_window",
     .defaults = {SET(N_KV, 8), SET(D_HEAD, 128), SET(NORM_EPS, 1e-5)},
     .slide = QN_SLIDE_ALL,
     .rope_default = "{\"rope_type\": \"yarn\", \"rope_theta\": 1000000.0, "
                     "\"factor\": 16.0, "
                     "\"original_max_position_embeddings\": 16384, "
                     "\"beta_fast\": 32.0, \"beta_slow\": 1.0, "
                     "\"mscale\": 1.0, \"mscale_all_dim\": 1.0, "
                     "\"llama_4_scaling_beta\": 0.1}",
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    {.type = "llama4_text",
     .keys = "attention_bias attention_chunk_size attn_temperature_tuning "
             "attn_scale floor_scale layer_types no_rope_layers "
             "no_rope_layer_interval qk_layernorm num_local_experts "
             "num_experts_per_tok moe_layers decoder_sparse_step "
             "intermediate_size_mlp",
     .ignores = "for_llm_compressor",
     .defaults = {SET(NO_ROPE_EVERY, 4), SET(N_KV, 8), SET(NORM_EPS, 1e-5),
                  SET(ROPE_THETA, 5e5), SET(CHUNK, 8192), SET(Q_TUNING, 1),
                  SET(QK_NORM, 1), SET(N_EXP, 16), SET(N_EXP_USED, 1),
                  SET(SPARSE_STEP, 1), SET(N_SHARED, 1), SET(D_HEAD, 128),
                  SET(D_FF_DENSE, 16384)},
     .slide = QN_SLIDE_ROTATED_CHUNK,
     .gguf_interleaved = true,
     .names = &qn_names_llama4,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}}, .qk_norm = QN_QK_HEAD,
            .qk_norm_last = true, .qk_norm_bare = true,
            .route = QN_ROUTE_SIGMOID, .exp_x_weighted = true}},

    {.type = "apertus",
     .keys = "attention_bias",
     .expects = "qk_norm=true",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .rope_default = "{\"rope_type\": \"llama3\", "
                     "\"rope_theta\": 12000000.0, \"factor\": 8.0, "
                     "\"original_max_position_embeddings\": 8192, "
                     "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0}",
     .names = &qn_names_apertus,
     .hp = {RMS_ROPE, .xielu = true, .qk_norm = QN_QK_HEAD}},

    {.type = "phimoe",
     .keys = "attention_bias lm_head_bias sliding_window num_local_experts "
             "num_experts_per_tok router_jitter_noise",
     .defaults = {SET(N_KV, 8), SET(NORM_EPS, 1e-5), SET(ROPE_THETA, 1e6),
                  SET(N_EXP, 16), SET(N_EXP_USED, 2), SET(ROUTE_JITTER, 0.01)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_phimoe,
     .hp = {GATED_LAYER_NORM, .norm_bias = true, .route = QN_ROUTE_SPARSEMIX}},

    {.type = "dbrx",
     .keys = "clip_qkv num_local_experts num_experts_per_tok "
             "ffn_config.moe_normalize_expert_weights",
     .nested = "attn_config ffn_config",
     .expects = "ffn_config.ffn_act_fn={\"name\":\"silu\"}",
     .ignores = "ffn_config.hidden_size ffn_config.model_type "
                "attn_config.model_type",
     .defaults = {SET(N_KV, 1), SET(N_EXP, 4), SET(N_EXP_USED, 1),
                  SET(ROUTE_NORM_P, 1)},
     .names = &qn_names_dbrx,
     .gguf = &qn_names_gguf_dbrx,
     .hp = {GATED_LAYER_NORM, .route = QN_ROUTE_SOFTMAX, .route_renorm = true,
            .renorm_p = 1}},

    {.type = "xglm",
     .keys = "mup_enabled pad_token_id",
     .ignores = "add_cross_attention",
     .defaults = {SET(EMBED_SQRT, 1), SET(PAD, 1), SET(N_CTX, 2048)},
     .names = &qn_names_xglm,
     .hp = {LAYER_NORM, .pos = QN_POS_SINUS, .pos_offset = 2,
            .act = QN_ACT_GELU, .tied = true}},

    /* DeepSeek-AI 2024. transformers does not sharpen V2's attention where
     * YaRN stretches it; V3's it does. */
    {.type = "deepseek_v2",
     .keys = "attention_bias mlp_bias " MLA_KEYS,
     .expects = "scoring_func=\"softmax\" moe_layer_freq=1 "
                "norm_topk_prob=false",
     .ignores = "qk_head_dim head_dim ep_size",
     .defaults = {SET(N_EXP, 64), SET(N_EXP_USED, 6), SET(N_SHARED, 2),
                  SET(D_FF_EXP, 1407), SET(KV_RANK, 512), SET(Q_RANK, 1536),
                  SET(D_NOPE, 128), SET(D_ROPE, 64), SET(D_V, 128)},
     .names = &qn_names_mla,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .mla = {.norm_eps = 1e-6f}, .route = QN_ROUTE_SOFTMAX,
            .group_max = true}},

    {.type = "deepseek_v3",
     .keys = "attention_bias norm_topk_prob rope_interleave " MLA_KEYS,
     .expects = "scoring_func=\"sigmoid\" moe_layer_freq=1",
     .ignores = "qk_head_dim head_dim num_nextn_predict_layers ep_size",
     .defaults = {SET(N_EXP, 256), SET(N_EXP_USED, 8), SET(N_SHARED, 1),
                  SET(D_FF_EXP, 2048), SET(KV_RANK, 512), SET(Q_RANK, 1536),
                  SET(D_NOPE, 128), SET(D_ROPE, 64), SET(D_V, 128),
                  SET(N_GROUP, 8), SET(K_GROUP, 4), SET(DENSE_FIRST, 3),
                  SET(ROUTE_SCALE, 2.5)},
     .names = &qn_names_mla,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .mla = {.norm_eps = 1e-6f}, SIGMOID_ROUTER}},

    {.type = "glm4_moe_lite",
     .keys =
         "attention_bias norm_topk_prob rope_interleave mlp_layer_types " MLA_KEYS,
     .expects = "scoring_func=\"sigmoid\" moe_layer_freq=1",
     .ignores = "qk_head_dim head_dim num_nextn_predict_layers",
     .defaults = {SET(NORM_EPS, 1e-5), SET(N_EXP, 64), SET(N_EXP_USED, 4),
                  SET(N_SHARED, 1), SET(D_FF_EXP, 1536), SET(KV_RANK, 512),
                  SET(Q_RANK, 768), SET(D_NOPE, 192), SET(D_ROPE, 64),
                  SET(D_V, 256), SET(DENSE_FIRST, 1), SET(ROUTE_SCALE, 1.8)},
     .names = &qn_names_mla,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .mla = {.norm_eps = 1e-6f}, SIGMOID_ROUTER}},

    /* Tencent: DeepSeek V3's attention without experts */
    {.type = "youtu",
     .keys = "attention_bias kv_lora_rank q_lora_rank qk_nope_head_dim "
             "qk_rope_head_dim v_head_dim rope_interleave",
     .ignores = "qk_head_dim head_dim embedding_initializer_range",
     .defaults = {SET(KV_RANK, 512), SET(Q_RANK, 1536), SET(D_NOPE, 128),
                  SET(D_ROPE, 64), SET(D_V, 128), SET(TIED, 1)},
     .names = &qn_names_mla,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .mla = {.norm_eps = 1e-6f}}},

    {.type = "diffllama",
     .keys = "attention_bias",
     .ignores = "lambda_std_dev",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .names = &qn_names_diffllama,
     .hp = {LLAMA_LIKE, .diff = true}},

    {.type = "jetmoe",
     .keys = "num_local_experts num_experts_per_tok",
     .defaults = {SET(N_KV, 16), SET(D_HEAD, 128), SET(N_EXP, 8),
                  SET(N_EXP_USED, 2), SET(N_HEAD, 32), SET(TIED, 1)},
     .names = &qn_names_jetmoe,
     .hp = {LLAMA_LIKE, .layer_norm_eps = 1e-6f, .attn_experts = true,
            .route = QN_ROUTE_TOPK_SOFTMAX, .moe_bias = true}},

    /* ---- Gemma 3n and 4 ---- */

    /* altup_coef_clip: the weights never come near it */
    {.type = "gemma3n_text",
     .keys = "attention_bias final_logit_softcapping sliding_window "
             "layer_types rope_local_base_freq hidden_size_per_layer_input "
             "vocab_size_per_layer_input altup_num_inputs altup_active_idx "
             "altup_correct_scale laurel_rank num_kv_shared_layers "
             "activation_sparsity_pattern",
     .ignores = "altup_coef_clip altup_lr_multiplier query_pre_attn_scalar",
     .defaults =
         {SET(VOCAB, 262400),   SET(PLE_VOCAB, 262144), SET(D_MODEL, 2048),
          SET(D_PLE, 256),      SET(D_FF, 16384),       SET(N_LAYER, 35),
          SET(N_HEAD, 8),       SET(N_KV, 2),           SET(D_HEAD, 256),
          SET(N_CTX, 32768),    SET(WINDOW, 512),       SET(WINDOW_EVERY, 5),
          SET(ROPE_THETA, 1e6), SET(ROPE_LOCAL, 1e4),   SET(LOGIT_SOFTCAP, 30),
          SET(ATTN_SCALE, 1),   SET(N_ALT, 4),          SET(ALT_SCALE, 1),
          SET(LAUREL, 64),      SET(N_KV_SHARED, 15)},
     .slide = QN_SLIDE_EVERY,
     .embed_sqrt = true,
     .names = &qn_names_gemma3n,
     .hp = {GEMMA_4_LIKE}},

    {.type = "gemma4_text",
     .keys = "attention_bias final_logit_softcapping sliding_window "
             "layer_types hidden_size_per_layer_input "
             "vocab_size_per_layer_input num_kv_shared_layers "
             "global_head_dim num_global_key_value_heads per_layer_config "
             "attention_k_eq_v use_double_wide_mlp enable_moe_block "
             "num_local_experts num_experts_per_tok moe_intermediate_size",
     .expects = "use_bidirectional_attention=\"vision\"",
     .defaults = {SET(VOCAB, 262144), SET(PLE_VOCAB, 262144),
                  SET(D_MODEL, 2304), SET(D_PLE, 256), SET(D_FF, 9216),
                  SET(N_LAYER, 30), SET(N_HEAD, 8), SET(N_KV, 4),
                  SET(D_HEAD, 256), SET(N_CTX, 131072), SET(WINDOW, 512),
                  SET(WINDOW_EVERY, 6), SET(ATTN_SCALE, 1),
                  SET(D_HEAD_FULL, 512), SET(MOE_ON, 0)},
     .rope_default = "{\"sliding_attention\": {\"rope_theta\": 10000.0}, "
                     "\"full_attention\": {\"rope_type\": \"proportional\", "
                     "\"partial_rotary_factor\": 0.25, "
                     "\"rope_theta\": 1000000.0}}",
     .slide = QN_SLIDE_EVERY,
     .last_full = true,
     .embed_sqrt = true,
     .names = &qn_names_gemma4,
     .hp = {GEMMA_4_LIKE, .layer_scale = true, .moe_beside = true,
            .route = QN_ROUTE_SOFTMAX, .route_renorm = true}},
};

const qn_family_list qn_families_own = {own_rows, QN_COUNTOF(own_rows)};
