/* Which matrices are quantized, in which groups, and what rules leave: a group
 * size that fits where none was named; experts that lie in one tensor are
 * refused or left; what AWQ divides may itself be left alone. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "ckpt/safetensors_write.h"
#include "quantize/optimize.h"

enum {
    N_IDS = 96,
    N_TOK = 24
};
static int32_t ids[N_IDS];

static int optimize(qn_optimize_params p, char **to, qn_optimize_report *r,
                    qn_err *err)
{
    for (int k = 0; k < N_IDS; k++)
        ids[k] = 1 + k * 29 % 97;
    *to = judge_fresh("out");
    *r = (qn_optimize_report){0};
    p.output_dir = *to;
    p.n_threads = 1;
    if (strcmp(p.method, "gptq") == 0 || strcmp(p.method, "awq") == 0) {
        p.calibration_ids = ids;
        p.n_calibration_ids = N_IDS;
        p.n_context = 32;
    }
    int rc = qn_optimize_run(&p, r, err);
    json_decref(r->table);
    json_decref(r->notes);
    return rc;
}

static char *made(qn_optimize_params p, qn_optimize_report *r)
{
    qn_err err = {0};
    char *to;
    if (optimize(p, &to, r, &err) < 0)
        fail_msg("%s: %s", p.method, err.msg);
    return to;
}

static void refuse(qn_optimize_params p, const char *word)
{
    qn_err err = {0};
    qn_optimize_report r;
    char *to;
    assert_int_equal(optimize(p, &to, &r, &err), QN_EUNSUP);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
    assert_false(qn_path_is_dir(to));
    free(to);
}

/* Relative error of the logits. */
static double error_of(const char *model, const char *made_of_it)
{
    int n_vocab;
    for (int k = 0; k < N_TOK; k++)
        ids[k] = 5 + k * 7 % 90;
    float *a = judge_logits(model, ids, N_TOK, &n_vocab);
    float *b = judge_logits(made_of_it, ids, N_TOK, &n_vocab);
    double e = judge_error(a, b, (size_t)(N_TOK * n_vocab));
    free(a);
    free(b);
    return e;
}

/* ---- groups ---------------------------------------------------------------- */

static json_t *config_of(const char *dir)
{
    size_t n;
    json_t *o;
    char *text = judge_slurp(dir, "config.json", &n);
    assert_int_equal(qn_json_parse(&o, text, n, "config.json", NULL), 0);
    free(text);
    return o;
}

/* Rows of 64 and 160. */
static void test_group(void **state)
{
    (void)state;
    static const char *const methods[] = {"rtn", "gptq", "awq"};
    static const char *const skip[] = {"down_proj"};
    const char *model = qn_test_data("models/llama");
    for (size_t i = 0; i < QN_COUNTOF(methods); i++) {
        qn_optimize_report r;
        qn_optimize_params p = {.model = model, .method = methods[i]};
        char *to = made(p, &r);
        assert_int_equal(r.group, 32);
        assert_true(error_of(model, to) < 0.6); /* and it can be read */
        json_t *c = config_of(to),
               *q = json_object_get(c, "quantization_config");
        const json_t *size = json_object_get(q, "group_size");
        if (strcmp(p.method, "rtn") == 0)
            size = json_object_get(
                json_object_get(
                    json_object_get(json_object_get(q, "config_groups"),
                                    "group_0"),
                    "weights"),
                "group_size");
        assert_int_equal(json_integer_value(size), 32);
        json_decref(c);
        free(to);
        p.skip = skip;
        p.n_skip = 1;
        free(made(p, &r));
        assert_int_equal(r.group, 64);
        p.group = 64; /* as it was said: nothing was chosen */
        free(made(p, &r));
        assert_int_equal(r.group, 0);
        p.n_skip = 0;
        refuse(p, "--group-size");
    }
}

/* Rows of 4 in a network of rows of 64: a few of the weights, which stay as
 * they are and are named; they do not take the groups from all others. */
static void test_narrow(void **state)
{
    (void)state;
    const char *model = qn_test_shared("goldens/models/mamba");
    if (!model)
        QN_SKIP("no shared data");
    qn_optimize_report r;
    qn_optimize_params p = {.model = model, .method = "rtn"};
    char *to = made(p, &r);
    assert_int_equal(r.group, 64);
    json_t *c = config_of(to), *q = json_object_get(c, "quantization_config");
    char *ignored = json_dumps(json_object_get(q, "ignore"), 0);
    assert_non_null(strstr(ignored, "layers.0.mixer.dt_proj"));
    free(ignored);
    json_decref(c);
    free(to);
    p.group = 64; /* said or chosen: it is the same */
    to = made(p, &r);
    assert_int_equal(r.n_matrices, 6);
    free(to);
}

