/* What a model thinks aloud apart from what it answers: however its text is cut
 * into pieces; and over HTTP from a model whose every token is known, as chats
 * and as responses, with calls behind it. */
#include "scripted.h"
#include "web.h"

#include "base/str.h"
#include "server/reasoning.h"

/* ---- the parser -------------------------------------------------------- */

/* "[thought]answer[thought].." */
typedef struct heard {
    qn_str s;
    bool inside;
} heard;

static void turn(heard *h, bool inside)
{
    if (h->inside != inside)
        qn_str_addc(&h->s, inside ? '[' : ']');
    h->inside = inside;
}

static void on_thought(void *user, const char *p, size_t n)
{
    heard *h = user;
    assert_true(n > 0);
    turn(h, true);
    qn_str_add(&h->s, p, n);
}

static void on_answer(void *user, const char *p, size_t n)
{
    heard *h = user;
    assert_true(n > 0);
    turn(h, false);
    qn_str_add(&h->s, p, n);
}

static const struct row {
    qn_reasoning_kind kind;
    bool begun;
    const char *text, *want;
} rows[] = {
    {QN_REASONING_NONE, false, "<think>a</think>b", "<think>a</think>b"},
    {QN_REASONING_TAGS, false, "<think>\na b\n</think>\n\nc d\n", "[a b]c d\n"},
    {QN_REASONING_TAGS, false, " \n<think>a</think>b", "[a]b"},
    {QN_REASONING_TAGS, true, "\nhm </thin </think>\nb", "[hm </thin]b"},
    {QN_REASONING_TAGS, true, "all of it\n", "[all of it]"},
    {QN_REASONING_TAGS, true, "cut in a mark </thi", "[cut in a mark </thi]"},
    {QN_REASONING_TAGS, false, "<think>\n\n</think>\n\nb", "b"},
    {QN_REASONING_TAGS, false, "  plain <think>a</think>",
     "  plain <think>a</think>"},
    {QN_REASONING_TAGS, false, "<thin", "<thin"},
    {QN_REASONING_TAGS, false, "<thing>", "<thing>"},
    {QN_REASONING_TAGS, false, "<think>a</think>b</think><think>c",
     "[a]b</think><think>c"},
    {QN_REASONING_TAGS, false, "", ""},
    {QN_REASONING_TAGS, true, " \n", ""},
    {QN_REASONING_CHANNELS, false,
     "<|channel|>analysis<|message|>Need <|x|> sum.<|end|><|start|>assistant"
     "<|channel|>final<|message|>It is 4.<|return|>",
     "[Need <|x|> sum.]It is 4."},
    {QN_REASONING_CHANNELS, false,
     "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>"
     "commentary<|message|>b <|end|><|start|>assistant<|channel|>analysis"
     "<|message|>c",
     "[a]b [c"},
    {QN_REASONING_CHANNELS, false, "no marks <|", "no marks <|"},
    {QN_REASONING_CHANNELS, false, "<|channel|>final<|message|>x", "x"},
};

static char *hear(const struct row *r, size_t a, size_t b)
{
    heard h = {0};
    qn_reasoning_sink sink = {&h, on_thought, on_answer};
    qn_reasoning *t = qn_reasoning_new(r->kind, r->begun);
    size_t n = strlen(r->text);
    qn_reasoning_feed(t, r->text, a, false, &sink);
    qn_reasoning_feed(t, r->text + a, b - a, false, &sink);
    qn_reasoning_feed(t, r->text + b, n - b, true, &sink);
    qn_reasoning_free(t);
    if (r->kind == QN_REASONING_TAGS)
        turn(&h, false);
    return qn_str_take(&h.s, &n);
}

static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].text);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                char *got = hear(&rows[i], a, b);
                if (strcmp(got, rows[i].want) != 0)
                    fail_msg("%s\ncut at %zu and %zu: %s\nexpected: %s",
                             rows[i].text, a, b, got, rows[i].want);
                free(got);
            }
    }
}

static void test_prompts(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        bool begun;
    } prompts[] = {{"", false},
                   {"<think>", true},
                   {"Assistant: <think>\n", true},
                   {"<think>\n\n</think>\n\n", false},
                   {"think>", false}};
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++)
        assert_int_equal(qn_reasoning_begun(QN_REASONING_TAGS,
                                            prompts[i].prompt,
                                            strlen(prompts[i].prompt)),
                         prompts[i].begun);
}

/* ---- over HTTP --------------------------------------------------------- */

#define CALL                                            \
    "<tool_call>\n{\"name\": \"{{ c.function.name }}\"" \
    ", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>"
#define ASK(more)                                                                  \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":0" more \
    "}"
#define TOOL "\"function\",\"function\":{\"name\":\"f\"}"
#define PATH "/v1/chat/completions"
#define MESSAGE "choices.0.message."

static const char *const pieces[] = {"<thi",
                                     "nk>\n",
                                     "I ",
                                     "ponder",
                                     ".\n",
                                     "</th",
                                     "ink>\n",
                                     "\nSo ",
                                     "it is.<too",
                                     "l_call>",
                                     "{\"name\": \"f\"}",
                                     "</tool_call>",
                                     NULL};

static void need(const char *parser)
{
    const char *options[] = {"reasoning-parser", parser, NULL};
    qn_engine_params engine = {.n_ctx = 4096};
    web_start_of(scripted_model(pieces, 2, CALL), &engine, options);
}

