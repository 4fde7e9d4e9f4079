/* cmd_run.c - quern run: text from one prompt, or from a batch of them.
 *
 * One prompt is a batch of one: jobs are taken from a source, run together,
 * and given out in order. */
#include "cli/commands.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/job.h"
#include "cli/keep_session.h"
#include "cli/line_reader.h"
#include "cli/model_word.h"
#include "cli/prompts.h"
#include "cli/request_args.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

static const qn_opt prompt_opts[] = {
    {"prompt", 'p', QN_OPT_TEXT, .arg = "TEXT",
     .help = "What to go on from. The words behind the options do as well; "
             "without either, standard input."},
    {"prompt-file", 'f', QN_OPT_FILE, .arg = "FILE",
     .help = "The prompt is this file, less one newline at its end; - is "
             "standard input."},
    {"prompts-file", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "A batch: per line a JSON object with \"prompt\", \"messages\" "
             "or \"token_ids\", an \"id\" if wanted, \"chat\", \"system\" "
             "and the options of length, of sampling and of several "
             "completions under their names. Results come in order, as JSON "
             "lines."},
    {"token-ids", 0, QN_OPT_IDS, .arg = "IDS",
     .help = "The prompt as token ids, used as they are: 1,2,3 or @FILE."},
    {"chat", 0, QN_OPT_FLAG,
     .help = "The prompt is a question: put it into the model's chat "
             "template."},
    {"system", 0, QN_OPT_TEXT, .arg = "TEXT",
     .help = "With --chat: a system message before."},
    {"kwargs", 0, QN_OPT_FILE,
     .help = "A JSON object of further variables for the chat template."},
    {"echo", 0, QN_OPT_FLAG, .help = "Print the prompt before the completion."},
    {"session", 0, QN_OPT_FILE, .arg = "FILE",
     .help =
         "Keep what was computed of prompt and completion in this file, and "
         "begin with what it holds: a prompt that begins alike is not "
         "computed again."},
    {"output-format", 'o', QN_OPT_CHOICE, .arg = "text|json",
     .help = "json: one line per completion with ids, text, finish_reason, "
             "timings.",
     .def = "text"},
    {0},
};

static const qn_opt_group run_groups[] = {
    {"Prompt and output", prompt_opts},
    {"Model", qn_model_opts},
    {"Length", qn_length_opts},
    {"Sampling", qn_sampling_opts},
    {"Several completions", qn_output_opts},
    {"Engine", qn_engine_opts},
    {0},
};

static const qn_example run_examples[] = {
    {"quern run --prompt \"Once upon a time\"", "the built-in model"},
    {"quern run FILE.gguf \"Once upon a time\"", "a file or a folder"},
    {"quern run --chat \"Why is the sky blue?\"", "an answer, not a sequel"},
    {"quern run -m DIR -p \"The river\" -n 50 --temperature 0.7 --seed 1",
     "a Hugging Face folder; 50 tokens, reproducible"},
    {"quern run -m FILE.gguf --prompts-file prompts.jsonl --batch-size 8",
     "a batch; JSON lines in the order of the file"},
    {"quern run -m DIR --chat \"Name a city\" --json-schema "
     "'{\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}'",
     "JSON of a given form"},
    {"quern run -m DIR -f report.txt --session report.kv",
     "the second time, the report is not read again"},
    {"quern run -m DIR --token-ids 1,2,3 --ignore-eos -o json",
     "exact input, everything about the output"},
    {0},
};

static int run(qn_args *a, qn_err *err);
static int check(qn_args *a, qn_err *err);

const qn_command qn_cmd_run = {
    .name = "run",
    .summary = "generate text from a prompt, or from a file of prompts",
    .operands = "[MODEL] [PROMPT]",
    .max_operands = -1,
    .about = "Generates text. It is written to standard output as it is made; "
             "progress and statistics go to standard error.\n\n"
             "The prompt is continued as it stands; --chat asks it as a "
             "question. For a conversation: quern chat.\n\n"
             "The words are the prompt. A first word that names a model which "
             "is here (a folder, a file, \"builtin\", a pulled org/name) and "
             "has a prompt behind it is the model instead, as in quern run "
             "DIR \"Once upon a time\"; --prompt \"...\" keeps it in the "
             "prompt. A model without a prompt, and a name of the form "
             "org/name that was not pulled, is a mistake.",
    .examples = run_examples,
    .groups = run_groups,
    .run = run,
    .check = check,
};

typedef struct run_state {
    const qn_args *args;
    qn_model *model;
    qn_engine *engine;
    qn_prompts *source;
    bool json, chatty;     /* JSON lines; text as it comes */
    char last;             /* byte written */
    QN_VEC(qn_job *) jobs; /* jobs[0] is number `first` */
    int64_t first;
    int n_failed;
    qn_err why; /* the last failure */
    double load_ms;
    uint64_t t_start, t0; /* of the program; of the first job, or 0 */
    qn_prefill prefill;   /* of a single prompt */
    int64_t n_prompt, n_new;
    qn_request_stats stats; /* of the last job */
    uint64_t seed;
    bool chance;    /* something was drawn */
    bool cancelled; /* by a signal */
} run_state;

