/* conversation.c - see conversation.h. Each turn renders the whole
 * conversation anew: what a template makes of a message may depend on those
 * that follow. */
#include "cli/conversation.h"

#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/prompts.h"
#include "cli/request_args.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SAVED ((size_t)64 << 20)

/* ---- the messages -------------------------------------------------------- */

static const char *role_of(const qn_talk *t, size_t i)
{
    const json_t *m = json_array_get(t->said, i);
    const char *role = json_string_value(json_object_get(m, "role"));
    return role ? role : "";
}

static bool has_system(const qn_talk *t)
{
    return strcmp(role_of(t, 0), "system") == 0;
}

const char *qn_talk_system(const qn_talk *t)
{
    const json_t *m = json_array_get(t->said, 0);
    return has_system(t) ? json_string_value(json_object_get(m, "content"))
                         : NULL;
}

void qn_talk_set_system(qn_talk *t, const char *text)
{
    if (has_system(t))
        json_array_remove(t->said, 0);
    if (!text || !*text)
        return;
    json_t *one = json_array();
    qn_add_message(one, "system", text, strlen(text));
    json_array_insert(t->said, 0, json_array_get(one, 0));
    json_decref(one);
}

void qn_talk_clear(qn_talk *t)
{
    size_t keep = has_system(t) ? 1 : 0;
    while (json_array_size(t->said) > keep)
        json_array_remove(t->said, json_array_size(t->said) - 1);
    t->n_used = 0;
}

/* Removes messages from the end to the last one of the user, with it. */
bool qn_talk_undo(qn_talk *t)
{
    size_t n = json_array_size(t->said), i = n;
    while (i > 0 && strcmp(role_of(t, i - 1), "user") != 0)
        i--;
    if (i == 0)
        return false;
    while (n >= i)
        json_array_remove(t->said, --n);
    return true;
}

int qn_talk_save(const qn_talk *t, const char *path, qn_err *err)
{
    char *text = json_dumps(t->said, JSON_INDENT(2));
    if (!text)
        return qn_fail(err, QN_EINTERNAL, "the conversation is not UTF-8");
    int rc = qn_file_write(path, text, strlen(text), err);
    free(text);
    return rc;
}

int qn_talk_load(qn_talk *t, const char *path, qn_err *err)
{
    json_t *list;
    QN_TRY(qn_json_load(&list, path, MAX_SAVED, err));
    bool good = json_is_array(list);
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = json_is_string(json_object_get(json_array_get(list, i), "role"));
    if (!good) {
        json_decref(list);
        return qn_fail(err, QN_EFORMAT,
                       "%s: expected a JSON list of {\"role\", \"content\"}",
                       path);
    }
    json_decref(t->said);
    t->said = list;
    t->n_used = 0;
    return 0;
}

/* ---- opening ------------------------------------------------------------- */

/* What the engine plans for one conversation. */
static int planned_context(const qn_talk *t, int64_t asked, int64_t *n,
                           qn_err *err)
{
    char *text;
    json_t *o = NULL;
    QN_TRY(qn_model_info(t->model, asked, 1, &text, err));
    int rc = qn_json_parse(&o, text, strlen(text), "report", err);
    qn_free(text);
    if (rc < 0)
        return rc;
    *n = json_integer_value(
        json_object_get(json_object_get(o, "memory"), "n_ctx"));
    *n = QN_MIN(*n, qn_model_n_ctx_train(t->model));
    json_decref(o);
    return 0;
}

/* A template that cannot be rendered is found before the first question. */
static int try_template(const qn_talk *t, qn_err *err)
{
    char *text;
    size_t n;
    QN_TRY(qn_chat_render(t->model, "[{\"role\":\"user\",\"content\":\"\"}]",
                          NULL, true, t->kwargs, &text, &n, err));
    qn_free(text);
    return 0;
}

int qn_talk_open(qn_talk *t, qn_args *args, qn_err *err)
{
    const char *path, *kwargs = qn_args_text(args, "kwargs");
    qn_engine_params ep;
    size_t n;
    *t = (qn_talk){.args = args, .said = json_array()};
    QN_TRY(qn_model_operand(args, &path, err));
    if (kwargs)
        QN_TRY(qn_file_slurp(&t->kwargs, &n, kwargs, MAX_SAVED, err));
    QN_TRY(qn_open_model(&t->model, args, path, false, err));
    if (try_template(t, err) < 0)
        return qn_err_prefix(err, err->code,
                             "no conversation with this model; quern run "
                             "--prompt goes on from a text");
    qn_engine_from_args(&ep, args);
    ep.max_seqs = 1;
    ep.prefix_cache = true; /* a turn begins as the one before did */
    QN_TRY(planned_context(t, ep.n_ctx, &t->n_ctx, err));
    return qn_engine_new(&t->engine, t->model, &ep, err);
}

void qn_talk_close(qn_talk *t)
{
    qn_engine_free(t->engine);
    qn_model_close(t->model);
    json_decref(t->said);
    qn_free(t->kwargs);
}

/* ---- asking -------------------------------------------------------------- */

typedef struct answer {
    char last; /* byte written */
    qn_prefill prefill;
} answer;

static void on_text(void *user, int index, const char *text, size_t n)
{
    answer *w = user;
    (void)index;
    qn_prefill_end(&w->prefill);
    qn_put_text(stdout, text, n);
    fflush(stdout);
    w->last = text[n - 1];
}

static void cancel_if_asked(void *user)
{
    qn_job *job = user;
    if (qn_interrupted() && job->req)
        qn_request_cancel(job->req);
}

