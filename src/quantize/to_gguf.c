/* to_gguf.c - method gguf: the file and what is told of it.
 *
 * Tensor by tensor; of a tensor some pieces of rows at a time, as many as keep
 * all threads busy: read as f32, encoded, written in order. What a piece holds
 * depends on the tensor alone, so the file does not depend on the threads.
 * Between two tensors the run can be stopped and gone on with. */
#include "base/mem.h"
#include "quantize/auto_gguf.h"
#include "quantize/imatrix.h"
#include "quantize/run.h"
#include "quantize/sensitivity.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_ELEMS = 1 << 17,
    PIECES = 4 /* per thread, in one go */
};

#define IMATRIX_NAME ".imatrix.gguf"

typedef struct gguf_ctx {
    qn_run *r;
    qn_gq g;
    qn_imatrix im;
    const qn_gguf_kind *kind;
    int file_type; /* general.file_type */
    bool kept;     /* the importance matrix lies in the directory */
    size_t begun;  /* tensors that an earlier run wrote */
    qn_watch watch;
    qn_err *err;
} gguf_ctx;

/* ---- rows ---------------------------------------------------------------- */

static int carried_rows(const qn_gq *g, const qn_gq_tensor *t, int64_t row,
                        int64_t n, float *dst, qn_err *err)
{
    const qn_tensor *src = qn_ckpt_find(g->ck, t->source);
    const qn_dtype_row *d = qn_dtype_get(src->dtype);
    size_t rb = (size_t)(t->n_cols / d->block_elems) * (size_t)d->block_bytes;
    void *raw = qn_alloc((size_t)n, rb);
    if (!raw)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory for %lld rows",
                       t->name, (long long)n);
    int rc = qn_ckpt_read(g->ck, src, (uint64_t)row * rb, raw, (size_t)n * rb,
                          err);
    if (rc == QN_OK)
        rc = qn_dtype_decode(src->dtype, raw, dst, (size_t)(n * t->n_cols),
                             err);
    qn_free(raw);
    return rc;
}

int qn_gq_rows(const qn_gq *g, const qn_gq_tensor *t, int64_t row, int64_t n,
               float *dst, qn_err *err)
{
    if (!g->e)
        return carried_rows(g, t, row, n, dst, err);
    return qn_gguf_export_rows(g->e, (size_t)(t - g->t.v), row, n, dst, err);
}

const float *qn_gq_importance(const qn_gq_tensor *t, int64_t row)
{
    const qn_imatrix_row *im = t->importance;
    int64_t m = im ? row * im->n_mat / t->n_rows : 0;
    return im && im->count[m] > 0 ? im->mean + m * im->n_col : NULL;
}

int qn_gq_encode(const qn_gq_tensor *t, qn_dtype dtype, int64_t row, int64_t n,
                 const float *x, void *out, qn_err *err)
{
    uint64_t rb;
    uint8_t *to = out;
    if (!t->importance)
        return qn_dtype_encode(dtype, x, out, (size_t)(n * t->n_cols), err);
    QN_TRY(qn_dtype_bytes(dtype, (uint64_t)t->n_cols, &rb, err));
    for (int64_t i = 0; i < n; i++, to += rb)
        QN_TRY(qn_dtype_encode_weighted(dtype, x + i * t->n_cols,
                                        qn_gq_importance(t, row + i), to,
                                        (size_t)t->n_cols, err));
    return QN_OK;
}

/* ---- pieces -------------------------------------------------------------- */

typedef struct encode_job {
    const qn_gq *g;
    const qn_gq_tensor *t;
    qn_pool *pool;
    int64_t row0, n_row, step; /* of this go */
    size_t row_bytes;
    const float *whole; /* all rows, where they are read at once */
    uint8_t *out;
    pthread_mutex_t lock;
    int rc;
    qn_err *err;
} encode_job;

static void encode_fail(encode_job *j, int rc, const qn_err *e)
{
    pthread_mutex_lock(&j->lock);
    if (j->rc == QN_OK && j->err)
        *j->err = *e;
    if (j->rc == QN_OK)
        j->rc = rc;
    pthread_mutex_unlock(&j->lock);
}

