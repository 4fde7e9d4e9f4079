/* fields.c - see fields.h: the table, and what walks it. */
#include "server/fields_int.h"

#include "base/err.h"
#include "base/json.h"
#include "base/knobs.h"
#include "server/hints.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

typedef enum kind {
    F32,
    INT,  /* int */
    I64,  /* int64_t */
    BOOL, /* bool */
    STR,  /* const char *, in mem */
    FN,   /* by a reader of its own */
    VOID, /* taken and without effect: says nothing about the text */
    ONLY  /* taken only where it asks for nothing: false, 0, "" or the neutral
             value; the help says what is missing */
} kind;

typedef struct qn_field {
    const char *name;
    unsigned routes;
    kind kind;
    size_t offset; /* in qn_fields */
    double low, high;
    qn_field_fn read;
    const char *neutral; /* of ONLY: a string or number that is taken, too */
    const char *help;    /* of ONLY: why other values are refused */
} qn_field;

#define COMP QN_FIELD_COMPLETION
#define CHAT QN_FIELD_CHAT
#define KSRV QN_FIELD_KSERVE
#define ALL (COMP | CHAT | KSRV)
#define OFF(member) offsetof(qn_fields, member)
#define SAMP(member) offsetof(qn_fields, rp.sampling.member)
#define FN_ROW(name, routes, fn)                  \
    {                                             \
        name, routes, FN, 0, 0, 0, fn, NULL, NULL \
    }
#define VOID_ROW(name, routes)                        \
    {                                                 \
        name, routes, VOID, 0, 0, 0, NULL, NULL, NULL \
    }
#define ONLY_ROW(name, routes, neutral, why)            \
    {                                                   \
        name, routes, ONLY, 0, 0, 0, NULL, neutral, why \
    }
/* The rest: low, high */
#define ROW(name, routes, kind, offset, ...)                      \
    {                                                             \
        name, routes, kind, offset, __VA_ARGS__, NULL, NULL, NULL \
    }

#define INT_TOP 2147483647.0

