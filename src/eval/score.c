/* score.c - see score.h.
 *
 * A lane is a sequence that has pages. Lane 0 is the one that the last batch
 * ended with: it goes on, or, when it is finished, lends its first pages to
 * the next one. Pages are counted, because lanes may share them; the same
 * table serves every KV group, since nothing is given back before its sequence
 * ends.
 *
 * Invariants
 *  1. Before a batch one lane at most has pages, lane 0.
 *  2. A page that is shared is full and is never written again.
 *  3. Pages in use never exceed those of the longest sequence, of max_rows
 *     new rows, and one for each span (n_pages of qn_scorer_new). */
#include "eval/score.h"

#include "base/mem.h"
#include "engine/parts.h"

#include <stdlib.h>

enum {
    MAX_ROWS = 512,
    MAX_SPANS = 64,
    MIN_OUT = 16
};

#define LOGIT_BYTES ((size_t)128 << 20) /* of one step, at most */

typedef struct lane {
    const qn_score_seq *seq; /* NULL: none */
    int32_t *pages;
    int n_pages, n_kv;
    int slot; /* for the state of recurrent layers */
} lane;

struct qn_scorer {
    qn_pass *pass;
    int n_vocab, page_tokens, max_rows, max_out;
    int64_t max_len;
    bool shares; /* pages alone are all that later tokens need */
    const qn_score_seq *seqs;
    size_t n_seqs, next;
    uint64_t n_computed;

    lane lanes[MAX_SPANS + 1];
    int n_lanes;
    int32_t *free_pages;
    int n_free;
    int *refs; /* of every page */

    int32_t *tokens, *pos, *out_rows;
    qn_span spans[MAX_SPANS];
};

/* ---- pages --------------------------------------------------------------- */

static void unref(qn_scorer *s, int32_t page)
{
    if (--s->refs[page] == 0)
        s->free_pages[s->n_free++] = page;
}

static void lane_end(qn_scorer *s, lane *l)
{
    for (int i = 0; i < l->n_pages; i++)
        unref(s, l->pages[i]);
    l->n_pages = l->n_kv = 0;
    l->seq = NULL;
}

static void lane_grow(qn_scorer *s, lane *l, int n_kv)
{
    while (l->n_pages * s->page_tokens < n_kv) {
        int32_t page = s->free_pages[--s->n_free];
        s->refs[page] = 1;
        l->pages[l->n_pages++] = page;
    }
}

/* The next sequence of the list in a lane of its own, beginning with the pages
 * that it shares with the one before. */
static lane *lane_begin(qn_scorer *s)
{
    const qn_score_seq *q = &s->seqs[s->next++];
    lane *before = s->n_lanes > 0 ? &s->lanes[s->n_lanes - 1] : NULL;
    lane *l = &s->lanes[s->n_lanes++];
    l->seq = q;
    if (!before || !s->shares)
        return l;
    int shared = QN_MIN(QN_MIN(q->shared, q->from), before->n_kv);
    for (int i = 0; i < shared / s->page_tokens; i++) {
        l->pages[l->n_pages++] = before->pages[i];
        s->refs[before->pages[i]]++;
    }
    l->n_kv = l->n_pages * s->page_tokens;
    return l;
}

/* ---- life ---------------------------------------------------------------- */

/* Whether what follows from a sequence's first pages depends on nothing but
 * their tokens. */
static bool pages_stand_alone(const qn_net *net)
{
    return qn_net_keys_final(net) && qn_net_state_bytes(net) == 0 &&
           qn_net_n_kv_groups(net) > 0;
}

static int check_length(const qn_model *m, const qn_net *net, int64_t max_len,
                        qn_err *err)
{
    int64_t most = QN_MIN(qn_net_max_positions(net), (int64_t)1 << 24);
    if (max_len > most)
        return qn_fail(err, QN_ELIMIT,
                       "%s computes sequences of %lld tokens at most, %lld are "
                       "asked for: lower --context",
                       qn_model_path(m), (long long)most, (long long)max_len);
    return 0;
}

int qn_scorer_new(qn_scorer **out, const qn_model *m, int64_t max_len,
                  qn_kv_type kv, qn_err *err)
{
    qn_net *net = qn_model_net(m);
    QN_TRY(check_length(m, net, max_len, err));
    qn_scorer *s = qn_xcalloc(1, sizeof *s);
    size_t n_vocab = (size_t)qn_net_hparams(net)->n_vocab;
    size_t n_out = LOGIT_BYTES / (n_vocab * sizeof(float));
    s->n_vocab = (int)n_vocab;
    s->page_tokens = qn_net_backend(net)->api->page_tokens;
    s->max_rows = MAX_ROWS;
    s->max_out = (int)QN_MAX(QN_MIN(n_out, (size_t)MAX_ROWS), (size_t)MIN_OUT);
    s->max_len = max_len;
    s->shares = pages_stand_alone(net);
    int per_lane = (int)((max_len + s->page_tokens - 1) / s->page_tokens);
    int n_pages = per_lane + MAX_ROWS / s->page_tokens + MAX_SPANS + 2;
    qn_pass_params pp = {.n_pages = {n_pages, n_pages},
                         .max_rows = s->max_rows,
                         .max_out = s->max_out,
                         .max_spans = MAX_SPANS,
                         .n_slots = qn_net_state_bytes(net) ? MAX_SPANS + 1 : 0,
                         .kv_dtype = qn_model_kv_cell(m, kv)};
    int rc = qn_pass_new(&s->pass, net, &pp, err);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->free_pages = qn_xcalloc((size_t)n_pages, sizeof *s->free_pages);
    s->refs = qn_xcalloc((size_t)n_pages, sizeof *s->refs);
    for (s->n_free = 0; s->n_free < n_pages; s->n_free++)
        s->free_pages[s->n_free] = n_pages - 1 - s->n_free;
    for (int i = 0; i <= MAX_SPANS; i++) {
        s->lanes[i].slot = i;
        s->lanes[i].pages = qn_xcalloc((size_t)per_lane + 1, sizeof(int32_t));
    }
    s->tokens = qn_xcalloc(MAX_ROWS, sizeof *s->tokens);
    s->pos = qn_xcalloc(MAX_ROWS, sizeof *s->pos);
    s->out_rows = qn_xcalloc(MAX_ROWS, sizeof *s->out_rows);
    *out = s;
    return 0;
}

