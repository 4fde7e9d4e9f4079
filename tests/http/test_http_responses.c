/* /v1/responses: the same answers as of a chat, in OpenAI's newer shape; and
 * what of it needs a memory is refused with what to do instead. */
#include "scripted.h"
#include "web.h"

#define PATH "/v1/responses"
#define HERMES_CALL                                     \
    "<tool_call>\n{\"name\": \"{{ c.function.name }}\"" \
    ", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>"
#define TOOL                                                         \
    "{\"type\":\"function\",\"name\":\"get_weather\",\"strict\":"    \
    "true,\"parameters\":{\"type\":\"object\",\"properties\":{\"pla" \
    "ce\":{\"type\":\"string\"}}}}"

static const char *const pieces[] = {
    "I look",       " it up.",
    "\n",           "\1<tool_call>",
    "\n{\"name\":", " \"get_weather\"",
    ", \"arg",      "uments\":",
    " {\"place\":", " \"Os",
    "lo\"}",        "}\n</tool",
    "_call>",       "\n<tool_call>{\"name\": \"b\"}",
    "</tool_call>", NULL};

static void need_script(void)
{
    qn_engine_params engine = {.n_ctx = 4096, .prefix_cache = true};
    web_start_of(scripted_model(pieces, 8, HERMES_CALL), &engine, NULL);
}

static web_reply answered(const char *body)
{
    web_reply r = web_post(PATH, body);
    if (r.status != 200)
        fail_msg("%s: %s", body, r.body);
    return r;
}

/* A conversation that is said in both APIs has one answer. */
static void same_as_chat(const char *ask, const char *chat)
{
    web_reply r = answered(ask);
    web_reply c = web_post("/v1/chat/completions", chat);
    assert_int_equal(c.status, 200);
    assert_string_equal(web_str(&r, "object"), "response");
    assert_string_equal(web_str(&r, "output.0.content.0.text"),
                        web_str(&c, "choices.0.message.content"));
    assert_int_equal(web_int(&r, "usage.input_tokens"),
                     web_int(&c, "usage.prompt_tokens"));
    assert_int_equal(web_int(&r, "usage.output_tokens"),
                     web_int(&c, "usage.completion_tokens"));
    bool cut = strcmp(web_str(&c, "choices.0.finish_reason"), "length") == 0;
    assert_string_equal(web_str(&r, "status"),
                        cut ? "incomplete" : "completed");
    assert_string_equal(web_str(&r, "output.0.status"),
                        cut ? "incomplete" : "completed");
    if (cut)
        assert_string_equal(web_str(&r, "incomplete_details.reason"),
                            "max_output_tokens");
    web_free(&r);
    web_free(&c);
}

static void test_like_chats(void **state)
{
    (void)state;
    web_start(NULL);
    same_as_chat("{\"input\":\"Who are you?\",\"max_output_tokens\":6,"
                 "\"temperature\":0}",
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Who are "
                 "you?\"}],\"max_tokens\":6,\"temperature\":0}");
    same_as_chat(
        "{\"instructions\":\"Be brief.\",\"input\":[{\"role\":\"user\","
        "\"content\":[{\"type\":\"input_text\",\"text\":\"Hello\"}]},{\"type\":"
        "\"message\",\"role\":\"assistant\",\"id\":\"msg_1\",\"status\":"
        "\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi.\","
        "\"annotations\":[]}]},{\"role\":\"user\",\"content\":\"What is 2 + "
        "3?\"}],\"temperature\":0,\"store\":true,\"metadata\":{\"a\":\"b\"},"
        "\"reasoning\":{\"effort\":null},\"truncation\":\"disabled\"}",
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"Be brief.\"},"
        "{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"assistant\","
        "\"content\":\"Hi.\"},{\"role\":\"user\",\"content\":\"What is 2 + "
        "3?\"}],\"temperature\":0}");
    same_as_chat(
        "{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\","
        "\"name\":\"n\",\"schema\":{\"const\":[1,2]}}},\"temperature\":0}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
        "\"name\":\"n\",\"schema\":{\"const\":[1,2]}}},\"temperature\":0}");
}

