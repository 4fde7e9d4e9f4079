/* hparams.c - from config.json to features.
 *
 *   config --(wrapper opened, family found)--> keys --> qn_hparams
 *
 * A key means the same wherever a family reads it, so that there is one place
 * per feature below and none per family. Invariants on success: every count
 * is in the range of its key, n_head is a multiple of n_kv, products of
 * dimensions fit an int, layer[] has n_layer entries. */
#include "model/hparams.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/families.h"
#include "model/rec.h"
#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HP_DOC "config.json"

/* ---- features ---------------------------------------------------------- */

static int hp_mla(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    qn_mla_hp *m = &hp->mla;
    m->q_rank = qn_key_int(k, QN_K_Q_RANK, 0);
    QN_TRY(qn_key_need(k, QN_K_KV_RANK, &m->kv_rank, err));
    QN_TRY(qn_key_need(k, QN_K_D_NOPE, &m->d_nope, err));
    QN_TRY(qn_key_need(k, QN_K_D_ROPE, &m->d_rope, err));
    QN_TRY(qn_key_need(k, QN_K_D_V, &hp->d_v, err));
    hp->d_head = m->d_nope + m->d_rope;
    hp->n_kv = hp->n_head;
    return QN_OK;
}

static int hp_heads(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    QN_TRY(qn_key_need(k, QN_K_N_HEAD, &hp->n_head, err));
    hp->n_kv = qn_key_int(k, QN_K_N_KV, hp->n_head);
    if (hp->attn_experts) /* each brings a query head per kv head */
        hp->n_head = hp->n_kv * qn_key_int(k, QN_K_N_EXP_USED, 1);
    bool mla = k->v[QN_K_KV_RANK].set;
    if (k->v[QN_K_MULTI_QUERY].set && !qn_key_true(k, QN_K_GROUPED, false))
        hp->n_kv = qn_key_true(k, QN_K_MULTI_QUERY, false) ? 1 : hp->n_head;
    if (!mla && !k->v[QN_K_D_HEAD].set && hp->d_model % hp->n_head != 0)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s (%d) is not a multiple of %s (%d), and "
                              "there is no head_dim",
                       qn_key_name(k, QN_K_D_MODEL), hp->d_model,
                       qn_key_name(k, QN_K_N_HEAD), hp->n_head);
    hp->d_head = qn_key_int(k, QN_K_D_HEAD, hp->d_model / hp->n_head);
    hp->d_v = hp->diff ? 2 * hp->d_head : hp->d_head;
    if (mla)
        QN_TRY(hp_mla(hp, k, err));
    if (hp->diff && (hp->n_kv % 2 || hp->n_head % 2))
        return qn_fail(err, QN_EUNSUP,
                       HP_DOC ": differential attention with %d heads and %d "
                              "key heads: both should be even",
                       hp->n_head, hp->n_kv);
    if (hp->n_head % hp->n_kv != 0)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s (%d) is not a multiple of %s (%d)",
                       qn_key_name(k, QN_K_N_HEAD), hp->n_head,
                       qn_key_name(k, QN_K_N_KV), hp->n_kv);
    if ((int64_t)hp->n_head * hp->d_head > 1 << 22)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d heads of %d elements are too many",
                       hp->n_head, hp->d_head);
    return QN_OK;
}

static int hp_sizes(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                    qn_err *err)
{
    const json_t *layers = k->v[QN_K_LAYER_TYPES].json;
    QN_TRY(qn_key_need(k, QN_K_VOCAB, &hp->n_vocab, err));
    QN_TRY(qn_key_need(k, QN_K_D_MODEL, &hp->d_model, err));
    hp->d_embed = qn_key_int(k, QN_K_D_EMBED, hp->d_model);
    if (fam->one_block && json_array_size(layers) > 0)
        hp->n_layer = (int)QN_MIN(json_array_size(layers), 4096);
    else
        QN_TRY(qn_key_need(k, QN_K_N_LAYER, &hp->n_layer, err));
    if (!fam->no_attn)
        QN_TRY(hp_heads(hp, k, err));
    int ratio = qn_key_int(k, QN_K_FF_RATIO, 4);
    if (fam->no_ff)
        hp->d_ff = 1; /* nothing has this width */
    else
        hp->d_ff = qn_key_int(k, QN_K_D_FF,
                              hp->gated ? 0 : ratio * hp->d_model);
    if (hp->d_ff == 0)
        QN_TRY(qn_key_need(k, QN_K_D_FF, &hp->d_ff, err));
    if (!k->v[QN_K_N_CTX].set)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s is missing",
                       qn_key_name(k, QN_K_N_CTX));
    hp->n_ctx_train = (int64_t)qn_key_num(k, QN_K_N_CTX, 0);
    bool table = hp->pos == QN_POS_LEARNED || hp->pos == QN_POS_SINUS;
    if (table && hp->n_ctx_train > 1 << 24)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s: a table of %lld positions",
                       qn_key_name(k, QN_K_N_CTX), (long long)hp->n_ctx_train);
    return QN_OK;
}