static int encode_rows(const encode_job *j, int64_t row, int64_t n, float *buf,
                       qn_err *err)
{
    const qn_gq_tensor *t = j->t;
    const float *x = buf;
    if (j->whole)
        x = j->whole + row * t->n_cols;
    else
        QN_TRY(qn_gq_rows(j->g, t, row, n, buf, err));
    uint8_t *out = j->out + (size_t)(row - j->row0) * j->row_bytes;
    return qn_gq_encode(t, t->dtype, row, n, x, out, err);
}

static void encode_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    encode_job *j = arg;
    qn_err e = {0};
    float *buf = j->whole
                     ? NULL
                     : qn_alloc((size_t)(j->step * j->t->n_cols), sizeof *buf);
    int rc = QN_OK;
    if (!buf && !j->whole)
        rc = qn_fail(&e, QN_ENOMEM, "tensor %s: no memory for %lld rows",
                     j->t->name, (long long)j->step);
    while (rc == QN_OK) {
        int64_t at = qn_pool_next(j->pool) * j->step;
        if (at >= j->n_row)
            break;
        rc = encode_rows(j, j->row0 + at, QN_MIN(j->step, j->n_row - at), buf,
                         &e);
    }
    if (rc < 0)
        encode_fail(j, rc, &e);
    qn_free(buf);
}

static int read_whole(encode_job *j, float **whole, qn_err *err)
{
    const qn_gq_tensor *t = j->t;
    *whole = NULL;
    if (!t->whole)
        return QN_OK;
    *whole = qn_alloc((size_t)(t->n_rows * t->n_cols), sizeof **whole);
    if (!*whole)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", t->name);
    j->whole = *whole;
    return qn_gq_rows(j->g, t, 0, t->n_rows, *whole, err);
}

static int write_encoded(encode_job *j, qn_gguf_writer *w, qn_err *err)
{
    const qn_gq_tensor *t = j->t;
    int64_t go = j->step * qn_pool_n_threads(j->pool) * PIECES;
    go = QN_MIN(go, t->n_rows);
    j->out = qn_alloc((size_t)go, j->row_bytes);
    if (!j->out)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", t->name);
    for (j->row0 = 0; j->row0 < t->n_rows; j->row0 += go) {
        j->n_row = QN_MIN(go, t->n_rows - j->row0);
        qn_pool_run(j->pool, encode_thread, j);
        QN_TRY(j->rc);
        QN_TRY(qn_gguf_data(w, j->out, (size_t)j->n_row * j->row_bytes, err));
    }
    return QN_OK;
}

static int write_one(const qn_gq *g, const qn_gq_tensor *t, qn_gguf_writer *w,
                     qn_pool *pool, qn_err *err)
{
    encode_job j = {.g = g, .t = t, .pool = pool, .err = err};
    float *whole;
    j.row_bytes = (size_t)(t->n_bytes / (uint64_t)QN_MAX(t->n_rows, 1));
    j.step = QN_MAX(PIECE_ELEMS / QN_MAX(t->n_cols, 1), 1);
    j.step = QN_MIN(j.step, t->n_rows);
    pthread_mutex_init(&j.lock, NULL);
    int rc = read_whole(&j, &whole, err);
    if (rc == QN_OK)
        rc = write_encoded(&j, w, err);
    pthread_mutex_destroy(&j.lock);
    qn_free(whole);
    qn_free(j.out);
    return rc;
}

/* Bytes that stay what they are. */
static int write_same(const qn_gq *g, const qn_gq_tensor *t, qn_gguf_writer *w,
                      qn_err *err)
{
    const qn_tensor *src = qn_ckpt_find(g->ck, t->source);
    size_t piece = (size_t)4 << 20;
    void *buf = qn_xmalloc(piece);
    int rc = QN_OK;
    for (uint64_t at = 0; at < src->n_bytes && rc == QN_OK; at += piece) {
        size_t n = (size_t)QN_MIN(src->n_bytes - at, piece);
        rc = qn_ckpt_read(g->ck, src, at, buf, n, err);
        if (rc == QN_OK)
            rc = qn_gguf_data(w, buf, n, err);
    }
    qn_free(buf);
    return rc;
}

