/* rules.c - what becomes of each tensor. */
#include "quantize/optimize_int.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/names.h"
#include "tensor/qscheme.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
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

/* ---- notes --------------------------------------------------------------- */

void qn_note_add(json_t *notes, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(notes, json_string(text));
}

/* The pattern of PATTERN=TYPE; *value: its type, NULL without an =. */
static char *rule_pattern(const char *rule, const char **value)
{
    const char *equals = strrchr(rule, '=');
    *value = equals ? equals + 1 : NULL;
    return qn_xstrndup(rule, equals ? (size_t)(equals - rule) : strlen(rule));
}

static void note_pattern(json_t *notes, const char *option, const char *pattern,
                         const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (qn_rule_names(names[i], &pattern, 1))
            return;
    qn_note_add(notes, "%s %s: no module has such a name", option, pattern);
}

void qn_note_unused(json_t *notes, const qn_optimize_params *p,
                    const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < p->n_skip; i++)
        note_pattern(notes, "--skip", p->skip[i], names, n_names);
    for (size_t i = 0; i < p->n_only; i++)
        note_pattern(notes, "--only", p->only[i], names, n_names);
    for (size_t i = 0; i < p->n_rules; i++) {
        const char *value;
        char *pattern = rule_pattern(p->rules[i], &value);
        note_pattern(notes, "--rule", pattern, names, n_names);
        qn_free(pattern);
    }
}

/* ---- what becomes of each tensor ----------------------------------------- */

enum {
    LEAST_GROUP = 32, /* of the usual sizes */
    MUCH = 4          /* part of all bytes  */
};
#define NARROW_PART 0.02 /* of the weights, that may stay as they are */

enum {
    STAYS,
    WANTED,
    WANTED_TRANSPOSED,
    STACKED /* a mixture's experts, several in one tensor */
};

static bool is_expert(const qn_net_matrix *m)
{
    return m->role_id >= QN_R_EXP_GATE && m->role_id <= QN_R_EXP_O;
}