static const struct {
    const char *names;
    qn_act act;
} hp_acts[] = {
    {"relu", QN_ACT_RELU},
    {"relu2 relu_squared", QN_ACT_RELU2},
    {"silu swish", QN_ACT_SILU},
    {"gelu gelu_python", QN_ACT_GELU},
    {"gelu_new gelu_pytorch_tanh gelu_fast gelu_python_tanh gelu_accurate",
     QN_ACT_GELU_TANH},
    {"quick_gelu", QN_ACT_GELU_QUICK},
    {"sigmoid", QN_ACT_SIGMOID},
    {"tanh", QN_ACT_TANH},
    {"linear", QN_ACT_NONE},
};

int qn_act_read(const qn_value *v, qn_act *out, qn_err *err)
{
    const char *name = json_string_value(v->json);
    for (size_t i = 0; i < QN_COUNTOF(hp_acts); i++) {
        if (qn_word_in(hp_acts[i].names, name)) {
            *out = hp_acts[i].act;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_EUNSUP, HP_DOC ": activation %s \"%s\" is not known",
                   v->name, name);
}

static int hp_act(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                  qn_err *err)
{
    const qn_value *v = &k->v[QN_K_ACT];
    if (!v->set || fam->act_fixed ||
        (fam->gelu_is_tanh && strcmp(v->name, "hidden_act") == 0 &&
         strcmp(json_string_value(v->json), "gelu") == 0))
        return QN_OK;
    if (hp->xielu && strcmp(json_string_value(v->json), "xielu") == 0)
        return QN_OK;
    hp->xielu = false;
    return qn_act_read(v, &hp->act, err);
}

/* Factors of the branches, and the width of feed-forwards where a rule makes
 * it from the one that is said. */
static int hp_branches(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    const json_t *list = k->v[QN_K_FF_SCALES].json;
    hp->attn_in_scale = (float)qn_key_num(k, QN_K_ATTN_IN_SCALE, 1);
    hp->attn_out_scale = (float)qn_key_num(k, QN_K_ATTN_OUT_SCALE, 1);
    hp->ff_gate_scale = hp->ff_out_scale = 1;
    if (list) {
        const json_t *a = json_array_get(list, 0), *b = json_array_get(list, 1);
        if (json_array_size(list) != 2 || !json_is_number(a) ||
            !json_is_number(b))
            return qn_fail(err, QN_EFORMAT, HP_DOC ": %s should be two numbers",
                           qn_key_name(k, QN_K_FF_SCALES));
        hp->ff_gate_scale = (float)json_number_value(a);
        hp->ff_out_scale = (float)json_number_value(b);
    }
    if (qn_key_true(k, QN_K_FF_ADJUST, false)) {
        int64_t unit = qn_key_int(k, QN_K_FF_MULTIPLE, 256);
        double n = qn_key_num(k, QN_K_FF_FACTOR, 1) * (2 * hp->d_ff / 3);
        n = (double)(((int64_t)n + unit - 1) / unit * unit);
        if (n < 1 || n > 1 << 24)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": feed-forwards of %g elements", n);
        hp->d_ff = (int)n;
    }
    return QN_OK;
}

static void hp_norms(qn_hparams *hp, const qn_keys *k)
{
    hp->norm_eps = (float)qn_key_num(k, QN_K_NORM_EPS, (double)hp->norm_eps);
    if (!qn_key_true(k, QN_K_NORM_AFFINE, true))
        hp->norm_bare = true;
    if (!qn_key_true(k, QN_K_NORM_BEFORE, true)) {
        hp->norm_place = QN_NORM_POST; /* the last layer's norm is the end */
        hp->final_norm = false;
    }
    if (qn_key_true(k, QN_K_NO_FINAL_NORM, false))
        hp->final_norm = false;
    if (k->v[QN_K_QK_NORM].set && !qn_key_true(k, QN_K_QK_NORM, false))
        hp->qk_norm = QN_QK_NONE;
}

