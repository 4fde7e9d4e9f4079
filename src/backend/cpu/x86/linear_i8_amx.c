/* linear_i8_amx.c - weights of whole numbers (q8_0, q4_0 and the layouts of
 * codes) with tiles.
 *
 *   per block of x:  i = sum of v q                        one tdpbssd
 *                    acc[t][l] += (i * scale[l]) * d_x
 *
 * Both sides are put where tiles load them best: 16 rows' codes become signed
 * bytes in the first-level cache, and tokens' blocks lie one behind the other in
 * the order of use (rows that cross lines of the cache take several times as
 * long). A block's sums come out of the tile through memory (nothing else leads
 * out of it) and meet their scales LAG blocks later, when they have arrived
 * there. Sums are exact and the steps in f32 are those of
 * linear_i8_avx512vnni.c, so both have the same bits, and the one that is faster
 * for a number of tokens is taken. (Tiles that begin with QN_COUNT_BITS save one of
 * the three steps, but have to be loaded: blocks of 64 are as fast, those of 32 a
 * tenth slower.)
 *
 * Bound: per block, tile of tokens and panel 16 cycles of the product, 16 lines
 * stored and 48 operations in f32, for which one unit is left: beside instructions of
 * tiles, be it one that clears a tile, those of f32 run at half their rate (Sapphire
 * Rapids: 24 cycles alone, 48 with a _tile_zero; additions of integers keep theirs).
 * Reference: panel_q in ref/ref_linear.c, ref/ref_coded.c.
 */
#include "backend/cpu/x86/amx.h"
#include "backend/cpu/x86/i8_form.h"
#include "backend/cpu/x86/x86.h"

enum {
    MAX_TOK = 128,
    MIN_BLOCK = 16,
    CHUNK = 256,            /* k's of 128 tokens that wait in order of use */
    FEW_CHUNK = CHUNK * 8,  /* of up to 16 */
    PAIR = 32,              /* tokens of two tiles */
    PAIR_CHUNK = CHUNK * 4, /* of up to 32 */
    PLACES = 2 * CHUNK,     /* k's of weights as bytes */
    LAG = 4,                /* blocks from a product to its scales */
    FEW_LAG = 3, /* from bytes to product; both together: below PLACES / 64 */
    RING = 2 * LAG,
    PAIR_LAG = RING / 2 - 1, /* two of them a block */
    AHEAD = 4096
};

/* Tokens' blocks: of tile i, block b, 16 rows of B bytes, then the next b. */
typedef struct tokens {
    QN_ALIGNED(64) uint8_t q[MAX_TOK * CHUNK];
    QN_ALIGNED(64) float d[MAX_TOK / 16 * CHUNK / MIN_BLOCK][16];
    float dsum[MAX_TOK / 16 * CHUNK / MIN_BLOCK][16];
    int32_t sum[MAX_TOK / 16 * CHUNK / MIN_BLOCK][16];
} tokens;

/* Blocks of a panel as bytes, with their scales. */
typedef struct bytes {
    QN_ALIGNED(64) uint8_t v[PLACES * QN_PANEL]; /* 4 k's of 16 rows, ... */
    __m512 scale[PLACES / MIN_BLOCK], min[PLACES / MIN_BLOCK];
    __m512i lack[PLACES / MIN_BLOCK]; /* A8: minus the zero points */
} bytes;

typedef struct room {
    tokens x;
    bytes w;
    QN_ALIGNED(64) int32_t sums[RING][AMX_ROWS][QN_PANEL];
    float acc[PAIR][QN_PANEL]; /* of up to 32 tokens */
} room;

/* What does not change within a call. */
typedef struct consts {
    __m512i book; /* of all 16 nibbles: their v */
    __m512 unit;
    int shift; /* of k to its group */
} consts;

QN_INLINE consts consts_of(const qn_tile *t, qn_layout l)
{
    const __m128i plain = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                        12, 13, 14, 15);
    __m128i book = plain;
    consts c = {.unit = _mm512_set1_ps(1),
                .shift = __builtin_ctz((unsigned)i8_group(t, l))};

    if (l == QN_LAYOUT_Q4_0)
        book = _mm_sub_epi8(plain, _mm_set1_epi8(8));
    if (l == QN_LAYOUT_CB4) {
        book = _mm_loadu_si128((const __m128i *)(const void *)t->q->points);
        c.unit = _mm512_set1_ps(t->q->unit);
    }
    c.book = _mm512_broadcast_i32x4(book);
    return c;
}

