/* layers.c - see layers.h. */
#include "model/layers.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "model/rec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HP_DOC "config.json"

/* ---- which layers slide, rotate, have experts -------------------------- */

/* The list of a per-layer key, which must have an entry for each layer. */
static int layers_list(const qn_hparams *hp, const qn_keys *k, qn_key key,
                       const json_t **out, qn_err *err)
{
    const json_t *a = k->v[key].set ? k->v[key].json : NULL;
    *out = NULL;
    if (!a || (json_is_array(a) && json_array_size(a) == 0))
        return QN_OK;
    if (!json_is_array(a) || json_array_size(a) != (size_t)hp->n_layer)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s should list %d layers, lists %zu",
                       qn_key_name(k, key), hp->n_layer, json_array_size(a));
    *out = a;
    return QN_OK;
}

typedef enum layers_reach {
    HP_FULL,
    HP_SLIDES,
    HP_CHUNKED,
    HP_UNKNOWN
} layers_reach;

/* What the list says of layer i. */
static layers_reach layers_listed_reach(const json_t *types, int i)
{
    static const struct {
        const char *name;
        layers_reach reach;
    } names[] = {
        {"full_attention", HP_FULL},       {"global", HP_FULL},
        {"sliding_attention", HP_SLIDES},  {"local", HP_SLIDES},
        {"chunked_attention", HP_CHUNKED},
    };
    const char *t = json_string_value(json_array_get(types, (size_t)i));
    for (size_t n = 0; t && n < QN_COUNTOF(names); n++) {
        if (strcmp(t, names[n].name) == 0)
            return names[n].reach;
    }
    return HP_UNKNOWN;
}

/* GPT-Neo's attention_types: [[["global", "local"], 6]] as a list of layers,
 * a new reference; NULL when it is not of that form. */
static json_t *layers_expand(const json_t *groups, int n_layer)
{
    json_t *out = json_array();
    size_t g;
    json_t *group;
    json_array_foreach((json_t *)groups, g, group)
    {
        json_int_t n = json_integer_value(json_array_get(group, 1));
        json_t *kinds = json_array_get(group, 0);
        for (json_int_t i = 0; i < n && i <= n_layer; i++)
            json_array_extend(out, kinds);
    }
    if (json_array_size(out) == (size_t)n_layer)
        return out;
    json_decref(out);
    return NULL;
}

/* Each how manyth layer is full: a number, or "LLLG". */
static int layers_window_every(const qn_keys *k, int *out, qn_err *err)
{
    const qn_value *v = &k->v[QN_K_WINDOW_EVERY];
    *out = v->set && !v->json ? (int)v->num : 1;
    if (!v->json)
        return QN_OK;
    const char *s = json_string_value(v->json);
    size_t n = s ? strspn(s, "L") : 0;
    if (json_is_integer(v->json) && json_integer_value(v->json) > 0)
        *out = (int)QN_MIN(json_integer_value(v->json), INT32_MAX);
    else if (n > 0 && n < INT32_MAX && strcmp(s + n, "G") == 0)
        *out = (int)n + 1;
    else
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s should be a positive number or like "
                              "\"LLLG\"",
                       qn_key_name(k, QN_K_WINDOW_EVERY));
    return QN_OK;
}

/* Which layers slide or are chunked, into window and chunk as 0 or 1. */
static int layers_sliding(qn_hparams *hp, const qn_keys *k,
                          const qn_family *fam, const json_t *types,
                          qn_err *err)
{
    int every, from = qn_key_int(k, QN_K_WINDOW_FROM, 0);
    int64_t chunk = (int64_t)qn_key_num(k, QN_K_CHUNK, 0);
    QN_TRY(layers_window_every(k, &every, err));
    for (int i = 0; i < hp->n_layer; i++) {
        layers_reach reach;
        if (types && !hp->rec.kind) /* else rec.c has read them */
            reach = layers_listed_reach(types, i);
        else if (fam->slide == QN_SLIDE_EVERY)
            reach = (i + 1) % every != 0;
        else if (fam->slide == QN_SLIDE_BEHIND)
            reach = i % every != 0;
        else if (fam->slide == QN_SLIDE_FROM)
            reach = i >= from;
        else
            reach = fam->slide == QN_SLIDE_ALL;
        if (reach == HP_UNKNOWN || (reach == HP_CHUNKED && chunk == 0)) {
            const char *t = json_string_value(json_array_get(types, (size_t)i));
            return qn_fail(err, QN_EUNSUP,
                           HP_DOC ": layer %d is of type \"%s\", which is not "
                                  "supported (full_attention and "
                                  "sliding_attention are)",
                           i, t ? t : "?");
        }
        hp->layer[i].window = reach == HP_SLIDES;
        hp->layer[i].chunk = reach == HP_CHUNKED ? chunk : 0;
    }
    return QN_OK;
}

