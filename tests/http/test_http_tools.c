/* Calls of tools: found in what models write, however it is cut into pieces;
 * as the templates of real models spell them; and over HTTP from a model whose
 * every token is known. */
#include "scripted.h"
#include "web.h"

#include "base/str.h"
#include "server/toolcall.h"

/* ---- the parser -------------------------------------------------------- */

/* What came out: "text|name(arguments)...". */
static void on_content(void *user, const char *p, size_t n)
{
    qn_str *s = user;
    if (s->n && s->p[s->n - 1] == ')')
        qn_str_addc(s, '|');
    qn_str_add(s, p, n);
}

static void close_args(qn_str *s)
{
    const char *open = s->p ? strrchr(s->p, '\2') : NULL;
    if (!open)
        return;
    s->p[open - s->p] = '(';
    qn_str_addc(s, ')');
}

static void on_call(void *user, int index, const char *name)
{
    qn_str *s = user;
    (void)index;
    close_args(s);
    qn_str_addf(s, "|%s\2", name);
}

static void on_args(void *user, int index, const char *p, size_t n)
{
    (void)index;
    qn_str_add(user, p, n);
}

/* Content behind a call ends it, too. */
static void on_content_after(void *user, const char *p, size_t n)
{
    close_args(user);
    on_content(user, p, n);
}

/* Fed up to `a`, then up to `b`, then the rest. */
static char *parse(qn_toolcall_kind kind, const json_t *tools, const char *text,
                   size_t a, size_t b)
{
    qn_str out = {0};
    qn_toolcall_sink sink = {&out, on_content_after, on_call, on_args};
    qn_toolcall *t = qn_toolcall_new(kind, tools);
    size_t n = strlen(text);
    qn_toolcall_feed(t, text, a, false, &sink);
    qn_toolcall_feed(t, text + a, b - a, false, &sink);
    qn_toolcall_feed(t, text + b, n - b, true, &sink);
    qn_toolcall_free(t);
    close_args(&out);
    return qn_str_take(&out, &n);
}

