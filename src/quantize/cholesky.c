/* cholesky.c - see cholesky.h.
 *
 *   1. h = W^T W, W lower triangular: block rows J from the last up,
 *        W[J][J]^T W[J][J] = h[J][J],  W[J][<J] = W[J][J]^-T h[J][<J],
 *      and h[<J][<J] -= W[J][<J]^T W[J][<J]. In the diagonal's place lies what
 *      is wanted of it later, W[J][J]^-1.
 *   2. T = W^-1: block columns J from the last on,
 *        T[>J][J] = -T[>J][>J] W[>J][J] W[J][J]^-1.
 *   Then inverse(h) = T T^T.
 *
 * All but the diagonal blocks are products of the backend. */
#include "quantize/cholesky.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/matmul.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 128,
    LINE = BLOCK + 16, /* rows do not fall on few cache sets */
    TILE = 64          /* columns that are turned at a time */
};

typedef struct factor {
    qn_backend *be;
    qn_pool *pool;
    qn_tri *h;
    int64_t j0, j1;
    float *panel;         /* [n, LINE], BLOCK of each row */
    float (*x)[BLOCK];    /* W[J][J]^-1 */
    float (*turn)[BLOCK]; /* its transpose */
    bool bad;
    qn_err *err;
} factor;

/* ---- W ------------------------------------------------------------------- */

/* The diagonal block of [j0, j1): W of it. */
static void factor_diagonal(factor *f)
{
    int64_t w = f->j1 - f->j0, ld = f->h->ld;
    float *d = qn_tri_at(f->h, f->j0, f->j0);
    for (int64_t j = w - 1; j >= 0; j--) {
        float *row = d + j * ld, v = row[j];
        f->bad = f->bad || !(v > 0) || !isfinite(v);
        float inv = 1.0f / sqrtf(v);
        for (int64_t k = 0; k <= j; k++)
            row[k] *= inv;
        for (int64_t i = 0; i < j; i++)
            for (int64_t k = 0; k <= i; k++)
                d[i * ld + k] -= row[i] * row[k];
    }
}

/* Its inverse, in its place and aside. */
static void invert_diagonal(factor *f)
{
    int64_t w = f->j1 - f->j0, ld = f->h->ld;
    float *d = qn_tri_at(f->h, f->j0, f->j0);
    memset(f->x, 0, BLOCK * sizeof *f->x);
    memset(f->turn, 0, BLOCK * sizeof *f->turn);
    for (int64_t i = 0; i < w; i++) {
        double sum[BLOCK] = {0};
        for (int64_t k = 0; k < i; k++)
            for (int64_t c = 0; c <= k; c++)
                sum[c] -= (double)d[i * ld + k] * (double)f->x[k][c];
        sum[i] = 1;
        for (int64_t c = 0; c <= i; c++)
            f->x[i][c] = (float)(sum[c] / (double)d[i * ld + i]);
    }
    for (int64_t i = 0; i < w; i++) {
        memcpy(d + i * ld, f->x[i], (size_t)w * sizeof *d);
        for (int64_t c = 0; c <= i; c++)
            f->turn[c][i] = f->x[i][c];
    }
}

/* W[J][<J]. */
static int solve_row(factor *f)
{
    int64_t w = f->j1 - f->j0;
    for (int64_t a = 0; a < f->j0; a = qn_tri_end(f->h, a)) {
        float *at = qn_tri_at(f->h, f->j0, a);
        qn_matmul p = {.x = f->turn[0],
                       .w = at,
                       .y = at,
                       .ldx = BLOCK,
                       .ldw = f->h->ld,
                       .ldy = f->h->ld,
                       .turned = true,
                       .n_row = w,
                       .n_in = w,
                       .n_out = QN_MIN(qn_tri_end(f->h, a), f->j0) - a,
                       .scale = 1};
        QN_TRY(qn_matmul_run(f->be, &p, f->err));
    }
    return QN_OK;
}

/* ... turned into the panel. */
static void turn_thread(void *arg, int thread, int n_threads)
{
    const factor *f = arg;
    int64_t w = f->j1 - f->j0, ld = f->h->ld;
    (void)thread;
    (void)n_threads;
    for (int64_t k; (k = qn_pool_next(f->pool) * TILE) < f->j0;) {
        const float *at = qn_tri_at(f->h, f->j0, k);
        int64_t n = QN_MIN((int64_t)TILE, f->j0 - k);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < w; j++)
                f->panel[(k + i) * LINE + j] = at[j * ld + i];
    }
}

