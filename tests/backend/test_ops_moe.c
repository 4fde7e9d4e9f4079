/* test_ops_moe.c - route and experts on every instruction set.
 *
 * Routing is checked against a separate computation by full sorting in double
 * precision; experts against their formula, with bounds as in the linear
 * test; and rows must not depend on the batch they are in.
 */
#include "backend/ops.h"

enum {
    EXPERTS = 12,
    MODEL = 64,
    FF = 96
};

typedef struct ranked {
    double key;
    int id;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->id - y->id;
}

static void expect_route(const qn_op_route *op, const float *logits, int *ids,
                         double *weights)
{
    double score[64], top = -INFINITY, sum = 0;
    ranked r[64], g[64];
    int n = 0, size = op->n_group ? op->n_exp / op->n_group : op->n_exp;

    for (int e = 0; e < op->n_exp; e++)
        top = fmax(top, (double)logits[e]);
    for (int e = 0; e < op->n_exp; e++)
        sum += exp((double)logits[e] - top);
    for (int e = 0; e < op->n_exp; e++) {
        double x = (double)logits[e];
        score[e] = op->kind == QN_ROUTE_SIGMOID   ? 1 / (1 + exp(-x))
                   : op->kind == QN_ROUTE_SOFTMAX ? exp(x - top) / sum
                                                  : x;
    }
    for (int i = 0; i < QN_MAX(op->n_group, 1); i++) {
        for (int e = 0; e < size; e++)
            r[e] = (ranked){score[i * size + e] +
                                (op->bias ? (double)op->bias[i * size + e] : 0),
                            i * size + e};
        qsort(r, (size_t)size, sizeof *r, by_key);
        g[i] = (ranked){r[0].key + (size > 1 && !op->group_max ? r[1].key : 0),
                        i};
    }
    if (op->n_group)
        qsort(g, (size_t)op->n_group, sizeof *g, by_key);
    for (int i = 0; i < (op->n_group ? op->k_group : 1); i++)
        for (int e = 0; e < size; e++) {
            int id = (op->n_group ? g[i].id : 0) * size + e;
            r[n++] = (ranked){score[id] + (op->bias ? (double)op->bias[id] : 0),
                              id};
        }
    qsort(r, (size_t)n, sizeof *r, by_key);
    sum = 0;
    for (int j = 0; j < op->k; j++) {
        ids[j] = r[j].id;
        weights[j] = op->kind == QN_ROUTE_TOPK_SOFTMAX
                         ? exp(score[r[j].id] - score[r[0].id])
                         : score[r[j].id];
        sum += op->renorm_p > 0 ? pow(weights[j], (double)op->renorm_p)
                                : weights[j];
    }
    if (op->renorm_p > 0)
        sum = pow(sum, 1 / (double)op->renorm_p);
    for (int j = 0; j < op->k; j++) {
        if (op->renormalize || op->kind == QN_ROUTE_TOPK_SOFTMAX)
            weights[j] /= sum;
        weights[j] *= (double)op->scale;
        if (op->expert_scale)
            weights[j] *= (double)op->expert_scale[ids[j]];
    }
}

static void routes(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);

    for (int kind = 0; kind < 3; kind++)
        for (int opt = 0; opt < 16; opt++) {
            enum {
                ROWS = 11,
                K = 4
            };
            bool plain = kind != QN_ROUTE_TOPK_SOFTMAX;
            mat logits = mat_new(ROWS, EXPERTS, 1, 1, 3);
            mat bias = mat_new(1, EXPERTS, 0, 0, 0.3f);
            mat scale = mat_new(1, EXPERTS, 0, 0, 1);
            int32_t ids[ROWS * K];
            float weights[ROWS * K];
            qn_op op = {.kind = QN_OP_ROUTE};
            logits.p[3] = logits.p[7] = 5; /* a tie: the lower id first */
            /* and of groups: 1 + 1 and 2 + 0 */
            memcpy(mat_row(&logits, 1),
                   (float[]){5, 5, 5, 1, 1, 0, 2, 0, 0, -9, -9, -9},
                   EXPERTS * sizeof(float));
            op.u.route = (qn_op_route){.logits = logits.p,
                                       .ldl = logits.ld,
                                       .n_row = ROWS,
                                       .n_exp = EXPERTS,
                                       .k = K,
                                       .kind = (qn_route)kind,
                                       .renormalize = opt & 1,
                                       .expert_scale = opt & 1 ? scale.p : NULL,
                                       .scale = 1.5f,
                                       .bias = opt & 2 ? bias.p : NULL,
                                       .n_group = opt & 4 ? 4 : 0,
                                       .k_group = 2,
                                       .group_max = opt & 8,
                                       .renorm_p = plain && opt & 8 ? 2 : 0,
                                       .ids = ids,
                                       .weights = weights};
            exec_ops(be, &op, 1);
            for (int r = 0; r < ROWS; r++) {
                int want[K];
                double ww[K];
                expect_route(&op.u.route, mat_row(&logits, r), want, ww);
                for (int j = 0; j < K; j++) {
                    assert_int_equal(ids[r * K + j], want[j]);
                    /* exp to 1 ulp, a sum of 12, a few roundings; the
                     * argument of exp is off by eps * 8 */
                    check_at("route weight", r, j, weights[r * K + j], ww[j],
                             40 * EPS32 * fabs(ww[j]));
                }
            }
            mat_free(&logits);
            mat_free(&bias);
            mat_free(&scale);
        }
    qn_backend_close(be);
}

