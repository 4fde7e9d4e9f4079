/* step.c - the engine: admission, one ragged batch, what becomes of it.
 *
 * A step is one forward pass: a row for every decoding sequence, then chunks
 * of the prompts in order of arrival until max_batch rows are full. Which
 * rows share a pass never changes what they compute (backend.h, law 1).
 *
 * A sequence that has to be computed again (qn_seq_renew) is behind by more
 * than the row of its newest token; it catches up in chunks like a prompt. */
#include "engine/engine_int.h"

#include "base/clock.h"
#include "model/rope.h"

#include <stdlib.h>
#include <string.h>

/* ---- life -------------------------------------------------------------- */

#define DEFAULT_SEQS 16
#define DEFAULT_BATCH 512
#define DEFAULT_CTX 32768

static qn_kv_dtype cell_type(const qn_model *m, qn_kv_type t)
{
    switch (t) {
    case QN_KV_F32: return QN_KV_CELL_F32;
    case QN_KV_F16: return QN_KV_CELL_F16;
    case QN_KV_BF16: return QN_KV_CELL_BF16;
    case QN_KV_AUTO: break;
    }
    return m->exact ? QN_KV_CELL_F32 : qn_net_kv_auto(m->net);
}

static void pass_params(const qn_engine *e, int64_t n_ctx, qn_kv_type kv,
                        qn_pass_params *pp)
{
    const qn_net *net = e->model->net;
    int64_t pt = e->page_tokens;
    /* one spare page per sequence: tails are rounded up, pages are copied */
    int64_t n = (n_ctx + pt - 1) / pt + e->max_seqs;
    *pp = (qn_pass_params){.max_rows = e->max_batch,
                           .max_out = e->max_out,
                           .max_spans = e->max_seqs,
                           .n_slots = e->has_state ? e->max_seqs : 0,
                           .kv_dtype = cell_type(e->model, kv)};
    for (int g = 0; g < QN_KV_GROUPS; g++) {
        int64_t w = g < e->n_groups ? qn_net_kv_window(net, g) : 0;
        int64_t cap =
            w > 0 ? ((w + e->max_batch + pt - 1) / pt + 2) * e->max_seqs + 1
                  : n;
        pp->n_pages[g] = (int)QN_MIN(QN_MIN(n, cap), INT32_MAX / 2);
    }
}

/* Context when none is asked for: what max_seqs sequences of the model's full
 * length need, at most DEFAULT_CTX (or one full length, if that is longer),
 * halved until the KV fits into half of the memory that is left. */
static int64_t auto_ctx(const qn_engine *e, qn_kv_type kv)
{
    int64_t one = qn_model_n_ctx_train(e->model);
    int64_t n = QN_MIN(one * e->max_seqs, (int64_t)DEFAULT_CTX);
    n = QN_MAX(n, QN_MIN(one, (int64_t)DEFAULT_CTX * 4));
    uint64_t room = qn_mem_available() / 2;
    for (;;) {
        qn_pass_params pp;
        qn_plan plan;
        pass_params(e, n, kv, &pp);
        qn_net_plan(e->model->net, &pp, &plan);
        if (plan.kv <= room || n <= e->page_tokens * 8)
            return n;
        n /= 2;
    }
}

static int check_params(const qn_engine_params *p, qn_err *err)
{
    if (p->n_ctx < 0 || p->n_ctx > INT32_MAX)
        return qn_fail(err, QN_EINVAL, "n_ctx is %lld; use 0 (auto) to %d",
                       (long long)p->n_ctx, INT32_MAX);
    if (p->max_seqs < 0 || p->max_seqs > 4096)
        return qn_fail(err, QN_EINVAL, "max_seqs is %d; use 1 to 4096",
                       p->max_seqs);
    if (p->max_batch < 0 || p->max_batch > 65536)
        return qn_fail(err, QN_EINVAL, "max_batch is %d; use 1 to 65536",
                       p->max_batch);
    return 0;
}

