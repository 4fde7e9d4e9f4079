/* test_tok_vectors.c - vocabularies of other kinds of files against vectors
 * that others published: GGUF vocabularies with llama.cpp's own cases, rank
 * files with those of gpt-tokenizer, vocab.json + merges.txt and a RoBERTa
 * file with those of transformers.js. */
#include "testing.h"

#include "tok_cases.h"

#include "ckpt/ckpt.h"

static const char *shared(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "data/tokenizers/%s", name);
    return qn_test_shared(path);
}

/* ---- GGUF --------------------------------------------------------------- */

typedef struct vocab_arrays {
    float *scores;
    int32_t *types;
} vocab_arrays;

static int32_t kv_int(const qn_ckpt *ck, const char *key)
{
    uint64_t v;
    return qn_ckpt_gguf_u64(ck, key, &v) ? (int32_t)v : -1;
}

/* The file's metadata as qn_tok_open_gguf takes it. */
static qn_tok *open_gguf(const char *path)
{
    qn_err err = {0};
    qn_ckpt *ck = NULL;
    if (qn_ckpt_open(&ck, path, &err) < 0)
        fail_msg("%s", err.msg);
    qn_view model = {0}, pre = {0};
    assert_true(qn_ckpt_gguf_str(ck, "tokenizer.ggml.model", &model));
    char model_name[32], pre_name[32];
    snprintf(model_name, sizeof model_name, "%.*s", (int)model.n, model.p);
    bool has_pre = qn_ckpt_gguf_str(ck, "tokenizer.ggml.pre", &pre);
    snprintf(pre_name, sizeof pre_name, "%.*s", (int)pre.n, pre.p ? pre.p : "");

    const qn_gguf_kv *tokens = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.tokens");
    const qn_gguf_kv *scores = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.scores");
    const qn_gguf_kv *types = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.token_type");
    const qn_gguf_kv *merges = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.merges");
    assert_non_null(tokens);
    float *score = calloc(tokens->n, sizeof *score);
    int32_t *type = calloc(tokens->n, sizeof *type);
    for (uint64_t k = 0; k < tokens->n; k++) {
        qn_gguf_kv e;
        if (scores && qn_gguf_elem(scores, k, &e))
            score[k] = (float)e.v.f;
        if (types && qn_gguf_elem(types, k, &e))
            type[k] = (int32_t)e.v.i;
    }
    qn_tok_gguf g = {
        .name = path,
        .model = model_name,
        .pre = has_pre ? pre_name : NULL,
        .n_tokens = tokens->n,
        .tokens = tokens->v.strs,
        .scores = scores ? score : NULL,
        .types = types ? type : NULL,
        .n_merges = merges ? merges->n : 0,
        .merges = merges ? merges->v.strs : NULL,
        .bos = kv_int(ck, "tokenizer.ggml.bos_token_id"),
        .eos = kv_int(ck, "tokenizer.ggml.eos_token_id"),
        .unk = kv_int(ck, "tokenizer.ggml.unknown_token_id"),
        .pad = kv_int(ck, "tokenizer.ggml.padding_token_id"),
        .eot = kv_int(ck, "tokenizer.ggml.eot_token_id"),
        .add_bos = kv_int(ck, "tokenizer.ggml.add_bos_token"),
        .add_eos = kv_int(ck, "tokenizer.ggml.add_eos_token"),
        .add_space_prefix = kv_int(ck, "tokenizer.ggml.add_space_prefix"),
        .remove_extra_whitespaces = -1,
    };
    qn_tok *t = NULL;
    if (qn_tok_open_gguf(&t, &g, &err) < 0)
        fail_msg("%s", err.msg);
    free(score);
    free(type);
    qn_ckpt_close(ck);
    return t;
}

/* One case of a .inp/.out pair: text, and ids separated by blanks. Decoding
 * must lead back to the text, unless `lossy`. */
