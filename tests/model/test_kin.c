/* Families that are another one under other names, or with settings said in
 * another way (families_kin.c): the reference of that one, its tensors renamed
 * and laid out as these have them, must come out. */
#include "golden.h"
#include "remake.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct kin {
    const char *name; /* of the reference */
    bool shared;      /* it is not among our own */
    const char *set;  /* members of config.json */
    void (*change)(remake *r);
} kin;

static double number(const remake *r, const char *key)
{
    return json_number_value(json_object_get(r->config, key));
}

static void scale(rm_tensor *t, double by)
{
    for (size_t i = 0; i < t->n; i++)
        t->v[i] = (float)(t->v[i] * by);
}

/* Rows of several matrices, one block of each in turn. */
static void fuse(remake *r, int layer, const char *to, int n_part,
                 const char *const *from, const int64_t *block)
{
    char name[160];
    int64_t rows = 0, cols = 0, at = 0;
    for (int i = 0; i < n_part; i++) {
        rm_tensor *t = remake_get(r, from[i], layer);
        rows += t->shape[0];
        cols = t->shape[1];
    }
    int64_t shape[] = {rows, cols}, unit = 0;
    snprintf(name, sizeof name, to, layer);
    float *v = remake_add(r, name, 2, shape)->v;
    for (int i = 0; i < n_part; i++)
        unit += block[i];
    for (int64_t g = 0; g < rows / unit; g++)
        for (int i = 0; i < n_part; i++) {
            size_t n = (size_t)(block[i] * cols);
            memcpy(v + at, remake_get(r, from[i], layer)->v + g * (int64_t)n,
                   n * sizeof *v);
            at += (int64_t)n;
        }
    for (int i = 0; i < n_part; i++) {
        snprintf(name, sizeof name, from[i], layer);
        remake_drop(r, name);
    }
}

static void internlm2(remake *r)
{
    static const char *const qkv[] = {
        "model.layers.%d.self_attn.q_proj.weight",
        "model.layers.%d.self_attn.k_proj.weight",
        "model.layers.%d.self_attn.v_proj.weight"};
    int n_kv = (int)number(r, "num_key_value_heads");
    int n_head = (int)number(r, "num_attention_heads");
    int64_t d = (int64_t)number(r, "hidden_size") / n_head;
    int64_t block[] = {n_head / n_kv * d, d, d};
    for (int i = 0; i < (int)number(r, "num_hidden_layers"); i++)
        fuse(r, i, "model.layers.%d.attention.wqkv.weight", 3, qkv, block);
    remake_rename(r, "embed_tokens", "tok_embeddings");
    remake_rename(r, "lm_head", "output");
    remake_rename(r, "input_layernorm", "attention_norm");
    remake_rename(r, "post_attention_layernorm", "ffn_norm");
    remake_rename(r, "self_attn.o_proj", "attention.wo");
    remake_rename(r, "mlp.gate_proj", "feed_forward.w1");
    remake_rename(r, "mlp.up_proj", "feed_forward.w3");
    remake_rename(r, "mlp.down_proj", "feed_forward.w2");
}

static void exaone(remake *r)
{
    remake_rename(r, "model.embed_tokens", "transformer.wte");
    remake_rename(r, "model.norm", "transformer.ln_f");
    remake_rename(r, "model.layers.", "transformer.h.");
    remake_rename(r, "input_layernorm", "ln_1");
    remake_rename(r, "post_attention_layernorm", "ln_2");
    remake_rename(r, "self_attn.o_proj", "self_attn.out_proj");
    remake_rename(r, "self_attn.", "attn.attention.");
    remake_rename(r, "mlp.gate_proj", "mlp.c_fc_0");
    remake_rename(r, "mlp.up_proj", "mlp.c_fc_1");
    remake_rename(r, "mlp.down_proj", "mlp.c_proj");
}

static void phi4mm(remake *r)
{
    remake_rename(r, "_proj.weight", "_proj.base_layer.weight");
}

static void nothing(remake *r)
{
    (void)r;
}

static void inside(remake *r)
{
    static const int64_t one[] = {1};
    remake_rename(r, "model.", "language_model.model.");
    remake_rename(r, "lm_head", "language_model.lm_head");
    remake_add(r, "vision_tower.layers.0.weight", 1, one);
}

