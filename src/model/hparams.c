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
#include "model/layers.h"
#include "model/rec.h"
#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HP_DOC "config.json"

enum {
    HP_MAX_DEPTH = 3 /* of networks inside of others */
};

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
        (fam->gelu_is_tanh && strcmp(v->name, "hidden_activation") != 0 &&
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
    if (qn_key_true(k, QN_K_NORM_STREAM, false))
        hp->norm_place = QN_NORM_STREAM;
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
    QN_TRY(hp_even(k, QN_K_N_SHARED, err));
    if (hp->n_exp == 0) { /* the shared one is the feed-forward */
        hp->d_ff = qn_key_int(k, QN_K_D_FF_SHARED, hp->d_ff);
        return QN_OK;
    }
    QN_TRY(qn_key_need(k, QN_K_N_EXP_USED, &hp->n_exp_used, err));
    if (hp->n_exp_used < 1 || hp->n_exp_used > hp->n_exp)
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
    double depth = qn_key_num(k, QN_K_SCALE_DEPTH, sqrt(hp->n_layer));
    hp->residual_scale = (float)qn_key_num(k, QN_K_RESIDUAL_SCALE,
                                           depth / sqrt(hp->n_layer));
    double base = qn_key_num(k, QN_K_BASE_WIDTH, hp->d_model);
    hp->logit_scale = (float)(qn_key_num(k, QN_K_LOGIT_SCALE, 1) /
                              qn_key_num(k, QN_K_LOGIT_DIVISOR,
                                         hp->d_model / base));
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
    QN_TRY(qn_layers_kinds(hp, k, fam, err));
    if (hp->pos == QN_POS_ROPE)
        QN_TRY(qn_rope_read(hp, k, err));
    QN_TRY(qn_layers_fill(hp, k, fam, err));
    return qn_keys_done(k, fam->type, err);
}

/* The family of a wrapper's text model. */
static int hp_inner(const json_t *text, const qn_family **fam, qn_err *err)
{
    const qn_family *outer = *fam;
    const char *type = (*fam)->inner_type;
    if (!type)
        type = json_string_value(json_object_get(text, "model_type"));
    if (!type)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s.model_type is missing",
                       (*fam)->inner);
    *fam = qn_family_find(type);
    return *fam && *fam != outer ? QN_OK : qn_family_unknown(type, text, err);
}

/* A wrapper's text model, with what only the outer object says (end tokens,
 * tied embeddings): a new reference. Some had no inner object once. */
static int hp_unwrap(const json_t *config, const qn_family *outer, json_t **out,
                     bool *unsure, qn_err *err)
{
    static const char tie[] = "tie_word_embeddings";
    const json_t *inner = json_object_get(config, outer->inner);
    bool flat = !inner && json_object_get(config, "hidden_size");
    if (!json_is_object(inner) && !flat)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": %s is missing", outer->inner);
    json_t *o = flat ? json_object() : json_copy((json_t *)inner);
    const json_t *a = json_object_get(o, tie),
                 *b = json_object_get(config, tie);
    *unsure |= json_is_boolean(a) && json_is_boolean(b) && !json_equal(a, b);
    const char *name;
    json_t *v;
    void *next;
    json_object_foreach_safe(o, next, name, v)
    {
        if (outer->ignores && qn_word_in(outer->ignores, name) &&
            strcmp(name, "text_config") != 0)
            json_object_del(o, name);
    }
    json_object_foreach((json_t *)config, name, v)
    {
        if (strcmp(name, "model_type") != 0 &&
            !(outer->ignores && qn_word_in(outer->ignores, name)) &&
            !json_object_get(o, name))
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
        return qn_family_unknown(type, config, err);

    json_t *text = NULL;
    bool unsure = false;
    bool senses = fam->inner && fam->ignores; /* else another name */
    for (int depth = 0; fam->inner && depth < HP_MAX_DEPTH; depth++) {
        json_t *outer = text;
        int rc = hp_unwrap(outer ? outer : config, fam, &text, &unsure, err);
        json_decref(outer);
        if (rc < 0)
            return rc;
        rc = hp_inner(text, &fam, err);
        if (rc < 0) {
            json_decref(text);
            return rc;
        }
    }
    if (fam->inner) {
        json_decref(text);
        return qn_family_unknown(fam->type, config, err);
    }
    *hp = fam->hp;
    hp_name(hp->family, sizeof hp->family, fam->type);
    if (senses)
        hp_name(hp->outer, sizeof hp->outer, type);
    hp_name(hp->arch, sizeof hp->arch,
            json_string_value(
                json_array_get(json_object_get(config, "architectures"), 0)));
    qn_keys keys;
    int rc = hp_fill(hp, &keys, text ? text : config, fam, err);
    hp->tied_unsure = unsure;
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