/* Codes stay unsigned: 8 bits with zero points of 8 bits, or minima. */
QN_INLINE bool is_unsigned(qn_layout l)
{
    return l == QN_LAYOUT_A8 || l == QN_LAYOUT_M8;
}

/* ---- codes to bytes ------------------------------------------------------ */

/* Of A4: each row's zero point in the four bytes of its lane. */
QN_INLINE __m512i zeros_of(const uint8_t *zeros)
{
    const __m512i spread = _mm512_set4_epi32(0x03030303, 0x02020202, 0x01010101,
                                             0);
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 0x04040404, 0x04040404,
                                           0x04040404, 0x04040404, 0x08080808,
                                           0x08080808, 0x08080808, 0x08080808,
                                           0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c,
                                           0x0c0c0c0c);

    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(
                                   (const __m128i *)(const void *)zeros)),
                               _mm512_add_epi8(spread, lane));
}

QN_INLINE void unpack(const consts *c, qn_layout l, const uint8_t *group,
                      const uint8_t *codes, uint8_t *v, const int B)
{
    const __m512i nibble = _mm512_set1_epi8(15), top = _mm512_set1_epi8(-128);
    __m512i zeros = l == QN_LAYOUT_A4 ? zeros_of(group + 64) : top;
    __m512i fifth = i8_fifth_bits(l, codes);

    QN_UNROLL
    for (int i = 0; i < i8_lines(l, B); i++) {
        __m512i w = _mm512_loadu_si512(codes + 64 * i), lo, hi;
        if (!qn_layout_nibbles(l)) {
            if (l == QN_LAYOUT_Q8_0 || l == I8_A8_PLAIN)
                w = _mm512_xor_si512(w, top);
            _mm512_store_si512(v + 64 * i, w);
            continue;
        }
        lo = _mm512_and_si512(w, nibble);
        hi = _mm512_and_si512(_mm512_srli_epi16(w, 4), nibble);
        if (l == QN_LAYOUT_A4) {
            lo = _mm512_sub_epi8(lo, zeros);
            hi = _mm512_sub_epi8(hi, zeros);
        } else if (l == QN_LAYOUT_K5) {
            i8_add_fifth(&fifth, &lo, &hi);
        } else if (!qn_layout_mins(l)) {
            lo = _mm512_shuffle_epi8(c->book, lo);
            hi = _mm512_shuffle_epi8(c->book, hi);
        }
        _mm512_store_si512(v + 64 * (l == QN_LAYOUT_Q4_0 ? i : 2 * i), lo);
        _mm512_store_si512(v + 64 * (l == QN_LAYOUT_Q4_0 ? 4 + i : 2 * i + 1),
                           hi);
    }
}

/* The block at k of a panel into place `at`. */
QN_INLINE void fill(bytes *u, const consts *c, const qn_tile *t, qn_layout l,
                    const uint8_t *panel, int k, int at, const int B)
{
    const int in_group = k & ((1 << c->shift) - 1);
    const uint8_t *group = panel +
                           (int64_t)(k >> c->shift) * i8_group_bytes(t, l);
    const uint8_t *codes = group + i8_head(t, l) + i8_code_bytes(l, in_group);

    if (qn_layout_mins(l))
        u->min[at] = i8_mins(l, group, in_group);
    if (l == QN_LAYOUT_A8)
        u->lack[at] = i8_lack(group);
    u->scale[at] = i8_scales(l, group, in_group, c->unit);
    QN_UNROLL
    for (int i = 0; i < i8_code_bytes(l, B); i += 64)
        _mm_prefetch((const char *)codes + AHEAD + i, _MM_HINT_T0);
    unpack(c, l, group, codes, u->v + at * B * QN_PANEL, B);
    amx_fence();
}

/* ---- tokens in the order of use ------------------------------------------ */

