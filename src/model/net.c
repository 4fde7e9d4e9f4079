/* net.c - opening a network.
 *
 *   config -> hyper-parameters -> tensors found and checked -> memory plan
 *          -> weights allocated and read
 *
 * Each step can fail, and nothing is allocated for weights before the last. */
#include "base/mem.h"
#include "base/str.h"
#include "model/net_int.h"
#include "model/rec.h"
#include "model/rope.h"

#include <stdlib.h>
#include <string.h>

static int check_memory(const qn_net *net, const qn_ckpt *ck,
                        const qn_net_params *params, qn_err *err)
{
    uint64_t limit = params->memory_limit ? params->memory_limit
                                          : qn_mem_available();
    if (net->weight_bytes <= limit)
        return QN_OK;
    char need[32], have[32];
    return qn_fail(err, QN_ENOMEM,
                   "%s: the weights need %s, %s %s; %s or take a smaller or "
                   "quantized checkpoint",
                   qn_ckpt_path(ck),
                   qn_fmt_bytes(need, sizeof need, net->weight_bytes),
                   qn_fmt_bytes(have, sizeof have, limit),
                   params->memory_limit ? "are allowed" : "are available",
                   params->memory_limit ? "raise the limit"
                                        : "end other programs");
}

/* How many positions back a layer may look, itself included; 0: all. */
static int64_t layer_reach(const qn_layer_hp *l)
{
    return l->window > 0 ? l->window : l->chunk;
}

/* Layers that slide share one table of pages, the others another. */
void qn_net_group_layers(qn_net *net)
{
    const qn_hparams *hp = &net->hp;
    int n_slide = 0, n_attn = 0;
    for (int i = 0; i < hp->n_layer; i++) {
        n_slide += hp->layer[i].attn && layer_reach(&hp->layer[i]) > 0;
        n_attn += hp->layer[i].attn;
    }
    net->n_groups = n_slide > 0 && n_slide < n_attn ? 2 : n_attn > 0;
    net->group = qn_xcalloc((size_t)hp->n_layer, 1);
    net->state_at = qn_xcalloc((size_t)hp->n_layer, sizeof *net->state_at);
    for (int i = 0; i < hp->n_layer; i++) {
        net->state_at[i] = net->n_state;
        if (hp->layer[i].rec) /* whole cache lines */
            net->n_state += (qn_rec_state(&hp->rec) + 15) / 16 * 16;
        net->group[i] = -1;
        if (!hp->layer[i].attn)
            continue;
        int64_t reach = layer_reach(&hp->layer[i]);
        int g = net->n_groups > 1 && reach > 0;
        net->group[i] = (int8_t)g;
        net->window[g] = QN_MAX(net->window[g], reach);
    }
}

static int net_open(qn_net *net, const qn_ckpt *ck, const qn_net_params *params,
                    qn_err *err)
{
    const json_t *config = qn_ckpt_config(ck);
    if (!config)
        return qn_fail(err, QN_ENOENT,
                       "%s has no config.json; take the directory that the "
                       "model came in",
                       qn_ckpt_path(ck));
    int rc = qn_hparams_read(&net->hp, config, err);
    if (rc < 0)
        return qn_err_prefix(err, rc, "%s", qn_ckpt_path(ck));
    net->fam = qn_family_find(net->hp.family);
    net->container = qn_ckpt_container(ck);
    net->memory_limit = params->memory_limit;
    if (net->container == QN_CKPT_GGUF && net->fam->gguf_interleaved) {
        for (int i = 0; i < QN_ROPE_KINDS; i++)
            net->hp.rope[i].interleaved = true;
    }
    net->hp.rec.by_turns = net->container == QN_CKPT_GGUF &&
                           net->fam->gguf_by_turns;
    net->layer = qn_xcalloc((size_t)net->hp.n_layer, sizeof *net->layer);
    net->layer_scale = qn_xcalloc((size_t)net->hp.n_layer,
                                  sizeof *net->layer_scale);
    qn_net_group_layers(net);
    QN_TRY(qn_bind(net, ck, params, err));
    if (params->no_weights)
        return QN_OK;
    if (!params->by_layer)
        QN_TRY(check_memory(net, ck, params, err));
    return qn_load(net, ck, params, err);
}

int qn_net_open(qn_net **out, const qn_ckpt *ck, qn_backend *be,
                const qn_net_params *params, qn_err *err)
{
    static const qn_net_params none = {0};
    *out = NULL;
    qn_net *net = qn_xcalloc(1, sizeof *net);
    net->be = be;
    params = params ? params : &none;
    int rc = net_open(net, ck, params, err);
    for (size_t i = 0; i < net->slots.n && !params->by_layer; i++)
        net->slots.v[i].t = NULL; /* the checkpoint may be closed now */
    if (rc < 0) {
        qn_net_close(net);
        return rc;
    }
    *out = net;
    return QN_OK;
}

int qn_net_check(const qn_net *net, qn_err *err)
{
    if (net->embed)
        QN_TRY(qn_lookup_check(net->embed, err));
    return net->ple ? qn_lookup_check(net->ple, err) : QN_OK;
}