static void test_whole(void **state)
{
    (void)state;
    need("deepseek_r1");
    web_reply r = web_post(PATH, ASK(""));
    assert_int_equal(r.status, 200);
    assert_string_equal(web_str(&r, MESSAGE "reasoning_content"), "I ponder.");
    assert_string_equal(web_str(&r, MESSAGE "content"),
                        "So it is.<tool_call>{\"name\": \"f\"}</tool_call>");
    web_free(&r);
    r = web_post(PATH, ASK(",\"tools\":[{\"type\":" TOOL "}]"));
    assert_string_equal(web_str(&r, MESSAGE "reasoning_content"), "I ponder.");
    assert_string_equal(web_str(&r, MESSAGE "content"), "So it is.");
    assert_string_equal(web_str(&r, MESSAGE "tool_calls.0.function.name"), "f");
    web_free(&r);
    /* cut in the thought */
    r = web_post(PATH, ASK(",\"max_tokens\":4"));
    assert_string_equal(web_str(&r, MESSAGE "reasoning_content"), "I ponder");
    assert_string_equal(web_str(&r, MESSAGE "content"), "");
    web_free(&r);
    /* what has to be of a format is all answer */
    r = web_post(PATH, ASK(",\"guided_choice\":[\"<think>x\"]"));
    assert_null(strstr(r.body, "reasoning_content"));
    assert_string_equal(web_str(&r, MESSAGE "content"), "<think>x");
    web_free(&r);
    need("none");
    r = web_post(PATH, ASK(""));
    assert_int_equal(strncmp(web_str(&r, MESSAGE "content"), "<think>\nI", 9),
                     0);
    web_free(&r);
}

static void test_streamed(void **state)
{
    (void)state;
    need("think");
    web_reply r = web_post(PATH, ASK(",\"stream\":true,\"logprobs\":true,"
                                     "\"tools\":[{\"type\":" TOOL "}]"));
    assert_int_equal(r.status, 200);
    web_events e = web_split_events(r.body);
    char thought[64] = "", text[64] = "";
    int n_logprobs = 0, n_calls = 0;
    for (size_t i = 0; i + 1 < e.n; i++) {
        json_t *c = json_loads(e.v[i], 0, NULL);
        json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
        json_t *delta = json_object_get(choice, "delta");
        const char *s = json_string_value(
            json_object_get(delta, "reasoning_content"));
        strcat(thought, s ? s : "");
        assert_true(!s || !*text); /* thoughts come first */
        s = json_string_value(json_object_get(delta, "content"));
        strcat(text, s ? s : "");
        n_calls += json_object_get(delta, "tool_calls") != NULL;
        n_logprobs += (int)json_array_size(
            json_object_get(json_object_get(choice, "logprobs"), "content"));
        json_decref(c);
    }
    assert_string_equal(thought, "I ponder.");
    assert_string_equal(text, "So it is.");
    assert_true(n_calls > 0);
    assert_int_equal(n_logprobs, 13); /* every token once, the end's too */
    web_events_free(&e);
    web_free(&r);
}

/* A chat that does not want to be told thoughts: the answer is the same. */
static void test_not_told(void **state)
{
    (void)state;
    need("think");
    web_reply r = web_post(PATH, ASK(",\"include_reasoning\":false"));
    assert_true(json_is_null(web_at(&r, MESSAGE "reasoning_content")));
    assert_string_equal(web_str(&r, MESSAGE "content"),
                        "So it is.<tool_call>{\"name\": \"f\"}</tool_call>");
    web_free(&r);
    r = web_post(PATH, ASK(",\"include_reasoning\":false,\"stream\":true,"
                           "\"logprobs\":true"));
    assert_null(strstr(r.body, "reasoning_content"));
    assert_null(strstr(r.body, "\"content\":\"I "));
    assert_non_null(strstr(r.body, "\"content\":\"So \""));
    web_free(&r);
}

static void test_responses(void **state)
{
    (void)state;
    need("qwen3");
    web_reply r = web_post("/v1/responses",
                           "{\"input\":\"a\",\"temperature\":0}");
    assert_int_equal(r.status, 200);
    assert_string_equal(web_str(&r, "output.0.type"), "reasoning");
    assert_string_equal(web_str(&r, "output.0.content.0.text"), "I ponder.");
    assert_int_equal(strncmp(web_str(&r, "output.1.content.0.text"),
                             "So it is.", 9),
                     0);
    /* and back: a thought is of the message behind it */
    json_t *next = json_pack("{s:[{s:s,s:s}],s:i}", "input", "role", "user",
                             "content", "a", "max_output_tokens", 1);
    json_array_extend(json_object_get(next, "input"),
                      (json_t *)(uintptr_t)web_at(&r, "output"));
    char *body = json_dumps(next, JSON_COMPACT);
    web_reply after = web_post("/v1/responses", body);
    assert_int_equal(after.status, 200);
    free(body);
    json_decref(next);
    web_free(&after);
    web_reply s = web_post(
        "/v1/responses", "{\"input\":\"a\",\"temperature\":0,\"stream\":true}");
    static const char *const order[] = {"event: response.output_item.added",
                                        "\"type\":\"reasoning\"",
                                        "event: response.reasoning_text.delta",
                                        "event: response.reasoning_text.done",
                                        "event: response.content_part.done",
                                        "event: response.output_item.done",
                                        "event: response.output_text.delta",
                                        "event: response.completed"};
    const char *at = s.body;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        if (!at)
            fail_msg("no %s in its place: %s", order[i], s.body);
    }
    web_free(&s);
    web_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test_teardown(test_whole, web_stop),
        cmocka_unit_test_teardown(test_streamed, web_stop),
        cmocka_unit_test_teardown(test_not_told, web_stop),
        cmocka_unit_test_teardown(test_responses, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