/* Fills what the parameters and the model decide; allocates nothing. */
static void set_limits(qn_engine *e, const qn_model *model,
                       const qn_engine_params *p)
{
    e->model = model;
    e->n_vocab = qn_net_hparams(model->net)->n_vocab;
    e->n_groups = qn_net_n_kv_groups(model->net);
    e->has_state = qn_net_state_bytes(model->net) > 0;
    e->page_tokens = model->be->api->page_tokens;
    e->max_seqs = p->max_seqs ? p->max_seqs : DEFAULT_SEQS;
    e->max_batch = QN_MAX(p->max_batch ? p->max_batch : DEFAULT_BATCH,
                          e->max_seqs);
    e->max_out = QN_MAX(e->max_seqs, 16);
    e->n_ctx = p->n_ctx ? p->n_ctx : auto_ctx(e, p->kv_type);
}

int64_t qn_engine_plan(const qn_model *model, const qn_engine_params *p,
                       qn_plan *plan)
{
    qn_engine e = {0};
    qn_pass_params pp;
    set_limits(&e, model, p);
    pass_params(&e, e.n_ctx, p->kv_type, &pp);
    qn_net_plan(model->net, &pp, plan);
    return e.n_ctx;
}

/* Whether a page's content follows from the tokens up to its end alone, and is
 * all that later tokens need. */
static bool pages_stand_alone(const qn_engine *e)
{
    const qn_hparams *hp = qn_net_hparams(e->model->net);
    for (int i = 0; i < hp->n_rope; i++)
        if (qn_rope_by_length(&hp->rope[i]))
            return false;
    return e->n_groups == 1 && !e->has_state &&
           qn_net_kv_window(e->model->net, 0) <= 0 &&
           qn_net_kv_valid_until(e->model->net) == 0;
}

QN_API int qn_engine_new(qn_engine **out, qn_model *model,
                         const qn_engine_params *params, qn_err *err)
{
    qn_engine_params p = params ? *params : (qn_engine_params){0};
    QN_TRY(check_params(&p, err));
    if (model->no_weights)
        return qn_fail(err, QN_EINVAL, "%s was opened without its weights",
                       model->path);
    qn_engine *e = qn_xcalloc(1, sizeof *e);
    set_limits(e, model, &p);
    qn_pass_params pp;
    pass_params(e, e->n_ctx, p.kv_type, &pp);
    int rc = qn_pass_new(&e->pass, model->net, &pp, err);
    if (rc < 0) {
        free(e);
        return rc;
    }
    for (int g = 0; g < e->n_groups; g++)
        qn_pages_init(&e->pages[g], pp.n_pages[g]);
    if (e->has_state)
        qn_pages_init(&e->pages[QN_SLOTS], pp.n_slots);
    if (p.prefix_cache && pages_stand_alone(e))
        e->prefix = qn_prefix_new(&e->pages[0], e->page_tokens);
    size_t rows = (size_t)e->max_batch, seqs = (size_t)e->max_seqs;
    e->tokens = qn_xcalloc(rows, sizeof *e->tokens);
    e->pos = qn_xcalloc(rows, sizeof *e->pos);
    e->out_rows = qn_xcalloc((size_t)e->max_out, sizeof *e->out_rows);
    e->spans = qn_xcalloc(seqs, sizeof *e->spans);
    e->span_seq = qn_xcalloc(seqs, sizeof *e->span_seq);
    e->span_out = qn_xcalloc(seqs, sizeof *e->span_out);
    e->top_ids = qn_xcalloc(QN_MAX_LOGPROBS, sizeof *e->top_ids);
    *out = e;
    return 0;
}

QN_API void qn_engine_free(qn_engine *e)
{
    if (!e)
        return;
    while (e->first)
        qn_request_end(e->first, QN_FINISH_CANCEL, NULL);
    qn_prefix_free(e->prefix);
    for (int g = 0; g < QN_POOLS; g++)
        qn_pages_deinit(&e->pages[g]);
    qn_pass_free(e->pass);
    free(e->tokens);
    free(e->pos);
    free(e->out_rows);
    free(e->spans);
    free(e->span_seq);
    free(e->span_out);
    free(e->top_ids);
    free(e);
}

/* ---- admission --------------------------------------------------------- */

static bool reserve(qn_engine *e, qn_request *req)
{
    qn_seq_find_prefix(req->seqs[0]);
    for (int g = 0; g < QN_POOLS; g++) {
        int64_t need = qn_pages_needed(e, g, (int64_t)req->p.n_prompt,
                                       req->max_new, req->n_seqs);
        need -= (int64_t)req->seqs[0]->pages[g].n;
        if (!qn_pages_reserve(&e->pages[g], need)) {
            while (g-- > 0) {
                qn_pages_unreserve(&e->pages[g], req->reserved[g]);
                req->reserved[g] = 0;
            }
            qn_seq_drop_prefix(req->seqs[0]);
            return false;
        }
        req->reserved[g] = need;
    }
    return true;
}

