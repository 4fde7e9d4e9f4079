/* bind.c - from roles to tensors.
 *
 * For every role that the network has, the rows of its name table are tried
 * in order; the first whose tensor exists is taken, and its shape must be what
 * the hyper-parameters say. All of it happens before any memory is asked for,
 * so that a wrong file costs nothing.
 *
 * Invariant: a slot's rows lie inside its tensor (the shape was compared with
 * the row map's total). */
#include "model/net_int.h"

#include "base/compiler.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_EMBEDDINGS = 16
};

typedef struct bind_ctx {
    qn_net *net;
    const qn_ckpt *ck;
    const qn_names *names;
    qn_str prefix; /* before "embed_tokens": "", "model.", ... */
    qn_map used;   /* names of tensors that a slot takes       */
    const qn_net_params *params;
    qn_err *err;
} bind_ctx;

/* ---- names ------------------------------------------------------------- */

/* Appends a pattern, its "%d" replaced. */
static void name_add(qn_str *s, const char *pattern, int number)
{
    const char *d = strstr(pattern, "%d");
    if (!d) {
        qn_str_adds(s, pattern);
        return;
    }
    qn_str_add(s, pattern, (size_t)(d - pattern));
    qn_str_addf(s, "%d%s", number, d + 2);
}

/* prefix + layer + name + suffix */
static void name_make(const bind_ctx *b, qn_str *s, size_t n_prefix, int layer,
                      const qn_name *row, int expert, bool bias)
{
    qn_str_clear(s);
    qn_str_add(s, b->prefix.p, n_prefix);
    if (layer >= 0)
        name_add(s, qn_names_layer(b->names), layer);
    name_add(s, row->name, expert);
    if (bias)
        qn_str_adds(s, row->flags & QN_NAME_BARE ? "_bias" : ".bias");
    else if (!(row->flags & QN_NAME_BARE))
        qn_str_adds(s, ".weight");
}

/* "model.decoder." -> "model." -> "" */
static size_t name_parent(const char *prefix, size_t n)
{
    while (n > 0 && prefix[n - 1] == '.')
        n--;
    while (n > 0 && prefix[n - 1] != '.')
        n--;
    return n;
}

static bool has_layers(const bind_ctx *b, const char *prefix, size_t n)
{
    qn_str s;
    qn_str_init(&s);
    qn_str_add(&s, prefix, n);
    name_add(&s, qn_names_layer(b->names), 0);
    bool found = false;
    for (size_t i = 0; i < qn_ckpt_n_tensors(b->ck) && !found; i++)
        found = qn_starts(qn_ckpt_tensor(b->ck, i)->name, s.p);
    qn_str_deinit(&s);
    return found;
}

/* The prefix is what stands before the embedding's name in a place where
 * there are layers, too. */
static int find_prefix(bind_ctx *b)
{
    const qn_name *row = qn_names_row(b->names, QN_R_EMBED, 0);
    qn_str tail, layer;
    qn_str_init(&tail);
    qn_str_init(&layer);
    qn_str_addf(&tail, "%s.weight", row->name);
    name_add(&layer, qn_names_layer(b->names), 0);
    bool found = false;
    int tries = 0; /* a text and a vision model have one each; not more */
    for (size_t i = 0; i < qn_ckpt_n_tensors(b->ck) && !found; i++) {
        const char *name = qn_ckpt_tensor(b->ck, i)->name;
        if (!qn_ends(name, tail.p) || tries > MAX_EMBEDDINGS)
            continue;
        size_t n = strlen(name) - tail.n;
        if (n > 0 && name[n - 1] != '.')
            continue;
        tries++;
        if (!has_layers(b, name, n))
            continue;
        qn_str_add(&b->prefix, name, n);
        found = true;
    }
    int rc = found ? QN_OK
                   : qn_fail(b->err, QN_ENOENT,
                             "%s: no tensor %s (with layers named %s beside "
                             "it): not a checkpoint of model_type %s?",
                             qn_ckpt_path(b->ck), tail.p, layer.p,
                             b->net->hp.family);
    qn_str_deinit(&tail);
    qn_str_deinit(&layer);
    return rc;
}

/* ---- one tensor -------------------------------------------------------- */