static const qn_field rows[] = {
    /* what to write about */
    FN_ROW("model", ALL, qn_field_model),
    FN_ROW("prompt", COMP, qn_field_prompt),
    FN_ROW("messages", CHAT, qn_field_messages),
    FN_ROW("tools", CHAT, qn_field_tools),
    FN_ROW("tool_choice", CHAT, qn_field_tool_choice),
    ROW("parallel_tool_calls", CHAT, BOOL, OFF(parallel_calls), 0, 0),
    FN_ROW("chat_template_kwargs", CHAT, qn_field_kwargs),
    ROW("text_input", KSRV, STR, OFF(text_input), 0, 0),
    ROW("add_generation_prompt", CHAT, BOOL, OFF(add_generation_prompt), 0, 0),
    ROW("continue_final_message", CHAT, BOOL, OFF(continue_final), 0, 0),
    ROW("add_special_tokens", ALL, INT, OFF(add_special), 0, 1),
    ROW("truncate_prompt_tokens", ALL, I64, OFF(truncate), -1, INT_TOP),
    FN_ROW("truncation_side", ALL, qn_field_side),
    ROW("context_shift", ALL, BOOL, OFF(rp.context_shift), 0, 0),
    ROW("n_keep", ALL, INT, OFF(rp.n_keep), 0, INT_TOP),
    ROW("kv_window", ALL, INT, OFF(rp.kv_window), 0, INT_TOP),
    /* how much */
    ROW("max_tokens", ALL, I64, OFF(max_tokens), 0, INT_TOP),
    ROW("max_completion_tokens", CHAT, I64, OFF(max_completion_tokens), 0,
        INT_TOP),
    ROW("n_predict", COMP | CHAT, I64, OFF(max_tokens), 0, INT_TOP),
    ROW("min_tokens", ALL, INT, OFF(rp.min_new_tokens), 0, INT_TOP),
    ROW("n", COMP | CHAT, INT, OFF(n), 1, INT_TOP),
    ROW("best_of", COMP | CHAT, INT, OFF(best_of), 1, INT_TOP),
    FN_ROW("stop", ALL, qn_field_stop),
    FN_ROW("stop_token_ids", ALL, qn_field_stop_ids),
    ROW("include_stop_str_in_output", ALL, BOOL, OFF(rp.include_stop), 0, 0),
    ROW("ignore_eos", ALL, BOOL, OFF(rp.ignore_eos), 0, 0),
    /* how to choose */
    ROW("temperature", ALL, F32, SAMP(temperature), QN_RANGE_TEMPERATURE),
    ROW("top_p", ALL, F32, SAMP(top_p), QN_RANGE_PART),
    ROW("top_k", ALL, INT, SAMP(top_k), -1, INT_TOP),
    ROW("min_p", ALL, F32, SAMP(min_p), QN_RANGE_PART),
    ROW("typical_p", ALL, F32, SAMP(typical_p), QN_RANGE_PART),
    ROW("top_n_sigma", ALL, F32, SAMP(top_n_sigma), QN_RANGE_SIGMA),
    ROW("xtc_probability", ALL, F32, SAMP(xtc_probability), QN_RANGE_PART),
    ROW("xtc_threshold", ALL, F32, SAMP(xtc_threshold), QN_RANGE_PART),
    ROW("dry_multiplier", ALL, F32, SAMP(dry_multiplier), QN_RANGE_DRY),
    ROW("dry_base", ALL, F32, SAMP(dry_base), QN_RANGE_DRY),
    ROW("dry_allowed_length", ALL, INT, SAMP(dry_allowed_length), 1, INT_TOP),
    ROW("dry_range", ALL, INT, SAMP(dry_range), -1, INT_TOP),
    ROW("dry_penalty_last_n", ALL, INT, SAMP(dry_range), -1, INT_TOP),
    FN_ROW("dry_sequence_breakers", ALL, qn_field_dry_breakers),
    ROW("mirostat", ALL, INT, SAMP(mirostat), 0, 2),
    ROW("mirostat_tau", ALL, F32, SAMP(mirostat_tau), QN_RANGE_MIROSTAT),
    ROW("mirostat_eta", ALL, F32, SAMP(mirostat_eta), QN_RANGE_MIROSTAT),
    ROW("repetition_penalty", ALL, F32, SAMP(repetition_penalty),
        QN_RANGE_REPETITION),
    ROW("repeat_penalty", ALL, F32, SAMP(repetition_penalty),
        QN_RANGE_REPETITION),
    ROW("repeat_last_n", ALL, INT, SAMP(penalty_last_n), -1, INT_TOP),
    ROW("penalty_last_n", ALL, INT, SAMP(penalty_last_n), -1, INT_TOP),
    ROW("presence_penalty", ALL, F32, SAMP(presence_penalty), -2, 2),
    ROW("frequency_penalty", ALL, F32, SAMP(frequency_penalty), -2, 2),
    FN_ROW("logit_bias", ALL, qn_field_logit_bias),
    FN_ROW("allowed_token_ids", ALL, qn_field_allowed_ids),
    FN_ROW("bad_words", ALL, qn_field_bad_words),
    FN_ROW("seed", ALL, qn_field_seed),
    ROW("use_beam_search", COMP | CHAT, BOOL, OFF(beam), 0, 0),
    ROW("length_penalty", COMP | CHAT, F32, OFF(rp.length_penalty), -10, 10),
    ROW("early_stopping", COMP | CHAT, BOOL, OFF(rp.early_stopping), 0, 0),
    /* how to answer */
    ROW("stream", COMP | CHAT, BOOL, OFF(stream), 0, 0),
    FN_ROW("stream_options", COMP | CHAT, qn_field_stream_options),
    ROW("echo", COMP, BOOL, OFF(echo), 0, 0),
    FN_ROW("logprobs", COMP | CHAT, qn_field_logprobs),
    ROW("top_logprobs", CHAT, I64, OFF(top_logprobs), 0, 1024),
    ROW("prompt_logprobs", COMP | CHAT, I64, OFF(prompt_logprobs), 0, 1024),
    ROW("skip_special_tokens", ALL, BOOL, OFF(rp.skip_special), 0, 0),
    ROW("return_token_ids", COMP | CHAT, BOOL, OFF(return_ids), 0, 0),
    ROW("return_tokens_as_token_ids", COMP | CHAT, BOOL, OFF(tokens_as_ids), 0,
        0),
    ROW("include_reasoning", CHAT, BOOL, OFF(tells_thoughts), 0, 0),
    FN_ROW("response_format", CHAT | COMP, qn_field_response_format),
    FN_ROW("guided_json", CHAT | COMP, qn_field_guided_json),
    FN_ROW("guided_regex", CHAT | COMP, qn_field_guided_regex),
    FN_ROW("guided_choice", CHAT | COMP, qn_field_guided_choice),
    FN_ROW("guided_grammar", CHAT | COMP, qn_field_guided_grammar),
    FN_ROW("grammar", CHAT | COMP, qn_field_guided_grammar),
    FN_ROW("json_schema", CHAT | COMP, qn_field_guided_json),
    FN_ROW("structured_outputs", CHAT | COMP, qn_field_structured),
    FN_ROW("modalities", CHAT, qn_field_modalities),
    /* where it stands in the queue, whose cache it uses */
    ROW("priority", ALL, INT, OFF(rp.priority), -1e6, 1e6),
    FN_ROW("cache_salt", ALL, qn_field_salt),
    ROW("id", KSRV, STR, OFF(id), 0, 0),
    ROW("request_id", COMP | CHAT, STR, OFF(id), 0, 0),
    /* without effect on the text */
    VOID_ROW("user", COMP | CHAT),
    VOID_ROW("metadata", CHAT),
    VOID_ROW("service_tier", COMP | CHAT),
    VOID_ROW("safety_identifier", COMP | CHAT),
    VOID_ROW("prompt_cache_key", COMP | CHAT),
    VOID_ROW("prompt_cache_retention", COMP | CHAT),
    VOID_ROW("session_id", COMP | CHAT),
    VOID_ROW("cache_prompt", COMP | CHAT), /* there is one cache for all */
    VOID_ROW("spaces_between_special_tokens", ALL), /* of slow tokenizers */
    VOID_ROW("guided_decoding_backend", COMP | CHAT),
    VOID_ROW("stream_interval", COMP | CHAT), /* tokens in a chunk */
    /* of vLLM's routes that render, and without effect on others there, too */
    VOID_ROW("return_token_offsets", COMP | CHAT),
    VOID_ROW("return_mm_kwargs", COMP | CHAT),
    /* refused unless they ask for nothing */
    ONLY_ROW("echo", CHAT, NULL, "the answer of a chat is the answer alone"),
    ONLY_ROW("suffix", COMP, NULL, "filling in the middle is not supported"),
    ONLY_ROW("store", CHAT, NULL, "completions are not stored"),
    ONLY_ROW("functions", CHAT, NULL, "deprecated: use tools"),
    ONLY_ROW("function_call", CHAT, "none", "deprecated: use tool_choice"),
    ONLY_ROW("audio", CHAT, NULL, "there is no audio output"),
    ONLY_ROW("prediction", CHAT, NULL, "predicted outputs are not supported"),
    ONLY_ROW("web_search_options", CHAT, NULL, "there is no web search"),
    ONLY_ROW("reasoning_effort", CHAT, "none",
             "pass it to the template: chat_template_kwargs"),
    ONLY_ROW("verbosity", CHAT, "medium", "the model has no such switch"),
    ONLY_ROW("chat_template", CHAT, NULL,
             "the model's own template is used, not one of the request"),
    ONLY_ROW("documents", CHAT, NULL,
             "pass them to the template: chat_template_kwargs"),
    ONLY_ROW("min_keep", ALL, NULL, "there is no such sampler setting"),
    ONLY_ROW("dynatemp_range", ALL, NULL, "the temperature is fixed"),
    ONLY_ROW("mm_processor_kwargs", CHAT, NULL, "text is all it reads"),
    ONLY_ROW("prompt_embeds", COMP, NULL, "give text or token ids"),
    ONLY_ROW("guided_whitespace_pattern", CHAT | COMP, NULL,
             "JSON is written with the white space that the model chooses"),
    ONLY_ROW("vllm_xargs", CHAT | COMP, NULL, "there are no extensions"),
    ONLY_ROW("kv_transfer_params", CHAT | COMP, NULL,
             "one process reads and writes"),
    ONLY_ROW("ec_transfer_params", CHAT | COMP, NULL,
             "one process reads and writes"),
    ONLY_ROW("media_io_kwargs", CHAT, NULL, "text is all it reads"),
    ONLY_ROW("logits_processors", CHAT | COMP, NULL,
             "there are logit_bias, bad_words and allowed_token_ids"),
    ONLY_ROW("logprob_token_ids", CHAT | COMP, NULL,
             "logprobs are of the likeliest tokens"),
    ONLY_ROW("structural_tag", CHAT | COMP, NULL,
             "use guided_grammar, or tools"),
    ONLY_ROW("repetition_detection", CHAT | COMP, NULL,
             "there are the fields of DRY and repetition_penalty"),
    ONLY_ROW("watermarking", CHAT | COMP, NULL, "texts carry no watermark"),
    ONLY_ROW("routed_experts_prompt_start", CHAT | COMP, NULL,
             "which experts were chosen is not told"),
    ONLY_ROW("return_prompt_text", CHAT, NULL,
             "/apply-template gives the prompt's text"),
};

