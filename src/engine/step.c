/* step.c - one step: a ragged batch, and what becomes of it.
 *
 * A step is one forward pass: the rows of every decoding sequence, then as much
 * of the prompts as sched.c allows. Which rows share a pass never changes what
 * they compute (backend.h, law 1).
 *
 * A sequence that has to be computed again (qn_seq_renew, or it gave way to
 * another) is behind by more than the row of its newest token; it catches up
 * in chunks like a prompt. */
#include "engine/engine_int.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_late(const qn_request *r, uint64_t now)
{
    return r->t_deadline && now >= r->t_deadline;
}

static void end_some(qn_engine *e)
{
    uint64_t now = qn_now_ns();
    for (qn_request *r = e->first, *next; r; r = next) {
        next = r->next;
        if (is_late(r, now)) {
            qn_fail(&r->fail, QN_ECANCEL,
                    "not done by its deadline, %.0f ms after it came",
                    r->p.deadline_ms);
            qn_request_end(r, QN_FINISH_CANCEL, NULL);
        } else if (atomic_load(&r->cancel)) {
            qn_request_end(r, QN_FINISH_CANCEL, &r->fail);
        }
    }
}

/* ---- the batch --------------------------------------------------------- */

/* n_row rows of s, of which the last n_out give logits. */
static void add_span(qn_engine *e, qn_batch *b, qn_seq *s, int n_row, int n_out)
{
    int64_t n_prompt = (int64_t)s->req->p.n_prompt;
    int64_t from = s->redo > 0 ? s->req->endless.sinks - s->redo : s->n_kv;
    qn_span *sp = &e->spans[b->n_span];
    *sp = (qn_span){.row0 = b->n_row, .n_row = n_row, .pos0 = from};
    sp->rope_len = s->renewed           ? (int64_t)s->tokens.n
                   : s->n_kv < n_prompt ? n_prompt
                                        : s->n_kv + 1;
    qn_seq_prepare(s, n_row);
    for (int g = 0; g < e->n_groups; g++)
        sp->pages[g] = s->pages[g].v;
    if (e->has_state)
        sp->state_slot = s->pages[QN_SLOTS].v[0];
    for (int i = 0; i < n_row; i++) {
        e->tokens[b->n_row + i] = s->tokens.v[from + i];
        e->pos[b->n_row + i] = (int32_t)(s->pos0 + from + i);
    }
    for (int i = n_row - n_out; i < n_row; i++)
        e->out_rows[b->n_out++] = b->n_row + i;
    e->span_seq[b->n_span] = s;
    e->span_out[b->n_span++] = n_out;
    b->n_row += n_row;
}

static bool runs(const qn_seq *s)
{
    return s && s->finish == QN_FINISH_NONE;
}

/* Beams go on together or not at all. */
static bool beams_ready(const qn_request *r)
{
    for (int i = 0; i < r->n_seqs; i++)
        if (runs(r->seqs[i]) && qn_seq_behind(r->seqs[i]) > 1)
            return false;
    return true;
}

/* Room for guesses: what is left of the batch when every sequence has its row,
 * of the completion, and of the pages that are promised. */
static int room_for_guesses(const qn_engine *e, const qn_batch *b,
                            const qn_seq *s)
{
    const qn_request *r = s->req;
    int64_t n = (int64_t)s->tokens.n;
    int64_t room = QN_MIN(e->max_batch - b->n_row, e->max_out - b->n_out);
    room = QN_MIN(room - e->n_live_seqs, (int64_t)e->speculate);
    room = QN_MIN(room, r->max_new - qn_seq_n_new(s) - 1);
    if (r->limit)
        room = QN_MIN(room, r->limit - n - 1);
    if (r->endless.limit)
        room = QN_MIN(room, r->endless.limit - n);
    for (int g = 0; r->yields && g < e->n_groups; g++) {
        int64_t pages = (int64_t)s->pages[g].n + r->reserved[g];
        room = QN_MIN(room, pages * e->page_tokens - n);
    }
    return (int)QN_MAX(room, 0);
}

