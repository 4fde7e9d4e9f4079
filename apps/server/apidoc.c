/* apidoc.c - see apidoc.h. What a row is comes from its table; what it is for
 * is said here, and a row of which nothing is said is an error. */
#include "server/apidoc.h"

#include "server/fields.h"
#include "server/routes.h"

#include <string.h>

typedef struct sentence {
    const char *of, *text;
} sentence;

static const sentence on_routes[] = {
    {"/", "The web page: chat and dashboard."},
    {"/web/{}", "Its files."},
    {"/health",
     "Alive: 200 while it can answer; 503 after an engine step that failed."},
    {"/ready", "200 when it takes requests, 503 while it drains or fails."},
    {"/version", "The version of quern."},
    {"/metrics", "Counters and histograms for Prometheus."},
    {"/v1/models", "The model that is served."},
    {"/v1/models/{}", "The same, by its name; 404 for another."},
    {"/v1/completions", "Goes on from a prompt (OpenAI)."},
    {"/v1/chat/completions", "Answers a conversation (OpenAI)."},
    {"/v1/responses", "The same by OpenAI's newer API, without memory."},
    {"/tokenize", "Text or messages to token ids (vLLM, llama.cpp)."},
    {"/detokenize", "Token ids to text."},
    {"/apply-template", "The prompt that messages become."},
    {"/v2", "Name and version of the server (KServe)."},
    {"/v2/health/live", "As /health (KServe)."},
    {"/v2/health/ready", "As /ready (KServe)."},
    {"/v2/models/{}", "What the model takes and gives (KServe)."},
    {"/v2/models/{}/ready", "As /ready, for the model (KServe)."},
    {"/v2/models/{}/generate", "Text to text (KServe)."},
    {"/v2/models/{}/generate_stream", "The same, as events (KServe)."},
    {"/admin/status", "The model, requests, connections, settings in force."},
    {"/admin/drain", "Takes no more requests, for good; /ready says 503."},
    {"/admin/load",
     "Loads a model in place of the one that was unloaded; 409 while one is loaded."},
    {"/admin/unload", "Ends what runs and frees the model."},
    {"/admin/reload",
     "Reads API keys and certificate again; 500 with the reason when it "
     "cannot, and they stay as they were."},
    {"/admin/log-level", "Changes --log-level."},
};

