/* prob.c - log probabilities: of chosen tokens, and of the prompt's. */
#include "engine/engine_int.h"

#include <stdlib.h>

void qn_prob_event(const qn_seq *s, qn_event_slot *slot, int32_t id,
                   const float *row)
{
    int n = s->req->engine->n_vocab, k = s->req->p.n_logprobs;
    double z = qn_log_sum_exp(row, n);
    slot->ev.logprob = (float)((double)row[id] - z);
    if (k <= 0)
        return;
    const int32_t *ids = s->req->engine->top_ids;
    int m = qn_top_k(row, n, k, s->req->engine->top_ids);
    for (int i = 0; i < m; i++) {
        float lp = (float)((double)row[ids[i]] - z);
        qn_vec_push(&slot->top, ((qn_top_logprob){ids[i], lp}));
    }
}

/* ---- of the prompt ----------------------------------------------------- */

int qn_prob_prompt_new(qn_request *req, qn_err *err)
{
    size_t n = req->p.n_prompt, k = (size_t)QN_MAX(req->p.n_prompt_logprobs, 0);
    void *lp = NULL, *top = NULL;
    if (req->p.n_prompt_logprobs < 0)
        return 0;
    size_t bytes = n * sizeof *req->prompt_lp;
    size_t top_bytes = n * k * sizeof *req->prompt_top;
    if (bytes + top_bytes > qn_mem_available())
        return qn_fail(err, QN_ENOMEM,
                       "%zu log probabilities of each of %zu prompt tokens do "
                       "not fit into memory: ask for fewer",
                       k, n);
    QN_TRY(qn_big_alloc(&lp, bytes, QN_MEM_LOGITS, err));
    req->prompt_lp = lp;
    req->prompt_lp_bytes = bytes;
    if (k == 0)
        return 0;
    QN_TRY(qn_big_alloc(&top, top_bytes, QN_MEM_LOGITS, err));
    req->prompt_top = top;
    req->prompt_top_bytes = top_bytes;
    return 0;
}

void qn_prob_prompt_free(qn_request *req)
{
    qn_big_free(req->prompt_lp, req->prompt_lp_bytes, QN_MEM_LOGITS);
    qn_big_free(req->prompt_top, req->prompt_top_bytes, QN_MEM_LOGITS);
    req->prompt_lp = NULL;
    req->prompt_top = NULL;
}

/* The row of a position says what the next token may be. */
void qn_prob_prompt_add(qn_request *req, int64_t pos, const float *rows, int n)
{
    int v = req->engine->n_vocab, k = req->p.n_prompt_logprobs;
    int32_t *ids = req->engine->top_ids;
    for (int r = 0; r < n; r++, rows += v) {
        int64_t i = pos + r + 1;
        if (i >= (int64_t)req->p.n_prompt)
            break;
        double z = qn_log_sum_exp(rows, v);
        req->prompt_lp[i] = (float)((double)rows[req->p.prompt[i]] - z);
        int m = k > 0 ? qn_top_k(rows, v, k, ids) : 0;
        for (int j = 0; j < k; j++) /* id -1: there are no more */
            req->prompt_top[i * k + j] =
                j < m ? (qn_top_logprob){ids[j],
                                         (float)((double)rows[ids[j]] - z)}
                      : (qn_top_logprob){-1, 0};
        req->n_prompt_lp = QN_MAX(req->n_prompt_lp, i + 1);
    }
}

QN_API int qn_request_prompt_logprob(const qn_request *req, size_t i,
                                     qn_event *ev)
{
    if (!req->prompt_lp || i < 1 || (int64_t)i >= req->n_prompt_lp)
        return 0;
    size_t k = (size_t)req->p.n_prompt_logprobs, m = 0;
    const qn_top_logprob *top = k ? req->prompt_top + i * k : NULL;
    while (m < k && top[m].id >= 0)
        m++;
    *ev = (qn_event){.id = req->p.prompt[i],
                     .logprob = req->prompt_lp[i],
                     .top = top,
                     .n_top = m,
                     .text = ""};
    return 1;
}