static int guess(qn_engine *e, const qn_batch *b, qn_seq *s)
{
    if (!e->speculate || s->req->beams)
        return 0;
    return qn_guess_make(s, room_for_guesses(e, b, s),
                         qn_cost_worth(&e->cost, e->n_live_seqs));
}

static void add_decodes(qn_engine *e, qn_batch *b)
{
    for (qn_request *r = e->first; r; r = r->next) {
        if (r->phase != QN_DECODE || r->paused)
            continue;
        for (int i = 0; i < r->n_seqs; i++)
            if (runs(r->seqs[i])) {
                qn_seq_renew(r->seqs[i]);
                qn_seq_shift(r->seqs[i]);
                qn_endless_slide(r->seqs[i]);
            }
        if (r->beams && !beams_ready(r))
            continue;
        for (int i = 0; i < r->n_seqs; i++)
            if (runs(r->seqs[i]) && qn_seq_behind(r->seqs[i]) == 1) {
                int n = 1 + guess(e, b, r->seqs[i]);
                add_span(e, b, r->seqs[i], n, n);
            }
    }
}

static void add_prompts(qn_engine *e, qn_batch *b)
{
    int n = qn_sched_prompts(e, b);
    for (int i = 0; i < n; i++) {
        const qn_turn *t = &e->turns[i];
        if (t->n > 0)
            add_span(e, b, t->s, t->n, t->n_out);
    }
}

/* ---- what becomes of it ------------------------------------------------ */

/* A broken checkpoint, or an overflow in the network. */
static bool has_numbers(const float *row, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isnan(row[i]))
            return true;
    return false;
}

/* The next token of s, by the logits of its last row. */
static int choose(qn_seq *s, const float *row, qn_err *err)
{
    qn_fmt *fmt = s->req->fmt;
    if (fmt) {
        const uint32_t *bits;
        bool ends;
        QN_TRY(qn_fmt_mask(fmt, s->fmt_state, &bits, &ends, err));
        qn_sampler_mask(s->sampler, bits, ends);
    }
    int32_t id = qn_sampler_pick(s->sampler, row);
    if (id < 0 && !has_numbers(row, s->req->engine->n_vocab))
        return qn_fail(err, QN_EFORMAT,
                       "the model's logits are no numbers (NaN): its weights "
                       "are broken, or have outgrown their type");
    if (id < 0)
        return qn_fail(err, QN_EINVAL,
                       "no token is allowed: allowed_ids, banned_ids, "
                       "logit_bias and min_new_tokens exclude all that the "
                       "%s has",
                       fmt ? "format" : "vocabulary");
    return qn_seq_take_token(s, id, row, err);
}

/* The token behind the last, and as long as guesses are right those behind
 * them: rows [n, n_vocab], n - 1 guesses. */
static int choose_row(qn_seq *s, const float *rows, int n, qn_err *err)
{
    size_t base = s->tokens.n;
    int taken = 0;
    while (taken < n && s->finish == QN_FINISH_NONE) {
        int32_t guessed = taken < n - 1 ? s->tokens.v[base + (size_t)taken]
                                        : -1;
        QN_TRY(choose(s, rows, err));
        rows += s->req->engine->n_vocab;
        if (s->tokens.v[base + (size_t)taken++] != guessed)
            break;
    }
    if (n > 1)
        qn_guess_result(s, n - 1, QN_MIN(taken, n) - 1);
    qn_seq_advance(s, taken);
    return 0;
}

