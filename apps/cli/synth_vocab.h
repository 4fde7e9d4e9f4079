/* synth_vocab.h - a byte-level BPE vocabulary of any size. */
#ifndef QN_CLI_SYNTH_VOCAB_H
#define QN_CLI_SYNTH_VOCAB_H

#include "base/err.h"
#include "base/str.h"

/* tokenizer.json with n_vocab ids: bytes, then lower-case syllables of two
 * and three letters, with and without a space before, that merges build; then
 * longer words that only decoding uses. bos (-1: none) is added to a text. */
void qn_synth_tokenizer(int n_vocab, int bos, int eos, qn_str *out);
/* tokenizer_config.json, with a plain chat template. */
void qn_synth_tokenizer_config(int bos, qn_str *out);

#endif
