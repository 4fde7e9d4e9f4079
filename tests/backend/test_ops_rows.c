/* test_ops_rows.c - embed, norm, rope, map, gather on every instruction set,
 * against double precision.
 */
#include "backend/ops.h"

#include "tensor/half.h"

static void run(qn_backend *be, const qn_op *op)
{
    exec_ops(be, op, 1);
}

static void embed(qn_isa isa)
{
    static const qn_dtype types[] = {QN_F32, QN_F16, QN_BF16, QN_Q8_0, QN_Q4_0};
    qn_backend *be = open_cpu(isa, 2, false);

    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (int add = 0; add < 2; add++) {
            enum {
                OUT = 37,
                IN = 96,
                ROWS = 21
            };
            wmat w = wmat_new(be, types[t], OUT, IN);
            mat y = mat_new(ROWS, IN, 3, 1, 1), was = mat_copy(&y);
            int32_t ids[ROWS];
            for (int r = 0; r < ROWS; r++)
                ids[r] = r == 0 ? OUT - 1 : rnd_int(OUT);
            qn_op op = {.kind = QN_OP_EMBED};
            op.u.embed = (qn_op_embed){w.q, ids, ROWS, 1.5f, add, y.p, y.ld};
            run(be, &op);
            mat_check(&y, "embed");
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < IN; k++) {
                    float want = 1.5f * w.w[ids[r] * IN + k];
                    want += add ? mat_row(&was, r)[k] : 0;
                    check_at("embed", r, k, mat_row(&y, r)[k], want,
                             EPS32 * fabs(want));
                }
            wmat_free(be, &w);
            mat_free(&y);
            mat_free(&was);
        }
    qn_backend_close(be);
}

/* A weight that arrives in pieces of any size is the same weight. */
static void pieces(qn_isa isa)
{
    static const qn_dtype types[] = {QN_F32, QN_F16, QN_BF16, QN_Q8_0, QN_Q4_0};
    qn_backend *be = open_cpu(isa, 1, false);

    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (int odd = 0; odd < 3; odd++) {
            bool blocks = types[t] == QN_Q8_0 || types[t] == QN_Q4_0;
            int out = 75, in = blocks ? 32 * (odd + 1) : 63 + 34 * odd;
            wmat w = wmat_new(be, types[t], out, in);
            qn_weight_desc d = {.n_out = out, .n_in = in, .dtype = types[t]};
            qn_weight *q;
            qn_err err;
            uint8_t *copy = malloc((size_t)w.row_bytes * 75 + 2);
            mat a = mat_new(out, in, 0, 0, 0), b = mat_copy(&a);
            int32_t ids[75];
            assert_int_equal(be->api->weight_new(be, &d, &q, &err), 0);
            for (int r = 0, n; r < out; r += n) {
                n = 1 + rnd_int(r < 16 ? 3 : 40);
                n = QN_MIN(n, out - r);
                /* files align nothing */
                memcpy(copy + r % 2 * 2, w.file + r * w.row_bytes,
                       (size_t)(n * w.row_bytes));
                be->api->weight_put(q, r, n, copy + r % 2 * 2);
            }
            for (int r = 0; r < out; r++)
                ids[r] = r;
            qn_op op = {.kind = QN_OP_EMBED};
            op.u.embed = (qn_op_embed){w.q, ids, out, 1, false, a.p, a.ld};
            run(be, &op);
            op.u.embed.table = q;
            op.u.embed.y = b.p;
            run(be, &op);
            mat_same(&a, &b, qn_dtype_get(types[t])->name);
            for (int r = 0; r < out; r++)
                for (int k = 0; k < in; k++)
                    check_at("packed", r, k, mat_row(&a, r)[k], w.w[r * in + k],
                             0);
            be->api->weight_free(be, q);
            free(copy);
            mat_free(&a);
            mat_free(&b);
            wmat_free(be, &w);
        }
    qn_backend_close(be);
}

/* The bound of a normalized value: mean and variance are off by gamma(n) of
 * their sums of magnitudes. */