/* ---- output -------------------------------------------------------------- */

static void on_text(void *user, int index, const char *text, size_t n)
{
    run_state *r = user;
    if (index != 0 || n == 0)
        return;
    qn_prefill_end(&r->prefill);
    qn_put_text(stdout, text, n);
    fflush(stdout);
    r->last = text[n - 1];
}

static void end_line(run_state *r)
{
    if (r->last != '\n')
        putchar('\n');
    r->last = '\n';
}

/* Of several completions the first was written as it came. */
static void print_text(run_state *r, const qn_job *job)
{
    end_line(r);
    for (int i = 1; i < job->n; i++) {
        const qn_str *t = &job->out[i].text;
        printf("---\n");
        qn_put_text(stdout, t->p ? t->p : "", t->n);
        r->last = t->n ? t->p[t->n - 1] : '\n';
        end_line(r);
    }
}

/* A text that was to be longer ends where the context does. */
static void tell_cut(const run_state *r, const qn_job *job)
{
    char which[32] = "";
    if (qn_prompts_is_batch(r->source))
        snprintf(which, sizeof which, "prompt %lld: ", (long long)r->first);
    for (int i = 0; i < job->n && !qn_args_flag(r->args, "quiet"); i++) {
        const qn_completion *c = &job->out[i];
        size_t n = job->prompt.n + c->ids.n;
        if (c->finish != QN_FINISH_LENGTH || c->ids.n >= (size_t)job->max_new)
            continue;
        qn_note("%sended after %zu of at most %d new tokens: %s is full", which,
                c->ids.n, job->max_new,
                (int64_t)n >= qn_model_n_ctx_train(r->model)
                    ? "the model's context"
                    : "the context (--context)");
        return;
    }
}

static void give_out(run_state *r, qn_job *job)
{
    qn_prefill_end(&r->prefill);
    if (job->failed.code) {
        r->n_failed++;
        r->why = job->failed;
    }
    if (r->json)
        qn_job_print_json(job, qn_prompts_is_batch(r->source) ? r->first : -1,
                          stdout);
    else if (!job->failed.code)
        print_text(r, job);
    fflush(stdout);
    tell_cut(r, job);
    r->n_prompt += job->stats.n_prompt;
    r->n_new += job->stats.n_completion;
    r->stats = job->stats;
    r->seed = job->seed;
    if (!qn_prompts_is_batch(r->source) && !job->failed.code &&
        qn_keep_session_write(r->args, r->engine, job, &r->why) < 0)
        r->n_failed++;
    qn_job_free(job);
    r->first++;
}

/* Jobs at the head of the line that are done. */
static void give_out_done(run_state *r)
{
    size_t n = 0;
    while (n < r->jobs.n && qn_job_finished(r->jobs.v[n]))
        give_out(r, r->jobs.v[n++]);
    if (n == 0)
        return;
    r->jobs.n -= n;
    memmove(r->jobs.v, r->jobs.v + n, r->jobs.n * sizeof *r->jobs.v);
}

static void statistics(const run_state *r, bool batch)
{
    char mem[32];
    const qn_request_stats *s = &r->stats;
    if (qn_args_flag(r->args, "quiet"))
        return;
    qn_fmt_bytes(mem, sizeof mem, qn_mem_peak_rss());
    if (batch) {
        double sec = r->t0 ? qn_ms_since(r->t0) * 1e-3 : 0;
        qn_note("%lld prompts%s, %lld + %lld tokens in %.2f s: %.1f new tok/s; "
                "load %.0f ms, memory %s",
                (long long)r->first, r->n_failed ? " (some failed)" : "",
                (long long)r->n_prompt, (long long)r->n_new, sec,
                sec > 0 ? (double)r->n_new / sec : 0, r->load_ms, mem);
        return;
    }
    char rate[48] = "", seed[48] = "", known[48] = "";
    if (s->n_cached > 0)
        snprintf(known, sizeof known, " (%d of them known)", s->n_cached);
    if (s->n_completion > 1 && s->decode_ms > 0)
        snprintf(rate, sizeof rate, " at %.1f tok/s",
                 (s->n_completion - 1) / s->decode_ms * 1e3);
    if (r->chance)
        snprintf(seed, sizeof seed, ", seed %llu", (unsigned long long)r->seed);
    qn_note("load %.0f ms, prompt %d tokens%s at %.1f tok/s, first token after "
            "%.*f ms, %d new%s, memory %s%s",
            r->load_ms, s->n_prompt, known,
            s->prefill_ms > 0
                ? (s->n_prompt - s->n_cached) / s->prefill_ms * 1e3
                : 0,
            s->ttft_ms < 10 ? 1 : 0, s->ttft_ms, s->n_completion, rate, mem,
            seed);
}

