/* bench_linear.c - speed of the linear op at the shapes of Llama-3.2-1B.
 *
 * Few rows: every op of a list has weights of its own, together far more than
 * the caches hold, as in a model; the bound is the probed read bandwidth.
 * Many rows: the bound is the probed peak of the format's instruction. Each
 * figure is measured several times with a probe before each; the median of
 * the fractions and the best are printed. BENCH_THREADS=1 measures the time
 * that the thread ran, which others' load disturbs less. Arguments name weight
 * types, shapes (8192x2048) and numbers of rows; without any of a sort, all.
 *
 * bf16 comes first, and the last figure of a line is how many times its weights a
 * second the type reads: below 1 where packing them does not pay.
 */
#include "backend/ops.h"

#include "base/ranks.h"

enum {
    REPEATS = 7,
    MAX_COPY = 64
};

/* What is measured: a type of files, or codes in groups. */
typedef struct bench_type {
    const char *name;
    qn_dtype t;
    qn_probe_kind kind;
    qn_weight_codes codes; /* group 0: of type t */
} bench_type;

static qn_weight_desc desc_of(const bench_type *b, int64_t n_out, int64_t n_in)
{
    return (qn_weight_desc){.n_out = n_out,
                            .n_in = n_in,
                            .dtype = b->t,
                            .codes = b->codes.group ? &b->codes : NULL};
}

/* Random codes; 16 rows of them repeated. Of FP8 normal numbers, as nearly all
 * weights are in groups: some processors take long for others. */
static void put_codes(qn_backend *be, qn_weight *w, const qn_weight_codes *c,
                      int64_t n_out, int64_t n_in)
{
    bool f8 = c->kind == QN_CODE_FP8;
    size_t n = (size_t)(16 * n_in), n_group = n / (size_t)c->group + 16;
    bool four = c->kind == QN_CODE_BOOK4 || c->kind == QN_CODE_INT4;
    qn_qrows rows = {malloc(n), malloc(n_group * sizeof(float)),
                     malloc(n_group * sizeof(float))};

    for (size_t i = 0; i < n; i++)
        rows.codes[i] = (uint8_t)(four ? rnd_int(16)
                                  : f8 ? 8 + rnd_int(112)
                                       : rnd_int(120));
    for (size_t i = 0; i < n_group; i++) {
        rows.scales[i] = rnd();
        rows.zeros[i] = four ? 8 : 128;
    }
    for (int64_t r = 0; r < n_out; r += 16)
        be->api->weight_put(w, r, QN_MIN(16, n_out - r), &rows);
    free(rows.codes);
    free(rows.scales);
    free(rows.zeros);
}

/* A weight of some 16 rows repeated; the values do not matter. */
static qn_weight *weight(qn_backend *be, const bench_type *b, int64_t n_out,
                         int64_t n_in)
{
    const qn_dtype_row *row = qn_dtype_get(b->t);
    int64_t n = 16 * n_in, bytes = n / row->block_elems * row->block_bytes;
    float *v = malloc((size_t)n * sizeof *v);
    uint8_t *file = malloc((size_t)bytes);
    qn_weight_desc d = desc_of(b, n_out, n_in);
    qn_weight *w;
    qn_err err;

    for (int64_t i = 0; i < n; i++)
        v[i] = rnd();
    if (be->api->weight_new(be, &d, &w, &err) < 0)
        fail_msg("%s", err.msg);
    if (b->codes.group) {
        put_codes(be, w, &b->codes, n_out, n_in);
    } else {
        row->encode(v, file, (size_t)n);
        for (int64_t r = 0; r < n_out; r += 16)
            be->api->weight_put(w, r, QN_MIN(16, n_out - r), file);
    }
    free(v);
    free(file);
    return w;
}

/* `base`: GFLOP/s of bf16, which sets it. */
static void bench_case(qn_backend *be, const bench_type *type, int n_out,
                       int n_in, int n_row, qn_probe *probe, double *base)
{
    qn_probe_kind kind = qn_probe_bound(probe, type->kind);
    qn_weight_desc d = desc_of(type, n_out, n_in);
    double bytes = (double)be->api->weight_bytes(be, &d);
    double flops = 2.0 * n_out * n_in * n_row, f[REPEATS], s[REPEATS], bound;
    int n_copy = (int)QN_MIN(MAX_COPY, 1 + 3e8 / bytes);
    bool few = n_row <= 32;
    qn_weight *w[MAX_COPY];
    qn_op ops[MAX_COPY];
    mat x = mat_new(n_row, n_in, 0, 0, 1), y = mat_new(n_row, n_out, 0, 0, 0);

    if (!few) /* about a second of work */
        n_copy = (int)QN_MIN(n_copy, 1 + 1e11 / flops);
    for (int i = 0; i < n_copy; i++) {
        w[i] = weight(be, type, n_out, n_in);
        ops[i] = (qn_op){.kind = QN_OP_LINEAR};
        ops[i].u.linear = (qn_op_linear){
            .x = x.p, .ldx = x.ld, .n_row = n_row, .n_part = 1, .scale = 1};
        ops[i].u.linear.part[0].w = w[i];
        ops[i].u.linear.part[0].y = y.p;
        ops[i].u.linear.part[0].ldy = y.ld;
    }
    for (int r = 0; r < REPEATS; r++) {
        double b0 = few ? qn_probe_read(probe) : qn_probe_peak(probe, kind);
        double t, b1;
        exec_ops(be, ops, 1);
        t = qn_probe_now(probe);
        exec_ops(be, ops, n_copy);
        t = (qn_probe_now(probe) - t) / n_copy;
        b1 = few ? qn_probe_read(probe) : qn_probe_peak(probe, kind);
        bound = fmax(b0, b1);
        s[r] = (few ? bytes : flops) / t;
        f[r] = bound > 0 ? s[r] / bound : 0;
    }
    qn_sort_doubles(s, REPEATS);
    qn_sort_doubles(f, REPEATS);
    double rate = s[REPEATS / 2] * 1e-9 / (few ? bytes : flops) * flops;
    if (type->t == QN_BF16)
        *base = rate;
    printf("%-7s %-8s %6d x %-5d rows %4d  %7.1f %s (best %7.1f)  "
           "%3.0f %% (best %3.0f %%) of the %s, %.0f GFLOP/s",
           "linear", type->name, n_out, n_in, n_row, s[REPEATS / 2] * 1e-9,
           few ? "GB/s  " : "GFLOP/s", s[REPEATS - 1] * 1e-9,
           100 * f[REPEATS / 2], 100 * f[REPEATS - 1],
           few ? "read probe" : "dot product probe", rate);
    if (*base > 0)
        printf(", %.2f times bf16", rate / *base);
    printf("\n");
    fflush(stdout);
    for (int i = 0; i < n_copy; i++)
        be->api->weight_free(be, w[i]);
    mat_free(&x);
    mat_free(&y);
}

