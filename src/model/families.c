/* families.c - the rows.
 *
 * The constants and defaults are those of the configuration and modeling
 * files of transformers (4.57 and 5.x), re-typed; each row's mathematics is
 * held to the reference's logits by tests/model/test_goldens.c.
 *
 * What stays zero is off: no bias, sequential residual, layer norm, plain
 * feed-forward, no rotation. */
#include "model/families.h"

#include "base/compiler.h"
#include "model/names.h"

#include <string.h>

#define SET(k, n)         \
    {                     \
        true, QN_K_##k, n \
    }

/* The core of the Llama lineage, which most rows start from. */
#define RMS_ROPE \
    .rms = true, .final_norm = true, .norm_eps = 1e-6f, .pos = QN_POS_ROPE

#define LLAMA_LIKE RMS_ROPE, .gated = true, .act = QN_ACT_SILU

#define GEMMA_LIKE                                                             \
    .rms = true, .norm_plus_one = true, .final_norm = true, .norm_eps = 1e-6f, \
    .pos = QN_POS_ROPE, .gated = true, .act = QN_ACT_GELU_TANH, .tied = true

#define GEMMA_4_LIKE                                                          \
    RMS_ROPE, .norm_place = QN_NORM_SANDWICH, .gated = true,                  \
              .act = QN_ACT_GELU_TANH, .qk_norm = QN_QK_HEAD, .v_norm = true, \
              .tied = true

#define LAYER_NORM                                            \
    .norm_bias = true, .final_norm = true, .norm_eps = 1e-5f, \
    .qkv_bias = true, .o_bias = true, .mlp_bias = true

/* Layer norm without bias, interleaved rotation, parallel with one norm. */
#define COHERE_LIKE                                                     \
    .final_norm = true, .norm_eps = 1e-5f, .pos = QN_POS_ROPE,          \
    .rope = {{.interleaved = true}}, .gated = true, .act = QN_ACT_SILU, \
    .parallel = true, .shared_norm = true, .tied = true

/* Llama's feed-forward and rotation behind layer norms. */
#define GATED_LAYER_NORM                                                      \
    .final_norm = true, .norm_eps = 1e-5f, .pos = QN_POS_ROPE, .gated = true, \
    .act = QN_ACT_SILU

/* GPT-NeoX's ends, biases in the feed-forward alone. */
#define GPTJ_LIKE                                                          \
    .norm_bias = true, .final_norm = true, .norm_eps = 1e-5f,              \
    .mlp_bias = true, .pos = QN_POS_ROPE, .rope = {{.interleaved = true}}, \
    .act = QN_ACT_GELU_TANH, .parallel = true, .shared_norm = true,        \
    .head_bias = true

/* DeepSeek V3's router and those after it */
#define SIGMOID_ROUTER \
    .route = QN_ROUTE_SIGMOID, .route_bias = true, .route_renorm = true

/* Keys that only say how a selective state space was initialized or how it is
 * cut into chunks. */
#define MAMBA_IGNORES                                          \
    "chunk_size mamba_chunk_size time_step_min time_step_max " \
    "time_step_floor time_step_scale time_step_init_scheme "   \
    "rescale_prenorm_residual residual_in_fp32 use_mambapy "   \
    "use_associative_scan use_mamba_kernels mamba_ssm_cache_dtype "

#define LFM2_IGNORES                                                     \
    "block_*init* conv_use_xavier_init conv_dim conv_dim_out block_dim " \
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

#define MLA_KEYS                                                             \
    "kv_lora_rank q_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim " \
    "num_local_experts num_experts_per_tok moe_intermediate_size "           \
    "n_shared_experts routed_scaling_factor n_group topk_group topk_method " \
    "first_k_dense_replace"