static void hp_biases(qn_hparams *hp, const qn_keys *k, const qn_family *fam)
{
    bool all = qn_key_true(k, QN_K_ALL_BIAS, false) ||
               (k->v[QN_K_NO_BIAS].set && !qn_key_true(k, QN_K_NO_BIAS, true));
    if (k->v[QN_K_ALL_BIAS].set || k->v[QN_K_NO_BIAS].set)
        hp->qkv_bias = hp->o_bias = hp->mlp_bias = all;
    if (k->v[QN_K_NO_BIAS].set)
        hp->norm_bias = all;
    if (k->v[QN_K_ATTN_BIAS].set)
        hp->qkv_bias = hp->o_bias = qn_key_true(k, QN_K_ATTN_BIAS, false);
    if (fam->o_unbiased)
        hp->o_bias = false;
    hp->o_bias = qn_key_true(k, QN_K_O_BIAS, hp->o_bias);
    hp->qkv_bias = qn_key_true(k, QN_K_QKV_BIAS, hp->qkv_bias);
    hp->mlp_bias = qn_key_true(k, QN_K_MLP_BIAS, hp->mlp_bias);
    hp->head_bias = qn_key_true(k, QN_K_HEAD_BIAS, hp->head_bias);
}

/* A list by layers whose members must not differ. */
static int hp_even(const qn_keys *k, qn_key key, qn_err *err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)k->v[key].json, i, v)
    {
        if (json_number_value(v) != k->v[key].num)
            return qn_fail(err, QN_EUNSUP,
                           HP_DOC ": %s differs from layer to layer, which is "
                                  "not supported",
                           qn_key_name(k, key));
    }
    return QN_OK;
}

/* Experts in groups, of which the best few are open to the choice. */
static int hp_expert_groups(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    int n = qn_key_int(k, QN_K_N_GROUP, 1), open;
    open = qn_key_int(k, QN_K_K_GROUP, n);
    const char *how = json_string_value(k->v[QN_K_GROUP_METHOD].json);
    if (how && strcmp(how, "greedy") == 0)
        n = 1;
    else if (how && strcmp(how, hp->group_max ? "group_limited_greedy"
                                              : "noaux_tc") != 0)
        return qn_fail(err, QN_EUNSUP, HP_DOC ": %s \"%s\" is not known",
                       qn_key_name(k, QN_K_GROUP_METHOD), how);
    if (n <= 1 || open >= n)
        return QN_OK;
    if (hp->n_exp % n != 0 || hp->n_exp / n * open < hp->n_exp_used)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d of %d groups of %d experts cannot give "
                              "the %d that are wanted",
                       open, n, hp->n_exp, hp->n_exp_used);
    hp->n_group = n;
    hp->k_group = open;
    return QN_OK;
}