/* What is above: -= panel panel^T, its lower half. */
static int take_panel(factor *f)
{
    for (int64_t a = 0; a < f->j0; a = qn_tri_end(f->h, a)) {
        qn_matmul p = {.x = f->panel + a * LINE,
                       .w = f->panel + a * LINE,
                       .y = qn_tri_at(f->h, a, a),
                       .ldx = LINE,
                       .ldw = LINE,
                       .ldy = f->h->ld,
                       .n_row = f->j0 - a,
                       .n_in = f->j1 - f->j0,
                       .n_out = QN_MIN(qn_tri_end(f->h, a), f->j0) - a,
                       .scale = -1,
                       .add = true};
        QN_TRY(qn_matmul_run(f->be, &p, f->err));
    }
    return QN_OK;
}

static int factor_rows(factor *f)
{
    int64_t n = f->h->n;
    for (f->j0 = (n - 1) / BLOCK * BLOCK; f->j0 >= 0; f->j0 -= BLOCK) {
        f->j1 = QN_MIN(f->j0 + BLOCK, n);
        factor_diagonal(f);
        if (f->bad)
            return qn_fail(f->err, QN_EINVAL,
                           "the inputs' products are not positive definite; "
                           "raise --damping");
        invert_diagonal(f);
        QN_TRY(solve_row(f));
        qn_pool_run(f->pool, turn_thread, f);
        QN_TRY(take_panel(f));
    }
    return QN_OK;
}

/* ---- T ------------------------------------------------------------------- */

/* Zeros above the diagonal, so that rows of a strip can be multiplied whole. */
static void clear_above(qn_tri *h)
{
    for (int64_t i = 0; i < h->n; i++) {
        float *row = qn_tri_at(h, i, i);
        memset(row + 1, 0, (size_t)(qn_tri_end(h, i) - i - 1) * sizeof *row);
    }
}

/* panel = T[>J][>J] W[>J][J], by strips of T's columns. */
static int multiply_left(factor *f)
{
    for (int64_t a = f->j1; a < f->h->n; a = qn_tri_end(f->h, a)) {
        qn_matmul p = {.x = qn_tri_at(f->h, a, a),
                       .w = qn_tri_at(f->h, a, f->j0),
                       .y = f->panel + (a - f->j1) * LINE,
                       .ldx = f->h->ld,
                       .ldw = f->h->ld,
                       .ldy = LINE,
                       .turned = true,
                       .n_row = f->h->n - a,
                       .n_in = qn_tri_end(f->h, a) - a,
                       .n_out = f->j1 - f->j0,
                       .scale = 1,
                       .add = a > f->j1};
        QN_TRY(qn_matmul_run(f->be, &p, f->err));
    }
    return QN_OK;
}

/* Block column [j0, j1) of T, those behind it being there. */
static int invert_column(factor *f)
{
    float *diagonal = qn_tri_at(f->h, f->j0, f->j0);
    QN_TRY(multiply_left(f));
    qn_matmul p = {.x = f->panel,
                   .w = diagonal,
                   .y = qn_tri_at(f->h, f->j1, f->j0),
                   .ldx = LINE,
                   .ldw = f->h->ld,
                   .ldy = f->h->ld,
                   .turned = true,
                   .n_row = f->h->n - f->j1,
                   .n_in = f->j1 - f->j0,
                   .n_out = f->j1 - f->j0,
                   .scale = -1};
    return qn_matmul_run(f->be, &p, f->err);
}

static int invert_columns(factor *f)
{
    int64_t n = f->h->n;
    clear_above(f->h);
    for (f->j0 = (n - 1) / BLOCK * BLOCK - BLOCK; f->j0 >= 0; f->j0 -= BLOCK) {
        f->j1 = f->j0 + BLOCK;
        QN_TRY(invert_column(f));
    }
    return QN_OK;
}

int qn_inverse_factor(qn_backend *be, qn_tri *h, qn_err *err)
{
    factor f = {.be = be, .pool = be->api->pool(be), .h = h, .err = err};
    f.panel = qn_alloc((size_t)h->n, LINE * sizeof(float));
    f.x = qn_alloc(BLOCK, sizeof *f.x);
    f.turn = qn_alloc(BLOCK, sizeof *f.turn);
    int rc = f.panel && f.x && f.turn
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM, "no memory to factor %lld columns",
                           (long long)h->n);
    if (rc == QN_OK)
        rc = factor_rows(&f);
    if (rc == QN_OK)
        rc = invert_columns(&f);
    qn_free(f.panel);
    qn_free(f.x);
    qn_free(f.turn);
    return rc;
}
