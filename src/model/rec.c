/* rec.c - see rec.h.
 *
 * Invariant on success: every dimension is positive where its kind uses it,
 * n_head is a multiple of n_group, d_inner is n_head * d_head, and no product
 * of two of them passes 2^26. */
#include "model/rec.h"

#include "base/compiler.h"

#include <math.h>
#include <string.h>

#define HP_DOC "config.json"

/* ---- columns and sizes ------------------------------------------------- */

qn_rec_cols qn_rec_columns(const qn_rec_hp *r)
{
    int key = r->n_group * r->d_state;
    qn_rec_cols c = {0};
    switch (r->kind) {
    case QN_REC_NONE: return c;
    case QN_REC_CONV:
        c.n_x = c.n_conv = r->d_inner;
        c.b = c.n_conv;
        c.z = c.b + r->d_inner;
        break;
    case QN_REC_MAMBA:
        c.n_x = c.n_conv = r->d_inner;
        c.z = c.n_conv;
        break;
    case QN_REC_MAMBA2:
        c.n_x = c.n_conv = r->d_inner + 2 * key;
        c.z = c.n_conv;
        c.dt = c.z + r->d_inner;
        break;
    case QN_REC_DELTA:
        c.k = key;
        c.x = 2 * key;
        c.n_x = r->d_inner;
        c.n_conv = c.x + c.n_x;
        c.z = c.n_conv;
        c.dt = c.z + r->d_inner;
        c.beta = c.dt + r->n_head;
        break;
    }
    c.total = c.z + r->d_inner;
    if (c.dt)
        c.total = c.dt + r->n_head;
    if (c.beta)
        c.total = c.beta + r->n_head;
    return c;
}

int64_t qn_rec_conv_state(const qn_rec_hp *r)
{
    return (int64_t)qn_rec_columns(r).n_conv * (r->n_tap - 1);
}

int64_t qn_rec_state(const qn_rec_hp *r)
{
    int64_t n = qn_rec_conv_state(r);
    if (r->kind != QN_REC_CONV)
        n += (int64_t)r->d_inner * r->d_state;
    return n;
}

/* ---- sizes from keys --------------------------------------------------- */

static int rec_number(const json_t *v, float *out)
{
    const char *word = json_string_value(json_object_get(v, "__float__"));
    if (word && strcmp(word, "Infinity") == 0)
        *out = INFINITY;
    else if (json_is_number(v))
        *out = (float)json_number_value(v);
    else
        return -1;
    return 0;
}

static int rec_limits(qn_rec_hp *r, const qn_keys *k, qn_err *err)
{
    const qn_value *v = &k->v[QN_K_REC_DT_LIMIT];
    float floor_ = (float)qn_key_num(k, QN_K_REC_DT_FLOOR, 0);
    r->dt_min = floor_;
    r->dt_max = INFINITY;
    if (!v->set)
        return QN_OK;
    if (json_array_size(v->json) != 2 ||
        rec_number(json_array_get(v->json, 0), &r->dt_min) < 0 ||
        rec_number(json_array_get(v->json, 1), &r->dt_max) < 0 ||
        !(r->dt_min >= 0 && r->dt_min <= r->dt_max))
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %s should be two rising numbers",
                       qn_key_name(k, QN_K_REC_DT_LIMIT));
    r->dt_min = fmaxf(r->dt_min, floor_);
    return QN_OK;
}

/* Channels: said, or a multiple of d_model, or heads times their width. */
static int rec_width(qn_hparams *hp, const qn_keys *k, bool no_attn,
                     qn_err *err)
{
    qn_rec_hp *r = &hp->rec;
    int expanded = (int)(qn_key_num(k, QN_K_REC_EXPAND, 1) * hp->d_model);
    int heads = qn_key_int(k, QN_K_REC_HEADS, 0);
    int width = qn_key_int(k, QN_K_REC_D_HEAD, 0);
    if (no_attn && r->kind == QN_REC_MAMBA2) {
        heads = qn_key_int(k, QN_K_N_HEAD, heads);
        width = qn_key_int(k, QN_K_D_HEAD, width);
    }
    r->d_inner = qn_key_int(k, QN_K_REC_D_INNER, 0);
    /* channels that the file says count for more than a family's usual width */
    qn_key w = no_attn ? QN_K_D_HEAD : QN_K_REC_D_HEAD;
    if (k->v[QN_K_REC_D_INNER].given && r->d_inner && !k->v[w].given)
        width = 0;
    if (r->d_inner == 0 && r->kind == QN_REC_MAMBA && no_attn)
        r->d_inner = qn_key_int(k, QN_K_D_FF, 0);
    if (r->d_inner == 0)
        r->d_inner = heads > 0 && width > 0 ? heads * width : expanded;
    if (r->kind == QN_REC_MAMBA) {
        heads = r->d_inner;
        width = 1;
    } else if (r->kind == QN_REC_CONV) {
        heads = 1;
        width = r->d_inner;
    }
    if (heads < 1 || (width == 0 && r->d_inner % heads != 0))
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d channels are not %d recurrent heads (%s)",
                       r->d_inner, heads, qn_key_name(k, QN_K_REC_HEADS));
    r->n_head = heads;
    r->d_head = width ? width : r->d_inner / heads;
    if ((int64_t)r->n_head * r->d_head != r->d_inner)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d recurrent heads of %d are not %d channels",
                       r->n_head, r->d_head, r->d_inner);
    return QN_OK;
}

