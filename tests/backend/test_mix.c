/* test_mix.c - sums over cells of a cache, every kernel called directly:
 * against the reference and against itself, one token and 16 columns at a time.
 *
 * With --bench: how fast they are beside the bounds of this machine.
 */
#include "backend/ops.h"

#include "backend/cpu/kernels.h"
#include "base/mem.h"
#include "tensor/half.h"

#include <time.h>

static qn_kernels ref, kern;

static void fill(qn_kv_dtype t, uint8_t *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = (uint8_t)(1 + rnd_int(255)); /* int8: -127 to 127 */
    for (int64_t i = 0; i < n && t != QN_KV_CELL_I8; i += 4) {
        float f = rnd();
        uint16_t h[2] = {qn_f16_of_f32(f), qn_f16_of_f32(rnd())};
        if (t == QN_KV_CELL_BF16) {
            h[0] = qn_bf16_of_f32(f);
            h[1] = qn_bf16_of_f32(rnd());
        }
        memcpy(p + i, t == QN_KV_CELL_F32 ? (void *)&f : (void *)h, 4);
    }
}

/* x as a kernel takes it, in memory that ends where it must. */
static uint8_t *prepare(const qn_mix_kernel *k, qn_kv_dtype t, const mat *raw,
                        int64_t *x_tok)
{
    int n = raw->n_col, step = qn_cell_step(t), whole = (n + step - 1) / step;
    int64_t bytes = !k->prep               ? 4 * n
                    : t == QN_KV_CELL_BF16 ? 4 * whole
                                           : 8 * (whole + 1);
    uint8_t *x, *one = aligned_alloc(64, (size_t)bytes / 64 * 64 + 64);

    *x_tok = bytes + 24;
    x = malloc((size_t)((raw->n_row - 1) * *x_tok + bytes));
    for (int i = 0; i < raw->n_row; i++) {
        if (k->prep)
            k->prep(mat_row(raw, i), n, one);
        else
            memcpy(one, mat_row(raw, i), (size_t)bytes);
        memcpy(x + i * *x_tok, one, (size_t)bytes);
    }
    free(one);
    return x;
}

/* The bound on a sum's error: of its additions, and of x's rounding. Whole
 * numbers are the same, so there only the last products and x's may differ. */
static double bound(const qn_mix_kernel *k, qn_kv_dtype t, int n_k)
{
    double top = t == QN_KV_CELL_I8 ? 127 * 2 : 1;
    double round = t == QN_KV_CELL_I8 ? 0x1p-15 : k->prep ? 0x1p-9 : 0;

    return 2 * qn_test_dot_bound((size_t)n_k + 8, EPS32, n_k * top + 1) +
           n_k * top * round;
}

static void mix_case(const qn_mix_kernel *k, const qn_mix_kernel *r,
                     qn_kv_dtype t, int n_k, int n_tok, int n_col, bool load)
{
    int step = qn_cell_step(t), rows = (n_k + step - 1) / step;
    int64_t w_row = (int64_t)n_col * qn_cell_bytes(t) + 32, x_tok, r_tok;
    uint8_t *w = malloc((size_t)(rows * w_row));
    mat raw = mat_new(n_tok, n_k, 0, 0, 1), col = mat_new(1, n_col, 0, 1, 2);
    mat got = mat_new(n_tok, n_col, 16, 0, 1), want = mat_copy(&got);
    mat one = mat_copy(&got);
    uint8_t *x = prepare(k, t, &raw, &x_tok), *xr = prepare(r, t, &raw, &r_tok);
    char what[96];

    fill(t, w, rows * w_row);
    qn_mix m = {.w = w,
                .w_row = w_row,
                .x = x,
                .x_tok = x_tok,
                .acc = got.p,
                .acc_tok = got.ld,
                .col = t == QN_KV_CELL_I8 && n_k % 2 ? col.p : NULL,
                .ahead = n_tok % 2 ? w : NULL,
                .n_k = n_k,
                .n_tok = n_tok,
                .n_col = n_col,
                .load = load};
    k->fn(&m);
    snprintf(what, sizeof what, "%s k %d tokens %d columns %d load %d", k->name,
             n_k, n_tok, n_col, load);
    mat_check(&got, what);
    for (int i = 0; i < n_tok; i++) {
        qn_mix s = m;
        s.x = xr + i * r_tok;
        s.acc = mat_row(&want, i);
        s.n_tok = 1;
        r->fn(&s);
        for (int c = 0; c < n_col; c++)
            check_at(what, i, c, mat_row(&got, i)[c], mat_row(&want, i)[c],
                     bound(k, t, n_k));
        s.x = x + i * x_tok;
        s.n_col = 16;
        for (int c = 0; c < n_col; c += 16) {
            s.w = w + c * qn_cell_bytes(t);
            s.acc = mat_row(&one, i) + c;
            s.col = m.col ? m.col + c : NULL;
            k->fn(&s);
        }
    }
    mat_same(&got, &one, what);
    free(w);
    free(x);
    free(xr);
    mat *all[] = {&raw, &col, &got, &want, &one};
    for (size_t i = 0; i < QN_COUNTOF(all); i++)
        mat_free(all[i]);
}

