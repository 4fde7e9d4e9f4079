/* The exact views: tokenize, detokenize, template, logits, info, doctor. */
#include "proc.h"

#include <jansson.h>

static void test_tokenize(void **state)
{
    qn_proc p, q;
    (void)state;
    const char *lines = "\"Hello world\"\n\"\"\n\"a\\nb\\u0000c \\u00e9\"\n"
                        "\"<|im_start|>\"\n";
    quern(&p, lines, "tokenize", "builtin", "--jsonl");
    assert_int_equal(p.status, 0);
    quern(&q, p.out, "detokenize", "builtin", "--jsonl");
    assert_int_equal(q.status, 0);
    assert_string_equal(q.out,
                        "\"Hello world\"\n\"\"\n\"a\\nb\\u0000c \303\251\"\n"
                        "\"<|im_start|>\"\n");
    qn_proc_free(&q);
    quern(&q, p.out, "detokenize", "builtin", "--jsonl", "--skip-special");
    assert_string_equal(q.out,
                        "\"Hello world\"\n\"\"\n\"a\\nb\\u0000c \303\251\"\n"
                        "\"\"\n");
    qn_proc_free(&q);
    qn_proc_free(&p);

    quern(&p, NULL, "tokenize", "builtin", "Hello", "world");
    assert_int_equal(p.status, 0);
    quern(&q, p.out, "detokenize", "builtin");
    assert_string_equal(q.out, "Hello world\n");
    qn_proc_free(&q);
    quern(&q, "Hello world", "tokenize", "builtin");
    assert_string_equal(q.out, p.out);
    qn_proc_free(&q);
    quern(&q, NULL, "detokenize", "builtin", p.out);
    assert_string_equal(q.out, "Hello world\n");
    qn_proc_free(&q);
    qn_proc_free(&p);

    quern(&p, NULL, "tokenize", "builtin", "--count", "<|im_start|>");
    assert_string_equal(p.out, "1\n");
    qn_proc_free(&p);
    quern(&p, NULL, "tokenize", "builtin", "--count", "--no-parse-special",
          "<|im_start|>");
    assert_true(atoi(p.out) > 1);
    qn_proc_free(&p);
    quern(&p, NULL, "detokenize", "builtin", "40", "999999");
    assert_int_equal(p.status, 1);
    assert_string_equal(p.out, "");
    qn_proc_has_err(&p, "id 999999 is not in the vocabulary");
    qn_proc_free(&p);
    quern(&p, "[40]\n[5000]\n", "detokenize", "builtin", "--jsonl");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "line 2: id 5000 is not in the vocabulary");
    qn_proc_free(&p);
    quern(&p, NULL, "detokenize", "builtin", "1,,2");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
    quern(&p, NULL, "tokenize", "some text");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "the first word is the model (quern tokenize MODEL");
    qn_proc_free(&p);
    quern(&p, NULL, "tokenize", "builtin", "--show", "Hi");
    qn_proc_has_out(&p, "\"");
    qn_proc_free(&p);
}

/* The first word is the model, whatever the environment says. */
static void test_model_of_environment(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "tokenize", "builtin", "mill");
    setenv("QUERN_TEST_KEEP", "1", 1);
    setenv("QUERN_MODEL", "builtin", 1);
    quern(&q, "mill", "tokenize");
    assert_string_equal(q.out, p.out);
    qn_proc_free(&q);
    setenv("QUERN_MODEL", "/nowhere", 1);
    quern(&q, NULL, "tokenize", "builtin", "mill");
    assert_string_equal(q.out, p.out);
    qn_proc_free(&q);
    unsetenv("QUERN_MODEL");
    unsetenv("QUERN_TEST_KEEP");
    qn_proc_free(&p);
}

static void test_wrong_lines(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, "\"a\"\n5\n\"b\"\n", "tokenize", "builtin", "--jsonl");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "line 2: expected a JSON string");
    qn_proc_free(&p);
    quern(&p, "[1, 2]\n[1, -2]\n", "detokenize", "builtin", "--jsonl");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "line 2: element 1 is no token id");
    qn_proc_free(&p);
    quern(&p, "\"a\", \"b\"\n", "tokenize", "builtin", "--jsonl");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "expected one JSON value");
    qn_proc_free(&p);
    quern(&p, NULL, "detokenize", "builtin", "one");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
    quern(&p, NULL, "tokenize", qn_test_tmpdir(), "x");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "no tokenizer here");
    qn_proc_free(&p);
}

