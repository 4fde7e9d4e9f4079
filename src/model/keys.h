/* keys.h - the keys of config.json as data.
 *
 * A key is a row: its spellings, what its value may be. Reading turns an
 * object into an array of values; a member that is neither a key of this
 * family, nor known to be harmless, nor empty (null, false, {}, []) is listed
 * in one error.
 *
 * Values are borrowed from the JSON object. */
#ifndef QN_MODEL_KEYS_H
#define QN_MODEL_KEYS_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* X(id, kind, lowest, highest, family, spellings)
 *   kind      I integer, L the same or a list of them (the largest counts),
 *              N the same or "auto" (as if absent), F number,
 *             B truth value, S string, A anything
 *   family    0: read for every family; 1: only for those that name it
 *             (qn_family.keys); R: for those with rotary positions
 *   spellings the first one that is there and not null counts */
#define QN_KEYS(X)                                                                    \
    /* sizes */                                                                       \
    X(VOCAB, I, 1, 1 << 24, 0, "vocab_size")                                          \
    X(D_MODEL, I, 1, 1 << 20, 0, "hidden_size n_embd n_embed d_model")                \
    X(N_LAYER, I, 1, 4096, 0, "num_hidden_layers n_layer n_layers num_layers")        \
    X(N_HEAD, I, 1, 1 << 16, 0,                                                       \
      "num_attention_heads n_head n_heads attention_heads num_heads")                 \
    X(N_KV, I, 1, 1 << 16, 0,                                                         \
      "num_key_value_heads num_kv_heads attn_config.kv_n_heads")                      \
    X(D_HEAD, I, 1, 1 << 16, 0, "head_dim kv_channels attention_head_dim")            \
    X(KV_RANK, I, 1, 1 << 16, 1, "kv_lora_rank")                                      \
    X(Q_RANK, I, 1, 1 << 16, 1, "q_lora_rank")                                        \
    X(D_NOPE, I, 1, 1 << 16, 1, "qk_nope_head_dim")                                   \
    X(D_ROPE, I, 2, 1 << 16, 1, "qk_rope_head_dim")                                   \
    X(D_V, I, 1, 1 << 16, 1, "v_head_dim")                                            \
    X(D_FF, L, 1, 1 << 24, 0,                                                         \
      "intermediate_size ffn_dim n_inner ffn_hidden_size "                            \
      "ffn_config.ffn_hidden_size block_ff_dim")                                      \
    X(D_HEAD_FULL, I, 1, 1 << 16, 1, "global_head_dim")                               \
    X(N_KV_FULL, I, 1, 1 << 16, 1, "num_global_key_value_heads")                      \
    X(PER_LAYER, A, 0, 0, 1, "per_layer_config")                                      \
    X(DOUBLE_WIDE, B, 0, 1, 1, "use_double_wide_mlp")                                 \
    X(D_PLE, I, 0, 1 << 16, 1, "hidden_size_per_layer_input")                         \
    X(PLE_VOCAB, I, 1, 1 << 24, 1, "vocab_size_per_layer_input")                      \
    X(N_ALT, I, 2, 8, 1, "altup_num_inputs")                                          \
    X(ALT_ACTIVE, I, 0, 7, 1, "altup_active_idx")                                     \
    X(ALT_SCALE, B, 0, 1, 1, "altup_correct_scale")                                   \
    X(LAUREL, I, 1, 1 << 16, 1, "laurel_rank")                                        \
    X(ACT_SPARSE, A, 0, 0, 1, "activation_sparsity_pattern")                          \
    X(K_EQ_V, B, 0, 1, 1, "attention_k_eq_v")                                         \
    X(N_KV_SHARED, I, 0, 4096, 1, "num_kv_shared_layers")                             \
    X(MOE_ON, B, 0, 1, 1, "enable_moe_block")                                         \
    X(D_FF_DENSE, I, 1, 1 << 24, 1, "intermediate_size_mlp")                          \
    X(N_CTX, I, 1, 1LL << 40, 0,                                                      \
      "max_position_embeddings n_positions max_seq_len seq_length n_ctx")             \
    X(D_EMBED, I, 1, 1 << 20, 1, "word_embed_proj_dim")                               \
    /* norms */                                                                       \
    X(NORM_EPS, F, 0, 1, 0,                                                           \
      "rms_norm_eps layer_norm_eps layer_norm_epsilon norm_epsilon norm_eps")         \
    X(NORM_BEFORE, B, 0, 1, 1, "do_layer_norm_before")                                \
    X(NO_FINAL_NORM, B, 0, 1, 1, "_remove_final_layer_norm")                          \
    X(NORM_AFFINE, B, 0, 1, 1, "layer_norm_elementwise_affine")                       \
    X(NORM_STREAM, B, 0, 1, 1, "apply_residual_connection_post_layernorm")            \
    X(QK_NORM, B, 0, 1, 1, "qk_layernorm use_qk_norm")                                \
    /* positions */                                                                   \
    X(ROPE_THETA, F, 1e-3, 1e15, R,                                                   \
      "rope_theta rotary_emb_base attn_config.rope_theta theta")                      \
    X(ROPE_PARTIAL, F, 0, 1, R,                                                       \
      "partial_rotary_factor rotary_pct rope_pct rope_percent")                       \
    X(ROPE_DIM, I, 2, 1 << 16, 1, "rotary_dim")                                       \
    X(ROPE_OLD, A, 0, 0, R, "rope_scaling")                                           \
    X(ROPE_NEW, A, 0, 0, R, "rope_parameters")                                        \
    X(ORIG_CTX, I, 2, 1LL << 40, R, "original_max_position_embeddings")               \
    X(ROPE_MIXED, B, 0, 1, 1, "rope_interleave")                                      \
    X(ROPE_LOCAL, F, 1e-3, 1e15, 1, "rope_local_base_freq")                           \
    X(NO_ROPE_LAYERS, A, 0, 0, 1, "no_rope_layers")                                   \
    X(NO_ROPE_EVERY, I, 1, 1 << 20, 1, "no_rope_layer_interval")                      \
    X(POS_TYPE, S, 0, 0, 1, "position_embedding_type")                                \
    X(ALIBI, B, 0, 1, 1, "alibi attn_config.alibi")                                   \
    /* attention */                                                                   \
    X(ATTN_BIAS, B, 0, 1, 1, "attention_bias")                                        \
    X(O_BIAS, B, 0, 1, 1, "attention_out_bias")                                       \
    X(NO_BIAS, B, 0, 1, 1, "no_bias")                                                 \
    X(QKV_BIAS, B, 0, 1, 1, "use_qkv_bias qkv_bias")                                  \
    X(ALL_BIAS, B, 0, 1, 1, "enable_bias use_bias bias")                              \
    X(ATTN_SCALAR, F, 1e-9, 1e9, 1, "query_pre_attn_scalar")                          \
    X(ATTN_SCALE, F, -1e9, 1e9, 1,                                                    \
      "attention_multiplier attn_config.softmax_scale")                               \
    X(KEY_SCALE, F, -1e9, 1e9, 1, "key_multiplier")                                   \
    X(ATTN_IN_SCALE, F, -1e9, 1e9, 1, "attention_in_multiplier")                      \
    X(ATTN_OUT_SCALE, F, -1e9, 1e9, 1, "attention_out_multiplier")                    \
    X(ATTN_SCALED, B, 0, 1, 1, "scale_attn_weights")                                  \
    X(ATTN_BY_LAYER, B, 0, 1, 1, "scale_attn_by_inverse_layer_idx")                   \
    X(QKV_CLIP, F, 0, 1e9, 1, "clip_qkv attn_config.clip_qkv")                        \
    X(Q_TUNING, B, 0, 1, 1, "attn_temperature_tuning")                                \
    X(Q_BETA, F, 0, 1e6, 1, "attn_scale")                                             \
    X(Q_FLOOR, F, 1, 1e12, 1, "floor_scale")                                          \
    X(CHUNK, I, 1, 1LL << 40, 1, "attention_chunk_size")                              \
    X(ATTN_SOFTCAP, F, 0, 1e9, 1, "attn_logit_softcapping")                           \
    X(WINDOW, I, 0, 1LL << 40, 1,                                                     \
      "sliding_window window_size sliding_window_size")                               \
    X(USE_WINDOW, B, 0, 1, 1, "use_sliding_window")                                   \
    X(WINDOW_FROM, I, 0, 1 << 20, 1, "max_window_layers")                             \
    X(WINDOW_EVERY, A, 0, 0, 1,                                                       \
      "sliding_window_pattern _sliding_window_pattern "                               \
      "global_attn_every_n_layers")                                                   \
    X(LAYER_TYPES, A, 0, 0, 1, "layer_types layers_block_type")                       \
    X(LOCAL_LAYERS, A, 0, 0, 1, "attention_layers")                                   \
    X(LOCAL_TYPES, A, 0, 0, 1, "attention_types")                                     \
    X(MULTI_QUERY, B, 0, 1, 1, "multi_query")                                         \
    X(GROUPED, B, 0, 1, 1, "new_decoder_architecture")                                \
    X(PARALLEL_NORMS, I, 1, 2, 1, "num_ln_in_parallel_attn")                          \
    X(PARALLEL, B, 0, 1, 1, "use_parallel_residual parallel_attn")                    \
    /* feed-forward */                                                                \
    X(ACT, S, 0, 0, 0,                                                                \
      "hidden_activation hidden_act activation_function activation "                  \
      "mlp_hidden_act afn")                                                           \
    X(FF_ADJUST, B, 0, 1, 1, "block_auto_adjust_ff_dim")                              \
    X(FF_FACTOR, F, 1e-3, 1e3, 1, "block_ffn_dim_multiplier")                         \
    X(FF_MULTIPLE, I, 1, 1 << 20, 1, "block_multiple_of")                             \
    X(FF_SCALES, A, 0, 0, 1, "mlp_multipliers")                                       \
    X(FF_RATIO, I, 1, 64, 1, "expansion_ratio")                                       \
    X(MLP_BIAS, B, 0, 1, 1, "mlp_bias")                                               \
    X(N_EXP, L, 0, 4096, 1,                                                           \
      "num_local_experts num_experts n_routed_experts moe_num_experts "               \
      "ffn_config.moe_num_experts")                                                   \
    X(N_EXP_USED, L, 0, 4096, 1,                                                      \
      "num_experts_per_tok experts_per_token moe_k moe_topk "                         \
      "ffn_config.moe_top_k top_k_experts")                                           \
    X(D_FF_EXP, I, 1, 1 << 24, 1, "moe_intermediate_size")                            \
    X(N_SHARED, L, 0, 4096, 1,                                                        \
      "n_shared_experts num_shared_experts moe_num_shared_experts num_shared_expert") \
    X(ROUTE_SCALE, F, -1e9, 1e9, 1,                                                   \
      "routed_scaling_factor route_scale router_scaling_factor")                      \
    X(N_GROUP, I, 1, 4096, 1, "n_group")                                              \
    X(K_GROUP, I, 1, 4096, 1, "topk_group")                                           \
    X(GROUP_METHOD, S, 0, 0, 1, "topk_method")                                        \
    X(DENSE_FIRST, I, 0, 1 << 20, 1,                                                  \
      "first_k_dense_replace num_dense_layers moe_layer_start_index")                 \
    X(MOE_LAST, I, -1, 1 << 20, 1, "moe_layer_end_index")                             \
    X(MLP_TYPES, A, 0, 0, 1, "mlp_layer_types")                                       \
    X(D_FF_SHARED, I, 1, 1 << 24, 1,                                                  \
      "shared_expert_intermediate_size "                                              \
      "moe_shared_expert_intermediate_size shared_intermediate_size")                 \
    X(ROUTE_NORM_P, F, 0, 100, 1, "ffn_config.moe_normalize_expert_weights")          \
    X(ROUTE_JITTER, F, 0, 10, 1, "router_jitter_noise")                               \
    X(EXP_LIMIT, F, 0, 1e9, 1, "swiglu_limit")                                        \
    X(MOE_LAYERS, A, 0, 0, 1, "moe_layers")                                           \
    X(ROUTE_RENORM, B, 0, 1, 1, "norm_topk_prob")                                     \
    X(SPARSE_STEP, I, 1, 1 << 20, 1,                                                  \
      "decoder_sparse_step moe_layer_interval interleave_moe_layer_step")             \
    X(MOE_PERIOD, I, 1, 1 << 20, 1, "expert_layer_period")                            \
    X(MOE_OFFSET, I, 0, 1 << 20, 1, "expert_layer_offset")                            \
    X(ROUTE_BIASED, B, 0, 1, 1, "use_expert_bias")                                    \
    X(MLP_ONLY, A, 0, 0, 1, "mlp_only_layers")                                        \
    /* recurrent layers */                                                            \
    X(REC_STATE, I, 1, 1 << 16, 1,                                                    \
      "mamba_d_state state_size ssm_state_size linear_key_head_dim")                  \
    X(REC_TAPS, I, 1, 256, 1,                                                         \
      "mamba_d_conv conv_kernel conv_L_cache linear_conv_kernel_dim")                 \
    X(REC_EXPAND, F, 1e-3, 1024, 1, "mamba_expand expand")                            \
    X(REC_D_INNER, I, 1, 1 << 22, 1, "mamba_d_ssm")                                   \
    X(REC_HEADS, I, 1, 1 << 16, 1,                                                    \
      "mamba_n_heads mamba_num_heads linear_num_value_heads")                         \
    X(REC_D_HEAD, N, 1, 1 << 16, 1,                                                   \
      "mamba_d_head mamba_head_dim linear_value_head_dim")                            \
    X(REC_GROUPS, I, 1, 1 << 16, 1,                                                   \
      "mamba_n_groups n_groups linear_num_key_heads")                                 \
    X(REC_DT_RANK, N, 1, 1 << 20, 1, "mamba_dt_rank time_step_rank")                  \
    X(REC_DT_LIMIT, A, 0, 0, 1, "time_step_limit mamba_dt_limit")                     \
    X(REC_DT_FLOOR, F, 0, 1e9, 1, "time_step_min")                                    \
    X(REC_BIAS, B, 0, 1, 1, "use_bias mamba_proj_bias conv_bias")                     \
    X(REC_OUT_BIAS, B, 0, 1, 1, "projectors_bias")                                    \
    X(REC_CONV_BIAS, B, 0, 1, 1, "mamba_conv_bias use_conv_bias")                     \
    X(REC_NORM, B, 0, 1, 1, "mamba_rms_norm")                                         \
    X(REC_NORM_FIRST, B, 0, 1, 1, "mamba_norm_before_gate")                           \
    X(REC_INNER_EPS, F, 0, 1, 1, "mixer_rms_eps")                                     \
    X(REC_ACT, S, 0, 0, 1, "mamba_hidden_act")                                        \
    X(REC_IN_SCALE, F, -1e9, 1e9, 1, "ssm_in_multiplier")                             \
    X(REC_OUT_SCALE, F, -1e9, 1e9, 1, "ssm_out_multiplier")                           \
    X(REC_SCALES, A, 0, 0, 1, "ssm_multipliers")                                      \
    X(LAYER_PATTERN, S, 0, 0, 1, "hybrid_override_pattern")                           \
    X(ATTN_EVERY, I, 1, 1 << 20, 1,                                                   \
      "full_attention_interval attn_layer_period")                                    \
    X(ATTN_OFFSET, I, 0, 1 << 20, 1, "attn_layer_offset")                             \
    X(ATTN_LAYERS, A, 0, 0, 1, "full_attn_idxs")                                      \
    /* ends */                                                                        \
    X(EMBED_SQRT, B, 0, 1, 1, "mup_enabled scale_embedding")                          \
    X(EMBED_SCALE, F, -1e9, 1e9, 1, "embedding_multiplier scale_emb")                 \
    X(SCALE_DEPTH, F, 0, 1e9, 1, "scale_depth")                                       \
    X(BASE_WIDTH, I, 1, 1 << 20, 1, "dim_model_base")                                 \
    X(RESIDUAL_SCALE, F, -1e9, 1e9, 1, "residual_multiplier")                         \
    X(LOGIT_SCALE, F, -1e9, 1e9, 1, "logit_scale lm_head_multiplier")                 \
    X(LOGIT_DIVISOR, F, 1e-9, 1e9, 1, "logits_scaling")                               \
    X(LOGIT_SOFTCAP, F, 0, 1e9, 1, "final_logit_softcapping")                         \
    X(TIED, B, 0, 1, 0, "tie_word_embeddings tie_embedding")                          \
    X(HEAD_BIAS, B, 0, 1, 1, "lm_head_bias")                                          \
    X(PAD, I, -1, 1LL << 31, 1, "pad_token_id")                                       \
    X(BOS, A, 0, 0, 0, "bos_token_id")                                                \
    X(EOS, A, 0, 0, 0, "eos_token_id")