static const struct row {
    qn_toolcall_kind kind;
    const char *text, *want;
} rows[] = {
    {QN_TOOLCALL_NONE, "<tool_call>{}", "<tool_call>{}"},
    {QN_TOOLCALL_HERMES, "Just text.\n", "Just text.\n"},
    {QN_TOOLCALL_HERMES, "a < b <tool b", "a < b <tool b"},
    {QN_TOOLCALL_HERMES, "Wait <tool_cal", "Wait <tool_cal"},
    {QN_TOOLCALL_HERMES,
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, {}]}}\n"
     "</tool_call>",
     "|f({\"a\": [1, {}]})"},
    {QN_TOOLCALL_HERMES,
     "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n"
     "</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": "
     "{\"s\": \"}\\\"</tool_call>\"}}\n</tool_call>\n",
     "Let me see.|f({})|g({\"s\": \"}\\\"</tool_call>\"})"},
    {QN_TOOLCALL_HERMES,
     "<tool_call>{\"arguments\": {\"b\": 2}, \"name\": \"late\", \"id\": 7}"
     "</tool_call>",
     "|late({\"b\": 2})"},
    {QN_TOOLCALL_HERMES,
     "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}"
     "</tool_call> done",
     "|f({\"a\": 1})| done"},
    {QN_TOOLCALL_HERMES, "<tool_call>{\"name\": \"f\"}</tool_call>", "|f({})"},
    {QN_TOOLCALL_HERMES,
     "<tool_call>{\"name\": \"f\", \"parameters\": null}</tool_call>",
     "|f({})"},
    /* no calls after all */
    {QN_TOOLCALL_HERMES, "x <tool_call>nonsense</tool_call>",
     "x <tool_call>nonsense</tool_call>"},
    {QN_TOOLCALL_HERMES, "<tool_call>{\"nam\": \"f\"}</tool_call>",
     "<tool_call>{\"nam\": \"f\"}"},
    {QN_TOOLCALL_HERMES, "<tool_call>{\"name\": 3}</tool_call>",
     "<tool_call>{\"name\": 3}"},
    {QN_TOOLCALL_HERMES, "<tool_call>{\"name\" \"f\"}",
     "<tool_call>{\"name\" "
     "\"f\"}"},
    {QN_TOOLCALL_HERMES, "<tool_call>\n{\"na", "<tool_call>\n{\"na"},
    /* cut off by the length */
    {QN_TOOLCALL_HERMES,
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ", "|f({\"a\": )"},
    /* markup */
    {QN_TOOLCALL_HERMES,
     "<tool_call>\n<function=f>\n<parameter=s>\n12\n</parameter>\n"
     "<parameter=n>\n12\n</parameter>\n<parameter=o>\n{\"a\": null}\n"
     "</parameter>\n</function>\n</tool_call>",
     "|f({\"s\": \"12\", \"n\": 12, \"o\": {\"a\": null}})"},
    {QN_TOOLCALL_HERMES, "<tool_call><function=g>\n</function></tool_call>ok",
     "|g({})|ok"},
    {QN_TOOLCALL_HERMES,
     "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>\n"
     "<arg_key>n</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
     "|f({\"s\": \"1\", \"n\": 1})"},
    {QN_TOOLCALL_MISTRAL,
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}, "
     "{\"name\": \"g\", \"arguments\": {}}]",
     "|f({\"a\": 1})|g({})"},
    {QN_TOOLCALL_MISTRAL,
     "Hm. [TOOL_CALLS]f[ARGS]{\"a\": \"}\"}[TOOL_CALLS]g[ARGS]{}",
     "Hm.|f({\"a\": \"}\"})|g({})"},
    {QN_TOOLCALL_MISTRAL, "[TOOL_CALLS][]", "[TOOL_CALLS][]"},
    {QN_TOOLCALL_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
     "|f({\"a\": 1})"},
    {QN_TOOLCALL_LLAMA3,
     " <|python_tag|>{\"name\": \"f\", \"parameters\": {}}; "
     "{\"name\": \"g\", \"parameters\": {}}<|eom_id|>",
     "|f({})|g({})"},
    {QN_TOOLCALL_LLAMA3, "{\"answer\": 42}", "{\"answer\": 42}"},
    {QN_TOOLCALL_LLAMA3, "Use {\"name\": \"f\"}.", "Use {\"name\": \"f\"}."},
    {QN_TOOLCALL_APRIEL,
     "<tool_calls>[{\"name\": \"f\", \"arguments\": {\"a\": 1}, "
     "\"id\": \"x\"}]</tool_calls>",
     "|f({\"a\": 1})"},
};

static json_t *typed_tools(void)
{
    return json_pack("[{s:s,s:{s:s,s:{s:s,s:{s:{s:s},s:{s:s}}}}}]", "type",
                     "function", "function", "name", "f", "parameters", "type",
                     "object", "properties", "s", "type", "string", "n", "type",
                     "integer");
}

static void test_cuts(void **state)
{
    (void)state;
    json_t *tools = typed_tools();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        size_t n = strlen(r->text);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b += 1 + (n - a) / 7) {
                char *got = parse(r->kind, tools, r->text, a, b);
                if (strcmp(got, r->want) != 0)
                    fail_msg("%s\ncut at %zu and %zu: %s\nexpected: %s",
                             r->text, a, b, got, r->want);
                free(got);
            }
    }
    json_decref(tools);
}

/* Each character alone, and arguments go out before they are whole. */
static void test_promptly(void **state)
{
    (void)state;
    const char *text = "<tool_call>{\"name\": \"f\", \"arguments\": "
                       "{\"a\": \"bcd\"}}</tool_call>";
    qn_str out = {0};
    qn_toolcall_sink sink = {&out, on_content_after, on_call, on_args};
    qn_toolcall *t = qn_toolcall_new(QN_TOOLCALL_HERMES, NULL);
    for (const char *p = text; *p; p++) {
        qn_toolcall_feed(t, p, 1, false, &sink);
        if (*p == 'c' && p[1] == 'd')
            assert_string_equal(out.p, "|f\2{\"a\": \"bc");
    }
    assert_string_equal(out.p, "|f\2{\"a\": \"bcd\"}");
    qn_toolcall_free(t);
    qn_str_deinit(&out);
}

