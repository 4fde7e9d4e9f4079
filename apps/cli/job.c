/* job.c - see job.h. */
#include "cli/job.h"

#include "cli/request_args.h"

#include <math.h>
#include <stdlib.h>

qn_job *qn_job_new(void)
{
    return qn_xcalloc(1, sizeof(qn_job));
}

/* json has no infinities. */
static json_t *logprob(float v)
{
    return isfinite(v) ? json_real((double)v) : json_null();
}

static json_t *logprobs_of(const qn_event *ev)
{
    json_t *o = json_object(), *top = json_array();
    json_object_set_new(o, "id", json_integer(ev->id));
    json_object_set_new(o, "logprob", logprob(ev->logprob));
    for (size_t i = 0; i < ev->n_top; i++)
        json_array_append_new(top,
                              json_pack("{sIso}", "id",
                                        (json_int_t)ev->top[i].id, "logprob",
                                        logprob(ev->top[i].logprob)));
    json_object_set_new(o, "top", top);
    return o;
}

/* Of all tokens but the first, which nothing stands before. */
static void take_prompt_logprobs(qn_job *job)
{
    qn_event ev;
    if (qn_request_prompt_logprob(job->req, 1, &ev) == 0)
        return;
    job->prompt_logprobs = json_array();
    for (size_t i = 1; qn_request_prompt_logprob(job->req, i, &ev); i++)
        json_array_append_new(job->prompt_logprobs, logprobs_of(&ev));
}

static void end_request(qn_job *job)
{
    if (job->req) {
        qn_request_get_stats(job->req, &job->stats);
        take_prompt_logprobs(job);
    }
    qn_request_free(job->req);
    job->req = NULL;
}

void qn_job_free(qn_job *job)
{
    if (!job)
        return;
    end_request(job);
    for (int i = 0; i < job->n; i++) {
        qn_vec_deinit(&job->out[i].ids);
        qn_str_deinit(&job->out[i].text);
        json_decref(job->out[i].logprobs);
    }
    free(job->out);
    qn_vec_deinit(&job->prompt);
    json_decref(job->prompt_logprobs);
    json_decref(job->label);
    free(job);
}

/* ---- the prompt ---------------------------------------------------------- */

void qn_job_add_ids(qn_job *job, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qn_vec_push(&job->prompt, ids[i]);
}

static int add_encoded(qn_job *job, const qn_model *m, const char *text,
                       size_t n, bool special, qn_err *err)
{
    int32_t *ids;
    size_t n_ids;
    QN_TRY(qn_tokenize(m, text, n, special, true, &ids, &n_ids, err));
    qn_job_add_ids(job, ids, n_ids);
    qn_free(ids);
    return 0;
}

int qn_job_add_text(qn_job *job, const qn_model *m, const char *text, size_t n,
                    qn_err *err)
{
    return add_encoded(job, m, text, n, true, err);
}

/* A template writes the special tokens itself. */
int qn_job_add_messages(qn_job *job, const qn_model *m, const json_t *messages,
                        const char *kwargs, qn_err *err)
{
    char *text = NULL, *list = json_dumps(messages, JSON_COMPACT);
    size_t n = 0;
    job->answer = true;
    if (!list)
        return qn_fail(err, QN_EINVAL, "the messages are not valid UTF-8");
    int rc = qn_chat_render(m, list, NULL, true, kwargs, &text, &n, err);
    free(list);
    if (rc == QN_EUNSUP)
        return qn_err_prefix(err, rc,
                             "no chat with this model; --prompt goes on from "
                             "a text");
    if (rc < 0)
        return rc;
    rc = add_encoded(job, m, text, n, false, err);
    qn_free(text);
    return rc;
}

/* ---- running ------------------------------------------------------------- */

#define PAGE_SLACK 64 /* tokens: every sequence's last page may be part full */

int64_t qn_job_context(const qn_job *job, const qn_request_params *p,
                       const qn_model *m)
{
    int64_t n_prompt = (int64_t)job->prompt.n, w = p->kv_window;
    if (w > 0)
        return QN_MIN(p->n_keep + w + w / 4 + 4 * PAGE_SLACK, INT32_MAX);
    int64_t left = qn_model_n_ctx_train(m) - n_prompt;
    int64_t max_new = QN_MAX(QN_MIN((int64_t)p->max_new_tokens, left), 0);
    int64_t seqs = QN_MAX(QN_MAX(p->n, p->n_beams), 1);
    int64_t need = n_prompt + seqs * (max_new + PAGE_SLACK);
    return QN_MIN(need, INT32_MAX);
}

int64_t qn_job_room(const qn_job *job, const qn_request_params *p,
                    int64_t n_ctx)
{
    int64_t left = n_ctx - (int64_t)job->prompt.n;
    int64_t seqs = QN_MAX(p->n, p->n_beams);
    return QN_MAX(seqs > 1 ? left / seqs - PAGE_SLACK : left, 1);
}

int qn_job_submit(qn_job *job, qn_engine *e, qn_request_params *p, qn_err *err)
{
    p->prompt = job->prompt.v;
    p->n_prompt = job->prompt.n;
    p->answer = job->answer;
    QN_TRY(qn_name_options(qn_request_submit(e, p, &job->req, err), err));
    job->seed = p->sampling.seed;
    job->chance = p->sampling.temperature > 0 && p->n_beams <= 1;
    job->n = QN_MAX(p->n, 1);
    job->n_running = job->n;
    job->out = qn_xcalloc((size_t)job->n, sizeof *job->out);
    for (int i = 0; i < job->n; i++) {
        qn_str_init(&job->out[i].text);
        if (p->n_logprobs >= 0)
            job->out[i].logprobs = json_array();
    }
    return 0;
}