/* ---- errors ------------------------------------------------------------ */

const char *qn_fields_spell(const qn_fields *f, const char *name)
{
    for (size_t i = 0; name && f->names && f->names[i][0]; i++)
        if (strcmp(f->names[i][0], name) == 0)
            return f->names[i][1];
    return name;
}

int qn_field_fail(const qn_field_reader *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = qn_vfail(r->err, QN_EINVAL, fmt, ap);
    va_end(ap);
    r->f->param = r->row->name;
    return qn_err_prefix(r->err, rc, "field %s",
                         qn_fields_spell(r->f, r->row->name));
}

/* ---- plain values ------------------------------------------------------ */

static int read_number(const qn_field_reader *r, const json_t *v)
{
    const qn_field *row = r->row;
    char *at = (char *)r->f + row->offset;
    if (row->kind == INT && row->high == 1 && json_is_boolean(v)) {
        *(int *)(void *)at = json_is_true(v);
        return 0;
    }
    if (!json_is_number(v))
        return qn_field_fail(r, "must be %s number; it is %s",
                             row->kind == F32 ? "a" : "a whole",
                             qn_json_type_name(v));
    double x = json_number_value(v);
    if (row->kind != F32 && x != floor(x))
        return qn_field_fail(r, "is %g; must be a whole number", x);
    if (!(x >= row->low && x <= row->high))
        return qn_field_fail(r, "is %g; use %.10g to %.10g", x, row->low,
                             row->high);
    if (row->kind == F32)
        *(float *)(void *)at = (float)x;
    else if (row->kind == INT)
        *(int *)(void *)at = (int)x;
    else
        *(int64_t *)(void *)at = (int64_t)x;
    return 0;
}

