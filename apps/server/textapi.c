/* textapi.c - /tokenize, /detokenize, /apply-template: the text side of the
 * model without the model. The first two are vLLM's and take llama.cpp's body,
 * too (content in place of prompt, with its defaults); the third is llama.cpp's. */
#include "base/json.h"
#include "base/mem.h"
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/messages.h"
#include "server/server_int.h"

#include <stdlib.h>

typedef struct query {
    qn_call *call;
    json_t *doc;
    bool failed;
} query;

/* A field that is null counts as absent. */
static bool check_names(query *q, const char *const *known)
{
    const char *name;
    json_t *v;
    void *next;
    json_object_foreach_safe(q->doc, next, name, v)
    {
        size_t i = 0;
        if (json_is_null(v)) {
            json_object_del(q->doc, name);
            continue;
        }
        while (known[i] && strcmp(known[i], name) != 0)
            i++;
        if (!known[i] && !q->call->srv->set.lenient_fields) {
            qn_call_fail(q->call, 400, "unknown_field", NULL,
                         "unknown field \"%.100s\": it would be ignored", name);
            return false;
        }
    }
    return true;
}

static bool check_model(query *q)
{
    const json_t *v = json_object_get(q->doc, "model");
    const char *name = json_string_value(v);
    return !v || qn_call_serves(q->call, name ? name : "");
}

static bool open_query(query *q, qn_call *call, const char *const *known)
{
    qn_err err;
    *q = (query){.call = call};
    if (!call->srv->model) {
        qn_call_retry(call, 503, 5, "no model is loaded at the moment");
        return false;
    }
    if (qn_call_json(call, &q->doc, &err) < 0) {
        qn_call_fail(call, 400, NULL, NULL, "%s", err.msg);
        return false;
    }
    if (!json_is_object(q->doc)) {
        qn_call_fail(call, 400, NULL, NULL, "the body must be a JSON object");
        json_decref(q->doc);
        return false;
    }
    if (check_names(q, known) && check_model(q))
        return true;
    json_decref(q->doc);
    return false;
}

static bool flag(query *q, const char *name, bool initial)
{
    qn_err err;
    bool v = initial;
    if (qn_json_bool(q->doc, name, &v, "request", &err) < 0 && !q->failed) {
        q->failed = true;
        qn_call_fail(q->call, 400, NULL, name, "%s", err.msg);
    }
    return v;
}

static void fail(query *q, const char *param, const char *message)
{
    if (!q->failed)
        qn_call_fail(q->call, 400, NULL, param, "%s", message);
    q->failed = true;
}

/* The rendered messages, or NULL after the call has been answered. */
static char *render(query *q, size_t *n)
{
    const json_t *tools = json_object_get(q->doc, "tools");
    const json_t *kwargs = json_object_get(q->doc, "chat_template_kwargs");
    bool goes_on = flag(q, "continue_final_message", false);
    bool generation = flag(q, "add_generation_prompt", true) && !goes_on;
    json_t *messages = json_object_get(q->doc, "messages");
    if (!json_is_array(messages) || (tools && !json_is_array(tools)) ||
        (kwargs && !json_is_object(kwargs)))
        fail(q, "messages",
             "messages and tools must be lists, chat_template_kwargs an "
             "object");
    if (q->failed)
        return NULL;
    qn_err err;
    char *text = NULL;
    if (qn_messages_prepare(messages, &err) < 0) {
        fail(q, "messages", err.msg);
        return NULL;
    }
    if (qn_messages_render(q->call->srv->model, messages, tools, kwargs,
                           generation, &text, n, &err) < 0) {
        fail(q, "messages", err.msg);
        text = NULL;
    } else if (goes_on && qn_messages_cut(messages, text, n, &err) < 0) {
        fail(q, "continue_final_message", err.msg);
        qn_free(text);
        text = NULL;
    }
    return text;
}

static void add_spellings(query *q, const int32_t *ids, size_t n, qn_str *out)
{
    qn_str_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *s = qn_token_text(q->call->srv->model, ids[i], &len);
        if (i)
            qn_str_addc(out, ',');
        qn_jsonout_str(out, s ? s : "", s ? len : 0);
    }
    qn_str_addc(out, ']');
}