static int hp_experts(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    hp->n_exp = qn_key_int(k, QN_K_N_EXP, 0);
    if (k->v[QN_K_MOE_ON].set && !qn_key_true(k, QN_K_MOE_ON, false))
        hp->n_exp = 0;
    QN_TRY(hp_even(k, QN_K_N_EXP, err));
    QN_TRY(hp_even(k, QN_K_N_EXP_USED, err));
    if (hp->n_exp == 0) { /* the shared one is the feed-forward */
        hp->d_ff = qn_key_int(k, QN_K_D_FF_SHARED, hp->d_ff);
        return QN_OK;
    }
    QN_TRY(qn_key_need(k, QN_K_N_EXP_USED, &hp->n_exp_used, err));
    if (hp->n_exp_used > hp->n_exp)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s is %d of %d experts",
                       qn_key_name(k, QN_K_N_EXP_USED), hp->n_exp_used,
                       hp->n_exp);
    hp->d_ff_exp = qn_key_int(k, QN_K_D_FF_EXP, hp->d_ff);
    hp->d_ff = qn_key_int(k, QN_K_D_FF_DENSE, hp->d_ff);
    int64_t shared = (int64_t)qn_key_int(k, QN_K_N_SHARED, 0) * hp->d_ff_exp;
    if (shared > 1 << 24)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s is %d",
                       qn_key_name(k, QN_K_N_SHARED),
                       qn_key_int(k, QN_K_N_SHARED, 0));
    hp->d_ff_shared = qn_key_int(k, QN_K_D_FF_SHARED, (int)shared);
    hp->route_renorm = qn_key_true(k, QN_K_ROUTE_RENORM, hp->route_renorm);
    hp->route_scale = (float)qn_key_num(k, QN_K_ROUTE_SCALE, 1);
    hp->route_bias = qn_key_true(k, QN_K_ROUTE_BIASED, hp->route_bias);
    hp->route_jitter = (float)qn_key_num(k, QN_K_ROUTE_JITTER, 0);
    hp->exp_limit = (float)qn_key_num(k, QN_K_EXP_LIMIT, 0);
    if (k->v[QN_K_ROUTE_NORM_P].given) {
        hp->renorm_p = (float)qn_key_num(k, QN_K_ROUTE_NORM_P, 0);
        hp->route_renorm = hp->renorm_p > 0;
    }
    if (hp->route == QN_ROUTE_SPARSEMIX && hp->n_exp_used != 2)
        return qn_fail(err, QN_EUNSUP,
                       HP_DOC ": %s is %d; SparseMixer routes to 2 experts",
                       qn_key_name(k, QN_K_N_EXP_USED), hp->n_exp_used);
    return hp_expert_groups(hp, k, err);
}

static void hp_ends(qn_hparams *hp, const qn_keys *k, const qn_family *fam)
{
    bool root = fam->embed_sqrt || qn_key_true(k, QN_K_EMBED_SQRT, false);
    double scale = root ? sqrt(hp->d_model) : 1;
    hp->embed_scale = (float)qn_key_num(k, QN_K_EMBED_SCALE, scale);
    hp->residual_scale = (float)qn_key_num(k, QN_K_RESIDUAL_SCALE, 1);
    hp->logit_scale = (float)(qn_key_num(k, QN_K_LOGIT_SCALE, 1) /
                              qn_key_num(k, QN_K_LOGIT_DIVISOR, 1));
    hp->logit_softcap = (float)qn_key_num(k, QN_K_LOGIT_SOFTCAP, 0);
    hp->attn_softcap = (float)qn_key_num(k, QN_K_ATTN_SOFTCAP, 0);
    hp->parallel = qn_key_true(k, QN_K_PARALLEL, hp->parallel);
    if (qn_key_int(k, QN_K_PARALLEL_NORMS,
                   qn_key_true(k, QN_K_GROUPED, false) ? 2 : 1) == 2)
        hp->shared_norm = false;
    hp->qkv_clip = (float)qn_key_num(k, QN_K_QKV_CLIP, 0);
    hp->pos_empty = (int64_t)qn_key_num(k, QN_K_PAD, -1);
    if (qn_key_true(k, QN_K_ALIBI, false))
        hp->pos = QN_POS_ALIBI;
    hp->tied = qn_key_true(k, QN_K_TIED, hp->tied);
}

/* ---- tokens ------------------------------------------------------------ */

static int hp_token(const json_t *v, const char *key, int *out, qn_err *err)
{
    json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    if (id < 0 || id > INT32_MAX)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s should be a token id or a list of them",
                       key);
    *out = (int)id;
    return QN_OK;
}

static int hp_tokens(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    hp->bos_id = -1;
    const json_t *v = k->v[QN_K_BOS].json;
    if (json_is_array(v))
        v = json_array_get(v, 0);
    if (v && json_integer_value(v) != -1)
        QN_TRY(hp_token(v, "bos_token_id", &hp->bos_id, err));
    v = k->v[QN_K_EOS].json;
    if (!v)
        return QN_OK;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n > QN_MAX_EOS)
        return qn_fail(err, QN_ELIMIT,
                       HP_DOC ": eos_token_id lists %zu ids, %d are supported",
                       n, QN_MAX_EOS);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;
        if (json_integer_value(id) == -1)
            continue; /* some files say "none" so */
        QN_TRY(hp_token(id, "eos_token_id", &hp->eos_ids[hp->n_eos], err));
        hp->n_eos++;
    }
    return QN_OK;
}

