/* prefix.c - see prefix.h. Nodes are found by hash (parent, tokens) in an open
 * table of fixed size; there are never more nodes than pages. */
#include "engine/prefix.h"

#include "base/map.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct qn_prefix_node {
    qn_prefix_node *parent;    /* NULL: first page of its prompts */
    qn_prefix_node *next;      /* in its bucket */
    uint64_t salt, hash, used; /* used: when it was looked at last */
    int32_t id;                /* page; -1: not in the tree */
    int n_children;
    int32_t *tokens; /* [page_tokens] */
};

struct qn_prefix {
    qn_pages *pages;
    int page_tokens;
    uint64_t clock;
    size_t n_buckets; /* a power of two */
    qn_prefix_node **buckets;
    qn_prefix_node *nodes; /* [pages->n], by page id */
    int32_t *tokens;       /* theirs */
};

static uint64_t hash_of(const qn_prefix *c, uint64_t salt,
                        const qn_prefix_node *parent, const int32_t *tokens)
{
    uint64_t up[2] = {salt, parent ? parent->hash : 0};
    uint64_t both[2] = {qn_hash(up, sizeof up),
                        qn_hash(tokens,
                                (size_t)c->page_tokens * sizeof *tokens)};
    return qn_hash(both, sizeof both);
}

static qn_prefix_node **bucket(const qn_prefix *c, uint64_t hash)
{
    return &c->buckets[hash & (c->n_buckets - 1)];
}

static qn_prefix_node *find(const qn_prefix *c, uint64_t salt,
                            const qn_prefix_node *parent, uint64_t hash,
                            const int32_t *tokens)
{
    size_t bytes = (size_t)c->page_tokens * sizeof *tokens;
    for (qn_prefix_node *n = *bucket(c, hash); n; n = n->next)
        if (n->hash == hash && n->parent == parent && n->salt == salt &&
            memcmp(n->tokens, tokens, bytes) == 0)
            return n;
    return NULL;
}

static void take_out(qn_prefix *c, qn_prefix_node *n)
{
    assert(n->n_children == 0);
    qn_prefix_node **at = bucket(c, n->hash);
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    if (n->parent)
        n->parent->n_children--;
    int32_t id = n->id;
    n->id = -1;
    qn_pages_uncache(c->pages, id);
}

/* A page is needed and none is free: the leaf that was unused for longest. */
static void give_up_one(void *user)
{
    qn_prefix *c = user;
    qn_prefix_node *best = NULL;
    for (int i = 0; i < c->pages->n; i++) {
        qn_prefix_node *n = &c->nodes[i];
        if (n->id >= 0 && n->n_children == 0 && c->pages->refs[n->id] == 1 &&
            (!best || n->used < best->used))
            best = n;
    }
    assert(best);
    take_out(c, best);
}

qn_prefix *qn_prefix_new(qn_pages *pages, int page_tokens)
{
    qn_prefix *c = qn_xcalloc(1, sizeof *c);
    size_t n = (size_t)pages->n;
    c->pages = pages;
    c->page_tokens = page_tokens;
    c->n_buckets = 64;
    while (c->n_buckets < n)
        c->n_buckets *= 2;
    c->buckets = qn_xcalloc(c->n_buckets, sizeof *c->buckets);
    c->nodes = qn_xcalloc(n, sizeof *c->nodes);
    c->tokens = qn_xcalloc(n * (size_t)page_tokens, sizeof *c->tokens);
    for (size_t i = 0; i < n; i++) {
        c->nodes[i].id = -1;
        c->nodes[i].tokens = c->tokens + i * (size_t)page_tokens;
    }
    pages->give_up = give_up_one;
    pages->give_up_user = c;
    return c;
}

void qn_prefix_free(qn_prefix *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->pages->n; i++)
        if (c->nodes[i].id >= 0)
            qn_pages_uncache(c->pages, c->nodes[i].id);
    c->pages->give_up = NULL;
    free(c->buckets);
    free(c->nodes);
    free(c->tokens);
    free(c);
}

int qn_prefix_match(qn_prefix *c, uint64_t salt, const int32_t *tokens,
                    size_t n, int max, int32_t *out, qn_prefix_node **last)
{
    int found = 0;
    *last = NULL;
    while (found < max && (size_t)(found + 1) * (size_t)c->page_tokens <= n) {
        const int32_t *page = tokens + (size_t)found * (size_t)c->page_tokens;
        uint64_t hash = hash_of(c, salt, *last, page);
        qn_prefix_node *node = find(c, salt, *last, hash, page);
        if (!node)
            break;
        qn_pages_ref(c->pages, node->id);
        node->used = ++c->clock;
        out[found++] = node->id;
        *last = node;
    }
    return found;
}

qn_prefix_node *qn_prefix_add(qn_prefix *c, uint64_t salt,
                              qn_prefix_node *parent, const int32_t *tokens,
                              int32_t *id)
{
    uint64_t hash = hash_of(c, salt, parent, tokens);
    qn_prefix_node *n = find(c, salt, parent, hash, tokens);
    if (n) {
        n->used = ++c->clock;
        if (n->id != *id) {
            qn_pages_ref(c->pages, n->id);
            qn_pages_unref(c->pages, *id);
            *id = n->id;
        }
        return n;
    }
    n = &c->nodes[*id];
    assert(n->id < 0);
    n->id = *id;
    n->parent = parent;
    n->salt = salt;
    n->hash = hash;
    n->used = ++c->clock;
    n->n_children = 0;
    memcpy(n->tokens, tokens, (size_t)c->page_tokens * sizeof *tokens);
    n->next = *bucket(c, hash);
    *bucket(c, hash) = n;
    if (parent)
        parent->n_children++;
    qn_pages_cache(c->pages, *id);
    return n;
}
