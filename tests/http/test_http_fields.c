/* What a request may ask for and how, and what a refusal says. */
#include "web.h"

/* A chat's answer that has to be of a format; cold and warm in turn. */
static web_reply answer_in(const char *format, int max_tokens, int seed)
{
    char body[1024];
    snprintf(body, sizeof body,
             "{\"messages\":" WEB_TALK ",%s,\"max_tokens\":%d,"
             "\"temperature\":%d,\"seed\":%d}",
             format, max_tokens, seed % 2, seed);
    web_reply r = web_post("/v1/chat/completions", body);
    if (r.status != 200)
        fail_msg("%s: %s", body, r.body);
    return r;
}

/* Answers that have to be JSON are, whatever the temperature; each seed. */
static void test_json(void **state)
{
    (void)state;
    web_need();
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
            web_reply r = answer_in(formats[i], 200, seed);
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
    web_need();
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
            web_reply r = answer_in(rows[i], 100, seed);
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
    web_need();
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

/* A value of another type: which field, what it has to be, what it is. */
static void test_types(void **state)
{
    static const char *const rows[][2] = {
        {"{\"prompt\":\"a\",\"max_tokens\":\"3\"}",
         "field max_tokens: must be a whole number; it is a string"},
        {"{\"prompt\":\"a\",\"temperature\":[]}",
         "field temperature: must be a number; it is an array"},
        {"{\"prompt\":\"a\",\"stream\":\"true\"}",
         "field stream: must be true or false; it is a string"},
    };

    (void)state;
    web_need();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        web_reply r = web_post("/v1/completions", rows[i][0]);
        if (r.status != 400 || !strstr(r.body, rows[i][1]))
            fail_msg("%s: status %d: %s", rows[i][0], r.status, r.body);
        web_free(&r);
    }
}

/* OpenAI's newer name wins over the older one, whichever comes first. */
static void test_two_names(void **state)
{
    (void)state;
    static const char *const options[] = {"max-tokens", "9", NULL};
    static const char *const rows[] = {
        "\"max_tokens\":2,\"max_completion_tokens\":5",
        "\"max_completion_tokens\":5,\"max_tokens\":2",
        "\"max_completion_tokens\":5",
        "\"max_completion_tokens\":null,\"max_tokens\":5"};
    char body[300];
    web_start(options);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(body, sizeof body,
                 "{\"messages\":" WEB_TALK ",\"ignore_eos\":true,%s}", rows[i]);
        web_reply r = web_post("/v1/chat/completions", body);
        if (r.status != 200 || web_int(&r, "usage.completion_tokens") != 5)
            fail_msg("%s: status %d: %s", rows[i], r.status, r.body);
        web_free(&r);
    }
    web_expect_error(web_post("/v1/chat/completions",
                              "{\"messages\":" WEB_TALK ",\"max_tokens\":2,"
                              "\"max_completion_tokens\":10}"),
                     400, "invalid_request_error", "max_completion_tokens");
}