static void shape_text(qn_str *s, const int64_t *shape, int n)
{
    qn_str_addc(s, '[');
    for (int i = 0; i < n; i++)
        qn_str_addf(s, "%s%" PRId64, i ? ", " : "", shape[i]);
    qn_str_addc(s, ']');
}

/* Dimensions of 1 say nothing: [64, 1, 4] is [64, 4]. */
static bool same_shape(const int64_t *a, int n_a, const int64_t *b, int n_b)
{
    int i = 0, j = 0;
    for (;;) {
        while (i < n_a && a[i] == 1)
            i++;
        while (j < n_b && b[j] == 1)
            j++;
        if (i == n_a || j == n_b)
            return i == n_a && j == n_b;
        if (a[i++] != b[j++])
            return false;
    }
}

static int check_shape(const bind_ctx *b, const qn_tensor *t,
                       const int64_t *want, int n)
{
    if (same_shape(t->shape, t->n_dims, want, n))
        return QN_OK;
    qn_str s;
    qn_str_init(&s);
    qn_str_addf(&s, "tensor %s: config says ", t->name);
    shape_text(&s, want, n);
    qn_str_adds(&s, ", file has ");
    shape_text(&s, t->shape, t->n_dims);
    int rc = qn_fail(b->err, QN_EFORMAT, "%s", s.p);
    qn_str_deinit(&s);
    return rc;
}

/* A quantized matrix stays codes where the backend has a layout for them, and
 * is decoded to f32 otherwise. */
static int pick_quantized(const bind_ctx *b, qn_slot *s)
{
    if (s->kind == QN_VECTOR)
        return qn_fail(b->err, QN_EUNSUP,
                       "tensor %s: %s is not supported there", s->t->name,
                       s->t->format);
    s->dtype = QN_F32;
    s->coded = !s->turned && qn_codes_of(qn_ckpt_quant(s->t), &s->codes);
    /* the backend takes an order in linear layers, not in experts */
    if (s->codes.order && (s->kind != QN_MATRIX || b->net->hp.n_exp > 0))
        s->coded = false;
    return QN_OK;
}

qn_weight_desc qn_slot_desc(const qn_slot *s)
{
    return (qn_weight_desc){.n_out = s->n_out,
                            .n_in = s->n_in,
                            .dtype = s->dtype,
                            .codes = s->coded ? &s->codes : NULL};
}

/* The type that the backend gets: as it lies, or f32, or (narrow) bf16 instead. */
static int pick_dtype(const bind_ctx *b, qn_slot *s)
{
    const qn_tensor *t = s->t;
    if (t->quant)
        return pick_quantized(b, s);
    bool real = t->dtype < QN_I8 || t->dtype > QN_BOOL;
    const qn_dtype_row *row = t->dtype < QN_DTYPE_N && real
                                  ? qn_dtype_get(t->dtype)
                                  : NULL;
    if (!row || !row->decode)
        return qn_fail(b->err, QN_EUNSUP,
                       "tensor %s: weights in the format %s cannot be read yet",
                       t->name, t->format);
    bool one = s->transposed && s->n_part == 1 && !s->turned;
    if ((one || s->kind == QN_VECTOR) && row->block_elems > 1)
        return qn_fail(b->err, QN_EUNSUP,
                       "tensor %s: blocks of %s are not supported there",
                       t->name, t->format);
    int64_t n_row = s->transposed ? s->rows.total / s->n_part : s->n_in;
    if (n_row % row->block_elems != 0)
        return qn_fail(b->err, QN_EFORMAT,
                       "tensor %s: rows of %" PRId64
                       " elements are not whole blocks of %s",
                       t->name, n_row, t->format);
    qn_backend *be = b->net->be;
    bool kept = s->kind != QN_VECTOR &&
                !(s->transposed && row->block_elems > 1);
    s->dtype = kept && be->api->weight_supports(be, t->dtype) ? t->dtype
                                                              : QN_F32;
    if (b->params->narrow && s->kind != QN_VECTOR && s->dtype == QN_F32)
        s->dtype = QN_BF16;
    return QN_OK;
}

