/* seq.c - one completion: its tokens, its pages, its text. */
#include "engine/engine_int.h"

#include "base/clock.h"

#include <stdlib.h>

qn_seq *qn_seq_new(qn_request *req, int index)
{
    qn_seq *s = qn_xcalloc(1, sizeof *s);
    s->req = req;
    s->index = index;
    qn_str_init(&s->held);
    qn_guess_init(&s->guess);
    return s;
}

/* With as much room as `from` has. */
static void copy_ids(qn_ids *to, const qn_ids *from)
{
    qn_vec_reserve(to, from->cap);
    for (size_t i = 0; i < from->n; i++)
        qn_vec_push(to, from->v[i]);
}

qn_seq *qn_seq_fork(const qn_seq *from, int index)
{
    qn_engine *e = from->req->engine;
    qn_seq *s = qn_seq_new(from->req, index);
    copy_ids(&s->tokens, &from->tokens);
    s->n_shifted = from->n_shifted;
    s->n_kv = from->n_kv;
    s->score = from->score;
    s->renewed = from->renewed;
    s->node = from->node;
    s->n_known = from->n_known;
    s->fmt_state = from->fmt_state;
    s->guess = from->guess;
    for (int g = 0; g < QN_POOLS; g++) {
        copy_ids(&s->pages[g], &from->pages[g]);
        s->first_page[g] = from->first_page[g];
        for (size_t i = s->first_page[g]; i < s->pages[g].n; i++)
            qn_pages_ref(&e->pages[g], s->pages[g].v[i]);
    }
    if (from->sampler)
        s->sampler = qn_sampler_fork(from->sampler, index);
    return s;
}

/* A reference goes; a page that becomes free returns to the promise, since
 * the sequence may need one in its place (windows, beams). */
static void drop_page(qn_request *req, int g, int32_t id)
{
    qn_pages *p = &req->engine->pages[g];
    if (qn_pages_unref(p, id)) {
        p->n_reserved++;
        req->reserved[g]++;
    }
}

int32_t qn_seq_take_page(qn_seq *s, int pool)
{
    s->req->reserved[pool]--;
    return qn_pages_take(&s->req->engine->pages[pool]);
}

static void drop_pages(qn_seq *s, int g)
{
    for (size_t i = s->first_page[g]; i < s->pages[g].n; i++)
        drop_page(s->req, g, s->pages[g].v[i]);
    qn_vec_clear(&s->pages[g]);
    s->first_page[g] = 0;
}

void qn_seq_drop_range(qn_seq *s, int pool, size_t first, size_t n)
{
    qn_ids *p = &s->pages[pool];
    for (size_t i = first; i < first + n; i++)
        drop_page(s->req, pool, p->v[i]);
    p->n -= n;
    memmove(p->v + first, p->v + first + n, (p->n - first) * sizeof *p->v);
}

void qn_seq_free(qn_seq *s)
{
    if (!s)
        return;
    qn_swap_drop(s);
    for (int g = 0; g < QN_POOLS; g++) {
        drop_pages(s, g);
        qn_vec_deinit(&s->pages[g]);
    }
    qn_vec_deinit(&s->tokens);
    qn_sampler_free(s->sampler);
    qn_detok_free(s->detok);
    qn_str_deinit(&s->held);
    free(s);
}

/* Entries [first, end) of a table, the first no longer shared. */
static void own_pages(qn_seq *s, int g, size_t first, size_t end)
{
    qn_engine *e = s->req->engine;
    qn_ids *p = &s->pages[g];
    if (first < p->n && qn_pages_shared(&e->pages[g], p->v[first])) {
        int32_t own = qn_seq_take_page(s, g);
        if (g == QN_SLOTS)
            qn_pass_copy_state(e->pass, own, p->v[first]);
        else
            qn_pass_copy_page(e->pass, g, own, p->v[first]);
        drop_page(s->req, g, p->v[first]);
        p->v[first] = own;
    }
    while (p->n < end)
        qn_vec_push(p, qn_seq_take_page(s, g));
}

void qn_seq_prepare(qn_seq *s, int n_row)
{
    qn_engine *e = s->req->engine;
    if (s->redo > 0)
        return; /* it has them */
    size_t first = (size_t)(s->n_kv / e->page_tokens);
    size_t end = (size_t)((s->n_kv + n_row - 1) / e->page_tokens) + 1;
    for (int g = 0; g < e->n_groups; g++)
        own_pages(s, g, first, end);
    if (e->has_state)
        own_pages(s, QN_SLOTS, 0, 1);
}

/* ---- prefix cache ------------------------------------------------------ */

/* Every page that is full now goes into the tree. Of beams only the prompt's:
 * their later pages come and go within one reservation. */
