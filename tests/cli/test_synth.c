/* Checkpoints of random weights: every shape's parameter count is the
 * published one, a small one of each family opens and gives sane logits, the
 * tokenizer goes there and back, the bytes depend on the seed alone. */
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/synth.h"

/* As the model cards state them, in millions. */
static const struct {
    const char *name;
    double m;
} published[] = {
    {"llama-3.2-1b", 1235.8}, {"llama-3.2-3b", 3212.7},
    {"llama-3.1-8b", 8030.3}, {"qwen2.5-0.5b", 494.0},
    {"qwen2.5-1.5b", 1543.7}, {"qwen2.5-7b", 7615.6},
    {"qwen3-0.6b", 596.0},    {"qwen3-1.7b", 1720.6},
    {"qwen3-4b", 4022.5},     {"qwen3-8b", 8190.7},
    {"mistral-7b", 7248.0},   {"mixtral-8x7b", 46702.8},
    {"opt-125m", 125.2},      {"opt-350m", 331.2},
    {"opt-1.3b", 1315.8},     {"opt-6.7b", 6658.5},
    {"gpt2", 124.4},          {"gpt2-medium", 354.8},
    {"gpt2-large", 774.0},    {"gpt2-xl", 1557.6},
};

static void test_shapes(void **state)
{
    (void)state;
    uint64_t n;
    for (size_t i = 0; i < QN_COUNTOF(published); i++) {
        assert_string_equal(qn_synth_shape_name(i, &n), published[i].name);
        assert_true(fabs((double)n * 1e-6 - published[i].m) < 0.06);
        assert_non_null(
            strstr(qn_cmd_synth.groups[0].opts[0].arg, published[i].name));
    }
    assert_null(qn_synth_shape_name(QN_COUNTOF(published), &n));
}

static const char *make(const char *shape, const char *dtype, uint64_t seed,
                        uint64_t shard_size)
{
    const char *dir = qn_test_tmpdir();
    qn_err err = {0};
    qn_synth_params p = {.shape = shape,
                         .dtype = dtype,
                         .seed = seed,
                         .dir = dir,
                         .n_layer = 1,
                         .shard_size = shard_size};
    if (qn_synth_write(&p, &err) < 0)
        fail_msg("%s", err.msg);
    return dir;
}

static qn_model *open_model(const char *dir)
{
    qn_model *m = NULL;
    qn_err err = {0};
    qn_model_params p = {.n_threads = 2};
    if (qn_model_open(&m, dir, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return m;
}

static void check_logits(const char *shape, const float *x, int n, int n_vocab)
{
    double sum = 0, sq = 0;
    for (int i = 0; i < n * n_vocab; i++) {
        assert_true(isfinite(x[i]));
        sum += (double)x[i];
        sq += (double)x[i] * (double)x[i];
    }
    double mean = sum / (n * n_vocab), dev = sqrt(sq / (n * n_vocab));
    if (!(fabs(mean) < 1 && dev > 0.5 && dev < 8))
        fail_msg("%s: logits of mean %g, deviation %g", shape, mean, dev);
}

static void check_text(const qn_model *m)
{
    static const char text[] = "The mill, grinding 3 sacks; \xc3\xa9t\xc3\xa9!";
    int32_t *ids = NULL;
    size_t n = 0, len = 0;
    char *back = NULL;
    qn_err err = {0};
    if (qn_tokenize(m, text, strlen(text), true, false, &ids, &n, &err) < 0)
        fail_msg("%s", err.msg);
    assert_in_range(n, 5, strlen(text));
    assert_int_equal(qn_detokenize(m, ids, n, true, &back, &len, &err), 0);
    assert_string_equal(back, text);
    qn_free(back);
    qn_free(ids);
    for (int32_t id = 0; id < qn_model_n_vocab(m); id++)
        if (!qn_token_text(m, id, &len))
            fail_msg("id %d has no text", (int)id);
}

static void run(const char *shape, const char *dtype)
{
    enum {
        N = 16
    };
    const char *dir = make(shape, dtype, 1, 0);
    qn_model *m = open_model(dir);
    qn_engine *e = NULL;
    qn_request *r = NULL;
    qn_request_params p;
    qn_err err = {0};
    int32_t prompt[N];
    for (int i = 0; i < N; i++)
        prompt[i] = 300 + 7 * i;
    qn_engine_params ep = {.n_ctx = 64, .max_seqs = 1};
    if (qn_engine_new(&e, m, &ep, &err) < 0)
        fail_msg("%s", err.msg);
    qn_request_params_default(&p);
    p.prompt = prompt;
    p.n_prompt = N;
    p.max_new_tokens = 0;
    p.prompt_logits = true;
    assert_int_equal(qn_request_submit(e, &p, &r, &err), 0);
    while (qn_engine_step(e, &err) > 0)
        ;
    check_logits(shape, qn_request_prompt_logits(r), N, qn_model_n_vocab(m));
    qn_request_free(r);
    qn_engine_free(e);
    check_text(m);
    qn_model_close(m);
}

static void test_families(void **state)
{
    (void)state;
    run("qwen2.5-0.5b", "bf16");
    run("qwen3-0.6b", "f16");
    run("opt-350m", "bf16");
    run("gpt2", "f32");
}

static uint64_t hash_of(const char *dir, const char *name)
{
    size_t n;
    char *path = qn_path_join(dir, name);
    char *p = qn_test_read_file(path, &n);
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
    free(p);
    qn_free(path);
    return h;
}

static void test_seed_and_shards(void **state)
{
    (void)state;
    const char *a = make("opt-350m", "bf16", 7, 0);
    const char *b = make("opt-350m", "bf16", 7, 0);
    const char *c = make("opt-350m", "bf16", 8, 0);
    assert_int_equal(hash_of(a, "model.safetensors"),
                     hash_of(b, "model.safetensors"));
    assert_int_not_equal(hash_of(a, "model.safetensors"),
                         hash_of(c, "model.safetensors"));
    const char *d = make("opt-350m", "bf16", 7, 30 << 20);
    qn_model *m = open_model(d);
    char *info = NULL;
    assert_int_equal(qn_model_info(m, 0, 0, &info, NULL), 0);
    qn_free(info);
    qn_model_close(m);
    char *index = qn_path_join(d, "model.safetensors.index.json");
    assert_true(qn_path_is_file(index));
    qn_free(index);
}

static bool stop_early(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    assert_true(done <= total);
    return done < total / 2;
}

static void test_refused(void **state)
{
    (void)state;
    const char *dir = qn_test_tmpdir();
    qn_err err = {0};
    qn_synth_params p = {.shape = "nothing", .dtype = "bf16", .dir = dir};
    assert_int_equal(qn_synth_write(&p, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "nothing"));
    p.shape = "gpt2";
    p.dtype = "int3";
    assert_int_equal(qn_synth_write(&p, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "int3"));
    p.dtype = "bf16";
    p.n_layer = 1;
    p.progress = stop_early;
    assert_int_equal(qn_synth_write(&p, &err), QN_ECANCEL);
    char *path = qn_path_join(dir, "model.safetensors");
    assert_false(qn_path_is_file(path));
    qn_free(path);
    p.dir = "/dev/null/x";
    assert_true(qn_synth_write(&p, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_seed_and_shards),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