static void answer_ids(query *q, const char *text, size_t n, bool special,
                       bool parse_special)
{
    qn_err err;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    bool strs = flag(q, "return_token_strs", false);
    if (q->failed)
        return;
    if (qn_tokenize(q->call->srv->model, text, n, special, parse_special, &ids,
                    &n_ids, &err) < 0) {
        fail(q, "prompt", err.msg);
        return;
    }
    qn_str out = {0};
    qn_str_addf(&out,
                "{\"count\":%zu,\"max_model_len\":%lld,\"tokens\":", n_ids,
                (long long)q->call->srv->max_model_len);
    qn_jsonout_ids(&out, ids, n_ids);
    qn_str_adds(&out, ",\"token_strs\":");
    if (strs)
        add_spellings(q, ids, n_ids, &out);
    else
        qn_str_adds(&out, "null");
    qn_str_addc(&out, '}');
    qn_free(ids);
    qn_call_reply(q->call, 200, "application/json", &out);
}

void qn_textapi_tokenize(qn_call *call)
{
    static const char *const known[] = {"model",
                                        "prompt",
                                        "content",
                                        "add_special_tokens",
                                        "add_special",
                                        "parse_special",
                                        "return_token_strs",
                                        "with_pieces",
                                        "messages",
                                        "tools",
                                        "chat_template_kwargs",
                                        "add_generation_prompt",
                                        "continue_final_message",
                                        NULL};
    query q;
    if (!open_query(&q, call, known))
        return;
    const json_t *prompt = json_object_get(q.doc, "prompt");
    const json_t *content = json_object_get(q.doc, "content");
    bool chat = json_object_get(q.doc, "messages") != NULL;
    bool special = flag(&q, "add_special_tokens", !chat && !content);
    special = flag(&q, "add_special", special);
    bool parse = flag(&q, "parse_special", chat || content);
    if (flag(&q, "with_pieces", false))
        fail(&q, "with_pieces",
             "with_pieces is not supported: use "
             "return_token_strs");
    if ((prompt != NULL) + (content != NULL) + chat > 1)
        fail(&q, "prompt", "give one of prompt, content and messages");
    if (content)
        prompt = content;
    size_t n = 0;
    char *text = chat ? render(&q, &n) : NULL;
    if (text)
        answer_ids(&q, text, n, special, parse);
    else if (!chat && json_is_string(prompt))
        answer_ids(&q, json_string_value(prompt), json_string_length(prompt),
                   special, parse);
    else
        fail(&q, "prompt", "give prompt or content, a string, or messages");
    qn_free(text);
    json_decref(q.doc);
}

void qn_textapi_detokenize(qn_call *call)
{
    static const char *const known[] = {"model", "tokens",
                                        "skip_special_tokens", NULL};
    query q;
    if (!open_query(&q, call, known))
        return;
    const json_t *list = json_object_get(q.doc, "tokens");
    bool skip = flag(&q, "skip_special_tokens", false);
    size_t n = json_array_size(list), len = 0;
    int32_t *ids = qn_alloc(n, sizeof *ids);
    if (!ids || !json_is_array(list))
        fail(&q, "tokens", "tokens must be a list of token ids");
    for (size_t i = 0; i < n && !q.failed; i++) {
        const json_t *x = json_array_get(list, i);
        json_int_t id = json_integer_value(x);
        if (!json_is_integer(x) || id < 0 ||
            id >= qn_model_n_vocab(call->srv->model))
            fail(&q, "tokens", "tokens has an element that is no token id");
        else
            ids[i] = (int32_t)id;
    }
    qn_err err;
    char *text = NULL;
    if (!q.failed &&
        qn_detokenize(call->srv->model, ids, n, skip, &text, &len, &err) < 0)
        fail(&q, "tokens", err.msg);
    if (!q.failed) {
        qn_str out = {0};
        qn_str_adds(&out, "{\"prompt\":"); /* vLLM's name */
        qn_jsonout_str(&out, text, len);
        qn_str_adds(&out, ",\"content\":"); /* llama.cpp's */
        qn_jsonout_str(&out, text, len);
        qn_str_addc(&out, '}');
        qn_call_reply(call, 200, "application/json", &out);
    }
    qn_free(text);
    free(ids);
    json_decref(q.doc);
}

void qn_textapi_template(qn_call *call)
{
    static const char *const known[] = {"model",
                                        "messages",
                                        "tools",
                                        "chat_template_kwargs",
                                        "add_generation_prompt",
                                        "continue_final_message",
                                        NULL};
    query q;
    if (!open_query(&q, call, known))
        return;
    size_t n = 0;
    char *text = render(&q, &n);
    if (text) {
        qn_str out = {0};
        qn_str_adds(&out, "{\"prompt\":");
        qn_jsonout_str(&out, text, n);
        qn_str_addc(&out, '}');
        qn_call_reply(call, 200, "application/json", &out);
    }
    qn_free(text);
    json_decref(q.doc);
}
