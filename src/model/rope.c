/* rope.c - the frequencies.
 *
 * Angles are rounded to f32 where the reference implementation rounds them:
 * at position 100,000 a frequency that is one bit off turns the angle by
 * 0.006. Invariant: qn_rope_read leaves every field that qn_rope_freqs looks
 * at positive and finite, and factor arrays of exactly n_freq numbers. */
#include "model/rope.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- frequencies ------------------------------------------------------- */

bool qn_rope_by_length(const qn_rope_hp *r)
{
    return r->scaling == QN_ROPE_DYNAMIC || r->scaling == QN_ROPE_LONGROPE;
}

/* theta^(2i / d), d = 2 n_freq */
static float rope_period(double theta, int i, int n_freq)
{
    float e = (float)(2 * i) / (float)(2 * n_freq);
    return (float)pow(theta, (double)e);
}

/* Llama 3.1: long waves are stretched by `factor`, short ones are kept, those
 * between are blended. */
static float rope_llama3(const qn_rope_hp *r, float f)
{
    double wave = 2 * M_PI / (double)f;
    double turns = (double)r->orig_ctx / wave;
    if (turns < r->low_freq)
        return (float)((double)f / r->factor);
    if (turns > r->high_freq)
        return f;
    double keep = (turns - r->low_freq) / (r->high_freq - r->low_freq);
    return (float)((1 - keep) * (double)f / r->factor + keep * (double)f);
}

/* YaRN: the index at which a wave makes `turns` turns over the original
 * length. */
static double rope_yarn_index(const qn_rope_hp *r, double turns)
{
    double d = 2.0 * r->n_freq;
    return d * log((double)r->orig_ctx / (turns * 2 * M_PI)) /
           (2 * log(r->theta));
}

static void rope_yarn(const qn_rope_hp *r, float *out)
{
    double low = rope_yarn_index(r, r->beta_fast);
    double high = rope_yarn_index(r, r->beta_slow);
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, 2.0 * r->n_freq - 1);
    if (low == high)
        high += 0.001;
    for (int i = 0; i < r->n_freq; i++) {
        float period = rope_period(r->theta, i, r->n_freq);
        float ramp = (float)(((double)i - low) / (high - low));
        ramp = fminf(fmaxf(ramp, 0), 1);
        float slow = 1.0f / ((float)r->factor * period);
        out[i] = slow * ramp + 1.0f / period * (1 - ramp);
    }
}

/* NTK by length: the base grows so that the longest wave still fits. */
static double rope_dynamic_theta(const qn_rope_hp *r, int64_t len)
{
    double d = 2.0 * r->n_freq;
    double ctx = (double)r->orig_ctx, n = fmax((double)len, ctx);
    return r->theta * pow(r->factor * n / ctx - (r->factor - 1), d / (d - 2));
}

void qn_rope_freqs(const qn_rope_hp *r, int64_t len, float *out)
{
    if (r->scaling == QN_ROPE_YARN) {
        rope_yarn(r, out);
        return;
    }
    double theta = r->scaling == QN_ROPE_DYNAMIC ? rope_dynamic_theta(r, len)
                                                 : r->theta;
    const float *factors = len > r->orig_ctx ? r->long_factor : r->short_factor;
    for (int i = 0; i < r->n_freq; i++) {
        float period = rope_period(theta, i, r->n_freq);
        if (r->scaling == QN_ROPE_LONGROPE)
            period *= factors[i];
        float f = 1.0f / period;
        if (r->scaling == QN_ROPE_LINEAR)
            f /= (float)r->factor;
        if (r->scaling == QN_ROPE_LLAMA3)
            f = rope_llama3(r, f);
        if (r->scaling == QN_ROPE_PROPORTIONAL)
            f = i < r->n_turn ? f / (float)r->factor : 0;
        out[i] = r->divisors ? f / r->divisors[i] : f;
    }
}

/* ---- reading ----------------------------------------------------------- */

#define ROPE_DOC "config.json: rope parameters"

