/* linear_a6_amx.c - Q6_K with tiles.
 *
 *   per block of x:  i = sum of w q,  w = scale (code - 32)
 *                    acc[t][l] += i * (factor[l] * d_x)
 *
 * A scale belongs to 16 k's and a tile costs as much for 16 as for 64. But it is
 * a whole number, so w is one, too, from -3,968 to 4,096: w = 256 h + l with
 * bytes h (signed) and l (unsigned), which are two products of tiles for a whole
 * block. Sums are exact, and the step in f32 is that of linear_i8_avx512vnni.c:
 * both have the same bits, and the one that is faster for a number of tokens is
 * taken.
 *
 * Tokens are taken in pairs of tiles (16 tokens each), so that four products share
 * two tiles of x and two of w. What one unit hands to the other goes through the
 * first-level cache, and may not be asked for before it has arrived there: a block
 * becomes bytes, PRODUCT_LAG blocks later it is multiplied, its sums leave their
 * tiles one block after that, and after another one they meet their scales. All of
 * it is done in quarters that alternate, since a product takes as long as the
 * processor can look ahead.
 *
 * Bound: per block and panel some 170 operations for its bytes, and for 16 tokens
 * two products of 16 cycles, 32 lines stored and 80 operations. Reference:
 * linear_a6_ref in ref/ref_coded.c.
 */
#include "backend/cpu/x86/amx.h"
#include "backend/cpu/x86/i8_form.h"
#include "backend/cpu/x86/x86.h"

enum {
    B = QN_SUMS_BLOCK,
    TILE = AMX_ROWS * AMX_BYTES, /* bytes of a block for 16 tokens, or rows */
    PAIR = 2 * AMX_ROWS,         /* tokens of two tiles */
    MAX_TOK = 128,
    FEW = 12,       /* tokens: up to here dots_i8.h takes as long */
    MAX_BLOCK = 16, /* blocks of a pair that wait in order of use */
    PLACES = 8,     /* of weights as bytes */
    PRODUCT_LAG = 2,
    FINISH_LAG = PRODUCT_LAG + 2,
    FEW_PLACES = 4, /* what one pair needs of them */
    QUARTERS = 4,
    AHEAD = 4096
};
_Static_assert(QN_SUMS_BLOCK == 64, "a block is a row of a tile");
_Static_assert(PRODUCT_LAG < FEW_PLACES, "bytes wait for their product");
_Static_assert(FINISH_LAG < PLACES, "factors wait for their sums");
_Static_assert(MAX_BLOCK / 2 <= PLACES, "bytes wait for the second pair");

/* A block of a panel: lines of 4 k's of 16 rows. */
typedef struct bytes {
    QN_ALIGNED(64) uint8_t high[TILE], low[TILE];
} bytes;

/* What products leave, a tile for 16 tokens. */
typedef struct sums {
    QN_ALIGNED(64) int32_t high[PAIR][QN_PANEL], low[PAIR][QN_PANEL];
} sums;

typedef struct room {
    /* Tokens' blocks: of a pair, of a block, 32 rows. */
    QN_ALIGNED(64) uint8_t x[MAX_BLOCK * PAIR * B];
    float d[MAX_BLOCK * PAIR];
    bytes w[PLACES];
    __m512 factor[PLACES];
    sums s[2]; /* of blocks in turn */
    QN_ALIGNED(64) float acc[PAIR][QN_PANEL];
} room;

/* ---- codes to bytes ------------------------------------------------------ */

/* Lanes 0 to 15, in the bytes of `even` places or of odd ones; else zero. */
QN_INLINE __m512i lanes(bool even)
{
    const int32_t ones = even ? 0x00010001 : 0x01000100;
    const uint32_t none = even ? 0x80008000 : 0x00800080;
    __m512i lane = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(ones));

    return _mm512_or_si512(lane, _mm512_set1_epi32((int32_t)none));
}

/* 4 k's of 16 rows; even ones and odd ones are multiplied apart. */
QN_INLINE void split(__m512i v, __m512i even, __m512i odd, __m512i offset,
                     uint8_t *high, uint8_t *low)
{
    const __m512i down = _mm512_set4_epi32(0x0f0f0d0d, 0x0b0b0909, 0x07070505,
                                           0x03030101);
    const __m512i up = _mm512_set4_epi32(0x0e0e0c0c, 0x0a0a0808, 0x06060404,
                                         0x02020000);
    const __mmask64 at_even = 0x5555555555555555, at_odd = ~at_even;
    __m512i a = _mm512_sub_epi16(_mm512_maddubs_epi16(v, even), offset);
    __m512i b = _mm512_sub_epi16(_mm512_maddubs_epi16(v, odd), offset);

    _mm512_store_si512(high, _mm512_mask_shuffle_epi8(b, at_even, a, down));
    _mm512_store_si512(low, _mm512_mask_shuffle_epi8(a, at_odd, b, up));
}

