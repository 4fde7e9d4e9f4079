/* backend.c - the CPU backend's table: threads, kernels, buffers. */
#include "backend/cpu/cpu_int.h"

static qn_cpu_backend *self(qn_backend *be)
{
    return QN_CONTAINER_OF(be, qn_cpu_backend, base);
}

static const qn_cpu_backend *cself(const qn_backend *be)
{
    return (const qn_cpu_backend *)(const void *)be;
}

static int cpu_open(qn_backend **out, const qn_backend_params *p, qn_err *err)
{
    const qn_cpu *cpu = qn_cpu_get();
    qn_cpu_backend *be = qn_xcalloc(1, sizeof *be);
    int rc;

    be->base.api = &qn_cpu_backend_api;
    be->exact = p->exact;
    be->isa = QN_MIN(p->isa, cpu->isa);
    be->l2 = cpu->l2 ? (int64_t)cpu->l2 : 512 << 10;
    qn_kernels_init(&be->kern, be->isa);
    rc = qn_pool_new(&be->pool, p->n_threads, err);
    if (rc < 0) {
        qn_free(be);
        return rc;
    }
    be->n_threads = qn_pool_n_threads(be->pool);
    pthread_mutex_init(&be->turn, NULL);
    *out = &be->base;
    return QN_OK;
}

static void cpu_close(qn_backend *base)
{
    qn_cpu_backend *be = self(base);

    qn_pool_free(be->pool);
    pthread_mutex_destroy(&be->turn);
    qn_big_free(be->ws, be->ws_bytes, QN_MEM_WORKSPACE);
    qn_big_free(be->begun, qn_cpu_begun_bytes(be, be->n_begun),
                QN_MEM_WORKSPACE);
    qn_free(be);
}

static int cpu_n_threads(const qn_backend *be)
{
    return cself(be)->n_threads;
}

static int cpu_row_tile(const qn_backend *be)
{
    return cself(be)->exact ? 1 : cself(be)->kern.row_tile;
}

static void cpu_describe(const qn_backend *be, qn_str *json)
{
    qn_kernels_describe(&cself(be)->kern, cself(be)->exact, json);
}

static int cpu_buf_new(qn_backend *be, uint64_t n_bytes, qn_purpose purpose,
                       void **out, qn_err *err)
{
    (void)be;
    if (n_bytes > SIZE_MAX / 2)
        return qn_fail(err, QN_ENOMEM, "a buffer of %llu bytes does not fit",
                       (unsigned long long)n_bytes);
    return qn_big_alloc(out, n_bytes, purpose, err);
}

static void cpu_buf_free(qn_backend *be, void *p, uint64_t n_bytes,
                         qn_purpose purpose)
{
    (void)be;
    qn_big_free(p, n_bytes, purpose);
}

static void cpu_write(qn_backend *be, void *dst, const void *host, uint64_t n)
{
    (void)be;
    if (n)
        memcpy(dst, host, n);
}

static void cpu_read(qn_backend *be, void *host, const void *src, uint64_t n)
{
    (void)be;
    if (n)
        memcpy(host, src, n);
}

static void cpu_copy(qn_backend *be, void *dst, const void *src, uint64_t n)
{
    (void)be;
    if (n)
        memcpy(dst, src, n);
}

static qn_pool *cpu_pool(qn_backend *be)
{
    return self(be)->pool;
}

static qn_kv_dtype cpu_kv_half(const qn_backend *be)
{
    return cself(be)->kern.kv_half;
}

const qn_backend_api qn_cpu_backend_api = {
    .abi = QN_BACKEND_ABI,
    .name = "cpu",
    .page_tokens = QN_PAGE,
    .open = cpu_open,
    .close = cpu_close,
    .n_threads = cpu_n_threads,
    .row_tile = cpu_row_tile,
    .describe = cpu_describe,
    .weight_supports = qn_cpu_weight_supports,
    .weight_bytes = qn_cpu_weight_bytes,
    .weight_new = qn_cpu_weight_new,
    .weight_put = qn_cpu_weight_put,
    .weight_free = qn_cpu_weight_free,
    .kv_half = cpu_kv_half,
    .kv_bytes = qn_cpu_kv_bytes,
    .kv_new = qn_cpu_kv_new,
    .kv_free = qn_cpu_kv_free,
    .kv_copy_page = qn_cpu_kv_copy_page,
    .kv_populate = qn_cpu_kv_populate,
    .kv_page_bytes = qn_cpu_kv_page_bytes,
    .kv_read_page = qn_cpu_kv_read_page,
    .kv_write_page = qn_cpu_kv_write_page,
    .buf_new = cpu_buf_new,
    .buf_free = cpu_buf_free,
    .write = cpu_write,
    .read = cpu_read,
    .copy = cpu_copy,
    .experts_scratch = qn_cpu_experts_scratch,
    .exec = qn_cpu_exec,
    .reserve = qn_cpu_reserve,
    .pool = cpu_pool,
    .host_memory = true,
};
