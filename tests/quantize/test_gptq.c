/* GPTQ: the factor is that of the inverse, and what is rounded with it loses
 * less of the outputs than what is rounded to nearest. */
#include "testing.h"

#include "base/compiler.h"
#include "quantize/gptq.h"
#include "quantize/optimize.h"
#include "tensor/qscheme.h"

enum {
    N = 96,
    BIG = 300,
    WIDE = 1100, /* more than two strips */
    ROWS = 32,
    TOK = 400
};

static uint32_t seed = 1;

static float rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(int32_t)seed * 0x1p-31f;
}

/* H of inputs whose elements hang together. */
static void make_h(float *h, int n)
{
    float *x = malloc((size_t)n * sizeof *x);
    memset(h, 0, (size_t)(n * n) * sizeof *h);
    for (int t = 0; t < QN_MAX((int)TOK, n); t++) {
        float mood = rnd() * 2;
        for (int i = 0; i < n; i++)
            x[i] = rnd() + mood * (float)(i % 5) + (i ? x[i - 1] / 2 : 0);
        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++)
                h[i * n + j] += x[i] * x[j];
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            h[j * n + i] = h[i * n + j];
    free(x);
}

/* The half that is kept of h [n, n], rows `ld` apart. */
static qn_tri half_of(const float *h, int n, int ld)
{
    qn_tri t;
    assert_int_equal(qn_tri_new(&t, n, NULL), 0);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            *qn_tri_at(&t, i, j) = h[i * ld + j];
    return t;
}

static double at(const qn_tri *t, int i, int j)
{
    return i < j ? 0 : (double)*qn_tri_at(t, i, j);
}

static qn_backend *backend(int threads)
{
    qn_backend_params p = {.n_threads = threads, .isa = QN_ISA_N - 1};
    qn_backend *be;
    assert_int_equal(qn_backend_open(&be, "cpu", &p, NULL), 0);
    return be;
}

/* (H + damping) T T^T = 1, for sizes around those of its blocks; of the columns
 * in their order. */
static void check_factor(int n, int threads, bool ordered, const float *all)
{
    double mean = 0, *x = malloc((size_t)n * sizeof *x);
    qn_tri t = half_of(all, n, WIDE);
    qn_gptq g;
    qn_err err = {0};
    for (int i = 0; i < n; i++)
        mean += (double)all[i * WIDE + i] / n;
    qn_backend *be = backend(threads);
    if (qn_gptq_factor(&g, be, &t, 0.01, ordered, &err) < 0)
        fail_msg("%s", err.msg);
    qn_backend_close(be);
    for (int c = 0; c < n; c += 1 + n / 8) { /* column c of the product */
        for (int k = 0; k < n; k++) {
            x[k] = 0;
            for (int m = 0; m <= QN_MIN(k, c); m++)
                x[k] += at(&t, k, m) * at(&t, c, m);
        }
        for (int i = 0; i < n; i++) {
            const float *h = all + (ordered ? g.order[i] : i) * WIDE;
            double sum = 0.01 * mean * x[i];
            for (int k = 0; k < n; k++)
                sum += (double)h[ordered ? g.order[k] : k] * x[k];
            if (fabs(sum - (i == c)) > 2e-3)
                fail_msg("%d columns, %d threads: [%d, %d] is %g", n, threads,
                         i, c, sum);
            if (ordered && i &&
                all[g.order[i] * (WIDE + 1)] > all[g.order[i - 1] * (WIDE + 1)])
                fail_msg("column %d comes after %d", g.order[i],
                         g.order[i - 1]);
        }
    }
    qn_gptq_deinit(&g);
    qn_tri_free(&t);
    free(x);
}

static void test_factor(void **state)
{
    (void)state;
    float *all = malloc(WIDE * WIDE * sizeof *all);
    make_h(all, WIDE);
    check_factor(1, 1, false, all);
    check_factor(N, 1, false, all);
    check_factor(128, 2, false, all);
    check_factor(129, 3, true, all);
    check_factor(512, 2, false, all);
    check_factor(513, 1, true, all);
    check_factor(WIDE, 2, true, all);
    qn_gptq g;
    qn_backend *be = backend(1);
    memset(all, 0, N * N * sizeof *all);
    qn_tri t = half_of(all, N, N);
    assert_int_equal(qn_gptq_factor(&g, be, &t, 0.01, false, NULL),
                     QN_EINVAL); /* nothing came through */
    qn_gptq_deinit(&g);
    qn_backend_close(be);
    qn_tri_free(&t);
    free(all);
}

