/* test_jinja_goldens.c - every recorded template of the shared data.
 */
#include "jinja_cases.h"

static void report(const char *name, jinja_score s, const char *notes)
{
    print_message("%s: %zu / %zu\n", name, s.passed, s.total);
    qn_test_result("Chat templates", name, s.passed, s.total, notes);
}

static void test_chat_templates(void **state)
{
    const char *path = qn_test_shared("goldens/templates/chat_templates.json");
    jinja_score renders = {0}, raises = {0};

    (void)state;
    if (!path)
        QN_SKIP("no shared data");
    json_t *file = jinja_read_json(path);
    jinja_run_chat(file, &renders, &raises);
    json_decref(file);
    report("55 chat templates x 8 conversations, rendered by transformers",
           renders, "");
    report("55 chat templates, cases that raise", raises, "");
    assert_int_equal(renders.passed, renders.total);
    assert_int_equal(raises.passed, raises.total);
}

/* Cases of huggingface.js that record what JavaScript does and Python does
 * not: true for True, JSON for repr, generators with a length, 1 + '' ... The
 * other column is what jinja2 3.1.6 gives (NULL: it raises), which is what
 * transformers gives, and what we are held to. */
static const struct {
    const char *name, *python;
} javascript[] = {
    {"BOOLEAN_LITERALS", "|True|False|True|False|"},
    {"LOGICAL_AND", "TrueFalseFalseFalse"},
    {"LOGICAL_NOT", "FalseTrue"},
    {"LOGICAL_AND_OR", "TrueTrueTrueTrueFalse"},
    {"LOGICAL_AND_NOT", "FalseTrueFalseFalse"},
    {"LOGICAL_OR_NOT", "TrueTrueFalseTrue"},
    {"FOR_LOOP_UNPACKING", NULL},
    {"FOR_LOOP_OBJECTS", NULL},
    {"BINOP_EXPR", "1TrueFalseFalseTrueTrueTrue5"},
    {"FUNCTIONS", NULL},
    {"MEMBERSHIP", "|True|True|True|True|True|False|"},
    {"MEMBERSHIP_NEGATION_2", "|False|False|False|False|False|True|"},
    {"MEMBERSHIP_UNDEFINED", "|False|False|False|False|False|False|"},
    {"UNARY_SIGN_EXPRESSIONS",
     "|yes|True|True|True|True|1|True|-1|1|2|-2|-1.5|-0.0|1|-1|0|"},
    {"SUBSTRING_INCLUSION", "|True|True|False|True|False|True|False|"},
    {"FILTER_OPERATOR_4", NULL},
    {"FILTER_OPERATOR_5", NULL},
    {"FILTER_OPERATOR_6", NULL},
    {"FILTER_OPERATOR_11", NULL},
    {"FILTER_OPERATOR_12", NULL},
    {"SORT_CHAINED", "['Bob', 'Alice', 'Charlie', 'David']"},
    {"SORT_STABLE", "['apple', 'banana', 'carrot', 'broccoli']"},
    {"SORT_UNDEFINED_VALUES", "[Undefined, Undefined, Undefined]"},
    {"BOOLEAN_NUMERICAL", "|2|0|0|0|1|1|1|0|False|True|"},
    {"IS_OPERATOR_3", "|True|False|False|True|True|False|True|False|"},
    {"IS_OPERATOR_4", "|False|False|False|True|"},
    {"IS_OPERATOR_5", "|True|False|False|True|"},
    {"IS_OPERATOR_6", "|False|False|False|True|"},
    {"NAMESPACE_1", "False"},
    {"NAMESPACE_2", "|False|2|"},
    {"OBJECT_OPERATORS", "|True|False|False|True|"},
    {"SCOPE_1", "found=False"},
};
enum {
    N_JAVASCRIPT = sizeof javascript / sizeof *javascript
};

