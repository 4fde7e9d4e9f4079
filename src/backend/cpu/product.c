/* product.c - see product.h. */
#include "backend/cpu/product.h"

#include <assert.h>

#define ACC_FLOATS ((int64_t)(QN_PRODUCT_ACC_BYTES / sizeof(float)))
#define K_BLOCK 2048
#define MAX_TOK_BLOCK 128
#define DECODE_GROUP_BYTES (256 << 10) /* weights of an item, few tokens */
#define FEW_TOK 32 /* up to here, weights are what takes the time */
#define MAX_GROUP 16
#define LANES 4 /* panels that kernels take at once */
#define DEEP 64 /* panels of a lane, at most        */

const qn_tile_kernel *qn_product_kernel(const qn_cpu_backend *be,
                                        const qn_weight *w)
{
    const qn_tile_kernel *coded = be->kern.coded[w->layout];
    int block = w->scaled.block;

    if (be->exact)
        return &be->kern.exact[w->layout];
    coded += block == 64 ? 2 : block == 32;
    return coded->fn ? coded : &be->kern.linear[w->layout];
}

int64_t qn_product_stride(qn_xform form, int64_t n_in)
{
    return (int64_t)((qn_round64((uint64_t)qn_xform_bytes(form, n_in)) / 64) |
                     1) *
           64;
}

int64_t qn_product_widest(int64_t n_in)
{
    int64_t top = 0;

    for (int f = 0; f < QN_X_N; f++)
        top = QN_MAX(top, qn_product_stride((qn_xform)f, n_in));
    return top;
}

/* From a token's sums to the next one's: an odd number of cache lines, so that
 * a panel's do not fall on few cache sets. */
static int64_t acc_lines(int64_t n_panel)
{
    return n_panel | 1;
}

/* Panels whose sums fit: acc_lines() of them are lines enough. */
static int64_t room_of(const qn_product *p)
{
    int n_sum = p->epi == QN_EPI_GLU ? 2 : 1;

    return (ACC_FLOATS / n_sum / QN_PANEL / p->tok_block - 1) | 1;
}

/* Few rows, that a kernel takes at once, from places far apart. */
static bool in_lanes(const qn_product *p)
{
    return p->n_row <= QN_FEW && p->n_tok_block == 1 && !p->prep;
}

/* Panels per item of a part: enough to be worth a ticket, few enough that all
 * threads have several items and that the sums fit. */
static int group_size(const qn_cpu_backend *be, const qn_product *p, int i)
{
    const qn_weight *w = p->part[i].w;
    int n_sum = p->epi == QN_EPI_GLU ? 2 : 1;
    /* Few rows: memory streams through. More: what an item does first for its
     * tokens should pay. */
    int per_thread = in_lanes(p) || p->tok_block > 4 ? 8 : 16;
    int64_t spread = p->alone ? w->n_panel
                              : w->n_panel * p->n_tok_block /
                                    (per_thread * be->n_threads);
    int64_t g;

    if (in_lanes(p)) { /* lanes should be a few panels deep */
        g = DEEP * LANES;
        spread = QN_MAX(spread, QN_MIN(MAX_GROUP, w->n_panel / be->n_threads));
    } else if (p->n_tok_block == 1 && p->tok_block <= FEW_TOK)
        g = QN_MIN(DECODE_GROUP_BYTES / (w->panel_bytes * n_sum), MAX_GROUP);
    else /* tiles put the tokens in order once for all of them */
        g = p->part[i].kernel->max_tok > FEW_TOK ? MAX_GROUP : LANES;
    g = QN_MIN(QN_MAX(g, LANES), QN_MIN(room_of(p), spread));
    if (p->prep) /* the blocks of a form */
        g = QN_MAX(g, LANES);
    if (g >= LANES)
        g = g / LANES * LANES;
    else if (w->n_panel > LANES * be->n_threads)
        g = QN_MIN(LANES, room_of(p));
    return (int)QN_MAX(g, 1);
}

