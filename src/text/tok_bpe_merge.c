/* tok_bpe_merge.c - from symbols to tokens.
 *
 * Short words: an array, a scan for the lowest rank, a shift; everything is in
 * one or two cache lines. Long ones: a linked list in an array and a heap of
 * candidates, O(n log n). A candidate is out of date when the sizes of its two
 * symbols no longer add up to what they were; symbols only grow, so that is
 * exact.
 *
 * A text that nothing divides into words would always be a long one. So it is
 * cut first, wherever no merge can ever reach across: every merge has a border
 * in it where the last character of its left part meets the first of its right
 * part. The pairs of characters at these borders are the bridges. Between two
 * symbols whose characters are no bridge nothing can be joined, whatever else
 * is joined around them, and both sides can be merged by themselves. The
 * bridges are kept as bits by hash: a false hit costs a cut, not exactness. */
#include "text/tok_bpe_int.h"
#include "text/unicode.h"

#include <stdlib.h>

enum {
    BPE_FAN = 4,
    BPE_SHORT = 32, /* symbols handled without a heap */
    BPE_BRIDGE_BITS_MIN = 1 << 12,
    BPE_BRIDGE_BITS_MAX = 1 << 22
};

/* ---- cutting ------------------------------------------------------------ */

void qn_bpe_bridges_init(qn_bpe *b, size_t n)
{
    size_t bits = BPE_BRIDGE_BITS_MIN;
    while (bits < 16 * n && bits < BPE_BRIDGE_BITS_MAX)
        bits *= 2;
    b->bridges = qn_xcalloc(bits / 64, sizeof *b->bridges);
    b->bridge_mask = (uint32_t)(bits - 1);
}

static inline uint32_t bpe_bridge_bit(const qn_bpe *b, uint32_t before,
                                      uint32_t behind)
{
    uint64_t key = (uint64_t)before << 21 | behind;
    return (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 40) &
           b->bridge_mask;
}

