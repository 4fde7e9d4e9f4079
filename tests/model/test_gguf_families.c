/* GGUF files of every architecture give the logits and the greedy tokens that
 * the reference implementation computed of the Hugging Face checkpoint. The
 * files are made here as llama.cpp's converter makes them (gguf_convert.h).
 *
 * With KEEP_GGUF=DIR they stay there, each with its prompt and the tokens that
 * must follow, to be shown to llama.cpp itself. */
#include "golden.h"
#include "gguf_convert.h"

#include <unistd.h>

#define SANDWICH                                    \
    "post_attention_layernorm=post_attention_norm " \
    "pre_feedforward_layernorm=ffn_norm "           \
    "post_feedforward_layernorm=post_ffw_norm"
#define POST_ATTN "post_attention_layernorm=post_attention_norm"
#define SWA(list) \
    "attention.sliding_window=16 attention.sliding_window_pattern=[" list "] "
#define GRANITE                                                   \
    "attention.scale=0.1 embedding_scale=6.0 residual_scale=0.6 " \
    "logit_scale=2.0 "
#define EXPERTS(width) "expert_feed_forward_length=" width " "
/* of three layers one dense; a shared expert; a scaled sigmoid router */
#define DENSE_FIRST "leading_dense_block_count=1 expert_shared_count=1 "
#define SIGMOID_BY(scale)                            \
    "expert_gating_func=2 expert_weights_norm=true " \
    "expert_weights_scale=" scale " "
#define MLA                                                      \
    "attention.head_count_kv=1 attention.kv_lora_rank=24 "       \
    "attention.key_length=32 attention.value_length=24 "         \
    "attention.key_length_mla=24 attention.value_length_mla=16 " \
    "rope.dimension_count=8 " EXPERTS("32") DENSE_FIRST
#define MLA_OLD                                            \
    "attention.head_count_kv=4 attention.kv_lora_rank=24 " \
    "attention.key_length=24 attention.value_length=16 "   \
    "rope.dimension_count=8 " EXPERTS("32") DENSE_FIRST
#define YARN(factor, ctx)                                    \
    "rope.scaling.type=\"yarn\" rope.scaling.factor=" factor \
    " rope.scaling.original_context_length=" ctx " "
#define MAMBA(state, rank)                                       \
    "ssm.conv_kernel=4 ssm.inner_size=128 ssm.state_size=" state \
    " ssm.time_step_rank=" rank " "
#define DELTA                                                           \
    "ssm.conv_kernel=4 ssm.state_size=16 ssm.group_count=2 "            \
    "ssm.time_step_rank=4 ssm.inner_size=64 full_attention_interval=2 " \
    "rope.dimension_count=8 "
#define GEMMA_3N                                                        \
    "altup.active_idx=0 altup.num_inputs=2 "                            \
    "embedding_length_per_layer_input=16 attention.shared_kv_layers=2 " \
    "activation_sparsity_scale=[0.0,-1e30,-1e30,-1e30] "                \
    "rope.freq_base_swa=10000.0 final_logit_softcapping=8.0"

#define GEMMA_4                                                       \
    "attention.key_length=32 attention.value_length=32 "              \
    "attention.key_length_swa=16 attention.value_length_swa=16 "      \
    "rope.dimension_count=32 rope.dimension_count_swa=16 "            \
    "rope.freq_base_swa=10000.0 embedding_length_per_layer_input=16 " \
    "attention.shared_kv_layers=0 final_logit_softcapping=8.0"

#define GEMMA_4_EXPERTS                                                     \
    SANDWICH " layer_scalar==layer_output_scale.weight "                    \
             "router.proj=ffn_gate_inp router.scale==ffn_gate_inp.scale "   \
             "router.per_expert_scale==ffn_down_exps.scale "                \
             "experts.gate_up_proj==ffn_gate_up_exps.weight "               \
             "experts.gate_proj=ffn_gate_exps experts.up_proj=ffn_up_exps " \
             "experts.down_proj==ffn_down_exps.weight "                     \
             "post_feedforward_layernorm_1=post_ffw_norm_1 "                \
             "pre_feedforward_layernorm_2=pre_ffw_norm_2 "                  \
             "post_feedforward_layernorm_2=post_ffw_norm_2"