static void test_refusals(void **state)
{
    (void)state;
    web_need();
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
        {"/v1/completions", "{\"prompt\":\"a\",\"tempratur\":null}", NULL, 200},
        {"/tokenize", "{\"prompt\":\"a\",\"what\":null}", NULL, 200},
        {"/v1/completions", "{\"prompt\":\"a\",\"n\":16384}", "n", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"best_of\":1,\"n\":2}",
         "best_of", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"logprobs\":500}", "logprobs",
         400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":100000}",
         "prompt", 400},
        {"/v1/completions", "{\"prompt\":[]}", "prompt", 400},
        {"/v1/completions", "{\"prompt\":\"\"}", "prompt", 400},
        {"/v1/completions", "{\"prompt\":[[5],[]]}", "prompt", 400},
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
         "{\"messages\":" WEB_TALK ",\"response_format\":{\"type\":\"xml\"}}",
         "response_format", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK
         ",\"response_format\":{\"type\":\"json_schema\"}}",
         "response_format", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK
         ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
         "{\"name\":\"a\",\"schema\":{\"pattern\":\"(?=a)\"}}}}",
         "response_format", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_regex\":\"(?=a)\"}",
         "guided_regex", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_regex\":1}",
         "guided_regex", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_choice\":\"a\"}",
         "guided_choice", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"guided_choice\":[]}",
         "guided_choice", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"structured_outputs\":{\"lark\":\"a\"}}",
         "structured_outputs", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"grammar\":\"root ::= b\"}",
         "grammar", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"logit_bias\":{\"99999999\":1}}", "logit_bias",
         400},
        {"/v1/completions", "{\"prompt\":\"a\",\"stop_token_ids\":[99999999]}",
         "stop_token_ids", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"allowed_token_ids\":[99999999]}",
         "allowed_token_ids", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"context_shift\":true,\"n\":2}",
         "context_shift", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"use_beam_search\":true,\"n\":2,\"logprobs\":1}",
         "logprobs", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK ",\"use_beam_search\":true,\"n\":2,"
         "\"logprobs\":true}",
         "logprobs", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"use_beam_search\":true,\"n\":2,"
         "\"guided_regex\":\"a\"}",
         "guided_regex", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK ",\"use_beam_search\":true,\"n\":2,"
         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
         "\"tool_choice\":\"required\"}",
         "tool_choice", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"guided_json\":{},\"guided_regex\":\"a\"}",
         "guided_regex", 400},
        {"/v1/completions",
         "{\"prompt\":\"a\",\"stream\":true,\"prompt_logprobs\":1}",
         "prompt_logprobs", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK ",\"response_format\":{\"type\":\"text\"},"
         "\"max_tokens\":1}",
         NULL, 200},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK ",\"top_logprobs\":2}", "top_logprobs", 400},
        {"/v1/chat/completions",
         "{\"messages\":" WEB_TALK ",\"tool_choice\":\"required\"}",
         "tool_choice", 400},
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
            web_expect_error(r, rows[i].status,
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
    web_need();
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
        {"/v1/completions/", "", "leave out the slash at its end", 404},
        {"/v1/chat/completions/", "", "leave out the slash", 404},
        {"/v1/models/m/", "", "leave out the slash", 404},
        {"/v1/", "", "base URL in /v1", 404},
        {"/admin/load/", "", "--admin-socket", 404},
        {"/nowhere", "", "docs/api.md", 404},
        {"/nowhere/", "", "docs/api.md", 404},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{%s}", rows[i].more);
        web_reply r = web_post(rows[i].path, body);
        if (r.status != rows[i].status || !strstr(r.body, rows[i].remedy))
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
    web_need();
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
    web_expect_error(web_post("/tokenize",
                              "{\"messages\":[{\"content\":\"\"}]}"),
                     400, "invalid_request_error", "messages");
}

/* A prompt that can never fit: both numbers. */
static void test_too_long(void **state)
{
    (void)state;
    web_need();
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
    assert_null(strstr(web_str(&r, "error.message"), " more"));
    web_free(&r);
    /* but it may ask to be cut */
    sprintf(p, "\",\"truncate_prompt_tokens\":10,\"max_tokens\":2}");
    r = web_post("/v1/completions", body);
    assert_int_equal(r.status, 200);
    assert_int_equal(web_int(&r, "usage.prompt_tokens"), 10);
    web_free(&r);
    free(body);
}

/* Every name of vLLM's requests is known: obeyed, without effect there as here,
 * or refused with the reason. */
