/* imatrix.c - see imatrix.h. */
#include "quantize/imatrix.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include "quantize/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUMS ".in_sum2"
#define COUNTS ".counts"
#define OLD_MAX ((size_t)1 << 30)

int qn_imatrix_add(qn_imatrix *im, const char *name, size_t len, int64_t n_mat,
                   int64_t n_col, qn_imatrix_row **out, qn_err *err)
{
    qn_imatrix_row r = {.name = qn_xstrndup(name, len),
                        .n_mat = n_mat,
                        .n_col = n_col};
    size_t n;
    if (qn_mul_size((size_t)n_mat, (size_t)n_col, &n))
        r.mean = qn_alloc(n, sizeof *r.mean);
    r.count = qn_alloc((size_t)n_mat, sizeof *r.count);
    qn_vec_push(&im->rows, r);
    *out = &im->rows.v[im->rows.n - 1];
    return r.mean && r.count
               ? QN_OK
               : qn_fail(err, QN_ENOMEM,
                         "tensor %.*s: no memory for its importance", (int)len,
                         name);
}

void qn_imatrix_deinit(qn_imatrix *im)
{
    for (size_t i = 0; i < im->rows.n; i++) {
        qn_free(im->rows.v[i].name);
        qn_free(im->rows.v[i].mean);
        qn_free(im->rows.v[i].count);
    }
    qn_vec_deinit(&im->rows);
}

/* ---- from a text --------------------------------------------------------- */

/* Matrices of an expert stack lie one behind the other in t. */
static int64_t stack_size(const qn_gq_tensor *t)
{
    return t->n_dims == 3 ? t->shape[0] : 1;
}

/* What came to matrix e of the tensor. Stacked in the source: by expert; one
 * tensor per expert there: by name. */
static const qn_cal_input *input_of(const qn_cal *cal, const qn_gq *g,
                                    const qn_gq_tensor *t, int64_t e,
                                    int64_t n_mat)
{
    int64_t row;
    if (n_mat == 1)
        return qn_cal_find(cal, t->source, -1);
    if (!g->e)
        return qn_cal_find(cal, t->source, (int)e);
    const qn_tensor *src = qn_gguf_export_source(g->e, (size_t)(t - g->t.v),
                                                 e * (t->n_rows / n_mat), &row);
    return src ? qn_cal_find(cal, src->name, -1) : NULL;
}

static int take_tensor(qn_imatrix *im, const qn_cal *cal, const qn_gq *g,
                       const qn_gq_tensor *t, qn_err *err)
{
    int64_t n_mat = stack_size(t);
    qn_imatrix_row *r = NULL;
    for (int64_t e = 0; e < n_mat; e++) {
        const qn_cal_input *in = input_of(cal, g, t, e, n_mat);
        if (!in || in->n != t->n_cols || in->count == 0)
            continue;
        if (!r)
            QN_TRY(qn_imatrix_add(im, t->name, strlen(t->name), n_mat,
                                  t->n_cols, &r, err));
        memcpy(r->mean + e * r->n_col, in->squares,
               (size_t)r->n_col * sizeof *r->mean);
        r->count[e] = (float)in->count;
    }
    return QN_OK;
}

static int collect(qn_imatrix *im, qn_cal *cal, const qn_gq *g,
                   const qn_watch *watch, qn_err *err)
{
    double n = qn_cal_n_stages(cal);
    qn_cal_samples(cal, &im->n_chunks, &im->chunk);
    for (int s = 0; s < qn_cal_n_stages(cal); s++) {
        int from, to;
        qn_cal_stage(cal, s, &from, &to);
        QN_TRY(qn_cal_load(cal, s, err));
        qn_watch in = qn_watch_part(watch, s / n, (s + 1) / n);
        QN_TRY(qn_cal_run(cal, QN_CAL_SQUARES, true, &in, err));
        for (size_t i = 0; i < g->t.n; i++) {
            const qn_gq_tensor *t = &g->t.v[i];
            int layer = QN_MAX(t->layer, 0);
            if (t->what == QN_GQ_LINEAR && layer >= from && layer < to)
                QN_TRY(take_tensor(im, cal, g, t, err));
        }
        qn_cal_drop(cal);
    }
    return QN_OK;
}

