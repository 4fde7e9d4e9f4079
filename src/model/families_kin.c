/* families_kin.c - rows that lead to others: the networks that read inside of
 * those that see and hear, other names of a family; and relatives that differ
 * from one in names or in how a setting is said. */
#include "model/families_int.h"

/* Keys about images and sound, around the text network or in it. */
#define SENSES                                                                \
    "*vision* *image* *video* *audio* *visual* *_tiles tile_size "            \
    "text_config llm_config language_config thinker_config talker_config "    \
    "token2wav_config code2wav_config enable_talker boi_token_* eoi_token_* " \
    "boa_token_* eoa_token_* *_soft_tokens* mm_* multimodal_projector_* "     \
    "projector_* projection_dim alignment_intermediate_size adapter_* "       \
    "aligner_* spatial_merge_size downsample_* ignore_index "                 \
    "perceiver_config pixel_shuffle_factor use_resampler scale_factor "       \
    "max_splits_per_img encoder_patch_size max_num_patches "                  \
    "max_pixels_tolerance use_thumbnail media_placeholder_* "                 \
    "speech_* user_token_id position_id_per_seconds seconds_per_chunk "       \
    "dynamic_image_size force_image_size ps_version select_layer template "   \
    "use_backbone_lora use_llm_lora pad2square tts_* im_start_token_id "      \
    "im_end_token_id system_token_id assistant_token_id embd_layer "          \
    "img_processor vq_config spatial_pool_* "                                 \
    "gen_* min_dynamic_patch max_dynamic_patch system_message"

/* The member that holds the configuration of the network that reads, and its
 * family; NULL: which its model_type says. */
#define WITHIN(outer, member, reads)                                           \
    {                                                                          \
        .type = outer, .inner = member, .inner_type = reads, .ignores = SENSES \
    }

#define WRAPPER(outer, reads) WITHIN(outer, "text_config", reads)

/* Another name of a family. */
#define ALIAS(name, is)                                        \
    {                                                          \
        .type = name, .inner = "text_config", .inner_type = is \
    }

