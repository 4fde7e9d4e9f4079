/* beam.c - beam search.
 *
 * The search that transformers' generate() runs: each step ranks the 2k best
 * continuations of the k live beams by the sum of log probabilities; those
 * among the first k that end (end token, or the length is reached) become
 * hypotheses with score sum / length^penalty; the best k that do not end live
 * on. The k best hypotheses are kept. It is over when k are finished and
 * early_stopping is set, or no live beam can come to beat the worst of them.
 *
 * A live beam is a qn_seq; the next generation shares pages with its parents.
 * Here, and only here, a token allocates: each generation is forked anew.
 * Stop strings end a hypothesis when it is emitted, not the search.
 */
#include "engine/engine_int.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pick { /* one continuation of one beam */
    double score;
    int32_t id;
    int parent;
} pick;

typedef struct qn_hyp {
    qn_ids tokens; /* prompt and completion */
    double score;
    bool ended; /* by an end token, not by length */
} qn_hyp;

typedef struct qn_beams {
    qn_request *req;
    int k;
    qn_hyp *hyps; /* by falling score */
    int n_hyps;
    int width;    /* continuations that are ranked: k of them do not end */
    pick *picks;  /* [k * width] */
    pick *live;   /* [k] */
    int32_t *ids; /* [width] */
    float *row;   /* [n_vocab] log probabilities */
} qn_beams;

struct qn_beams *qn_beams_new(qn_request *req)
{
    qn_beams *b = qn_xcalloc(1, sizeof *b);
    b->req = req;
    b->k = req->p.n_beams;
    b->width = QN_MAX(2, 1 + (int)req->end_ids.n) * b->k;
    size_t k = (size_t)b->k, w = (size_t)b->width;
    b->hyps = qn_xcalloc(k + 1, sizeof *b->hyps);
    b->picks = qn_xcalloc(k * w, sizeof *b->picks);
    b->live = qn_xcalloc(k, sizeof *b->live);
    b->ids = qn_xcalloc(w, sizeof *b->ids);
    b->row = qn_xreallocarray(NULL, (size_t)req->engine->n_vocab,
                              sizeof(float));
    return b;
}

void qn_beams_free(struct qn_beams *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->n_hyps; i++)
        qn_vec_deinit(&b->hyps[i].tokens);
    free(b->hyps);
    free(b->picks);
    free(b->live);
    free(b->ids);
    free(b->row);
    free(b);
}

static int by_score(const void *x, const void *y)
{
    const pick *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    if (a->parent != b->parent)
        return a->parent - b->parent;
    return (a->id > b->id) - (a->id < b->id);
}

/* The best continuations of all live beams, by falling score, in b->picks. */
static int rank(qn_beams *b, const float *rows, int n_rows)
{
    int v = b->req->engine->n_vocab, n = 0;
    for (int r = 0; r < n_rows; r++, rows += v) {
        qn_seq *s = b->req->seqs[r];
        double z = qn_log_sum_exp(rows, v);
        for (int i = 0; i < v; i++)
            b->row[i] = (float)((double)rows[i] - z);
        const float *lp = qn_sampler_edit(s->sampler, b->row);
        int m = qn_top_k(lp, v, b->width, b->ids);
        for (int i = 0; i < m; i++)
            b->picks[n++] = (pick){s->score + (double)lp[b->ids[i]], b->ids[i],
                                   r};
    }
    qsort(b->picks, (size_t)n, sizeof *b->picks, by_score);
    return QN_MIN(n, b->width);
}

static void add_hyp(qn_beams *b, const qn_seq *parent, const pick *p,
                    double score, bool ended)
{
    int at = b->n_hyps;
    while (at > 0 && b->hyps[at - 1].score < score)
        at--;
    if (at == b->k)
        return;
    if (b->n_hyps == b->k) {
        b->n_hyps--;
        qn_vec_deinit(&b->hyps[b->n_hyps].tokens);
    }
    memmove(&b->hyps[at + 1], &b->hyps[at],
            (size_t)(b->n_hyps - at) * sizeof *b->hyps);
    b->n_hyps++;
    qn_hyp *h = &b->hyps[at];
    *h = (qn_hyp){.score = score, .ended = ended};
    qn_vec_reserve(&h->tokens, parent->tokens.n + 1);
    for (size_t i = 0; i < parent->tokens.n; i++)
        qn_vec_push(&h->tokens, parent->tokens.v[i]);
    qn_vec_push(&h->tokens, p->id);
}

