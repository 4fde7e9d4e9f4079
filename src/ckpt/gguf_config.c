/* gguf_config.c: the config.json that a GGUF file's model would have.
 *
 * So that src/model has one reader, the metadata is turned into the keys that
 * transformers 4 writes. Order: what the architecture implies, then what the
 * file says by the tables of gguf_arch.c, then what takes a computation.
 *
 * Nothing that might change the mathematics is dropped: a key of the
 * architecture that no table knows goes into the config under its own name
 * ("llama.attention.scale"), where the model layer refuses what it does not
 * understand. An architecture without a row is mapped by the common keys, with
 * its own name as model_type, to be refused there by name as well.
 */
#include "ckpt/gguf_config_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ARCH_MAX 64
#define KEY_MAX 256
/* Per-layer arrays and the like; a vocabulary is no part of a config. */
#define CONFIG_ARRAY_MAX 4096

/* ---- keys of the architecture ------------------------------------------ */

const qn_gguf_kv *qn_gguf_arch_kv(const qn_ckpt *ck, const char *key)
{
    char full[KEY_MAX];
    qn_view arch;

    if (!qn_ckpt_gguf_str(ck, "general.architecture", &arch))
        return NULL;
    snprintf(full, sizeof full, "%.*s.%s", (int)arch.n, arch.p, key);
    return qn_ckpt_gguf_kv(ck, full);
}

bool qn_gguf_arch_u64(const qn_ckpt *ck, const char *key, uint64_t *out)
{
    const qn_gguf_kv *kv = qn_gguf_arch_kv(ck, key);

    return kv && qn_gguf_as_u64(kv, out);
}

bool qn_gguf_arch_f64(const qn_ckpt *ck, const char *key, double *out)
{
    const qn_gguf_kv *kv = qn_gguf_arch_kv(ck, key);

    return kv && qn_gguf_as_f64(kv, out);
}

bool qn_gguf_arch_layers(const qn_ckpt *ck, uint64_t *out)
{
    uint64_t more = 0;

    if (!qn_gguf_arch_u64(ck, "block_count", out))
        return false;
    qn_gguf_arch_u64(ck, "nextn_predict_layers", &more);
    if (more < *out)
        *out -= more;
    return true;
}

/* ---- values to JSON ---------------------------------------------------- */

json_t *qn_gguf_json_f32(double f32)
{
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f32);
        if (strtof(text, NULL) == (float)f32)
            return json_real(strtod(text, NULL));
    }
    return json_real(f32); /* NULL for infinities and NaN */
}

static json_t *json_u64(uint64_t v)
{
    return v <= INT64_MAX ? json_integer((json_int_t)v) : json_real((double)v);
}

static json_t *scalar_json(const qn_gguf_kv *kv)
{
    switch (kv->type) {
    case QN_GGUF_F32: return qn_gguf_json_f32(kv->v.f);
    case QN_GGUF_F64: return json_real(kv->v.f);
    case QN_GGUF_BOOL: return json_boolean(kv->v.u);
    case QN_GGUF_STR: return json_stringn(kv->v.str.p, kv->v.str.n);
    case QN_GGUF_I8:
    case QN_GGUF_I16:
    case QN_GGUF_I32:
    case QN_GGUF_I64: return json_integer(kv->v.i);
    default: return json_u64(kv->v.u);
    }
}

/* Per-layer values; one value for all layers is said once. */
static json_t *array_json(const qn_gguf_kv *kv)
{
    json_t *a = json_array(), *first;
    bool same = kv->n > 0;

    for (uint64_t i = 0; i < kv->n; i++) {
        qn_gguf_kv e;
        json_t *v = NULL;
        if (qn_gguf_elem(kv, i, &e))
            v = scalar_json(&e);
        if (!v || json_array_append_new(a, v) < 0) {
            json_decref(a);
            return NULL;
        }
        same = same && json_equal(v, json_array_get(a, 0));
    }
    if (!same)
        return a;
    first = json_incref(json_array_get(a, 0));
    json_decref(a);
    return first;
}

