/* tok_unigram.c - the Unigram model: of all ways to write a word as tokens,
 * the one with the best sum of scores (Viterbi, left to right).
 *
 * A character that is no token by itself may also be unknown, at the worst
 * score there is minus a penalty; neighbouring unknown characters are one
 * unknown token, or the tokens of their bytes.
 *
 * The tokens are a trie in breadth-first order: the children of a node lie side
 * by side, in order of the bytes that lead to them, and so do those bytes. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"
#include "text/unicode.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define UNIGRAM_PENALTY 10.0

typedef struct unigram_node {
    uint32_t first; /* child */
    int32_t token;  /* that ends here, or -1 */
    uint32_t n;     /* children */
} unigram_node;

typedef struct unigram {
    const qn_vocab *vocab;
    double *scores; /* by id */
    double unk_score;
    int32_t unk; /* -1 none */
    bool byte_fallback;
    bool single; /* sums are rounded to float, as in SentencePiece */
    int32_t hex_id[256];
    unigram_node *nodes;
    uint8_t *label;     /* by node: the byte that leads to it */
    uint32_t root[256]; /* child of the root by byte, 0: none */
} unigram;

/* The best way to write the word up to here. */
typedef struct unigram_best {
    double score;
    uint32_t from; /* where its last token begins; UINT32_MAX: no way */
    int32_t id;
} unigram_best;

typedef struct unigram_scratch {
    unigram_best *best;
    size_t cap;
} unigram_scratch;

/* ---- the trie ------------------------------------------------------------ */

#define UNIGRAM_FEW 8 /* children that are looked through one by one */

/* The child that byte leads to, or 0. */
static inline uint32_t unigram_child(const unigram *m, uint32_t node,
                                     uint8_t byte)
{
    const unigram_node *x = &m->nodes[node];
    const uint8_t *label = m->label + x->first;
    uint32_t at = 0, n = x->n;
    if (node == 0)
        return m->root[byte];
    if (n <= UNIGRAM_FEW) {
        for (; at < n; at++)
            if (label[at] == byte)
                return x->first + at;
        return 0;
    }
    while (n > 1) {
        uint32_t half = n / 2;
        at += label[at + half - 1] < byte ? half : 0;
        n -= half;
    }
    return label[at] == byte ? x->first + at : 0;
}

typedef struct unigram_word {
    qn_view text;
    int32_t id;
} unigram_word;

static int unigram_cmp(const void *a, const void *b)
{
    const unigram_word *x = a, *y = b;
    int c = memcmp(x->text.p, y->text.p, QN_MIN(x->text.n, y->text.n));
    return c ? c : (x->text.n > y->text.n) - (x->text.n < y->text.n);
}

/* The words, sorted, that a node stands before. */
typedef struct unigram_range {
    size_t lo, hi, depth;
} unigram_range;

typedef QN_VEC(unigram_range) unigram_ranges;

/* Appends the children of node k, whose words are `r`. */
static void unigram_grow(unigram *m, uint32_t k, unigram_range r,
                         const unigram_word *w, unigram_ranges *ranges)
{
    unigram_node *x = &m->nodes[k];
    *x = (unigram_node){(uint32_t)ranges->n, -1, 0};
    while (r.lo < r.hi && w[r.lo].text.n == r.depth)
        x->token = w[r.lo++].id;
    for (size_t lo = r.lo, hi; lo < r.hi; lo = hi) {
        uint8_t byte = (uint8_t)w[lo].text.p[r.depth];
        for (hi = lo + 1; hi < r.hi; hi++)
            if ((uint8_t)w[hi].text.p[r.depth] != byte)
                break;
        m->label[ranges->n] = byte;
        if (k == 0)
            m->root[byte] = (uint32_t)ranges->n;
        x->n++;
        qn_vec_push(ranges, ((unigram_range){lo, hi, r.depth + 1}));
    }
}

static void unigram_fill_trie(unigram *m)
{
    const qn_vocab *v = m->vocab;
    unigram_word *words = qn_xmalloc((v->n_ids + 1) * sizeof *words);
    unigram_ranges ranges = {0};
    size_t n = 0, bytes = 1;
    for (uint32_t id = 0; id < v->n_ids; id++) {
        qn_view text = qn_vocab_text(v, id);
        if (!text.p || text.n == 0 || m->scores[id] == -INFINITY)
            continue;
        words[n++] = (unigram_word){text, qn_vocab_find(v, text.p, text.n)};
        bytes += text.n;
    }
    qsort(words, n, sizeof *words, unigram_cmp);
    m->nodes = qn_xmalloc(bytes * sizeof *m->nodes);
    m->label = qn_xmalloc(bytes + 1);
    qn_vec_push(&ranges, ((unigram_range){0, n, 0}));
    for (size_t k = 0; k < ranges.n; k++)
        unigram_grow(m, (uint32_t)k, ranges.v[k], words, &ranges);
    m->nodes = qn_xreallocarray(m->nodes, ranges.n, sizeof *m->nodes);
    qn_vec_deinit(&ranges);
    free(words);
}

