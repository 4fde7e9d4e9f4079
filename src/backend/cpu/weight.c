/* weight.c - matrices in panels of 16 rows.
 *
 * A panel interleaves 16 output rows, so that one vector register holds the
 * same k of 16 rows and each lane sums up one output. Rows beyond n_out are
 * zero. Whole panels are packed by a kernel; rows that arrive in pieces are
 * put in place one by one.
 */
#include "backend/cpu/cpu_int.h"
#include "tensor/block_codes.h"
#include "tensor/half.h"

/* The layout of a type of files, and what is to be known of it if it is one of
 * codes. */
static bool layout_of(const qn_backend *be, qn_dtype t, qn_layout *l,
                      qn_scaled *q)
{
    const qn_cpu_backend *cpu = (const qn_cpu_backend *)(const void *)be;
    const qn_block_codes *c = qn_block_codes_get(t);

    if (c) {
        const qn_kernels *k = &cpu->kern;
        bool six = t == QN_Q6_K && !cpu->exact && k->linear[QN_LAYOUT_A6].fn;
        bool mins = !cpu->exact && k->coded[QN_LAYOUT_K4][1].fn;
        *l = six                    ? QN_LAYOUT_A6
             : mins && t == QN_Q4_K ? QN_LAYOUT_K4
             : mins && t == QN_Q5_K ? QN_LAYOUT_K5
             : c->book              ? QN_LAYOUT_CB4
             : c->offsets   ? (c->bits == 4 ? QN_LAYOUT_M4 : QN_LAYOUT_M8)
             : c->bits == 4 ? QN_LAYOUT_A4
                            : QN_LAYOUT_A8;
        qn_scaled_make(q, *l, c->group, QN_F32, c->book);
        return true;
    }
    switch (t) {
    case QN_F32: *l = QN_LAYOUT_F32; return true;
    case QN_F16: *l = QN_LAYOUT_F16; return true;
    case QN_BF16: *l = QN_LAYOUT_BF16; return true;
    case QN_Q8_0: *l = QN_LAYOUT_Q8_0; return true;
    case QN_Q4_0: *l = QN_LAYOUT_Q4_0; return true;
    default: return false;
    }
}

static int64_t desc_panel_bytes(const qn_backend *be, const qn_weight_desc *d)
{
    qn_scaled q;
    qn_layout l;

    if (d->codes)
        l = qn_scaled_init(&q, d->codes);
    else
        layout_of(be, d->dtype, &l, &q);
    return l >= QN_LAYOUT_CB4 ? qn_scaled_panel_bytes(&q, d->n_in)
                              : qn_panel_bytes(l, d->n_in);
}

int64_t qn_weight_offset(const qn_weight *w, int64_t k)
{
    return w->layout >= QN_LAYOUT_CB4 ? k / w->scaled.group * w->scaled.bytes
                                      : qn_panel_offset(w->layout, k);
}

bool qn_cpu_weight_supports(const qn_backend *be, qn_dtype dtype)
{
    qn_scaled q;
    qn_layout l;

    return layout_of(be, dtype, &l, &q);
}

static uint64_t order_bytes(const qn_weight_desc *d)
{
    return (uint64_t)d->n_in * sizeof(int32_t);
}

/* Where it is, behind panels of n bytes. */
static uint64_t order_at(uint64_t n)
{
    return qn_round64(n);
}

/* Bytes, or UINT64_MAX when they cannot be counted. */
uint64_t qn_cpu_weight_bytes(const qn_backend *be, const qn_weight_desc *d)
{
    qn_scaled q;
    qn_layout l;
    uint64_t n;

    if ((!d->codes && !layout_of(be, d->dtype, &l, &q)) || d->n_out < 1 ||
        d->n_in < 1 || d->n_out > INT64_MAX / 64 || d->n_in > INT32_MAX)
        return UINT64_MAX;
    if (!qn_mul_u64((uint64_t)(d->n_out + QN_PANEL - 1) / QN_PANEL,
                    (uint64_t)desc_panel_bytes(be, d), &n) ||
        n > SIZE_MAX / 2)
        return UINT64_MAX;
    return d->codes && d->codes->order ? order_at(n) + order_bytes(d) : n;
}

