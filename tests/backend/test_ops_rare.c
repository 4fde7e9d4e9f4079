/* test_ops_rare.c - ops that few networks have, against double precision, and
 * every row alone against the whole.
 */
#include "backend/ops.h"

enum {
    ROWS = 13,
    DIM = 70
};

static double softplus(double x)
{
    return log1p(exp(x));
}

/* Where the row's large values begin. */
static double top_cut(const qn_op_curve *op, const float *x)
{
    double mean = 0, var = 0;

    for (int i = 0; i < DIM; i++)
        mean += (double)x[i] / DIM;
    for (int i = 0; i < DIM; i++)
        var += pow((double)x[i] - mean, 2) / DIM;
    return mean + (double)op->limit * sqrt(var);
}

static double curve(const qn_op_curve *op, double x, double cut)
{
    if (op->kind == QN_CURVE_CLIP)
        return fmin(fmax(x, -(double)op->limit), (double)op->limit);
    if (op->kind == QN_CURVE_TOP)
        return fmax(x - cut, 0);
    double beta = (double)*op->param[2], eps = (double)*op->param[3];
    double p = softplus((double)*op->param[0]);
    double n = beta + softplus((double)*op->param[1]);
    return x > 0 ? p * x * x + beta * x
                 : (expm1(fmin(x, eps)) - x) * n + beta * x;
}

static void curve_case(qn_backend *be, qn_op_curve how)
{
    mat x = mat_new(ROWS, DIM, 3, 1, 4), y = mat_new(ROWS, DIM, 1, 3, 1);
    qn_op op = {.kind = QN_OP_CURVE};

    x.p[0] = 0;
    how.x = x.p;
    how.ldx = x.ld;
    how.y = y.p;
    how.ldy = y.ld;
    how.n_row = ROWS;
    how.dim = DIM;
    op.u.curve = how;
    exec_ops(be, &op, 1);
    mat_check(&y, "curve");
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < DIM; i++) {
            double v = (double)mat_row(&x, r)[i];
            double want = curve(&how, v, top_cut(&how, mat_row(&x, r)));
            /* terms of size p x^2, beta x, n (1 + |x|): a few roundings */
            double size = how.kind == QN_CURVE_CLIP ? 0 : 4 * v * v + 4;
            check_at("curve", r, i, mat_row(&y, r)[i], want, 8 * EPS32 * size);
        }
    op.u.curve.y = x.p; /* in place, a row at a time */
    op.u.curve.ldy = x.ld;
    op.u.curve.n_row = 1;
    for (int r = 0; r < ROWS; r++) {
        op.u.curve.x = op.u.curve.y = mat_row(&x, r);
        exec_ops(be, &op, 1);
    }
    mat_same(&y, &x, "curve in place");
    mat_free(&x);
    mat_free(&y);
}

static void curves(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);
    float p = 0.4f, n = -0.3f, beta = 0.5f, eps = -1e-6f;

    curve_case(be, (qn_op_curve){.kind = QN_CURVE_CLIP, .limit = 1.25f});
    curve_case(be, (qn_op_curve){.kind = QN_CURVE_TOP, .limit = 0.5f});
    curve_case(be, (qn_op_curve){.kind = QN_CURVE_XIELU,
                                 .param = {&p, &n, &beta, &eps}});
    eps = -1;
    curve_case(be, (qn_op_curve){.kind = QN_CURVE_XIELU,
                                 .param = {&p, &n, &beta, &eps}});
    qn_backend_close(be);
}

