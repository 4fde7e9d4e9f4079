/* Every route over a real socket: what a client of OpenAI, vLLM or KServe
 * expects to find, and errors in OpenAI's shape. */
#include "web.h"

#include <unistd.h>

static void test_status(void **state)
{
    (void)state;
    web_need();
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
    web_expect_error(web_ask("GET", "/v1/models/other", NULL, NULL), 404,
                     "not_found_error", "model");
    web_expect_error(web_ask("GET", "/no/such", NULL, NULL), 404,
                     "not_found_error", NULL);
    r = web_ask("GET", "/v1/completions", NULL, NULL);
    assert_int_equal(r.status, 405);
    assert_non_null(strstr(r.head, "Allow: POST"));
    web_free(&r);
}

static void test_completion(void **state)
{
    (void)state;
    web_need();
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

/* The bodies of llama.cpp's clients: no BOS unless asked for, special tokens
 * written out are meant. */
static void test_tokenize_content(void **state)
{
    (void)state;
    web_need();
    web_reply a = web_post("/tokenize",
                           "{\"content\":\"<|im_start|>Once upon\"}");
    web_reply b = web_post("/tokenize", "{\"prompt\":\"<|im_start|>Once upon\","
                                        "\"add_special_tokens\":false,"
                                        "\"parse_special\":true}");
    assert_int_equal(a.status, 200);
    assert_int_equal(b.status, 200);
    assert_true(json_equal(web_at(&a, "tokens"), web_at(&b, "tokens")));
    char *list = json_dumps(web_at(&a, "tokens"), JSON_COMPACT);
    char body[512];
    snprintf(body, sizeof body, "{\"tokens\":%s}", list);
    web_reply back = web_post("/detokenize", body);
    assert_string_equal(web_str(&back, "content"), "<|im_start|>Once upon");
    free(list);
    web_free(&back);
    web_free(&b);
    web_free(&a);
    web_expect_error(web_post("/tokenize",
                              "{\"content\":\"a\",\"prompt\":\"a\"}"),
                     400, "invalid_request_error", "prompt");
    web_expect_error(web_post("/tokenize",
                              "{\"content\":\"a\",\"with_pieces\":true}"),
                     400, "invalid_request_error", "with_pieces");
}

static void test_several_prompts(void **state)
{
    (void)state;
    web_need();
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

/* Of a prompt that was shortened, what is left comes first. */
static void test_echo_of_a_part(void **state)
{
    (void)state;
    web_need();
    for (int right = 0; right < 2; right++) {
        char body[256], text[256] = "";
        snprintf(body, sizeof body,
                 "{\"prompt\":\"Once upon a time there was a mill\","
                 "\"max_tokens\":1,\"echo\":true,\"logprobs\":0,"
                 "\"truncate_prompt_tokens\":3,\"truncation_side\":\"%s\"}",
                 right ? "right" : "left");
        web_reply r = web_post("/v1/completions", body);
        assert_int_equal(r.status, 200);
        const json_t *list = web_at(&r, "choices.0.logprobs.tokens");
        assert_int_equal(json_array_size(list), 4);
        for (size_t i = 0; i < 4; i++)
            strcat(text, json_string_value(json_array_get(list, i)));
        assert_string_equal(web_str(&r, "choices.0.text"), text);
        assert_true((strstr(text, "Once") != NULL) == right);
        web_free(&r);
    }
}

static void test_stop_and_best_of(void **state)
{
    (void)state;
    web_need();
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
    web_need();
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
    web_need();
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
    web_need();
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
    web_expect_error(web_post("/v1/completions",
                              "{\"prompt\":\"a\",\"prompt_logprobs\":21}"),
                     400, "invalid_request_error", "prompt_logprobs");
}

/* A list of the reply in one line. */
static void is_list(const web_reply *r, const char *path, const char *want)
{
    char *got = json_dumps(web_at(r, path), JSON_COMPACT);
    assert_string_equal(got, want);
    free(got);
}

/* Parts of characters are bytes, which are the text when put together. */
static void test_bytes_in_logprobs(void **state)
{
#define PART "\"guided_regex\":\"\u00e9{2}\",\"temperature\":0,"
    (void)state;
    web_need();
    web_reply r = web_post("/v1/chat/completions",
                           "{" PART "\"messages\":" WEB_TALK
                           ",\"logprobs\":true}");
    assert_int_equal(r.status, 200);
    assert_string_equal(web_str(&r, "choices.0.message.content"), "éé");
    char text[64] = "";
    size_t n = 0, n_parts = 0;
    const json_t *list = web_at(&r, "choices.0.logprobs.content");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        const json_t *bytes = json_object_get(e, "bytes");
        const char *token = json_string_value(json_object_get(e, "token"));
        for (size_t k = 0; k < json_array_size(bytes) && n < 60; k++)
            text[n++] = (char)json_integer_value(json_array_get(bytes, k));
        if (json_array_size(bytes) == 1) {
            char want[8];
            snprintf(want, sizeof want, "\\x%02x", (uint8_t)text[n - 1]);
            assert_string_equal(token, want);
            n_parts++;
        }
    }
    assert_memory_equal(text, "éé", strlen("éé"));
    assert_int_equal(n_parts, 4);
    web_free(&r);
    r = web_post("/v1/completions",
                 "{" PART "\"prompt\":\"A caf\u00e9\",\"max_tokens\":4,"
                 "\"echo\":true,\"logprobs\":0}");
    assert_int_equal(r.status, 200);
    list = web_at(&r, "choices.0.logprobs.text_offset");
    n = json_array_size(list);
    assert_true(n >= 6);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(json_integer_value(json_array_get(list, n - 4 + i)),
                         6 + i / 2);
    assert_true(json_integer_value(json_array_get(list, n - 5)) <= 5);
    web_free(&r);
}

/* A first word whose blank is in the text, since no decoder takes it off. */
static void test_blank_that_stays(void **state)
{
    (void)state;
    web_need();
    char body[256];
    web_reply r = web_post(
        "/tokenize", "{\"prompt\":\" the\",\"add_special_tokens\":false}");
    int id = (int)web_int(&r, "tokens.0");
    assert_int_equal(web_int(&r, "count"), 1);
    web_free(&r);
    snprintf(body, sizeof body,
             "{\"prompt\":[0],\"max_tokens\":2,\"logprobs\":0,"
             "\"allowed_token_ids\":[%d]}",
             id);
    r = web_post("/v1/completions", body);
    assert_string_equal(web_str(&r, "choices.0.text"), " the the");
    assert_int_equal(web_int(&r, LP "text_offset.0"), 0);
    assert_int_equal(web_int(&r, LP "text_offset.1"), 4);
    web_free(&r);
}

/* A vocabulary whose words begin with a blank. */
static void test_words_with_blanks(void **state)
{
    static const qn_engine_params engine = {.n_ctx = 512, .max_seqs = 4};
    (void)state;
    const char *dir = qn_test_shared("data/models/hf/stories260K");
    if (!dir)
        QN_SKIP("no shared data");
    web_stop(NULL);
    web_start_of(dir, &engine, NULL);
#define TOLD "\"max_tokens\":4,\"temperature\":0"
    web_reply r = web_post("/v1/completions",
                           "{\"prompt\":\"Once\"," TOLD ",\"echo\":true,"
                           "\"logprobs\":0}");
    assert_string_equal(web_str(&r, "choices.0.text"), "Once upon a time,");
    is_list(&r, LP "tokens",
            "[\"<s>\",\" Once\",\" upon\",\" a\",\" time\",\",\"]");
    is_list(&r, LP "text_offset", "[0,0,4,9,11,16]");
    web_free(&r);
    /* "a" and " a" are two of its tokens */
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once upon\",\"max_tokens\":1,\"logprobs\":1,"
                 "\"allowed_token_ids\":[412]}");
    is_list(&r, LP "tokens", "[\"a\"]");
    assert_int_equal(json_object_size(web_at(&r, LP "top_logprobs.0")), 2);
    web_free(&r);
    /* of an end that is passed over the text has nothing */
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once\",\"max_tokens\":2,\"logprobs\":0,"
                 "\"allowed_token_ids\":[2],\"ignore_eos\":true}");
    is_list(&r, LP "text_offset", "[0,0]");
    web_free(&r);
    r = web_post("/v1/completions", "{\"prompt\":[1]," TOLD ",\"logprobs\":0}");
    assert_string_equal(web_str(&r, "choices.0.text"), "Once upon a time");
    is_list(&r, LP "text_offset", "[0,4,9,11]");
    web_free(&r);
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Say \u65e5\u672c\u00e9 x\",\"echo\":true,"
                 "\"logprobs\":0,\"max_tokens\":0}");
    is_list(&r, LP "text_offset", "[0,0,1,3,4,4,4,5,5,5,6,7,8]");
    web_free(&r);
    r = web_post("/v1/completions",
                 "{\"prompt\":\"Once\"," TOLD ",\"stop\":\" a\"}");
    assert_string_equal(web_str(&r, "choices.0.text"), " upon");
    web_free(&r);
    r = web_post("/v2/models/m/generate",
                 "{\"text_input\":\"Once\",\"parameters\":{" TOLD "}}");
    assert_string_equal(web_str(&r, "text_output"), " upon a time,");
    web_free(&r);
    web_stop(NULL);
}

