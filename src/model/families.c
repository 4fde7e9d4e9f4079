/* families.c - the rows: attention, one feed-forward or a few experts.
 *
 * Older designs first, then the relatives of Llama. */
#include "model/families_int.h"

#define GEMMA_LIKE                                                             \
    .rms = true, .norm_plus_one = true, .final_norm = true, .norm_eps = 1e-6f, \
    .pos = QN_POS_ROPE, .gated = true, .act = QN_ACT_GELU_TANH, .tied = true

/* Layer norm without bias, interleaved rotation, parallel with one norm. */
#define COHERE_LIKE                                                     \
    .final_norm = true, .norm_eps = 1e-5f, .pos = QN_POS_ROPE,          \
    .rope = {{.interleaved = true}}, .gated = true, .act = QN_ACT_SILU, \
    .parallel = true, .shared_norm = true, .tied = true

/* GPT-NeoX's ends, biases in the feed-forward alone. */
#define GPTJ_LIKE                                                          \
    .norm_bias = true, .final_norm = true, .norm_eps = 1e-5f,              \
    .mlp_bias = true, .pos = QN_POS_ROPE, .rope = {{.interleaved = true}}, \
    .act = QN_ACT_GELU_TANH, .parallel = true, .shared_norm = true,        \
    .head_bias = true

