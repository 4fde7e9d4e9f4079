/* gguf_export_meta.c: config.json as GGUF metadata.
 *
 * The tables of gguf_arch.c are read backwards: a key of the configuration that
 * a row names is written under the row's name in GGUF. What takes a computation
 * is computed. What an architecture's name implies in GGUF is held against the
 * configuration: a difference cannot be said there, and is refused. */
#include "ckpt/gguf_export_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define KEY_MAX 128

const json_t *qn_gguf_config_get(const json_t *config, const char *a,
                                 const char *b)
{
    const json_t *v = json_object_get(config, a);

    if ((!v || json_is_null(v)) && b)
        v = json_object_get(config, b);
    return json_is_null(v) ? NULL : v;
}

/* rope_parameters of transformers 5, rope_scaling of 4, or NULL. */
static const json_t *config_rope(const json_t *config)
{
    const json_t *v = qn_gguf_config_get(config, "rope_parameters",
                                         "rope_scaling");
    const json_t *full = json_object_get(v, "full_attention");

    return full ? full : v;
}

static int64_t count_of(const json_t *config, const char *a, const char *b,
                        int64_t otherwise)
{
    const json_t *v = qn_gguf_config_get(config, a, b);

    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

/* ---- what GGUF cannot say ---------------------------------------------- */

/* Activations by what they compute: the approximations of gelu are one. */
static const char *activation(const char *name, bool gemma)
{
    if (strcmp(name, "gelu_new") == 0 || strcmp(name, "gelu_fast") == 0 ||
        strcmp(name, "gelu_pytorch_tanh") == 0)
        return "gelu_pytorch_tanh";
    if (gemma && strcmp(name, "gelu") == 0) /* its first configurations */
        return "gelu_pytorch_tanh";
    return name;
}

static int check_implied(const qn_gguf_export *e, qn_err *err)
{
    static const char *const names[] = {"hidden_activation", "hidden_act",
                                        "activation_function"};
    json_t *fixed = json_loads(e->row->fixed, 0, NULL);
    bool gemma = qn_starts(e->row->arch, "gemma");
    const char *want = NULL, *have = NULL;
    const json_t *norm, *said;
    int rc = 0;

    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        const json_t *f = qn_gguf_config_get(fixed, names[i], NULL);
        const json_t *c = qn_gguf_config_get(e->config, names[i], NULL);
        if (f)
            want = json_string_value(f);
        if (json_is_string(c) && !have)
            have = json_string_value(c);
    }
    if (want && have &&
        strcmp(activation(want, gemma), activation(have, gemma)) != 0)
        QN_FAIL_OUT(QN_EUNSUP,
                    "%s: activation %s; GGUF's architecture %s implies %s",
                    e->ck->path, have, e->row->arch, want);
    norm = qn_gguf_config_get(fixed, "norm_topk_prob", NULL);
    said = qn_gguf_config_get(e->config, "norm_topk_prob", NULL);
    if (norm && said && json_is_true(norm) != json_is_true(said))
        QN_FAIL_OUT(QN_EUNSUP,
                    "%s: norm_topk_prob differs from what GGUF's architecture "
                    "%s implies",
                    e->ck->path, e->row->arch);
    if (qn_gguf_config_get(e->config, "quantization_config", NULL))
        QN_FAIL_OUT(QN_EUNSUP,
                    "%s is quantized already; GGUF is made from the model in "
                    "f32, f16 or bf16",
                    e->ck->path);
    if (json_is_true(json_object_get(e->config, "use_sliding_window")))
        QN_FAIL_OUT(QN_EUNSUP,
                    "%s: use_sliding_window; GGUF's architecture %s has none",
                    e->ck->path, e->row->arch);
out:
    json_decref(fixed);
    return rc;
}

static double rotary_share(const qn_gguf_export *e)
{
    const json_t *v = qn_gguf_config_get(e->config, "partial_rotary_factor",
                                         "rotary_pct");

    if (!v)
        v = qn_gguf_config_get(config_rope(e->config), "partial_rotary_factor",
                               NULL);
    return v ? json_number_value(v) : 1;
}

