/* many_a6.h - products of more than a few tokens with Q6_K: the sums of dots_i8.h.
 *
 *   per block of x:  i = sum over 16's of scale * (sum of code q - 32 sum of q)
 *                    acc[t][l] += i * (factor[l] * d_x)
 *
 * As in many_i8.h, codes become bytes in the first-level cache once for all tokens.
 * Whole scales wait there, too, in lanes of 32 bits: four dot products of bytes, one
 * product and one addition for 16 k's, where the dots of 16 bits that few tokens take
 * are 8 and need no register more. Bound: 16 dot products and some 6 other operations
 * of the same units for a block, a token and a panel. Reference: linear_a6_ref in
 * ref/ref_coded.c.
 */
#ifndef QN_BACKEND_CPU_MANY_A6_H
#define QN_BACKEND_CPU_MANY_A6_H
#include "backend/cpu/x86/many_i8.h"

enum {
    SIX_TOK = 4,
    SIX_B = QN_SUMS_BLOCK,
    SIX_SUMS = MANY_K / 16 * MANY_PANEL
};

/* Codes of 16 k's, the panels of one after the other. */
typedef struct six_bytes {
    QN_ALIGNED(64) uint8_t v[MANY_K * QN_PANEL * MANY_PANEL];
    __m512i scale[SIX_SUMS];
} six_bytes;

/* The 16 k's at k of a group to place `at`; v: their lines. */
QN_INLINE __m512i six_fill(six_bytes *u, const uint8_t *group, int head, int k,
                           int at, __m512i *v)
{
    __m512i scale = _mm512_cvtepi8_epi32(i8_six_scales(group, k));

    i8_six(group + head + i8_code_bytes(QN_LAYOUT_A6, k), v);
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(u->v + (at * 4 + i) * 64, v[i]);
    _mm512_store_si512(&u->scale[at], scale);
    return scale;
}

/* Sum j of 16 q's, -32 times. */
QN_INLINE __m512i six_fix(const uint8_t *x, int j)
{
    const int32_t factor = j % 2 ? -32 * 65536 : -32 & 0xffff;
    __m512i pair = bytes4(x + offsetof(qn_xsums, sum) + j / 2 * 4);

    return _mm512_madd_epi16(pair, _mm512_set1_epi32(factor));
}

/* 16 k's that are bytes already: both panels share what is broadcast. */
QN_INLINE void six_kept(const six_bytes *u, int at, const uint8_t *x,
                        int64_t x_tok, int j, __m512i (*s)[SIX_TOK],
                        const int N, const int T)
{
    __m512i d[MANY_PANEL][SIX_TOK];

    QN_UNROLL
    for (int t = 0; t < T; t++) {
        __m512i fix = six_fix(x + t * x_tok, j);
        QN_UNROLL
        for (int p = 0; p < N; p++)
            d[p][t] = fix;
    }
    QN_UNROLL
    for (int i = 0; i < 4; i++) {
        __m512i w[MANY_PANEL];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            w[p] = _mm512_load_si512(u->v + ((at + p) * 4 + i) * 64);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m512i q = bytes4(x + t * x_tok + 16 * j + 4 * i);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                d[p][t] = _mm512_dpbusd_epi32(d[p][t], w[p], q);
        }
    }
    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int t = 0; t < T; t++)
        s[p][t] = _mm512_add_epi32(s[p][t],
                                   _mm512_mullo_epi32(d[p][t],
                                                      u->scale[at + p]));
}

/* The same of one panel, from memory. */
QN_INLINE void six_fresh(six_bytes *u, const uint8_t *group, int head, int k,
                         int at, const uint8_t *x, int64_t x_tok, int j,
                         __m512i *s, const int T)
{
    __m512i v[4], d[SIX_TOK];
    __m512i scale = six_fill(u, group, head, k, at, v);

    QN_UNROLL
    for (int t = 0; t < T; t++)
        d[t] = six_fix(x + t * x_tok, j);
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        QN_UNROLL
    for (int t = 0; t < T; t++)
        d[t] = _mm512_dpbusd_epi32(d[t], v[i],
                                   bytes4(x + t * x_tok + 16 * j + 4 * i));
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = _mm512_add_epi32(s[t], _mm512_mullo_epi32(d[t], scale));
}