/* ---- encoding ------------------------------------------------------------ */

static inline void unigram_offer(const unigram *m, unigram_best *to,
                                 double score, size_t from, int32_t id)
{
    if (m->single)
        score = (double)(float)score;
    if (to->from == UINT32_MAX || score > to->score)
        *to = (unigram_best){score, (uint32_t)from, id};
}

static int unigram_search(const unigram *m, qn_tok_work *w, unigram_best *best,
                          const char *p, size_t n)
{
    for (size_t k = 0; k <= n; k++)
        best[k] = (unigram_best){0, UINT32_MAX, -1};
    for (size_t b = 0, next; b < n; b = next) {
        double here = best[b].score;
        bool single = false;
        uint32_t node = 0;
        next = b + qn_uni_len(p[b]);
        for (size_t e = b; e < n;) {
            node = unigram_child(m, node, (uint8_t)p[e++]);
            if (!node)
                break;
            int32_t id = m->nodes[node].token;
            if (id < 0)
                continue;
            unigram_offer(m, &best[e], here + m->scores[id], b, id);
            single |= e == next;
        }
        if (single)
            continue;
        if (m->unk < 0)
            return qn_fail(w->err, QN_EFORMAT,
                           "the text has a character that the vocabulary "
                           "lacks, and the model names no unknown token");
        unigram_offer(m, &best[next], here + m->unk_score, b, m->unk);
    }
    return QN_OK;
}

/* A run of unknown characters [b, e): its bytes' tokens, each standing for the
 * whole run, or the unknown token. A run may happen to be a token itself. */
static void unigram_emit_unknown(const unigram *m, qn_tok_work *w,
                                 const char *p, size_t b, size_t e)
{
    int32_t id = qn_vocab_find(m->vocab, p + b, e - b);
    bool spelled = m->byte_fallback && id < 0;
    for (size_t k = b; k < e && spelled; k++)
        spelled = m->hex_id[(uint8_t)p[k]] >= 0;
    for (size_t k = b; k < e && spelled; k++)
        qn_tok_emit_at(w, m->hex_id[(uint8_t)p[k]], b, e);
    if (!spelled)
        qn_tok_emit_at(w, id >= 0 ? id : m->unk, b, e);
}

static int unigram_encode(const void *impl, qn_tok_work *w, const char *p,
                          size_t n)
{
    const unigram *m = impl;
    if (!w->model)
        w->model = qn_xcalloc(1, sizeof(unigram_scratch));
    unigram_scratch *x = w->model;
    if (x->cap < n + 1) {
        x->cap = QN_MAX(n + 1, 2 * x->cap);
        x->best = qn_xreallocarray(x->best, x->cap, sizeof *x->best);
    }
    unigram_best *best = x->best;
    QN_TRY(unigram_search(m, w, best, p, n));
    /* From the end to the beginning, turning the links around. */
    size_t to = n;
    uint32_t behind = UINT32_MAX;
    while (to > 0) {
        uint32_t from = best[to].from;
        best[to].from = behind;
        behind = (uint32_t)to;
        to = from;
    }
    size_t b = 0, unknown = SIZE_MAX; /* where a run of unknown ones began */
    for (size_t e = behind; e != UINT32_MAX; b = e, e = best[e].from) {
        if (best[e].id == m->unk) {
            unknown = unknown == SIZE_MAX ? b : unknown;
            continue;
        }
        if (unknown != SIZE_MAX)
            unigram_emit_unknown(m, w, p, unknown, b);
        unknown = SIZE_MAX;
        qn_tok_emit_at(w, best[e].id, b, e);
    }
    if (unknown != SIZE_MAX)
        unigram_emit_unknown(m, w, p, unknown, n);
    return QN_OK;
}

static void unigram_work_free(qn_tok_work *w)
{
    unigram_scratch *x = w->model;
    if (!x)
        return;
    free(x->best);
    free(x);
    w->model = NULL;
}

/* ---- reading ------------------------------------------------------------- */

/* Digits of a number: as many as 64 bits hold, *exp counts those that are not
 * taken and, behind the point, those that are. */
static const char *unigram_digits(const char *p, const char *end, bool behind,
                                  uint64_t *sum, int *exp)
{
    bool full = false;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        full = full || *sum > (UINT64_MAX - digit) / 10;
        if (!full)
            *sum = *sum * 10 + digit;
        *exp += full && !behind ? 1 : !full && behind ? -1 : 0;
    }
    return p;
}

/* 10^n, n in 0..308 */
static double unigram_power(int n, locale_t c)
{
    char buf[8];
    snprintf(buf, sizeof buf, "1e%d", n);
    return strtod_l(buf, NULL, c);
}

/* A number as the library of such files reads it: its digits as one whole
 * number, rounded, times or through a power of ten, rounded again. That is off
 * by a last bit for one number of six, and decides between ways of equal sum
 * ("--" and "-", or "-" and "--"). */
