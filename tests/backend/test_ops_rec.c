/* test_ops_rec.c - convolution, selective scan and delta rule on every
 * instruction set, against double precision with a running bound of the error:
 * what a state may be off by is carried along as the state is.
 *
 * And the law of recurrent ops: two sequences at once, alone, in pieces of any
 * size, by any number of threads, in slots that held something else before:
 * the same bits.
 */
#include "backend/ops.h"

#include "base/clock.h"

enum {
    N_A = 23, /* rows of two sequences */
    N_B = 9,
    ROWS = N_A + N_B,
    SLOTS = 4,
    MAX_FLOATS = 4096 /* of a state */
};

static float states[SLOTS * MAX_FLOATS];

static void foul_states(void)
{
    for (int i = 0; i < SLOTS * MAX_FLOATS; i++)
        states[i] = NAN;
}

/* The op from row r on. */
static void from_row(qn_op *op, int64_t r, const qn_batch *b)
{
    if (op->kind == QN_OP_CONV) {
        qn_op_conv *c = &op->u.conv;
        c->x += r * c->ldx;
        c->y += r * c->ldy;
        c->batch = b;
    } else if (op->kind == QN_OP_SCAN) {
        qn_op_scan *s = &op->u.scan;
        s->x += r * s->ldx;
        s->dt += r * s->lddt;
        s->B += r * s->ldb;
        s->C += r * s->ldc;
        s->y += r * s->ldy;
        s->batch = b;
    } else {
        qn_op_delta *d = &op->u.delta;
        d->q += r * d->ldq;
        d->k += r * d->ldk;
        d->v += r * d->ldv;
        d->dt += r * d->lddt;
        d->beta += r * d->ldbeta;
        d->y += r * d->ldy;
        d->batch = b;
    }
}

static float **output(qn_op *op)
{
    return op->kind == QN_OP_CONV   ? &op->u.conv.y
           : op->kind == QN_OP_SCAN ? &op->u.scan.y
                                    : &op->u.delta.y;
}

/* Rows [row0, row0 + n) in pieces of about `piece`, in a slot. */
static void in_pieces(qn_backend *be, const qn_op *op, int row0, int n,
                      int piece, int slot)
{
    for (int at = 0, m; at < n; at += m) {
        m = 1 + rnd_int(2 * piece);
        m = QN_MIN(m, n - at);
        qn_span span = {.n_row = m, .pos0 = at, .state_slot = slot};
        qn_batch b = {.n_row = m, .n_span = 1, .spans = &span};
        qn_op part = *op;
        from_row(&part, row0 + at, &b);
        exec_ops(be, &part, 1);
    }
}

/* Both sequences at once into y; then all other ways must give the same. */
static void all_ways(qn_isa isa, qn_op *op, mat *y, const char *what)
{
    static const int piece[] = {1, 3, 8, 40};
    qn_span spans[] = {{.n_row = N_A, .state_slot = 3},
                       {.row0 = N_A, .n_row = N_B, .state_slot = 0}};
    qn_batch both = {.n_row = ROWS, .n_span = 2, .spans = spans};
    qn_backend *be = open_cpu(isa, 2, false);
    mat z = mat_copy(y);
    float **out = output(op);

    foul_states();
    *out = y->p;
    from_row(op, 0, &both);
    exec_ops(be, op, 1);
    mat_check(y, what);
    qn_backend_close(be);
    *out = z.p;
    for (int threads = 1; threads < 4; threads++) {
        be = open_cpu(isa, threads, false);
        for (size_t i = 0; i < QN_COUNTOF(piece); i++) {
            in_pieces(be, op, 0, N_A, piece[i], 1);
            in_pieces(be, op, N_A, N_B, piece[i], threads);
            mat_check(&z, what);
            mat_same(y, &z, what);
        }
        qn_backend_close(be);
    }
    *out = y->p;
    mat_free(&z);
}

/* ---- convolution ------------------------------------------------------- */

