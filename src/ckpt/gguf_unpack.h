/* gguf_unpack.h - a GGUF file as an unquantized Hugging Face folder: what
 * gguf_export.h does, backwards.
 *
 * Numbers stay in f32, f16 or bf16; q8_0 becomes f16. Tensors in formats of
 * fewer bits are refused: what is made of them again would be worse than what
 * it was made from. Writes model.safetensors and config.json; a tokenizer is
 * the caller's matter. Threads: none. */
#ifndef QN_CKPT_GGUF_UNPACK_H
#define QN_CKPT_GGUF_UNPACK_H

#include "ckpt/ckpt.h"

typedef struct qn_gguf_unpack {
    /* One name of GGUF is that of several in checkpoints; whether the family
     * says it so ("mlp.up_proj", of a layer or not). */
    bool (*is_name)(void *user, const char *name, bool of_layer);
    void *user;
    const char *layer; /* stands before the names of layers, with "%d" */
} qn_gguf_unpack;

/* QN_EUNSUP names the family or the tensor that has no counterpart. */
int qn_gguf_unpack_run(const qn_ckpt *ck, const char *dir,
                       const qn_gguf_unpack *how, qn_err *err);

#endif