/* The 16 k's at k of a group, quarter `at` of a block. */
QN_INLINE void fill(bytes *u, const uint8_t *group, int k, int head,
                    const int at)
{
    const uint8_t *codes = group + head + i8_code_bytes(QN_LAYOUT_A6, k);
    __m512i scale = _mm512_broadcast_i32x4(i8_six_scales(group, k));
    __m512i even = _mm512_shuffle_epi8(scale, lanes(true)), v[4];
    __m512i odd = _mm512_shuffle_epi8(scale, lanes(false));
    __m512i offset = _mm512_srai_epi16(odd, 3); /* 32 * scale */

    QN_UNROLL
    for (int i = 0; i < i8_code_bytes(QN_LAYOUT_A6, 16); i += 64)
        _mm_prefetch((const char *)codes + AHEAD + i, _MM_HINT_T0);
    i8_six(codes, v);
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        split(v[i], even, odd, offset, u->high + (4 * at + i) * 64,
              u->low + (4 * at + i) * 64);
    amx_fence();
}

/* ---- tokens in the order of use ------------------------------------------ */

/* n_block blocks of n_tok tokens from x on. What stands in for tokens that are
 * not there has d = 0. */
static void gather(room *r, const uint8_t *x, int64_t x_tok, int n_tok,
                   int n_block)
{
    for (int t = 0; t < n_tok; t++)
        for (int b = 0; b < n_block; b++) {
            const uint8_t *block = x + t * x_tok + b * (int)sizeof(qn_xsums);
            int at = (t / PAIR * n_block + b) * PAIR + t % PAIR;
            memcpy(r->x + at * B, block, B);
            memcpy(&r->d[at], block + offsetof(qn_xsums, d), sizeof(float));
        }
    for (int t = n_tok; t % PAIR != 0; t++)
        for (int b = 0; b < n_block; b++)
            r->d[(t / PAIR * n_block + b) * PAIR + t % PAIR] = 0;
    amx_fence();
}

/* ---- products ------------------------------------------------------------ */

/* Tiles 0, 1 and 2, 3: sums of h and l of the first and second tokens; 4, 5:
 * tokens; 6, 7: h and l. */
static void configure(int rows)
{
    amx_config c = {0};

    for (int i = 0; i < 6; i++)
        amx_set(&c, i, rows, AMX_BYTES);
    amx_set(&c, 6, B / 4, AMX_BYTES);
    amx_set(&c, 7, B / 4, AMX_BYTES);
    amx_begin(&c);
}

/* A quarter of a block with N tiles of tokens, of which each product is one. What
 * its tile had leaves first; `leave`, `begin`: is there something? */
QN_INLINE void multiply(const uint8_t *x, const bytes *w, sums *before,
                        bool leave, bool begin, const int at, const int N)
{
    switch (at) {
    case 0:
        if (leave)
            _tile_stored(0, before->high, AMX_BYTES);
        if (!begin)
            break;
        _tile_zero(0);
        _tile_loadd(4, x, B);
        _tile_loadd(6, w->high, AMX_BYTES);
        _tile_dpbssd(0, 4, 6);
        break;
    case 1:
        if (leave)
            _tile_stored(1, before->low, AMX_BYTES);
        if (!begin)
            break;
        _tile_zero(1);
        _tile_loadd(7, w->low, AMX_BYTES);
        _tile_dpbsud(1, 4, 7);
        break;
    case 2:
        if (leave && N > 1)
            _tile_stored(2, before->high + AMX_ROWS, AMX_BYTES);
        if (!begin || N == 1)
            break;
        _tile_zero(2);
        _tile_loadd(5, x + TILE, B);
        _tile_dpbssd(2, 5, 6);
        break;
    default:
        if (leave && N > 1)
            _tile_stored(3, before->low + AMX_ROWS, AMX_BYTES);
        if (!begin || N == 1)
            break;
        _tile_zero(3);
        _tile_dpbsud(3, 5, 7);
        break;
    }
}

