/* Every route over a real socket: what a client of OpenAI, vLLM or KServe
 * expects to find, and errors in OpenAI's shape. */
#include "web.h"

#include <unistd.h>

/* One server for all: it starts with the first test, so that a missing model
 * skips. */
static void need_server(void)
{
    if (!web_running())
        web_start(NULL);
}

static void expect_error(web_reply r, int status, const char *type,
                         const char *param)
{
    if (r.status != status)
        fail_msg("status %d, expected %d: %s", r.status, status, r.body);
    assert_string_equal(web_str(&r, "error.type"), type);
    assert_true(strlen(web_str(&r, "error.message")) > 10);
    const json_t *p = web_at(&r, "error.param");
    if (param)
        assert_string_equal(json_string_value(p), param);
    web_at(&r, "error.code");
    web_free(&r);
}

static void test_status(void **state)
{
    (void)state;
    need_server();
    static const char *const paths[] = {
        "/health", "/ready",          "/version",        "/v1/models",
        "/v2",     "/v2/health/live", "/v2/health/ready"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        web_reply r = web_ask("GET", paths[i], NULL, NULL);
        assert_int_equal(r.status, 200);
        assert_non_null(r.json);
        assert_non_null(strstr(r.head, "X-Request-Id: "));
        web_free(&r);
    }
    web_reply r = web_ask("GET", "/v1/models", NULL, NULL);
    assert_string_equal(web_str(&r, "object"), "list");
    assert_string_equal(web_str(&r, "data.0.object"), "model");
    char path[256];
    snprintf(path, sizeof path, "/v1/models/%s", web_str(&r, "data.0.id"));
    web_reply one = web_ask("GET", path, NULL, NULL);
    assert_int_equal(one.status, 200);
    assert_string_equal(web_str(&one, "id"), web_str(&r, "data.0.id"));
    web_free(&one);
    web_free(&r);
    expect_error(web_ask("GET", "/v1/models/other", NULL, NULL), 404,
                 "not_found_error", "model");
    expect_error(web_ask("GET", "/no/such", NULL, NULL), 404, "not_found_error",
                 NULL);
    r = web_ask("GET", "/v1/completions", NULL, NULL);
    assert_int_equal(r.status, 405);
    assert_non_null(strstr(r.head, "Allow: POST"));
    web_free(&r);
}

static void test_completion(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once upon a time\",\"max_tokens\":12,"
                           "\"temperature\":0}");
    assert_int_equal(r.status, 200);
    assert_string_equal(web_str(&r, "object"), "text_completion");
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "length");
    assert_int_equal(web_int(&r, "usage.completion_tokens"), 12);
    assert_int_equal(web_int(&r, "usage.total_tokens"),
                     web_int(&r, "usage.prompt_tokens") + 12);
    /* the same again, as ids, with n, with echo */
    web_reply ids = web_post("/tokenize", "{\"prompt\":\"Once upon a time\"}");
    assert_int_equal(ids.status, 200);
    assert_int_equal(web_int(&ids, "count"),
                     web_int(&r, "usage.prompt_tokens"));
    char *list = json_dumps(web_at(&ids, "tokens"), JSON_COMPACT);
    char body[512];
    snprintf(body, sizeof body,
             "{\"prompt\":%s,\"max_tokens\":12,\"temperature\":0,\"n\":2,"
             "\"echo\":true}",
             list);
    web_reply two = web_post("/v1/completions", body);
    assert_int_equal(two.status, 200);
    char want[512];
    snprintf(want, sizeof want, "Once upon a time%s",
             web_str(&r, "choices.0.text"));
    assert_string_equal(web_str(&two, "choices.0.text"), want);
    assert_string_equal(web_str(&two, "choices.1.text"), want);
    assert_int_equal(web_int(&two, "choices.1.index"), 1);
    assert_int_equal(web_int(&two, "usage.completion_tokens"), 24);
    snprintf(body, sizeof body, "{\"tokens\":%s}", list);
    web_reply back = web_post("/detokenize", body);
    assert_non_null(strstr(web_str(&back, "prompt"), "Once upon a time"));
    free(list);
    web_free(&back);
    web_free(&two);
    web_free(&ids);
    web_free(&r);
}