static const sentence on_fields[] = {
    {"model", "string: name of the model; has to be the one that is served."},
    {"prompt", "string, list of strings, list of token ids, or a list of such "
               "lists: each is a prompt of its own."},
    {"messages", "list of {role, content}: the conversation; content is a "
                 "string or a list of text parts."},
    {"tools", "list: functions that the template tells the model about."},
    {"tool_choice", "string or object: whether the model may or must call."},
    {"parallel_tool_calls", "Whether more than one call may be given; true."},
    {"chat_template_kwargs", "object: further variables of the template."},
    {"text_input", "the prompt."},
    {"add_generation_prompt",
     "Whether the prompt ends where the answer begins; default true."},
    {"continue_final_message",
     "The prompt ends in the middle of the last message, which the answer goes "
     "on with."},
    {"add_special_tokens",
     "Whether BOS and its like are added; default: completions do, chats do "
     "not, as the template has them."},
    {"truncate_prompt_tokens",
     "Shorten the prompt to so many tokens instead of refusing it; -1: to what "
     "leaves room for max_tokens, or for as many as that is by default, at "
     "most half of the context."},
    {"truncation_side", "\"left\" (default) or \"right\": which end goes."},
    {"context_shift", "When the context is full, forget half of the tokens "
                      "behind the first n_keep and go on."},
    {"n_keep", "Tokens at the beginning that context_shift and kv_window "
               "keep."},
    {"kv_window", "A text without end: look at the first n_keep tokens and so "
                  "many of the last; 0: at all."},
    {"max_tokens", "Longest completion. Default 16; of a chat, the setting "
                   "default-max-tokens."},
    {"max_completion_tokens",
     "The same, under its newer name, which wins over the older one."},
    {"n_predict", "The same, as llama.cpp calls it."},
    {"min_tokens", "No end of the text before so many tokens."},
    {"n", "Completions of the prompt."},
    {"best_of", "Draw so many, give the n likeliest."},
    {"stop", "string or list of strings: the text ends before one of these."},
    {"stop_token_ids", "list of integers: it ends at one of these tokens."},
    {"include_stop_str_in_output", "What ended the text is part of it."},
    {"ignore_eos", "Go on to max_tokens whatever the model says."},
    {"temperature", "0 takes the likeliest token."},
    {"top_p", "Of the likeliest that together have this probability; 1: off."},
    {"top_k", "Of so many likeliest only; 0 or -1: off."},
    {"min_p", "None below this part of the likeliest one's probability."},
    {"typical_p", "Locally typical tokens of this total probability; 1: off."},
    {"top_n_sigma", "None more than so many standard deviations below the "
                    "best logit; 0: off."},
    {"xtc_probability", "How often the likeliest are left out; 0: off."},
    {"xtc_threshold", "Which: those above it, but the last of them."},
    {"dry_multiplier", "Strength of DRY against repeated passages; 0: off."},
    {"dry_base", "Base of its growth with the length."},
    {"dry_allowed_length", "Longest repetition that it lets pass."},
    {"dry_range", "Tokens that it looks back; -1: all."},
    {"dry_penalty_last_n", "The same, as llama.cpp calls it."},
    {"dry_sequence_breakers", "list of strings at which a passage ends."},
    {"mirostat", "2: mirostat v2 in place of the above; 0: off."},
    {"mirostat_tau", "Surprise that it aims at."},
    {"mirostat_eta", "How fast it learns."},
    {"repetition_penalty",
     "Logits of tokens that were there are divided by it; 1: off."},
    {"repeat_penalty", "The same, as llama.cpp calls it."},
    {"repeat_last_n", "Tokens that it looks back; -1: all."},
    {"penalty_last_n", "Tokens that repetition_penalty looks back; -1: all."},
    {"presence_penalty",
     "Taken from the logits of tokens that the completion has."},
    {"frequency_penalty", "The same for each time that it has them."},
    {"logit_bias", "object of token id: number that is added to its logit."},
    {"allowed_token_ids", "list of integers: no tokens but these."},
    {"bad_words", "list of strings: none of these words, with or without "
                  "a blank in front. Each has to be one token: one of several "
                  "is refused."},
    {"seed", "integer: same seed, same text, whatever else runs."},
    {"use_beam_search", "Search with n beams instead of drawing."},
    {"length_penalty", "Beams are ranked by log probability / length^this."},
    {"early_stopping", "End the search when n beams have ended."},
    {"stream", "Answer in events as the text is made."},
    {"stream_options", "object: include_usage, continuous_usage_stats."},
    {"echo", "The prompt comes first in the text."},
    {"logprobs",
     "completions: integer, the chosen token and so many likeliest. Chats: "
     "boolean, of the chosen token. A token that is a part of a character is "
     "spelled \\xc3, in completions bytes:\\xc3."},
    {"top_logprobs", "So many likeliest beside it; needs logprobs."},
    {"prompt_logprobs", "Log probabilities of the prompt's tokens as well."},
    {"skip_special_tokens", "Leave special tokens out; default true."},
    {"return_token_ids", "Token ids beside the text."},
    {"return_tokens_as_token_ids",
     "Tokens in log probabilities are spelled \"token_id:5\"."},
    {"include_reasoning", "Whether reasoning_content is told; default true."},
    {"response_format",
     "object: {type: \"text\" | \"json_object\"}, or {type: \"json_schema\", "
     "json_schema: {name, schema}}: the answer is that, whole, unless "
     "max_tokens cuts it."},
    {"guided_json", "object or string: a JSON schema, as vLLM has it."},
    {"guided_regex", "string: the answer matches this regular expression from "
                     "its first to its last character."},
    {"guided_choice", "list of strings: the answer is one of them."},
    {"guided_grammar", "string: what a grammar in llama.cpp's notation (GBNF) "
                       "describes."},
    {"grammar", "The same, as llama.cpp calls it."},
    {"json_schema", "guided_json, as llama.cpp calls it."},
    {"structured_outputs", "object with one of json, regex, choice, grammar, "
                           "as the four above, or json_object: true."},
    {"modalities", "list: [\"text\"]."},
    {"priority", "Lower is admitted earlier."},
    {"cache_salt", "string: only requests with the same one share cached "
                   "beginnings."},
    {"id", "A name for the request, which the answer repeats."},
    {"request_id", "The same: the answer's id and X-Request-Id, unless that "
                   "header gives another; letters, digits and -_."},
};