static void gguf_case(tok_score *s, const qn_tok *t, const char *text, size_t n,
                      const char *line, bool lossy)
{
    qn_err err = {0};
    qn_tok_ids ids = {0}, want = {0};
    char *end;
    for (long v; v = strtol(line, &end, 10), end != line; line = end)
        qn_vec_push(&want, (int32_t)v);
    int rc = qn_tok_encode(t, text, n, 0, &ids, NULL, &err);
    tok_score_add(s,
                  rc == 0 && ids.n == want.n &&
                      (ids.n == 0 ||
                       memcmp(ids.v, want.v, ids.n * sizeof *ids.v) == 0),
                  "ids", text);
    qn_str back;
    qn_str_init(&back);
    rc = qn_tok_decode(t, ids.v, ids.n, false, &back, &err);
    if (!lossy)
        tok_score_add(s,
                      rc == 0 && back.n == n &&
                          memcmp(back.n ? back.p : "", text, n) == 0,
                      "the way back", text);
    qn_str_deinit(&back);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&want);
}

static void test_gguf(void **state)
{
    static const char divider[] = "\n__ggml_vocab_test__\n";
    const char *name = *state;
    char path[256];
    snprintf(path, sizeof path, "gguf-vocab/ggml-vocab-%s.gguf", name);
    const char *file = shared(path);
    if (!file)
        QN_SKIP("no shared %s", path);
    qn_tok *t = open_gguf(file);
    size_t n_in, n_out;
    char side[4096];
    snprintf(side, sizeof side, "%s.inp", file);
    char *in = qn_test_read_file(side, &n_in), *p = in;
    snprintf(side, sizeof side, "%s.out", file);
    char *out = qn_test_read_file(side, &n_out), *line = out;
    char title[64];
    snprintf(title, sizeof title, "gguf-%s", name);
    tok_score s = {title, 0, 0};
    for (char *next; (next = strstr(p, divider)); p = next + strlen(divider)) {
        char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        *next = *line_end = '\0';
        gguf_case(&s, t, p, (size_t)(next - p), line,
                  strncmp(name, "bert", 4) == 0);
        line = line_end + 1;
    }
    assert_true(s.total > 40);
    free(in);
    free(out);
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

/* ---- transformers.js ---------------------------------------------------- */

/* The cases of one model: ids with the special tokens that its tokenizer
 * adds. */
static void run_vectors(tok_score *s, const qn_tok *t, const char *model)
{
    const char *path = shared("vectors/transformersjs_tokenization.dev.json");
    if (!path)
        return;
    json_t *all = tok_read_json(path), *c;
    const char *name;
    json_object_foreach(json_object_get(json_object_get(all, model), "cases"),
                        name, c)
    {
        qn_err err = {0};
        qn_tok_ids ids = {0};
        const json_t *text = json_object_get(c, "text");
        int rc = qn_tok_encode(t, json_string_value(text),
                               json_string_length(text), QN_TOK_DEFAULT, &ids,
                               NULL, &err);
        tok_score_add(s,
                      rc == 0 && tok_ids_equal(&ids, json_object_get(c, "ids")),
                      name, json_string_value(text));
        qn_vec_deinit(&ids);
    }
    json_decref(all);
}

static void test_gpt2_files(void **state)
{
    (void)state;
    const char *vocab = shared("vocab-files/gpt2.vocab");
    const char *merges = shared("vocab-files/gpt2.merges.txt");
    if (!vocab || !merges)
        QN_SKIP("no shared vocab-files");
    qn_err err = {0};
    qn_tok_bpe_files f = {.name = "gpt2"};
    char *v = qn_test_read_file(vocab, &f.vocab.n);
    char *m = qn_test_read_file(merges, &f.merges.n);
    f.vocab.p = v;
    f.merges.p = m;
    qn_tok *t = NULL;
    if (qn_tok_open_bpe(&t, &f, &err) < 0)
        fail_msg("%s", err.msg);
    free(v);
    free(m);
    assert_int_equal(qn_tok_role_id(t, QN_TOK_EOS), 50256);
    tok_score s = {"gpt2-vocab-merges", 0, 0};
    run_vectors(&s, t, "Xenova/gpt2");
    run_vectors(&s, t, "openai-community/gpt2");
    run_vectors(&s, t, "tiiuae/falcon-rw-1b");
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

static void test_roberta_file(void **state)
{
    (void)state;
    const char *path = shared("hf/roberta-base/tokenizer.json");
    if (!path)
        QN_SKIP("no shared roberta-base");
    qn_tok *t = tok_open_json_file(path);
    tok_score s = {"roberta-base", 0, 0};
    run_vectors(&s, t, "Xenova/all-distilroberta-v1");
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

/* Unigram with SentencePiece's character map. */
static void test_t5_file(void **state)
{
    (void)state;
    const char *path = shared("hf/t5-small/tokenizer.json");
    if (!path)
        QN_SKIP("no shared t5-small");
    qn_tok *t = tok_open_json_file(path);
    tok_score s = {"t5-small", 0, 0};
    run_vectors(&s, t, "Xenova/t5-small");
    run_vectors(&s, t, "google-t5/t5-small");
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

static void test_llama_spm_vectors(void **state)
{
    (void)state;
    const char *path = shared("gguf-vocab/ggml-vocab-llama-spm.gguf");
    if (!path)
        QN_SKIP("no shared llama-spm vocabulary");
    qn_tok *t = open_gguf(path);
    tok_score s = {"llama-spm-vectors", 0, 0};
    run_vectors(&s, t, "Xenova/llama-tokenizer");
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

/* ---- rank files --------------------------------------------------------- */

static qn_tok *open_ranks(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tiktoken/%s_base.tiktoken", name);
    const char *file = shared(path);
    if (!file)
        return NULL;
    static const qn_tok_special special[] = {{"<|endoftext|>", 100257}};
    qn_err err = {0};
    size_t n;
    char *ranks = qn_test_read_file(file, &n);
    qn_tok *t = NULL;
    if (qn_tok_open_tiktoken(&t, qn_view_of(ranks, n), name, special, 1, name,
                             &err) < 0)
        fail_msg("%s", err.msg);
    free(ranks);
    return t;
}

/* Blocks "EncodingName: e / Sample: text / Encoded: [1, 2]". */
static void run_plans(tok_score *s, const qn_tok *t, const char *name)
{
    const char *path = shared("vectors/gpt-tokenizer-TestPlans.txt");
    if (!path)
        return;
    size_t n;
    char *text = qn_test_read_file(path, &n), title[64];
    snprintf(title, sizeof title, "EncodingName: %s_base\nSample: ", name);
    for (char *p = text; (p = strstr(p, title));) {
        p += strlen(title);
        char *e = strstr(p, "\nEncoded: ");
        assert_non_null(e);
        char *list = e + strlen("\nEncoded: "), *close = strchr(list, ']');
        assert_non_null(close);
        qn_err err = {0};
        json_t *want = json_loadb(list, (size_t)(close + 1 - list), 0, NULL);
        qn_tok_ids ids = {0};
        int rc = qn_tok_encode(t, p, (size_t)(e - p), 0, &ids, NULL, &err);
        *e = '\0';
        tok_score_add(s, rc == 0 && tok_ids_equal(&ids, want), "ids", p);
        qn_str back;
        qn_str_init(&back);
        tok_decode_stream(t, ids.v, ids.n, false, &back);
        tok_score_add(s, strcmp(back.n ? back.p : "", p) == 0, "the way back",
                      p);
        qn_str_deinit(&back);
        qn_vec_deinit(&ids);
        json_decref(want);
        p = close;
    }
    free(text);
}

static void test_ranks(void **state)
{
    const char *name = *state;
    qn_tok *t = open_ranks(name);
    if (!t)
        QN_SKIP("no shared ranks of %s", name);
    tok_score s = {name, 0, 0};
    run_plans(&s, t, name);
    assert_true(s.total > 100);
    if (strcmp(name, "cl100k") == 0)
        run_vectors(&s, t, "Xenova/gpt-4");
    qn_tok_close(t);
    tok_score_end(&s, "ids");
}

#define WITH(test, name) \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)(name))

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_gguf, "gpt-2"),
        WITH(test_gguf, "llama-spm"),
        WITH(test_gguf, "falcon"),
        WITH(test_gguf, "bert-bge"),
        WITH(test_ranks, "cl100k"),
        WITH(test_ranks, "r50k"),
        cmocka_unit_test(test_gpt2_files),
        cmocka_unit_test(test_roberta_file),
        cmocka_unit_test(test_t5_file),
        cmocka_unit_test(test_llama_spm_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
