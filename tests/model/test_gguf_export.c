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

/* How the numbers of a file are stored: matrices in `dtype`, or in f32 what
 * `dtype` makes of them. */
typedef struct storing {
    qn_dtype dtype;
    bool decoded;
} storing;

static qn_dtype type_of(const qn_gguf_export_tensor *t, storing how)
{
    int block = qn_dtype_get(how.dtype)->block_elems;
    return t->n_dims > 1 && t->n_cols % block == 0 ? how.dtype : QN_F32;
}

static void put_rows(qn_gguf_writer *w, const qn_gguf_export_tensor *t,
                     float *v, int64_t n_row, storing how)
{
    size_t n = (size_t)(n_row * t->n_cols);
    qn_dtype type = type_of(t, how);
    char *b = malloc(n * sizeof(double) + 64);
    uint64_t bytes;

    OK(qn_dtype_bytes(type, n, &bytes, &err));
    OK(qn_dtype_encode(type, v, b, n, &err));
    if (how.decoded) {
        OK(qn_dtype_decode(type, b, v, n, &err));
        OK(qn_gguf_data(w, v, n * sizeof *v, &err));
    } else {
        OK(qn_gguf_data(w, b, (size_t)bytes, &err));
    }
    free(b);
}

/* The rows in pieces of `step`. */
static void export(const char *dir, const char *path, bool tokenizer,
                   storing how, int64_t step)
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
        OK(qn_gguf_declare(w, t->name, how.decoded ? QN_F32 : type_of(t, how),
                           t->n_dims, t->shape, &err));
    }
    for (size_t i = 0; i < qn_gguf_export_n(e); i++) {
        const qn_gguf_export_tensor *t = qn_gguf_export_at(e, i);
        float *v = malloc((size_t)(step * t->n_cols) * sizeof *v);
        for (int64_t r = 0; r < t->n_rows; r += step) {
            int64_t n = QN_MIN(step, t->n_rows - r);
            OK(qn_gguf_export_rows(e, i, r, n, v, &err));
            put_rows(w, t, v, n, how);
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
    export(dir, path, tokenizer, (storing){QN_F32, false}, 7);
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

/* The logits of a file for a short prompt; NULL when the backend computes with
 * some format in its own way. */
static float *logits_of(const char *path, size_t *n)
{
    static const int32_t prompt[] = {5, 17, 3, 99, 42, 7};
    drive d;
    drive_seq s;
    qn_err err = {0};
    json_t *info = json_object(), *w;
    const char *name;
    bool plain = true;

    drive_params p = {.exact = true, .kv_f32 = true};

    if (drive_open(&d, path, &p, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    assert_int_equal(qn_net_info(d.net, info, NULL), 0);
    json_object_foreach(json_object_get(info, "types"), name, w)
    {
        const json_t *as = json_object_get(w, "decoded_to");
        plain = plain && (strcmp(name, "f32") == 0 ||
                          (json_is_string(as) &&
                           strcmp(json_string_value(as), "f32") == 0));
    }
    json_decref(info);
    *n = QN_COUNTOF(prompt) * (size_t)qn_net_hparams(d.net)->n_vocab;
    float *got = plain ? malloc(*n * sizeof *got) : NULL;
    if (got) {
        drive_seq_init(&s, (int)QN_COUNTOF(prompt));
        drive_prompt(&d, &s, prompt, (int)QN_COUNTOF(prompt), 0, got);
    }
    drive_close(&d);
    return got;
}

/* A format without a kernel is computed with as its decoder has it: the same
 * bits as with a file of the decoded numbers. */
static void test_decoded(void **state)
{
    static const qn_dtype types[] = {QN_Q4_1,   QN_Q5_0,  QN_Q5_1,
                                     QN_IQ4_NL, QN_MXFP4, QN_F64};
    const char *dir = qn_test_data("models/llama");
    char one[4200], two[4200];

    (void)state;
    snprintf(one, sizeof one, "%s/one.gguf", qn_test_tmpdir());
    snprintf(two, sizeof two, "%s/two.gguf", qn_test_tmpdir());
    for (size_t i = 0; i < QN_COUNTOF(types); i++) {
        size_t n;
        export(dir, one, false, (storing){types[i], false}, 16);
        export(dir, two, false, (storing){types[i], true}, 16);
        float *a = logits_of(one, &n), *b = logits_of(two, &n);
        print_message("%s: %s\n", qn_dtype_get(types[i])->name,
                      a ? "decoded" : "a kernel");
        assert_non_null(b);
        if (a)
            assert_memory_equal(a, b, n * sizeof *a);
        free(a);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
