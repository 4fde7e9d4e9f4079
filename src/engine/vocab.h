/* vocab.h - the tokenizer and the chat template of a checkpoint, wherever its
 * container keeps them. */
#ifndef QN_ENGINE_VOCAB_H
#define QN_ENGINE_VOCAB_H

#include "ckpt/ckpt.h"
#include "text/tokenizer.h"

/* The directory of an HF checkpoint; qn_free it. */
char *qn_vocab_dir(const qn_ckpt *ck);
/* QN_ENOENT when the checkpoint has no vocabulary at all. */
int qn_vocab_open(qn_tok **out, const qn_ckpt *ck, qn_err *err);

#endif