static void remember_pages(qn_seq *s)
{
    qn_engine *e = s->req->engine;
    size_t pt = (size_t)e->page_tokens;
    int64_t end = s->n_kv;
    if (s->req->p.n_beams > 1)
        end = QN_MIN(end, (int64_t)s->req->p.n_prompt);
    while (s->n_known < (size_t)end / pt) {
        s->node = qn_prefix_add(e->prefix, s->req->p.cache_salt, s->node,
                                s->tokens.v + s->n_known * pt,
                                &s->pages[0].v[s->n_known]);
        s->n_known++;
    }
}

/* Not of those who shift: they give all their pages up and take as many again,
 * and pages of the tree would not come back to their promise. */
void qn_seq_find_prefix(qn_seq *s)
{
    qn_engine *e = s->req->engine;
    size_t pt = (size_t)e->page_tokens, n = s->tokens.n;
    if (!e->prefix || s->req->limit || s->req->endless.limit ||
        s->req->prompt_logits || s->req->p.n_prompt_logprobs >= 0)
        return;
    size_t max = (n - 1) / pt; /* one token is left to give logits */
    qn_ids *p = &s->pages[0];
    qn_vec_reserve(p, max);
    p->n = (size_t)qn_prefix_match(e->prefix, s->req->p.cache_salt, s->tokens.v,
                                   n, (int)max, p->v, &s->node);
    s->n_known = p->n;
    s->n_kv = (int64_t)(p->n * pt);
}

void qn_seq_drop_prefix(qn_seq *s)
{
    for (size_t i = 0; i < s->pages[0].n; i++)
        qn_pages_unref(&s->req->engine->pages[0], s->pages[0].v[i]);
    qn_vec_clear(&s->pages[0]);
    s->node = NULL;
    s->n_known = 0;
    s->n_kv = 0;
}

void qn_seq_advance(qn_seq *s, int n_row)
{
    qn_engine *e = s->req->engine;
    if (s->redo > 0) {
        s->redo -= n_row;
        return;
    }
    s->n_kv += n_row;
    if (e->prefix && !s->req->limit && !s->req->endless.limit)
        remember_pages(s);
    for (int g = 0; g < e->n_groups; g++) {
        int64_t window = qn_net_kv_window(e->model->net, g);
        if (window <= 0)
            continue;
        /* the next row looks at positions >= n_kv - window + 1 */
        int64_t need = QN_MAX(s->n_kv - window + 1, 0);
        size_t keep = QN_MIN((size_t)(need / e->page_tokens), s->pages[g].n);
        for (; s->first_page[g] < keep; s->first_page[g]++) {
            int32_t *id = &s->pages[g].v[s->first_page[g]];
            drop_page(s->req, g, *id);
            *id = -1;
        }
    }
}

void qn_seq_renew(qn_seq *s)
{
    const qn_engine *e = s->req->engine;
    int64_t valid = qn_net_kv_valid_until(e->model->net);
    if (valid == 0 || s->renewed || (int64_t)s->req->p.n_prompt > valid ||
        (int64_t)s->tokens.n <= valid)
        return;
    for (int g = 0; g < QN_POOLS; g++)
        drop_pages(s, g);
    s->n_kv = 0;
    s->renewed = true;
}

void qn_seq_give_up(qn_seq *s)
{
    for (int g = 0; g < QN_POOLS; g++)
        drop_pages(s, g);
    s->n_kv = 0;
    s->node = NULL;
    s->n_known = 0;
}

void qn_seq_shift(qn_seq *s)
{
    const qn_request *r = s->req;
    if (r->limit == 0 || (int64_t)s->tokens.n < r->limit)
        return;
    size_t keep = (size_t)r->p.n_keep, n = s->tokens.n;
    size_t gone = (n - keep + 1) / 2;
    memmove(s->tokens.v + keep, s->tokens.v + keep + gone,
            (n - keep - gone) * sizeof *s->tokens.v);
    s->tokens.n -= gone;
    s->n_shifted += (int64_t)gone;
    qn_seq_give_up(s);
}

int64_t qn_seq_n_new(const qn_seq *s)
{
    return (int64_t)s->tokens.n + s->n_shifted - (int64_t)s->req->p.n_prompt;
}

int64_t qn_seq_behind(const qn_seq *s)
{
    return (int64_t)s->tokens.n - s->n_kv + s->redo;
}