static void test_vllm_names(void **state)
{
    enum {
        TEXT = 1,
        CHAT = 2,
        BOTH = 3
    };
    static const struct {
        int routes;
        const char *field;
        bool refused;
    } rows[] = {
        {BOTH, "\"use_beam_search\":true", false},
        {BOTH, "\"best_of\":2", false},
        {BOTH, "\"top_k\":5", false},
        {BOTH, "\"min_p\":0.1", false},
        {BOTH, "\"repetition_penalty\":1.1", false},
        {BOTH, "\"length_penalty\":1.0", false},
        {BOTH, "\"stop_token_ids\":[5]", false},
        {BOTH, "\"include_stop_str_in_output\":true", false},
        {BOTH, "\"ignore_eos\":true", false},
        {BOTH, "\"min_tokens\":1", false},
        {BOTH, "\"skip_special_tokens\":false", false},
        {BOTH, "\"spaces_between_special_tokens\":false", false},
        {BOTH, "\"truncate_prompt_tokens\":2", false},
        {BOTH, "\"truncation_side\":\"right\"", false},
        {BOTH, "\"prompt_logprobs\":1", false},
        {BOTH, "\"allowed_token_ids\":[5,6]", false},
        {BOTH, "\"bad_words\":[\"a\"]", false},
        {BOTH, "\"add_special_tokens\":false", false},
        {BOTH, "\"response_format\":{\"type\":\"text\"}", false},
        {BOTH, "\"structured_outputs\":{\"choice\":[\"a\"]}", false},
        {BOTH, "\"guided_json\":{}", false},
        {BOTH, "\"guided_regex\":\"a\"", false},
        {BOTH, "\"guided_choice\":[\"a\"]", false},
        {BOTH, "\"guided_grammar\":\"root ::= \\\"a\\\"\"", false},
        {BOTH, "\"guided_decoding_backend\":\"auto\"", false},
        {BOTH, "\"priority\":1", false},
        {BOTH, "\"request_id\":\"r-1\"", false},
        {BOTH, "\"session_id\":\"s\"", false},
        {BOTH, "\"cache_salt\":\"x\"", false},
        {BOTH, "\"return_tokens_as_token_ids\":true", false},
        {BOTH, "\"return_token_ids\":true", false},
        {BOTH, "\"return_token_offsets\":false", false},
        {BOTH, "\"return_mm_kwargs\":true", false},
        {BOTH, "\"stream_interval\":4", false},
        {BOTH, "\"stream_options\":null", false},
        {BOTH, "\"vllm_xargs\":{}", false},
        {TEXT, "\"echo\":true", false},
        {CHAT, "\"echo\":false", false},
        {CHAT, "\"add_generation_prompt\":true", false},
        {CHAT, "\"continue_final_message\":true", false},
        {CHAT, "\"chat_template_kwargs\":{\"a\":1}", false},
        {CHAT, "\"documents\":[]", false},
        {CHAT, "\"include_reasoning\":false", false},
        {CHAT, "\"reasoning_effort\":\"none\"", false},
        {CHAT, "\"tool_choice\":\"none\"", false},
        {CHAT, "\"parallel_tool_calls\":true", false},
        {TEXT, "\"prompt_embeds\":\"AAAA\"", true},
        {BOTH, "\"kv_transfer_params\":{\"a\":1}", true},
        {BOTH, "\"ec_transfer_params\":{\"a\":1}", true},
        {BOTH, "\"vllm_xargs\":{\"a\":1}", true},
        {BOTH, "\"logits_processors\":[\"a\"]", true},
        {BOTH, "\"logprob_token_ids\":[1]", true},
        {BOTH, "\"structural_tag\":\"a\"", true},
        {BOTH, "\"repetition_detection\":{\"a\":1}", true},
        {BOTH, "\"watermarking\":true", true},
        {BOTH, "\"routed_experts_prompt_start\":1", true},
        {BOTH, "\"guided_whitespace_pattern\":\"a\"", true},
        {CHAT, "\"documents\":[{\"a\":\"b\"}]", true},
        {CHAT, "\"chat_template\":\"a\"", true},
        {CHAT, "\"mm_processor_kwargs\":{\"a\":1}", true},
        {CHAT, "\"media_io_kwargs\":{\"a\":1}", true},
        {CHAT, "\"return_prompt_text\":true", true},
    };
    (void)state;
    web_need();
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        char body[512], name[64];
        bool chat = i % 2;
        const char *f = rows[i / 2].field;
        if (!(rows[i / 2].routes & (chat ? CHAT : TEXT)))
            continue;
        snprintf(body, sizeof body, "{%s,\"max_tokens\":1,%s}",
                 chat ? "\"messages\":" WEB_TALK : "\"prompt\":\"Once upon\"",
                 f);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(f + 1, "\""), f + 1);
        web_reply r =
            web_post(chat ? "/v1/chat/completions" : "/v1/completions", body);
        if (r.status != (rows[i / 2].refused ? 400 : 200))
            fail_msg("%s: %d %s", body, r.status, r.body);
        if (rows[i / 2].refused) {
            assert_string_equal(web_str(&r, "error.param"), name);
            assert_true(json_is_null(web_at(&r, "error.code")));
        }
        web_free(&r);
    }
}