static int unigram_number(qn_scan *s, locale_t c, double *out)
{
    qn_view text;
    QN_TRY(qn_scan_slice(s, &text));
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]))
        text.n--;
    const char *p = text.p, *end = p + text.n;
    uint64_t sum = 0, power = 0;
    int exp = 0, none = 0;
    bool minus = p < end && *p == '-', down = false;
    p += minus;
    const char *first = p;
    p = unigram_digits(p, end, false, &sum, &exp);
    bool fits = p > first;
    if (p < end && *p == '.')
        p = unigram_digits(p + 1, end, true, &sum, &exp);
    if (p < end && (*p | 32) == 'e') {
        p++;
        down = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        first = p;
        p = unigram_digits(p, end, false, &power, &none);
        fits = fits && p > first && power <= 400 && none == 0;
    }
    exp += down ? -(int)(power & 511) : (int)(power & 511);
    fits = fits && p == end && exp <= 308 && exp >= -600;
    double v = (double)sum;
    if (fits && exp >= 0)
        v *= unigram_power(exp, c);
    for (; fits && exp < 0; exp += 308)
        v /= unigram_power(QN_MIN(-exp, 308), c);
    if (!fits || !isfinite(v))
        return qn_fail(s->err, QN_EFORMAT, "%s: \"%.*s\" is no score", s->name,
                       (int)QN_MIN(text.n, 20), text.p);
    *out = minus ? -v : v;
    return QN_OK;
}

/* ["text", score] */
static int unigram_entry(qn_tok_draft *d, qn_scan *s, locale_t c, qn_str *text,
                         qn_err *err)
{
    double score = 0;
    qn_str_clear(text);
    QN_TRY(qn_scan_open(s, '['));
    int rc = qn_scan_more(s, ']');
    if (rc > 0)
        rc = qn_scan_string(s, text);
    if (rc == 0)
        rc = qn_scan_more(s, ']');
    if (rc > 0)
        rc = unigram_number(s, c, &score);
    QN_TRY(rc);
    if (qn_scan_more(s, ']') != 0)
        return qn_fail(err, QN_EFORMAT,
                       "%s: entry %zu of the vocabulary is not [text, score]",
                       d->name, d->scores.n);
    rc = qn_vocab_add(&d->t->vocab, qn_view_of(text->p ? text->p : "", text->n),
                      (int64_t)d->scores.n, d->name, err);
    QN_TRY(rc);
    qn_vec_push(&d->scores, score);
    return QN_OK;
}

static int unigram_vocab(qn_tok_draft *d, qn_view vocab, qn_err *err)
{
    qn_scan s;
    qn_str text;
    qn_str_init(&text);
    qn_scan_init(&s, vocab, d->name, err);
    qn_vocab_init(&d->t->vocab, vocab.n / 24);
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    int rc = qn_scan_open(&s, '[');
    while (rc == 0 && (rc = qn_scan_more(&s, ']')) > 0)
        rc = unigram_entry(d, &s, c, &text, err);
    freelocale(c);
    qn_str_deinit(&text);
    return rc;
}

static int unigram_read(qn_tok_draft *d, const qn_tok_model_parts *m,
                        qn_err *err)
{
    int64_t unk = -1;
    int rc = qn_json_i64(m->small, "unk_id", &unk, d->name, err);
    if (rc >= 0)
        rc = qn_json_bool(m->small, "byte_fallback", &d->o.byte_fallback,
                          d->name, err);
    QN_TRY(rc);
    if (!m->vocab.p)
        return qn_fail(err, QN_EFORMAT, "%s: the model lacks vocab", d->name);
    QN_TRY(unigram_vocab(d, m->vocab, err));
    if (unk < -1 || unk >= (int64_t)d->scores.n)
        return qn_fail(err, QN_EFORMAT,
                       "%s: unk_id %lld is not in the vocabulary of %zu",
                       d->name, (long long)unk, d->scores.n);
    d->o.unk = (int32_t)unk;
    return QN_OK;
}

static void *unigram_build(qn_tok_draft *d)
{
    unigram *m = qn_xcalloc(1, sizeof *m);
    m->vocab = &d->t->vocab;
    m->unk = d->o.unk;
    m->byte_fallback = d->o.byte_fallback;
    m->scores = d->scores.v;
    double worst = INFINITY;
    for (size_t k = 0; k < d->scores.n; k++)
        if (d->scores.v[k] != -INFINITY)
            worst = QN_MIN(worst, d->scores.v[k]);
    m->single = d->float_scores;
    m->unk_score = worst - UNIGRAM_PENALTY;
    memset(&d->scores, 0, sizeof d->scores);
    qn_vocab_hex(m->vocab, m->hex_id);
    unigram_fill_trie(m);
    return m;
}

static void unigram_free(void *impl)
{
    unigram *m = impl;
    free(m->scores);
    free(m->nodes);
    free(m->label);
    free(m);
}

const qn_tok_model qn_tok_model_unigram = {
    "Unigram",        " unk_id byte_fallback ", unigram_read,
    unigram_build,    unigram_encode,           unigram_free,
    unigram_work_free};
