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

enum {
    PIECE = 256, /* elements that become cells at once, whole steps */
    TURN = 16    /* rows of a head before those of the next          */
};

/* The factor of x's codes, and what makes codes of them: d = absmax / 127.
 * What is not finite makes the factor NaN. */
static float factor_of(const float *x, int n, float *to_code)
{
    uint32_t bits, top = 0; /* without signs, in the order of the numbers */
    float t;

    for (int i = 0; i < n; i++) {
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        top = (int32_t)bits > (int32_t)top ? bits : top;
    }
    t = qn_f32_of_bits(top);
    *to_code = t <= FLT_MAX && t >= QN_QUADS_LEAST ? 127 / t : 0;
    return *to_code > 0 ? t / 127 : t <= FLT_MAX ? 0 : NAN;
}

/* 128 + round(y), |y| <= 127: of a sum in [2^23, 2^24) the last bit is 1. */
static uint8_t code_of(float y)
{
    return (uint8_t)(qn_bits_of_f32(y + (0x1.8p23f + 128)) & 255);
}

/* n elements side by side as they are stored, at `room` or where they are. f: what
 * makes codes. */
static const void *stored(const qn_kernels *k, qn_kv_dtype t, const float *x,
                          int n, float f, void *room)
{
    uint16_t *halves = room;
    uint8_t *codes = room;

    switch (t) {
    case QN_KV_CELL_F16: k->f16_cells.fn(x, n, halves); break;
    case QN_KV_CELL_BF16:
        for (int i = 0; i < n; i++)
            halves[i] = qn_bf16_of_f32(x[i]);
        break;
    case QN_KV_CELL_I8:
        if (!(f > 0))
            memset(codes, 128, (size_t)n);
        else
            for (int i = 0; i < n; i++)
                codes[i] = code_of(x[i] * f);
        break;
    default: return x;
    }
    return room;
}

/* Units of `bytes` that lie side by side, into rows of cells. */
QN_INLINE void put_units(uint8_t *at, int64_t row, const uint8_t *from, int n,
                         const int bytes)
{
    for (int i = 0; i < n; i++)
        memcpy(at + i * row, from + i * bytes, (size_t)bytes);
}

static void put_key(const qn_kernels *k, const qn_kv *kv, uint8_t *head,
                    int pos, const float *x, float f)
{
    const int unit = qn_cell_bytes(kv->desc.dtype), d = kv->desc.d_k;
    uint8_t *at = head + kv->head_k + pos * unit;

    for (int i = 0; i < d; i += PIECE) {
        uint32_t room[PIECE] = {0}; /* an unfinished step ends with zeros */
        int n = QN_MIN(PIECE, d - i), n_unit = (n + kv->step - 1) / kv->step;
        const void *from = stored(k, kv->desc.dtype, x + i, n, f, room);
        if (unit == 2)
            put_units(at, kv->k_row, from, n_unit, 2);
        else
            put_units(at, kv->k_row, from, n_unit, 4);
        at += n_unit * kv->k_row;
    }
}

/* Values of a position whose second of a step nobody has written: it is 0. */
static void put_pairs(uint8_t *at, const uint16_t *halves, int n)
{
    for (int i = 0; i < n; i++) {
        uint16_t two[2] = {halves[i], 0};
        memcpy(at + 4 * i, two, sizeof two);
    }
}

/* last: no row of this step writes what follows. Where two positions are read
 * together, the second must be a number, though its weight is 0. */
static void put_value(const qn_kernels *k, const qn_kv *kv, uint8_t *head,
                      int pos, const float *x, float f, bool last)
{
    const qn_kv_dtype t = kv->desc.dtype;
    const int in = pos % kv->step, d = kv->desc.d_v;
    uint8_t *at = head + kv->head_v + pos / kv->step * kv->v_row;

    for (int i = 0; i < d; i += PIECE, at += PIECE * qn_cell_bytes(t)) {
        uint32_t room[PIECE];
        int n = QN_MIN(PIECE, d - i);
        const uint8_t *codes = stored(k, t, x + i, n, f, room);
        const uint16_t *halves = (const void *)codes;
        if (t == QN_KV_CELL_I8)
            for (int j = 0; j < n; j++)
                at[4 * j + in] = codes[j];
        else if (t == QN_KV_CELL_BF16 && last && !in)
            put_pairs(at, halves, n);
        else if (t == QN_KV_CELL_BF16)
            for (int j = 0; j < n; j++)
                memcpy(at + 4 * j + 2 * in, halves + j, sizeof *halves);
        else
            memcpy(at, codes, (size_t)(n * qn_cell_bytes(t)));
    }
}