int qn_imatrix_collect(qn_imatrix *im, const qn_gq *g,
                       const qn_optimize_params *p, const qn_watch *watch,
                       qn_err *err)
{
    qn_cal *cal = NULL;
    *im = (qn_imatrix){0};
    int rc = qn_cal_open(&cal, p, g->ck, QN_CAL_USUAL, err);
    if (rc == QN_OK)
        rc = collect(im, cal, g, watch, err);
    qn_cal_close(cal);
    return rc;
}

/* ---- from a file --------------------------------------------------------- */

static int bad(const char *path, const qn_tensor *t, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT,
                   "%s: tensor %s is not what an importance matrix has", path,
                   t->name);
}

static int load_one(qn_imatrix *im, const qn_ckpt *ck, const char *path,
                    const qn_tensor *t, qn_err *err)
{
    qn_str s;
    size_t len = strlen(t->name) - strlen(SUMS);
    int64_t n_mat = t->n_dims == 2 ? t->shape[0] : 1;
    int64_t n_col = t->n_dims >= 1 ? t->shape[t->n_dims - 1] : 0;
    qn_str_init(&s);
    qn_str_addf(&s, "%.*s" COUNTS, (int)len, t->name);
    const qn_tensor *c = qn_ckpt_find(ck, s.p);
    qn_str_deinit(&s);
    if (t->dtype != QN_F32 || t->n_dims > 2 || n_mat < 1 || n_col < 1 || !c ||
        c->dtype != QN_F32 || c->n_elems != (uint64_t)n_mat)
        return bad(path, t, err);
    qn_imatrix_row *r;
    QN_TRY(qn_imatrix_add(im, t->name, len, n_mat, n_col, &r, err));
    QN_TRY(qn_ckpt_read(ck, t, 0, r->mean, (size_t)t->n_bytes, err));
    QN_TRY(qn_ckpt_read(ck, c, 0, r->count, (size_t)c->n_bytes, err));
    for (int64_t m = 0; m < n_mat; m++) {
        float *v = r->mean + m * n_col, n = r->count[m];
        if (!(n >= 0) || isinf(n))
            return bad(path, c, err);
        for (int64_t k = 0; k < n_col; k++) {
            v[k] = n > 0 ? v[k] / n : 0;
            if (!(v[k] >= 0) || isinf(v[k]))
                return bad(path, t, err);
        }
    }
    return QN_OK;
}

static int load_old(qn_imatrix *im, const char *path, qn_err *err)
{
    char *bytes = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&bytes, &n, path, OLD_MAX, err));
    int rc = qn_imatrix_parse_old(im, path, bytes, n, err);
    qn_free(bytes);
    return rc;
}

static int is_gguf(const char *path, bool *yes, qn_err *err)
{
    char magic[4] = {0};
    qn_file f;
    QN_TRY(qn_file_open(&f, path, err));
    int rc = f.size < sizeof magic
                 ? QN_OK
                 : qn_file_pread(&f, magic, 0, sizeof magic, err);
    qn_file_close(&f);
    *yes = memcmp(magic, "GGUF", sizeof magic) == 0;
    return rc;
}

int qn_imatrix_load(qn_imatrix *im, const char *path, qn_err *err)
{
    qn_ckpt *ck = NULL;
    bool gguf;
    *im = (qn_imatrix){0};
    QN_TRY(is_gguf(path, &gguf, err));
    if (!gguf)
        return load_old(im, path, err);
    int rc = qn_ckpt_open_tensors(&ck, path, err);
    for (size_t i = 0; rc == QN_OK && i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        if (qn_ends(t->name, SUMS))
            rc = load_one(im, ck, path, t, err);
    }
    qn_ckpt_close(ck);
    if (rc == QN_OK && im->rows.n == 0)
        rc = qn_fail(err, QN_EFORMAT,
                     "%s: no importance matrix is in it; make one with "
                     "--imatrix-out",
                     path);
    return rc;
}

/* ---- to a file ----------------------------------------------------------- */

