/* tok_bpe.c - see tok_bpe.h.
 *
 * Short words: an array, a scan for the lowest rank, a shift; everything is in
 * one or two cache lines. Long ones (a text without word borders is one word):
 * a linked list in an array and a heap of candidates, O(n log n). A candidate
 * is out of date when the sizes of its two symbols no longer add up to what
 * they were; symbols only grow, so that is exact.
 *
 * Most words are one token. Whether the merges of a word that the vocabulary
 * has lead to that very token is found out once per token and remembered
 * (`whole`); the memory is a hint that any thread may write at any time. */
#include "text/tok_bpe.h"

#include "base/map.h"
#include "text/unicode.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BPE_SHORT = 32,     /* symbols handled without a heap          */
    BPE_TABLE = 0x3000, /* characters whose ids are in an array    */
    BPE_AFFIX_MAX = 64, /* bytes of a prefix or suffix             */
    BPE_NONE = -1,
    BPE_WHOLE_UNKNOWN = 0,
    BPE_WHOLE_YES = 1,
    BPE_WHOLE_NO = 2
};
#define BPE_NO_RANK UINT32_MAX

typedef struct bpe_slot {
    uint32_t left, right; /* left is id + 1, 0: empty */
    uint32_t rank;
    int32_t id;
} bpe_slot;

struct qn_bpe {
    qn_bpe_options o;
    char affixes[3 * BPE_AFFIX_MAX]; /* prefix, suffix, name of unk */
    bpe_slot *slots;
    uint32_t mask;
    uint64_t seed;
    uint32_t *rank;         /* by_text: [vocab->n_ids] */
    int32_t byte_id[256];   /* of a single byte        */
    int32_t hex_id[256];    /* of "<0xHH>"             */
    int32_t *char_id;       /* [BPE_TABLE]             */
    _Atomic uint8_t *whole; /* [vocab->n_ids]          */
};

typedef struct bpe_symbol {
    int32_t id;
    uint32_t len; /* bytes of the word; 0: gone */
    uint32_t pos; /* where they begin           */
    int32_t prev, next;
} bpe_symbol;

typedef struct bpe_candidate {
    uint32_t rank, pos; /* symbol on the left */
    uint32_t size;      /* bytes of both      */
    int32_t id;
} bpe_candidate;

typedef struct bpe_scratch {
    QN_VEC(bpe_symbol) symbols;
    QN_VEC(bpe_candidate) heap;
} bpe_scratch;

/* ---- filling ----------------------------------------------------------- */

static void bpe_fill_tables(qn_bpe *b)
{
    const qn_vocab *v = b->o.vocab;
    for (int k = 0; k < 256; k++) {
        char name[8], byte = (char)k;
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)k);
        b->byte_id[k] = b->o.bytes ? qn_vocab_find(v, &byte, 1) : BPE_NONE;
        b->hex_id[k] = qn_vocab_find(v, name, 6);
    }
    if (b->o.bytes)
        return;
    b->char_id = qn_xmalloc(BPE_TABLE * sizeof *b->char_id);
    for (int k = 0; k < BPE_TABLE; k++)
        b->char_id[k] = BPE_NONE;
    for (uint32_t id = 0; id < v->n_ids; id++) {
        qn_view text = qn_vocab_text(v, id);
        size_t i = 0;
        if (text.n == 0 || qn_uni_len(*text.p) != text.n)
            continue;
        uint32_t cp = qn_uni_next(text.p, &i);
        if (cp < BPE_TABLE)
            b->char_id[cp] = qn_vocab_find(v, text.p, text.n);
    }
}

static qn_view bpe_affix(qn_bpe *b, qn_view v, size_t at)
{
    size_t n = QN_MIN(v.n, BPE_AFFIX_MAX);
    if (n > 0)
        memcpy(b->affixes + at, v.p, n);
    return qn_view_of(b->affixes + at, n);
}

