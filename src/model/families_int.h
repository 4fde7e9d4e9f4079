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
    qn_families_own, qn_families_kin;

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

/* Hunyuan's files say much about parts that the networks do not have. */
#define HUNYUAN_EXPECTS                                       \
    "norm_type=\"rms\" use_qk_norm=true norm_topk_prob=true " \
    "use_rotary_pos_emb=true use_mixed_mlp_moe=true moe_layer_num_skipped=0"
#define HUNYUAN_IGNORES                                                \
    "eod_token_id cla_share_factor class_num dense_list mask_init_id " \
    "im_start_id im_end_id im_newline_id text_start_id text_end_id "   \
    "org_vocab_size pad_id pool_type anyres_* image_token_id "         \
    "num_media_embeds video_* vit_* moe_drop_tokens "                  \
    "moe_random_routing_dropped_token moe_intermediate_size"

/* DeepSeek V3's router and those after it */
#define SIGMOID_ROUTER \
    .route = QN_ROUTE_SIGMOID, .route_bias = true, .route_renorm = true

#endif