/* Calls as the templates of real models render them. */
static void test_templates(void **state)
{
    (void)state;
    const char *path = qn_test_shared("goldens/templates/chat_templates.json");
    if (!path)
        QN_SKIP("no shared data");
    json_t *doc = json_load_file(path, 0, NULL), *t;
    assert_non_null(doc);
    size_t i, k;
    int n[QN_TOOLCALL_N] = {0};
    json_array_foreach(json_object_get(doc, "templates"), i, t)
    {
        json_t *c;
        json_array_foreach(json_object_get(t, "cases"), k, c)
        {
            const char *conv = json_string_value(json_object_get(c, "conv"));
            const char *text = json_string_value(json_object_get(c, "output"));
            const char *call = NULL;
            if (!text || strcmp(conv, "tools_obj") != 0)
                continue;
            const char *end = strstr(text, "cloudy");
            char *head = strndup(text, end ? (size_t)(end - text) : 0);
            qn_toolcall_kind kind = qn_toolcall_detect(head, "get_weather",
                                                       &call);
            n[kind]++;
            if (kind == QN_TOOLCALL_NONE) {
                free(head);
                continue;
            }
            char *got = parse(kind, NULL, call, 3, 9);
            const char *first = "|get_weather({\"location\": \"Z";
            if (strncmp(got, first, strlen(first)) != 0 ||
                !strstr(got, "\"unit\": \"celsius\"}"))
                fail_msg("%s: %s",
                         json_string_value(json_object_get(t, "template")),
                         got);
            free(got);
            free(head);
        }
    }
    /* how many of the templates' renderings are understood */
    assert_true(n[QN_TOOLCALL_HERMES] >= 14);
    assert_true(n[QN_TOOLCALL_LLAMA3] >= 3);
    assert_true(n[QN_TOOLCALL_MISTRAL] >= 2);
    assert_true(n[QN_TOOLCALL_APRIEL] >= 2);
    assert_true(n[QN_TOOLCALL_DEEPSEEK] >= 1);
    json_decref(doc);
}

/* ---- over HTTP --------------------------------------------------------- */

#define HERMES_CALL                                     \
    "<tool_call>\n{\"name\": \"{{ c.function.name }}\"" \
    ", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>"
#define TOOL                                                          \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","  \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"place\":{" \
    "\"type\":\"string\"}}}}}"
#define ASK(more)                                                   \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"}]," \
    "\"tools\":[" TOOL "],\"temperature\":0,\"max_tokens\":100" more "}"
#define PATH "/v1/chat/completions"

static const char *const pieces[] = {
    "I look",       " it up.",
    "\n",           "\1<tool_call>",
    "\n{\"name\":", " \"get_weather\"",
    ", \"arg",      "uments\":",
    " {\"place\":", " \"Os",
    "lo\"}",        "}\n</tool",
    "_call>",       "\n<tool_call>{\"name\": \"b\"}",
    "</tool_call>", NULL};

static void need(const char *const *options)
{
    qn_engine_params engine = {.n_ctx = 4096, .prefix_cache = true};
    web_start_of(scripted_model(pieces, 8, HERMES_CALL), &engine, options);
}

