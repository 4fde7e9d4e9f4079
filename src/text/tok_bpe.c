/* tok_bpe.c - see tok_bpe.h: the tables, and from a word to its symbols.
 *
 * Most words are one token. Whether the merges of a word that the vocabulary
 * has lead to that very token is found out once per token and remembered
 * (`whole`); the memory is a hint that any thread may write at any time. */
#include "base/map.h"
#include "base/hashmem.h"
#include "text/tok_bpe_int.h"
#include "text/unicode.h"

#include <stdlib.h>

/* ---- filling ----------------------------------------------------------- */

static void bpe_fill_tables(qn_bpe *b)
{
    const qn_vocab *v = b->o.vocab;
    qn_vocab_hex(v, b->hex_id);
    for (int k = 0; k < 256; k++) {
        char byte = (char)k;
        b->byte_id[k] = b->o.bytes ? qn_vocab_find(v, &byte, 1) : BPE_NONE;
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

/* By text, every border inside a token is one that symbols may join across. */
static void bpe_fill_bridges(qn_bpe *b, size_t n_merges)
{
    const qn_vocab *v = b->o.vocab;
    b->joins = qn_xcalloc(v->n_ids + 1, sizeof *b->joins);
    qn_bpe_bridges_init(b, b->o.by_text ? v->n : n_merges);
    for (uint32_t id = 0; b->o.by_text && id < v->n_ids; id++) {
        qn_view text = qn_vocab_text(v, id);
        uint32_t before = 0;
        for (size_t i = 0; i < text.n;) {
            bool first = i == 0;
            uint32_t cp = qn_uni_next(text.p, &i);
            if (!first)
                qn_bpe_bridge(b, before, cp);
            before = cp;
        }
        b->joins[id] = 1;
    }
}

/* A merge joins across the border between the texts of its parts. */
static void bpe_note_merge(qn_bpe *b, int32_t left, int32_t right)
{
    qn_view l = qn_vocab_text(b->o.vocab, left);
    qn_view r = qn_vocab_text(b->o.vocab, right);
    size_t i = 0, at;
    b->joins[left] = b->joins[right] = 1;
    if (l.n > 0 && r.n > 0)
        qn_bpe_bridge(b, qn_uni_prev(l.p, l.n, &at), qn_uni_next(r.p, &i));
    /* Symbols whose text is not that of the word they stand for. */
    bool other = left == b->o.unk || right == b->o.unk;
    for (int k = 0; k < 256 && !other && b->o.byte_fallback; k++)
        other = left == b->hex_id[k] || right == b->hex_id[k];
    if (other) {
        free(b->bridges);
        b->bridges = NULL;
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
    b->slots = qn_hashmem_new(slots, sizeof *b->slots);
    b->mask = (uint32_t)(slots - 1);
    b->whole = qn_xcalloc(o->vocab->n_ids + 1, sizeof *b->whole);
    if (o->by_text) {
        b->rank = qn_xmalloc((o->vocab->n_ids + 1) * sizeof *b->rank);
        for (uint32_t k = 0; k < o->vocab->n_ids; k++)
            b->rank[k] = BPE_NO_RANK;
    }
    bpe_fill_tables(b);
    if (!o->bytes && b->o.prefix.n == 0 && b->o.suffix.n == 0)
        bpe_fill_bridges(b, n_merges);
    return b;
}

void qn_bpe_free(qn_bpe *b)
{
    if (!b)
        return;
    qn_hashmem_free(b->slots, (size_t)b->mask + 1, sizeof *b->slots);
    free(b->rank);
    free(b->char_id);
    free((void *)b->whole);
    free(b->joins);
    free(b->bridges);
    free(b);
}

const bpe_slot *qn_bpe_slot(const qn_bpe *b, int32_t left, int32_t right)
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
    bpe_slot *s = &b->slots[qn_bpe_slot(b, left, right) - b->slots];
    if (b->bridges)
        bpe_note_merge(b, left, right);
    if (s->left == 0 || !keep_first)
        *s = (bpe_slot){(uint32_t)left + 1, (uint32_t)right, rank, id};
}

void qn_bpe_rank(qn_bpe *b, int32_t id, uint32_t rank)
{
    b->rank[id] = rank;
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
            bpe_push(st, b->hex_id[(uint8_t)s[k]], 1, pos + k);
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

/* ---- a word ------------------------------------------------------------- */

static int bpe_encode_symbols(const qn_bpe *b, qn_tok_work *w, const char *p,
                              size_t n)
{
    if (!w->model)
        w->model = qn_xcalloc(1, sizeof(bpe_scratch));
    bpe_scratch *x = w->model;
    bpe_start st = {b, w, x, 0};
    qn_vec_clear(&x->symbols);
    QN_TRY(bpe_start_symbols(&st, p, n));
    qn_bpe_merge_symbols(b, w, x, p);
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
