/* op_attn.c - attention over pages, with an online softmax.
 *
 * A tile is some queries that share keys: consecutive rows of one span times
 * the query heads of one kv head; or of several that lie side by side, where
 * rows are few (at most MAX_Q in all). Positions are cut into blocks of BLOCK,
 * at multiples of it. In a block, pages are visited in order, and in a page its
 * heads, so that memory is read as it lies. Per page and head, scores are a
 * product of the queries with the keys (qn_mix); the running maximum, sum and
 * output of each query are updated; and the weighted values are a product with
 * the page's values. Blocks begin afresh and are added up in order.
 *
 *   many tiles (prompts)    an item is a tile: its blocks one after the other
 *   few (decoding)          an item is a block of a tile; what comes out waits
 *                           in shared memory until all have, and is added up
 *
 * Invariants
 *  1. A query sees exactly its own range of positions, cut at page and block
 *     borders and nowhere else; what else is in the tile does not enter its
 *     sums. So the result depends neither on how a prompt was cut into chunks
 *     nor on which of the two ways was taken.
 *  2. Keys outside of a query's range may be anything: scores there are
 *     computed (lanes are independent) and not looked at. Values outside of it
 *     have the weight 0; of those, only positions that were appended are read
 *     (and the second of a pair, see kv.c).
 */
#include "backend/cpu/cpu_int.h"

#include <math.h>

#define MAX_Q 48
#define BLOCK_PAGES 8
#define BLOCK (BLOCK_PAGES * QN_PAGE)
#define MAX_SHARED (32 << 20) /* bytes of waiting results */
#define ITEMS_PER_THREAD 8    /* fewer are cut */
#define FEW 8                 /* queries that memory, not arithmetic, bounds */

/* How the op is cut, the same on every thread. */
typedef struct attn_plan {
    int heads, n_part; /* query heads of a kv head per tile; parts that makes */
    int kv, n_group;   /* kv heads of a tile; groups that makes */
    int rows;          /* of a span per tile */
    int64_t n_tile;
    bool split; /* items are blocks of tiles */
    int64_t n_item;
    int64_t q_tok, s_tok, o_tok; /* strides in floats */
    int64_t part_floats;         /* of a block's results of a tile */
} attn_plan;

/* One tile, in the thread's scratch. */
typedef struct attn_tile {
    const qn_op_attn *op;
    const attn_plan *plan;
    const qn_mix_kernel *mix;
    const qn_span *span;
    int row0, n_row;   /* rows of the span                    */
    int kv_head, n_kv; /* from there on                       */
    int head0;         /* first query head                    */
    int n_head, n_q;   /* query heads per row; of a kv head   */
    int64_t at;        /* block, if items are blocks          */
    uint8_t *q;        /* [n_kv n_q][q_tok], as the product takes them */
    uint8_t *p;        /* [n_q][s_tok], weights likewise      */
    float *s;          /* [n_q][s_tok]                        */
    float *o;          /* [n_kv n_q][o_tok] of the block      */
    float *sum_o;      /* ... of the blocks before            */
    float *one;        /* [q_tok] */
    float m[MAX_Q], l[MAX_Q], sum_m[MAX_Q], sum_l[MAX_Q];
    int64_t lo[MAX_Q], hi[MAX_Q]; /* ranges of positions */
} attn_tile;

