/* request.c - what a caller does with a request: submit, poll, cancel, free.
 * Checks happen here, before anything is queued. */
#include "engine/engine_int.h"

#include "base/clock.h"
#include "engine/request_check.h"

#include <stdlib.h>
#include <string.h>

QN_API void qn_request_params_default(qn_request_params *p)
{
    *p = (qn_request_params){
        .max_new_tokens = 256,
        .n = 1,
        .n_beams = 1,
        .length_penalty = 1.0f,
        .n_logprobs = -1,
        .n_prompt_logprobs = -1,
        .skip_special = true,
    };
    qn_sampling_default(&p->sampling);
}

/* What the model and the engine demand. */
static int check(const qn_engine *e, const qn_request_params *p, qn_err *err)
{
    if (p->n_prompt == 0)
        return qn_fail(err, QN_EINVAL,
                       "the prompt has no tokens; give some text or ids");
    for (size_t i = 0; i < p->n_prompt; i++)
        if (p->prompt[i] < 0 || p->prompt[i] >= e->n_vocab)
            return qn_fail(err, QN_EINVAL,
                           "prompt token %zu is %d; the vocabulary has %d", i,
                           (int)p->prompt[i], e->n_vocab);
    int n = QN_MAX(p->n, p->n_beams);
    if (n > e->max_seqs)
        return qn_fail(err, QN_ELIMIT,
                       "%d completions or beams asked for; the engine runs %d "
                       "sequences at once: lower n or n_beams, or raise "
                       "max_seqs",
                       n, e->max_seqs);
    if (!e->model->tok && (p->n_stop > 0 || p->format != QN_FORMAT_TEXT))
        return qn_fail(err, QN_EINVAL, "%s a tokenizer, and the model has none",
                       p->n_stop > 0 ? "stop strings need" : "a format needs");
    QN_TRY(qn_request_check(p, err));
    return qn_sampling_check(&p->sampling, e->n_vocab, err);
}

/* The prompt has to leave something to forget and something to keep. */
static int check_shift(const qn_engine *e, const qn_request_params *p,
                       int64_t limit, qn_err *err)
{
    if (!e->shifts)
        return qn_fail(err, QN_EUNSUP,
                       "context_shift: the rotations of this model depend on "
                       "the length of the text");
    if (p->n_keep < 0 || p->n_keep > limit / 2 || limit < 8)
        return qn_fail(err, QN_EINVAL,
                       "n_keep is %d; use 0 to half of the context of %lld",
                       p->n_keep, (long long)limit);
    if ((int64_t)p->n_prompt >= limit)
        return qn_fail(err, QN_ELIMIT,
                       "the prompt has %zu tokens, the engine's context %lld: "
                       "shorten the prompt",
                       p->n_prompt, (long long)limit);
    return 0;
}

/* How long a completion may get, and its sequence at a time. */
typedef struct lengths {
    int max_new;
    int64_t limit;      /* as in qn_request */
    qn_endless endless; /* as in qn_request */
    int64_t n, room;    /* that the sequence holds: of the prompt, behind it */
} lengths;

static int find_lengths(const qn_engine *e, const qn_request_params *p,
                        lengths *l, qn_err *err)
{
    int64_t ctx = qn_model_n_ctx_train(e->model), n = (int64_t)p->n_prompt;
    *l = (lengths){.max_new = p->max_new_tokens, .n = n};
    if (p->kv_window > 0) {
        QN_TRY(qn_endless_plan(e, p, &l->endless, err));
        l->n = QN_MIN(n, l->endless.limit);
        l->room = QN_MIN((int64_t)l->max_new, l->endless.limit - l->n);
        return 0;
    }
    if (n > ctx || (n == ctx && p->max_new_tokens > 0))
        return qn_fail(err, QN_ELIMIT,
                       "the prompt has %lld tokens, the model's context %lld: "
                       "shorten the prompt",
                       (long long)n, (long long)ctx);
    l->room = QN_MIN((int64_t)p->max_new_tokens, ctx - n);
    if (p->context_shift) {
        l->limit = QN_MIN(ctx, e->n_ctx);
        QN_TRY(check_shift(e, p, l->limit, err));
        l->room = QN_MIN(l->room, l->limit - n);
        if (l->max_new == l->room) /* it never comes to that */
            l->limit = 0;
    } else {
        l->max_new = (int)l->room;
    }
    return 0;
}

