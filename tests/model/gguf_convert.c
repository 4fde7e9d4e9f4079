#include "gguf_convert.h"

#include "base/str.h"

#include <math.h>

/* ---- what the configuration says --------------------------------------- */

static const json_t *get(const remake *r, const char *names)
{
    char one[80];
    for (const char *p = names; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        snprintf(one, sizeof one, "%.*s", (int)n, p);
        const json_t *o = r->config;
        char *dot = strchr(one, '.');
        if (dot) {
            *dot = '\0';
            o = json_object_get(o, one);
        }
        const json_t *v = json_object_get(o, dot ? dot + 1 : one);
        if (v && !json_is_null(v))
            return v;
        p += n;
    }
    return NULL;
}

static int count(const remake *r, const char *names, int otherwise)
{
    const json_t *v = get(r, names);
    if (json_is_array(v))
        v = json_array_get(v, 0);
    return json_is_integer(v) ? (int)json_integer_value(v) : otherwise;
}

typedef struct dims {
    int layers, d, heads, kv, dh;
} dims;

static dims dims_of(const remake *r)
{
    dims m = {
        .layers = count(r, "num_hidden_layers n_layer n_layers", 0),
        .d = count(r, "hidden_size n_embd d_model", 0),
        .heads = count(r, "num_attention_heads n_head n_heads", 0),
    };
    if (m.layers == 0)
        m.layers = (int)json_array_size(get(r, "layers_block_type"));
    bool one = json_is_true(get(r, "multi_query")) &&
               !json_is_true(get(r, "new_decoder_architecture"));
    m.kv = one ? 1 : count(r, "num_kv_heads num_key_value_heads", m.heads);
    m.dh = count(r, "head_dim", m.heads ? m.d / m.heads : 0);
    return m;
}

/* ---- numbers ----------------------------------------------------------- */

static float *copy_of(const rm_tensor *t)
{
    float *v = malloc(t->n * sizeof *v);
    memcpy(v, t->v, t->n * sizeof *v);
    return v;
}

/* Rows (half, i) of every head become rows (i, half). */
static void interleave(rm_tensor *t, int n_head)
{
    size_t row = t->n / (size_t)t->shape[0];
    int dh = (int)t->shape[0] / n_head;
    float *old = copy_of(t);
    for (int h = 0; h < n_head; h++)
        for (int b = 0; b < 2; b++)
            for (int i = 0; i < dh / 2; i++)
                memcpy(t->v + (size_t)(h * dh + 2 * i + b) * row,
                       old + (size_t)(h * dh + b * dh / 2 + i) * row,
                       row * sizeof *old);
    free(old);
}

/* The last two dimensions change places. */
static void turn(rm_tensor *t)
{
    size_t a = (size_t)t->shape[t->n_dims - 2];
    size_t b = (size_t)t->shape[t->n_dims - 1];
    float *old = copy_of(t);
    for (size_t e = 0; e < t->n / (a * b); e++)
        for (size_t i = 0; i < a; i++)
            for (size_t j = 0; j < b; j++)
                t->v[(e * b + j) * a + i] = old[(e * a + i) * b + j];
    t->shape[t->n_dims - 2] = (int64_t)b;
    t->shape[t->n_dims - 1] = (int64_t)a;
    free(old);
}