/* ---- layers ------------------------------------------------------------ */

/* The list of a per-layer key, which must have an entry for each layer. */
static int hp_list(const qn_hparams *hp, const qn_keys *k, qn_key key,
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

typedef enum hp_reach {
    HP_FULL,
    HP_SLIDES,
    HP_CHUNKED,
    HP_UNKNOWN
} hp_reach;

/* What the list says of layer i. */
static hp_reach hp_listed_reach(const json_t *types, int i)
{
    static const struct {
        const char *name;
        hp_reach reach;
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
static json_t *hp_expand(const json_t *groups, int n_layer)
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
static int hp_window_every(const qn_keys *k, int *out, qn_err *err)
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
static int hp_sliding(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                      const json_t *types, qn_err *err)
{
    int every, from = qn_key_int(k, QN_K_WINDOW_FROM, 0);
    int64_t chunk = (int64_t)qn_key_num(k, QN_K_CHUNK, 0);
    QN_TRY(hp_window_every(k, &every, err));
    for (int i = 0; i < hp->n_layer; i++) {
        hp_reach reach;
        if (types && !hp->rec.kind) /* else rec.c has read them */
            reach = hp_listed_reach(types, i);
        else if (fam->slide == QN_SLIDE_EVERY)
            reach = (i + 1) % every != 0;
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

static int hp_windows(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                      qn_err *err)
{
    const json_t *types;
    json_t *own = NULL;
    int64_t window = (int64_t)qn_key_num(k, QN_K_WINDOW, 0);
    if (fam->slide == QN_SLIDE_FROM && !qn_key_true(k, QN_K_USE_WINDOW, false))
        window = 0;
    QN_TRY(hp_list(hp, k, QN_K_LAYER_TYPES, &types, err));
    if (!types)
        QN_TRY(hp_list(hp, k, QN_K_LOCAL_LAYERS, &types, err));
    if (!types && k->v[QN_K_LOCAL_TYPES].json) {
        types = own = hp_expand(k->v[QN_K_LOCAL_TYPES].json, hp->n_layer);
        if (!own)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": attention_types does not make %d layers",
                           hp->n_layer);
    }
    int rc = hp_sliding(hp, k, fam, types, err);
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
static int hp_positions(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                        qn_err *err)
{
    const json_t *list;
    bool any_slides = false;
    QN_TRY(hp_list(hp, k, QN_K_NO_ROPE_LAYERS, &list, err));
    int every = qn_key_int(k, QN_K_NO_ROPE_EVERY, 0);
    for (int i = 0; i < hp->n_layer; i++)
        any_slides = any_slides || hp->layer[i].window > 0;
    for (int i = 0; i < hp->n_layer; i++) {
        qn_layer_hp *l = &hp->layer[i];
        bool rotates = hp->pos == QN_POS_ROPE;
        if (list)
            rotates = rotates &&
                      json_integer_value(json_array_get(list, (size_t)i)) != 0;
        else if (every > 0)
            rotates = rotates && (i + 1) % every != 0;
        if (fam->nope_full && any_slides && l->window == 0)
            rotates = false;
        l->rope = !rotates ? -1 : l->window > 0 && hp->n_rope > 1;
        if (fam->slide == QN_SLIDE_ROTATED_CHUNK && rotates &&
            !k->v[QN_K_LAYER_TYPES].json)
            l->chunk = (int64_t)qn_key_num(k, QN_K_CHUNK, 0);
    }
    return QN_OK;
}

static bool hp_lists(const json_t *list, int i)
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

static bool hp_is_moe(const qn_hparams *hp, const qn_keys *k,
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
    if (hp_lists(k->v[QN_K_MLP_ONLY].json, i))
        return false;
    if (json_is_array(k->v[QN_K_MOE_LAYERS].json))
        return hp->n_exp > 0 && hp_lists(k->v[QN_K_MOE_LAYERS].json, i);
    return hp->n_exp > 0 && (i + 1) % qn_key_int(k, QN_K_SPARSE_STEP, 1) == 0;
}

/* ---- layers that differ ------------------------------------------------ */

/* What per_layer_config says of a layer, by number. */
static int hp_override(const json_t *o, int i, qn_layer_hp *l, qn_err *err)
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
static float hp_quantile(double share)
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

static int hp_sparse(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    const json_t *list;
    QN_TRY(hp_list(hp, k, QN_K_ACT_SPARSE, &list, err));
    bool usual = !k->v[QN_K_ACT_SPARSE].json && hp->n_alt && hp->n_layer > 10;
    for (int i = 0; i < hp->n_layer; i++) {
        double share = list ? json_number_value(json_array_get(list, (size_t)i))
                            : 0;
        if (usual && i < 10)
            share = 0.95;
        if (!(share >= 0 && share < 1))
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": activation_sparsity_pattern: %g", share);
        hp->layer[i].act_cut = share > 0 ? hp_quantile(share) : 0;
    }
    return QN_OK;
}

/* The last layers read the keys and values of the last one before them that
 * slides as they do. */
static int hp_shared_kv(qn_hparams *hp, const qn_keys *k, qn_err *err)
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

static int hp_layer_dims(qn_hparams *hp, const qn_keys *k, qn_err *err)
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
        l->d_ff = d_ff
                      ? (int)json_integer_value(json_array_get(d_ff, (size_t)i))
                      : hp->d_ff;
        l->kv_from = i;
        l->k_is_v = k_is_v && full;
        if (full && !own && k->v[QN_K_D_HEAD_FULL].set)
            l->d_head = l->d_v = qn_key_int(k, QN_K_D_HEAD_FULL, 0);
        if (full && !own && k_is_v)
            l->n_kv = qn_key_int(k, QN_K_N_KV_FULL, l->n_kv);
        QN_TRY(hp_override(own, i, l, err));
        if (l->n_kv > 0 && hp->n_head % l->n_kv != 0)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": layer %d: %d heads for %d heads of keys",
                           i, hp->n_head, l->n_kv);
        if ((int64_t)hp->n_head * l->d_head > 1 << 22)
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": layer %d: heads of %d elements", i,
                           l->d_head);
    }
    QN_TRY(hp_shared_kv(hp, k, err));
    return hp_sparse(hp, k, err);
}