void qn_net_close(qn_net *net)
{
    if (!net)
        return;
    for (size_t i = 0; i < net->slots.n; i++) {
        if (net->slots.v[i].w)
            net->be->api->weight_free(net->be, net->slots.v[i].w);
        qn_free(net->slots.v[i].name);
    }
    if (net->pos_weight)
        net->be->api->weight_free(net->be, net->pos_weight);
    if (net->vectors)
        net->be->api->buf_free(net->be, net->vectors, net->vector_bytes,
                               QN_MEM_WEIGHTS);
    for (int e = 0; e < QN_ROLE_STACKS; e++)
        free(net->top.exp[e]);
    for (int i = 0; net->layer && i < net->hp.n_layer; i++) {
        for (int e = 0; e < QN_ROLE_STACKS; e++)
            free(net->layer[i].exp[e]);
    }
    free(net->layer);
    free(net->layer_scale);
    free(net->group);
    free(net->state_at);
    free(net->embedded);
    qn_lookup_close(net->embed);
    qn_lookup_close(net->ple);
    json_decref(net->ignored);
    qn_vec_deinit(&net->slots);
    qn_hparams_deinit(&net->hp);
    free(net);
}

const qn_hparams *qn_net_hparams(const qn_net *net)
{
    return &net->hp;
}

qn_backend *qn_net_backend(const qn_net *net)
{
    return net->be;
}

bool qn_net_has_kv(const qn_net *net, int layer)
{
    return net->group[layer] >= 0 && net->hp.layer[layer].kv_from == layer;
}

bool qn_net_is_chain(const qn_net *net)
{
    const qn_hparams *hp = &net->hp;
    for (int i = 0; i < hp->n_layer; i++)
        if (hp->layer[i].attn && hp->layer[i].kv_from != i)
            return false;
    return hp->d_ple == 0 && hp->n_alt == 0;
}

int qn_net_n_kv_groups(const qn_net *net)
{
    return net->n_groups;
}

uint64_t qn_net_state_bytes(const qn_net *net)
{
    return (uint64_t)net->n_state * sizeof(float);
}

int64_t qn_net_kv_window(const qn_net *net, int group)
{
    return net->window[group];
}

int64_t qn_net_kv_valid_until(const qn_net *net)
{
    for (int i = 0; i < net->hp.n_rope; i++) {
        if (net->hp.rope[i].scaling == QN_ROPE_LONGROPE)
            return net->hp.rope[i].orig_ctx;
    }
    return 0;
}

bool qn_net_keys_final(const qn_net *net)
{
    for (int i = 0; i < net->hp.n_rope; i++)
        if (qn_rope_by_length(&net->hp.rope[i]))
            return false;
    return true;
}

bool qn_net_is_relative(const qn_net *net)
{
    const qn_hparams *hp = &net->hp;
    for (int i = 0; i < hp->n_layer; i++) {
        const qn_layer_hp *l = &hp->layer[i];
        if (l->window > 0 || l->chunk > 0 || l->q_scaled)
            return false;
    }
    return qn_net_keys_final(net) && net->n_state == 0 &&
           qn_net_max_positions(net) == INT64_MAX;
}

int64_t qn_net_max_positions(const qn_net *net)
{
    bool table = net->hp.pos == QN_POS_LEARNED || net->hp.pos == QN_POS_SINUS;
    return table ? net->hp.n_ctx_train : INT64_MAX;
}

bool qn_net_matrix_at(const qn_net *net, size_t i, qn_net_matrix *out)
{
    for (size_t k = 0; k < net->slots.n; k++) {
        const qn_slot *s = &net->slots.v[k];
        if (s->kind == QN_VECTOR || i-- > 0)
            continue;
        bool other = s->role == QN_R_EMBED || s->role == QN_R_POS_EMBED ||
                     s->role == QN_R_HEAD || s->role == QN_R_ROUTER ||
                     s->role == QN_R_SHARED_ROUTER;
        *out = (qn_net_matrix){.tensor = s->name,
                               .role = qn_role_name(s->role),
                               .role_id = (int)s->role,
                               .layer = s->layer,
                               .expert = s->expert,
                               .linear = !other,
                               .head = s->role == QN_R_HEAD,
                               .w = s->w,
                               .transposed = s->transposed && !s->turned};
        return true;
    }
    return false;
}

const char *qn_net_tensor(const qn_net *net, int role, int layer, bool bias,
                          bool *whole)
{
    const char *name = NULL;
    int sharing = 0;
    for (size_t i = 0; i < net->slots.n && !name; i++) {
        const qn_slot *s = &net->slots.v[i];
        if ((int)s->role == role && s->layer == layer && s->bias == bias)
            name = s->name;
    }
    for (size_t i = 0; name && whole && i < net->slots.n; i++)
        sharing += strcmp(net->slots.v[i].name, name) == 0;
    if (whole)
        *whole = sharing == 1;
    return name;
}

bool qn_net_is_tied(const qn_net *net)
{
    return net->hp.tied;
}

/* Heads lie beside what the library calls "model": lm_head beside
 * model.embed_tokens, language_model.lm_head beside
 * language_model.model.embed_tokens. */
char *qn_net_head_name(const qn_net *net)
{
    static const char inner[] = "model.";
    const char *embed = qn_net_tensor(net, QN_R_EMBED, -1, false, NULL);
    const qn_name *row = qn_names_row(net->fam->names, QN_R_HEAD, 0);
    const char *at = embed;
    qn_str s;
    qn_str_init(&s);
    while (at && !qn_starts(at, inner)) {
        at = strchr(at, '.');
        at = at ? at + 1 : NULL;
    }
    if (at)
        qn_str_add(&s, embed, (size_t)(at - embed));
    qn_str_addf(&s, "%s.weight", row ? row->name : "lm_head");
    return qn_str_take(&s, NULL);
}