static int live_seqs(const qn_engine *e, uint32_t tenant)
{
    int n = 0;
    for (const qn_request *r = e->first; r; r = r->next)
        if (r->phase != QN_WAITING && r->p.tenant == tenant)
            n += r->n_seqs;
    return n;
}

/* Whose turn it is: the best priority, then the tenant with the fewest
 * sequences running, then who came first. */
static qn_request *next_waiting(const qn_engine *e)
{
    qn_request *best = NULL;
    int best_live = 0;
    for (qn_request *r = e->first; r; r = r->next) {
        if (r->phase != QN_WAITING || r->paused ||
            (best && r->p.priority > best->p.priority))
            continue;
        int live = live_seqs(e, r->p.tenant);
        if (!best || r->p.priority < best->p.priority || live < best_live) {
            best = r;
            best_live = live;
        }
    }
    return best;
}

/* A request whose turn it is but that does not fit yet holds back the others,
 * so that it is never starved by smaller ones. */
static void admit(qn_engine *e)
{
    for (qn_request *r; (r = next_waiting(e)) != NULL;) {
        if (e->n_live_seqs + r->n_seqs > e->max_seqs || !reserve(e, r))
            return;
        e->n_live_seqs += r->n_seqs;
        r->phase = QN_PROMPT;
        r->t_admit = qn_now_ns();
        r->n_cached = (int)r->seqs[0]->n_kv;
        e->cache_queries += r->p.n_prompt;
        e->cache_hits += (uint64_t)r->n_cached;
    }
}

static void end_cancelled(qn_engine *e)
{
    for (qn_request *r = e->first, *next; r; r = next) {
        next = r->next;
        if (atomic_load(&r->cancel))
            qn_request_end(r, QN_FINISH_CANCEL, &r->fail);
    }
}

/* ---- the batch --------------------------------------------------------- */

