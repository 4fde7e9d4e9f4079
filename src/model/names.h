/* names.h - what the tensors of a network are called.
 *
 * A role is what a tensor is for. A name table maps roles to names inside a
 * checkpoint; several roles may share one tensor (fused q, k, v), of which
 * each takes a cut. A role may have several rows: the first whose tensor is
 * there is taken. A table starts from another and replaces whole roles of it.
 *
 * Names have no prefix ("model.", "transformer.", ...): bind.c finds out what
 * stands before the embedding's name and looks there and in its parents. */
#ifndef QN_MODEL_NAMES_H
#define QN_MODEL_NAMES_H

#include <stdbool.h>

typedef enum qn_role {
    /* of the whole network */
    QN_R_EMBED,
    QN_R_POS_EMBED,
    QN_R_EMBED_NORM,
    QN_R_PROJ_IN,
    QN_R_PROJ_OUT,
    QN_R_FINAL_NORM,
    QN_R_HEAD,
    QN_R_PLE_EMBED, /* inputs of each layer */
    QN_R_PLE_PROJ,
    QN_R_PLE_NORM,
    QN_R_ALT_PROJ, /* one per stream but the first */
    QN_R_ALT_UNPROJ,
    QN_R_GLOBAL_N,
    /* of a layer */
    QN_R_ATTN_NORM = QN_R_GLOBAL_N,
    QN_R_Q_A, /* latent vectors */
    QN_R_Q_A_NORM,
    QN_R_KV_A,
    QN_R_KV_A_NORM,
    QN_R_Q,
    QN_R_K,
    QN_R_V,
    QN_R_O,
    QN_R_DIFF_Q1, /* lambda of differential attention */
    QN_R_DIFF_K1,
    QN_R_DIFF_Q2,
    QN_R_DIFF_K2,
    QN_R_ATTN_ROUTER,
    QN_R_ATTN_GATE,
    QN_R_O_NORM, /* of the heads' outputs */
    QN_R_SINKS,
    QN_R_Q_NORM,
    QN_R_K_NORM,
    QN_R_ATTN_POST_NORM,
    QN_R_REC_X,      /* what is convolved: x; mamba 2 x, B, C; delta v   */
    QN_R_REC_Z,      /* the gate                                         */
    QN_R_REC_Q,      /* delta                                            */
    QN_R_REC_K,      /* delta                                            */
    QN_R_REC_B,      /* short convolution: factor on x before it         */
    QN_R_REC_DT,     /* time steps (delta: of the decay)                 */
    QN_R_REC_BETA,   /* delta                                            */
    QN_R_REC_CONV,   /* vector [n_tap, channels]                         */
    QN_R_REC_PARAMS, /* mamba: low-rank time steps, B, C from x          */
    QN_R_REC_DT_UP,  /* mamba: time steps from low-rank ones             */
    QN_R_REC_DT_BIAS,
    QN_R_REC_A, /* vector, negative when loaded                     */
    QN_R_REC_D,
    QN_R_REC_DT_NORM,
    QN_R_REC_B_NORM,
    QN_R_REC_C_NORM,
    QN_R_REC_NORM, /* at the gate */
    QN_R_REC_OUT,
    QN_R_MLP_NORM,
    QN_R_GATE,
    QN_R_UP,
    QN_R_XIELU_P, /* parameters of the activation */
    QN_R_XIELU_N,
    QN_R_XIELU_BETA,
    QN_R_XIELU_EPS,
    QN_R_DOWN,
    QN_R_DOWN_NORM, /* of what goes into it */
    QN_R_MLP_POST_NORM,
    QN_R_ROUTER,
    QN_R_ROUTE_BIAS, /* for the choice */
    QN_R_EXP_GATE,   /* one per expert */
    QN_R_EXP_UP,
    QN_R_EXP_DOWN,
    QN_R_EXP_Q, /* experts of attention */
    QN_R_EXP_O,
    QN_R_MOE_BIAS,
    QN_R_ROUTER_NORM, /* experts beside a dense feed-forward */
    QN_R_EXP_SCALE,
    QN_R_MLP_OWN_NORM,
    QN_R_EXP_NORM,
    QN_R_EXP_POST_NORM,
    QN_R_PLE_GATE,
    QN_R_PLE_OUT,
    QN_R_PLE_POST_NORM,
    QN_R_LAYER_SCALE,
    QN_R_ALT_ROUTER, /* alternating updates */
    QN_R_ALT_ROUTER_NORM,
    QN_R_ALT_PREDICT,
    QN_R_ALT_CORRECT,
    QN_R_ALT_SCALE,
    QN_R_LAUREL_LEFT,
    QN_R_LAUREL_RIGHT,
    QN_R_LAUREL_NORM,
    QN_R_ATTN_MOE_BIAS,
    QN_R_SHARED_ROUTER, /* the expert that every row visits */
    QN_R_SHARED_GATE,
    QN_R_SHARED_UP,
    QN_R_SHARED_DOWN,
    QN_R_N
} qn_role;

