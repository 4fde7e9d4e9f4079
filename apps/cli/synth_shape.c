/* synth_shape.c - see synth_shape.h. Dimensions are those of the published
 * configurations. Tensors are rows of a table per family: a name in which %d
 * stands for layer and expert, and dimensions by letter. */
#include "cli/synth_shape.h"

#include "base/compiler.h"

#include <stdio.h>
#include <string.h>

#define LLAMA(NAME, V, L, D, FF, H, KV, DH, THETA, TIED)                      \
    {                                                                         \
        .name = NAME, .family = QN_SYNTH_LLAMA, .model_type = "llama",        \
        .arch = "LlamaForCausalLM", .n_vocab = V, .n_layer = L, .d_model = D, \
        .d_ff = FF, .n_head = H, .n_kv = KV, .d_head = DH, .n_ctx = 131072,   \
        .rope_theta = THETA, .bos = 128000, .eos = 128001, .tied = TIED,      \
        .llama3 = true                                                        \
    }
#define QWEN2(NAME, V, L, D, FF, H, KV, TIED)                                 \
    {                                                                         \
        .name = NAME, .family = QN_SYNTH_LLAMA, .model_type = "qwen2",        \
        .arch = "Qwen2ForCausalLM", .n_vocab = V, .n_layer = L, .d_model = D, \
        .d_ff = FF, .n_head = H, .n_kv = KV, .d_head = (D) / (H),             \
        .n_ctx = 32768, .rope_theta = 1e6, .bos = -1, .eos = 151645,          \
        .tied = TIED, .qkv_bias = true                                        \
    }
#define QWEN3(NAME, L, D, FF, H, KV, TIED)                                \
    {                                                                     \
        .name = NAME, .family = QN_SYNTH_LLAMA, .model_type = "qwen3",    \
        .arch = "Qwen3ForCausalLM", .n_vocab = 151936, .n_layer = L,      \
        .d_model = D, .d_ff = FF, .n_head = H, .n_kv = KV, .d_head = 128, \
        .n_ctx = 40960, .rope_theta = 1e6, .bos = -1, .eos = 151645,      \
        .tied = TIED, .qk_norm = true                                     \
    }
#define OPT(NAME, L, D, FF, H)                                                 \
    {                                                                          \
        .name = NAME, .family = QN_SYNTH_OPT, .model_type = "opt",             \
        .arch = "OPTForCausalLM", .n_vocab = 50272, .n_layer = L,              \
        .d_model = D, .d_ff = FF, .n_head = H, .n_kv = H, .d_head = (D) / (H), \
        .n_ctx = 2048, .bos = 2, .eos = 2, .tied = true, .d_embed = D          \
    }
#define GPT2(NAME, L, D, H)                                             \
    {                                                                   \
        .name = NAME, .family = QN_SYNTH_GPT2, .model_type = "gpt2",    \
        .arch = "GPT2LMHeadModel", .n_vocab = 50257, .n_layer = L,      \
        .d_model = D, .d_ff = 4 * (D), .n_head = H, .n_kv = H,          \
        .d_head = (D) / (H), .n_ctx = 1024, .bos = 50256, .eos = 50256, \
        .tied = true                                                    \
    }