/* tensor -> what the network does with it */
static void map_matrices(qn_map *map, const qn_net *net,
                         const qn_optimize_params *p, const char **head)
{
    qn_net_matrix m;
    qn_map first; /* expert of each tensor */
    qn_map_init(&first, 0);
    for (size_t i = 0; qn_net_matrix_at(net, i, &m); i++) {
        size_t n = strlen(m.tensor);
        uint64_t expert = (uint64_t)m.expert;
        if (m.head)
            *head = m.tensor;
        if (!qn_map_add(&first, m.tensor, n, expert))
            qn_map_get(&first, m.tensor, n, &expert);
        bool take = m.linear || (m.head && p->head);
        bool stacked = is_expert(&m) && expert != (uint64_t)m.expert;
        qn_map_put(map, m.tensor, n,
                   !take          ? STAYS
                   : stacked      ? STACKED
                   : m.transposed ? WANTED_TRANSPOSED
                                  : WANTED);
    }
    qn_map_deinit(&first);
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

int qn_rule_find(const qn_optimize_params *p, const char *const *names,
                 size_t n_names, const char **value, qn_err *err)
{
    *value = NULL;
    for (size_t i = 0; i < p->n_rules && !*value; i++) {
        const char *its;
        char *pattern = rule_pattern(p->rules[i], &its);
        const char *one = pattern;
        for (size_t k = 0; its && k < n_names; k++)
            if (qn_rule_names(names[k], &one, 1))
                *value = its;
        qn_free(pattern);
        if (!its)
            return qn_fail(err, QN_EINVAL,
                           "rule \"%s\" is not of the form PATTERN=TYPE",
                           p->rules[i]);
    }
    return QN_OK;
}

/* Bits of a matrix that a rule names. */
static int rule_bits(const qn_optimize_params *p, const char *name, int *bits,
                     qn_err *err)
{
    const char *value;
    QN_TRY(qn_rule_find(p, &name, 1, &value, err));
    if (!value)
        return QN_OK;
    if (strlen(value) != 1 || !strchr("234568", value[0]))
        return qn_fail(err, QN_EINVAL,
                       "--rule: integers have 2, 3, 4, 5, 6 or 8 bits, not "
                       "\"%s\"; types with names are a matter of "
                       "--quantization_method gguf",
                       value);
    *bits = value[0] - '0';
    return QN_OK;
}

static int lay_item(qn_opt_item *item, const qn_optimize_params *p,
                    const qn_qmat *like, qn_err *err)
{
    const qn_tensor *t = item->t;
    item->mat = *like;
    QN_TRY(rule_bits(p, item->name, &item->mat.bits, err));
    item->mat.name = item->name;
    item->mat.round = t->dtype;
    item->mat.n_out = t->shape[item->transposed];
    item->mat.n_in = t->shape[!item->transposed];
    int rc = qn_qmat_lay(&item->mat, err);
    bool strict = like->scheme == &qn_gptq_scheme ||
                  like->scheme == &qn_awq_scheme;
    return rc < 0 ? qn_err_prefix(err, rc,
                                  "tensor %s (leave it out with --skip, or "
                                  "choose another %s)",
                                  item->name,
                                  strict ? "--group-size or --format "
                                           "compressed-tensors"
                                         : "--group-size")
                  : rc;
}

static void count(qn_opt_plan *plan, const qn_opt_item *item)
{
    qn_optimize_report *r = &plan->report;
    if (!item->apart) {
        r->source_bytes += item->t->n_bytes;
        r->n_params += item->t->n_elems;
    }
    if (!item->quantize) {
        r->output_bytes += item->t->n_bytes;
        return;
    }
    uint64_t n = qn_qmat_bytes(&item->mat);
    r->output_bytes += n;
    r->n_quantized += item->t->n_elems;
    r->bits_quantized += 8.0 * (double)n;
    r->n_matrices++;
}

/* The format has no matrix of that kind. */
static int check_kind(const qn_tensor *t, const qn_qmat *like, uint64_t what,
                      qn_err *err)
{
    size_t n = qn_module_len(t->name), from = n;
    bool apart = strstr(t->name, ".experts.") != NULL;
    while (from > 0 && t->name[from - 1] != '.')
        from--;
    if (what == STACKED)
        return qn_fail(err, QN_EUNSUP,
                       "tensor %s holds several experts, and %s has no form "
                       "for more than a matrix; leave such tensors as they "
                       "are with --skip %.*s",
                       t->name, like->scheme->name,
                       apart ? 13 : (int)(n - from),
                       apart ? "'*.experts.*'" : t->name + from);
    if (what == WANTED_TRANSPOSED && !can_transpose(like->scheme))
        return qn_fail(err, QN_EUNSUP,
                       "tensor %s belongs to a Conv1D layer, which %s cannot "
                       "quantize; use --method bitsandbytes, gptq or gguf",
                       t->name, like->scheme->name);
    return QN_OK;
}

static json_t *module_name(const qn_opt_item *item)
{
    return json_stringn(item->name, qn_module_len(item->name));
}

/* name: in the output. */
static int plan_tensor(qn_opt_plan *plan, const qn_optimize_params *p,
                       const qn_qmat *like, const qn_tensor *t,
                       const char *name, uint64_t what, qn_err *err)
{
    qn_opt_item item = {.t = t,
                        .name = name,
                        .transposed = what == WANTED_TRANSPOSED,
                        .apart = name != t->name,
                        .stage = -1};
    bool can = what != STAYS && wanted_type(t->dtype) &&
               (what == STACKED || t->n_dims == 2);
    bool skip = qn_rule_names(name, p->skip, p->n_skip) ||
                (p->n_only && !qn_rule_names(name, p->only, p->n_only));
    if (item.apart && (!can || skip)) /* they stay one */
        return QN_OK;
    if (can && skip)
        json_array_append_new(plan->left, module_name(&item));
    if (can && !skip)
        QN_TRY(check_kind(t, like, what, err));
    item.quantize = can && !skip;
    qn_vec_push(&plan->items, item);
    return QN_OK;
}

static bool is_grouped(const qn_qmat *like)
{
    const qn_qscheme *s = like->scheme;
    return s == &qn_ct_pack_scheme || s == &qn_gptq_scheme ||
           s == &qn_awq_scheme;
}

/* A few small matrices whose rows groups do not fill (of a recurrence's steps,
 * of AltUp) do not decide for all others: they stay as they are. */
static void leave_narrow(qn_opt_plan *plan, const qn_optimize_params *p,
                         const qn_qmat *like)
{
    int64_t group = p->group ? p->group : LEAST_GROUP;
    double all = 0, narrow = 0;
    const char *first = NULL;
    int n = 0;
    if (!is_grouped(like) || group < 0)
        return;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < plan->items.n; i++) {
            qn_opt_item *it = &plan->items.v[i];
            bool fits = it->t->shape[!it->transposed] % group == 0;
            if (!it->quantize)
                continue;
            if (pass == 0)
                all += (double)it->t->n_elems;
            if (pass == 0 && !fits)
                narrow += (double)it->t->n_elems;
            if (pass == 0 || fits)
                continue;
            it->quantize = false;
            first = first ? first : it->name;
            n++;
            json_array_append_new(plan->left, module_name(it));
        }
        if (narrow == 0 || narrow > NARROW_PART * all)
            return;
    }
    qn_note_add(plan->notes,
                "%d small matrices stay as they are: groups of %lld do not "
                "fill their rows (%.*s and the like)",
                n, (long long)group, (int)qn_module_len(first), first);
}

/* Groups of this size fill all rows. */
static bool group_fits(const qn_opt_plan *plan, int64_t group)
{
    for (size_t i = 0; i < plan->items.n; i++) {
        const qn_opt_item *it = &plan->items.v[i];
        if (it->quantize && it->t->shape[!it->transposed] % group != 0)
            return false;
    }
    return true;
}

/* Integers in groups: where nobody said a size, the usual one or the next
 * smaller that fills the rows of all matrices (of one layout all have the
 * same), else a scale for each row. */