static void test_several_prompts(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":[\"The mill\",\"The river\"],"
                           "\"max_tokens\":6,\"temperature\":0,\"n\":2}");
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(web_at(&r, "choices")), 4);
    for (int i = 0; i < 2; i++) {
        char body[128], at[64];
        snprintf(body, sizeof body,
                 "{\"prompt\":\"%s\",\"max_tokens\":6,\"temperature\":0}",
                 i ? "The river" : "The mill");
        web_reply one = web_post("/v1/completions", body);
        snprintf(at, sizeof at, "choices.%d.text", 2 * i + 1);
        assert_string_equal(web_str(&r, at), web_str(&one, "choices.0.text"));
        web_free(&one);
    }
    web_free(&r);
}

static void test_stop_and_best_of(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once upon a time\",\"max_tokens\":40,"
                           "\"temperature\":0,\"stop\":[\" the\",\"zzz\"]}");
    assert_int_equal(r.status, 200);
    assert_null(strstr(web_str(&r, "choices.0.text"), " the"));
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "stop");
    web_free(&r);
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once\",\"max_tokens\":8,\"seed\":5,"
                 "\"best_of\":4,\"n\":2,\"logprobs\":0}");
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(web_at(&r, "choices")), 2);
    double mean[2];
    for (int i = 0; i < 2; i++) {
        char at[64];
        snprintf(at, sizeof at, "choices.%d.logprobs.token_logprobs", i);
        const json_t *lp = web_at(&r, at);
        mean[i] = 0;
        for (size_t k = 0; k < json_array_size(lp); k++)
            mean[i] += json_number_value(json_array_get(lp, k)) /
                       (double)json_array_size(lp);
    }
    assert_true(mean[0] >= mean[1]);
    web_free(&r);
}

static void test_logprobs(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/chat/completions",
                           "{\"messages\":[{\"role\":\"user\",\"content\":"
                           "\"Hello\"}],\"max_tokens\":5,\"temperature\":0,"
                           "\"logprobs\":true,\"top_logprobs\":3}");
    assert_int_equal(r.status, 200);
    const json_t *list = web_at(&r, "choices.0.logprobs.content");
    assert_int_equal(json_array_size(list),
                     web_int(&r, "usage.completion_tokens"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        const json_t *top = json_object_get(e, "top_logprobs");
        assert_int_equal(json_array_size(top), 3);
        /* greedy: the chosen token is the first of the top */
        assert_string_equal(json_string_value(json_object_get(e, "token")),
                            json_string_value(json_object_get(
                                json_array_get(top, 0), "token")));
        assert_true(json_number_value(json_object_get(e, "logprob")) <= 0);
    }
    web_free(&r);
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once\",\"max_tokens\":5,\"temperature\":0,"
                 "\"logprobs\":2}");
    static const char *const lists[] = {"tokens", "token_logprobs",
                                        "top_logprobs", "text_offset"};
    for (int i = 0; i < 4; i++) {
        char at[64];
        snprintf(at, sizeof at, "choices.0.logprobs.%s", lists[i]);
        assert_int_equal(json_array_size(web_at(&r, at)), 5);
    }
    web_free(&r);
}

static double number_at(const web_reply *r, const char *path)
{
    return json_number_value(web_at(r, path));
}

/* One text may be the end of another behind a quote: "I and I are two. */
static void test_quotes_in_logprobs(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"She said\\n\\n\",\"max_tokens\":1,"
                           "\"temperature\":0,\"logprobs\":20}");
    const json_t *top = web_at(&r, "choices.0.logprobs.top_logprobs.0");
    assert_non_null(json_object_get(top, "\"I"));
    assert_non_null(json_object_get(top, "I"));
    assert_int_equal(json_object_size(top), 20);
    web_free(&r);
}

/* What the prompt itself was likely to be: the same numbers echoed, on their
 * own, and as those of a completion that happened to be that text. */
static void test_prompt_logprobs(void **state)
{
    (void)state;
    need_server();
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once upon a time\",\"max_tokens\":6,"
                           "\"temperature\":0,\"logprobs\":3,"
                           "\"return_token_ids\":true}");
    assert_int_equal(r.status, 200);
    char *head = json_dumps(web_at(&r, "choices.0.prompt_token_ids"),
                            JSON_COMPACT);
    char *tail = json_dumps(web_at(&r, "choices.0.token_ids"), JSON_COMPACT);
    size_t n = json_array_size(web_at(&r, "choices.0.prompt_token_ids"));
    size_t n_new = json_array_size(web_at(&r, "choices.0.token_ids"));
    char body[1024], at[96];
    head[strlen(head) - 1] = 0;
    snprintf(body, sizeof body,
             "{\"prompt\":%s,%s,\"max_tokens\":0,\"echo\":true,"
             "\"logprobs\":3,\"prompt_logprobs\":2}",
             head, tail + 1);
    free(head);
    web_reply e = web_post("/v1/completions", body);
    if (e.status != 200)
        fail_msg("%s: %s", body, e.body);
    assert_int_equal(web_int(&e, "usage.completion_tokens"), 0);