/* A person who asked a question without --chat got a sequel. */
static void hint(const run_state *r)
{
    char *text = NULL;
    size_t n;
    if (r->json || qn_args_flag(r->args, "chat") ||
        qn_args_flag(r->args, "quiet") || !qn_is_terminal(stderr) ||
        !qn_prompts_is_question(r->source))
        return;
    if (qn_chat_render(r->model, "[{\"role\":\"user\",\"content\":\"\"}]", NULL,
                       true, NULL, &text, &n, NULL) < 0)
        return;
    qn_free(text);
    qn_note("The prompt was continued as it stands; --chat asks it as a "
            "question.");
}

/* ---- running ------------------------------------------------------------- */

/* Room in flight: with more the engine's queue would only hold memory. */
static size_t in_flight(const run_state *r)
{
    int64_t n = qn_args_int(r->args, "batch-size");
    return (size_t)(2 * (n > 0 ? n : 16));
}

static void cancel_if_asked(void *user)
{
    run_state *r = user;
    if (!qn_interrupted())
        return;
    r->cancelled = true;
    for (size_t i = 0; i < r->jobs.n; i++)
        if (r->jobs.v[i]->req)
            qn_request_cancel(r->jobs.v[i]->req);
}

/* The engine waits for the first job, whose size it takes when there is one
 * job only. */
static int need_engine(run_state *r, const qn_job *job,
                       const qn_request_params *p, qn_err *err)
{
    if (r->engine)
        return 0;
    qn_engine_params ep;
    qn_engine_from_args(&ep, r->args);
    if (!qn_prompts_is_batch(r->source)) {
        if (!ep.max_seqs)
            ep.max_seqs = QN_MAX(p->n, p->n_beams);
        if (!ep.n_ctx)
            ep.n_ctx = qn_job_context(job, p, r->model);
    }
    ep.prefix_cache = qn_args_given(r->args, "session");
    QN_TRY(qn_engine_new(&r->engine, r->model, &ep, err));
    qn_engine_watch(r->engine, cancel_if_asked, r);
    QN_TRY(qn_keep_session_read(r->args, r->engine, err));
    r->load_ms = qn_ms_since(r->t_start);
    if (!qn_args_given(r->args, "model") && !qn_args_flag(r->args, "quiet"))
        qn_note("no --model: the built-in one");
    qn_prefill_begin(&r->prefill, r->args);
    r->t0 = qn_now_ns();
    return 0;
}

static void echo_prompt(run_state *r, const qn_job *job)
{
    char *text;
    size_t n;
    if (qn_detokenize(r->model, job->prompt.v, job->prompt.n, true, &text, &n,
                      NULL) < 0)
        return;
    qn_put_text(stdout, text, n);
    r->last = n ? text[n - 1] : '\n';
    qn_free(text);
}

/* A length that nobody asked for is at most what the context has room for. */
static void fit_length(const run_state *r, const qn_args *a, const qn_job *job,
                       qn_request_params *p)
{
    qn_engine_stats s;
    if (qn_args_given(a, "max-new-tokens") || qn_args_given(a, "max-length") ||
        p->context_shift || p->kv_window > 0)
        return;
    qn_engine_get_stats(r->engine, &s);
    p->max_new_tokens = (int)QN_MIN(p->max_new_tokens,
                                    qn_job_room(job, p, s.n_ctx));
}

/* Starts one job. A failure is the job's own, but for one of the engine. */
static int start(run_state *r, qn_job *job, const qn_args *a, qn_err *err)
{
    qn_request_params p;
    qn_logit_bias *bias = NULL;
    qn_err why = {0};
    int rc = qn_request_from_args(&p, &bias, a, r->model, job->prompt.n, &why);
    if (rc == 0 && need_engine(r, job, &p, err) < 0) {
        free(bias);
        return err->code;
    }
    if (rc == 0) {
        job->max_new = p.max_new_tokens;
        fit_length(r, a, job, &p);
        rc = qn_job_submit(job, r->engine, &p, &why);
    }
    free(bias);
    if (rc == 0 && qn_args_flag(a, "echo"))
        echo_prompt(r, job);
    r->chance = r->chance || (rc == 0 && p.sampling.temperature > 0);
    if (rc < 0 && !qn_prompts_is_batch(r->source)) {
        *err = why;
        return rc;
    }
    if (rc < 0)
        qn_job_fail(job, &why);
    return 0;
}

/* Takes jobs until enough are on their way, and waits for them only when there
 * is nothing else to do: who writes a line and waits for its answer gets it.
 * 1: there are no more. */
