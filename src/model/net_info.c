/* net_info.c - a network told as JSON, for listings. */
#include "base/compiler.h"
#include "base/mem.h"
#include "model/net_int.h"

#include <math.h>
#include <string.h>

static const char *const place_names[] = {"pre", "post", "sandwich",
                                          "post_branch", "stream"};
static const char *const pos_names[] = {"none", "rope", "learned", "sinusoidal",
                                        "alibi"};
static const char *const scaling_names[] = {"none",        "linear", "dynamic",
                                            "llama3",      "yarn",   "longrope",
                                            "proportional"};

static const char *const rec_names[] = {"none", "convolution", "mamba",
                                        "mamba2", "delta"};

static void put_int(json_t *o, const char *key, int64_t v)
{
    json_object_set_new(o, key, json_integer(v));
}

/* A float as the decimal that it was meant to be. */
static void put_real(json_t *o, const char *key, double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", v);
    json_object_set_new(o, key, json_real(strtod(text, NULL)));
}

static void put_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

uint64_t qn_net_largest_layer(const qn_net *net)
{
    uint64_t *n = qn_xcalloc((size_t)net->hp.n_layer, sizeof *n), most = 0;
    for (size_t i = 0; i < net->slots.n; i++) {
        const qn_slot *s = &net->slots.v[i];
        if (s->layer < 0)
            continue;
        n[s->layer] += (uint64_t)s->n_out * (uint64_t)s->n_in;
        most = QN_MAX(most, n[s->layer]);
    }
    free(n);
    return most;
}

static json_t *info_hparams(const qn_hparams *hp)
{
    json_t *o = json_object();
    put_int(o, "n_layer", hp->n_layer);
    put_int(o, "d_model", hp->d_model);
    put_int(o, "n_head", hp->n_head);
    put_int(o, "n_kv", hp->n_kv);
    put_int(o, "d_head", hp->d_head);
    put_int(o, "d_ff", hp->d_ff);
    put_int(o, "n_vocab", hp->n_vocab);
    put_int(o, "n_ctx_train", hp->n_ctx_train);
    if (hp->d_embed != hp->d_model)
        put_int(o, "d_embed", hp->d_embed);
    if (hp->n_exp) {
        put_int(o, "n_exp", hp->n_exp);
        put_int(o, "n_exp_used", hp->n_exp_used);
        put_int(o, "d_ff_exp", hp->d_ff_exp);
    }
    put_str(o, "norm", hp->rms ? "rms" : "layer");
    put_str(o, "norm_place", place_names[hp->norm_place]);
    put_real(o, "norm_eps", (double)hp->norm_eps);
    put_str(o, "positions", pos_names[hp->pos]);
    json_object_set_new(o, "tied", json_boolean(hp->tied));
    json_object_set_new(o, "parallel", json_boolean(hp->parallel));
    for (int i = 0; i < hp->n_rope; i++) {
        const qn_rope_hp *r = &hp->rope[i];
        json_t *j = json_object();
        put_real(j, "theta", r->theta);
        put_int(j, "rotated", 2 * (int64_t)r->n_freq);
        put_str(j, "scaling", scaling_names[r->scaling]);
        if (r->scaling != QN_ROPE_PLAIN)
            put_real(j, "factor", r->factor);
        json_object_set_new(o, i == 0 ? "rope" : "rope_sliding", j);
    }
    return o;
}

/* Layers of one kind after each other are one entry. */
static json_t *info_layers(const qn_hparams *hp)
{
    json_t *a = json_array();
    for (int i = 0, n; i < hp->n_layer; i += n) {
        const qn_layer_hp *l = &hp->layer[i];
        for (n = 1; i + n < hp->n_layer; n++) {
            const qn_layer_hp *m = &hp->layer[i + n];
            if (m->window != l->window || m->chunk != l->chunk ||
                m->moe != l->moe || m->rope != l->rope || m->attn != l->attn ||
                m->rec != l->rec || m->ff != l->ff)
                break;
        }
        json_t *o = json_object();
        put_int(o, "first", i);
        put_int(o, "count", n);
        put_str(o, "attention",
                !l->attn    ? "none"
                : l->window ? "sliding"
                : l->chunk  ? "chunked"
                            : "full");
        if (l->window)
            put_int(o, "window", l->window);
        if (l->rec)
            put_str(o, "recurrence", rec_names[hp->rec.kind]);
        put_str(o, "feed_forward",
                !l->ff   ? "none"
                : l->moe ? "experts"
                         : "dense");
        json_array_append_new(a, o);
    }
    return a;
}

/* Adds to the entry `key` of o: one more tensor of n bytes. */
static void count(json_t *o, const char *key, uint64_t elems, uint64_t bytes)
{
    json_t *e = json_object_get(o, key);
    if (!e) {
        e = json_object();
        json_object_set_new(o, key, e);
    }
    put_int(e, "tensors",
            json_integer_value(json_object_get(e, "tensors")) + 1);
    put_int(e, "parameters",
            json_integer_value(json_object_get(e, "parameters")) +
                (json_int_t)elems);
    put_int(e, "bytes",
            json_integer_value(json_object_get(e, "bytes")) +
                (json_int_t)bytes);
}

static void info_weights(const qn_net *net, json_t *into)
{
    json_t *types = json_object(), *roles = json_object();
    uint64_t in_file = 0;
    for (size_t i = 0; i < net->slots.n; i++) {
        const qn_slot *s = &net->slots.v[i];
        uint64_t elems = (uint64_t)s->n_out * (uint64_t)s->n_in;
        uint64_t bytes = s->stored_bytes;
        count(types, s->format, elems, bytes);
        if (s->kind != QN_VECTOR && !s->coded && !s->looked_up &&
            s->dtype != s->stored)
            put_str(json_object_get(types, s->format), "decoded_to",
                    qn_dtype_get(s->dtype)->name);
        in_file += s->looked_up ? bytes : 0;
        count(roles, s->bias ? "biases" : qn_role_name(s->role), elems, bytes);
    }
    if (in_file)
        put_int(into, "lookup_bytes", (int64_t)in_file);
    json_object_set_new(into, "types", types);
    json_object_set_new(into, "roles", roles);
}

int qn_net_info(const qn_net *net, json_t *into, qn_err *err)
{
    if (!json_is_object(into))
        return qn_fail(err, QN_EINVAL, "qn_net_info wants a JSON object");
    put_str(into, "family", net->hp.family);
    put_str(into, "architecture", net->hp.arch);
    if (net->hp.outer[0])
        put_str(into, "text_of", net->hp.outer);
    put_int(into, "parameters", (int64_t)net->n_params);
    put_int(into, "weight_bytes", (int64_t)net->weight_bytes);
    json_object_set_new(into, "hparams", info_hparams(&net->hp));
    json_object_set_new(into, "layers", info_layers(&net->hp));
    info_weights(net, into);
    json_object_set(into, "ignored_tensors", net->ignored);
    return QN_OK;
}
