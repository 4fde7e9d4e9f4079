/* linear_bf16_amx.c - bf16 weights with tiles.
 *
 *   acc[t][16 p + l] += sum over 32 k's of w[k] x[k]       one tdpbf16ps
 *
 * The panel's layout is that of the instruction: 16 lines of pairs (k, k + 1)
 * of 16 rows are a tile, 16 tokens' x another, 16 x 16 sums the third. For any
 * number of tokens the same instruction walks the same 32 k's upward, so an
 * output's bits do not depend on it; they are not those of vdpbf16ps, which
 * adds in another order.
 *
 * Up to 16 tokens: 4 panels, four streams of memory; bound by the bytes. More:
 * 2 panels x 32 tokens, 16 cycles for each of the four products of 32 k's; from
 * 33 tokens on, k in chunks whose weights stay in the second-level cache.
 * Reference: panel_bf16 in ref/ref_linear.c, tolerance gamma(n_k) sum |w x|.
 */
#include "backend/cpu/x86/amx.h"
#include "backend/cpu/x86/x86.h"

#include <string.h>

enum {
    MAX_TOK = 128,
    STEP = 32, /* k's of a product */
    LINES = STEP / 2,
    CHUNK = 2048,
    AHEAD = 1024
};

/* The last k's, completed to a whole step by zeros. */
typedef struct tail {
    QN_ALIGNED(64) uint8_t w[4][LINES * 64];
    QN_ALIGNED(64) uint8_t x[2 * AMX_ROWS * AMX_BYTES];
    const uint8_t *w_at, *x_at; /* what to go on from */
    int64_t w_panel, x_tok;
} tail;

static void tail_make(tail *l, const uint8_t *w, int64_t w_panel, int n_panel,
                      const uint8_t *x, int64_t x_tok, int n_tok, int n_k)
{
    size_t pairs = (size_t)(n_k + 1) / 2;

    memset(l->w, 0, sizeof l->w);
    memset(l->x, 0, sizeof l->x);
    for (int p = 0; p < n_panel; p++)
        memcpy(l->w[p], w + p * w_panel, pairs * 64);
    for (int i = 0; i < n_tok; i++)
        memcpy(l->x + i * AMX_BYTES, x + i * x_tok, pairs * 4);
    l->w_at = l->w[0];
    l->x_at = l->x;
    l->w_panel = sizeof l->w[0];
    l->x_tok = AMX_BYTES;
    amx_fence();
}

/* Tiles 0 to 3: sums; 4, 5: tokens; 6, 7: weights. Sums 0 and 1 are of m0
 * tokens, sums 2 and 3 of m1. */
static void configure(int m0, int m1)
{
    amx_config c = {0};

    for (int i = 0; i < 6; i++)
        amx_set(&c, i, i == 2 || i == 3 || i == 5 ? m1 : m0, AMX_BYTES);
    amx_set(&c, 6, LINES, AMX_BYTES);
    amx_set(&c, 7, LINES, AMX_BYTES);
    amx_begin(&c);
}

/* ---- up to 16 tokens ----------------------------------------------------- */

/* `beyond` leads from a panel's end to what follows in its stream. */
QN_INLINE void ahead(const uint8_t *w, int64_t w_panel, int64_t left,
                     int64_t beyond, const int N)
{
    const int far = AHEAD * 4 / N;

    w += far + (left <= far ? beyond : 0);
    for (int p = 0; p < N; p++, w += w_panel)
        QN_UNROLL
    for (int i = 0; i < LINES; i++)
        _mm_prefetch((const char *)w + 64 * i, _MM_HINT_T0);
}

QN_INLINE void few(const qn_tile *t, const int N)
{
    const uint8_t *w = t->w, *x = t->x;
    int64_t acc_tok = t->acc_tok * (int64_t)sizeof(float);
    int64_t beyond = qn_tile_beyond(w, t->n_k * (int64_t)32, t->next);
    int k = 0;

    amx_sums_begin(t->acc, acc_tok, t->load, N);
    for (; k + STEP <= t->n_k; k += STEP, w += LINES * 64, x += STEP * 2) {
        ahead(w, t->w_panel, (t->n_k - k) * (int64_t)32, beyond, N);
        amx_bf16_step(w, 64, t->w_panel, x, t->x_tok, N);
    }
    if (k < t->n_k) {
        tail l;
        tail_make(&l, w, t->w_panel, N, x, t->x_tok, t->n_tok, t->n_k - k);
        amx_bf16_step(l.w_at, 64, l.w_panel, l.x_at, l.x_tok, N);
    }
    amx_sums_end(t->acc, acc_tok, N);
}

