/* responses_ask.c - a request of /v1/responses, said as one of a chat.
 *
 * The table of fields (fields.c) reads what comes out; here only names and
 * places change. What asks for something that is not here, such as a
 * conversation that is kept, is refused. */
#include "server/responses.h"

#include <stdlib.h>

static int refuse(qn_gen *g, qn_err *err, const char *field, const char *why)
{
    g->f.param = field;
    return qn_fail(err, QN_EINVAL, "field %s: %s", field, why);
}

/* ---- input ------------------------------------------------------------- */

/* Parts that are text are called so in chats. */
static void name_parts(json_t *content)
{
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *part = json_array_get(content, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type && (strcmp(type, "input_text") == 0 ||
                     strcmp(type, "output_text") == 0))
            json_object_set_new(part, "type", json_string("text"));
    }
}

static json_t *last_of_assistant(const json_t *to)
{
    json_t *m = json_array_get(to, json_array_size(to) - 1);
    const char *role = json_string_value(json_object_get(m, "role"));
    return role && strcmp(role, "assistant") == 0 ? m : NULL;
}

/* A thought is of the message or the calls that follow it. */
static int take_thought(json_t *to, const json_t *item)
{
    const json_t *parts = json_object_get(item, "content");
    qn_str s = {0};
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *text = json_object_get(json_array_get(parts, i), "text");
        if (json_is_string(text))
            qn_str_add(&s, json_string_value(text), json_string_length(text));
    }
    json_t *m = json_pack("{s:s,s:s}", "role", "assistant", "content", "");
    json_object_set_new(m, "reasoning_content",
                        json_stringn(s.p ? s.p : "", s.n));
    qn_str_deinit(&s);
    return json_array_append_new(to, m);
}

static int take_message(json_t *to, const json_t *item)
{
    json_t *content = json_object_get(item, "content");
    const char *role = json_string_value(json_object_get(item, "role"));
    json_t *thought = last_of_assistant(to);
    name_parts(content);
    if (role && strcmp(role, "assistant") == 0 &&
        json_object_get(thought, "reasoning_content") &&
        json_string_length(json_object_get(thought, "content")) == 0 &&
        !json_object_get(thought, "tool_calls"))
        return content ? json_object_set(thought, "content", content) : 0;
    json_t *m = json_object();
    json_object_set(m, "role", json_object_get(item, "role"));
    json_object_set(m, "content", content);
    return json_array_append_new(to, m);
}

/* Calls of one turn are one message in chats. */
static int take_call(json_t *to, const json_t *item)
{
    json_t *last = last_of_assistant(to);
    if (!last) {
        last = json_pack("{s:s,s:s}", "role", "assistant", "content", "");
        json_array_append_new(to, last);
    }
    json_t *calls = json_object_get(last, "tool_calls");
    if (!calls) {
        calls = json_array();
        json_object_set_new(last, "tool_calls", calls);
    }
    json_t *f = json_object();
    json_object_set(f, "name", json_object_get(item, "name"));
    json_object_set(f, "arguments", json_object_get(item, "arguments"));
    json_t *call = json_pack("{s:s,s:o}", "type", "function", "function", f);
    json_object_set(call, "id", json_object_get(item, "call_id"));
    return json_array_append_new(calls, call);
}

static int take_result(json_t *to, const json_t *item)
{
    json_t *output = json_object_get(item, "output");
    name_parts(output);
    json_t *m = json_pack("{s:s}", "role", "tool");
    json_object_set(m, "tool_call_id", json_object_get(item, "call_id"));
    json_object_set(m, "content", output);
    return json_array_append_new(to, m);
}

static int take_item(qn_gen *g, json_t *to, const json_t *item, qn_err *err)
{
    const json_t *type = json_object_get(item, "type");
    const char *s = type ? json_string_value(type) : "message";
    if (!s || !json_is_object(item))
        return refuse(g, err, "input", "its items must be objects with a type");
    if (strcmp(s, "message") == 0)
        return take_message(to, item);
    if (strcmp(s, "reasoning") == 0)
        return take_thought(to, item);
    bool call = strcmp(s, "function_call") == 0;
    if ((call || strcmp(s, "function_call_output") == 0) &&
        !json_is_string(json_object_get(item, "call_id")))
        return refuse(g, err, "input", "calls and their outputs need call_id");
    if (call && !json_is_string(json_object_get(item, "name")))
        return refuse(g, err, "input", "a function_call needs a name");
    if (call)
        return take_call(to, item);
    if (strcmp(s, "function_call_output") == 0)
        return take_result(to, item);
    if (strcmp(s, "item_reference") == 0)
        return refuse(g, err, "input",
                      "nothing is kept here that an item_reference could mean: "
                      "send the item itself");
    g->f.param = "input";
    return qn_fail(
        err, QN_EINVAL,
        "field input: there are no items of type \"%.40s\" here; "
        "message, reasoning, function_call and function_call_output are "
        "known",
        s);
}