/* SparseMixer by its definition: of the best, the softmax over those within
 * 2 jitter of it, relative to the larger of |x| and the best. */
static void sparsemix(qn_isa isa)
{
    enum {
        ROWS = 9,
        K = 2
    };
    const double jitter = (double)0.1f;
    qn_backend *be = open_cpu(isa, 2, false);
    mat logits = mat_new(ROWS, EXPERTS, 1, 1, 1);
    int32_t ids[ROWS * K];
    float weights[ROWS * K];
    qn_op op = {.kind = QN_OP_ROUTE};

    for (int e = 0; e < EXPERTS; e++) /* all below zero; all close */
        mat_row(&logits, 1)[e] = -1 - 0.5f * mat_row(&logits, 1)[e];
    for (int e = 0; e < EXPERTS; e++)
        mat_row(&logits, 2)[e] = 3 + 0.05f * mat_row(&logits, 2)[e];
    op.u.route = (qn_op_route){.logits = logits.p,
                               .ldl = logits.ld,
                               .n_row = ROWS,
                               .n_exp = EXPERTS,
                               .k = K,
                               .kind = QN_ROUTE_SPARSEMIX,
                               .jitter = 0.1f,
                               .scale = 1,
                               .ids = ids,
                               .weights = weights};
    exec_ops(be, &op, 1);
    for (int r = 0; r < ROWS; r++) {
        const float *x = mat_row(&logits, r);
        bool used[EXPERTS] = {false};
        for (int j = 0; j < K; j++) {
            int best = -1;
            double sum = 0;
            for (int e = 0; e < EXPERTS; e++)
                if (!used[e] && (best < 0 || x[e] > x[best]))
                    best = e;
            for (int e = 0; e < EXPERTS; e++) {
                double top = (double)x[best], v = (double)x[e];
                if (!used[e] && (top - v) / fmax(fabs(v), top) <= 2 * jitter)
                    sum += exp(v - top);
            }
            used[best] = true;
            assert_int_equal(ids[r * K + j], best);
            check_at("sparsemix", r, j, weights[r * K + j], 1 / sum,
                     40 * EPS32);
        }
    }
    mat_free(&logits);
    qn_backend_close(be);
}

typedef struct moe {
    wmat gate[EXPERTS], up[EXPERTS], down[EXPERTS];
    const qn_weight *g[EXPERTS], *u[EXPERTS], *d[EXPERTS];
    mat gate_bias, up_bias, down_bias; /* [EXPERTS, ...] */
    bool biased, x_weighted;
    float limit, up_offset;
} moe;

static void moe_new(qn_backend *be, moe *m, qn_dtype gate, qn_dtype rest)
{
    for (int e = 0; e < EXPERTS; e++) {
        m->gate[e] = wmat_new(be, gate, FF, MODEL);
        m->up[e] = wmat_new(be, rest, FF, MODEL);
        m->down[e] = wmat_new(be, rest, MODEL, FF);
        m->g[e] = m->gate[e].q;
        m->u[e] = m->up[e].q;
        m->d[e] = m->down[e].q;
    }
    m->gate_bias = mat_new(EXPERTS, FF, 0, 1, 1);
    m->up_bias = mat_new(EXPERTS, FF, 0, 1, 1);
    m->down_bias = mat_new(EXPERTS, MODEL, 0, 1, 1);
}