static void conv_case(qn_isa isa, int dim, int n_tap, bool bias, qn_act act)
{
    mat x = mat_new(ROWS, dim, 3, 1, 2), y = mat_new(ROWS, dim, 2, 3, 1);
    mat w = mat_new(n_tap, dim, 0, 2, 1), b = mat_new(1, dim, 0, 1, 1);
    qn_op op = {.kind = QN_OP_CONV};
    char what[64];

    snprintf(what, sizeof what, "%s conv %d x %d", qn_isa_name(isa), dim,
             n_tap);
    op.u.conv = (qn_op_conv){.state = {states, MAX_FLOATS},
                             .dim = dim,
                             .n_tap = n_tap,
                             .x = x.p,
                             .ldx = x.ld,
                             .ldy = y.ld,
                             .w = w.p,
                             .b = bias ? b.p : NULL,
                             .act = act};
    all_ways(isa, &op, &y, what);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < dim; c++) {
            double v = bias ? (double)b.p[c] : 0, size = fabs(v), tol;
            for (int j = 0; j < n_tap; j++) {
                int at = r - n_tap + 1 + j;
                double p;
                if (at < (r < N_A ? 0 : N_A))
                    continue;
                p = (double)mat_row(&w, j)[c] * (double)mat_row(&x, at)[c];
                v += p;
                size += fabs(p);
            }
            tol = qn_test_dot_bound((size_t)n_tap + 1, EPS32, size);
            if (act == QN_ACT_SILU) { /* its slope is below 1.1 */
                v = v / (1 + exp(-v));
                tol = 1.1 * tol + 8 * EPS32 * fabs(v);
            }
            check_at(what, r, c, mat_row(&y, r)[c], v, tol);
        }
    mat_free(&x);
    mat_free(&y);
    mat_free(&w);
    mat_free(&b);
}

static void convs(qn_isa isa)
{
    static const int dims[] = {1, 15, 16, 64, 100, 193};

    for (size_t i = 0; i < QN_COUNTOF(dims); i++)
        for (int n_tap = 1; n_tap <= 5; n_tap++)
            conv_case(isa, dims[i], n_tap, n_tap % 2,
                      n_tap % 3 ? QN_ACT_SILU : QN_ACT_NONE);
}

/* ---- scan -------------------------------------------------------------- */

static double softplus(double x)
{
    return x > 30 ? x : log1p(exp(x));
}

typedef struct scan_data {
    mat x, dt, B, C, y, a, d, bias;
} scan_data;

/* One channel of one sequence: y and its bound, in double. */
static void scan_channel(const qn_op_scan *o, const scan_data *m, int row0,
                         int n_row, int c, const char *what)
{
    double s[256] = {0}, e[256] = {0};
    int h = c / o->d_head, g = h / (o->n_head / o->n_group);

    for (int r = row0; r < row0 + n_row; r++) {
        const float *B = mat_row(&m->B, r) + g * o->d_state;
        const float *C = mat_row(&m->C, r) + g * o->d_state;
        double x = (double)mat_row(&m->x, r)[c], y = 0, tol = 0;
        /* the sum may cancel, and softplus(u) = e^u far below 0 */
        double u = (double)mat_row(&m->dt, r)[h] + (double)m->bias.p[h];
        double t = fmin(fmax(softplus(u), (double)o->dt_min),
                        (double)o->dt_max);
        double et = 8 * EPS32 + EPS32 * (fabs(u) + fabs((double)m->bias.p[h]));
        for (int n = 0; n < o->d_state; n++) {
            double a = (double)m->a.p[o->by_channel ? n * o->n_head + h : h];
            double decay = exp(t * a), in = t * x * (double)B[n];
            double ed = 4 * EPS32 + fabs(t * a) * (et + EPS32);
            e[n] = decay * e[n] + fabs(decay * s[n]) * (ed + EPS32) +
                   fabs(in) * (et + 3 * EPS32);
            s[n] = decay * s[n] + in;
            e[n] += 2 * EPS32 * fabs(s[n]);
            y += s[n] * (double)C[n];
            tol += fabs((double)C[n]) *
                   (e[n] + (o->d_state + 2) * EPS32 * fabs(s[n]));
        }
        y += (double)m->d.p[h] * x;
        tol += 4 * EPS32 * (fabs((double)m->d.p[h] * x) + fabs(y));
        check_at(what, r, c, mat_row(&m->y, r)[c], y, tol * (1 + 1e-3));
    }
}

