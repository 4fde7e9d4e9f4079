/* families_int.h - what the rows of several files begin with.
 *
 * The constants and defaults are those of the configuration and modeling
 * files of transformers (4.57 and 5.x), re-typed; each row's mathematics is
 * held to the reference's logits by tests/model/test_goldens.c.
 *
 * What stays zero is off: no bias, sequential residual, layer norm, plain
 * feed-forward, no rotation. */
#ifndef QN_MODEL_FAMILIES_INT_H
#define QN_MODEL_FAMILIES_INT_H

#include "base/compiler.h"
#include "model/families.h"
#include "model/names.h"

/* Rows of one file. */
typedef struct qn_family_list {
    const qn_family *rows;
    int n;
} qn_family_list;

extern const qn_family_list qn_families_dense, qn_families_rec, qn_families_moe,
    qn_families_own;

#define SET(k, n)         \
    {                     \
        true, QN_K_##k, n \
    }

/* The core of the Llama lineage, which most rows start from. */
#define RMS_ROPE \
    .rms = true, .final_norm = true, .norm_eps = 1e-6f, .pos = QN_POS_ROPE

#define LLAMA_LIKE RMS_ROPE, .gated = true, .act = QN_ACT_SILU

#define LAYER_NORM                                            \
    .norm_bias = true, .final_norm = true, .norm_eps = 1e-5f, \
    .qkv_bias = true, .o_bias = true, .mlp_bias = true

/* Llama's feed-forward and rotation behind layer norms. */
#define GATED_LAYER_NORM                                                      \
    .final_norm = true, .norm_eps = 1e-5f, .pos = QN_POS_ROPE, .gated = true, \
    .act = QN_ACT_SILU

/* DeepSeek V3's router and those after it */
#define SIGMOID_ROUTER \
    .route = QN_ROUTE_SIGMOID, .route_bias = true, .route_renorm = true

/* A network that sees or hears around one that reads: the member that holds
 * the configuration of that one, and keys about images and sound. */
#define WRAPPER(outer, reads)                                               \
    {                                                                       \
        .type = outer, .inner = "text_config", .inner_type = reads,         \
        .ignores = "text_config vision_config audio_config "                \
                   "mm_tokens_per_image *_soft_tokens_per_image "           \
                   "image_token_* video_token_* audio_token_* boi_token_* " \
                   "eoi_token_* boa_token_* eoa_token_* "                   \
                   "vision_start_token_id vision_end_token_id "             \
                   "vision_token_* vision_feature_* image_seq_length "      \
                   "image_grid_pinpoints use_image_newline_parameter "      \
                   "multimodal_projector_bias projector_hidden_act "        \
                   "spatial_merge_size downsample_ratio ignore_index"       \
    }

#endif
