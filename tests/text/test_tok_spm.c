/* test_tok_spm.c - SentencePiece models against what the library itself makes
 * of awkward texts, option by option. The small models and their vectors in
 * tests/data/tokenizers/spm were made with sentencepiece 0.2 (make.py there). */
#include "testing.h"

#include "base/json.h"
#include "tok_cases.h"

static qn_tok *open_spm(const char *path, const json_t *config)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    size_t n;
    char *model = qn_test_read_file(path, &n);
    if (qn_tok_open_spm(&t, qn_view_of(model, n), config, path, &err) < 0)
        fail_msg("%s", err.msg);
    free(model);
    return t;
}

static void run_case(tok_score *s, const qn_tok *t, const json_t *c)
{
    qn_err err = {0};
    const json_t *text = json_object_get(c, "text");
    const json_t *want = json_object_get(c, "decode");
    const char *p = json_string_value(text);
    qn_tok_ids ids = {0};
    qn_str back;
    qn_str_init(&back);
    int rc = qn_tok_encode(t, p, json_string_length(text), QN_TOK_DEFAULT, &ids,
                           NULL, &err);
    tok_score_add(s, rc == 0 && tok_ids_equal(&ids, json_object_get(c, "ids")),
                  "ids", p);
    tok_decode_stream(t, ids.v, ids.n, false, &back);
    tok_score_add(s,
                  strcmp(back.n ? back.p : "", json_string_value(want)) == 0 ||
                      json_string_length(want) !=
                          strlen(json_string_value(want)),
                  "decoded text", p);
    qn_str_deinit(&back);
    qn_vec_deinit(&ids);
}

static void run(const char *name, const char *model, const char *cases)
{
    qn_tok *t = open_spm(model, NULL);
    json_t *ref = tok_read_json(cases), *c;
    tok_score s = {name, 0, 0};
    size_t k;
    json_array_foreach(json_object_get(ref, "encode"), k, c) run_case(&s, t, c);
    json_decref(ref);
    qn_tok_close(t);
    tok_score_end(&s, "ids, decoded text");
}

static void test_golden(void **state)
{
    const char *name = *state;
    char path[256], model[4096], cases[4096];
    snprintf(path, sizeof path, "goldens/tokenizers/%s", name);
    const char *dir = qn_test_shared(path);
    if (!dir)
        QN_SKIP("no shared %s", path);
    snprintf(model, sizeof model, "%s/tokenizer.model", dir);
    snprintf(cases, sizeof cases, "%s/reference.json", dir);
    run(name, model, cases);
}

static void test_own(void **state)
{
    const char *name = *state;
    char path[256], title[64], model[4096], cases[4096];
    snprintf(path, sizeof path, "tokenizers/spm/%s.model", name);
    snprintf(model, sizeof model, "%s", qn_test_data(path));
    snprintf(path, sizeof path, "tokenizers/spm/%s.json", name);
    snprintf(cases, sizeof cases, "%s", qn_test_data(path));
    snprintf(title, sizeof title, "spm-%s", name);
    run(title, model, cases);
}

/* ---- a folder ------------------------------------------------------------ */

static void put(const char *dir, const char *name, const char *text, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    qn_test_write_file(path, text, n);
}

