/* synth_shape.h - the shapes that can be made: dimensions, and from them the
 * list of tensors and the configuration. */
#ifndef QN_CLI_SYNTH_SHAPE_H
#define QN_CLI_SYNTH_SHAPE_H

#include "base/err.h"
#include "base/json.h"

typedef enum qn_synth_family {
    QN_SYNTH_LLAMA, /* llama, mistral, qwen2, qwen3: gated, rms norms */
    QN_SYNTH_MOE,   /* mixtral: the same with experts                 */
    QN_SYNTH_OPT,
    QN_SYNTH_GPT2
} qn_synth_family;

typedef struct qn_synth_shape {
    const char *name;
    qn_synth_family family;
    const char *model_type, *arch;
    int n_vocab, n_layer, d_model, d_ff, n_head, n_kv, d_head;
    int n_ctx;
    double rope_theta;
    int bos, eos;   /* bos -1: none */
    bool tied;      /* the head is the embedding                      */
    bool qkv_bias;  /* qwen2                                          */
    bool qk_norm;   /* qwen3                                          */
    bool llama3;    /* llama 3.1's rope scaling                       */
    int n_exp;      /* mixtral                                        */
    int d_embed;    /* opt-350m: another width of the embeddings      */
    bool post_norm; /* opt-350m                                       */
} qn_synth_shape;

const qn_synth_shape *qn_synth_shape_find(const char *name);
const qn_synth_shape *qn_synth_shape_at(size_t i);

typedef enum qn_synth_fill {
    QN_FILL_MATRIX, /* normal, deviation 1 / sqrt(columns)                */
    QN_FILL_BRANCH, /* the same / sqrt(2 n_layer): ends a residual branch */
    QN_FILL_EMBED,  /* so that a tied head gives logits of deviation ~2.5 */
    QN_FILL_GAIN,   /* about 1                                            */
    QN_FILL_BIAS    /* about 0                                            */
} qn_synth_fill;

typedef struct qn_synth_tensor {
    char name[128];
    int64_t rows, cols; /* rows 0: a vector of cols */
    int64_t fan_in;
    qn_synth_fill fill;
} qn_synth_tensor;

/* The i-th tensor of a shape in the order of the file; false behind the
 * last. */
bool qn_synth_tensor_at(const qn_synth_shape *s, size_t i, qn_synth_tensor *t);

/* config.json, as transformers 4 and 5 both read it. */
json_t *qn_synth_config(const qn_synth_shape *s, const char *torch_dtype);

#endif
