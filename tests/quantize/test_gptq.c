/* GPTQ: the factor is that of the inverse, and what is rounded with it loses
 * less of the outputs than what is rounded to nearest. */
#include "testing.h"

#include "base/compiler.h"
#include "quantize/gptq.h"
#include "quantize/optimize.h"
#include "tensor/qscheme.h"

enum {
    N = 96,
    ROWS = 32,
    TOK = 400
};

static uint32_t seed = 1;

static float rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(int32_t)seed * 0x1p-31f;
}

/* H of inputs whose elements hang together; upper part. */
static void make_h(float *h)
{
    memset(h, 0, N * N * sizeof *h);
    for (int t = 0; t < TOK; t++) {
        float x[N], mood = rnd() * 2;
        for (int i = 0; i < N; i++)
            x[i] = rnd() + mood * (float)(i % 5) + (i ? x[i - 1] / 2 : 0);
        for (int i = 0; i < N; i++)
            for (int j = i; j < N; j++)
                h[i * N + j] += x[i] * x[j];
    }
}

static void test_factor(void **state)
{
    (void)state;
    static float h[N * N], u[N * N];
    make_h(h);
    double mean = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
        qn_pool *pool;
        assert_int_equal(qn_pool_new(&pool, threads, NULL), 0);
        memcpy(u, h, sizeof u);
        assert_true(qn_gptq_factor(u, N, 0.01, pool));
        qn_pool_free(pool);
        mean = 0;
        for (int i = 0; i < N; i++)
            mean += (double)h[i * N + i] / N;
        /* (H + damping) U^T U = 1 */
        for (int i = 0; i < N; i += 7) {
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < N; k++) {
                    double a = (double)(k > i ? h[i * N + k] : h[k * N + i]);
                    double inv = 0;
                    a += k == i ? 0.01 * mean : 0;
                    for (int m = 0; m <= QN_MIN(k, j); m++)
                        inv += (double)u[m * N + k] * (double)u[m * N + j];
                    sum += a * inv;
                }
                assert_true(fabs(sum - (i == j)) < 1e-3);
            }
        }
    }
    memset(u, 0, sizeof u);
    qn_pool *pool;
    assert_int_equal(qn_pool_new(&pool, 1, NULL), 0);
    assert_false(qn_gptq_factor(u, N, 0.01, pool)); /* nothing came through */
    qn_pool_free(pool);
}

/* (W - Q) H (W - Q)^T: the error of the outputs over the inputs. */
static double loss(const qn_qmat *m, const qn_qrows *r, const float *w,
                   const float *h)
{
    double sum = 0;
    int64_t n_group = qn_qmat_n_group(m);
    for (int row = 0; row < ROWS; row++) {
        double e[N];
        for (int k = 0; k < N; k++) {
            int64_t g = row * n_group + k / m->group;
            float zero = m->zeros ? r->zeros[g] : m->zero;
            e[k] = (double)w[row * N + k] -
                   (double)(((float)r->codes[row * N + k] - zero) *
                            r->scales[g]);
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                sum += e[i] * e[j] *
                       (double)(j > i ? h[i * N + j] : h[j * N + i]);
    }
    return sum;
}

static void test_rows(void **state)
{
    (void)state;
    static float h[N * N], u[N * N], w[ROWS * N], used[ROWS * N];
    static float error[ROWS * QN_GPTQ_BLOCK];
    uint8_t codes[ROWS * N];
    float scales[ROWS * N], zeros[ROWS * N];
    qn_qrows r = {codes, scales, zeros};
    qn_pool *pool;
    make_h(h);
    memcpy(u, h, sizeof u);
    assert_int_equal(qn_pool_new(&pool, 2, NULL), 0);
    assert_true(qn_gptq_factor(u, N, 0.01, pool));
    qn_pool_free(pool);
    for (int i = 0; i < ROWS * N; i++)
        w[i] = rnd();
    for (int bits = 2; bits <= 8; bits++) {
        for (int zero = 0; zero < 2; zero++) {
            qn_qmat m = {.scheme = &qn_ct_pack_scheme,
                         .n_out = ROWS,
                         .n_in = N,
                         .bits = bits,
                         .group = 32,
                         .zeros = zero,
                         .round = QN_F32};
            assert_int_equal(qn_qmat_lay(&m, NULL), 0);
            m.scheme->quantize(&m, w, ROWS, &r);
            double nearest = loss(&m, &r, w, h);
            memcpy(used, w, sizeof used);
            qn_gptq_rows(&m, u, used, ROWS, error, &r);
            for (int i = 0; i < ROWS * N; i++)
                assert_true(codes[i] < 1 << bits);
            double gptq = loss(&m, &r, w, h);
            if (!(gptq < 0.6 * nearest))
                fail_msg("%d bits: loss %g, to nearest %g", bits, gptq,
                         nearest);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    qn_err err = {0};
    qn_optimize_params p = {.model = qn_test_data("models/llama"),
                            .output_dir = "nowhere",
                            .method = "gptq"};
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "--calibration"));
    p.method = "rtn";
    p.calibration = "text";
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EUNSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factor),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