/* A folder with a tokenizer and nothing else; recorded ids of another
 * implementation. */
static void test_bare_tokenizer(void **state)
{
    qn_proc p, q;
    size_t n;
    char file[4096];
    (void)state;
    const char *dir = qn_test_shared("goldens/tokenizers/llama3");
    if (!dir)
        QN_SKIP("no shared data");
    snprintf(file, sizeof file, "%s/reference.json", dir);
    char *text = qn_test_read_file(file, &n);
    json_t *ref = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(ref);
    json_t *cases = json_object_get(ref, "cases"), *c;
    if (!cases)
        cases = json_object_get(ref, "encode");
    assert_true(json_array_size(cases) > 100);
    size_t i, cap = 1 << 20;
    char *in = calloc(1, cap), *want = calloc(1, cap);
    json_array_foreach(cases, i, c)
    {
        char *s = json_dumps(json_object_get(c, "text"), JSON_ENCODE_ANY);
        char *w = json_dumps(json_object_get(c, "ids_nospecial"), 0);
        assert_true(strlen(in) + strlen(s) + 2 < cap);
        strcat(strcat(in, s), "\n");
        strcat(strcat(want, w), "\n");
        free(s);
        free(w);
    }
    quern(&p, in, "tokenize", dir, "--jsonl", "--no-special");
    assert_string_equal(p.out, want);
    snprintf(file, sizeof file, "%s/tokenizer.json", dir);
    quern(&q, in, "tokenize", file, "--jsonl", "--no-special");
    assert_string_equal(q.out, want);
    qn_proc_free(&q);
    qn_proc_free(&p);
    free(in);
    free(want);
    free(text);
    json_decref(ref);
}

static void test_template(void **state)
{
    qn_proc p;
    (void)state;
    const char *chat = "[{\"role\":\"user\",\"content\":\"Hi\"}]";
    quern(&p, chat, "template", "builtin", "--messages", "-");
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, "<|im_start|>user\nHi<|im_end|>\n"
                               "<|im_start|>assistant\n");
    qn_proc_free(&p);
    quern(&p, chat, "template", "builtin", "--messages", "-",
          "--no-generation-prompt");
    assert_string_equal(p.out, "<|im_start|>user\nHi<|im_end|>\n");
    qn_proc_free(&p);

    /* a tokenizer_config.json alone; tools and further variables */
    char dir[4096], file[4200], tools[4200], kwargs[4200];
    snprintf(dir, sizeof dir, "%s/tpl", qn_test_tmpdir());
    char command[8192];
    snprintf(command, sizeof command, "mkdir -p %s", dir);
    assert_int_equal(system(command), 0);
    const char *config =
        "{\"chat_template\": \"{{ bos_token }}{% for m in messages %}"
        "{{ m.role }}:{{ m.content }};{% endfor %}"
        "{% if tools %}{{ tools[0].name }}{% endif %}{{ style }}\","
        " \"bos_token\": \"<s>\"}";
    snprintf(file, sizeof file, "%s/tokenizer_config.json", dir);
    qn_test_write_file(file, config, strlen(config));
    snprintf(tools, sizeof tools, "%s/tools.json", dir);
    qn_test_write_file(tools, "[{\"name\": \"clock\"}]", 19);
    snprintf(kwargs, sizeof kwargs, "%s/kwargs.json", dir);
    qn_test_write_file(kwargs, "{\"style\": \"!\"}", 14);
    quern(&p, chat, "template", dir, "--messages", "-", "--tools", tools,
          "--kwargs", kwargs);
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, "<s>user:Hi;clock!");
    qn_proc_free(&p);
    quern(&p, "{}", "template", dir, "--messages", "-");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "messages");
    qn_proc_free(&p);
    quern(&p, "[{", "template", dir, "--messages", "-");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "not valid JSON");
    qn_proc_free(&p);
}

/* The header of a safetensors file as JSON, and where the data begins. */
static json_t *header(const char *bytes, size_t n, const float **data)
{
    uint64_t len;
    memcpy(&len, bytes, 8);
    assert_true(8 + len < n);
    *data = (const float *)(const void *)(bytes + 8 + len);
    return json_loadb(bytes + 8, (size_t)len, 0, NULL);
}