static int put_kv(const qn_ckpt *ck, json_t *config, const char *name,
                  const qn_gguf_kv *kv, qn_err *err)
{
    json_t *v = NULL;

    if (kv->type != QN_GGUF_ARR)
        v = scalar_json(kv);
    else if (kv->n <= CONFIG_ARRAY_MAX)
        v = array_json(kv);
    if (v && json_object_set_new(config, name, v) == 0)
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s: key %.*s has a value that no configuration can have",
                   ck->path, (int)kv->key.n, kv->key.p);
}

/* ---- the tables -------------------------------------------------------- */

static const qn_gguf_key_row *find_key(const qn_gguf_key_row *rows, size_t max,
                                       const char *key)
{
    for (size_t i = 0; i < max && rows[i].gguf; i++)
        if (strcmp(rows[i].gguf, key) == 0)
            return &rows[i];
    return NULL;
}

static bool is_zero(const qn_gguf_kv *kv)
{
    double v;

    return qn_gguf_as_f64(kv, &v) && v == 0;
}

static int map_keys(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                    qn_view arch, json_t *config, qn_err *err)
{
    for (size_t i = 0; i < ck->n_kv; i++) {
        const qn_gguf_kv *kv = &ck->kv[i];
        const qn_gguf_key_row *k = NULL;
        char full[KEY_MAX];
        const char *key = full + arch.n + 1;

        if (kv->key.n <= arch.n + 1 || kv->key.n >= sizeof full ||
            memcmp(kv->key.p, arch.p, arch.n) != 0 || kv->key.p[arch.n] != '.')
            continue;
        memcpy(full, kv->key.p, kv->key.n);
        full[kv->key.n] = '\0';
        if (row)
            k = find_key(row->keys, QN_COUNTOF(row->keys), key);
        if (!k)
            k = find_key(qn_gguf_common_keys, SIZE_MAX, key);
        if ((kv->type == QN_GGUF_F32 || kv->type == QN_GGUF_F64) &&
            !isfinite(kv->v.f))
            return qn_fail(err, QN_EFORMAT, "%s: %s is no finite number",
                           ck->path, full);
        if (k && (!k->hf || (k->drop_zero && is_zero(kv))))
            continue;
        QN_TRY(put_kv(ck, config, k ? k->hf : full, kv, err));
    }
    return 0;
}

static void map_implied(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                        qn_view arch, json_t *config)
{
    if (!row) {
        json_object_set_new(config, "model_type", json_stringn(arch.p, arch.n));
        return;
    }
    json_object_set_new(config, "model_type", json_string(row->model_type));
    json_object_set_new(config, "architectures",
                        json_pack("[s]", row->class_name));
    json_object_update_new(config, json_loads(row->fixed, 0, NULL));
    for (size_t i = 0; i < QN_COUNTOF(row->tensors); i++) {
        const qn_gguf_tensor_row *t = &row->tensors[i];
        bool there = t->tensor && qn_ckpt_find(ck, t->tensor);
        if (t->tensor && (there || !json_object_get(config, t->hf)))
            json_object_set_new(config, t->hf,
                                json_boolean(there == t->value_if_there));
    }
}

/* ---- what takes a computation ------------------------------------------ */

/* The first of a per-layer array too: as llama.cpp does where it must. */
static bool first_u64(const qn_ckpt *ck, const char *key, uint64_t *out)
{
    const qn_gguf_kv *kv = qn_gguf_arch_kv(ck, key);
    qn_gguf_kv e;

    if (!kv)
        return false;
    if (kv->type == QN_GGUF_ARR)
        return qn_gguf_elem(kv, 0, &e) && qn_gguf_as_u64(&e, out);
    return qn_gguf_as_u64(kv, out);
}

/* The factor f with (int)(f * d_head) == n_rot, in floating point too. */
static double rotary_factor(uint64_t n_rot, uint64_t d_head)
{
    double f = (double)n_rot / (double)d_head;

    while (n_rot <= d_head && (uint64_t)(f * (double)d_head) < n_rot)
        f = nextafter(f, HUGE_VAL);
    return f;
}

/* Heads of latent attention: in newer files the usual keys are about what is
 * cached. */