/* n_row rows of s, of which the last n_out give logits. */
static void add_span(qn_engine *e, qn_batch *b, qn_seq *s, int n_row, int n_out)
{
    int64_t n_prompt = (int64_t)s->req->p.n_prompt;
    qn_span *sp = &e->spans[b->n_span];
    *sp = (qn_span){.row0 = b->n_row, .n_row = n_row, .pos0 = s->n_kv};
    sp->rope_len = s->renewed           ? (int64_t)s->tokens.n
                   : s->n_kv < n_prompt ? n_prompt
                                        : s->n_kv + 1;
    qn_seq_prepare(s, n_row);
    for (int g = 0; g < e->n_groups; g++)
        sp->pages[g] = s->pages[g].v;
    if (e->has_state)
        sp->state_slot = s->pages[QN_SLOTS].v[0];
    for (int i = 0; i < n_row; i++) {
        e->tokens[b->n_row + i] = s->tokens.v[s->n_kv + i];
        e->pos[b->n_row + i] = (int32_t)(s->n_kv + i);
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

/* Tokens whose keys and values are not computed yet. */
static int64_t behind(const qn_seq *s)
{
    return (int64_t)s->tokens.n - s->n_kv;
}

/* Beams go on together or not at all. */
static bool beams_ready(const qn_request *r)
{
    for (int i = 0; i < r->n_seqs; i++)
        if (runs(r->seqs[i]) && behind(r->seqs[i]) > 1)
            return false;
    return true;
}

static void add_decodes(qn_engine *e, qn_batch *b)
{
    for (qn_request *r = e->first; r; r = r->next) {
        if (r->phase != QN_DECODE || r->paused)
            continue;
        for (int i = 0; i < r->n_seqs; i++)
            if (runs(r->seqs[i]))
                qn_seq_renew(r->seqs[i]);
        if (r->beams && !beams_ready(r))
            continue;
        for (int i = 0; i < r->n_seqs; i++)
            if (runs(r->seqs[i]) && behind(r->seqs[i]) == 1)
                add_span(e, b, r->seqs[i], 1, 1);
    }
}

/* Chunks of sequences that are computed again. */
static void add_behind(qn_engine *e, qn_batch *b, qn_request *r)
{
    for (int i = 0; i < r->n_seqs; i++) {
        qn_seq *s = r->seqs[i];
        if (!runs(s) || behind(s) <= 1)
            continue;
        int64_t n = QN_MIN(behind(s) - 1, (int64_t)(e->max_batch - b->n_row));
        if (n <= 0)
            return;
        add_span(e, b, s, (int)n, 0);
    }
}

static void add_prompts(qn_engine *e, qn_batch *b)
{
    for (qn_request *r = e->first; r; r = r->next) {
        if (r->paused)
            continue;
        if (r->phase == QN_DECODE)
            add_behind(e, b, r);
        if (r->phase != QN_PROMPT)
            continue;
        qn_seq *s = r->seqs[0];
        int64_t left = (int64_t)r->p.n_prompt - s->n_kv;
        int n = (int)QN_MIN(left, (int64_t)(e->max_batch - b->n_row));
        int room = e->max_out - b->n_out;
        if (r->prompt_logits)
            n = QN_MIN(n, room);
        int n_out = r->prompt_logits ? n : n == left && r->max_new > 0;
        if (n <= 0 || n_out > room)
            return;
        add_span(e, b, s, n, n_out);
    }
}

/* ---- what becomes of it ------------------------------------------------ */

static int choose(qn_seq *s, const float *row, qn_err *err)
{
    int32_t id = qn_sampler_pick(s->sampler, row);
    if (id < 0)
        return qn_fail(err, QN_EINVAL,
                       "no token is allowed: allowed_ids, banned_ids and "
                       "logit_bias exclude the whole vocabulary");
    return qn_seq_take_token(s, id, row, err);
}

/* The prompt is in the pages: completions 1.. share them from here on. */
static int begin_decode(qn_request *req, const float *row, qn_err *err)
{
    req->phase = QN_DECODE;
    if (req->max_new == 0)
        return qn_request_end(req, QN_FINISH_LENGTH, err);
    if (req->p.n_beams > 1) {
        req->beams = qn_beams_new(req);
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
    if (req->seqs[0]->n_kv < (int64_t)req->p.n_prompt)
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
    for (int i = first; i < end_; i++, rows += e->n_vocab)
        QN_TRY(choose(e->span_seq[i], rows, err));
    return 0;
}

/* Hands every request its rows (a request's spans with rows are neighbours).
 * One that fails ends alone: the others in the batch go on. */
static void distribute(qn_engine *e, const qn_batch *b, const float *rows)
{
    for (int i = 0; i < b->n_span; i++) {
        qn_seq *s = e->span_seq[i];
        qn_seq_advance(s, e->spans[i].n_row);
        if (e->span_out[i] == 0 && s->req->phase == QN_DECODE)
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

QN_API int qn_engine_step(qn_engine *e, qn_err *err)
{
    uint64_t t0 = qn_now_ns();
    end_cancelled(e);
    admit(e);
    qn_batch b = {.tokens = e->tokens,
                  .pos = e->pos,
                  .spans = e->spans,
                  .out_rows = e->out_rows};
    add_decodes(e, &b);
    add_prompts(e, &b);
    if (b.n_row > 0) {
        const float *logits = NULL;
        uint64_t t1 = qn_now_ns();
        QN_TRY(qn_pass_forward(e->pass, &b, &logits, err));
        e->ns_forward += qn_now_ns() - t1;
        e->n_steps++;
        e->n_rows += (uint64_t)b.n_row;
        distribute(e, &b, logits);
    }
    int n = sweep(e);
    e->ns_step += qn_now_ns() - t0;
    return n;
}

QN_API void qn_engine_get_stats(const qn_engine *e, qn_engine_stats *s)
{
    *s = (qn_engine_stats){.n_ctx = e->n_ctx,
                           .n_steps = e->n_steps,
                           .n_rows = e->n_rows,
                           .cache_queries = e->cache_queries,
                           .cache_hits = e->cache_hits,
                           .step_ms = (double)e->ns_step * 1e-6,
                           .forward_ms = (double)e->ns_forward * 1e-6};
    for (const qn_request *r = e->first; r; r = r->next)
        r->phase == QN_WAITING ? s->n_waiting++ : s->n_running++;
    for (int g = 0; g < e->n_groups; g++) {
        s->n_pages += e->pages[g].n;
        s->n_pages_used += e->pages[g].n - e->pages[g].n_free -
                           e->pages[g].n_kept;
        s->n_pages_cached += e->pages[g].n_kept;
    }
}