static void norm_case(qn_isa isa, int dim, bool rms, bool bias, bool residual,
                      int n_group, bool per_group, float shift)
{
    enum {
        ROWS = 5
    };
    qn_backend *be = open_cpu(isa, 2, false);
    mat x = mat_new(ROWS, dim * n_group, 3, 1, 3);
    mat y = mat_new(ROWS, dim * n_group, 5, 2, 1), was;
    mat w = mat_new(1, dim * n_group, 0, 3, 2);
    mat b = mat_new(1, dim * n_group, 0, 1, 2);
    char what[96];

    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < x.n_col; i++)
            mat_row(&x, r)[i] += shift;
    was = mat_copy(&y);
    qn_op op = {.kind = QN_OP_NORM};
    op.u.norm = (qn_op_norm){.rms = rms,
                             .eps = 1e-5f,
                             .n_row = ROWS,
                             .n_group = n_group,
                             .dim = dim,
                             .x = x.p,
                             .w = w.p,
                             .b = bias ? b.p : NULL,
                             .residual = residual ? y.p : NULL,
                             .y = y.p,
                             .ldx = x.ld,
                             .ldy = y.ld,
                             .ldr = y.ld,
                             .w_per_group = per_group};
    run(be, &op);
    snprintf(what, sizeof what, "%s norm rms %d dim %d groups %d",
             qn_isa_name(isa), rms, dim, n_group);
    mat_check(&y, what);
    for (int r = 0; r < ROWS; r++)
        for (int g = 0; g < n_group; g++) {
            const float *xg = mat_row(&x, r) + g * dim;
            double mean = 0, var = 0, top = 0, inv, gm;
            for (int i = 0; i < dim && !rms; i++)
                mean += (double)xg[i];
            mean /= dim;
            for (int i = 0; i < dim; i++) {
                var += ((double)xg[i] - mean) * ((double)xg[i] - mean);
                top = fmax(top, fabs((double)xg[i]));
            }
            var = var / dim + 1e-5;
            inv = 1 / sqrt(var);
            gm = qn_test_dot_bound((size_t)dim + 8, EPS32, 1);
            for (int i = 0; i < dim; i++) {
                int at = (per_group ? g * dim : 0) + i;
                double n = ((double)xg[i] - mean) * inv, tol;
                double want = n * (double)w.p[at];
                /* the mean moves by gm * top, the scale by a factor of
                 * 1 +- (gm + moved mean's share) */
                double moved = rms ? 0 : gm * top * inv;
                tol = fabs((double)w.p[at]) *
                      (moved + fabs(n) * (gm + 2 * moved) + 4 * EPS32);
                want += bias ? (double)b.p[at] : 0;
                want += residual ? (double)mat_row(&was, r)[g * dim + i] : 0;
                tol += 4 * EPS32 * (fabs(want) + 4);
                check_at(what, r, g * dim + i, mat_row(&y, r)[g * dim + i],
                         want, tol);
            }
        }
    /* in place gives the same bits */
    if (!residual) {
        mat z = mat_copy(&x);
        op.u.norm.x = op.u.norm.y = z.p;
        op.u.norm.ldx = op.u.norm.ldy = z.ld;
        run(be, &op);
        mat_same(&y, &z, "norm in place");
        mat_free(&z);
    }
    mat_free(&x);
    mat_free(&y);
    mat_free(&was);
    mat_free(&w);
    mat_free(&b);
    qn_backend_close(be);
}

static void norms(qn_isa isa)
{
    static const int dims[] = {1, 7, 16, 33, 64, 127, 256, 1000};

    for (size_t i = 0; i < QN_COUNTOF(dims); i++)
        for (int rms = 0; rms < 2; rms++) {
            norm_case(isa, dims[i], rms, false, false, 1, false, 0);
            norm_case(isa, dims[i], rms, true, true, 1, false, 10);
            norm_case(isa, dims[i], rms, false, false, 3, false, 0);
            norm_case(isa, dims[i], rms, true, false, 3, true, 1);
        }
}

