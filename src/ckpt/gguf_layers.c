/* gguf_layers.c: networks whose layers differ in kind.
 *
 * GGUF says for each layer how many heads its keys have and how wide its
 * feed-forward is, 0 where there is none; config.json names the layers that
 * attend, or has a letter for each. */
#include "ckpt/gguf_config_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    MAX_LAYERS = 4096
};

/* Element i of a per-layer array; of a single value, that. */
static bool layer_u64(const qn_gguf_kv *kv, uint64_t i, uint64_t *out)
{
    qn_gguf_kv e;

    if (!kv)
        return false;
    if (kv->type != QN_GGUF_ARR)
        return qn_gguf_as_u64(kv, out);
    return qn_gguf_elem(kv, i, &e) && qn_gguf_as_u64(&e, out);
}

/* The value that layers have which have one; false: none has. */
static bool common_u64(const qn_gguf_kv *kv, uint64_t n, uint64_t *out)
{
    uint64_t v;

    *out = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (!layer_u64(kv, i, &v) || v == 0)
            continue;
        if (*out != 0 && *out != v)
            return false; /* as the array it is; refused where it is read */
        *out = v;
    }
    return *out != 0;
}

static void put_common(json_t *config, const char *key, const qn_gguf_kv *kv,
                       uint64_t n)
{
    uint64_t v;

    if (!kv || kv->type != QN_GGUF_ARR)
        return;
    if (common_u64(kv, n, &v))
        json_object_set_new(config, key, json_integer((json_int_t)v));
    else if (v == 0)
        json_object_del(config, key);
}

static bool has_router(const qn_ckpt *ck, uint64_t layer)
{
    char name[64];

    snprintf(name, sizeof name, "blk.%" PRIu64 ".ffn_gate_inp.weight", layer);
    return qn_ckpt_find(ck, name) != NULL;
}

static void put_pattern(const qn_ckpt *ck, const qn_gguf_kv *kv,
                        const qn_gguf_kv *ff, uint64_t n, json_t *config)
{
    char pattern[MAX_LAYERS + 1];
    uint64_t v;

    for (uint64_t i = 0; i < n; i++)
        pattern[i] = layer_u64(kv, i, &v) && v > 0   ? '*'
                     : has_router(ck, i)             ? 'E'
                     : layer_u64(ff, i, &v) && v > 0 ? '-'
                                                     : 'M';
    pattern[n] = 0;
    json_object_set_new(config, "hybrid_override_pattern",
                        json_string(pattern));
}

/* Layers of a mixture of experts that have no router are dense. */
static void put_dense(const qn_ckpt *ck, uint64_t n, json_t *config)
{
    json_t *dense = json_array();

    for (uint64_t i = 0; i < n; i++)
        if (!has_router(ck, i))
            json_array_append_new(dense, json_integer((json_int_t)i));
    json_object_set_new(config, "mlp_only_layers", dense);
}

/* A list of truth values as layer_types; a number stays what it is: every
 * n-th layer sees everything. */
static void put_types(const qn_gguf_kv *kv, uint64_t n, const char *yes,
                      json_t *config)
{
    json_t *types;
    qn_gguf_kv e;

    if (!kv || kv->type != QN_GGUF_ARR || kv->elem_type != QN_GGUF_BOOL)
        return;
    types = json_array();
    for (uint64_t i = 0; i < n && qn_gguf_elem(kv, i, &e); i++)
        json_array_append_new(types,
                              json_string(e.v.u ? yes : "full_attention"));
    json_object_set_new(config, "layer_types", types);
    json_object_del(config, "sliding_window_pattern");
}

/* GGUF says from how many deviations on a gate's rows count, config.json what
 * share of them that leaves out. */
static void put_sparsity(const qn_gguf_kv *kv, uint64_t n, json_t *config)
{
    json_t *shares;
    qn_gguf_kv e;
    double v;

    if (!kv || kv->type != QN_GGUF_ARR)
        return;
    shares = json_array();
    for (uint64_t i = 0; i < n && qn_gguf_elem(kv, i, &e); i++) {
        double share = qn_gguf_as_f64(&e, &v) ? 0.5 * erfc(-v / M_SQRT2) : 1;
        json_array_append_new(shares, json_real(share > 1e-9 ? share : 0));
    }
    json_object_set_new(config, "activation_sparsity_pattern", shares);
}

