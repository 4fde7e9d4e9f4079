/* cholesky.c - see cholesky.h.
 *
 * h is turned round (i -> n - 1 - i) to H'. Then
 *   1. H' = R^T R, R upper triangular: block rows from the top; each is
 *      factored and taken from what is below and right of it.
 *   2. X = R^-1: block rows from the bottom,
 *        X[I][I] = R[I][I]^-1,  X[I][J] = -X[I][I] R[I][>I] X[>I][J],
 *      kept transposed in the lower part, where it meets R at the diagonal
 *      alone.
 *   3. inverse(H') = X X^T. Turned back, U[i][j] = X^T[n-1-i][n-1-j] is upper
 *      triangular and inverse(h) = U^T U. */
#include "quantize/cholesky.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/matmul.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 128,
    PANEL_LINE = BLOCK + 16, /* rows do not fall on few cache sets */
    TILE = 64, /* columns of a panel, which stay in the first cache */
    SIDE = 16, /* the same of X */
    STRIP =
        1024 /* columns of a product; what lies across the diagonal is spared */
};

typedef struct factor {
    qn_backend *be;
    qn_pool *pool;
    float *h; /* [n, n] */
    int64_t n, j0, j1;
    float *panel; /* [n, PANEL_LINE], BLOCK of each row */
    float *part;  /* [BLOCK, n] */
    bool bad;
    qn_err *err;
} factor;

/* The array back to front: rows and columns turned round. */
static void turn_round(float *h, int64_t n)
{
    for (int64_t i = 0, m = n * n; i < m / 2; i++) {
        float t = h[i];
        h[i] = h[m - 1 - i];
        h[m - 1 - i] = t;
    }
}

/* ---- R ------------------------------------------------------------------- */

/* The diagonal block of [j0, j1): R of it. */
static void factor_diagonal(factor *f)
{
    int64_t n = f->n, w = f->j1 - f->j0;
    float *d = f->h + f->j0 * n + f->j0;
    for (int64_t j = 0; j < w; j++) {
        float *row = d + j * n, v = row[j];
        f->bad = f->bad || !(v > 0) || !isfinite(v);
        float inv = 1.0f / sqrtf(v);
        for (int64_t k = j; k < w; k++)
            row[k] *= inv;
        for (int64_t i = j + 1; i < w; i++)
            for (int64_t k = i; k < w; k++)
                d[i * n + k] -= row[i] * row[k];
    }
}

/* A tile of the rows right of it, and turned into the panel. */
static void solve_columns(const factor *f, int64_t begin, int64_t end)
{
    int64_t n = f->n, w = f->j1 - f->j0, width = end - begin;
    const float *d = f->h + f->j0 * n + f->j0;
    float *at = f->h + f->j0 * n + begin;
    for (int64_t j = 0; j < w; j++) {
        float *row = at + j * n, inv = 1.0f / d[j * n + j];
        for (int64_t k = 0; k < width; k++)
            row[k] *= inv;
        for (int64_t i = j + 1; i < w; i++) {
            float *to = at + i * n, s = d[j * n + i];
            for (int64_t k = 0; k < width; k++)
                to[k] -= s * row[k];
        }
    }
    for (int64_t k = 0; k < width; k++)
        for (int64_t j = 0; j < w; j++)
            f->panel[(begin - f->j1 + k) * PANEL_LINE + j] = at[j * n + k];
}

static void panel_thread(void *arg, int thread, int n_threads)
{
    const factor *f = arg;
    (void)thread;
    (void)n_threads;
    for (int64_t k; (k = f->j1 + qn_pool_next(f->pool) * TILE) < f->n;)
        solve_columns(f, k, QN_MIN(k + TILE, f->n));
}

/* What is below and right: -= panel^T panel, its upper part. */
static int take_panel(factor *f)
{
    int64_t n = f->n, left = n - f->j1, w = f->j1 - f->j0;
    for (int64_t a = 0; a < left; a += STRIP) {
        qn_matmul p = {.x = f->panel,
                       .w = f->panel + a * PANEL_LINE,
                       .y = f->h + f->j1 * n + f->j1 + a,
                       .ldx = PANEL_LINE,
                       .ldw = PANEL_LINE,
                       .ldy = n,
                       .n_row = QN_MIN(a + STRIP, left),
                       .n_in = w,
                       .n_out = QN_MIN(STRIP, left - a),
                       .scale = -1,
                       .add = true};
        QN_TRY(qn_matmul_run(f->be, &p, f->err));
    }
    return QN_OK;
}

static int factor_rows(factor *f)
{
    for (f->j0 = 0; f->j0 < f->n; f->j0 = f->j1) {
        f->j1 = QN_MIN(f->j0 + BLOCK, f->n);
        factor_diagonal(f);
        if (f->bad)
            return qn_fail(f->err, QN_EINVAL,
                           "the inputs' products are not positive definite; "
                           "raise --damping");
        qn_pool_run(f->pool, panel_thread, f);
        QN_TRY(take_panel(f));
    }
    return QN_OK;
}