#define LP "choices.0.logprobs."
    assert_int_equal(json_array_size(web_at(&e, LP "tokens")), n + n_new);
    assert_true(json_is_null(web_at(&e, LP "token_logprobs.0")));
    assert_true(json_is_null(web_at(&e, LP "top_logprobs.0")));
    assert_int_equal(json_array_size(web_at(&e, "choices.0.prompt_logprobs")),
                     n + n_new);
    assert_true(json_is_null(web_at(&e, "choices.0.prompt_logprobs.0")));
    const json_t *ids = web_at(&r, "choices.0.token_ids");
    for (size_t i = 0; i < n_new; i++) {
        snprintf(at, sizeof at, LP "token_logprobs.%zu", i);
        double want = number_at(&r, at);
        snprintf(at, sizeof at, LP "token_logprobs.%zu", n + i);
        assert_true(fabs(number_at(&e, at) - want) < 1e-5);
        snprintf(at, sizeof at, LP "tokens.%zu", i);
        const char *token = web_str(&r, at);
        snprintf(at, sizeof at, LP "tokens.%zu", n + i);
        assert_string_equal(web_str(&e, at), token);
        /* greedy: the first by rank */
        snprintf(at, sizeof at, "choices.0.prompt_logprobs.%zu", n + i);
        char id[24];
        snprintf(id, sizeof id, "%lld",
                 (long long)json_integer_value(json_array_get(ids, i)));
        const json_t *one = json_object_get(web_at(&e, at), id);
        assert_true(fabs(json_number_value(json_object_get(one, "logprob")) -
                         want) < 1e-5);
        assert_int_equal(json_integer_value(json_object_get(one, "rank")), 1);
        assert_string_equal(
            json_string_value(json_object_get(one, "decoded_token")), token);
    }
    /* offsets count characters of the text */
    const char *text = web_str(&e, "choices.0.text");
    for (size_t i = 1; i < n + n_new; i++) {
        snprintf(at, sizeof at, LP "tokens.%zu", i);
        const char *token = web_str(&e, at);
        snprintf(at, sizeof at, LP "text_offset.%zu", i);
        assert_memory_equal(text + web_int(&e, at), token, strlen(token));
    }
    /* streamed: the first chunk has the prompt and its numbers */
    snprintf(at, sizeof at, "%s", ",\"stream\":true}");
    char *end = strstr(body, ",\"prompt_logprobs\"");
    snprintf(end, sizeof body - (size_t)(end - body), "%s", at);
    web_reply s = web_post("/v1/completions", body);
    web_events ev = web_split_events(s.body);
    json_t *first = json_loads(ev.v[0], 0, NULL);
    json_t *choice = json_array_get(json_object_get(first, "choices"), 0);
    assert_string_equal(json_string_value(json_object_get(choice, "text")),
                        text);
    assert_true(json_equal(json_object_get(choice, "logprobs"),
                           (json_t *)(uintptr_t)web_at(&e, "choices.0."
                                                           "logprobs")));
    json_decref(first);
    web_events_free(&ev);
    web_free(&s);
    free(tail);
    web_free(&e);
    web_free(&r);
    /* chats have them beside the choices */
    r = web_post("/v1/chat/completions",
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],"
                 "\"max_tokens\":1,\"prompt_logprobs\":0}");
    assert_int_equal(json_array_size(web_at(&r, "prompt_logprobs")),
                     web_int(&r, "usage.prompt_tokens"));
    web_free(&r);
    expect_error(web_post("/v1/completions",
                          "{\"prompt\":\"a\",\"prompt_logprobs\":21}"),
                 400, "invalid_request_error", "prompt_logprobs");
}