void qn_scorer_free(qn_scorer *s)
{
    if (!s)
        return;
    qn_pass_free(s->pass);
    for (int i = 0; i <= MAX_SPANS; i++)
        free(s->lanes[i].pages);
    free(s->free_pages);
    free(s->refs);
    free(s->tokens);
    free(s->pos);
    free(s->out_rows);
    free(s);
}

int qn_scorer_begin(qn_scorer *s, const qn_score_seq *seqs, size_t n,
                    qn_err *err)
{
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < seqs[i].n; k++)
            if (seqs[i].ids[k] < 0 || seqs[i].ids[k] >= s->n_vocab)
                return qn_fail(err, QN_EINVAL,
                               "token %d of a sequence is %d, but the network "
                               "has a vocabulary of %d: its tokenizer does not "
                               "belong to it",
                               k, (int)seqs[i].ids[k], s->n_vocab);
        if (seqs[i].n > s->max_len)
            return qn_fail(err, QN_EINTERNAL,
                           "a sequence of %d tokens, made for %lld", seqs[i].n,
                           (long long)s->max_len);
    }
    for (int i = 0; i < s->n_lanes; i++)
        lane_end(s, &s->lanes[i]);
    s->n_lanes = 0;
    s->seqs = seqs;
    s->n_seqs = n;
    s->next = 0;
    return 0;
}

/* ---- a batch ------------------------------------------------------------- */

/* Rows [l->n_kv, + n) of a lane's sequence. */
static void add_span(qn_scorer *s, qn_batch *b, lane *l, int n)
{
    const qn_score_seq *q = l->seq;
    lane_grow(s, l, l->n_kv + n);
    s->spans[b->n_span++] = (qn_span){.row0 = b->n_row,
                                      .n_row = n,
                                      .pos0 = l->n_kv,
                                      .rope_len = QN_MAX(q->rope_len, q->n),
                                      .pages = {l->pages, l->pages},
                                      .state_slot = l->slot};
    for (int i = 0; i < n; i++, b->n_row++) {
        int at = l->n_kv + i;
        s->tokens[b->n_row] = q->ids[at];
        s->pos[b->n_row] = at;
        if (at >= q->from)
            s->out_rows[b->n_out++] = b->n_row;
    }
    l->n_kv += n;
    s->n_computed += (uint64_t)n;
}

/* How many more rows of a lane fit into the batch. */
static int room_for(const qn_scorer *s, const qn_batch *b, const lane *l)
{
    int n = QN_MIN(l->seq->n - l->n_kv, s->max_rows - b->n_row);
    int silent = QN_MAX(l->seq->from - l->n_kv, 0); /* rows without logits */
    return QN_MIN(n, silent + s->max_out - b->n_out);
}

/* The lane that the batch ended with becomes lane 0, with its pages and its
 * slot; the others have ended. */
static void keep_last(qn_scorer *s)
{
    int last = s->n_lanes - 1;
    for (int i = 0; i < last; i++)
        lane_end(s, &s->lanes[i]);
    if (last > 0) {
        lane t = s->lanes[0];
        s->lanes[0] = s->lanes[last];
        s->lanes[last] = t;
    }
    s->n_lanes = QN_MIN(s->n_lanes, 1);
}

int qn_scorer_step(qn_scorer *s, const float **rows, int *n, qn_err *err)
{
    do {
        qn_batch b = {.tokens = s->tokens,
                      .pos = s->pos,
                      .spans = s->spans,
                      .out_rows = s->out_rows};
        keep_last(s);
        lane *l = s->n_lanes > 0 ? &s->lanes[0] : NULL;
        while (b.n_span < MAX_SPANS) {
            if (!l || l->n_kv == l->seq->n) {
                if (s->next == s->n_seqs || b.n_row == s->max_rows)
                    break;
                l = lane_begin(s);
            }
            int rows_here = room_for(s, &b, l);
            if (rows_here <= 0)
                break;
            add_span(s, &b, l, rows_here);
        }
        if (b.n_row == 0)
            return 0;
        QN_TRY(qn_pass_forward(s->pass, &b, rows, err));
        *n = b.n_out;
    } while (*n == 0); /* a long beginning that nobody asks about */
    return 1;
}

uint64_t qn_scorer_n_computed(const qn_scorer *s)
{
    return s->n_computed;
}