/* Heads of full layers, whose keys may be their values. */
static void put_full_heads(const qn_ckpt *ck, const qn_gguf_kv *kv,
                           const qn_gguf_kv *slides, uint64_t n, json_t *config)
{
    uint64_t sliding, v;
    char k_name[64], v_name[64];

    for (uint64_t i = 0; i < n; i++) {
        bool slid = layer_u64(slides, i, &sliding) && sliding;
        if (layer_u64(kv, i, &v))
            json_object_set_new(config,
                                slid ? "num_key_value_heads"
                                     : "num_global_key_value_heads",
                                json_integer((json_int_t)v));
        snprintf(k_name, sizeof k_name, "blk.%" PRIu64 ".attn_k.weight", i);
        snprintf(v_name, sizeof v_name, "blk.%" PRIu64 ".attn_v.weight", i);
        if (!slid && qn_ckpt_find(ck, k_name) && !qn_ckpt_find(ck, v_name))
            json_object_set_new(config, "attention_k_eq_v", json_true());
    }
}

int qn_gguf_map_layers(const qn_ckpt *ck, json_t *config, qn_err *err)
{
    const qn_gguf_kv *kv = qn_gguf_arch_kv(ck, "attention.head_count_kv");
    const qn_gguf_kv *ff = qn_gguf_arch_kv(ck, "feed_forward_length");
    const qn_gguf_kv *turns = qn_gguf_arch_kv(ck, "rope.scaling.finetuned");
    const qn_gguf_arch_row *row;
    const qn_gguf_kv *slides =
        qn_gguf_arch_kv(ck, "attention.sliding_window_pattern");
    const qn_gguf_kv *recurs = qn_gguf_arch_kv(ck,
                                               "attention.recurrent_layers");
    const qn_gguf_kv *sparse = qn_gguf_arch_kv(ck, "activation_sparsity_scale");
    const qn_gguf_kv *lists[] = {kv, ff, slides, recurs, sparse};
    uint64_t n, n_all, v;
    qn_view arch;
    json_t *attn;

    if (!qn_ckpt_gguf_str(ck, "general.architecture", &arch) ||
        !qn_gguf_arch_u64(ck, "block_count", &n_all) || n_all > MAX_LAYERS ||
        !qn_gguf_arch_layers(ck, &n))
        return 0;
    for (size_t i = 0; i < QN_COUNTOF(lists); i++) {
        const qn_gguf_kv *a = lists[i];
        if (a && a->type == QN_GGUF_ARR && a->n != n_all && a->n != n)
            return qn_fail(err, QN_EFORMAT,
                           "%s: %.*s lists %" PRIu64 " layers of %" PRIu64,
                           ck->path, (int)a->key.n, a->key.p, a->n, n_all);
    }
    put_types(slides, n, "sliding_attention", config);
    put_types(recurs, n, "linear_attention", config);
    put_sparsity(sparse, n, config);
    put_common(config, "num_key_value_heads", kv, n);
    put_common(config, "intermediate_size", ff, n);
    row = qn_gguf_arch_find(ck, arch);
    if (!row)
        return 0;
    if (row->wide_full)
        put_full_heads(ck, kv, slides, n, config);
    if (row->finetuned_turns && turns)
        json_object_set_new(
            config, "position_embedding_type",
            json_string(qn_gguf_as_u64(turns, &v) && v ? "rope" : "nope"));
    if (row->one_block) {
        put_pattern(ck, kv, ff, n, config);
        return 0;
    }
    if (row->router_tells)
        put_dense(ck, n, config);
    if (!row->mixed || !kv || kv->type != QN_GGUF_ARR)
        return 0;
    attn = json_array();
    for (uint64_t i = 0; i < n; i++)
        if (layer_u64(kv, i, &v) && v > 0)
            json_array_append_new(attn, json_integer((json_int_t)i));
    json_object_set_new(config, "full_attn_idxs", attn);
    return 0;
}