/* The sums from the k at `from` on are those of all k's whose first x are 0. */
static void cut_case(const qn_mix_kernel *k, qn_kv_dtype t, int from, int n_k,
                     int n_tok, bool load)
{
    int step = qn_cell_step(t), rows = (n_k + step - 1) / step, n_col = 80;
    int64_t w_row = (int64_t)n_col * qn_cell_bytes(t), x_tok, c_tok;
    uint8_t *w = malloc((size_t)(rows * w_row));
    mat raw = mat_new(n_tok, n_k, 0, 0, 1), rest;
    mat all = mat_new(n_tok, n_col, 16, 0, 1), cut = mat_copy(&all);
    char what[96];

    for (int i = 0; i < n_tok; i++)
        memset(mat_row(&raw, i), 0, (size_t)from * sizeof(float));
    rest = mat_new(n_tok, n_k - from, 0, 0, 0);
    for (int i = 0; i < n_tok; i++)
        memcpy(mat_row(&rest, i), mat_row(&raw, i) + from,
               (size_t)(n_k - from) * sizeof(float));
    uint8_t *x = prepare(k, t, &raw, &x_tok), *c = prepare(k, t, &rest, &c_tok);
    fill(t, w, rows * w_row);
    qn_mix m = {.w = w,
                .w_row = w_row,
                .x = x,
                .x_tok = x_tok,
                .acc = all.p,
                .acc_tok = all.ld,
                .n_k = n_k,
                .n_tok = n_tok,
                .n_col = n_col,
                .load = load};
    k->fn(&m);
    m.w += from / step * w_row;
    m.x = c;
    m.x_tok = c_tok;
    m.acc = cut.p;
    m.n_k = n_k - from;
    m.k0 = from;
    k->fn(&m);
    snprintf(what, sizeof what, "%s k %d from %d tokens %d", k->name, n_k, from,
             n_tok);
    mat_same(&all, &cut, what);
    free(w);
    free(x);
    free(c);
    mat *mats[] = {&raw, &rest, &all, &cut};
    for (size_t i = 0; i < QN_COUNTOF(mats); i++)
        mat_free(mats[i]);
}

static void mixes(qn_isa isa)
{
    static const int ks[] = {1, 2, 3, 7, 32, 64, 80, 129};

    qn_kernels_init(&kern, isa);
    for (int t = 0; t < QN_KV_CELLS; t++)
        for (int exact = 0; exact < 2; exact++) {
            const qn_mix_kernel *k = exact ? &kern.mix_exact[t] : &kern.mix[t];
            for (int n_tok = 1; n_tok <= k->max_tok; n_tok++)
                for (int c = 16; c <= 112; c += 16)
                    mix_case(k, &ref.mix[t], (qn_kv_dtype)t,
                             ks[rnd_int(QN_COUNTOF(ks))], n_tok, c, rnd_int(2));
            for (int from = 4; from < 64; from += 4)
                cut_case(k, (qn_kv_dtype)t, from, from + 1 + rnd_int(64 - from),
                         1 + rnd_int(k->max_tok), rnd_int(2));
        }
}

static void test_mixes(void **state)
{
    (void)state;
    qn_kernels_init(&ref, QN_ISA_REF);
    each_isa(mixes);
}

/* The 16 bits of x are those of the reference, in whatever order; numbers that
 * are none make the factor none; tiny ones are zeros. */
