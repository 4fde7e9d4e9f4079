/* quantized.c - parts of quantized matrices, joined to one tensor each.
 *
 * A directory whose config.json has a quantization_config holds, for a module
 * that was quantized, several tensors (codes, scales, zero points) instead of
 * one weight. Which they are stands in the schemes of tensor/qmat.h; here they
 * are found by name and replaced, in the list of tensors, by one tensor that
 * has the name and the shape of the weight. What is above never sees parts,
 * and modules that were left out of quantization need no rule: their weights
 * are ordinary tensors.
 *
 * Invariant: a part belongs to one matrix, and every shape was checked by the
 * scheme before a tensor stands for it. */
#include "ckpt/ckpt_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_MAX ((uint64_t)4096)

typedef struct qn_ckpt_quant {
    qn_qmat mat;
    size_t part[QN_QPARTS]; /* index + 1 into ck->parts, 0: none */
    uint64_t n_bytes;       /* of all parts */
} ckpt_quant;

typedef struct join_ctx {
    qn_ckpt *ck;
    const json_t *q;
    uint8_t *is_part;  /* [n_tensors] 1: a part, 2: the main part */
    qn_tensor *joined; /* [n_tensors] what stands for a main part */
    size_t *moved;     /* [n_tensors] index into ck->parts        */
    qn_err *err;
} join_ctx;

/* ---- one matrix -------------------------------------------------------- */

/* Index of the tensor `module` + `suffix`. */
static bool find_part(const qn_ckpt *ck, const char *module, size_t n,
                      const char *suffix, size_t *index)
{
    qn_str s;
    uint64_t i = 0;
    qn_str_init(&s);
    qn_str_add(&s, module, n);
    qn_str_adds(&s, suffix);
    bool found = qn_map_get(&ck->by_name, s.p, s.n, &i);
    qn_str_deinit(&s);
    *index = (size_t)i;
    return found;
}

static bool fill_part(qn_qpart *p, const qn_tensor *t)
{
    if (t->n_dims > QN_QDIMS || t->dtype == QN_DTYPE_N)
        return false;
    *p = (qn_qpart){.name = t->name,
                    .dtype = t->dtype,
                    .n_dims = t->n_dims,
                    .n_elems = t->n_elems,
                    .n_bytes = t->n_bytes};
    memcpy(p->shape, t->shape, (size_t)t->n_dims * sizeof *p->shape);
    return true;
}

/* Whether the tensor is the main part of a module of scheme s whose other
 * parts are there as well; fills the parts. */
static bool gather(const join_ctx *j, const qn_qscheme *s, size_t main,
                   ckpt_quant *out)
{
    const qn_tensor *t = &j->ck->tensors[main];
    if (!qn_ends(t->name, s->part[0].suffix))
        return false;
    size_t n = strlen(t->name) - strlen(s->part[0].suffix);
    memset(out, 0, sizeof *out);
    out->mat.scheme = s;
    for (int i = 0; i < QN_QPARTS && s->part[i].suffix; i++) {
        size_t at;
        if (!find_part(j->ck, t->name, n, s->part[i].suffix, &at)) {
            if (s->part[i].required)
                return false;
            continue;
        }
        if (j->is_part[at] ||
            !fill_part(&out->mat.part[i], &j->ck->tensors[at]))
            return false;
        out->part[i] = at + 1;
        out->n_bytes += j->ck->tensors[at].n_bytes;
    }
    if (s->is_main && !s->is_main(&out->mat.part[0]))
        return false;
    out->mat.name = qn_arena_strndup(&j->ck->arena, t->name, n);
    return true;
}

static int read_small(const join_ctx *j, ckpt_quant *cq)
{
    qn_qmat *m = &cq->mat;
    for (int i = 0; i < QN_QPARTS; i++) {
        qn_qpart *p = &m->part[i];
        if (!m->scheme->part[i].small || !p->name)
            continue;
        if (p->n_bytes > SMALL_MAX)
            return qn_fail(j->err, QN_EFORMAT,
                           "tensor %s: %" PRIu64 " bytes, where %s has a few",
                           p->name, p->n_bytes, m->scheme->name);
        size_t n = (size_t)p->n_bytes;
        void *mem = qn_arena_alloc(&j->ck->arena, n + 1);
        QN_TRY(qn_ckpt_read(j->ck, &j->ck->tensors[cq->part[i] - 1], 0, mem, n,
                            j->err));
        p->p = mem;
    }
    return QN_OK;
}

/* Columns by their groups, idx [n_in]; false: not all groups are full (but the
 * last). */
static bool sort_columns(const qn_qmat *m, const int32_t *idx, int32_t *order)
{
    int64_t n_group = qn_qmat_n_group(m);
    int64_t *at = qn_xcalloc((size_t)n_group, sizeof *at);
    bool full = true;
    for (int64_t k = 0; k < m->n_in && full; k++) {
        int64_t g = idx[k];
        full = g >= 0 && g < n_group &&
               at[g] < QN_MIN(m->group, m->n_in - g * m->group);
        if (full)
            order[g * m->group + at[g]++] = (int32_t)k;
    }
    free(at);
    return full;
}