/* Strides in floats: an odd number of cache lines. */
static int64_t odd_lines(int n)
{
    return (((int64_t)n + 15) / 16 | 1) * 16;
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

/* Blocks that rows [row0, row0 + n_row) of a span look at. */
static int64_t n_blocks(const qn_op_attn *op, const qn_span *s, int row0,
                        int n_row, int64_t *first)
{
    int64_t lo, hi;

    range_of(op, s->pos0 + row0, &lo, &hi);
    *first = lo / BLOCK;
    return (s->pos0 + row0 + n_row - 1) / BLOCK - *first + 1;
}

static int64_t n_row_tiles(const attn_plan *p, const qn_span *s)
{
    return (s->n_row + p->rows - 1) / p->rows;
}

/* Items of one row tile of a span, all kv heads and parts. */
static int64_t items_of(const qn_op_attn *op, const attn_plan *p,
                        const qn_span *s, int64_t row_tile)
{
    int64_t n = (int64_t)p->n_group * p->n_part, first;
    int row0 = (int)row_tile * p->rows;

    if (p->split)
        n *= n_blocks(op, s, row0, QN_MIN(p->rows, s->n_row - row0), &first);
    return n;
}

/* kv heads side by side, as long as threads have several items of `n` that there
 * are of one. */
static void join_heads(const qn_cpu_backend *be, const qn_op_attn *op,
                       attn_plan *p, int64_t n)
{
    int64_t most = QN_MIN(MAX_Q / (p->rows * p->heads), op->kv->desc.n_kv);
    int64_t spread = be->n_threads == 1
                         ? most
                         : n / (ITEMS_PER_THREAD / 2 * be->n_threads);

    p->kv = p->n_part > 1 ? 1 : (int)QN_MAX(QN_MIN(most, spread), 1);
    p->n_group = (op->kv->desc.n_kv + p->kv - 1) / p->kv;
}

/* The items of a plan that is cut into blocks. */
static void count_blocks(const qn_op_attn *op, attn_plan *p)
{
    p->n_item = 0;
    for (int i = 0; i < op->batch->n_span; i++) {
        const qn_span *s = &op->batch->spans[i];
        for (int64_t r = 0; r < n_row_tiles(p, s); r++)
            p->n_item += items_of(op, p, s, r);
    }
}

/* by_head: each kv head is a tile of its own. */
static void plan_of(const qn_cpu_backend *be, const qn_op_attn *op,
                    bool by_head, attn_plan *p)
{
    const qn_kv_desc *d = &op->kv->desc;
    int per_kv = op->n_head / d->n_kv, most = 1;
    int64_t deepest = 0, n_row_tile = 0;

    *p = (attn_plan){.q_tok = odd_lines(d->d_k),
                     .s_tok = odd_lines(QN_PAGE),
                     .o_tok = odd_lines(d->d_v)};
    for (int i = 0; i < op->batch->n_span; i++) {
        const qn_span *s = &op->batch->spans[i];
        most = QN_MAX(most, s->n_row);
        deepest = QN_MAX(deepest, s->pos0 + s->n_row);
    }
    p->n_part = (per_kv + MAX_Q - 1) / MAX_Q;
    p->heads = (per_kv + p->n_part - 1) / p->n_part;
    p->n_part = (per_kv + p->heads - 1) / p->heads;
    p->rows = QN_MIN(QN_MAX(1, MAX_Q / p->heads), most);
    p->kv = 1;
    p->n_group = d->n_kv;
    for (int i = 0; i < op->batch->n_span; i++)
        n_row_tile += n_row_tiles(p, &op->batch->spans[i]);
    p->n_tile = p->n_item = n_row_tile * d->n_kv * p->n_part;
    p->split = be->n_threads > 1 && deepest > BLOCK &&
               p->n_tile < (int64_t)ITEMS_PER_THREAD * be->n_threads;
    if (p->split)
        count_blocks(op, p);
    if (!by_head)
        join_heads(be, op, p, p->n_item);
    p->n_tile = p->n_item = n_row_tile * p->n_group * p->n_part;
    p->part_floats = (int64_t)p->rows * p->heads * p->kv * (p->o_tok + 2);
    p->part_floats = (p->part_floats + 15) / 16 * 16;
    if (!p->split)
        return;
    count_blocks(op, p);
    if (p->n_item * p->part_floats > MAX_SHARED / (int64_t)sizeof(float)) {
        p->split = false;
        p->n_item = p->n_tile;
    }
}

/* A thread's scratch for a tile of n_all queries, n_q of them of one kv head. */
static uint64_t own_bytes(const attn_plan *p, int64_t n_all, int64_t n_q)
{
    return (uint64_t)((p->q_tok + 2 * p->o_tok) * n_all + 2 * p->s_tok * n_q +
                      p->q_tok) *
           sizeof(float);
}

void qn_op_attn_need(const qn_cpu_backend *be, const qn_op_attn *op,
                     qn_need *need)
{
    attn_plan p;

    plan_of(be, op, false, &p);
    int64_t n_q = (int64_t)p.rows * p.heads;
    need->own = own_bytes(&p, n_q * p.kv, n_q);
    if (p.split)
        need->shared = (uint64_t)(p.n_item * p.part_floats) * sizeof(float);
}

void qn_op_attn_most(const qn_cpu_backend *be, const qn_op_attn *op,
                     qn_need *need)
{
    int64_t deepest = 0, items;
    attn_plan p;

    plan_of(be, op, true, &p);
    for (int i = 0; i < op->batch->n_span; i++) {
        const qn_span *s = &op->batch->spans[i];
        deepest = QN_MAX(deepest, s->pos0 + s->n_row);
    }
    int64_t most = QN_MAX(p.heads, MAX_Q);
    need->own = own_bytes(&p, most, most);
    need->shared = 0;
    if (be->n_threads == 1 || deepest <= BLOCK)
        return;
    /* of tiles that are few enough to be cut; the last group of heads has room
     * for a whole one */
    items = (int64_t)ITEMS_PER_THREAD * be->n_threads * (deepest / BLOCK + 2);
    need->shared = QN_MIN((uint64_t)(2 * items * p.part_floats) * sizeof(float),
                          (uint64_t)MAX_SHARED);
}

static int n_all(const attn_tile *t)
{
    return t->n_kv * t->n_q;
}

/* The query head of query n. */
static int head_of(const attn_tile *t, int n)
{
    int per_kv = t->op->n_head / t->op->kv->desc.n_kv;

    return t->head0 + n / t->n_q * per_kv + n % t->n_head;
}

static void load_queries(const qn_kernels *k, attn_tile *t)
{
    const qn_op_attn *op = t->op;
    int64_t stride = t->plan->q_tok * (int64_t)sizeof(float);
    int d = op->kv->desc.d_k, n = 0;

    for (int r = 0; r < t->n_kv * t->n_row; r++) {
        int at = t->span->row0 + t->row0 + r % t->n_row;
        const float *row = op->q + at * op->ldq;
        for (int h = 0; h < t->n_head; h++, n++) {
            const float *q = row + (int64_t)(head_of(t, n)) * d;
            void *dst = t->q + n * stride;
            if (op->q_scale) {
                memcpy(t->one, q, (size_t)d * sizeof(float));
                k->scale.fn(t->one, d, op->q_scale[at]);
                q = t->one;
            }
            if (t->mix->prep)
                t->mix->prep(q, d, dst);
            else
                memcpy(dst, q, (size_t)d * sizeof(float));
        }
    }
}

/* Cells of the tile's kv head g in a page. */
static const uint8_t *cells_of(const attn_tile *t, int64_t page, int g)
{
    const qn_kv *kv = t->op->kv;

    return kv->data + t->span->pages[t->op->group][page] * kv->page_bytes +
           (t->kv_head + g) * kv->head_bytes;
}

/* Turns the scores of query n with a page into weights, 0 in what of [from,
 * to) the query does not look at; the output so far is scaled to fit them. */
static void weigh(const qn_kernels *k, attn_tile *t, int n, int64_t first,
                  int from, int to, const float *factors)
{
    const qn_op_attn *op = t->op;
    float *s = t->s + n % t->n_q * t->plan->s_tok, factor;
    int lo = (int)QN_MIN(QN_MAX(t->lo[n] - first, from), to);
    int hi = (int)QN_MAX(QN_MIN(t->hi[n] - first, to), lo);
    qn_softmax_args a = {
        .scale = op->scale,
        .softcap = op->softcap,
        .slope = op->slopes ? op->slopes[head_of(t, n)] : 0,
        .rel0 = (float)(first + lo - (t->hi[n] - 1)),
        .n = hi - lo,
    };

    if (lo < hi) {
        factor = k->softmax.fn(s + lo, &a, &t->m[n], &t->l[n]);
        if (factor != 1)
            k->scale.fn(t->o + n * t->plan->o_tok, op->kv->desc.d_v, factor);
        for (int i = lo; factors && i < hi; i++)
            s[i] *= factors[i];
    }
    memset(s + from, 0, (size_t)(lo - from) * sizeof *s);
    memset(s + hi, 0, (size_t)(to - hi) * sizeof *s);
    if (t->mix->prep)
        t->mix->prep(s + from, to - from,
                     t->p + n % t->n_q * t->plan->s_tok * 4);
}

/* What the tile's queries look at of a page, whole steps. */
static void part_of(const attn_tile *t, int64_t page, int *from, int *to)
{
    const int step = t->op->kv->step;
    int64_t first = page * QN_PAGE;
    int64_t lo = QN_MAX(t->lo[0] - first, 0); /* ranges rise with rows */
    int64_t hi = QN_MIN(t->hi[t->n_q - 1] - first, QN_PAGE);

    *from = (int)lo / step * step;
    *to = (int)(hi + step - 1) / step * step;
}

/* All of it? */
static bool is_full(const attn_tile *t, int64_t page)
{
    int from, to;

    part_of(t, page, &from, &to);
    return to - from == QN_PAGE;
}

/* Asks for what a tile of few queries reads of a page and its kv head g. */
static void ask(const attn_tile *t, int64_t page, int g)
{
    const qn_kv *kv = t->op->kv;
    const int bytes = qn_cell_bytes(kv->desc.dtype);
    const uint8_t *cells = cells_of(t, page, g), *at;
    int from, to;

    if (t->n_q > FEW)
        return;
    part_of(t, page, &from, &to);
    for (at = cells; at < cells + kv->head_k; at += 64)
        QN_PREFETCH(at);
    for (; at < cells + kv->head_v; at += kv->k_row)
        for (int i = from * bytes & -64; i < to * bytes; i += 64)
            QN_PREFETCH(at + i);
    at += from / kv->step * kv->v_row;
    for (; at < cells + kv->head_v + to / kv->step * kv->v_row; at += 64)
        QN_PREFETCH(at);
}

/* Scores of the queries of kv head g with a page, and the update of each. `ahead`:
 * full pages that are read next. */
static void visit_page(const qn_kernels *k, attn_tile *t, int64_t page, int g,
                       const uint8_t *ahead)
{
    const qn_kv *kv = t->op->kv;
    const uint8_t *cells = cells_of(t, page, g);
    int q0 = g * t->n_q;
    const float *factors = (const float *)(const void *)cells;
    bool i8 = kv->desc.dtype == QN_KV_CELL_I8;
    int64_t first = page * QN_PAGE;
    int from, to;
    part_of(t, page, &from, &to);
    qn_mix scores = {
        .w = cells + kv->head_k,
        .w_row = kv->k_row,
        .x = t->q + q0 * t->plan->q_tok * (int64_t)sizeof(float),
        .x_tok = t->plan->q_tok * (int64_t)sizeof(float),
        .acc = t->s,
        .acc_tok = t->plan->s_tok,
        .col = i8 ? factors : NULL,
        .ahead = to - from == QN_PAGE ? cells + kv->head_v : NULL,
        .n_k = kv->desc.d_k,
        .n_tok = t->n_q,
        .n_col = (to + QN_PANEL - 1) / QN_PANEL * QN_PANEL,
    };
    qn_mix values = {
        .w = cells + kv->head_v + from / kv->step * kv->v_row,
        .w_row = kv->v_row,
        .x = t->mix->prep ? t->p : (const uint8_t *)(t->s + from),
        .x_tok = t->plan->s_tok * (int64_t)sizeof(float),
        .acc = t->o + q0 * t->plan->o_tok,
        .acc_tok = t->plan->o_tok,
        .ahead = ahead,
        .n_k = to - from,
        .k0 = from,
        .n_tok = t->n_q,
        .n_col = kv->v_col,
        .load = true,
    };

    qn_mix_run(t->mix, &scores);
    for (int n = q0; n < q0 + t->n_q; n++)
        weigh(k, t, n, first, from, to, i8 ? factors + QN_PAGE : NULL);
    qn_mix_run(t->mix, &values);
}

/* The first page that a tile reads. */
static int64_t first_page(const attn_tile *t)
{
    int64_t at = t->lo[0];

    if (t->plan->split)
        at = QN_MAX(at, (at / BLOCK + t->at) * BLOCK);
    return at / QN_PAGE;
}

/* What a block gives: m, l and o of every query. What is read next, at the end by
 * the tile `then`, is asked for: of full pages while one is read that is as long. */
static void run_block(const qn_kernels *k, attn_tile *t, int64_t block,
                      const attn_tile *then)
{
    int64_t first = QN_MAX(block * BLOCK, t->lo[0]) / QN_PAGE;
    int64_t last = QN_MIN((block + 1) * BLOCK, t->hi[t->n_q - 1]) - 1;

    for (int n = 0; n < n_all(t); n++) {
        t->m[n] = -INFINITY;
        t->l[n] = 0;
    }
    memset(t->o, 0, (size_t)(n_all(t) * t->plan->o_tok) * sizeof *t->o);
    last /= QN_PAGE;
    for (int64_t page = first; page <= last; page++)
        for (int g = 0; g < t->n_kv; g++) {
            const bool turn = g + 1 == t->n_kv, end = turn && page == last;
            const attn_tile *next = end ? then : t;
            int64_t to = page + turn;
            const uint8_t *ahead = NULL;
            if (end && then)
                to = first_page(then);
            if (next && is_full(t, page) && is_full(next, to))
                ahead = cells_of(next, to, turn ? 0 : g + 1);
            else if (next)
                ask(next, to, turn ? 0 : g + 1);
            visit_page(k, t, page, g, ahead);
        }
}

/* Does query n look into the block? */
static bool looks_at(const attn_tile *t, int n, int64_t block)
{
    return t->lo[n] < (block + 1) * BLOCK && t->hi[n] > block * BLOCK;
}

/* Adds query n's m, l and o of a block to the sums of those before. */
static void add_block(const qn_kernels *k, attn_tile *t, int n, int64_t block,
                      float m, float l, const float *o)
{
    float *sum = t->sum_o + n * t->plan->o_tok, top, old, new;
    int d = t->op->kv->desc.d_v;

    if (!looks_at(t, n, block))
        return;
    if (t->lo[n] >= block * BLOCK) { /* the first one */
        memcpy(sum, o, (size_t)d * sizeof *sum);
        t->sum_m[n] = m;
        t->sum_l[n] = l;
        return;
    }
    top = QN_MAX(t->sum_m[n], m);
    old = expf(t->sum_m[n] - top);
    new = expf(m - top);
    if (old != 1)
        k->scale.fn(sum, d, old);
    k->axpy.fn(sum, o, d, new);
    t->sum_l[n] = t->sum_l[n] * old + l * new;
    t->sum_m[n] = top;
}

static void store(const qn_kernels *k, attn_tile *t)
{
    const qn_op_attn *op = t->op;
    int d = op->kv->desc.d_v, n = 0;

    for (int r = 0; r < t->n_kv * t->n_row; r++) {
        int at = t->span->row0 + t->row0 + r % t->n_row;
        float *row = op->out + at * op->ldo;
        for (int h = 0; h < t->n_head; h++, n++) {
            float *o = t->sum_o + n * t->plan->o_tok, f = 1;
            if (op->sinks) { /* one more logit, with no value */
                float sink = op->sinks[head_of(t, n)];
                float top = QN_MAX(sink, t->sum_m[n]);
                f = expf(t->sum_m[n] - top);
                t->sum_l[n] = t->sum_l[n] * f + expf(sink - top);
            }
            k->scale.fn(o, d, f / t->sum_l[n]);
            memcpy(row + (int64_t)head_of(t, n) * d, o,
                   (size_t)d * sizeof(float));
        }
    }
}

/* ---- items --------------------------------------------------------------- */

/* A place in the sequence of items, which a thread takes in rising order. */
typedef struct attn_cursor {
    int64_t before; /* items of the row tiles before */
    int64_t row_tile;
    int span;
} attn_cursor;

/* Makes t the tile of an item. */
static void find(const attn_plan *p, attn_cursor *c, int64_t item, attn_tile *t)
{
    const qn_op_attn *op = t->op;
    int64_t n, at, per_kv = op->n_head / op->kv->desc.n_kv;

    for (;; c->before += n) {
        const qn_span *s = &op->batch->spans[c->span];
        if (c->row_tile == n_row_tiles(p, s)) {
            c->span++;
            c->row_tile = n = 0;
            continue;
        }
        n = items_of(op, p, s, c->row_tile);
        if (item < c->before + n)
            break;
        c->row_tile++;
    }
    t->span = &op->batch->spans[c->span];
    t->row0 = (int)c->row_tile * p->rows;
    t->n_row = QN_MIN(p->rows, t->span->n_row - t->row0);
    n = n / p->n_group / p->n_part; /* blocks, or 1 */
    at = (item - c->before) / n;
    t->kv_head = (int)(at % p->n_group) * p->kv;
    t->n_kv = QN_MIN(p->kv, op->kv->desc.n_kv - t->kv_head);
    t->head0 = (int)(t->kv_head * per_kv + at / p->n_group * p->heads);
    t->n_head = (int)QN_MIN(p->heads, (t->kv_head + 1) * per_kv - t->head0);
    t->n_q = t->n_row * t->n_head;
    for (int i = 0; i < n_all(t); i++)
        range_of(op, t->span->pos0 + t->row0 + i / t->n_head % t->n_row,
                 &t->lo[i], &t->hi[i]);
    t->at = (item - c->before) % n;
}

/* The first item of a thread. */
static void begin(const attn_plan *p, attn_cursor *c, int64_t item,
                  attn_tile *t)
{
    find(p, c, item, t);
    ask(t, first_page(t), 0);
}

/* The results of a block wait here: o, then m and l of every query. */
static float *waiting(const attn_plan *p, const qn_worker *w, int64_t item)
{
    return (float *)(void *)w->shared + item * p->part_floats;
}

/* then: the tile that this thread computes afterwards, or NULL. */
static void run_item(const attn_plan *p, qn_worker *w, int64_t item,
                     attn_tile *t, const attn_tile *then)
{
    int64_t first, n = n_blocks(t->op, t->span, t->row0, t->n_row, &first);

    load_queries(w->kern, t);
    if (p->split) {
        float *out = waiting(p, w, item), *ml = out + n_all(t) * p->o_tok;
        run_block(w->kern, t, first + t->at, then);
        memcpy(out, t->o, (size_t)(n_all(t) * p->o_tok) * sizeof *out);
        memcpy(ml, t->m, (size_t)n_all(t) * sizeof *ml);
        memcpy(ml + n_all(t), t->l, (size_t)n_all(t) * sizeof *ml);
        return;
    }
    for (int64_t b = first; b < first + n; b++) {
        run_block(w->kern, t, b, b + 1 == first + n ? then : NULL);
        for (int i = 0; i < n_all(t); i++)
            add_block(w->kern, t, i, b, t->m[i], t->l[i], t->o + i * p->o_tok);
    }
    store(w->kern, t);
}

/* Adds up what waits; an item here is a tile. */
static void add_waiting(const attn_plan *p, qn_worker *w, attn_tile *t)
{
    attn_cursor c = {0};
    int64_t item = 0, tile, at = 0;

    while (qn_worker_take(w, p->n_tile, &tile))
        for (;; at++) {
            int64_t first, n;
            find(p, &c, item, t);
            n = n_blocks(t->op, t->span, t->row0, t->n_row, &first);
            if (at < tile) {
                item += n;
                continue;
            }
            for (int64_t b = 0; b < n; b++, item++) {
                const float *o = waiting(p, w, item),
                            *ml = o + n_all(t) * p->o_tok;
                for (int i = 0; i < n_all(t); i++)
                    add_block(w->kern, t, i, first + b, ml[i], ml[n_all(t) + i],
                              o + i * p->o_tok);
            }
            store(w->kern, t);
            at++;
            break;
        }
}

/* A tile's places in the thread's scratch. */
static attn_tile tile_in(const qn_op_attn *op, const attn_plan *p,
                         const qn_worker *w)
{
    qn_kv_dtype cell = op->kv->desc.dtype;
    int64_t n_q = (int64_t)p->rows * p->heads;
    attn_tile t = {.op = op,
                   .plan = p,
                   .mix = w->be->exact ? &w->kern->mix_exact[cell]
                                       : &w->kern->mix[cell]};

    t.one = (float *)(void *)w->own;
    t.q = (uint8_t *)(t.one + p->q_tok);
    t.s = t.one + p->q_tok * (n_q * p->kv + 1);
    t.p = (uint8_t *)(t.s + p->s_tok * n_q);
    t.o = t.s + 2 * p->s_tok * n_q;
    t.sum_o = t.o + p->o_tok * n_q * p->kv;
    return t;
}

void qn_op_attn_run(const qn_op_attn *op, qn_worker *w)
{
    attn_cursor c = {0};
    attn_plan p;
    int64_t item;
    int now = 0;

    plan_of(w->be, op, false, &p);
    attn_tile t = tile_in(op, &p, w), of[2] = {t, t};
    bool more = qn_worker_take(w, p.n_item, &item);
    if (more)
        begin(&p, &c, item, &of[now]);
    for (; more; now ^= 1) {
        attn_tile *then = NULL;
        const int64_t mine = item;
        const bool few = of[now].n_q <= FEW; /* soon done: the next one, too */
        if (few && (more = qn_worker_take(w, p.n_item, &item))) {
            then = &of[now ^ 1];
            find(&p, &c, item, then);
        }
        run_item(&p, w, mine, &of[now], then);
        if (!few && (more = qn_worker_take(w, p.n_item, &item)))
            begin(&p, &c, item, &of[now ^ 1]);
    }
    if (!p.split)
        return;
    qn_worker_barrier(w);
    qn_worker_phase(w, p.n_item);
    add_waiting(&p, w, &t);
}

bool qn_op_attn_by_head(const qn_cpu_backend *be, const qn_op_attn *op)
{
    attn_plan p;

    plan_of(be, op, true, &p);
    return !p.split && p.n_part == 1;
}

/* An item is a tile, the kv heads of a tile of rows one after the other. */
void qn_op_attn_head(const qn_op_attn *op, qn_worker *w, int head)
{
    int n_kv = op->kv->desc.n_kv, now = 0;
    attn_cursor c = {0};
    attn_plan p;

    plan_of(w->be, op, true, &p);
    attn_tile t = tile_in(op, &p, w), of[2] = {t, t};
    begin(&p, &c, head, &of[now]);
    for (int64_t item = head; item < p.n_item; item += n_kv, now ^= 1) {
        const bool more = item + n_kv < p.n_item;
        if (more)
            find(&p, &c, item + n_kv, &of[now ^ 1]);
        run_item(&p, w, item, &of[now], more ? &of[now ^ 1] : NULL);
    }
}