static void scan_case(qn_isa isa, bool by_channel, int n_head, int d_head,
                      int n_group, int d_state, float dt_min, float dt_max)
{
    int dim = n_head * d_head, key = n_group * d_state;
    scan_data m = {
        .x = mat_new(ROWS, dim, 3, 1, 2),
        .dt = mat_new(ROWS, n_head, 1, 2, 3),
        .B = mat_new(ROWS, key, 2, 3, 1),
        .C = mat_new(ROWS, key, 5, 1, 1),
        .y = mat_new(ROWS, dim, 4, 2, 1),
        .a = mat_new(by_channel ? d_state : 1, n_head, 0, 1, 2),
        .d = mat_new(1, n_head, 0, 3, 1),
        .bias = mat_new(1, n_head, 0, 2, 4),
    };
    qn_op op = {.kind = QN_OP_SCAN};
    qn_op_scan *o = &op.u.scan;
    char what[96];

    snprintf(what, sizeof what, "%s scan by_channel %d heads %d x %d state %d",
             qn_isa_name(isa), by_channel, n_head, d_head, d_state);
    for (int i = 0; i < n_head * (by_channel ? d_state : 1); i++)
        m.a.p[i] = -fabsf(m.a.p[i]);
    *o = (qn_op_scan){.state = {states, MAX_FLOATS},
                      .by_channel = by_channel,
                      .n_head = n_head,
                      .d_head = d_head,
                      .n_group = n_group,
                      .d_state = d_state,
                      .x = m.x.p,
                      .dt = m.dt.p,
                      .B = m.B.p,
                      .C = m.C.p,
                      .ldx = m.x.ld,
                      .lddt = m.dt.ld,
                      .ldb = m.B.ld,
                      .ldc = m.C.ld,
                      .ldy = m.y.ld,
                      .a = m.a.p,
                      .d = m.d.p,
                      .dt_bias = m.bias.p,
                      .dt_min = dt_min,
                      .dt_max = dt_max};
    assert_true(dim * d_state <= MAX_FLOATS && d_state <= 256);
    all_ways(isa, &op, &m.y, what);
    for (int c = 0; c < dim; c++) {
        scan_channel(o, &m, 0, N_A, c, what);
        scan_channel(o, &m, N_A, N_B, c, what);
    }
    mat_free(&m.x);
    mat_free(&m.dt);
    mat_free(&m.B);
    mat_free(&m.C);
    mat_free(&m.y);
    mat_free(&m.a);
    mat_free(&m.d);
    mat_free(&m.bias);
}

static void scans(qn_isa isa)
{
    scan_case(isa, true, 1, 1, 1, 1, 0, INFINITY);
    scan_case(isa, true, 100, 1, 1, 16, 0, INFINITY);
    scan_case(isa, true, 130, 1, 1, 7, 0, INFINITY);
    scan_case(isa, false, 1, 1, 1, 1, 0, INFINITY);
    scan_case(isa, false, 4, 16, 1, 16, 0, INFINITY);
    scan_case(isa, false, 6, 33, 3, 20, 0, INFINITY);
    scan_case(isa, false, 4, 8, 2, 128, 0.1f, 1.5f);
}

/* ---- delta rule -------------------------------------------------------- */

typedef struct delta_data {
    mat q, k, v, dt, beta, y, a, bias;
} delta_data;

static double length(const float *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum + 1e-6);
}

/* One element of a value head: a column of its state. */
static void delta_column(const qn_op_delta *o, const delta_data *m, int row0,
                         int n_row, int h, int j, const char *what)
{
    double s[256] = {0}, e[256] = {0};
    int g = o->by_turns ? h % o->n_group : h / (o->n_head / o->n_group);
    double el = (o->d_k / 2.0 + 8) * EPS32; /* of a normalized element */

    for (int r = row0; r < row0 + n_row; r++) {
        const float *q = mat_row(&m->q, r) + g * o->d_k;
        const float *k = mat_row(&m->k, r) + g * o->d_k;
        double lq = length(q, o->d_k) * sqrt(o->d_k), lk = length(k, o->d_k);
        double x = (double)mat_row(&m->dt, r)[h] + (double)m->bias.p[h];
        double at = (double)m->a.p[h] * softplus(x), decay = exp(at);
        double ed = 4 * EPS32 + fabs(at) *
                                    (9 + fabs(x) + fabs((double)m->bias.p[h])) *
                                    EPS32;
        double beta = 1 / (1 + exp(-(double)mat_row(&m->beta, r)[h]));
        double v = (double)mat_row(&m->v, r)[h * o->d_v + j];
        double held = 0, eh = 0, u, eu, y = 0, tol = 0;
        for (int i = 0; i < o->d_k; i++) {
            double p = decay * s[i] * (double)k[i] / lk;
            held += p;
            eh += fabs(p) * (ed + el + (o->d_k + 2) * EPS32) +
                  fabs(decay * (double)k[i] / lk) * e[i];
        }
        u = beta * (v - held);
        eu = beta * eh + 12 * EPS32 * (fabs(u) + beta * fabs(held));
        for (int i = 0; i < o->d_k; i++) {
            double ki = (double)k[i] / lk, qi = (double)q[i] / lq;
            e[i] = decay * e[i] + fabs(decay * s[i]) * (ed + EPS32) +
                   fabs(ki) * eu + fabs(ki * u) * (el + 2 * EPS32);
            s[i] = decay * s[i] + ki * u;
            e[i] += EPS32 * fabs(s[i]);
            y += s[i] * qi;
            tol += fabs(qi) * (e[i] + fabs(s[i]) * (el + (o->d_k + 2) * EPS32));
        }
        check_at(what, r, h * o->d_v + j, mat_row(&m->y, r)[h * o->d_v + j], y,
                 tol * (1 + 1e-3) + 1e-30);
    }
}