static void quads(qn_isa isa)
{
    static const int ns[] = {1, 4, 5, 16, 30, 64, 576, 1100};
    const float bad[] = {NAN, INFINITY, -INFINITY, 1e-31f, 0};

    qn_kernels_init(&kern, isa);
    for (size_t i = 0; i < QN_COUNTOF(ns) * 6; i++) {
        int n = ns[i / 6], n4 = (n + 3) / 4 * 4;
        size_t size = ((size_t)n4 * 2 + sizeof(qn_xquads) + 63) / 64 * 64;
        mat x = mat_new(1, n, 0, 1, i % 6 == 4 ? 1e-31f : 3);
        uint8_t *a = aligned_alloc(64, size), *b = aligned_alloc(64, size);
        qn_xquads qa, qb;

        if (i % 6 < 3)
            x.p[rnd_int(n)] = bad[i % 6];
        ref.mix[QN_KV_CELL_I8].prep(x.p, n, a);
        kern.mix[QN_KV_CELL_I8].prep(x.p, n, b);
        memcpy(&qa, a + 2 * n4, sizeof qa);
        memcpy(&qb, b + 2 * n4, sizeof qb);
        if (i % 6 < 3) {
            assert_true(isnan(qa.d) && isnan(qb.d));
        } else {
            assert_int_equal(qa.sum, qb.sum);
            assert_true(qa.d == qb.d);
        }
        for (int j = 0; j < n4 && isa >= QN_ISA_AVX512VNNI; j++) {
            int16_t q;
            memcpy(&q, a + 2 * j, sizeof q);
            int at = j / 4 * 8 + j % 4;
            assert_int_equal((int8_t)b[at] * 256 + (int8_t)b[at + 4], q);
        }
        if (isa < QN_ISA_AVX512VNNI)
            assert_memory_equal(a, b, (size_t)n4 * 2);
        free(a);
        free(b);
        mat_free(&x);
    }
}

static void test_quads(void **state)
{
    (void)state;
    qn_kernels_init(&ref, QN_ISA_REF);
    each_isa(quads);
}

/* ---- speed --------------------------------------------------------------- */

/* Seconds that the thread ran, which others' load disturbs less. */
static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A head's keys and values of d of many pages, together far more than caches
 * hold, once for n_tok queries, by one thread. */
static void bench_one(qn_kv_dtype t, int d, int n_tok)
{
    const qn_mix_kernel *k = &kern.mix[t];
    int64_t part = (int64_t)d / qn_cell_step(t) * 64 * qn_cell_bytes(t);
    int n_page = (int)((64 << 20) / part);
    uint8_t *w, *x;
    mat raw = mat_new(n_tok, d, 0, 0, 1), acc = mat_new(n_tok, 128, 16, 0, 0);
    double best = 1e9;
    void *mem;
    int64_t x_tok;

    if (qn_big_alloc(&mem, (size_t)(n_page * part), QN_MEM_KV, NULL) < 0)
        fail_msg("no memory");
    w = mem;
    fill(t, w, n_page * part);
    x = prepare(k, t, &raw, &x_tok);
    for (int r = 0; r < 7; r++) {
        double t0 = now();
        for (int p = 0; p < n_page; p++) {
            qn_mix m = {.w = w + p * part,
                        .w_row = 64 * qn_cell_bytes(t),
                        .x = x,
                        .x_tok = x_tok,
                        .acc = acc.p,
                        .acc_tok = acc.ld,
                        .ahead = w + (p + 1) % n_page * part,
                        .n_k = d,
                        .n_tok = n_tok,
                        .n_col = 64};
            qn_mix_run(k, &m);
        }
        best = fmin(best, now() - t0);
    }
    printf("%-24s d %3d queries %2d  %6.1f GB/s  %6.1f GFLOP/s\n", k->name, d,
           n_tok, (double)(n_page * part) / best * 1e-9,
           2.0 * 64 * d * n_tok * n_page / best * 1e-9);
    fflush(stdout);
    qn_big_free(mem, (size_t)(n_page * part), QN_MEM_KV);
    free(x);
    mat_free(&raw);
    mat_free(&acc);
}

static void bench(void)
{
    static const int toks[] = {1, 2, 4, 8, 12, 48};

    qn_kernels_init(&kern, QN_ISA_N - 1);
    for (int t = 0; t < QN_KV_CELLS; t++)
        for (size_t i = 0; i < QN_COUNTOF(toks); i++)
            bench_one((qn_kv_dtype)t, 64, toks[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_quads),
    };

    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        bench();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
