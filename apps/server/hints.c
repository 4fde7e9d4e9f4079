/* hints.c - see hints.h. */
#include "server/hints.h"

#include "base/nearest.h"
#include "server/fields.h"

#include <string.h>

/* ---- routes ------------------------------------------------------------ */

#define TEXT_ONLY "this server writes text; it has no such model"
#define NO_BASE \
    "OpenAI's routes are below /v1: end the client's base URL in /v1"
#define NOT_KEPT "nothing is kept from one request to the next"

/* A path that ends with * stands for all that begin so. */
static const struct {
    const char *path, *hint;
} routes[] = {
    {"/v1/v1/*", "the client adds /v1 itself: leave it out of the base URL"},
    {"/chat/completions", NO_BASE},
    {"/completions", NO_BASE},
    {"/models", NO_BASE},
    {"/responses", NO_BASE},
    {"/v1", NO_BASE},
    {"/v1/", NO_BASE},
    {"/v1/embeddings", TEXT_ONLY},
    {"/embedding*", TEXT_ONLY},
    {"/pooling", TEXT_ONLY},
    {"/classify", TEXT_ONLY},
    {"/score", TEXT_ONLY},
    {"/v1/score", TEXT_ONLY},
    {"/rerank", TEXT_ONLY},
    {"/v1/rerank", TEXT_ONLY},
    {"/v2/rerank", TEXT_ONLY},
    {"/v1/moderations", TEXT_ONLY},
    {"/v1/audio/*", TEXT_ONLY},
    {"/v1/images/*", TEXT_ONLY},
    {"/v1/realtime*", "it streams by server-sent events: \"stream\": true"},
    {"/v1/files*", NOT_KEPT},
    {"/v1/batches*", NOT_KEPT "; quern run --prompts-file reads a batch"},
    {"/v1/fine_tuning/*", "quern does not train"},
    {"/v1/assistants*", NOT_KEPT},
    {"/v1/threads*", NOT_KEPT},
    {"/v1/conversations*", NOT_KEPT},
    {"/v1/responses/*", NOT_KEPT},
    {"/v1/chat/completions/*", NOT_KEPT},
    {"/v1/messages*", "Anthropic's API is not spoken; /v1/chat/completions is "
                      "OpenAI's"},
    {"/api/*", "Ollama's API is not spoken; /v1/chat/completions is OpenAI's"},
    {"/completion", "use /v1/completions, which knows llama.cpp's fields"},
    {"/v2/models/*",
     "of a model there are ready, generate and generate_stream"},
    {"/v2/repository/*", "models are changed at the admin socket"},
    {"/infill", "filling in the middle is not supported"},
    {"/generate*", "use /v1/completions"},
    {"/invocations", "use /v1/chat/completions"},
    {"/ping", "use /health or /ready"},
    {"/healthz", "use /health"},
    {"/livez", "use /health"},
    {"/readyz", "use /ready"},
    {"/props", "use /v1/models"},
    {"/server_info", "use /v1/models and /version"},
    {"/slots*", "use /metrics"},
    {"/load", "use /metrics"},
    {"/docs*", "the API is described in docs/api.md"},
    {"/redoc", "the API is described in docs/api.md"},
    {"/openapi.json", "the API is described in docs/api.md"},
    {"/admin/*", "the admin routes are on the socket of --admin-socket"},
};

static bool path_is(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, path, n - 1) == 0;
    return strcmp(pattern, path) == 0;
}

const char *qn_hint_route(const char *path)
{
    for (size_t i = 0; i < QN_COUNTOF(routes); i++)
        if (path_is(routes[i].path, path))
            return routes[i].hint;
    return "docs/api.md lists what there is";
}

/* ---- fields ------------------------------------------------------------ */

#define TEMPLATE "put it into chat_template_kwargs"

static const struct {
    const char *name, *hint;
} fields[] = {
    {"max_new_tokens", "use max_tokens"},
    {"max_length", "use max_tokens"},
    {"num_predict", "use max_tokens"},
    {"max_completion_tokens", "use max_tokens"},
    {"max_output_tokens", "use max_tokens"},
    {"stop_sequences", "use stop"},
    {"stopping_strings", "use stop"},
    {"do_sample", "temperature 0 takes the likeliest token"},
    {"n_probs", "use logprobs"},
    {"top_logprobs", "use logprobs, a number here"},
    {"num_return_sequences", "use n"},
    {"num_beams", "use use_beam_search and n"},
    {"random_seed", "use seed"},
    {"system", "begin messages with one of the role system"},
    {"system_prompt", "begin messages with one of the role system"},
    {"messages", "conversations go to /v1/chat/completions"},
    {"prompt", "texts without a template go to /v1/completions"},
    {"input", "use messages"},
    {"content", "use prompt"},
    {"enable_thinking", TEMPLATE},
    {"thinking", TEMPLATE},
    {"extra_body", "what clients call extra_body are fields of the request "
                   "itself"},
    {"samplers", "samplers run in one order; a neutral value turns one off"},
    {"thinking_token_budget",
     "how long a model thinks, its template says: " TEMPLATE},
    {"lora", "adapters are not supported: serve a model that has it merged"},
};

static const char *offer_field(void *user, size_t i)
{
    const unsigned *route = user;
    qn_field_info f;
    if (!qn_fields_describe(i, &f))
        return NULL;
    return (f.routes & *route) && !f.refused ? f.name : "";
}

void qn_hint_field(const char *name, unsigned route, qn_str *out)
{
    for (size_t i = 0; i < QN_COUNTOF(fields); i++)
        if (strcmp(fields[i].name, name) == 0) {
            qn_str_adds(out, fields[i].hint);
            return;
        }
    const char *near = qn_nearest(name, offer_field, &route);
    if (near)
        qn_str_addf(out, "did you mean %s?", near);
    else
        qn_str_adds(out, "it would be ignored; --lenient-fields lets the "
                         "server do that");
}
