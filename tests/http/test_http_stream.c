/* Streams as OpenAI's clients expect them: which events come in which order, and
 * what comes while there is nothing to tell. */
#include "web.h"

#include <unistd.h>

static void test_chat_stream(void **state)
{
    (void)state;
    web_need();
#define ASK "{\"messages\":" WEB_TALK ",\"max_tokens\":20,\"temperature\":0"
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
    web_need();
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

/* Several completions in one stream: of each the role first, then text, then
 * one finish; the usage of all at the end. */
static void test_several(void **state)
{
    (void)state;
    web_need();
    web_reply r =
        web_post("/v1/chat/completions",
                 "{\"messages\":" WEB_TALK ",\"max_tokens\":9,\"n\":3,"
                 "\"seed\":2,\"stream\":true,\"stream_options\":{"
                 "\"include_usage\":true},\"return_token_ids\":true}");
    assert_int_equal(r.status, 200);
    web_events e = web_split_events(r.body);
    enum {
        NEW,
        BEGUN,
        ENDED
    } was[3] = {NEW};
    size_t n_ids = 0;
    assert_string_equal(e.v[e.n - 1], "[DONE]");
    for (size_t i = 0; i + 2 < e.n; i++) {
        json_t *c = json_loads(e.v[i], 0, NULL);
        json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
        json_int_t k = json_integer_value(json_object_get(choice, "index"));
        bool role = json_object_get(json_object_get(choice, "delta"), "role");
        bool end = json_is_string(json_object_get(choice, "finish_reason"));
        assert_true(k >= 0 && k < 3);
        assert_int_equal(was[k], role ? NEW : BEGUN);
        assert_true(role ==
                    json_is_array(json_object_get(c, "prompt_token_ids")));
        n_ids += json_array_size(json_object_get(choice, "token_ids"));
        was[k] = end ? ENDED : BEGUN;
        json_decref(c);
    }
    json_t *last = json_loads(e.v[e.n - 2], 0, NULL);
    json_t *usage = json_object_get(last, "usage");
    assert_int_equal(json_array_size(json_object_get(last, "choices")), 0);
    assert_int_equal(
        json_integer_value(json_object_get(usage, "completion_tokens")), n_ids);
    for (int k = 0; k < 3; k++)
        assert_int_equal(was[k], ENDED);
    json_decref(last);
    web_events_free(&e);
    web_free(&r);
    /* completions have the prompt's ids in the first chunk of each, too */
    r = web_post(
        "/v1/completions",
        "{\"prompt\":\"Once\",\"max_tokens\":3,\"n\":2,\"stream\":true,"
        "\"return_token_ids\":true}");
    int n = 0;
    for (const char *p = r.body; (p = strstr(p, "\"prompt_token_ids\":[")); p++)
        n++;
    assert_int_equal(n, 2);
    web_free(&r);
}

/* A prompt that takes seconds: the stream begins when the engine has taken it,
 * and comments keep it open until there is text. */
static void test_comments(void **state)
{
    (void)state;
    static const char *const options[] = {"keep-alive", "0.05", NULL};
    qn_engine_params small = {.n_ctx = 2048, .max_seqs = 2, .max_batch = 8};
    web_start_slow(&small, options);
    char body[4000] = "{\"max_tokens\":2,\"stream\":true,\"messages\":[{"
                      "\"role\":\"user\",\"content\":\"";
    for (int i = 0; i < 80; i++)
        strcat(body, "mill ");
    strcat(body, "\"}]}");
    web_reply r = web_post("/v1/chat/completions", body);
    assert_int_equal(r.status, 200);
    assert_true(r.whole);
    assert_true(strncmp(r.body, "data: {", 7) == 0);
    const char *comment = strstr(r.body, "\n\n: keep-alive\n\n");
    const char *second = strstr(r.body + 7, "data: {");
    assert_non_null(comment);
    assert_true(comment < second);
    web_events e = web_split_events(r.body); /* nothing else is between them */
    assert_string_equal(e.v[e.n - 1], "[DONE]");
    web_events_free(&e);
    web_free(&r);
    web_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_stream),
        cmocka_unit_test(test_completion_stream),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_comments),
    };
    return cmocka_run_group_tests(tests, NULL, web_stop);
}
