/* synth.h - a checkpoint with random weights, in Hugging Face layout, so that
 * anybody can measure a shape without downloading it.
 *
 * config.json, generation_config.json, model.safetensors (in shards with an
 * index where it is large), tokenizer.json (byte-level BPE) and
 * tokenizer_config.json (a plain chat template). The weights are scaled so
 * that activations and logits stay in the range of a trained model's.
 *
 * Deterministic: the same shape, type and seed give the same bytes. Memory
 * stays at a few megabytes. One thread. */
#ifndef QN_CLI_SYNTH_H
#define QN_CLI_SYNTH_H

#include "base/err.h"

typedef struct qn_synth_params {
    const char *shape; /* a name of qn_synth_shape_name */
    const char *dtype; /* "bf16", "f16", "f32"          */
    uint64_t seed;
    const char *dir;     /* made; files of these names are replaced */
    uint64_t shard_size; /* bytes of tensors per file, 0: 4 GiB     */
    int n_layer;         /* 0: the shape's                          */
    qn_progress_fn progress;
    void *progress_user;
} qn_synth_params;

/* QN_EINVAL for an unknown shape or type, QN_ECANCEL when progress says so
 * (what is whole stays, nothing half written does). */
int qn_synth_write(const qn_synth_params *p, qn_err *err);

/* The i-th shape, or NULL; *n_params its parameter count. */
const char *qn_synth_shape_name(size_t i, uint64_t *n_params);

#endif
