/* endless.c - texts without end: sinks and a window (Xiao et al. 2024).
 *
 * Of a text the first `sinks` tokens are kept and the latest ones. When `limit`
 * tokens are there and one more is to be computed, the oldest `block` behind
 * the sinks go, with their pages. So a token looks at the sinks and at the
 * limit - sinks - block to limit - sinks tokens up to itself; which, its place
 * in the text says, nothing else: not the chunks, nor what else runs.
 *
 * Distances are those in what is kept: when a block goes, the sinks move up to
 * the rest. The keys of the rest stay as they are; the sinks, which see
 * nothing but one another, are computed again where they stand now. That is
 * what a full computation gives whose attention is masked and whose distances
 * are counted that way.
 *
 * Positions grow, and their rotations lose digits: at max_pos everything that
 * is kept is computed again, from position 0.
 *
 *   tokens   [ sinks | rest ... ]          index i has position pos0 + i
 *   pages    the same, without a gap, nobody else's
 *
 * For networks that see distances only (qn_net_is_relative). */
#include "engine/engine_int.h"

#include <string.h>

static int64_t whole_pages(const qn_engine *e, int64_t n)
{
    return (n + e->page_tokens - 1) / e->page_tokens * e->page_tokens;
}

int qn_endless_plan(const qn_engine *e, const qn_request_params *p,
                    qn_endless *out, qn_err *err)
{
    if (!qn_net_is_relative(e->model->net))
        return qn_fail(err, QN_EUNSUP,
                       "kv_window: this model's layers have windows, states or "
                       "positions of their own");
    int64_t ctx = QN_MIN(qn_model_n_ctx_train(e->model), e->n_ctx);
    int64_t sinks = whole_pages(e, QN_MAX(p->n_keep, 1));
    int64_t window = whole_pages(e, p->kv_window);
    int64_t block = whole_pages(e, window / 4);
    if (p->n_keep < 0 || sinks + window + block > ctx)
        return qn_fail(err, QN_ELIMIT,
                       "n_keep %d and kv_window %d need a context of %lld "
                       "tokens (pages of %d, and a quarter of the window that "
                       "goes at a time); there are %lld",
                       p->n_keep, p->kv_window,
                       (long long)(sinks + window + block), e->page_tokens,
                       (long long)ctx);
    *out = (qn_endless){sinks, block, sinks + window + block};
    return 0;
}

void qn_endless_slide(qn_seq *s)
{
    const qn_engine *e = s->req->engine;
    const qn_endless *k = &s->req->endless;
    if (k->limit == 0 || s->redo > 0 || s->n_kv < k->limit ||
        (int64_t)s->tokens.n <= s->n_kv)
        return;
    size_t sinks = (size_t)k->sinks, block = (size_t)k->block;
    qn_ids *t = &s->tokens;
    t->n -= block;
    memmove(t->v + sinks, t->v + sinks + block, (t->n - sinks) * sizeof *t->v);
    s->n_shifted += k->block;
    s->pos0 += k->block;
    if (s->pos0 + k->limit > e->max_pos) {
        s->pos0 = 0;
        qn_seq_give_up(s);
        return;
    }
    size_t pt = (size_t)e->page_tokens;
    for (int g = 0; g < e->n_groups; g++)
        qn_seq_drop_range(s, g, sinks / pt, block / pt);
    s->n_kv -= k->block;
    s->redo = k->sinks;
}

int64_t qn_endless_rows(const qn_seq *s, int64_t n)
{
    int64_t limit = s->req->endless.limit;
    if (limit == 0)
        return n;
    return s->redo > 0 ? s->redo : QN_MIN(n, limit - s->n_kv);
}