#define GEMMA_4_MOE                                                  \
    "attention.key_length=32 attention.value_length=32 "             \
    "attention.key_length_swa=16 attention.value_length_swa=16 "     \
    "rope.dimension_count=32 rope.dimension_count_swa=16 "           \
    "rope.freq_base_swa=10000.0 embedding_length_per_layer_input=0 " \
    "attention.shared_kv_layers=0 final_logit_softcapping=8.0 "      \
    "attention.head_count_kv=[2,1,2,1] expert_used_count=2 " EXPERTS("32")

static const gguf_case cases[] = {
    {"llama", "llama", CV_PAIRED, NULL, NULL},
    {"llama_llama3", "llama", CV_PAIRED | CV_LLAMA3, NULL, NULL},
    {"llama_linear", "llama", CV_PAIRED, NULL,
     "rope.scaling.type=\"linear\" rope.scaling.factor=4.0"},
    {"llama_yarn", "llama", CV_PAIRED, NULL, YARN("4.0", "64")},
    {"mistral", "llama", CV_PAIRED, NULL, "attention.sliding_window=16"},
    {"mixtral", "llama", CV_PAIRED, NULL, NULL},
    {"llama", "internlm2", CV_PAIRED, NULL, NULL},
    {"llama", "exaone", 0, NULL, "rope.dimension_count=16"},
    {"granite", "minicpm", CV_PAIRED | CV_QUERIES, NULL,
     "embedding_scale=6.0 residual_scale=0.6 logit_scale=2.0"},
    {"deepseek", "deepseek", CV_PAIRED, NULL,
     "leading_dense_block_count=1 expert_shared_count=2 " EXPERTS(
         "16") "expert_weights_scale=1.0 rope.scaling.type=\"none\""},
    {"gpt2", "gpt2", CV_CONV1D, NULL, NULL},
    {"gpt_neox", "gptneox", CV_QKV, NULL,
     "rope.dimension_count=4 use_parallel_residual=true"},
    {"qwen2", "qwen2", 0, NULL, NULL},
    {"qwen2", "qwen2vl", 0, NULL, "rope.dimension_sections=[4,2,2,0]"},
    {"qwen2_moe", "qwen2moe", 0, NULL,
     EXPERTS("32") "expert_shared_feed_forward_length=64"},
    {"qwen3", "qwen3", 0, NULL, NULL},
    {"qwen3", "qwen3vl", 0, NULL,
     "n_deepstack_layers=0 rope.dimension_sections=[4,2,2,0]"},
    {"qwen3_moe", "qwen3moe", 0, NULL, EXPERTS("32")},
    {"qwen3_moe", "qwen3vlmoe", 0, NULL,
     EXPERTS("32") "rope.dimension_sections=[4,2,2,0]"},
    {"qwen3_next", "qwen3next", CV_PLUS_ONE, POST_ATTN,
     DELTA EXPERTS("32") "expert_shared_feed_forward_length=32"},
    {"qwen3_next", "qwen3next", CV_PLUS_ONE | CV_FUSED, POST_ATTN,
     DELTA EXPERTS("32") "expert_shared_feed_forward_length=32"},
    {"qwen3_5_text", "qwen35", CV_PLUS_ONE | CV_TILED, POST_ATTN,
     DELTA "rope.dimension_sections=[4,2,2,0]"},
    {"qwen3_5_moe_text", "qwen35moe", CV_PLUS_ONE | CV_TILED, POST_ATTN,
     DELTA EXPERTS("32") "expert_shared_feed_forward_length=32 "
                         "rope.dimension_sections=[4,2,2,0]"},
    {"gemma", "gemma", CV_PLUS_ONE, NULL, NULL},
    {"gemma2", "gemma2", CV_PLUS_ONE | CV_QPAS, SANDWICH,
     "attention.sliding_window=16 attn_logit_softcapping=5.0 "
     "final_logit_softcapping=8.0"},
    {"gemma3_text", "gemma3", CV_PLUS_ONE | CV_QPAS, SANDWICH,
     "attention.sliding_window=16 attention.sliding_window_pattern=3"},
    {"gemma3n_text", "gemma3n", 0, SANDWICH,
     SWA("true,false,true,false") GEMMA_3N},
    {"gemma4_text", "gemma4", CV_SOME_TURN,
     SANDWICH " layer_scalar==layer_output_scale.weight",
     SWA("true,false,true,false") GEMMA_4},
    {"gemma4_moe", "gemma4", CV_SOME_TURN, GEMMA_4_EXPERTS,
     SWA("true,false,true,false") GEMMA_4_MOE},
    {"gemma4_moe", "gemma4", CV_SOME_TURN | CV_GATE_UP, GEMMA_4_EXPERTS,
     SWA("true,false,true,false") GEMMA_4_MOE},
    {"phi", "phi2", 0, NULL, "rope.dimension_count=8"},
    {"phi3", "phi3", 0, NULL, "attention.sliding_window=16"},
    {"phi3_partial", "phi3", 0, NULL, "rope.dimension_count=8"},
    {"phimoe", "phimoe", 0, NULL, NULL},
    {"stablelm", "stablelm", 0, NULL,
     "rope.dimension_count=4 use_parallel_residual=true"},
    {"stablelm_12b", "stablelm", 0, NULL,
     "rope.dimension_count=4 use_parallel_residual=true"},
    {"starcoder2", "starcoder2", 0, NULL, "attention.sliding_window=16"},
    {"gpt_bigcode", "starcoder", 0, NULL, NULL},
    {"bloom", "bloom", CV_QKV, NULL, NULL},
    {"falcon", "falcon", CV_QKV, NULL, "tensor_data_layout=\"jploski\""},
    {"mpt", "mpt", 0, NULL, "attention.max_alibi_bias=8.0"},
    {"dbrx", "dbrx", 0, NULL, "attention.clamp_kqv=8.0"},
    {"cohere", "command-r", 0, NULL,
     "logit_scale=0.5 rope.scaling.type=\"none\""},
    {"cohere2", "cohere2", 0, NULL,
     "logit_scale=0.5 attention.sliding_window=16 "
     "attention.sliding_window_pattern=2 rope.dimension_count=16"},
    {"nemotron", "nemotron", CV_PLUS_ONE, NULL,
     "rope.dimension_count=8 rope.scaling.type=\"none\" "
     "attention.layer_norm_epsilon=1e-5"},
    {"olmo", "olmo", CV_PAIRED, NULL, NULL},
    {"olmo2", "olmo2", 0, SANDWICH, NULL},
    {"olmo3", "olmo2", 0, SANDWICH,
     SWA("true,true,true,false") "rope.freq_base_swa=500000.0"},
    {"olmoe", "olmoe", 0, NULL, NULL},
    {"granite", "granite", CV_PAIRED, NULL, GRANITE},
    {"granitemoe", "granitemoe", CV_PAIRED, NULL, GRANITE},
    {"arcee", "arcee", CV_PAIRED, NULL, NULL},
    {"apertus", "apertus", CV_XIELU,
     "attention_layernorm=attn_norm feedforward_layernorm=ffn_norm", NULL},
    {"seed_oss", "seed_oss", 0, POST_ATTN, NULL},
    {"smollm3", "smollm3", CV_PAIRED, NULL, NULL},
    {"ministral3", "mistral3", CV_PAIRED, NULL,
     YARN("4.0", "16") "rope.scaling.yarn_beta_fast=32.0 "
                       "rope.scaling.yarn_beta_slow=1.0 "
                       "rope.scaling.yarn_log_multiplier=1.0 "
                       "attention.temperature_scale=0.1"},
    {"llama4_text", "llama4", CV_TURNED, NULL,
     "interleave_moe_layer_step=2 feed_forward_length=128 " EXPERTS("48")},
    {"ernie4_5", "ernie4_5", 0, NULL, NULL},
    {"ernie4_5_moe", "ernie4_5-moe", 0, NULL,
     DENSE_FIRST EXPERTS("32") "interleave_moe_layer_step=1 "
                               "expert_shared_feed_forward_length=32"},
    {"hunyuan_v1_dense", "hunyuan-dense", 0, NULL, NULL},
    {"hunyuan_v1_moe", "hunyuan-moe", 0, NULL,
     EXPERTS("160") "expert_shared_feed_forward_length=160 "
                    "expert_shared_count=1"},
    {"exaone4", "exaone4", 0, SANDWICH, SWA("true,true,true,false")},
    {"exaone_moe", "exaone-moe", 0, NULL,
     SWA("true,false,true") DENSE_FIRST EXPERTS("32") SIGMOID_BY(
         "1.5") "expert_shared_feed_forward_length=32 nextn_predict_layers=0"},
    {"glm", "chatglm", 0, NULL, "rope.dimension_count=8"},
    {"glm4", "glm4", 0,
     "post_self_attn_layernorm=post_attention_norm "
     "post_mlp_layernorm=post_ffw_norm",
     "rope.dimension_count=8"},
    {"glm4_moe", "glm4moe", 0, POST_ATTN,
     DENSE_FIRST EXPERTS("32") SIGMOID_BY(
         "1.5") "rope.dimension_count=8 block_count=4 nextn_predict_layers=1"},
    {"glm4_moe_lite", "deepseek2", 0, NULL,
     MLA SIGMOID_BY("1.5") "attention.q_lora_rank=32"},
    {"deepseek_v2", "deepseek2", 0, NULL,
     MLA "expert_gating_func=1 expert_weights_scale=1.0"},
    {"deepseek_v2", "deepseek2", CV_KV_B_ONE, NULL,
     MLA_OLD "expert_weights_scale=1.0"},
    {"deepseek_v3", "deepseek2", 0, NULL,
     MLA SIGMOID_BY("2.5") "attention.q_lora_rank=32"},
    {"deepseek_v3", "deepseek2", CV_KV_B_ONE, NULL,
     MLA_OLD SIGMOID_BY("2.5") "attention.q_lora_rank=32"},
    {"dots1", "dots1", 0, NULL, DENSE_FIRST EXPERTS("32") SIGMOID_BY("1.5")},
    {"minimax_m2", "minimax-m2", 0, NULL,
     EXPERTS("48") "expert_gating_func=2 rope.dimension_count=16"},
    {"afmoe", "afmoe", 0,
     POST_ATTN " pre_mlp_layernorm=ffn_norm post_mlp_layernorm=post_ffw_norm",
     SWA("true,false,true") DENSE_FIRST EXPERTS("32") SIGMOID_BY("1.5")},
    {"gpt_oss", "gpt-oss", CV_TURNED | CV_MIXED, POST_ATTN,
     YARN("8.0", "64") "attention.sliding_window=16 " EXPERTS(
         "64") "rope.scaling.yarn_beta_fast=32.0 rope.scaling.yarn_beta_slow=1.0"},
    {"mamba", "mamba", 0, NULL,
     MAMBA("8", "4") "attention.layer_norm_rms_epsilon=1e-5 "
                     "feed_forward_length=0 attention.head_count=0 "
                     "attention.head_count_kv=null ssm.dt_b_c_rms=false"},
    {"falcon_mamba", "mamba", 0, NULL,
     MAMBA("8", "4") "ssm.inner_size=64 attention.layer_norm_rms_epsilon=1e-5 "
                     "feed_forward_length=0 attention.head_count=0 "
                     "attention.head_count_kv=null ssm.dt_b_c_rms=true"},
    {"mamba2", "mamba2", 0, NULL,
     MAMBA("16", "8") "attention.layer_norm_rms_epsilon=1e-5 "
                      "feed_forward_length=0 attention.head_count=0 "
                      "attention.key_length=null attention.value_length=null "
                      "attention.head_count_kv=null ssm.group_count=1"},
    {"jamba", "jamba", 0, NULL,
     MAMBA("8", "4") "attention.head_count_kv=[0,2,0,2]"},
    {"falcon_h1", "falcon-h1", 0, "pre_ff_layernorm==ffn_norm",
     MAMBA("16", "8") "attention.key_length=16 attention.value_length=16 "
                      "ssm.group_count=1"},
    {"granitemoehybrid", "granitehybrid", CV_PAIRED, NULL,
     MAMBA("16", "8") GRANITE "attention.head_count_kv=[0,2,0] "
                              "expert_shared_feed_forward_length=64 "
                              "rope.scaling.finetuned=false "
                              "ssm.group_count=1"},
    {"nemotron_h", "nemotron_h", 0, NULL,
     MAMBA("16", "8") "feed_forward_length=[0,160,0,160] "
                      "attention.head_count_kv=[0,0,2,0] ssm.group_count=1 "
                      "attention.layer_norm_rms_epsilon=1e-5 "
                      "expert_count=null expert_used_count=null "
                      "expert_group_count=null expert_group_used_count=null "
                      "rope.freq_base=null"},
    {"lfm2", "lfm2", 0, NULL,
     "attention.head_count_kv=[0,2,0] shortconv.l_cache=3"},
    {"lfm2_moe", "lfm2moe", 0, NULL,
     EXPERTS("32") "attention.head_count_kv=[0,2,0] shortconv.l_cache=3 "
                   "leading_dense_block_count=1 expert_gating_func=2"},
};