/* n_block blocks of n_tok tokens from x on. */
QN_INLINE void gather(tokens *u, qn_layout l, const uint8_t *x, int64_t x_tok,
                      int n_tok, int n_block, const int B)
{
    for (int t = 0; t < n_tok; t++, x += x_tok) {
        int first = t / 16 * n_block, i = t % 16;
        const uint8_t *at = x;
        for (int b = first; b < first + n_block; b++) {
            const uint8_t *meta = at + i8_x_d(l, B);
            memcpy(u->q + (b * 16 + i) * B, at, (size_t)B);
            memcpy(&u->d[b][i], meta, sizeof(float));
            if (qn_layout_mins(l))
                memcpy(&u->dsum[b][i], meta + offsetof(qn_xi8, dsum),
                       sizeof(float));
            if (l == QN_LAYOUT_A8)
                memcpy(&u->sum[b][i], meta + offsetof(qn_xi8, sum),
                       sizeof(int32_t));
            at += i8_x_bytes(l, B);
        }
    }
    /* What stands in for tokens that are not there must not be subnormal:
     * that takes hundreds of cycles. */
    for (int t = n_tok; t % 16 != 0; t++)
        for (int b = t / 16 * n_block; b < (t / 16 + 1) * n_block; b++)
            u->d[b][t % 16] = u->dsum[b][t % 16] = 0;
    amx_fence();
}

/* ---- products ------------------------------------------------------------ */

/* Tiles 0, 1 and 2, 3, 4, 5: sums, tokens and weights of blocks in turn; 6, 7:
 * sums and tokens of fewer. */
static void configure(int few, int B)
{
    amx_config c = {0};

    for (int i = 0; i < 2; i++) {
        amx_set(&c, i, AMX_ROWS, AMX_BYTES);
        amx_set(&c, 2 + i, AMX_ROWS, B);
        amx_set(&c, 4 + i, B / 4, AMX_BYTES);
    }
    amx_set(&c, 6, few, AMX_BYTES);
    amx_set(&c, 7, few, B);
    amx_begin(&c);
}

QN_INLINE void multiply_0(const uint8_t *x, const uint8_t *v, int32_t *sums,
                          const bool plus, const int B)
{
    _tile_zero(0);
    _tile_loadd(2, x, B);
    _tile_loadd(4, v, AMX_BYTES);
    if (plus)
        _tile_dpbsud(0, 2, 4);
    else
        _tile_dpbssd(0, 2, 4);
    _tile_stored(0, sums, AMX_BYTES);
}

QN_INLINE void multiply_1(const uint8_t *x, const uint8_t *v, int32_t *sums,
                          const bool plus, const int B)
{
    _tile_zero(1);
    _tile_loadd(3, x, B);
    _tile_loadd(5, v, AMX_BYTES);
    if (plus)
        _tile_dpbsud(1, 3, 5);
    else
        _tile_dpbssd(1, 3, 5);
    _tile_stored(1, sums, AMX_BYTES);
}

/* Of up to 32 tokens: what the tile had leaves first, since a product takes as
 * long as the processor can look ahead. */
QN_INLINE void multiply_first(const uint8_t *x, const uint8_t *v,
                              int32_t *before, bool leave, bool begin,
                              const bool plus, const int B)
{
    if (leave)
        _tile_stored(0, before, AMX_BYTES);
    if (!begin)
        return;
    _tile_zero(0);
    _tile_loadd(4, v, AMX_BYTES);
    _tile_loadd(2, x, B);
    if (plus)
        _tile_dpbsud(0, 2, 4);
    else
        _tile_dpbssd(0, 2, 4);
}

/* The second tile of tokens, with the same weights. */
QN_INLINE void multiply_second(const uint8_t *x, int32_t *before, bool leave,
                               bool begin, const bool plus, const int B)
{
    if (leave)
        _tile_stored(1, before, AMX_BYTES);
    if (!begin)
        return;
    _tile_zero(1);
    _tile_loadd(3, x, B);
    if (plus)
        _tile_dpbsud(1, 3, 4);
    else
        _tile_dpbssd(1, 3, 4);
}