/* ---- X ------------------------------------------------------------------- */

/* x = inverse of the upper triangular r [w, w]. */
static void invert_small(const float *r, int64_t ldr, int64_t w,
                         float x[BLOCK][BLOCK])
{
    for (int64_t c = 0; c < w; c++) {
        for (int64_t i = 0; i < w; i++)
            x[i][c] = 0;
        x[c][c] = 1.0f / r[c * ldr + c];
        for (int64_t i = c - 1; i >= 0; i--) {
            double sum = 0;
            for (int64_t k = i + 1; k <= c; k++)
                sum += (double)r[i * ldr + k] * (double)x[k][c];
            x[i][c] = (float)(-sum / (double)r[i * ldr + i]);
        }
    }
}

typedef struct column_job {
    factor *f;
    float (*x)[BLOCK];
} column_job;

/* Columns [k, k + n) of X[I][J] = -x * part, into the lower part, transposed. */
static void columns_of_x(const column_job *c, int64_t k, int64_t n)
{
    const factor *f = c->f;
    int64_t left = f->n - f->j1, w = f->j1 - f->j0;
    for (int64_t i = 0; i < w; i++) {
        float sum[SIDE] = {0};
        for (int64_t j = i; j < w; j++)
            for (int64_t l = 0; l < n; l++)
                sum[l] += c->x[i][j] * f->part[j * left + k + l];
        for (int64_t l = 0; l < n; l++)
            f->h[(f->j1 + k + l) * f->n + f->j0 + i] = -sum[l];
    }
}

static void column_thread(void *arg, int thread, int n_threads)
{
    const column_job *c = arg;
    int64_t left = c->f->n - c->f->j1;
    (void)thread;
    (void)n_threads;
    for (int64_t k; (k = qn_pool_next(c->f->pool) * SIDE) < left;) {
        if (left - k >= SIDE)
            columns_of_x(c, k, SIDE);
        else
            columns_of_x(c, k, left - k);
    }
}

/* part = R[I][>I] X[>I][J] in strips of J, whose columns of X end there. */
static int multiply_right(factor *f)
{
    int64_t n = f->n, left = n - f->j1;
    for (int64_t a = 0; a < left; a += STRIP) {
        qn_matmul p = {.x = f->h + f->j0 * n + f->j1,
                       .w = f->h + (f->j1 + a) * n + f->j1,
                       .y = f->part + a,
                       .ldx = n,
                       .ldw = n,
                       .ldy = left,
                       .n_row = f->j1 - f->j0,
                       .n_in = QN_MIN(a + STRIP, left),
                       .n_out = QN_MIN(STRIP, left - a),
                       .scale = 1,
                       .lower = a + 1};
        QN_TRY(qn_matmul_run(f->be, &p, f->err));
    }
    return QN_OK;
}

/* Block row [j0, j1) of X, those below being there. */
static int invert_block(factor *f)
{
    int64_t n = f->n, left = n - f->j1, w = f->j1 - f->j0;
    float x[BLOCK][BLOCK];
    float *diagonal = f->h + f->j0 * n + f->j0;
    invert_small(diagonal, n, w, x);
    if (left > 0) {
        column_job c = {f, x};
        QN_TRY(multiply_right(f));
        qn_pool_run(f->pool, column_thread, &c);
    }
    for (int64_t i = 0; i < w; i++)
        for (int64_t j = i; j < w; j++)
            diagonal[j * n + i] = x[i][j];
    return QN_OK;
}

static int invert_rows(factor *f)
{
    int64_t last = (f->n - 1) / BLOCK * BLOCK;
    for (f->j0 = last; f->j0 >= 0; f->j0 -= BLOCK) {
        f->j1 = QN_MIN(f->j0 + BLOCK, f->n);
        QN_TRY(invert_block(f));
    }
    return QN_OK;
}

int qn_inverse_factor(qn_backend *be, float *h, int64_t n, qn_err *err)
{
    factor f = {
        .be = be, .pool = be->api->pool(be), .h = h, .n = n, .err = err};
    f.panel = qn_alloc((size_t)n, PANEL_LINE * sizeof(float));
    f.part = qn_alloc((size_t)n, BLOCK * sizeof(float));
    int rc = f.panel && f.part
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM, "no memory to factor %lld columns",
                           (long long)n);
    if (rc == QN_OK) {
        turn_round(h, n);
        rc = factor_rows(&f);
    }
    if (rc == QN_OK)
        rc = invert_rows(&f);
    if (rc == QN_OK)
        turn_round(h, n);
    qn_free(f.panel);
    qn_free(f.part);
    return rc;
}