static void test_chat_template(void **state)
{
    (void)state;
    need_server();
#define TALK "[{\"role\":\"user\",\"content\":\"Who are you?\"}]"
    web_reply t = web_post("/apply-template", "{\"messages\":" TALK "}");
    assert_int_equal(t.status, 200);
    assert_non_null(strstr(web_str(&t, "prompt"), "Who are you?"));
    web_reply ids = web_post("/tokenize", "{\"messages\":" TALK "}");
    web_reply r = web_post("/v1/chat/completions",
                           "{\"messages\":" TALK ",\"max_tokens\":4}");
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.prompt_tokens"),
                     web_int(&ids, "count"));
    assert_string_equal(web_str(&r, "choices.0.message.role"), "assistant");
    web_free(&r);
    /* the last message is gone on with */
    r = web_post("/v1/chat/completions",
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"},"
                 "{\"role\":\"assistant\",\"content\":\"I am the \"}],"
                 "\"continue_final_message\":true,\"max_tokens\":2,"
                 "\"return_token_ids\":true,\"logprobs\":true,"
                 "\"return_tokens_as_token_ids\":true,\"temperature\":0}");
    assert_int_equal(r.status, 200);
    char body[4096], *list = json_dumps(web_at(&r, "prompt_token_ids"), 0);
    snprintf(body, sizeof body, "{\"tokens\":%s}", list);
    free(list);
    web_reply back = web_post("/detokenize", body);
    const char *text = web_str(&back, "prompt");
    assert_string_equal(text + strlen(text) - 8, "I am the");
    web_free(&back);
    snprintf(body, sizeof body, "token_id:%lld",
             (long long)web_int(&r, "choices.0.token_ids.0"));
    assert_string_equal(web_str(&r, "choices.0.logprobs.content.0.token"),
                        body);
    web_free(&r);
    /* parts are put together */
    r = web_post("/v1/chat/completions",
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                 "\"text\",\"text\":\"Who are you?\"}]}],\"max_tokens\":4}");
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.prompt_tokens"),
                     web_int(&ids, "count"));
    web_free(&r);
    web_free(&ids);
    web_free(&t);
}

static void test_kserve(void **state)
{
    (void)state;
    need_server();
    web_reply list = web_ask("GET", "/v1/models", NULL, NULL);
    char path[256];
    const char *name = web_str(&list, "data.0.id");
    snprintf(path, sizeof path, "/v2/models/%s", name);
    web_reply r = web_ask("GET", path, NULL, NULL);
    assert_string_equal(web_str(&r, "name"), name);
    web_free(&r);
    snprintf(path, sizeof path, "/v2/models/%s/ready", name);
    r = web_ask("GET", path, NULL, NULL);
    assert_int_equal(r.status, 200);
    web_free(&r);
    snprintf(path, sizeof path, "/v2/models/%s/generate", name);
    const char *ask = "{\"text_input\":\"Once upon a time\",\"parameters\":"
                      "{\"max_tokens\":12,\"temperature\":0}}";
    r = web_post(path, ask);
    assert_int_equal(r.status, 200);
    web_reply plain = web_post("/v1/completions",
                               "{\"prompt\":\"Once upon a time\","
                               "\"max_tokens\":12,\"temperature\":0}");
    assert_string_equal(web_str(&r, "text_output"),
                        web_str(&plain, "choices.0.text"));
    snprintf(path, sizeof path, "/v2/models/%s/generate_stream", name);
    web_reply s = web_post(path, ask);
    assert_int_equal(s.status, 200);
    web_events e = web_split_events(s.body);
    char text[1024] = "";
    for (size_t i = 0; i < e.n; i++) {
        json_t *one = json_loads(e.v[i], 0, NULL);
        assert_non_null(one);
        strcat(text, json_string_value(json_object_get(one, "text_output")));
        json_decref(one);
    }
    assert_string_equal(text, web_str(&plain, "choices.0.text"));
    web_events_free(&e);
    web_free(&s);
    web_free(&plain);
    web_free(&r);
    /* as Triton's documentation has it */
    snprintf(path, sizeof path, "/v2/models/%s/generate", name);
    web_reply triton =
        web_post(path,
                 "{\"text_input\":\"Once\",\"parameters\":{\"stream\":false,"
                 "\"temperature\":0,\"max_tokens\":3},"
                 "\"exclude_input_in_output\":true}");
    assert_int_equal(triton.status, 200);
    web_free(&triton);
    expect_error(web_post(path, "{\"text_input\":\"a\",\"stream\":true}"), 400,
                 "invalid_request_error", "stream");
    expect_error(web_post("/v2/models/other/generate", ask), 404,
                 "not_found_error", "model");
    web_free(&list);
}