int64_t qn_pages_needed(const qn_engine *e, int pool, int64_t n_prompt,
                        int64_t max_new, int n_seqs)
{
    if (pool == QN_SLOTS)
        return e->has_state ? n_seqs : 0;
    if (pool >= e->n_groups)
        return 0;
    int64_t pt = e->page_tokens;
    int64_t whole = n_prompt / pt; /* shared by all completions */
    int64_t tail = (n_prompt % pt + max_new + pt - 1) / pt;
    int64_t valid = qn_net_kv_valid_until(e->model->net);
    if (valid > 0 && n_prompt <= valid && n_prompt + max_new > valid) {
        tail += whole; /* each comes to have the prompt for itself */
        whole = 0;
    }
    int64_t need = whole + n_seqs * QN_MAX(tail, 1);
    if (n_seqs > 1)
        need++; /* the copy that is made before a page is left */
    int64_t window = qn_net_kv_window(e->model->net, pool);
    if (window > 0) {
        int64_t held = (window + e->max_batch + pt - 1) / pt + 2;
        need = QN_MIN(need, n_seqs * held + 1);
    }
    return need;
}

/* ---- text -------------------------------------------------------------- */

/* Moves what is certain from held to the event. true: a stop string, which
 * counts when more tokens have come than have to. */
static bool release(qn_seq *s, qn_event_slot *slot)
{
    static const qn_stops none = {0};
    const qn_stops *stops = qn_seq_n_new(s) > s->req->p.min_new_tokens
                                ? &s->req->stops
                                : &none;
    int hit;
    size_t n = qn_stops_scan(stops, qn_view_of(s->held.p, s->held.n), &hit);
    if (hit >= 0 && s->req->p.include_stop)
        n += stops->v[hit].n;
    qn_str_add(&slot->text, s->held.p, n);
    slot->ev.stop = hit;
    if (hit >= 0) {
        qn_str_clear(&s->held);
    } else if (n > 0) {
        s->held.n -= n;
        memmove(s->held.p, s->held.p + n, s->held.n + 1);
    }
    return hit >= 0;
}

static void end(qn_seq *s, qn_event_slot *slot, qn_finish why)
{
    s->finish = why;
    slot->ev.finish = why;
    s->req->n_running--;
    if (why == QN_FINISH_STOP || why == QN_FINISH_LENGTH)
        qn_pace_ended(&s->req->engine->pace, qn_seq_n_new(s), s->req->max_new);
}

/* Before its first token: the text goes on from the prompt's, unless it is one
 * of its own. A format has read the tokens as behind a letter (qn_tok_bytes). */
static int begin_text(qn_seq *s, qn_err *err)
{
    const qn_request *req = s->req;
    const qn_tok *tok = req->engine->model->tok;
    if (!tok || s->detok)
        return 0;
    s->detok = qn_detok_new(tok, req->p.skip_special);
    int32_t letter = req->fmt ? qn_tok_id(tok, "a", 1) : -1;
    if (letter >= 0)
        return qn_detok_follow(s->detok, &letter, 1, err);
    if (req->p.answer)
        return 0;
    return qn_detok_follow(s->detok, req->p.prompt, req->p.n_prompt, err);
}

int qn_seq_take_token(qn_seq *s, int32_t id, const float *logits, qn_err *err)
{
    qn_request *req = s->req;
    QN_TRY(begin_text(s, err));
    qn_vec_push(&s->tokens, id);
    if (s->sampler)
        qn_sampler_accept(s->sampler, id);
    req->n_completion++;
    req->tenant->served++;
    req->t_last = qn_now_ns();
    if (!req->t_first)
        req->t_first = req->t_last;

    qn_event_slot *slot = qn_request_event(req, s->index);
    slot->ev.id = id;
    if (req->p.n_logprobs >= 0 && logits)
        qn_prob_event(s, slot, id, logits);
    bool is_end = qn_request_is_end(req, id), over = is_end;
    bool full = qn_seq_n_new(s) >= req->max_new;
    if (req->fmt && !is_end) {
        s->fmt_state = qn_fmt_advance(req->fmt, s->fmt_state, id);
        over = qn_fmt_is_over(req->fmt, s->fmt_state);
    }
    if (s->detok) {
        if (!is_end || req->p.include_stop)
            QN_TRY(qn_detok_push(s->detok, id, &s->held, err));
        if (over || full)
            QN_TRY(qn_detok_flush(s->detok, &s->held, err));
        if (release(s, slot)) {
            end(s, slot, QN_FINISH_STOP);
            return 0;
        }
    }
    if (over || full) {
        qn_str_add(&slot->text, s->held.p, s->held.n);
        qn_str_clear(&s->held);
        end(s, slot, over ? QN_FINISH_STOP : QN_FINISH_LENGTH);
    }
    return 0;
}

int qn_seq_finish(qn_seq *s, qn_finish why, qn_err *err)
{
    if (s->finish != QN_FINISH_NONE)
        return 0;
    qn_event_slot *slot = qn_request_event(s->req, s->index);
    int rc = 0;
    if (s->detok) {
        rc = qn_detok_flush(s->detok, &s->held, err);
        release(s, slot);
    }
    qn_str_add(&slot->text, s->held.p, s->held.n);
    qn_str_clear(&s->held);
    end(s, slot, why);
    return rc;
}