static int read_str(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_string(v))
        return qn_field_fail(r, "must be a string; it is %s",
                             qn_json_type_name(v));
    size_t n = json_string_length(v);
    char *s = qn_arena_strndup(&r->f->mem, json_string_value(v), n);
    *(const char **)(void *)((char *)r->f + r->row->offset) = s;
    return strlen(s) == n ? 0 : qn_field_fail(r, "has a NUL character");
}

static bool asks_for_nothing(const json_t *v, const char *neutral)
{
    if (json_is_false(v))
        return true;
    if (json_is_number(v))
        return json_number_value(v) == 0;
    if (json_is_array(v) || json_is_object(v))
        return json_array_size(v) + json_object_size(v) == 0;
    return json_is_string(v) &&
           (json_string_length(v) == 0 ||
            (neutral && strcmp(json_string_value(v), neutral) == 0));
}

static int read_own(const qn_field_reader *r, const json_t *v)
{
    qn_format before = r->f->rp.format;
    QN_TRY(r->row->read(r, v));
    if (r->f->rp.format != before)
        r->f->format_field = r->row->name;
    return 0;
}

static int read_field(const qn_field_reader *r, const json_t *v)
{
    switch (r->row->kind) {
    case F32:
    case INT:
    case I64: return read_number(r, v);
    case STR: return read_str(r, v);
    case FN: return read_own(r, v);
    case VOID: return 0;
    case BOOL:
        if (!json_is_boolean(v))
            return qn_field_fail(r, "must be true or false; it is %s",
                                 qn_json_type_name(v));
        *(bool *)((char *)r->f + r->row->offset) = json_is_true(v);
        return 0;
    case ONLY:
        return asks_for_nothing(v, r->row->neutral)
                   ? 0
                   : qn_field_fail(r, "is not supported: %s", r->row->help);
    }
    return 0;
}