static void thinker(remake *r)
{
    remake_rename(r, "model.", "thinker.model.");
    remake_rename(r, "lm_head", "thinker.lm_head");
}

/* The network's configuration as a member of its own. */
static void nest(remake *r, const char *outer, const char *member)
{
    json_t *o = json_pack("{s:s, s:o, s:{s:i}}", "model_type", outer, member,
                          r->config, "vision_config", "depth", 3);
    r->config = o;
}

static void llava(remake *r)
{
    inside(r);
    nest(r, "llava", "text_config");
}

static void internvl_chat(remake *r)
{
    inside(r);
    nest(r, "internvl_chat", "llm_config");
}

static void omni(remake *r)
{
    json_object_set_new(json_object_get(r->config, "rope_parameters"),
                        "mrope_section", json_pack("[i, i, i]", 2, 3, 3));
    thinker(r);
    nest(r, "qwen2_5_omni_thinker", "text_config");
    nest(r, "qwen2_5_omni", "thinker_config");
}

/* Granite's factors, as MiniCPM says them; its scores are not said. */
static void minicpm(remake *r)
{
    int n = (int)number(r, "num_hidden_layers");
    double d = number(r, "hidden_size");
    double head = d / number(r, "num_attention_heads");
    json_t *c = r->config;
    for (int i = 0; i < n; i++)
        scale(remake_get(r, "model.layers.%d.self_attn.q_proj.weight", i),
              number(r, "attention_multiplier") * sqrt(head));
    json_object_set_new(c, "scale_emb",
                        json_real(number(r, "embedding_multiplier")));
    json_object_set_new(c, "scale_depth",
                        json_real(number(r, "residual_multiplier") * sqrt(n)));
    json_object_set_new(c, "dim_model_base",
                        json_integer((json_int_t)lrint(
                            d / number(r, "logits_scaling"))));
    json_object_del(c, "attention_multiplier");
    json_object_del(c, "embedding_multiplier");
    json_object_del(c, "residual_multiplier");
    json_object_del(c, "logits_scaling");
}

/* Experts as Qwen3-VL has them: all in one, gate and up side by side, rows as
 * columns. */
static void stack(remake *r, int layer, const char *to, int n_part,
                  const char *const *part, bool turned)
{
    int n_exp = (int)number(r, "num_experts");
    const int64_t *one =
        remake_get(r, "model.layers.%d.mlp.experts.0.%s_proj.weight", layer,
                   part[0])
            ->shape;
    int64_t rows = one[0], cols = one[1], at = 0;
    int64_t shape[] = {n_exp, turned ? cols : n_part * rows,
                       turned ? n_part * rows : cols};
    char name[160];
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%s", layer, to);
    float *v = remake_add(r, name, 3, shape)->v;
    for (int e = 0; e < n_exp; e++)
        for (int p = 0; p < n_part; p++) {
            const float *from =
                remake_get(r, "model.layers.%d.mlp.experts.%d.%s_proj.weight",
                           layer, e, part[p])
                    ->v;
            for (int64_t i = 0; i < rows * cols; i++) {
                int64_t row = p * rows + i / cols, col = i % cols;
                v[at + (turned ? col * n_part * rows + row
                               : row * cols + col)] = from[i];
            }
            if (p + 1 == n_part)
                at += n_part * rows * cols;
        }
    for (int e = 0; e < n_exp; e++)
        for (int p = 0; p < n_part; p++) {
            snprintf(name, sizeof name,
                     "model.layers.%d.mlp.experts.%d.%s_proj.weight", layer, e,
                     part[p]);
            remake_drop(r, name);
        }
}

static void stack_all(remake *r, bool turned)
{
    static const char *const both[] = {"gate", "up"}, *const down[] = {"down"};
    for (int i = 0; i < (int)number(r, "num_hidden_layers"); i++) {
        stack(r, i, "gate_up_proj", 2, both, turned);
        stack(r, i, "down_proj", 1, down, turned);
    }
    inside(r);
    nest(r, "qwen3_vl_moe", "text_config");
}

static void qwen3_vl_moe(remake *r)
{
    stack_all(r, true);
}

