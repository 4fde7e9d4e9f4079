/* hparams.h - what a network is, as features: the columns of families*.c
 * filled from config.json. Everything that forward() may ask is here.
 *
 * An unknown family is an error; so is a config key that may change the
 * mathematics and is not understood (keys.c lists what is understood and what
 * is known to be harmless; the error lists the rest).
 *
 * Ownership: a qn_hparams owns its arrays (qn_hparams_deinit).
 * Threads: constant once read. */
#ifndef QN_MODEL_HPARAMS_H
#define QN_MODEL_HPARAMS_H

#include "backend/backend.h"
#include "base/json.h"

typedef enum qn_norm_place {
    QN_NORM_PRE,         /* x + f(norm(x))                        llama    */
    QN_NORM_POST,        /* norm(x + f(x))                        opt-350m */
    QN_NORM_SANDWICH,    /* x + norm_post(f(norm_pre(x)))         gemma 2  */
    QN_NORM_POST_BRANCH, /* x + norm(f(x))                       olmo 2   */
    QN_NORM_STREAM /* y + f(y), y = norm(x)                bloom, as said */
} qn_norm_place;

typedef enum qn_qk_norm {
    QN_QK_NONE,
    QN_QK_HEAD,  /* every head by one vector [d_head]            qwen 3   */
    QN_QK_HEADS, /* every head by its own, [n_head, d_head]      cohere   */
    QN_QK_ROW    /* all heads together, [n_head * d_head]        olmo 2   */
} qn_qk_norm;

typedef enum qn_pos {
    QN_POS_NONE,
    QN_POS_ROPE,
    QN_POS_LEARNED, /* table added to the embeddings, from pos_offset on */
    QN_POS_SINUS,   /* ... computed, as in fairseq                       */
    QN_POS_ALIBI
} qn_pos;

typedef enum qn_rope_scaling {
    QN_ROPE_PLAIN,
    QN_ROPE_LINEAR,
    QN_ROPE_DYNAMIC, /* NTK, by length */
    QN_ROPE_LLAMA3,
    QN_ROPE_YARN,
    QN_ROPE_LONGROPE,    /* two sets of factors, by length */
    QN_ROPE_PROPORTIONAL /* the first n_turn frequencies, the others still */
} qn_rope_scaling;

/* One kind of rotary embedding (Gemma 3 has two: global and local layers).
 * rope.h reads it and computes the frequencies. */
typedef struct qn_rope_hp {
    qn_rope_scaling scaling;
    double theta;
    int n_turn; /* proportional */
    int n_freq; /* half of the rotated elements per head; >= 1 */
    bool interleaved;
    double factor;
    double low_freq, high_freq;  /* llama3                              */
    double beta_fast, beta_slow; /* yarn                                */
    bool truncate;               /* yarn: round the bounds              */
    int64_t orig_ctx;            /* the length that it was trained with */
    float mscale_all;            /* yarn: factor of mscale_all_dim, else 1 */
    float table_scale;           /* on cos and sin                      */
    float *short_factor, *long_factor; /* longrope [n_freq], or NULL    */
    float *divisors; /* of the frequencies (GGUF) [n_freq], or NULL     */
} qn_rope_hp;

#define QN_ROPE_KINDS 2

/* Layers with a state instead of, or beside, attention. */
typedef enum qn_rec_kind {
    QN_REC_NONE,
    QN_REC_CONV,   /* gated short convolution                    lfm2     */
    QN_REC_MAMBA,  /* selective scan                             mamba    */
    QN_REC_MAMBA2, /* one decay per head                         mamba2   */
    QN_REC_DELTA   /* gated delta rule                           qwen3_next */
} qn_rec_kind;

typedef enum qn_rec_norm {
    QN_REC_NORM_NONE,       /* y * silu(z)                       */
    QN_REC_NORM_AFTER_GATE, /* norm(y * silu(z))                 */
    QN_REC_NORM_BEFORE_GATE /* norm(y) * silu(z)                 */
} qn_rec_norm;

typedef struct qn_rec_hp {
    qn_rec_kind kind;
    int d_inner;          /* channels that come out: n_head * d_head          */
    int n_head, d_head;   /* of values; mamba: heads of one channel           */
    int n_group, d_state; /* of B and C; delta: key heads and their width     */
    bool by_turns;        /* delta: value head h uses key head h % n_group    */
    int n_tap;            /* of the convolution                               */
    int dt_rank;          /* mamba: width that time steps come through        */
    float dt_min, dt_max;
    qn_act act; /* behind the convolution; that of z is SiLU                  */
    bool in_bias, out_bias, conv_bias;
    bool inner_norms; /* on time steps, B and C (Jamba)                   */
    bool inner_bare;  /* ... without weights (Falcon Mamba)               */
    float inner_eps;
    qn_rec_norm norm;
    float in_scale, out_scale; /* on what goes in; on what is added       */
    float scale[5];   /* behind the projections: z, x, B, C, dt          */
    int norm_groups;  /* parts of d_inner that are normalized apart       */
    bool norm_shared; /* ... by one weight                                */
} qn_rec_hp;

/* Multi-head latent attention (DeepSeek V2): keys and values come from a
 * vector of kv_rank per position through one norm, queries maybe from one of
 * q_rank; d_rope more elements of a key are rotated and common to all heads. */
typedef struct qn_mla_hp {
    int kv_rank, q_rank; /* 0: no latent vector */
    int d_nope, d_rope;  /* d_head = their sum: of the heads. What a layer
                            attends with is the latent key (blk_mla.c) */
    float norm_eps;
} qn_mla_hp;