static void moe_free(qn_backend *be, moe *m)
{
    for (int e = 0; e < EXPERTS; e++) {
        wmat_free(be, &m->gate[e]);
        wmat_free(be, &m->up[e]);
        wmat_free(be, &m->down[e]);
    }
    mat_free(&m->gate_bias);
    mat_free(&m->up_bias);
    mat_free(&m->down_bias);
}

static double dot(const float *w, const double *x, int n, double *abs_sum)
{
    double s = 0;

    *abs_sum = 0;
    for (int i = 0; i < n; i++) {
        s += (double)w[i] * x[i];
        *abs_sum += fabs((double)w[i] * x[i]);
    }
    return s;
}

/* One row by the formula, with the bound of each output. */
static void expect_experts(const moe *m, bool gated, const float *x,
                           const int32_t *ids, const float *weights, int k,
                           double *y, double *tol)
{
    double xd[MODEL], h[FF], ht[FF], a, s;

    for (int j = 0; j < k; j++) {
        double weight = m->x_weighted ? 1 : (double)weights[j];
        for (int i = 0; i < MODEL; i++) {
            float f = m->x_weighted ? x[i] * weights[j] : x[i];
            xd[i] = (double)f;
        }
        for (int f = 0; f < FF; f++) {
            double u = dot(m->up[ids[j]].w + f * MODEL, xd, MODEL, &a);
            double ut = qn_test_dot_bound(MODEL + 4, EPS32, a);
            double g, gt;
            if (m->biased)
                u += (double)mat_row(&m->up_bias, ids[j])[f];
            g = u;
            gt = ut;
            if (gated) {
                g = dot(m->gate[ids[j]].w + f * MODEL, xd, MODEL, &a);
                gt = qn_test_dot_bound(MODEL + 4, EPS32, a);
                if (m->biased)
                    g += (double)mat_row(&m->gate_bias, ids[j])[f];
            }
            if (m->limit > 0) {
                g = fmin(g, (double)m->limit);
                u = fmin(fmax(u, -(double)m->limit), (double)m->limit);
            }
            u += (double)m->up_offset;
            ut += 4 * EPS32 * (1 + fabs(u));
            gt += 4 * EPS32 * fabs(g);
            s = g / (1 + exp(-g));
            h[f] = gated ? s * u : s;
            ht[f] = 1.1 * gt * (gated ? fabs(u) + ut : 1) +
                    (gated ? fabs(s) * ut : 0) + 8 * EPS32 * fabs(h[f]);
        }
        for (int i = 0; i < MODEL; i++) {
            const float *w = m->down[ids[j]].w + i * FF;
            double d = dot(w, h, FF, &a);
            double t = qn_test_dot_bound(FF + 8, EPS32, a);
            for (int f = 0; f < FF; f++)
                t += fabs((double)w[f]) * ht[f];
            if (m->biased)
                d += (double)mat_row(&m->down_bias, ids[j])[i];
            y[i] += weight * d;
            tol[i] += fabs(weight) * (t + EPS32 * fabs(d)) +
                      8 * EPS32 * fabs(y[i]);
        }
    }
}