void qn_product_plan(const qn_cpu_backend *be, qn_product *p)
{
    int64_t n_in = p->part[0].w->n_in, per_tok = 0;
    int max_tok = MAX_TOK_BLOCK;

    for (int i = 0; i < p->n_part; i++) {
        const qn_tile_kernel *k = p->part[i].kernel;
        max_tok = QN_MIN(max_tok, k->max_tok);
        per_tok = QN_MAX(per_tok,
                         qn_xform_bytes(k->xform, QN_MIN(n_in, K_BLOCK)));
    }
    p->k_block = n_in;
    p->tok_block = p->n_row;
    if (p->n_row > max_tok) {
        int64_t fit = be->l2 / 2 / QN_MAX(per_tok, 1);
        int cap = (int)QN_MIN(fit, MAX_TOK_BLOCK) / max_tok * max_tok;
        int n;
        cap = QN_MAX(cap, max_tok);
        /* even blocks, in whole tiles where that is possible */
        n = (p->n_row + cap - 1) / cap;
        p->tok_block = (p->n_row + n - 1) / n;
        p->tok_block = (p->tok_block + max_tok - 1) / max_tok * max_tok;
        p->k_block = K_BLOCK;
    }
    p->n_tok_block = (p->n_row + p->tok_block - 1) / p->tok_block;

    p->n_item = 0;
    for (int i = 0; i < p->n_part; i++) {
        p->group[i] = group_size(be, p, i);
        p->n_group[i] = (p->part[i].w->n_panel + p->group[i] - 1) / p->group[i];
        p->n_item += p->n_group[i];
        if (p->epi == QN_EPI_GLU)
            break; /* part 1 goes with part 0 */
    }
    p->n_item *= p->n_tok_block;
}

/* Where panels that are computed together are: `deep` neighbours in each of n_lane
 * lanes. */
typedef struct place {
    int t0, part, n_lane, deep;
    int64_t panel, apart; /* the first; from a lane to the next */
} place;

static place place_of(const qn_product *p, int64_t i)
{
    int64_t per_block = p->n_item / p->n_tok_block, at = i % per_block;
    place x = {.t0 = (int)(i / per_block) * p->tok_block,
               .deep = 1,
               .apart = 1};

    while (at >= p->n_group[x.part])
        at -= p->n_group[x.part++];
    x.panel = at * p->group[x.part];
    x.n_lane = (int)QN_MIN(p->group[x.part],
                           p->part[x.part].w->n_panel - x.panel);
    return x;
}

static const uint8_t *weights_of(const qn_product *p, int part, int64_t panel)
{
    const qn_weight *w = p->part[part].w;

    return w->data + panel * w->panel_bytes;
}

/* Sums of a place's panels of a part for n_tok tokens; `next` is read after them. */
static void sums(const qn_product *p, const place *at, int part, int n_tok,
                 const uint8_t *next, float *acc, int64_t acc_tok)
{
    const qn_weight *w = p->part[part].w;
    const qn_tile_kernel *k = p->part[part].kernel;
    const uint8_t *panel = weights_of(p, part, at->panel);

    for (int64_t k0 = 0; k0 < w->n_in; k0 += p->k_block) {
        int64_t end = QN_MIN(k0 + p->k_block, w->n_in);
        qn_tile t = {
            .w = panel + qn_weight_offset(w, k0),
            .w_panel = at->apart * w->panel_bytes,
            .x = p->part[part].x + at->t0 * p->part[part].x_tok +
                 qn_xform_offset(k->xform, k0),
            .x_tok = p->part[part].x_tok,
            .acc = acc,
            .acc_tok = acc_tok,
            .n_k = (int)(end - k0),
            .n_tok = n_tok,
            .n_panel = at->n_lane,
            .n_more = at->deep - 1,
            .w_more = w->panel_bytes,
            .load = k0 > 0,
            .next = end < w->n_in ? panel + qn_weight_offset(w, end) : next,
            .q = &w->scaled,
        };
        qn_tile_run(k, &t);
    }
}