static void copies(qn_isa isa)
{
    enum {
        GROUPS = 3,
        PART = 5
    };
    qn_backend *be = open_cpu(isa, 2, false);
    mat x = mat_new(ROWS, 20, 1, 1, 1), y = mat_new(ROWS, 24, 2, 3, 1);

    for (int same = 0; same < 2; same++) {
        mat was = mat_copy(&y);
        int gx = same ? 0 : 6, gy = 8;
        qn_op op = {.kind = QN_OP_COPY};
        op.u.copy = (qn_op_copy){.x = x.p + 1,
                                 .y = y.p + 2,
                                 .ldx = x.ld,
                                 .gx = gx,
                                 .ldy = y.ld,
                                 .gy = gy,
                                 .n_row = ROWS,
                                 .n_group = GROUPS,
                                 .dim = PART};
        exec_ops(be, &op, 1);
        mat_check(&y, "copy");
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < 24; i++) {
                int g = (i - 2) / gy, at = (i - 2) % gy;
                bool in = i >= 2 && g < GROUPS && at < PART;
                float want = in ? mat_row(&x, r)[1 + g * gx + at]
                                : mat_row(&was, r)[i];
                check_at("copy", r, i, mat_row(&y, r)[i], want, 0);
            }
        mat_free(&was);
    }
    mat_free(&x);
    mat_free(&y);
    qn_backend_close(be);
}

static void diffs(qn_isa isa)
{
    enum {
        N = 9
    };
    qn_backend *be = open_cpu(isa, 2, false);
    mat x = mat_new(ROWS, 2 * DIM, 1, 1, 1), y = mat_new(ROWS, DIM, 2, 3, 1);
    mat v = mat_new(4, N, 0, 0, 1);
    double s[2] = {0, 0}, lambda;
    qn_op op = {.kind = QN_OP_DIFF};

    op.u.diff = (qn_op_diff){.x = x.p,
                             .y = y.p,
                             .ldx = x.ld,
                             .ldy = y.ld,
                             .n_row = ROWS,
                             .dim = DIM,
                             .q1 = mat_row(&v, 0),
                             .k1 = mat_row(&v, 1),
                             .q2 = mat_row(&v, 2),
                             .k2 = mat_row(&v, 3),
                             .n_lambda = N,
                             .init = 0.3f};
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 2; j++)
            s[j] += (double)mat_row(&v, 2 * j)[i] *
                    (double)mat_row(&v, 2 * j + 1)[i];
    lambda = exp(s[0]) - exp(s[1]) + (double)0.3f;
    exec_ops(be, &op, 1);
    mat_check(&y, "diff");
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < DIM; i++)
            check_at("diff", r, i, mat_row(&y, r)[i],
                     (double)mat_row(&x, r)[i] -
                         lambda * (double)mat_row(&x, r)[DIM + i],
                     4 * EPS32 * (1 + fabs(lambda)));
    mat_free(&x);
    mat_free(&y);
    mat_free(&v);
    qn_backend_close(be);
}

/* Each row by itself is what the whole gives; sums are the definition's. */
static void picks_of(qn_backend *be, bool weighted, bool add)
{
    enum {
        EXP = 4,
        K = 3,
        IN = 40,
        OUT = 37
    };
    int n_x = weighted ? K * IN : IN, n_y = weighted ? OUT : K * OUT;
    mat x = mat_new(ROWS, n_x, 1, 1, 1), y = mat_new(ROWS, n_y, 2, 3, 1);
    mat bias = mat_new(1, OUT, 0, 0, 1), was = mat_copy(&y), alone;
    int32_t ids[ROWS * K];
    float weights[ROWS * K];
    wmat w[EXP];
    const qn_weight *q[EXP];
    qn_op op = {.kind = QN_OP_PICK};

    for (int e = 0; e < EXP; e++) {
        w[e] = wmat_new(be, QN_F32, OUT, IN);
        q[e] = w[e].q;
    }
    for (int i = 0; i < ROWS * K; i++) {
        ids[i] = rnd_int(EXP);
        weights[i] = rnd();
    }
    op.u.pick = (qn_op_pick){.x = x.p,
                             .bias = weighted ? bias.p : NULL,
                             .y = y.p,
                             .ldx = x.ld,
                             .ldy = y.ld,
                             .n_row = ROWS,
                             .k = K,
                             .ids = ids,
                             .weights = weighted ? weights : NULL,
                             .w = q,
                             .add = add};
    exec_ops(be, &op, 1);
    mat_check(&y, "pick");
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < n_y; i++) {
            double want = 0, size = 2;
            if (weighted)
                want = (double)bias.p[i] +
                       (add ? (double)mat_row(&was, r)[i] : 0);
            for (int j = weighted ? 0 : i / OUT;
                 j < (weighted ? K : i / OUT + 1); j++) {
                const float *row = w[ids[r * K + j]].w + i % OUT * IN;
                const float *xr = mat_row(&x, r) + (weighted ? j * IN : 0);
                double f = weighted ? (double)weights[r * K + j] : 1;
                for (int k = 0; k < IN; k++) {
                    want += f * (double)row[k] * (double)xr[k];
                    size += fabs(f * (double)row[k] * (double)xr[k]);
                }
            }
            check_at("pick", r, i, mat_row(&y, r)[i], want,
                     qn_test_dot_bound(IN + 8, EPS32, size));
        }
    alone = mat_copy(&was);
    for (int r = 0; r < ROWS; r++) {
        op.u.pick.n_row = 1;
        op.u.pick.x = mat_row(&x, r);
        op.u.pick.y = mat_row(&alone, r);
        op.u.pick.ids = ids + r * K;
        op.u.pick.weights = weighted ? weights + r * K : NULL;
        exec_ops(be, &op, 1);
    }
    mat_same(&y, &alone, "pick, each row alone");
    for (int e = 0; e < EXP; e++)
        wmat_free(be, &w[e]);
    mat_free(&x);
    mat_free(&y);
    mat_free(&bias);
    mat_free(&was);
    mat_free(&alone);
}

