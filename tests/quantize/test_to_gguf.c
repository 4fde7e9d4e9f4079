/* Method gguf: the file opens, computes what its source computes within what
 * its formats round, and says which formats those are. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "quantize/gguf_out.h"
#include "quantize/optimize.h"

enum {
    N_TOK = 24
};

static void prompt(int32_t *ids)
{
    for (int i = 0; i < N_TOK; i++)
        ids[i] = 5 + i * 7 % 90;
}

static int make(const char *model, qn_optimize_params p, const char *to,
                qn_err *err)
{
    p.model = model;
    p.output_dir = to;
    p.method = "gguf";
    return qn_optimize_run(&p, NULL, err);
}

/* Relative error of the logits. */
static double error_of(const char *model, qn_optimize_params p, char **out)
{
    int32_t ids[N_TOK];
    qn_err err = {0};
    int n_vocab, n_vocab2;
    char *to = judge_fresh("gguf");
    if (make(model, p, to, &err) < 0)
        fail_msg("%s: %s", model, err.msg);
    prompt(ids);
    float *a = judge_logits(model, ids, N_TOK, &n_vocab);
    float *b = judge_logits(to, ids, N_TOK, &n_vocab2);
    assert_int_equal(n_vocab, n_vocab2);
    double e = judge_error(a, b, (size_t)(N_TOK * n_vocab));
    free(a);
    free(b);
    if (out)
        *out = to;
    else
        free(to);
    return e;
}

/* The networks have random weights, and rows of 64 mostly: formats of
 * super-blocks give way to those of 32. Rounding to b bits in blocks leaves an
 * error of about 2^-b of the largest in each weight, and some ten layers of
 * such products add up: 2^-b times 1.5 to 10, so that no format is another. */
static const struct {
    const char *type;
    int bits; /* 0: none are lost */
} type_cases[] = {
    {"f32", 0},    {"f16", 12},   {"bf16", 9}, {"q8_0", 8},
    {"q6_k", 8},   {"q5_0", 5},   {"q5_1", 5}, {"q5_k_m", 5},
    {"q4_0", 4},   {"q4_1", 4},   {"q4_k", 4}, {"q4_k_m", 4},
    {"iq4_nl", 4}, {"iq4_xs", 4}, {"q3_k", 4}, {"q2_k", 3},
};

static void test_types(void **state)
{
    static const char *const models[] = {"models/llama", "models/gpt2"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(type_cases); i++) {
        const char *model = qn_test_data(models[i % 2]);
        qn_optimize_params p = {.type = type_cases[i].type,
                                .n_threads = 1 + (int)(i % 3)};
        double e = error_of(model, p, NULL);
        print_message("%s %s: %.5f\n", models[i % 2], type_cases[i].type, e);
        double unit = pow(2, -type_cases[i].bits);
        bool fine = type_cases[i].bits ? e > 1.5 * unit && e < 10 * unit
                                       : e < 1e-6;
        if (!fine)
            fail_msg("%s: relative error of the logits %g", type_cases[i].type,
                     e);
    }
}

static json_t *metadata(const char *dir)
{
    char path[4200];
    json_t *j;
    qn_err err = {0};
    snprintf(path, sizeof path, "%s/metadata.json", dir);
    if (qn_json_load(&j, path, 1 << 20, &err) < 0)
        fail_msg("%s", err.msg);
    return j;
}

static const qn_tensor *tensor(const qn_ckpt *ck, const char *name)
{
    const qn_tensor *t = qn_ckpt_find(ck, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

/* Rules, kept modules, head and embeddings. */
static void test_rules(void **state)
{
    (void)state;
    static const char *const rules[] = {"*.layers.0.mlp.up_proj=q8_0",
                                        "attn_v=q5_1"};
    static const char *const skip[] = {"q_proj"};
    char *to;
    qn_ckpt *ck;
    error_of(qn_test_data("models/llama"),
             (qn_optimize_params){.type = "q4_0",
                                  .head_type = "q5_0",
                                  .embed_type = "q4_1",
                                  .rules = rules,
                                  .n_rules = 2,
                                  .skip = skip,
                                  .n_skip = 1},
             &to);
    assert_int_equal(qn_ckpt_open(&ck, to, NULL), 0);
    assert_int_equal(tensor(ck, "blk.0.ffn_up.weight")->dtype, QN_Q8_0);
    assert_int_equal(tensor(ck, "blk.1.ffn_up.weight")->dtype, QN_Q4_0);
    assert_int_equal(tensor(ck, "blk.1.attn_v.weight")->dtype, QN_Q5_1);
    assert_int_equal(tensor(ck, "blk.1.attn_q.weight")->dtype, QN_F32);
    assert_int_equal(tensor(ck, "blk.1.attn_norm.weight")->dtype, QN_F32);
    bool apart = qn_ckpt_find(ck, "output.weight") != NULL;
    assert_int_equal(tensor(ck, "token_embd.weight")->dtype,
                     apart ? QN_Q4_1 : QN_Q5_0);
    if (apart)
        assert_int_equal(tensor(ck, "output.weight")->dtype, QN_Q5_0);
    qn_ckpt_close(ck);

    json_t *m = metadata(to);
    const json_t *f = json_object_get(json_object_get(m, "options"), "formats");
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(f, "q8_0"), "tensors")),
                     1);
    assert_string_equal(json_string_value(json_object_get(m, "method")),
                        "gguf");
    json_decref(m);
    free(to);
}