static qn_weight *weight_alloc(qn_backend *be, const qn_weight_desc *d,
                               uint64_t n, void *data)
{
    qn_weight *w = qn_xcalloc(1, sizeof *w);

    w->kern = &((qn_cpu_backend *)(void *)be)->kern;
    w->dtype = d->dtype;
    w->n_out = d->n_out;
    w->n_in = d->n_in;
    w->n_panel = (d->n_out + QN_PANEL - 1) / QN_PANEL;
    w->panel_bytes = desc_panel_bytes(be, d);
    w->n_bytes = n;
    w->data = data;
    return w;
}

static int coded_new(qn_backend *be, const qn_weight_desc *d, qn_weight **out,
                     qn_err *err)
{
    uint64_t n = qn_cpu_weight_bytes(be, d);
    void *data;

    if (n > SIZE_MAX / 2 || d->n_in % 8)
        return qn_fail(err, QN_EINVAL, "coded weight [%lld, %lld]",
                       (long long)d->n_out, (long long)d->n_in);
    QN_TRY(qn_big_alloc(&data, n, QN_MEM_WEIGHTS, err));
    *out = weight_alloc(be, d, n, data);
    (*out)->layout = qn_scaled_init(&(*out)->scaled, d->codes);
    if (d->codes->order) {
        uint8_t *at = (uint8_t *)data + n - order_bytes(d);
        memcpy(at, d->codes->order, order_bytes(d));
        (*out)->order = (const int32_t *)(const void *)at;
    }
    return QN_OK;
}

int qn_cpu_weight_new(qn_backend *be, const qn_weight_desc *d, qn_weight **out,
                      qn_err *err)
{
    uint64_t n = qn_cpu_weight_bytes(be, d);
    qn_scaled q = {0};
    qn_layout layout;
    qn_weight *w;
    void *data;

    if (d->n_out < 1 || d->n_in < 1)
        return qn_fail(err, QN_EINVAL, "weight [%lld, %lld] has no elements",
                       (long long)d->n_out, (long long)d->n_in);
    if (d->codes)
        return coded_new(be, d, out, err);
    if (!layout_of(be, d->dtype, &layout, &q))
        return qn_fail(err, QN_EUNSUP,
                       "weights of type %s: decode them to f32 first",
                       qn_dtype_get(d->dtype)->name);
    if (d->n_in % qn_dtype_get(d->dtype)->block_elems)
        return qn_fail(err, QN_EFORMAT,
                       "weight [%lld, %lld] of type %s: rows must be a multiple"
                       " of %d elements",
                       (long long)d->n_out, (long long)d->n_in,
                       qn_dtype_get(d->dtype)->name,
                       qn_dtype_get(d->dtype)->block_elems);
    if (n > SIZE_MAX / 2)
        return qn_fail(err, QN_ENOMEM, "weight [%lld, %lld] does not fit",
                       (long long)d->n_out, (long long)d->n_in);
    QN_TRY(qn_big_alloc(&data, n, QN_MEM_WEIGHTS, err));
    if (d->sparse)
        qn_big_sparse(data, n);

    w = weight_alloc(be, d, n, data);
    w->layout = layout;
    w->scaled = q;
    w->file_row_bytes = d->n_in / qn_dtype_get(d->dtype)->block_elems *
                        qn_dtype_get(d->dtype)->block_bytes;
    *out = w;
    return QN_OK;
}

void qn_cpu_weight_free(qn_backend *be, qn_weight *w)
{
    (void)be;
    if (!w)
        return;
    qn_big_free(w->data, w->n_bytes, QN_MEM_WEIGHTS);
    qn_free(w);
}