/* GPTQ's files name each column's group also where columns were taken in order:
 * then the matrix is one without such a part. Where they were not, backends
 * keep codes, too, by the order in which groups are side by side. */
static int find_order(const join_ctx *j, ckpt_quant *cq)
{
    qn_qmat *m = &cq->mat;
    if (m->g_idx_part < 0)
        return QN_OK;
    const qn_tensor *t = &j->ck->tensors[cq->part[m->g_idx_part] - 1];
    size_t n = (size_t)m->n_in * sizeof(int32_t);
    int32_t *idx = qn_alloc(2 * n, 1);
    bool plain = true;
    int rc = idx ? qn_ckpt_read(j->ck, t, 0, idx, n, j->err)
                 : qn_fail(j->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    for (int64_t k = 0; k < m->n_in && rc == QN_OK; k++)
        plain = plain && idx[k] == k / m->group;
    if (rc == QN_OK && plain)
        m->g_idx_part = -1;
    else if (rc == QN_OK && sort_columns(m, idx, idx + m->n_in)) {
        int32_t *order = qn_arena_alloc(&j->ck->arena, n);
        memcpy(order, idx + m->n_in, n);
        m->order = order;
    }
    qn_free(idx);
    return rc;
}

/* The tensor that stands for the parts. */
static int join_one(join_ctx *j, const ckpt_quant *found, size_t main)
{
    qn_ckpt *ck = j->ck;
    ckpt_quant *cq = qn_arena_calloc(&ck->arena, 1, sizeof *cq);
    *cq = *found;
    qn_qmat *m = &cq->mat;
    QN_TRY(read_small(j, cq));
    int rc = qn_qmat_plan(m, j->q, j->err);
    if (rc < 0)
        return qn_err_prefix(j->err, rc, "%s", ck->path);
    QN_TRY(find_order(j, cq));
    for (int i = 0; i < QN_QPARTS; i++) {
        if (cq->part[i])
            j->is_part[cq->part[i] - 1] = 1;
    }
    j->is_part[main] = 2; /* the place of the joined tensor */
    qn_tensor *t = &j->joined[main];
    *t = ck->tensors[main];
    t->quant = cq;
    t->dtype = QN_DTYPE_N;
    t->format = m->scheme->name;
    t->n_dims = m->n_dims;
    memcpy(t->shape, m->shape, sizeof m->shape);
    t->n_elems = (uint64_t)m->n_out * (uint64_t)m->n_in;
    return QN_OK;
}

/* The name of the weight: "module.weight", but for parts that have no such
 * module ("experts.down_proj_blocks" keeps its own). */
static const char *joined_name(qn_ckpt *ck, const qn_qmat *m)
{
    if (m->scheme->part[0].suffix[0] != '.')
        return m->part[0].name;
    qn_str s;
    qn_str_init(&s);
    qn_str_addf(&s, "%s.weight", m->name);
    char *name = qn_arena_strndup(&ck->arena, s.p, s.n);
    qn_str_deinit(&s);
    return name;
}

/* ---- the list ---------------------------------------------------------- */

static int join_all(join_ctx *j)
{
    const char *method = json_string_value(
        json_object_get(j->q, "quant_method"));
    const qn_qscheme *s;
    for (int k = 0; (s = qn_qscheme_at(k)); k++) {
        if (strcmp(s->method, method) != 0)
            continue;
        for (size_t i = 0; i < j->ck->n_tensors; i++) {
            ckpt_quant found;
            if (!j->is_part[i] && gather(j, s, i, &found))
                QN_TRY(join_one(j, &found, i));
        }
    }
    return QN_OK;
}

/* tensors: ordinary and joined ones, in the old order; parts: the rest. */
static int split_lists(join_ctx *j)
{
    qn_ckpt *ck = j->ck;
    size_t n = 0;
    qn_map_deinit(&ck->by_name);
    qn_map_init(&ck->by_name, ck->n_tensors);
    for (size_t i = 0; i < ck->n_tensors; i++) {
        if (j->is_part[i]) {
            j->moved[i] = ck->n_parts;
            ck->parts[ck->n_parts++] = ck->tensors[i];
        }
    }
    for (size_t i = 0; i < ck->n_tensors; i++) {
        if (j->is_part[i] == 1)
            continue;
        qn_tensor t = j->is_part[i] ? j->joined[i] : ck->tensors[i];
        if (t.quant) {
            ckpt_quant *cq = (ckpt_quant *)t.quant;
            for (int k = 0; k < QN_QPARTS; k++)
                cq->part[k] = cq->part[k] ? j->moved[cq->part[k] - 1] + 1 : 0;
            t.name = joined_name(ck, &cq->mat);
        }
        ck->tensors[n] = t;
        if (!qn_map_add(&ck->by_name, t.name, strlen(t.name), n))
            return qn_fail(j->err, QN_EFORMAT,
                           "%s: %s is there both quantized and not", ck->path,
                           t.name);
        n++;
    }
    ck->n_tensors = n;
    return QN_OK;
}

/* AutoGPTQ put it beside config.json before transformers read it there. */
static json_t *side_config(const qn_ckpt *ck)
{
    char *text;
    size_t n;
    json_t *q = NULL;
    if (qn_ckpt_side_file(ck, "quantize_config.json", &text, &n, NULL) < 0)
        return NULL;
    if (qn_json_parse(&q, text, n, "quantize_config.json", NULL) < 0)
        q = NULL;
    qn_free(text);
    if (json_is_object(q) && !json_object_get(q, "quant_method"))
        json_object_set_new(q, "quant_method", json_string("gptq"));
    return q;
}

static const json_t *find_config(const json_t *config)
{
    static const char *const keys[] = {"quantization_config",
                                       "compression_config"};
    const json_t *text = json_object_get(config, "text_config");
    for (size_t i = 0; i < QN_COUNTOF(keys); i++) {
        const json_t *q = json_object_get(config, keys[i]);
        if (!json_is_object(q))
            q = json_object_get(text, keys[i]);
        if (json_is_object(q))
            return q;
    }
    return NULL;
}

int qn_ckpt_join_quantized(qn_ckpt *ck, qn_err *err)
{
    if (ck->container != QN_CKPT_HF || ck->n_tensors == 0)
        return QN_OK;
    const json_t *q = find_config(ck->config);
    json_t *own = q ? NULL : side_config(ck);
    if (!q)
        q = own;
    if (!q)
        return QN_OK;
    join_ctx j = {.ck = ck, .q = q, .err = err};
    int rc = qn_qscheme_check(q, err);
    if (rc < 0) {
        json_decref(own);
        return qn_err_prefix(err, rc, "%s: config.json", ck->path);
    }
    j.is_part = qn_alloc(ck->n_tensors, 1);
    j.joined = qn_alloc(ck->n_tensors, sizeof *j.joined);
    j.moved = qn_alloc(ck->n_tensors, sizeof *j.moved);
    ck->parts = qn_alloc(ck->n_tensors, sizeof *ck->parts);
    if (!j.is_part || !j.joined || !j.moved || !ck->parts) {
        rc = qn_fail(err, QN_ENOMEM, "%s: no memory to list its tensors",
                     ck->path);
    } else {
        rc = join_all(&j);
        if (rc >= 0)
            rc = split_lists(&j);
    }
    qn_free(j.is_part);
    qn_free(j.joined);
    qn_free(j.moved);
    json_decref(own);
    return rc;
}

/* ---- reading ----------------------------------------------------------- */

const qn_qmat *qn_ckpt_quant(const qn_tensor *t)
{
    return t->quant ? &t->quant->mat : NULL;
}

uint64_t qn_ckpt_quant_bytes(const qn_tensor *t)
{
    return t->quant ? t->quant->n_bytes : 0;
}

size_t qn_ckpt_n_parts(const qn_ckpt *ck)
{
    return ck->n_parts;
}

const qn_tensor *qn_ckpt_part(const qn_ckpt *ck, size_t i)
{
    return i < ck->n_parts ? &ck->parts[i] : NULL;
}

int qn_ckpt_quant_open(const qn_ckpt *ck, const qn_tensor *t, qn_qmat *m,
                       void **mem, qn_err *err)
{
    const ckpt_quant *cq = t->quant;
    size_t at[QN_QPARTS] = {0}, total = 0;
    *m = cq->mat;
    *mem = NULL;
    for (int i = 0; i < QN_QPARTS; i++) {
        if (!cq->part[i] || m->part[i].p)
            continue;
        const qn_tensor *p = &ck->parts[cq->part[i] - 1];
        m->part[i].p = qn_ckpt_view(ck, p, 0, (size_t)p->n_bytes);
        if (!m->part[i].p) {
            at[i] = total + 1;
            total += ((size_t)p->n_bytes + 63) / 64 * 64;
        }
    }
    if (total && !(*mem = qn_alloc(total, 1)))
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory to read %zu bytes",
                       t->name, total);
    int rc = QN_OK;
    for (int i = 0; i < QN_QPARTS && rc >= 0; i++) {
        if (!at[i])
            continue;
        const qn_tensor *p = &ck->parts[cq->part[i] - 1];
        char *dst = (char *)*mem + at[i] - 1;
        rc = qn_ckpt_read(ck, p, 0, dst, (size_t)p->n_bytes, err);
        m->part[i].p = dst;
    }
    if (rc >= 0)
        rc = qn_qmat_check(m, err);
    if (rc < 0) {
        qn_ckpt_quant_close(*mem);
        *mem = NULL;
    }
    return rc;
}

void qn_ckpt_quant_view_end(const qn_ckpt *ck, const qn_tensor *t)
{
    for (int i = 0; i < QN_QPARTS; i++) {
        size_t at = t->quant->part[i];
        if (at)
            qn_ckpt_view_end(ck, &ck->parts[at - 1], 0,
                             (size_t)ck->parts[at - 1].n_bytes);
    }
}

void qn_ckpt_quant_close(void *mem)
{
    qn_free(mem);
}