static void test_calls(void **state)
{
    (void)state;
    need_script();
    web_reply r = answered("{\"input\":\"Weather?\",\"tools\":[" TOOL "],"
                           "\"temperature\":0}");
    assert_string_equal(web_str(&r, "output.0.content.0.text"),
                        "I look it up.");
    assert_string_equal(web_str(&r, "output.1.type"), "function_call");
    assert_string_equal(web_str(&r, "output.1.name"), "get_weather");
    assert_string_equal(web_str(&r, "output.1.arguments"),
                        "{\"place\": \"Oslo\"}");
    assert_string_equal(web_str(&r, "output.2.name"), "b");
    assert_string_equal(web_str(&r, "output.2.arguments"), "{}");
    assert_string_equal(web_str(&r, "tools.0.name"), "get_weather");
    /* what it said, calls and all, is the next request's input */
    json_t *next = json_pack("{s:[{s:s,s:s}],s:i}", "input", "role", "user",
                             "content", "Weather?", "max_output_tokens", 1);
    json_t *input = json_object_get(next, "input");
    json_array_extend(input, (json_t *)(uintptr_t)web_at(&r, "output"));
    json_array_append_new(input, json_pack("{s:s,s:s,s:s}", "type",
                                           "function_call_output", "call_id",
                                           web_str(&r, "output.1.call_id"),
                                           "output", "rain"));
    char *body = json_dumps(next, JSON_COMPACT);
    web_reply after = answered(body);
    assert_true(web_int(&after, "usage.input_tokens") >
                web_int(&r, "usage.input_tokens"));
    free(body);
    json_decref(next);
    web_free(&after);
    web_free(&r);
    r = answered("{\"input\":\"Weather?\",\"tools\":[" TOOL "],"
                 "\"parallel_tool_calls\":false}");
    assert_int_equal(json_array_size(web_at(&r, "output")), 2);
    web_free(&r);
    r = answered("{\"input\":\"Weather?\",\"tools\":[" TOOL "],"
                 "\"tool_choice\":{\"type\":\"function\",\"name\":"
                 "\"get_weather\"}}");
    assert_string_equal(web_str(&r, "output.0.arguments"),
                        "{\"place\": \"Oslo\"}");
    web_free(&r);
}

/* Events are numbered, each says its name, and put together they are the answer
 * that the last one has. */
static void test_stream(void **state)
{
    static const char *const names[] = {
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    };
    (void)state;
    need_script();
    web_reply r = answered("{\"input\":\"Weather?\",\"tools\":[" TOOL "],"
                           "\"temperature\":0,\"stream\":true}");
    assert_true(r.whole);
    web_events e = web_split_events(r.body);
    char text[256] = "", args[256] = "", want[80];
    json_t *last = NULL;
    for (size_t i = 0; i < e.n; i++) {
        json_decref(last);
        last = json_loads(e.v[i], 0, NULL);
        const char *type = json_string_value(json_object_get(last, "type"));
        assert_int_equal(
            json_integer_value(json_object_get(last, "sequence_number")), i);
        if (i >= sizeof names / sizeof *names)
            fail_msg("one too many: %s", e.v[i]);
        snprintf(want, sizeof want, "response.%s", names[i]);
        assert_string_equal(type, want);
        snprintf(want, sizeof want, "event: response.%s\ndata: ", names[i]);
        assert_non_null(strstr(r.body, want));
        const char *s = json_string_value(json_object_get(last, "delta"));
        bool first = json_integer_value(
                         json_object_get(last, "output_index")) == 1;
        if (s && strcmp(names[i], "output_text.delta") == 0)
            strcat(text, s);
        else if (s && first)
            strcat(args, s);
    }
    assert_int_equal(e.n, sizeof names / sizeof *names);
    assert_string_equal(text, "I look it up.");
    assert_string_equal(args, "{\"place\": \"Oslo\"}");
    json_t *out = json_object_get(json_object_get(last, "response"), "output");
    assert_int_equal(json_array_size(out), 3);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(out, 1), "arguments")),
        args);
    json_decref(last);
    web_events_free(&e);
    web_free(&r);
}

