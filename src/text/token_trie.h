/* token_trie.h - a vocabulary as a tree over its tokens' bytes, and which of
 * the tokens a grammar allows next.
 *
 * The tree lies in one array in the order of a walk; each node knows where its
 * subtree ends. So a mask is one pass over the array that jumps over what the
 * grammar does not allow.
 *
 * Tokens without bytes (control tokens), or with more than QN_TRIE_MAX, are
 * never allowed. Immutable once made; owns its memory. */
#ifndef QN_TEXT_TOKEN_TRIE_H
#define QN_TEXT_TOKEN_TRIE_H

#include "text/grammar.h"
#include "text/tokenizer.h"

#define QN_TRIE_MAX 255

typedef struct qn_trie qn_trie;

/* Of ids below n_ids. QN_EUNSUP when hardly a token's bytes are known. */
int qn_trie_new(qn_trie **out, const qn_tok *t, int n_ids, qn_err *err);
void qn_trie_free(qn_trie *t); /* NULL is fine */

/* n = 0: never allowed. */
qn_view qn_trie_bytes(const qn_trie *t, int32_t id);

/* Sets bit id (id / 32, id % 32) of bits[(n_ids + 31) / 32] for what is allowed
 * in `state`, clears all others; returns how many are allowed. */
int qn_trie_mask(const qn_trie *t, qn_grammar *g, uint32_t state,
                 uint32_t *bits);
/* The state behind a token. */
uint32_t qn_trie_advance(const qn_trie *t, qn_grammar *g, uint32_t state,
                         int32_t id);

#endif