static const qn_family dense_rows[] = {
    /* Zhang et al. 2022. opt-350m is post-norm with projected embeddings. */
    {.type = "opt",
     .keys = "enable_bias do_layer_norm_before _remove_final_layer_norm "
             "layer_norm_elementwise_affine word_embed_proj_dim",
     .expects = "learned_embeddings=true",
     .names = &qn_names_opt,
     .hp = {LAYER_NORM, .pos = QN_POS_LEARNED, .pos_offset = 2,
            .act = QN_ACT_RELU, .tied = true}},

    /* Radford et al. 2019 */
    {.type = "gpt2",
     .keys = "scale_attn_weights scale_attn_by_inverse_layer_idx",
     .names = &qn_names_gpt2,
     .hp = {LAYER_NORM, .pos = QN_POS_LEARNED, .act = QN_ACT_GELU_TANH,
            .tied = true}},

    /* Radford et al. 2018: the norms stand behind, as in opt-350m */
    {.type = "openai-gpt",
     .ignores = "n_special predict_special_tokens",
     .gelu_is_tanh = true,
     .names = &qn_names_openai_gpt,
     .hp = {.norm_place = QN_NORM_POST,
            .norm_bias = true,
            .norm_eps = 1e-5f,
            .qkv_bias = true,
            .o_bias = true,
            .mlp_bias = true,
            .pos = QN_POS_LEARNED,
            .act = QN_ACT_GELU_TANH,
            .tied = true}},

    /* Black et al. 2022 (GPT-NeoX-20B, Pythia) */
    {.type = "gpt_neox",
     .keys = "attention_bias use_parallel_residual",
     .defaults = {SET(ROPE_PARTIAL, 0.25)},
     .names = &qn_names_gpt_neox,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU,
            .parallel = true}},

    /* Configurations inside of others leave out what is usual. */
    {.type = "llama",
     .keys = "attention_bias mlp_bias",
     .defaults = {SET(VOCAB, 32000), SET(D_MODEL, 4096), SET(D_FF, 11008),
                  SET(N_LAYER, 32), SET(N_HEAD, 32), SET(N_CTX, 2048)},
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    {.type = "mistral",
     .keys = "sliding_window",
     .defaults = {SET(VOCAB, 32000), SET(D_MODEL, 4096), SET(D_FF, 14336),
                  SET(N_LAYER, 32), SET(N_HEAD, 32), SET(N_CTX, 131072),
                  SET(N_KV, 8), SET(WINDOW, 4096)},
     .slide = QN_SLIDE_ALL,
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    /* The same with layers of two kinds: Ministral 8B */
    {.type = "ministral",
     .keys = "sliding_window layer_types",
     .defaults = {SET(N_KV, 8), SET(WINDOW, 4096)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    /* Meta's Code World Model */
    {.type = "cwm",
     .keys = "mlp_bias sliding_window layer_types",
     .defaults = {SET(N_KV, 8), SET(D_HEAD, 128), SET(NORM_EPS, 1e-5),
                  SET(WINDOW, 8192), SET(WINDOW_EVERY, 4)},
     .rope_default = "{\"rope_type\": \"llama3\", \"rope_theta\": 1000000.0,"
                     "\"factor\": 16.0, \"low_freq_factor\": 1.0, "
                     "\"high_freq_factor\": 4.0, "
                     "\"original_max_position_embeddings\": 8192}",
     .slide = QN_SLIDE_BEHIND,
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
     .expects = "attention_bias=true",
     /* dual_chunk_attention_config (the ones for a million tokens) is about
      * texts beyond its chunks; transformers does not read it either */
     .ignores = "use_mrope dual_chunk_attention_config",
     .defaults = {SET(VOCAB, 151936), SET(D_MODEL, 4096), SET(D_FF, 22016),
                  SET(N_LAYER, 32), SET(N_HEAD, 32), SET(N_CTX, 32768),
                  SET(WINDOW, 4096), SET(WINDOW_FROM, 28)},
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
     .expects = "full_attn_mod=1 interpolate_factor=1",
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
                "max_batch_size pad_key_length",
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
     .keys = "apply_residual_connection_post_layernorm",
     .ignores = "offset_alibi",
     .defaults = {SET(N_CTX, 2048)},
     .names = &qn_names_falcon,
     .hp = {LAYER_NORM, .pos = QN_POS_ALIBI, .embed_norm = true,
            .act = QN_ACT_GELU_TANH, .tied = true}},

    {.type = "mpt",
     .keys = "alibi no_bias expansion_ratio attention_multiplier "
             "clip_qkv",
     .nested = "attn_config",
     .expects = "attn_config.alibi_bias_max=8 alibi_bias_max=8 logit_scale=1",
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
     .keys = "use_qkv_bias use_parallel_residual qk_layernorm",
     .defaults = {SET(ROPE_PARTIAL, 0.25), SET(QK_NORM, 0)},
     .names = &qn_names_stablelm,
     .hp = {GATED_LAYER_NORM, .norm_bias = true, .shared_norm = true,
            .qk_norm = QN_QK_HEADS}},

    {.type = "starcoder2",
     .keys = "enable_bias sliding_window",
     .expects = "scale_attn_weights=true",
     .ignores = "mlp_type norm_type",
     .defaults = {SET(ALL_BIAS, 1)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_starcoder2,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU_TANH,
            .tied = true}},

    {.type = "nemotron",
     .keys = "attention_bias mlp_bias",
     .expects = "norm_type=\"layernorm1p\"",
     .defaults = {SET(ROPE_PARTIAL, 0.5)},
     .names = &qn_names_llama,
     .hp = {.norm_bias = true,
            .norm_plus_one = true,
            .final_norm = true,
            .norm_eps = 1e-5f,
            .pos = QN_POS_ROPE,
            .act = QN_ACT_RELU2}},

    {.type = "jais2",
     .keys = "attention_bias mlp_bias",
     .defaults = {SET(ATTN_BIAS, 1), SET(MLP_BIAS, 1), SET(ROPE_THETA, 5e5)},
     .names = &qn_names_llama,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_RELU2}},

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
     .keys = "attention_bias clip_qkv num_local_experts "
             "num_experts_per_tok norm_topk_prob",
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
     .expects = "shared_expert_intermediate_size=0 use_qk_norm=true",
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
     .expects = HUNYUAN_EXPECTS,
     .ignores = HUNYUAN_IGNORES,
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
     .expects = "layer_switch=4 use_embedding_sharing=true "
                "order_of_interleaved_layers=\"local_attn_first\" "
                "position_embedding_type=\"rope_gptj\" "
                "use_gated_activation=true use_parallel_block=true "
                "use_parallel_embedding=true",
     .defaults = {SET(LOGIT_SCALE, 0.0625), SET(WINDOW, 4096),
                  SET(WINDOW_EVERY, 4)},
     .slide = QN_SLIDE_EVERY,
     .nope_full = true,
     .names = &qn_names_llama,
     .hp = {COHERE_LIKE}},
};

const qn_family_list qn_families_dense = {dense_rows, QN_COUNTOF(dense_rows)};
