/* bench_attn.c - speed of the attention op, the shapes of Llama-3.2-1B.
 *
 * Decoding: layers with pages of their own, together more than caches hold, as
 * in a model; GB/s of keys and values. Prompts: GFLOP/s. The time is that of
 * the processor, of one thread, which others' load disturbs less; the best of
 * some repeats.
 */
#include "backend/ops.h"

#include <time.h>

enum {
    N_HEAD = 32,
    N_KV = 8,
    D = 64,
    REPEATS = 7,
    MAX_LAYERS = 16
};

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct bench_kv {
    qn_kv *kv[MAX_LAYERS];
    int n_layer, n_pages;
    int32_t *pages;
    uint64_t bytes; /* of a page */
} bench_kv;

/* Pages full of what one pass appends. */
static bench_kv bench_kv_new(qn_backend *be, qn_kv_dtype t, int depth,
                             int n_layer)
{
    bench_kv b = {.n_layer = n_layer, .n_pages = depth / 64 + 1};
    qn_kv_desc d = {N_KV, D, D, t, b.n_pages};
    mat k = mat_new(64, N_KV * D, 0, 0, 1), v = mat_new(64, N_KV * D, 0, 0, 1);
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

static void bench_at(qn_backend *be, qn_kv_dtype t, int depth, int n_row,
                     int n_layer)
{
    static const char *const names[] = {"f32", "f16", "bf16", "int8"};
    bench_kv b = bench_kv_new(be, t, depth, n_layer);
    mat q = mat_new(n_row, N_HEAD * D, 0, 0, 3), out = mat_copy(&q);
    qn_span span = {.n_row = n_row, .pos0 = depth - n_row, .pages = {b.pages}};
    qn_batch batch = {.n_row = n_row, .n_span = 1, .spans = &span};
    qn_op ops[MAX_LAYERS];
    double best = 1e9, seen = (depth - n_row / 2.0) * n_row * n_layer;

    for (int l = 0; l < n_layer; l++) {
        ops[l] = (qn_op){.kind = QN_OP_ATTN};
        ops[l].u.attn = (qn_op_attn){.kv = b.kv[l],
                                     .batch = &batch,
                                     .q = q.p,
                                     .out = out.p,
                                     .ldq = q.ld,
                                     .ldo = out.ld,
                                     .n_head = N_HEAD,
                                     .scale = 0.125f};
    }
    for (int r = 0; r < REPEATS; r++) {
        double t0 = cpu_now();
        exec_ops(be, ops, n_layer);
        best = fmin(best, cpu_now() - t0);
    }
    printf("attention %-4s depth %5d rows %3d  %8.3f ms  %6.1f GB/s  "
           "%6.1f GFLOP/s\n",
           names[t], depth, n_row, best * 1e3 / n_layer,
           (double)b.bytes / 64 * depth * n_layer / best * 1e-9,
           4.0 * N_HEAD * D * seen / best * 1e-9);
    fflush(stdout);
    for (int l = 0; l < n_layer; l++)
        be->api->kv_free(be, b.kv[l]);
    free(b.pages);
    mat_free(&q);
    mat_free(&out);
}

void bench_attn(int n_types)
{
    qn_backend *be = open_cpu(QN_ISA_N - 1, 1, false);

    for (int t = 0; t < n_types; t++) {
        bench_at(be, (qn_kv_dtype)t, 2048, 1, 16);
        bench_at(be, (qn_kv_dtype)t, 8192, 1, 8);
        bench_at(be, (qn_kv_dtype)t, 512, 512, 1);
        bench_at(be, (qn_kv_dtype)t, 2048, 512, 1);
    }
    qn_backend_close(be);
}