/* ---- one case ---------------------------------------------------------- */

static void keep(const golden *g, const gguf_case *c, const char *path)
{
    static int n;
    const char *dir = getenv("KEEP_GGUF");
    char to[4200];
    int n_prompt, n_greedy;
    if (!dir)
        return;
    snprintf(to, sizeof to, "%s/%02d-%s.gguf", dir, n++, c->arch);
    size_t size;
    char *file = qn_test_read_file(path, &size);
    qn_test_write_file(to, file, size);
    free(file);
    int32_t *prompt = drive_ints(g->ck, "prompt_0", &n_prompt);
    int32_t *greedy = drive_ints(g->ck, "greedy_0", &n_greedy);
    json_t *p = json_array(), *w = json_array();
    for (int i = 0; i < n_prompt; i++)
        json_array_append_new(p, json_integer(prompt[i]));
    for (int i = 0; i < n_greedy; i++)
        json_array_append_new(w, json_integer(greedy[i]));
    json_t *o = json_pack("{s:o, s:o}", "prompt", p, "greedy", w);
    snprintf(strrchr(to, '.'), 6, ".json");
    assert_int_equal(json_dump_file(o, to, JSON_COMPACT), 0);
    json_decref(o);
    free(prompt);
    free(greedy);
}

/* All tensors of the file have a place in the network. */
static void check_used(golden *g, const drive *d)
{
    json_t *info = json_object();
    qn_net_info(d->net, info, NULL);
    const json_t *left = json_object_get(info, "ignored_tensors");
    g->total++;
    g->passed += json_array_size(left) == 0;
    if (json_array_size(left) > 0)
        golden_note(g, "%s is left out",
                    json_string_value(json_array_get(left, 0)));
    json_decref(info);
}