qn_bpe *qn_bpe_new(const qn_bpe_options *o, size_t n_merges)
{
    qn_bpe *b = qn_xcalloc(1, sizeof *b);
    b->o = *o;
    b->o.prefix = bpe_affix(b, o->prefix, 0);
    b->o.suffix = bpe_affix(b, o->suffix, BPE_AFFIX_MAX);
    b->o.unk_name = bpe_affix(b, o->unk_name, 2 * BPE_AFFIX_MAX);
    b->seed = qn_hash(&b, sizeof b) | 1;
    size_t slots = 16;
    while (slots < n_merges + n_merges / 2)
        slots *= 2;
    b->slots = qn_xcalloc(slots, sizeof *b->slots);
    b->mask = (uint32_t)(slots - 1);
    b->whole = qn_xcalloc(o->vocab->n_ids + 1, sizeof *b->whole);
    if (o->by_text) {
        b->rank = qn_xmalloc((o->vocab->n_ids + 1) * sizeof *b->rank);
        for (uint32_t k = 0; k < o->vocab->n_ids; k++)
            b->rank[k] = BPE_NO_RANK;
    }
    bpe_fill_tables(b);
    return b;
}

void qn_bpe_free(qn_bpe *b)
{
    if (!b)
        return;
    free(b->slots);
    free(b->rank);
    free(b->char_id);
    free((void *)b->whole);
    free(b);
}

static inline const bpe_slot *bpe_slot_of(const qn_bpe *b, int32_t left,
                                          int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t h = (key ^ b->seed) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t at = (uint32_t)(h >> 32) & b->mask;
    for (;; at = (at + 1) & b->mask) {
        const bpe_slot *s = &b->slots[at];
        if (s->left == 0 ||
            (s->left == (uint32_t)left + 1 && s->right == (uint32_t)right))
            return s;
    }
}

void qn_bpe_merge(qn_bpe *b, int32_t left, int32_t right, int32_t id,
                  uint32_t rank, bool keep_first)
{
    bpe_slot *s = &b->slots[bpe_slot_of(b, left, right) - b->slots];
    if (s->left == 0 || !keep_first)
        *s = (bpe_slot){(uint32_t)left + 1, (uint32_t)right, rank, id};
}

void qn_bpe_rank(qn_bpe *b, int32_t id, uint32_t rank)
{
    b->rank[id] = rank;
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
    const bpe_slot *s = bpe_slot_of(b, l->id, r->id);
    *id = s->id;
    return s->left == 0 ? BPE_NO_RANK : s->rank;
}

/* ---- from text to symbols ---------------------------------------------- */

typedef struct bpe_start {
    const qn_bpe *b;
    qn_tok_work *w;
    bpe_scratch *out;
    size_t unk_len; /* bytes of the unknown symbol not yet pushed, or 0 */
} bpe_start;

static void bpe_push(bpe_start *st, int32_t id, size_t len, size_t pos)
{
    bpe_symbol s = {id, (uint32_t)len, (uint32_t)pos, 0, 0};
    qn_vec_push(&st->out->symbols, s);
}

static void bpe_push_unk(bpe_start *st, size_t pos)
{
    if (st->unk_len > 0)
        bpe_push(st, st->b->o.unk, st->unk_len, pos - st->unk_len);
    st->unk_len = 0;
}

/* A symbol s[n] that the vocabulary lacks and that stands for `len` bytes at
 * pos of the word. */
static int bpe_unknown(bpe_start *st, const char *s, size_t n, size_t len,
                       size_t pos)
{
    const qn_bpe *b = st->b;
    if (b->o.late_unknown) {
        bpe_push(st, BPE_NONE, len, pos);
        return QN_OK;
    }
    bool spelled = b->o.byte_fallback;
    for (size_t k = 0; k < n && spelled; k++)
        spelled = b->hex_id[(uint8_t)s[k]] >= 0;
    if (spelled) {
        for (size_t k = 0; k < n; k++)
            bpe_push(st, b->hex_id[(uint8_t)s[k]], 1, pos);
        return QN_OK;
    }
    if (b->o.unk < 0 && b->o.unk_name.n > 0)
        return qn_fail(st->w->err, QN_EFORMAT,
                       "the text has a character that the vocabulary lacks, "
                       "and it lacks the unknown token %.*s as well",
                       (int)QN_MIN(b->o.unk_name.n, 64), b->o.unk_name.p);
    if (b->o.unk < 0)
        return QN_OK;
    if (!b->o.fuse_unk)
        bpe_push_unk(st, pos);
    st->unk_len += len;
    return QN_OK;
}

