/* test_gguf_config.c: metadata of each architecture against the config.json
 * that the converters of llama.cpp made it from (as far as it is kept). */
#include "ckpt_help.h"

#include <ctype.h>

/* One case: the GGUF as lines, and the whole config that must come of it.
 *
 *     u32 KEY N | f32 KEY X | bool KEY 0 | str KEY TEXT     a pair; a KEY that
 *         begins with a dot is the architecture's
 *     u32s KEY N N ... | bools KEY 0 1 ...                  an array
 *     t NAME OUTER [INNER]     an f32 tensor 0 1 2 ...; t9: of ggml type 9
 */
struct config_case {
    const char *arch;
    const char *gguf;
    const char *config;
};

/* Hyper-parameters that nearly all have. */
#define SIZES                                                  \
    "u32 .block_count 2\nu32 .context_length 256\n"            \
    "u32 .embedding_length 64\nu32 .feed_forward_length 160\n" \
    "u32 .attention.head_count 4\nu32 .attention.head_count_kv 2\n"
#define RMS "f32 .attention.layer_norm_rms_epsilon 1e-5\n"
#define LN "f32 .attention.layer_norm_epsilon 1e-5\n"
#define HF_SIZES                                                    \
    "\"num_hidden_layers\": 2, \"hidden_size\": 64,"                \
    "\"max_position_embeddings\": 256, \"intermediate_size\": 160," \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
#define HF_RMS "\"rms_norm_eps\": 1e-05,"
#define HF_LN "\"layer_norm_eps\": 1e-05,"
#define KIND(type, class) \
    "{\"model_type\": \"" type "\", \"architectures\": [\"" class "\"],"
#define LLAMA KIND("llama", "LlamaForCausalLM") "\"hidden_act\": \"silu\","
#define NO_BIAS "\"attention_bias\": false, \"mlp_bias\": false"