static const struct {
    const char *name;
    qn_rope_scaling scaling;
} rope_types[] = {
    {"default", QN_ROPE_PLAIN},   {"linear", QN_ROPE_LINEAR},
    {"dynamic", QN_ROPE_DYNAMIC}, {"llama3", QN_ROPE_LLAMA3},
    {"yarn", QN_ROPE_YARN},       {"longrope", QN_ROPE_LONGROPE},
    {"su", QN_ROPE_LONGROPE},     {"proportional", QN_ROPE_PROPORTIONAL},
    {"mrope", QN_ROPE_PLAIN}, /* axes: all the same in text */
};

static const char rope_known[] =
    "rope_type type rope_theta factor low_freq_factor high_freq_factor "
    "original_max_position_embeddings beta_fast beta_slow attention_factor "
    "mscale mscale_all_dim truncate short_factor long_factor "
    "partial_rotary_factor llama_4_scaling_beta short_mscale long_mscale alpha "
    /* of images and videos; all axes are the same in text */
    "mrope_section mrope_interleaved "
    "finetuned"; /* yarn: how the weights came to be */

static int rope_type(qn_rope_hp *r, const json_t *o, qn_err *err)
{
    const char *name = "default";
    int rc = qn_json_str(o, "rope_type", &name, ROPE_DOC, err);
    if (rc == 0)
        rc = qn_json_str(o, "type", &name, ROPE_DOC, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < QN_COUNTOF(rope_types); i++) {
        if (strcmp(name, rope_types[i].name) == 0) {
            r->scaling = rope_types[i].scaling;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_EUNSUP,
                   ROPE_DOC ": rope_type \"%s\" is not supported (default, "
                            "linear, dynamic, llama3, yarn, longrope are)",
                   name);
}

/* A number between lo and hi; absent: *out stays. */
static int rope_num(const json_t *o, const char *key, double lo, double hi,
                    double *out, qn_err *err)
{
    double d = *out;
    int rc = qn_json_f64(o, key, &d, ROPE_DOC, err);
    if (rc > 0 && !(d >= lo && d <= hi))
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": %s should be between %g and %g, is %g", key,
                       lo, hi, d);
    *out = d;
    return rc;
}

static int rope_list(const json_t *o, const char *key, int n, float **out,
                     qn_err *err)
{
    const json_t *a = json_object_get(o, key);
    if (!json_is_array(a) || json_array_size(a) != (size_t)n)
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": %s should be a list of %d numbers, has %zu",
                       key, n, json_array_size(a));
    *out = qn_xcalloc((size_t)n, sizeof **out);
    for (int i = 0; i < n; i++) {
        double d = json_number_value(json_array_get(a, (size_t)i));
        if (!(d > 1e-6 && d < 1e9))
            return qn_fail(err, QN_EFORMAT,
                           ROPE_DOC ": %s[%d] should be a positive number", key,
                           i);
        (*out)[i] = (float)d;
    }
    return QN_OK;
}

static double rope_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

/* What cos and sin are multiplied by, so that attention keeps its entropy. */
static int rope_table_scale(qn_rope_hp *r, const json_t *o, qn_err *err)
{
    double given = 0, m = 0, m_all = 0, s = 1, m_long = 0;
    QN_TRY(rope_num(o, "short_mscale", 0, 1e6, &given, err));
    QN_TRY(rope_num(o, "long_mscale", 0, 1e6, &m_long, err));
    if (given != m_long)
        return qn_fail(err, QN_EUNSUP,
                       ROPE_DOC ": short_mscale %g and long_mscale %g that "
                                "differ are not supported",
                       given, m_long);
    QN_TRY(rope_num(o, "attention_factor", 1e-6, 1e6, &given, err));
    QN_TRY(rope_num(o, "mscale", 0, 1e6, &m, err));
    QN_TRY(rope_num(o, "mscale_all_dim", 0, 1e6, &m_all, err));
    if (m_all != 0)
        r->mscale_all = (float)rope_mscale(r->factor, m_all);
    if (r->scaling == QN_ROPE_YARN)
        s = m != 0 && m_all != 0
                ? rope_mscale(r->factor, m) / rope_mscale(r->factor, m_all)
                : rope_mscale(r->factor, 1);
    else if (r->scaling == QN_ROPE_LONGROPE && r->factor > 1)
        s = sqrt(1 + log(r->factor) / log((double)r->orig_ctx));
    else if (r->scaling != QN_ROPE_LONGROPE)
        given = 0; /* the other kinds have none */
    r->table_scale = (float)(given != 0 ? given : s);
    return QN_OK;
}