void qn_job_pump(qn_job *job, qn_job_text_fn text, void *user)
{
    qn_event ev;
    if (!job->req)
        return;
    while (qn_request_next(job->req, &ev)) {
        if (ev.index < 0 || ev.index >= job->n)
            continue; /* a beam that was not among the best n */
        qn_completion *c = &job->out[ev.index];
        if (ev.id >= 0)
            qn_vec_push(&c->ids, ev.id);
        if (ev.id >= 0 && c->logprobs)
            json_array_append_new(c->logprobs, logprobs_of(&ev));
        qn_str_add(&c->text, ev.text, ev.text_len);
        if (text && ev.text_len)
            text(user, ev.index, ev.text, ev.text_len);
        if (ev.finish != QN_FINISH_NONE && c->finish == QN_FINISH_NONE) {
            c->finish = ev.finish;
            if (ev.finish == QN_FINISH_ERROR)
                qn_request_error(job->req, &job->failed);
            job->n_running--;
        }
    }
    if (job->n_running == 0)
        end_request(job);
}

bool qn_job_finished(const qn_job *job)
{
    return job->failed.code || (job->n > 0 && job->n_running == 0);
}

void qn_job_fail(qn_job *job, const qn_err *err)
{
    job->failed = *err;
    end_request(job);
}

#define DEFAULT_CHUNK 512 /* the engine's, quern.h */

void qn_prefill_begin(qn_prefill *f, const qn_args *a)
{
    int64_t chunk = qn_args_int(a, "chunk-size");
    *f = (qn_prefill){.chunk = chunk ? chunk : DEFAULT_CHUNK};
    qn_progress_begin(&f->bar, "Reading the prompt", false,
                      qn_args_flag(a, "quiet"));
}

void qn_prefill_step(qn_prefill *f, const qn_job *job)
{
    uint64_t n = job->prompt.n;
    if (job->n == 0 || job->out[0].ids.n > 0)
        return;
    f->done += f->chunk;
    qn_progress_show(&f->bar, QN_MIN((uint64_t)f->done, n), n);
}

void qn_prefill_end(qn_prefill *f)
{
    qn_progress_end(&f->bar);
}

/* ---- results ------------------------------------------------------------- */

/* "stop", "length", "cancelled", "error". */
static const char *finish_name(qn_finish why)
{
    switch (why) {
    case QN_FINISH_STOP: return "stop";
    case QN_FINISH_LENGTH: return "length";
    case QN_FINISH_CANCEL: return "cancelled";
    case QN_FINISH_ERROR: return "error";
    case QN_FINISH_NONE: break;
    }
    return "cancelled"; /* we left before it was over */
}

static json_t *id_list(const int32_t *ids, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_integer(ids[i]));
    return a;
}

/* Milliseconds and rates to four digits: more would be noise. */
static json_t *rounded(double v)
{
    char buf[32];
    snprintf(buf, sizeof buf, "%.4g", v);
    return json_real(strtod(buf, NULL));
}

static json_t *timings(const qn_request_stats *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "queued_ms", rounded(s->queued_ms));
    json_object_set_new(o, "ttft_ms", rounded(s->ttft_ms));
    json_object_set_new(o, "prefill_ms", rounded(s->prefill_ms));
    json_object_set_new(o, "decode_ms", rounded(s->decode_ms));
    json_object_set_new(o, "cached_tokens", json_integer(s->n_cached));
    if (s->prefill_ms > 0) /* of those that were read */
        json_object_set_new(o, "prefill_tok_per_s",
                            rounded((s->n_prompt - s->n_cached) /
                                    s->prefill_ms * 1e3));
    if (s->decode_ms > 0 && s->n_completion > 1)
        json_object_set_new(o, "decode_tok_per_s",
                            rounded((s->n_completion - 1) / s->decode_ms *
                                    1e3));
    return o;
}

static json_t *head(const qn_job *job, int64_t index)
{
    json_t *o = json_object();
    if (index >= 0)
        json_object_set_new(o, "index", json_integer(index));
    if (job->label)
        json_object_set(o, "id", job->label);
    return o;
}

static void print_line(json_t *o, FILE *f)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
        fprintf(f, "%s\n", text);
    free(text);
    json_decref(o);
}

static json_t *result(const qn_job *job, int64_t index, int i)
{
    const qn_completion *c = &job->out[i];
    json_t *o = head(job, index);
    if (job->n > 1)
        json_object_set_new(o, "completion", json_integer(i));
    json_object_set_new(o, "prompt_token_ids",
                        id_list(job->prompt.v, job->prompt.n));
    json_object_set_new(o, "token_ids", id_list(c->ids.v, c->ids.n));
    json_object_set_new(o, "text",
                        json_stringn(c->text.p ? c->text.p : "", c->text.n));
    json_object_set_new(o, "finish_reason",
                        json_string(finish_name(c->finish)));
    if (c->logprobs)
        json_object_set(o, "logprobs", c->logprobs);
    if (i == 0 && job->prompt_logprobs)
        json_object_set(o, "prompt_logprobs", job->prompt_logprobs);
    if (job->chance)
        json_object_set_new(o, "seed", json_integer((json_int_t)job->seed));
    json_object_set_new(o, "timings", timings(&job->stats));
    return o;
}

void qn_job_print_json(const qn_job *job, int64_t index, FILE *f)
{
    if (job->failed.code) {
        json_t *o = head(job, index);
        json_object_set_new(o, "error", json_string(job->failed.msg));
        print_line(o, f);
        return;
    }
    for (int i = 0; i < job->n; i++)
        print_line(result(job, index, i), f);
}