/* Answers that have to be JSON are, whatever the temperature; each seed. */
static void test_json(void **state)
{
    (void)state;
    need_server();
    static const char *const formats[] = {
        "\"response_format\":{\"type\":\"json_object\"}",
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
        "\"name\":\"a\",\"strict\":true,\"schema\":{\"type\":\"object\","
        "\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1,"
        "\"maximum\":9}},\"required\":[\"n\"],\"additionalProperties\":"
        "false}}}",
        "\"structured_outputs\":{\"json\":{\"enum\":[{\"a\":1}]}}",
        "\"response_format\":{\"type\":\"json_object\",\"schema\":{\"const\":{"
        "\"n\":7}}}",
        "\"guided_json\":\"{\\\"const\\\":{\\\"n\\\":7}}\"",
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (int seed = 0; seed < 4; seed++) {
            char body[1024];
            snprintf(body, sizeof body,
                     "{\"messages\":" TALK ",%s,\"max_tokens\":200,"
                     "\"temperature\":%d,\"seed\":%d}",
                     formats[i], seed % 2, seed);
            web_reply r = web_post("/v1/chat/completions", body);
            if (r.status != 200)
                fail_msg("%s: %s", body, r.body);
            const char *text = web_str(&r, "choices.0.message.content");
            json_t *v = json_loads(text, 0, NULL);
            const char *why = web_str(&r, "choices.0.finish_reason");
            if (strcmp(why, "stop") == 0 && !json_is_object(v))
                fail_msg("not an object: %s", text);
            if (i != 0 && i != 2) { /* bounded: it ends */
                json_int_t n = json_integer_value(json_object_get(v, "n"));
                assert_true(i > 2 ? n == 7 : n >= 1 && n <= 9);
                assert_int_equal(json_object_size(v), 1);
            }
            json_decref(v);
            web_free(&r);
        }
}

/* Other formats than JSON, under both of vLLM's spellings. */
static void test_guided(void **state)
{
    (void)state;
    need_server();
    static const char *const rows[] = {
        "\"guided_choice\":[\"red\",\"green\"]",
        "\"structured_outputs\":{\"choice\":[\"red\",\"green\"]}",
        "\"guided_regex\":\"red|gr(e)+n\"",
        "\"structured_outputs\":{\"regex\":\"red|gree?n\",\"json\":null}",
        "\"guided_grammar\":\"root ::= \\\"red\\\" | x\\nx ::= \\\"gre\\\" "
        "[e]* \\\"n\\\"\"",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int seed = 0; seed < 3; seed++) {
            char body[1024];
            snprintf(body, sizeof body,
                     "{\"messages\":" TALK ",%s,\"max_tokens\":100,"
                     "\"temperature\":%d,\"seed\":%d}",
                     rows[i], seed % 2, seed);
            web_reply r = web_post("/v1/chat/completions", body);
            if (r.status != 200)
                fail_msg("%s: %s", body, r.body);
            const char *text = web_str(&r, "choices.0.message.content");
            bool cut = strcmp(web_str(&r, "choices.0.finish_reason"),
                              "length") == 0;
            if (!cut && strcmp(text, "red") != 0 &&
                (strncmp(text, "gre", 3) != 0 || !strchr(text, 'n')))
                fail_msg("%s: %s", rows[i], text);
            web_free(&r);
        }
}

/* What ended a text is told, and is part of it where that is asked for. */
static void test_stop_reason(void **state)
{
    (void)state;
    need_server();
    static const char ask[] = "{\"prompt\":\"Once upon a time\",\"max_tokens"
                              "\":40,\"temperature\":0,\"stop\":[\"zzz\",\""
                              " the\"]%s}";
    char body[512], whole[2][512] = {{0}};
    for (int with = 0; with < 2; with++) {
        snprintf(body, sizeof body, ask,
                 with ? ",\"include_stop_str_in_output\":true" : "");
        web_reply r = web_post("/v1/completions", body);
        assert_int_equal(r.status, 200);
        assert_string_equal(web_str(&r, "choices.0.stop_reason"), " the");
        snprintf(whole[with], sizeof whole[with], "%s",
                 web_str(&r, "choices.0.text"));
        web_free(&r);
    }
    strcat(whole[0], " the");
    assert_string_equal(whole[0], whole[1]);
    /* a token that ends it, and neither */
    snprintf(body, sizeof body, ask, ",\"return_token_ids\":true");
    web_reply r = web_post("/v1/completions", body);
    int64_t id = web_int(&r, "choices.0.token_ids.3");
    web_free(&r);
    snprintf(body, sizeof body,
             "{\"prompt\":\"Once upon a time\",\"max_tokens\":40,"
             "\"temperature\":0,\"stop_token_ids\":[%d]}",
             (int)id);
    r = web_post("/v1/completions", body);
    assert_int_equal(web_int(&r, "choices.0.stop_reason"), id);
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "stop");
    web_free(&r);
    r = web_post("/v1/completions", "{\"prompt\":\"Once\",\"max_tokens\":2}");
    assert_true(json_is_null(web_at(&r, "choices.0.stop_reason")));
    web_free(&r);
}