/* Of `how`: biases, limit and offset, weights on x. */
static void experts_case(qn_isa isa, qn_dtype gate_type, qn_dtype type,
                         bool gated, bool add, const moe *how)
{
    enum {
        ROWS = 23,
        K = 3
    };
    qn_backend *be = open_cpu(isa, 2, true);
    mat x = mat_new(ROWS, MODEL, 1, 1, 1), y = mat_new(ROWS, MODEL, 2, 3, 1);
    mat was = mat_copy(&y), alone;
    int32_t ids[ROWS * K];
    float weights[ROWS * K];
    qn_op op = {.kind = QN_OP_EXPERTS};
    uint64_t n = be->api->experts_scratch(be, ROWS, K, MODEL, 2 * FF);
    moe m = *how;
    void *scratch;
    qn_err err;

    assert_int_equal(be->api->buf_new(be, n, QN_MEM_WORKSPACE, &scratch, &err),
                     0);
    moe_new(be, &m, gate_type, type);
    for (int i = 0; i < ROWS * K; i++) {
        ids[i] = (i / K * 5 + i % K * (1 + i / K % 3)) % EXPERTS;
        weights[i] = rnd();
    }
    op.u.experts = (qn_op_experts){.x = x.p,
                                   .y = y.p,
                                   .ldx = x.ld,
                                   .ldy = y.ld,
                                   .n_row = ROWS,
                                   .n_exp = EXPERTS,
                                   .k = K,
                                   .d_ff = FF,
                                   .ids = ids,
                                   .weights = weights,
                                   .gate = gated ? m.g : NULL,
                                   .up = m.u,
                                   .down = m.d,
                                   .gate_bias = m.biased ? m.gate_bias.p : NULL,
                                   .up_bias = m.biased ? m.up_bias.p : NULL,
                                   .down_bias = m.biased ? m.down_bias.p : NULL,
                                   .bias = m.biased ? m.down_bias.p : NULL,
                                   .limit = m.limit,
                                   .up_offset = m.up_offset,
                                   .x_weighted = m.x_weighted,
                                   .act = QN_ACT_SILU,
                                   .add = add,
                                   .scratch = scratch};
    exec_ops(be, &op, 1);
    mat_check(&y, "experts");
    for (int r = 0; r < ROWS; r++) {
        double want[MODEL], tol[MODEL];
        for (int i = 0; i < MODEL; i++) {
            want[i] = add ? (double)mat_row(&was, r)[i] : 0;
            want[i] += m.biased ? (double)m.down_bias.p[i] : 0;
            tol[i] = 2 * EPS32;
        }
        expect_experts(&m, gated, mat_row(&x, r), ids + r * K, weights + r * K,
                       K, want, tol);
        for (int i = 0; i < MODEL; i++)
            check_at("experts", r, i, mat_row(&y, r)[i], want[i], tol[i]);
    }

    /* each row alone */
    alone = mat_copy(&was);
    for (int r = 0; r < ROWS; r++) {
        op.u.experts.n_row = 1;
        op.u.experts.x = mat_row(&x, r);
        op.u.experts.y = mat_row(&alone, r);
        op.u.experts.ids = ids + r * K;
        op.u.experts.weights = weights + r * K;
        exec_ops(be, &op, 1);
    }
    mat_same(&y, &alone, "experts, each row alone");

    be->api->buf_free(be, scratch, n, QN_MEM_WORKSPACE);
    moe_free(be, &m);
    mat_free(&x);
    mat_free(&y);
    mat_free(&was);
    mat_free(&alone);
    qn_backend_close(be);
}

static void experts(qn_isa isa)
{
    const moe plain = {0}, biased = {.biased = true};
    const moe oss = {.biased = true, .limit = 1.5f, .up_offset = 1};
    const moe on_x = {.x_weighted = true};

    experts_case(isa, QN_F32, QN_F32, true, false, &plain);
    experts_case(isa, QN_F32, QN_F32, false, true, &plain);
    experts_case(isa, QN_BF16, QN_BF16, true, true, &plain);
    experts_case(isa, QN_Q8_0, QN_Q8_0, true, false, &plain);
    experts_case(isa, QN_F16, QN_Q4_0, true, false, &plain);
    experts_case(isa, QN_F32, QN_F32, true, true, &biased);
    experts_case(isa, QN_F32, QN_F32, false, true, &biased);
    experts_case(isa, QN_F32, QN_F32, true, false, &oss);
    experts_case(isa, QN_F32, QN_F32, true, false, &on_x);
}

/* y = down(silu(gate x) * (up x)) with linear ops; w: gate, up, down. */
static void linear_expert(qn_backend *be, const wmat *w, float *x, float *h,
                          float *y)
{
    qn_op op = {.kind = QN_OP_LINEAR};

    op.u.linear = (qn_op_linear){.x = x,
                                 .ldx = w[0].n_in,
                                 .n_row = 1,
                                 .n_part = 2,
                                 .epi = QN_EPI_GLU,
                                 .act = QN_ACT_SILU,
                                 .scale = 1};
    op.u.linear.part[0].w = w[0].q;
    op.u.linear.part[1].w = w[1].q;
    op.u.linear.part[0].y = h;
    op.u.linear.part[0].ldy = w[0].n_out;
    exec_ops(be, &op, 1);
    op.u.linear = (qn_op_linear){
        .x = h, .ldx = w[2].n_in, .n_row = 1, .n_part = 1, .scale = 1};
    op.u.linear.part[0].w = w[2].q;
    op.u.linear.part[0].y = y;
    op.u.linear.part[0].ldy = w[2].n_out;
    exec_ops(be, &op, 1);
}

