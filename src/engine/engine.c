/* engine.c - qn_engine: limits, memory, life, statistics. */
#include "engine/engine_int.h"
#include "engine/parts.h"

#include <stdlib.h>

/* ---- life -------------------------------------------------------------- */

#define DEFAULT_CTX 32768
#define MAX_POS (1 << 17) /* f32 angles: an error of 0.004 at most */

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
                           .kv_dtype = qn_model_kv_cell(e->model, kv)};
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
    if ((unsigned)p->kv_type > QN_KV_INT8)
        return qn_fail(err, QN_EINVAL, "kv_type %d is not known",
                       (int)p->kv_type);
    if (p->max_seqs < 0 || p->max_seqs > 4096)
        return qn_fail(err, QN_EINVAL, "max_seqs is %d; use 1 to 4096",
                       p->max_seqs);
    if (p->max_batch < 0 || p->max_batch > 65536)
        return qn_fail(err, QN_EINVAL, "max_batch is %d; use 1 to 65536",
                       p->max_batch);
    if (p->max_prompt_rows < 0 || p->max_prompt_rows > 65536)
        return qn_fail(err, QN_EINVAL,
                       "max_prompt_rows is %d; use 0 (auto) to 65536",
                       p->max_prompt_rows);
    if (p->max_waiting < 0)
        return qn_fail(err, QN_EINVAL,
                       "max_waiting is %d; use 0 (any number) or more",
                       p->max_waiting);
    if (!(p->max_step_ms >= 0))
        return qn_fail(err, QN_EINVAL, "max_step_ms is %g; use 0 (any) or more",
                       p->max_step_ms);
    if (p->speculate < 0 || p->speculate > QN_MAX_GUESS)
        return qn_fail(err, QN_EINVAL, "speculate is %d; use 0 (not) to %d",
                       p->speculate, QN_MAX_GUESS);
    return 0;
}

/* A guess that was wrong leaves nothing behind where keys and values alone
 * carry over, and each row's own length, if any, is what its span says. */
static bool can_guess(const qn_engine *e)
{
    return !e->has_state && qn_net_keys_final(e->model->net);
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
    e->max_seqs = p->max_seqs ? p->max_seqs : QN_DEFAULT_SEQS;
    e->max_batch = QN_MAX(p->max_batch ? p->max_batch : QN_DEFAULT_BATCH,
                          e->max_seqs);
    e->speculate = can_guess(e) ? p->speculate : 0;
    /* guesses of a few sequences; with many they do not pay */
    e->max_out = QN_MAX(e->max_seqs, 16) +
                 e->speculate * QN_MIN(e->max_seqs, 8);
    if (e->speculate)
        e->max_batch = QN_MAX(e->max_batch, e->max_out);
    e->max_prompt_rows = p->max_prompt_rows;
    e->max_waiting = p->max_waiting;
    e->max_pos = MAX_POS;
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
    return qn_net_keys_final(e->model->net) && e->n_groups == 1 &&
           !e->has_state && qn_net_kv_window(e->model->net, 0) <= 0;
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
    if (rc == 0)
        rc = qn_pass_reserve(e->pass, err);
    if (rc < 0) {
        qn_pass_free(e->pass);
        free(e);
        return rc;
    }
    for (int g = 0; g < e->n_groups; g++)
        qn_pages_init(&e->pages[g], pp.n_pages[g]);
    if (e->has_state)
        qn_pages_init(&e->pages[QN_SLOTS], pp.n_slots);
    if (p.prefix_cache && pages_stand_alone(e))
        e->prefix = qn_prefix_new(&e->pages[0], e->page_tokens);
    /* rows of a completion that are computed again in chunks have one length
     * for all: right only where the length does not matter */
    e->shifts = qn_net_keys_final(model->net);
    e->overcommit = p.overcommit && e->shifts;
    qn_plan plan;
    qn_net_plan(model->net, &pp, &plan);
    e->kv_per_token = plan.kv_per_token;
    qn_pace_init(&e->pace, p.max_step_ms, plan.weights,
                 model->be->api->row_tile(model->be));
    qn_swap_init(&e->swap, p.swap_bytes);
    e->formats = qn_formats_new(model->tok, e->n_vocab);
    size_t rows = (size_t)e->max_batch, seqs = (size_t)e->max_seqs;
    e->tokens = qn_xcalloc(rows, sizeof *e->tokens);
    e->pos = qn_xcalloc(rows, sizeof *e->pos);
    e->out_rows = qn_xcalloc((size_t)e->max_out, sizeof *e->out_rows);
    e->spans = qn_xcalloc(seqs, sizeof *e->spans);
    e->span_seq = qn_xcalloc(seqs, sizeof *e->span_seq);
    e->span_out = qn_xcalloc(seqs, sizeof *e->span_out);
    e->top_ids = qn_xcalloc(QN_MAX_LOGPROBS, sizeof *e->top_ids);
    e->turns = qn_xcalloc(seqs, sizeof *e->turns);
    *out = e;
    return 0;
}

QN_API void qn_engine_free(qn_engine *e)
{
    if (!e)
        return;
    while (e->first)
        qn_request_end(e->first, QN_FINISH_CANCEL, NULL);
    qn_tenants_free(e);
    qn_formats_free(e->formats);
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
    free(e->turns);
    free(e);
}

QN_API void qn_engine_get_stats(const qn_engine *e, qn_engine_stats *s)
{
    *s = (qn_engine_stats){.n_ctx = e->n_ctx,
                           .n_steps = e->n_steps,
                           .n_rows = e->n_rows,
                           .cache_queries = e->cache_queries,
                           .cache_hits = e->cache_hits,
                           .step_ms = (double)e->ns_step * 1e-6,
                           .forward_ms = (double)e->ns_forward * 1e-6,
                           .n_waiting = e->n_waiting,
                           .n_guessed = e->n_guessed,
                           .n_right = e->n_right,
                           .n_preempted = e->n_preempted,
                           .n_swapped = e->swap.n_out,
                           .swap_bytes = e->swap.used};
    for (const qn_request *r = e->first; r; r = r->next)
        s->n_running += r->phase != QN_WAITING;
    for (int g = 0; g < e->n_groups; g++) {
        s->n_pages += e->pages[g].n;
        s->n_pages_used += e->pages[g].n - e->pages[g].n_free -
                           e->pages[g].n_kept;
        s->n_pages_cached += e->pages[g].n_kept;
    }
}