QN_INLINE void multiply_few(const uint8_t *x, const uint8_t *v, int32_t *before,
                            bool leave, bool begin, const bool plus,
                            const int B)
{
    if (leave)
        _tile_stored(6, before, AMX_BYTES);
    if (!begin)
        return;
    _tile_zero(6);
    _tile_loadd(7, x, B);
    _tile_loadd(4, v, AMX_BYTES);
    if (plus)
        _tile_dpbsud(6, 7, 4);
    else
        _tile_dpbssd(6, 7, 4);
}

/* The sums of token i, block b of x, at block `at` of w, meet their scales. */
QN_INLINE __m512 finish(const room *r, qn_layout l, const int32_t *sums, int at,
                        int b, int i, __m512 acc)
{
    __m512i s = _mm512_load_si512(sums);

    if (l == QN_LAYOUT_A8)
        s = _mm512_add_epi32(s, _mm512_madd_epi16(r->w.lack[at],
                                                  _mm512_set1_epi32(
                                                      r->x.sum[b][i])));
    acc = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(s), r->w.scale[at]),
                          _mm512_set1_ps(r->x.d[b][i]), acc);
    if (qn_layout_mins(l))
        acc = _mm512_fnmadd_ps(r->w.min[at], _mm512_set1_ps(r->x.dsum[b][i]),
                               acc);
    return acc;
}

/* ---- more than 16 tokens ------------------------------------------------- */

/* The n-th product: tile n / n_block of the tokens, block n % n_block. */
QN_INLINE void multiply(room *r, qn_layout l, int n, int n_block, const int B)
{
    const uint8_t *v = r->w.v + n % n_block * B * QN_PANEL;
    const uint8_t *x = r->x.q + n * 16 * B;
    int32_t *sums = r->sums[n % RING][0];

    if (n % 2)
        multiply_1(x, v, sums, is_unsigned(l), B);
    else
        multiply_0(x, v, sums, is_unsigned(l), B);
}

/* The n_block blocks of a panel with all tokens; products run ahead of the
 * scales. */
QN_INLINE void many(room *r, qn_layout l, float *to, int64_t acc_tok, bool load,
                    int n_tok, int n_block, const int B)
{
    int n = (n_tok + 15) / 16 * n_block, next = 0;

    while (next < n && next < LAG)
        multiply(r, l, next++, n_block, B);
    for (int done = 0; done < n; n_tok -= 16, to += 16 * acc_tok) {
        __m512 acc[AMX_ROWS];
        QN_UNROLL
        for (int i = 0; i < AMX_ROWS; i++)
            acc[i] = load && i < n_tok ? _mm512_load_ps(to + i * acc_tok)
                                       : _mm512_setzero_ps();
        for (int b = 0; b < n_block; b++, done++) {
            if (next < n)
                multiply(r, l, next++, n_block, B);
            QN_UNROLL
            for (int i = 0; i < AMX_ROWS; i++)
                acc[i] = finish(r, l, r->sums[done % RING][i], b, done, i,
                                acc[i]);
        }
        QN_UNROLL
        for (int i = 0; i < AMX_ROWS; i++)
            if (i < n_tok)
                _mm512_store_ps(to + i * acc_tok, acc[i]);
    }
}

/* ---- up to 16 tokens ----------------------------------------------------- */

/* k's [k0, k0 + n_k): a block becomes bytes, later it is multiplied, and still
 * later it meets its scales. R: n_tok or more. */
QN_INLINE void few(room *r, const consts *c, const qn_tile *t, qn_layout l,
                   const uint8_t *panel, float *to, int k0, int n_k,
                   const int R, const int B)
{
    const int n = (n_k + B - 1) / B, places = PLACES / B;
    __m512 acc[AMX_ROWS];

    QN_UNROLL
    for (int i = 0; i < R; i++)
        acc[i] = (t->load || k0 > 0) && i < t->n_tok
                     ? _mm512_load_ps(to + i * t->acc_tok)
                     : _mm512_setzero_ps();
    for (int b = 0; b < n + FEW_LAG + LAG; b++) {
        int m = b - FEW_LAG, f = m - LAG;
        if (b < n)
            fill(&r->w, c, t, l, panel, k0 + b * B, b % places, B);
        if (m >= 0)
            multiply_few(r->x.q + m * 16 * B,
                         r->w.v + m % places * B * QN_PANEL,
                         r->sums[(m + RING - 1) % RING][0], m > 0 && m <= n,
                         m < n, is_unsigned(l), B);
        QN_UNROLL
        for (int i = 0; i < R && f >= 0; i++)
            acc[i] = finish(r, l, r->sums[f % RING][i], f % places, f, i,
                            acc[i]);
    }
    QN_UNROLL
    for (int i = 0; i < R; i++)
        if (i < t->n_tok)
            _mm512_store_ps(to + i * t->acc_tok, acc[i]);
}

