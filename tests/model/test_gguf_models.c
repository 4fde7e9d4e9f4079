/* GGUF files of every family give the logits of the HF checkpoint that they
 * were made from. The files are made here, as llama.cpp's converter would
 * (convert_hf_to_gguf.py: names, order of rows, what is added to norms). */
#include "drive.h"
#include "remake.h"

#include <math.h>

static const double tolerance = 2e-4;

/* ---- what converters do ------------------------------------------------ */

typedef struct dims {
    int layers, d, ff, heads, kv, dh, exps;
} dims;

static int key(const remake *r, const char *a, const char *b, int otherwise)
{
    const json_t *v = json_object_get(r->config, a);
    if (!json_is_integer(v))
        v = json_object_get(r->config, b);
    return json_is_integer(v) ? (int)json_integer_value(v) : otherwise;
}

static dims dims_of(const remake *r)
{
    dims m = {
        .layers = key(r, "num_hidden_layers", "n_layer", 0),
        .d = key(r, "hidden_size", "n_embd", 0),
        .heads = key(r, "num_attention_heads", "n_head", 0),
        .exps = key(r, "num_local_experts", "", 0),
    };
    m.kv = key(r, "num_key_value_heads", "", m.heads);
    m.dh = key(r, "head_dim", "", m.d / m.heads);
    m.ff = key(r, "intermediate_size", "n_inner", 4 * m.d);
    return m;
}

/* Rows (half, i) of every head become rows (i, half). */
static void interleave(rm_tensor *t, int n_head)
{
    size_t row = (size_t)t->shape[1];
    int dh = (int)t->shape[0] / n_head;
    float *old = malloc(t->n * sizeof *old);
    memcpy(old, t->v, t->n * sizeof *old);
    for (int h = 0; h < n_head; h++)
        for (int b = 0; b < 2; b++)
            for (int i = 0; i < dh / 2; i++)
                memcpy(t->v + (size_t)(h * dh + 2 * i + b) * row,
                       old + (size_t)(h * dh + b * dh / 2 + i) * row,
                       row * sizeof *old);
    free(old);
}

static void transpose(rm_tensor *t)
{
    size_t a = (size_t)t->shape[0], b = (size_t)t->shape[1];
    float *old = malloc(t->n * sizeof *old);
    memcpy(old, t->v, t->n * sizeof *old);
    for (size_t i = 0; i < a; i++)
        for (size_t j = 0; j < b; j++)
            t->v[j * a + i] = old[i * b + j];
    t->shape[0] = (int64_t)b;
    t->shape[1] = (int64_t)a;
    free(old);
}

/* [head][q k v][dh] -> [q k v][head][dh] */
static void unmix_qkv(rm_tensor *t, const dims *m)
{
    size_t unit = (size_t)m->dh * (t->n / (size_t)t->shape[0]);
    float *old = malloc(t->n * sizeof *old);
    memcpy(old, t->v, t->n * sizeof *old);
    for (int h = 0; h < m->heads; h++)
        for (int w = 0; w < 3; w++)
            memcpy(t->v + (size_t)(w * m->heads + h) * unit,
                   old + (size_t)(h * 3 + w) * unit, unit * sizeof *old);
    free(old);
}

static void norms_plus_one(remake *r)
{
    for (size_t i = 0; i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        for (size_t j = 0; strstr(t->name, "norm") && j < t->n; j++)
            t->v[j] += 1;
    }
}

/* GGUF does not say Gemma's query_pre_attn_scalar: it is the head's width. */
static void scale_queries(remake *r, const dims *m)
{
    int scalar = key(r, "query_pre_attn_scalar", "", m->dh);
    bool normed = remake_has(r, "model.layers.0.self_attn.q_norm.weight");
    for (int l = 0; l < m->layers && scalar != m->dh; l++) {
        rm_tensor *t = remake_get(r, "model.layers.%d.self_attn.%s.weight", l,
                                  normed ? "q_norm" : "q_proj");
        for (size_t i = 0; i < t->n; i++)
            t->v[i] *= (float)sqrt((double)m->dh / scalar);
    }
}

static void stack_experts(remake *r, const dims *m)
{
    static const char *const names[][2] = {{"w1", "ffn_gate_exps"},
                                           {"w3", "ffn_up_exps"},
                                           {"w2", "ffn_down_exps"}};
    for (int l = 0; l < m->layers; l++) {
        for (int w = 0; w < 3; w++) {
            char name[100], old[160];
            int64_t out = w == 2 ? m->d : m->ff, in = w == 2 ? m->ff : m->d;
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, names[w][1]);
            remake_add(r, name, 3, (int64_t[]){m->exps, out, in});
            size_t one = (size_t)(out * in);
            for (int e = 0; e < m->exps; e++) {
                snprintf(
                    old, sizeof old,
                    "model.layers.%d.block_sparse_moe.experts.%d.%s.weight", l,
                    e, names[w][0]);
                memcpy(remake_get(r, "%s", name)->v + (size_t)e * one,
                       remake_get(r, "%s", old)->v, one * sizeof(float));
                remake_drop(r, old);
            }
        }
    }
}

