/* hparams.h - what a network is, as features: the columns of families.c
 * filled from config.json. Everything that forward() may ask is here.
 *
 * An unknown family is an error; so is a config key that changes the
 * mathematics and is not understood (hparams.c lists what is understood and
 * what is known to be harmless; the error lists the rest). */
#ifndef QN_MODEL_HPARAMS_H
#define QN_MODEL_HPARAMS_H

#include "backend/backend.h"
#include "base/json.h"

typedef enum qn_norm_place {
    QN_NORM_PRE,      /* x + f(norm(x))                        llama    */
    QN_NORM_POST,     /* norm(x + f(x))                        opt-350m */
    QN_NORM_SANDWICH, /* x + norm_post(f(norm_pre(x)))         gemma 2  */
    QN_NORM_POST_BRANCH /* x + norm(f(x))                      olmo 2   */
} qn_norm_place;

typedef enum qn_pos {
    QN_POS_NONE,
    QN_POS_ROPE,
    QN_POS_LEARNED, /* table added to the embeddings, from pos_offset on */
    QN_POS_ALIBI
} qn_pos;

typedef enum qn_rope_scaling {
    QN_ROPE_PLAIN,
    QN_ROPE_LINEAR,
    QN_ROPE_DYNAMIC, /* NTK, by length */
    QN_ROPE_LLAMA3,
    QN_ROPE_YARN,
    QN_ROPE_LONGROPE
} qn_rope_scaling;

/* One kind of rotary embedding (Gemma 3 has two: local and global layers). */
typedef struct qn_rope_hp {
    qn_rope_scaling scaling;
    double theta;
    int n_freq;       /* half of the rotated elements per head */
    bool interleaved;
    double factor;
    double low_freq, high_freq;           /* llama3                  */
    double beta_fast, beta_slow;          /* yarn                    */
    double attn_factor;                   /* 0: from the formula     */
    double mscale, mscale_all;            /* yarn, DeepSeek          */
    bool truncate;                        /* yarn: round the bounds  */
    int64_t orig_ctx;
    float *short_factor, *long_factor;    /* longrope [n_freq]       */
} qn_rope_hp;

#define QN_ROPE_KINDS 2

typedef struct qn_layer_hp {
    int rope;          /* index into rope[], -1: no positions here (NoPE) */
    int64_t window;    /* sliding window, 0: none                         */
    int64_t chunk;     /* chunked attention, 0: none                      */
    bool moe;          /* feed-forward is a mixture of experts            */
} qn_layer_hp;

typedef struct qn_hparams {
    char family[48]; /* model_type */
    char arch[64];   /* architectures[0], "" if not said */

    int n_layer, d_model, n_vocab, d_embed; /* d_embed != d_model: projected */
    int n_head, n_kv, d_head, d_v, d_ff;
    int64_t n_ctx_train;

    /* norms */
    bool rms;
    qn_norm_place norm_place;
    bool norm_plus_one; /* stored weight is w - 1 (Gemma)        */
    bool final_norm;
    float norm_eps;
    bool qk_norm;       /* per head, before rope                 */

    /* positions */
    qn_pos pos;
    int pos_offset;
    qn_rope_hp rope[QN_ROPE_KINDS];

    /* attention */
    float attn_scale;
    float attn_softcap;
    bool parallel;      /* x + attn(norm(x)) + mlp(norm'(x))      */
    bool shared_norm;   /* parallel, and norm' is norm (Phi)      */

    /* feed-forward */
    bool gated;
    qn_act act;

    /* mixture of experts */
    int n_exp, n_exp_used, d_ff_exp;
    qn_route route;
    bool route_renorm;
    float route_scale;

    /* ends */
    float embed_scale;
    float logit_softcap, logit_scale;
    bool tied;

    qn_layer_hp *layer; /* [n_layer] */

    int bos_id;         /* -1: none */
    int eos_ids[8];
    int n_eos;
} qn_hparams;

/* `config`: config.json's object (transformers 4 or 5 spelling). */
int qn_hparams_read(qn_hparams *hp, const json_t *config, qn_err *err);
void qn_hparams_deinit(qn_hparams *hp);

#endif
