/* Methods that write Hugging Face folders, from a GGUF source: the same
 * network and the same tokens as from the folder that the file was made of;
 * and the loss that a run reports is what logits of source and output say. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "quantize/optimize.h"

#include <math.h>

enum {
    N_TOK = 24
};

static char *made(const char *model, qn_optimize_params p)
{
    qn_err err = {0};
    char *to = judge_fresh("out");
    p.model = model;
    p.output_dir = to;
    p.n_threads = 2;
    if (qn_optimize_run(&p, NULL, &err) < 0)
        fail_msg("%s, %s: %s", model, p.method, err.msg);
    return to;
}

static char *file_in(const char *dir, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return strdup(path);
}

/* Orders of rows, transposed matrices, norms plus one, stacked experts: all of
 * it back. Quantized to 8 bits from both, to see that the layouts work. */
static void test_networks(void **state)
{
    static const char *const models[] = {"llama", "gpt2", "phi3", "gemma2",
                                         "mixtral"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(models); i++) {
        char name[100];
        int32_t ids[N_TOK];
        int n_vocab;
        snprintf(name, sizeof name, "models/%s", models[i]);
        const char *model = qn_test_data(name);
        char *gguf = made(model, (qn_optimize_params){.method = "gguf",
                                                      .type = "f32"});
        char *file = file_in(gguf, "model.gguf");
        static const char *const skip[] = {"q_proj"};
        qn_optimize_params p = {.method = "bitsandbytes",
                                .bits = 8,
                                .skip = skip, /* gemma2's are divided again:
                                                 an ulp, and other codes */
                                .n_skip = 1};
        char *from_file = made(file, p), *from_dir = made(model, p);
        for (int k = 0; k < N_TOK; k++)
            ids[k] = 5 + k * 7 % 90;
        float *a = judge_logits(from_dir, ids, N_TOK, &n_vocab);
        float *b = judge_logits(from_file, ids, N_TOK, &n_vocab);
        double e = judge_error(a, b, (size_t)(N_TOK * n_vocab));
        print_message("%s: %.1e\n", models[i], e);
        if (!(e < 1e-6)) /* (norm + 1) - 1 is the norm to 6e-8 */
            fail_msg("%s: relative error %g", models[i], e);
        free(a);
        free(b);
        free(file);
        free(gguf);
        free(from_file);
        free(from_dir);
    }
}

/* Calibrated methods see the same network, so they write the same numbers; of
 * a mixture the experts, too, both products of each. */
static void test_calibrated_methods(void **state)
{
    static const struct {
        const char *model, *method;
    } cases[] = {{"models/llama", "gptq"},
                 {"models/llama", "awq"},
                 {"models/mixtral", "gptq"},
                 {"models/mixtral", "awq"}};
    int32_t ids[96];
    (void)state;
    for (int i = 0; i < 96; i++)
        ids[i] = 1 + i * 29 % 97;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        const char *model = qn_test_data(cases[i].model);
        qn_optimize_params p = {.method = cases[i].method,
                                .group = 32,
                                .calibration_ids = ids,
                                .n_calibration_ids = 96,
                                .n_context = 32};
        int n_vocab;
        char *gguf = made(model, (qn_optimize_params){.method = "gguf",
                                                      .type = "f32"});
        char *file = file_in(gguf, "model.gguf");
        char *from_file = made(file, p), *from_dir = made(model, p);
        p.method = "rtn";
        p.format = cases[i].method;
        char *nearest = made(model, p);
        float *base = judge_logits(model, ids, N_TOK, &n_vocab);
        float *a = judge_logits(from_dir, ids, N_TOK, &n_vocab);
        float *b = judge_logits(from_file, ids, N_TOK, &n_vocab);
        float *c = judge_logits(nearest, ids, N_TOK, &n_vocab);
        size_t n = (size_t)(N_TOK * n_vocab);
        double e = judge_error(base, a, n), e0 = judge_error(base, c, n);
        print_message("%s %s: error %.4f, to nearest %.4f\n", cases[i].model,
                      cases[i].method, e, e0);
        assert_true(judge_error(a, b, n) < 1e-6);
        assert_true(e < e0);
        free(base);
        free(a);
        free(b);
        free(c);
        free(file);
        free(gguf);
        free(from_file);
        free(from_dir);
        free(nearest);
    }
}