/* The client's name for a request is the answer's id; the header's goes before
 * the field's. */
static void test_request_id(void **state)
{
    (void)state;
    web_need();
#define NAMED \
    "{\"prompt\":\"a\",\"max_tokens\":1,\"request_id\":\"by-field.1\"}"
    web_reply r = web_post("/v1/completions", NAMED);
    assert_string_equal(web_str(&r, "id"), "cmpl-by-field.1");
    assert_non_null(strstr(r.head, "X-Request-Id: by-field.1\r\n"));
    web_free(&r);
    r = web_ask("POST", "/v1/completions", "X-Request-Id: by-header\r\n",
                NAMED);
    assert_string_equal(web_str(&r, "id"), "cmpl-by-header");
    web_free(&r);
    /* routers put a word before a UUID */
    r = web_post("/v1/completions",
                 "{\"prompt\":\"a\",\"max_tokens\":1,\"request_id\":\"chatcmpl-"
                 "6b1a2f0c-93de-4c7a-a5b1-0f8e2d4c6a7b\"}");
    assert_string_equal(web_str(&r, "id"),
                        "cmpl-chatcmpl-6b1a2f0c-93de-4c7a-a5b1-0f8e2d4c6a7b");
    web_free(&r);
#define EIGHTY                                 \
    "0123456789012345678901234567890123456789" \
    "0123456789012345678901234567890123456789"
    static const char *const wrong[] = {"", "a b", "\\n", "\\u00e4",
                                        EIGHTY EIGHTY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"prompt\":\"a\",\"max_tokens\":1,\"request_id\":\"%s\"}",
                 wrong[i]);
        web_expect_error(web_post("/v1/completions", body), 400,
                         "invalid_request_error", "request_id");
    }
}

