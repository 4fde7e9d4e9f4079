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
        g[i] = (ranked){r[0].key + (size > 1 ? r[1].key : 0), i};
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
        sum += weights[j];
    }
    for (int j = 0; j < op->k; j++) {
        if (op->renormalize || op->kind == QN_ROUTE_TOPK_SOFTMAX)
            weights[j] /= sum;
        weights[j] *= (double)op->scale;
    }
}

static void routes(qn_isa isa)
{
    qn_backend *be = open_cpu(isa, 2, false);

    for (int kind = 0; kind < 3; kind++)
        for (int opt = 0; opt < 8; opt++) {
            enum {
                ROWS = 11,
                K = 4
            };
            mat logits = mat_new(ROWS, EXPERTS, 1, 1, 3);
            mat bias = mat_new(1, EXPERTS, 0, 0, 0.3f);
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
                                       .scale = 1.5f,
                                       .bias = opt & 2 ? bias.p : NULL,
                                       .n_group = opt & 4 ? 4 : 0,
                                       .k_group = 2,
                                       .ids = ids,
                                       .weights = weights};
            be->api->exec(be, &op, 1);
            for (int r = 0; r < ROWS; r++) {
                int want[K];
                double ww[K];
                expect_route(&op.u.route, mat_row(&logits, r), want, ww);
                for (int j = 0; j < K; j++) {
                    assert_int_equal(ids[r * K + j], want[j]);
                    /* exp to 1 ulp, a sum of 12, a few roundings; the
                     * argument of exp is off by eps * 8 */
                    check_at("route weight", r, j, weights[r * K + j], ww[j],
                             40 * EPS32 * ww[j]);
                }
            }
            mat_free(&logits);
            mat_free(&bias);
        }
    qn_backend_close(be);
}

typedef struct moe {
    wmat gate[EXPERTS], up[EXPERTS], down[EXPERTS];
    const qn_weight *g[EXPERTS], *u[EXPERTS], *d[EXPERTS];
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
}

static void moe_free(qn_backend *be, moe *m)
{
    for (int e = 0; e < EXPERTS; e++) {
        wmat_free(be, &m->gate[e]);
        wmat_free(be, &m->up[e]);
        wmat_free(be, &m->down[e]);
    }
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

    for (int i = 0; i < MODEL; i++)
        xd[i] = (double)x[i];
    for (int j = 0; j < k; j++) {
        for (int f = 0; f < FF; f++) {
            double u = dot(m->up[ids[j]].w + f * MODEL, xd, MODEL, &a);
            double ut = qn_test_dot_bound(MODEL + 4, EPS32, a);
            double g = u, gt = ut;
            if (gated) {
                g = dot(m->gate[ids[j]].w + f * MODEL, xd, MODEL, &a);
                gt = qn_test_dot_bound(MODEL + 4, EPS32, a);
            }
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
            y[i] += (double)weights[j] * d;
            tol[i] += fabs((double)weights[j]) * t + 8 * EPS32 * fabs(y[i]);
        }
    }
}

static void experts_case(qn_isa isa, qn_dtype gate_type, qn_dtype type,
                         bool gated, bool add)
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
    uint64_t n = be->api->experts_scratch(be, ROWS, K, MODEL, FF);
    moe m;
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
                                   .act = QN_ACT_SILU,
                                   .add = add,
                                   .scratch = scratch};
    be->api->exec(be, &op, 1);
    mat_check(&y, "experts");
    for (int r = 0; r < ROWS; r++) {
        double want[MODEL], tol[MODEL];
        for (int i = 0; i < MODEL; i++) {
            want[i] = add ? (double)mat_row(&was, r)[i] : 0;
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
        be->api->exec(be, &op, 1);
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
    experts_case(isa, QN_F32, QN_F32, true, false);
    experts_case(isa, QN_F32, QN_F32, false, true);
    experts_case(isa, QN_BF16, QN_BF16, true, true);
    experts_case(isa, QN_Q8_0, QN_Q8_0, true, false);
    experts_case(isa, QN_F16, QN_Q4_0, true, false);
}

static void test_routes(void **state)
{
    (void)state;
    each_isa(routes);
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
        cmocka_unit_test(test_experts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