/* Of a quarter of the tokens, the sums of a block meet their scales. */
QN_INLINE void finish(float (*acc)[QN_PANEL], const sums *s, __m512 factor,
                      const float *d, const int at, const int N)
{
    const int n = N * AMX_ROWS / QUARTERS;

    QN_UNROLL
    for (int i = at * n; i < (at + 1) * n; i++) {
        __m512i high = _mm512_slli_epi32(_mm512_load_si512(s->high[i]), 8);
        __m512i sum = _mm512_add_epi32(high, _mm512_load_si512(s->low[i]));
        __m512 a = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                                   _mm512_mul_ps(factor, _mm512_set1_ps(d[i])),
                                   _mm512_load_ps(acc[i]));
        _mm512_store_ps(acc[i], a);
    }
}

/* n_block blocks of a panel, the first one at k0, with N tiles of tokens whose
 * blocks are those from number `first` on. `fresh`: the panel's are not bytes
 * yet; there are `places` for them. */
QN_INLINE void pass(room *r, const qn_tile *t, const uint8_t *panel, int k0,
                    int n_block, int first, bool fresh, int places, const int N)
{
    const int group = t->q->group;

    for (int b = 0; b < n_block + FINISH_LAG; b++) {
        const int m = b - PRODUCT_LAG, f = b - FINISH_LAG, k = k0 + b * B;
        const uint8_t *at = panel + (int64_t)(k / group) * t->q->bytes;
        const bool fills = fresh && b < n_block;
        if (fills)
            r->factor[b % PLACES] = i8_factors(at);
        QN_UNROLL
        for (int j = 0; j < QUARTERS; j++) {
            if (fills)
                fill(&r->w[b % places], at, k % group + 16 * j, t->q->head, j);
            multiply(r->x + (first + m) * PAIR * B, &r->w[m & (places - 1)],
                     &r->s[(m & 1) ^ 1], m > 0 && m <= n_block,
                     m >= 0 && m < n_block, j, N);
            if (f >= 0)
                finish(r->acc, &r->s[f & 1], r->factor[f % PLACES],
                       r->d + (first + f) * PAIR, j, N);
        }
    }
}

/* A panel's outputs for up to 32 tokens, to and from the room. */
static void take_acc(room *r, const float *from, int64_t acc_tok, int n_tok,
                     bool load)
{
    for (int i = 0; i < PAIR; i++)
        _mm512_store_ps(r->acc[i], load && i < n_tok
                                       ? _mm512_load_ps(from + i * acc_tok)
                                       : _mm512_setzero_ps());
}

static void give_acc(const room *r, float *to, int64_t acc_tok, int n_tok)
{
    for (int i = 0; i < n_tok; i++)
        _mm512_store_ps(to + i * acc_tok, _mm512_load_ps(r->acc[i]));
}

static void panels(const qn_tile *t)
{
    const int n_pair = (t->n_tok + PAIR - 1) / PAIR;
    const int chunk = MAX_BLOCK / n_pair * B;
    const int places = n_pair == 1 ? FEW_PLACES : PLACES;
    room r;

    configure(QN_MIN(t->n_tok, AMX_ROWS));
    for (int k = 0; k < t->n_k; k += chunk) {
        int n_block = QN_MIN(chunk, t->n_k - k) / B;
        gather(&r, t->x + qn_xform_offset(QN_X_I8_SUMS, k), t->x_tok, t->n_tok,
               n_block);
        for (int p = 0; p < t->n_panel; p++)
            for (int i = 0; i < n_pair; i++) {
                const uint8_t *panel = t->w + p * t->w_panel;
                int n_tok = QN_MIN(t->n_tok - i * PAIR, PAIR);
                float *to = t->acc + i * PAIR * t->acc_tok + p * QN_PANEL;
                take_acc(&r, to, t->acc_tok, n_tok, t->load || k > 0);
                if (n_tok > AMX_ROWS)
                    pass(&r, t, panel, k, n_block, i * n_block, i == 0, places,
                         2);
                else
                    pass(&r, t, panel, k, n_block, i * n_block, i == 0, places,
                         1);
                give_acc(&r, to, t->acc_tok, n_tok);
            }
    }
    amx_end();
}

static void linear_a6_amx(const qn_tile *t)
{
    if (t->n_tok > FEW)
        panels(t);
    else
        linear_a6_avx512vnni(t);
}

void qn_x86_linear_a6_amx(qn_kernels *k)
{
    k->linear[QN_LAYOUT_A6] = (qn_tile_kernel){"linear_a6_amx", linear_a6_amx,
                                               QN_X_I8_SUMS, MAX_TOK, 0};
}