/* (W - Q) H (W - Q)^T: the error of the outputs over the inputs. */
static double loss(const qn_qmat *m, const qn_qrows *r, const int32_t *g_idx,
                   const float *w, const float *h)
{
    double sum = 0;
    int64_t n_group = qn_qmat_n_group(m);
    for (int row = 0; row < ROWS; row++) {
        double e[N];
        for (int k = 0; k < N; k++) {
            int64_t g = row * n_group + (g_idx ? g_idx[k] : k / m->group);
            float zero = m->zeros ? r->zeros[g] : m->zero;
            e[k] = (double)w[row * N + k] -
                   (double)(((float)r->codes[row * N + k] - zero) *
                            r->scales[g]);
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                sum += e[i] * e[j] * (double)h[i * N + j];
    }
    return sum;
}

/* How columns are ordered, and groups. */
static void check_rows(bool ordered, bool fixed)
{
    static float h[N * N], w[ROWS * N], used[ROWS * N];
    uint8_t codes[ROWS * N];
    float scales[ROWS * N], zeros[ROWS * N];
    int32_t g_idx[N];
    qn_qrows r = {codes, scales, zeros};
    qn_backend *be = backend(2);
    qn_gptq g;
    make_h(h, N);
    qn_tri t = half_of(h, N, N);
    assert_int_equal(qn_gptq_factor(&g, be, &t, 0.01, ordered, NULL), 0);
    g.static_groups = fixed;
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
            double nearest = loss(&m, &r, NULL, w, h);
            memcpy(used, w, sizeof used);
            assert_int_equal(qn_gptq_matrix(&g, &m, used, &r, g_idx, NULL), 0);
            for (int i = 0; i < ROWS * N; i++)
                assert_true(codes[i] < 1 << bits);
            for (int k = 0; k < N && (fixed || !ordered); k++)
                assert_int_equal(g_idx[k], k / 32);
            for (int i = 0; i < ROWS * N; i++) { /* what codes mean */
                int64_t group = i / N * 3 + g_idx[i % N];
                float z = zero ? zeros[group] : m.zero;
                assert_true(fabsf(used[i] - ((float)codes[i] - z) *
                                                scales[group]) < 1e-5f);
            }
            double gptq = loss(&m, &r, g_idx, w, h);
            if (!(gptq < 0.6 * nearest))
                fail_msg("%d bits: loss %g, to nearest %g", bits, gptq,
                         nearest);
        }
    }
    qn_gptq_deinit(&g);
    qn_tri_free(&t);
    qn_backend_close(be);
}

static void test_rows(void **state)
{
    (void)state;
    check_rows(false, false);
    check_rows(true, false);
    check_rows(true, true);
}

/* Each code is the nearest to what its weight has become by the errors of all
 * columns before it, whichever block and group they are in. Plain doubles; the
 * errors are those of the codes that are judged. */
static void check_codes(const qn_gptq *g, const qn_qmat *m, const qn_qrows *r,
                        const int32_t *g_idx, const float *w)
{
    int n = (int)m->n_in, max = (1 << m->bits) - 1;
    int64_t n_group = qn_qmat_n_group(m);
    double *now = malloc((size_t)n * sizeof *now);
    for (int64_t row = 0; row < m->n_out; row++) {
        for (int k = 0; k < n; k++)
            now[k] = (double)w[row * n + (g->order ? g->order[k] : k)];
        for (int k = 0; k < n; k++) {
            int place = g->order ? g->order[k] : k;
            int64_t group = row * n_group + g_idx[place];
            double scale = (double)r->scales[group];
            double zero = (double)(m->zeros ? r->zeros[group] : m->zero);
            int code = r->codes[row * n + place];
            double off = now[k] / scale + zero - code;
            bool fine = code == 0     ? off < 0.501
                        : code == max ? off > -0.501
                                      : fabs(off) < 0.501;
            if (!fine)
                fail_msg("row %d, turn %d of %d: code %d is off by %g",
                         (int)row, k, n, code, off);
            double e = (now[k] - (code - zero) * scale) / at(g->t, k, k);
            for (int i = k + 1; i < n; i++)
                now[i] -= e * at(g->t, i, k);
        }
    }
    free(now);
}

static void test_codes(void **state)
{
    (void)state;
    enum {
        SOME = 37 /* rows: no multiple of anything */
    };
    static const int groups[] = {30, 100, 150, 300};
    float *h = malloc(BIG * BIG * sizeof *h), *w, *used;
    w = malloc(SOME * BIG * sizeof *w);
    used = malloc(SOME * BIG * sizeof *used);
    qn_qrows r = {malloc(SOME * BIG), malloc(SOME * BIG * sizeof(float)),
                  malloc(SOME * BIG * sizeof(float))};
    int32_t g_idx[BIG];
    for (int i = 0; i < SOME * BIG; i++)
        w[i] = rnd();
    for (int i = 0; i < 8; i++) {
        qn_backend *be = backend(1 + i % 3);
        qn_gptq g;
        qn_qmat m = {.scheme = &qn_ct_pack_scheme,
                     .n_out = SOME,
                     .n_in = BIG,
                     .bits = 3 + i % 3,
                     .group = groups[i / 2],
                     .zeros = i % 2,
                     .round = QN_F32};
        assert_int_equal(qn_qmat_lay(&m, NULL), 0);
        make_h(h, BIG);
        qn_tri t = half_of(h, BIG, BIG);
        assert_int_equal(qn_gptq_factor(&g, be, &t, 0.01, i % 4 > 1, NULL), 0);
        g.static_groups = i == 3 || i == 7;
        memcpy(used, w, SOME * BIG * sizeof *w);
        assert_int_equal(qn_gptq_matrix(&g, &m, used, &r, g_idx, NULL), 0);
        check_codes(&g, &m, &r, g_idx, w);
        qn_gptq_deinit(&g);
        qn_tri_free(&t);
        qn_backend_close(be);
    }
    free(h);
    free(w);
    free(used);
    free(r.codes);
    free(r.scales);
    free(r.zeros);
}

static void test_refused(void **state)
{
    (void)state;
    qn_err err = {0};
    qn_optimize_params p = {.model = qn_test_data("models/llama"),
                            .output_dir = "nowhere",
                            .method = "gptq"};
    assert_true(qn_optimize_run(&p, NULL, &err) < 0); /* no vocabulary */
    p.calibration = "no such file";
    assert_true(qn_optimize_run(&p, NULL, &err) < 0);
    p.method = "rtn";
    p.calibration = "text";
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EUNSUP);
    p.calibration = NULL;
    p.desc_act = true;
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EUNSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factor),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