/* With prefix or suffix: the symbol is longer than its character. */
static int bpe_start_affixed(bpe_start *st, const char *p, size_t n, size_t i,
                             size_t e)
{
    const qn_bpe_options *o = &st->b->o;
    char text[2 * BPE_AFFIX_MAX + 4];
    size_t m = 0;
    if (i > 0) {
        memcpy(text, o->prefix.p, o->prefix.n);
        m = o->prefix.n;
    }
    memcpy(text + m, p + i, e - i);
    m += e - i;
    if (e == n) {
        memcpy(text + m, o->suffix.p, o->suffix.n);
        m += o->suffix.n;
    }
    int32_t id = qn_vocab_find(o->vocab, text, m);
    if (id < 0)
        return bpe_unknown(st, text, m, e - i, i);
    bpe_push_unk(st, i);
    bpe_push(st, id, e - i, i);
    return QN_OK;
}

static int bpe_start_symbols(bpe_start *st, const char *p, size_t n)
{
    const qn_bpe *b = st->b;
    bool affixed = b->o.prefix.n > 0 || b->o.suffix.n > 0;
    for (size_t i = 0, e; i < n; i = e) {
        int32_t id;
        e = i;
        if (b->o.bytes) {
            id = b->byte_id[(uint8_t)p[e++]];
        } else {
            uint32_t cp = qn_uni_next(p, &e);
            if (affixed) {
                QN_TRY(bpe_start_affixed(st, p, n, i, e));
                continue;
            }
            id = cp < BPE_TABLE ? b->char_id[cp]
                                : qn_vocab_find(b->o.vocab, p + i, e - i);
        }
        if (id < 0) {
            QN_TRY(bpe_unknown(st, p + i, e - i, e - i, i));
            continue;
        }
        bpe_push_unk(st, i);
        bpe_push(st, id, e - i, i);
    }
    bpe_push_unk(st, n);
    return QN_OK;
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
    return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void bpe_sift_down(bpe_candidate *heap, size_t n, size_t at)
{
    bpe_candidate c = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && bpe_before(&heap[child + 1], &heap[child]))
            child++;
        if (!bpe_before(&heap[child], &c))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = c;
}