static int take_input(qn_gen *g, json_t *doc, qn_err *err)
{
    json_t *input = json_object_get(doc, "input");
    const json_t *said = json_object_get(doc, "instructions");
    json_t *messages = json_array();
    int rc = 0;
    if (json_is_string(said))
        json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "system",
                                                  "content", said));
    else if (said && !json_is_null(said))
        rc = refuse(g, err, "instructions", "must be a string");
    if (json_is_string(input))
        json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "user",
                                                  "content", input));
    else if (!json_is_array(input) || json_array_size(input) == 0)
        rc = refuse(g, err, "input", "must be a string or a list of items");
    for (size_t i = 0; rc == 0 && i < json_array_size(input); i++)
        rc = take_item(g, messages, json_array_get(input, i), err);
    json_object_set_new(doc, "messages", messages);
    return rc;
}

/* ---- tools, format ----------------------------------------------------- */

/* {"type": "function", "name": ..} has what chats put into "function". */
static json_t *fold_tool(const json_t *tool)
{
    json_t *f = json_copy((json_t *)(uintptr_t)tool);
    json_object_del(f, "type");
    json_object_del(f, "strict");
    const char *name;
    json_t *v;
    void *next;
    json_object_foreach_safe(f, next, name, v)
    {
        if (json_is_null(v))
            json_object_del(f, name);
    }
    return json_pack("{s:O,s:o}", "type", json_object_get(tool, "type"),
                     "function", f);
}

static int take_tools(qn_gen *g, json_t *doc, qn_err *err)
{
    const json_t *tools = json_object_get(doc, "tools");
    const json_t *choice = json_object_get(doc, "tool_choice");
    if (json_is_array(tools)) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(tools); i++) {
            const json_t *t = json_array_get(tools, i);
            const char *type = json_string_value(json_object_get(t, "type"));
            if (!type || strcmp(type, "function") != 0) {
                json_decref(list);
                return refuse(g, err, "tools",
                              "this server has no tools of its own: each must "
                              "be of type \"function\"");
            }
            json_array_append_new(list, fold_tool(t));
        }
        json_object_set_new(doc, "tools", list);
    }
    const json_t *name = json_object_get(choice, "name");
    if (json_is_object(choice) && name)
        json_object_set_new(doc, "tool_choice",
                            json_pack("{s:O,s:{s:O}}", "type",
                                      json_object_get(choice, "type"),
                                      "function", "name", name));
    return 0;
}

/* text: {"format": {"type": "json_schema", "name": .., "schema": ..}} */
static int take_text(qn_gen *g, json_t *doc, qn_err *err)
{
    const json_t *text = json_object_get(doc, "text"), *v;
    const char *name;
    json_t *x;
    if (text && !json_is_null(text) && !json_is_object(text))
        return refuse(g, err, "text", "must be an object");
    json_object_foreach((json_t *)(uintptr_t)text, name, x)
    {
        if (strcmp(name, "format") != 0 && strcmp(name, "verbosity") != 0)
            return refuse(g, err, "text", "has format and verbosity only");
    }
    if ((v = json_object_get(text, "verbosity")))
        json_object_set(doc, "verbosity", (json_t *)(uintptr_t)v);
    v = json_object_get(text, "format");
    if (!v || json_is_null(v))
        return 0;
    json_t *format = json_object();
    json_object_set(format, "type", json_object_get(v, "type"));
    if (json_object_get(v, "schema"))
        json_object_set_new(format, "json_schema",
                            json_pack("{s:O}", "schema",
                                      json_object_get(v, "schema")));
    json_object_set_new(doc, "response_format", format);
    return 0;
}

/* ---- what is not here -------------------------------------------------- */

