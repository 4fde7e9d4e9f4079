/* gguf_arch.c: what each architecture of GGUF is called in config.json, and
 * what its name implies.
 *
 * GGUF says sizes; the rest (activation, what is tied, which defaults) follows
 * from the architecture's name. Sources: the keys in ggml's docs/gguf.md and
 * gguf-py/gguf/constants.py, the converter convert_hf_to_gguf.py of llama.cpp
 * (which config key becomes which GGUF key), and the defaults of the
 * configuration classes of transformers.
 */
#include "ckpt/gguf_config_int.h"

const qn_gguf_key_row qn_gguf_common_keys[] = {
    {"block_count", "num_hidden_layers", false, 0},
    {"context_length", "max_position_embeddings", false, 0},
    {"embedding_length", "hidden_size", false, 0},
    {"feed_forward_length", "intermediate_size", true, 0},
    {"attention.head_count", "num_attention_heads", false, 0},
    {"attention.head_count_kv", "num_key_value_heads", false, 0},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", false, QN_GGUF_F32},
    {"attention.layer_norm_epsilon", "layer_norm_eps", false, QN_GGUF_F32},
    {"attention.sliding_window", "sliding_window", true, 0},
    {"attention.sliding_window_pattern", "sliding_window_pattern", false, 0},
    {"attn_logit_softcapping", "attn_logit_softcapping", true, QN_GGUF_F32},
    {"final_logit_softcapping", "final_logit_softcapping", true, QN_GGUF_F32},
    {"rope.freq_base", "rope_theta", false, QN_GGUF_F32},
    {"expert_count", "num_local_experts", true, 0},
    {"expert_used_count", "num_experts_per_tok", true, 0},
    {"expert_feed_forward_length", "moe_intermediate_size", true, 0},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size",
     true, 0},
    {"use_parallel_residual", "use_parallel_residual", false, QN_GGUF_BOOL},
    {"ssm.conv_kernel", "mamba_d_conv", false, 0},
    {"ssm.state_size", "mamba_d_state", false, 0},
    {"ssm.inner_size", "mamba_d_ssm", false, 0},
    {"ssm.group_count", "mamba_n_groups", true, 0},
    {"ssm.time_step_rank", "mamba_n_heads", false, 0},
    /* made into something else by gguf_config.c and gguf_rope.c */
    {"vocab_size", NULL, false, 0},
    {"attention.key_length", NULL, false, 0},
    {"attention.value_length", NULL, false, 0},
    {"rope.dimension_count", NULL, false, 0},
    {"rope.scale_linear", NULL, false, 0},
    {"rope.scaling.type", NULL, false, 0},
    {"rope.scaling.factor", NULL, false, 0},
    {"rope.scaling.original_context_length", NULL, false, 0},
    {"rope.scaling.attn_factor", NULL, false, 0},
    {"rope.scaling.yarn_ext_factor", NULL, false, 0},
    {"rope.scaling.yarn_attn_factor", NULL, false, 0},
    {"rope.scaling.yarn_beta_fast", NULL, false, 0},
    {"rope.scaling.yarn_beta_slow", NULL, false, 0},
    /* about the file or its making, not the network */
    {"rope.scaling.finetuned", NULL, false, 0},
    {"tensor_data_layout", NULL, false, 0},
    {NULL, NULL, false, 0},
};

#define SILU "{\"hidden_act\": \"silu\"}"
#define ATTN_BIAS                                   \
    {                                               \
        "blk.0.attn_q.bias", "attention_bias", true \
    }