/* [kv][q.. k v][dh] -> all q, all k, all v */
static void unmix_qkv(rm_tensor *t, const dims *m)
{
    size_t unit = (size_t)m->dh * (t->n / (size_t)t->shape[0]);
    int per = m->heads / m->kv;
    float *old = copy_of(t);
    for (int h = 0; h < m->kv; h++)
        for (int w = 0; w < per + 2; w++) {
            int to = w < per    ? h * per + w
                     : w == per ? m->heads + h
                                : m->heads + m->kv + h;
            memcpy(t->v + (size_t)to * unit,
                   old + (size_t)(h * (per + 2) + w) * unit,
                   unit * sizeof *old);
        }
    free(old);
}

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static void change_rows(remake *r, const dims *m, int how)
{
    for (size_t i = 0; i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        bool norm = has(t->name, "norm") && qn_ends(t->name, ".weight") &&
                    !has(t->name, "linear_attn.norm");
        if ((how & CV_PAIRED) && has(t->name, "q_proj."))
            interleave(t, m->heads);
        if ((how & CV_PAIRED) && has(t->name, "k_proj."))
            interleave(t, m->kv);
        for (size_t j = 0; (how & CV_PLUS_ONE) && norm && j < t->n; j++)
            t->v[j] += 1;
        if ((how & CV_QKV) && has(t->name, "query_key_value"))
            unmix_qkv(t, m);
        if ((how & CV_CONV1D) && t->n_dims == 2 && !has(t->name, "wte") &&
            !has(t->name, "wpe"))
            turn(t);
        if (qn_ends(t->name, "A_log"))
            for (size_t j = 0; j < t->n; j++)
                t->v[j] = -expf(t->v[j]);
        bool by_head = t->n_dims == 1 && !has(t->name, "linear_attn") &&
                       (qn_ends(t->name, "A_log") || qn_ends(t->name, ".D"));
        if (by_head && get(r, "mamba_n_heads mamba_num_heads num_heads")) {
            t->n_dims = 2;
            t->shape[1] = 1;
        }
        if (t->n_dims == 3 && t->shape[1] == 1) {
            t->n_dims = 2;
            t->shape[1] = t->shape[2];
        }
    }
}

/* GGUF does not say Gemma's query_pre_attn_scalar: it is the head's width. */
static void scale_queries(remake *r, const dims *m)
{
    int scalar = count(r, "query_pre_attn_scalar", m->dh);
    bool normed = remake_has(r, "model.layers.0.self_attn.q_norm.weight");
    for (int l = 0; l < m->layers && scalar != m->dh; l++) {
        rm_tensor *t = remake_get(r, "model.layers.%d.self_attn.%s.weight", l,
                                  normed ? "q_norm" : "q_proj");
        for (size_t i = 0; i < t->n; i++)
            t->v[i] *= (float)sqrt((double)m->dh / scalar);
    }
}

/* Where no key says a factor on the scores. */
static void scale_scores(remake *r, const dims *m)
{
    double by = json_number_value(get(r, "attention_multiplier"));
    for (int l = 0; l < m->layers; l++) {
        rm_tensor *t = remake_get(r, "model.layers.%d.self_attn.q_proj.weight",
                                  l);
        for (size_t i = 0; i < t->n; i++)
            t->v[i] *= (float)(by * sqrt(m->dh));
    }
}

/* ---- tensors that become others ---------------------------------------- */

/* Tensors "A.0.B", "A.1.B", ... become "A.B" with one dimension more. */
static void stack(remake *r, const char *word)
{
    for (size_t i = 0; i < r->t.n; i++) {
        char a[160], b[160], name[400];
        const char *at = strstr(r->t.v[i].name, word);
        if (!at || strncmp(at + strlen(word), "0.", 2) != 0)
            continue;
        snprintf(b, sizeof b, "%s", at + strlen(word) + 2);
        snprintf(a, sizeof a, "%.*s",
                 (int)(at - r->t.v[i].name) + (int)strlen(word),
                 r->t.v[i].name);
        int n = 0;
        do
            snprintf(name, sizeof name, "%s%d.%s", a, n++, b);
        while (remake_has(r, name));
        n--;
        int64_t shape[] = {n, r->t.v[i].shape[0], r->t.v[i].shape[1]};
        int n_dims = r->t.v[i].n_dims + 1;
        size_t each = r->t.v[i].n;
        snprintf(name, sizeof name, "%s%s", a, b);
        float *to = remake_add(r, name, n_dims, shape)->v;
        for (int e = 0; e < n; e++) {
            snprintf(name, sizeof name, "%s%d.%s", a, e, b);
            memcpy(to + (size_t)e * each, remake_get(r, "%s", name)->v,
                   each * sizeof *to);
            remake_drop(r, name);
        }
        i = (size_t)-1; /* the list has changed */
    }
}