/* The same bytes, whatever the threads. */
static void test_threads(void **state)
{
    (void)state;
    char *files[2], path[4200];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        char *to;
        error_of(qn_test_data("models/gpt2"),
                 (qn_optimize_params){.type = "q5_1", .n_threads = 1 + 2 * i},
                 &to);
        snprintf(path, sizeof path, "%s/model.gguf", to);
        files[i] = qn_test_read_file(path, &n[i]);
        free(to);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(files[0], files[1], n[0]);
    free(files[0]);
    free(files[1]);
}

/* GGUF from GGUF: tensors that keep their format keep their bytes, others are
 * rounded like those of the directory that the file came from. */
static void test_again(void **state)
{
    (void)state;
    const char *dir = qn_test_data("models/llama");
    char *f32, *one = judge_fresh("gguf"), *two = judge_fresh("gguf");
    char path[4200];
    qn_err err = {0};
    qn_ckpt *a, *b;
    error_of(dir, (qn_optimize_params){.type = "f32"}, &f32);
    snprintf(path, sizeof path, "%s/model.gguf", f32);
    if (make(path, (qn_optimize_params){.type = "q4_0"}, one, &err) < 0 ||
        make(dir, (qn_optimize_params){.type = "q4_0"}, two, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(qn_ckpt_open(&a, one, NULL), 0);
    assert_int_equal(qn_ckpt_open(&b, two, NULL), 0);
    assert_int_equal(qn_ckpt_n_tensors(a), qn_ckpt_n_tensors(b));
    assert_int_equal(qn_ckpt_gguf_n_kv(a), qn_ckpt_gguf_n_kv(b));
    for (size_t i = 0; i < qn_ckpt_n_tensors(a); i++) {
        const qn_tensor *t = qn_ckpt_tensor(a, i), *u = tensor(b, t->name);
        assert_int_equal(t->dtype, u->dtype);
        assert_int_equal(t->n_bytes, u->n_bytes);
        char *x = malloc(t->n_bytes), *y = malloc(t->n_bytes);
        assert_int_equal(qn_ckpt_read(a, t, 0, x, t->n_bytes, NULL), 0);
        assert_int_equal(qn_ckpt_read(b, u, 0, y, t->n_bytes, NULL), 0);
        assert_memory_equal(x, y, t->n_bytes);
        free(x);
        free(y);
    }
    qn_ckpt_close(a);
    qn_ckpt_close(b);
    char *three = judge_fresh("gguf");
    assert_int_equal(make(one, (qn_optimize_params){.type = "q8_0"}, three,
                          &err),
                     QN_EUNSUP);
    assert_non_null(strstr(err.msg, "q4_0 already"));
    free(f32);
    free(one);
    free(two);
    free(three);
}

static void add_i32(qn_str *s, size_t v)
{
    int32_t i = (int32_t)v;
    qn_str_add(s, (const char *)&i, sizeof i);
}

static float *floats_of(const qn_ckpt *ck, const qn_tensor *t)
{
    float *v = malloc(t->n_bytes);
    assert_int_equal(qn_ckpt_read(ck, t, 0, v, t->n_bytes, NULL), 0);
    return v;
}

/* The same matrix as llama.cpp wrote it before: means times a number of calls
 * (two: no rounding), stacks in one. */
static void write_old(const char *gguf, const char *path)
{
    static const char sums[] = ".in_sum2";
    qn_ckpt *ck;
    qn_str s = {0}, rows = {0};
    size_t n = 0;
    assert_int_equal(qn_ckpt_open_tensors(&ck, gguf, NULL), 0);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        char name[128];
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        int len = (int)(strlen(t->name) - strlen(sums));
        if (!qn_ends(t->name, sums))
            continue;
        snprintf(name, sizeof name, "%.*s.counts", len, t->name);
        float *v = floats_of(ck, t), *c = floats_of(ck, tensor(ck, name));
        size_t row = t->n_elems / (size_t)t->shape[0];
        add_i32(&rows, (size_t)len);
        qn_str_add(&rows, t->name, (size_t)len);
        add_i32(&rows, 2);
        add_i32(&rows, t->n_elems);
        for (size_t k = 0; k < t->n_elems; k++) {
            float count = c[k / row], x = count > 0 ? v[k] / count * 2 : 0;
            qn_str_add(&rows, (const char *)&x, sizeof x);
        }
        free(v);
        free(c);
        n++;
    }
    add_i32(&s, n);
    qn_str_add(&s, rows.p, rows.n);
    add_i32(&s, 4);
    add_i32(&s, 4);
    qn_str_adds(&s, "text");
    qn_test_write_file(path, s.p, s.n);
    qn_str_deinit(&rows);
    qn_str_deinit(&s);
    qn_ckpt_close(ck);
}

/* The file that importance matrix `path` makes of mixtral is `want`. */
static void same_by(const char *path, const char *want, size_t n)
{
    char *to = judge_fresh("gguf");
    qn_err err = {0};
    size_t m;
    qn_optimize_params p = {.type = "iq4_nl", .imatrix = path};
    if (make(qn_test_data("models/mixtral"), p, to, &err) < 0)
        fail_msg("%s", err.msg);
    char *got = judge_slurp(to, "model.gguf", &m);
    assert_int_equal(n, m);
    assert_memory_equal(want, got, n);
    free(got);
    free(to);
}

/* An importance matrix is written, read again to the same file (in its older
 * form, too), and refused where it is of another model. */
static void test_importance(void **state)
{
    (void)state;
    int32_t ids[64];
    char *im = judge_fresh("im"), path[4200];
    char *one = judge_fresh("gguf"), *two = judge_fresh("gguf");
    qn_err err = {0};
    size_t n;
    for (int i = 0; i < 64; i++)
        ids[i] = 1 + i * 29 % 97;
    snprintf(path, sizeof path, "%s.gguf", im);
    qn_optimize_params p = {.type = "iq4_nl",
                            .calibration_ids = ids,
                            .n_calibration_ids = 64,
                            .n_context = 16,
                            .imatrix_out = path};
    const char *mixtral = qn_test_data("models/mixtral");
    if (make(mixtral, p, one, &err) < 0)
        fail_msg("%s", err.msg);
    qn_ckpt *ck;
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, &err), 0);
    const qn_tensor *t = tensor(ck, "blk.0.attn_q.weight.in_sum2");
    assert_int_equal(t->shape[0], 1);
    t = tensor(ck, "blk.1.ffn_up_exps.weight.counts");
    assert_true(t->shape[0] > 1); /* experts */
    float counts[64], sum = 0;
    assert_true(t->n_elems <= 64);
    assert_int_equal(qn_ckpt_read(ck, t, 0, counts, t->n_bytes, NULL), 0);
    for (size_t i = 0; i < t->n_elems; i++)
        sum += counts[i];
    assert_true(sum == 64 * 2); /* each token goes to two */
    qn_ckpt_close(ck);
    char *a = judge_slurp(one, "model.gguf", &n), old[4300];
    same_by(path, a, n);
    snprintf(old, sizeof old, "%s.dat", im);
    write_old(path, old);
    same_by(old, a, n);
    free(a);
    p = (qn_optimize_params){.type = "iq4_nl", .imatrix = old};
    assert_int_equal(make(qn_test_data("models/gemma2"), p, two, &err),
                     QN_EFORMAT);
    assert_non_null(strstr(err.msg, "another model"));
    free(im);
    free(one);
    free(two);
}