static int check_tensor(const bind_ctx *b, const qn_slot *s,
                        const qn_role_shape *shape, bool stacked, bool flat)
{
    int64_t want[3], n_exp = qn_role_count(&b->net->hp, s->role);
    int n = 0;
    if (stacked && !flat)
        want[n++] = n_exp;
    if (s->role == QN_R_REC_NORM && s->t->n_dims == 2 &&
        s->t->shape[0] == b->net->hp.rec.n_group) {
        /* GGUF writes it group by group */
        want[n++] = s->t->shape[0];
        want[n++] = s->rows.total / s->t->shape[0];
    } else if (s->kind == QN_VECTOR) {
        int64_t n_rows = !s->bias                    ? shape->n_rows
                         : shape->kind == QN_EXPERTS ? n_exp
                                                     : 1;
        if (n_rows > 1)
            want[n++] = n_rows;
        want[n++] = s->rows.total / n_rows;
    } else if (s->n_part > 1) {
        int64_t per = s->rows.total / s->n_part;
        want[n++] = s->n_part;
        want[n++] = s->transposed ? s->n_in : per;
        want[n++] = s->transposed ? per : s->n_in;
    } else if (s->transposed) {
        want[n++] = s->n_in;
        want[n++] = s->rows.total;
    } else {
        want[n++] = s->rows.total;
        want[n++] = s->n_in;
    }
    if (stacked && flat)
        want[0] *= n_exp;
    return check_shape(b, s->t, want, n);
}

/* Bytes of the slot's elements in the file. */
static int stored_bytes(qn_slot *s, uint64_t elems, qn_err *err)
{
    if (!s->t->quant)
        return qn_dtype_bytes(s->t->dtype, elems, &s->stored_bytes, err);
    double share = (double)elems / (double)QN_MAX(s->t->n_elems, 1);
    s->stored_bytes = (uint64_t)(share * (double)qn_ckpt_quant_bytes(s->t));
    return QN_OK;
}

/* Of a table that only single rows are taken from. */
static bool stays_in_file(const bind_ctx *b, const qn_slot *s)
{
    const qn_net *net = b->net;
    uint64_t min = b->params->lookup_min;
    bool table = s->role == QN_R_PLE_EMBED ||
                 (s->role == QN_R_EMBED && !net->hp.tied);
    return min > 0 && s->stored_bytes >= min && table && !s->transposed &&
           s->rows.stride == 0 && !s->t->quant && !s->t->strided &&
           net->be->api->host_memory;
}

/* Accounts for a slot that is complete. */
static int slot_push(bind_ctx *b, qn_slot *s)
{
    qn_net *net = b->net;
    uint64_t elems = (uint64_t)s->n_out * (uint64_t)s->n_in;
    QN_TRY(pick_dtype(b, s));
    QN_TRY(stored_bytes(s, elems, b->err));
    s->format = s->t->format;
    s->name = qn_xstrdup(s->t->name);
    s->stored = s->t->dtype;
    net->n_params += elems;
    if (s->kind == QN_VECTOR) {
        s->vec_at = net->vector_bytes;
        net->vector_bytes += (elems * sizeof(float) + 63) / 64 * 64;
    } else if (!(s->looked_up = stays_in_file(b, s))) {
        net->file_bytes += s->stored_bytes;
        qn_weight_desc d = qn_slot_desc(s);
        uint64_t n = net->be->api->weight_bytes(net->be, &d);
        if (!qn_add_u64(net->weight_bytes, n, &net->weight_bytes))
            return qn_fail(b->err, QN_ENOMEM,
                           "tensor %s does not fit into any memory",
                           s->t->name);
    }
    qn_map_put(&b->used, s->t->name, strlen(s->t->name), 1);
    qn_vec_push(&net->slots, *s);
    return QN_OK;
}

/* ---- one role ---------------------------------------------------------- */

static int role_missing(const bind_ctx *b, qn_role role, int layer, int expert,
                        bool bias)
{
    qn_str s, list;
    qn_str_init(&s);
    qn_str_init(&list);
    const qn_name *row;
    for (int at = 0; (row = qn_names_row(b->names, role, at)); at++) {
        name_make(b, &s, b->prefix.n, layer, row, expert, bias);
        qn_str_addf(&list, "%s%s", at ? ", " : "", s.p);
    }
    int rc = list.n ? qn_fail(b->err, QN_ENOENT,
                              "%s: the tensor of %s%s is missing; looked for "
                              "%s",
                              qn_ckpt_path(b->ck), qn_role_name(role),
                              bias ? " bias" : "", list.p)
                    : qn_fail(b->err, QN_EUNSUP,
                              "model_type %s has no name for %s",
                              b->net->hp.family, qn_role_name(role));
    qn_str_deinit(&s);
    qn_str_deinit(&list);
    return rc;
}