/* ---- 17 to 32 tokens ----------------------------------------------------- */

/* Tile `at` of the sums of block f of n, in the room. */
QN_INLINE void finish_in(room *r, qn_layout l, const int at, int f, int n,
                         int places)
{
    QN_UNROLL
    for (int i = 0; i < AMX_ROWS; i++) {
        float *acc = r->acc[at * AMX_ROWS + i];
        _mm512_store_ps(acc,
                        finish(r, l, r->sums[f * 2 % RING + at][i], f % places,
                               f + at * n, i, _mm512_load_ps(acc)));
    }
}

/* The same, with two products that share the weights. */
QN_INLINE void two(room *r, const consts *c, const qn_tile *t, qn_layout l,
                   const uint8_t *panel, float *to, int k0, int n_k,
                   const int B)
{
    const int n = (n_k + B - 1) / B, places = PLACES / B;

    for (int i = 0; i < PAIR; i++)
        _mm512_store_ps(r->acc[i], (t->load || k0 > 0) && i < t->n_tok
                                       ? _mm512_load_ps(to + i * t->acc_tok)
                                       : _mm512_setzero_ps());
    for (int b = 0; b < n + FEW_LAG + PAIR_LAG; b++) {
        int m = b - FEW_LAG, f = m - PAIR_LAG;
        if (b < n)
            fill(&r->w, c, t, l, panel, k0 + b * B, b % places, B);
        const uint8_t *x = r->x.q + m * 16 * B;
        const bool leave = m > 0 && m <= n, begin = m >= 0 && m < n;
        int32_t *before = r->sums[(2 * m + RING - 2) % RING][0];
        if (m >= 0)
            multiply_first(x, r->w.v + m % places * B * QN_PANEL, before, leave,
                           begin, is_unsigned(l), B);
        if (f >= 0)
            finish_in(r, l, 0, f, n, places);
        if (m >= 0)
            multiply_second(x + n * 16 * B, before + AMX_ROWS * QN_PANEL, leave,
                            begin, is_unsigned(l), B);
        if (f >= 0)
            finish_in(r, l, 1, f, n, places);
    }
    for (int i = 0; i < t->n_tok; i++)
        _mm512_store_ps(to + i * t->acc_tok, _mm512_load_ps(r->acc[i]));
}

/* k's [k, k + n_k) of a panel, whose tokens are in order. */
QN_INLINE void one_panel(room *r, const consts *c, const qn_tile *t,
                         qn_layout l, const uint8_t *panel, float *to, int k,
                         int n_k, const int B)
{
    const int n_block = (n_k + B - 1) / B;

    if (t->n_tok <= 8) {
        few(r, c, t, l, panel, to, k, n_k, 8, B);
    } else if (t->n_tok <= AMX_ROWS) {
        few(r, c, t, l, panel, to, k, n_k, AMX_ROWS, B);
    } else if (t->n_tok <= PAIR) {
        two(r, c, t, l, panel, to, k, n_k, B);
    } else {
        for (int b = 0; b < n_block; b++)
            fill(&r->w, c, t, l, panel, k + b * B, b, B);
        many(r, l, to, t->acc_tok, t->load || k > 0, t->n_tok, n_block, B);
    }
}