/* A chunk of N panels with T tokens; group: the first one of panel 0. */
QN_INLINE void six_tile(six_bytes *u, const uint8_t *group, many_ahead *a,
                        const qn_tile *t, int n_k, const int N, const int T,
                        const bool fresh)
{
    const int in_group = t->q->group, head = t->q->head;
    const uint8_t *x = t->x;
    __m512 acc[MANY_PANEL][SIX_TOK];

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        acc[p][i] = t->load
                        ? _mm512_load_ps(t->acc + i * t->acc_tok + p * QN_PANEL)
                        : _mm512_setzero_ps();

    for (int k = 0; k < n_k; k += SIX_B, x += sizeof(qn_xsums)) {
        const uint8_t *g = group + (int64_t)(k / in_group) * t->q->bytes;
        __m512i s[MANY_PANEL][SIX_TOK];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int i = 0; i < T; i++)
            s[p][i] = _mm512_setzero_si512();
        many_prefetch(a, N);
        QN_UNROLL
        for (int j = 0; j < SIX_B / 16; j++) {
            const int at = (k / 16 + j) * N;
            if (!fresh)
                six_kept(u, at, x, t->x_tok, j, s, N, T);
            else
                QN_UNROLL
            for (int p = 0; p < N; p++)
                six_fresh(u, g + p * t->w_panel, head, k % in_group + 16 * j,
                          at + p, x, t->x_tok, j, s[p], T);
        }
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            __m512 factor = i8_scales(QN_LAYOUT_A6, g + p * t->w_panel);
            QN_UNROLL
            for (int i = 0; i < T; i++) {
                __m512 d = float1(x + i * t->x_tok + offsetof(qn_xsums, d));
                acc[p][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[p][i]),
                                            _mm512_mul_ps(factor, d),
                                            acc[p][i]);
            }
        }
    }

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        _mm512_store_ps(t->acc + i * t->acc_tok + p * QN_PANEL, acc[p][i]);
}

QN_INLINE void six_some(six_bytes *u, const uint8_t *group, many_ahead *a,
                        const qn_tile *t, int n_k, const int N,
                        const bool fresh)
{
    switch (t->n_tok) {
    case 2: six_tile(u, group, a, t, n_k, N, 2, fresh); break;
    case 3: six_tile(u, group, a, t, n_k, N, 3, fresh); break;
    case 4: six_tile(u, group, a, t, n_k, N, 4, fresh); break;
    }
}

/* All tokens with the chunk at k of N panels from number p on. */
QN_INLINE void six_set(six_bytes *u, const qn_tile *t, int k, int p,
                       const int N)
{
    const int n_part = (t->n_tok + SIX_TOK - 1) / SIX_TOK;
    const int n_k = QN_MIN(MANY_K, t->n_k - k);
    const uint8_t *group = t->w + p * t->w_panel +
                           (int64_t)(k / t->q->group) * t->q->bytes;
    many_ahead a = many_next(t, QN_LAYOUT_A6, k, p, N, n_part * n_k / SIX_B);

    for (int i = 0; i < n_part; i++) {
        int t0 = t->n_tok * i / n_part, t1 = t->n_tok * (i + 1) / n_part;
        qn_tile part = *t;
        part.x += t0 * t->x_tok + qn_xform_offset(QN_X_I8_SUMS, k);
        part.acc += t0 * t->acc_tok + p * QN_PANEL;
        part.n_tok = t1 - t0;
        part.load |= k > 0;
        if (i == 0)
            six_some(u, group, &a, &part, n_k, N, true);
        else
            six_some(u, group, &a, &part, n_k, N, false);
    }
}

/* More than a few tokens, see the top. */
QN_INLINE void many_six(const qn_tile *t)
{
    six_bytes u;

    for (int k = 0; k < t->n_k; k += MANY_K) {
        int p = 0;
        for (; p + MANY_PANEL <= t->n_panel; p += MANY_PANEL)
            six_set(&u, t, k, p, MANY_PANEL);
        if (p < t->n_panel)
            six_set(&u, t, k, p, 1);
    }
}

#endif
