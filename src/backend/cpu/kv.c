/* kv.c - pages of keys and values. The layout is drawn at struct qn_kv.
 *
 * Invariants
 *  1. A cell is written once, when its position is appended, and read only
 *     for positions up to the query's own: what lies beyond is never read
 *     into a sum.
 *  2. Elements beyond d_k and d_v are zero (fresh memory).
 *  3. Positions that a kernel reads together with one that was appended are
 *     finite if the network's own values are.
 */
#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>

static void shape(const qn_kv_desc *d, qn_kv *kv)
{
    int bytes = qn_cell_bytes(d->dtype);

    kv->desc = *d;
    kv->step = qn_cell_step(d->dtype);
    kv->v_col = (d->d_v + QN_PANEL - 1) / QN_PANEL * QN_PANEL;
    kv->k_row = (int64_t)QN_PAGE * bytes;
    kv->v_row = (int64_t)kv->v_col * bytes;
    kv->head_k = d->dtype == QN_KV_CELL_I8 ? 2 * QN_PAGE * sizeof(float) : 0;
    kv->head_v = kv->head_k + (d->d_k + kv->step - 1) / kv->step * kv->k_row;
    kv->head_bytes = kv->head_v + QN_PAGE / kv->step * kv->v_row;
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

void qn_cpu_kv_populate(qn_backend *be, qn_kv *kv, int32_t first, int32_t n)
{
    (void)be;
    qn_big_populate(kv->data + first * kv->page_bytes,
                    (size_t)(n * kv->page_bytes));
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

/* ---- writing ------------------------------------------------------------ */

/* The factor of x's codes, and what makes codes of them: d = absmax / 127.
 * What is not finite makes the factor NaN. */
static float factor_of(const float *x, int n, float *to_code)
{
    float top = 0;
    bool finite = true;

    for (int i = 0; i < n; i++) {
        finite = finite && fabsf(x[i]) <= FLT_MAX;
        top = QN_MAX(top, fabsf(x[i]));
    }
    *to_code = finite && top >= QN_QUADS_LEAST ? 127 / top : 0;
    return *to_code > 0 ? top / 127 : finite ? 0 : NAN;
}

/* 128 + round(y), |y| <= 127: of a sum in [2^23, 2^24) the last bit is 1. */
static uint8_t code_of(float y)
{
    return (uint8_t)(qn_bits_of_f32(y + (0x1.8p23f + 128)) & 255);
}

/* Weights of 0 may meet cells that come later, so no cell is infinite. */
static uint16_t f16_cell(float x)
{
    if (fabsf(x) > 65504 && fabsf(x) <= FLT_MAX)
        x = copysignf(65504, x);
    return qn_f16_of_f32(x);
}

/* Element i of what is stored goes to `at`, with k that of its step. */
QN_INLINE void put_cell(qn_kv_dtype t, uint8_t *at, int k, float x)
{
    uint16_t h;

    switch (t) {
    case QN_KV_CELL_F16:
        h = f16_cell(x);
        memcpy(at, &h, sizeof h);
        break;
    case QN_KV_CELL_BF16:
        h = qn_bf16_of_f32(x);
        memcpy(at + k * 2, &h, sizeof h);
        break;
    default: memcpy(at, &x, sizeof x); break;
    }
}

QN_INLINE void put_key(const qn_kv *kv, const qn_kv_dtype t, uint8_t *head,
                       int pos, const float *k)
{
    const int step = qn_cell_step(t);
    uint8_t *at = head + kv->head_k + pos * qn_cell_bytes(t);

    for (int i = 0; i < kv->desc.d_k; i++)
        put_cell(t, at + i / step * kv->k_row, i % step, k[i]);
}

/* last: no row of this step writes what follows. Where two positions are read
 * together, the second must be a number, though its weight is 0. */
QN_INLINE void put_value(const qn_kv *kv, const qn_kv_dtype t, uint8_t *head,
                         int pos, const float *v, bool last)
{
    const int step = qn_cell_step(t);
    uint8_t *at = head + kv->head_v + pos / step * kv->v_row;

    for (int i = 0; i < kv->desc.d_v; i++, at += qn_cell_bytes(t)) {
        put_cell(t, at, pos % step, v[i]);
        if (t == QN_KV_CELL_BF16 && last && pos % 2 == 0)
            put_cell(t, at, 1, 0);
    }
}

static void put_codes(const qn_kv *kv, uint8_t *head, int pos, const float *k,
                      const float *v)
{
    float *d = (float *)(void *)head, f;
    uint8_t *at = head + kv->head_k + 4 * pos;

    d[pos] = factor_of(k, kv->desc.d_k, &f);
    for (int i = 0; i < kv->desc.d_k; i++)
        at[i / 4 * kv->k_row + i % 4] = f > 0 ? code_of(k[i] * f) : 128;
    d[QN_PAGE + pos] = factor_of(v, kv->desc.d_v, &f);
    at = head + kv->head_v + pos / 4 * kv->v_row + pos % 4;
    for (int i = 0; i < kv->desc.d_v; i++)
        at[4 * i] = f > 0 ? code_of(v[i] * f) : 128;
}

/* Where a row's keys and values of a head go. */
typedef struct place {
    int row, head;
    uint8_t *cells;
    int at;    /* in the page                            */
    bool last; /* row of its span: what follows is empty */
} place;

/* s: the span of the row. What is written lies in as many lines as a key has
 * steps, which are asked for now. */
static place place_of(const qn_op_kv_append *op, const qn_span *s, int row,
                      int head)
{
    const qn_kv *kv = op->kv;
    int64_t pos = s->pos0 + row - s->row0;
    int32_t page = s->pages[op->group][pos / QN_PAGE];
    place p = {.row = row,
               .head = head,
               .cells = kv->data + page * kv->page_bytes +
                        head * kv->head_bytes,
               .at = (int)(pos % QN_PAGE),
               .last = row + 1 == s->row0 + s->n_row};
    const uint8_t *k = p.cells + kv->head_k +
                       p.at * qn_cell_bytes(kv->desc.dtype);
    const uint8_t *v = p.cells + kv->head_v + p.at / kv->step * kv->v_row;

    for (int i = 0; i < kv->desc.d_k; i += kv->step, k += kv->k_row)
        __builtin_prefetch(k, 1);
    for (int64_t i = 0; i < kv->v_row; i += 64)
        __builtin_prefetch(v + i, 1);
    return p;
}

static void append(const qn_op_kv_append *op, place p)
{
    const qn_kv *kv = op->kv;
    const float *k = op->k + p.row * op->ldk + (int64_t)p.head * kv->desc.d_k;
    const float *v = op->v + p.row * op->ldv + (int64_t)p.head * kv->desc.d_v;

    switch (kv->desc.dtype) {
    case QN_KV_CELL_F32:
        put_key(kv, QN_KV_CELL_F32, p.cells, p.at, k);
        put_value(kv, QN_KV_CELL_F32, p.cells, p.at, v, p.last);
        break;
    case QN_KV_CELL_F16:
        put_key(kv, QN_KV_CELL_F16, p.cells, p.at, k);
        put_value(kv, QN_KV_CELL_F16, p.cells, p.at, v, p.last);
        break;
    case QN_KV_CELL_BF16:
        put_key(kv, QN_KV_CELL_BF16, p.cells, p.at, k);
        put_value(kv, QN_KV_CELL_BF16, p.cells, p.at, v, p.last);
        break;
    default: put_codes(kv, p.cells, p.at, k, v); break;
    }
}

/* Threads share out (row, head) pairs: each cell has one writer. */
void qn_op_kv_append_run(const qn_op_kv_append *op, qn_worker *w)
{
    const qn_span *s = op->batch->spans;
    int n_kv = op->kv->desc.n_kv;
    int64_t begin, end;
    place now = {0}, next;

    qn_pool_split((int64_t)op->batch->n_row * n_kv, 1, w->thread, w->n_threads,
                  &begin, &end);
    for (int64_t i = begin; i < end; i++, now = next) {
        while (i / n_kv >= s->row0 + s->n_row)
            s++;
        next = place_of(op, s, (int)(i / n_kv), (int)(i % n_kv));
        if (i > begin) /* the one before, whose lines are on their way */
            append(op, now);
    }
    if (begin < end)
        append(op, now);
}

void qn_op_kv_append_head(const qn_op_kv_append *op, int head)
{
    for (int s = 0; s < op->batch->n_span; s++) {
        const qn_span *span = &op->batch->spans[s];
        for (int r = 0; r < span->n_row; r++)
            append(op, place_of(op, span, span->row0 + r, head));
    }
}