static void test_refused(void **state)
{
    static const struct {
        const char *body, *param, *word;
    } rows[] = {
        {"{}", "input", "string or a list"},
        {"{\"input\":[]}", "input", "string or a list"},
        {"{\"input\":[1]}", "input", "objects"},
        {"{\"input\":[{\"type\":\"item_reference\",\"id\":\"a\"}]}", "input",
         "send the item"},
        {"{\"input\":[{\"type\":\"web_search_call\"}]}", "input",
         "web_search_call"},
        {"{\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}", "input",
         "call_id"},
        {"{\"input\":[{\"content\":\"a\"}]}", "input", "role"},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"input_image\"}]}]}",
         "input", "text"},
        {"{\"input\":\"a\",\"previous_response_id\":\"resp_1\"}",
         "previous_response_id", "as input"},
        {"{\"input\":\"a\",\"conversation\":{\"id\":\"c\"}}", "conversation",
         "as input"},
        {"{\"input\":\"a\",\"background\":true}", "background", "foreground"},
        {"{\"input\":\"a\",\"truncation\":\"auto\"}", "truncation",
         "truncate_prompt_tokens"},
        {"{\"input\":\"a\",\"tools\":[{\"type\":\"web_search\"}]}", "tools",
         "function"},
        {"{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"xml\"}}}",
         "text.format", "field text.format"},
        {"{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\","
         "\"schema\":{\"oneOf\":[]}}}}",
         "text.format", "oneOf"},
        {"{\"input\":\"a\",\"max_output_tokens\":-1}", "max_output_tokens",
         "field max_output_tokens"},
        {"{\"input\":\"a\",\"reasoning\":{\"effort\":\"high\"}}",
         "reasoning.effort", "field reasoning.effort"},
        {"{\"input\":\"a\",\"text\":{\"verbosity\":\"high\"}}",
         "text.verbosity", "field text.verbosity"},
        {"{\"input\":\"a\",\"text\":{\"color\":1}}", "text", "format"},
        {"{\"input\":\"a\",\"include\":[\"message.output_text.logprobs\"]}",
         "include", "/v1/chat/completions"},
        {"{\"input\":\"a\",\"max_tokens\":5}", "max_tokens",
         "max_output_tokens"},
        {"{\"input\":\"a\",\"messages\":[]}", "messages", "input"},
        {"{\"input\":\"a\",\"n\":2}", "n", "one answer"},
        {"{\"input\":\"a\",\"temperature\":-1}", "temperature", "0 to 1000000"},
        {"{\"input\":\"a\",\"instructions\":5}", "instructions", "string"},
        {"{\"input\":\"a\",\"max_output_tokens\":10000000}", "input",
         "context"},
    };
    (void)state;
    web_start(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        web_reply r = web_post(PATH, rows[i].body);
        if (r.status != 400 ||
            strcmp(web_str(&r, "error.param"), rows[i].param) != 0 ||
            !strstr(web_str(&r, "error.message"), rows[i].word))
            fail_msg("%s: %d %s", rows[i].body, r.status, r.body);
        web_free(&r);
    }
    /* a number is told as it was given */
    web_reply r = web_post(PATH, "{\"input\":\"a\",\"max_output_tokens\":1,"
                                 "\"temperature\":0.7,\"top_p\":0.9}");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "\"temperature\":0.7,\"top_p\":0.9,"));
    web_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_like_chats, web_stop),
        cmocka_unit_test_teardown(test_calls, web_stop),
        cmocka_unit_test_teardown(test_stream, web_stop),
        cmocka_unit_test_teardown(test_refused, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