/* The tensor of a row; those of the whole network may lie further out. */
static const qn_tensor *find_tensor(const bind_ctx *b, const qn_name *row,
                                    int layer, int expert, bool bias)
{
    qn_str s;
    qn_str_init(&s);
    const qn_tensor *t = NULL;
    for (size_t n = b->prefix.n;; n = name_parent(b->prefix.p, n)) {
        name_make(b, &s, n, layer, row, expert, bias);
        t = qn_ckpt_find(b->ck, s.p);
        if (t || layer >= 0 || n == 0)
            break;
    }
    qn_str_deinit(&s);
    return t;
}

/* Whether experts that may lie either way are transposed: the last of them,
 * [n_exp, d_ff_exp, d_model] or [n_exp, d_model, d_ff_exp], tells. */
static int experts_turned(const bind_ctx *b, int layer, bool *out)
{
    const qn_hparams *hp = &b->net->hp;
    const qn_name *row;
    for (int at = 0; (row = qn_names_row(b->names, QN_R_EXP_DOWN, at)); at++) {
        const qn_tensor *t = row->flags & QN_NAME_EITHER
                                 ? find_tensor(b, row, layer, -1, false)
                                 : NULL;
        if (!t || t->n_dims != 3)
            continue;
        if (hp->d_model == hp->d_ff_exp)
            return qn_fail(b->err, QN_EUNSUP,
                           "tensor %s: square experts may lie either way",
                           t->name);
        *out = t->shape[2] == hp->d_model;
        return QN_OK;
    }
    *out = true;
    return QN_OK;
}

/* A slot with its tensor, whose shape is right. */
static int make_slot(bind_ctx *b, qn_role role, int layer, int expert,
                     const qn_role_shape *shape, bool bias, qn_slot *out)
{
    const qn_name *row;
    const qn_tensor *t = NULL;
    for (int at = 0; !t; at++) {
        row = qn_names_row(b->names, role, at);
        if (!row)
            return role_missing(b, role, layer, expert, bias);
        t = find_tensor(b, row, layer, expert, bias);
    }
    bool turned = row->flags & QN_NAME_TRANSPOSED;
    if (row->flags & QN_NAME_EITHER)
        QN_TRY(experts_turned(b, layer, &turned));
    int n_out = bias && shape->n_bias ? shape->n_bias : shape->n_out;
    bool stacked = expert >= 0 && !strstr(row->name, "%d");
    qn_slot s = {
        .t = t,
        .role = role,
        .layer = layer,
        .expert = expert,
        .bias = bias,
        .kind = bias ? QN_VECTOR : shape->kind,
        .n_out = n_out,
        .n_in = bias ? 1 : shape->n_in,
        .rows = qn_role_rows(&b->net->hp, role, row->cut, n_out),
        /* Quantizers turn the matrices of such modules round. */
        .transposed = !bias && !t->quant && turned,
        .n_part = row->flags & QN_NAME_BY_HEAD ? b->net->hp.n_kv : 1,
    };
    if (bias && shape->kind == QN_EXPERTS) {
        int64_t n_exp = b->net->hp.n_exp; /* their biases in one vector */
        if (s.rows.stride == 0)
            s.rows.stride = s.rows.total;
        s.rows.total *= n_exp;
        s.n_out *= n_exp;
    }
    if (stacked)
        s.first = (uint64_t)expert * (uint64_t)s.rows.total * (uint64_t)s.n_in;
    *out = s;
    return check_tensor(b, &s, shape, stacked, row->flags & QN_NAME_FLAT);
}

static int bind_one(bind_ctx *b, qn_role role, int layer, int expert,
                    const qn_role_shape *shape, bool bias)
{
    qn_slot s;
    QN_TRY(make_slot(b, role, layer, expert, shape, bias, &s));
    return slot_push(b, &s);
}

/* The head's part of all heads' keys or values, [width, kv_rank] each: values
 * as they are, keys turned, for it is queries that they multiply (blk_mla.c).
 * GGUF may have the keys turned already. */