static int rope_scaling(qn_rope_hp *r, const json_t *o, const qn_hparams *hp,
                        const qn_keys *k, qn_err *err)
{
    double ctx = (double)hp->n_ctx_train, orig = ctx;
    QN_TRY(
        rope_num(o, "original_max_position_embeddings", 2, 1e12, &orig, err));
    /* Phi 3 has it outside, and there it counts. */
    orig = qn_key_num(k, QN_K_ORIG_CTX, orig);
    if (r->scaling == QN_ROPE_DYNAMIC)
        orig = ctx;
    if (orig < 2)
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": a scaled context of %g positions", orig);
    r->orig_ctx = (int64_t)orig;
    r->factor = r->scaling == QN_ROPE_PROPORTIONAL ? 1 : 0;
    QN_TRY(rope_num(o, "factor", 1e-3, 1e6, &r->factor, err));
    if (r->factor == 0) {
        if (r->scaling != QN_ROPE_YARN && r->scaling != QN_ROPE_LONGROPE)
            return qn_fail(err, QN_EFORMAT, ROPE_DOC ": factor is missing");
        r->factor = ctx / orig;
    }
    r->low_freq = 1;
    r->high_freq = 4;
    r->beta_fast = 32;
    r->beta_slow = 1;
    r->truncate = true;
    QN_TRY(rope_num(o, "low_freq_factor", 1e-6, 1e6, &r->low_freq, err));
    QN_TRY(rope_num(o, "high_freq_factor", 1e-6, 1e6, &r->high_freq, err));
    QN_TRY(rope_num(o, "beta_fast", 1e-6, 1e6, &r->beta_fast, err));
    QN_TRY(rope_num(o, "beta_slow", 1e-6, 1e6, &r->beta_slow, err));
    QN_TRY(qn_json_bool(o, "truncate", &r->truncate, ROPE_DOC, err));
    if (r->scaling == QN_ROPE_LLAMA3 && r->high_freq <= r->low_freq)
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": high_freq_factor must be above "
                                "low_freq_factor");
    if (r->scaling == QN_ROPE_DYNAMIC && r->n_freq < 2)
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": dynamic scaling needs at least 4 rotated "
                                "elements per head");
    if (r->scaling == QN_ROPE_LONGROPE) {
        QN_TRY(rope_list(o, "short_factor", r->n_freq, &r->short_factor, err));
        QN_TRY(rope_list(o, "long_factor", r->n_freq, &r->long_factor, err));
    }
    return rope_table_scale(r, o, err);
}

/* Hunyuan's "dynamic": the base is stretched once for all lengths. */
static int rope_alpha(qn_rope_hp *r, const json_t *o, int d_head, qn_err *err)
{
    double alpha = 0;
    QN_TRY(rope_num(o, "alpha", 0, 1e9, &alpha, err));
    if (alpha == 0)
        return QN_OK;
    if (r->scaling != QN_ROPE_DYNAMIC || d_head < 4)
        return qn_fail(err, QN_EUNSUP,
                       ROPE_DOC ": alpha %g without rope_type \"dynamic\"",
                       alpha);
    r->theta *= pow(alpha, d_head / (d_head - 2.0));
    r->scaling = QN_ROPE_PLAIN;
    return QN_OK;
}

/* One kind. `o` is its object, or NULL; theta and partial are what the
 * top level says. */