/* Rows of the last but one dimension in two: halves, or by turns. */
static void part(remake *r, const char *name, const char *to[2], bool mixed)
{
    rm_tensor *t = remake_get(r, "%s", name);
    int at = t->n_dims - (t->n_dims > 1 && !has(name, "bias") ? 2 : 1);
    size_t row = at == t->n_dims - 1 ? 1 : (size_t)t->shape[at + 1];
    size_t n = (size_t)t->shape[at] / 2;
    for (int half = 0; half < 2; half++) {
        int64_t shape[4];
        t = remake_get(r, "%s", name);
        memcpy(shape, t->shape, sizeof shape);
        shape[at] = (int64_t)n;
        int n_dims = t->n_dims;
        rm_tensor *new = remake_add(r, to[half], n_dims, shape);
        t = remake_get(r, "%s", name);
        for (size_t i = 0; i < new->n / row; i++) {
            size_t e = i / n, k = i % n;
            size_t from = mixed ? 2 * k + (size_t)half : k + n * (size_t)half;
            memcpy(new->v + i *row, t->v + (e * 2 * n + from) * row,
                   row * sizeof *t->v);
        }
    }
    remake_drop(r, name);
}

/* "X.gate_up_proj" and the like, bare or not. */
static void part_gates(remake *r, int how)
{
    static const char *const fused[][3] = {
        {"experts.gate_up_proj", "experts.gate_proj.weight",
         "experts.up_proj.weight"},
        {"experts.gate_up_proj_bias", "experts.gate_proj.bias",
         "experts.up_proj.bias"},
        {"block_sparse_moe.input_linear.weight",
         "block_sparse_moe.experts.w1.weight",
         "block_sparse_moe.experts.w3.weight"},
        {"shared_mlp.input_linear.weight", "shared_mlp.gate_proj.weight",
         "shared_mlp.up_proj.weight"},
    };
    for (size_t i = 0; i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        if ((how & CV_TURNED) && t->n_dims == 3 && !has(t->name, ".weight")) {
            turn(t);
            if (qn_ends(t->name, "down_proj"))
                strcat(t->name, ".weight");
        }
        if (qn_ends(t->name, "down_proj_bias"))
            strcpy(strstr(t->name, "_bias"), ".bias");
    }
    for (size_t f = how & CV_GATE_UP ? 1 : 0; f < QN_COUNTOF(fused); f++)
        for (size_t i = 0; i < r->t.n; i++) {
            char name[160], gate[200], up[200];
            snprintf(name, sizeof name, "%s", r->t.v[i].name);
            if (!qn_ends(name, fused[f][0]))
                continue;
            int n = (int)(strlen(name) - strlen(fused[f][0]));
            snprintf(gate, sizeof gate, "%.*s%s", n, name, fused[f][1]);
            snprintf(up, sizeof up, "%.*s%s", n, name, fused[f][2]);
            part(r, name, (const char *[]){gate, up}, how & CV_MIXED);
            i = (size_t)-1;
        }
}

/* [head][k v] -> k_b [head, rank, d_nope], v_b [head, d_v, rank] */
static void part_kv_b(remake *r, const dims *m)
{
    int64_t nope = count(r, "qk_nope_head_dim", 0);
    int64_t dv = count(r, "v_head_dim", 0), rank = count(r, "kv_lora_rank", 0);
    for (int l = 0; nope && l < m->layers; l++) {
        char name[100], k_b[100], v_b[100];
        snprintf(name, sizeof name,
                 "model.layers.%d.self_attn.kv_b_proj.weight", l);
        snprintf(k_b, sizeof k_b, "model.layers.%d.self_attn.k_b.weight", l);
        snprintf(v_b, sizeof v_b, "model.layers.%d.self_attn.v_b.weight", l);
        remake_add(r, k_b, 3, (int64_t[]){m->heads, nope, rank});
        remake_add(r, v_b, 3, (int64_t[]){m->heads, dv, rank});
        rm_tensor *k = remake_get(r, "%s", k_b), *v = remake_get(r, "%s", v_b);
        const float *p = remake_get(r, "%s", name)->v;
        for (int h = 0; h < m->heads; h++, p += (nope + dv) * rank) {
            size_t nk = (size_t)(nope * rank), nv = (size_t)(dv * rank);
            memcpy(k->v + (size_t)h * nk, p, nk * sizeof *p);
            memcpy(v->v + (size_t)h * nv, p + nk, nv * sizeof *p);
        }
        turn(k);
        remake_drop(r, name);
    }
}