/* Which rows of the tensor are the role's. */
typedef enum qn_cut {
    QN_CUT_WHOLE,
    QN_CUT_QKV,         /* all q, all k, all v                            */
    QN_CUT_QKV_HEADS,   /* per kv head: its q heads, its k, its v         */
    QN_CUT_KV,          /* all k, all v                                   */
    QN_CUT_KV_HEADS,    /* per head its k, its v                          */
    QN_CUT_QVK_4,       /* in four parts, each all its q, v, k (CodeGen)  */
    QN_CUT_GATE_UP,     /* all gate, all up                               */
    QN_CUT_GATE_UP_MIX, /* gate and up by turns                           */
    QN_CUT_Q_GATE,      /* per head: its q, its gate                      */
    QN_CUT_REC,         /* parts of a recurrent layer, one after the other */
    QN_CUT_REC_HEADS    /* delta, per key head: q, k, its v, its z;
                           or its beta, its time steps                    */
} qn_cut;

enum {
    QN_NAME_TRANSPOSED = 1, /* stored [n_in, n_out]                      */
    QN_NAME_BARE = 2,       /* without ".weight" behind                  */
    QN_NAME_FLAT = 4,       /* experts stacked in the rows: [n_exp * n, m] */
    QN_NAME_EITHER = 16,    /* ... or not: as the experts' output lies   */
    QN_NAME_BY_HEAD = 8     /* stored [n_head, n, n_in]; transposed
                               [n_head, n_in, n]                        */
};

typedef struct qn_name {
    qn_role role;
    const char *name; /* with "%d" for the expert, if each has a tensor */
    qn_cut cut;
    int flags;
} qn_name;

typedef struct qn_names {
    const struct qn_names *base;
    const char *layer; /* stands before the names of layers, with "%d" */
    int n_rows;
    const qn_name *rows;
} qn_names;

extern const qn_names qn_names_llama, qn_names_opt, qn_names_stablelm,
    qn_names_gpt2, qn_names_openai_gpt, qn_names_gpt_neox, qn_names_mixtral,
    qn_names_gemma2, qn_names_phi, qn_names_phi3, qn_names_olmo2,
    qn_names_starcoder2, qn_names_glm, qn_names_glm4, qn_names_gptj,
    qn_names_codegen, qn_names_gpt_neo, qn_names_bigcode, qn_names_falcon,
    qn_names_mpt, qn_names_persimmon, qn_names_vaultgemma, qn_names_hunyuan,
    qn_names_qwen_moe, qn_names_granite_moe, qn_names_deepseek,
    qn_names_ernie_moe, qn_names_flex_olmo, qn_names_minimax,
    qn_names_hunyuan_moe, qn_names_afmoe, qn_names_bitnet, qn_names_gpt_oss,
    qn_names_llama4, qn_names_apertus, qn_names_gemma3n, qn_names_gemma4,
    qn_names_mla, qn_names_diffllama, qn_names_jetmoe, qn_names_dbrx,
    qn_names_phimoe, qn_names_xglm, qn_names_qwen3_vl_moe, qn_names_internlm2,
    qn_names_exaone;

/* Recurrent layers. */
extern const qn_names qn_names_mamba, qn_names_jamba, qn_names_granite_hybrid,
    qn_names_nemotron_h, qn_names_lfm2, qn_names_qwen_next;

/* GGUF has one set of names for all families, or nearly. */
extern const qn_names qn_names_gguf, qn_names_gguf_one_block,
    qn_names_gguf_gate_up, qn_names_gguf_post_attn, qn_names_gguf_dbrx,
    qn_names_gguf_falcon, qn_names_gguf_delta;

/* The at-th row of a role (0, 1, ...), NULL behind the last. */
const qn_name *qn_names_row(const qn_names *t, qn_role role, int at);
/* "layers.%d." or what the table or its base has. */
const char *qn_names_layer(const qn_names *t);

/* Tensors that checkpoints carry along and nobody needs: a buffer that is
 * computed, a second copy. `name` is whole. */
bool qn_names_idle(const char *name);

/* "query projection", ... for messages and listings. */
const char *qn_role_name(qn_role role);

#endif