static int read_dims(qn_gguf_export *e, qn_err *err)
{
    const json_t *c = e->config;
    qn_gguf_dims *d = &e->dims;
    double rot;

    d->n_layer = count_of(c, "num_hidden_layers", "n_layer", 0);
    d->d_model = count_of(c, "hidden_size", "n_embd", 0);
    d->n_head = count_of(c, "num_attention_heads", "n_head", 0);
    d->context = count_of(c, "max_position_embeddings", "n_positions", 0);
    d->d_ff = count_of(c, "intermediate_size", "n_inner", 4 * d->d_model);
    d->n_kv = count_of(c, "num_key_value_heads", NULL, d->n_head);
    if (d->n_layer < 1 || d->d_model < 1 || d->n_head < 1 || d->n_kv < 1 ||
        d->d_ff < 1 || d->n_layer > INT32_MAX || d->d_model > INT32_MAX ||
        d->n_head > INT32_MAX || d->n_kv > INT32_MAX || d->d_ff > INT32_MAX ||
        d->context < 0 || d->context > INT32_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s: its configuration does not say the network's "
                       "sizes",
                       e->ck->path);
    d->d_head = count_of(c, "head_dim", NULL, d->d_model / d->n_head);
    rot = rotary_share(e) * (double)d->d_head;
    if (d->d_head < 1 || d->d_head > INT32_MAX || !(rot >= 0 && rot < 1e9))
        return qn_fail(err, QN_EFORMAT, "%s: impossible size of heads",
                       e->ck->path);
    d->n_rot = (int64_t)rot;
    return 0;
}

int qn_gguf_export_check(qn_gguf_export *e, qn_err *err)
{
    const json_t *type = json_object_get(e->config, "model_type");
    const char *name = json_is_string(type) ? json_string_value(type) : "";

    e->row = qn_gguf_arch_of(name);
    if (!e->row)
        return qn_fail(err, QN_EUNSUP,
                       "%s: model_type %s is not converted to GGUF",
                       e->ck->path, *name ? name : "(none)");
    QN_TRY(read_dims(e, err));
    return check_implied(e, err);
}

/* ---- keys -------------------------------------------------------------- */

typedef struct put {
    const qn_gguf_export *e;
    qn_gguf_writer *w;
    char key[KEY_MAX];
    qn_err *err;
} put;

static const char *key_of(put *p, const char *name)
{
    snprintf(p->key, sizeof p->key, "%s.%s", p->e->row->arch, name);
    return p->key;
}

static int put_count(put *p, const char *name, int64_t v)
{
    const char *key = key_of(p, name);

    if (qn_gguf_has_key(p->w, key))
        return 0;
    return qn_gguf_put_u32(p->w, key, (uint32_t)v, p->err);
}

static int put_real(put *p, const char *name, double v)
{
    const char *key = key_of(p, name);

    if (qn_gguf_has_key(p->w, key))
        return 0;
    return qn_gguf_put_f32(p->w, key, (float)v, p->err);
}

static int put_text(put *p, const char *name, const char *v)
{
    return qn_gguf_put_str(p->w, key_of(p, name), qn_view_cstr(v), p->err);
}

static int put_row(put *p, const qn_gguf_key_row *row)
{
    const json_t *v = row->hf ? qn_gguf_config_get(p->e->config, row->hf, NULL)
                              : NULL;
    const char *key = key_of(p, row->gguf);

    if (!v || qn_gguf_has_key(p->w, key))
        return 0;
    if (strcmp(row->hf, "sliding_window") == 0 &&
        json_is_false(json_object_get(p->e->config, "use_sliding_window")))
        return 0;
    if (row->type == QN_GGUF_BOOL && json_is_boolean(v))
        return qn_gguf_put_bool(p->w, key, json_is_true(v), p->err);
    if (row->type == QN_GGUF_F32 && json_is_number(v))
        return put_real(p, row->gguf, json_number_value(v));
    if (row->type == 0 && json_is_integer(v) && json_integer_value(v) >= 0 &&
        json_integer_value(v) <= UINT32_MAX)
        return put_count(p, row->gguf, json_integer_value(v));
    return qn_fail(p->err, QN_EUNSUP,
                   "%s: config.json: %s has a value that GGUF's %s cannot have",
                   p->e->ck->path, row->hf, key);
}

static int put_table(put *p)
{
    const qn_gguf_arch_row *row = p->e->row;

    for (size_t i = 0; i < QN_COUNTOF(row->keys) && row->keys[i].gguf; i++)
        QN_TRY(put_row(p, &row->keys[i]));
    for (size_t i = 0; qn_gguf_common_keys[i].gguf; i++)
        QN_TRY(put_row(p, &qn_gguf_common_keys[i]));
    return 0;
}

