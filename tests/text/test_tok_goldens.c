/* test_tok_goldens.c - tokenizer.json files against what Hugging Face's
 * tokenizers makes of some 440 awkward texts each: ids with and without
 * special tokens, offsets, decoding with and without special tokens, decoding
 * of random ids. */
#include "testing.h"

#include "tok_cases.h"

static void run(const char *name, const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    qn_tok *t = tok_open_json_file(path);
    snprintf(path, sizeof path, "%s/reference.json", dir);
    json_t *ref = tok_read_json(path);
    tok_score s = {name, 0, 0};
    tok_run_reference(&s, t, ref);
    json_decref(ref);
    qn_tok_close(t);
    tok_score_end(&s, "");
}

static void test_golden(void **state)
{
    const char *name = *state;
    char path[256];
    snprintf(path, sizeof path, "goldens/tokenizers/%s", name);
    const char *dir = qn_test_shared(path);
    if (!dir)
        QN_SKIP("no shared %s", path);
    run(name, dir);
}

#define GOLDEN(name) \
    cmocka_unit_test_prestate(test_golden, (void *)(uintptr_t)(name))

int main(void)
{
    const struct CMUnitTest tests[] = {
        GOLDEN("gpt2"),          GOLDEN("roberta"),
        GOLDEN("llama3"),        GOLDEN("qwen2"),
        GOLDEN("llama2_spmbpe"), GOLDEN("llama_metaspace"),
        GOLDEN("gemma_spmbpe"),  GOLDEN("neox"),
        GOLDEN("starcoder"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
