/* GGUF files of networks with recurrent layers give the logits of the HF
 * checkpoint that they were made from. The files are made here, as llama.cpp's
 * converter would: names, A = -e^A_log, convolutions without their dimension
 * of one, per-layer numbers of heads, multipliers inside of the weights. */
#include "drive.h"
#include "remake.h"

#include <math.h>

static const double tolerance = 2e-4;

static const char *const names[][2] = {
    {"backbone.embeddings", "token_embd"},
    {"model.embed_tokens", "token_embd"},
    {"backbone.norm_f", "output_norm"},
    {"model.final_layernorm", "output_norm"},
    {"model.embedding_norm", "token_embd_norm"},
    {"model.norm.", "output_norm."},
    {"lm_head", "output"},
    {"model.layers.", "blk."},
    {"backbone.layers.", "blk."},
    {"mamba.", "mixer."},
    {"mixer.in_proj", "ssm_in"},
    {"mixer.conv1d", "ssm_conv1d"},
    {"mixer.x_proj", "ssm_x"},
    {"mixer.dt_proj", "ssm_dt"},
    {"mixer.dt_bias", "ssm_dt.bias"},
    {"mixer.A_log", "ssm_a"},
    {"mixer.D", "ssm_d"},
    {"mixer.dt_layernorm", "ssm_dt_norm"},
    {"mixer.b_layernorm", "ssm_b_norm"},
    {"mixer.c_layernorm", "ssm_c_norm"},
    {"mixer.norm", "ssm_norm"},
    {"mixer.out_proj", "ssm_out"},
    {"conv.conv", "shortconv.conv"},
    {"conv.in_proj", "shortconv.in_proj"},
    {"conv.out_proj", "shortconv.out_proj"},
    {"mixer.q_proj", "attn_q"},
    {"mixer.k_proj", "attn_k"},
    {"mixer.v_proj", "attn_v"},
    {"mixer.o_proj", "attn_output"},
    {"mixer.up_proj", "ffn_up"},
    {"mixer.down_proj", "ffn_down"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.out_proj", "attn_output"},
    {"self_attn.q_layernorm", "attn_q_norm"},
    {"self_attn.k_layernorm", "attn_k_norm"},
    {"pre_ff_layernorm", "ffn_norm"},
    {"operator_norm", "attn_norm"},
    {"input_layernorm", "attn_norm"},
    {"feed_forward.gate_proj", "ffn_gate"},
    {"feed_forward.up_proj", "ffn_up"},
    {"feed_forward.down_proj", "ffn_down"},
    {"feed_forward.w1", "ffn_gate"},
    {"feed_forward.w3", "ffn_up"},
    {"feed_forward.w2", "ffn_down"},
    {"feed_forward.router", "ffn_gate_inp"},
    {"post_attention_layernorm", "ffn_norm"},
    {"block_sparse_moe.router.layer", "ffn_gate_inp"},
    {"block_sparse_moe.output_linear", "ffn_down_exps"},
    {"shared_mlp.output_linear", "ffn_down_shexp"},
    {".norm.", ".attn_norm."},
};

/* Experts, one tensor each -> all in one. */
static void stack(remake *r, int layer, const char *from, const char *to)
{
    char one[160], all[100];
    snprintf(one, sizeof one, "blk.%d.feed_forward.experts.0.%s.weight", layer,
             from);
    if (!remake_has(r, one))
        return;
    const rm_tensor *t = remake_get(r, "%s", one);
    int64_t shape[] = {4, t->shape[0], t->shape[1]};
    size_t n = t->n;
    snprintf(all, sizeof all, "blk.%d.%s.weight", layer, to);
    remake_add(r, all, 3, shape);
    for (int e = 0; e < 4; e++) {
        snprintf(one, sizeof one, "blk.%d.feed_forward.experts.%d.%s.weight",
                 layer, e, from);
        memcpy(remake_get(r, "%s", all)->v + (size_t)e * n,
               remake_get(r, "%s", one)->v, n * sizeof(float));
        remake_drop(r, one);
    }
}

/* Gate and up in one tensor, for `n` experts -> two. */
static void halve(remake *r, int layer, const char *from, const char *gate,
                  const char *up)
{
    char whole[100];
    snprintf(whole, sizeof whole, "blk.%d.%s.weight", layer, from);
    if (!remake_has(r, whole))
        return;
    for (int half = 0; half < 2; half++) {
        const rm_tensor *t = remake_get(r, "%s", whole);
        int64_t shape[3], n_exp = t->n_dims == 3 ? t->shape[0] : 1;
        int at = t->n_dims == 3, n_dims = t->n_dims;
        char part[100];
        memcpy(shape, t->shape, sizeof shape);
        shape[at] /= 2;
        size_t n = (size_t)(shape[at] * shape[at + 1]);
        snprintf(part, sizeof part, "blk.%d.%s.weight", layer,
                 half ? up : gate);
        float *to = remake_add(r, part, n_dims, shape)->v;
        for (size_t e = 0; e < (size_t)n_exp; e++)
            memcpy(to + e * n,
                   remake_get(r, "%s", whole)->v + (2 * e + (size_t)half) * n,
                   n * sizeof *to);
    }
    remake_drop(r, whole);
}

static void convert(remake *r)
{
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        if (strcmp(names[i][0], ".norm.") != 0 ||
            !remake_has(r, "blk.0.attn_norm.weight"))
            remake_rename(r, names[i][0], names[i][1]);
    }
    for (int l = 0; l < 8; l++) {
        stack(r, l, "gate_proj", "ffn_gate_exps");
        stack(r, l, "up_proj", "ffn_up_exps");
        stack(r, l, "down_proj", "ffn_down_exps");
        halve(r, l, "block_sparse_moe.input_linear", "ffn_gate_exps",
              "ffn_up_exps");
        halve(r, l, "shared_mlp.input_linear", "ffn_gate_shexp",
              "ffn_up_shexp");
    }
    for (size_t i = 0; i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        bool a = qn_ends(t->name, ".ssm_a");
        for (size_t j = 0; a && j < t->n; j++)
            t->v[j] = -expf(t->v[j]);
        if ((a || qn_ends(t->name, ".ssm_d")) && t->n_dims == 1 &&
            t->n == 8) { /* heads: [n, 1] */
            t->n_dims = 2;
            t->shape[1] = 1;
        }
        if (t->n_dims == 3 && t->shape[1] == 1) {
            t->n_dims = 2;
            t->shape[1] = t->shape[2];
        }
    }
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

/* `meta`: members without the architecture's name before them. */
static void run(const char *dir, const char *arch, const char *meta)
{
    remake r;
    json_error_t e;
    json_t *in = json_loads(meta, 0, &e), *out = json_object(), *v;
    const char *k;
    if (!in)
        fail_msg("%s: %s", arch, e.text);
    json_object_set_new(out, "general.architecture", json_string(arch));
    json_object_foreach(in, k, v)
    {
        char name[100];
        snprintf(name, sizeof name, "%s.%s", arch, k);
        json_object_set(out, name, v);
    }
    json_decref(in);
    remake_open(&r, dir);
    convert(&r);
    char *path = remake_gguf(&r, out);
    check(dir, path);
    free(path);
    json_decref(out);
    remake_close(&r);
}

#define SIZES                                            \
    "\"context_length\": 256, \"embedding_length\": 64," \
    " \"attention.layer_norm_rms_epsilon\": 1e-5, \"ssm.conv_kernel\": 4,"

#define HEADS                                                    \
    "\"attention.head_count\": 4, \"attention.key_length\": 16," \
    " \"attention.value_length\": 16,"

static void test_own(void **state)
{
    (void)state;
    run(qn_test_data("models/mamba2"), "mamba2",
        "{" SIZES "\"block_count\": 2, \"feed_forward_length\": 0,"
        " \"attention.head_count\": 0, \"ssm.inner_size\": 128,"
        " \"ssm.state_size\": 16, \"ssm.time_step_rank\": 8,"
        " \"ssm.group_count\": 1}");
    run(qn_test_data("models/falcon_h1"), "falcon-h1",
        "{" SIZES HEADS "\"block_count\": 2, \"feed_forward_length\": 160,"
        " \"attention.head_count_kv\": 2, \"rope.freq_base\": 10000.0,"
        " \"ssm.inner_size\": 128, \"ssm.state_size\": 16,"
        " \"ssm.time_step_rank\": 8, \"ssm.group_count\": 1}");
}

static void test_shared(void **state)
{
    static const char *const cases[][3] = {
        {"mamba", "mamba",
         "{" SIZES "\"block_count\": 2, \"feed_forward_length\": 0,"
         " \"attention.head_count\": 0, \"ssm.inner_size\": 128,"
         " \"ssm.state_size\": 8, \"ssm.time_step_rank\": 4,"
         " \"ssm.dt_b_c_rms\": false}"},
        {"jamba", "jamba",
         "{" SIZES HEADS "\"block_count\": 4, \"feed_forward_length\": 160,"
         " \"attention.head_count_kv\": [0, 2, 0, 2], \"expert_count\": 4,"
         " \"expert_used_count\": 2, \"ssm.inner_size\": 128,"
         " \"ssm.state_size\": 8, \"ssm.time_step_rank\": 4}"},
        {"granitemoehybrid", "granitehybrid",
         "{" SIZES HEADS "\"block_count\": 3, \"feed_forward_length\": 48,"
         " \"attention.head_count_kv\": [0, 2, 0], \"expert_count\": 4,"
         " \"expert_used_count\": 2,"
         " \"expert_shared_feed_forward_length\": 64,"
         " \"attention.scale\": 0.1, \"embedding_scale\": 6.0,"
         " \"residual_scale\": 0.6, \"logit_scale\": 2.0,"
         " \"rope.scaling.finetuned\": false, \"ssm.inner_size\": 128,"
         " \"ssm.state_size\": 16, \"ssm.time_step_rank\": 8,"
         " \"ssm.group_count\": 1}"},
        {"nemotron_h", "nemotron_h",
         "{" SIZES HEADS "\"block_count\": 4,"
         " \"feed_forward_length\": [0, 160, 0, 160],"
         " \"attention.head_count_kv\": [0, 0, 2, 0],"
         " \"ssm.inner_size\": 128, \"ssm.state_size\": 16,"
         " \"ssm.time_step_rank\": 8, \"ssm.group_count\": 1}"},
        {"lfm2", "lfm2",
         "{\"context_length\": 256, \"embedding_length\": 64, "
         "\"attention.layer_norm_rms_epsilon\": 1e-5," HEADS
         " \"block_count\": 3, \"feed_forward_length\": 160,"
         " \"attention.head_count_kv\": [0, 2, 0], \"shortconv.l_cache\": 3,"
         " \"rope.freq_base\": 10000.0}"},
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
