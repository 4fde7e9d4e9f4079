/* gguf_plan.c - which tensors the file has, and what becomes of each. */
#include "quantize/gguf_out.h"

#include "base/compiler.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/names.h"

#include <string.h>

/* ---- the network's view -------------------------------------------------- */

typedef struct seen {
    qn_map map; /* tensor of the source -> index + 1 */
    QN_VEC(qn_net_matrix) m;
    bool has_head;
} seen;

static void look(seen *s, const qn_net *net)
{
    qn_net_matrix m;
    qn_map_init(&s->map, 64);
    for (size_t i = 0; qn_net_matrix_at(net, i, &m); i++) {
        s->has_head |= m.head;
        qn_vec_push(&s->m, m);
        qn_map_add(&s->map, m.tensor, strlen(m.tensor), s->m.n);
    }
}

static void see(const seen *s, const char *source, qn_gq_tensor *t)
{
    uint64_t at;
    t->layer = t->role = -1;
    t->what = QN_GQ_STAYS;
    if (!source || !qn_map_get(&s->map, source, strlen(source), &at))
        return;
    const qn_net_matrix *m = &s->m.v[at - 1];
    t->role = m->role_id;
    t->layer = m->layer;
    if (m->linear && t->n_dims > 1)
        t->what = QN_GQ_LINEAR;
    else if (m->head)
        t->what = QN_GQ_HEAD;
    else if (m->role_id == QN_R_EMBED)
        t->what = s->has_head ? QN_GQ_EMBED : QN_GQ_HEAD;
}

/* ---- the list ------------------------------------------------------------ */

static int add_exported(qn_gq *g, const seen *s, qn_err *err)
{
    QN_TRY(qn_gguf_export_new(&g->e, g->ck, err));
    for (size_t i = 0; i < qn_gguf_export_n(g->e); i++) {
        const qn_gguf_export_tensor *x = qn_gguf_export_at(g->e, i);
        qn_gq_tensor t = {.name = x->name,
                          .source = x->source,
                          .n_dims = x->n_dims,
                          .n_rows = x->n_rows,
                          .n_cols = x->n_cols,
                          .stored = x->stored,
                          .whole = x->whole};
        memcpy(t.shape, x->shape, sizeof t.shape);
        see(s, x->source, &t);
        if (t.what == QN_GQ_STAYS)
            t.stored = QN_F32; /* as converters write these */
        qn_vec_push(&g->t, t);
    }
    return QN_OK;
}

/* Weights that were quantized once lose more when they are quantized again. */
static int check_stored(const qn_gq *g, const qn_gq_tensor *t,
                        const qn_tensor *src, qn_err *err)
{
    bool fine = t->stored == QN_F32 || t->stored == QN_F16 ||
                t->stored == QN_BF16 || t->stored == QN_F64 ||
                t->stored == QN_Q8_0;
    if (t->what != QN_GQ_LINEAR || fine)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP,
                   "%s: tensor %s is %s already; start from a file in f32, "
                   "f16, bf16 or q8_0",
                   qn_ckpt_path(g->ck), t->name, src->format);
}

static int add_carried(qn_gq *g, const seen *s, qn_err *err)
{
    for (size_t i = 0; i < qn_ckpt_n_tensors(g->ck); i++) {
        const qn_tensor *src = qn_ckpt_tensor(g->ck, i);
        qn_gq_tensor t = {.name = src->name,
                          .source = src->name,
                          .n_dims = src->n_dims,
                          .n_rows = 1,
                          .n_cols = 1,
                          .stored = src->dtype};
        if (src->n_dims < 1 || src->n_dims > 4 || src->dtype == QN_DTYPE_N)
            return qn_fail(err, QN_EUNSUP,
                           "%s: tensor %s (%s, %d dimensions) cannot be "
                           "carried over",
                           qn_ckpt_path(g->ck), src->name, src->format,
                           src->n_dims);
        memcpy(t.shape, src->shape, sizeof t.shape);
        t.n_cols = t.shape[t.n_dims - 1];
        for (int d = 0; d + 1 < t.n_dims; d++)
            t.n_rows *= t.shape[d];
        see(s, src->name, &t);
        QN_TRY(check_stored(g, &t, src, err));
        qn_vec_push(&g->t, t);
    }
    return QN_OK;
}

/* --skip and --only name modules as the source does, or as GGUF does. */
static void apply_rules(qn_gq_tensor *t, const qn_optimize_params *p)
{
    bool only = qn_rule_names(t->source, p->only, p->n_only) ||
                qn_rule_names(t->name, p->only, p->n_only);
    t->kept = qn_rule_names(t->source, p->skip, p->n_skip) ||
              qn_rule_names(t->name, p->skip, p->n_skip) ||
              (p->n_only && !only);
}

int qn_gq_open(qn_gq *g, const qn_ckpt *ck, const qn_net *net,
               const qn_optimize_params *p, qn_err *err)
{
    seen s = {.has_head = false};
    *g = (qn_gq){.ck = ck};
    look(&s, net);
    int rc = qn_ckpt_container(ck) == QN_CKPT_GGUF ? add_carried(g, &s, err)
                                                   : add_exported(g, &s, err);
    qn_map_deinit(&s.map);
    qn_vec_deinit(&s.m);
    for (size_t i = 0; i < g->t.n && rc == QN_OK; i++) {
        apply_rules(&g->t.v[i], p);
        rc = qn_gq_set(&g->t.v[i], g->t.v[i].stored, err);
    }
    return rc;
}

