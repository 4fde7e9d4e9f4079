/* token_trie.c - see token_trie.h. */
#include "text/token_trie.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct trie_node {
    uint8_t byte, depth; /* 1: first byte of a token */
    uint32_t end;        /* nodes [this + 1, end) lie below it */
    uint32_t first;      /* ids[first ..) end here, up to the next node's */
} trie_node;

struct qn_trie {
    int n_ids;
    qn_str bytes;    /* of all tokens, by id */
    size_t *at;      /* [n_ids + 1] into bytes */
    uint32_t *ids;   /* by bytes */
    uint32_t n_with; /* how many have some */
    QN_VEC(trie_node) nodes;
};

qn_view qn_trie_bytes(const qn_trie *t, int32_t id)
{
    if (id < 0 || id >= t->n_ids)
        return qn_view_of("", 0);
    return qn_view_of(t->bytes.p + t->at[id], t->at[id + 1] - t->at[id]);
}

static void read_vocabulary(qn_trie *t, const qn_tok *tok)
{
    for (int32_t id = 0; id < t->n_ids; id++) {
        t->at[id] = t->bytes.n;
        if (!qn_tok_bytes(tok, id, &t->bytes))
            continue;
        size_t n = t->bytes.n - t->at[id];
        if (n > QN_TRIE_MAX)
            t->bytes.n = t->at[id];
        else if (n > 0)
            t->ids[t->n_with++] = (uint32_t)id;
    }
    t->at[t->n_ids] = t->bytes.n;
}

static int by_bytes(const void *a, const void *b, void *trie)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    qn_view x = qn_trie_bytes(trie, (int32_t)i);
    qn_view y = qn_trie_bytes(trie, (int32_t)j);
    int d = memcmp(x.p, y.p, QN_MIN(x.n, y.n));
    if (d == 0)
        d = (x.n > y.n) - (x.n < y.n);
    return d ? d : (i > j) - (i < j);
}

/* Nodes in the order of the sorted tokens: what a token has in common with the
 * one before it is there already. */
static void build(qn_trie *t)
{
    uint32_t path[QN_TRIE_MAX + 1]; /* node of each depth */
    size_t depth = 0;
    qn_view last = {NULL, 0};
    for (uint32_t i = 0; i < t->n_with; i++) {
        qn_view v = qn_trie_bytes(t, (int32_t)t->ids[i]);
        size_t same = 0;
        while (same < QN_MIN(v.n, last.n) && v.p[same] == last.p[same])
            same++;
        for (; depth > same; depth--)
            t->nodes.v[path[depth]].end = (uint32_t)t->nodes.n;
        for (; depth < v.n; depth++) {
            trie_node n = {.byte = (uint8_t)v.p[depth],
                           .depth = (uint8_t)(depth + 1),
                           .first = i};
            path[depth + 1] = (uint32_t)t->nodes.n;
            qn_vec_push(&t->nodes, n);
        }
        last = v;
    }
    for (; depth > 0; depth--)
        t->nodes.v[path[depth]].end = (uint32_t)t->nodes.n;
    /* one more, where the tokens of the last node end */
    qn_vec_push(&t->nodes, ((trie_node){.first = t->n_with}));
}

int qn_trie_new(qn_trie **out, const qn_tok *tok, int n_ids, qn_err *err)
{
    qn_trie *t = qn_xcalloc(1, sizeof *t);
    t->n_ids = n_ids;
    t->at = qn_xcalloc((size_t)n_ids + 1, sizeof *t->at);
    t->ids = qn_xcalloc((size_t)n_ids + 1, sizeof *t->ids);
    read_vocabulary(t, tok);
    if (t->n_with < 16) {
        qn_trie_free(t);
        return qn_fail(err, QN_EUNSUP,
                       "this tokenizer's tokens depend on their neighbours: "
                       "what a text has to be cannot be enforced with it");
    }
    qsort_r(t->ids, t->n_with, sizeof *t->ids, by_bytes, t);
    build(t);
    *out = t;
    return 0;
}

void qn_trie_free(qn_trie *t)
{
    if (!t)
        return;
    qn_str_deinit(&t->bytes);
    free(t->at);
    free(t->ids);
    qn_vec_deinit(&t->nodes);
    free(t);
}

int qn_trie_mask(const qn_trie *t, qn_grammar *g, uint32_t state,
                 uint32_t *bits)
{
    uint32_t path[QN_TRIE_MAX + 1], n = (uint32_t)t->nodes.n - 1;
    int allowed = 0;
    memset(bits, 0, ((size_t)t->n_ids + 31) / 32 * sizeof *bits);
    path[0] = state;
    for (uint32_t i = 0; i < n;) {
        const trie_node *node = &t->nodes.v[i];
        uint32_t s = qn_gram_next(g, path[node->depth - 1], node->byte);
        if (s == QN_GRAM_DEAD) {
            i = node->end;
            continue;
        }
        path[node->depth] = s;
        for (uint32_t k = node->first; k < node[1].first; k++, allowed++)
            bits[t->ids[k] >> 5] |= 1u << (t->ids[k] & 31);
        i++;
    }
    return allowed;
}

uint32_t qn_trie_advance(const qn_trie *t, qn_grammar *g, uint32_t state,
                         int32_t id)
{
    qn_view v = qn_trie_bytes(t, id);
    if (v.n == 0)
        return QN_GRAM_DEAD;
    for (size_t i = 0; i < v.n && state != QN_GRAM_DEAD; i++)
        state = qn_gram_next(g, state, (uint8_t)v.p[i]);
    return state;
}
