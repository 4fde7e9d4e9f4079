/* test_ops_attn.c - kv_append and attention on every instruction set, against
 * softmax sums in double precision over the cached (rounded) keys and values.
 *
 * Tolerance: a score s = scale * q.k is off by at most d = gamma(d_k) *
 * scale * sum |q k| plus a few roundings, so a weight exp(s) by a factor
 * 1 +- (d + c * eps); sums of n of them add gamma(n). The output, an average
 * of values, is off by at most twice that times the average of |v|.
 *
 * Queries and weights that a product takes rounded add to that: to bf16, each
 * by a factor 1 +- 2^-9; to 16 bits beside int8, by absmax / 65024 each. Of
 * weights that is the page's greatest, and 64 times the sum of the pages'
 * greatest is at most 64 times the sum of all.
 */
#include "backend/ops.h"

#include "tensor/half.h"

enum {
    PAGE_ROOM = 64
};

typedef struct attn_case {
    int n_head, n_kv, d_k, d_v;
    qn_kv_dtype cell;
    float softcap;
    int64_t window, chunk;
    bool alibi, sinks, q_scale;
} attn_case;

/* Element e of a head's key or value of n, as the cache holds it. */
static float cell(qn_kv_dtype t, const float *x, int n, int e)
{
    float top = 0;

    switch (t) {
    case QN_KV_CELL_F16: return qn_f32_of_f16(qn_f16_of_f32(x[e]));
    case QN_KV_CELL_BF16: return qn_f32_of_bf16(qn_bf16_of_f32(x[e]));
    case QN_KV_CELL_I8:
        for (int i = 0; i < n; i++)
            top = fmaxf(top, fabsf(x[i]));
        return rintf(x[e] * (127 / top)) * (top / 127);
    default: return x[e];
    }
}

/* All heads' keys or values of n positions as the cache holds them. */
static mat cached(qn_kv_dtype t, const mat *m, int n_kv)
{
    mat c = mat_copy(m);
    int d = m->n_col / n_kv;

    for (int r = 0; r < m->n_row; r++)
        for (int i = 0; i < m->n_col; i++)
            mat_row(&c, r)[i] = cell(t, mat_row(m, r) + i / d * d, d, i % d);
    return c;
}

/* One sequence: n positions, its tensors and its pages. */
typedef struct seq {
    int n;
    mat q, k, v, out;
    int32_t pages[2][PAGE_ROOM];
} seq;

/* A factor on the query at position i. */
static float q_factor(const attn_case *c, int i)
{
    return c->q_scale ? 0.5f + 0.01f * (float)(i % 70) : 1;
}

static seq seq_new(const attn_case *c, int n, int32_t *next_page)
{
    seq s = {.n = n};

    s.q = mat_new(n, c->n_head * c->d_k, 3, 1, 2);
    s.k = mat_new(n, c->n_kv * c->d_k, 1, 2, 1);
    s.v = mat_new(n, c->n_kv * c->d_v, 2, 3, 1);
    s.out = mat_new(n, c->n_head * c->d_v, 5, 1, 1);
    for (int i = 0; i < PAGE_ROOM; i++)
        s.pages[1][i] = -1;
    for (int i = 0; i * 64 < n; i++) /* scattered, not in order */
        s.pages[1][i] = (*next_page)++ * 7 % PAGE_ROOM;
    return s;
}

static void seq_free(seq *s)
{
    mat_free(&s->q);
    mat_free(&s->k);
    mat_free(&s->v);
    mat_free(&s->out);
}