/* One row into its lane. */
static void put_row(qn_weight *w, int64_t row, const uint8_t *src)
{
    uint8_t *p = w->data + row / QN_PANEL * w->panel_bytes;
    int64_t lane = row % QN_PANEL;

    switch (w->layout) {
    case QN_LAYOUT_F32:
        for (int64_t k = 0; k < w->n_in; k++)
            memcpy(p + (k * QN_PANEL + lane) * 4, src + k * 4, 4);
        break;
    case QN_LAYOUT_F16:
        for (int64_t k = 0; k < w->n_in; k++)
            memcpy(p + (k * QN_PANEL + lane) * 2, src + k * 2, 2);
        break;
    case QN_LAYOUT_BF16:
        for (int64_t k = 0; k < w->n_in; k++)
            memcpy(p + (k / 2 * QN_PANEL + lane) * 4 + k % 2 * 2, src + k * 2,
                   2);
        break;
    case QN_LAYOUT_Q8_0:
        for (int64_t b = 0; b < w->n_in / QN_QBLOCK; b++, p += 544, src += 34) {
            memcpy(p + lane * 2, src, 2);
            for (int j = 0; j < QN_QBLOCK; j++)
                p[32 + (j / 4 * QN_PANEL + lane) * 4 + j % 4] = src[2 + j] ^
                                                                0x80;
        }
        break;
    case QN_LAYOUT_Q4_0:
        for (int64_t b = 0; b < w->n_in / QN_QBLOCK; b++, p += 288, src += 18) {
            memcpy(p + lane * 2, src, 2);
            for (int j = 0; j < QN_QBLOCK / 8; j++)
                memcpy(p + 32 + (j * QN_PANEL + lane) * 4, src + 2 + j * 4, 4);
        }
        break;
    default: break;
    }
}

void qn_cpu_weight_put(qn_weight *w, int64_t row0, int64_t n_row,
                       const void *rows)
{
    const uint8_t *src = rows;
    int64_t row = row0, end = row0 + n_row;

    if (w->layout >= QN_LAYOUT_CB4) {
        qn_weight_put_codes(w, row0, n_row, rows);
        return;
    }
    while (row < end) {
        if (row % QN_PANEL == 0 && end - row >= QN_PANEL) {
            w->kern->pack[w->layout].fn(src, w->file_row_bytes, w->n_in,
                                        w->data +
                                            row / QN_PANEL * w->panel_bytes);
            row += QN_PANEL;
            src += QN_PANEL * w->file_row_bytes;
        } else {
            put_row(w, row, src);
            row++;
            src += w->file_row_bytes;
        }
    }
}

static float weight_at(qn_layout l, const uint8_t *panel, int64_t lane,
                       int64_t k)
{
    const uint8_t *p = panel + qn_panel_offset(l, k);
    const uint16_t *h = (const uint16_t *)(const void *)p;
    int64_t r = k % QN_QBLOCK;
    int q;

    switch (l) {
    case QN_LAYOUT_F32: return ((const float *)(const void *)p)[lane];
    case QN_LAYOUT_F16: return qn_f32_of_f16(h[lane]);
    case QN_LAYOUT_BF16: return qn_f32_of_bf16(h[2 * lane + k % 2]);
    case QN_LAYOUT_Q8_0:
        q = p[32 + (r / 4 * QN_PANEL + lane) * 4 + r % 4] - 128;
        return qn_f32_of_f16(h[lane]) * (float)q;
    case QN_LAYOUT_Q4_0:
        q = p[32 + (r % 16 / 4 * QN_PANEL + lane) * 4 + r % 4];
        return qn_f32_of_f16(h[lane]) * (float)((r < 16 ? q & 15 : q >> 4) - 8);
    default: return 0;
    }
}

void qn_weight_row(const qn_weight *w, int64_t row, float scale, bool add,
                   float *y)
{
    const uint8_t *panel = w->data + row / QN_PANEL * w->panel_bytes;

    for (int64_t k = 0; k < w->n_in; k++) {
        float v = scale *
                  (w->layout >= QN_LAYOUT_CB4
                       ? qn_scaled_at(&w->scaled, w->layout, panel,
                                      row % QN_PANEL, k)
                       : weight_at(w->layout, panel, row % QN_PANEL, k));
        float *to = &y[w->order ? w->order[k] : k];
        *to = add ? *to + v : v;
    }
}