static const qn_synth_shape shapes[] = {
    LLAMA("llama-3.2-1b", 128256, 16, 2048, 8192, 32, 8, 64, 5e5, true),
    LLAMA("llama-3.2-3b", 128256, 28, 3072, 8192, 24, 8, 128, 5e5, true),
    LLAMA("llama-3.1-8b", 128256, 32, 4096, 14336, 32, 8, 128, 5e5, false),
    QWEN2("qwen2.5-0.5b", 151936, 24, 896, 4864, 14, 2, true),
    QWEN2("qwen2.5-1.5b", 151936, 28, 1536, 8960, 12, 2, true),
    QWEN2("qwen2.5-7b", 152064, 28, 3584, 18944, 28, 4, false),
    QWEN3("qwen3-0.6b", 28, 1024, 3072, 16, 8, true),
    QWEN3("qwen3-1.7b", 28, 2048, 6144, 16, 8, true),
    QWEN3("qwen3-4b", 36, 2560, 9728, 32, 8, true),
    QWEN3("qwen3-8b", 36, 4096, 12288, 32, 8, false),
    {.name = "mistral-7b",
     .family = QN_SYNTH_LLAMA,
     .model_type = "mistral",
     .arch = "MistralForCausalLM",
     .n_vocab = 32768,
     .n_layer = 32,
     .d_model = 4096,
     .d_ff = 14336,
     .n_head = 32,
     .n_kv = 8,
     .d_head = 128,
     .n_ctx = 32768,
     .rope_theta = 1e6,
     .bos = 1,
     .eos = 2},
    {.name = "mixtral-8x7b",
     .family = QN_SYNTH_MOE,
     .model_type = "mixtral",
     .arch = "MixtralForCausalLM",
     .n_vocab = 32000,
     .n_layer = 32,
     .d_model = 4096,
     .d_ff = 14336,
     .n_head = 32,
     .n_kv = 8,
     .d_head = 128,
     .n_ctx = 32768,
     .rope_theta = 1e6,
     .bos = 1,
     .eos = 2,
     .n_exp = 8},
    OPT("opt-125m", 12, 768, 3072, 12),
    {.name = "opt-350m",
     .family = QN_SYNTH_OPT,
     .model_type = "opt",
     .arch = "OPTForCausalLM",
     .n_vocab = 50272,
     .n_layer = 24,
     .d_model = 1024,
     .d_ff = 4096,
     .n_head = 16,
     .n_kv = 16,
     .d_head = 64,
     .n_ctx = 2048,
     .bos = 2,
     .eos = 2,
     .tied = true,
     .d_embed = 512,
     .post_norm = true},
    OPT("opt-1.3b", 24, 2048, 8192, 32),
    OPT("opt-6.7b", 32, 4096, 16384, 32),
    GPT2("gpt2", 12, 768, 12),
    GPT2("gpt2-medium", 24, 1024, 16),
    GPT2("gpt2-large", 36, 1280, 20),
    GPT2("gpt2-xl", 48, 1600, 25),
};

const qn_synth_shape *qn_synth_shape_at(size_t i)
{
    return i < QN_COUNTOF(shapes) ? &shapes[i] : NULL;
}

