/* A GGUF file made of an HF checkpoint gives the logits that are recorded of
 * the checkpoint, and the same ids for text. (That llama.cpp reads it too was
 * checked by hand; tests have no llama.cpp.) */
#include "drive.h"
#include "remake.h"

#include "base/mem.h"
#include "ckpt/gguf_export.h"

static const double tolerance = 2e-4;

#define OK(call)                     \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

/* All of it in f32, the rows in pieces of `step`. */
static void export(const char *dir, const char *path, bool tokenizer,
                   int64_t step)
{
    qn_gguf_export *e;
    qn_gguf_writer *w;
    qn_ckpt *ck;

    OK(qn_ckpt_open(&ck, dir, &err));
    OK(qn_gguf_export_new(&e, ck, &err));
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_export_meta(e, w, &err));
    if (tokenizer)
        OK(qn_gguf_export_tokenizer(e, w, &err));
    OK(qn_gguf_put_u32(w, "general.file_type", 0, &err));
    for (size_t i = 0; i < qn_gguf_export_n(e); i++) {
        const qn_gguf_export_tensor *t = qn_gguf_export_at(e, i);
        OK(qn_gguf_declare(w, t->name, QN_F32, t->n_dims, t->shape, &err));
    }
    for (size_t i = 0; i < qn_gguf_export_n(e); i++) {
        const qn_gguf_export_tensor *t = qn_gguf_export_at(e, i);
        float *v = malloc((size_t)(step * t->n_cols) * sizeof *v);
        for (int64_t r = 0; r < t->n_rows; r += step) {
            int64_t n = QN_MIN(step, t->n_rows - r);
            OK(qn_gguf_export_rows(e, i, r, n, v, &err));
            OK(qn_gguf_data(w, v, (size_t)(n * t->n_cols) * sizeof *v, &err));
        }
        free(v);
    }
    OK(qn_gguf_writer_finish(w, &err));
    qn_gguf_writer_free(w);
    qn_gguf_export_free(e);
    qn_ckpt_close(ck);
}

static void check(const char *dir, const char *path)
{
    char file[4200];
    qn_ckpt *ref;
    drive d;
    drive_seq s;
    qn_err err = {0};
    int n, n_logits;

    snprintf(file, sizeof file, "%s/reference.safetensors", dir);
    assert_int_equal(qn_ckpt_open_tensors(&ref, file, &err), 0);
    if (drive_open(&d, path, NULL, &err) < 0)
        fail_msg("%s: %s", dir, err.msg);
    int32_t *prompt = drive_ints(ref, "prompt_1", &n);
    float *want = drive_floats(ref, "logits_1", &n_logits);
    float *got = malloc((size_t)n_logits * sizeof *got);
    drive_seq_init(&s, n);
    drive_prompt(&d, &s, prompt, n, 0, got);
    print_message("%s\n", dir);
    qn_test_close_max(got, want, (size_t)n_logits, tolerance);
    free(prompt);
    free(want);
    free(got);
    drive_close(&d);
    qn_ckpt_close(ref);
}

static void run(const char *dir, bool tokenizer)
{
    char path[4200];
    const char *name = strrchr(dir, '/') + 1, *keep = getenv("KEEP_GGUF");

    snprintf(path, sizeof path, "%s/%s.gguf", keep ? keep : qn_test_tmpdir(),
             name);
    export(dir, path, tokenizer, 7);
    check(dir, path);
}

static void test_own(void **state)
{
    static const char *const names[] = {"llama", "mixtral", "gpt2", "gemma2",
                                        "phi3"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char dir[100];
        snprintf(dir, sizeof dir, "models/%s", names[i]);
        run(qn_test_data(dir), false);
    }
}

static void test_shared(void **state)
{
    static const char *const names[] = {
        "qwen2",        "qwen3",        "gemma",        "gemma3_text",
        "mistral",      "phi",          "phi3_partial", "gpt_neox",
        "llama_llama3", "llama_linear", "llama_yarn",   "starcoder2",
        "llama_mha",    "llama",        "gpt2",         "gemma2",
        "mixtral",      "phi3",
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char dir[100];
        snprintf(dir, sizeof dir, "goldens/models/%s", names[i]);
        const char *path = qn_test_shared(dir);
        if (!path)
            QN_SKIP("no shared data");
        run(path, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
