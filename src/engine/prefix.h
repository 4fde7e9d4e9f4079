/* prefix.h - the prefix cache: full KV pages of prompts and completions that
 * have ended (or still run), found again by the tokens that they hold.
 *
 * A tree: a node is one full page, its key the tokens of that page, its parent
 * the page before it; roots differ by salt, so that tenants who do not share a
 * salt share nothing. The cache holds one reference to each of its pages. A
 * page to which it alone holds one counts as free (pages.h) and is given up,
 * the longest unused leaf first, when somebody needs a page.
 *
 * Invariants
 *  1. Who holds a node's page holds those of all its ancestors (qn_prefix_add
 *     swaps a page that was computed twice for the one in the tree). So a
 *     node that the cache alone holds has no descendant in use, and a leaf to
 *     give up can be found whenever such a node exists.
 *  2. A page in the tree is full, hence never written to.
 *  3. The tokens of a node are compared, not only hashed: two prompts cannot
 *     meet by accident or by intent.
 *
 * Only for networks whose KV is one group without a window and without other
 * state: elsewhere a page alone does not hold what the next token needs. */
#ifndef QN_ENGINE_PREFIX_H
#define QN_ENGINE_PREFIX_H

#include "engine/pages.h"

typedef struct qn_prefix qn_prefix;
typedef struct qn_prefix_node qn_prefix_node;

/* For the pages of one group; `pages` is borrowed and asks it for pages from
 * then on. */
qn_prefix *qn_prefix_new(qn_pages *pages, int page_tokens);
/* Gives all pages back. NULL is fine. */
void qn_prefix_free(qn_prefix *c);

/* How many of the n tokens' full pages are in the tree, from the first on; at
 * most `max`. Takes a reference to each for the caller, ids into out. *last
 * is the node of the last one (NULL: none). */
int qn_prefix_match(qn_prefix *c, uint64_t salt, const int32_t *tokens,
                    size_t n, int max, int32_t *out, qn_prefix_node **last);

/* Page `id` holds `tokens` (page_tokens of them) and follows `parent` (NULL:
 * it is the first). Returns its node, and sets *id to the page in the tree: if
 * that is another one, the caller's reference has moved to it. */
qn_prefix_node *qn_prefix_add(qn_prefix *c, uint64_t salt,
                              qn_prefix_node *parent, const int32_t *tokens,
                              int32_t *id);

#endif