static void test_whole(void **state)
{
    (void)state;
    need(NULL);
    web_reply r = web_post(PATH, ASK(""));
    assert_int_equal(r.status, 200);
    assert_string_equal(web_str(&r, "choices.0.message.content"),
                        "I look it up.");
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "tool_calls");
#define CALLS "choices.0.message.tool_calls"
    assert_int_equal(json_array_size(web_at(&r, CALLS)), 2);
    assert_string_equal(web_str(&r, CALLS ".0.type"), "function");
    assert_int_equal(strlen(web_str(&r, CALLS ".0.id")), 9);
    assert_string_not_equal(web_str(&r, CALLS ".0.id"),
                            web_str(&r, CALLS ".1.id"));
    assert_string_equal(web_str(&r, CALLS ".0.function.name"), "get_weather");
    assert_string_equal(web_str(&r, CALLS ".0.function.arguments"),
                        "{\"place\": \"Oslo\"}");
    assert_string_equal(web_str(&r, CALLS ".1.function.arguments"), "{}");
    web_free(&r);
    r = web_post(PATH, ASK(",\"parallel_tool_calls\":false"));
    assert_int_equal(json_array_size(web_at(&r, CALLS)), 1);
    web_free(&r);
    /* without tools it is text */
    r = web_post(PATH, ASK(",\"tool_choice\":\"none\""));
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "stop");
    assert_non_null(
        strstr(web_str(&r, "choices.0.message.content"), "\"get_weather\""));
    web_free(&r);
    /* too short for the call to become one */
    r = web_post(PATH, ASK(",\"max_completion_tokens\":5"));
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "length");
    web_free(&r);
}

/* A demanded call begins in the prompt; the model goes on from there. */
static void test_demanded(void **state)
{
    (void)state;
    need(NULL);
    web_reply r = web_post(PATH,
                           ASK(",\"tool_choice\":{\"type\":\"function\","
                               "\"function\":{\"name\":\"get_weather\"}}"));
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(web_at(&r, "choices.0.message.content")));
    assert_string_equal(web_str(&r, CALLS ".0.function.name"), "get_weather");
    assert_string_equal(web_str(&r, CALLS ".0.function.arguments"),
                        "{\"place\": \"Oslo\"}");
    web_free(&r);
    static const char *const wrong[] = {
        ASK(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
            "\"other\"}}"),
        ASK(",\"tool_choice\":\"maybe\""),
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
        "\"tool_choice\":\"required\"}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        r = web_post(PATH, wrong[i]);
        assert_int_equal(r.status, 400);
        assert_string_equal(web_str(&r, "error.param"), "tool_choice");
        web_free(&r);
    }
    static const char *const none[] = {"tool-call-parser", "none", NULL};
    need(none);
    r = web_post(PATH, ASK(",\"tool_choice\":\"required\""));
    assert_int_equal(r.status, 400);
    web_free(&r);
    r = web_post(PATH, ASK(""));
    assert_string_equal(web_str(&r, "choices.0.finish_reason"), "stop");
    assert_non_null(
        strstr(web_str(&r, "choices.0.message.content"), "get_weather"));
    web_free(&r);
}

/* A small trained model that knows nothing of tools, at temperature 1: what is
 * demanded is held to the schema all the same. */
static void test_held(void **state)
{
    (void)state;
    static const char *const options[] = {"tool-call-parser", "hermes", NULL};
#define TWO                                                                 \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"}],"         \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\"," \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"place\":{"       \
    "\"enum\":[\"Oslo\",\"Rome\"]},\"days\":{\"type\":\"integer\","         \
    "\"minimum\":1,\"maximum\":7}},\"required\":[\"place\",\"days\"]}}},"   \
    "{\"type\":\"function\",\"function\":{\"name\":\"add\"}}],"             \
    "\"max_tokens\":300,\"seed\":%d,\"tool_choice\":%s}"
#define NAMED "{\"type\":\"function\",\"function\":{\"name\":\"weather\"}}"
    web_start(options);
    for (int seed = 0; seed < 8; seed++) {
        char body[1024];
        snprintf(body, sizeof body, TWO, seed,
                 seed % 2 ? "\"required\"" : NAMED);
        web_reply r = web_post(PATH, body);
        if (r.status != 200)
            fail_msg("%s", r.body);
        const char *name = web_str(&r, CALLS ".0.function.name");
        json_t *args = json_loads(web_str(&r, CALLS ".0.function.arguments"), 0,
                                  NULL);
        if (strcmp(name, "weather") == 0) {
            assert_string_equal(web_str(&r, "choices.0.finish_reason"),
                                "tool_calls");
            const char *place = json_string_value(
                json_object_get(args, "place"));
            json_int_t days = json_integer_value(json_object_get(args, "days"));
            if (!place || (strcmp(place, "Oslo") && strcmp(place, "Rome")) ||
                days < 1 || days > 7)
                fail_msg("%s", r.body);
        } else {
            assert_true(seed % 2 && strcmp(name, "add") == 0);
        }
        json_decref(args);
        web_free(&r);
    }
}

