/* matrix.c - one tensor to its quantized parts.
 *
 * Pieces of rows are taken by the threads from one counter; a piece is read
 * (not mapped: mapped pages count as memory of ours), decoded to f32, quantized
 * and packed. Pieces are cut by the tensor's size alone, and packing puts each
 * in its own place, so the result does not depend on the threads. */
#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/optimize_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_ELEMS = 1 << 17
};

typedef struct matrix_job {
    const qn_opt_item *item;
    const qn_ckpt *ck;
    const uint8_t *whole;  /* of a transposed tensor          */
    float *read;           /* rows go there, and no further   */
    const float *given;    /* rows in memory                  */
    const qn_qrows *coded; /* codes in memory                 */
    int64_t step;          /* rows of a piece                 */
    qn_pool *pool;
    pthread_mutex_t lock;
    int rc;
    qn_err *err;
} matrix_job;

/* A thread's memory for one piece. */
typedef struct piece_buf {
    float *w;
    uint8_t *raw;
    qn_qrows rows;
} piece_buf;

static void job_fail(matrix_job *j, int rc, const qn_err *e)
{
    pthread_mutex_lock(&j->lock);
    if (j->rc == QN_OK) {
        j->rc = rc;
        if (j->err)
            *j->err = *e;
    }
    pthread_mutex_unlock(&j->lock);
}

static size_t elem_bytes(const qn_tensor *t)
{
    return (size_t)qn_dtype_get(t->dtype)->block_bytes;
}

static void multiply(const qn_opt_item *item, float *w, int64_t row, int64_t n)
{
    int64_t n_in = item->mat.n_in;
    for (int64_t r = 0; r < n; r++, w += n_in) {
        float f = item->row_mul ? item->row_mul[row + r] : 1;
        for (int64_t k = 0; item->col_mul && k < n_in; k++)
            w[k] *= item->col_mul[k];
        for (int64_t k = 0; item->row_mul && k < n_in; k++)
            w[k] *= f;
    }
}

/* Rows [row, row + n) as f32. */
static int read_rows(const matrix_job *j, int64_t row, int64_t n, uint8_t *raw,
                     float *w, qn_err *err)
{
    const qn_tensor *t = j->item->t;
    const qn_qmat *m = &j->item->mat;
    size_t es = elem_bytes(t), count = (size_t)(n * m->n_in);
    uint64_t at = (uint64_t)row * (uint64_t)m->n_in * es;
    for (int64_t r = 0; j->whole && r < n; r++)
        for (int64_t k = 0; k < m->n_in; k++)
            memcpy(raw + (size_t)(r * m->n_in + k) * es,
                   j->whole + (size_t)(k * m->n_out + row + r) * es, es);
    if (!j->whole)
        QN_TRY(qn_ckpt_read(j->ck, t, at, raw, count * es, err));
    QN_TRY(qn_dtype_decode(t->dtype, raw, w, count, err));
    multiply(j->item, w, row, n);
    return QN_OK;
}

/* What do_piece needs of them. */
static bool buf_make(piece_buf *b, const matrix_job *j)
{
    const qn_qmat *m = &j->item->mat;
    size_t n = (size_t)(j->step * m->n_in);
    size_t groups = (size_t)(j->step * qn_qmat_n_group(m));
    bool ok = true;
    if (j->coded)
        return true;
    if (!j->given) {
        b->raw = qn_alloc(n, elem_bytes(j->item->t));
        ok = b->raw != NULL;
    }
    if (!j->given && !j->read) {
        b->w = qn_alloc(n, sizeof *b->w);
        ok = ok && b->w;
    }
    if (j->read)
        return ok;
    b->rows.codes = qn_alloc(n, 1);
    b->rows.scales = qn_alloc(groups, sizeof(float));
    b->rows.zeros = qn_alloc(groups, sizeof(float));
    return ok && b->rows.codes && b->rows.scales && b->rows.zeros;
}

static void buf_free(piece_buf *b)
{
    qn_free(b->w);
    qn_free(b->raw);
    qn_free(b->rows.codes);
    qn_free(b->rows.scales);
    qn_free(b->rows.zeros);
}

static int do_piece(const matrix_job *j, int64_t row, int64_t n, piece_buf *b,
                    qn_err *err)
{
    const qn_qmat *m = &j->item->mat;
    const float *w = j->given ? j->given + row * m->n_in : b->w;
    if (j->coded) {
        int64_t g = row * qn_qmat_n_group(m);
        qn_qrows some = {j->coded->codes + row * m->n_in, j->coded->scales + g,
                         j->coded->zeros + g};
        m->scheme->pack(m, row, n, &some);
        return QN_OK;
    }
    if (j->read)
        return read_rows(j, row, n, b->raw, j->read + row * m->n_in, err);
    if (!j->given)
        QN_TRY(read_rows(j, row, n, b->raw, b->w, err));
    m->scheme->quantize(m, w, n, &b->rows);
    m->scheme->pack(m, row, n, &b->rows);
    return QN_OK;
}