static int layers_windows(qn_hparams *hp, const qn_keys *k,
                          const qn_family *fam, qn_err *err)
{
    const json_t *types;
    json_t *own = NULL;
    int64_t window = (int64_t)qn_key_num(k, QN_K_WINDOW, 0);
    if (fam->slide == QN_SLIDE_FROM && !qn_key_true(k, QN_K_USE_WINDOW, false))
        window = 0;
    QN_TRY(layers_list(hp, k, QN_K_LAYER_TYPES, &types, err));
    if (!types)
        QN_TRY(layers_list(hp, k, QN_K_LOCAL_LAYERS, &types, err));
    if (!types && k->v[QN_K_LOCAL_TYPES].json) {
        types = own = layers_expand(k->v[QN_K_LOCAL_TYPES].json, hp->n_layer);
        if (!own)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": attention_types does not make %d layers",
                           hp->n_layer);
    }
    int rc = layers_sliding(hp, k, fam, types, err);
    for (int i = 0; i < hp->n_layer && rc == QN_OK; i++) {
        if (types && hp->layer[i].window && window == 0)
            rc = qn_fail(err, QN_EFORMAT,
                         HP_DOC ": layer %d slides, but there is no "
                                "sliding_window",
                         i);
        hp->layer[i].window *= window;
    }
    json_decref(own);
    return rc;
}

/* Layers without positions: a list of 0 (none) and 1, or each n-th. */
static int layers_positions(qn_hparams *hp, const qn_keys *k,
                            const qn_family *fam, qn_err *err)
{
    const json_t *list;
    bool windows = qn_key_num(k, QN_K_WINDOW, 0) > 0;
    QN_TRY(layers_list(hp, k, QN_K_NO_ROPE_LAYERS, &list, err));
    int every = qn_key_int(k, QN_K_NO_ROPE_EVERY, 0);
    for (int i = 0; i < hp->n_layer; i++) {
        qn_layer_hp *l = &hp->layer[i];
        bool rotates = hp->pos == QN_POS_ROPE;
        if (list)
            rotates = rotates &&
                      json_integer_value(json_array_get(list, (size_t)i)) != 0;
        else if (every > 0)
            rotates = rotates && (i + 1) % every != 0;
        if (fam->nope_full && windows && l->window == 0)
            rotates = false;
        l->rope = !rotates ? -1 : l->window > 0 && hp->n_rope > 1;
        if (fam->slide == QN_SLIDE_ROTATED_CHUNK && rotates &&
            !k->v[QN_K_LAYER_TYPES].json)
            l->chunk = (int64_t)qn_key_num(k, QN_K_CHUNK, 0);
    }
    return QN_OK;
}

static bool layers_lists(const json_t *list, int i)
{
    size_t at;
    json_t *v;
    json_array_foreach((json_t *)list, at, v)
    {
        if (json_integer_value(v) == i)
            return true;
    }
    return false;
}

static bool layers_is_moe(const qn_hparams *hp, const qn_keys *k,
                          const json_t *types, int i)
{
    const char *type = json_string_value(json_array_get(types, (size_t)i));
    if (type)
        return hp->n_exp > 0 && strcmp(type, "sparse") == 0;
    if (k->v[QN_K_MOE_PERIOD].set && !k->v[QN_K_MLP_ONLY].given)
        return hp->n_exp > 1 && i % qn_key_int(k, QN_K_MOE_PERIOD, 1) ==
                                    qn_key_int(k, QN_K_MOE_OFFSET, 0);
    int last = qn_key_int(k, QN_K_MOE_LAST, -1);
    if (i < qn_key_int(k, QN_K_DENSE_FIRST, 0) || (last >= 0 && i > last))
        return false;
    if (layers_lists(k->v[QN_K_MLP_ONLY].json, i))
        return false;
    if (json_is_array(k->v[QN_K_MOE_LAYERS].json))
        return hp->n_exp > 0 && layers_lists(k->v[QN_K_MOE_LAYERS].json, i);
    return hp->n_exp > 0 && (i + 1) % qn_key_int(k, QN_K_SPARSE_STEP, 1) == 0;
}

