/* test_chat.c - chat templates around the language: recorded prompts, which
 * template is chosen, what variables it sees, where it is found. */
#include "jinja_cases.h"

#include "base/file.h"

#include <sys/stat.h>

static void test_recorded(void **state)
{
    json_t *file = jinja_read_json(qn_test_data("templates/chat.json"));
    jinja_score renders = {0}, raises = {0};

    (void)state;
    jinja_run_chat(file, &renders, &raises);
    assert_true(renders.total > 60);
    assert_int_equal(renders.passed, renders.total);
    assert_int_equal(raises.passed, raises.total);
    json_decref(file);
}

/* Opens a chat_template given as JSON text. */
static int open_spec(qn_chattpl **t, const char *json, qn_err *err)
{
    json_t *spec = json_loads(json, JSON_DECODE_ANY, NULL);
    int rc;

    assert_non_null(spec);
    *err = (qn_err){0};
    rc = qn_chattpl_open(t, spec, "config", err);
    json_decref(spec);
    return rc;
}

/* The prompt for one user message, or the error message. */
static const char *prompt(const qn_chattpl *t, qn_chattpl_input in)
{
    static qn_str out;
    static qn_err err;
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content",
                                 "hi");

    qn_str_clear(&out);
    qn_str_adds(&out, "");
    if (!in.messages)
        in.messages = messages;
    const char *text = err.msg;
    if (qn_chattpl_render(t, &in, &out, &err) == 0)
        text = out.p ? out.p : "";
    json_decref(messages);
    return text;
}

static void test_choice(void **state)
{
    qn_chattpl *t;
    qn_err err;
    json_t *tools = json_pack("[{s:s}]", "type", "function");

    (void)state;
    assert_int_equal(
        open_spec(
            &t,
            "[{\"name\":\"default\",\"template\":\"D\"},"
            "{\"name\":\"tool_use\",\"template\":\"T{{ tools|length }}\"},"
            "{\"name\":\"rag\",\"template\":\"R\"}]",
            &err),
        0);
    assert_int_equal(qn_chattpl_count(t), 3);
    assert_string_equal(qn_chattpl_name(t, 2), "rag");
    assert_string_equal(prompt(t, (qn_chattpl_input){0}), "D");
    assert_string_equal(prompt(t, (qn_chattpl_input){.tools = tools}), "T1");
    assert_string_equal(prompt(t, (qn_chattpl_input){.which = "rag"}), "R");
    assert_non_null(strstr(prompt(t, (qn_chattpl_input){.which = "nope"}),
                           "no chat template named 'nope'"));
    qn_chattpl_close(t);

    assert_int_equal(open_spec(&t, "{\"rag\":\"R\",\"x\":\"X\"}", &err), 0);
    assert_non_null(
        strstr(prompt(t, (qn_chattpl_input){0}), "none named default"));
    qn_chattpl_close(t);
    json_decref(tools);
}

static void test_variables(void **state)
{
    static const char text[] =
        "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"
        "{{ bos_token }}{{ eos_token is defined }}{{ thinking }}";
    qn_chattpl *t;
    json_t *special = json_pack("{s:s}", "bos_token", "<s>");
    json_t *kwargs = json_pack("{s:b}", "thinking", 1);
    json_t *hide = json_pack("{s:s, s:[{}]}", "bos_token", "B", "documents");
    json_t *bad = json_pack("{s:[]}", "messages");

    (void)state;
    assert_int_equal(qn_chattpl_open_text(&t, text, strlen(text), "t", NULL),
                     0);
    assert_string_equal(prompt(t, (qn_chattpl_input){0}), "TrueTrueFalseFalse");
    assert_string_equal(
        prompt(t, (qn_chattpl_input){.special = special,
                                     .kwargs = kwargs,
                                     .add_generation_prompt = true}),
        "TrueTrueTrue<s>FalseTrue");
    assert_string_equal(prompt(t, (qn_chattpl_input){.special = special,
                                                     .kwargs = hide}),
                        "TrueFalseFalseBFalse");
    assert_non_null(
        strstr(prompt(t, (qn_chattpl_input){.kwargs = bad}), "messages"));
    assert_non_null(strstr(prompt(t, (qn_chattpl_input){.messages = special}),
                           "messages: expected a list"));
    assert_non_null(strstr(
        prompt(t, (qn_chattpl_input){.tools = json_object_get(bad, "messages"),
                                     .documents = special}),
        "documents: expected a list"));
    json_decref(special);
    json_decref(kwargs);
    json_decref(hide);
    json_decref(bad);
    qn_chattpl_close(t);
}

static void test_bad_specs(void **state)
{
    qn_chattpl *t;
    qn_err err;

    (void)state;
    assert_int_equal(open_spec(&t, "[]", &err), QN_EFORMAT);
    assert_int_equal(open_spec(&t, "7", &err), QN_EFORMAT);
    assert_int_equal(open_spec(&t, "[{\"name\":\"default\"}]", &err),
                     QN_EFORMAT);
    assert_int_equal(open_spec(&t, "{\"default\":[]}", &err), QN_EFORMAT);
    /* One that does not compile says so when it is used, not before. */
    assert_int_equal(open_spec(&t, "{\"default\":\"{% x\",\"b\":\"B\"}", &err),
                     0);
    assert_string_equal(prompt(t, (qn_chattpl_input){.which = "b"}), "B");
    assert_non_null(strstr(prompt(t, (qn_chattpl_input){0}), "unknown tag"));
    qn_chattpl_close(t);
}

