/* A tokenizer that went into GGUF gives the ids that are recorded of its
 * tokenizer.json. */
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ckpt/gguf_export.h"
#include "ckpt/safetensors_write.h"
#include "engine/vocab.h"

#define OK(call)                     \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

/* A model of one layer's sizes and no layers but its embedding, which is all
 * that a tokenizer needs beside it. */
static char *make_model(const char *name, int64_t n_vocab)
{
    char dir[4200], path[4300], from[200];
    const int64_t shape[] = {n_vocab, 1};
    float *zeros = calloc((size_t)n_vocab, sizeof *zeros);
    qn_st_writer *w;
    size_t n;
    char *text;

    snprintf(dir, sizeof dir, "%s/%s", qn_test_tmpdir(), name);
    OK(qn_mkdirs(dir, &err));
    snprintf(path, sizeof path, "%s/config.json", dir);
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 1,"
        " \"num_attention_heads\": 1, \"num_hidden_layers\": 1,"
        " \"intermediate_size\": 1, \"max_position_embeddings\": 8,"
        " \"rms_norm_eps\": 1e-5, \"bos_token_id\": 1, \"eos_token_id\": 2}";
    qn_test_write_file(path, config, strlen(config));
    snprintf(from, sizeof from, "goldens/tokenizers/%s/tokenizer.json", name);
    text = qn_test_read_file(qn_test_shared(from), &n);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    qn_test_write_file(path, text, n);
    free(text);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    OK(qn_st_writer_new(&w, path, &err));
    OK(qn_st_writer_declare(w, "model.embed_tokens.weight", QN_F32, 2, shape,
                            &err));
    OK(qn_st_writer_data(w, zeros, (size_t)n_vocab * sizeof *zeros, &err));
    OK(qn_st_writer_finish(w, &err));
    qn_st_writer_free(w);
    free(zeros);
    return strdup(dir);
}

static qn_tok *through_gguf(const char *dir, int64_t n_vocab, qn_ckpt **gguf)
{
    char path[4300];
    const char *keep = getenv("KEEP_GGUF");
    float *zeros = calloc((size_t)n_vocab, sizeof *zeros);
    qn_gguf_export *e;
    qn_gguf_writer *w;
    qn_ckpt *ck;
    qn_tok *tok;

    snprintf(path, sizeof path, "%s%s.gguf", keep ? keep : dir,
             keep ? strrchr(dir, '/') : "");
    OK(qn_ckpt_open(&ck, dir, &err));
    OK(qn_gguf_export_new(&e, ck, &err));
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_export_meta(e, w, &err));
    OK(qn_gguf_export_tokenizer(e, w, &err));
    OK(qn_gguf_declare(w, "token_embd.weight", QN_F32, 2,
                       qn_gguf_export_at(e, 0)->shape, &err));
    OK(qn_gguf_data(w, zeros, (size_t)n_vocab * sizeof *zeros, &err));
    OK(qn_gguf_writer_finish(w, &err));
    qn_gguf_writer_free(w);
    qn_gguf_export_free(e);
    qn_ckpt_close(ck);
    free(zeros);
    OK(qn_ckpt_open(gguf, path, &err));
    OK(qn_vocab_open(&tok, *gguf, &err));
    return tok;
}

static bool same_ids(const qn_tok *tok, const json_t *c, const char *key,
                     unsigned flags)
{
    const json_t *want = json_object_get(c, key);
    const json_t *text = json_object_get(c, "text");
    qn_tok_ids ids = {0};
    qn_err err = {0};
    int rc = qn_tok_encode(tok, json_string_value(text),
                           json_string_length(text), flags, &ids, NULL, &err);
    bool same = rc >= 0 && ids.n == json_array_size(want);

    for (size_t i = 0; same && i < ids.n; i++)
        same = ids.v[i] == json_integer_value(json_array_get(want, i));
    qn_vec_deinit(&ids);
    return same;
}

/* What llama.cpp's tokenizers cannot do as tokenizer.json says, and so GGUF
 * does not say: compose characters (NFC); put a blank before the first word of
 * a text alone, and not where there is one ("first"); leave alone two blanks
 * that are a token. */
static bool may_differ(const char *name, const char *text)
{
    bool ascii = true;

    for (const char *p = text; *p; p++)
        ascii = ascii && (unsigned char)*p < 0x80;
    if (strcmp(name, "qwen2") == 0 || strcmp(name, "neox") == 0)
        return !ascii;
    if (strcmp(name, "gemma_spmbpe") == 0)
        return strstr(text, "  ");
    return strcmp(name, "llama_metaspace") == 0 &&
           (*text == ' ' || strchr(text, '<') || strstr(text, "\xe2\x96\x81"));
}

static int check(const char *name)
{
    char path[200];
    json_t *ref, *c;
    qn_ckpt *gguf;
    qn_tok *tok;
    size_t i;
    int n_wrong = 0;

    snprintf(path, sizeof path, "goldens/tokenizers/%s/reference.json", name);
    OK(qn_json_load(&ref, qn_test_shared(path), (size_t)64 << 20, &err));
    int64_t n = json_integer_value(json_object_get(ref, "vocab_size"));
    char *dir = make_model(name, n);
    tok = through_gguf(dir, n, &gguf);
    json_array_foreach(json_object_get(ref, "encode"), i, c)
    {
        const char *text = json_string_value(json_object_get(c, "text"));
        bool same = same_ids(tok, c, "ids", QN_TOK_DEFAULT);
        if (!same && may_differ(name, text))
            continue;
        if (!same && n_wrong < 5)
            print_message("%s: %s\n", name, text);
        n_wrong += !same;
    }
    print_message("%s: %d of %zu differ\n", name, n_wrong,
                  json_array_size(json_object_get(ref, "encode")));
    qn_tok_close(tok);
    qn_ckpt_close(gguf);
    json_decref(ref);
    free(dir);
    return n_wrong;
}

static void test_tokenizers(void **state)
{
    static const char *const names[] = {
        "gpt2",          "llama3",       "qwen2", "starcoder",
        "llama2_spmbpe", "gemma_spmbpe", "neox",  "llama_metaspace",
    };
    int n_wrong = 0;

    (void)state;
    if (!qn_test_shared("goldens/tokenizers"))
        QN_SKIP("no shared data");
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        n_wrong += check(names[i]);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