/* ---- the file ------------------------------------------------------------ */

/* The source's pairs, but for those that this file has its own of. */
static int carry_meta(const qn_ckpt *ck, qn_gguf_writer *w, qn_err *err)
{
    static const char *const own[] = {"general.file_type",
                                      "general.quantization_version",
                                      "general.alignment",
                                      "split.no",
                                      "split.count",
                                      "split.tensors.count"};
    for (size_t i = 0; i < qn_ckpt_gguf_n_kv(ck); i++) {
        const qn_gguf_kv *kv = qn_ckpt_gguf_kv_at(ck, i);
        bool skip = false;
        for (size_t k = 0; k < QN_COUNTOF(own); k++)
            skip = skip || qn_view_eqs(kv->key, own[k]);
        if (!skip)
            QN_TRY(qn_gguf_put_kv(w, kv, err));
    }
    return QN_OK;
}

/* A checkpoint without any is taken as it is: it computes with ids. */
static bool has_tokenizer(const qn_ckpt *ck)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model",
                                        "vocab.json", "tokenizer_config.json"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char *text;
        size_t n;
        int rc = qn_ckpt_side_file(ck, names[i], &text, &n, NULL);
        if (rc == QN_OK)
            qn_free(text);
        if (rc != QN_ENOENT)
            return true;
    }
    return false;
}

static int put_meta(const qn_gq *g, qn_gguf_writer *w, int file_type,
                    qn_err *err)
{
    if (g->e) {
        QN_TRY(qn_gguf_export_meta(g->e, w, err));
        if (has_tokenizer(g->ck))
            QN_TRY(qn_gguf_export_tokenizer(g->e, w, err));
    } else {
        QN_TRY(carry_meta(g->ck, w, err));
    }
    QN_TRY(qn_gguf_put_u32(w, "general.quantization_version", 2, err));
    return qn_gguf_put_u32(w, "general.file_type", (uint32_t)file_type, err);
}

static double tensor_cost(const qn_gq_tensor *t)
{
    const qn_dtype_row *d = qn_dtype_get(t->stored);
    return (double)(t->n_rows * t->n_cols / d->block_elems) * d->block_bytes;
}

/* The first n tensors (and what they were chosen by) are there to go on with. */
static int save_point(gguf_ctx *c, size_t n)
{
    return qn_resume_save(&c->r->resume,
                          json_pack("{s:I, s:b, s:O?}", "tensors",
                                    (json_int_t)n, "imatrix", c->kept, "table",
                                    c->r->table),
                          c->err);
}

static int put_tensors(gguf_ctx *c, qn_gguf_writer *w)
{
    const qn_gq *g = &c->g;
    double all = 0, done = 0;
    for (size_t i = 0; i < g->t.n; i++) {
        const qn_gq_tensor *t = &g->t.v[i];
        QN_TRY(
            qn_gguf_declare(w, t->name, t->dtype, t->n_dims, t->shape, c->err));
        all += tensor_cost(t);
    }
    if (c->begun)
        QN_TRY(qn_gguf_writer_resume(w, c->begun, c->err));
    for (size_t i = 0; i < g->t.n; i++) {
        const qn_gq_tensor *t = &g->t.v[i];
        done += tensor_cost(t);
        if (i < c->begun)
            continue;
        QN_TRY(!g->e && t->dtype == t->stored
                   ? write_same(g, t, w, c->err)
                   : write_one(g, t, w, c->r->pool, c->err));
        QN_TRY(qn_watch_told(&c->watch, done / all, "quantizing", c->err));
        if (!qn_resume_due(&c->r->resume))
            continue;
        QN_TRY(qn_gguf_writer_sync(w, c->err));
        QN_TRY(save_point(c, i + 1));
    }
    return QN_OK;
}