static void fit_group(qn_opt_plan *plan, const qn_optimize_params *p,
                      qn_qmat *like)
{
    static const int64_t smaller[] = {64, LEAST_GROUP};
    if (p->group || !is_grouped(like) || group_fits(plan, like->group))
        return;
    like->group = -1;
    for (size_t i = 0; i < QN_COUNTOF(smaller) && like->group < 0; i++)
        if (group_fits(plan, smaller[i]))
            like->group = smaller[i];
    plan->group = like->group;
}

/* What rules made of each, for the configuration. */
static void tell_bits(qn_opt_plan *plan)
{
    plan->table = json_array();
    for (size_t i = 0; i < plan->items.n; i++) {
        const qn_opt_item *it = &plan->items.v[i];
        if (it->quantize)
            json_array_append_new(plan->table, json_pack("{s:o, s:i}", "module",
                                                         module_name(it),
                                                         "bits", it->mat.bits));
    }
}

static void note_unused(const qn_opt_plan *plan, const qn_optimize_params *p)
{
    size_t n = plan->items.n;
    const char **names = qn_xcalloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = plan->items.v[i].name;
    qn_note_unused(plan->notes, p, names, n);
    free(names);
}

/* What the source has of the head: the embeddings, where they are it. */
static const qn_tensor *head_tensor(const qn_ckpt *ck, const qn_net *net)
{
    qn_role role = qn_net_is_tied(net) ? QN_R_EMBED : QN_R_HEAD;
    const char *name = qn_net_tensor(net, role, -1, false, NULL);
    return name ? qn_ckpt_find(ck, name) : NULL;
}

/* A head that is the embeddings, in the source, becomes a tensor of its own, last;
 * or the one that lies there a second time is it. */
static int plan_head(qn_opt_plan *plan, const qn_optimize_params *p,
                     const qn_qmat *like, const qn_ckpt *ck, const qn_net *net,
                     qn_err *err)
{
    const qn_tensor *t = head_tensor(ck, net);
    return t ? plan_tensor(plan, p, like, t, plan->apart, WANTED, err) : QN_OK;
}

static int plan_tensors(qn_opt_plan *plan, const qn_optimize_params *p,
                        const qn_qmat *like, const qn_ckpt *ck,
                        const qn_net *net, qn_err *err)
{
    qn_map map;
    int rc = QN_OK;
    bool spare = false;
    qn_map_init(&map, qn_ckpt_n_tensors(ck));
    map_matrices(&map, net, p, &plan->head);
    if (p->head && qn_net_is_tied(net)) {
        plan->apart = qn_net_head_name(net);
        spare = qn_ckpt_find(ck, plan->apart) != NULL;
    }
    if (spare)
        qn_map_put(&map, plan->apart, strlen(plan->apart), WANTED);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck) && rc == QN_OK; i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        uint64_t what = STAYS;
        qn_map_get(&map, t->name, strlen(t->name), &what);
        rc = plan_tensor(plan, p, like, t, t->name, what, err);
    }
    qn_map_deinit(&map);
    return rc == QN_OK && plan->apart && !spare
               ? plan_head(plan, p, like, ck, net, err)
               : rc;
}

/* Every token that is generated reads the whole head. */
static void note_head(const qn_opt_plan *plan, const qn_optimize_params *p,
                      const qn_ckpt *ck, const qn_net *net)
{
    const qn_tensor *t = head_tensor(ck, net);
    char size[32];
    if (p->head || !t || t->n_bytes < plan->report.output_bytes / MUCH)
        return;
    qn_note_add(plan->notes,
                "the output head stays as it is, %s that each token reads; "
                "--quantize-head makes it small, too",
                qn_fmt_bytes(size, sizeof size, t->n_bytes));
}

int qn_plan_make(qn_opt_plan *plan, const qn_optimize_params *p, qn_qmat *like,
                 const qn_ckpt *ck, const qn_net *net, qn_err *err)
{
    plan->left = json_array();
    int rc = plan_tensors(plan, p, like, ck, net, err);
    note_unused(plan, p);
    if (rc == QN_OK)
        leave_narrow(plan, p, like);
    fit_group(plan, p, like);
    for (size_t i = 0; i < plan->items.n && rc == QN_OK; i++)
        if (plan->items.v[i].quantize)
            rc = lay_item(&plan->items.v[i], p, like, err);
    QN_TRY(rc);
    if (p->n_rules)
        tell_bits(plan);
    qn_plan_count(plan);
    note_head(plan, p, ck, net);
    if (!plan->report.n_matrices)
        return qn_fail(err, QN_EUNSUP,
                       "%s: no tensor is left to be quantized; --skip and "
                       "--only take names of modules such as k_proj or "
                       "'model.layers.0.*'",
                       p->model);
    return QN_OK;
}

bool qn_plan_unties(const qn_opt_plan *plan, const qn_opt_item *item)
{
    return plan->apart && strcmp(item->name, plan->apart) == 0;
}

void qn_plan_count(qn_opt_plan *plan)
{
    qn_optimize_report *r = &plan->report;
    *r = (qn_optimize_report){.seconds = r->seconds, .group = plan->group};
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
    qn_free(plan->apart);
    json_decref(plan->left);
    json_decref(plan->table);
}
