/* op_attn.c - attention over pages, with an online softmax.
 *
 * An item is a tile of queries that share keys: some consecutive rows of one
 * span times the query heads of one kv head (at most MAX_Q in all). Pages are
 * visited in order. Per page, scores are a panel product of the tile with the
 * page's keys; the running maximum, sum and output of each query are updated;
 * and the weighted values are a panel product with the page's values.
 *
 * Invariants
 *  1. A query sees exactly its own range of positions, cut at page borders
 *     and nowhere else; what else is in the tile does not enter its sums. So
 *     the result does not depend on how a prompt was cut into chunks.
 *  2. Cells outside of a query's range may hold anything: scores there are
 *     computed (lanes are independent) and not looked at.
 */
#include "backend/cpu/cpu_int.h"

#include <math.h>

#define MAX_Q 16

/* One tile, in the thread's scratch. */
typedef struct attn_tile {
    const qn_op_attn *op;
    const qn_span *span;
    int row0, n_row;    /* rows of the span          */
    int kv_head, head0; /* first query head          */
    int n_head;         /* query heads per row       */
    float *q;           /* [n_q][q_tok]              */
    float *s;           /* [n_q][s_tok]              */
    float *o;           /* [n_q][o_tok]              */
    int64_t q_tok, s_tok, o_tok;
    float m[MAX_Q], l[MAX_Q];
} attn_tile;

/* Strides in floats: an odd number of cache lines. */
static int64_t odd_lines(int n)
{
    return (((int64_t)n + 15) / 16 | 1) * 16;
}

void qn_op_attn_need(const qn_cpu_backend *be, const qn_op_attn *op,
                     qn_need *need)
{
    const qn_kv_desc *d = &op->kv->desc;

    (void)be;
    need->own = (uint64_t)(odd_lines(d->d_k) + odd_lines(QN_PAGE) +
                           odd_lines(d->d_v)) *
                MAX_Q * sizeof(float);
}

/* Query heads of a kv head that go into one tile, and rows beside them. */
static int heads_per_tile(const qn_op_attn *op)
{
    int per_kv = op->n_head / op->kv->desc.n_kv;
    int n_part = (per_kv + MAX_Q - 1) / MAX_Q;

    return (per_kv + n_part - 1) / n_part;
}

/* Positions [*lo, *hi) that the query at position i looks at. */
static void range_of(const qn_op_attn *op, int64_t i, int64_t *lo, int64_t *hi)
{
    *lo = 0;
    if (op->window > 0)
        *lo = QN_MAX(*lo, i - op->window + 1);
    if (op->chunk > 0)
        *lo = QN_MAX(*lo, i / op->chunk * op->chunk);
    *hi = i + 1;
}

static void load_queries(const qn_kernels *k, attn_tile *t)
{
    const qn_op_attn *op = t->op;
    int d = op->kv->desc.d_k, n = 0;

    for (int r = 0; r < t->n_row; r++) {
        const float *row = op->q +
                           (int64_t)(t->span->row0 + t->row0 + r) * op->ldq;
        for (int h = 0; h < t->n_head; h++, n++) {
            memcpy(t->q + n * t->q_tok, row + (int64_t)(t->head0 + h) * d,
                   (size_t)d * sizeof(float));
            if (op->q_scale)
                k->scale.fn(t->q + n * t->q_tok, d,
                            op->q_scale[t->span->row0 + t->row0 + r]);
            memset(t->o + n * t->o_tok, 0, (size_t)t->o_tok * sizeof(float));
            t->m[n] = -INFINITY;
            t->l[n] = 0;
        }
    }
}

/* o += s[.. from, to) . v for queries [q0, q0 + n_q). */
static void add_values(const qn_kernels *k, const attn_tile *t,
                       const uint8_t *v, int q0, int n_q, int from, int to)
{
    const qn_kv *kv = t->op->kv;
    qn_tile tile = {
        .w = v + qn_panel_offset(kv->v_layout, from),
        .w_panel = kv->v_panel,
        .x = (const uint8_t *)(t->s + q0 * t->s_tok + from),
        .x_tok = t->s_tok * (int64_t)sizeof(float),
        .acc = t->o + q0 * t->o_tok,
        .acc_tok = t->o_tok,
        .n_k = to - from,
        .n_tok = n_q,
        .n_panel = (kv->desc.d_v + QN_PANEL - 1) / QN_PANEL,
        .load = true,
    };

    if (to > from)
        qn_tile_run(&k->exact[kv->v_layout], &tile);
}