static int rec_acts(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                    qn_err *err)
{
    qn_rec_hp *r = &hp->rec;
    if (r->kind == QN_REC_CONV)
        return QN_OK;
    r->act = k->v[QN_K_ACT].set && !fam->one_block ? hp->act : QN_ACT_SILU;
    if (k->v[QN_K_REC_ACT].set)
        QN_TRY(qn_act_read(&k->v[QN_K_REC_ACT], &r->act, err));
    return QN_OK;
}

static int rec_scales(qn_rec_hp *r, const qn_keys *k, qn_err *err)
{
    const json_t *list = k->v[QN_K_REC_SCALES].json;
    r->out_scale = (float)qn_key_num(k, QN_K_REC_OUT_SCALE, 1);
    r->in_scale = (float)qn_key_num(k, QN_K_REC_IN_SCALE, 1);
    for (size_t i = 0; i < QN_COUNTOF(r->scale); i++) {
        const json_t *v = json_array_get(list, i);
        if (list && (!json_is_number(v) ||
                     json_array_size(list) != QN_COUNTOF(r->scale)))
            return qn_fail(err, QN_EFORMAT,
                           HP_DOC ": %s should be a list of %zu numbers",
                           qn_key_name(k, QN_K_REC_SCALES),
                           QN_COUNTOF(r->scale));
        r->scale[i] = list ? (float)json_number_value(v) : 1;
    }
    return QN_OK;
}

static int rec_norm(qn_rec_hp *r, const qn_keys *k, qn_err *err)
{
    if (k->v[QN_K_REC_NORM].set)
        r->norm = qn_key_true(k, QN_K_REC_NORM, false) ? QN_REC_NORM_AFTER_GATE
                                                       : QN_REC_NORM_NONE;
    if (r->norm &&
        qn_key_true(k, QN_K_REC_NORM_FIRST, r->norm == QN_REC_NORM_BEFORE_GATE))
        r->norm = QN_REC_NORM_BEFORE_GATE;
    if (r->norm_shared)
        r->norm_groups = r->n_head;
    else if (r->norm_groups == 0)
        r->norm_groups = r->n_group;
    if (r->d_inner % r->norm_groups != 0)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d channels cannot be normalized in %d groups",
                       r->d_inner, r->norm_groups);
    return QN_OK;
}

int qn_rec_read(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                qn_err *err)
{
    qn_rec_hp *r = &hp->rec;
    r->in_scale = r->out_scale = 1;
    if (r->kind == QN_REC_NONE)
        return QN_OK;
    QN_TRY(rec_width(hp, k, fam->no_attn, err));
    QN_TRY(qn_key_need(k, QN_K_REC_TAPS, &r->n_tap, err));
    r->n_group = qn_key_int(k, QN_K_REC_GROUPS, 1);
    if (r->kind != QN_REC_CONV)
        QN_TRY(qn_key_need(k, QN_K_REC_STATE, &r->d_state, err));
    if (r->n_head % r->n_group != 0)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": %d recurrent heads are not a multiple of %d "
                              "groups (%s)",
                       r->n_head, r->n_group, qn_key_name(k, QN_K_REC_GROUPS));
    if (r->kind == QN_REC_MAMBA)
        r->dt_rank = qn_key_int(k, QN_K_REC_DT_RANK, (hp->d_model + 15) / 16);
    if ((int64_t)r->d_inner * QN_MAX(r->d_state, r->n_tap) > 1 << 26 ||
        (int64_t)r->n_group * r->d_state > 1 << 22 || r->d_inner > 1 << 22)
        return qn_fail(err, QN_EFORMAT,
                       HP_DOC ": recurrent layers of %d channels and states of "
                              "%d are too large",
                       r->d_inner, r->d_state);
    QN_TRY(rec_limits(r, k, err));
    r->inner_eps = (float)qn_key_num(k, QN_K_REC_INNER_EPS,
                                     (double)hp->norm_eps);
    r->in_bias = qn_key_true(k, QN_K_REC_BIAS, r->in_bias);
    r->out_bias = qn_key_true(k, QN_K_REC_OUT_BIAS, r->in_bias);
    if (r->kind == QN_REC_CONV)
        r->conv_bias = r->in_bias;
    r->conv_bias = qn_key_true(k, QN_K_REC_CONV_BIAS, r->conv_bias);
    QN_TRY(rec_acts(hp, k, fam, err));
    QN_TRY(rec_scales(r, k, err));
    return rec_norm(r, k, err);
}

