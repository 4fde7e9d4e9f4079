/* kv.c - pages of keys and values. The layout is drawn at struct qn_kv.
 *
 * Invariants
 *  1. A cell is written once, when its position is appended, and read only
 *     for positions up to the query's own: what lies beyond is never read
 *     into a sum.
 *  2. Elements beyond d_v in the last value panel are zero (fresh memory).
 */
#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"

static void shape(const qn_kv_desc *d, qn_kv *kv)
{
    static const qn_layout k_layouts[] = {
        [QN_KV_CELL_F32] = QN_LAYOUT_F32,
        [QN_KV_CELL_F16] = QN_LAYOUT_F16,
        [QN_KV_CELL_BF16] = QN_LAYOUT_BF16,
    };

    kv->desc = *d;
    kv->k_layout = k_layouts[d->dtype];
    kv->v_layout = d->dtype == QN_KV_CELL_BF16 ? QN_LAYOUT_BF16K : kv->k_layout;
    kv->k_panel = qn_panel_bytes(kv->k_layout, d->d_k);
    kv->v_panel = qn_panel_bytes(kv->v_layout, QN_PAGE);
    kv->head_v = kv->k_panel * (QN_PAGE / QN_PANEL);
    kv->head_bytes = kv->head_v +
                     kv->v_panel * ((d->d_v + QN_PANEL - 1) / QN_PANEL);
    kv->page_bytes = kv->head_bytes * d->n_kv;
}

uint64_t qn_cpu_kv_bytes(const qn_backend *be, const qn_kv_desc *d)
{
    qn_kv kv;
    uint64_t n;

    (void)be;
    shape(d, &kv);
    if (!qn_mul_u64((uint64_t)kv.page_bytes, (uint64_t)d->n_pages, &n))
        return UINT64_MAX;
    return n;
}

int qn_cpu_kv_new(qn_backend *be, const qn_kv_desc *d, qn_kv **out, qn_err *err)
{
    uint64_t n = qn_cpu_kv_bytes(be, d);
    void *data;
    qn_kv *kv;

    if (n > SIZE_MAX / 2)
        return qn_fail(err, QN_ENOMEM, "%d KV pages do not fit", d->n_pages);
    QN_TRY(qn_big_alloc(&data, n, QN_MEM_KV, err));
    kv = qn_xcalloc(1, sizeof *kv);
    shape(d, kv);
    kv->n_bytes = n;
    kv->data = data;
    *out = kv;
    return QN_OK;
}

void qn_cpu_kv_free(qn_backend *be, qn_kv *kv)
{
    (void)be;
    if (!kv)
        return;
    qn_big_free(kv->data, kv->n_bytes, QN_MEM_KV);
    qn_free(kv);
}

void qn_cpu_kv_copy_page(qn_backend *be, qn_kv *kv, int32_t dst, int32_t src)
{
    (void)be;
    if (dst != src)
        memcpy(kv->data + dst * kv->page_bytes, kv->data + src * kv->page_bytes,
               (size_t)kv->page_bytes);
}

uint64_t qn_cpu_kv_page_bytes(const qn_kv *kv)
{
    return (uint64_t)kv->page_bytes;
}

void qn_cpu_kv_read_page(qn_backend *be, const qn_kv *kv, int32_t page,
                         void *host)
{
    (void)be;
    memcpy(host, kv->data + page * kv->page_bytes, (size_t)kv->page_bytes);
}

void qn_cpu_kv_write_page(qn_backend *be, qn_kv *kv, int32_t page,
                          const void *host)
{
    (void)be;
    memcpy(kv->data + page * kv->page_bytes, host, (size_t)kv->page_bytes);
}

/* Elements k of one key go to dst[k * 16] (pairs: dst[k / 2 * 32 + k % 2]). */
static void put_key(const qn_kv *kv, uint8_t *panel, int lane, const float *k)
{
    int d = kv->desc.d_k;
    uint16_t *h = (uint16_t *)(void *)panel;
    float *f = (float *)(void *)panel;

    switch (kv->desc.dtype) {
    case QN_KV_CELL_F32:
        for (int i = 0; i < d; i++)
            f[i * QN_PANEL + lane] = k[i];
        break;
    case QN_KV_CELL_F16:
        for (int i = 0; i < d; i++)
            h[i * QN_PANEL + lane] = qn_f16_of_f32(k[i]);
        break;
    case QN_KV_CELL_BF16:
        for (int i = 0; i < d; i++)
            h[(i / 2 * QN_PANEL + lane) * 2 + i % 2] = qn_bf16_of_f32(k[i]);
        break;
    }
}

static void put_value(const qn_kv *kv, uint8_t *v0, int pos, const float *v)
{
    for (int i = 0; i < kv->desc.d_v; i++) {
        uint8_t *panel = v0 + i / QN_PANEL * kv->v_panel;
        int at = pos * QN_PANEL + i % QN_PANEL;
        uint16_t *h = (uint16_t *)(void *)panel;
        switch (kv->desc.dtype) {
        case QN_KV_CELL_F32: ((float *)(void *)panel)[at] = v[i]; break;
        case QN_KV_CELL_F16: h[at] = qn_f16_of_f32(v[i]); break;
        case QN_KV_CELL_BF16: h[at] = qn_bf16_of_f32(v[i]); break;
        }
    }
}

/* Threads share out (row, head) pairs: each cell has one writer. */
void qn_op_kv_append_run(const qn_op_kv_append *op, qn_worker *w)
{
    const qn_kv *kv = op->kv;
    const qn_batch *b = op->batch;
    int64_t begin, end;
    int n_kv = kv->desc.n_kv, s = 0;

    qn_pool_split((int64_t)b->n_row * n_kv, 1, w->thread, w->n_threads, &begin,
                  &end);
    for (int64_t i = begin; i < end; i++) {
        int row = (int)(i / n_kv), head = (int)(i % n_kv);
        while (row >= b->spans[s].row0 + b->spans[s].n_row)
            s++;
        int64_t pos = b->spans[s].pos0 + row - b->spans[s].row0;
        int32_t page = b->spans[s].pages[op->group][pos / QN_PAGE];
        int at = (int)(pos % QN_PAGE);
        uint8_t *cells = kv->data + page * kv->page_bytes +
                         head * kv->head_bytes;
        put_key(kv, cells + at / QN_PANEL * kv->k_panel, at % QN_PANEL,
                op->k + row * op->ldk + (int64_t)head * kv->desc.d_k);
        put_value(kv, cells + kv->head_v, at,
                  op->v + row * op->ldv + (int64_t)head * kv->desc.d_v);
    }
}