static void matrix_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    matrix_job *j = arg;
    const qn_qmat *m = &j->item->mat;
    piece_buf b = {0};
    qn_err e = {0};
    int rc = QN_OK;
    if (!buf_make(&b, j))
        rc = qn_fail(&e, QN_ENOMEM, "tensor %s: no memory for %lld rows",
                     j->item->t->name, (long long)j->step);
    while (rc == QN_OK) {
        int64_t row = qn_pool_next(j->pool) * j->step;
        if (row >= m->n_out)
            break;
        rc = do_piece(j, row, QN_MIN(j->step, m->n_out - row), &b, &e);
    }
    if (rc < 0)
        job_fail(j, rc, &e);
    buf_free(&b);
}

static int make_parts(qn_opt_item *item, qn_err *err)
{
    qn_qmat *m = &item->mat;
    bool ok = true;
    for (int i = 0; i < QN_QPARTS; i++) {
        if (m->part[i].name && !m->part[i].out) {
            m->part[i].out = qn_alloc((size_t)m->part[i].n_bytes, 1);
            ok = ok && m->part[i].out;
        }
    }
    if (m->work_bytes && !m->work) {
        m->work = qn_alloc(m->work_bytes, 1);
        ok = ok && m->work;
    }
    return ok ? QN_OK
              : qn_fail(err, QN_ENOMEM,
                        "tensor %s: no memory for its quantized form",
                        item->t->name);
}

/* All pieces on all threads. */
static int run_job(matrix_job *j)
{
    const qn_qmat *m = &j->item->mat;
    int64_t unit = qn_qmat_row_unit(m);
    j->step = QN_MAX(PIECE_ELEMS / (unit * m->n_in), 1) * unit;
    j->step = QN_MIN(j->step, m->n_out);
    pthread_mutex_init(&j->lock, NULL);
    qn_pool_run(j->pool, matrix_thread, j);
    pthread_mutex_destroy(&j->lock);
    return j->rc;
}

/* A transposed tensor is turned from one copy of it. */
static int run_from_file(matrix_job *j)
{
    const qn_tensor *t = j->item->t;
    void *copy = NULL;
    if (j->item->transposed) {
        copy = qn_alloc((size_t)t->n_bytes, 1);
        if (!copy)
            return qn_fail(j->err, QN_ENOMEM, "tensor %s: no memory", t->name);
        j->rc = qn_ckpt_read(j->ck, t, 0, copy, (size_t)t->n_bytes, j->err);
        j->whole = copy;
    }
    if (j->rc == QN_OK)
        run_job(j);
    qn_free(copy);
    return j->rc;
}

static void finish(qn_opt_item *item)
{
    if (item->mat.scheme->finish)
        item->mat.scheme->finish(&item->mat);
    item->ready = true;
}

int qn_matrix_run(qn_opt_item *item, const qn_ckpt *ck, qn_pool *pool,
                  qn_err *err)
{
    matrix_job j = {.item = item, .ck = ck, .pool = pool, .err = err};
    QN_TRY(make_parts(item, err));
    QN_TRY(run_from_file(&j));
    finish(item);
    return QN_OK;
}

int qn_matrix_read(const qn_opt_item *item, const qn_ckpt *ck, qn_pool *pool,
                   float **w, qn_err *err)
{
    const qn_qmat *m = &item->mat;
    matrix_job j = {.item = item, .ck = ck, .pool = pool, .err = err};
    *w = j.read = qn_alloc((size_t)m->n_out, (size_t)m->n_in * sizeof(float));
    if (!*w)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", item->t->name);
    int rc = run_from_file(&j);
    if (rc < 0) {
        qn_free(*w);
        *w = NULL;
    }
    return rc;
}

int qn_matrix_rows(const qn_opt_item *item, const qn_ckpt *ck, int64_t row,
                   int64_t n, float *w, qn_err *err)
{
    matrix_job j = {.item = item, .ck = ck};
    uint8_t *raw = qn_alloc((size_t)(n * item->mat.n_in), elem_bytes(item->t));
    int rc = raw ? read_rows(&j, row, n, raw, w, err)
                 : qn_fail(err, QN_ENOMEM, "tensor %s: no memory for %lld rows",
                           item->t->name, (long long)n);
    qn_free(raw);
    return rc;
}

int qn_matrix_from(qn_opt_item *item, const float *w, qn_pool *pool,
                   qn_err *err)
{
    matrix_job j = {.item = item, .given = w, .pool = pool, .err = err};
    QN_TRY(make_parts(item, err));
    QN_TRY(run_job(&j));
    finish(item);
    return QN_OK;
}

int qn_matrix_pack(qn_opt_item *item, const qn_qrows *rows, qn_pool *pool,
                   qn_err *err)
{
    matrix_job j = {.item = item, .coded = rows, .pool = pool, .err = err};
    QN_TRY(make_parts(item, err));
    QN_TRY(run_job(&j));
    finish(item);
    return QN_OK;
}

void qn_matrix_free(qn_opt_item *item)
{
    qn_qmat *m = &item->mat;
    for (int i = 0; i < QN_QPARTS; i++) {
        qn_free(m->part[i].out);
        m->part[i].out = NULL;
    }
    qn_free(m->work);
    m->work = NULL;
    item->ready = false;
}