_Static_assert(QN_PRODUCT_COLUMNS == LANES * QN_PANEL, "see group_size");

/* Outputs that wait in the place of their sums become x of the next product. */
static void hand_on(const qn_product *p, const qn_epilogue_args *e, int t0,
                    int64_t col)
{
    uint8_t *to = p->next_x + t0 * p->next_tok +
                  qn_xform_offset(p->next_form, col);

    for (int t = 0; t < e->n_tok; t++, to += p->next_tok)
        p->prep(e->y + t * e->ldy, e->n_col, to);
}

/* Sums of n_panel neighbours, which lie acc_panel apart, become outputs. */
static void finish(const qn_cpu_backend *be, const qn_product *p,
                   const place *at, int64_t panel, int n_panel, int n_tok,
                   float *acc, int64_t acc_panel, int64_t acc_tok)
{
    const bool glu = p->epi == QN_EPI_GLU;
    const float *b0 = p->part[at->part].bias, *b1 = p->part[1].bias;
    int64_t col = panel * QN_PANEL, ldy = p->part[at->part].ldy;
    qn_epilogue_args e = {
        .acc = acc,
        .acc1 = acc + (glu ? n_tok * acc_tok : 0),
        .acc_tok = acc_tok,
        .acc_panel = acc_panel,
        .bias = b0 ? b0 + col : NULL,
        .bias1 = glu && b1 ? b1 + col : NULL,
        .y = p->part[at->part].y + at->t0 * ldy + col,
        .ldy = ldy,
        .n_tok = n_tok,
        .n_col = (int)QN_MIN((int64_t)n_panel * QN_PANEL,
                             p->part[at->part].w->n_out - col),
        .kind = p->epi,
        .act = p->act,
        .scale = p->scale,
    };

    if (p->prep) {
        e.y = acc;
        e.ldy = acc_tok;
    }
    be->kern.epilogue.fn(&e);
    if (p->prep)
        hand_on(p, &e, at->t0, col);
}

/* `next`: weights that are read afterwards, or NULL. */
static void compute(const qn_cpu_backend *be, const qn_product *p,
                    const place *at, const uint8_t *next, float *acc)
{
    const int n_sum = p->epi == QN_EPI_GLU ? 2 : 1;
    const int n_tok = QN_MIN(p->tok_block, p->n_row - at->t0);
    const int64_t row = (int64_t)at->n_lane * QN_PANEL;
    const int64_t acc_tok = acc_lines((int64_t)at->deep * at->n_lane) *
                            QN_PANEL;

    assert(n_tok * acc_tok * n_sum <= ACC_FLOATS);
    for (int j = 0; j < n_sum; j++)
        sums(p, at, n_sum == 2 ? j : at->part, n_tok,
             j + 1 < n_sum ? weights_of(p, 1, at->panel) : next,
             acc + j * n_tok * acc_tok, acc_tok);
    if (at->deep == 1 && at->apart == 1)
        finish(be, p, at, at->panel, at->n_lane, n_tok, acc, QN_PANEL, acc_tok);
    else
        for (int i = 0; i < at->n_lane; i++)
            finish(be, p, at, at->panel + i * at->apart, at->deep, n_tok,
                   acc + i * QN_PANEL, row, acc_tok);
}

void qn_product_item(const qn_cpu_backend *be, const qn_product *p, int64_t i,
                     int64_t next, float *acc)
{
    place at = place_of(p, i), then = place_of(p, QN_MAX(next, 0));
    const uint8_t *after = next < 0 ? NULL
                                    : weights_of(p, then.part, then.panel);
    int deep = at.n_lane / LANES;

    if (in_lanes(p) && deep > 1) { /* as a stretch, see piece_of */
        place lanes = at;
        lanes.n_lane = LANES;
        lanes.deep = deep;
        lanes.apart = deep;
        compute(be, p, &lanes, after, acc);
        at.n_lane %= LANES;
        at.panel += (int64_t)deep * LANES;
        if (!at.n_lane)
            return;
    }
    compute(be, p, &at, after, acc);
}