void qn_gq_deinit(qn_gq *g)
{
    qn_gguf_export_free(g->e);
    qn_vec_deinit(&g->t);
    *g = (qn_gq){0};
}

/* ---- formats ------------------------------------------------------------- */

int qn_gq_set(qn_gq_tensor *t, qn_dtype dtype, qn_err *err)
{
    uint64_t row;
    t->dtype = qn_gguf_type_fitting(dtype, t->n_cols);
    t->fitted = t->dtype != dtype;
    int rc = qn_dtype_bytes(t->dtype, (uint64_t)t->n_cols, &row, err);
    if (rc == QN_OK && !qn_mul_u64(row, (uint64_t)t->n_rows, &t->n_bytes))
        rc = qn_fail(err, QN_EFORMAT, "more than 2^64 bytes");
    return rc < 0 ? qn_err_prefix(err, rc, "tensor %s", t->name) : rc;
}

/* Layers that the mixtures called *_m give more bits: the first and the last
 * eighth, and every third between (llama.cpp's use_more_bits). */
static bool gets_more(const qn_gq_tensor *t, int n_layer)
{
    bool told = t->role == QN_R_V || t->role == QN_R_DOWN ||
                t->role == QN_R_EXP_DOWN;
    int i = t->layer, eighth = n_layer / 8;
    return told &&
           (i < eighth || i >= 7 * n_layer / 8 || (i - eighth) % 3 == 2);
}

static int named_type(const char *option, const char *name, qn_dtype *out,
                      qn_err *err)
{
    if (!name || qn_gguf_type_named(name, out))
        return QN_OK;
    qn_str s;
    qn_str_init(&s);
    qn_gguf_kind_names(&s);
    int rc = qn_fail(err, QN_EUNSUP,
                     "%s: there is no type \"%s\" in GGUF; there are %s "
                     "(those with _m are no types of one tensor)",
                     option, name, s.p);
    qn_str_deinit(&s);
    return rc;
}

static int rule_type(const qn_gq_tensor *t, const qn_optimize_params *p,
                     qn_dtype *out, qn_err *err)
{
    const char *names[] = {t->source, t->name}, *type;
    QN_TRY(qn_rule_find(p, names, QN_COUNTOF(names), &type, err));
    return named_type("--rule", type, out, err);
}

int qn_gq_said(const qn_gq_tensor *t, const qn_optimize_params *p,
               qn_dtype *out, qn_err *err)
{
    *out = QN_DTYPE_N;
    if (t->what == QN_GQ_HEAD)
        QN_TRY(named_type("--head-type", p->head_type, out, err));
    if (t->what == QN_GQ_EMBED)
        QN_TRY(named_type("--embedding-type", p->embed_type, out, err));
    return rule_type(t, p, out, err);
}

int qn_gq_choose(qn_gq *g, const qn_optimize_params *p,
                 const qn_gguf_kind *kind, qn_err *err)
{
    qn_dtype head = kind->dtype;
    int n_layer = 0;
    switch (kind->dtype) { /* few bits cost most there */
    case QN_F32:
    case QN_F16:
    case QN_BF16:
    case QN_Q8_0: break;
    default: head = QN_Q6_K; break;
    }
    for (size_t i = 0; i < g->t.n; i++)
        n_layer = QN_MAX(n_layer, g->t.v[i].layer + 1);
    for (size_t i = 0; i < g->t.n; i++) {
        qn_gq_tensor *t = &g->t.v[i];
        if (t->what == QN_GQ_STAYS || t->kept)
            continue;
        qn_dtype said, type = t->what == QN_GQ_HEAD    ? head
                              : t->what == QN_GQ_EMBED ? kind->dtype
                              : kind->more && gets_more(t, n_layer)
                                  ? QN_Q6_K
                                  : kind->dtype;
        QN_TRY(qn_gq_said(t, p, &said, err));
        QN_TRY(qn_gq_set(t, said == QN_DTYPE_N ? type : said, err));
    }
    return QN_OK;
}

void qn_gq_report(const qn_gq *g, qn_optimize_report *r)
{
    double bytes = 0;
    for (size_t i = 0; i < g->t.n; i++) {
        const qn_gq_tensor *t = &g->t.v[i];
        const qn_dtype_row *d = qn_dtype_get(t->stored);
        uint64_t n = (uint64_t)t->n_rows * (uint64_t)t->n_cols;
        r->n_params += n;
        r->source_bytes += n / (uint64_t)d->block_elems *
                           (uint64_t)d->block_bytes;
        r->output_bytes += t->n_bytes;
        if (t->what == QN_GQ_STAYS || t->kept)
            continue;
        r->n_matrices++;
        r->n_quantized += n;
        bytes += (double)t->n_bytes;
    }
    r->bits_quantized = 8 * bytes / (double)QN_MAX(r->n_quantized, 1);
    r->bits_per_weight = 8 * (double)r->output_bytes /
                         (double)QN_MAX(r->n_params, 1);
}