/* transformers 5 says which layers slide, one by one. */
static int put_layer_types(put *p)
{
    const json_t *types = qn_gguf_config_get(p->e->config, "layer_types", NULL);
    size_t n = json_array_size(types);
    bool *slides;
    int rc;

    if (n == 0 || strcmp(p->e->row->arch, "gemma3") != 0 ||
        qn_gguf_has_key(p->w, key_of(p, "attention.sliding_window_pattern")))
        return 0;
    slides = qn_xcalloc(n, sizeof *slides);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(types, i));
        slides[i] = s && strcmp(s, "sliding_attention") == 0;
    }
    rc = qn_gguf_put_array(p->w, key_of(p, "attention.sliding_window_pattern"),
                           QN_GGUF_BOOL, slides, n, p->err);
    qn_free(slides);
    return rc;
}

static int put_sizes(put *p)
{
    const qn_gguf_dims *d = &p->e->dims;

    QN_TRY(put_count(p, "block_count", d->n_layer));
    QN_TRY(put_count(p, "context_length", d->context));
    QN_TRY(put_count(p, "embedding_length", d->d_model));
    QN_TRY(put_count(p, "feed_forward_length", d->d_ff));
    QN_TRY(put_count(p, "attention.head_count", d->n_head));
    QN_TRY(put_count(p, "attention.head_count_kv", d->n_kv));
    QN_TRY(put_count(p, "vocab_size", p->e->n_vocab));
    QN_TRY(put_layer_types(p));
    if (strcmp(p->e->row->arch, "gpt2") == 0)
        return 0;
    QN_TRY(put_count(p, "attention.key_length", d->d_head));
    QN_TRY(put_count(p, "attention.value_length", d->d_head));
    return put_count(p, "rope.dimension_count", d->n_rot);
}

/* ---- rotation ---------------------------------------------------------- */

static const char *rope_kind(const json_t *rope)
{
    const json_t *v = qn_gguf_config_get(rope, "rope_type", "type");
    const char *kind = json_is_string(v) ? json_string_value(v) : "default";

    return strcmp(kind, "su") == 0 ? "longrope" : kind;
}