/* ---- the document ------------------------------------------------------ */

static const qn_field *find(const char *name, unsigned route)
{
    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        if ((rows[i].routes & route) && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static bool has_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        const char *s = json_string_value(json_object_get(f, "name"));
        if (s && strcmp(s, name) == 0)
            return true;
    }
    return false;
}

static int check_tools(qn_fields *f, qn_err *err)
{
    f->param = "tool_choice";
    if (f->tool_choice == QN_TOOLS_NONE)
        f->tools = NULL;
    if (f->tool_choice == QN_TOOLS_REQUIRED && !f->tools)
        return qn_fail(err, QN_EINVAL,
                       "tool_choice demands a call, but there are no tools");
    if (f->tool_name && !has_tool(f->tools, f->tool_name))
        return qn_fail(err, QN_EINVAL,
                       "tool_choice: there is no tool \"%.100s\" in tools",
                       f->tool_name);
    if (f->tool_choice == QN_TOOLS_REQUIRED &&
        (f->continue_final || !f->add_generation_prompt))
        return qn_fail(err, QN_EINVAL,
                       "tool_choice demands a call, which needs "
                       "add_generation_prompt");
    return 0;
}

/* What fields demand of one another. */
static int check_together(qn_fields *f, const qn_field_context *c, qn_err *err)
{
    QN_TRY(check_tools(f, err));
    int64_t max_n = c->set->max_n;
    int n = QN_MAX(f->n, 1), best_of = f->best_of ? f->best_of : n;
    f->param = "n";
    if (n > max_n || best_of > max_n)
        return qn_fail(err, QN_ELIMIT,
                       "%d completions asked for; this server allows %lld "
                       "(fields n, best_of)",
                       QN_MAX(n, best_of), (long long)max_n);
    f->param = "best_of";
    if (best_of < n)
        return qn_fail(err, QN_EINVAL, "best_of is %d but n is %d", best_of, n);
    if (best_of > n && f->stream)
        return qn_fail(err, QN_EINVAL,
                       "best_of above n cannot be streamed: the best is known "
                       "at the end only");
    f->param = "top_logprobs";
    if (f->top_logprobs > 0 && !f->want_logprobs)
        return qn_fail(err, QN_EINVAL, "top_logprobs needs logprobs: true");
    int64_t most = QN_MAX(QN_MAX(f->logprobs, f->top_logprobs),
                          f->prompt_logprobs);
    f->param = most == f->prompt_logprobs ? "prompt_logprobs"
               : f->logprobs > 0          ? "logprobs"
                                          : "top_logprobs";
    if (most > c->set->max_logprobs)
        return qn_fail(err, QN_ELIMIT,
                       "%lld log probabilities per token asked for; this "
                       "server allows %lld",
                       (long long)most, (long long)c->set->max_logprobs);
    f->param = "prompt_logprobs";
    if (f->prompt_logprobs >= 0 && f->stream)
        return qn_fail(err, QN_EINVAL,
                       "prompt_logprobs cannot be streamed: set stream to "
                       "false");
    f->param = "logprobs";
    if (f->beam && f->want_logprobs)
        return qn_fail(err, QN_EUNSUP,
                       "use_beam_search gives no log probabilities of tokens: "
                       "leave out logprobs");
    f->param = f->format_field;
    if (f->beam && f->tool_choice == QN_TOOLS_REQUIRED) {
        f->param = "tool_choice";
        return qn_fail(err, QN_EUNSUP,
                       "use_beam_search demands no tool call: leave out "
                       "tool_choice");
    }
    if (f->beam && f->rp.format != QN_FORMAT_TEXT)
        return qn_fail(err, QN_EUNSUP,
                       "use_beam_search writes no format: leave out %s",
                       qn_fields_spell(f, f->param));
    f->param = "stream_options";
    if (f->include_usage && !f->stream)
        return qn_fail(err, QN_EINVAL,
                       "stream_options is for streams: set stream to true");
    f->param = f->max_completion_tokens >= 0 ? "max_completion_tokens"
                                             : "max_tokens";
    if (c->set->max_tokens > 0 && f->max_tokens > c->set->max_tokens)
        return qn_fail(err, QN_ELIMIT, "%s is %lld; this server allows %lld",
                       qn_fields_spell(f, f->param), (long long)f->max_tokens,
                       (long long)c->set->max_tokens);
    f->param = NULL;
    return 0;
}

