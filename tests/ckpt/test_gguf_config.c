/* test_gguf_config.c: metadata of each architecture against the config.json
 * that the converters of llama.cpp made it from (as far as it is kept). */
#include "ckpt_help.h"

#include <ctype.h>

/* One case: the GGUF as lines, and the whole config that must come of it.
 *
 *     u32 KEY N | f32 KEY X | bool KEY 0 | str KEY TEXT     a pair; a KEY that
 *         begins with a dot is the architecture's
 *     u32s KEY N N ... | f32s KEY X ... | bools KEY 0 1 ...    an array
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

#define MLA_OLD                                                      \
    "u32 .attention.kv_lora_rank 24\nu32 .attention.key_length 24\n" \
    "u32 .attention.value_length 16\nu32 .rope.dimension_count 8\n"
#define MLA                                                          \
    "u32 .attention.kv_lora_rank 24\nu32 .attention.key_length 32\n" \
    "u32 .attention.value_length 24\nu32 .rope.dimension_count 8\n"  \
    "u32 .attention.key_length_mla 24\nu32 .attention.value_length_mla 16\n"
#define HF_MLA                                       \
    "\"kv_lora_rank\": 24, \"qk_rope_head_dim\": 8," \
    "\"qk_nope_head_dim\": 16, \"v_head_dim\": 16,"
/* where the file does not say how many (Youtu) */
#define HF_NO_EXPERTS "\"n_routed_experts\": 0,"
/* without a number of key heads */
#define HF_LATENT                                            \
    "\"hidden_act\": \"silu\", \"num_hidden_layers\": 2,"    \
    "\"hidden_size\": 64, \"max_position_embeddings\": 256," \
    "\"intermediate_size\": 160, \"num_attention_heads\": 4,"