void qn_bpe_bridge(qn_bpe *b, uint32_t before, uint32_t behind)
{
    uint32_t bit = bpe_bridge_bit(b, before, behind);
    b->bridges[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* Whether l and r, neighbours in the word p, can never come together. */
static inline bool bpe_apart(const qn_bpe *b, const char *p,
                             const bpe_symbol *l, const bpe_symbol *r)
{
    if ((l->id >= 0 && !b->joins[l->id]) || (r->id >= 0 && !b->joins[r->id]))
        return true;
    if (l->pos + l->len != r->pos) /* something was left out between them */
        return false;
    size_t at, i = r->pos;
    uint32_t before = qn_uni_prev(p, r->pos, &at);
    uint32_t bit = bpe_bridge_bit(b, before, qn_uni_next(p, &i));
    return !(b->bridges[bit / 64] >> bit % 64 & 1);
}

/* What two neighbouring symbols become; BPE_NO_RANK: nothing. */
static inline uint32_t bpe_pair(const qn_bpe *b, const char *p,
                                const bpe_symbol *l, const bpe_symbol *r,
                                int32_t *id)
{
    if (b->o.by_text) {
        *id = qn_vocab_find(b->o.vocab, p + l->pos, l->len + r->len);
        return *id < 0 ? BPE_NO_RANK : b->rank[*id];
    }
    const bpe_slot *s = qn_bpe_slot(b, l->id, r->id);
    *id = s->id;
    return s->left == 0 ? BPE_NO_RANK : s->rank;
}

/* ---- merging a short word ----------------------------------------------- */

/* Returns how many symbols are left. */
static size_t bpe_merge_short(const qn_bpe *b, const char *p, bpe_symbol *s,
                              size_t n)
{
    uint32_t rank[BPE_SHORT];
    int32_t id[BPE_SHORT];
    for (size_t k = 0; k + 1 < n; k++)
        rank[k] = bpe_pair(b, p, &s[k], &s[k + 1], &id[k]);
    while (n > 1) {
        size_t best = 0;
        for (size_t k = 1; k + 1 < n; k++)
            best = rank[k] < rank[best] ? k : best;
        if (rank[best] == BPE_NO_RANK)
            break;
        s[best].id = id[best];
        s[best].len += s[best + 1].len;
        n--;
        for (size_t k = best + 1; k < n; k++)
            s[k] = s[k + 1];
        for (size_t k = best + 1; k + 1 < n; k++) {
            rank[k] = rank[k + 1];
            id[k] = id[k + 1];
        }
        if (best > 0)
            rank[best - 1] = bpe_pair(b, p, &s[best - 1], &s[best],
                                      &id[best - 1]);
        if (best + 1 < n)
            rank[best] = bpe_pair(b, p, &s[best], &s[best + 1], &id[best]);
    }
    return n;
}

/* ---- merging a long word ------------------------------------------------ */

static inline bool bpe_before(const bpe_candidate *a, const bpe_candidate *b)
{
    return ((uint64_t)a->rank << 32 | a->pos) <
           ((uint64_t)b->rank << 32 | b->pos);
}

/* Four children per node: a level of them is one cache line. */
static void bpe_sift_down(bpe_candidate *heap, size_t n, size_t at)
{
    bpe_candidate c = heap[at];
    for (size_t first; (first = BPE_FAN * at + 1) < n;) {
        size_t end = QN_MIN(first + BPE_FAN, n), best = first;
        for (size_t k = first + 1; k < end; k++)
            best = bpe_before(&heap[k], &heap[best]) ? k : best;
        if (!bpe_before(&heap[best], &c))
            break;
        heap[at] = heap[best];
        at = best;
    }
    heap[at] = c;
}

static void bpe_sift_up(bpe_candidate *heap, size_t at)
{
    bpe_candidate c = heap[at];
    for (size_t up; at > 0; at = up) {
        up = (at - 1) / BPE_FAN;
        if (!bpe_before(&c, &heap[up]))
            break;
        heap[at] = heap[up];
    }
    heap[at] = c;
}

/* Considers the pair that begins at symbol `at`. */
static bool bpe_consider(const qn_bpe *b, const char *p, bpe_scratch *x,
                         const bpe_symbol *s, int32_t at)
{
    if (at < 0 || s[at].next < 0)
        return false;
    const bpe_symbol *r = &s[s[at].next];
    int32_t id;
    uint32_t rank = bpe_pair(b, p, &s[at], r, &id);
    if (rank == BPE_NO_RANK)
        return false;
    bpe_candidate c = {rank, (uint32_t)at, s[at].len + r->len, id};
    qn_vec_push(&x->heap, c);
    return true;
}

static void bpe_merge_one(const qn_bpe *b, const char *p, bpe_scratch *x,
                          bpe_symbol *s, const bpe_candidate *c)
{
    bpe_symbol *l = &s[c->pos];
    if (l->len == 0 || l->next < 0 || l->len + s[l->next].len != c->size)
        return;
    bpe_symbol *r = &s[l->next];
    l->id = c->id;
    l->len = c->size;
    l->next = r->next;
    r->len = 0;
    if (l->next >= 0)
        s[l->next].prev = (int32_t)c->pos;
    if (bpe_consider(b, p, x, s, l->prev))
        bpe_sift_up(x->heap.v, x->heap.n - 1);
    if (bpe_consider(b, p, x, s, (int32_t)c->pos))
        bpe_sift_up(x->heap.v, x->heap.n - 1);
}

static size_t bpe_merge_long(const qn_bpe *b, const char *p, bpe_scratch *x,
                             bpe_symbol *s, size_t n)
{
    qn_vec_clear(&x->heap);
    for (size_t k = 0; k < n; k++) {
        s[k].prev = (int32_t)k - 1;
        s[k].next = k + 1 < n ? (int32_t)k + 1 : -1;
    }
    for (size_t k = 0; k + 1 < n; k++)
        (void)bpe_consider(b, p, x, s, (int32_t)k);
    for (size_t k = (x->heap.n + BPE_FAN - 2) / BPE_FAN; k-- > 0;)
        bpe_sift_down(x->heap.v, x->heap.n, k);
    while (x->heap.n > 0) {
        bpe_candidate top = x->heap.v[0];
        x->heap.v[0] = x->heap.v[--x->heap.n];
        bpe_sift_down(x->heap.v, x->heap.n, 0);
        bpe_merge_one(b, p, x, s, &top);
    }
    size_t left = 0;
    for (size_t k = 0; k < n; k++)
        if (s[k].len > 0)
            s[left++] = s[k];
    return left;
}

/* ---- a run of symbols --------------------------------------------------- */

/* A symbol that is no token: its bytes, or the unknown token. */
static void bpe_emit_unknown(const qn_bpe *b, qn_tok_work *w, const char *p,
                             const bpe_symbol *s)
{
    bool spelled = b->o.byte_fallback;
    for (uint32_t k = 0; k < s->len && spelled; k++)
        spelled = b->hex_id[(uint8_t)p[s->pos + k]] >= 0;
    for (uint32_t k = 0; k < s->len && spelled; k++)
        qn_tok_emit(w, b->hex_id[(uint8_t)p[s->pos + k]], 1);
    if (spelled || b->o.unk < 0)
        return;
    if (b->o.fuse_unk && w->at > 0 && w->ids.v[w->ids.n - 1] == b->o.unk) {
        w->at += s->len;
        if (w->spans)
            w->ranges.v[w->ranges.n - 1].e = w->at;
        return;
    }
    qn_tok_emit(w, b->o.unk, s->len);
}

static void bpe_emit(const qn_bpe *b, qn_tok_work *w, const char *p,
                     const bpe_symbol *s)
{
    if (s->id >= 0)
        qn_tok_emit(w, s->id, s->len);
    else
        bpe_emit_unknown(b, w, p, s);
}

/* Merges s[n], which covers `len` bytes without a gap, or 0: with gaps. */
static void bpe_merge_run(const qn_bpe *b, qn_tok_work *w, bpe_scratch *x,
                          const char *p, bpe_symbol *s, size_t n, size_t len)
{
    int32_t id = BPE_NONE;
    uint8_t whole = BPE_WHOLE_NO;
    if (n > 1 && len > 0)
        id = qn_vocab_find(b->o.vocab, p + s->pos, len);
    if (id >= 0)
        whole = atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (whole == BPE_WHOLE_YES) {
        qn_tok_emit(w, id, len);
        return;
    }
    n = n <= BPE_SHORT ? bpe_merge_short(b, p, s, n)
                       : bpe_merge_long(b, p, x, s, n);
    for (size_t k = 0; k < n; k++)
        bpe_emit(b, w, p, &s[k]);
    if (whole == BPE_WHOLE_UNKNOWN)
        atomic_store_explicit(&b->whole[id],
                              n == 1 && s->id == id ? BPE_WHOLE_YES
                                                    : BPE_WHOLE_NO,
                              memory_order_relaxed);
}

void qn_bpe_merge_symbols(const qn_bpe *b, qn_tok_work *w, bpe_scratch *x,
                          const char *p)
{
    bpe_symbol *s = x->symbols.v;
    size_t n = x->symbols.n;
    if (!b->bridges) {
        bpe_merge_run(b, w, x, p, s, n, 0);
        return;
    }
    for (size_t k = 0, e; k < n; k = e) {
        size_t len = s[k].len;
        bool gap = false;
        for (e = k + 1; e < n && !bpe_apart(b, p, &s[e - 1], &s[e]); e++) {
            len += s[e].len;
            gap |= s[e - 1].pos + s[e - 1].len != s[e].pos;
        }
        bpe_merge_run(b, w, x, p, s + k, e - k, gap ? 0 : len);
    }
}
