/* request_check.c - see request_check.h. */
#include "engine/request_check.h"

#include "engine/engine_int.h"

#include <string.h>

#define MAX_STOPS 64
#define MAX_STOP_LEN 4096

static int check_stops(const qn_request_params *p, qn_err *err)
{
    if (p->n_stop > MAX_STOPS)
        return qn_fail(err, QN_ELIMIT, "%zu stop strings; at most %d",
                       p->n_stop, MAX_STOPS);
    for (size_t i = 0; i < p->n_stop; i++) {
        size_t len = strlen(p->stop[i]);
        if (len == 0 || len > MAX_STOP_LEN)
            return qn_fail(err, QN_EINVAL,
                           "stop string %zu has %zu bytes; use 1 to %d", i, len,
                           MAX_STOP_LEN);
    }
    return 0;
}

static int check_logprobs(const qn_request_params *p, qn_err *err)
{
    int most = QN_MAX(p->n_logprobs, p->n_prompt_logprobs);
    if (most > QN_MAX_LOGPROBS)
        return qn_fail(err, QN_ELIMIT,
                       "n_logprobs or n_prompt_logprobs is %d; at most %d",
                       most, QN_MAX_LOGPROBS);
    if (p->n_logprobs >= 0 && p->n_beams > 1)
        return qn_fail(err, QN_EUNSUP,
                       "beam search gives no log probabilities of tokens: "
                       "leave out n_logprobs or n_beams");
    return 0;
}

static int check_format(const qn_request_params *p, qn_err *err)
{
    if (p->format == QN_FORMAT_TEXT)
        return 0;
    if ((int)p->format < 0 || p->format > QN_FORMAT_GRAMMAR)
        return qn_fail(err, QN_EINVAL, "format %d is not known",
                       (int)p->format);
    if (p->format >= QN_FORMAT_JSON_SCHEMA && !p->schema)
        return qn_fail(err, QN_EINVAL,
                       "the format needs a schema, but there is none");
    if (p->n_beams > 1)
        return qn_fail(err, QN_EUNSUP,
                       "beam search writes no format: leave out format or "
                       "n_beams");
    return 0;
}

/* Texts that outgrow the context. */
static int check_long(const qn_request_params *p, qn_err *err)
{
    bool several = p->n > 1 || p->n_beams > 1;
    if (p->kv_window < 0)
        return qn_fail(err, QN_EINVAL, "kv_window is %d; use >= 0",
                       p->kv_window);
    if (p->kv_window > 0 && (p->context_shift || several || p->prompt_logits ||
                             p->n_prompt_logprobs >= 0))
        return qn_fail(err, QN_EUNSUP,
                       "kv_window is for one completion, without "
                       "context_shift, logits or log probabilities of the "
                       "prompt");
    if (p->context_shift && several)
        return qn_fail(err, QN_EUNSUP,
                       "context_shift is for one completion: leave out n and "
                       "n_beams");
    return 0;
}

int qn_request_check(const qn_request_params *p, qn_err *err)
{
    if (p->max_new_tokens < 0 || p->min_new_tokens < 0)
        return qn_fail(err, QN_EINVAL,
                       "max_new_tokens %d, min_new_tokens %d: use >= 0",
                       p->max_new_tokens, p->min_new_tokens);
    if (p->n_beams > 1 && p->n > p->n_beams)
        return qn_fail(err, QN_EINVAL, "n is %d but n_beams only %d", p->n,
                       p->n_beams);
    if (!(p->deadline_ms >= 0))
        return qn_fail(err, QN_EINVAL, "deadline_ms is %g; use >= 0",
                       p->deadline_ms);
    QN_TRY(check_stops(p, err));
    QN_TRY(check_format(p, err));
    QN_TRY(check_logprobs(p, err));
    return check_long(p, err);
}