/* Of few rows memory is what takes the time, and the fastest way through it is
 * LANES streams that go on and on: each thread begins with a stretch of its own of
 * every part, cut into LANES lanes, of which a kernel takes a panel each (Zen 4, one
 * core, nf4 of 8192 x 2048: 24.5 GB/s in one stream, 29.9 in four lanes; of panels
 * side by side, which end after 18 KB, less than in one). What leaves the lanes costs
 * them some of that, be it the matrix of a gate or outputs in four places: so sums
 * wait until a piece of the stretch is done. Who has come to the end of its own takes
 * pieces of others'.
 *
 * Piece i of stretch s of n; false when there are no more. */
static bool piece_of(const qn_product *p, int s, int n, int64_t i, place *at)
{
    const bool glu = p->epi == QN_EPI_GLU;
    const int64_t most = QN_MIN(room_of(p) / LANES, DEEP);

    for (int part = 0; part < (glu ? 1 : p->n_part); part++) {
        int64_t begin, end, lane, step, n_piece = 0;
        qn_pool_split(p->part[part].w->n_panel, 1, s, n, &begin, &end);
        lane = (end - begin) / LANES;
        *at = (place){.part = part, .n_lane = LANES, .apart = lane};
        at->deep = (int)qn_piece(lane, most, n, i, &step);
        at->panel = begin + step;
        if (at->deep)
            return true;
        while (qn_piece(lane, most, n, n_piece, &step))
            n_piece++;
        i -= n_piece;
        begin += lane * LANES;
        *at = (place){.part = part,
                      .n_lane = (int)(end - begin),
                      .deep = 1,
                      .panel = begin,
                      .apart = 1};
        if (begin < end && i-- == 0)
            return true;
    }
    return false;
}

/* By stretches; their counters are those of an op, so in its first phase alone. */
static void run_stretches(const qn_product *p, qn_worker *w)
{
    float *acc = (float *)(void *)w->own;

    for (int j = 0; j < w->n_threads; j++) {
        int s = (w->thread + j) % w->n_threads;
        place at;
        while (piece_of(p, s, w->n_threads, qn_worker_take_of(w, s), &at))
            compute(w->be, p, &at, NULL, acc);
    }
}

/* A ticket is taken before the last item of the one before is computed: memory
 * that begins a new stream without having been asked for costs half a
 * microsecond (measured), which is a tenth of a small item. */
void qn_product_run(const qn_product *p, qn_worker *w)
{
    float *acc = (float *)(void *)w->own;
    int64_t item, next;
    bool more;

    if (in_lanes(p) && w->base == 0) {
        run_stretches(p, w);
        return;
    }
    more = qn_worker_take(w, p->n_item, &item);
    while (more) {
        more = qn_worker_take(w, p->n_item, &next);
        qn_product_item(w->be, p, item, more ? next : -1, acc);
        item = next;
    }
    qn_worker_phase(w, p->n_item);
}

void qn_product_share(const qn_product *p, const qn_worker *w, int64_t i,
                      int64_t m, int64_t n)
{
    float *acc = (float *)(void *)w->own;
    qn_weight views[QN_LINEAR_PARTS];
    qn_product mine = *p;

    mine.alone = true;
    for (int j = 0; j < p->n_part; j++) {
        int64_t n_panel = p->part[j].w->n_panel / n * m;
        int64_t at = p->part[j].w->n_panel / n * i;
        qn_weight *view = &views[j];
        *view = *p->part[j].w;
        view->data += at * view->panel_bytes;
        view->n_panel = n_panel;
        view->n_out = n_panel * QN_PANEL;
        mine.part[j].w = view;
        mine.part[j].y += at * QN_PANEL;
        if (mine.part[j].bias)
            mine.part[j].bias += at * QN_PANEL;
    }
    qn_product_plan(w->be, &mine);
    for (int64_t k = 0; k < mine.n_item; k++)
        qn_product_item(w->be, &mine, k, k + 1 < mine.n_item ? k + 1 : -1, acc);
}