/* The prompt is in the pages: completions 1.. share them from here on. */
static int begin_decode(qn_request *req, const float *row, qn_err *err)
{
    req->phase = QN_DECODE;
    if (req->max_new == 0)
        return qn_request_end(req, QN_FINISH_LENGTH, err);
    if (req->p.n_beams > 1) {
        req->beams = qn_beams_new(req);
        req->t_first = req->t_last = qn_now_ns(); /* texts come at the end */
        return qn_beams_step(req->beams, row, 1, err);
    }
    for (int i = 1; i < req->n_seqs; i++) {
        req->seqs[i] = qn_seq_fork(req->seqs[0], i);
        req->n_running++;
    }
    for (int i = 0; i < req->n_seqs; i++)
        QN_TRY(choose(req->seqs[i], row, err));
    return 0;
}

static int after_prompt(qn_request *req, const qn_span *sp, const float *rows,
                        int n_rows, qn_err *err)
{
    size_t v = (size_t)req->engine->n_vocab;
    if (req->prompt_logits)
        memcpy(req->prompt_logits + (size_t)sp->pos0 * v, rows,
               (size_t)n_rows * v * sizeof *rows);
    if (req->prompt_lp)
        qn_prob_prompt_add(req, sp->pos0, rows, n_rows);
    const qn_seq *s = req->seqs[0];
    if (s->n_kv + s->n_shifted < (int64_t)req->p.n_prompt)
        return 0;
    return begin_decode(req, n_rows ? rows + (size_t)(n_rows - 1) * v : NULL,
                        err);
}

/* What follows from the rows of one request's spans [first, end). */
static int after(qn_engine *e, int first, int end_, const float *rows,
                 int n_rows, qn_err *err)
{
    qn_request *req = e->span_seq[first]->req;
    if (req->phase == QN_PROMPT)
        return after_prompt(req, &e->spans[first], rows, n_rows, err);
    if (req->beams)
        return qn_beams_step(req->beams, rows, n_rows, err);
    for (int i = first; i < end_; i++) {
        QN_TRY(choose_row(e->span_seq[i], rows, e->span_out[i], err));
        rows += (size_t)e->span_out[i] * (size_t)e->n_vocab;
    }
    return 0;
}

/* Hands every request its rows (a request's spans with rows are neighbours).
 * One that fails ends alone: the others in the batch go on. */
static void distribute(qn_engine *e, const qn_batch *b, const float *rows)
{
    for (int i = 0; i < b->n_span; i++) {
        qn_seq *s = e->span_seq[i];
        bool decodes = s->req->phase == QN_DECODE;
        if (decodes && e->span_out[i] > 0 && !s->req->beams)
            continue; /* how far it comes, choose_row says */
        qn_seq_advance(s, e->spans[i].n_row);
        if (e->span_out[i] == 0 && decodes)
            e->span_seq[i] = NULL; /* it only caught up */
    }
    for (int i = 0, end_; i < b->n_span; i = end_) {
        end_ = i + 1;
        if (!e->span_seq[i])
            continue;
        qn_request *req = e->span_seq[i]->req;
        int n_rows = e->span_out[i];
        for (; end_ < b->n_span; end_++) {
            if (!e->span_seq[end_] || e->span_seq[end_]->req != req)
                break;
            n_rows += e->span_out[end_];
        }
        if (after(e, i, end_, rows, n_rows, &req->fail) < 0)
            qn_request_end(req, QN_FINISH_ERROR, NULL);
        rows += (size_t)n_rows * (size_t)e->n_vocab;
    }
}

/* ---- a pass that takes long --------------------------------------------- */

#define LONG_MS 200 /* shorter ones are not looked at meanwhile */

/* Whether nobody wants any of the rows of this pass any more. */
static bool nobody_waits(void *user)
{
    qn_engine *e = user;
    if (e->watch)
        e->watch(e->watch_user);
    uint64_t now = qn_now_ns();
    for (int i = 0; i < e->n_span; i++) {
        const qn_request *r = e->span_seq[i]->req;
        if (!atomic_load(&r->cancel) && !is_late(r, now))
            return false;
    }
    return true;
}