/* Whether it can ever run. */
static int check_room(qn_engine *e, const qn_request_params *p,
                      const lengths *l, qn_err *err)
{
    int64_t n = l->n, room = l->room;
    int n_seqs = QN_MAX(QN_MAX(p->n, p->n_beams), 1);
    for (int g = 0; g < e->n_groups; g++) {
        int64_t need = qn_pages_needed(e, g, n, room, n_seqs);
        if (need > e->pages[g].n)
            return qn_fail(
                err, QN_ELIMIT,
                "%lld prompt tokens and %d new ones (x %d) need %lld KV pages "
                "of %d tokens; the engine has %d: lower max_new_tokens or "
                "raise n_ctx, the engine's context (now %lld tokens)",
                (long long)n, (int)room, n_seqs, (long long)need,
                e->page_tokens, e->pages[g].n, (long long)e->n_ctx);
    }
    return 0;
}

static void copy_params(qn_request *req, const qn_request_params *p)
{
    req->p = *p;
    req->p.prompt = qn_xcopy(p->prompt, p->n_prompt, sizeof *p->prompt);
    req->p.stop = NULL;
    req->p.schema = NULL;
    req->p.stop_ids = NULL;
    req->p.n = QN_MAX(p->n, 1);
    req->p.n_beams = QN_MAX(p->n_beams, 1);
    req->stops.v = qn_xcalloc(p->n_stop + 1, sizeof *req->stops.v);
    req->stops.n = p->n_stop;
    for (size_t i = 0; i < p->n_stop; i++) {
        size_t len = strlen(p->stop[i]);
        req->stops.v[i] = qn_view_of(qn_xstrndup(p->stop[i], len), len);
    }
    for (size_t i = 0; i < p->n_stop_ids; i++)
        qn_vec_push(&req->end_ids, p->stop_ids[i]);
    const qn_model *m = req->engine->model;
    for (size_t i = 0; i < m->end_ids.n && !p->ignore_eos; i++)
        qn_vec_push(&req->end_ids, m->end_ids.v[i]);
}

bool qn_request_is_end(const qn_request *req, int32_t id)
{
    for (size_t i = 0; i < req->end_ids.n; i++)
        if (req->end_ids.v[i] == id)
            return true;
    return false;
}

static int first_sampler(qn_request *req, qn_seq *s, qn_err *err)
{
    qn_sampler_init init = {
        .params = &req->p.sampling,
        .n_vocab = req->engine->n_vocab,
        .prompt = req->p.prompt,
        .n_prompt = req->p.n_prompt,
        .end_ids = req->end_ids.v,
        .n_end_ids = req->end_ids.n,
        .min_new = req->p.min_new_tokens,
        .max_new = req->limit           ? (int)req->limit
                   : req->endless.limit ? (int)req->endless.limit
                                        : req->max_new,
        .masked = req->fmt != NULL,
    };
    return qn_sampler_new(&s->sampler, &init, err);
}

static void list_append(qn_engine *e, qn_request *req)
{
    if (e->last)
        e->last->next = req;
    else
        e->first = req;
    e->last = req;
}

static void list_remove(qn_engine *e, qn_request *req)
{
    qn_request **at = &e->first, *prev = NULL;
    while (*at && *at != req) {
        prev = *at;
        at = &(*at)->next;
    }
    if (!*at)
        return;
    *at = req->next;
    if (e->last == req)
        e->last = prev;
}

/* Room for the prompt's logits, which is refused while it is only asked for:
 * the kernel would grant it and end the program when it is used. */