static const qn_family families[] = {
    /* Zhang et al. 2022. opt-350m is post-norm with projected embeddings. */
    {.type = "opt",
     .keys = "enable_bias do_layer_norm_before _remove_final_layer_norm "
             "layer_norm_elementwise_affine word_embed_proj_dim",
     .names = &qn_names_opt,
     .hp = {LAYER_NORM, .pos = QN_POS_LEARNED, .pos_offset = 2,
            .act = QN_ACT_RELU, .tied = true}},

    /* Radford et al. 2019 */
    {.type = "gpt2",
     .keys = "scale_attn_weights scale_attn_by_inverse_layer_idx",
     .names = &qn_names_gpt2,
     .hp = {LAYER_NORM, .pos = QN_POS_LEARNED, .act = QN_ACT_GELU_TANH,
            .tied = true}},

    /* Black et al. 2022 (GPT-NeoX-20B, Pythia) */
    {.type = "gpt_neox",
     .keys = "attention_bias use_parallel_residual",
     .defaults = {SET(ROPE_PARTIAL, 0.25)},
     .names = &qn_names_gpt_neox,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU,
            .parallel = true}},

    {.type = "llama",
     .keys = "attention_bias mlp_bias",
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    {.type = "mistral",
     .keys = "sliding_window",
     .defaults = {SET(N_KV, 8), SET(WINDOW, 4096)},
     .slide = QN_SLIDE_ALL,
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    {.type = "mixtral",
     .keys = "sliding_window num_local_experts num_experts_per_tok",
     .defaults = {SET(N_KV, 8), SET(ROPE_THETA, 1e6), SET(N_EXP, 8),
                  SET(N_EXP_USED, 2), SET(NORM_EPS, 1e-5)},
     .slide = QN_SLIDE_ALL,
     .gguf_interleaved = true,
     .names = &qn_names_mixtral,
     .hp = {LLAMA_LIKE, .route = QN_ROUTE_SOFTMAX, .route_renorm = true}},

    {.type = "qwen2",
     .keys = "sliding_window use_sliding_window max_window_layers layer_types",
     .defaults = {SET(WINDOW, 4096), SET(WINDOW_FROM, 28)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .qkv_bias = true}},

    {.type = "qwen3",
     .keys = "attention_bias sliding_window use_sliding_window "
             "max_window_layers layer_types",
     .defaults = {SET(D_HEAD, 128), SET(WINDOW, 4096), SET(WINDOW_FROM, 28)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD}},

    {.type = "gemma",
     .keys = "attention_bias",
     .defaults = {SET(N_KV, 16), SET(D_HEAD, 256)},
     .embed_sqrt = true,
     .gelu_is_tanh = true,
     .names = &qn_names_llama,
     .hp = {GEMMA_LIKE}},

    {.type = "gemma2",
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping sliding_window layer_types "
             "sliding_window_pattern",
     .defaults = {SET(N_KV, 4), SET(D_HEAD, 256), SET(ATTN_SCALAR, 256),
                  SET(ATTN_SOFTCAP, 50), SET(LOGIT_SOFTCAP, 30),
                  SET(WINDOW, 4096), SET(WINDOW_EVERY, 2)},
     .slide = QN_SLIDE_EVERY,
     .embed_sqrt = true,
     .names = &qn_names_gemma2,
     .hp = {GEMMA_LIKE, .norm_place = QN_NORM_SANDWICH}},

    {.type = "gemma3",
     .inner = "text_config",
     .inner_type = "gemma3_text",
     .ignores = "text_config vision_config mm_tokens_per_image "
                "image_token_* boi_token_* eoi_token_*"},

    {.type = "gemma3_text",
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping sliding_window layer_types "
             "sliding_window_pattern rope_local_base_freq",
     .defaults = {SET(VOCAB, 262208), SET(D_MODEL, 2304), SET(D_FF, 9216),
                  SET(N_LAYER, 26), SET(N_HEAD, 8), SET(N_KV, 4),
                  SET(D_HEAD, 256), SET(N_CTX, 131072), SET(ATTN_SCALAR, 256),
                  SET(WINDOW, 4096), SET(WINDOW_EVERY, 6), SET(ROPE_THETA, 1e6),
                  SET(ROPE_LOCAL, 1e4)},
     .slide = QN_SLIDE_EVERY,
     .embed_sqrt = true,
     .names = &qn_names_gemma2,
     .hp = {GEMMA_LIKE, .norm_place = QN_NORM_SANDWICH, .qk_norm = QN_QK_HEAD}},

    {.type = "phi",
     .keys = "qk_layernorm",
     .defaults = {SET(ROPE_PARTIAL, 0.5), SET(QK_NORM, 0)},
     .names = &qn_names_phi,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU_TANH,
            .parallel = true, .shared_norm = true, .qk_norm = QN_QK_HEAD,
            .head_bias = true}},

    {.type = "phi3",
     .keys = "sliding_window",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_phi3,
     .gguf = &qn_names_gguf_gate_up,
     .hp = {LLAMA_LIKE}},

    /* ---- older designs ---- */

    /* Wang and Komatsuzaki 2021 */
    {.type = "gptj",
     .keys = "rotary_dim",
     .ignores = "rotary scale_attn_weights",
     .names = &qn_names_gptj,
     .hp = {GPTJ_LIKE}},

    {.type = "codegen",
     .keys = "rotary_dim",
     .ignores = "rotary scale_attn_weights",
     .names = &qn_names_codegen,
     .hp = {GPTJ_LIKE}},

    {.type = "gpt_neo",
     .keys = "sliding_window attention_layers attention_types",
     .defaults = {SET(WINDOW, 256), SET(ATTN_SCALED, 0)},
     .names = &qn_names_gpt_neo,
     .hp = {.norm_bias = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .o_bias = true,
            .mlp_bias = true,
            .pos = QN_POS_LEARNED,
            .act = QN_ACT_GELU_TANH,
            .tied = true}},

    {.type = "gpt_bigcode",
     .keys = "multi_query scale_attn_weights",
     .ignores = "inference_runner validate_runner_input pre_allocate_kv_cache "
                "max_batch_size",
     .defaults = {SET(MULTI_QUERY, 1)},
     .names = &qn_names_bigcode,
     .hp = {LAYER_NORM, .pos = QN_POS_LEARNED, .act = QN_ACT_GELU_TANH,
            .tied = true}},

    /* transformers' eager attention adds ALiBi twice, once of it in the mask;
     * its default (sdpa) and the authors' code once, as we do. */
    {.type = "falcon",
     .keys = "alibi enable_bias multi_query new_decoder_architecture "
             "num_ln_in_parallel_attn use_parallel_residual",
     .defaults = {SET(MULTI_QUERY, 1), SET(ALL_BIAS, 0), SET(N_CTX, 2048)},
     .alibi_scaled = true,
     .names = &qn_names_falcon,
     .gguf = &qn_names_gguf_falcon,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU,
            .parallel = true, .shared_norm = true, .tied = true}},

    {.type = "bloom",
     .ignores = "offset_alibi",
     .defaults = {SET(N_CTX, 2048)},
     .names = &qn_names_falcon,
     .hp = {LAYER_NORM, .pos = QN_POS_ALIBI, .embed_norm = true,
            .act = QN_ACT_GELU_TANH, .tied = true}},

    {.type = "mpt",
     .keys = "alibi no_bias expansion_ratio attention_multiplier "
             "clip_qkv",
     .nested = "attn_config",
     .expects = "attn_config.alibi_bias_max=8 alibi_bias_max=8",
     .ignores = "learned_pos_emb norm_type embedding_fraction "
                "attn_config.attn_impl attn_config.attn_type",
     .defaults = {SET(ALIBI, 1), SET(NO_BIAS, 1)},
     .names = &qn_names_mpt,
     .hp = {LAYER_NORM, .pos = QN_POS_ALIBI, .act = QN_ACT_GELU, .tied = true}},

    {.type = "persimmon",
     .keys = "qk_layernorm",
     .defaults = {SET(ROPE_PARTIAL, 0.5), SET(QK_NORM, 1),
                  SET(ROPE_THETA, 25000)},
     .names = &qn_names_persimmon,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_RELU2,
            .qk_norm = QN_QK_HEAD}},

    {.type = "stablelm",
     .keys = "use_qkv_bias use_parallel_residual",
     .defaults = {SET(ROPE_PARTIAL, 0.25)},
     .names = &qn_names_llama,
     .hp = {GATED_LAYER_NORM, .norm_bias = true, .shared_norm = true}},

    {.type = "starcoder2",
     .keys = "enable_bias sliding_window",
     .ignores = "mlp_type norm_type",
     .defaults = {SET(ALL_BIAS, 1)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_starcoder2,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU_TANH,
            .tied = true}},

    {.type = "nemotron",
     .keys = "attention_bias mlp_bias",
     .defaults = {SET(ROPE_PARTIAL, 0.5)},
     .names = &qn_names_llama,
     .hp = {.norm_bias = true,
            .norm_plus_one = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .pos = QN_POS_ROPE,
            .act = QN_ACT_RELU2}},

    /* ---- relatives of Llama ---- */

    {.type = "arcee",
     .keys = "attention_bias mlp_bias",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {RMS_ROPE, .act = QN_ACT_RELU2}},

    {.type = "seed_oss",
     .keys = "attention_bias attention_out_bias mlp_bias",
     .defaults = {SET(D_HEAD, 128)},
     .names = &qn_names_llama,
     .gguf = &qn_names_gguf_post_attn,
     .hp = {LLAMA_LIKE}},

    {.type = "helium",
     .keys = "attention_bias mlp_bias",
     .defaults = {SET(NORM_EPS, 1e-8), SET(ROPE_THETA, 1e5)},
     .o_unbiased = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}}}},

    {.type = "ernie4_5",
     .keys = "enable_bias",
     .defaults = {SET(NORM_EPS, 1e-5), SET(ROPE_THETA, 5e5)},
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}}, .tied = true}},

    {.type = "granite",
     .keys = "attention_bias mlp_bias attention_multiplier "
             "embedding_multiplier residual_multiplier logits_scaling",
     .defaults = {SET(ATTN_SCALE, 1)},
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    {.type = "granitemoe",
     .keys = "attention_bias attention_multiplier embedding_multiplier "
             "residual_multiplier logits_scaling num_local_experts "
             "num_experts_per_tok",
     .defaults = {SET(ATTN_SCALE, 1), SET(N_EXP, 8), SET(N_EXP_USED, 2)},
     .gguf_interleaved = true,
     .names = &qn_names_granite_moe,
     .hp = {LLAMA_LIKE, .route = QN_ROUTE_TOPK_SOFTMAX}},

    {.type = "smollm3",
     .keys = "attention_bias mlp_bias sliding_window use_sliding_window "
             "max_window_layers layer_types no_rope_layers "
             "no_rope_layer_interval",
     .defaults = {SET(NO_ROPE_EVERY, 4), SET(WINDOW_FROM, 28),
                  SET(ROPE_THETA, 2e6)},
     .slide = QN_SLIDE_FROM,
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .tied = true}},

    {.type = "glm",
     .keys = "attention_bias",
     .defaults = {SET(ROPE_PARTIAL, 0.5), SET(D_HEAD, 128)},
     .o_unbiased = true,
     .names = &qn_names_glm,
     .gguf = &qn_names_gguf_gate_up,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}}}},

    {.type = "glm4",
     .keys = "attention_bias",
     .defaults = {SET(ROPE_PARTIAL, 0.5), SET(D_HEAD, 128)},
     .o_unbiased = true,
     .names = &qn_names_glm4,
     .gguf = &qn_names_gguf_gate_up,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_SANDWICH,
            .rope = {{.interleaved = true}}}},

    /* Groeneveld et al. 2024: norms without weights */
    {.type = "olmo",
     .keys = "attention_bias clip_qkv",
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {GATED_LAYER_NORM, .norm_bare = true}},

    {.type = "olmo2",
     .keys = "attention_bias",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .names = &qn_names_olmo2,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_POST_BRANCH,
            .qk_norm = QN_QK_ROW}},

    {.type = "olmo3",
     .keys = "attention_bias sliding_window layer_types "
             "rope_local_base_freq",
     .defaults = {SET(NORM_EPS, 1e-5), SET(WINDOW, 4096), SET(WINDOW_EVERY, 4),
                  SET(ROPE_LOCAL, 5e5)},
     .slide = QN_SLIDE_EVERY,
     .names = &qn_names_olmo2,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_POST_BRANCH,
            .qk_norm = QN_QK_ROW}},

    {.type = "olmoe",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "norm_topk_prob",
     .defaults = {SET(NORM_EPS, 1e-5), SET(N_EXP, 64), SET(N_EXP_USED, 8)},
     .names = &qn_names_qwen_moe,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_ROW}},

    {.type = "qwen2_moe",
     .keys = "use_qkv_bias sliding_window use_sliding_window layer_types "
             "max_window_layers num_local_experts num_experts_per_tok "
             "moe_intermediate_size shared_expert_intermediate_size "
             "norm_topk_prob decoder_sparse_step mlp_only_layers",
     .defaults = {SET(WINDOW, 4096), SET(WINDOW_FROM, 28), SET(N_EXP, 60),
                  SET(N_EXP_USED, 4), SET(D_FF_EXP, 1408),
                  SET(D_FF_SHARED, 5632)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_qwen_moe,
     .hp = {LLAMA_LIKE, .qkv_bias = true, .shared_gated = true}},

    {.type = "qwen3_moe",
     .keys = "attention_bias sliding_window use_sliding_window "
             "max_window_layers num_local_experts num_experts_per_tok "
             "moe_intermediate_size norm_topk_prob decoder_sparse_step "
             "mlp_only_layers",
     .defaults = {SET(WINDOW, 4096), SET(WINDOW_FROM, 28), SET(N_EXP, 128),
                  SET(N_EXP_USED, 8), SET(D_FF_EXP, 768)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_qwen_moe,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD}},

    {.type = "exaone4",
     .keys = "sliding_window sliding_window_pattern layer_types",
     .defaults = {SET(NORM_EPS, 1e-5), SET(WINDOW, 4096), SET(WINDOW_EVERY, 4)},
     .slide = QN_SLIDE_EVERY,
     .nope_full = true,
     .names = &qn_names_olmo2,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_POST_BRANCH,
            .qk_norm = QN_QK_HEAD}},

    {.type = "hunyuan_v1_dense",
     .keys = "attention_bias",
     .ignores = "eod_token_id",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .names = &qn_names_hunyuan,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD, .qk_norm_last = true}},

    {.type = "vaultgemma",
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping sliding_window layer_types",
     .defaults = {SET(N_KV, 4), SET(D_HEAD, 256), SET(ATTN_SCALAR, 256),
                  SET(ATTN_SOFTCAP, 50), SET(LOGIT_SOFTCAP, 30),
                  SET(WINDOW, 4096), SET(WINDOW_EVERY, 2)},
     .slide = QN_SLIDE_EVERY,
     .embed_sqrt = true,
     .names = &qn_names_vaultgemma,
     .hp = {GEMMA_LIKE}},

    {.type = "cohere",
     .keys = "attention_bias logit_scale qk_layernorm",
     .defaults = {SET(LOGIT_SCALE, 0.0625), SET(QK_NORM, 0)},
     .names = &qn_names_llama,
     .hp = {COHERE_LIKE, .qk_norm = QN_QK_HEADS}},

    {.type = "cohere2",
     .keys = "attention_bias logit_scale sliding_window layer_types "
             "sliding_window_pattern",
     .defaults = {SET(LOGIT_SCALE, 0.0625), SET(WINDOW, 4096),
                  SET(WINDOW_EVERY, 4)},
     .slide = QN_SLIDE_EVERY,
     .nope_full = true,
     .names = &qn_names_llama,
     .hp = {COHERE_LIKE}},

    /* ---- with a state ---- */

    /* Gu and Dao 2023. Their length has no end; a round number stands for it */
    {.type = "mamba",
     .keys =
         "mamba_d_state mamba_d_ssm mamba_d_conv mamba_expand mamba_dt_rank use_bias "
         "mamba_conv_bias",
     .ignores = MAMBA_IGNORES,
     .defaults = {SET(N_CTX, 1 << 20), SET(REC_STATE, 16), SET(REC_TAPS, 4),
                  SET(REC_EXPAND, 2), SET(REC_CONV_BIAS, 1)},
     .kind = QN_LAYER_REC,
     .no_attn = true,
     .no_ff = true,
     .names = &qn_names_mamba,
     .hp = {.rms = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .tied = true,
            .rec = {QN_REC_MAMBA}}},

    /* Dao and Gu 2024 */
    {.type = "mamba2",
     .keys =
         "mamba_d_state mamba_d_ssm mamba_d_conv mamba_expand mamba_n_groups use_bias "
         "mamba_conv_bias time_step_limit",
     .ignores = MAMBA_IGNORES "time_step_rank rms_norm",
     .defaults = {SET(N_CTX, 1 << 20), SET(REC_STATE, 128), SET(REC_TAPS, 4),
                  SET(REC_EXPAND, 2), SET(REC_GROUPS, 8), SET(N_HEAD, 128),
                  SET(D_HEAD, 64), SET(REC_CONV_BIAS, 1)},
     .kind = QN_LAYER_REC,
     .no_attn = true,
     .no_ff = true,
     .names = &qn_names_mamba,
     .hp = {.rms = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .rec = {QN_REC_MAMBA2, .norm = QN_REC_NORM_AFTER_GATE,
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
     .ignores = MAMBA_IGNORES "mamba_use_mlp",
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
                              "mtp_* num_nextn_predict_layers",
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
     .expects = "block_use_swiglu=true",
     .ignores = LFM2_IGNORES,
     .defaults = {SET(N_CTX, 128000), SET(N_KV, 8), SET(ROPE_THETA, 1e6),
                  SET(REC_TAPS, 3), SET(FF_ADJUST, 1)},
     .names = &qn_names_lfm2,
     .hp = {LFM2_LIKE}},

    {.type = "lfm2_moe",
     .keys = "layer_types full_attn_idxs mamba_d_conv use_bias "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "first_k_dense_replace norm_topk_prob routed_scaling_factor "
             "use_expert_bias",
     .expects = "block_use_swiglu=true",
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
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 2), SET(N_EXP, 512),
                  SET(N_EXP_USED, 10), SET(D_FF_EXP, 512),
                  SET(D_FF_SHARED, 512), SET(ROUTE_RENORM, 1)},
     .names = &qn_names_qwen_next,
     .gguf = &qn_names_gguf_delta,
     .hp = {QWEN_NEXT_LIKE, .shared_gated = true}},

    {.type = "qwen3_5",
     .inner = "text_config",
     .inner_type = "qwen3_5_text",
     .ignores = "text_config vision_config image_token_id video_token_id "
                "vision_start_token_id vision_end_token_id"},

    {.type = "qwen3_5_text",
     .keys = QWEN_NEXT_KEYS,
     .expects = "attn_output_gate=true",
     .ignores = "mamba_ssm_dtype mtp_*",
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 4)},
     .names = &qn_names_qwen_next,
     .hp = {QWEN_NEXT_LIKE}},

    {.type = "qwen3_5_moe",
     .inner = "text_config",
     .inner_type = "qwen3_5_moe_text",
     .ignores = "text_config vision_config image_token_id video_token_id "
                "vision_start_token_id vision_end_token_id"},

    {.type = "qwen3_5_moe_text",
     .keys = QWEN_NEXT_KEYS
     "num_local_experts num_experts_per_tok moe_intermediate_size "
     "shared_expert_intermediate_size norm_topk_prob",
     .expects = "attn_output_gate=true",
     .ignores = "mamba_ssm_dtype mtp_*",
     .defaults = {QWEN_NEXT_SET, SET(N_KV, 2), SET(N_EXP, 256),
                  SET(N_EXP_USED, 8), SET(D_FF_EXP, 512), SET(D_FF_SHARED, 512),
                  SET(ROUTE_RENORM, 1)},
     .names = &qn_names_qwen_next,
     .hp = {QWEN_NEXT_LIKE, .shared_gated = true}},

    /* ---- more mixtures of experts ---- */

    {.type = "dots1",
     .keys = "attention_bias sliding_window max_window_layers layer_types "
             "num_local_experts num_experts_per_tok moe_intermediate_size "
             "n_shared_experts routed_scaling_factor n_group topk_group "
             "norm_topk_prob first_k_dense_replace",
     .expects = "scoring_func=\"sigmoid\" scoring_func=\"noaux_tc\" "
                "topk_method=\"noaux_tc\" moe_layer_freq=1 "
                "use_sliding_window=true",
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
     .keys = "qk_layernorm num_local_experts num_experts_per_tok",
     .expects = "scoring_func=\"sigmoid\" use_routing_bias=true "
                "qk_norm_type=\"per_layer\" shared_intermediate_size=0",
     .ignores =
         "rotary_dim attn_type_list use_mtp num_mtp_modules mtp_* layernorm_*",
     .defaults = {SET(N_KV, 8), SET(D_HEAD, 128), SET(ROPE_THETA, 5e6),
                  SET(N_EXP, 256), SET(N_EXP_USED, 8), SET(QK_NORM, 1)},
     .names = &qn_names_minimax,
     .hp = {LLAMA_LIKE, SIGMOID_ROUTER, .qk_norm = QN_QK_ROW}},

    {.type = "hunyuan_v1_moe",
     .keys = "attention_bias num_local_experts num_experts_per_tok",
     .ignores = "eod_token_id moe_drop_tokens moe_random_routing_dropped_token "
                "moe_intermediate_size",
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

    /* ---- one of a kind ---- */

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

    {.type = "llama4",
     .inner = "text_config",
     .inner_type = "llama4_text",
     .ignores = "text_config vision_config image_token_index boi_token_index "
                "eoi_token_index"},

    {.type = "llama4_text",
     .keys = "attention_bias attention_chunk_size attn_temperature_tuning "
             "attn_scale floor_scale layer_types no_rope_layers "
             "no_rope_layer_interval qk_layernorm num_local_experts "
             "num_experts_per_tok moe_layers decoder_sparse_step "
             "intermediate_size_mlp",
     .expects = "for_llm_compressor=true",
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
     .ignores = "qk_head_dim head_dim",
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
     .yarn_sharpens = true,
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
     .yarn_sharpens = true,
     .names = &qn_names_mla,
     .hp = {LLAMA_LIKE, .rope = {{.interleaved = true}},
            .mla = {.norm_eps = 1e-6f}, SIGMOID_ROUTER}},

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

    {.type = "gemma3n",
     .inner = "text_config",
     .inner_type = "gemma3n_text",
     .ignores = "text_config vision_config audio_config *_token_id "
                "*_token_index *_soft_tokens_per_image"},

    /* altup_coef_clip: the weights never come near it */
    {.type = "gemma3n_text",
     .keys = "attention_bias final_logit_softcapping sliding_window "
             "layer_types rope_local_base_freq hidden_size_per_layer_input "
             "vocab_size_per_layer_input altup_num_inputs altup_active_idx "
             "altup_correct_scale laurel_rank num_kv_shared_layers "
             "activation_sparsity_pattern",
     .ignores = "altup_coef_clip altup_lr_multiplier",
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

    {.type = "gemma4",
     .inner = "text_config",
     .inner_type = "gemma4_text",
     .ignores = "text_config vision_config audio_config *_token_id "
                "*_token_index *_soft_tokens_per_image"},

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

const qn_family *qn_family_find(const char *model_type)
{
    for (size_t i = 0; i < QN_COUNTOF(families); i++) {
        if (strcmp(families[i].type, model_type) == 0)
            return &families[i];
    }
    return NULL;
}

const char *qn_family_name(int i)
{
    return i >= 0 && (size_t)i < QN_COUNTOF(families) ? families[i].type : NULL;
}
