/* rules.c - what becomes of each tensor. */
#include "quantize/optimize_int.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "tensor/qscheme.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

size_t qn_module_len(const char *tensor)
{
    size_t n = strlen(tensor);
    return qn_ends(tensor, ".weight") ? n - strlen(".weight") : n;
}

/* Patterns are of whole module names, or of their ends: "*.k_proj", "k_proj",
 * "model.layers.0.*". */
static bool matches(const char *module, const char *const *patterns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *p = patterns[i];
        size_t m = strlen(module), k = strlen(p);
        if (fnmatch(p, module, 0) == 0)
            return true;
        if (m > k && module[m - k - 1] == '.' && strcmp(module + m - k, p) == 0)
            return true;
    }
    return false;
}

bool qn_rule_names(const char *tensor, const char *const *patterns, size_t n)
{
    if (!tensor || n == 0)
        return false;
    char *module = qn_xstrndup(tensor, qn_module_len(tensor));
    bool yes = matches(module, patterns, n);
    qn_free(module);
    return yes;
}

enum {
    STAYS,
    WANTED,
    WANTED_TRANSPOSED
};

/* tensor -> what the network does with it */
static void map_matrices(qn_map *map, const qn_net *net,
                         const qn_optimize_params *p, const char **head)
{
    qn_net_matrix m;
    for (size_t i = 0; qn_net_matrix_at(net, i, &m); i++) {
        if (m.head)
            *head = m.tensor;
        bool take = m.linear || (m.head && p->head);
        qn_map_put(map, m.tensor, strlen(m.tensor),
                   !take          ? STAYS
                   : m.transposed ? WANTED_TRANSPOSED
                                  : WANTED);
    }
}

static bool wanted_type(qn_dtype t)
{
    return t == QN_F32 || t == QN_F16 || t == QN_BF16;
}

/* transformers' compressed-tensors and fp8 know one kind of linear layer. */
static bool can_transpose(const qn_qscheme *s)
{
    return strcmp(s->method, "bitsandbytes") == 0 ||
           strcmp(s->method, "gptq") == 0;
}

static int lay_item(qn_opt_item *item, const qn_qmat *like, qn_err *err)
{
    const qn_tensor *t = item->t;
    if (item->transposed && !can_transpose(like->scheme))
        return qn_fail(err, QN_EUNSUP,
                       "tensor %s belongs to a Conv1D layer, which %s cannot "
                       "quantize; use bitsandbytes or --format gptq",
                       t->name, like->scheme->name);
    item->quantize = true;
    item->mat = *like;
    item->mat.name = t->name;
    item->mat.round = t->dtype;
    item->mat.n_out = t->shape[item->transposed];
    item->mat.n_in = t->shape[!item->transposed];
    int rc = qn_qmat_lay(&item->mat, err);
    return rc < 0 ? qn_err_prefix(err, rc,
                                  "tensor %s (leave it out with --skip, or "
                                  "choose other groups)",
                                  t->name)
                  : rc;
}

static void count(qn_opt_plan *plan, const qn_opt_item *item)
{
    qn_optimize_report *r = &plan->report;
    r->source_bytes += item->t->n_bytes;
    r->n_params += item->t->n_elems;
    if (!item->quantize) {
        r->output_bytes += item->t->n_bytes;
        return;
    }
    uint64_t n = 0;
    for (int i = 0; i < QN_QPARTS; i++)
        n += item->mat.part[i].name ? item->mat.part[i].n_bytes : 0;
    r->output_bytes += n;
    r->n_quantized += item->t->n_elems;
    r->bits_quantized += 8.0 * (double)n;
    r->n_matrices++;
}

static int plan_tensor(qn_opt_plan *plan, const qn_optimize_params *p,
                       const qn_qmat *like, const qn_tensor *t, uint64_t what,
                       qn_err *err)
{
    qn_opt_item item = {.t = t,
                        .transposed = what == WANTED_TRANSPOSED,
                        .stage = -1};
    int rc = QN_OK;
    if (what != STAYS && t->n_dims == 2 && wanted_type(t->dtype)) {
        bool skip = qn_rule_names(t->name, p->skip, p->n_skip) ||
                    (p->n_only && !qn_rule_names(t->name, p->only, p->n_only));
        if (skip)
            json_array_append_new(plan->left,
                                  json_stringn(t->name,
                                               qn_module_len(t->name)));
        else
            rc = lay_item(&item, like, err);
    }
    if (rc == QN_OK)
        qn_vec_push(&plan->items, item);
    return rc;
}

int qn_plan_make(qn_opt_plan *plan, const qn_optimize_params *p,
                 const qn_qmat *like, const qn_ckpt *ck, const qn_net *net,
                 qn_err *err)
{
    qn_map map;
    int rc = QN_OK;
    plan->left = json_array();
    qn_map_init(&map, qn_ckpt_n_tensors(ck));
    map_matrices(&map, net, p, &plan->head);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck) && rc == QN_OK; i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        uint64_t what = STAYS;
        qn_map_get(&map, t->name, strlen(t->name), &what);
        rc = plan_tensor(plan, p, like, t, what, err);
    }
    qn_map_deinit(&map);
    QN_TRY(rc);
    qn_plan_count(plan);
    if (!plan->report.n_matrices)
        return qn_fail(err, QN_EUNSUP, "%s: no tensor is left to be quantized",
                       qn_ckpt_path(ck));
    return QN_OK;
}

void qn_plan_count(qn_opt_plan *plan)
{
    qn_optimize_report *r = &plan->report;
    *r = (qn_optimize_report){.seconds = r->seconds};
    for (size_t i = 0; i < plan->items.n; i++)
        count(plan, &plan->items.v[i]);
    r->bits_quantized /= (double)QN_MAX(r->n_quantized, 1);
    r->bits_per_weight = 8.0 * (double)r->output_bytes /
                         (double)QN_MAX(r->n_params, 1);
}

void qn_plan_deinit(qn_opt_plan *plan)
{
    for (size_t i = 0; i < plan->items.n; i++) {
        qn_matrix_free(&plan->items.v[i]);
        qn_free(plan->items.v[i].col_mul);
        qn_free(plan->items.v[i].row_mul);
    }
    qn_vec_deinit(&plan->items);
    json_decref(plan->left);
    json_decref(plan->table);
}