/* ---- which layer is what ----------------------------------------------- */

enum {
    IS_ATTN = 1,
    IS_REC = 2,
    IS_FF = 4,
    IS_MOE = 8
};

static const struct {
    const char *names;
    char letter; /* in a pattern */
    int is;
} rec_words[] = {
    {"attention full_attention", '*', IS_ATTN},
    {"mamba linear_attention conv recurrent", 'M', IS_REC},
    {"hybrid", 0, IS_ATTN | IS_REC},
    {"mlp", '-', IS_FF},
    {"moe", 'E', IS_FF | IS_MOE},
};

static int rec_word(const char *name, char letter)
{
    for (size_t i = 0; i < QN_COUNTOF(rec_words); i++) {
        if (name ? qn_word_in(rec_words[i].names, name)
                 : letter && rec_words[i].letter == letter)
            return rec_words[i].is;
    }
    return 0;
}

static bool rec_listed(const json_t *list, int layer)
{
    size_t at;
    json_t *v;
    json_array_foreach((json_t *)list, at, v)
    {
        if (json_is_integer(v) && json_integer_value(v) == layer)
            return true;
    }
    return false;
}

/* What layer i is by the keys that are there, in order of precedence. */
static int rec_kind_of(const qn_keys *k, const qn_family *fam, int i)
{
    static const int usual[] = {IS_ATTN, IS_REC, IS_ATTN | IS_REC};
    const json_t *types = k->v[QN_K_LAYER_TYPES].json;
    const json_t *pattern = k->v[QN_K_LAYER_PATTERN].json;
    const json_t *attn = k->v[QN_K_ATTN_LAYERS].json;
    int every = qn_key_int(k, QN_K_ATTN_EVERY, 0);
    if (json_array_size(types) > 0) {
        const char *t = json_string_value(json_array_get(types, (size_t)i));
        return t ? rec_word(t, 0) : 0;
    }
    if (json_string_length(pattern) > (size_t)i)
        return rec_word(NULL, json_string_value(pattern)[i]);
    if (json_is_array(attn))
        return rec_listed(attn, i) ? IS_ATTN : IS_REC;
    if (every > 0)
        return i % every == qn_key_int(k, QN_K_ATTN_OFFSET, every - 1) ? IS_ATTN
                                                                       : IS_REC;
    return usual[fam->kind];
}

int qn_rec_layers(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                  qn_err *err)
{
    const json_t *types = k->v[QN_K_LAYER_TYPES].json;
    bool any = false;
    for (int i = 0; i < hp->n_layer; i++) {
        int is = hp->rec.kind ? rec_kind_of(k, fam, i) : IS_ATTN;
        const char *t = json_string_value(json_array_get(types, (size_t)i));
        if (is == 0 || ((is & IS_FF) && !fam->one_block) ||
            ((is & IS_ATTN) && fam->no_attn))
            return qn_fail(err, QN_EUNSUP,
                           HP_DOC ": layer %d is of a type that is not "
                                  "supported%s%s",
                           i, t ? ": " : "", t ? t : "");
        qn_layer_hp *l = &hp->layer[i];
        l->attn = is & IS_ATTN;
        l->rec = is & IS_REC;
        l->ff = fam->one_block ? is & IS_FF : !fam->no_ff;
        l->moe = is & IS_MOE;
        any = any || l->attn || l->rec;
    }
    if (!any)
        return qn_fail(err, QN_EFORMAT, HP_DOC ": no layer attends or recurs");
    return QN_OK;
}

/* ---- tensors ----------------------------------------------------------- */

static qn_role_shape matrix(int n_out, int n_in, bool bias)
{
    return (qn_role_shape){QN_MATRIX, n_out, n_in, 1, bias, 0};
}

/* n_rows rows that make n in all */
static qn_role_shape vector(int n, int n_rows, bool bias)
{
    return (qn_role_shape){QN_VECTOR, n, 1, n_rows, bias, 0};
}