/* Heads of the usual width, which no member says. */
static void glm4v(remake *r)
{
    json_object_del(r->config, "head_dim");
    inside(r);
    nest(r, "glm4v", "text_config");
}

/* As transformers 5 writes them. */
static void qwen3_vl_moe_rows(remake *r)
{
    stack_all(r, false);
}

/* Said both ways, with a head and without. */
static void untied(remake *r)
{
    json_object_set_new(r->config, "tie_word_embeddings", json_true());
    llava(r);
    json_object_set_new(r->config, "tie_word_embeddings", json_false());
}

static void tied(remake *r)
{
    json_object_set_new(r->config, "tie_word_embeddings", json_false());
    inside(r);
    nest(r, "gemma3", "text_config");
    json_object_set_new(r->config, "tie_word_embeddings", json_true());
}

static void run(void **state)
{
    const kin *k = *state;
    const char *root = k->shared ? qn_test_shared("goldens/models")
                                 : qn_test_data("models");
    golden g;
    remake r;
    drive d;
    qn_err err = {0};
    if (!root)
        QN_SKIP("no shared data");
    assert_true(golden_open(&g, root, k->name, 2e-4));
    remake_open(&r, g.path);
    json_t *set = json_loads(k->set, 0, NULL);
    assert_non_null(set);
    json_object_update(r.config, set);
    json_decref(set);
    k->change(&r);
    char *dir = remake_save(&r, QN_F32, NULL);
    if (drive_open(&d, dir, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    for (int i = 0; i < 2; i++)
        golden_logits(&g, &d, "config.json", i);
    if (g.passed != g.total)
        fail_msg("%d of %d: %s", g.passed, g.total, g.notes);
    drive_close(&d);
    free(dir);
    remake_close(&r);
    golden_close(&g);
}

static const kin kins[] = {
    {"llama", false, "{\"model_type\": \"internlm2\"}", internlm2},
    {"llama", false,
     "{\"model_type\": \"internlm3\", \"bias\": false, \"qkv_bias\": false}",
     nothing},
    {"llama", false, "{\"model_type\": \"exaone\"}", exaone},
    {"llama", false, "{}", llava},
    {"llama", false, "{}", internvl_chat},
    {"phi3", false, "{\"model_type\": \"phi4mm\"}", phi4mm},
    {"phi3", false, "{\"model_type\": \"phi3_v\", \"embd_layer\": {\"x\": 1}}",
     nothing},
    {"qwen2", true, "{}", omni},
    {"qwen2", true, "{\"model_type\": \"mimo\", \"attention_bias\": true}",
     nothing},
    {"qwen2", true,
     "{\"dual_chunk_attention_config\": {\"chunk_size\": 262144}}", nothing},
    {"qwen3", true, "{\"model_type\": \"qwen3_vl_text\"}", nothing},
    {"granite", true, "{\"model_type\": \"minicpm\"}", minicpm},
    {"qwen3_moe", true, "{}", qwen3_vl_moe},
    {"qwen3_moe", true, "{}", qwen3_vl_moe_rows},
    {"glm4", true, "{}", glm4v},
    {"llama", false, "{}", untied},
    {"gemma3_text", true, "{}", tied},
    {"deepseek_v3", true, "{\"model_type\": \"kimi_k2\"}", nothing},
    {"mistral", true,
     "{\"model_type\": \"ministral\", \"layer_types\": "
     "[\"sliding_attention\", \"sliding_attention\"]}",
     nothing},
    {"mistral", true,
     "{\"model_type\": \"cwm\", \"layer_types\": "
     "[\"sliding_attention\", \"sliding_attention\"]}",
     nothing},
    {"minimax_m2", true,
     "{\"model_type\": \"minimax\", \"attn_type_list\": [1, 1]}", nothing},
};

int main(void)
{
    struct CMUnitTest tests[QN_COUNTOF(kins)];
    for (size_t i = 0; i < QN_COUNTOF(kins); i++)
        tests[i] = (struct CMUnitTest){kins[i].set, run, NULL, NULL,
                                       (void *)(uintptr_t)&kins[i]};
    return _cmocka_run_group_tests("kin", tests, QN_COUNTOF(kins), NULL, NULL);
}