const qn_synth_shape *qn_synth_shape_find(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(shapes); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* ---- tensors ------------------------------------------------------------- */

typedef enum when {
    ALWAYS,
    UNTIED,
    BIASED,
    QK_NORMED,
    PRE_NORMED,
    PROJECTED
} when;

/* Dimensions: V vocabulary, D model, F feed-forward, Q all heads, K all KV
 * heads, H one head, E embedding, X experts, P positions (OPT's table has two
 * more), 3 three times D; 0 none. */
typedef struct row {
    const char *name;
    char rows, cols;
    qn_synth_fill fill;
    when when;
} row;

#define LAYER "model.layers.%d."
#define ATTN LAYER "self_attn."

static const row llama_head[] = {
    {"model.embed_tokens.weight", 'V', 'D', QN_FILL_EMBED, ALWAYS},
    {0},
};
static const row llama_layer[] = {
    {LAYER "input_layernorm.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {ATTN "q_proj.weight", 'Q', 'D', QN_FILL_MATRIX, ALWAYS},
    {ATTN "k_proj.weight", 'K', 'D', QN_FILL_MATRIX, ALWAYS},
    {ATTN "v_proj.weight", 'K', 'D', QN_FILL_MATRIX, ALWAYS},
    {ATTN "q_proj.bias", 0, 'Q', QN_FILL_BIAS, BIASED},
    {ATTN "k_proj.bias", 0, 'K', QN_FILL_BIAS, BIASED},
    {ATTN "v_proj.bias", 0, 'K', QN_FILL_BIAS, BIASED},
    {ATTN "q_norm.weight", 0, 'H', QN_FILL_GAIN, QK_NORMED},
    {ATTN "k_norm.weight", 0, 'H', QN_FILL_GAIN, QK_NORMED},
    {ATTN "o_proj.weight", 'D', 'Q', QN_FILL_BRANCH, ALWAYS},
    {LAYER "post_attention_layernorm.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {0},
};
static const row llama_ffn[] = {
    {LAYER "mlp.gate_proj.weight", 'F', 'D', QN_FILL_MATRIX, ALWAYS},
    {LAYER "mlp.up_proj.weight", 'F', 'D', QN_FILL_MATRIX, ALWAYS},
    {LAYER "mlp.down_proj.weight", 'D', 'F', QN_FILL_BRANCH, ALWAYS},
    {0},
};
static const row moe_gate[] = {
    {LAYER "block_sparse_moe.gate.weight", 'X', 'D', QN_FILL_MATRIX, ALWAYS},
    {0},
};
static const row moe_expert[] = {
    {LAYER "block_sparse_moe.experts.%d.w1.weight", 'F', 'D', QN_FILL_MATRIX,
     ALWAYS},
    {LAYER "block_sparse_moe.experts.%d.w3.weight", 'F', 'D', QN_FILL_MATRIX,
     ALWAYS},
    {LAYER "block_sparse_moe.experts.%d.w2.weight", 'D', 'F', QN_FILL_BRANCH,
     ALWAYS},
    {0},
};
static const row llama_tail[] = {
    {"model.norm.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {"lm_head.weight", 'V', 'D', QN_FILL_EMBED, UNTIED},
    {0},
};

#define DEC "model.decoder."
#define OPT_LAYER DEC "layers.%d."

static const row opt_head[] = {
    {DEC "embed_tokens.weight", 'V', 'E', QN_FILL_EMBED, ALWAYS},
    {DEC "embed_positions.weight", 'P', 'D', QN_FILL_EMBED, ALWAYS},
    {DEC "project_in.weight", 'D', 'E', QN_FILL_MATRIX, PROJECTED},
    {DEC "project_out.weight", 'E', 'D', QN_FILL_MATRIX, PROJECTED},
    {DEC "final_layer_norm.weight", 0, 'D', QN_FILL_GAIN, PRE_NORMED},
    {DEC "final_layer_norm.bias", 0, 'D', QN_FILL_BIAS, PRE_NORMED},
    {0},
};
static const row opt_layer[] = {
    {OPT_LAYER "self_attn_layer_norm.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {OPT_LAYER "self_attn_layer_norm.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "self_attn.q_proj.weight", 'D', 'D', QN_FILL_MATRIX, ALWAYS},
    {OPT_LAYER "self_attn.q_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "self_attn.k_proj.weight", 'D', 'D', QN_FILL_MATRIX, ALWAYS},
    {OPT_LAYER "self_attn.k_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "self_attn.v_proj.weight", 'D', 'D', QN_FILL_MATRIX, ALWAYS},
    {OPT_LAYER "self_attn.v_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "self_attn.out_proj.weight", 'D', 'D', QN_FILL_BRANCH, ALWAYS},
    {OPT_LAYER "self_attn.out_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "final_layer_norm.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {OPT_LAYER "final_layer_norm.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "fc1.weight", 'F', 'D', QN_FILL_MATRIX, ALWAYS},
    {OPT_LAYER "fc1.bias", 0, 'F', QN_FILL_BIAS, ALWAYS},
    {OPT_LAYER "fc2.weight", 'D', 'F', QN_FILL_BRANCH, ALWAYS},
    {OPT_LAYER "fc2.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {0},
};

/* GPT-2 keeps its matrices transposed: [n_in, n_out]. */
static const row gpt2_head[] = {
    {"transformer.wte.weight", 'V', 'D', QN_FILL_EMBED, ALWAYS},
    {"transformer.wpe.weight", 'P', 'D', QN_FILL_EMBED, ALWAYS},
    {0},
};
static const row gpt2_layer[] = {
    {"transformer.h.%d.ln_1.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {"transformer.h.%d.ln_1.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {"transformer.h.%d.attn.c_attn.weight", 'D', '3', QN_FILL_MATRIX, ALWAYS},
    {"transformer.h.%d.attn.c_attn.bias", 0, '3', QN_FILL_BIAS, ALWAYS},
    {"transformer.h.%d.attn.c_proj.weight", 'D', 'D', QN_FILL_BRANCH, ALWAYS},
    {"transformer.h.%d.attn.c_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {"transformer.h.%d.ln_2.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {"transformer.h.%d.ln_2.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {"transformer.h.%d.mlp.c_fc.weight", 'D', 'F', QN_FILL_MATRIX, ALWAYS},
    {"transformer.h.%d.mlp.c_fc.bias", 0, 'F', QN_FILL_BIAS, ALWAYS},
    {"transformer.h.%d.mlp.c_proj.weight", 'F', 'D', QN_FILL_BRANCH, ALWAYS},
    {"transformer.h.%d.mlp.c_proj.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {0},
};
static const row gpt2_tail[] = {
    {"transformer.ln_f.weight", 0, 'D', QN_FILL_GAIN, ALWAYS},
    {"transformer.ln_f.bias", 0, 'D', QN_FILL_BIAS, ALWAYS},
    {0},
};
static const row none[] = {{0}};

/* A file is head, then for each layer: layer, then for each expert: expert;
 * then tail. */
static const struct {
    const row *head, *layer, *moe, *expert, *tail;
} tables[] = {
    [QN_SYNTH_LLAMA] = {llama_head, llama_layer, llama_ffn, none, llama_tail},
    [QN_SYNTH_MOE] = {llama_head, llama_layer, moe_gate, moe_expert,
                      llama_tail},
    [QN_SYNTH_OPT] = {opt_head, opt_layer, none, none, none},
    [QN_SYNTH_GPT2] = {gpt2_head, gpt2_layer, none, none, gpt2_tail},
};

static int64_t dim(const qn_synth_shape *s, char letter)
{
    switch (letter) {
    case 'V': return s->n_vocab;
    case 'D': return s->d_model;
    case 'F': return s->d_ff;
    case 'Q': return (int64_t)s->n_head * s->d_head;
    case 'K': return (int64_t)s->n_kv * s->d_head;
    case 'H': return s->d_head;
    case 'E': return s->d_embed;
    case 'X': return s->n_exp;
    case 'P': return s->n_ctx + (s->family == QN_SYNTH_OPT ? 2 : 0);
    case '3': return 3 * (int64_t)s->d_model;
    default: return 0;
    }
}

static bool applies(const qn_synth_shape *s, when w)
{
    switch (w) {
    case UNTIED: return !s->tied;
    case BIASED: return s->qkv_bias;
    case QK_NORMED: return s->qk_norm;
    case PRE_NORMED: return !s->post_norm;
    case PROJECTED: return s->d_embed != s->d_model;
    case ALWAYS: break;
    }
    return true;
}

/* Takes the i-th row that applies, or takes their number off *i. */
static const row *pick(const qn_synth_shape *s, const row *rows, size_t *i)
{
    for (; rows->name; rows++)
        if (applies(s, rows->when) && (*i)-- == 0)
            return rows;
    return NULL;
}

static void fill(const qn_synth_shape *s, const row *r, int layer, int expert,
                 qn_synth_tensor *t)
{
    const char *second = strstr(r->name, "%d");
    char head[96];
    *t = (qn_synth_tensor){.rows = dim(s, r->rows),
                           .cols = dim(s, r->cols),
                           .fill = r->fill};
    t->fan_in = s->family == QN_SYNTH_GPT2 && t->fill != QN_FILL_EMBED
                    ? t->rows
                    : t->cols;
    if (!second) {
        snprintf(t->name, sizeof t->name, "%s", r->name);
        return;
    }
    snprintf(head, sizeof head, "%.*s%d%s", (int)(second - r->name), r->name,
             layer, second + 2);
    second = strstr(head, "%d");
    if (second)
        snprintf(t->name, sizeof t->name, "%.*s%d%s", (int)(second - head),
                 head, expert, second + 2);
    else
        snprintf(t->name, sizeof t->name, "%s", head);
}

bool qn_synth_tensor_at(const qn_synth_shape *s, size_t i, qn_synth_tensor *t)
{
    const row *r = pick(s, tables[s->family].head, &i);
    int layer = 0, expert = 0;
    for (; !r && layer < s->n_layer; layer += !r) {
        r = pick(s, tables[s->family].layer, &i);
        if (!r)
            r = pick(s, tables[s->family].moe, &i);
        for (expert = 0; !r && expert < s->n_exp; expert += !r)
            r = pick(s, tables[s->family].expert, &i);
    }
    if (!r)
        r = pick(s, tables[s->family].tail, &i);
    if (!r)
        return false;
    fill(s, r, layer, expert, t);
    return true;
}

/* ---- config.json ---------------------------------------------------------- */

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

static void config_llama(const qn_synth_shape *s, json_t *o)
{
    set(o, "hidden_act", json_string("silu"));
    set(o, "hidden_size", json_integer(s->d_model));
    set(o, "intermediate_size", json_integer(s->d_ff));
    set(o, "num_hidden_layers", json_integer(s->n_layer));
    set(o, "num_attention_heads", json_integer(s->n_head));
    set(o, "num_key_value_heads", json_integer(s->n_kv));
    if (!s->qkv_bias)
        set(o, "head_dim", json_integer(s->d_head));
    set(o, "max_position_embeddings", json_integer(s->n_ctx));
    set(o, "rms_norm_eps", json_real(s->qk_norm || s->qkv_bias ? 1e-6 : 1e-5));
    set(o, "rope_theta", json_real(s->rope_theta));
    if (s->llama3)
        set(o, "rope_scaling",
            json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3",
                      "factor", 32.0, "low_freq_factor", 1.0,
                      "high_freq_factor", 4.0,
                      "original_max_position_embeddings", 8192));
    if (s->n_exp > 0) {
        set(o, "num_local_experts", json_integer(s->n_exp));
        set(o, "num_experts_per_tok", json_integer(2));
        set(o, "sliding_window", json_null());
    }
    if (strcmp(s->model_type, "mistral") == 0)
        set(o, "sliding_window", json_null());
    if (s->qkv_bias || s->qk_norm)
        set(o, "use_sliding_window", json_false());
}

static void config_opt(const qn_synth_shape *s, json_t *o)
{
    set(o, "activation_function", json_string("relu"));
    set(o, "do_layer_norm_before", json_boolean(!s->post_norm));
    set(o, "ffn_dim", json_integer(s->d_ff));
    set(o, "hidden_size", json_integer(s->d_model));
    set(o, "max_position_embeddings", json_integer(s->n_ctx));
    set(o, "num_attention_heads", json_integer(s->n_head));
    set(o, "num_hidden_layers", json_integer(s->n_layer));
    set(o, "pad_token_id", json_integer(1));
    set(o, "word_embed_proj_dim", json_integer(s->d_embed));
}

static void config_gpt2(const qn_synth_shape *s, json_t *o)
{
    set(o, "activation_function", json_string("gelu_new"));
    set(o, "layer_norm_epsilon", json_real(1e-5));
    set(o, "n_ctx", json_integer(s->n_ctx));
    set(o, "n_embd", json_integer(s->d_model));
    set(o, "n_head", json_integer(s->n_head));
    set(o, "n_layer", json_integer(s->n_layer));
    set(o, "n_positions", json_integer(s->n_ctx));
}

json_t *qn_synth_config(const qn_synth_shape *s, const char *torch_dtype)
{
    json_t *o = json_object();
    set(o, "architectures", json_pack("[s]", s->arch));
    set(o, "model_type", json_string(s->model_type));
    set(o, "torch_dtype", json_string(torch_dtype));
    set(o, "vocab_size", json_integer(s->n_vocab));
    set(o, "tie_word_embeddings", json_boolean(s->tied));
    if (s->bos >= 0)
        set(o, "bos_token_id", json_integer(s->bos));
    set(o, "eos_token_id", json_integer(s->eos));
    switch (s->family) {
    case QN_SYNTH_LLAMA:
    case QN_SYNTH_MOE: config_llama(s, o); break;
    case QN_SYNTH_OPT: config_opt(s, o); break;
    case QN_SYNTH_GPT2: config_gpt2(s, o); break;
    }
    return o;
}