static const struct config_case cases[] = {
    {"llama",
     SIZES RMS "f32 .rope.freq_base 500000\nu32 .rope.dimension_count 16\n"
               "u32 .vocab_size 512\nstr .tensor_data_layout Meta AI\n"
               "u32 general.file_type 1\nu32 .expert_count 0\n"
               "u32 tokenizer.ggml.bos_token_id 1\n"
               "u32 tokenizer.ggml.eos_token_id 2\n"
               "u32 tokenizer.ggml.eot_token_id 7\n"
               "u32 tokenizer.ggml.eom_token_id 2\n"
               "u32 tokenizer.ggml.padding_token_id 0\n"
               "t token_embd.weight 500 64\nt output.weight 500 64\n",
     LLAMA HF_SIZES HF_RMS NO_BIAS
     ", \"rope_theta\": 500000.0, \"vocab_size\": 500, \"bos_token_id\": 1,"
     "\"eos_token_id\": [2, 7], \"pad_token_id\": 0,"
     "\"tie_word_embeddings\": false}"},
    {"llama", /* biases and a head dimension of its own; tied */
     SIZES RMS
     "u32 .attention.key_length 32\nu32 .attention.value_length 32\n"
     "u32 .rope.dimension_count 32\nu32 tokenizer.ggml.eos_token_id 3\n"
     "t token_embd.weight 500 64\nt blk.0.attn_q.bias 128\n"
     "t blk.0.ffn_down.bias 64\n",
     LLAMA HF_SIZES HF_RMS
     "\"attention_bias\": true, \"mlp_bias\": true, \"head_dim\": 32,"
     "\"vocab_size\": 500, \"eos_token_id\": 3,"
     "\"tie_word_embeddings\": true}"},
    {"llama", /* partly rotated; values may have a length of their own */
     SIZES RMS "u32 .rope.dimension_count 4\nu32 .attention.key_length 16\n"
               "u32 .attention.value_length 8\n",
     LLAMA HF_SIZES HF_RMS NO_BIAS
     ", \"partial_rotary_factor\": 0.25, \"v_head_dim\": 8}"},
    {"llama", /* per-layer values: one when all are the same */
     "u32 .embedding_length 64\nu32s .attention.head_count 4 4\n"
     "u32s .attention.head_count_kv 2 1 2\nu32s .feed_forward_length 8 9\n",
     LLAMA NO_BIAS
     ", \"hidden_size\": 64, \"num_attention_heads\": 4,"
     "\"num_key_value_heads\": [2, 1, 2], \"intermediate_size\": [8, 9]}"},
    {"llama", /* what no table knows is handed on */
     "f32 .attention.scale 0.125\nbool .attention.causal 0\n"
     "u32s .some.list 1 2\n",
     LLAMA NO_BIAS
     ", \"llama.attention.scale\": 0.125, \"llama.attention.causal\": false,"
     "\"llama.some.list\": [1, 2]}"},
    {"llama", "str .rope.scaling.type linear\nf32 .rope.scaling.factor 4\n",
     LLAMA NO_BIAS
     ", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}}"},
    {"llama", "f32 .rope.scale_linear 2.5\n",
     LLAMA NO_BIAS
     ", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}}"},
    {"llama",
     "str .rope.scaling.type none\nf32 .rope.scaling.factor 4\n"
     "bool .rope.scaling.finetuned 1\n",
     LLAMA NO_BIAS "}"},
    {"llama",
     "str .rope.scaling.type yarn\nf32 .rope.scaling.factor 4\n"
     "u32 .rope.scaling.original_context_length 64\n",
     LLAMA NO_BIAS
     ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0,"
     "\"original_max_position_embeddings\": 64}}"},
    {"llama", /* 2 (1 + 0.1 ln 4) */
     "str .rope.scaling.type yarn\nf32 .rope.scaling.factor 4\n"
     "f32 .rope.scaling.attn_factor 2\nf32 .rope.scaling.yarn_beta_fast 16\n"
     "f32 .rope.scaling.yarn_beta_slow 2\n",
     LLAMA NO_BIAS
     ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0,"
     "\"attention_factor\": 2.2772588722239782, \"beta_fast\": 16.0,"
     "\"beta_slow\": 2.0}}"},
    {"llama", SIZES RMS "u32 .attention.sliding_window 16\n",
     KIND("mistral",
          "MistralForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_RMS
                                "\"sliding_window\": 16}"},
    {"llama", SIZES RMS "u32 .expert_count 8\nu32 .expert_used_count 2\n",
     KIND("mixtral", "MixtralForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES
         HF_RMS "\"num_local_experts\": 8, \"num_experts_per_tok\": 2}"},
    {"qwen2", SIZES RMS "f32 .rope.freq_base 1000000\n",
     KIND("qwen2",
          "Qwen2ForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_RMS
                              "\"rope_theta\": 1000000.0}"},
    {"qwen2moe",
     SIZES RMS "u32 .expert_count 60\nu32 .expert_used_count 4\n"
               "u32 .expert_feed_forward_length 32\n"
               "u32 .expert_shared_feed_forward_length 48\n",
     KIND(
         "qwen2_moe",
         "Qwen2MoeForCausalLM") "\"hidden_act\": \"silu\", \"norm_topk_prob\": false," HF_SIZES
         HF_RMS "\"num_experts\": 60, \"num_experts_per_tok\": 4,"
                                "\"moe_intermediate_size\": 32,"
                                "\"shared_expert_intermediate_size\": 48}"},
    {"qwen3", /* its head_dim is said even where it is the quotient */
     SIZES RMS "u32 .attention.key_length 16\nu32 .attention.value_length 16\n",
     KIND("qwen3",
          "Qwen3ForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_RMS
                              "\"head_dim\": 16, \"attention_bias\": false}"},
    {"qwen3moe",
     SIZES RMS "u32 .expert_count 8\nu32 .expert_used_count 2\n"
               "u32 .attention.key_length 32\n",
     KIND(
         "qwen3_moe",
         "Qwen3MoeForCausalLM") "\"hidden_act\": \"silu\", \"norm_topk_prob\": true," HF_SIZES
         HF_RMS "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"head_dim\": 32,"
                                "\"v_head_dim\": 16, \"attention_bias\": false}"},
    {"gemma",
     SIZES RMS "u32 .attention.key_length 32\nu32 .attention.value_length 32\n",
     KIND(
         "gemma",
         "GemmaForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\"," HF_SIZES
         HF_RMS "\"head_dim\": 32}"},
    {"gemma2",
     SIZES RMS
     "u32 .attention.key_length 32\nu32 .attention.value_length 32\n"
     "f32 .attn_logit_softcapping 5\nu32 .attention.sliding_window 16\n"
     "f32 .final_logit_softcapping 8\n",
     KIND(
         "gemma2",
         "Gemma2ForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\"," HF_SIZES
         HF_RMS "\"head_dim\": 32, \"query_pre_attn_scalar\": 32,"
                              "\"attn_logit_softcapping\": 5.0, \"final_logit_softcapping\": 8.0,"
                              "\"sliding_window\": 16}"},
    {"gemma2", /* the 27B, and what old files leave out */
     "u32 .block_count 46\nu32 .embedding_length 4608\n"
     "u32 .attention.head_count 32\nu32 .attention.key_length 128\n"
     "u32 .attention.value_length 128\n",
     KIND(
         "gemma2",
         "Gemma2ForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\","
                              "\"num_hidden_layers\": 46, \"hidden_size\": 4608,"
                              "\"num_attention_heads\": 32, \"head_dim\": 128,"
                              "\"query_pre_attn_scalar\": 144, \"attn_logit_softcapping\": 50.0,"
                              "\"final_logit_softcapping\": 30.0, \"sliding_window\": 4096}"},
    {"gemma3",
     SIZES RMS "u32 .attention.key_length 32\nu32 .attention.value_length 32\n"
               "u32 .attention.sliding_window 16\n"
               "str .rope.scaling.type linear\nf32 .rope.scaling.factor 8\n",
     KIND(
         "gemma3_text",
         "Gemma3ForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\"," HF_SIZES
         HF_RMS "\"head_dim\": 32, \"query_pre_attn_scalar\": 32,"
                              "\"sliding_window\": 16, \"sliding_window_pattern\": 6,"
                              "\"rope_theta\": 1000000.0, \"rope_local_base_freq\": 10000.0,"
                              "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}}"},
    {"gemma3", /* the pattern layer by layer */
     "bools .attention.sliding_window_pattern 1 0\n",
     KIND(
         "gemma3_text",
         "Gemma3ForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\","
                              "\"layer_types\": [\"sliding_attention\", \"full_attention\"],"
                              "\"rope_theta\": 1000000.0, \"rope_local_base_freq\": 10000.0}"},
    {"phi2", SIZES LN "u32 .rope.dimension_count 8\n",
     KIND("phi",
          "PhiForCausalLM") "\"hidden_act\": \"gelu_new\"," HF_SIZES HF_LN
                            "\"partial_rotary_factor\": 0.5}"},
    {"phi3",
     SIZES RMS "u32 .rope.dimension_count 16\nu32 .attention.sliding_window 9\n"
               "f32 .rope.scaling.attn_factor 1.25\n"
               "u32 .rope.scaling.original_context_length 64\n"
               "t rope_factors_long.weight 3\nt rope_factors_short.weight 2\n",
     KIND(
         "phi3",
         "Phi3ForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES
         HF_RMS "\"sliding_window\": 9, \"original_max_position_embeddings\": 64,"
                            "\"rope_scaling\": {\"rope_type\": \"longrope\","
                            "\"attention_factor\": 1.25,"
                            "\"original_max_position_embeddings\": 64,"
                            "\"short_factor\": [0.0, 1.0], \"long_factor\": [0.0, 1.0, 2.0]}}"},
    {"phi3", SIZES RMS "u32 .rope.dimension_count 8\n",
     KIND("phi3", "Phi3ForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_RMS
                                     "\"partial_rotary_factor\": 0.5}"},
    {"gptneox",
     SIZES LN "u32 .rope.dimension_count 4\nbool .use_parallel_residual 1\n"
              "t blk.0.attn_qkv.bias 192\n",
     KIND(
         "gpt_neox",
         "GPTNeoXForCausalLM") "\"hidden_act\": \"gelu\", \"num_hidden_layers\": 2,"
                               "\"hidden_size\": 64, \"max_position_embeddings\": 256,"
                               "\"intermediate_size\": 160, \"num_attention_heads\": 4," HF_LN
                               "\"rotary_pct\": 0.25, \"use_parallel_residual\": true,"
                               "\"attention_bias\": true}"},
    {"gpt2",
     "u32 .block_count 3\nu32 .context_length 256\nu32 .embedding_length 64\n"
     "u32 .feed_forward_length 256\nu32 .attention.head_count 4\n" LN,
     KIND(
         "gpt2",
         "GPT2LMHeadModel") "\"activation_function\": \"gelu_new\", \"n_layer\": 3,"
                            "\"n_positions\": 256, \"n_embd\": 64, \"n_inner\": 256,"
                            "\"n_head\": 4, \"layer_norm_epsilon\": 1e-05}"},
    {"stablelm", /* the tensors, not the flag, tell of the residual */
     SIZES LN "u32 .rope.dimension_count 4\nbool .use_parallel_residual 1\n"
              "t blk.0.ffn_norm.weight 64\nt blk.0.attn_q.bias 64\n",
     KIND(
         "stablelm",
         "StableLmForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_LN
                                "\"partial_rotary_factor\": 0.25,"
                                "\"use_parallel_residual\": false, \"use_qkv_bias\": true,"
                                "\"qk_layernorm\": false}"},
    {"stablelm",
     SIZES LN "u32 .rope.dimension_count 4\nt blk.0.attn_q_norm.weight 4 16\n",
     KIND(
         "stablelm",
         "StableLmForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_LN
                                "\"partial_rotary_factor\": 0.25,"
                                "\"use_parallel_residual\": true, \"use_qkv_bias\": false,"
                                "\"qk_layernorm\": true}"},
    {"starcoder2",
     SIZES LN "f32 .rope.freq_base 999999.4375\nt blk.0.attn_q.bias 64\n",
     KIND(
         "starcoder2",
         "Starcoder2ForCausalLM") "\"hidden_act\": \"gelu_pytorch_tanh\"," HF_SIZES
                                  "\"norm_epsilon\": 1e-05, \"rope_theta\": 999999.44,"
                                  "\"use_bias\": true}"},
    {"brand-new", SIZES RMS "f32 .shiny 3.5\n",
     "{\"model_type\": \"brand-new\"," HF_SIZES HF_RMS
     "\"brand-new.shiny\": 3.5}"},
};

/* ---- from lines to a file ---------------------------------------------- */

static size_t n_words(const char *p)
{
    size_t n = 0;

    for (; *p && *p != '\n'; p++)
        n += (isspace((unsigned char)*p) == 0) &&
             (p[1] == '\0' || isspace((unsigned char)p[1]));
    return n;
}

static void out_list(gguf_out *o, const char *kind, const char *rest)
{
    bool bools = strcmp(kind, "bools") == 0;
    size_t n = n_words(rest);

    out_u32(o, bools ? QN_GGUF_BOOL : QN_GGUF_U32);
    out_u64(o, n);
    for (; n; n--) {
        char *end;
        unsigned long v = strtoul(rest, &end, 10);
        rest = end;
        if (bools)
            out_u8(o, (unsigned)v);
        else
            out_u32(o, (uint32_t)v);
    }
}

static void out_line(gguf_out *o, const char *arch, const char *line)
{
    char kind[8], key[80], full[160];
    const char *rest;
    int at;

    assert_int_equal(sscanf(line, "%7s %79s %n", kind, key, &at), 2);
    rest = line + at;
    snprintf(full, sizeof full, "%s%s", *key == '.' ? arch : "", key);
    if (strcmp(kind, "u32") == 0)
        out_kv_u32(o, full, (uint32_t)strtoul(rest, NULL, 10));
    else if (strcmp(kind, "f32") == 0)
        out_kv_f32(o, full, strtof(rest, NULL));
    else if (strcmp(kind, "bool") == 0)
        out_kv_bool(o, full, *rest == '1');
    else if (strcmp(kind, "str") == 0) {
        char text[80];
        snprintf(text, sizeof text, "%.*s", (int)strcspn(rest, "\n"), rest);
        out_kv_str(o, full, text);
    } else {
        out_key(o, full, QN_GGUF_ARR);
        out_list(o, kind, rest);
    }
}

/* The tensor's description; its data follows at `offset`. */
static uint64_t out_tensor_line(gguf_out *o, const char *line, uint64_t offset)
{
    unsigned long long outer, inner = 1;
    char name[80];
    uint64_t dims[2], n;
    unsigned type = (unsigned)strtoul(line + 1, NULL, 10);
    int got = sscanf(strchr(line, ' '), "%79s %llu %llu", name, &outer, &inner);

    assert_true(got >= 2);
    dims[got - 2 ? 1 : 0] = outer;
    if (got == 3)
        dims[0] = inner;
    out_tensor(o, name, type, got - 1, dims, offset);
    n = outer * inner * 4;
    return offset + (n + 31) / 32 * 32;
}

static const char *next_line(const char *p)
{
    const char *eol = strchr(p, '\n');

    return eol ? eol + 1 : p + strlen(p);
}

static bool is_tensor(const char *line)
{
    return line[0] == 't' &&
           (line[1] == ' ' || isdigit((unsigned char)line[1]));
}

static void write_case(const struct config_case *c, const char *path)
{
    uint64_t n_tensors = 0, n_kv = 1, offset = 0, size, i;
    gguf_out o;

    for (const char *p = c->gguf; *p; p = next_line(p))
        *(is_tensor(p) ? &n_tensors : &n_kv) += 1;
    out_begin(&o, 3, n_tensors, n_kv);
    out_kv_str(&o, "general.architecture", c->arch);
    for (const char *p = c->gguf; *p; p = next_line(p))
        if (!is_tensor(p))
            out_line(&o, c->arch, p);
    for (const char *p = c->gguf; *p; p = next_line(p))
        if (is_tensor(p))
            offset = out_tensor_line(&o, p, offset);
    while (o.s.n % 32)
        out_u8(&o, 0);
    size = offset;
    offset = 0;
    for (const char *p = c->gguf; *p; p = next_line(p)) {
        gguf_out scratch;
        uint64_t next;
        if (!is_tensor(p))
            continue;
        out_begin(&scratch, 3, 0, 0);
        next = out_tensor_line(&scratch, p, offset);
        qn_str_deinit(&scratch.s);
        for (i = 0; i < (next - offset) / 4; i++)
            out_f32(&o, (float)i);
        offset = next;
    }
    assert_int_equal(offset, size);
    out_finish(&o, path, 0, 0);
}

/* ---- tests ------------------------------------------------------------- */

static void check_case(const struct config_case *c, const char *path)
{
    json_t *want = json_loads(c->config, JSON_REJECT_DUPLICATES, NULL);
    qn_ckpt *ck;
    qn_err err = {0};

    if (!want)
        fail_msg("not JSON: %s", c->config);
    write_case(c, path);
    if (qn_ckpt_open(&ck, path, &err) != 0)
        fail_msg("%s: %s", c->gguf, err.msg);
    if (!json_equal(want, (json_t *)qn_ckpt_config(ck))) {
        char *a = json_dumps(want, JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
        char *b = json_dumps(qn_ckpt_config(ck),
                             JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
        print_error("%s\n%swant %s\ngot  %s\n", c->arch, c->gguf, a, b);
        free(a);
        free(b);
        fail();
    }
    json_decref(want);
    qn_ckpt_close(ck);
}

static void test_cases(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.gguf");

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++)
        check_case(&cases[i], path);
}

/* (int)(factor * head_dim) is what a reader computes: it must come out. */
static void test_rotary_rounding(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.gguf");

    (void)state;
    for (unsigned d = 2; d <= 256; d += 14) {
        for (unsigned n = 2; n <= d; n += 6) {
            char lines[200];
            struct config_case c = {"phi2", lines, NULL};
            const json_t *f;
            qn_ckpt *ck;
            snprintf(lines, sizeof lines,
                     "u32 .embedding_length %u\nu32 .attention.head_count 1\n"
                     "u32 .rope.dimension_count %u\n",
                     d, n);
            write_case(&c, path);
            assert_int_equal(qn_ckpt_open(&ck, path, NULL), 0);
            f = json_object_get(qn_ckpt_config(ck), "partial_rotary_factor");
            assert_int_equal((unsigned)(json_real_value(f) * d), n);
            qn_ckpt_close(ck);
        }
    }
}

static void refuse(const char *arch, const char *gguf, int code,
                   const char *word)
{
    const char *path = help_path(qn_test_tmpdir(), "a.gguf");
    struct config_case c = {arch, gguf, NULL};

    write_case(&c, path);
    help_refused(path, code, WORDS(path, word));
}

static void test_refused(void **state)
{
    (void)state;
    refuse("llama", "f32 .rope.freq_base nan\n", QN_EFORMAT, "rope.freq_base");
    refuse("llama", "f32 .rope.scaling.factor inf\n", QN_EFORMAT,
           "rope.scaling.factor");
    refuse("llama", "str .rope.scaling.type \xff\n", QN_EFORMAT,
           "rope.scaling.type");
    refuse("llama", "str .odd \xff\n", QN_EFORMAT, "llama.odd");
    refuse("llama",
           "str .rope.scaling.type yarn\nf32 .rope.scaling.yarn_ext_factor 2\n",
           QN_EUNSUP, "yarn_ext_factor");
    refuse("llama",
           "t rope_factors_long.weight 5000\nt rope_factors_short.weight 2\n",
           QN_EFORMAT, "rope_factors_long.weight");
    refuse("llama",
           "t4242 rope_factors_long.weight 2\nt rope_factors_short.weight 2\n",
           QN_EFORMAT, "ggml type 4242");
    refuse("", "", QN_EFORMAT, "general.architecture");
    refuse("no name", "", QN_EFORMAT, "general.architecture");
}

/* A real file against the config.json of the same model. */
static void test_same_as_hf(void **state)
{
    const char *gguf = qn_test_shared("data/models/gguf/stories260K-f32.gguf");
    const char *hf = qn_test_shared("data/models/hf/stories260K");
    const char *key;
    json_t *value;
    qn_ckpt *a, *b;
    int n = 0;

    (void)state;
    if (!gguf || !hf)
        QN_SKIP("no shared data");
    assert_int_equal(qn_ckpt_open(&a, gguf, NULL), 0);
    assert_int_equal(qn_ckpt_open(&b, hf, NULL), 0);
    json_object_foreach((json_t *)qn_ckpt_config(b), key, value)
    {
        /* said by the quotient, and by the tensors */
        if (!strcmp(key, "head_dim") || !strcmp(key, "torch_dtype"))
            continue;
        if (!json_equal(value, json_object_get(qn_ckpt_config(a), key)))
            fail_msg("%s differs", key);
        n++;
    }
    assert_true(n >= 15);
    qn_ckpt_close(a);
    qn_ckpt_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_rotary_rounding),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same_as_hf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
