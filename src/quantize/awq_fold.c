/* awq_fold.c - see awq_fold.h. What is asked are features of the network
 * (hparams.h): a division passes through what is linear in each channel, and
 * nowhere else. A fold is left out when one of its readers is not quantized or
 * shares its tensor with something else. */
#include "quantize/awq_fold.h"

#include "base/compiler.h"
#include "model/names.h"

#include <string.h>

typedef struct finder {
    qn_folds *out;
    const qn_net *net;
    const qn_hparams *hp;
    qn_opt_plan *plan;
    int layer;
} finder;

static qn_opt_item *item_named(const finder *f, const char *name)
{
    for (size_t i = 0; i < f->plan->items.n; i++)
        if (strcmp(f->plan->items.v[i].t->name, name) == 0)
            return &f->plan->items.v[i];
    return NULL;
}

/* The item of a role's tensor (or its bias); `whole`: only if nothing else is
 * in it. */
static qn_opt_item *item_of(const finder *f, qn_role role, bool bias,
                            bool whole)
{
    bool all;
    const char *name = qn_net_tensor(f->net, role, f->layer, bias, &all);
    return name && (all || !whole) ? item_named(f, name) : NULL;
}

/* All roles read the same; false: one of them cannot be scaled. */
static bool add_readers(const finder *f, qn_fold *fold, const qn_role *roles,
                        int n)
{
    for (int i = 0; i < n; i++) {
        qn_opt_item *it = item_of(f, roles[i], false, false);
        bool there = false;
        if (!it) /* the network has no such role here */
            continue;
        if (!it->quantize || fold->n_reader == QN_FOLD_READERS)
            return false;
        for (int k = 0; k < fold->n_reader; k++)
            there |= fold->reader[k] == it;
        if (!there)
            fold->reader[fold->n_reader++] = it;
    }
    return fold->n_reader > 0;
}

static void add_fold(const finder *f, qn_role by, bool plus_one,
                     const qn_role *roles, int n)
{
    qn_fold fold = {.layer = f->layer, .plus_one = plus_one};
    fold.by = item_of(f, by, false, true);
    fold.bias = item_of(f, by, true, true);
    if (!fold.by || !add_readers(f, &fold, roles, n))
        return;
    bool biased = qn_net_tensor(f->net, by, f->layer, true, NULL) != NULL;
    if (biased && !fold.bias)
        return;
    qn_vec_push(f->out, fold);
}

/* A norm whose output these roles alone read. */
static void norm_folds(const finder *f)
{
    static const qn_role attn[] = {QN_R_Q, QN_R_K, QN_R_V, QN_R_ATTN_GATE};
    static const qn_role both[] = {QN_R_Q,         QN_R_K,  QN_R_V,
                                   QN_R_ATTN_GATE, QN_R_UP, QN_R_GATE};
    static const qn_role mlp[] = {QN_R_UP, QN_R_GATE};
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[f->layer];
    bool before = hp->norm_place == QN_NORM_PRE ||
                  hp->norm_place == QN_NORM_SANDWICH;
    bool plain_attn = l->attn && !l->rec && !hp->mla.kv_rank &&
                      !hp->mla.q_rank && !hp->attn_experts &&
                      hp->attn_in_scale == 1;
    bool plain_ff = l->ff && !l->moe;
    if (!before || hp->norm_bare)
        return;
    if (hp->parallel && hp->shared_norm) {
        if (plain_attn && plain_ff)
            add_fold(f, QN_R_ATTN_NORM, hp->norm_plus_one, both,
                     (int)QN_COUNTOF(both));
        return;
    }
    if (plain_attn)
        add_fold(f, QN_R_ATTN_NORM, hp->norm_plus_one, attn,
                 (int)QN_COUNTOF(attn));
    if (plain_ff)
        add_fold(f, QN_R_MLP_NORM, hp->norm_plus_one, mlp,
                 (int)QN_COUNTOF(mlp));
}

/* Values pass through attention channel by channel. */
static void value_fold(const finder *f)
{
    static const qn_role out[] = {QN_R_O};
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[f->layer];
    if (!l->attn || hp->mla.kv_rank || hp->attn_experts || hp->diff ||
        hp->sub_norm || hp->v_norm || l->k_is_v || hp->qkv_clip > 0 ||
        l->kv_from != f->layer || l->n_kv != hp->n_head)
        return;
    add_fold(f, QN_R_V, false, out, 1);
}

/* act(gate) * up is linear in up; without a gate, relu is in what is not
 * negative. */
static void up_fold(const finder *f)
{
    static const qn_role down[] = {QN_R_DOWN};
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[f->layer];
    if (!l->ff || l->moe || hp->xielu || hp->sub_norm ||
        !(hp->gated || hp->act == QN_ACT_RELU))
        return;
    add_fold(f, QN_R_UP, false, down, 1);
}

/* The same in each expert of a mixture that has tensors of its own. */
static void expert_folds(const finder *f)
{
    const qn_hparams *hp = f->hp;
    qn_net_matrix up, down;
    if (!hp->layer[f->layer].moe || hp->exp_limit > 0 ||
        hp->exp_up_offset != 0 || hp->exp_x_weighted ||
        !(hp->gated || hp->act == QN_ACT_RELU))
        return;
    for (size_t i = 0; qn_net_matrix_at(f->net, i, &up); i++) {
        if (up.role_id != QN_R_EXP_UP || up.layer != f->layer)
            continue;
        qn_fold fold = {.layer = f->layer, .n_reader = 1};
        fold.by = item_named(f, up.tensor);
        for (size_t k = 0; qn_net_matrix_at(f->net, k, &down); k++)
            if (down.role_id == QN_R_EXP_DOWN && down.layer == up.layer &&
                down.expert == up.expert)
                fold.reader[0] = item_named(f, down.tensor);
        if (fold.by && fold.by->quantize && fold.reader[0] &&
            fold.reader[0]->quantize)
            qn_vec_push(f->out, fold);
    }
}

void qn_folds_find(qn_folds *out, const qn_net *net, qn_opt_plan *plan,
                   int layer)
{
    finder f = {out, net, qn_net_hparams(net), plan, layer};
    if (!qn_net_is_chain(net))
        return;
    norm_folds(&f);
    value_fold(&f);
    up_fold(&f);
    expert_folds(&f);
}