static double real_of(const json_t *o, const char *name, double otherwise)
{
    const json_t *v = qn_gguf_config_get(o, name, NULL);

    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static double rope_theta(const qn_gguf_export *e)
{
    return real_of(e->config, "rope_theta",
                   real_of(e->config, "rotary_emb_base",
                           real_of(config_rope(e->config), "rope_theta",
                                   10000)));
}

static int64_t original_context(const qn_gguf_export *e, const json_t *rope)
{
    return count_of(rope, "original_max_position_embeddings", NULL,
                    count_of(e->config, "original_max_position_embeddings",
                             NULL, e->dims.context));
}

/* ggml multiplies what transformers replaces: see gguf_rope.c. */
static int put_yarn(put *p, const json_t *rope, double factor)
{
    double attn = real_of(rope, "attention_factor", 0);

    QN_TRY(put_text(p, "rope.scaling.type", "yarn"));
    QN_TRY(put_real(p, "rope.scaling.factor", factor));
    QN_TRY(put_count(p, "rope.scaling.original_context_length",
                     original_context(p->e, rope)));
    QN_TRY(put_real(p, "rope.scaling.yarn_beta_fast",
                    real_of(rope, "beta_fast", 32)));
    QN_TRY(put_real(p, "rope.scaling.yarn_beta_slow",
                    real_of(rope, "beta_slow", 1)));
    if (qn_gguf_config_get(rope, "mscale", "mscale_all_dim") ||
        json_is_false(json_object_get(rope, "truncate")))
        return qn_fail(p->err, QN_EUNSUP,
                       "%s: yarn with mscale or without truncation is not "
                       "converted to GGUF",
                       p->e->ck->path);
    if (attn > 0)
        QN_TRY(put_real(p, "rope.scaling.yarn_attn_factor",
                        attn / (1 + 0.1 * log(factor))));
    return 0;
}

static int put_longrope(put *p, const json_t *rope)
{
    int64_t ctx = original_context(p->e, rope);
    double s = ctx > 0 ? (double)p->e->dims.context / (double)ctx : 1;
    double attn = s > 1 && ctx > 1 ? sqrt(1 + log(s) / log((double)ctx)) : 1;

    QN_TRY(put_count(p, "rope.scaling.original_context_length", ctx));
    return put_real(p, "rope.scaling.attn_factor",
                    real_of(rope, "attention_factor", attn));
}

static int put_rope(put *p)
{
    const json_t *rope = config_rope(p->e->config);
    const json_t *local = json_object_get(json_object_get(p->e->config,
                                                          "rope_parameters"),
                                          "sliding_attention");
    const char *kind = rope_kind(rope);
    double factor = real_of(rope, "factor", 1);

    if (strcmp(p->e->row->arch, "gpt2") == 0)
        return 0;
    QN_TRY(put_real(p, "rope.freq_base", rope_theta(p->e)));
    if (local)
        QN_TRY(put_real(p, "rope.freq_base_swa",
                        real_of(local, "rope_theta", 10000)));
    if (strcmp(kind, "default") == 0 || strcmp(kind, "llama3") == 0)
        return 0; /* llama3: a tensor says it */
    if (strcmp(kind, "longrope") == 0)
        return put_longrope(p, rope);
    if (strcmp(kind, "yarn") == 0)
        return put_yarn(p, rope, factor);
    if (strcmp(kind, "linear") != 0)
        return qn_fail(p->err, QN_EUNSUP,
                       "%s: rope type %s is not converted to GGUF",
                       p->e->ck->path, kind);
    QN_TRY(put_text(p, "rope.scaling.type", "linear"));
    return put_real(p, "rope.scaling.factor", factor);
}

/* What the frequencies are divided by, by llama 3's rule: long waves by the
 * factor, short ones by one, smoothly in between. */
static int add_llama3(qn_gguf_export *e, const json_t *rope, qn_err *err)
{
    double factor = real_of(rope, "factor", 8), theta = rope_theta(e);
    double low = real_of(rope, "low_freq_factor", 1);
    double high = real_of(rope, "high_freq_factor", 4);
    double ctx = (double)original_context(e, rope);
    int64_t n = e->dims.n_rot / 2;
    float *v;

    if (!(high > low) || !(theta > 0) || n < 1)
        return qn_fail(err, QN_EFORMAT, "%s: impossible rope_scaling",
                       e->ck->path);
    v = qn_gguf_export_add(e, "rope_freqs.weight", n);
    for (int64_t i = 0; i < n; i++) {
        double wave = 2 * M_PI * pow(theta, (double)i / (double)n);
        double turns = ctx / wave, keep = (turns - low) / (high - low);
        v[i] = (float)(turns < low    ? factor
                       : turns > high ? 1
                                      : 1 / ((1 - keep) / factor + keep));
    }
    return 0;
}

static int add_factors(qn_gguf_export *e, const json_t *list, const char *name,
                       qn_err *err)
{
    int64_t n = (int64_t)json_array_size(list);
    float *v;

    if (n == 0 || n != e->dims.n_rot / 2)
        return qn_fail(err, QN_EFORMAT,
                       "%s: rope_scaling has %" PRId64 " factors, heads have "
                       "%" PRId64 " pairs",
                       e->ck->path, n, e->dims.n_rot / 2);
    v = qn_gguf_export_add(e, name, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return 0;
}

int qn_gguf_export_rope(qn_gguf_export *e, qn_err *err)
{
    const json_t *rope = config_rope(e->config);
    const char *kind = rope_kind(rope);

    if (strcmp(kind, "llama3") == 0)
        return add_llama3(e, rope, err);
    if (strcmp(kind, "longrope") != 0)
        return 0;
    QN_TRY(add_factors(e, json_object_get(rope, "long_factor"),
                       "rope_factors_long.weight", err));
    return add_factors(e, json_object_get(rope, "short_factor"),
                       "rope_factors_short.weight", err);
}

/* ---- the whole --------------------------------------------------------- */

/* The directory's name, which is mostly the model's. */
static qn_view model_name(const qn_ckpt *ck)
{
    const char *p = ck->dir && strcmp(ck->dir, ".") != 0 ? ck->dir : ck->path;
    size_t n = strlen(p), from;

    while (n > 1 && p[n - 1] == '/')
        n--;
    for (from = n; from > 0 && p[from - 1] != '/'; from--)
        ;
    return qn_view_of(p + from, n - from);
}

int qn_gguf_export_meta(const qn_gguf_export *e, qn_gguf_writer *w, qn_err *err)
{
    put p = {.e = e, .w = w, .err = err};

    QN_TRY(qn_gguf_put_str(w, "general.architecture",
                           qn_view_cstr(e->row->arch), err));
    QN_TRY(qn_gguf_put_str(w, "general.type", qn_view_cstr("model"), err));
    QN_TRY(qn_gguf_put_str(w, "general.name", model_name(e->ck), err));
    QN_TRY(put_table(&p));
    QN_TRY(put_sizes(&p));
    return put_rope(&p);
}