/* Which end of a prompt goes, when the request says that one may. */
static void test_truncation(void **state)
{
    (void)state;
    web_need();
    static const struct {
        const char *field;
        int first, n;
    } rows[] = {
        {"\"truncate_prompt_tokens\":3", 27, 3},
        {"\"truncate_prompt_tokens\":3,\"truncation_side\":\"left\"", 27, 3},
        {"\"truncate_prompt_tokens\":3,\"truncation_side\":\"right\"", 20, 3},
        {"\"truncate_prompt_tokens\":30", 20, 10},
        {"\"truncate_prompt_tokens\":-1", 20, 10},
        {"\"truncation_side\":\"right\"", 20, 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        snprintf(body, sizeof body,
                 "{\"prompt\":[20,21,22,23,24,25,26,27,28,29],"
                 "\"max_tokens\":1,\"return_token_ids\":true,%s}",
                 rows[i].field);
        web_reply r = web_post("/v1/completions", body);
        assert_int_equal(r.status, 200);
        assert_int_equal(web_int(&r, "usage.prompt_tokens"), rows[i].n);
        assert_int_equal(web_int(&r, "choices.0.prompt_token_ids.0"),
                         rows[i].first);
        web_free(&r);
    }
}

/* What a prompt that is cut to what fits leaves for the answer: the usual
 * length, if that is not more than half. */
static void test_truncation_to_fit(void **state)
{
    (void)state;
    static const char *const options[] = {"max-length", "64", NULL};
    web_start(options);
    char body[1024], text[512] = "";
    for (int i = 0; i < 80; i++)
        strcat(text, "mill ");
    for (int chat = 0; chat < 2; chat++)
        for (int given = 0; given < 2; given++) {
            snprintf(body, sizeof body,
                     "{%s\"%s\"%s,\"truncate_prompt_tokens\":-1,\"ignore_eos\":"
                     "true%s}",
                     chat ? "\"messages\":[{\"role\":\"user\",\"content\":"
                          : "\"prompt\":",
                     text, chat ? "}]" : "", given ? ",\"max_tokens\":5" : "");
            web_reply r = web_post(chat ? "/v1/chat/completions"
                                        : "/v1/completions",
                                   body);
            int more = given ? 5 : chat ? 32 : 16;
            if (r.status != 200 ||
                web_int(&r, "usage.prompt_tokens") != 64 - more ||
                web_int(&r, "usage.completion_tokens") != more)
                fail_msg("%s: %s", body, r.body);
            web_free(&r);
        }
    /* KServe has the length of completions */
    web_reply r = web_post("/v2/models/m/generate_stream",
                           "{\"text_input\":\"Once\",\"ignore_eos\":true}");
    web_events e = web_split_events(r.body);
    assert_int_equal(r.status, 200);
    assert_true(e.n <= 17);
    web_events_free(&e);
    web_free(&r);
}

/* A word that may not come, with a blank in front and without. */
static void test_bad_words(void **state)
{
    (void)state;
    web_need();
    static const char *const words[] = {"time", " time"};
#define UPON \
    "{\"prompt\":\"Once upon a\",\"max_tokens\":8,\"temperature\":0%s%s%s}"
    char body[256];
    snprintf(body, sizeof body, UPON, "", "", "");
    web_reply r = web_post("/v1/completions", body);
    assert_non_null(strstr(web_str(&r, "choices.0.text"), " time"));
    web_free(&r);
    for (int i = 0; i < 2; i++) {
        snprintf(body, sizeof body, UPON, ",\"bad_words\":[\"", words[i],
                 "\"]");
        r = web_post("/v1/completions", body);
        assert_int_equal(r.status, 200);
        assert_null(strstr(web_str(&r, "choices.0.text"), "time"));
        web_free(&r);
    }
    snprintf(body, sizeof body, UPON, ",\"bad_words\":[\"", " ", "\"]");
    r = web_post("/v1/completions", body);
    assert_int_equal(r.status, 200);
    web_free(&r);
    snprintf(body, sizeof body, UPON, ",\"bad_words\":[\"", "upon a time",
             "\"]");
    web_expect_error(web_post("/v1/completions", body), 400,
                     "invalid_request_error", "bad_words");
}

/* Without a temperature, the request's or the model's, the likeliest is taken,
 * unless the request asks for chance. */
static void test_chance(void **state)
{
    (void)state;
    web_need();
    static const struct {
        const char *fields;
        bool differ;
    } rows[] = {
        {"\"n\":1", false},
        {"\"top_p\":1,\"top_k\":-1", false},
        {"\"top_p\":0.99", true},
        {"\"top_k\":50", true},
        {"\"min_p\":0.001", true},
        {"\"n\":2", true},
        {"\"best_of\":2", true},
        {"\"n\":2,\"temperature\":0", false},
        {"\"n\":2,\"temperature\":null", true},
        {"\"top_p\":0.99,\"temperature\":0", false},
    };
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        char body[256], text[2][512];
        for (int k = 0; k < 2; k++) {
            snprintf(body, sizeof body,
                     "{\"prompt\":\"Once\",\"max_tokens\":24,\"ignore_eos\":"
                     "true,\"seed\":%d,%s}",
                     k, rows[i].fields);
            web_reply r = web_post("/v1/completions", body);
            assert_int_equal(r.status, 200);
            snprintf(text[k], sizeof text[k], "%s",
                     web_str(&r, "choices.0.text"));
            web_free(&r);
        }
        if ((strcmp(text[0], text[1]) != 0) != rows[i].differ)
            fail_msg("%s: %s, %s", rows[i].fields, text[0], text[1]);
    }
}

