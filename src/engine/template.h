/* template.h - the chat template of a model: found in the checkpoint, compiled,
 * rendered with JSON texts. */
#ifndef QN_ENGINE_TEMPLATE_H
#define QN_ENGINE_TEMPLATE_H

#include "base/str.h"
#include "ckpt/ckpt.h"
#include "text/tokenizer.h"

typedef struct qn_template qn_template;

/* QN_ENOENT when the checkpoint has none; QN_EFORMAT or QN_EUNSUP when it has
 * one that cannot be rendered exactly. `tok` may be NULL. */
int qn_template_open(qn_template **out, const qn_ckpt *ck, const qn_tok *tok,
                     qn_err *err);
/* The same from a folder, whether or not it holds a checkpoint. */
int qn_template_open_dir(qn_template **out, const char *dir, const qn_tok *tok,
                         qn_err *err);
void qn_template_close(qn_template *t);
/* As qn_chat_render (quern.h); appends to out. */
int qn_template_render(const qn_template *t, const char *messages,
                       const char *tools, bool add_generation_prompt,
                       const char *kwargs, qn_str *out, qn_err *err);

#endif