static qn_tok *open_dir(const char *dir)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    if (qn_tok_open_dir(&t, dir, &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

static qn_tok_ids encode(const qn_tok *t, const char *text)
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    assert_int_equal(qn_tok_encode(t, text, strlen(text), QN_TOK_DEFAULT, &ids,
                                   NULL, &err),
                     0);
    assert_true(ids.n > 0);
    return ids;
}

/* How often an id is in the text's, and whether it is the first and last. */
static void check_around(const char *dir, const char *text, int n_bos,
                         bool first, bool eos_last)
{
    qn_tok *t = open_dir(dir);
    qn_tok_ids ids = encode(t, text);
    int32_t bos = qn_tok_role_id(t, QN_TOK_BOS), n = 0;
    for (size_t k = 0; k < ids.n; k++)
        n += ids.v[k] == bos;
    assert_int_equal(bos, 1);
    assert_true(qn_tok_is_special(t, bos));
    assert_int_equal(n, n_bos);
    assert_int_equal(ids.v[0] == bos, first);
    assert_int_equal(ids.v[ids.n - 1] == qn_tok_role_id(t, QN_TOK_EOS),
                     eos_last);
    qn_vec_deinit(&ids);
    qn_tok_close(t);
}

/* Without a tokenizer_config.json the folder is SentencePiece's own, with one
 * it is what the class makes of it. */
static void test_folder(void **state)
{
    static const char llama[] = "{\"tokenizer_class\": \"LlamaTokenizer\"}";
    static const char plain[] =
        "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"add_bos_token\": "
        "false, \"add_eos_token\": true}";
    static const char other[] = "{\"tokenizer_class\": \"XGLMTokenizer\"}";
    const char *dir = qn_test_tmpdir();
    qn_err err = {0};
    qn_tok *t;
    size_t n;
    char *model =
        qn_test_read_file(qn_test_data("tokenizers/spm/bpe_gemma.model"), &n);
    (void)state;
    put(dir, "tokenizer.model", model, n);
    check_around(dir, "x<s>y", 0, false, false);
    put(dir, "tokenizer_config.json", llama, strlen(llama));
    check_around(dir, "x<s>y", 2, true, false);
    put(dir, "tokenizer_config.json", plain, strlen(plain));
    check_around(dir, "x<s>y", 1, false, true);
    put(dir, "tokenizer_config.json", other, strlen(other));
    assert_int_equal(qn_tok_open_dir(&t, dir, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "XGLMTokenizer"));
    free(model);
}

static void test_rank_folder(void **state)
{
    const char *shared = qn_test_shared(
        "data/tokenizers/tiktoken/cl100k_base.tiktoken");
    const char *dir = qn_test_tmpdir(), *more = qn_test_tmpdir();
    qn_err err = {0};
    qn_tok *t;
    size_t n;
    (void)state;
    put(dir, "some.tiktoken", "IQ== 0\nIg== 1\n", 14);
    assert_int_equal(qn_tok_open_dir(&t, dir, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "some.tiktoken"));
    if (!shared)
        QN_SKIP("no shared cl100k_base.tiktoken");
    char *ranks = qn_test_read_file(shared, &n);
    put(more, "cl100k_base.tiktoken", ranks, n);
    free(ranks);
    t = open_dir(more);
    qn_tok_ids ids = encode(t, "hello<|endoftext|> world");
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.v[0], 15339);
    assert_int_equal(ids.v[1], 100257);
    assert_int_equal(ids.v[2], 1917);
    qn_vec_deinit(&ids);
    qn_tok_close(t);
    /* The same by the name of the file. */
    assert_int_equal(qn_tok_open_file(&t, shared, &err), 0);
    assert_int_equal(qn_tok_role_id(t, QN_TOK_EOS), 100257);
    qn_tok_close(t);
}

/* ---- hostile files ------------------------------------------------------- */

static void refused(const char *model, size_t n, int code)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    assert_int_equal(qn_tok_open_spm(&t, qn_view_of(model, n), NULL, "m", &err),
                     code);
    assert_non_null(strstr(err.msg, "m: "));
}
#define REFUSED(text, code) refused(text, sizeof(text) - 1, code)

static void test_hostile(void **state)
{
    size_t n;
    char *model = qn_test_read_file(qn_test_data("tokenizers/spm/char.model"),
                                    &n);
    (void)state;
    for (size_t k = 0; k < n; k++) { /* cut short anywhere */
        qn_err err = {0};
        qn_tok *t = NULL;
        if (qn_tok_open_spm(&t, qn_view_of(model, k), NULL, "m", &err) == 0)
            qn_tok_close(t);
    }
    free(model);
    REFUSED("", QN_EFORMAT);
    REFUSED("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", QN_EFORMAT);
    REFUSED("\x0a\x02\x0a\x00", QN_EFORMAT);     /* an empty piece */
    REFUSED("\x0a\x03\x0a\x01\xff", QN_EFORMAT); /* no UTF-8 */
    REFUSED("\x0a\x03\x0a\x01"
            "a",
            QN_EFORMAT); /* no unknown piece */
    REFUSED("\x0a\x0a\x0a\x01"
            "a\x15\x00\x00\xc0\x7f\x18\x02",
            QN_EFORMAT); /* a score that is no number */
    REFUSED("\x0a\x05\x0a\x01"
            "a\x18\x02\x12\x02\x18\x05",
            QN_EUNSUP); /* a fifth kind of model */
    REFUSED("\x0a\x05\x0a\x01"
            "a\x18\x02\x2a\x03\x12\x01x",
            QN_EUNSUP); /* a denormalizer */
    REFUSED("\x0a\x05\x0a\x01"
            "a\x18\x02\x1a\x07\x12\x05\xff\x00\x00\x00x",
            QN_EFORMAT); /* a damaged character map */
}

#define WITH(test, name) \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)(name))

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_own, "unigram_nmt_nfkc"),
        WITH(test_own, "unigram_symbols"),
        WITH(test_own, "bpe_nfkc_cf"),
        WITH(test_own, "bpe_symbols"),
        WITH(test_own, "bpe_gemma"),
        WITH(test_own, "bpe_drop"),
        WITH(test_own, "char"),
        WITH(test_own, "word"),
        WITH(test_own, "word_suffix"),
        WITH(test_own, "bpe_suffix"),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_rank_folder),
        cmocka_unit_test(test_hostile),
        WITH(test_golden, "spm_bpe_llama"),
        WITH(test_golden, "spm_unigram_fallback"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
