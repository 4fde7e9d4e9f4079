/* gguf_export_int.h - between the parts that turn a checkpoint into GGUF:
 * gguf_export.c (tensors), gguf_export_meta.c (configuration),
 * gguf_export_tok.c (tokenizer); and back: gguf_unpack.c. */
#ifndef QN_CKPT_GGUF_EXPORT_INT_H
#define QN_CKPT_GGUF_EXPORT_INT_H

#include "ckpt/gguf_config_int.h"
#include "ckpt/gguf_export.h"

typedef enum qn_gguf_order {
    QN_GGUF_AS_IS,
    QN_GGUF_PAIRED, /* a head's halves (0, i), (1, i) by turns: llama's q, k */
    QN_GGUF_TRANSPOSED, /* stored [n_in, n_out] */
    QN_GGUF_QKV,        /* head by head q, k, v: all q, all k, all v */
} qn_gguf_order;

typedef struct qn_gguf_source {
    qn_gguf_export_tensor t;
    qn_gguf_order order;
    int n_head;             /* of the order */
    float add, mul;         /* (x + add) * mul */
    const qn_tensor **from; /* [n_from] experts, or one; NULL: values */
    int n_from;
    const float *values; /* computed */
} qn_gguf_source;

/* The numbers that most of it needs. */
typedef struct qn_gguf_dims {
    int64_t n_layer, d_model, d_ff, n_head, n_kv, d_head, n_rot, context;
} qn_gguf_dims;

struct qn_gguf_export {
    const qn_ckpt *ck;
    const json_t *config;
    const qn_gguf_arch_row *row;
    qn_gguf_dims dims;
    qn_arena arena;
    QN_VEC(qn_gguf_source) tensors;
    int64_t n_vocab; /* rows of the embedding */
};

/* config[a], or [b], or NULL; null counts as absent. */
const json_t *qn_gguf_config_get(const json_t *config, const char *a,
                                 const char *b);
/* Fills dims; refuses features that GGUF cannot say. */
int qn_gguf_export_check(qn_gguf_export *e, qn_err *err);
/* The k-th tensor of checkpoints whose name in GGUF is `gguf` (without layer
 * and kind), and what is done to it on the way; NULL behind the last. */
const char *qn_gguf_source_find(const qn_gguf_export *e, const char *gguf,
                                bool of_layer, size_t k, qn_gguf_source *s,
                                bool *stacked);
/* Row `row` in GGUF is which one of the source's (element, of a vector). */
int64_t qn_gguf_source_row(const qn_gguf_source *s, int64_t row);
/* What the order of heads asks of s->t's rows. */
int qn_gguf_source_check(const qn_gguf_export *e, const qn_gguf_source *s,
                         const qn_tensor *t, qn_err *err);
/* Adds the tensors that are computed from rope_parameters. */
int qn_gguf_export_rope(qn_gguf_export *e, qn_err *err);
/* A tensor of n numbers that is computed; values live in the arena. */
float *qn_gguf_export_add(qn_gguf_export *e, const char *name, int64_t n);

#endif