/* The divisors that llama 3's rule makes of the plain frequencies. */
static void add_rope_freqs(remake *r, const dims *m)
{
    const json_t *p = json_object_get(r->config, "rope_parameters");
    double theta = json_number_value(json_object_get(p, "rope_theta"));
    double f = json_number_value(json_object_get(p, "factor"));
    double ctx = json_number_value(
        json_object_get(p, "original_max_position_embeddings"));
    rm_tensor *t = remake_add(r, "rope_freqs.weight", 1,
                              (int64_t[]){m->dh / 2});
    for (int i = 0; i < m->dh / 2; i++) {
        double turns = ctx / (2 * M_PI * pow(theta, 2.0 * i / m->dh));
        double keep = (turns - 1) / 3; /* low 1, high 4 */
        t->v[i] = (float)(turns < 1   ? f
                          : turns > 4 ? 1
                                      : 1 / ((1 - keep) / f + keep));
    }
}

/* ---- names ------------------------------------------------------------- */

static const char *const llama_names[][2] = {
    {"model.embed_tokens", "token_embd"},
    {"model.final_layernorm", "output_norm"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"model.layers.", "blk."},
    {"input_layernorm", "attn_norm"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.dense", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.fc1", "ffn_up"},
    {"mlp.fc2", "ffn_down"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {NULL, NULL},
};
static const char *const pre_norm_names[][2] = {{"post_attention_layernorm",
                                                 "ffn_norm"},
                                                {NULL, NULL}};
static const char *const gemma2_names[][2] = {
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {NULL, NULL}};
static const char *const gpt2_names[][2] = {
    {"wte", "token_embd"},          {"wpe", "position_embd"},
    {"ln_f", "output_norm"},        {"attn.c_attn", "attn_qkv"},
    {"attn.c_proj", "attn_output"}, {"ln_1", "attn_norm"},
    {"ln_2", "ffn_norm"},           {"mlp.c_fc", "ffn_up"},
    {"mlp.c_proj", "ffn_down"},     {NULL, NULL}};
static const char *const neox_names[][2] = {
    {"gpt_neox.embed_in", "token_embd"},
    {"gpt_neox.final_layer_norm", "output_norm"},
    {"embed_out", "output"},
    {"gpt_neox.layers.", "blk."},
    {"attention.query_key_value", "attn_qkv"},
    {"attention.dense", "attn_output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.dense_h_to_4h", "ffn_up"},
    {"mlp.dense_4h_to_h", "ffn_down"},
    {NULL, NULL}};

static void rename_by(remake *r, const char *const (*names)[2])
{
    for (; (*names)[0]; names++)
        remake_rename(r, (*names)[0], (*names)[1]);
}

static void convert(remake *r, const char *arch, const dims *m)
{
    bool llama = strcmp(arch, "llama") == 0;
    bool gemma = strncmp(arch, "gemma", 5) == 0;
    if (gemma)
        norms_plus_one(r);
    scale_queries(r, m);
    if (m->exps)
        stack_experts(r, m);
    for (int l = 0; l < m->layers; l++) {
        static const char *const conv1d[] = {"attn.c_attn", "attn.c_proj",
                                             "mlp.c_fc", "mlp.c_proj"};
        if (llama) {
            interleave(remake_get(r, "model.layers.%d.self_attn.q_proj.weight",
                                  l),
                       m->heads);
            interleave(remake_get(r, "model.layers.%d.self_attn.k_proj.weight",
                                  l),
                       m->kv);
        }
        for (int i = 0; strcmp(arch, "gpt2") == 0 && i < 4; i++)
            transpose(remake_get(r, "h.%d.%s.weight", l, conv1d[i]));
        for (int i = 0; strcmp(arch, "gptneox") == 0 && i < 2; i++)
            unmix_qkv(remake_get(r,
                                 "gpt_neox.layers.%d.attention."
                                 "query_key_value.%s",
                                 l, i ? "bias" : "weight"),
                      m);
    }
    if (strcmp(arch, "gpt2") == 0) {
        rename_by(r, gpt2_names);
        remake_rename(r, "h.", "blk.");
    } else if (strcmp(arch, "gptneox") == 0) {
        rename_by(r, neox_names);
    } else {
        rename_by(r, gemma && strcmp(arch, "gemma") != 0 ? gemma2_names
                                                         : pre_norm_names);
        rename_by(r, llama_names);
    }
}

static json_t *meta_of(const remake *r, const char *arch, const dims *m,
                       const char *more)
{
    json_t *o = json_object(), *extra = json_loads(more, 0, NULL);
    char name[100];
    const char *k;
    json_t *v;
    double eps = 1e-5, theta;
    json_object_set_new(o, "general.architecture", json_string(arch));
#define META(key, value)                                 \
    do {                                                 \
        snprintf(name, sizeof name, "%s.%s", arch, key); \
        json_object_set_new(o, name, value);             \
    } while (0)
    META("block_count", json_integer(m->layers));
    META("context_length",
         json_integer(key(r, "max_position_embeddings", "n_positions", 0)));
    META("embedding_length", json_integer(m->d));
    META("feed_forward_length", json_integer(m->ff));
    META("attention.head_count", json_integer(m->heads));
    META("attention.head_count_kv", json_integer(m->kv));
    META("attention.key_length", json_integer(m->dh));
    META("attention.value_length", json_integer(m->dh));
    META(json_object_get(r->config, "rms_norm_eps")
             ? "attention.layer_norm_rms_epsilon"
             : "attention.layer_norm_epsilon",
         json_real(eps));
    const json_t *p = json_object_get(r->config, "rope_parameters");
    theta = json_number_value(json_object_get(p, "rope_theta"));
    if (theta != 0)
        META("rope.freq_base", json_real(theta));
    json_object_foreach(extra, k, v) META(k, json_incref(v));
    json_decref(extra);
#undef META
    return o;
}

/* ---- the test ---------------------------------------------------------- */

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
    json_t *info = json_object();
    qn_net_info(d.net, info, NULL);
    assert_int_equal(json_array_size(json_object_get(info, "ignored_tensors")),
                     0);
    json_decref(info);
    free(prompt);
    free(want);
    free(got);
    drive_close(&d);
    qn_ckpt_close(ref);
}