static int new_logits(const qn_engine *e, const qn_request_params *p,
                      void **logits, size_t *n, qn_err *err)
{
    char need[32], have[32];
    uint64_t left = qn_mem_available();
    *n = p->n_prompt * (size_t)e->n_vocab * sizeof(float);
    *logits = NULL;
    if (!p->prompt_logits)
        return 0;
    if (*n > left)
        return qn_fail(err, QN_ENOMEM,
                       "the logits of %zu prompt tokens need %s, %s are left: "
                       "ask for a shorter prompt's",
                       p->n_prompt, qn_fmt_bytes(need, sizeof need, *n),
                       qn_fmt_bytes(have, sizeof have, left));
    return qn_big_alloc(logits, *n, QN_MEM_LOGITS, err);
}

QN_API int qn_request_submit(qn_engine *e, const qn_request_params *p,
                             qn_request **out, qn_err *err)
{
    lengths l;
    QN_TRY(check(e, p, err));
    QN_TRY(find_lengths(e, p, &l, err));
    QN_TRY(check_room(e, p, &l, err));
    if (e->max_waiting && e->n_waiting >= e->max_waiting)
        return qn_fail(err, QN_EBUSY,
                       "%d requests wait already, as many as may: try again "
                       "later",
                       e->n_waiting);
    qn_fmt *fmt = NULL;
    void *logits;
    size_t n_logits;
    int rc = 0;
    if (p->format != QN_FORMAT_TEXT)
        rc = qn_formats_get(e->formats, p->format, p->schema, p->n_schema, &fmt,
                            err);
    if (rc < 0)
        return qn_err_prefix(err, rc, "format");
    rc = new_logits(e, p, &logits, &n_logits, err);
    if (rc < 0) {
        qn_fmt_unref(fmt);
        return rc;
    }

    qn_request *req = qn_xcalloc(1, sizeof *req);
    req->engine = e;
    req->max_new = l.max_new;
    req->limit = l.limit;
    req->endless = l.endless;
    req->fmt = fmt;
    req->prompt_logits = logits;
    req->prompt_logits_bytes = n_logits;
    req->t_submit = qn_now_ns();
    if (p->deadline_ms > 0)
        req->t_deadline = req->t_submit +
                          (uint64_t)(QN_MIN(p->deadline_ms, 1e12) * 1e6);
    req->tenant = qn_tenant_join(e, p->tenant);
    atomic_init(&req->cancel, false);
    copy_params(req, p);
    req->n_seqs = QN_MAX(req->p.n, req->p.n_beams);
    req->seqs = qn_xcalloc((size_t)req->n_seqs, sizeof(qn_seq *));
    qn_seq *s = qn_seq_new(req, 0);
    req->seqs[0] = s;
    req->n_running = 1;
    req->yields = e->overcommit && req->n_seqs == 1 && !l.endless.limit;
    e->n_waiting++;
    int64_t most = QN_MAX(l.limit, l.endless.limit);
    qn_vec_reserve(&s->tokens, most ? QN_MAX((size_t)most, p->n_prompt) + 1
                                    : p->n_prompt + (size_t)l.max_new);
    for (size_t i = 0; i < p->n_prompt; i++)
        qn_vec_push(&s->tokens, p->prompt[i]);
    s->fmt_state = fmt ? qn_fmt_begin(fmt) : 0;
    rc = first_sampler(req, s, err);
    if (rc == 0)
        rc = qn_prob_prompt_new(req, err);
    list_append(e, req);
    if (rc < 0) {
        qn_request_free(req);
        return rc;
    }
    *out = req;
    return 0;
}

/* The last event of every completion, also of those that have no sequence
 * yet, or never had one (live beams are no completions). */
static int finish_all(qn_request *req, qn_finish why, qn_err *err)
{
    int rc = 0;
    for (int i = 0; i < req->p.n; i++) {
        qn_seq *s = req->beams ? NULL : req->seqs[i];
        int r = 0;
        if (s)
            r = qn_seq_finish(s, why, err);
        else
            qn_request_event(req, i)->ev.finish = why;
        if (r < 0)
            rc = r;
    }
    return rc;
}