/* Chunks and tempering of Llama 4 have one length in GGUF, which is beyond
 * that of the reference network: the first prompt is shorter than both. */
static void compare(golden *g, const gguf_case *c, drive *d)
{
    bool first = strcmp(c->arch, "llama4") == 0;
    for (int i = 0; i < 2 - first; i++) {
        golden_logits(g, d, c->arch, i);
        if (!first)
            golden_greedy(g, d, c->arch, i);
    }
    check_used(g, d);
}

/* 1 passed, 0 not, -1: its reference is not there. */
static int run(const gguf_case *c, bool report)
{
    char own[4096];
    golden g;
    drive d;
    qn_err err = {0};
    snprintf(own, sizeof own, "%s/%s", qn_test_data("models"), c->golden);
    const char *root = access(own, R_OK) == 0
                           ? qn_test_data("models")
                           : qn_test_shared("goldens/models");
    if (!root || !golden_open(&g, root, c->golden, 2e-4))
        return -1;
    char *path = gguf_convert(g.path, c);
    keep(&g, c, path);
    if (drive_open(&d, path, NULL, &err) < 0) {
        golden_note(&g, "%s", err.msg);
        g.total++;
    } else {
        compare(&g, c, &d);
        drive_close(&d);
    }
    int ok = g.passed == g.total;
    if (!ok)
        print_message("%s (%s): %d/%d %s\n", c->arch, c->golden, g.passed,
                      g.total, g.notes);
    if (report) {
        char name[100];
        snprintf(name, sizeof name, "%s, %s", c->arch, c->golden);
        if (c->how & (CV_KV_B_ONE | CV_FUSED | CV_GATE_UP))
            strcat(name, ", older form");
        qn_test_result("GGUF architectures", name, (size_t)g.passed,
                       (size_t)g.total, g.notes);
    }
    unlink(path);
    free(path);
    golden_close(&g);
    return ok;
}

static void test_all(void **state)
{
    bool report = qn_test_shared("goldens/models") != NULL;
    int seen = 0, passed = 0;
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        int ok = run(&cases[i], report);
        seen += ok >= 0;
        passed += ok > 0;
    }
    print_message("%d of %d files\n", passed, seen);
    assert_true(seen > 0);
    assert_int_equal(passed, seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