static void run(const char *dir, const char *arch, const char *more)
{
    remake r;
    remake_open(&r, dir);
    dims m = dims_of(&r);
    json_t *meta = meta_of(&r, arch, &m, more);
    if (strstr(dir, "llama3"))
        add_rope_freqs(&r, &m);
    convert(&r, arch, &m);
    char *path = remake_gguf(&r, meta);
    check(dir, path);
    free(path);
    json_decref(meta);
    remake_close(&r);
}

static void test_own(void **state)
{
    (void)state;
    run(qn_test_data("models/llama"), "llama", "{}");
    run(qn_test_data("models/mixtral"), "llama",
        "{\"expert_count\": 4, \"expert_used_count\": 2}");
    run(qn_test_data("models/gpt2"), "gpt2", "{}");
    run(qn_test_data("models/gemma2"), "gemma2",
        "{\"attention.sliding_window\": 16, \"attn_logit_softcapping\": 5.0,"
        " \"final_logit_softcapping\": 8.0}");
    run(qn_test_data("models/phi3"), "phi3",
        "{\"attention.sliding_window\": 16}");
}

static void test_shared(void **state)
{
    static const char *const cases[][3] = {
        {"qwen2", "qwen2", "{}"},
        {"qwen3", "qwen3", "{}"},
        {"gemma", "gemma", "{}"},
        {"gemma3_text", "gemma3",
         "{\"attention.sliding_window\": 16,"
         " \"attention.sliding_window_pattern\": 3}"},
        {"mistral", "llama", "{\"attention.sliding_window\": 16}"},
        {"phi", "phi2", "{\"rope.dimension_count\": 8}"},
        {"phi3_partial", "phi3", "{\"rope.dimension_count\": 8}"},
        {"gpt_neox", "gptneox",
         "{\"rope.dimension_count\": 4, \"use_parallel_residual\": true}"},
        {"llama_llama3", "llama", "{}"},
        {"llama_linear", "llama",
         "{\"rope.scaling.type\": \"linear\", \"rope.scaling.factor\": 4.0}"},
        {"llama_yarn", "llama",
         "{\"rope.scaling.type\": \"yarn\", \"rope.scaling.factor\": 4.0,"
         " \"rope.scaling.original_context_length\": 64}"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char dir[100];
        snprintf(dir, sizeof dir, "goldens/models/%s", cases[i][0]);
        const char *path = qn_test_shared(dir);
        if (!path)
            QN_SKIP("no shared data");
        run(path, cases[i][1], cases[i][2]);
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