/* The rows of both sequences that one step takes, and the op on them. */
static void step(qn_backend *be, const attn_case *c, qn_kv *kv, seq *s, int n_s,
                 const int *from, const int *to, const float *slopes,
                 const float *sinks)
{
    qn_span spans[4];
    int n_row = 0, n_span = 0;
    mat q, k, v, out;
    float *factor = calloc(4096, sizeof *factor);
    qn_op ops[2] = {{.kind = QN_OP_KV_APPEND}, {.kind = QN_OP_ATTN}};

    for (int i = 0; i < n_s; i++)
        n_row += to[i] - from[i];
    q = mat_new(n_row, c->n_head * c->d_k, 0, 0, 0);
    k = mat_new(n_row, c->n_kv * c->d_k, 0, 0, 0);
    v = mat_new(n_row, c->n_kv * c->d_v, 0, 0, 0);
    out = mat_new(n_row, c->n_head * c->d_v, 3, 1, 0);
    n_row = 0;
    for (int i = 0; i < n_s; i++) {
        int n = to[i] - from[i];
        if (n == 0)
            continue;
        spans[n_span++] = (qn_span){.row0 = n_row,
                                    .n_row = n,
                                    .pos0 = from[i],
                                    .pages = {NULL, s[i].pages[1]}};
        for (int r = 0; r < n; r++) {
            size_t f = sizeof(float);
            factor[n_row + r] = q_factor(c, from[i] + r);
            memcpy(mat_row(&q, n_row + r), mat_row(&s[i].q, from[i] + r),
                   (size_t)q.n_col * f);
            memcpy(mat_row(&k, n_row + r), mat_row(&s[i].k, from[i] + r),
                   (size_t)k.n_col * f);
            memcpy(mat_row(&v, n_row + r), mat_row(&s[i].v, from[i] + r),
                   (size_t)v.n_col * f);
        }
        n_row += n;
    }
    qn_batch b = {.n_row = n_row, .n_span = n_span, .spans = spans};
    ops[0].u.kv_append = (qn_op_kv_append){.kv = kv,
                                           .group = 1,
                                           .batch = &b,
                                           .k = k.p,
                                           .v = v.p,
                                           .ldk = k.ld,
                                           .ldv = v.ld};
    ops[1].u.attn = (qn_op_attn){.kv = kv,
                                 .group = 1,
                                 .batch = &b,
                                 .q = q.p,
                                 .out = out.p,
                                 .ldq = q.ld,
                                 .ldo = out.ld,
                                 .n_head = c->n_head,
                                 .scale = 0.3f,
                                 .softcap = c->softcap,
                                 .window = c->window,
                                 .chunk = c->chunk,
                                 .slopes = slopes,
                                 .sinks = sinks,
                                 .q_scale = c->q_scale ? factor : NULL};
    exec_ops(be, ops, 2);
    mat_check(&out, "attention output");
    n_row = 0;
    for (int i = 0; i < n_s; i++)
        for (int r = from[i]; r < to[i]; r++)
            memcpy(mat_row(&s[i].out, r), mat_row(&out, n_row++),
                   (size_t)out.n_col * sizeof(float));
    free(factor);
    mat_free(&q);
    mat_free(&k);
    mat_free(&v);
    mat_free(&out);
}

/* By how much a product rounds its x, relative: that of q and that of weights
 * are alike. */
static double x_rounding(qn_isa isa, const attn_case *c)
{
    return isa >= QN_ISA_AVX512BF16 && c->cell == QN_KV_CELL_BF16 ? 0x1p-9 : 0;
}

/* out[0..d_v) of one query head, and the bound on its error. */
static double expect(qn_isa isa, const attn_case *c, const mat *q, const mat *k,
                     const mat *v, int i, int h, const float *slopes,
                     const float *sinks, double *out)
{
    int g = h / (c->n_head / c->n_kv), lo = 0;
    double top = sinks ? sinks[h] : -INFINITY, sum = 0, worst = 0, most = 0;
    double *score = malloc((size_t)(i + 1) * sizeof *score);
    double round = x_rounding(isa, c), i8 = c->cell == QN_KV_CELL_I8;

    if (c->window)
        lo = (int)QN_MAX(lo, i - c->window + 1);
    if (c->chunk)
        lo = (int)QN_MAX(lo, i / c->chunk * c->chunk);
    for (int e = 0; e < c->d_k; e++)
        most = fmax(most, fabs((double)mat_row(q, i)[h * c->d_k + e]));
    for (int j = lo; j <= i; j++) {
        double x = 0, abs_sum = 0, k_sum = 0;
        for (int e = 0; e < c->d_k; e++) {
            double kj = (double)mat_row(k, j)[g * c->d_k + e];
            double p = (double)mat_row(q, i)[h * c->d_k + e] * kj;
            x += p;
            abs_sum += fabs(p);
            k_sum += fabs(kj);
        }
        x *= (double)0.3f * (double)q_factor(c, i);
        worst = fmax(worst,
                     qn_test_dot_bound((size_t)c->d_k + 4, EPS32,
                                       0.3 * abs_sum) +
                         0.4 * (round * abs_sum + i8 * most * k_sum / 65024));
        if (c->softcap > 0)
            x = (double)c->softcap * tanh(x / (double)c->softcap);
        if (slopes) {
            x += (double)slopes[h] * (j - i);
            worst = fmax(worst, 4 * EPS32 * fabs((double)slopes[h] * (j - i)));
        }
        worst = fmax(worst, 8 * EPS32 * (fabs(x) + (double)c->softcap));
        score[j] = x;
        top = fmax(top, x);
    }
    for (int j = lo; j <= i; j++)
        sum += score[j] = exp(score[j] - top);
    if (sinks)
        sum += exp((double)sinks[h] - top);
    for (int e = 0; e < c->d_v; e++) {
        out[e] = 0;
        for (int j = lo; j <= i; j++)
            out[e] += score[j] / sum * (double)mat_row(v, j)[g * c->d_v + e];
    }
    free(score);
    /* |v| <= 1, so their average is at most 1 */
    return 2 * (2 * worst + round + i8 * 64 / 65024 +
                qn_test_dot_bound((size_t)(i - lo) + 16, EPS32, 1));
}