static void bpe_sift_up(bpe_candidate *heap, size_t at)
{
    bpe_candidate c = heap[at];
    while (at > 0 && bpe_before(&c, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = c;
}

/* Considers the pair that begins at symbol `at`. */
static bool bpe_consider(const qn_bpe *b, const char *p, bpe_scratch *x,
                         int32_t at)
{
    const bpe_symbol *s = x->symbols.v;
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
                          const bpe_candidate *c)
{
    bpe_symbol *s = x->symbols.v, *l = &s[c->pos];
    if (l->len == 0 || l->next < 0 || l->len + s[l->next].len != c->size)
        return;
    bpe_symbol *r = &s[l->next];
    l->id = c->id;
    l->len = c->size;
    l->next = r->next;
    r->len = 0;
    if (l->next >= 0)
        s[l->next].prev = (int32_t)c->pos;
    if (bpe_consider(b, p, x, l->prev))
        bpe_sift_up(x->heap.v, x->heap.n - 1);
    if (bpe_consider(b, p, x, (int32_t)c->pos))
        bpe_sift_up(x->heap.v, x->heap.n - 1);
}

static void bpe_merge_long(const qn_bpe *b, const char *p, bpe_scratch *x)
{
    size_t n = x->symbols.n;
    qn_vec_clear(&x->heap);
    for (size_t k = 0; k < n; k++) {
        x->symbols.v[k].prev = (int32_t)k - 1;
        x->symbols.v[k].next = k + 1 < n ? (int32_t)k + 1 : -1;
    }
    for (size_t k = 0; k + 1 < n; k++)
        (void)bpe_consider(b, p, x, (int32_t)k);
    for (size_t k = x->heap.n / 2; k-- > 0;)
        bpe_sift_down(x->heap.v, x->heap.n, k);
    while (x->heap.n > 0) {
        bpe_candidate top = x->heap.v[0];
        x->heap.v[0] = x->heap.v[--x->heap.n];
        bpe_sift_down(x->heap.v, x->heap.n, 0);
        bpe_merge_one(b, p, x, &top);
    }
    size_t left = 0;
    for (size_t k = 0; k < n; k++)
        if (x->symbols.v[k].len > 0)
            x->symbols.v[left++] = x->symbols.v[k];
    x->symbols.n = left;
}

/* ---- a word ------------------------------------------------------------- */

/* A symbol that is no token: its bytes, or the unknown token. */
static void bpe_emit_unknown(const qn_bpe *b, qn_tok_work *w, const char *p,
                             const bpe_symbol *s)
{
    bool spelled = b->o.byte_fallback;
    for (uint32_t k = 0; k < s->len && spelled; k++)
        spelled = b->hex_id[(uint8_t)p[s->pos + k]] >= 0;
    for (uint32_t k = 0; k < s->len && spelled; k++)
        qn_tok_emit(w, b->hex_id[(uint8_t)p[s->pos + k]], 1);
    if (!spelled && b->o.unk >= 0)
        qn_tok_emit(w, b->o.unk, s->len);
}

static int bpe_encode_symbols(const qn_bpe *b, qn_tok_work *w, const char *p,
                              size_t n)
{
    if (!w->model)
        w->model = qn_xcalloc(1, sizeof(bpe_scratch));
    bpe_scratch *x = w->model;
    bpe_start st = {b, w, x, 0};
    qn_vec_clear(&x->symbols);
    QN_TRY(bpe_start_symbols(&st, p, n));
    if (x->symbols.n <= BPE_SHORT)
        x->symbols.n = bpe_merge_short(b, p, x->symbols.v, x->symbols.n);
    else
        bpe_merge_long(b, p, x);
    for (size_t k = 0; k < x->symbols.n; k++) {
        const bpe_symbol *s = &x->symbols.v[k];
        if (s->id >= 0)
            qn_tok_emit(w, s->id, s->len);
        else
            bpe_emit_unknown(b, w, p, s);
    }
    return QN_OK;
}

int qn_bpe_encode(const qn_bpe *b, qn_tok_work *w, const char *p, size_t n)
{
    int32_t id = qn_vocab_find(b->o.vocab, p, n);
    int whole = BPE_WHOLE_NO;
    if (id >= 0)
        whole = b->o.ignore_merges
                    ? BPE_WHOLE_YES
                    : atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (whole == BPE_WHOLE_YES) {
        qn_tok_emit(w, id, n);
        return QN_OK;
    }
    size_t before = w->ids.n;
    QN_TRY(bpe_encode_symbols(b, w, p, n));
    if (whole == BPE_WHOLE_UNKNOWN) {
        bool yes = w->ids.n == before + 1 && w->ids.v[before] == id;
        atomic_store_explicit(&b->whole[id], yes ? BPE_WHOLE_YES : BPE_WHOLE_NO,
                              memory_order_relaxed);
    }
    return QN_OK;
}

void qn_bpe_work_free(qn_tok_work *w)
{
    bpe_scratch *x = w->model;
    if (!x)
        return;
    qn_vec_deinit(&x->symbols);
    qn_vec_deinit(&x->heap);
    free(x);
    w->model = NULL;
}