static void test_chat_template(void **state)
{
    (void)state;
    web_need();
    web_reply t = web_post("/apply-template", "{\"messages\":" WEB_TALK "}");
    assert_int_equal(t.status, 200);
    assert_non_null(strstr(web_str(&t, "prompt"), "Who are you?"));
    web_reply ids = web_post("/tokenize", "{\"messages\":" WEB_TALK "}");
    web_reply r = web_post("/v1/chat/completions",
                           "{\"messages\":" WEB_TALK ",\"max_tokens\":4}");
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
    web_need();
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
    web_free(&list);
}

/* KServe's errors are a string, whatever the route and the reason; an id is
 * repeated. */
static void test_kserve_errors(void **state)
{
    (void)state;
    web_need();
    static const struct {
        const char *method, *path, *body;
        int status;
    } rows[] = {
        {"POST", "generate", "{\"text_input\":\"a\",\"stream\":true}", 400},
        {"POST", "generate", "{\"text_input\":\"a\",\"what\":1}", 400},
        {"POST", "generate_stream", "{\"text_input\":\"a\",\"top_p\":2}", 400},
        {"POST", "generate", "{\"text_input\":", 400},
        {"POST", "generate",
         "{\"text_input\":\"a\",\"max_tokens\":1,\"parameters\":{\"max_tokens\":"
         "2}}",
         400},
        {"POST", "generate", "{}", 400},
        {"POST", "infer", "{}", 404},
        {"GET", "generate", NULL, 405},
        {"POST", "../other/generate", "{\"text_input\":\"a\"}", 404},
    };
    web_reply list = web_ask("GET", "/v1/models", NULL, NULL);
    const char *name = web_str(&list, "data.0.id");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[256];
        bool other = rows[i].path[0] == '.';
        snprintf(path, sizeof path, "/v2/models/%s/%s", other ? "other" : name,
                 other ? "generate" : rows[i].path);
        web_reply r = web_ask(rows[i].method, path, NULL, rows[i].body);
        if (r.status != rows[i].status)
            fail_msg("%s: %d %s", path, r.status, r.body);
        assert_true(strlen(web_str(&r, "error")) > 10);
        assert_int_equal(json_object_size(r.json), 1);
        web_free(&r);
    }
    static const char *const routes[] = {"generate", "generate_stream"};
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path, "/v2/models/%s/%s", name, routes[i]);
        web_reply r = web_post(path,
                               "{\"id\":\"a\\\"7\",\"text_input\":\"Once\","
                               "\"max_tokens\":null,"
                               "\"parameters\":{\"max_tokens\":2,"
                               "\"seed\":null},\"seed\":1}");
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(r.body, "{\"id\":\"a\\\"7\",\"model_name\":"));
        web_free(&r);
    }
    web_free(&list);
}