static void check_all(qn_isa isa, const attn_case *c, const seq *s,
                      const float *slopes, const float *sinks)
{
    double want[512];
    char what[128];
    mat k = cached(c->cell, &s->k, c->n_kv),
        v = cached(c->cell, &s->v, c->n_kv);

    snprintf(what, sizeof what, "%s heads %d/%d d %d/%d cell %d window %lld",
             qn_isa_name(isa), c->n_head, c->n_kv, c->d_k, c->d_v, c->cell,
             (long long)c->window);
    for (int i = 0; i<s->n; i += i> 300 ? 7 : 1)
        for (int h = 0; h < c->n_head; h++) {
            double tol = expect(isa, c, &s->q, &k, &v, i, h, slopes, sinks,
                                want);
            for (int e = 0; e < c->d_v; e++)
                check_at(what, i, h * c->d_v + e,
                         mat_row(&s->out, i)[h * c->d_v + e], want[e], tol);
        }
    mat_free(&k);
    mat_free(&v);
}

/* Garbage in all pages: cells that were not appended must not matter. */
static void poison(qn_backend *be, const qn_kv_desc *d, qn_kv *kv)
{
    seq s = {.n = 64};
    attn_case c = {.n_head = d->n_kv,
                   .n_kv = d->n_kv,
                   .d_k = d->d_k,
                   .d_v = d->d_v,
                   .cell = d->dtype};
    int from = 0, to = 64;
    int32_t next = 0;

    s = seq_new(&c, 64, &next);
    for (int r = 0; r < 64; r++) {
        for (int i = 0; i < s.k.n_col; i++)
            mat_row(&s.k, r)[i] = NAN;
        for (int i = 0; i < s.v.n_col; i++)
            mat_row(&s.v, r)[i] = i % 2 ? INFINITY : NAN;
    }
    step(be, &c, kv, &s, 1, &from, &to, NULL, NULL);
    for (int p = 0; p < PAGE_ROOM; p++)
        be->api->kv_copy_page(be, kv, p, s.pages[1][0]);
    seq_free(&s);
}

