/* test_tok_goldens.c - tokenizer.json files against what Hugging Face's
 * tokenizers makes of some 440 awkward texts each: ids with and without
 * special tokens, offsets, decoding with and without special tokens, decoding
 * of random ids, all of it also token by token. Two of them are in tests/data,
 * without the longest texts. */
#include "testing.h"

#include "tok_cases.h"

static void run(const char *name, const char *dir, bool ours)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    qn_tok *t = tok_open_json_file(path);
    snprintf(path, sizeof path, "%s/reference.json", dir);
    json_t *ref = tok_read_json(path);
    tok_score s = {name, 0, 0};
    tok_run_reference(&s, t, ref);
    assert_true(s.total > 2500);
    json_decref(ref);
    qn_tok_close(t);
    tok_score_end(&s,
                  ours ? NULL : "ids, offsets, decoding whole and streamed");
}

static void test_golden(void **state)
{
    const char *name = *state;
    char path[256];
    snprintf(path, sizeof path, "goldens/tokenizers/%s", name);
    const char *dir = qn_test_shared(path);
    if (!dir)
        QN_SKIP("no shared %s", path);
    run(name, dir, false);
}

static void test_own(void **state)
{
    char path[256], name[64];
    snprintf(path, sizeof path, "tokenizers/%s", (const char *)*state);
    snprintf(name, sizeof name, "%s-small", (const char *)*state);
    run(name, qn_test_data(path), true);
}

/* The folder of a model, whose tokenizer_config.json names the roles. */
static void test_folder(void **state)
{
    (void)state;
    const char *dir = qn_test_shared("goldens/models/opt");
    if (!dir)
        QN_SKIP("no shared goldens/models/opt");
    qn_err err = {0};
    qn_tok *t = NULL;
    if (qn_tok_open_dir(&t, dir, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(qn_tok_role_id(t, QN_TOK_BOS), qn_tok_id(t, "<s>", 3));
    assert_int_equal(qn_tok_role_id(t, QN_TOK_EOS), qn_tok_id(t, "</s>", 4));
    assert_true(qn_tok_is_special(t, qn_tok_role_id(t, QN_TOK_EOS)));
    qn_tok_close(t);
    assert_int_equal(qn_tok_open_dir(&t, qn_test_tmpdir(), &err), QN_ENOENT);
}

#define WITH(test, name) \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)(name))

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_own, "qwen2"),
        WITH(test_own, "llama2_spmbpe"),
        WITH(test_golden, "gpt2"),
        WITH(test_golden, "roberta"),
        WITH(test_golden, "llama3"),
        WITH(test_golden, "qwen2"),
        WITH(test_golden, "llama2_spmbpe"),
        WITH(test_golden, "llama_metaspace"),
        WITH(test_golden, "gemma_spmbpe"),
        WITH(test_golden, "neox"),
        WITH(test_golden, "starcoder"),
        WITH(test_golden, "wordpiece"),
        WITH(test_golden, "unigram_fallback"),
        WITH(test_golden, "unigram_t5"),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