static const qn_family kin_rows[] = {
    /* In text, the axes of their rotation are at the same position. */
    WRAPPER("qwen2_vl", "qwen2"),
    WRAPPER("qwen2_5_vl", "qwen2"),
    WRAPPER("qwen3_vl", "qwen3"),
    WRAPPER("qwen3_vl_moe", "qwen3_vl_moe_text"),
    WRAPPER("qwen2_audio", NULL),
    WRAPPER("qwen3_5", "qwen3_5_text"),
    WRAPPER("qwen3_5_moe", "qwen3_5_moe_text"),
    WITHIN("qwen2_5_omni", "thinker_config", NULL),
    WRAPPER("qwen2_5_omni_thinker", "qwen2"),
    WITHIN("qwen3_omni_moe", "thinker_config", NULL),
    WRAPPER("qwen3_omni_moe_thinker", "qwen3_moe"),
    WRAPPER("dots_ocr", "qwen2"),
    WRAPPER("glm4v", "glm4v_text"),
    WRAPPER("glm46v", NULL),
    WRAPPER("glm4v_moe", "glm4_moe"),
    WRAPPER("gemma3", "gemma3_text"),
    WRAPPER("gemma3n", "gemma3n_text"),
    WRAPPER("gemma4", "gemma4_text"),
    WRAPPER("llama4", "llama4_text"),
    WRAPPER("mistral3", NULL),
    WRAPPER("voxtral", NULL),
    WRAPPER("llava", NULL),
    WRAPPER("llava_next", NULL),
    WRAPPER("llava_next_video", NULL),
    WRAPPER("llava_onevision", NULL),
    WRAPPER("vipllava", NULL),
    WRAPPER("video_llava", NULL),
    WRAPPER("internvl", NULL),
    WITHIN("internvl_chat", "llm_config", NULL),
    WRAPPER("smolvlm", NULL),
    WRAPPER("idefics3", NULL),
    WRAPPER("lfm2_vl", NULL),
    WRAPPER("deepseek_vl", NULL),
    WRAPPER("exaone4_5", NULL),
    WRAPPER("got_ocr2", NULL),
    WRAPPER("idefics2", NULL),
    WRAPPER("janus", NULL),
    WRAPPER("lighton_ocr", NULL),
    WRAPPER("ovis2", NULL),
    WRAPPER("video_llama_3", NULL),
    WRAPPER("kimi_vl", NULL),
    WITHIN("multi_modality", "language_config", NULL), /* Janus */

    WRAPPER("phi3_v", "phi3"),
    WRAPPER("phi4mm", "phi3"),

    ALIAS("glm4v_moe_text", "glm4_moe"),
    ALIAS("exaone4_5_text", "exaone4"),
    ALIAS("qwen3_vl_text", "qwen3"),
    ALIAS("kimi_k2", "deepseek_v3"),
    ALIAS("minimax", "minimax_m2"), /* as M2 was published */

    /* ---- relatives ---- */

    /* GLM-4 with heads of the usual width and q, k, v biased, said or not */
    {.type = "glm4v_text",
     .expects = "attention_bias=true",
     .o_unbiased = true,
     .names = &qn_names_glm4,
     .hp = {LLAMA_LIKE, .norm_place = QN_NORM_SANDWICH, .qkv_bias = true,
            .rope = {{.interleaved = true}}}},

    /* Published with experts whose rows are columns; transformers 5 writes
     * rows. */
    {.type = "qwen3_vl_moe_text",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "moe_intermediate_size norm_topk_prob decoder_sparse_step "
             "mlp_only_layers",
     .ignores = "max_window_layers",
     .defaults = {SET(N_EXP, 60), SET(N_EXP_USED, 4), SET(D_FF_EXP, 1408),
                  SET(ROUTE_RENORM, 1), SET(N_KV, 16)},
     .names = &qn_names_qwen3_vl_moe,
     .hp = {LLAMA_LIKE, .qk_norm = QN_QK_HEAD}},

    /* Xiaomi; predicts several tokens at once beside */
    {.type = "mimo",
     .keys = "sliding_window use_sliding_window max_window_layers layer_types",
     .expects = "attention_bias=true",
     .ignores = "num_nextn_predict_layers",
     .defaults = {SET(WINDOW, 4096), SET(WINDOW_FROM, 28)},
     .slide = QN_SLIDE_FROM,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .qkv_bias = true}},

    {.type = "internlm2",
     .gguf_interleaved = true,
     .names = &qn_names_internlm2,
     .hp = {LLAMA_LIKE}},

    /* "bias" is of the output and the feed-forward */
    {.type = "internlm3",
     .keys = "enable_bias use_qkv_bias",
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE}},

    /* LG's EXAONE 3 */
    {.type = "exaone", .names = &qn_names_exaone, .hp = {LLAMA_LIKE}},

    /* Hu et al. 2024: factors as Granite has them */
    {.type = "minicpm",
     .keys = "embedding_multiplier scale_depth dim_model_base "
             "residual_multiplier logits_scaling",
     .ignores = "mup_denominator",
     .gguf_interleaved = true,
     .names = &qn_names_llama,
     .hp = {LLAMA_LIKE, .tied = true}},

    /* Dai et al. 2024: DeepSeek's experts before its attention */
    {.type = "deepseek",
     .keys = "attention_bias num_local_experts num_experts_per_tok "
             "moe_intermediate_size n_shared_experts norm_topk_prob "
             "routed_scaling_factor first_k_dense_replace",
     .expects = "scoring_func=\"softmax\" moe_layer_freq=1",
     .defaults = {SET(D_FF_EXP, 1407)},
     .gguf_interleaved = true,
     .names = &qn_names_deepseek,
     .hp = {LLAMA_LIKE, .route = QN_ROUTE_SOFTMAX}},

    {.type = "granitemoeshared",
     .keys = "attention_bias attention_multiplier embedding_multiplier "
             "residual_multiplier logits_scaling num_local_experts "
             "num_experts_per_tok shared_expert_intermediate_size",
     .defaults = {SET(ATTN_SCALE, 1), SET(N_EXP, 8), SET(N_EXP_USED, 2)},
     .names = &qn_names_granite_hybrid,
     .hp = {LLAMA_LIKE, .route = QN_ROUTE_TOPK_SOFTMAX}},
};

const qn_family_list qn_families_kin = {kin_rows, QN_COUNTOF(kin_rows)};
