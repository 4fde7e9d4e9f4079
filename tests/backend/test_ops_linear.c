/* test_ops_linear.c - the linear op of every weight type on every instruction
 * set, against sums in double precision of what the weights decode to.
 *
 * The fast products round x first: the reference rounds it alike, so that the
 * tolerance is the summation error alone.
 */
#include "backend/ops.h"

#include "tensor/half.h"

static const qn_dtype types[] = {QN_F32, QN_F16, QN_BF16, QN_Q8_0, QN_Q4_0};

/* x as the product of this weight type sees it. */
static void round_x(qn_isa isa, qn_dtype t, bool exact, const float *x,
                    float *y, int n)
{
    float most;

    for (int i = 0; i < n; i++)
        y[i] = !exact && t == QN_BF16 ? qn_f32_of_bf16(qn_bf16_of_f32(x[i]))
                                      : x[i];
    if (exact || (t != QN_Q8_0 && t != QN_Q4_0))
        return;
    most = (float)whole_top(isa,
                            t == QN_Q8_0 ? QN_LAYOUT_Q8_0 : QN_LAYOUT_Q4_0);
    for (int b = 0; b < n; b += 32) {
        float top = 0, d;
        for (int i = 0; i < 32; i++)
            top = fmaxf(top, fabsf(x[b + i]));
        d = top / most;
        for (int i = 0; i < 32; i++)
            y[b + i] = d > 0 ? rintf(x[b + i] * (most / top)) * d : 0;
    }
}

static double act_of(qn_act act, double x)
{
    switch (act) {
    case QN_ACT_SILU: return x / (1 + exp(-x));
    case QN_ACT_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
    default: return x;
    }
}

/* Sum and bound on its error for one output. */
static double dot(const float *w, const float *x, int n, double *bound)
{
    double sum = 0, abs_sum = 0;

    for (int k = 0; k < n; k++) {
        sum += (double)w[k] * (double)x[k];
        abs_sum += fabs((double)w[k] * (double)x[k]);
    }
    /* two more roundings for scales of blocks */
    *bound = qn_test_dot_bound((size_t)n + 4, EPS32, abs_sum) + 1e-30;
    return sum;
}

typedef struct linear_case {
    qn_dtype type;
    int n_row, n_in, n_out[3], n_part;
    qn_epilogue epi;
    qn_act act;
    bool bias, exact;
    int threads;
} linear_case;

static void run_case(qn_isa isa, const linear_case *c)
{
    qn_backend *be = open_cpu(isa, c->threads, c->exact);
    mat x = mat_new(c->n_row, c->n_in, 5, 3, 2);
    mat y[3], before[3], bias[3];
    wmat w[3];
    float *xr = malloc((size_t)(c->n_in + 32) * sizeof(float));
    qn_op op = {.kind = QN_OP_LINEAR};
    qn_op_linear *l = &op.u.linear;
    char what[128];
    int n_y = c->epi == QN_EPI_GLU ? 1 : c->n_part;

    *l = (qn_op_linear){.x = x.p,
                        .ldx = x.ld,
                        .n_row = c->n_row,
                        .n_part = c->n_part,
                        .epi = c->epi,
                        .act = c->act,
                        .scale = c->epi == QN_EPI_GLU ? 1 : 0.5f};
    for (int i = 0; i < c->n_part; i++) {
        w[i] = wmat_new(be, c->type, c->n_out[i], c->n_in);
        bias[i] = mat_new(1, c->n_out[i], 0, 1, 1);
        y[i] = mat_new(c->n_row, c->n_out[i], 3, 1 + i, 1);
        before[i] = mat_copy(&y[i]);
        l->part[i].w = w[i].q;
        l->part[i].bias = c->bias ? bias[i].p : NULL;
        l->part[i].y = y[i].p;
        l->part[i].ldy = y[i].ld;
    }
    exec_ops(be, &op, 1);

    for (int i = 0; i < n_y; i++) {
        snprintf(what, sizeof what, "%s %s%s epi %d part %d [%d, %d] x %d",
                 qn_isa_name(isa), qn_dtype_get(c->type)->name,
                 c->exact ? " exact" : "", c->epi, i, c->n_out[i], c->n_in,
                 c->n_row);
        mat_check(&y[i], what);
        for (int r = 0; r < c->n_row; r++) {
            round_x(isa, c->type, c->exact, mat_row(&x, r), xr, c->n_in);
            for (int o = 0; o < c->n_out[i]; o++) {
                double b, b1, v, u, want, tol;
                double was = mat_row(&before[i], r)[o];
                v = dot(w[i].w + (int64_t)o * c->n_in, xr, c->n_in, &b);
                v += c->bias ? bias[i].p[o] : 0;
                b += 2 * EPS32 * fabs(v);
                switch (c->epi) {
                case QN_EPI_ADD:
                    want = was + 0.5 * v;
                    tol = b + 2 * EPS32 * fabs(want);
                    break;
                case QN_EPI_GLU:
                    u = dot(w[1].w + (int64_t)o * c->n_in, xr, c->n_in, &b1);
                    u += c->bias ? bias[1].p[o] : 0;
                    b1 += 2 * EPS32 * fabs(u);
                    want = act_of(c->act, v) * u;
                    /* |act'| <= 1.13 for silu and gelu */
                    tol = 1.13 * b * (fabs(u) + b1) +
                          b1 * fabs(act_of(c->act, v)) + 1e-6 * fabs(u) +
                          4 * EPS32 * fabs(want);
                    break;
                default:
                    want = act_of(c->act, 0.5 * v);
                    tol = 1.13 * b + (c->act ? 1e-6 : 0) +
                          4 * EPS32 * fabs(want);
                }
                check_at(what, r, o, mat_row(&y[i], r)[o], want, tol);
            }
        }
    }
    for (int i = 0; i < c->n_part; i++) {
        wmat_free(be, &w[i]);
        mat_free(&bias[i]);
        mat_free(&y[i]);
        mat_free(&before[i]);
    }
    mat_free(&x);
    free(xr);
    qn_backend_close(be);
}

