/* test_hub_repo.c: descriptions of repositories, hostile ones among them, and
 * which files of them are taken. */
#include "testing.h"

#include "hub/hub_repo.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"

/* A repository with these files. */
static qn_hub_repo repo_of(const char *const *names)
{
    qn_hub_repo r = {0};

    for (; *names; names++) {
        qn_hub_file f = {.name = qn_xstrdup(*names)};
        qn_vec_push(&r.files, f);
    }
    return r;
}
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_chosen(const qn_hub_repo *r, const char *const *want)
{
    for (size_t i = 0; i < r->files.n; i++) {
        bool wanted = false;
        for (const char *const *w = want; *w; w++)
            wanted |= strcmp(*w, r->files.v[i].name) == 0;
        if (wanted != r->files.v[i].chosen)
            fail_msg("%s: %s", r->files.v[i].name,
                     wanted ? "left out" : "taken");
    }
}

static void check_choice(const char *const *names, const char *want,
                         const char *index, const char *const *chosen)
{
    qn_hub_repo r = repo_of(names);
    const char *got = NULL;
    qn_err err = {0};

    if (qn_hub_choose(&r, want, "o/n", &got, &err) < 0)
        fail_msg("%s", err.msg);
    check_chosen(&r, chosen);
    assert_true((got == NULL) == (index == NULL));
    if (index)
        assert_string_equal(got, index);
    qn_hub_repo_deinit(&r);
}

static void check_no_choice(const char *const *names, const char *want,
                            int code, const char *word)
{
    qn_hub_repo r = repo_of(names);
    const char *index;
    qn_err err = {0};

    assert_int_equal(qn_hub_choose(&r, want, "o/n", &index, &err), code);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" is not in: %s", word, err.msg);
    qn_hub_repo_deinit(&r);
}

static void test_choice(void **state)
{
    (void)state;
    /* The files of facebook/opt-350m but with safetensors added, and others
     * that repositories have. */
    check_choice(NAMES(".gitattributes", "LICENSE.md", "README.md",
                       "config.json", "flax_model.msgpack",
                       "generation_config.json", "merges.txt",
                       "model.safetensors", "pytorch_model.bin",
                       "special_tokens_map.json", "tf_model.h5",
                       "tokenizer_config.json", "vocab.json", "onnx/model.onnx",
                       "fp16/model.safetensors", "training_args.bin"),
                 NULL, NULL,
                 NAMES("LICENSE.md", "config.json", "generation_config.json",
                       "merges.txt", "model.safetensors",
                       "special_tokens_map.json", "tokenizer_config.json",
                       "vocab.json"));
    check_choice(NAMES("config.json", "pytorch_model.bin", "optimizer.bin"),
                 NULL, NULL, NAMES("config.json", "pytorch_model.bin"));
    check_choice(NAMES("config.json", "model.safetensors.index.json",
                       "model-00001-of-00002.safetensors",
                       "model-00002-of-00002.safetensors",
                       "consolidated.safetensors"),
                 NULL, "model.safetensors.index.json",
                 NAMES("config.json", "model.safetensors.index.json"));
    check_choice(NAMES("pytorch_model.bin.index.json",
                       "pytorch_model-00001-of-00001.bin"),
                 NULL, "pytorch_model.bin.index.json",
                 NAMES("pytorch_model.bin.index.json"));
    check_choice(NAMES("gptq_model-4bit-128g.safetensors",
                       "quantize_config.json", "adapter_model.safetensors"),
                 NULL, NULL,
                 NAMES("gptq_model-4bit-128g.safetensors",
                       "quantize_config.json"));
    check_choice(
        NAMES("x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors"),
        NULL, NULL,
        NAMES("x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors"));
    check_choice(NAMES("m.gguf", "mmproj-m.gguf"), NULL, NULL, NAMES("m.gguf"));
    check_choice(NAMES("additional_chat_templates/rag.jinja",
                       "chat_template.jinja", "qwen.tiktoken", "m.gguf"),
                 NULL, NULL,
                 NAMES("additional_chat_templates/rag.jinja",
                       "chat_template.jinja", "qwen.tiktoken", "m.gguf"));
    check_choice(NAMES("tekken.json", "tiktoken.model", "m.gguf"), NULL, NULL,
                 NAMES("tekken.json", "tiktoken.model", "m.gguf"));
    check_choice(NAMES("tekken.json", "tokenizer.json", "m.gguf"), NULL, NULL,
                 NAMES("tokenizer.json", "m.gguf"));
}