static void test_logits(void **state)
{
    qn_proc p, r;
    char path[4096];
    size_t n;
    const float *v;
    (void)state;
    snprintf(path, sizeof path, "%s/l.safetensors", qn_test_tmpdir());
    quern(&p, NULL, "logits", "builtin", "--token-ids", "40,41,42", "--output",
          path);
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
    char *bytes = qn_test_read_file(path, &n);
    json_t *h = header(bytes, n, &v), *t = json_object_get(h, "logits");
    char *shape = json_dumps(json_object_get(t, "shape"), JSON_COMPACT);
    assert_string_equal(shape, "[3,4096]");
    assert_string_equal(json_string_value(json_object_get(t, "dtype")), "F32");
    /* the best of the last row is what greedy decoding takes */
    int best = 0;
    for (int i = 0; i < 4096; i++)
        if (v[2 * 4096 + i] > v[2 * 4096 + best])
            best = i;
    char want[64];
    snprintf(want, sizeof want, "\"token_ids\":[%d]", best);
    quern(&r, NULL, "run", "-o", "json", "-n", "1", "--token-ids", "40,41,42");
    qn_proc_has_out(&r, want);
    qn_proc_free(&r);
    free(shape);
    json_decref(h);
    free(bytes);
    quern(&p, NULL, "logits", "builtin", "--token-ids", "1", "-o",
          "/nowhere/l.safetensors");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/l.safetensors");
    qn_proc_free(&p);
}

static void test_info(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "info");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "LlamaForCausalLM");
    qn_proc_has_out(&p, "14.2 M");
    qn_proc_has_out(&p, "q8_0");
    qn_proc_has_out(&p, "Memory plan");
    assert_null(strstr(p.out, "linear"));
    qn_proc_free(&p);
    quern(&p, NULL, "info", "builtin", "--kernels", "--weights");
    qn_proc_has_out(&p, "linear");
    qn_proc_has_out(&p, "token embedding");
    qn_proc_free(&p);
    quern(&p, NULL, "info", "builtin", "--json", "--context", "100",
          "--batch-size", "2");
    json_t *o = json_loads(p.out, 0, NULL);
    assert_non_null(o);
    const json_t *m = json_object_get(o, "memory");
    assert_int_equal(json_integer_value(json_object_get(m, "n_ctx")), 100);
    json_decref(o);
    qn_proc_free(&p);
}

/* A model without attention has a state and no KV cache. */
static void test_info_recurrent(void **state)
{
    qn_proc p;
    const char *dir = qn_test_shared("goldens/models/mamba");
    (void)state;
    if (!dir)
        QN_SKIP("no shared data");
    quern(&p, NULL, "info", dir);
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "0 to 1: mamba\n");
    qn_proc_has_out(&p, "recurrent state");
    assert_null(strstr(p.out, "KV cache"));
    assert_null(strstr(p.out, "feed-forward"));
    qn_proc_free(&p);
}

static void test_doctor(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "doctor");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "processor");
    qn_proc_has_out(&p, "ok   the built-in model");
    qn_proc_free(&p);
    setenv("QUERN_DEFAULT_MODEL", "/nowhere/m.gguf", 1);
    quern(&p, NULL, "doctor");
    unsetenv("QUERN_DEFAULT_MODEL");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "note the built-in model: /nowhere/m.gguf");
    qn_proc_free(&p);
    quern(&p, NULL, "doctor", "--json");
    json_t *o = json_loads(p.out, 0, NULL);
    assert_true(json_is_object(json_object_get(o, "cpu")));
    json_decref(o);
    qn_proc_free(&p);
}

/* What the system does not tell is unknown, not nothing. */
static void test_doctor_without_sys(void **state)
{
    char line[4400];
    char text[8192] = "";
    (void)state;
    snprintf(line, sizeof line,
             "unshare -rm sh -c 'mount -t tmpfs none /sys && "
             "exec \"$0\" doctor' %s/bin/quern 2>/dev/null",
             qn_test_build_dir());
    FILE *f = popen(line, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    if (pclose(f) != 0)
        QN_SKIP("no namespace of mounts");
    assert_non_null(strstr(text, "caches                  unknown"));
    assert_non_null(strstr(text, "huge pages              unknown"));
    assert_non_null(strstr(text, "pages: unknown, since /sys is not here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_model_of_environment),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_bare_tokenizer),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_recurrent),
        cmocka_unit_test(test_doctor),
        cmocka_unit_test(test_doctor_without_sys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