int qn_fields_parse(qn_fields *f, const json_t *doc, const qn_field_context *c,
                    qn_err *err)
{
    if (!json_is_object(doc))
        return qn_fail(err, QN_EINVAL, "the body must be a JSON object");
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)doc, name, v)
    {
        if (json_is_null(v))
            continue;
        qn_field_reader r = {f, c, find(name, c->route), err};
        if (!r.row && c->set->lenient_fields) {
            if (c->on_unknown)
                c->on_unknown(c->user, name);
            continue;
        }
        if (!r.row) {
            f->code = "unknown_field";
            f->param = qn_arena_strndup(&f->mem, name,
                                        QN_MIN(strlen(name), (size_t)100));
            qn_str hint = {0};
            qn_hint_field(f->param, c->route, &hint);
            qn_fail(err, QN_EINVAL, "unknown field \"%s\": %s", f->param,
                    hint.p);
            qn_str_deinit(&hint);
            return QN_EINVAL;
        }
        QN_TRY(read_field(&r, v));
    }
    const json_t *t = json_object_get(doc, "temperature");
    if (!t || json_is_null(t))
        qn_sampling_complete(&f->rp.sampling,
                             f->beam ? 1 : QN_MAX(f->n, f->best_of));
    if (f->max_completion_tokens >= 0)
        f->max_tokens = f->max_completion_tokens;
    return check_together(f, c, err);
}

void qn_fields_blame(qn_fields *f, unsigned route, const char *message)
{
    char name[40];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(message, ": "), message);
    const qn_field *row = find(name, route);
    f->param = row                           ? row->name
               : strcmp(name, "format") == 0 ? f->format_field
                                             : NULL;
}

void qn_fields_init(qn_fields *f)
{
    *f = (qn_fields){.max_tokens = -1,
                     .max_completion_tokens = -1,
                     .logprobs = -1,
                     .top_logprobs = -1,
                     .prompt_logprobs = -1,
                     .add_special = -1,
                     .add_generation_prompt = true,
                     .tells_thoughts = true,
                     .parallel_calls = true};
    qn_arena_init(&f->mem);
    qn_request_params_default(&f->rp);
}

void qn_fields_deinit(qn_fields *f)
{
    qn_arena_deinit(&f->mem);
}

bool qn_fields_describe(size_t i, qn_field_info *info)
{
    static const char *const types[] = {
        [F32] = "number",   [INT] = "integer", [I64] = "integer",
        [BOOL] = "boolean", [STR] = "string",  [FN] = "",
        [VOID] = "any",     [ONLY] = "refused"};
    if (i >= QN_COUNTOF(rows))
        return false;
    const qn_field *row = &rows[i];
    *info = (qn_field_info){.name = row->name,
                            .routes = row->routes,
                            .type = types[row->kind],
                            .low = row->low,
                            .high = row->high,
                            .refused = row->kind == ONLY ? row->help : NULL,
                            .ignored = row->kind == VOID};
    return true;
}