static int write_file(gguf_ctx *c)
{
    char *path = qn_outdir_file(&c->r->out, "model.gguf");
    qn_gguf_writer *w = NULL;
    int rc = qn_gguf_writer_keep(&w, path, c->err);
    if (rc == QN_OK)
        rc = put_meta(&c->g, w, c->file_type, c->err);
    if (rc == QN_OK)
        rc = put_tensors(c, w);
    if (rc == QN_OK)
        rc = qn_gguf_writer_finish(w, c->err);
    qn_gguf_writer_free(w);
    qn_free(path);
    return rc;
}

/* ---- the run ------------------------------------------------------------- */

/* How many tensors, weights and bytes there are of each format. */
static json_t *formats(const qn_gq *g)
{
    json_t *o = json_object();
    for (int d = 0; d < QN_DTYPE_N; d++) {
        json_int_t n = 0, elems = 0, bytes = 0;
        for (size_t i = 0; i < g->t.n; i++) {
            const qn_gq_tensor *t = &g->t.v[i];
            if (t->dtype != (qn_dtype)d)
                continue;
            n++;
            elems += t->n_rows * t->n_cols;
            bytes += (json_int_t)t->n_bytes;
        }
        if (n)
            json_object_set_new(o, qn_dtype_get((qn_dtype)d)->name,
                                json_pack("{s:I, s:I, s:I}", "tensors", n,
                                          "weights", elems, "bytes", bytes));
    }
    return o;
}

static void tell_options(const gguf_ctx *c)
{
    int weighed = 0;
    for (size_t i = 0; i < c->g.t.n; i++)
        weighed |= c->g.t.v[i].importance != NULL;
    c->r->options = json_pack("{s:s, s:o, s:b, s:O*}", "quant_type",
                              c->r->table ? "auto" : c->kind->name, "formats",
                              formats(&c->g), "importance_matrix", weighed,
                              "allotment", c->r->table);
}

/* A matrix that was collected goes to the disk and comes back, so that a run
 * that goes on with it weighs with the same numbers. */
static int keep_importance(gguf_ctx *c)
{
    const qn_optimize_params *p = c->r->p;
    char *path = qn_outdir_file(&c->r->out, IMATRIX_NAME);
    int rc = qn_imatrix_save(&c->im, path, p->calibration, c->err);
    qn_imatrix_deinit(&c->im);
    if (rc == QN_OK)
        rc = qn_imatrix_load(&c->im, path, c->err);
    qn_free(path);
    c->kept = rc == QN_OK;
    return rc;
}

static int read_importance(gguf_ctx *c)
{
    const qn_resume *s = &c->r->resume;
    const qn_optimize_params *p = c->r->p;
    qn_watch in = qn_watch_part(&c->watch, 0, 0.4);
    if (p->imatrix)
        return qn_imatrix_load(&c->im, p->imatrix, c->err);
    if (!qn_method_reads_text(p))
        return QN_OK;
    c->watch = qn_watch_part(&c->watch, 0.4, 1);
    if (json_is_true(json_object_get(s->state, "imatrix"))) {
        char *path = qn_outdir_file(&c->r->out, IMATRIX_NAME);
        int rc = qn_imatrix_load(&c->im, path, c->err);
        qn_free(path);
        c->kept = rc == QN_OK;
        return rc;
    }
    QN_TRY(qn_imatrix_collect(&c->im, &c->g, p, &in, c->err));
    return keep_importance(c);
}

/* Gives tensors their importance, if one was asked for. */
static int weigh(gguf_ctx *c)
{
    const qn_optimize_params *p = c->r->p;
    QN_TRY(read_importance(c));
    if (p->imatrix_out)
        QN_TRY(qn_imatrix_save(&c->im, p->imatrix_out, p->calibration, c->err));
    for (size_t i = 0; i < c->g.t.n; i++) {
        qn_gq_tensor *t = &c->g.t.v[i];
        QN_TRY(qn_imatrix_find(&c->im, t, &t->importance, c->err));
    }
    return QN_OK;
}

