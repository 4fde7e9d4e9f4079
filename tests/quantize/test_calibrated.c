/* What calibrated methods lose on real weights, against rounding to nearest:
 * the mean KL divergence from the unquantized network on a text that was not
 * calibrated with. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "ckpt/ckpt.h"
#include "quantize/calibration_text_tab.h"
#include "quantize/optimize.h"

enum {
    MOST = 200 /* tokens to judge by */
};

typedef struct judged {
    const char *model; /* directory */
    int32_t *ids, *calibration;
    int n;
    size_t n_calibration;
    float *base;
    int n_vocab;
} judged;

static char *built_in_text(void)
{
    size_t n = 1;
    for (size_t i = 0; i < QN_COUNTOF(calibration_text); i++)
        n += strlen(calibration_text[i]);
    char *s = malloc(n), *at = s;
    for (size_t i = 0; i < QN_COUNTOF(calibration_text); i++)
        at = stpcpy(at, calibration_text[i]);
    return s;
}

static void judged_open(judged *j, const char *vocab, char *model)
{
    size_t n;
    char *text = qn_test_read_file(qn_test_data("quantize/held_out.txt"), &n);
    char *cal = built_in_text();
    j->model = model;
    j->ids = judge_tokens(vocab, text, &n);
    j->n = (int)QN_MIN(n, (size_t)MOST);
    j->calibration = judge_tokens(vocab, cal, &j->n_calibration);
    j->base = judge_logits(model, j->ids, j->n, &j->n_vocab);
    free(text);
    free(cal);
}

static void judged_close(judged *j)
{
    free(j->ids);
    free(j->calibration);
    free(j->base);
}

static double bits; /* of what was judged last */

static double kl_of(const judged *j, qn_optimize_params p)
{
    qn_err err = {0};
    qn_optimize_report report;
    char *to = judge_fresh("q");
    int n_vocab;
    p.model = j->model;
    p.output_dir = to;
    p.calibration_ids = j->calibration;
    p.n_calibration_ids = j->n_calibration;
    p.n_samples = 12;
    p.n_context = 128;
    p.n_threads = 1;
    if (qn_optimize_run(&p, &report, &err) < 0)
        fail_msg("%s %s: %s", p.method, p.format ? p.format : "", err.msg);
    float *other = judge_logits(to, j->ids, j->n, &n_vocab);
    double kl = judge_kl(j->base, other, j->n, n_vocab);
    print_message("%s %s%s%s%s%s: KL %.5f at %.2f bits, %.2f s\n", p.method,
                  p.format ? p.format
                  : p.type ? p.type
                           : "",
                  p.asymmetric ? " asymmetric" : "",
                  p.desc_act ? " desc_act" : "", p.weigh ? " weighed" : "",
                  p.static_groups ? " static" : "", kl, report.bits_quantized,
                  report.seconds);
    assert_true(p.target_bits == 0 || report.bits_quantized <= p.target_bits);
    bits = report.bits_quantized;
    json_decref(report.table);
    json_decref(report.notes);
    free(other);
    free(to);
    return kl;
}

/* Methods with one format for all, which every model allows; those that take
 * more bits than the target are no rivals. */
static const qn_optimize_params uniform[] = {
    {.method = "rtn", .group = -1, .asymmetric = true},
    {.method = "rtn", .group = -1, .bits = 3, .asymmetric = true},
    {.method = "bitsandbytes", .double_quant = true},
    {.method = "bitsandbytes", .group = 256},
    {.method = "bitsandbytes", .group = 4096},
    {.method = "bitsandbytes", .type = "fp4", .double_quant = true},
};

static int count_rivals(const judged *j, const qn_optimize_params *rival,
                        size_t n, const qn_optimize_params *mixed, double least)
{
    int rivals = 0;
    for (size_t i = 0; i < n; i++) {
        qn_optimize_params p = rival[i];
        p.only = mixed->only;
        p.n_only = mixed->n_only;
        double kl = kl_of(j, p);
        if (bits > mixed->target_bits)
            continue;
        assert_true(least < kl);
        rivals++;
    }
    return rivals;
}