/* Per key head q, k, its v, its z -> all q, k, v; all z. */
static void part_qkvz(remake *r, const dims *m)
{
    int64_t n = count(r, "linear_num_key_heads", 0), d = m->d;
    int64_t k = count(r, "linear_key_head_dim", 0), at = 0;
    int64_t v = count(r, "linear_value_head_dim", 0) *
                count(r, "linear_num_value_heads", 0) / (n ? n : 1);
    for (int l = 0; n && l < m->layers; l++) {
        char name[100], z[100], qkv[100];
        snprintf(name, sizeof name,
                 "model.layers.%d.linear_attn.in_proj_qkvz.weight", l);
        if (!remake_has(r, name))
            continue;
        snprintf(z, sizeof z, "model.layers.%d.linear_attn.z.weight", l);
        snprintf(qkv, sizeof qkv, "model.layers.%d.linear_attn.qkv.weight", l);
        remake_add(r, qkv, 2, (int64_t[]){n * (2 * k + v), d});
        remake_add(r, z, 2, (int64_t[]){n * v, d});
        float *to = remake_get(r, "%s", qkv)->v,
              *tz = remake_get(r, "%s", z)->v;
        const float *p = remake_get(r, "%s", name)->v;
        for (int64_t h = 0; h < n; h++) {
            const int64_t rows[] = {k, k, v}, from[] = {0, n * k, 2 * n * k};
            for (int w = 0; w < 3; w++, at += rows[w - 1])
                memcpy(to + (from[w] + h * rows[w]) * d, p + at * d,
                       (size_t)(rows[w] * d) * sizeof *p);
            memcpy(tz + h * v * d, p + at * d, (size_t)(v * d) * sizeof *p);
            at += v;
        }
        at = 0;
        remake_drop(r, name);
    }
}

/* Units of value heads: those of key head 0, of 1, ... -> the first of each,
 * the second of each, ... `skip` units of `unit` numbers stand before them. */
static void tile(rm_tensor *t, size_t skip, size_t unit, int n_key, int n_value)
{
    float *old = copy_of(t);
    int each = n_value / n_key;
    for (int k = 0; k < n_key; k++)
        for (int v = 0; v < each; v++)
            memcpy(t->v + skip + (size_t)(v * n_key + k) * unit,
                   old + skip + (size_t)(k * each + v) * unit,
                   unit * sizeof *old);
    free(old);
}

static void tile_values(remake *r)
{
    int n = count(r, "linear_num_key_heads", 0);
    int n_v = count(r, "linear_num_value_heads", 0);
    size_t dv = (size_t)count(r, "linear_value_head_dim", 0);
    size_t keys = 2 * (size_t)(n * count(r, "linear_key_head_dim", 0));
    for (size_t i = 0; i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        size_t row = t->n / (size_t)t->shape[0];
        if (!has(t->name, "linear_attn.") || has(t->name, "attn.norm"))
            continue;
        if (has(t->name, "in_proj_qkv") || has(t->name, "conv1d")) {
            tile(t, keys * row, dv * row, n, n_v);
        } else if (has(t->name, "out_proj")) {
            turn(t);
            tile(t, 0, dv * (t->n / (size_t)t->shape[0]), n, n_v);
            turn(t);
        } else {
            tile(t, 0, t->n / (size_t)n_v, n, n_v);
        }
    }
}