/* Bits by pattern: what has them is read again, and the configuration names
 * each. */
static void test_bits(void **state)
{
    (void)state;
    static const char *const methods[] = {"rtn", "gptq", "awq"};
    static const char *const more[] = {"down_proj=8", "*.layers.1.*=6",
                                       "*.layers.1.mlp.*=2"};
    static const char *const fewer[] = {"q_proj=2"}, *const odd[] = {
                                                         "q_proj=7"};
    const char *model = qn_test_data("models/llama");
    for (size_t i = 0; i < QN_COUNTOF(methods); i++) {
        qn_optimize_report plain, r;
        qn_optimize_params p = {.model = model,
                                .method = methods[i],
                                .format = "compressed-tensors"};
        char *without = made(p, &plain);
        p.rules = more;
        p.n_rules = 3;
        char *to = made(p, &r);
        assert_true(r.bits_quantized > plain.bits_quantized + 0.8);
        assert_true(error_of(model, to) < 0.9 * error_of(model, without));
        json_t *c = config_of(to), *g;
        const char *key;
        size_t n = 0, names = 0;
        json_object_foreach(
            json_object_get(json_object_get(c, "quantization_config"),
                            "config_groups"),
            key, g)
        {
            n++;
            names += json_array_size(json_object_get(g, "targets"));
        }
        assert_int_equal(n, 3); /* 4, 6 and 8 bits; the third is never first */
        assert_int_equal(names, r.n_matrices);
        json_decref(c);
        free(to);
        p.rules = fewer;
        p.n_rules = 1;
        to = made(p, &r);
        assert_true(r.bits_quantized < plain.bits_quantized);
        assert_true(error_of(model, to) > error_of(model, without));
        p.format = methods[i][0] == 'r' ? "gptq" : methods[i];
        refuse(p, "--rule");
        free(to);
        free(without);
    }
    qn_optimize_params p = {.model = model,
                            .method = "rtn",
                            .rules = odd,
                            .n_rules = 1,
                            .output_dir = "nowhere"};
    qn_err err = {0};
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "not \"7\""));
    assert_false(qn_path_is_dir("nowhere"));
}

/* A configuration that says in so many words that nothing is quantized: the
 * output has that member once. */
static void test_null_config(void **state)
{
    (void)state;
    const char *model = qn_test_data("models/llama");
    char *dir = judge_fresh("null"), path[4200];
    qn_optimize_report r;
    size_t n, m = 0;
    assert_int_equal(qn_mkdirs(dir, NULL), 0);
    char *w = judge_slurp(model, "model.safetensors", &n);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    qn_test_write_file(path, w, n);
    free(w);
    json_t *c = config_of(model);
    json_object_set_new(c, "quantization_config", json_null());
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(json_dump_file(c, path, 0), 0);
    json_decref(c);
    char *to = made((qn_optimize_params){.model = dir, .method = "rtn"}, &r);
    char *text = judge_slurp(to, "config.json", &n);
    for (char *at = text; (at = strstr(at, "\"quantization_config\"")); at++)
        m++;
    assert_int_equal(m, 1);
    free(text);
    c = config_of(to);
    assert_true(json_object_size(json_object_get(c, "quantization_config")) >
                2);
    assert_true(json_real_value(json_object_get(c, "rms_norm_eps")) == 1e-5);
    json_decref(c);
    free(dir);
    free(to);
}

/* ---- experts in one tensor -------------------------------------------------- */

static const char stacked_config[] =
    "{\"model_type\": \"granitemoe\", \"attention_bias\": false, "
    "\"attention_multiplier\": 0.1, \"embedding_multiplier\": 6.0, "
    "\"hidden_act\": \"silu\", \"hidden_size\": 64, \"intermediate_size\": 64, "
    "\"logits_scaling\": 2.0, \"max_position_embeddings\": 256, "
    "\"num_attention_heads\": 4, \"num_experts_per_tok\": 2, "
    "\"num_hidden_layers\": 1, \"num_key_value_heads\": 2, "
    "\"num_local_experts\": 4, \"residual_multiplier\": 0.6, "
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
    "\"tie_word_embeddings\": true, \"vocab_size\": 512}\n";