static void test_refusals(void **state)
{
    (void)state;
    need_server();
    static const struct {
        const char *path, *body, *param;
        int status;
    } rows[] = {
        {"/v1/completions", "{\"prompt\":\"a\",\"tempratur\":1}", "tempratur",
         400},
        {"/v1/completions", "{\"prompt\":\"a\",\"temperature\":-1}",
         "temperature", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"temperature\":\"hot\"}",
         "temperature", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix",
         400},
        {"/v1/completions", "{\"prompt\":\"a\",\"n\":16384}", "n", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"best_of\":1,\"n\":2}",
         "best_of", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"logprobs\":500}", "logprobs",
         400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":100000}",
         "prompt", 400},
        {"/v1/completions", "{\"prompt\":[]}", "prompt", 400},
        {"/v1/completions", "{\"prompt\":[-1]}", "prompt", 400},
        {"/v1/completions", "{\"prompt\":[1,2,99999999]}", "prompt", 400},
        {"/v1/completions", "{}", "prompt", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"gpt-9\"}", "model",
         404},
        {"/v1/completions", "{\"prompt\":\"a\"", NULL, 400},
        {"/v1/completions", "[]", NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"prompt\":\"b\"}", NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"min_tokens\":9}", NULL, 200},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":true}}",
         "stream_options", 400},
        {"/v1/chat/completions", "{}", "messages", 400},
        {"/v1/chat/completions", "{\"messages\":[]}", "messages", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"content\":\"a\"}]}",
         "messages", 400},
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]}",
         "messages", 400},
        {"/v1/chat/completions",
         "{\"messages\":" TALK ",\"response_format\":{\"type\":\"xml\"}}",
         "response_format", 400},
        {"/v1/chat/completions",
         "{\"messages\":" TALK
         ",\"response_format\":{\"type\":\"json_schema\"}}",
         "response_format", 400},
        {"/v1/chat/completions",
         "{\"messages\":" TALK
         ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
         "{\"name\":\"a\",\"schema\":{\"pattern\":\"(?=a)\"}}}}",
         NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_regex\":\"(?=a)\"}",
         NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_regex\":1}",
         "guided_regex", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_choice\":\"a\"}",
         "guided_choice", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_choice\":[]}", NULL,
         400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"structured_outputs\":{\"lark\":\"a\"}}",
         "structured_outputs", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"grammar\":\"root ::= b\"}",
         NULL, 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"guided_json\":{},\"guided_regex\":\"a\"}",
         "guided_regex", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"stream\":true,\"prompt_logprobs\":1}",
         "prompt_logprobs", 400},
        {"/v1/chat/completions",
         "{\"messages\":" TALK ",\"response_format\":{\"type\":\"text\"},"
         "\"max_tokens\":1}",
         NULL, 200},
        {"/v1/chat/completions", "{\"messages\":" TALK ",\"top_logprobs\":2}",
         "top_logprobs", 400},
        {"/v1/chat/completions",
         "{\"messages\":" TALK ",\"tool_choice\":\"required\"}", "tool_choice",
         400},
        {"/tokenize", "{\"prompt\":1}", "prompt", 400},
        {"/tokenize", "{\"prompt\":\"a\",\"what\":1}", NULL, 400},
        {"/detokenize", "{\"tokens\":[-5]}", "tokens", 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        web_reply r = web_post(rows[i].path, rows[i].body);
        if (r.status != rows[i].status)
            fail_msg("%s: status %d, expected %d: %s", rows[i].body, r.status,
                     rows[i].status, r.body);
        if (rows[i].status == 200)
            web_free(&r);
        else
            expect_error(r, rows[i].status,
                         rows[i].status == 404 ? "not_found_error"
                                               : "invalid_request_error",
                         rows[i].param);
    }
}