static qn_slot head_of(const qn_slot *all, int head, int width)
{
    bool key = all->role == QN_R_K;
    int64_t rank = all->n_in;
    int64_t row = all->n_part > 1 ? (int64_t)head * width
                                  : head * all->rows.stride + all->rows.offset;
    qn_slot s = *all;
    s.kind = QN_EXPERTS;
    s.expert = head;
    s.first = (uint64_t)(row * rank);
    s.n_part = 1;
    s.n_out = key ? rank : width;
    s.n_in = key ? width : rank;
    s.rows = (qn_row_map){s.n_out, 0, 0, s.n_out};
    s.turned = key && !all->transposed;
    s.transposed = s.turned && !all->t->quant;
    return s;
}

static int bind_heads(bind_ctx *b, qn_role role, int layer,
                      const qn_role_shape *shape)
{
    qn_slot all;
    int n = b->net->hp.n_head;
    QN_TRY(make_slot(b, role, layer, -1, shape, false, &all));
    for (int h = 0; h < n; h++) {
        qn_slot s = head_of(&all, h, shape->n_out / n);
        QN_TRY(slot_push(b, &s));
    }
    return QN_OK;
}

/* A vector with a row for each head, which may be a tensor of its own: they
 * come to lie one after the other. */
static int bind_rows(bind_ctx *b, qn_role role, int layer,
                     const qn_role_shape *shape)
{
    const qn_name *row = qn_names_row(b->names, role, 0);
    if (!row || !strstr(row->name, "%d"))
        return bind_one(b, role, layer, -1, shape, false);
    qn_role_shape one = {QN_VECTOR, shape->n_out / shape->n_rows, 1, 1, false,
                         0};
    uint64_t begin = b->net->vector_bytes;
    uint64_t size = (uint64_t)one.n_out * sizeof(float);
    for (int h = 0; h < shape->n_rows; h++) {
        b->net->vector_bytes = begin + (uint64_t)h * size;
        QN_TRY(bind_one(b, role, layer, h, &one, false));
    }
    uint64_t end = begin + (uint64_t)shape->n_rows * size;
    b->net->vector_bytes = (end + 63) / 64 * 64; /* as for any other vector */
    return QN_OK;
}

static int bind_role(bind_ctx *b, qn_role role, int layer)
{
    const qn_hparams *hp = &b->net->hp;
    qn_role_shape shape;
    if (!qn_role_shape_of(hp, role, layer, &shape))
        return QN_OK;
    if (hp->mla.kv_rank && (role == QN_R_K || role == QN_R_V))
        return bind_heads(b, role, layer, &shape);
    if (shape.kind == QN_EXPERTS) {
        for (int e = 0; e < qn_role_count(hp, role); e++)
            QN_TRY(bind_one(b, role, layer, e, &shape, false));
    } else if (role == QN_R_Q_NORM || role == QN_R_K_NORM) {
        QN_TRY(bind_rows(b, role, layer, &shape));
    } else if (!(role == QN_R_HEAD && hp->tied)) {
        QN_TRY(bind_one(b, role, layer, -1, &shape, false));
    }
    if (shape.bias)
        QN_TRY(bind_one(b, role, layer, -1, &shape, true));
    return QN_OK;
}

/* ---- all of them ------------------------------------------------------- */

/* GGUF keeps the divisors of Llama 3.1's frequencies as a tensor. */
static int bind_rope_divisors(bind_ctx *b)
{
    qn_rope_hp *r = &b->net->hp.rope[0];
    const qn_tensor *t = qn_ckpt_find(b->ck, "rope_freqs.weight");
    if (b->net->container != QN_CKPT_GGUF || !t || r->n_freq == 0 ||
        r->scaling == QN_ROPE_PROPORTIONAL) /* the same in other words */
        return QN_OK;
    int64_t want = r->n_freq;
    QN_TRY(check_shape(b, t, &want, 1));
    if (t->dtype != QN_F32)
        return qn_fail(b->err, QN_EUNSUP, "tensor %s should be f32, is %s",
                       t->name, t->format);
    r->divisors = qn_xcalloc((size_t)want, sizeof(float));
    QN_TRY(qn_ckpt_read(b->ck, t, 0, r->divisors, (size_t)t->n_bytes, b->err));
    for (int i = 0; i < r->n_freq; i++) {
        if (!(r->divisors[i] > 0 && r->divisors[i] < 1e9f))
            return qn_fail(b->err, QN_EFORMAT,
                           "tensor %s: element %d is no divisor", t->name, i);
    }
    return QN_OK;
}