static void map_latent(const qn_ckpt *ck, json_t *config)
{
    uint64_t d_rope, d_head, d_v;

    if (!qn_gguf_arch_u64(ck, "rope.dimension_count", &d_rope) ||
        !(qn_gguf_arch_u64(ck, "attention.key_length_mla", &d_head) ||
          qn_gguf_arch_u64(ck, "attention.key_length", &d_head)) ||
        !(qn_gguf_arch_u64(ck, "attention.value_length_mla", &d_v) ||
          qn_gguf_arch_u64(ck, "attention.value_length", &d_v)) ||
        d_head <= d_rope)
        return;
    json_object_set_new(config, "qk_rope_head_dim", json_u64(d_rope));
    json_object_set_new(config, "qk_nope_head_dim", json_u64(d_head - d_rope));
    json_object_set_new(config, "v_head_dim", json_u64(d_v));
}

static void map_heads(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                      json_t *config)
{
    uint64_t n_embd, n_head, d_head, d_v, n_rot, n_layer = 0;

    if (row && (row->latent || row->wide_full)) {
        if (row->latent)
            map_latent(ck, config);
        if (qn_gguf_arch_u64(ck, "attention.key_length_swa", &d_head))
            json_object_set_new(config, "head_dim", json_u64(d_head));
        if (row->wide_full &&
            qn_gguf_arch_u64(ck, "attention.key_length", &d_v))
            json_object_set_new(config, "global_head_dim", json_u64(d_v));
        return;
    }
    if (!first_u64(ck, "embedding_length", &n_embd) ||
        !first_u64(ck, "attention.head_count", &n_head) || !n_head)
        return;
    if (!first_u64(ck, "attention.key_length", &d_head))
        d_head = n_embd / n_head;
    if (!d_head || d_head > INT32_MAX)
        return;
    if ((row && row->say_head_dim) || d_head != n_embd / n_head)
        json_object_set_new(config, "head_dim", json_u64(d_head));
    if (!first_u64(ck, "attention.value_length", &d_v))
        d_v = n_embd / n_head;
    if (d_v != d_head)
        json_object_set_new(config, "v_head_dim", json_u64(d_v));
    if (!first_u64(ck, "rope.dimension_count", &n_rot))
        n_rot = d_head;
    if (row && row->rotary)
        json_object_set_new(config, row->rotary,
                            json_real(rotary_factor(n_rot, d_head)));
    else if (n_rot != d_head)
        json_object_set_new(config, "partial_rotary_factor",
                            json_real(rotary_factor(n_rot, d_head)));
    if (row && row->has_qpas) {
        qn_gguf_arch_layers(ck, &n_layer);
        json_object_set_new(config, "query_pre_attn_scalar",
                            json_u64(n_layer == (uint64_t)row->odd_layers
                                         ? n_embd / n_head
                                         : d_head));
    }
}

/* Sizes that only tensors tell. */
static void map_sizes(const qn_ckpt *ck, json_t *config)
{
    static const struct {
        const char *tensor, *hf;
    } rows[] = {
        {"blk.0.laurel_l.weight", "laurel_rank"},
        {"per_layer_token_embd.weight", "vocab_size_per_layer_input"},
    };
    uint64_t n, n_all;

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const qn_tensor *t = qn_ckpt_find(ck, rows[i].tensor);
        if (t && t->n_dims == 2)
            json_object_set_new(config, rows[i].hf, json_integer(t->shape[0]));
    }
    if (qn_gguf_arch_layers(ck, &n) &&
        qn_gguf_arch_u64(ck, "block_count", &n_all) && n != n_all)
        json_object_set_new(config, "num_hidden_layers", json_u64(n));
}

/* How a router's scores come to be, if not as the family has it anyway. */
static void map_scores(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                       json_t *config)
{
    static const char *const names[] = {NULL, "softmax", "sigmoid"};
    const char *name = "unknown";
    uint64_t v;

    if (!qn_gguf_arch_u64(ck, "expert_gating_func", &v) || v == 0)
        return;
    if (v < QN_COUNTOF(names))
        name = names[v];
    if (!row || !row->scores || strcmp(row->scores, name) != 0)
        json_object_set_new(config, "scoring_func", json_string(name));
}