QN_INLINE void panels(const qn_tile *t, qn_layout l, const int B)
{
    const consts c = consts_of(t, l);
    const bool is_few = t->n_tok <= AMX_ROWS;
    const int chunk = is_few             ? FEW_CHUNK
                      : t->n_tok <= PAIR ? PAIR_CHUNK
                                         : CHUNK;
    room r;

    configure(is_few ? t->n_tok : 1, B);
    for (int k = 0; k < t->n_k; k += chunk) {
        int n_k = QN_MIN(chunk, t->n_k - k), n_block = (n_k + B - 1) / B;
        gather(&r.x, l, t->x + (int64_t)(k / B) * i8_x_bytes(l, B), t->x_tok,
               t->n_tok, n_block, B);
        for (int p = 0; p < t->n_panel; p++) {
            const uint8_t *panel = t->w + p * t->w_panel;
            float *to = t->acc + p * QN_PANEL;
            if (i8_is_plain(t, l, panel, k, n_k, 1))
                one_panel(&r, &c, t, I8_A8_PLAIN, panel, to, k, n_k, B);
            else
                one_panel(&r, &c, t, l, panel, to, k, n_k, B);
        }
    }
    amx_end();
}

/* Up to here vpdpbusd is as fast: a tile costs the same however few k's a block
 * has. Measured, Q6_K in blocks of 16: 392 GFLOP/s for 8 tokens, 190 to 240
 * with tiles for 16 and 32. */
QN_INLINE int few_tok(int block)
{
    return block == 16 ? 32 : block == 32 ? 8 : 6;
}

/* `plain`: the product without tiles, which takes two streams of memory for 8
 * tokens and one for more. */
QN_INLINE void either(const qn_tile *t, qn_layout l, int block,
                      qn_tile_fn plain)
{
    if (t->n_tok <= few_tok(block)) {
        qn_tile_run(&(qn_tile_kernel){.fn = plain, .max_tok = 8, .few = QN_FEW},
                    t);
        return;
    }
    switch (block) {
    case 16: panels(t, l, 16); break;
    case 32: panels(t, l, 32); break;
    default: panels(t, l, 64); break;
    }
}

static void linear_q8_0_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_Q8_0, QN_QBLOCK, linear_q8_0_avx512vnni);
}

static void linear_q4_0_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_Q4_0, QN_QBLOCK, linear_q4_0_avx512vnni);
}

static void coded_cb4_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_CB4, t->q->block, coded_cb4_avx512vnni);
}

static void coded_a4_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_A4, t->q->block, coded_a4_avx512vnni);
}

static void coded_a8_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_A8, t->q->block, coded_a8_avx512vnni);
}

static void coded_m4_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_M4, t->q->block, coded_m4_avx512vnni);
}

static void coded_k4_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_K4, 32, coded_k4_avx512vnni);
}

static void coded_k5_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_K5, 32, coded_k5_avx512vnni);
}

static void coded_m8_amx(const qn_tile *t)
{
    either(t, QN_LAYOUT_M8, t->q->block, coded_m8_avx512vnni);
}

void qn_x86_linear_i8_amx(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_tile_fn fn;
    } rows[] = {
        {QN_LAYOUT_CB4, "coded_cb4_amx", coded_cb4_amx},
        {QN_LAYOUT_A4, "coded_a4_amx", coded_a4_amx},
        {QN_LAYOUT_A8, "coded_a8_amx", coded_a8_amx},
        {QN_LAYOUT_M4, "coded_m4_amx", coded_m4_amx},
        {QN_LAYOUT_M8, "coded_m8_amx", coded_m8_amx},
        {QN_LAYOUT_K4, "coded_k4_amx", coded_k4_amx},
        {QN_LAYOUT_K5, "coded_k5_amx", coded_k5_amx},
    };

    k->linear[QN_LAYOUT_Q8_0] = (qn_tile_kernel){"linear_q8_0_amx",
                                                 linear_q8_0_amx, QN_X_Q8_O128,
                                                 MAX_TOK, QN_FEW};
    k->linear[QN_LAYOUT_Q4_0] = (qn_tile_kernel){"linear_q4_0_amx",
                                                 linear_q4_0_amx, QN_X_Q8_O8,
                                                 MAX_TOK, QN_FEW};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout,
                         (qn_tile_kernel){rows[i].name, rows[i].fn, QN_X_I8_16,
                                          MAX_TOK, QN_FEW});
}