int qn_request_end(qn_request *req, qn_finish why, qn_err *err)
{
    int rc = 0;
    qn_engine *e = req->engine;
    if (req->phase == QN_ENDED)
        return 0;
    if (why != QN_FINISH_NONE)
        rc = finish_all(req, why, err);
    for (int i = 0; i < req->n_seqs; i++) {
        qn_seq_free(req->seqs[i]);
        req->seqs[i] = NULL;
    }
    qn_beams_free(req->beams);
    req->beams = NULL;
    if (req->phase == QN_WAITING) {
        e->n_waiting--;
    } else {
        e->n_live_seqs -= req->n_seqs;
        for (int g = 0; g < QN_POOLS; g++)
            qn_pages_unreserve(&e->pages[g], req->reserved[g]);
    }
    req->phase = QN_ENDED;
    qn_fmt_unref(req->fmt);
    req->fmt = NULL;
    qn_tenant_leave(e, req->tenant);
    list_remove(e, req);
    return rc;
}

QN_API void qn_request_free(qn_request *req)
{
    if (!req)
        return;
    qn_request_end(req, QN_FINISH_NONE, NULL);
    for (size_t i = 0; i < req->events.cap; i++) {
        qn_str_deinit(&req->events.v[i].text);
        qn_vec_deinit(&req->events.v[i].top);
    }
    free(req->events.v);
    qn_big_free(req->prompt_logits, req->prompt_logits_bytes, QN_MEM_LOGITS);
    qn_prob_prompt_free(req);
    free((void *)(uintptr_t)req->p.prompt);
    for (size_t i = 0; i < req->stops.n; i++)
        free((void *)(uintptr_t)req->stops.v[i].p);
    free(req->stops.v);
    qn_vec_deinit(&req->end_ids);
    free(req->seqs);
    free(req);
}

QN_API void qn_request_cancel(qn_request *req)
{
    atomic_store(&req->cancel, true);
}

QN_API void qn_request_pause(qn_request *req, bool paused)
{
    req->paused = paused;
}

/* ---- events ------------------------------------------------------------ */

qn_event_slot *qn_request_event(qn_request *req, int index)
{
    if (req->events.head == req->events.n)
        req->events.head = req->events.n = 0; /* all read: start over */
    if (req->events.n == req->events.cap) {
        size_t cap = req->events.cap ? req->events.cap * 2 : 4;
        req->events.v = qn_xreallocarray(req->events.v, cap,
                                         sizeof *req->events.v);
        memset(req->events.v + req->events.cap, 0,
               (cap - req->events.cap) * sizeof *req->events.v);
        req->events.cap = cap;
    }
    qn_event_slot *slot = &req->events.v[req->events.n++];
    qn_str_clear(&slot->text);
    qn_vec_clear(&slot->top);
    slot->ev = (qn_event){.index = index, .id = -1, .stop = -1};
    return slot;
}

QN_API int qn_request_next(qn_request *req, qn_event *ev)
{
    if (req->events.head == req->events.n)
        return 0;
    qn_event_slot *slot = &req->events.v[req->events.head++];
    *ev = slot->ev;
    ev->text = slot->text.p ? slot->text.p : "";
    ev->text_len = slot->text.n;
    ev->top = slot->top.v;
    ev->n_top = slot->top.n;
    return 1;
}

QN_API int qn_request_error(const qn_request *req, qn_err *err)
{
    if (req->fail.code < 0 && err)
        *err = req->fail;
    return req->fail.code;
}

QN_API const float *qn_request_prompt_logits(const qn_request *req)
{
    return req->phase == QN_WAITING || req->phase == QN_PROMPT
               ? NULL
               : req->prompt_logits;
}

QN_API void qn_request_get_stats(const qn_request *req, qn_request_stats *s)
{
    *s = (qn_request_stats){.n_prompt = (int)req->p.n_prompt,
                            .n_completion = req->n_completion,
                            .n_cached = req->n_cached,
                            .n_preempted = req->n_preempted,
                            .n_guessed = req->n_guessed,
                            .n_right = req->n_right};
    if (!req->t_admit)
        return;
    s->queued_ms = (double)(req->t_admit - req->t_submit) * 1e-6;
    if (!req->t_first)
        return;
    s->prefill_ms = (double)(req->t_first - req->t_admit) * 1e-6;
    s->ttft_ms = (double)(req->t_first - req->t_submit) * 1e-6;
    s->decode_ms = (double)(req->t_last - req->t_first) * 1e-6;
}