/* Files of tied networks often hold the head a second time. */
static bool is_spare_head(const bind_ctx *b, const char *name)
{
    const qn_name *row = qn_names_row(b->names, QN_R_HEAD, 0);
    char full[64];
    snprintf(full, sizeof full, "%s.weight", row ? row->name : "lm_head");
    return b->net->hp.tied && qn_ends(name, full);
}

static void note_ignored(bind_ctx *b)
{
    b->net->ignored = json_array();
    for (size_t i = 0; i < qn_ckpt_n_tensors(b->ck); i++) {
        const char *name = qn_ckpt_tensor(b->ck, i)->name;
        uint64_t one;
        if (!qn_map_get(&b->used, name, strlen(name), &one) &&
            !qn_names_idle(name) && !is_spare_head(b, name))
            json_array_append_new(b->net->ignored, json_string(name));
    }
    size_t n = json_array_size(b->net->ignored);
    if (n)
        qn_log(1, "%s: %zu tensors are not part of %s and were left out: %s%s",
               qn_ckpt_path(b->ck), n, b->net->hp.family,
               json_string_value(json_array_get(b->net->ignored, 0)),
               n > 1 ? ", ..." : "");
}

/* A table of positions that is computed counts like one that is read. */
static int plan_positions(bind_ctx *b)
{
    qn_net *net = b->net;
    const qn_hparams *hp = &net->hp;
    if (hp->pos != QN_POS_SINUS)
        return QN_OK;
    net->pos_table = (qn_weight_desc){.n_out = hp->n_ctx_train + hp->pos_offset,
                                      .n_in = hp->d_model,
                                      .dtype = QN_F32};
    uint64_t n = net->be->api->weight_bytes(net->be, &net->pos_table);
    if (!qn_add_u64(net->weight_bytes, n, &net->weight_bytes))
        return qn_fail(b->err, QN_ENOMEM, "%s does not fit into any memory",
                       qn_ckpt_path(b->ck));
    return QN_OK;
}

/* A network and what is around it may say otherwise whether the head is the
 * embedding. What counted has changed in transformers; the files tell. */
static void settle_head(bind_ctx *b)
{
    qn_hparams *hp = &b->net->hp;
    const qn_name *row;
    bool found = false;
    if (!hp->tied_unsure)
        return;
    for (int at = 0; (row = qn_names_row(b->names, QN_R_HEAD, at)); at++)
        found |= find_tensor(b, row, -1, -1, false) != NULL;
    hp->tied = !found;
}

static int bind_all(bind_ctx *b)
{
    QN_TRY(find_prefix(b));
    settle_head(b);
    for (int r = 0; r < QN_R_GLOBAL_N; r++)
        QN_TRY(bind_role(b, (qn_role)r, -1));
    for (int l = 0; l < b->net->hp.n_layer; l++)
        for (int r = QN_R_GLOBAL_N; r < QN_R_N; r++)
            QN_TRY(bind_role(b, (qn_role)r, l));
    QN_TRY(bind_rope_divisors(b));
    QN_TRY(plan_positions(b));
    b->net->slopes_at = b->net->vector_bytes;
    if (b->net->hp.pos == QN_POS_ALIBI)
        b->net->vector_bytes +=
            ((uint64_t)b->net->hp.n_head * sizeof(float) + 63) / 64 * 64;
    if (!qn_add_u64(b->net->weight_bytes, b->net->vector_bytes,
                    &b->net->weight_bytes))
        return qn_fail(b->err, QN_ENOMEM, "%s does not fit into any memory",
                       qn_ckpt_path(b->ck));
    note_ignored(b);
    return QN_OK;
}

int qn_bind(qn_net *net, const qn_ckpt *ck, const qn_net_params *params,
            qn_err *err)
{
    bind_ctx b = {.net = net,
                  .ck = ck,
                  .err = err,
                  .params = params,
                  .names = net->fam->names};
    if (net->container == QN_CKPT_GGUF)
        b.names = net->fam->gguf ? net->fam->gguf : &qn_names_gguf;
    qn_str_init(&b.prefix);
    qn_map_init(&b.used, qn_ckpt_n_tensors(ck));
    int rc = bind_all(&b);
    qn_map_deinit(&b.used);
    qn_str_deinit(&b.prefix);
    return rc;
}