static int fill(run_state *r, qn_err *err)
{
    while (r->jobs.n < in_flight(r)) {
        qn_job *job;
        qn_args *own = NULL;
        int rc = qn_prompts_next(r->source, r->model, r->jobs.n == 0, &job,
                                 &own, err);
        if (rc != QN_READ_LINE)
            return rc == QN_READ_END ? 1 : QN_MIN(rc, 0);
        qn_vec_push(&r->jobs, job);
        rc = job->failed.code ? 0 : start(r, job, own ? own : r->args, err);
        if (own)
            qn_args_deinit(own);
        free(own);
        QN_TRY(rc);
    }
    return 0;
}

static void pump(run_state *r)
{
    for (size_t i = 0; i < r->jobs.n; i++)
        qn_job_pump(r->jobs.v[i], r->chatty ? on_text : NULL, r);
}

/* Everything that runs ends now, with what it has. */
static int interrupted(run_state *r, qn_err *err)
{
    cancel_if_asked(r);
    QN_TRY(qn_engine_step(r->engine, err));
    pump(r);
    give_out_done(r);
    return qn_fail(err, QN_ECANCEL, "interrupted");
}

static int loop(run_state *r, qn_err *err)
{
    bool more = true;
    for (;;) {
        int rc = !more ? 1 : r->cancelled ? 0 : fill(r, err);
        QN_TRY(rc);
        more = rc == 0;
        give_out_done(r);
        if (r->jobs.n == 0 && !more && !r->cancelled)
            return 0;
        if (qn_interrupted())
            return r->engine ? interrupted(r, err)
                             : qn_fail(err, QN_ECANCEL, "interrupted");
        if (r->engine)
            QN_TRY(qn_engine_step(r->engine, err));
        if (!qn_prompts_is_batch(r->source) && r->jobs.n)
            qn_prefill_step(&r->prefill, r->jobs.v[0]);
        pump(r);
    }
}

static bool wants_json(const qn_args *a)
{
    return qn_args_given(a, "prompts-file") ||
           qn_args_is(a, "output-format", "json");
}

/* Ids alone can go in where there is no tokenizer, but no text comes out. */
static int check_tokenizer(const run_state *r, qn_err *err)
{
    char *text = NULL;
    size_t n;
    int32_t none = 0;
    if (r->json || !qn_args_given(r->args, "token-ids"))
        return 0;
    int rc = qn_detokenize(r->model, &none, 0, true, &text, &n, err);
    qn_free(text);
    return rc < 0 ? qn_err_prefix(err, rc,
                                  "no text to print, but ids with "
                                  "--output-format json")
                  : 0;
}

static int check(qn_args *a, qn_err *err)
{
    static const char *const lp[] = {"logprobs", "prompt-logprobs"};
    bool json = wants_json(a);
    QN_TRY(qn_model_word_take(a, err));
    if (qn_args_given(a, "system") && !qn_args_flag(a, "chat"))
        return qn_usage(err, "--system needs --chat");
    for (size_t i = 0; i < QN_COUNTOF(lp); i++)
        if (qn_args_given(a, lp[i]) && !json)
            return qn_usage(err, "--%s needs --output-format json", lp[i]);
    if (qn_args_flag(a, "echo") && json)
        return qn_usage(err, "--echo is for text; JSON has prompt_token_ids");
    QN_TRY(qn_keep_session_check(a, err));
    QN_TRY(qn_engine_args_check(a, err));
    return qn_request_args_check(a, err);
}

static int run(qn_args *a, qn_err *err)
{
    run_state r = {.args = a, .last = '\n'};
    int rc = 0;
    r.t_start = qn_now_ns();
    qn_interrupt_watch();
    QN_TRY_OUT(qn_prompts_open(&r.source, a, err));
    bool batch = qn_prompts_is_batch(r.source);
    r.json = wants_json(a);
    r.chatty = !r.json;
    QN_TRY_OUT(qn_open_model(&r.model, a, NULL, false, err));
    QN_TRY_OUT(check_tokenizer(&r, err));
    rc = loop(&r, err);
    qn_prefill_end(&r.prefill);
    if (r.first > 0)
        statistics(&r, batch);
    if (rc == 0)
        hint(&r);
    if (rc == 0 && r.n_failed && !batch) {
        *err = r.why;
        rc = err->code;
    } else if (rc == 0 && r.n_failed)
        rc = qn_fail(err, QN_EINVAL,
                     "%d of %lld prompts failed; their lines "
                     "say why",
                     r.n_failed, (long long)r.first);
out:
    for (size_t i = 0; i < r.jobs.n; i++)
        qn_job_free(r.jobs.v[i]);
    qn_vec_deinit(&r.jobs);
    qn_prompts_close(r.source);
    qn_engine_free(r.engine);
    qn_model_close(r.model);
    return rc;
}