/* Is a name among the arguments, or no argument of its sort there? */
static bool wanted(int argc, char **argv, const char *name, int sort)
{
    bool none = true;

    for (int i = 0; i < argc; i++) {
        bool digits = argv[i][0] >= '1' && argv[i][0] <= '9';
        int of = !digits ? 0 : strchr(argv[i], 'x') ? 1 : 2;
        if (of != sort)
            continue;
        if (!strcmp(argv[i], name))
            return true;
        none = false;
    }
    return none;
}

void bench_linear(int argc, char **argv)
{
    static const int rows[] = {1, 2, 4, 8, 16, 32, 64, 512};
    static const int shapes[][2] = {
        {2048, 2048}, {8192, 2048}, {2048, 8192}, {128256, 2048}};
    static const bench_type types[] = {
        {"bf16", QN_BF16, QN_PROBE_BF16, {0}},
        {"q8_0", QN_Q8_0, QN_PROBE_I8, {0}},
        {"q4_0", QN_Q4_0, QN_PROBE_I8, {0}},
        {"q4_k", QN_Q4_K, QN_PROBE_I8, {0}},
        {"q5_k", QN_Q5_K, QN_PROBE_I8, {0}},
        {"q6_k", QN_Q6_K, QN_PROBE_I8, {0}},
        {"f16", QN_F16, QN_PROBE_F32, {0}},
        {"f32", QN_F32, QN_PROBE_F32, {0}},
        {"cb4-64",
         QN_F32,
         QN_PROBE_I8,
         {QN_CODE_BOOK4, 64, QN_F32, {0, 1}, NULL}},
        {"cb4-32",
         QN_F32,
         QN_PROBE_I8,
         {QN_CODE_BOOK4, 32, QN_F32, {0, 1}, NULL}},
        {"a4-128", QN_F32, QN_PROBE_I8, {QN_CODE_INT4, 128, QN_F32, {0}, NULL}},
        {"a8-128", QN_F32, QN_PROBE_I8, {QN_CODE_INT8, 128, QN_F32, {0}, NULL}},
        {"f8-128", QN_F32, QN_PROBE_F32, {QN_CODE_FP8, 128, QN_F32, {0}, NULL}},
    };
    double base[QN_COUNTOF(shapes)][QN_COUNTOF(rows)] = {{0}};
    int n_done = 0;
    qn_probe *probe;
    qn_backend *be = open_bench(&probe);

    printf("threads %d  read %.1f GB/s  f32 %.0f  bf16 %.0f  int8 %.0f G/s\n",
           be->api->n_threads(be), qn_probe_read(probe) * 1e-9,
           qn_probe_peak(probe, QN_PROBE_F32) * 1e-9,
           qn_probe_peak(probe, QN_PROBE_BF16) * 1e-9,
           qn_probe_peak(probe, QN_PROBE_I8) * 1e-9);
    for (size_t t = 0; t < QN_COUNTOF(types); t++)
        for (size_t s = 0; s < QN_COUNTOF(shapes); s++)
            for (size_t r = 0; r < QN_COUNTOF(rows); r++) {
                char shape[32], row[16];
                snprintf(shape, sizeof shape, "%dx%d", shapes[s][0],
                         shapes[s][1]);
                snprintf(row, sizeof row, "%d", rows[r]);
                if (wanted(argc, argv, types[t].name, 0) &&
                    wanted(argc, argv, shape, 1) &&
                    wanted(argc, argv, row, 2)) {
                    bench_case(be, &types[t], shapes[s][0], shapes[s][1],
                               rows[r], probe, &base[s][r]);
                    n_done++;
                }
            }
    if (!n_done) {
        printf("nothing has these names; there are");
        for (size_t t = 0; t < QN_COUNTOF(types); t++)
            printf(" %s", types[t].name);
        for (size_t s = 0; s < QN_COUNTOF(shapes); s++)
            printf(" %dx%d", shapes[s][0], shapes[s][1]);
        for (size_t r = 0; r < QN_COUNTOF(rows); r++)
            printf(" %d", rows[r]);
        printf("\n");
    }
    qn_probe_free(probe);
    qn_backend_close(be);
}
