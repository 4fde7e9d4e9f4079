/* families_moe.c - the rows of mixtures of experts that need no mathematics
 * of their own. */
#include "model/families_int.h"

static const qn_family moe_rows[] = {
    {.type = "dots1",
     .keys = "attention_bias sliding_window max_window_layers layer_types "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "n_shared_experts routed_scaling_factor n_group topk_group "
             "norm_topk_prob first_k_dense_replace",
     .expects = "scoring_func=\"sigmoid\" scoring_func=\"noaux_tc\" "
                "topk_method=\"noaux_tc\" moe_layer_freq=1",
     .ignores = "use_sliding_window", /* not asked by its reference */
     .defaults = {SET(WINDOW_FROM, 62), SET(USE_WINDOW, 1)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_deepseek,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .qk_norm = QN_QK_HEAD}},

    {.type = "glm4_moe",
     .keys = "attention_bias qk_layernorm num_local_experts "
             "num_experts_per_tok moe_intermediate_size n_shared_experts "
             "routed_scaling_factor n_group topk_group norm_topk_prob "
             "first_k_dense_replace",
     .ignores = "num_nextn_predict_layers",
     .defaults = {SET(ROPE_PARTIAL, 0.5), SET(N_KV, 8), SET(NORM_EPS, 1e-5),
                  SET(QK_NORM, 0), SET(N_EXP, 128), SET(N_EXP_USED, 8),
                  SET(D_FF_EXP, 1408), SET(N_SHARED, 1), SET(DENSE_FIRST, 1),
                  SET(ROUTE_RENORM, 1)},
     .o_unbiased = true,
     .names = &qn_names_deepseek,
     .gguf = &qn_names_gguf_post_attn,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .qk_norm = QN_QK_HEAD}},

    /* Upstage's Solar Open: the same experts in all layers, Llama's attention */
    {.type = "solar_open",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "moe_intermediate_size n_shared_experts routed_scaling_factor "
             "n_group topk_group norm_topk_prob",
     .expects = "first_k_dense_replace=0",
     .defaults = {SET(N_KV, 8), SET(D_HEAD, 128), SET(NORM_EPS, 1e-5),
                  SET(ROPE_THETA, 1e6), SET(N_EXP, 128), SET(N_EXP_USED, 8),
                  SET(D_FF, 1280), SET(D_FF_EXP, 1280), SET(N_SHARED, 1),
                  SET(ROUTE_RENORM, 1)},
     .o_unbiased = true,
     .names = &qn_names_deepseek,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER}},

    /* JetBrains' second: Qwen3's experts, two kinds of layers and rotations */
    {.type = "mellum",
     .keys = "attention_bias sliding_window layer_types num_local_experts "
             "num_experts_per_tok moe_intermediate_size norm_topk_prob "
             "mlp_layer_types",
     .defaults = {SET(D_HEAD, 128), SET(WINDOW, 1024), SET(N_EXP, 64),
                  SET(N_EXP_USED, 8), SET(D_FF_EXP, 896), SET(ROUTE_RENORM, 1)},
     .rope_default = "{\"full_attention\": {\"rope_theta\": 500000.0}, "
                     "\"sliding_attention\": {\"rope_theta\": 10000.0}}",
     .names = &qn_names_qwen_moe,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD}},

    {.type = "ernie4_5_moe",
     .keys = "num_local_experts num_experts_per_tok moe_intermediate_size "
             "n_shared_experts first_k_dense_replace moe_layer_end_index "
             "decoder_sparse_step",
     .expects = "use_bias=false moe_norm_min=1e-12 moe_gate=\"topk\" "
                "moe_gate=\"top2_fused\" moe_use_aux_free=true",
     .ignores = "num_nextn_predict_layers moe_capacity "
                "compression_ratio fuse_* multi_token_pred_*",
     .defaults = {SET(NORM_EPS, 1e-5), SET(ROPE_THETA, 5e5), SET(N_EXP, 64),
                  SET(N_EXP_USED, 6), SET(D_FF_EXP, 1536), SET(N_SHARED, 2),
                  SET(DENSE_FIRST, 1), SET(SPARSE_STEP, 1), SET(TIED, 1)},
     .names = &qn_names_ernie_moe,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .route = QN_ROUTE_SOFTMAX, .route_renorm = true,
            .route_bias = true}},

    {.type = "exaone_moe",
     .keys = "sliding_window sliding_window_pattern layer_types "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "n_shared_experts routed_scaling_factor n_group topk_group "
             "norm_topk_prob first_k_dense_replace mlp_layer_types",
     .expects = "scoring_func=\"sigmoid\" topk_method=\"noaux_tc\"",
     .ignores = "num_nextn_predict_layers mtp_*",
     .defaults = {SET(NORM_EPS, 1e-5), SET(WINDOW, 4096), SET(WINDOW_EVERY, 4),
                  SET(N_EXP, 64), SET(N_EXP_USED, 8), SET(D_FF_EXP, 1024),
                  SET(N_SHARED, 1), SET(DENSE_FIRST, 1), SET(ROUTE_SCALE, 2.5),
                  SET(ROUTE_RENORM, 1)},
     .slide = QN_SLIDE_EVERY,
     .nope_full = true,
     .names = &qn_names_deepseek,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .qk_norm = QN_QK_HEAD}},

    {.type = "flex_olmo",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "norm_topk_prob",
     .defaults = {SET(ROPE_THETA, 5e5), SET(N_EXP, 7), SET(N_EXP_USED, 5)},
     .names = &qn_names_flex_olmo,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_POST_BRANCH,
            .qk_norm = QN_QK_ROW}},

    {.type = "minimax_m2",
     .keys = "num_local_experts num_experts_per_tok",
     .expects = "scoring_func=\"sigmoid\" use_routing_bias=true "
                "qk_norm_type=\"per_layer\" shared_intermediate_size=0",
     .ignores = "rotary_dim use_mtp num_mtp_modules mtp_* layernorm_* "
                "use_qk_norm mlp_intermediate_size",
     .defaults = {SET(N_KV, 8), SET(D_HEAD, 128), SET(ROPE_THETA, 5e6),
                  SET(N_EXP, 256), SET(N_EXP_USED, 8)},
     .names = &qn_names_minimax,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .qk_norm = QN_QK_ROW}},

    {.type = "hunyuan_v1_moe",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "n_shared_experts",
     .expects = HUNYUAN_EXPECTS,
     .ignores = HUNYUAN_IGNORES,
     .defaults = {SET(NORM_EPS, 1e-5), SET(N_EXP, 1), SET(N_EXP_USED, 1),
                  SET(N_SHARED, 1)},
     .names = &qn_names_hunyuan_moe,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD, .qk_norm_last = true,
            .route = QN_ROUTE_SOFTMAX, .route_renorm = true}},

    /* Arcee's Trinity */
    {.type = "afmoe",
     .keys = "attention_bias sliding_window sliding_window_pattern layer_types "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "n_shared_experts routed_scaling_factor first_k_dense_replace "
             "mup_enabled",
     .expects = "score_func=\"sigmoid\" route_norm=true",
     .ignores = "n_group topk_group num_expert_groups num_limited_groups "
                "load_balance_coeff use_grouped_mm",
     .defaults = {SET(NORM_EPS, 1e-5), SET(D_HEAD, 128), SET(WINDOW, 1024),
                  SET(WINDOW_EVERY, 4), SET(N_EXP, 64), SET(N_EXP_USED, 6),
                  SET(D_FF_EXP, 1408), SET(N_SHARED, 2), SET(DENSE_FIRST, 1)},
     .slide = QN_SLIDE_EVERY,
     .nope_full = true,
     .names = &qn_names_afmoe,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .norm_place = QN_NORM_SANDWICH,
            .qk_norm = QN_QK_HEAD, .attn_gate = true}},

    {.type = "bitnet",
     .keys = "attention_bias",
     .defaults = {SET(NORM_EPS, 1e-5), SET(ROPE_THETA, 5e5)},
     .names = &qn_names_bitnet,
     .hp = {RMS_ROPE, .gated = true, .act = QN_ACT_RELU2, .sub_norm = true}},
};

const qn_family_list qn_families_moe = {moe_rows, QN_COUNTOF(moe_rows)};