#define LAYER "model.layers.0."
static const struct {
    const char *name;
    int n_dims;
    int64_t shape[3];
} stacked_tensors[] = {
    {"model.embed_tokens.weight", 2, {512, 64}},
    {"model.norm.weight", 1, {64}},
    {LAYER "block_sparse_moe.input_linear.weight", 3, {4, 128, 64}},
    {LAYER "block_sparse_moe.output_linear.weight", 3, {4, 64, 64}},
    {LAYER "block_sparse_moe.router.layer.weight", 2, {4, 64}},
    {LAYER "input_layernorm.weight", 1, {64}},
    {LAYER "post_attention_layernorm.weight", 1, {64}},
    {LAYER "self_attn.q_proj.weight", 2, {64, 64}},
    {LAYER "self_attn.k_proj.weight", 2, {32, 64}},
    {LAYER "self_attn.v_proj.weight", 2, {32, 64}},
    {LAYER "self_attn.o_proj.weight", 2, {64, 64}},
    {"lm_head.weight", 2, {512, 64}},
};

/* A network of one layer with four experts, random weights; its head, which is
 * the embeddings, a second time, or not. */
static char *stacked_model(bool spare)
{
    size_t n_tensor = QN_COUNTOF(stacked_tensors) - !spare;
    char *dir = judge_fresh("stacked");
    uint32_t seed = 1;
    qn_st_writer *w;
    assert_int_equal(qn_mkdirs(dir, NULL), 0);
    char *path = qn_path_join(dir, "config.json");
    qn_test_write_file(path, stacked_config, strlen(stacked_config));
    free(path);
    path = qn_path_join(dir, "model.safetensors");
    assert_int_equal(qn_st_writer_new(&w, path, NULL), 0);
    for (size_t i = 0; i < n_tensor; i++)
        assert_int_equal(qn_st_writer_declare(w, stacked_tensors[i].name,
                                              QN_F32, stacked_tensors[i].n_dims,
                                              stacked_tensors[i].shape, NULL),
                         0);
    for (size_t i = 0; i < n_tensor; i++) {
        int64_t n = 1;
        if (strcmp(stacked_tensors[i].name, "lm_head.weight") == 0)
            seed = 1;
        for (int d = 0; d < stacked_tensors[i].n_dims; d++)
            n *= stacked_tensors[i].shape[d];
        for (int64_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            float v = (float)(int32_t)seed * 0x1p-33f;
            v = stacked_tensors[i].n_dims == 1 ? 1 + v : v;
            assert_int_equal(qn_st_writer_data(w, &v, sizeof v, NULL), 0);
        }
    }
    assert_int_equal(qn_st_writer_finish(w, NULL), 0);
    qn_st_writer_free(w);
    free(path);
    return dir;
}

static const qn_optimize_params hf_methods[] = {
    {.method = "bitsandbytes"}, {.method = "bitsandbytes", .bits = 8},
    {.method = "rtn"},          {.method = "fp8"},
    {.method = "gptq"},         {.method = "awq"},
};

/* Refused by name with what helps; left as they are when that is asked for,
 * and named in the configuration. */
static void test_stacked(void **state)
{
    (void)state;
    static const char *const skip[] = {"input_linear", "output_linear"};
    char *dir = stacked_model(false);
    for (size_t i = 0; i < QN_COUNTOF(hf_methods); i++) {
        qn_optimize_params p = hf_methods[i];
        qn_optimize_report r;
        p.model = dir;
        refuse(p, "block_sparse_moe.input_linear.weight holds several experts");
        refuse(p, "--skip input_linear");
        p.skip = skip;
        p.n_skip = 2;
        char *to = made(p, &r);
        assert_int_equal(r.n_matrices, 4);
        assert_true(error_of(dir, to) < 0.2);
        size_t n;
        char *config = judge_slurp(to, "config.json", &n);
        assert_non_null(strstr(config, "block_sparse_moe.input_linear"));
        free(config);
        free(to);
    }
    free(dir);
}

/* Other ways to lie in one tensor, of other families: refused alike. */
static void test_stacked_families(void **state)
{
    (void)state;
    static const struct {
        const char *family, *skip;
    } rows[] = {
        {"gpt_oss", "--skip '*.experts.*'"},
        {"llama4_text", "--skip '*.experts.*'"},
        {"granitemoe", "--skip input_linear"},
        {"jetmoe", "--skip input_linear"},
        {"dbrx", "--skip '*.experts.*'"},
    };
    if (!qn_test_shared("goldens/models"))
        QN_SKIP("no shared data");
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        char name[100];
        snprintf(name, sizeof name, "goldens/models/%s", rows[i].family);
        qn_optimize_params p = {.model = qn_test_shared(name),
                                .method = i % 2 ? "gptq" : "awq"};
        refuse(p, "holds several experts");
        refuse(p, rows[i].skip);
    }
}