static void delta_case(qn_isa isa, int n_head, int n_group, int d_k, int d_v,
                       bool by_turns)
{
    delta_data m = {
        .q = mat_new(ROWS, n_group * d_k, 3, 1, 2),
        .k = mat_new(ROWS, n_group * d_k, 1, 2, 2),
        .v = mat_new(ROWS, n_head * d_v, 2, 3, 1),
        .dt = mat_new(ROWS, n_head, 5, 1, 3),
        .beta = mat_new(ROWS, n_head, 4, 2, 4),
        .y = mat_new(ROWS, n_head * d_v, 4, 2, 1),
        .a = mat_new(1, n_head, 0, 1, 2),
        .bias = mat_new(1, n_head, 0, 2, 2),
    };
    qn_op op = {.kind = QN_OP_DELTA};
    qn_op_delta *o = &op.u.delta;
    char what[96];

    snprintf(what, sizeof what, "%s delta heads %d/%d of %d x %d",
             qn_isa_name(isa), n_head, n_group, d_k, d_v);
    for (int i = 0; i < n_head; i++)
        m.a.p[i] = -fabsf(m.a.p[i]);
    *o = (qn_op_delta){.state = {states, MAX_FLOATS},
                       .by_turns = by_turns,
                       .n_head = n_head,
                       .n_group = n_group,
                       .d_k = d_k,
                       .d_v = d_v,
                       .q = m.q.p,
                       .k = m.k.p,
                       .v = m.v.p,
                       .dt = m.dt.p,
                       .beta = m.beta.p,
                       .ldq = m.q.ld,
                       .ldk = m.k.ld,
                       .ldv = m.v.ld,
                       .lddt = m.dt.ld,
                       .ldbeta = m.beta.ld,
                       .ldy = m.y.ld,
                       .a = m.a.p,
                       .dt_bias = m.bias.p};
    assert_true(n_head * d_k * d_v <= MAX_FLOATS && d_k <= 256);
    all_ways(isa, &op, &m.y, what);
    for (int h = 0; h < n_head; h++)
        for (int j = 0; j < d_v; j++) {
            delta_column(o, &m, 0, N_A, h, j, what);
            delta_column(o, &m, N_A, N_B, h, j, what);
        }
    mat_free(&m.q);
    mat_free(&m.k);
    mat_free(&m.v);
    mat_free(&m.dt);
    mat_free(&m.beta);
    mat_free(&m.y);
    mat_free(&m.a);
    mat_free(&m.bias);
}

static void deltas(qn_isa isa)
{
    delta_case(isa, 1, 1, 1, 1, false);
    delta_case(isa, 4, 2, 16, 16, false);
    delta_case(isa, 4, 2, 16, 16, true);
    delta_case(isa, 6, 2, 9, 37, false);
    delta_case(isa, 2, 1, 32, 64, false);
}

/* ---- --bench ----------------------------------------------------------- */

/* Best time per row of an op over one sequence, in its several shapes. The
 * state of a decoding layer comes from memory: as many slots as fit no cache
 * take turns. */