static const qn_gguf_arch_row arch_rows[] = {
    {.arch = "llama",
     .when = "expert_count",
     .model_type = "mixtral",
     .class_name = "MixtralForCausalLM",
     .fixed = SILU},
    {.arch = "llama",
     .when = "attention.sliding_window",
     .model_type = "mistral",
     .class_name = "MistralForCausalLM",
     .fixed = SILU},
    {.arch = "llama",
     .model_type = "llama",
     .class_name = "LlamaForCausalLM",
     .fixed = SILU,
     .tensors = {ATTN_BIAS, {"blk.0.ffn_down.bias", "mlp_bias", true}}},
    {.arch = "qwen2",
     .model_type = "qwen2",
     .class_name = "Qwen2ForCausalLM",
     .fixed = SILU},
    {.arch = "qwen2moe",
     .model_type = "qwen2_moe",
     .class_name = "Qwen2MoeForCausalLM",
     .fixed = "{\"hidden_act\": \"silu\", \"norm_topk_prob\": false}",
     .keys = {{"expert_count", "num_experts", false, 0}}},
    {.arch = "qwen3",
     .model_type = "qwen3",
     .class_name = "Qwen3ForCausalLM",
     .fixed = SILU,
     .tensors = {ATTN_BIAS},
     .say_head_dim = true},
    {.arch = "qwen3moe",
     .model_type = "qwen3_moe",
     .class_name = "Qwen3MoeForCausalLM",
     .fixed = "{\"hidden_act\": \"silu\", \"norm_topk_prob\": true}",
     .keys = {{"expert_count", "num_experts", false, 0}},
     .tensors = {ATTN_BIAS},
     .say_head_dim = true},
    {.arch = "gemma",
     .model_type = "gemma",
     .class_name = "GemmaForCausalLM",
     .fixed = "{\"hidden_activation\": \"gelu_pytorch_tanh\"}",
     .say_head_dim = true},
    {.arch = "gemma2",
     .model_type = "gemma2",
     .class_name = "Gemma2ForCausalLM",
     .fixed = "{\"hidden_activation\": \"gelu_pytorch_tanh\","
              " \"sliding_window\": 4096, \"attn_logit_softcapping\": 50.0,"
              " \"final_logit_softcapping\": 30.0}",
     .say_head_dim = true,
     .has_qpas = true,
     .odd_layers = 46},
    {.arch = "gemma3",
     .model_type = "gemma3_text",
     .class_name = "Gemma3ForCausalLM",
     .fixed = "{\"hidden_activation\": \"gelu_pytorch_tanh\","
              " \"sliding_window_pattern\": 6,"
              " \"rope_theta\": 1000000.0, \"rope_local_base_freq\": 10000.0}",
     .keys = {{"rope.freq_base_swa", "rope_local_base_freq", false,
               QN_GGUF_F32}},
     .say_head_dim = true,
     .has_qpas = true,
     .odd_layers = 62},
    {.arch = "phi2",
     .model_type = "phi",
     .class_name = "PhiForCausalLM",
     .fixed = "{\"hidden_act\": \"gelu_new\"}",
     .rotary = "partial_rotary_factor"},
    {.arch = "phi3",
     .model_type = "phi3",
     .class_name = "Phi3ForCausalLM",
     .fixed = SILU},
    {.arch = "gptneox",
     .model_type = "gpt_neox",
     .class_name = "GPTNeoXForCausalLM",
     .fixed = "{\"hidden_act\": \"gelu\"}",
     .keys = {{"rope.freq_base", "rotary_emb_base", false, QN_GGUF_F32},
              {"attention.head_count_kv", NULL, false, 0}},
     .tensors = {{"blk.0.attn_qkv.bias", "attention_bias", true}},
     .rotary = "rotary_pct"},
    {.arch = "gpt2",
     .model_type = "gpt2",
     .class_name = "GPT2LMHeadModel",
     .fixed = "{\"activation_function\": \"gelu_new\"}",
     .keys = {{"block_count", "n_layer", false, 0},
              {"context_length", "n_positions", false, 0},
              {"embedding_length", "n_embd", false, 0},
              {"feed_forward_length", "n_inner", false, 0},
              {"attention.head_count", "n_head", false, 0},
              {"attention.layer_norm_epsilon", "layer_norm_epsilon", false,
               QN_GGUF_F32}}},
    {.arch = "mamba",
     .model_type = "mamba",
     .class_name = "MambaForCausalLM",
     .fixed = SILU,
     .keys = {{"attention.head_count", NULL, false, 0},
              {"ssm.time_step_rank", "mamba_dt_rank", false, 0}},
     .tensors = {{"blk.0.ssm_in.bias", "use_bias", true},
                 {"blk.0.ssm_conv1d.bias", "mamba_conv_bias", true}}},
    {.arch = "mamba2",
     .model_type = "mamba2",
     .class_name = "Mamba2ForCausalLM",
     .fixed = SILU,
     .keys = {{"attention.head_count", NULL, false, 0},
              {"ssm.time_step_rank", "num_attention_heads", false, 0}},
     .tensors = {{"blk.0.ssm_in.bias", "use_bias", true},
                 {"blk.0.ssm_conv1d.bias", "mamba_conv_bias", true}}},
    {.arch = "jamba",
     .model_type = "jamba",
     .class_name = "JambaForCausalLM",
     .fixed = SILU,
     .keys = {{"ssm.time_step_rank", "mamba_dt_rank", false, 0}},
     .mixed = true,
     .router_tells = true},
    /* converters put all multipliers into the weights */
    {.arch = "falcon-h1",
     .model_type = "falcon_h1",
     .class_name = "FalconH1ForCausalLM",
     .fixed = "{\"hidden_act\": \"silu\", \"mamba_norm_before_gate\": false}",
     .tensors = {ATTN_BIAS,
                 {"blk.0.ssm_norm.weight", "mamba_rms_norm", true},
                 {"blk.0.ssm_conv1d.bias", "mamba_conv_bias", true}}},
    {.arch = "granitehybrid",
     .model_type = "granitemoehybrid",
     .class_name = "GraniteMoeHybridForCausalLM",
     .fixed = "{\"hidden_act\": \"silu\", \"num_local_experts\": 0}",
     .keys = {{"attention.scale", "attention_multiplier", false, 0},
              {"embedding_scale", "embedding_multiplier", false, 0},
              {"residual_scale", "residual_multiplier", false, 0},
              {"logit_scale", "logits_scaling", false, 0}},
     .mixed = true,
     .finetuned_turns = true},
    {.arch = "nemotron_h",
     .model_type = "nemotron_h",
     .class_name = "NemotronHForCausalLM",
     .fixed = "{\"mlp_hidden_act\": \"relu2\"}",
     .say_head_dim = true,
     .one_block = true},
    {.arch = "lfm2",
     .model_type = "lfm2",
     .class_name = "Lfm2ForCausalLM",
     .fixed = "{\"block_auto_adjust_ff_dim\": false}",
     .keys = {{"shortconv.l_cache", "conv_L_cache", false, 0}},
     .mixed = true},
    {.arch = "stablelm",
     .model_type = "stablelm",
     .class_name = "StableLmForCausalLM",
     .fixed = SILU,
     /* the converters write true where config.json said nothing */
     .keys = {{"use_parallel_residual", NULL, false, 0}},
     .tensors = {{"blk.0.attn_q.bias", "use_qkv_bias", true},
                 {"blk.0.attn_q_norm.weight", "qk_layernorm", true},
                 {"blk.0.ffn_norm.weight", "use_parallel_residual", false}},
     .rotary = "partial_rotary_factor"},
    {.arch = "starcoder2",
     .model_type = "starcoder2",
     .class_name = "Starcoder2ForCausalLM",
     .fixed = "{\"hidden_act\": \"gelu_pytorch_tanh\"}",
     .keys = {{"attention.layer_norm_epsilon", "norm_epsilon", false,
               QN_GGUF_F32}},
     .tensors = {{"blk.0.attn_q.bias", "use_bias", true}}},
};

const qn_gguf_arch_row *qn_gguf_arch_find(const qn_ckpt *ck, qn_view arch)
{
    for (size_t i = 0; i < QN_COUNTOF(arch_rows); i++) {
        const qn_gguf_arch_row *row = &arch_rows[i];
        uint64_t v;
        if (!qn_view_eqs(arch, row->arch))
            continue;
        if (!row->when || (qn_gguf_arch_u64(ck, row->when, &v) && v > 0))
            return row;
    }
    return NULL;
}

const qn_gguf_arch_row *qn_gguf_arch_of(const char *model_type)
{
    for (size_t i = 0; i < QN_COUNTOF(arch_rows); i++)
        if (strcmp(arch_rows[i].model_type, model_type) == 0)
            return &arch_rows[i];
    return NULL;
}
