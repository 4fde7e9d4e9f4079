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
#define LLAMA_LIKE                                              \
    .rms = true, .norm_place = QN_NORM_PRE, .final_norm = true, \
    .norm_eps = 1e-6f, .pos = QN_POS_ROPE, .gated = true, .act = QN_ACT_SILU

#define GEMMA_LIKE                                                             \
    .rms = true, .norm_plus_one = true, .final_norm = true, .norm_eps = 1e-6f, \
    .pos = QN_POS_ROPE, .gated = true, .act = QN_ACT_GELU_TANH, .tied = true

#define LAYER_NORM                                            \
    .norm_bias = true, .final_norm = true, .norm_eps = 1e-5f, \
    .qkv_bias = true, .o_bias = true, .mlp_bias = true

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
     .defaults = {SET(ROPE_PARTIAL, 0.5)},
     .names = &qn_names_phi,
     .hp = {LAYER_NORM, .pos = QN_POS_ROPE, .act = QN_ACT_GELU_TANH,
            .parallel = true, .shared_norm = true, .head_bias = true}},

    {.type = "phi3",
     .keys = "sliding_window",
     .defaults = {SET(NORM_EPS, 1e-5)},
     .slide = QN_SLIDE_ALL,
     .names = &qn_names_phi3,
     .gguf = &qn_names_gguf_gate_up,
     .hp = {LLAMA_LIKE}},
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