/* An id of the vocabulary; -1 as u32 means that there is none. */
static bool token_id(const qn_ckpt *ck, const char *key, uint64_t *out)
{
    return qn_ckpt_gguf_u64(ck, key, out) && *out != UINT32_MAX;
}

static void map_vocab(const qn_ckpt *ck, json_t *config)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const qn_tensor *embd = qn_ckpt_find(ck, "token_embd.weight");
    const qn_gguf_kv *tokens = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.tokens");
    json_t *eos = json_array();
    uint64_t v;

    if (embd && embd->n_dims == 2)
        json_object_set_new(config, "vocab_size", json_integer(embd->shape[0]));
    else if (qn_gguf_arch_u64(ck, "vocab_size", &v))
        json_object_set_new(config, "vocab_size", json_u64(v));
    else if (tokens && tokens->type == QN_GGUF_ARR)
        json_object_set_new(config, "vocab_size", json_u64(tokens->n));
    if (token_id(ck, "tokenizer.ggml.bos_token_id", &v))
        json_object_set_new(config, "bos_token_id", json_u64(v));
    if (token_id(ck, "tokenizer.ggml.padding_token_id", &v))
        json_object_set_new(config, "pad_token_id", json_u64(v));
    for (size_t i = 0; i < QN_COUNTOF(ends); i++) {
        json_t *id;
        bool known = false;
        if (!token_id(ck, ends[i], &v))
            continue;
        id = json_u64(v);
        for (size_t j = 0; j < json_array_size(eos); j++)
            known = known || json_equal(id, json_array_get(eos, j));
        if (known)
            json_decref(id);
        else
            json_array_append_new(eos, id);
    }
    if (json_array_size(eos) == 1)
        json_object_set(config, "eos_token_id", json_array_get(eos, 0));
    else if (json_array_size(eos) > 1)
        json_object_set(config, "eos_token_id", eos);
    json_decref(eos);
    if (embd)
        json_object_set_new(config, "tie_word_embeddings",
                            json_boolean(!qn_ckpt_find(ck, "output.weight")));
}

/* Adapters, projectors and statistics come as GGUF too. */
static int check_kind(const qn_ckpt *ck, qn_view *arch, qn_err *err)
{
    qn_view type;

    if (qn_ckpt_gguf_str(ck, "general.type", &type) &&
        (qn_view_eqs(type, "adapter") || qn_view_eqs(type, "mmproj") ||
         qn_view_eqs(type, "imatrix")))
        return qn_fail(err, QN_EUNSUP,
                       "%s is a GGUF file of type %.*s, not a language model",
                       ck->path, (int)type.n, type.p);
    if (!qn_ckpt_gguf_str(ck, "general.architecture", arch))
        return qn_fail(err, QN_EFORMAT,
                       "%s does not say its general.architecture; it is not a "
                       "model",
                       ck->path);
    for (size_t i = 0; i < arch->n && arch->n <= ARCH_MAX; i++)
        if (arch->p[i] <= ' ' || arch->p[i] > '~')
            arch->n = SIZE_MAX;
    if (arch->n == 0 || arch->n > ARCH_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s: its general.architecture is not a name; the file "
                       "is damaged",
                       ck->path);
    return 0;
}

int qn_gguf_make_config(qn_ckpt *ck, qn_err *err)
{
    const qn_gguf_arch_row *row;
    qn_view arch;

    QN_TRY(check_kind(ck, &arch, err));
    row = qn_gguf_arch_find(ck, arch);
    ck->config = json_object();
    map_implied(ck, row, arch, ck->config);
    QN_TRY(map_keys(ck, row, arch, ck->config, err));
    map_heads(ck, row, ck->config);
    map_sizes(ck, ck->config);
    map_scores(ck, row, ck->config);
    QN_TRY(qn_gguf_map_layers(ck, ck->config, err));
    map_vocab(ck, ck->config);
    return qn_gguf_map_rope(ck, row, ck->config, err);
}