static void test_hfjs_units(void **state)
{
    const char *path = qn_test_shared(
        "data/conformance/jinja/hfjs/templates.dev.json");
    jinja_score same = {0}, python = {0};

    (void)state;
    if (!path)
        QN_SKIP("no shared data");
    json_t *file = jinja_read_json(path);
    for (size_t i = 0; i < json_array_size(file); i++) {
        const json_t *one = json_array_get(file, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *want = json_string_value(json_object_get(one, "expected"));
        jinja_score *s = &same;
        qn_err err;
        for (size_t k = 0; k < N_JAVASCRIPT; k++) {
            if (strcmp(name, javascript[k].name) != 0)
                continue;
            want = javascript[k].python;
            s = &python;
        }
        char *got =
            jinja_render(json_string_value(json_object_get(one, "template")),
                         json_object_get(one, "context"), QN_JINJA_CHAT, NULL,
                         &err);
        s->passed += jinja_same(name, got, want, &err);
        s->total++;
        free(got);
    }
    report("huggingface.js unit cases (dev)", same, "");
    report("huggingface.js unit cases (dev), where JavaScript differs", python,
           "held to what jinja2 makes of them, as in transformers: True, not "
           "true; repr, not JSON; generators without a length");
    assert_int_equal(same.passed, same.total);
    assert_int_equal(python.passed, python.total);
    assert_int_equal(python.total, N_JAVASCRIPT);
    json_decref(file);
}

static void test_hfjs_e2e(void **state)
{
    const char *path = qn_test_shared(
        "data/conformance/jinja/hfjs/e2e.dev.json");
    struct tm now = jinja_clock("2025-07-10 12:00:00");
    qn_jinja_opts opts = {.now = &now};
    jinja_score s = {0};

    (void)state;
    if (!path)
        QN_SKIP("no shared data");
    size_t n;
    char *hammer = qn_test_read_file(qn_test_data("templates/hammer.txt"), &n);
    json_t *file = jinja_read_json(path);
    for (size_t i = 0; i < json_array_size(file); i++) {
        const json_t *one = json_array_get(file, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *want = json_string_value(json_object_get(one, "target"));
        qn_err err;
        /* Prints a list, which JavaScript writes as JSON: jinja2's text. */
        if (strcmp(name, "MadeAgents/Hammer2.1") == 0)
            want = hammer;
        char *got = jinja_render(json_string_value(
                                     json_object_get(one, "chat_template")),
                                 json_object_get(one, "data"), QN_JINJA_CHAT,
                                 &opts, &err);
        s.total++;
        s.passed += jinja_same(name, got, want, &err);
        free(got);
    }
    report("huggingface.js end-to-end cases (dev)", s,
           "one prints a list: as jinja2 does, not as JSON");
    assert_int_equal(s.passed, s.total);
    json_decref(file);
    free(hammer);
}

static unsigned minja_flags(const char *options)
{
    return (strstr(options, "trim_blocks") ? QN_JINJA_TRIM_BLOCKS : 0u) |
           (strstr(options, "lstrip") ? QN_JINJA_LSTRIP_BLOCKS : 0u);
}

static void test_minja(void **state)
{
    const char *path = qn_test_shared(
        "data/conformance/jinja/minja/syntax.dev.json");
    qn_jinja_opts opts = {.mutable_values = true};
    jinja_score s = {0};

    (void)state;
    if (!path)
        QN_SKIP("no shared data");
    json_t *file = jinja_read_json(path);
    for (size_t i = 0; i < json_array_size(file); i++) {
        const json_t *one = json_array_get(file, i);
        const char *text = json_string_value(json_object_get(one, "template"));
        const char *options = json_string_value(
            json_object_get(one, "options"));
        unsigned flags = strcmp(options, "lstrip_blocks") == 0
                             ? QN_JINJA_LSTRIP_BLOCKS
                             : minja_flags(options);
        qn_err err;
        char *got = jinja_render(text, json_object_get(one, "context"), flags,
                                 &opts, &err);
        s.total++;
        s.passed +=
            jinja_same(text, got,
                       json_string_value(json_object_get(one, "expected")),
                       &err);
        free(got);
    }
    report("minja syntax cases (dev)", s,
           "with lists and dicts that may be changed, as there");
    assert_int_equal(s.passed, s.total);
    json_decref(file);
}

/* Files without recorded results: they compile, and a greeting renders. */
static void test_llamacpp(void **state)
{
    static const struct {
        const char *name;
        bool tools; /* it does not work without */
    } files[] = {
        {"CohereForAI-c4ai-command-r-plus-tool_use", true},
        {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", false},
        {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", true},
        {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", true},
        {"Qwen-Qwen2.5-7B-Instruct", false},
        {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", false},
        {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", false},
        {"fireworks-ai-llama-3-firefunction-v2", false},
        {"google-gemma-2-2b-it", false},
        {"llama-cpp-deepseek-r1", false},
        {"meetkai-functionary-medium-v3.1", false},
        {"meetkai-functionary-medium-v3.2", false},
        {"meta-llama-Llama-3.1-8B-Instruct", false},
        {"meta-llama-Llama-3.2-3B-Instruct", false},
        {"meta-llama-Llama-3.3-70B-Instruct", false},
        {"microsoft-Phi-3.5-mini-instruct", false},
        {"mistralai-Mistral-Nemo-Instruct-2407", false},
    };
    jinja_score s = {0};
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content",
                                 "Hello there");
    json_t *tools = json_pack("[{s:s, s:{s:s, s:s, s:{s:s, s:{}}}}]", "type",
                              "function", "function", "name", "f",
                              "description", "d", "parameters", "type",
                              "object", "properties");
    json_t *special = json_pack("{s:s, s:s}", "bos_token", "<s>", "eos_token",
                                "</s>");
    json_t *kwargs = json_pack("{s:s, s:s}", "functions", "[]", "datetime",
                               "today");

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char rel[200];
        qn_chattpl *t;
        qn_chattpl_input in = {.messages = messages,
                               .tools = files[i].tools ? tools : NULL,
                               .special = special,
                               .kwargs = kwargs,
                               .add_generation_prompt = true};
        qn_str out;
        size_t n;
        snprintf(rel, sizeof rel, "data/conformance/jinja/llamacpp/%s.jinja",
                 files[i].name);
        const char *path = qn_test_shared(rel);
        if (!path)
            QN_SKIP("no shared data");
        char *text = qn_test_read_file(path, &n);
        qn_err err = {0};
        assert_int_equal(qn_chattpl_open_text(&t, text, n, rel, &err), 0);
        qn_str_init(&out);
        s.total++;
        if (qn_chattpl_render(t, &in, &out, &err) == 0 &&
            strstr(out.p, "Hello there"))
            s.passed++;
        else
            print_message("%s: %s\n", files[i].name, err.msg);
        qn_str_deinit(&out);
        qn_chattpl_close(t);
        free(text);
    }
    json_decref(messages);
    json_decref(tools);
    json_decref(special);
    json_decref(kwargs);
    report("llama.cpp template files (dev): render a greeting", s, "");
    assert_int_equal(s.passed, s.total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_templates),
        cmocka_unit_test(test_hfjs_units),
        cmocka_unit_test(test_hfjs_e2e),
        cmocka_unit_test(test_minja),
        cmocka_unit_test(test_llamacpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
