/* bench_attn.c - speed of the attention op.
 *
 * Decoding: layers with pages of their own, together more than caches hold, as
 * in a model; GB/s of keys and values, beside the probed bandwidth. One layer
 * of few positions stays in the caches: what arithmetic alone allows. Prompts:
 * GFLOP/s. The best of some repeats. BENCH_THREADS=1 measures the time that the
 * thread ran, which others' load disturbs less. Arguments name types of cells;
 * without any, all.
 */
#include "backend/ops.h"

enum {
    REPEATS = 7,
    MAX_LAYERS = 16
};

typedef struct bench_shape {
    int n_head, n_kv, d;
} bench_shape;

typedef struct bench_kv {
    qn_kv *kv[MAX_LAYERS];
    int n_layer, n_pages;
    int32_t *pages;
    uint64_t bytes; /* of a page */
} bench_kv;

/* Pages full of what one pass appends. */
static bench_kv bench_kv_new(qn_backend *be, const bench_shape *sh,
                             qn_kv_dtype t, int depth, int n_layer)
{
    bench_kv b = {.n_layer = n_layer, .n_pages = depth / 64 + 1};
    qn_kv_desc d = {sh->n_kv, sh->d, sh->d, t, b.n_pages};
    mat k = mat_new(64, sh->n_kv * sh->d, 0, 0, 1);
    mat v = mat_new(64, sh->n_kv * sh->d, 0, 0, 1);
    qn_err err;

    b.pages = calloc((size_t)b.n_pages, sizeof *b.pages);
    for (int i = 0; i < b.n_pages; i++)
        b.pages[i] = i;
    for (int l = 0; l < n_layer; l++) {
        if (be->api->kv_new(be, &d, &b.kv[l], &err) < 0)
            fail_msg("%s", err.msg);
        qn_span span = {.n_row = 64, .pages = {b.pages}};
        qn_batch batch = {.n_row = 64, .n_span = 1, .spans = &span};
        qn_op op = {.kind = QN_OP_KV_APPEND};
        op.u.kv_append = (qn_op_kv_append){.kv = b.kv[l],
                                           .batch = &batch,
                                           .k = k.p,
                                           .v = v.p,
                                           .ldk = k.ld,
                                           .ldv = v.ld};
        exec_ops(be, &op, 1);
        for (int i = 1; i < b.n_pages; i++)
            be->api->kv_copy_page(be, b.kv[l], i, 0);
    }
    b.bytes = be->api->kv_page_bytes(b.kv[0]);
    mat_free(&k);
    mat_free(&v);
    return b;
}

static const char *const bench_names[] = {"f32", "f16", "bf16", "int8"};

static void bench_at(qn_backend *be, const bench_shape *sh, qn_kv_dtype t,
                     int depth, int n_row, int n_layer, qn_probe *probe)
{
    bench_kv b = bench_kv_new(be, sh, t, depth, n_layer);
    mat q = mat_new(n_row, sh->n_head * sh->d, 0, 0, 3), out = mat_copy(&q);
    qn_span span = {.n_row = n_row, .pos0 = depth - n_row, .pages = {b.pages}};
    qn_batch batch = {.n_row = n_row, .n_span = 1, .spans = &span};
    qn_op ops[MAX_LAYERS];
    double best = 1e9, read = 0, seen = (depth - n_row / 2.0) * n_row * n_layer;

    for (int l = 0; l < n_layer; l++) {
        ops[l] = (qn_op){.kind = QN_OP_ATTN};
        ops[l].u.attn = (qn_op_attn){.kv = b.kv[l],
                                     .batch = &batch,
                                     .q = q.p,
                                     .out = out.p,
                                     .ldq = q.ld,
                                     .ldo = out.ld,
                                     .n_head = sh->n_head,
                                     .scale = 0.125f};
    }
    for (int r = 0; r < REPEATS; r++) {
        read = fmax(read, n_row == 1 ? qn_probe_read(probe) : 0);
        double t0 = qn_probe_now(probe);
        exec_ops(be, ops, n_layer);
        best = fmin(best, qn_probe_now(probe) - t0);
    }
    printf("attention %-4s heads %2d/%d x %3d depth %5d rows %3d layers %2d  "
           "%8.3f ms  %6.1f GB/s (probe %5.1f)  %6.1f GFLOP/s\n",
           bench_names[t], sh->n_head, sh->n_kv, sh->d, depth, n_row, n_layer,
           best * 1e3 / n_layer,
           (double)b.bytes / 64 * depth * n_layer / best * 1e-9, read * 1e-9,
           4.0 * sh->n_head * sh->d * seen / best * 1e-9);
    fflush(stdout);
    for (int l = 0; l < n_layer; l++)
        be->api->kv_free(be, b.kv[l]);
    free(b.pages);
    mat_free(&q);
    mat_free(&out);
}

static bool is_asked(const char *name, int argc, char **argv)
{
    int i = 0;

    while (i < argc && strcmp(name, argv[i]))
        i++;
    return argc == 0 || i < argc;
}

void bench_attn(int argc, char **argv)
{
    static const bench_shape shapes[] = {
        {32, 8, 64}, {8, 8, 64}, {64, 8, 64}, {32, 8, 128}};
    qn_probe *probe;
    qn_backend *be = open_bench(&probe);

    for (int t = 0; t < QN_KV_CELLS; t++) {
        qn_kv_dtype c = (qn_kv_dtype)t;
        if (!is_asked(bench_names[t], argc, argv))
            continue;
        for (size_t i = 0; i < QN_COUNTOF(shapes); i++) {
            bench_at(be, &shapes[i], c, 512, 1, 1, probe);
            bench_at(be, &shapes[i], c, 2048, 1, 16, probe);
            bench_at(be, &shapes[i], c, 8192, 1, 8, probe);
        }
        bench_at(be, &shapes[0], c, 512, 512, 1, probe);
        bench_at(be, &shapes[0], c, 2048, 512, 1, probe);
    }
    qn_probe_free(probe);
    qn_backend_close(be);
}