/* ---- layers that differ ------------------------------------------------ */

/* What per_layer_config says of a layer, by number. */
static int layers_override(const json_t *o, int i, qn_layer_hp *l, qn_err *err)
{
    char name[16];
    const char *key;
    json_t *v;
    snprintf(name, sizeof name, "%d", i);
    json_object_foreach(json_object_get(o, name), key, v)
    {
        json_int_t n = json_integer_value(v);
        if (n < 1 || n > 1 << 16)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": per_layer_config: %s of layer %d", key, i);
        if (strcmp(key, "head_dim") == 0)
            l->d_head = l->d_v = (int)n;
        else if (strcmp(key, "num_key_value_heads") == 0)
            l->n_kv = (int)n;
        else
            return qn_fail(err, QN_EUNSUP,
                           HP_DOC ": per_layer_config: %s is not supported",
                           key);
    }
    return QN_OK;
}

/* The gate's rows from how many deviations on, if a share of them is to be
 * zero: the normal distribution's quantile, by halving. */
static float layers_quantile(double share)
{
    double lo = -10, hi = 10;
    for (int i = 0; i < 100; i++) {
        double mid = (lo + hi) / 2;
        if (0.5 * erfc(-mid / M_SQRT2) < share)
            lo = mid;
        else
            hi = mid;
    }
    return (float)lo;
}

static int layers_sparse(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    const json_t *list;
    QN_TRY(layers_list(hp, k, QN_K_ACT_SPARSE, &list, err));
    bool usual = !k->v[QN_K_ACT_SPARSE].json && hp->n_alt && hp->n_layer > 10;
    for (int i = 0; i < hp->n_layer; i++) {
        double share = list ? json_number_value(json_array_get(list, (size_t)i))
                            : 0;
        if (usual && i < 10)
            share = 0.95;
        if (!(share >= 0 && share < 1))
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": activation_sparsity_pattern: %g", share);
        hp->layer[i].act_cut = share > 0 ? layers_quantile(share) : 0;
    }
    return QN_OK;
}

/* The last layers read the keys and values of the last one before them that
 * slides as they do. */
static int layers_shared_kv(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    int first = hp->n_layer - qn_key_int(k, QN_K_N_KV_SHARED, 0);
    bool wide = qn_key_true(k, QN_K_DOUBLE_WIDE, false);
    for (int i = QN_MAX(first, 1); i < hp->n_layer && first > 0; i++) {
        qn_layer_hp *l = &hp->layer[i];
        int j = first - 1;
        while (j >= 0 && (hp->layer[j].window > 0) != (l->window > 0))
            j--;
        if (j < 0)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": layer %d has no earlier layer of its kind "
                                  "to share keys with",
                           i);
        l->kv_from = j;
        l->d_ff *= wide ? 2 : 1;
        hp->d_ff = QN_MAX(hp->d_ff, l->d_ff);
    }
    return QN_OK;
}

static int layers_layer_dims(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    const json_t *d_ff, *own = k->v[QN_K_PER_LAYER].json;
    bool k_is_v = qn_key_true(k, QN_K_K_EQ_V, false);
    d_ff = json_is_array(k->v[QN_K_D_FF].json) ? k->v[QN_K_D_FF].json : NULL;
    if (d_ff && json_array_size(d_ff) != (size_t)hp->n_layer)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s should list %d layers",
                       qn_key_name(k, QN_K_D_FF), hp->n_layer);
    for (int i = 0; i < hp->n_layer; i++) {
        qn_layer_hp *l = &hp->layer[i];
        bool full = l->window == 0;
        l->n_kv = hp->n_kv;
        l->d_head = hp->d_head;
        l->d_v = hp->d_v;
        if (hp->mla.kv_rank) { /* one latent key for all heads */
            l->n_kv = 1;
            l->d_head = hp->mla.kv_rank + hp->mla.d_rope;
            l->d_v = hp->mla.kv_rank;
        }
        l->d_ff = d_ff
                      ? (int)json_integer_value(json_array_get(d_ff, (size_t)i))
                      : hp->d_ff;
        l->kv_from = i;
        l->k_is_v = k_is_v && full;
        if (full && !own && k->v[QN_K_D_HEAD_FULL].set)
            l->d_head = l->d_v = qn_key_int(k, QN_K_D_HEAD_FULL, 0);
        if (full && !own && k_is_v)
            l->n_kv = qn_key_int(k, QN_K_N_KV_FULL, l->n_kv);
        QN_TRY(layers_override(own, i, l, err));
        if (l->n_kv > 0 && hp->n_head % l->n_kv != 0)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": layer %d: %d heads for %d heads of keys",
                           i, hp->n_head, l->n_kv);
        if ((int64_t)hp->n_head * l->d_head > 1 << 22)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": layer %d: heads of %d elements", i,
                           l->d_head);
    }
    QN_TRY(layers_shared_kv(hp, k, err));
    return layers_sparse(hp, k, err);
}