/* A search with one beam takes the likeliest; with several the best stands
 * first, and all differ. */
static void test_beams(void **state)
{
    (void)state;
    web_need();
#define SEARCH(more) \
    "{\"prompt\":\"Once upon\",\"temperature\":0,\"max_tokens\":8" more "}"
    web_reply one = web_post("/v1/completions",
                             SEARCH(",\"use_beam_search\":true"));
    web_reply plain = web_post("/v1/completions", SEARCH(""));
    assert_string_equal(web_str(&one, "choices.0.text"),
                        web_str(&plain, "choices.0.text"));
    web_free(&one);
    web_free(&plain);
    web_reply r =
        web_post("/v1/completions",
                 SEARCH(",\"use_beam_search\":true,\"best_of\":4,\"n\":3"));
    assert_int_equal(json_array_size(web_at(&r, "choices")), 3);
    assert_string_not_equal(web_str(&r, "choices.0.text"),
                            web_str(&r, "choices.1.text"));
    assert_string_not_equal(web_str(&r, "choices.1.text"),
                            web_str(&r, "choices.2.text"));
    web_free(&r);
}

/* The text routes: null counts as absent, another model is not there, and the
 * last message may be gone on with as in a chat. */
static void test_text_routes(void **state)
{
    (void)state;
    web_need();
    static const char *const paths[] = {"/tokenize", "/detokenize",
                                        "/apply-template"};
    static const char *const bodies[] = {"\"prompt\":\"a\",\"messages\":null",
                                         "\"tokens\":[5,6]",
                                         "\"messages\":" WEB_TALK
                                         ",\"tools\":null"};
    for (int i = 0; i < 3; i++) {
        char body[256];
        snprintf(body, sizeof body, "{%s,\"model\":null}", bodies[i]);
        web_reply r = web_post(paths[i], body);
        if (r.status != 200)
            fail_msg("%s: %s", body, r.body);
        web_free(&r);
        snprintf(body, sizeof body, "{%s,\"model\":\"other\"}", bodies[i]);
        web_expect_error(web_post(paths[i], body), 404, "not_found_error",
                         "model");
    }
#define BEGUN                                                            \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"},{\"role\":" \
    "\"assistant\",\"content\":\"I am the \"}],"                         \
    "\"continue_final_message\":true"
    web_reply r = web_post("/apply-template", BEGUN "}");
    const char *text = web_str(&r, "prompt");
    assert_string_equal(text + strlen(text) - 8, "I am the");
    web_free(&r);
    r = web_post("/tokenize", BEGUN "}");
    web_reply chat = web_post("/v1/chat/completions",
                              BEGUN ",\"max_tokens\":1}");
    assert_int_equal(web_int(&r, "count"),
                     web_int(&chat, "usage.prompt_tokens"));
    web_free(&r);
    web_free(&chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_stop_reason),
        cmocka_unit_test(test_types),
        cmocka_unit_test_teardown(test_two_names, web_stop),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_remedies),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_vllm_names),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test_teardown(test_truncation_to_fit, web_stop),
        cmocka_unit_test(test_bad_words),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_beams),
        cmocka_unit_test(test_text_routes),
    };
    return cmocka_run_group_tests(tests, NULL, web_stop);
}