static const char *said(const sentence *s, size_t n, const char *of)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s[i].of, of) == 0)
            return s[i].text;
    return NULL;
}
#define SAID(table, of) said(table, QN_COUNTOF(table), of)

static int write_routes(qn_str *out, qn_err *err)
{
    qn_str_adds(out, "| | path | | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < qn_route_n_rows; i++) {
        const qn_route *r = &qn_route_rows[i];
        const char *text = SAID(on_routes, r->path);
        if (!text)
            return qn_fail(err, QN_EINTERNAL,
                           "apidoc.c says nothing of the route %s", r->path);
        qn_str_addf(out, "| %s | `%s` | %s | %s |\n", r->method, r->path, text,
                    r->flags & QN_ROUTE_OPEN    ? "needs no key"
                    : r->flags & QN_ROUTE_ADMIN ? "admin socket only"
                                                : "");
    }
    return 0;
}

/* Bounds where they say something: not for "any 31 bits". */
static void add_type(qn_str *out, const qn_field_info *f)
{
    qn_str_adds(out, f->type);
    if (f->high > f->low && f->high < 1e6)
        qn_str_addf(out, ", %g to %g", f->low, f->high);
    else if (f->high > f->low)
        qn_str_addf(out, ", from %g", f->low);
}

static int write_fields(qn_str *out, qn_err *err)
{
    qn_field_info f;
    qn_str_adds(out, "| field | where | type | |\n|---|---|---|---|\n");
    for (size_t i = 0; qn_fields_describe(i, &f); i++) {
        if (f.refused || f.ignored)
            continue;
        const char *text = SAID(on_fields, f.name);
        if (!text)
            return qn_fail(err, QN_EINTERNAL,
                           "apidoc.c says nothing of the field %s", f.name);
        qn_str_addf(out, "| `%s` |%s%s%s | ", f.name,
                    f.routes & QN_FIELD_COMPLETION ? " completions" : "",
                    f.routes & QN_FIELD_CHAT ? " chat" : "",
                    f.routes & QN_FIELD_KSERVE ? " kserve" : "");
        add_type(out, &f);
        qn_str_addf(out, " | %s |\n", text);
    }
    return 0;
}

static void write_ignored(qn_str *out)
{
    qn_field_info f;
    for (size_t i = 0, n = 0; qn_fields_describe(i, &f); i++)
        if (f.ignored)
            qn_str_addf(out, "%s`%s`", n++ ? ", " : "", f.name);
    qn_str_adds(out, ".\n");
}

static void write_refused(qn_str *out)
{
    qn_field_info f;
    qn_str_adds(out, "| field | why |\n|---|---|\n");
    for (size_t i = 0; qn_fields_describe(i, &f); i++)
        if (f.refused)
            qn_str_addf(out, "| `%s` | %s |\n", f.name, f.refused);
}

int qn_apidoc_write(qn_str *out, qn_err *err)
{
    qn_str_adds(out, "## Routes\n\n");
    QN_TRY(write_routes(out, err));
    qn_str_adds(out, "\n## Fields of a request for text\n\n"
                     "A field that is not in these tables is refused with 400 "
                     "and the code `unknown_field`, unless the server runs "
                     "with `--lenient-fields`. `null` counts as absent. What "
                     "a request leaves out comes from the model's "
                     "`generation_config.json`. Where that is missing, or says "
                     "`\"do_sample\": false`, `temperature` is 0, and what is "
                     "off in the table is off; but 1 where the request asks "
                     "for chance: by `n` or `best_of` above 1, `top_p`, "
                     "`top_k`, `min_p`, `typical_p`, `top_n_sigma`, "
                     "`xtc_probability` or `mirostat`.\n\n");
    QN_TRY(write_fields(out, err));
    qn_str_adds(out, "\n## Taken, without effect on the text\n\n");
    write_ignored(out);
    qn_str_adds(out, "\n## Refused, unless they ask for nothing\n\n"
                     "`false`, 0, `\"\"`, an empty list or the neutral value "
                     "of the field pass; anything else would have to be "
                     "ignored, and is refused instead.\n\n");
    write_refused(out);
    return 0;
}
