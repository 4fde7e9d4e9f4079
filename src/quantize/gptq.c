/* gptq.c - see gptq.h.
 *
 * The factor: with H = A A^T, A upper triangular (a Cholesky factorization from
 * the last column backwards), inverse(H) = A^-T A^-1, so U = A^-1. Both steps
 * go by rows in inner loops of y += f * x. */
#include "quantize/gptq.h"

#include "base/compiler.h"
#include "tensor/qscheme.h"

#include <math.h>
#include <string.h>

typedef struct factor_job {
    float *h;
    int64_t n;
    qn_pool *pool;
    bool bad;
} factor_job;

static void axpy(float *y, float f, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += f * x[i];
}

/* H is turned round (i -> n - 1 - i), so that a common lower factorization of
 * rows gives the upper one: afterwards l[i][0..i] is row i of L, H' = L L^T. */
static void turn(float *h, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            h[j * n + i] = h[i * n + j];
    for (int64_t i = 0, m = n * n; i < m / 2; i++) {
        float t = h[i];
        h[i] = h[m - 1 - i];
        h[m - 1 - i] = t;
    }
}

/* Right-looking: column j, then what is right of it. The symmetric matrix is
 * kept in its upper part: row j holds column j of L. */
static void cholesky_thread(void *arg, int thread, int n_threads)
{
    factor_job *f = arg;
    int64_t n = f->n;
    for (int64_t j = 0; j < n; j++) {
        float *row = f->h + j * n;
        if (thread == 0) {
            float d = row[j];
            if (!(d > 0) || !isfinite(d))
                f->bad = true;
            float inv = 1.0f / sqrtf(d);
            for (int64_t k = j; k < n; k++)
                row[k] *= inv;
        }
        qn_pool_barrier(f->pool);
        if (f->bad)
            return;
        for (int64_t i = j + 1 + thread; i < n; i += n_threads)
            axpy(f->h + i * n + i, -row[i], row + i, n - i);
        qn_pool_barrier(f->pool);
    }
}

/* Rows of the upper triangular r, H' = r^T r, become those of inverse(r)^T ...
 * column by column: x solves r x = e_c. Thread by columns c; the result lies in
 * the lower part, transposed: row c of it is column c of the inverse. */
static void invert_thread(void *arg, int thread, int n_threads)
{
    factor_job *f = arg;
    int64_t n = f->n;
    for (int64_t c = thread; c < n; c += n_threads) {
        float *x = f->h + c * n; /* x[0..c): lower part of row c */
        float last = 1.0f / x[c];
        for (int64_t i = 0; i < c; i++)
            x[i] = 0;
        /* from the bottom up: x[i] = -(sum of r[i][k] x[k], i < k <= c) / r[i][i];
         * the sum is built by columns of r, which are not contiguous */
        for (int64_t i = c - 1; i >= 0; i--) {
            const float *r = f->h + i * n;
            float sum = r[c] * last;
            for (int64_t k = i + 1; k < c; k++)
                sum += r[k] * x[k];
            x[i] = -sum / r[i];
        }
    }
}

bool qn_gptq_factor(float *h, int64_t n, double damping, qn_pool *pool)
{
    factor_job f = {.h = h, .n = n, .pool = pool};
    double mean = 0;
    for (int64_t i = 0; i < n; i++)
        mean += (double)h[i * n + i] / (double)n;
    if (!(mean > 0) || !isfinite(mean))
        return false;
    for (int64_t i = 0; i < n; i++)
        h[i * n + i] += (float)(damping * mean);
    turn(h, n);
    qn_pool_run(pool, cholesky_thread, &f);
    if (f.bad)
        return false;
    qn_pool_run(pool, invert_thread, &f);
    for (int64_t i = 0; i < n; i++) /* the diagonal was read until here */
        h[i * n + i] = 1.0f / h[i * n + i];
    /* Now row c holds column c of R^-1 in [0, c]; H' = R^T R. Turned round,
     * H = A A^T with A upper, A[i][j] = R[n-1-j][n-1-i]; U = A^-1 has
     * U[i][j] = R^-1[n-1-j][n-1-i], which lies in row n-1-i, place n-1-j. */
    for (int64_t i = 0, m = n * n; i < m / 2; i++) {
        float t = h[i];
        h[i] = h[m - 1 - i];
        h[m - 1 - i] = t;
    }
    return true;
}

/* Rounds column k of one row; the error over U's diagonal. */
static float round_one(const qn_qmat *m, float w, float scale, float zero,
                       float u, uint8_t *code)
{
    float max = (float)((1 << m->bits) - 1);
    float q = rintf(w / scale) + zero;
    q = q > 0 ? q : 0;
    q = q < max ? q : max;
    *code = (uint8_t)q;
    return (w - (q - zero) * scale) / u;
}

/* Columns [k0, k1) of one row; errors into e. */
static void row_block(const qn_qmat *m, const float *u, float *w, int64_t k0,
                      int64_t k1, float *e, uint8_t *codes, float *scales,
                      float *zeros)
{
    qn_dtype stored = m->scheme == &qn_gptq_scheme ? QN_F16 : m->round;
    for (int64_t k = k0; k < k1; k++) {
        int64_t g = k / m->group;
        float zero = m->zero;
        if (k % m->group == 0)
            qn_affine_fit(m, stored, w + k, QN_MIN(m->group, m->n_in - k),
                          &scales[g], m->zeros ? &zeros[g] : &zero);
        const float *row = u + k * m->n_in;
        e[k - k0] = round_one(m, w[k], scales[g], m->zeros ? zeros[g] : m->zero,
                              row[k], &codes[k]);
        axpy(w + k + 1, -e[k - k0], row + k + 1, k1 - k - 1);
    }
}

void qn_gptq_rows(const qn_qmat *m, const float *u, float *w, int64_t n_row,
                  float *error, qn_qrows *out)
{
    int64_t n = m->n_in, n_group = qn_qmat_n_group(m);
    for (int64_t k0 = 0; k0 < n; k0 += QN_GPTQ_BLOCK) {
        int64_t k1 = QN_MIN(k0 + QN_GPTQ_BLOCK, n);
        for (int64_t r = 0; r < n_row; r++)
            row_block(m, u, w + r * n, k0, k1, error + r * QN_GPTQ_BLOCK,
                      out->codes + r * n, out->scales + r * n_group,
                      out->zeros + r * n_group);
        for (int64_t k = k0; k < k1; k++) /* one row of u, all rows of w */
            for (int64_t r = 0; r < n_row; r++)
                axpy(w + r * n + k1, -error[r * QN_GPTQ_BLOCK + k - k0],
                     u + k * n + k1, n - k1);
    }
}
