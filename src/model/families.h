/* families.h - a family of networks as one row (families*.c).
 *
 * hparams.c fills a qn_hparams from the row's constants, then from the keys
 * of config.json; names.h says what its tensors are called. docs/new-model.md
 * tells how to add one. */
#ifndef QN_MODEL_FAMILIES_H
#define QN_MODEL_FAMILIES_H

#include "model/hparams.h"
#include "model/keys.h"

#define QN_FAMILY_DEFAULTS 28

struct qn_names;

/* Which layers slide, when config.json does not list layer_types. */
typedef enum qn_slide {
    QN_SLIDE_NONE,
    QN_SLIDE_ALL,
    QN_SLIDE_EVERY,        /* all but each n-th: sliding_window_pattern    */
    QN_SLIDE_BEHIND,       /* the same, but the first of each n is full    */
    QN_SLIDE_FROM,         /* from max_window_layers on, use_sliding_window */
    QN_SLIDE_ROTATED_CHUNK /* not sliding: rotated layers in chunks */
} qn_slide;

/* What a layer is, when config.json does not tell. */
typedef enum qn_layer_kind {
    QN_LAYER_ATTN,
    QN_LAYER_REC,
    QN_LAYER_BOTH
} qn_layer_kind;

typedef struct qn_family {
    const char *type;  /* model_type */
    const char *inner; /* a wrapper: the member that holds the text model's
                          configuration; its type is inner_type, or (NULL) the
                          model_type that it says */
    const char *inner_type;

    /* Keys of its own by their first spelling, and keys that it ignores,
     * blank-separated (keys.h). */
    const char *keys, *ignores;
    const char *nested; /* members whose own members count as "nested.key" */
    /* "key=value ..." in JSON's spelling: keys that may say this alone. */
    const char *expects;

    /* What a key means when config.json does not have it: the defaults of
     * the family's configuration class. */
    qn_default defaults[QN_FAMILY_DEFAULTS];

    qn_slide slide;
    qn_layer_kind kind;
    bool no_attn;   /* no layer ever attends: heads in the configuration are
                       those of the recurrent layers */
    bool no_ff;     /* no layer has a feed-forward */
    bool one_block; /* a layer is attention, or recurrent, or a feed-forward */
    /* What no rope_parameters and no rope_scaling mean: JSON, NULL: plain. */
    const char *rope_default;
    bool embed_sqrt;   /* embeddings times sqrt(d_model) */
    bool act_fixed;    /* whatever hidden_act says */
    bool last_full;    /* the last layer never slides */
    bool gelu_is_tanh; /* files say "gelu" where the tanh form was trained */
    bool nope_full;    /* full layers do not rotate where others slide */
    bool pos_named;    /* rotates only if position_embedding_type says so */
    bool alibi_scaled; /* slopes are multiplied like q . k */
    bool o_unbiased;   /* attention_bias means q, k, v alone */
    bool gguf_interleaved; /* converters reorder q and k rows so that the
                              rotation pairs neighbours */
    bool gguf_by_turns;    /* ... and value heads: qn_rec_hp.by_turns */
    const struct qn_names *names;
    const struct qn_names *gguf; /* NULL: qn_names_gguf */

    qn_hparams hp; /* constants of the family */
} qn_family;

/* NULL when there is no row. */
const qn_family *qn_family_find(const char *model_type);
/* QN_EUNSUP: what the network is instead, as far as its name or its
 * configuration tell, or the names that are most like it. */
int qn_family_unknown(const char *model_type, const json_t *config,
                      qn_err *err);

#endif