/* Scores of the tile with one page, and the update of every query. */
static void visit_page(const qn_kernels *k, attn_tile *t, int64_t page)
{
    const qn_op_attn *op = t->op;
    const qn_kv *kv = op->kv;
    const uint8_t *cells = kv->data +
                           t->span->pages[op->group][page] * kv->page_bytes +
                           t->kv_head * kv->head_bytes;
    int64_t first = page * QN_PAGE, pos0 = t->span->pos0 + t->row0;
    int from[MAX_Q], to[MAX_Q], n_q = t->n_row * t->n_head;
    int all_from = 0, all_to = QN_PAGE;
    int64_t last = QN_MIN(QN_PAGE, pos0 + t->n_row - first);
    qn_tile scores = {
        .w = cells,
        .w_panel = kv->k_panel,
        .x = (const uint8_t *)t->q,
        .x_tok = t->q_tok * (int64_t)sizeof(float),
        .acc = t->s,
        .acc_tok = t->s_tok,
        .n_k = kv->desc.d_k,
        .n_tok = n_q,
        .n_panel = (int)(last + QN_PANEL - 1) / QN_PANEL,
    };

    qn_tile_run(&k->exact[kv->k_layout], &scores);
    for (int n = 0; n < n_q; n++) {
        int64_t i = pos0 + n / t->n_head, lo, hi;
        float factor;
        range_of(op, i, &lo, &hi);
        from[n] = (int)QN_MAX(lo - first, 0);
        to[n] = (int)QN_MIN(hi - first, QN_PAGE);
        all_from = QN_MAX(all_from, from[n]);
        all_to = QN_MIN(all_to, to[n]);
        if (from[n] >= to[n])
            continue;
        qn_softmax_args a = {
            .scale = op->scale,
            .softcap = op->softcap,
            .slope = op->slopes ? op->slopes[t->head0 + n % t->n_head] : 0,
            .rel0 = (float)(first + from[n] - i),
            .n = to[n] - from[n],
        };
        factor = k->softmax.fn(t->s + n * t->s_tok + from[n], &a, &t->m[n],
                               &t->l[n]);
        if (factor != 1)
            k->scale.fn(t->o + n * t->o_tok, kv->desc.d_v, factor);
    }

    /* Rows of one position share a range; where ranges differ (the diagonal,
     * the edge of a window) each adds its own head and tail. */
    if (all_from >= all_to)
        all_from = all_to = QN_PAGE; /* nothing in common: all heads */
    for (int n = 0; n < n_q; n += t->n_head)
        add_values(k, t, cells + kv->head_v, n, t->n_head, from[n],
                   QN_MIN(to[n], all_from));
    add_values(k, t, cells + kv->head_v, 0, n_q, all_from, all_to);
    for (int n = 0; n < n_q; n += t->n_head)
        add_values(k, t, cells + kv->head_v, n, t->n_head,
                   QN_MAX(from[n], all_to), to[n]);
}

static void store(const qn_kernels *k, attn_tile *t)
{
    const qn_op_attn *op = t->op;
    int d = op->kv->desc.d_v, n = 0;

    for (int r = 0; r < t->n_row; r++) {
        float *row = op->out + (int64_t)(t->span->row0 + t->row0 + r) * op->ldo;
        for (int h = 0; h < t->n_head; h++, n++) {
            float *o = t->o + n * t->o_tok, f = 1;
            if (op->sinks) { /* one more logit, with no value */
                float sink = op->sinks[t->head0 + h];
                float top = QN_MAX(sink, t->m[n]);
                f = expf(t->m[n] - top);
                t->l[n] = t->l[n] * f + expf(sink - top);
            }
            k->scale.fn(o, d, f / t->l[n]);
            memcpy(row + (int64_t)(t->head0 + h) * d, o,
                   (size_t)d * sizeof(float));
        }
    }
}

static void run_tile(const qn_kernels *k, attn_tile *t)
{
    int64_t first = t->span->pos0 + t->row0, lo, hi;

    load_queries(k, t);
    range_of(t->op, first, &lo, &hi);
    for (int64_t page = lo / QN_PAGE; page <= (first + t->n_row - 1) / QN_PAGE;
         page++)
        visit_page(k, t, page);
    store(k, t);
}

void qn_op_attn_run(const qn_op_attn *op, qn_worker *w)
{
    const qn_batch *b = op->batch;
    int n_kv = op->kv->desc.n_kv, per_kv = op->n_head / n_kv;
    int heads = heads_per_tile(op);
    int rows = QN_MAX(1, MAX_Q / heads), n_part = (per_kv + heads - 1) / heads;
    int64_t n_item = 0, item, before = 0;
    int s = 0;
    attn_tile t = {.op = op,
                   .q_tok = odd_lines(op->kv->desc.d_k),
                   .s_tok = odd_lines(QN_PAGE),
                   .o_tok = odd_lines(op->kv->desc.d_v)};

    t.q = (float *)(void *)w->own;
    t.s = t.q + MAX_Q * t.q_tok;
    t.o = t.s + MAX_Q * t.s_tok;
    for (int i = 0; i < b->n_span; i++)
        n_item += (b->spans[i].n_row + rows - 1) / rows;
    n_item *= n_kv * n_part;

    while (qn_worker_take(w, n_item, &item)) {
        int64_t n, at;
        for (;;
             s++, before += n) { /* items rise, so the cursor only moves on */
            n = (int64_t)((b->spans[s].n_row + rows - 1) / rows) * n_kv *
                n_part;
            if (item < before + n)
                break;
        }
        at = item - before;
        t.span = &b->spans[s];
        t.kv_head = (int)(at % n_kv);
        t.head0 = t.kv_head * per_kv + (int)(at / n_kv % n_part) * heads;
        t.n_head = QN_MIN(heads, (t.kv_head + 1) * per_kv - t.head0);
        t.row0 = (int)(at / n_kv / n_part) * rows;
        t.n_row = QN_MIN(rows, t.span->n_row - t.row0);
        run_tile(w->kern, &t);
    }
}
