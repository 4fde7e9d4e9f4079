/* from_gguf.h - a GGUF source for the methods that write Hugging Face folders:
 * the folder that it would be, unquantized, with its tokenizer.
 *
 * The tokenizer: "gpt2" becomes a tokenizer.json, "llama" a tokenizer.model;
 * other kinds are refused. */
#ifndef QN_QUANTIZE_FROM_GGUF_H
#define QN_QUANTIZE_FROM_GGUF_H

#include "quantize/optimize_int.h"

/* Makes the folder; `net` is the file's network. */
int qn_from_gguf(const qn_ckpt *ck, const qn_net *net, const char *dir,
                 qn_err *err);

#endif