#define FALCON KIND("falcon", "FalconForCausalLM")

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
     "u32 tokenizer.ggml.bos_token_id 4294967295\n" /* none */
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
     "u32 .block_count 2\nbools .attention.sliding_window_pattern 1 0\n",
     KIND(
         "gemma3_text",
         "Gemma3ForCausalLM") "\"num_hidden_layers\": 2,"
                              "\"hidden_activation\": \"gelu_pytorch_tanh\","
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
    /* ---- more families: what is said, what follows from the name ---- */

    {"deepseek2", /* V3, of an early converter: whole keys, no groups */
     SIZES RMS MLA_OLD
     "u32 .leading_dense_block_count 3\nu32 .attention.q_lora_rank 48\n"
     "u32 .expert_gating_func 2\nbool .expert_weights_norm 1\n"
     "f32 .expert_weights_scale 2.5\nstr .rope.scaling.type yarn\n"
     "f32 .rope.scaling.factor 40\n"
     "u32 .rope.scaling.original_context_length 64\n"
     "f32 .rope.scaling.yarn_log_multiplier 0.1\n",
     KIND("deepseek_v3", "DeepseekV3ForCausalLM")
         HF_LATENT HF_RMS HF_MLA HF_NO_EXPERTS
     "\"first_k_dense_replace\": 3, \"q_lora_rank\": 48,"
     "\"norm_topk_prob\": true, \"routed_scaling_factor\": 2.5,"
     "\"n_group\": 8, \"topk_group\": 4,"
     "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 40.0,"
     "\"original_max_position_embeddings\": 64,"
     "\"mscale\": 1.0, \"mscale_all_dim\": 1.0}}"},
    {"deepseek2", /* Kimi K2, of a newer one: keys of what is cached */
     SIZES RMS MLA "u32 .leading_dense_block_count 1\n"
                   "u32 .expert_gating_func 2\n",
     KIND("deepseek_v3", "DeepseekV3ForCausalLM")
         HF_LATENT HF_RMS HF_MLA HF_NO_EXPERTS
     "\"first_k_dense_replace\": 1, \"q_lora_rank\": null,"
     "\"norm_topk_prob\": false, \"routed_scaling_factor\": 1.0,"
     "\"n_group\": 1, \"topk_group\": 1}"},
    {"deepseek2", /* a correction of the choice without a word about it */
     SIZES RMS MLA "t blk.1.exp_probs_b.bias 4\nu32 .expert_group_count 2\n"
                   "u32 .expert_group_used_count 1\n",
     KIND("deepseek_v3", "DeepseekV3ForCausalLM")
         HF_LATENT HF_RMS HF_MLA HF_NO_EXPERTS
     "\"first_k_dense_replace\": 0, \"q_lora_rank\": null,"
     "\"norm_topk_prob\": false, \"routed_scaling_factor\": 1.0,"
     "\"n_group\": 2, \"topk_group\": 1}"},
    {"deepseek2", /* V2 Lite; a router that it cannot have is told */
     SIZES RMS MLA "u32 .leading_dense_block_count 1\n"
                   "f32 .expert_weights_scale 1\n",
     KIND("deepseek_v2", "DeepseekV2ForCausalLM") HF_LATENT HF_RMS HF_MLA
     "\"first_k_dense_replace\": 1, \"q_lora_rank\": null,"
     "\"routed_scaling_factor\": 1.0}"},
    {"glm4moe", /* one more layer predicts one more token */
     "u32 .block_count 3\nu32 .nextn_predict_layers 1\n"
     "u32 .expert_gating_func 1\nu32 .embedding_length 64\n"
     "u32 .attention.head_count 4\nu32 .rope.dimension_count 8\n"
     "u32s .attention.head_count_kv 2 2 2\n",
     KIND(
         "glm4_moe",
         "Glm4MoeForCausalLM") "\"hidden_act\": \"silu\", \"first_k_dense_replace\": 0,"
                               "\"norm_topk_prob\": false, \"num_hidden_layers\": 2,"
                               "\"hidden_size\": 64, \"num_attention_heads\": 4,"
                               "\"num_key_value_heads\": 2, \"head_dim\": 16,"
                               "\"partial_rotary_factor\": 0.5, \"attention_bias\": false,"
                               "\"use_qk_norm\": false, \"scoring_func\": \"softmax\"}"},
    {"gpt-oss",
     SIZES RMS "u32 .attention.sliding_window 128\n"
               "u32 .attention.key_length 16\nu32 .attention.value_length 16\n"
               "u32 .expert_feed_forward_length 96\nu32 .expert_count 8\n"
               "u32 .expert_used_count 2\nstr .rope.scaling.type yarn\n"
               "f32 .rope.scaling.factor 32\nt blk.0.attn_q.bias 64\n"
               "u32 .rope.scaling.original_context_length 64\n",
     KIND(
         "gpt_oss",
         "GptOssForCausalLM") "\"hidden_act\": \"silu\", \"swiglu_limit\": 7.0,"
                              "\"num_hidden_layers\": 2, \"hidden_size\": 64,"
                              "\"max_position_embeddings\": 256, \"intermediate_size\": 96,"
                              "\"num_attention_heads\": 4, \"num_key_value_heads\": 2," HF_RMS
                              "\"sliding_window\": 128, \"head_dim\": 16,"
                              "\"num_local_experts\": 8, \"num_experts_per_tok\": 2,"
                              "\"attention_bias\": true,"
                              "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 32.0,"
                              "\"original_max_position_embeddings\": 64, \"truncate\": false}}"},
    {"gemma3n", /* from -infinity on: nothing is left out */
     "u32 .block_count 2\nu32s .feed_forward_length 8 8\n"
     "u32 .altup.active_idx 0\nu32 .altup.num_inputs 4\n"
     "u32 .embedding_length_per_layer_input 16\n"
     "u32 .attention.shared_kv_layers 1\n"
     "f32s .activation_sparsity_scale 0 -inf\n"
     "f32 .rope.freq_base_swa 5000\n"
     "t blk.0.laurel_l.weight 8 64\nt per_layer_token_embd.weight 40 32\n",
     KIND(
         "gemma3n_text",
         "Gemma3nForCausalLM") "\"hidden_activation\": \"gelu_pytorch_tanh\", \"laurel_rank\": 8,"
                               "\"num_hidden_layers\": 2, \"intermediate_size\": 8,"
                               "\"altup_active_idx\": 0, \"altup_num_inputs\": 4,"
                               "\"hidden_size_per_layer_input\": 16,"
                               "\"num_kv_shared_layers\": 1, \"vocab_size_per_layer_input\": 40,"
                               "\"activation_sparsity_pattern\": [0.5, 0.0],"
                               "\"final_logit_softcapping\": 30.0, \"rope_theta\": 1000000.0,"
                               "\"rope_local_base_freq\": 5000.0}"},
    {"olmo2", /* that slides: OLMo 3, of which sliding layers are not scaled */
     SIZES RMS "u32 .attention.sliding_window 16\n"
               "bools .attention.sliding_window_pattern 1 0\n"
               "f32 .rope.freq_base 500000\nstr .rope.scaling.type linear\n"
               "f32 .rope.scaling.factor 8\n",
     KIND(
         "olmo3",
         "Olmo3ForCausalLM") "\"hidden_act\": \"silu\"," HF_SIZES HF_RMS
                             "\"sliding_window\": 16, \"layer_types\":"
                             "[\"sliding_attention\", \"full_attention\"],"
                             "\"rope_theta\": 500000.0, \"rope_local_base_freq\": 500000.0,"
                             "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}}"},
    {"falcon", SIZES LN "t blk.0.attn_norm_2.weight 64\n",
     FALCON HF_SIZES HF_LN "\"new_decoder_architecture\": true}"},
    {"falcon", SIZES LN,
     FALCON HF_SIZES HF_LN "\"new_decoder_architecture\": true,"
                           "\"num_ln_in_parallel_attn\": 1}"},
    {"falcon", "u32 .attention.head_count_kv 1\n",
     FALCON "\"num_key_value_heads\": 1, \"multi_query\": true}"},
    {"mpt", /* slopes of another kind, biases */
     "f32 .attention.max_alibi_bias 4\nf32 .attention.clamp_kqv 6\n"
     "t blk.0.attn_qkv.bias 9\n",
     KIND("mpt", "MptForCausalLM") "\"alibi_bias_max\": 4.0,"
                                   "\"clip_qkv\": 6.0, \"no_bias\": false}"},
    {"chatglm", "t blk.0.attn_qkv.bias 9\n",
     KIND(
         "glm",
         "GlmForCausalLM") "\"hidden_act\": \"silu\", \"attention_bias\": true}"},
    {"mistral3",
     "str .rope.scaling.type yarn\nf32 .rope.scaling.factor 16\n"
     "f32 .rope.scaling.yarn_log_multiplier 1\n"
     "f32 .attention.temperature_scale 0.1\n",
     KIND(
         "ministral3",
         "Ministral3ForCausalLM") "\"hidden_act\": \"silu\", \"sliding_window\": null,"
                                  "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 16.0,"
                                  "\"mscale\": 1.0, \"mscale_all_dim\": 1.0,"
                                  "\"llama_4_scaling_beta\": 0.1}}"},
    {"qwen3next", /* layers by name */
     "u32 .block_count 2\nbools .attention.recurrent_layers 1 0\n"
     "u32 .ssm.time_step_rank 4\nu32 .ssm.inner_size 64\n"
     "u32 .full_attention_interval 2\n",
     KIND(
         "qwen3_next",
         "Qwen3NextForCausalLM") "\"hidden_act\": \"silu\", \"num_hidden_layers\": 2,"
                                 "\"layer_types\": [\"linear_attention\", \"full_attention\"],"
                                 "\"mamba_n_heads\": 4, \"mamba_d_ssm\": 64,"
                                 "\"full_attention_interval\": 2}"},
    {"nemotron_h_moe",
     "u32 .block_count 4\nu32s .attention.head_count_kv 0 0 2 0\n"
     "u32s .feed_forward_length 0 8 0 8\nu32 .moe_latent_size 64\n"
     "t blk.3.ffn_gate_inp.weight 4 8\n",
     KIND(
         "nemotron_h",
         "NemotronHForCausalLM") "\"mlp_hidden_act\": \"relu2\", \"norm_topk_prob\": false,"
                                 "\"num_hidden_layers\": 4, \"num_key_value_heads\": 2,"
                                 "\"intermediate_size\": 8, \"hybrid_override_pattern\": \"M-*E\","
                                 "\"nemotron_h_moe.moe_latent_size\": 64}"},
    {"llama4", "u32 .expert_count 128\nu32 .feed_forward_length 16\n",
     KIND(
         "llama4_text",
         "Llama4ForCausalLM") "\"hidden_act\": \"silu\", \"use_qk_norm\": false,"
                              "\"num_local_experts\": 128, \"intermediate_size_mlp\": 16}"},
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
    bool bools = strcmp(kind, "bools") == 0, reals = kind[0] == 'f';
    size_t n = n_words(rest);

    out_u32(o, bools ? QN_GGUF_BOOL : reals ? QN_GGUF_F32 : QN_GGUF_U32);
    out_u64(o, n);
    for (; n; n--) {
        char *end;
        double v = strtod(rest, &end);
        rest = end;
        if (bools)
            out_u8(o, (unsigned)v);
        else if (reals)
            out_f32(o, (float)v);
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
    refuse("gemma4", "", QN_EFORMAT, "rope_freqs.weight");
    refuse("gemma4", "t rope_freqs.weight 4\n", QN_EUNSUP, "element 0");
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