/* Layers of one rotation have heads of one width. */
static int hp_check_heads(const qn_hparams *hp, qn_err *err)
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
static int hp_layer_kinds(qn_hparams *hp, const qn_keys *k,
                          const qn_family *fam, qn_err *err)
{
    hp->layer = qn_xcalloc((size_t)hp->n_layer, sizeof *hp->layer);
    QN_TRY(qn_rec_layers(hp, k, fam, err));
    QN_TRY(hp_windows(hp, k, fam, err));
    if (fam->last_full)
        hp->layer[hp->n_layer - 1].window = 0;
    return hp_layer_dims(hp, k, err);
}

static int hp_streams(qn_hparams *hp, const qn_keys *k, qn_err *err)
{
    hp->d_ple = qn_key_int(k, QN_K_D_PLE, 0);
    hp->ple_vocab = qn_key_int(k, QN_K_PLE_VOCAB, hp->n_vocab);
    hp->n_alt = qn_key_int(k, QN_K_N_ALT, 0);
    hp->alt_active = qn_key_int(k, QN_K_ALT_ACTIVE, 0);
    hp->alt_scale = qn_key_true(k, QN_K_ALT_SCALE, false);
    hp->laurel_rank = qn_key_int(k, QN_K_LAUREL, 0);
    if ((hp->n_alt && hp->alt_active >= hp->n_alt) ||
        (int64_t)hp->n_layer * hp->d_ple > 1 << 24)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s %d of %d, or %d layers with %s %d",
                       qn_key_name(k, QN_K_ALT_ACTIVE), hp->alt_active,
                       hp->n_alt, hp->n_layer, "hidden_size_per_layer_input",
                       hp->d_ple);
    return QN_OK;
}

static int hp_layers(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
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
    if (fam->yarn_sharpens) {
        double m = (double)hp->rope[0].mscale_all;
        scale *= m * m;
    }
    QN_TRY(hp_list(hp, k, QN_K_MLP_TYPES, &mlp_types, err));

    QN_TRY(hp_positions(hp, k, fam, err));
    for (int i = 0; i < hp->n_layer; i++) {
        hp->layer[i].attn_scale = (float)(by_layer ? scale / (i + 1) : scale);
        if (!fam->one_block)
            hp->layer[i].moe = hp_is_moe(hp, k, mlp_types, i);
        hp->layer[i].q_scaled = hp->q_beta != 0 &&
                                (!tuned || hp->layer[i].rope < 0);
        hp->layer[i].qk_norm = hp->qk_norm != QN_QK_NONE &&
                               (!hp->qk_norm_bare || hp->layer[i].rope >= 0);
    }
    return QN_OK;
}