/* Layers of one rotation have heads of one width. */
static int layers_check_heads(const qn_hparams *hp, qn_err *err)
{
    for (int i = 0; i < hp->n_layer; i++)
        for (int j = 0; j < i; j++) {
            const qn_layer_hp *a = &hp->layer[i], *b = &hp->layer[j];
            if (a->rope >= 0 && a->rope == b->rope && a->d_head != b->d_head)
                return qn_fail(err, QN_EUNSUP,
                               HP_DOC ": layers %d and %d rotate heads of "
                                      "different widths",
                               j, i);
            if (a->kv_from == j &&
                (a->d_head != b->d_head || a->n_kv != b->n_kv))
                return qn_fail(err, QN_EFORMAT,
                               HP_DOC ": layer %d cannot read the keys of "
                                      "layer %d",
                               i, j);
        }
    return QN_OK;
}

/* What layers are, before rotations are known. */
int qn_layers_kinds(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                    qn_err *err)
{
    hp->layer = qn_xcalloc((size_t)hp->n_layer, sizeof *hp->layer);
    QN_TRY(qn_rec_layers(hp, k, fam, err));
    QN_TRY(layers_windows(hp, k, fam, err));
    if (fam->last_full)
        hp->layer[hp->n_layer - 1].window = 0;
    return layers_layer_dims(hp, k, err);
}

int qn_layers_fill(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                   qn_err *err)
{
    double scale = 1 /
                   sqrt(qn_key_num(k, QN_K_ATTN_SCALAR, QN_MAX(hp->d_head, 1)));
    if (!qn_key_true(k, QN_K_ATTN_SCALED, true))
        scale = 1;
    scale = qn_key_num(k, QN_K_ATTN_SCALE, scale) *
            qn_key_num(k, QN_K_KEY_SCALE, 1);
    hp->alibi_scale = fam->alibi_scaled ? (float)scale : 1;
    bool by_layer = qn_key_true(k, QN_K_ATTN_BY_LAYER, false);
    const json_t *mlp_types;
    bool tuned = qn_key_true(k, QN_K_Q_TUNING, false);
    if (tuned) {
        hp->q_beta = (float)qn_key_num(k, QN_K_Q_BETA, 0.1);
        hp->q_floor = (int64_t)qn_key_num(k, QN_K_Q_FLOOR, 8192);
        hp->q_shift = 1;
    }
    if (hp->mla.kv_rank) { /* as DeepSeek sharpens what YaRN stretches */
        double m = (double)hp->rope[0].mscale_all;
        scale *= m * m;
    }
    QN_TRY(layers_list(hp, k, QN_K_MLP_TYPES, &mlp_types, err));

    QN_TRY(layers_positions(hp, k, fam, err));
    for (int i = 0; i < hp->n_layer; i++) {
        hp->layer[i].attn_scale = (float)(by_layer ? scale / (i + 1) : scale);
        if (!fam->one_block)
            hp->layer[i].moe = layers_is_moe(hp, k, mlp_types, i);
        hp->layer[i].q_scaled = hp->q_beta != 0 &&
                                (!tuned || hp->layer[i].rope < 0);
        hp->layer[i].qk_norm = hp->qk_norm != QN_QK_NONE &&
                               (!hp->qk_norm_bare || hp->layer[i].rope >= 0);
    }
    return layers_check_heads(hp, err);
}