/* DBRX: experts one below the other, the last matrix on its side. */
static void part_flat(remake *r)
{
    int64_t n = count(r, "ffn_config.moe_num_experts", 0);
    for (size_t i = 0; n && i < r->t.n; i++) {
        rm_tensor *t = &r->t.v[i];
        if (!has(t->name, "experts.mlp."))
            continue;
        t->n_dims = 3;
        t->shape[2] = t->shape[1];
        t->shape[1] = t->shape[0] / n;
        t->shape[0] = n;
        if (qn_ends(t->name, "w2"))
            turn(t);
        strcat(t->name, ".weight");
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

/* Gemma 4: a quarter of the wider heads turns. */
static void add_still_freqs(remake *r, int d_head)
{
    rm_tensor *t = remake_add(r, "rope_freqs.weight", 1,
                              (int64_t[]){d_head / 2});
    for (int i = 0; i < d_head / 2; i++)
        t->v[i] = i < d_head / 8 ? 1 : 1e30f;
}

/* ---- names ------------------------------------------------------------- */

/* GGUF's name and those it has elsewhere; "=": without .weight behind. */
static const char *const top_names[][2] = {
    {"token_embd", "embed_tokens wte embed_in embeddings word_embeddings"},
    {"position_embd", "wpe"},
    {"token_embd_norm", "embedding_norm word_embeddings_layernorm"},
    {"output_norm", "norm ln_f norm_f final_layernorm final_layer_norm"},
    {"output", "lm_head embed_out"},
    {"rope_freqs", "rope_freqs"},
    {"per_layer_token_embd", "embed_tokens_per_layer"},
    {"per_layer_model_proj", "per_layer_model_projection"},
    {"per_layer_proj_norm", "per_layer_projection_norm"},
    {"altup_proj", "altup_projections"},
    {"altup_unembd_proj", "altup_unembed_projections"},
};
static const char *const layer_names[][2] = {
    {"attn_norm", "input_layernorm ln_1 norm_1 norm operator_norm "
                  "norm_attn_norm.norm_1"},
    {"attn_output_norm", "norm_attn_norm.norm_2"},
    {"ffn_norm", "post_attention_layernorm ln_2 norm_2 pre_ff_layernorm "
                 "ffn_norm"},
    {"attn_q", "self_attn.q_proj mixer.q_proj"},
    {"attn_k", "self_attn.k_proj mixer.k_proj"},
    {"attn_v", "self_attn.v_proj mixer.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj attn.c_attn attention.query_key_value "
                 "self_attention.query_key_value attn.Wqkv linear_attn.qkv "
                 "linear_attn.in_proj_qkv "
                 "norm_attn_norm.attn.Wqkv"},
    {"attn_output", "self_attn.o_proj self_attn.dense self_attn.out_proj "
                    "attn.c_proj attention.dense self_attention.dense "
                    "attn.out_proj mixer.o_proj norm_attn_norm.attn.out_proj"},
    {"attn_q_norm", "self_attn.q_norm self_attn.q_layernorm "
                    "self_attn.q_layernorm.norms "
                    "self_attn.query_layernorm"},
    {"attn_k_norm", "self_attn.k_norm self_attn.k_layernorm "
                    "self_attn.k_layernorm.norms "
                    "self_attn.key_layernorm"},
    {"=attn_sinks.weight", "self_attn.sinks"},
    {"attn_gate", "self_attn.gate_proj linear_attn.z linear_attn.in_proj_z"},
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_kv_b", "self_attn.kv_b_proj"},
    {"attn_k_b", "self_attn.k_b"},
    {"attn_v_b", "self_attn.v_b"},
    {"ffn_gate", "mlp.gate_proj feed_forward.gate_proj feed_forward.w1"},
    {"ffn_up", "mlp.up_proj mlp.gate_up_proj mlp.fc1 mlp.c_fc ffn.up_proj "
               "mlp.dense_h_to_4h feed_forward.up_proj feed_forward.w3 "
               "mixer.up_proj"},
    {"ffn_down", "mlp.down_proj mlp.fc2 mlp.c_proj ffn.down_proj "
                 "mlp.dense_4h_to_h feed_forward.down_proj feed_forward.w2 "
                 "mixer.down_proj"},
    {"ffn_gate_inp", "block_sparse_moe.gate mlp.gate mlp.router mlp.gate.wg "
                     "mlp.router.gate feed_forward.router feed_forward.gate "
                     "block_sparse_moe.router.layer ffn.router.layer"},
    {"=exp_probs_b.bias",
     "mlp.gate.e_score_correction_bias feed_forward.expert_bias "
     "block_sparse_moe.e_score_correction_bias mlp.expert_bias "
     "mlp.moe_statics.e_score_correction_bias mlp.e_score_correction_bias"},
    {"ffn_gate_exps", "block_sparse_moe.experts.w1 mlp.experts.gate_proj "
                      "feed_forward.experts.w1 ffn.experts.mlp.w1 "
                      "feed_forward.experts.gate_proj"},
    {"ffn_up_exps", "block_sparse_moe.experts.w3 mlp.experts.up_proj "
                    "feed_forward.experts.w3 ffn.experts.mlp.v1 "
                    "feed_forward.experts.up_proj"},
    {"ffn_down_exps", "block_sparse_moe.experts.w2 mlp.experts.down_proj "
                      "feed_forward.experts.w2 ffn.experts.mlp.w2 "
                      "feed_forward.experts.down_proj "
                      "block_sparse_moe.output_linear"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
    {"ffn_gate_shexp",
     "mlp.shared_experts.gate_proj mlp.shared_expert.gate_proj "
     "mlp.shared_mlp.gate_proj feed_forward.shared_expert.gate_proj "
     "shared_mlp.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_experts.up_proj mlp.shared_expert.up_proj "
                     "mlp.shared_mlp.up_proj shared_mlp.up_proj "
                     "feed_forward.shared_expert.up_proj"},
    {"ffn_down_shexp",
     "mlp.shared_experts.down_proj mlp.shared_expert.down_proj "
     "mlp.shared_mlp.down_proj feed_forward.shared_expert.down_proj "
     "shared_mlp.output_linear"},
    {"ssm_in", "mixer.in_proj mamba.in_proj linear_attn.in_proj_qkvz"},
    {"ssm_conv1d", "mixer.conv1d mamba.conv1d linear_attn.conv1d"},
    {"ssm_x", "mixer.x_proj mamba.x_proj"},
    {"ssm_dt", "mixer.dt_proj mamba.dt_proj"},
    {"=ssm_dt.bias", "mixer.dt_bias mamba.dt_bias linear_attn.dt_bias"},
    {"=ssm_a", "mixer.A_log mamba.A_log linear_attn.A_log"},
    {"=ssm_d", "mixer.D mamba.D"},
    {"ssm_dt_norm", "mamba.dt_layernorm"},
    {"ssm_b_norm", "mamba.b_layernorm"},
    {"ssm_c_norm", "mamba.c_layernorm"},
    {"ssm_norm", "mixer.norm mamba.norm linear_attn.norm"},
    {"ssm_out", "mixer.out_proj mamba.out_proj linear_attn.out_proj"},
    {"ssm_ba", "linear_attn.in_proj_ba"},
    {"ssm_alpha", "linear_attn.in_proj_a"},
    {"ssm_beta", "linear_attn.in_proj_b"},
    {"shortconv.conv", "conv.conv"},
    {"shortconv.in_proj", "conv.in_proj"},
    {"shortconv.out_proj", "conv.out_proj"},
    {"inp_gate", "per_layer_input_gate"},
    {"proj", "per_layer_projection"},
    {"post_norm", "post_per_layer_input_norm"},
    {"altup_router", "altup.modality_router"},
    {"altup_router_norm", "altup.router_norm"},
    {"altup_predict_coef", "altup.prediction_coefs"},
    {"altup_correct_coef", "altup.correction_coefs"},
    {"=altup_correct_scale.weight", "altup.correct_output_scale"},
    {"laurel_l", "laurel.linear_left"},
    {"laurel_r", "laurel.linear_right"},
    {"laurel_post_norm", "laurel.post_laurel_norm"},
};

static bool listed(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = words; *p; p += strspn(p, " ")) {
        size_t m = strcspn(p, " ");
        if (m == n && memcmp(p, name, n) == 0)
            return true;
        p += m;
    }
    return false;
}

/* The case's own name for `hf` into out, or false. */
static bool own_name(const char *names, const char *hf, char out[64])
{
    size_t n = strlen(hf);
    for (const char *p = names; p && *p; p += strspn(p, " ")) {
        size_t m = strcspn(p, " ");
        if (m > n && memcmp(p, hf, n) == 0 && p[n] == '=') {
            snprintf(out, 64, "%.*s", (int)(m - n - 1), p + n + 1);
            return true;
        }
        p += m;
    }
    return false;
}

static void rename_one(rm_tensor *t, const gguf_case *c)
{
    static const char *const prefixes[] = {"model.", "transformer.",
                                           "backbone.", "gpt_neox."};
    char rest[160], own[64];
    const char *s = t->name, *suffix = "", *to = NULL;
    int layer = -1, used = 0;
    for (size_t i = 0; i < QN_COUNTOF(prefixes); i++)
        if (qn_starts(s, prefixes[i]))
            s += strlen(prefixes[i]);
    if (sscanf(s, "layers.%d.%n", &layer, &used) < 1 &&
        sscanf(s, "h.%d.%n", &layer, &used) < 1)
        sscanf(s, "blocks.%d.%n", &layer, &used);
    snprintf(rest, sizeof rest, "%s", s + (layer >= 0 ? used : 0));
    for (int i = 0; i < 2; i++) {
        const char *end = i ? ".bias" : ".weight";
        if (qn_ends(rest, end)) {
            suffix = end;
            rest[strlen(rest) - strlen(end)] = '\0';
        }
    }
    if (own_name(c->names, rest, own))
        to = own;
    size_t n = layer < 0 ? QN_COUNTOF(top_names) : QN_COUNTOF(layer_names);
    for (size_t i = 0; !to && i < n; i++) {
        const char *const *row = layer < 0 ? top_names[i] : layer_names[i];
        if (listed(row[1], rest))
            to = row[0];
    }
    if (!to)
        fail_msg("%s: no GGUF name for %s", c->golden, t->name);
    if (*to == '=') {
        to++;
        suffix = "";
    }
    char name[160];
    if (layer < 0)
        snprintf(name, sizeof name, "%s%s", to, suffix);
    else
        snprintf(name, sizeof name, "blk.%d.%s%s", layer, to, suffix);
    memcpy(t->name, name, sizeof name);
}

/* ---- keys -------------------------------------------------------------- */

static void put(json_t *o, const char *arch, const char *key, json_t *v)
{
    char name[120];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    if (json_is_null(v))
        json_object_del(o, name);
    else
        json_object_set(o, name, v);
    json_decref(v);
}

static void put_count(json_t *o, const char *arch, const char *key, int v)
{
    if (v > 0)
        put(o, arch, key, json_integer(v));
}

/* A vocabulary of bytes and invented words, so that others open the file. */
static void put_words(json_t *o, int n)
{
    json_t *words = json_array(), *scores = json_array();
    for (int i = 0; i < n; i++) {
        static const char *const first[] = {"<unk>", "<s>", "</s>"};
        char word[32];
        snprintf(word, sizeof word, i < 259 ? "<0x%02X>" : "w%d", i - 3);
        json_array_append_new(words, json_string(i < 3 ? first[i] : word));
        json_array_append_new(scores, json_real(-i));
    }
    json_object_set_new(o, "tokenizer.ggml.model", json_string("llama"));
    json_object_set_new(o, "tokenizer.ggml.tokens", words);
    json_object_set_new(o, "tokenizer.ggml.scores", scores);
}

/* What converters write for all, then what the case says. */
static json_t *meta_of(const remake *r, const dims *m, const gguf_case *c)
{
    json_t *o = json_object();
    const char *a = c->arch;
    json_object_set_new(o, "general.architecture", json_string(a));
    put_words(o, count(r, "vocab_size", 0));
    put_count(o, a, "block_count", m->layers);
    put_count(o, a, "context_length",
              count(r,
                    "max_position_embeddings n_positions max_seq_len "
                    "seq_length",
                    1 << 20));
    put_count(o, a, "embedding_length", m->d);
    put_count(o, a, "vocab_size", count(r, "vocab_size", 0));
    put_count(o, a, "feed_forward_length",
              count(r,
                    "intermediate_size n_inner ffn_hidden_size "
                    "ffn_config.ffn_hidden_size",
                    4 * m->d));
    put_count(o, a, "attention.head_count", m->heads);
    put_count(o, a, "attention.head_count_kv", m->kv);
    if (get(r, "head_dim")) {
        put_count(o, a, "attention.key_length", m->dh);
        put_count(o, a, "attention.value_length", m->dh);
    }
    put(o, a,
        get(r, "rms_norm_eps norm_eps") ? "attention.layer_norm_rms_epsilon"
                                        : "attention.layer_norm_epsilon",
        json_real(1e-5));
    const json_t *p = json_object_get(r->config, "rope_parameters");
    if (json_object_get(p, "full_attention"))
        p = json_object_get(p, "full_attention");
    double theta = json_number_value(json_object_get(p, "rope_theta"));
    if (theta != 0)
        put(o, a, "rope.freq_base", json_real(theta));
    put_count(o, a, "expert_count",
              count(r,
                    "num_local_experts num_experts n_routed_experts "
                    "moe_num_experts ffn_config.moe_num_experts",
                    0));
    put_count(o, a, "expert_used_count",
              count(r,
                    "num_experts_per_tok moe_k moe_topk "
                    "ffn_config.moe_top_k",
                    0));
    put_count(o, a, "expert_group_count", count(r, "n_group", 0));
    put_count(o, a, "expert_group_used_count", count(r, "topk_group", 0));
    for (const char *s = c->keys; s && *s; s += strspn(s, " ")) {
        char key[80];
        size_t n = strcspn(s, "="), v = strcspn(s, " ") - n - 1;
        snprintf(key, sizeof key, "%.*s", (int)n, s);
        json_t *value = json_loadb(s + n + 1, v, JSON_DECODE_ANY, NULL);
        if (!value)
            fail_msg("%s: %s is not JSON", c->golden, key);
        put(o, a, key, value);
        s += n + 1 + v;
    }
    return o;
}

/* Arrays of what each layer's activation has, under keys that no architecture
 * stands before; beta, which all layers share, as one number. */
static void take_xielu(remake *r, int layers, json_t *meta)
{
    static const char *const names[] = {"alpha_p", "alpha_n", "beta", "eps"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        json_t *all = json_array();
        char key[40], name[80];
        for (int l = 0; l < layers; l++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.act_fn.%s", l,
                     names[i]);
            rm_tensor *t = remake_get(r, "%s", name);
            json_array_append_new(all, json_real((double)t->v[0]));
            remake_drop(r, name);
        }
        snprintf(key, sizeof key, "xielu.%s", names[i]);
        json_object_set(meta, key,
                        strcmp(names[i], "beta") == 0 ? json_array_get(all, 0)
                                                      : all);
        json_decref(all);
    }
}

/* ---- all of it --------------------------------------------------------- */

char *gguf_convert(const char *dir, const gguf_case *c)
{
    remake r;
    remake_open(&r, dir);
    dims m = dims_of(&r);
    change_rows(&r, &m, c->how);
    if (c->how & CV_QPAS)
        scale_queries(&r, &m);
    if (c->how & CV_QUERIES)
        scale_scores(&r, &m);
    stack(&r, ".experts.");
    stack(&r, "altup_projections.");
    stack(&r, "altup_unembed_projections.");
    stack(&r, "_layernorm.norms.");
    part_gates(&r, c->how);
    if (!(c->how & CV_KV_B_ONE))
        part_kv_b(&r, &m);
    if (!(c->how & CV_FUSED))
        part_qkvz(&r, &m);
    if (c->how & CV_TILED)
        tile_values(&r);
    part_flat(&r);
    if (c->how & CV_LLAMA3)
        add_rope_freqs(&r, &m);
    if (c->how & CV_SOME_TURN)
        add_still_freqs(&r, 2 * m.dh);
    json_t *meta = meta_of(&r, &m, c);
    if (c->how & CV_XIELU)
        take_xielu(&r, m.layers, meta);
    for (size_t i = 0; i < r.t.n; i++)
        rename_one(&r.t.v[i], c);
    char *path = remake_gguf(&r, meta);
    json_decref(meta);
    remake_close(&r);
    return path;
}