static void shapes(qn_isa isa)
{
    static const int rows[] = {1, 2, 3, 5, 8, 13, 17, 33};
    static const int ins[] = {1, 2, 31, 32, 33, 96, 257, 288, 2080};

    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (int exact = 0; exact < 2; exact++)
            for (size_t i = 0; i < QN_COUNTOF(ins); i++) {
                bool blocks = types[t] == QN_Q8_0 || types[t] == QN_Q4_0;
                linear_case c = {.type = types[t],
                                 .exact = exact,
                                 .n_in = ins[i],
                                 .n_part = 1,
                                 .threads = 1,
                                 .n_row = rows[(i + t) % QN_COUNTOF(rows)],
                                 .n_out = {1 + rnd_int(70)}};
                if (blocks && ins[i] % 32)
                    continue;
                run_case(isa, &c);
            }
}

static void epilogues(qn_isa isa)
{
    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (int bias = 0; bias < 2; bias++) {
            linear_case c = {.type = types[t],
                             .n_in = 64,
                             .n_row = 3,
                             .threads = 2,
                             .bias = bias};
            c.n_part = 3;
            c.n_out[0] = 37;
            c.n_out[1] = 16;
            c.n_out[2] = 5;
            run_case(isa, &c);
            c.epi = QN_EPI_ADD;
            run_case(isa, &c);
            c.epi = QN_EPI_STORE;
            c.n_part = 1;
            c.act = QN_ACT_GELU;
            run_case(isa, &c);
            c.epi = QN_EPI_GLU;
            c.n_part = 2;
            c.act = QN_ACT_SILU;
            c.n_out[1] = c.n_out[0];
            run_case(isa, &c);
        }
}

/* Few rows: lanes of several panels, pieces of a thread's stretch, and what is left. A
 * row more than are prepared at a time has a phase of its own. */
static void lanes(qn_isa isa)
{
    for (size_t t = 0; t < QN_COUNTOF(types); t++) {
        linear_case c = {.type = types[t],
                         .n_row = 1 + (int)t % 4,
                         .n_in = 64,
                         .n_out = {600, 200, 144},
                         .n_part = 3,
                         .threads = 2 + (int)t % 2,
                         .bias = true};
        run_case(isa, &c);
        c.n_part = 2;
        c.n_out[1] = c.n_out[0];
        c.epi = QN_EPI_GLU;
        c.act = QN_ACT_SILU;
        run_case(isa, &c);
        c = (linear_case){.type = types[t],
                          .n_row = 513,
                          .n_in = 32,
                          .n_out = {200},
                          .n_part = 1,
                          .threads = 2};
        run_case(isa, &c);
    }
}

/* Row r of a large batch on several threads must be, bit for bit, what the
 * row alone gives on one thread. */
static void independence(qn_isa isa)
{
    enum {
        ROWS = 67,
        IN = 2144,
        OUT = 83
    };

    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (int exact = 0; exact < 2; exact++) {
            qn_backend *be[3];
            mat x, y, one, all;
            qn_op op = {.kind = QN_OP_LINEAR};
            char what[64];
            for (int i = 0; i < 3; i++)
                be[i] = open_cpu(isa, i + 1, exact);
            wmat w = wmat_new(be[0], types[t], OUT, IN);
            x = mat_new(ROWS, IN, 0, 0, 1);
            one = mat_new(ROWS, OUT, 0, 0, 0);
            op.u.linear =
                (qn_op_linear){.x = x.p, .ldx = x.ld, .n_part = 1, .scale = 1};
            op.u.linear.part[0].w = w.q;
            for (int r = 0; r < ROWS; r++) {
                op.u.linear.x = mat_row(&x, r);
                op.u.linear.n_row = 1;
                op.u.linear.part[0].y = mat_row(&one, r);
                op.u.linear.part[0].ldy = OUT;
                exec_ops(be[0], &op, 1);
            }
            all = mat_new(ROWS, OUT, 0, 0, 0);
            y = mat_new(ROWS, OUT, 0, 0, 0);
            for (int i = 0; i < 3; i++)
                for (int r = 0, n; r < ROWS; r += n) {
                    n = i == 0 ? ROWS : 1 + rnd_int(20);
                    n = QN_MIN(n, ROWS - r);
                    op.u.linear.x = mat_row(&x, r);
                    op.u.linear.n_row = n;
                    op.u.linear.part[0].y = mat_row(i ? &y : &all, r);
                    exec_ops(be[i], &op, 1);
                    if (r + n == ROWS) {
                        snprintf(what, sizeof what, "%s %s threads %d",
                                 qn_isa_name(isa), qn_dtype_get(types[t])->name,
                                 i + 1);
                        mat_same(&one, i ? &y : &all, what);
                    }
                }
            mat_free(&x);
            mat_free(&y);
            mat_free(&one);
            mat_free(&all);
            wmat_free(be[0], &w);
            for (int i = 0; i < 3; i++)
                qn_backend_close(be[i]);
        }
}

static void test_shapes(void **state)
{
    (void)state;
    each_isa(shapes);
}

static void test_epilogues(void **state)
{
    (void)state;
    each_isa(epilogues);
}

static void test_lanes(void **state)
{
    (void)state;
    each_isa(lanes);
}

static void test_independence(void **state)
{
    (void)state;
    each_isa(independence);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_independence),
    };

    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        bench_linear(argc - 2, argv + 2);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