static void test_keep_alive_and_chunked(void **state)
{
    (void)state;
    web_need();
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
    web_need();
    assert_true(web_metric("quern_completion_tokens_total") > 0);
    assert_true(web_metric("quern_http_responses_total{code=\"400\"}") > 0);
    assert_true(web_metric_becomes("quern_requests_running", 0, 5));
    assert_true(web_metric("quern_time_to_first_token_seconds_count") > 0);
}

/* A base model: chats are refused with what there is instead. */
static void test_no_template(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/chat/completions",
                                        "/apply-template", "/tokenize"};
    qn_engine_params engine = {.max_seqs = 1};
    web_stop(NULL);
    web_start_of(qn_test_data("models/llama"), &engine, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        web_reply r = web_post(paths[i], "{\"messages\":" WEB_TALK "}");
        assert_non_null(
            strstr(web_str(&r, "error.message"), "no chat template"));
        assert_non_null(
            strstr(web_str(&r, "error.message"), "/v1/completions"));
        web_expect_error(r, 400, "invalid_request_error", "messages");
    }
    web_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_tokenize_content),
        cmocka_unit_test(test_several_prompts),
        cmocka_unit_test(test_echo_of_a_part),
        cmocka_unit_test(test_stop_and_best_of),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_quotes_in_logprobs),
        cmocka_unit_test(test_prompt_logprobs),
        cmocka_unit_test(test_bytes_in_logprobs),
        cmocka_unit_test(test_chat_template),
        cmocka_unit_test(test_kserve),
        cmocka_unit_test(test_kserve_errors),
        cmocka_unit_test(test_keep_alive_and_chunked),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_no_template),
        cmocka_unit_test(test_blank_that_stays),
        cmocka_unit_test(test_words_with_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, web_stop);
}
