/* gguf_rope.c: rope.scaling.* of GGUF as config.json's rope_scaling.
 *
 * Formulas differ, so values are converted (ggml's rope_yarn against
 * transformers' modeling_rope_utils):
 *   yarn      ggml scales by attn_factor * (1 + 0.1 ln factor), transformers by
 *             attention_factor, which replaces that product
 *   longrope  the factors per frequency are two tensors in GGUF and two lists
 *             in config.json; ggml scales by attn_factor alone
 *   llama3    GGUF has no type for it: the tensor rope_freqs.weight holds the
 *             divisors that its formula makes, and src/model uses those
 */
#include "ckpt/gguf_config_int.h"

#include <math.h>
#include <stdlib.h>

/* Rotated pairs of one head: d_head / 2, some 64. */
#define FACTORS_MAX 4096

static int read_factors(const qn_ckpt *ck, const qn_tensor *t, json_t *scaling,
                        const char *name, qn_err *err)
{
    json_t *list = NULL;
    float *values = NULL;
    void *raw = NULL;
    int rc;

    if (t->dtype == QN_DTYPE_N || t->n_elems == 0 || t->n_elems > FACTORS_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s: %llu elements of %s, 1 to %d numbers "
                       "expected",
                       ck->path, t->name, (unsigned long long)t->n_elems,
                       t->format, FACTORS_MAX);
    raw = qn_xmalloc((size_t)t->n_bytes);
    values = qn_xcalloc((size_t)t->n_elems, sizeof *values);
    QN_TRY_OUT(qn_ckpt_read(ck, t, 0, raw, (size_t)t->n_bytes, err));
    QN_TRY_OUT(qn_dtype_decode(t->dtype, raw, values, (size_t)t->n_elems, err));
    list = json_array();
    for (uint64_t i = 0; i < t->n_elems; i++) {
        json_t *v = qn_gguf_json_f32((double)values[i]);
        if (!v || json_array_append_new(list, v) < 0)
            QN_FAIL_OUT(QN_EFORMAT, "%s: tensor %s: element %llu is no number",
                        ck->path, t->name, (unsigned long long)i);
    }
    json_object_set(scaling, name, list);
out:
    json_decref(list);
    free(values);
    free(raw);
    return rc;
}

static void put_f64(const qn_ckpt *ck, const char *key, json_t *scaling,
                    const char *name)
{
    double v;

    if (qn_gguf_arch_f64(ck, key, &v))
        json_object_set_new(scaling, name, qn_gguf_json_f32(v));
}

/* mscale and mscale_all_dim, whose quotient scales cos and sin. */
static void map_mscale(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                       json_t *scaling)
{
    double times = row && row->yarn_log > 0 ? row->yarn_log : 1, log_mul;
    json_t *all;

    if (!qn_gguf_arch_f64(ck, "rope.scaling.yarn_log_multiplier", &log_mul))
        return;
    all = qn_gguf_json_f32((float)(log_mul * times));
    json_object_set(scaling, "mscale_all_dim", all);
    if (row && row->yarn_log > 0)
        json_object_set(scaling, "mscale", all);
    else
        json_object_set_new(scaling, "mscale", json_real(1));
    json_decref(all);
}

static int map_yarn(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                    json_t *scaling, double factor, qn_err *err)
{
    double attn = 1, ext = 1;

    qn_gguf_arch_f64(ck, "rope.scaling.yarn_ext_factor", &ext);
    if (ext != 1)
        return qn_fail(err, QN_EUNSUP,
                       "%s: rope.scaling.yarn_ext_factor %g; only 1 is "
                       "supported",
                       ck->path, ext);
    map_mscale(ck, row, scaling);
    put_f64(ck, "attention.temperature_scale", scaling, "llama_4_scaling_beta");
    put_f64(ck, "rope.scaling.yarn_beta_fast", scaling, "beta_fast");
    put_f64(ck, "rope.scaling.yarn_beta_slow", scaling, "beta_slow");
    if (!qn_gguf_arch_f64(ck, "rope.scaling.yarn_attn_factor", &attn))
        qn_gguf_arch_f64(ck, "rope.scaling.attn_factor", &attn);
    if (attn != 1 && factor > 0)
        json_object_set_new(scaling, "attention_factor",
                            json_real(attn * (1 + 0.1 * log(factor))));
    return 0;
}

static int map_longrope(const qn_ckpt *ck, json_t *config, json_t *scaling,
                        const qn_tensor *shorts, const qn_tensor *longs,
                        qn_err *err)
{
    uint64_t ctx;

    QN_TRY(read_factors(ck, shorts, scaling, "short_factor", err));
    QN_TRY(read_factors(ck, longs, scaling, "long_factor", err));
    put_f64(ck, "rope.scaling.attn_factor", scaling, "attention_factor");
    if (qn_gguf_arch_u64(ck, "rope.scaling.original_context_length", &ctx) &&
        ctx <= INT64_MAX)
        json_object_set_new(config, "original_max_position_embeddings",
                            json_integer((json_int_t)ctx));
    return 0;
}

