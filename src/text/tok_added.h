/* tok_added.h - tokens that are found in the text before anything else is done
 * to it: control tokens, and words added to a vocabulary later.
 *
 * Plain ones are looked for in the text as given; `normalized` ones in the
 * normalized text, in their own normalized form. */
#ifndef QN_TEXT_TOK_ADDED_H
#define QN_TEXT_TOK_ADDED_H

#include "base/map.h"
#include "text/tok_work.h"

#define QN_TOK_MAX_ADDED_LEN 1024

typedef struct qn_tok_added_token {
    qn_view content; /* owned */
    qn_view form;    /* as normalized, owned; p NULL: same as content */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool hidden; /* never found in a text */
} qn_tok_added_token;

struct qn_tok_trie_node;
typedef struct qn_tok_trie {
    struct qn_tok_trie_node *nodes;
    uint32_t n, cap;
    uint32_t root[256]; /* first node by first byte, 0: none */
    int only;           /* the one first byte there is, or -1 */
} qn_tok_trie;

/* For other sets of words; text is not empty. */
void qn_tok_trie_add(qn_tok_trie *t, qn_view text, uint32_t token);
/* The longest word that begins at p[i]: its end, and its token; 0: none. */
size_t qn_tok_trie_match(const qn_tok_trie *t, const char *p, size_t n,
                         size_t i, uint32_t *token);

typedef struct qn_tok_added {
    QN_VEC(qn_tok_added_token) v;
    qn_map by_text;  /* content -> index          */
    uint32_t *by_id; /* [n_ids] index + 1, 0: none */
    uint32_t n_ids;
    qn_tok_trie plain, normalized;
} qn_tok_added;

void qn_tok_added_init(qn_tok_added *a);
void qn_tok_added_deinit(qn_tok_added *a);
/* Adds a token, or changes the one of this content. tok->content and ->form
 * are copied. */
int qn_tok_added_put(qn_tok_added *a, const qn_tok_added_token *tok,
                     const char *name, qn_err *err);
/* When all are put: builds what is searched with. */
void qn_tok_added_ready(qn_tok_added *a);
/* NULL when the id is not an added token's. */
const qn_tok_added_token *qn_tok_added_get(const qn_tok_added *a, int64_t id);
/* -1 when there is none. */
int32_t qn_tok_added_find(const qn_tok_added *a, const char *p, size_t n);
/* Cuts the tokens out of every piece without an id. */
void qn_tok_added_split(const qn_tok_added *a, const qn_tok_trie *trie,
                        qn_tok_work *w);

#endif