/* The picks that live on become req->seqs: each shares its parent's pages, and
 * then the parents go. */
static void breed(qn_beams *b, const pick *live, int n)
{
    qn_request *req = b->req;
    qn_seq **old = req->seqs;
    qn_seq **young = qn_xcalloc((size_t)req->n_seqs, sizeof *young);
    for (int i = 0; i < n; i++)
        young[i] = qn_seq_fork(old[live[i].parent], i);
    for (int i = 0; i < req->n_seqs; i++)
        qn_seq_free(old[i]);
    free(old);
    req->seqs = young;
    for (int i = 0; i < n; i++) {
        young[i]->score = live[i].score;
        qn_vec_push(&young[i]->tokens, live[i].id);
        qn_sampler_accept(young[i]->sampler, live[i].id);
    }
    req->n_running = n;
}

/* Emits the best n hypotheses as completions, whole. There can be fewer when
 * few tokens are allowed. */
static int emit(qn_beams *b, qn_err *err)
{
    qn_request *req = b->req;
    for (int i = 0; i < req->n_seqs; i++) {
        qn_seq_free(req->seqs[i]);
        req->seqs[i] = NULL;
    }
    req->n_running = 0;
    int n = QN_MIN(req->p.n, b->n_hyps);
    if (n < req->p.n)
        qn_fail(&req->fail, QN_EINVAL,
                "allowed_ids, banned_ids and logit_bias leave only %d of %d "
                "completions",
                n, req->p.n);
    for (int i = 0; i < n; i++) {
        const qn_hyp *h = &b->hyps[i];
        qn_seq *s = qn_seq_new(req, i);
        req->seqs[i] = s;
        s->score = h->score;
        req->n_running++;
        for (size_t t = 0; t < h->tokens.n; t++) {
            if (t < req->p.n_prompt) {
                qn_vec_push(&s->tokens, h->tokens.v[t]);
                continue;
            }
            if (s->finish != QN_FINISH_NONE)
                break; /* a stop string */
            QN_TRY(qn_seq_take_token(s, h->tokens.v[t], NULL, err));
        }
        QN_TRY(qn_seq_finish(s, h->ended ? QN_FINISH_STOP : QN_FINISH_LENGTH,
                             err));
    }
    for (int i = n; i < req->p.n; i++)
        qn_request_event(req, i)->ev.finish = QN_FINISH_ERROR;
    return 1;
}

int qn_beams_step(struct qn_beams *b, const float *rows, int n_rows,
                  qn_err *err)
{
    qn_request *req = b->req;
    double penalty = (double)req->p.length_penalty;
    int64_t length = (int64_t)req->seqs[0]->tokens.n -
                     (int64_t)req->p.n_prompt + 1;
    bool full = length >= req->max_new;
    pick *p = b->picks, *live = b->live;
    int n = rank(b, rows, n_rows), n_live = 0;
    bool done_early = req->p.early_stopping && b->n_hyps == b->k;
    for (int i = 0; i < n; i++) {
        bool ends = qn_request_is_end(req, p[i].id);
        if (!ends && !full) {
            if (n_live < b->k)
                live[n_live++] = p[i];
        } else if (i < b->k && !done_early) {
            double score = p[i].score / pow((double)length, penalty);
            add_hyp(b, req->seqs[p[i].parent], &p[i], score, ends);
        }
    }
    bool over = n_live == 0;
    if (b->n_hyps == b->k && !over) {
        double best = live[0].score / pow((double)length, penalty);
        over = req->p.early_stopping || best <= b->hyps[b->k - 1].score;
    }
    if (!over) {
        breed(b, live, n_live);
        return 0;
    }
    /* From here on its sequences are completions: who ends a request that fails
     * gives one last event to those that have none. */
    req->beams = NULL;
    int rc = emit(b, err);
    qn_beams_free(b);
    return rc;
}