static int check_absent(qn_gen *g, const json_t *doc, qn_err *err)
{
    static const struct {
        const char *name, *why;
    } rows[] = {
        {"previous_response_id",
         "nothing is kept from one request to the next: send the conversation "
         "as input"},
        {"conversation", "no conversation is kept: send it as input"},
        {"prompt", "no prompts are kept: use instructions and input"},
        {"context_management", "is not supported; see context_shift"},
        {"messages", "use input"},
        {"max_tokens", "use max_output_tokens"},
        {"max_completion_tokens", "use max_output_tokens"},
        {"response_format", "use text.format"},
        {"n", "there is one answer; /v1/chat/completions gives several"},
        {"best_of", "use /v1/chat/completions"},
        {"use_beam_search", "use /v1/chat/completions"},
        {"logprobs", "use /v1/chat/completions"},
        {"top_logprobs", "use /v1/chat/completions"},
        {"prompt_logprobs", "use /v1/chat/completions"},
        {"return_token_ids", "use /v1/chat/completions"},
        {"continue_final_message", "use /v1/chat/completions"},
    };
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const json_t *v = json_object_get(doc, rows[i].name);
        bool zero = json_is_integer(v) && json_integer_value(v) == 0;
        if (v && !json_is_null(v) && !zero)
            return refuse(g, err, rows[i].name, rows[i].why);
    }
    if (json_is_true(json_object_get(doc, "background")))
        return refuse(g, err, "background",
                      "requests run in the foreground: leave it out");
    const char *cut = json_string_value(json_object_get(doc, "truncation"));
    if (cut && strcmp(cut, "disabled") != 0)
        return refuse(g, err, "truncation",
                      "only \"disabled\" is supported; truncate_prompt_tokens "
                      "cuts a prompt");
    return 0;
}

/* More in the answer than it always has. */
static int check_include(qn_gen *g, const json_t *doc, qn_err *err)
{
    const json_t *list = json_object_get(doc, "include");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || strcmp(s, "reasoning.encrypted_content") != 0)
            return refuse(g, err, "include",
                          "there is nothing more to include; log "
                          "probabilities are in /v1/chat/completions");
    }
    return 0;
}

/* ---- the whole --------------------------------------------------------- */

/* What the answer repeats of the request, as OpenAI's does. */
static void keep_asked(qn_gen *g, const json_t *doc)
{
    static const struct {
        const char *name, *other;
    } rows[] = {
        {"instructions", "null"},    {"max_output_tokens", "null"},
        {"metadata", "{}"},          {"parallel_tool_calls", "true"},
        {"tool_choice", "\"auto\""},
    };
    qn_str s = {0};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const json_t *v = json_object_get(doc, rows[i].name);
        char *text = v && !json_is_null(v)
                         ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)
                         : NULL;
        qn_str_addf(&s, ",\"%s\":", rows[i].name);
        qn_str_adds(&s, text ? text : rows[i].other);
        free(text);
    }
    const json_t *format = json_object_get(json_object_get(doc, "text"),
                                           "format");
    char *text = json_is_object(format) ? json_dumps(format, JSON_COMPACT)
                                        : NULL;
    qn_str_adds(&s, ",\"text\":{\"format\":");
    qn_str_adds(&s, text ? text : "{\"type\":\"text\"}");
    qn_str_adds(&s, "},\"tools\":[");
    free(text);
    const json_t *tools = json_object_get(doc, "tools");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        json_t *t = json_copy(json_array_get(tools, i));
        json_t *none = json_pack("{s:n,s:n}", "strict", "parameters");
        json_object_update_missing(t, none);
        text = json_dumps(t, JSON_COMPACT | JSON_ENCODE_ANY);
        qn_str_adds(&s, i ? "," : "");
        qn_str_adds(&s, text ? text : "null");
        free(text);
        json_decref(none);
        json_decref(t);
    }
    qn_str_addc(&s, ']');
    size_t n;
    g->asked = qn_str_take(&s, &n);
}

int qn_responses_ask(qn_gen *g, json_t *doc, qn_err *err)
{
    static const char *const moved[] = {
        "input",          "instructions", "max_output_tokens", "text",
        "reasoning",      "background",   "truncation",        "include",
        "max_tool_calls", "store"};
    keep_asked(g, doc);
    QN_TRY(check_absent(g, doc, err));
    QN_TRY(check_include(g, doc, err));
    QN_TRY(take_input(g, doc, err));
    QN_TRY(take_tools(g, doc, err));
    QN_TRY(take_text(g, doc, err));
    json_t *most = json_object_get(doc, "max_output_tokens");
    if (most)
        json_object_set(doc, "max_tokens", most);
    json_t *effort = json_object_get(json_object_get(doc, "reasoning"),
                                     "effort");
    if (effort)
        json_object_set(doc, "reasoning_effort", effort);
    for (size_t i = 0; i < QN_COUNTOF(moved); i++)
        json_object_del(doc, moved[i]);
    return 0;
}
