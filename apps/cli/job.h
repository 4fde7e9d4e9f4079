/* job.h - one prompt that runs: its request and what has come of it so far.
 *
 *     new -> submit -> (engine step, pump)* -> finished -> JSON or text -> free
 */
#ifndef QN_CLI_JOB_H
#define QN_CLI_JOB_H

#include "base/json.h"
#include "base/str.h"
#include "cli/option.h"
#include "cli/terminal.h"

typedef struct qn_completion {
    QN_VEC(int32_t) ids;
    qn_str text;
    json_t *logprobs; /* array, or NULL */
    qn_finish finish;
} qn_completion;

typedef struct qn_job {
    QN_VEC(int32_t) prompt;
    bool answer;     /* is what comes of it: the prompt is messages */
    qn_request *req; /* NULL before submit and after the end */
    qn_completion *out;
    int n, n_running; /* completions */
    int max_new;      /* tokens that each was to have at most, by the caller */
    qn_err failed;    /* code 0: it did not fail */
    uint64_t seed;
    bool chance; /* the seed mattered */
    qn_request_stats stats;
    json_t *prompt_logprobs; /* array once it has ended, or NULL */
    json_t *label;           /* handed through to the result, or NULL */
} qn_job;

/* Gets the text of completion `index` as it becomes certain. */
typedef void (*qn_job_text_fn)(void *user, int index, const char *text,
                               size_t n);

qn_job *qn_job_new(void);
void qn_job_free(qn_job *job); /* cancels what runs; NULL is fine */

/* Append to the prompt: a text; messages through the model's template, with
 * `kwargs` (a JSON object as text, or NULL) as further variables; ids. */
int qn_job_add_text(qn_job *job, const qn_model *m, const char *text, size_t n,
                    qn_err *err);
int qn_job_add_messages(qn_job *job, const qn_model *m, const json_t *messages,
                        const char *kwargs, qn_err *err);
void qn_job_add_ids(qn_job *job, const int32_t *ids, size_t n);

/* The smallest engine context that the job can run in. */
int64_t qn_job_context(const qn_job *job, const qn_request_params *p,
                       const qn_model *m);

/* And the other way round: new tokens of each completion that a context of
 * n_ctx has room for; at least 1. */
int64_t qn_job_room(const qn_job *job, const qn_request_params *p,
                    int64_t n_ctx);

int qn_job_submit(qn_job *job, qn_engine *e, qn_request_params *p, qn_err *err);
/* Takes the events that have come. `text` may be NULL. */
void qn_job_pump(qn_job *job, qn_job_text_fn text, void *user);
bool qn_job_finished(const qn_job *job);
/* The job cannot run; its result is the error. */
void qn_job_fail(qn_job *job, const qn_err *err);

/* A bar while a long prompt is read, on a terminal: `step` behind every step of
 * the engine, `end` before anything else is written. */
typedef struct qn_prefill {
    qn_progress bar;
    int64_t chunk, done;
} qn_prefill;
void qn_prefill_begin(qn_prefill *f, const qn_args *a);
void qn_prefill_step(qn_prefill *f, const qn_job *job);
void qn_prefill_end(qn_prefill *f);

/* One line of JSON for each completion, to f. `index`: the job's number in a
 * batch, or -1. */
void qn_job_print_json(const qn_job *job, int64_t index, FILE *f);

#endif