#define QN_KEY_ENUM(id, kind, lo, hi, family, names) QN_K_##id,
typedef enum qn_key {
    QN_KEYS(QN_KEY_ENUM) QN_K_N
} qn_key;
#undef QN_KEY_ENUM

typedef struct qn_value {
    bool given;         /* the key is there, maybe as null: no default then */
    bool set;           /* it has a value, from the file or by default      */
    double num;         /* I, F, B */
    const json_t *json; /* S, A; NULL for a default */
    const char *name;   /* as the file spells it    */
} qn_value;

typedef struct qn_default {
    bool given;
    qn_key key;
    double num;
} qn_default;

struct qn_family;

typedef struct qn_keys {
    qn_value v[QN_K_N];
    json_t *own;    /* of a default */
    qn_str unknown; /* "name, name, ": what was not understood */
} qn_keys;

/* Reads every member of `config` for this family and checks its kind and
 * range. What is not understood is not an error yet: qn_keys_done, after the
 * nested objects (rope.h) have been read as well. */
int qn_keys_read(qn_keys *k, const json_t *config, const struct qn_family *fam,
                 qn_err *err);
void qn_keys_deinit(qn_keys *k);

/* Notes a member that is not understood, unless it is empty. `prefix` (NULL:
 * none) is the object that holds it. */
void qn_keys_unknown(qn_keys *k, const char *prefix, const char *name,
                     const json_t *value);
/* QN_EUNSUP, listing them, if there were any. */
int qn_keys_done(const qn_keys *k, const char *family, qn_err *err);

/* The value, or `otherwise` when the key has none. */
double qn_key_num(const qn_keys *k, qn_key key, double otherwise);
int qn_key_int(const qn_keys *k, qn_key key, int otherwise);
bool qn_key_true(const qn_keys *k, qn_key key, bool otherwise);
/* As the file spells it, else the usual spelling: for messages. */
const char *qn_key_name(const qn_keys *k, qn_key key);
/* QN_EFORMAT when the key has no value. */
int qn_key_need(const qn_keys *k, qn_key key, int *out, qn_err *err);

/* Is `name` the first spelling of a key? (Families name theirs so.) */
bool qn_key_exists(const char *name);

/* Is `name` one of the blank-separated words? A word may begin or end with
 * '*', which stands for anything. */
bool qn_word_in(const char *words, const char *name);

#endif
