/* parts.h - what a qn_model is made of, for the folders of the library that
 * measure it below the level of requests.
 *
 * Borrowed until qn_model_close. Threads: as the parts themselves say. */
#ifndef QN_ENGINE_PARTS_H
#define QN_ENGINE_PARTS_H

#include "model/model.h"
#include "text/tokenizer.h"

/* NULL when the model was opened for its text only. */
qn_net *qn_model_net(const qn_model *model);
/* QN_EUNSUP when it has no usable tokenizer, and why. */
int qn_model_tok(const qn_model *model, const qn_tok **tok, qn_err *err);
/* The path as it was given; of the built-in model where it lies. */
const char *qn_model_path(const qn_model *model);
/* Arithmetic in f32 on the dequantized weights. */
bool qn_model_is_exact(const qn_model *model);
/* What `type` means for this model's KV cache. */
qn_kv_dtype qn_model_kv_cell(const qn_model *model, qn_kv_type type);

#endif