static void picks(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, true);

    picks_of(be, false, false);
    picks_of(be, true, false);
    picks_of(be, true, true);
    qn_backend_close(be);
}

/* Heads of rows by matrices of their own; more rows than are prepared at a
 * time, and as many one by one. */
static void heads_of(qn_backend *be, qn_dtype type)
{
    enum {
        HEADS = 3,
        IN = 64,
        OUT = 24,
        N = 70,
        GX = IN + 5,
        GY = OUT + 2
    };
    mat x = mat_new(N, HEADS * GX, 1, 1, 1),
        y = mat_new(N, HEADS * GY, 3, 1, 1);
    mat was = mat_copy(&y), alone = mat_copy(&y);
    wmat w[HEADS];
    const qn_weight *q[HEADS];
    qn_op op = {.kind = QN_OP_HEADS};

    for (int h = 0; h < HEADS; h++) {
        w[h] = wmat_new(be, type, OUT, IN);
        q[h] = w[h].q;
    }
    op.u.heads = (qn_op_heads){.x = x.p,
                               .y = y.p,
                               .ldx = x.ld,
                               .gx = GX,
                               .ldy = y.ld,
                               .gy = GY,
                               .n_row = N,
                               .n_head = HEADS,
                               .w = q};
    exec_ops(be, &op, 1);
    mat_check(&y, "heads");
    for (int r = 0; r < N; r++)
        for (int i = 0; i < HEADS * GY; i++) {
            const float *row = w[i / GY].w + i % GY * IN;
            const float *xr = mat_row(&x, r) + i / GY * GX;
            double want = (double)mat_row(&was, r)[i], size = 0;
            for (int k = 0; k < IN && i % GY < OUT; k++) {
                want = k ? want : 0;
                want += (double)row[k] * (double)xr[k];
                size += fabs((double)row[k] * (double)xr[k]);
            }
            check_at("heads", r, i, mat_row(&y, r)[i], want,
                     qn_test_dot_bound(IN, EPS32, size));
        }
    for (int r = 0; r < N; r++) {
        op.u.heads.n_row = 1;
        op.u.heads.x = mat_row(&x, r);
        op.u.heads.y = mat_row(&alone, r);
        exec_ops(be, &op, 1);
    }
    mat_same(&y, &alone, "heads, each row alone");
    for (int h = 0; h < HEADS; h++)
        wmat_free(be, &w[h]);
    mat_free(&x);
    mat_free(&y);
    mat_free(&was);
    mat_free(&alone);
}

static void heads(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, true);

    heads_of(be, QN_F32);
    heads_of(be, QN_Q8_0);
    qn_backend_close(be);
}