static void bench_op(qn_isa isa, const char *what, qn_op *op, int64_t n_state,
                     qn_state *state, int n_row)
{
    enum {
        TURNS = 40
    };
    int n_slot = n_row > 1 ? 1 : (int)QN_MIN(64, 1 + (64 << 20) / n_state / 4);
    qn_backend *be = open_cpu(isa, 1, false);
    qn_span span = {.n_row = n_row, .pos0 = 1};
    qn_batch b = {.n_row = n_row, .n_span = 1, .spans = &span};
    float *memory = calloc((size_t)(n_slot * n_state), sizeof *memory);
    double best = 1e30;

    *state = (qn_state){memory, n_state};
    from_row(op, 0, &b);
    for (int i = 0; i < TURNS * n_slot; i++) {
        span.state_slot = i % n_slot;
        uint64_t t0 = qn_now_ns();
        exec_ops(be, op, 1);
        best = fmin(best, (double)(qn_now_ns() - t0) / n_row);
    }
    print_message("%-8s %-26s %4d rows: %8.2f us a row, %6.2f GB/s of state\n",
                  qn_isa_name(isa), what, n_row, best / 1000,
                  8.0 * (double)n_state / best);
    free(memory);
    qn_backend_close(be);
}

static void bench(qn_isa isa)
{
    enum {
        N = 256,
        W = 8192
    };
    mat x = mat_new(N, W, 0, 0, 1), y = mat_new(N, W, 0, 0, 1);
    mat a = mat_new(64, W, 0, 0, 0.5f), w = mat_new(4, W, 0, 0, 1);

    for (int i = 0; i < 64 * W; i++)
        a.p[i] = -fabsf(a.p[i]);
    for (int n_row = 1; n_row <= N; n_row *= N) {
        qn_op op = {.kind = QN_OP_CONV};
        op.u.conv = (qn_op_conv){.dim = 4096,
                                 .n_tap = 4,
                                 .x = x.p,
                                 .y = y.p,
                                 .ldx = W,
                                 .ldy = W,
                                 .w = w.p,
                                 .act = QN_ACT_SILU};
        bench_op(isa, "conv 4096 x 4", &op, 3 * 4096, &op.u.conv.state, n_row);
        op = (qn_op){.kind = QN_OP_SCAN};
        op.u.scan = (qn_op_scan){.by_channel = true,
                                 .n_head = 4096,
                                 .d_head = 1,
                                 .n_group = 1,
                                 .d_state = 16,
                                 .x = x.p,
                                 .dt = x.p,
                                 .B = x.p,
                                 .C = x.p,
                                 .y = y.p,
                                 .ldx = W,
                                 .lddt = W,
                                 .ldb = W,
                                 .ldc = W,
                                 .ldy = W,
                                 .a = a.p,
                                 .d = a.p,
                                 .dt_bias = a.p,
                                 .dt_max = 9};
        bench_op(isa, "scan 4096 channels x 16", &op, 4096 * 16,
                 &op.u.scan.state, n_row);
        op.u.scan.by_channel = false;
        op.u.scan.n_head = 64;
        op.u.scan.d_head = 64;
        op.u.scan.d_state = 128;
        bench_op(isa, "scan 64 heads x 64 x 128", &op, 4096 * 128,
                 &op.u.scan.state, n_row);
        op = (qn_op){.kind = QN_OP_DELTA};
        op.u.delta = (qn_op_delta){.n_head = 32,
                                   .n_group = 16,
                                   .d_k = 128,
                                   .d_v = 128,
                                   .q = x.p,
                                   .k = x.p,
                                   .v = x.p,
                                   .dt = x.p,
                                   .beta = x.p,
                                   .y = y.p,
                                   .ldq = W,
                                   .ldk = W,
                                   .ldv = W,
                                   .lddt = W,
                                   .ldbeta = W,
                                   .ldy = W,
                                   .a = a.p,
                                   .dt_bias = a.p};
        bench_op(isa, "delta 32 heads x 128 x 128", &op, 32 * 128 * 128,
                 &op.u.delta.state, n_row);
    }
    mat_free(&x);
    mat_free(&y);
    mat_free(&a);
    mat_free(&w);
}

#define EACH(name)                        \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        each_isa(name);                   \
    }
EACH(convs)
EACH(scans)
EACH(deltas)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convs),
        cmocka_unit_test(test_scans),
        cmocka_unit_test(test_deltas),
    };

    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        each_isa(bench);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