/* ---- reading ----------------------------------------------------------- */

static int hp_fill(qn_hparams *hp, qn_keys *k, const json_t *config,
                   const qn_family *fam, qn_err *err)
{
    QN_TRY(qn_keys_read(k, config, fam, err));
    QN_TRY(hp_sizes(hp, k, fam, err));
    QN_TRY(hp_act(hp, k, fam, err));
    QN_TRY(hp_branches(hp, k, err));
    hp_norms(hp, k);
    hp_biases(hp, k, fam);
    QN_TRY(hp_experts(hp, k, err));
    hp_ends(hp, k, fam);
    QN_TRY(hp_tokens(hp, k, err));
    QN_TRY(qn_rec_read(hp, k, fam, err));
    const json_t *pos = k->v[QN_K_POS_TYPE].json;
    if (fam->pos_named && (!pos || strcmp(json_string_value(pos), "rope") != 0))
        hp->pos = QN_POS_NONE;
    QN_TRY(hp_streams(hp, k, err));
    QN_TRY(hp_layer_kinds(hp, k, fam, err));
    if (hp->pos == QN_POS_ROPE)
        QN_TRY(qn_rope_read(hp, k, err));
    QN_TRY(hp_layers(hp, k, fam, err));
    QN_TRY(hp_check_heads(hp, err));
    return qn_keys_done(k, fam->type, err);
}

static int hp_unknown_family(const char *type, qn_err *err)
{
    qn_str list;
    qn_str_init(&list);
    for (int i = 0; qn_family_name(i); i++)
        qn_str_addf(&list, "%s%s", i ? " " : "", qn_family_name(i));
    int rc = qn_fail(err, QN_EUNSUP,
                     HP_DOC ": model_type \"%s\" is not supported; these are: "
                            "%s",
                     type, list.p);
    qn_str_deinit(&list);
    return rc;
}

/* A wrapper's text model, with what only the outer object says (end tokens,
 * tied embeddings): a new reference. */
static int hp_unwrap(const json_t *config, const qn_family *outer, json_t **out,
                     qn_err *err)
{
    const json_t *inner = json_object_get(config, outer->inner);
    if (!json_is_object(inner))
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s is missing", outer->inner);
    json_t *o = json_copy((json_t *)inner);
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)config, name, v)
    {
        if (strcmp(name, "model_type") != 0 &&
            !qn_word_in(outer->ignores, name) && !json_object_get(o, name))
            json_object_set(o, name, v);
    }
    *out = o;
    return QN_OK;
}

static void hp_name(char *dst, size_t cap, const char *src)
{
    snprintf(dst, cap, "%s", src ? src : "");
}

int qn_hparams_read(qn_hparams *hp, const json_t *config, qn_err *err)
{
    memset(hp, 0, sizeof *hp);
    if (!json_is_object(config))
        return qn_fail(err, QN_EFORMAT, HP_DOC " is not a JSON object");
    const char *type = json_string_value(json_object_get(config, "model_type"));
    if (!type)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": model_type is missing");
    const qn_family *fam = qn_family_find(type);
    if (!fam)
        return hp_unknown_family(type, err);

    json_t *text = NULL;
    if (fam->inner) {
        QN_TRY(hp_unwrap(config, fam, &text, err));
        fam = qn_family_find(fam->inner_type);
    }
    *hp = fam->hp;
    hp_name(hp->family, sizeof hp->family, fam->type);
    hp_name(hp->arch, sizeof hp->arch,
            json_string_value(
                json_array_get(json_object_get(config, "architectures"), 0)));
    qn_keys keys;
    int rc = hp_fill(hp, &keys, text ? text : config, fam, err);
    qn_keys_deinit(&keys);
    json_decref(text);
    if (rc < 0)
        qn_hparams_deinit(hp);
    return rc;
}

void qn_hparams_deinit(qn_hparams *hp)
{
    for (int i = 0; i < QN_ROPE_KINDS; i++)
        qn_rope_deinit(&hp->rope[i]);
    free(hp->layer);
    memset(hp, 0, sizeof *hp);
}