static void refuse(const char *model, qn_optimize_params p, const char *word)
{
    char *to = judge_fresh("gguf");
    qn_err err = {0};
    assert_int_equal(make(model, p, to, &err), QN_EUNSUP);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say %s", err.msg, word);
    assert_false(qn_path_is_dir(to));
    free(to);
}

static void test_refused(void **state)
{
    (void)state;
    const char *llama = qn_test_data("models/llama");
    refuse(llama, (qn_optimize_params){.type = "q9_9"}, "q4_k_m");
    refuse(llama, (qn_optimize_params){.bits = 7}, "7 bits");
    refuse(llama, (qn_optimize_params){.head_type = "nf4"}, "--head-type");
    refuse(llama, (qn_optimize_params){.group = 64}, "--group-size");
    refuse(llama, (qn_optimize_params){.double_quant = true}, "double-quant");
    refuse(qn_test_data("models/opt350"), (qn_optimize_params){.bits = 8},
           "opt");
    refuse(qn_test_data("models_quant/opt_bnb_fp4_dq"),
           (qn_optimize_params){.bits = 8}, "quantized already");
    static const char *const bad[] = {"up_proj"};
    qn_err err = {0};
    char *to = judge_fresh("gguf");
    assert_int_equal(
        make(llama, (qn_optimize_params){.rules = bad, .n_rules = 1}, to, &err),
        QN_EINVAL);
    assert_non_null(strstr(err.msg, "PATTERN=TYPE"));
    free(to);
}

/* Of a format of super-blocks that does not fill rows. */
static void test_fitting(void **state)
{
    (void)state;
    assert_int_equal(qn_gguf_type_fitting(QN_Q4_K, 512), QN_Q4_K);
    assert_int_equal(qn_gguf_type_fitting(QN_Q4_K, 320), QN_IQ4_NL);
    assert_int_equal(qn_gguf_type_fitting(QN_Q6_K, 32), QN_Q8_0);
    assert_int_equal(qn_gguf_type_fitting(QN_Q6_K, 33), QN_F16);
    assert_int_equal(qn_gguf_type_fitting(QN_Q4_0, 40), QN_F16);
    assert_int_equal(qn_gguf_type_fitting(QN_F32, 1), QN_F32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),      cmocka_unit_test(test_rules),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_again),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_fitting),
        cmocka_unit_test(test_importance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
