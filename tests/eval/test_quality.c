/* What quantizing may cost, held on a trained network (stories260K): 8 bits
 * nothing that matters, more bits less than fewer, and calibrated methods less
 * than rounding to nearest. docs/quantization.md has the whole tables. */
#include "asked.h"

#include "eval/eval.h"
#include "quantize/optimize.h"

enum {
    FEW = 16, /* stories: enough for differences as large as those of 4 bits */
    ALL = 64
};

typedef struct cost {
    double kl, ratio; /* mean KL divergence; of perplexities */
} cost;

static const char *base, *corpus, *calibration;
static qn_eval_rows rows_few, rows_all; /* of the base */

static cost measure(const char *path, int n_stories, qn_eval_rows *keep)
{
    qn_model *m = asked_open(path, true);
    json_t *o = NULL;
    qn_err err = {0};
    cost c = {0};
    qn_eval_text_params p = {.model = m,
                             .base_rows = keep               ? NULL
                                          : n_stories == ALL ? &rows_all
                                                             : &rows_few,
                             .keep = keep,
                             .n_threads = 1,
                             .text = {.path = corpus,
                                      .split = "<|endoftext|>",
                                      .skip = 1,
                                      .limit = (size_t)n_stories,
                                      .max_tokens = 512,
                                      .context = 512}};
    if (qn_eval_text(&o, &p, &err) < 0)
        fail_msg("%s", err.msg);
    if (!keep) {
        c.kl = asked_number(o, "kl", "mean");
        c.ratio = asked_number(o, "perplexity_ratio", "value");
    }
    json_decref(o);
    qn_model_close(m);
    return c;
}

static cost made_cost(const char *method, int bits, int64_t group,
                      int n_stories, bool attention)
{
    static const char *const skip[] = {"down_proj"}; /* rows of 172 */
    static const char *const only[] = {"*self_attn*"};
    static int n;
    char dir[4096];
    qn_err err = {0};
    snprintf(dir, sizeof dir, "%s/made%d", qn_test_tmpdir(), n++);
    qn_optimize_params p = {.model = base,
                            .output_dir = dir,
                            .method = method,
                            .bits = bits,
                            .group = group,
                            .n_threads = 1};
    if (strcmp(method, "bitsandbytes") != 0) {
        p.format = "compressed-tensors";
        p.asymmetric = true;
        p.skip = skip;
        p.n_skip = 1;
    }
    if (strcmp(method, "gptq") == 0 || strcmp(method, "awq") == 0) {
        p.calibration = calibration;
        p.n_samples = 8;
    }
    if (attention) { /* AWQ's layout wants multiples of 8 rows */
        p.format = "awq";
        p.only = only;
        p.n_only = 1;
    }
    if (qn_optimize_run(&p, NULL, &err) < 0)
        fail_msg("%s %d: %s", method, bits, err.msg);
    cost c = measure(dir, n_stories, NULL);
    print_message("%-12s %d bits: KL %.5f, perplexity x %.4f\n", method, bits,
                  c.kl, c.ratio);
    return c;
}

static cost cost_of(const char *method, int bits, int64_t group, int n_stories)
{
    return made_cost(method, bits, group, n_stories, false);
}

/* The text that calibrates is not the text that measures. */
static void make_calibration(void)
{
    size_t n;
    char *text = qn_test_read_file(corpus, &n);
    const char *tail = strstr(text + n / 2, "<|endoftext|>");
    assert_non_null(tail);
    char path[4096];
    snprintf(path, sizeof path, "%s/calibration.txt", qn_test_tmpdir());
    qn_test_write_file(path, tail, 60000);
    calibration = strdup(path);
    free(text);
}

static void test_costs(void **state)
{
    (void)state;
    base = qn_test_shared("data/models/hf/stories260K");
    corpus = qn_test_shared("data/corpora/tinystories-train-2MiB.txt");
    if (!base || !corpus)
        QN_SKIP("no shared data");
    make_calibration();
    measure(base, FEW, &rows_few);
    measure(base, ALL, &rows_all);
    assert_true(rows_few.v && rows_all.v);

    cost int8 = cost_of("bitsandbytes", 8, 0, ALL);
    assert_true(fabs(int8.ratio - 1) <= 0.001);
    cost rtn8 = cost_of("rtn", 8, 64, FEW);
    cost nf4 = cost_of("bitsandbytes", 4, 0, FEW);
    assert_true(nf4.kl > int8.kl);
    cost rtn4 = cost_of("rtn", 4, 64, FEW), rtn3 = cost_of("rtn", 3, 64, FEW);
    assert_true(rtn8.kl < rtn4.kl && rtn4.kl < rtn3.kl);
    cost gptq4 = cost_of("gptq", 4, 64, FEW);
    cost gptq3 = cost_of("gptq", 3, 64, FEW);
    assert_true(gptq4.kl < rtn4.kl);
    assert_true(gptq3.kl < rtn3.kl);
    cost rtn_part = made_cost("rtn", 4, 64, FEW, true);
    cost awq_part = made_cost("awq", 4, 64, FEW, true);
    assert_true(awq_part.kl < rtn_part.kl);
    qn_eval_rows_free(&rows_few);
    qn_eval_rows_free(&rows_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