static int rope_kind(qn_rope_hp *r, const json_t *o, double theta,
                     double partial, const qn_hparams *hp, int d_head,
                     qn_keys *k, qn_err *err)
{
    bool interleaved = r->interleaved; /* the family's */
    memset(r, 0, sizeof *r);
    r->interleaved = interleaved;
    r->table_scale = 1;
    r->mscale_all = 1;
    r->theta = theta;
    if (o) {
        const char *name;
        json_t *v;
        json_object_foreach((json_t *)o, name, v)
        {
            if (!qn_word_in(rope_known, name))
                qn_keys_unknown(k, "rope_parameters", name, v);
        }
        QN_TRY(rope_num(o, "rope_theta", 1.0001, 1e15, &r->theta, err));
        QN_TRY(rope_num(o, "partial_rotary_factor", 0, 1, &partial, err));
        QN_TRY(rope_type(r, o, err));
    }
    if (!(r->theta > 1))
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": rope_theta should be above 1, is %g",
                       r->theta);
    QN_TRY(rope_alpha(r, o, d_head, err));
    if (r->scaling == QN_ROPE_PROPORTIONAL) {
        r->n_turn = (int)(partial * d_head / 2);
        partial = 1;
    }
    int n_rot = qn_key_int(k, QN_K_ROPE_DIM, (int)(d_head * partial));
    if (n_rot < 2 || n_rot % 2 || n_rot > d_head)
        return qn_fail(err, QN_EFORMAT,
                       ROPE_DOC ": %d of the %d elements of a head would be "
                                "rotated; it must be an even number of them",
                       n_rot, d_head);
    r->n_freq = n_rot / 2;
    if (r->scaling != QN_ROPE_PLAIN)
        QN_TRY(rope_scaling(r, o, hp, k, err));
    return QN_OK;
}

static int rope_object(const qn_keys *k, qn_key key, const json_t **out,
                       qn_err *err)
{
    *out = k->v[key].set ? k->v[key].json : NULL;
    if (*out && !json_is_object(*out))
        return qn_fail(err, QN_EFORMAT,
                       "config.json: %s should be an object or null",
                       qn_key_name(k, key));
    return QN_OK;
}

/* Width of the heads that full layers rotate, or sliding ones. */
static int rope_width(const qn_hparams *hp, bool sliding)
{
    if (hp->mla.kv_rank)
        return hp->mla.d_rope;
    for (int i = 0; i < hp->n_layer; i++) {
        if ((hp->layer[i].window > 0) == sliding)
            return hp->layer[i].d_head;
    }
    return hp->d_head;
}

int qn_rope_read(qn_hparams *hp, qn_keys *k, qn_err *err)
{
    const json_t *o, *old, *full, *sliding;
    QN_TRY(rope_object(k, QN_K_ROPE_NEW, &o, err));
    QN_TRY(rope_object(k, QN_K_ROPE_OLD, &old, err));
    double theta = qn_key_num(k, QN_K_ROPE_THETA, 10000);
    double partial = qn_key_num(k, QN_K_ROPE_PARTIAL, 1);
    double local = qn_key_num(k, QN_K_ROPE_LOCAL, 0);

    if (!qn_key_true(k, QN_K_ROPE_MIXED, true))
        hp->rope[0].interleaved = false;
    hp->rope[1].interleaved = hp->rope[0].interleaved;
    full = json_object_get(o, "full_attention");
    sliding = json_object_get(o, "sliding_attention");
    if (json_is_object(full) || json_is_object(sliding)) {
        const char *name;
        json_t *v;
        json_object_foreach((json_t *)o, name, v)
        {
            if (v != full && v != sliding)
                qn_keys_unknown(k, "rope_parameters", name, v);
        }
        hp->n_rope = 2;
        QN_TRY(rope_kind(&hp->rope[0], json_is_object(full) ? full : NULL,
                         theta, partial, hp, rope_width(hp, false), k, err));
        return rope_kind(&hp->rope[1], json_is_object(sliding) ? sliding : NULL,
                         local != 0 ? local : theta, partial, hp,
                         rope_width(hp, true), k, err);
    }
    hp->n_rope = local != 0 ? 2 : 1;
    QN_TRY(rope_kind(&hp->rope[0], o ? o : old, theta, partial, hp,
                     rope_width(hp, false), k, err));
    if (local != 0) /* never scaled */
        QN_TRY(rope_kind(&hp->rope[1], NULL, local, partial, hp,
                         rope_width(hp, true), k, err));
    double beta = 0; /* queries that grow with their position */
    QN_TRY(rope_num(o ? o : old, "llama_4_scaling_beta", 0, 1e6, &beta, err));
    hp->q_beta = (float)beta;
    hp->q_floor = QN_MAX(hp->rope[0].orig_ctx, 1);
    return QN_OK;
}

void qn_rope_deinit(qn_rope_hp *r)
{
    free(r->short_factor);
    free(r->long_factor);
    free(r->divisors);
    r->short_factor = r->long_factor = r->divisors = NULL;
}