/* Where a row's keys and values of a head go. */
typedef struct place {
    int row, head;
    uint8_t *cells;
    int at;    /* in the page                            */
    bool last; /* row of its span: what follows is empty */
} place;

/* s: the span of the row. What is written lies in as many lines as a key has
 * steps, which are asked for now; `fresh`: unless the row before has done so. */
static place place_of(const qn_op_kv_append *op, const qn_span *s, int row,
                      int head, bool fresh)
{
    const qn_kv *kv = op->kv;
    const int bytes = qn_cell_bytes(kv->desc.dtype);
    int64_t pos = s->pos0 + row - s->row0;
    int32_t page = s->pages[op->group][pos / QN_PAGE];
    place p = {.row = row,
               .head = head,
               .cells = kv->data + page * kv->page_bytes +
                        head * kv->head_bytes,
               .at = (int)(pos % QN_PAGE),
               .last = row + 1 == s->row0 + s->n_row};
    const uint8_t *k = p.cells + kv->head_k + p.at * bytes;
    const uint8_t *v = p.cells + kv->head_v + p.at / kv->step * kv->v_row;

    if (fresh || row == s->row0 || p.at * bytes % 64 == 0)
        for (int i = 0; i < kv->desc.d_k; i += kv->step, k += kv->k_row)
            __builtin_prefetch(k, 1);
    for (int64_t i = 0; i < kv->v_row; i += 64)
        __builtin_prefetch(v + i, 1);
    return p;
}

static void append(const qn_op_kv_append *op, const qn_kernels *kern, place p)
{
    const qn_kv *kv = op->kv;
    const float *k = op->k + p.row * op->ldk + (int64_t)p.head * kv->desc.d_k;
    const float *v = op->v + p.row * op->ldv + (int64_t)p.head * kv->desc.d_v;
    float f_k = 0, f_v = 0;

    if (kv->desc.dtype == QN_KV_CELL_I8) {
        float *d = (float *)(void *)p.cells;
        d[p.at] = factor_of(k, kv->desc.d_k, &f_k);
        d[QN_PAGE + p.at] = factor_of(v, kv->desc.d_v, &f_v);
    }
    put_key(kern, kv, p.cells, p.at, k, f_k);
    put_value(kern, kv, p.cells, p.at, v, f_v, p.last);
}

/* One head of rows [begin, end). */
static void append_rows(const qn_op_kv_append *op, const qn_kernels *k,
                        int head, int begin, int end)
{
    const qn_span *s = op->batch->spans;
    place now = {0}, next;

    for (int row = begin; row < end; row++, now = next) {
        while (row >= s->row0 + s->n_row)
            s++;
        next = place_of(op, s, row, head, row == begin);
        if (row > begin) /* the one before, whose lines are on their way */
            append(op, k, now);
    }
    if (begin < end)
        append(op, k, now);
}

/* Threads share out (row, head) pairs, row by row: each cell has one writer. The
 * heads of some rows take turns, so that neither what is read nor what is written
 * leaves the caches between them. */
void qn_op_kv_append_run(const qn_op_kv_append *op, qn_worker *w)
{
    const int n_kv = op->kv->desc.n_kv;
    int64_t begin, end, stop;

    qn_pool_split((int64_t)op->batch->n_row * n_kv, 1, w->thread, w->n_threads,
                  &begin, &end);
    for (; begin < end; begin = stop) {
        stop = QN_MIN(begin + (int64_t)TURN * n_kv, end);
        for (int h = 0; h < n_kv; h++) /* pairs i with i % n_kv == h */
            append_rows(op, w->kern, h, (int)((begin - h + n_kv - 1) / n_kv),
                        (int)((stop - h + n_kv - 1) / n_kv));
    }
}

void qn_op_kv_append_head(const qn_op_kv_append *op, const qn_kernels *k,
                          int head)
{
    append_rows(op, k, head, 0, op->batch->n_row);
}
