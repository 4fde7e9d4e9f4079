/* tok_charsmap.h - the Precompiled normalizer. In its step: text is the map,
 * start the number of units of its trie, stop where its strings begin. */
#ifndef QN_TEXT_TOK_CHARSMAP_H
#define QN_TEXT_TOK_CHARSMAP_H

#include "text/tok_step.h"

int qn_tok_charsmap_parse(qn_tok_step *s, const json_t *o, const char *doc,
                          qn_err *err);
/* The same from the bytes themselves (GGUF, SentencePiece); none: no map. */
int qn_tok_charsmap_set(qn_tok_step *s, qn_view blob, const char *doc,
                        qn_err *err);
/* What the longest key that begins p[n] stands for, and its length, as
 * SentencePiece looks it up; p NULL: there is none. */
qn_view qn_tok_charsmap_longest(const qn_tok_step *s, const char *p, size_t n,
                                size_t *used);
int qn_tok_charsmap_run(const qn_tok_step *s, qn_tok_work *w);

#endif