static int allot(gguf_ctx *c, const qn_watch *watch)
{
    qn_run *r = c->r;
    json_t *beside = json_pack("{s:i, s:b}", "tensors", 0, "imatrix", c->kept);
    int rc = qn_gq_allot(&c->g, r->p, &r->table, &r->resume, beside, watch,
                         c->err);
    json_decref(beside);
    QN_TRY(rc);
    if (qn_resume_due(&r->resume) || qn_sensitivity_saved(&r->resume))
        QN_TRY(save_point(c, 0));
    qn_sensitivity_clear(&r->out, qn_net_hparams(r->net)->n_layer);
    return QN_OK;
}

/* Formats: one for all, or (auto) as they are needed. */
static int choose(gguf_ctx *c)
{
    qn_run *r = c->r;
    const json_t *table = json_object_get(r->resume.state, "table");
    QN_TRY(qn_gq_choose(&c->g, r->p, c->kind, c->err));
    c->file_type = c->kind->file_type;
    if (!qn_method_is_auto(r->p))
        return QN_OK;
    qn_watch in = qn_watch_part(&c->watch, 0, 0.7);
    c->watch = qn_watch_part(&c->watch, 0.7, 1);
    if (json_is_array(table)) {
        r->table = json_incref((json_t *)table);
    } else {
        QN_TRY(allot(c, &in));
    }
    QN_TRY(qn_gq_apply(&c->g, r->table, c->err));
    c->file_type = qn_gq_file_type(&c->g);
    return QN_OK;
}

/* What is not as it was asked for. */
static void note(const gguf_ctx *c)
{
    const qn_gq *g = &c->g;
    size_t fitted = 0, n = g->t.n;
    const char **names = qn_xcalloc(2 * n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const qn_gq_tensor *t = &g->t.v[i];
        names[2 * i] = t->source;
        names[2 * i + 1] = t->name;
        fitted += t->fitted && t->what != QN_GQ_STAYS && !t->kept;
    }
    qn_note_unused(c->r->notes, c->r->p, names, 2 * n);
    if (fitted)
        qn_note_add(c->r->notes,
                    "%zu matrices: the type's blocks do not fill their rows; "
                    "they got smaller blocks, or f16",
                    fitted);
    free(names);
}

/* Formats, and whether the disk has room for what is not there yet. */
static int settle(gguf_ctx *c)
{
    uint64_t left = 0;
    QN_TRY(choose(c));
    qn_gq_report(&c->g, &c->r->report);
    note(c);
    for (size_t i = c->begun; i < c->g.t.n; i++)
        left += c->g.t.v[i].n_bytes;
    return qn_outdir_room(&c->r->out, left, c->err);
}

static int gguf_run(gguf_ctx *c)
{
    qn_run *r = c->r;
    int64_t begun = qn_resume_int(&r->resume, "tensors");
    bool measures = qn_method_is_auto(r->p);
    c->begun = begun > 0 ? (size_t)begun : 0;
    QN_TRY(qn_gguf_kind_pick(r->p, &c->kind, c->err));
    QN_TRY(qn_gq_open(&c->g, r->ck, r->net, r->p, c->err));
    if (!measures)
        QN_TRY(settle(c));
    QN_TRY(weigh(c));
    if (measures)
        QN_TRY(settle(c));
    if (!r->report.n_matrices)
        return qn_fail(c->err, QN_EUNSUP,
                       "%s: no tensor is left to be quantized; --skip and "
                       "--only take names such as ffn_down or k_proj",
                       r->p->model);
    r->report.resumed = (double)c->begun / (double)c->g.t.n;
    QN_TRY(write_file(c));
    tell_options(c);
    return QN_OK;
}

int qn_run_gguf(qn_run *r)
{
    gguf_ctx c = {.r = r, .watch = r->watch, .err = r->err};
    int rc = gguf_run(&c);
    qn_gq_deinit(&c.g);
    qn_imatrix_deinit(&c.im);
    return rc;
}