/* The kind of scaling and its factor, from either generation of keys. */
static qn_view scaling_type(const qn_ckpt *ck, double *factor)
{
    const qn_gguf_kv *type = qn_gguf_arch_kv(ck, "rope.scaling.type");

    *factor = 1;
    if (type && type->type == QN_GGUF_STR) {
        qn_gguf_arch_f64(ck, "rope.scaling.factor", factor);
        return type->v.str;
    }
    if (qn_gguf_arch_f64(ck, "rope.scaling.factor", factor) && *factor != 1)
        return qn_view_cstr("linear");
    if (qn_gguf_arch_f64(ck, "rope.scale_linear", factor) && *factor != 1)
        return qn_view_cstr("linear");
    return qn_view_cstr("none");
}

/* Sliding layers turn with the frequencies of the others, unscaled. */
static void map_local_theta(const qn_ckpt *ck, json_t *config)
{
    double theta;

    if (qn_gguf_arch_f64(ck, "rope.freq_base_swa", &theta) ||
        qn_gguf_arch_f64(ck, "rope.freq_base", &theta))
        json_object_set_new(config, "rope_local_base_freq",
                            qn_gguf_json_f32(theta));
}

/* Full layers turn the first few of all frequencies; rope_freqs.weight divides
 * the others by nearly infinity. */
static int map_two_kinds(const qn_ckpt *ck, json_t *config, qn_err *err)
{
    const qn_tensor *t = qn_ckpt_find(ck, "rope_freqs.weight");
    json_t *list = json_object(), *value;
    double theta = 1e6, local = 1e4, share;
    size_t i, n = 0, n_all;
    int rc = 0;

    if (!t)
        QN_FAIL_OUT(QN_EFORMAT, "%s: tensor rope_freqs.weight is missing",
                    ck->path);
    QN_TRY_OUT(read_factors(ck, t, list, "factors", err));
    n_all = json_array_size(json_object_get(list, "factors"));
    json_array_foreach(json_object_get(list, "factors"), i, value)
    {
        double v = json_number_value(value);
        if (v == 1 && n == i)
            n++;
        else if (v < 1e29)
            QN_FAIL_OUT(QN_EUNSUP,
                        "%s: tensor rope_freqs.weight: element %zu is %g; 1 "
                        "and then 1e30 are expected",
                        ck->path, i, v);
    }
    share = (double)n / (double)n_all;
    if ((size_t)(share * (double)n_all) < n)
        share = nextafter(share, 1);
    qn_gguf_arch_f64(ck, "rope.freq_base", &theta);
    qn_gguf_arch_f64(ck, "rope.freq_base_swa", &local);
    json_object_del(config, "rope_theta");
    json_object_set_new(config, "rope_parameters",
                        json_pack("{s:{s:s, s:f, s:f}, s:{s:f}}",
                                  "full_attention", "rope_type", "proportional",
                                  "partial_rotary_factor", share, "rope_theta",
                                  theta, "sliding_attention", "rope_theta",
                                  local));
out:
    json_decref(list);
    return rc;
}

int qn_gguf_map_rope(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                     json_t *config, qn_err *err)
{
    const qn_tensor *longs = qn_ckpt_find(ck, "rope_factors_long.weight");
    const qn_tensor *shorts = qn_ckpt_find(ck, "rope_factors_short.weight");
    double factor;
    qn_view type = scaling_type(ck, &factor);
    json_t *scaling;
    uint64_t ctx;
    int rc = 0;

    if (row && row->wide_full)
        return map_two_kinds(ck, config, err);
    if (row && row->local_theta)
        map_local_theta(ck, config);
    if (longs && shorts)
        type = qn_view_cstr("longrope");
    if (qn_view_eqs(type, "none") || type.n == 0)
        return 0;
    scaling = json_object();
    if (json_object_set_new(scaling, "rope_type",
                            json_stringn(type.p, type.n)) < 0)
        QN_FAIL_OUT(QN_EFORMAT, "%s: rope.scaling.type is not a text",
                    ck->path);
    if (factor != 1 || qn_view_eqs(type, "linear") || qn_view_eqs(type, "yarn"))
        json_object_set_new(scaling, "factor", qn_gguf_json_f32(factor));
    if (qn_gguf_arch_u64(ck, "rope.scaling.original_context_length", &ctx) &&
        ctx <= INT64_MAX && !qn_view_eqs(type, "linear"))
        json_object_set_new(scaling, "original_max_position_embeddings",
                            json_integer((json_int_t)ctx));
    if (qn_view_eqs(type, "yarn"))
        QN_TRY_OUT(map_yarn(ck, row, scaling, factor, err));
    if (longs && shorts)
        QN_TRY_OUT(map_longrope(ck, config, scaling, shorts, longs, err));
    if (row && row->rope_fixed)
        json_object_update_new(scaling, json_loads(row->rope_fixed, 0, NULL));
    json_object_set(config, "rope_scaling", scaling);
out:
    json_decref(scaling);
    return rc;
}