static int stream(qn_talk *t, qn_job *job, bool *cut, qn_err *err)
{
    answer w = {.last = '\n'};
    int rc = 0;
    qn_prefill_begin(&w.prefill, t->args);
    qn_engine_watch(t->engine, cancel_if_asked, job);
    while (rc == 0 && !qn_job_finished(job)) {
        cancel_if_asked(job);
        rc = qn_engine_step(t->engine, err) < 0 ? err->code : 0;
        qn_prefill_step(&w.prefill, job);
        qn_job_pump(job, on_text, &w);
        *cut = *cut || qn_interrupted();
    }
    qn_engine_watch(t->engine, NULL, NULL);
    qn_prefill_end(&w.prefill);
    if (w.last != '\n')
        putchar('\n');
    fflush(stdout);
    if (rc == 0 && job->failed.code)
        return qn_fail(err, job->failed.code, "%s", job->failed.msg);
    return rc;
}

/* The oldest turn, the system message excepted; false when there is only the
 * question. */
static bool forget_oldest(qn_talk *t)
{
    size_t first = has_system(t) ? 1 : 0, n = json_array_size(t->said), next;
    for (next = first + 1; next < n && strcmp(role_of(t, next), "user") != 0;)
        next++;
    if (next >= n)
        return false;
    for (; next > first; next--)
        json_array_remove(t->said, first);
    return true;
}

/* What has been said as a prompt. With --context-shift, where it does not fit, the
 * oldest turns are forgotten until a quarter of the context is free. */
static int make_prompt(qn_talk *t, qn_job **job, qn_err *err)
{
    int n = 0, rc;
    int64_t most = t->n_ctx;
    for (;; most = t->n_ctx / 4 * 3, n++) {
        *job = qn_job_new();
        rc = qn_job_add_messages(*job, t->model, t->said, t->kwargs, err);
        if (rc < 0 || (int64_t)(*job)->prompt.n < most ||
            !qn_args_flag(t->args, "context-shift") || !forget_oldest(t))
            break;
        qn_job_free(*job);
    }
    if (n > 0)
        qn_note("(the context was full: the oldest %s forgotten)",
                n == 1 ? "turn is" : "turns are");
    return rc;
}

/* Only what helps is said: a question that is too long alone has no turns before
 * it, and a model's context is what it is. */
static int check_room(const qn_talk *t, size_t n, qn_err *err)
{
    bool whole = t->n_ctx >= qn_model_n_ctx_train(t->model);
    bool turns = json_array_size(t->said) > (has_system(t) ? 2 : 1) &&
                 !qn_args_flag(t->args, "context-shift");
    if ((int64_t)n < t->n_ctx)
        return 0;
    return qn_fail(err, QN_ELIMIT,
                   "the conversation has %zu tokens, the %s is %lld: /undo the "
                   "last turn%s /clear%s%s%s",
                   n, whole ? "model's context" : "context",
                   (long long)t->n_ctx, whole && !turns ? " or" : ",",
                   !whole || turns ? ", or begin with " : "",
                   !whole ? "a larger --context" : "",
                   !turns   ? ""
                   : !whole ? " or --context-shift"
                            : "--context-shift");
}

static int answer_now(qn_talk *t, bool *cut, qn_err *err)
{
    qn_request_params p = {0};
    qn_logit_bias *bias = NULL;
    qn_job *job;
    int rc = make_prompt(t, &job, err);
    size_t n = job->prompt.n;
    if (rc == 0)
        rc = qn_request_from_args(&p, &bias, t->args, t->model, n, err);
    bool endless = p.kv_window > 0;
    if (rc == 0 && !endless)
        rc = check_room(t, n, err);
    if (rc == 0) {
        int64_t left = endless ? INT32_MAX : t->n_ctx - (int64_t)n;
        bool limited = qn_args_given(t->args, "max-new-tokens") ||
                       qn_args_given(t->args, "max-length");
        p.max_new_tokens = (int)(limited ? QN_MIN(left, p.max_new_tokens)
                                         : left);
        p.n = p.n_beams = 1;
        rc = qn_job_submit(job, t->engine, &p, err);
    }
    free(bias);
    if (rc == 0)
        rc = stream(t, job, cut, err);
    if (rc == 0) {
        const qn_str *text = &job->out[0].text;
        qn_add_message(t->said, "assistant", text->p ? text->p : "", text->n);
        t->stats = job->stats;
        t->seed = job->seed;
        t->n_used = (int64_t)(n + job->out[0].ids.n);
        if (job->out[0].finish == QN_FINISH_LENGTH)
            qn_note("(the answer reached its longest length; ask it to go on, "
                    "or /set max-new-tokens)");
    }
    qn_job_free(job);
    return rc;
}

int qn_talk_ask(qn_talk *t, const char *text, bool *cut, qn_err *err)
{
    *cut = false;
    qn_add_message(t->said, "user", text, strlen(text));
    int rc = answer_now(t, cut, err);
    if (rc < 0)
        qn_talk_undo(t);
    return rc;
}

int qn_talk_again(qn_talk *t, bool *cut, qn_err *err)
{
    *cut = false;
    size_t n = json_array_size(t->said);
    if (n < 2 || strcmp(role_of(t, n - 1), "assistant") != 0)
        return qn_fail(err, QN_ENOENT, "there is no answer yet to try again");
    json_t *old = json_incref(json_array_get(t->said, n - 1));
    json_array_remove(t->said, n - 1);
    int rc = answer_now(t, cut, err);
    if (rc < 0)
        json_array_append(t->said, old);
    json_decref(old);
    return rc;
}
