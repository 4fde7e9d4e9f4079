/* linear_bf16.c - bf16 weights with the bf16 products.
 *
 *   acc[t][16 p + l] += w[k] x[k] + w[k + 1] x[k + 1]
 *
 * bfdot: a register of the panel is the pair (k, k + 1) of 4 rows; a lane of x
 * is the same pair of one token. bfmmla does for 2 rows and 2 tokens what two
 * bfdot do after each other, in that order and with their roundings (to odd,
 * subnormals as zero), so that an output has the same bits whichever computed
 * it. Tile: 1 panel x T tokens. Bound: the products (many tokens), or 64 bytes
 * per pair of k (few). Reference: panel_bf16 in ref/ref_linear.c; a rounding to
 * odd errs by a whole unit, but there is only one per k: tolerance
 * gamma(2 n_k) sum |w x|.
 */
#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "compile this file with the flags of bf16 (cmake/isa.cmake)"
#endif
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

enum {
    TOK = 6
};

/* Sums while they are added up: of pairs of tokens, each 2 rows x 2 tokens;
 * of a last single token 4 rows. */
typedef struct tile_sums {
    vf two[TOK / 2][VP][2];
    vf one[VP];
} tile_sums;

QN_INLINE bfloat16x8_t weights(const uint8_t *p)
{
    return vreinterpretq_bf16_u8(vld1q_u8(p));
}

/* Four rows of two tokens, as they lie in memory, and back. */
QN_INLINE void interleave(vf a[2], vf t0, vf t1)
{
    a[0] = vzip1q_f32(t0, t1);
    a[1] = vzip2q_f32(t0, t1);
}
QN_INLINE vf token_of(const vf a[2], const int t)
{
    return t == 0 ? vuzp1q_f32(a[0], a[1]) : vuzp2q_f32(a[0], a[1]);
}

QN_INLINE void load_sums(const qn_tile *t, tile_sums *s, const int T)
{
    QN_UNROLL
    for (int v = 0; v < VP; v++) {
        const float *acc = t->acc + v * VL;
        QN_UNROLL
        for (int j = 0; j < T; j++) {
            vf a = t->load ? v_load(acc + j * t->acc_tok) : v_zero();
            if (j == T - 1 && T % 2)
                s->one[v] = a;
            else if (j % 2)
                interleave(s->two[j / 2][v], s->two[j / 2][v][0], a);
            else
                s->two[j / 2][v][0] = a;
        }
    }
}

QN_INLINE void store_sums(const qn_tile *t, const tile_sums *s, const int T)
{
    QN_UNROLL
    for (int v = 0; v < VP; v++)
        QN_UNROLL
    for (int j = 0; j < T; j++)
        v_store(t->acc + j * t->acc_tok + v * VL,
                j == T - 1 && T % 2 ? s->one[v]
                                    : token_of(s->two[j / 2][v], j % 2));
}

/* 4 k's: two registers of pairs of 4 rows, and 8 bytes of each token. */
QN_INLINE void four_k(tile_sums *s, const uint8_t *w, const uint8_t *x,
                      int64_t x_tok, const int T)
{
    uint8x8_t xt[TOK];

    QN_UNROLL
    for (int j = 0; j < T; j++)
        xt[j] = vld1_u8(x + j * x_tok);
    QN_UNROLL
    for (int v = 0; v < VP; v++) {
        bfloat16x8_t a = weights(w + 16 * v), b = weights(w + 64 + 16 * v);
        uint32x4_t ua = vreinterpretq_u32_bf16(a);
        uint32x4_t ub = vreinterpretq_u32_bf16(b);
        bfloat16x8_t r01 = vreinterpretq_bf16_u32(vzip1q_u32(ua, ub));
        bfloat16x8_t r23 = vreinterpretq_bf16_u32(vzip2q_u32(ua, ub));
        QN_UNROLL
        for (int j = 0; j < T / 2; j++) {
            bfloat16x8_t xj = vreinterpretq_bf16_u8(
                vcombine_u8(xt[2 * j], xt[2 * j + 1]));
            vf *to = s->two[j][v];
            to[0] = vbfmmlaq_f32(to[0], r01, xj);
            to[1] = vbfmmlaq_f32(to[1], r23, xj);
        }
        if (T % 2) {
            bfloat16x4_t xj = vreinterpret_bf16_u8(xt[T - 1]);
            s->one[v] = vbfdotq_lane_f32(s->one[v], a, xj, 0);
            s->one[v] = vbfdotq_lane_f32(s->one[v], b, xj, 1);
        }
    }
}

/* The last pair, where their number is odd. */
QN_INLINE void two_k(const qn_tile *t, const uint8_t *w, const uint8_t *x,
                     const int T)
{
    QN_UNROLL
    for (int v = 0; v < VP; v++)
        QN_UNROLL
    for (int j = 0; j < T; j++) {
        float *to = t->acc + j * t->acc_tok + v * VL;
        uint32_t pair;
        memcpy(&pair, x + j * t->x_tok, sizeof pair);
        v_store(to, vbfdotq_f32(v_load(to), weights(w + 16 * v),
                                vreinterpretq_bf16_u32(vdupq_n_u32(pair))));
    }
}

QN_INLINE void panels(const qn_tile *t, const int T)
{
    int n_pair = (t->n_k + 1) / 2;
    qn_tile p = *t;

    for (; p.n_panel > 0; p.n_panel--) {
        tile_sums s;
        int k = 0;
        load_sums(&p, &s, T);
        for (; k + 2 <= n_pair; k += 2)
            four_k(&s, p.w + 64 * k, p.x + 4 * k, p.x_tok, T);
        store_sums(&p, &s, T);
        if (k < n_pair)
            two_k(&p, p.w + 64 * k, p.x + 4 * k, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

static void linear_bf16_bf16(const qn_tile *t)
{
    switch (t->n_tok) {
    case 1: panels(t, 1); break;
    case 2: panels(t, 2); break;
    case 3: panels(t, 3); break;
    case 4: panels(t, 4); break;
    case 5: panels(t, 5); break;
    case 6: panels(t, 6); break;
    }
}

static void prep_bf16_bf16(const float *x, int n, void *dst)
{
    uint8_t *y = dst;
    int i = 0;

    for (; i + 4 <= n; i += 4)
        vst1_u8(y + 2 * i,
                vreinterpret_u8_bf16(vcvt_bf16_f32(vld1q_f32(x + i))));
    if (i < n) { /* odd n: the pair is completed by a zero */
        uint8_t last[8];
        vf v = v_load_m(x + i, v_first(n - i));
        vst1_u8(last, vreinterpret_u8_bf16(vcvt_bf16_f32(v)));
        memcpy(y + 2 * i, last, (size_t)(n - i + 1) / 2 * 4);
    }
}

void qn_kernels_bf16(qn_kernels *k)
{
    k->linear[QN_LAYOUT_BF16] = (qn_tile_kernel){"linear_bf16_bf16",
                                                 linear_bf16_bf16, QN_X_BF16,
                                                 TOK, 0};
    k->prep[QN_X_BF16].fn = prep_bf16_bf16;
    k->prep[QN_X_BF16].name = "prep_bf16_bf16";
}