/* auto has a lower KL than each of them at no more bits. */
static void beats_uniform(const judged *j, qn_optimize_params mixed,
                          const qn_optimize_params *more, size_t n_more)
{
    double least = kl_of(j, mixed);
    int n = count_rivals(j, uniform, QN_COUNTOF(uniform), &mixed, least);
    n += count_rivals(j, more, n_more, &mixed, least);
    assert_true(n >= 4);
}

/* Four bits in groups of 64, as the issue asks; mixed ones against all that
 * are not more on average. */
static void test_built_in(void **state)
{
    (void)state;
    char *gguf = judge_built_in();
    if (!gguf)
        QN_SKIP("no built-in model");
    judged j = {0};
    char *dir = judge_as_hf(gguf);
    judged_open(&j, gguf, dir);
    static const char *const some[] = {"*.layers.1.*", "*.layers.6.*"};
    qn_optimize_params p = {.method = "rtn",
                            .format = "gptq",
                            .group = 64,
                            .only = some, /* all take minutes of a core */
                            .n_only = getenv("ALL_LAYERS") ? 0 : 2};
    double nearest = kl_of(&j, p);
    p.method = "gptq";
    assert_true(kl_of(&j, p) < nearest);
    p.method = "rtn";
    p.format = "awq";
    nearest = kl_of(&j, p);
    p.method = "awq";
    assert_true(kl_of(&j, p) < nearest);

    static const qn_optimize_params more[] = {
        {.method = "gptq", .group = 128, .asymmetric = true},
        {.method = "awq", .group = 128},
    };
    beats_uniform(&j,
                  (qn_optimize_params){.method = "auto",
                                       .target_bits = 4.25,
                                       .only = p.only,
                                       .n_only = p.n_only},
                  more, QN_COUNTOF(more));
    judged_close(&j);
    free(dir);
}

static void test_stories(void **state)
{
    (void)state;
    const char *dir = qn_test_shared("data/models/hf/stories260K");
    if (!dir)
        QN_SKIP("no shared data");
    static const char *const skip[] = {"down_proj"}; /* rows of 172 */
    judged j = {0};
    judged_open(&j, dir, (char *)(uintptr_t)dir);
    qn_optimize_params p = {.method = "rtn",
                            .group = 64,
                            .format = "compressed-tensors",
                            .skip = skip,
                            .n_skip = 1};
    double nearest = kl_of(&j, p);
    p.method = "gptq";
    assert_true(kl_of(&j, p) < nearest);
    p.desc_act = true;
    assert_true(kl_of(&j, p) < nearest);
    p.desc_act = false;
    p.method = "awq";
    assert_true(kl_of(&j, p) < nearest);
    p.asymmetric = true;
    p.method = "rtn";
    nearest = kl_of(&j, p);
    p.method = "gptq";
    assert_true(kl_of(&j, p) < nearest);
    p.method = "awq";
    assert_true(kl_of(&j, p) < nearest);
    /* Rows of 64 and 172: a scale for each, three bits or blocks of nf4 are what
     * uniform methods have below 4.25. */
    static const qn_optimize_params more[] = {
        {.method = "gptq",
         .format = "compressed-tensors",
         .group = -1,
         .bits = 3,
         .asymmetric = true},
        {.method = "awq",
         .format = "compressed-tensors",
         .group = -1,
         .bits = 3,
         .asymmetric = true},
    };
    beats_uniform(&j,
                  (qn_optimize_params){.method = "auto", .target_bits = 4.25},
                  more, QN_COUNTOF(more));
    qn_optimize_params gguf = {.method = "gguf", .type = "iq4_nl"};
    nearest = kl_of(&j, gguf);
    gguf.weigh = true;
    assert_true(kl_of(&j, gguf) < nearest);
    judged_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