/* A refusal says what to do instead: of fields that other servers have, of
 * names mistyped, of addresses. */
static void test_remedies(void **state)
{
    (void)state;
    need_server();
    static const struct {
        const char *path, *more, *remedy;
        int status;
    } rows[] = {
        {"/v1/completions", "\"max_new_tokens\":4", "use max_tokens", 400},
        {"/v1/completions", "\"tempratur\":1", "did you mean temperature?",
         400},
        {"/v1/completions", "\"zzzz\":1", "--lenient-fields", 400},
        {"/v1/completions", "\"extra_body\":{}", "the request itself", 400},
        {"/v1/chat/completions", "\"enable_thinking\":false",
         "chat_template_kwargs", 400},
        {"/v1/chat/completions", "\"samplers\":[]", "one order", 400},
        {"/chat/completions", "", "base URL in /v1", 404},
        {"/v1/v1/chat/completions", "", "leave it out of the base URL", 404},
        {"/v1/embeddings", "", "writes text", 404},
        {"/v1/messages", "", "Anthropic", 404},
        {"/api/chat", "", "Ollama", 404},
        {"/completion", "", "/v1/completions", 404},
        {"/v2/models/m/infer", "", "generate_stream", 404},
        {"/v1/responses/resp_1", "", "nothing is kept", 404},
        {"/nowhere", "", "docs/api.md", 404},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{%s}", rows[i].more);
        web_reply r = web_post(rows[i].path, body);
        if (r.status != rows[i].status ||
            !strstr(web_str(&r, "error.message"), rows[i].remedy))
            fail_msg("%s %s: %d %s", rows[i].path, body, r.status, r.body);
        web_free(&r);
    }
    /* no remedy is of a field that the route does not have */
    web_reply r = web_post("/v1/chat/completions", "{\"promt\":1}");
    assert_null(strstr(web_str(&r, "error.message"), "mean prompt?"));
    web_free(&r);
}

/* Messages are the same wherever they are given: in parts, of a developer. */
static void test_messages(void **state)
{
    (void)state;
    need_server();
    static const char *const rows[] = {
        "[{\"role\":\"developer\",\"content\":[{\"type\":\"text\","
        "\"text\":\"Be brief.\"}]},{\"role\":\"user\",\"content\":"
        "\"Hello\"}]",
        "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":"
        "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}]}]",
    };
    char *prompt[2];
    for (int i = 0; i < 2; i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"messages\":%s,\"max_tokens\":1}",
                 rows[i]);
        web_reply c = web_post("/v1/chat/completions", body);
        assert_int_equal(c.status, 200);
        snprintf(body, sizeof body, "{\"messages\":%s}", rows[i]);
        web_reply t = web_post("/tokenize", body);
        assert_int_equal(t.status, 200);
        assert_int_equal(web_int(&t, "count"),
                         web_int(&c, "usage.prompt_tokens"));
        web_reply p = web_post("/apply-template", body);
        prompt[i] = strdup(web_str(&p, "prompt"));
        web_free(&c);
        web_free(&t);
        web_free(&p);
    }
    assert_string_equal(prompt[0], prompt[1]);
    free(prompt[0]);
    free(prompt[1]);
    expect_error(web_post("/tokenize", "{\"messages\":[{\"content\":\"\"}]}"),
                 400, "invalid_request_error", "messages");
}

/* A prompt that can never fit: both numbers. */
static void test_too_long(void **state)
{
    (void)state;
    need_server();
    size_t n = 20000;
    char *body = malloc(n * 6 + 64);
    char *p = body + sprintf(body, "{\"prompt\":\"");
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "mill ");
    sprintf(p, "\"}");
    web_reply list = web_ask("GET", "/v1/models", NULL, NULL);
    char number[32];
    snprintf(number, sizeof number, "%lld tokens",
             (long long)web_int(&list, "data.0.max_model_len"));
    web_free(&list);
    web_reply r = web_post("/v1/completions", body);
    assert_int_equal(r.status, 400);
    assert_string_equal(web_str(&r, "error.code"), "context_length_exceeded");
    assert_non_null(strstr(web_str(&r, "error.message"), number));
    web_free(&r);
    /* but it may ask to be cut */
    sprintf(p, "\",\"truncate_prompt_tokens\":10,\"max_tokens\":2}");
    r = web_post("/v1/completions", body);
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.prompt_tokens"), 10);
    web_free(&r);
    free(body);
}