static void ropes(qn_isa isa)
{
    static const int halves[] = {1, 4, 8, 16, 20, 32, 48, 64};
    qn_backend *be = open_cpu(isa, 2, false);

    for (size_t i = 0; i < QN_COUNTOF(halves); i++)
        for (int inter = 0; inter < 2; inter++) {
            enum {
                ROWS = 9,
                HEADS = 3
            };
            int n = halves[i], d = 2 * n + 6;
            mat x = mat_new(ROWS, HEADS * d, 1, 1, 1), was = mat_copy(&x);
            mat freq = mat_new(2, n, 2, 0, 1), table;
            int32_t pos[ROWS];
            qn_span spans[2] = {{.row0 = 0, .n_row = 4},
                                {.row0 = 4, .n_row = 5}};
            qn_batch b = {
                .n_row = ROWS, .pos = pos, .n_span = 2, .spans = spans};
            for (int r = 0; r < ROWS; r++)
                pos[r] = rnd_int(100000);
            table = mat_new(ROWS, 2 * n, 0, 1, 0);
            qn_op ops[2] = {{.kind = QN_OP_ROPE_TABLE}, {.kind = QN_OP_ROPE}};
            ops[0].u.rope_table = (qn_op_rope_table){&b, freq.p, freq.ld,
                                                     n,  0.5f,   table.p};
            ops[1].u.rope = (qn_op_rope){table.p, n, inter, ROWS,
                                         HEADS,   d, x.p,   x.ld};
            exec_ops(be, ops, 2);
            mat_check(&x, "rope");
            mat_check(&table, "rope table");
            for (int r = 0; r < ROWS; r++)
                for (int h = 0; h < HEADS; h++)
                    for (int e = 0; e < d; e++) {
                        const float *p = mat_row(&was, r) + h * d;
                        double want = (double)p[e], tol = 0;
                        if (e < 2 * n) {
                            int f = inter ? e / 2 : e % n;
                            float a = (float)pos[r] * mat_row(&freq, r >= 4)[f];
                            bool second = inter ? e % 2 : e >= n;
                            double u = (double)p[inter ? 2 * f : f];
                            double v = (double)p[inter ? 2 * f + 1 : f + n];
                            double co = 0.5 * cos((double)a);
                            double si = 0.5 * sin((double)a);
                            want = second ? v * co + u * si : u * co - v * si;
                            tol = 4 * EPS32 * (fabs(u) + fabs(v));
                        }
                        check_at("rope", r, h * d + e,
                                 mat_row(&x, r)[h * d + e], want, tol);
                    }
            mat_free(&x);
            mat_free(&was);
            mat_free(&freq);
            mat_free(&table);
        }
    qn_backend_close(be);
}