static void run_case(qn_isa isa, const attn_case *c, int n0, int n1)
{
    float slopes[32], sinks[32];
    qn_kv_desc d = {c->n_kv, c->d_k, c->d_v, c->cell, PAGE_ROOM};
    qn_kv *kv[2];
    mat first[2];
    qn_err err;

    for (int h = 0; h < c->n_head; h++) {
        slopes[h] = exp2f(-(float)h);
        sinks[h] = 2 * rnd();
    }
    const float *sl = c->alibi ? slopes : NULL, *si = c->sinks ? sinks : NULL;
    int32_t next = 1;
    seq s[2] = {seq_new(c, n0, &next), seq_new(c, n1, &next)};

    for (int pass = 0; pass < 2; pass++) {
        qn_backend *be = open_cpu(isa, 1 + pass, false);
        int at[2] = {0, 0};
        assert_int_equal(be->api->page_tokens, 64);
        if (be->api->kv_new(be, &d, &kv[pass], &err) < 0)
            fail_msg("%s", err.msg);
        poison(be, &d, kv[pass]);
        while (at[0] < n0 || at[1] < n1) {
            int to[2] = {n0, n1};
            if (pass) { /* ragged chunks and decode steps, mixed */
                for (int i = 0; i < 2; i++) {
                    int n = rnd_int(3) ? 1 + rnd_int(40) : rnd_int(2);
                    if (rnd_int(8) == 0)
                        n = rnd_int(200);
                    to[i] = QN_MIN(at[i] + n, to[i]);
                }
            }
            if (to[0] > at[0] || to[1] > at[1])
                step(be, c, kv[pass], s, 2, at, to, sl, si);
            at[0] = to[0];
            at[1] = to[1];
        }
        for (int i = 0; i < 2; i++) {
            if (pass == 0) {
                check_all(isa, c, &s[i], sl, si);
                first[i] = mat_copy(&s[i].out);
            } else {
                mat_same(&first[i], &s[i].out, "attention in other chunks");
                mat_free(&first[i]);
            }
        }
        be->api->kv_free(be, kv[pass]);
        qn_backend_close(be);
    }
    seq_free(&s[0]);
    seq_free(&s[1]);
}

static void all_cases(qn_isa isa)
{
    static const attn_case cases[] = {
        {.n_head = 4, .n_kv = 2, .d_k = 64, .d_v = 64},
        {.n_head = 3, .n_kv = 3, .d_k = 80, .d_v = 80},
        {.n_head = 20, .n_kv = 1, .d_k = 16, .d_v = 16},
        {.n_head = 2, .n_kv = 2, .d_k = 7, .d_v = 5},
        {.n_head = 4, .n_kv = 2, .d_k = 192, .d_v = 128},
        {.n_head = 4, .n_kv = 2, .d_k = 32, .d_v = 32, .window = 37},
        {.n_head = 4, .n_kv = 2, .d_k = 32, .d_v = 32, .window = 1},
        {.n_head = 4, .n_kv = 2, .d_k = 32, .d_v = 32, .chunk = 70},
        {.n_head = 4, .n_kv = 2, .d_k = 32, .d_v = 32, .softcap = 3},
        {.n_head = 4, .n_kv = 4, .d_k = 32, .d_v = 32, .alibi = true},
        {.n_head = 4,
         .n_kv = 2,
         .d_k = 32,
         .d_v = 32,
         .sinks = true,
         .window = 100},
        {.n_head = 4, .n_kv = 2, .d_k = 32, .d_v = 24, .q_scale = true},
    };

    for (size_t i = 0; i < QN_COUNTOF(cases); i++)
        for (int t = 0; t < QN_KV_CELLS; t++) {
            attn_case c = cases[i];
            c.cell = (qn_kv_dtype)t;
            run_case(isa, &c, 150, 1 + rnd_int(70));
        }
}

/* Sequences of several blocks of positions, which few rows have side by side
 * and many one after the other. */
static void deep_cases(qn_isa isa)
{
    static const attn_case cases[] = {
        {.n_head = 2, .n_kv = 1, .d_k = 16, .d_v = 16},
        {.n_head = 2, .n_kv = 2, .d_k = 8, .d_v = 20, .window = 600},
        {.n_head = 1, .n_kv = 1, .d_k = 16, .d_v = 16, .chunk = 700},
        {.n_head = 2, .n_kv = 1, .d_k = 16, .d_v = 16, .sinks = true},
    };

    for (size_t i = 0; i < QN_COUNTOF(cases); i++)
        for (int t = 0; t < QN_KV_CELLS; t++) {
            attn_case c = cases[i];
            c.cell = (qn_kv_dtype)t;
            run_case(isa, &c, 1100, 500 + rnd_int(100));
        }
}

static void test_attn(void **state)
{
    (void)state;
    each_isa(all_cases);
}

static void test_attn_deep(void **state)
{
    (void)state;
    each_isa(deep_cases);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attn),
        cmocka_unit_test(test_attn_deep),
    };

    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        bench_attn(argc - 2, argv + 2);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