static void test_gguf_choice(void **state)
{
    const char *const names[] = {"m-Q4_K_M.gguf",
                                 "m-Q8_0-00001-of-00002.gguf",
                                 "m-Q8_0-00002-of-00002.gguf",
                                 "Q2/m-Q2_K.gguf",
                                 "config.json",
                                 NULL};
    (void)state;
    check_choice(names, "q4_k_m", NULL, NAMES("m-Q4_K_M.gguf", "config.json"));
    check_choice(names, "Q8_0", NULL,
                 NAMES("m-Q8_0-00001-of-00002.gguf",
                       "m-Q8_0-00002-of-00002.gguf", "config.json"));
    check_choice(names, "Q2/", NULL, NAMES("Q2/m-Q2_K.gguf", "config.json"));
    check_no_choice(names, NULL, QN_EINVAL, "m-Q4_K_M.gguf, m-Q8_0");
    check_no_choice(names, "m-", QN_EINVAL, "Q2/m-Q2_K.gguf");
    check_no_choice(names, "q6", QN_ENOENT, "q6");
    check_no_choice(NAMES("config.json", "tf_model.h5"), NULL, QN_ENOENT,
                    "weights");
    check_no_choice(NAMES("a.safetensors", "b.safetensors"), NULL, QN_EINVAL,
                    "a.safetensors, b.safetensors");
}

static void test_shards(void **state)
{
    static const char good[] =
        "{\"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": "
        "\"m-2.safetensors\", \"c\": \"m-1.safetensors\"}}";
    static const char *const bad[] = {
        "{}",
        "{\"weight_map\": {}}",
        "{\"weight_map\": []}",
        "{\"weight_map\": {\"a\": 1}}",
        "{\"weight_map\": {\"a\": \"m-3.safetensors\"}}",
        "{\"weight_map\": {\"a\": \"../m-1.safetensors\"}}",
        "[",
    };
    qn_hub_repo r = repo_of(
        NAMES("m-1.safetensors", "m-2.safetensors", "x.safetensors"));
    qn_err err;

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(bad); i++)
        assert_int_equal(qn_hub_choose_shards(&r, "index", bad[i],
                                              strlen(bad[i]), &err),
                         QN_EFORMAT);
    assert_int_equal(qn_hub_choose_shards(&r, "index", good, strlen(good),
                                          &err),
                     0);
    check_chosen(&r, NAMES("m-1.safetensors", "m-2.safetensors"));
    qn_hub_repo_deinit(&r);
}

static int parse(qn_hub_repo *r, const char *fmt, const char *arg)
{
    char text[4096];
    qn_err err;
    int n = snprintf(text, sizeof text, fmt, arg);

    return qn_hub_repo_parse(r, text, (size_t)n, "o/n", &err);
}

static void test_hostile(void **state)
{
    static const char *const names[] = {
        "../x",   "/etc/passwd", "a/../../x", "a//b", "",      "a/",
        "a\\\\b", "a/.",         ".",         "..",   "a\\nb", "a\\u0000b"};
    static const char whole[] = "{\"sha\": \"" SHA "\", \"siblings\": [%s]}";
    qn_hub_repo r;

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (parse(&r,
                  "{\"sha\": \"" SHA "\", \"siblings\": [{\"rfilename\": "
                  "\"%s\"}]}",
                  names[i]) != QN_EFORMAT)
            fail_msg("taken for a path: %s", names[i]);
    assert_int_equal(parse(&r, whole, "{\"rfilename\": 7}"), QN_EFORMAT);
    assert_int_equal(parse(&r, whole, "7"), QN_EFORMAT);
    assert_int_equal(parse(&r, whole, "{\"rfilename\": \"a\", \"size\": -1}"),
                     QN_EFORMAT);
    assert_int_equal(parse(&r, "{\"sha\": \"%s\", \"siblings\": []}", "../.."),
                     QN_EFORMAT);
    assert_int_equal(parse(&r, "<html>%s", ""), QN_EFORMAT);

    /* A checksum that could not be one is no name for a file. */
    assert_int_equal(parse(&r, whole,
                           "{\"rfilename\": \".a/b\", \"size\": 5, \"blobId\": "
                           "\"../../../../../../../../../../../../../aaaaa\"}, "
                           "{\"rfilename\": \"c\", \"blobId\": \"" SHA "\"}"),
                     0);
    assert_int_equal(r.files.n, 2);
    assert_string_equal(r.commit, SHA);
    assert_string_equal(r.files.v[0].etag, "");
    assert_int_equal(r.files.v[0].size, 5);
    assert_string_equal(r.files.v[1].etag, SHA);
    assert_false(r.files.v[1].has_size);
    qn_hub_repo_deinit(&r);
}

static void test_etags(void **state)
{
    (void)state;
    assert_true(qn_hub_etag_ok(SHA));
    assert_true(qn_hub_etag_ok("5f3d-a.b_c"));
    assert_false(qn_hub_etag_ok(""));
    assert_false(qn_hub_etag_ok(".x"));
    assert_false(qn_hub_etag_ok("a/b"));
    assert_false(qn_hub_etag_ok("a\"b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice), cmocka_unit_test(test_gguf_choice),
        cmocka_unit_test(test_shards), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