static double act_of(qn_act act, double x)
{
    switch (act) {
    case QN_ACT_RELU: return x > 0 ? x : 0;
    case QN_ACT_RELU2: return x > 0 ? x * x : 0;
    case QN_ACT_SILU: return x / (1 + exp(-x));
    case QN_ACT_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
    case QN_ACT_GELU_TANH:
        return 0.5 * x *
               (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case QN_ACT_GELU_QUICK: return x / (1 + exp(-1.702 * x));
    case QN_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case QN_ACT_TANH: return tanh(x);
    default: return x;
    }
}

/* Activations to a few units in the last place of their result plus, where
 * they multiply x by something near 0, of x. */
static void maps(qn_isa isa)
{
    static const int dims[] = {1, 15, 16, 37, 5000};
    static const float amps[] = {0.01f, 1, 8, 200};
    qn_backend *be = open_cpu(isa, 2, false);

    for (int act = QN_ACT_NONE; act <= QN_ACT_TANH; act++)
        for (size_t i = 0; i < QN_COUNTOF(dims); i++)
            for (size_t j = 0; j < QN_COUNTOF(amps); j++) {
                bool mul = j % 2, add = j == 2, cap = i == 3;
                int dim = dims[i];
                mat x = mat_new(3, dim, 1, 1, amps[j]);
                mat m = mat_new(3, dim, 2, 2, 1);
                mat y = mat_new(3, dim, 3, 3, 1), was = mat_copy(&y);
                qn_op op = {.kind = QN_OP_MAP};
                char what[64];
                op.u.map = (qn_op_map){.x = x.p,
                                       .mul = mul ? m.p : NULL,
                                       .y = y.p,
                                       .ldx = x.ld,
                                       .ldm = m.ld,
                                       .ldy = y.ld,
                                       .n_row = 3,
                                       .dim = dim,
                                       .act = (qn_act)act,
                                       .scale = 0.7f,
                                       .cap = cap ? 1.5f : 0,
                                       .add = add};
                run(be, &op);
                snprintf(what, sizeof what, "%s map act %d amp %g cap %d",
                         qn_isa_name(isa), act, (double)amps[j], cap);
                mat_check(&y, what);
                for (int r = 0; r < 3; r++)
                    for (int e = 0; e < dim; e++) {
                        double v = (double)mat_row(&x, r)[e], want, tol;
                        want = act_of((qn_act)act, v);
                        tol = 8 * EPS32 * fabs(want);
                        if (act == QN_ACT_GELU || act == QN_ACT_GELU_TANH)
                            tol += 4 * EPS32 * fabs(v);
                        if (act == QN_ACT_GELU_QUICK) /* exp of a product */
                            tol += 2 * EPS32 * fabs(1.702 * v * want);
                        want *= mul ? (double)mat_row(&m, r)[e] : 1;
                        want *= (double)0.7f;
                        if (cap)
                            want = 1.5 * tanh(want / 1.5);
                        want += add ? (double)mat_row(&was, r)[e] : 0;
                        tol += 8 * EPS32 * fabs(want) + (cap ? 1e-7 : 0) +
                               (add ? 2 * EPS32 : 0) + 1e-36;
                        check_at(what, r, e, mat_row(&y, r)[e], want, tol);
                    }
                mat_free(&x);
                mat_free(&m);
                mat_free(&y);
                mat_free(&was);
            }
    qn_backend_close(be);
}

/* Infinities and values that overflow exp must give the limits, not NaN. */
static void extremes(qn_isa isa)
{
    static const float xs[] = {0,    -0.0f, 1e-30f, 90,     -90,
                               1e4f, -1e4f, 3e38f,  -3e38f, INFINITY};
    qn_backend *be = open_cpu(isa, 1, false);

    for (int act = QN_ACT_RELU; act <= QN_ACT_TANH; act++) {
        float y[32];
        qn_op op = {.kind = QN_OP_MAP};
        if (act == QN_ACT_RELU2)
            continue; /* overflows, rightly */
        op.u.map = (qn_op_map){.x = xs,
                               .y = y,
                               .n_row = 1,
                               .dim = QN_COUNTOF(xs),
                               .act = (qn_act)act,
                               .scale = 1};
        run(be, &op);
        for (size_t i = 0; i < QN_COUNTOF(xs); i++) {
            double x = (double)xs[i], want = act_of((qn_act)act, x);
            if (isnan(want)) /* inf - inf inside the definition */
                want = x;
            check_at("extremes", act, (int64_t)i, y[i], want,
                     1e-6 * fmin(fabs(want), 1e30) + 1e-30 +
                         (want == (double)INFINITY ? 0 : 0));
        }
    }
    qn_backend_close(be);
}

static void gathers(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);
    mat x = mat_new(9, 37, 2, 1, 1), y = mat_new(3, 37, 4, 3, 1);
    int32_t rows[] = {1, 4, 8};
    qn_op op = {.kind = QN_OP_GATHER};

    op.u.gather = (qn_op_gather){x.p, rows, y.p, x.ld, y.ld, 3, 37};
    run(be, &op);
    mat_check(&y, "gather");
    for (int i = 0; i < 3; i++)
        assert_memory_equal(mat_row(&y, i), mat_row(&x, rows[i]),
                            37 * sizeof(float));
    mat_free(&x);
    mat_free(&y);
    qn_backend_close(be);
}

#define EACH(name)                        \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        each_isa(name);                   \
    }
EACH(embed)
EACH(pieces)
EACH(norms)
EACH(ropes)
EACH(maps)
EACH(extremes)
EACH(gathers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),   cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_norms),   cmocka_unit_test(test_ropes),
        cmocka_unit_test(test_maps),    cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_gathers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