/* ---- a head that is the embeddings ------------------------------------------ */

static const struct {
    const char *model, *method, *head;
} tied[] = {
    {"models/opt350", "bitsandbytes", "lm_head.weight"},
    {"models/opt350", "rtn", "lm_head.weight_packed"},
    {"models/opt350", "gptq", "lm_head.qweight"},
    {"models/gpt2", "bitsandbytes", "lm_head.weight"},
    {"models/youtu", "fp8", "lm_head.weight"},
    {"models/janus", "rtn", "lm_head.weight_packed"},
};

/* What the folder says about its head; `part` of it is there, or is not. */
static bool says_tied(const char *dir, const char *part, bool there)
{
    size_t n;
    json_t *c = config_of(dir);
    char *file = judge_slurp(dir, "model.safetensors", &n), name[80];
    int len = snprintf(name, sizeof name, "\"%s\"", part);
    assert_true((memmem(file, n, name, (size_t)len) != NULL) == there);
    bool yes = json_is_true(json_object_get(c, "tie_word_embeddings"));
    const json_t *inner = json_object_get(c, "text_config");
    if (inner && there)
        assert_false(
            json_is_true(json_object_get(inner, "tie_word_embeddings")));
    free(file);
    json_decref(c);
    return yes;
}

/* It gets a quantized tensor of its own, the embeddings stay, and the
 * configuration says so; unless its name is left out. */
static void test_tied_head(void **state)
{
    (void)state;
    static const char *const only[] = {"lm_head"};
    for (size_t i = 0; i < QN_COUNTOF(tied); i++) {
        qn_optimize_report r;
        const char *model = qn_test_data(tied[i].model);
        qn_optimize_params p = {.model = model, .method = tied[i].method};
        free(made(p, &r));
        int n = r.n_matrices;
        uint64_t bytes = r.source_bytes;
        uint64_t params = r.n_params;
        p.head = true;
        free(made(p, &r));
        assert_int_equal(r.n_matrices, n + 1);
        assert_true(r.source_bytes == bytes && r.n_params == params);

        p.only = only;
        p.n_only = 1;
        char *to = made(p, &r);
        assert_int_equal(r.n_matrices, 1);
        assert_false(says_tied(to, tied[i].head, true));
        double e = error_of(model, to);
        print_message("%s, %s: error %.4f\n", model, p.method, e);
        assert_true(e > 0.001 && e < 0.2);
        free(to);

        p.n_only = 0;
        p.skip = only;
        p.n_skip = 1;
        to = made(p, &r);
        assert_int_equal(r.n_matrices, n);
        assert_true(says_tied(to, tied[i].head, false));
        free(to);
    }
}

/* The source holds the head a second time: that one is taken. */
static void test_spare_head(void **state)
{
    (void)state;
    static const char *const skip[] = {"input_linear", "output_linear"};
    char *dir = stacked_model(true);
    qn_optimize_report r;
    qn_optimize_params p = {.model = dir,
                            .method = "rtn",
                            .bits = 8,
                            .head = true,
                            .skip = skip,
                            .n_skip = QN_COUNTOF(skip)};
    char *to = made(p, &r);
    assert_int_equal(r.n_matrices, 5);
    assert_false(says_tied(to, "lm_head.weight", false));
    assert_false(says_tied(to, "lm_head.weight_packed", true));
    assert_true(error_of(dir, to) < 0.02);
    free(to);
    free(dir);
}

/* ---- AWQ -------------------------------------------------------------------- */

/* The matrix whose rows are divided stays unquantized: it is written with its
 * rows divided all the same, and the network computes what it did. */
static void test_divided(void **state)
{
    (void)state;
    static const char *const skip[] = {"up_proj", "v_proj"};
    const char *model = qn_test_data("models/llama");
    qn_optimize_report r;
    qn_optimize_params p = {.model = model, .method = "awq", .group = 32};
    char *all = made(p, &r);
    p.skip = skip;
    p.n_skip = 2;
    char *some = made(p, &r);
    double e = error_of(model, some), whole = error_of(model, all);
    print_message("error %.4f, of all %.4f\n", e, whole);
    assert_true(e < whole);
    size_t n;
    char *w = judge_slurp(some, "model.safetensors", &n);
    assert_non_null(memmem(w, n, "0.mlp.up_proj.weight\"", 21));
    free(w);
    free(some);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_null_config),
        cmocka_unit_test(test_stacked),
        cmocka_unit_test(test_stacked_families),
        cmocka_unit_test(test_divided),
        cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_spare_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