static void same_tokens(const char *gguf)
{
    size_t n, m, len;
    char *text = qn_test_read_file(qn_test_data("quantize/held_out.txt"), &len);
    char *dir = made(gguf, (qn_optimize_params){.method = "bitsandbytes"});
    int32_t *a = judge_tokens(gguf, text, &n), *b = judge_tokens(dir, text, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            fail_msg("%s: token %zu is %d, in the folder %d", gguf, i, a[i],
                     b[i]);
    free(a);
    free(b);
    free(dir);
    free(text);
}

static void test_vocabularies(void **state)
{
    (void)state;
    const char *spm = qn_test_shared("data/models/gguf/stories260K-f32.gguf");
    char *bpe = judge_built_in();
    if (!bpe && !spm)
        QN_SKIP("no built-in model and no shared data");
    if (bpe)
        same_tokens(bpe);
    if (spm)
        same_tokens(spm);
}

/* A merge that is no UTF-8 has no form in tokenizer.json: it is not left out
 * silently. */
static void test_no_text(void **state)
{
    (void)state;
    static const char merge[] = "\3\0\0\0\0\0\0\0h e";
    char *model = judge_built_in(), path[4200];
    size_t n;
    if (!model)
        QN_SKIP("no built-in model");
    char *bytes = qn_test_read_file(model, &n);
    char *at = memmem(bytes, n, merge, sizeof merge - 1);
    assert_non_null(at);
    at[10] = (char)0xff;
    snprintf(path, sizeof path, "%s/no-text.gguf", qn_test_tmpdir());
    qn_test_write_file(path, bytes, n);
    qn_err err = {0};
    char *to = judge_fresh("out");
    qn_optimize_params p = {.method = "rtn", .model = path, .output_dir = to};
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "no text for tokenizer.json"));
    assert_null(qn_path_kind(to));
    free(bytes);
    free(to);
}

static void test_refused(void **state)
{
    (void)state;
    const char *q4 = qn_test_shared("data/models/gguf/stories260K-q4_0.gguf");
    if (!q4)
        QN_SKIP("no shared data");
    qn_err err = {0};
    char *to = judge_fresh("out");
    qn_optimize_params p = {.method = "rtn", .model = q4, .output_dir = to};
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "q4_0 already"));
    assert_null(qn_path_kind(to));
    free(to);
}

/* ---- the loss ------------------------------------------------------------ */

static double nll_of(const float *logits, const int32_t *ids, int n,
                     int n_vocab)
{
    double sum = 0;
    for (int r = 0; r + 1 < n; r++) {
        const float *x = logits + (size_t)r * (size_t)n_vocab;
        double all = 0;
        for (int i = 0; i < n_vocab; i++)
            all += exp((double)x[i] - (double)x[ids[r + 1]]);
        sum += log(all);
    }
    return sum / (n - 1);
}

static int best_of(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static double agreement(const float *a, const float *b, int n, int n_vocab)
{
    int same = 0;
    for (int r = 0; r < n; r++, a += n_vocab, b += n_vocab)
        same += best_of(a, n_vocab) == best_of(b, n_vocab);
    return (double)same / n;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v))
        fail_msg("the report has no %s", key);
    return json_number_value(v);
}

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%g instead of %g", got, want);
}

/* Against logits of exact arithmetic; the run computes as everything does by
 * default, activations in 8 bits where that is faster. */
static void test_loss(void **state)
{
    (void)state;
    char *model = judge_built_in();
    if (!model)
        QN_SKIP("no built-in model");
    qn_err err = {0};
    qn_optimize_report r = {0};
    char *to = judge_fresh("out"), *path = NULL;
    const char *text = qn_test_data("quantize/held_out.txt");
    size_t n, len, n_meta;
    int n_vocab;
    qn_optimize_params p = {.method = "gguf",
                            .type = "q4_0",
                            .model = model,
                            .output_dir = to,
                            .report_tokens = 128,
                            .report_text = text};
    if (qn_optimize_run(&p, &r, &err) < 0)
        fail_msg("%s", err.msg);
    char *words = qn_test_read_file(text, &len);
    int32_t *ids = judge_tokens(model, words, &n);
    assert_true(n > 128);
    path = file_in(to, "model.gguf");
    float *a = judge_logits(model, ids, 128, &n_vocab);
    float *b = judge_logits(path, ids, 128, &n_vocab);
    assert_int_equal(number(r.loss, "scored"), 127);
    near(number(r.loss, "perplexity_before"), exp(nll_of(a, ids, 128, n_vocab)),
         0.02);
    near(number(r.loss, "perplexity_after"), exp(nll_of(b, ids, 128, n_vocab)),
         0.02);
    near(number(r.loss, "kl_divergence"), judge_kl(a, b, 127, n_vocab), 0.15);
    near(number(r.loss, "top1_agreement"), agreement(a, b, 127, n_vocab), 0.05);
    char *meta = judge_slurp(to, "metadata.json", &n_meta);
    assert_non_null(strstr(meta, "\"kl_divergence\""));
    free(meta);
    json_decref(r.loss);
    json_decref(r.notes);
    free(a);
    free(b);
    free(ids);
    free(words);
    free(path);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_calibrated_methods),
        cmocka_unit_test(test_vocabularies),
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