static void streams_case(qn_backend *be, bool correct)
{
    enum {
        N = 3,
        ACTIVE = 1
    };
    mat y = mat_new(N * ROWS, DIM, 2, 1, 1), was = mat_copy(&y);
    mat c = mat_new(ROWS, N * N, 1, 0, 1), a = mat_new(ROWS, DIM, 3, 0, 1);
    int64_t stride = ROWS * y.ld;
    qn_op op = {.kind = QN_OP_STREAMS};

    op.u.streams = (qn_op_streams){.y = y.p,
                                   .stride = stride,
                                   .ldy = y.ld,
                                   .n = N,
                                   .active = ACTIVE,
                                   .n_row = ROWS,
                                   .dim = DIM,
                                   .c = c.p,
                                   .a = correct ? a.p : NULL,
                                   .ldc = c.ld,
                                   .lda = a.ld};
    exec_ops(be, &op, 1);
    mat_check(&y, "streams");
    for (int j = 0; j < N; j++)
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < DIM; i++) {
                const float *z = mat_row(&was, r) + i;
                double want = (double)z[j * stride];
                for (int k = 0; !correct && k < N; k++)
                    want += (double)mat_row(&c, r)[j * N + k] *
                            (double)z[k * stride];
                if (correct)
                    want += (1 + (double)mat_row(&c, r)[j]) *
                            ((double)mat_row(&a, r)[i] -
                             (double)z[ACTIVE * stride]);
                check_at("streams", j * ROWS + r, i,
                         mat_row(&y, j * ROWS + r)[i], want, 12 * EPS32 * 4);
            }
    mat_free(&y);
    mat_free(&was);
    mat_free(&c);
    mat_free(&a);
}

static void streams(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);

    streams_case(be, false);
    streams_case(be, true);
    qn_backend_close(be);
}

static void matches(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);
    mat x = mat_new(ROWS, DIM, 2, 1, 1), t = mat_new(ROWS, DIM, 1, 0, 3);
    mat was;
    qn_op op = {.kind = QN_OP_MATCH};

    for (int i = 0; i < DIM; i++)
        mat_row(&x, 1)[i] *= 1e-4f; /* below eps */
    was = mat_copy(&x);
    op.u.match = (qn_op_match){.x = x.p,
                               .t = t.p,
                               .y = x.p,
                               .ldx = x.ld,
                               .ldt = t.ld,
                               .ldy = x.ld,
                               .n_row = ROWS,
                               .dim = DIM,
                               .eps = 1e-5f};
    exec_ops(be, &op, 1);
    mat_check(&x, "match");
    for (int r = 0; r < ROWS; r++) {
        double have = 0, want = 0;
        for (int i = 0; i < DIM; i++) {
            have += pow((double)mat_row(&was, r)[i], 2) / DIM;
            want += pow((double)mat_row(&t, r)[i], 2) / DIM;
        }
        double f = sqrt(want) / sqrt(fmax(have, (double)1e-5f));
        for (int i = 0; i < DIM; i++) {
            double v = (double)mat_row(&was, r)[i] * f;
            check_at("match", r, i, mat_row(&x, r)[i], v, 4 * EPS32 * fabs(v));
        }
    }
    mat_free(&x);
    mat_free(&t);
    mat_free(&was);
    qn_backend_close(be);
}

static void test_streams(void **state)
{
    (void)state;
    each_isa(streams);
}

static void test_matches(void **state)
{
    (void)state;
    each_isa(matches);
}

static void test_copies(void **state)
{
    (void)state;
    each_isa(copies);
}

static void test_diffs(void **state)
{
    (void)state;
    each_isa(diffs);
}

static void test_heads(void **state)
{
    (void)state;
    each_isa(heads);
}

static void test_picks(void **state)
{
    (void)state;
    each_isa(picks);
}

static void test_curves(void **state)
{
    (void)state;
    each_isa(curves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves),  cmocka_unit_test(test_copies),
        cmocka_unit_test(test_diffs),   cmocka_unit_test(test_picks),
        cmocka_unit_test(test_heads),   cmocka_unit_test(test_streams),
        cmocka_unit_test(test_matches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