typedef struct qn_layer_hp {
    int n_kv, d_head, d_v, d_ff; /* of this layer                          */
    int kv_from;      /* whose keys and values it reads: its own, or those of
                         an earlier layer                               */
    bool k_is_v;      /* values are the keys before their norm          */
    float act_cut;    /* the gate's rows count from mean + act_cut
                         deviations on; 0: all                          */
    int rope;         /* index into rope[], -1: no rotation here        */
    int64_t window;   /* sliding window, 0: none                        */
    int64_t chunk;    /* chunked attention, 0: none                     */
    float attn_scale; /* on q . k                                       */
    bool q_scaled;    /* q grows with its position: qn_hparams.q_beta   */
    bool qk_norm;     /* of the kind qn_hparams.qk_norm                 */
    bool attn, rec;   /* what mixes positions: either, both or neither  */
    bool ff;          /* has a feed-forward                             */
    bool moe;         /* ... which is a mixture of experts              */
} qn_layer_hp;

#define QN_MAX_EOS 16

typedef struct qn_hparams {
    char family[48]; /* model_type */
    char arch[64];   /* architectures[0], "" if not said */
    char outer[48];  /* model_type of what sees or hears around it, or "" */

    int n_layer, d_model, n_vocab, d_embed; /* d_embed != d_model: projected */
    int n_head, n_kv, d_head, d_v, d_ff;
    int64_t n_ctx_train;

    /* norms */
    bool rms; /* else layer norm */
    qn_norm_place norm_place;
    bool norm_plus_one; /* the file holds w - 1 (Gemma); not so in GGUF */
    bool norm_bias;
    bool norm_bare; /* neither weight nor bias */
    bool final_norm;
    float norm_eps;
    float layer_norm_eps; /* of the norms in layers; 0: norm_eps */
    bool embed_norm;      /* on the embeddings (Bloom) */
    qn_qk_norm qk_norm;
    bool qk_norm_last; /* after rotation, else before */
    bool qk_norm_bare; /* without a weight, on rotated layers alone (Llama 4) */

    /* positions */
    qn_pos pos;
    int pos_offset;
    int64_t pos_empty; /* row of the table that is zero (padding), -1: none */
    int n_rope;
    qn_rope_hp rope[QN_ROPE_KINDS];

    /* attention */
    bool v_norm; /* of each head, without a weight */
    qn_mla_hp mla;
    bool diff;         /* differential attention: pairs of heads, of which
                       the second is subtracted; d_v is that of a pair */
    bool attn_experts; /* queries and output by chosen experts (JetMoe) */
    float attn_softcap;
    float qkv_clip; /* q, k, v within +-, behind their norms; 0: free */
    bool sinks;     /* one more logit per head    */
    /* q at position i times 1 + q_beta * log(1 + floor((i + q_shift) /
     * q_floor)); 0: not */
    float q_beta;
    int64_t q_floor, q_shift;
    float alibi_scale; /* on the slopes */
    float attn_in_scale, attn_out_scale;
    bool gate_in_q;   /* q's matrix has the gate, head by head       */
    bool attn_gate;   /* heads' outputs times sigmoid(x W)      */
    bool sub_norm;    /* norms before Wo and Wdown (BitNet)     */
    bool parallel;    /* x + attn(norm(x)) + mlp(norm'(x))      */
    bool shared_norm; /* parallel, and norm' is norm (Phi)      */
    bool qkv_bias, o_bias;

    /* recurrent layers */
    qn_rec_hp rec;

    /* feed-forward */
    bool gated;
    bool xielu; /* the activation has parameters in each layer */
    qn_act act;
    bool mlp_bias;
    float ff_gate_scale, ff_out_scale; /* before act; on what is added */

    /* mixture of experts */
    int n_exp, n_exp_used, d_ff_exp;
    qn_route route;
    bool route_renorm;
    float renorm_p; /* by the p-norm; 0: their sum */
    float route_jitter;
    bool router_bias;
    bool exp_bias;
    bool moe_bias;                  /* one bias on the experts' sum */
    bool moe_beside;                /* the dense feed-forward stays (Gemma 4) */
    float exp_limit, exp_up_offset; /* backend.h: qn_op_experts */
    bool exp_x_weighted;
    float route_scale;
    bool route_bias;      /* added to the scores for the choice alone  */
    int n_group, k_group; /* choice among the best groups; 0: no groups */
    bool group_max;       /* a group counts by its best, else best two */
    int d_ff_shared;      /* one more expert that every row visits; 0: none   */
    bool shared_gated;    /* ... times sigmoid of a product with x          */

    /* Gemma 3n and 4: more inputs of each layer, from a second embedding;
     * streams of alternating updates; a low-rank path beside attention */
    int d_ple, ple_vocab;
    bool layer_scale; /* a factor on what leaves a layer */
    int n_alt, alt_active;
    bool alt_scale;
    int laurel_rank;

    /* ends */
    float embed_scale;
    float residual_scale; /* on what attention and feed-forward add */
    float logit_softcap, logit_scale;
    bool tied;
    bool tied_unsure; /* said both ways: a tensor of the head decides */
    bool head_bias;

    qn_layer_hp *layer; /* [n_layer] */

    int bos_id; /* -1: none */
    int eos_ids[QN_MAX_EOS];
    int n_eos;
} qn_hparams;

/* `config`: config.json's object (transformers 4 or 5 spelling). On failure
 * hp holds nothing. QN_EFORMAT for values that cannot be, QN_EUNSUP for what
 * is not understood. */
int qn_hparams_read(qn_hparams *hp, const json_t *config, qn_err *err);
void qn_hparams_deinit(qn_hparams *hp);

/* The families that there are rows for, in order, NULL behind the last. */
const char *qn_family_name(int i);

#endif