static int put_rows(const qn_imatrix *im, qn_gguf_writer *w, bool data,
                    qn_err *err)
{
    int rc = QN_OK;
    for (size_t i = 0; i < im->rows.n && rc == QN_OK; i++) {
        const qn_imatrix_row *r = &im->rows.v[i];
        int64_t sums[2] = {r->n_mat, r->n_col}, counts[2] = {r->n_mat, 1};
        qn_str s;
        if (data) {
            for (int64_t m = 0; m < r->n_mat && rc == QN_OK; m++) {
                for (int64_t k = 0; k < r->n_col && rc == QN_OK; k++) {
                    float v = r->mean[m * r->n_col + k] * r->count[m];
                    rc = qn_gguf_data(w, &v, sizeof v, err);
                }
            }
            if (rc == QN_OK)
                rc = qn_gguf_data(w, r->count,
                                  (size_t)r->n_mat * sizeof *r->count, err);
            continue;
        }
        qn_str_init(&s);
        qn_str_addf(&s, "%s" SUMS, r->name);
        rc = qn_gguf_declare(w, s.p, QN_F32, 2, sums, err);
        qn_str_clear(&s);
        qn_str_addf(&s, "%s" COUNTS, r->name);
        if (rc == QN_OK)
            rc = qn_gguf_declare(w, s.p, QN_F32, 2, counts, err);
        qn_str_deinit(&s);
    }
    return rc;
}

static int put_facts(const qn_imatrix *im, qn_gguf_writer *w, const char *text,
                     qn_err *err)
{
    qn_view set = qn_view_cstr(text ? text : "quern");
    QN_TRY(qn_gguf_put_str(w, "general.type", qn_view_cstr("imatrix"), err));
    QN_TRY(qn_gguf_put_strs(w, "imatrix.datasets", &set, 1, err));
    QN_TRY(
        qn_gguf_put_u32(w, "imatrix.chunk_count", (uint32_t)im->n_chunks, err));
    return qn_gguf_put_u32(w, "imatrix.chunk_size", (uint32_t)im->chunk, err);
}

int qn_imatrix_save(const qn_imatrix *im, const char *path, const char *text,
                    qn_err *err)
{
    qn_gguf_writer *w = NULL;
    int rc = qn_gguf_writer_new(&w, path, err);
    if (rc == QN_OK)
        rc = put_facts(im, w, text, err);
    if (rc == QN_OK)
        rc = put_rows(im, w, false, err);
    if (rc == QN_OK)
        rc = put_rows(im, w, true, err);
    if (rc == QN_OK)
        rc = qn_gguf_writer_finish(w, err);
    qn_gguf_writer_free(w);
    return rc;
}

/* ---- use ----------------------------------------------------------------- */

/* An old file has the columns of a stack in one. */
static int divide(qn_imatrix_row *r, int64_t n_mat, qn_err *err)
{
    float *count = qn_alloc((size_t)n_mat, sizeof *count);
    if (!count)
        return qn_fail(err, QN_ENOMEM,
                       "tensor %s: no memory for its importance", r->name);
    qn_free(r->count);
    r->count = count;
    r->n_mat = n_mat;
    r->n_col /= n_mat;
    for (int64_t i = 0; i < n_mat * r->n_col; i++)
        if (r->mean[i] > 0)
            count[i / r->n_col] = 1;
    return QN_OK;
}

int qn_imatrix_find(qn_imatrix *im, const qn_gq_tensor *t,
                    const qn_imatrix_row **out, qn_err *err)
{
    *out = NULL;
    for (size_t i = 0; i < im->rows.n; i++) {
        qn_imatrix_row *r = &im->rows.v[i];
        if (strcmp(r->name, t->name) != 0)
            continue;
        if (im->old && r->n_mat == 1 && r->n_col == stack_size(t) * t->n_cols)
            QN_TRY(divide(r, stack_size(t), err));
        if (r->n_col != t->n_cols || r->n_mat != stack_size(t))
            return qn_fail(err, QN_EFORMAT,
                           "the importance matrix has %lld x %lld columns for "
                           "tensor %s, which has %lld x %lld; it is of "
                           "another model",
                           (long long)r->n_mat, (long long)r->n_col, t->name,
                           (long long)stack_size(t), (long long)t->n_cols);
        *out = r;
        return QN_OK;
    }
    return QN_OK;
}