/* Asks for a call of one or two tools: f with these parameters, and g. */
static web_reply demand(const char *parameters, const char *more)
{
    char body[2048];
    snprintf(
        body, sizeof body,
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{"
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"
        "\"parameters\":%s}}%s],\"max_tokens\":200,\"tool_choice\":"
        "\"required\"}",
        parameters, more);
    return web_post(PATH, body);
}

/* What cannot be held to is refused, by the keyword and the place. */
static void test_not_held(void **state)
{
    (void)state;
    static const char *const options[] = {"tool-call-parser", "hermes", NULL};
    static const char *const g = ",{\"type\":\"function\",\"function\":{"
                                 "\"name\":\"g\"}}";
    static const char *const wrong[][2] = {
        {"{\"type\":\"object\",\"patternProperties\":{}}",
         "schema: keyword \\\"patternProperties\\\" is not supported"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\","
         "\"uniqueItems\":true}}}",
         "/properties/a: keyword \\\"uniqueItems\\\" is not supported"},
        {"{\"properties\":{\"a\":{\"type\":\"strin\"}}}", "strin"},
        {"{\"type\":\"array\"}", "tools[0]: the parameters of f"},
        {"[]", "tools[0]: the parameters of f"},
    };
    web_start(options);
    for (size_t i = 0; i < QN_COUNTOF(wrong); i++)
        for (int two = 0; two < 2; two++) {
            web_reply r = demand(wrong[i][0], two && i > 0 ? g : "");
            if (r.status != 400 || !strstr(r.body, wrong[i][1]))
                fail_msg("%s: %d %s", wrong[i][0], r.status, r.body);
            web_expect_error(r, 400, "invalid_request_error", "tools");
        }
    /* those that may be called are not asked for more than an object */
    web_reply r = web_post(
        PATH,
        "{\"messages\":" WEB_TALK ",\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
        "\"patternProperties\":{}}}},{\"type\":\"function\",\"function\":{"
        "\"name\":\"g\",\"parameters\":{\"type\":[\"object\",\"null\"]}}}],"
        "\"max_tokens\":2}");
    assert_int_equal(r.status, 200);
    web_free(&r);
}

/* Formats are held to; definitions are found with one tool and with several;
 * what says nothing is an object. */
static void test_held_parts(void **state)
{
    (void)state;
    static const char *const options[] = {"tool-call-parser", "hermes", NULL};
    static const char day[] =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/day\"},"
        "\"b\":{\"enum\":[{\"$ref\":\"#x\"}]}},\"required\":[\"a\",\"b\"],"
        "\"additionalProperties\":false,\"$defs\":{"
        "\"day\":{\"type\":\"string\",\"format\":\"date\"}}}";
    char twin[768];
    snprintf(twin, sizeof twin,
             ",{\"type\":\"function\",\"function\":{\"name\":\"g\","
             "\"parameters\":%s}}",
             day);
    web_start(options);
    for (int two = 0; two < 2; two++) {
        web_reply r = demand(day, two ? twin : "");
        if (r.status != 200)
            fail_msg("%s", r.body);
        json_t *args = json_loads(web_str(&r, CALLS ".0.function.arguments"), 0,
                                  NULL);
        const char *s = json_string_value(json_object_get(args, "a"));
        if (!s || strlen(s) != 10 || s[4] != '-')
            fail_msg("%s", r.body);
        /* a value that looks like a reference is none */
        s = json_string_value(
            json_object_get(json_object_get(args, "b"), "$ref"));
        if (!s || strcmp(s, "#x") != 0)
            fail_msg("%s", r.body);
        json_decref(args);
        web_free(&r);
    }
    web_reply r = demand("{\"description\":\"any\"}", "");
    assert_int_equal(r.status, 200);
    assert_int_equal(web_str(&r, CALLS ".0.function.arguments")[0], '{');
    web_free(&r);
}

static void test_streamed(void **state)
{
    (void)state;
    need(NULL);
    web_reply r = web_post(PATH, ASK(",\"stream\":true,\"logprobs\":true"));
    assert_int_equal(r.status, 200);
    web_events e = web_split_events(r.body);
    char text[256] = "", name[64] = "", args[256] = "";
    const char *finish = NULL;
    int n_logprobs = 0;
    json_t *c[64];
    assert_true(e.n < 64);
    for (size_t i = 0; i + 1 < e.n; i++) {
        c[i] = json_loads(e.v[i], 0, NULL);
        json_t *choice = json_array_get(json_object_get(c[i], "choices"), 0);
        json_t *delta = json_object_get(choice, "delta");
        const char *s = json_string_value(json_object_get(delta, "content"));
        strcat(text, s ? s : "");
        json_t *f = json_object_get(choice, "finish_reason");
        finish = json_is_string(f) ? json_string_value(f) : finish;
        n_logprobs += (int)json_array_size(
            json_object_get(json_object_get(choice, "logprobs"), "content"));
        json_t *call = json_array_get(json_object_get(delta, "tool_calls"), 0);
        if (json_integer_value(json_object_get(call, "index")) != 0)
            continue;
        f = json_object_get(call, "function");
        s = json_string_value(json_object_get(f, "name"));
        assert_true(!s == !json_is_string(json_object_get(call, "id")));
        strcat(name, s ? s : "");
        s = json_string_value(json_object_get(f, "arguments"));
        strcat(args, s ? s : "");
    }
    assert_string_equal(text, "I look it up.");
    assert_string_equal(name, "get_weather");
    assert_string_equal(args, "{\"place\": \"Oslo\"}");
    assert_string_equal(finish, "tool_calls");
    assert_int_equal(n_logprobs, 16); /* the end token is one, too */
    for (size_t i = 0; i + 1 < e.n; i++)
        json_decref(c[i]);
    web_events_free(&e);
    web_free(&r);
}

/* Former calls: arguments that come as text reach the template as objects. */
static void test_history(void **state)
{
    (void)state;
    need(NULL);
    web_reply r = web_post(
        PATH,
        "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":"
        "\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"x\\\": 1}\"}}]},{\"role\":\"tool\","
        "\"tool_call_id\":\"c\",\"content\":\"2\"}],\"return_token_ids\":true}");
    assert_int_equal(r.status, 200);
    char *ids = json_dumps(web_at(&r, "prompt_token_ids"), JSON_COMPACT);
    char body[2048];
    snprintf(body, sizeof body, "{\"tokens\":%s}", ids);
    free(ids);
    web_free(&r);
    r = web_post("/detokenize", body);
    assert_non_null(strstr(web_str(&r, "prompt"), "\"arguments\": {\"x\": 1}"));
    web_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_promptly),
        cmocka_unit_test(test_templates),
        cmocka_unit_test_teardown(test_whole, web_stop),
        cmocka_unit_test_teardown(test_demanded, web_stop),
        cmocka_unit_test_teardown(test_held, web_stop),
        cmocka_unit_test_teardown(test_not_held, web_stop),
        cmocka_unit_test_teardown(test_held_parts, web_stop),
        cmocka_unit_test_teardown(test_streamed, web_stop),
        cmocka_unit_test_teardown(test_history, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