QN_API void qn_engine_watch(qn_engine *e, qn_watch_fn fn, void *user)
{
    e->watch = fn;
    e->watch_user = user;
}

/* The pass had no memory: its requests end, the others and the engine go on. */
static void end_of_pass(qn_engine *e, const qn_err *why)
{
    for (int i = 0; i < e->n_span; i++)
        e->span_seq[i]->req->fail = *why;
    for (qn_request *r = e->first, *next; r; r = next) {
        next = r->next;
        if (r->fail.code < 0)
            qn_request_end(r, QN_FINISH_ERROR, NULL);
    }
}

/* 1: it was given up, and its requests are ended. */
static int forward(qn_engine *e, const qn_batch *b, const float **logits,
                   qn_err *err)
{
    bool lasts = qn_pace_expects(&e->pace, b->n_row) > LONG_MS;
    e->n_span = b->n_span;
    qn_err why = {0};
    qn_pass_watch(e->pass, lasts ? nobody_waits : NULL, e);
    int rc = qn_pass_forward(e->pass, b, logits, &why);
    qn_pass_watch(e->pass, NULL, NULL); /* others use it, too (session.c) */
    if (rc == 0)
        return 0;
    if (rc == QN_ECANCEL)
        end_some(e);
    else if (rc == QN_ENOMEM)
        end_of_pass(e, &why);
    else
        return qn_fail(err, rc, "%s", why.msg);
    return 1;
}

static void learn(qn_engine *e, const qn_batch *b, int n_decode, double ms)
{
    qn_pace_learn(&e->pace, b->n_row, n_decode, ms);
    if (b->n_row == n_decode)
        qn_cost_learn(&e->cost, b->n_row, ms);
    e->n_steps++;
    e->n_rows += (uint64_t)b->n_row;
}

static int sweep(qn_engine *e)
{
    int n = 0;
    for (qn_request *r = e->first, *next; r; r = next) {
        next = r->next;
        if (r->n_running > 0)
            n++;
        else
            qn_request_end(r, QN_FINISH_NONE, NULL);
    }
    return n;
}

/* ---- memory ------------------------------------------------------------- */

QN_API bool qn_engine_prepare(qn_engine *e)
{
    int32_t used[QN_KV_GROUPS] = {0};
    for (int g = 0; g < e->n_groups; g++)
        used[g] = e->pages[g].n_touched;
    return qn_pass_populate(e->pass, used);
}

/* Every step twice what its rows may take, so that what is ahead lasts: steps
 * that take pages which have no memory yet would take much longer than those
 * that do not. */
static void prepare_more(qn_engine *e, int n_row)
{
    uint64_t bytes = 2 * (uint64_t)n_row * e->kv_per_token;
    for (uint64_t n = 0; n <= bytes / QN_PASS_BLOCK; n++)
        if (!qn_engine_prepare(e))
            return;
}

QN_API int qn_engine_step(qn_engine *e, qn_err *err)
{
    uint64_t t0 = qn_now_ns();
    end_some(e);
    qn_sched_make_room(e);
    qn_sched_admit(e);
    qn_batch b = {.tokens = e->tokens,
                  .pos = e->pos,
                  .spans = e->spans,
                  .out_rows = e->out_rows};
    add_decodes(e, &b);
    int n_decode = b.n_row;
    add_prompts(e, &b);
    if (b.n_row > 0) {
        const float *logits = NULL;
        uint64_t t1 = qn_now_ns();
        int given_up = forward(e, &b, &logits, err);
        QN_TRY(given_up);
        uint64_t ns = qn_now_ns() - t1;
        e->ns_forward += ns;
        if (!given_up) {
            learn(e, &b, n_decode, (double)ns * 1e-6);
            distribute(e, &b, logits);
        }
        prepare_more(e, b.n_row);
    }
    int n = sweep(e);
    e->ns_step += qn_now_ns() - t0;
    return n;
}