bool qn_rec_shape(const qn_hparams *hp, qn_role role, qn_role_shape *out)
{
    const qn_rec_hp *r = &hp->rec;
    qn_rec_cols c = qn_rec_columns(r);
    int d = hp->d_model, key = r->n_group * r->d_state;
    bool mamba = r->kind == QN_REC_MAMBA, delta = r->kind == QN_REC_DELTA;
    bool conv = r->kind == QN_REC_CONV;
    switch (role) {
    case QN_R_REC_X: *out = matrix(c.n_x, d, r->in_bias); return true;
    case QN_R_REC_Z: *out = matrix(r->d_inner, d, r->in_bias); return true;
    case QN_R_REC_Q:
    case QN_R_REC_K: *out = matrix(key, d, r->in_bias); return delta;
    case QN_R_REC_B: *out = matrix(r->d_inner, d, r->in_bias); return conv;
    case QN_R_REC_DT:
        *out = matrix(r->n_head, d, r->in_bias);
        return !mamba && !conv;
    case QN_R_REC_BETA: *out = matrix(r->n_head, d, r->in_bias); return delta;
    case QN_R_REC_CONV:
        *out = vector(c.n_conv * r->n_tap, c.n_conv, r->conv_bias);
        out->n_bias = c.n_conv;
        return true;
    case QN_R_REC_PARAMS:
        *out = matrix(r->dt_rank + 2 * r->d_state, r->d_inner, false);
        return mamba;
    case QN_R_REC_DT_UP:
        *out = matrix(r->d_inner, r->dt_rank, true);
        return mamba;
    case QN_R_REC_DT_BIAS:
        *out = vector(r->n_head, 1, false);
        return !mamba && !conv;
    case QN_R_REC_A:
        *out = mamba ? vector(r->n_head * r->d_state, r->n_head, false)
                     : vector(r->n_head, 1, false);
        return !conv;
    case QN_R_REC_D: *out = vector(r->n_head, 1, false); return !conv && !delta;
    case QN_R_REC_DT_NORM:
        *out = vector(r->dt_rank, 1, false);
        return r->inner_norms && !r->inner_bare;
    case QN_R_REC_B_NORM:
    case QN_R_REC_C_NORM:
        *out = vector(r->d_state, 1, false);
        return r->inner_norms && !r->inner_bare;
    case QN_R_REC_NORM:
        *out = vector(r->norm_shared ? r->d_head : r->d_inner, 1, false);
        return r->norm != QN_REC_NORM_NONE;
    case QN_R_REC_OUT: *out = matrix(d, r->d_inner, r->out_bias); return true;
    default: return false;
    }
}

/* Delta layers of Qwen3-Next: by key head. */
static qn_row_map rows_by_head(const qn_rec_hp *r, qn_role role)
{
    int64_t k = r->d_state, each = r->n_head / r->n_group, v = each * r->d_head;
    int64_t unit = 2 * k + 2 * v, total = unit * r->n_group;
    switch (role) {
    case QN_R_REC_Q: return (qn_row_map){k, unit, 0, total};
    case QN_R_REC_K: return (qn_row_map){k, unit, k, total};
    case QN_R_REC_X: return (qn_row_map){v, unit, 2 * k, total};
    case QN_R_REC_Z: return (qn_row_map){v, unit, 2 * k + v, total};
    default:
        return (qn_row_map){each, 2 * each, role == QN_R_REC_DT ? each : 0,
                            2 * r->n_head};
    }
}

qn_row_map qn_rec_rows(const qn_hparams *hp, qn_role role, qn_cut cut,
                       int64_t n_out)
{
    const qn_rec_hp *r = &hp->rec;
    qn_rec_cols c = qn_rec_columns(r);
    int64_t inner = r->d_inner, at = 0, total = 2 * inner;
    if (cut == QN_CUT_REC_HEADS)
        return rows_by_head(r, role);
    switch (r->kind) {
    case QN_REC_NONE: break;
    case QN_REC_CONV: /* B, C, x */
        at = role == QN_R_REC_X ? 2 * inner : role == QN_R_REC_Z ? inner : 0;
        total = 3 * inner;
        break;
    case QN_REC_MAMBA: /* x, z */ at = role == QN_R_REC_Z ? inner : 0; break;
    case QN_REC_MAMBA2: /* z, x and B and C, dt */
        at = role == QN_R_REC_X ? inner : 0;
        if (role == QN_R_REC_DT)
            at = inner + c.n_conv;
        total = c.total;
        break;
    case QN_REC_DELTA: /* q, k, v */
        at = role == QN_R_REC_K ? c.k : role == QN_R_REC_X ? c.x : 0;
        total = c.n_conv;
        break;
    }
    return (qn_row_map){n_out, 0, at, total};
}