/* Experts of the fast kernels whose gate and up want different forms of x: what
 * linear ops of the same weights give, to the bit; or nearly what those of an
 * exact backend give, where there is no room for both forms. */
static void two_types_case(qn_isa isa, qn_dtype gate, qn_dtype up)
{
    enum {
        ROWS = 7,
        N = 256
    };
    const qn_dtype types[3] = {gate, up, QN_F32};
    qn_backend *be[2] = {open_cpu(isa, 2, false), open_cpu(isa, 2, true)};
    uint64_t n = be[0]->api->experts_scratch(be[0], ROWS, 1, N, N);
    const int32_t ids[ROWS] = {0, 1, 1, 0, 1, 0, 1};
    const float weights[ROWS] = {1, 1, 1, 1, 1, 1, 1};
    mat x = mat_new(ROWS, N, 0, 0, 1), y = mat_new(ROWS, N, 2, 3, 1);
    mat h = mat_new(1, N, 0, 0, 0), want[2] = {mat_copy(&y), mat_copy(&y)};
    const qn_weight *w[3][2];
    wmat m[2][2][3]; /* of a backend and an expert */
    qn_op op = {.kind = QN_OP_EXPERTS};
    void *scratch;
    qn_err err;

    for (int e = 0; e < 2; e++)
        for (int j = 0; j < 3; j++) {
            m[0][e][j] = wmat_new(be[0], types[j], N, N);
            m[1][e][j] = wmat_copy(be[1], &m[0][e][j]);
            w[j][e] = m[0][e][j].q;
        }
    assert_int_equal(be[0]->api->buf_new(be[0], n, QN_MEM_WORKSPACE, &scratch,
                                         &err),
                     0);
    op.u.experts = (qn_op_experts){.x = x.p,
                                   .y = y.p,
                                   .ldx = x.ld,
                                   .ldy = y.ld,
                                   .n_row = ROWS,
                                   .n_exp = 2,
                                   .k = 1,
                                   .d_ff = N,
                                   .ids = ids,
                                   .weights = weights,
                                   .gate = w[0],
                                   .up = w[1],
                                   .down = w[2],
                                   .act = QN_ACT_SILU,
                                   .scratch = scratch};
    exec_ops(be[0], &op, 1);
    for (int b = 0; b < 2; b++)
        for (int r = 0; r < ROWS; r++)
            linear_expert(be[b], m[b][ids[r]], mat_row(&x, r), h.p,
                          mat_row(&want[b], r));
    /* two forms of int8 have room: the others round x less, so differ by more
     * than sums of 256 in another order do */
    bool exact = fabsf(y.p[0] - want[1].p[0]) < 1e-3f;
    if (gate == QN_Q6_K && isa >= QN_ISA_AVX512VNNI && isa <= QN_ISA_AMX)
        assert_false(exact);
    if (!exact)
        mat_same(&y, &want[0], "experts of two types");
    for (int r = 0; exact && r < ROWS; r++)
        for (int i = 0; i < N; i++)
            check_at("experts of two types", r, i, mat_row(&y, r)[i],
                     mat_row(&want[1], r)[i], 1e-3);
    be[0]->api->buf_free(be[0], scratch, n, QN_MEM_WORKSPACE);
    for (int b = 0; b < 2; b++) {
        for (int e = 0; e < 2; e++)
            for (int j = 0; j < 3; j++)
                wmat_free(be[b], &m[b][e][j]);
        mat_free(&want[b]);
        qn_backend_close(be[b]);
    }
    mat_free(&x);
    mat_free(&y);
    mat_free(&h);
}

static void two_types(qn_isa isa)
{
    two_types_case(isa, QN_Q6_K, QN_Q4_K);
    two_types_case(isa, QN_Q4_K, QN_Q6_K);
    two_types_case(isa, QN_Q8_0, QN_Q4_K);
    two_types_case(isa, QN_F32, QN_Q6_K);
    two_types_case(isa, QN_Q4_0, QN_F16);
}

static void test_two_types(void **state)
{
    (void)state;
    each_isa(two_types);
}

static void test_routes(void **state)
{
    (void)state;
    each_isa(routes);
}

static void test_sparsemix(void **state)
{
    (void)state;
    each_isa(sparsemix);
}

static void test_experts(void **state)
{
    (void)state;
    each_isa(experts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_sparsemix),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_two_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