static void test_special_tokens(void **state)
{
    json_t *config = json_loads(
        "{\"bos_token\":null,\"eos_token\":{\"content\":\"</s>\","
        "\"lstrip\":false},\"pad_token\":\"<pad>\",\"unk_token\":\"\","
        "\"extra_special_tokens\":{\"image_token\":\"<img>\"},"
        "\"additional_special_tokens\":[\"<a>\",{\"content\":\"<b>\"}]}",
        0, NULL);
    json_t *map = json_loads("{\"bos_token\":\"<s>\",\"eos_token\":\"other\"}",
                             0, NULL);
    json_t *want = json_loads(
        "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"pad_token\":\"<pad>\","
        "\"image_token\":\"<img>\",\"additional_special_tokens\":"
        "[\"<a>\",\"<b>\"]}",
        0, NULL);
    json_t *got = qn_chattpl_special_tokens(config, map);

    (void)state;
    assert_true(json_equal(got, want));
    json_decref(got);
    got = qn_chattpl_special_tokens(NULL, NULL);
    assert_int_equal(json_object_size(got), 0);
    json_decref(got);
    json_decref(config);
    json_decref(map);
    json_decref(want);
}

static void write_in(const char *dir, const char *name, const char *text)
{
    char *path = qn_path_join(dir, name);

    qn_test_write_file(path, text, strlen(text));
    qn_free(path);
}

static void test_folder(void **state)
{
    const char *dir = qn_test_tmpdir();
    json_t *config = json_pack("{s:s}", "chat_template", "C");
    qn_chattpl *t;
    qn_err err = {0};

    (void)state;
    assert_int_equal(qn_chattpl_open_dir(&t, dir, NULL, &err), QN_ENOENT);
    assert_non_null(strstr(err.msg, "no chat template"));
    write_in(dir, "chat_template.json", "{\"chat_template\": \"J\"}");
    assert_int_equal(qn_chattpl_open_dir(&t, dir, NULL, &err), 0);
    assert_string_equal(prompt(t, (qn_chattpl_input){0}), "J");
    qn_chattpl_close(t);
    assert_int_equal(qn_chattpl_open_dir(&t, dir, config, &err), 0);
    assert_string_equal(prompt(t, (qn_chattpl_input){0}), "C");
    qn_chattpl_close(t);

    write_in(dir, "chat_template.jinja", "F\r\n{{ messages[0].role }}\n");
    char *sub = qn_path_join(dir, "additional_chat_templates");
    assert_int_equal(mkdir(sub, 0700), 0);
    write_in(sub, "rag.jinja", "R");
    write_in(sub, "ignored.txt", "X");
    assert_int_equal(qn_chattpl_open_dir(&t, dir, config, &err), 0);
    assert_int_equal(qn_chattpl_count(t), 2);
    assert_string_equal(prompt(t, (qn_chattpl_input){0}), "F\nuser");
    assert_string_equal(prompt(t, (qn_chattpl_input){.which = "rag"}), "R");
    qn_chattpl_close(t);
    qn_free(sub);
    json_decref(config);
}

/* LLaVA's and Idefics' way: parts of a message, images first. */
static void test_parts(void **state)
{
    static const char parts[] =
        "{% for m in messages %}{{ m.role }}: {% for p in m.content | "
        "selectattr('type', 'equalto', 'image') %}<image>{% endfor %}{% for p "
        "in m.content | selectattr('type', 'equalto', 'text') %}{{ p.text }}{% "
        "endfor %};{% endfor %}";
    static const char whole[] = "{% for m in messages %}{{ m.content | upper "
                                "}};{% endfor %}";
    json_t *messages = json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "role",
                                 "system", "content", "Be brief.", "role",
                                 "user", "content", " Why? ", "role",
                                 "assistant", "content", "So.");
    const struct {
        const char *text, *want;
    } cases[] = {
        {parts, ">system: Be brief.;user:  Why? ;assistant: So.;"},
        {whole, ">BE BRIEF.; WHY? ;SO.;"}, /* as parts it is lost as well */
        {"{{ messages[1].content[:2] }}", "> W"},
        {"{{ messages[1].content | tojson | upper }}", ">\" WHY? \""},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_chattpl *t;
        qn_chattpl_input in = {.messages = messages};
        qn_str out;
        qn_str_init(&out);
        qn_str_adds(&out, ">");
        assert_int_equal(qn_chattpl_open_text(&t, cases[i].text,
                                              strlen(cases[i].text), "t", NULL),
                         0);
        assert_int_equal(qn_chattpl_render(t, &in, &out, NULL), 0);
        assert_string_equal(out.p, cases[i].want);
        qn_chattpl_close(t);
        qn_str_deinit(&out);
    }
    json_decref(messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),  cmocka_unit_test(test_choice),
        cmocka_unit_test(test_variables), cmocka_unit_test(test_bad_specs),
        cmocka_unit_test(test_parts),     cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