/* ---- streams ----------------------------------------------------------- */

static void test_chat_stream(void **state)
{
    (void)state;
    need_server();
#define ASK "{\"messages\":" TALK ",\"max_tokens\":20,\"temperature\":0"
    web_reply whole = web_post("/v1/chat/completions", ASK "}");
    web_reply r = web_post("/v1/chat/completions",
                           ASK ",\"stream\":true,\"stream_options\":"
                               "{\"include_usage\":true}}");
    assert_int_equal(r.status, 200);
    assert_true(r.whole);
    assert_non_null(strstr(r.head, "Content-Type: text/event-stream"));
    web_events e = web_split_events(r.body);
    assert_true(e.n >= 4);
    assert_string_equal(e.v[e.n - 1], "[DONE]");
    char text[4096] = "";
    int n_finish = 0;
    for (size_t i = 0; i + 1 < e.n; i++) {
        json_t *c = json_loads(e.v[i], 0, NULL);
        assert_non_null(c);
        assert_string_equal(json_string_value(json_object_get(c, "object")),
                            "chat.completion.chunk");
        json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
        json_t *delta = json_object_get(choice, "delta");
        const char *role = json_string_value(json_object_get(delta, "role"));
        const char *more = json_string_value(json_object_get(delta, "content"));
        assert_true((i == 0) == (role != NULL));
        if (more)
            strcat(text, more);
        if (json_is_string(json_object_get(choice, "finish_reason"))) {
            n_finish++;
            assert_int_equal(json_object_size(delta), 0);
            assert_int_equal(i, e.n - 3); /* then usage, then [DONE] */
        }
        bool last = i == e.n - 2;
        assert_true(last == json_is_object(json_object_get(c, "usage")));
        assert_true(last == (choice == NULL));
        json_decref(c);
    }
    assert_int_equal(n_finish, 1);
    assert_string_equal(text, web_str(&whole, "choices.0.message.content"));
    web_events_free(&e);
    web_free(&r);
    web_free(&whole);
}

static void test_completion_stream(void **state)
{
    (void)state;
    need_server();
    web_reply whole = web_post("/v1/completions",
                               "{\"prompt\":\"Once\",\"n\":3,\"seed\":9,"
                               "\"max_tokens\":10,\"temperature\":1}");
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once\",\"n\":3,\"seed\":9,"
                           "\"max_tokens\":10,\"temperature\":1,"
                           "\"stream\":true}");
    web_events e = web_split_events(r.body);
    char text[3][1024] = {"", "", ""};
    for (size_t i = 0; i + 1 < e.n; i++) {
        json_t *c = json_loads(e.v[i], 0, NULL);
        json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
        json_int_t k = json_integer_value(json_object_get(choice, "index"));
        strcat(text[k], json_string_value(json_object_get(choice, "text")));
        assert_null(json_object_get(c, "usage"));
        json_decref(c);
    }
    for (int k = 0; k < 3; k++) {
        char at[64];
        snprintf(at, sizeof at, "choices.%d.text", k);
        assert_string_equal(text[k], web_str(&whole, at));
    }
    web_events_free(&e);
    web_free(&r);
    web_free(&whole);
}

static void test_keep_alive_and_chunked(void **state)
{
    (void)state;
    need_server();
    int fd = web_connect();
    for (int i = 0; i < 3; i++) {
        web_sends(fd, "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n"
                      "8\r\n{\"prompt\r\n7\r\n\":\"ab\"}\r\n0\r\n\r\n");
        web_reply r = web_read(fd, 20);
        assert_int_equal(r.status, 200);
        web_free(&r);
    }
    close(fd);
}

static void test_metrics(void **state)
{
    (void)state;
    need_server();
    assert_true(web_metric("quern_completion_tokens_total") > 0);
    assert_true(web_metric("quern_http_responses_total{code=\"400\"}") > 0);
    assert_true(web_metric_becomes("quern_requests_running", 0, 5));
    assert_true(web_metric("quern_time_to_first_token_seconds_count") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_several_prompts),
        cmocka_unit_test(test_stop_and_best_of),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_quotes_in_logprobs),
        cmocka_unit_test(test_prompt_logprobs),
        cmocka_unit_test(test_chat_template),
        cmocka_unit_test(test_kserve),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_stop_reason),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_remedies),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_chat_stream),
        cmocka_unit_test(test_completion_stream),
        cmocka_unit_test(test_keep_alive_and_chunked),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, web_stop);
}