static void few_tokens(const qn_tile *t)
{
    qn_tile p = *t;

    configure(t->n_tok, t->n_tok);
    for (; p.n_panel >= 4; p.n_panel -= 4) {
        p.next = p.n_panel > 4 ? p.w + 4 * p.w_panel : t->next;
        few(&p, 4);
        p.w += 4 * p.w_panel;
        p.acc += 4 * QN_PANEL;
    }
    for (; p.n_panel > 0; p.n_panel--) {
        p.next = p.n_panel > 1 ? p.w + p.w_panel : t->next;
        few(&p, 1);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

/* ---- more ---------------------------------------------------------------- */

QN_INLINE void many_step(const uint8_t *w, int64_t w_panel, const uint8_t *x,
                         int64_t x_tok, const int N, const int M)
{
    _tile_loadd(6, w, 64);
    _tile_loadd(4, x, x_tok);
    _tile_dpbf16ps(0, 4, 6);
    if (N > 1) {
        _tile_loadd(7, w + w_panel, 64);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (M == 1)
        return;
    _tile_loadd(5, x + AMX_ROWS * x_tok, x_tok);
    _tile_dpbf16ps(2, 5, 6);
    if (N > 1)
        _tile_dpbf16ps(3, 5, 7);
}

/* N panels x M tiles of tokens (the last of them may be shorter), n_k k's of
 * which the last step may be short. */
QN_INLINE void many_block(const qn_tile *t, const uint8_t *w, const uint8_t *x,
                          float *acc, int n_k, int n_tok, bool load,
                          const int N, const int M)
{
    int64_t beyond = qn_tile_beyond(w, n_k * (int64_t)32, t->next);
    int64_t acc_tok = t->acc_tok * (int64_t)sizeof(float);
    float *acc1 = acc + AMX_ROWS * t->acc_tok;
    int k = 0;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (load)
        _tile_loadd(0, acc, acc_tok);
    if (load && N > 1)
        _tile_loadd(1, acc + QN_PANEL, acc_tok);
    if (load && M > 1)
        _tile_loadd(2, acc1, acc_tok);
    if (load && M > 1 && N > 1)
        _tile_loadd(3, acc1 + QN_PANEL, acc_tok);
    for (; k + STEP <= n_k; k += STEP, w += LINES * 64, x += STEP * 2) {
        if (t->n_tok <= 2 * AMX_ROWS) /* else a prefetch costs more */
            ahead(w, t->w_panel, (n_k - k) * (int64_t)32, beyond, N);
        many_step(w, t->w_panel, x, t->x_tok, N, M);
    }
    if (k < n_k) {
        tail l;
        tail_make(&l, w, t->w_panel, N, x, t->x_tok, n_tok, n_k - k);
        many_step(l.w_at, l.w_panel, l.x_at, l.x_tok, N, M);
    }
    _tile_stored(0, acc, acc_tok);
    if (N > 1)
        _tile_stored(1, acc + QN_PANEL, acc_tok);
    if (M > 1)
        _tile_stored(2, acc1, acc_tok);
    if (M > 1 && N > 1)
        _tile_stored(3, acc1 + QN_PANEL, acc_tok);
}

/* n_k k's from k0 for N panels and all tokens. */
QN_INLINE void many_panels(const qn_tile *all, int k0, int n_k, int p0,
                           const int N)
{
    qn_tile set = *all;
    const qn_tile *t = &set;
    const uint8_t *w = t->w + p0 * t->w_panel + (int64_t)k0 * 32;
    const uint8_t *x = t->x + (int64_t)k0 * 2;
    float *acc = t->acc + p0 * QN_PANEL;
    bool load = t->load || k0 > 0;
    int left = t->n_tok;

    if (p0 + N < t->n_panel)
        set.next = w + N * t->w_panel;

    if (left >= 32)
        configure(AMX_ROWS, AMX_ROWS);
    for (; left >= 32; left -= 32) {
        many_block(t, w, x, acc, n_k, 32, load, N, 2);
        x += 32 * t->x_tok;
        acc += 32 * t->acc_tok;
    }
    if (left == 0)
        return;
    if (left > AMX_ROWS) {
        configure(AMX_ROWS, left - AMX_ROWS);
        many_block(t, w, x, acc, n_k, left, load, N, 2);
    } else {
        configure(left, 1);
        many_block(t, w, x, acc, n_k, left, load, N, 1);
    }
}

static void linear_bf16_amx(const qn_tile *t)
{
    /* up to 32 tokens see the weights once */
    int chunk = t->n_tok <= 32 ? QN_MAX(t->n_k, 1) : CHUNK;

    for (int k = 0; k < t->n_k && t->n_tok > AMX_ROWS; k += chunk) {
        int p = 0, n_k = QN_MIN(chunk, t->n_k - k);
        for (; p + 2 <= t->n_panel; p += 2)
            many_panels(t, k, n_k, p, 2);
        if (p < t->n_panel)
            many_panels(t, k, n_k, p, 1);
    }
    if (t->n_tok <= AMX_ROWS)
        few_tokens(t);
    amx_end();
}

void qn_x86_linear_bf16_amx(qn_kernels *k)
{
    k->linear[QN_LAYOUT_BF16] = (qn_tile_kernel){"linear_bf16_amx",
                                                 linear_bf16_amx, QN_X_BF16,
                                                 MAX_TOK, 0};
}
