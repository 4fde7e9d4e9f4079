/* many_a6.h - products of more than a few tokens with Q6_K: the sums of dots_i8.h.
 *
 *   per block of x:  i = sum over 16's of scale * (sum of code q - 32 sum of q)
 *                    acc[t][l] += i * (factor[l] * d_x)
 *
 * As in many_i8.h, codes become bytes in the first-level cache once for all tokens.
 * The whole scales wait there as floats. A product of a scale and of the sum of 16 k's
 * is below 2^23, so two of them add up exactly, and adding two such pairs rounds as
 * the whole sum does when it becomes a float. (A product of 32-bit integers takes two
 * of the slots in which dot products are made.) The first of two begins with
 * QN_COUNT_BITS. Bound: 16 dot products and 6 others of the same units for a block, a
 * token and a panel, on Intel 9. Reference: linear_a6_ref in ref/ref_coded.c.
 */
#ifndef QN_BACKEND_CPU_MANY_A6_H
#define QN_BACKEND_CPU_MANY_A6_H
#include "backend/cpu/x86/many_i8.h"

enum {
    SIX_TOK = 4,
    SIX_MOST = 128, /* tokens of a tile */
    SIX_B = QN_SUMS_BLOCK,
    SIX_SUMS = MANY_K / 16 * MANY_PANEL
};

/* Codes of 16 k's, the panels of one after the other. */
typedef struct six_bytes {
    QN_ALIGNED(64) uint8_t v[MANY_K * QN_PANEL * MANY_PANEL];
    __m512 scale[SIX_SUMS], count[SIX_SUMS];
    int32_t fix[SIX_MOST][MANY_K / 16]; /* -32 times each token's sums */
} six_bytes;

/* What sums of 16 k's begin with, of all tokens and a chunk. */
QN_INLINE void six_fixes(six_bytes *u, const qn_tile *t, int k, int n_k)
{
    const uint8_t *x = t->x + qn_xform_offset(QN_X_I8_SUMS, k);

    for (int i = 0; i < t->n_tok; i++, x += t->x_tok)
        for (int b = 0; b < n_k / SIX_B; b++) {
            int16_t sum[SIX_B / 16];
            memcpy(sum, x + b * sizeof(qn_xsums) + offsetof(qn_xsums, sum),
                   sizeof sum);
            for (int j = 0; j < SIX_B / 16; j++)
                u->fix[i][b * (SIX_B / 16) + j] = (j % 2 ? 0 : QN_COUNT_BITS) -
                                                  32 * sum[j];
        }
}

/* A place among a chunk's bytes. */
typedef struct six_at {
    uint8_t *v;
    __m512 *scale, *count;
    const int32_t *fix; /* of the first token */
} six_at;

/* The 16 k's at k of a group to a place; w: their lines. */
QN_INLINE void six_fill(six_at to, const uint8_t *group, int head, int k,
                        __m512i *w)
{
    __m512i scale = _mm512_cvtepi8_epi32(i8_six_scales(group, k));

    i8_six(group + head + i8_code_bytes(QN_LAYOUT_A6, k), w);
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(to.v + i * 64, w[i]);
    *to.scale = _mm512_cvtepi32_ps(scale);
    *to.count = i8_count(*to.scale);
}

/* The sums of 16 k's that are bytes already: both panels share what is
 * broadcast. */
QN_INLINE void six_kept(six_at from, const uint8_t *x, int64_t x_tok,
                        __m512i (*d)[SIX_TOK], const int N, const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        d[p][t] = _mm512_set1_epi32(from.fix[t * (MANY_K / 16)]);
    QN_UNROLL
    for (int i = 0; i < 4; i++) {
        __m512i w[MANY_PANEL];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            w[p] = _mm512_load_si512(from.v + (p * 4 + i) * 64);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m512i q = bytes4(x + t * x_tok + 4 * i);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                d[p][t] = _mm512_dpbusd_epi32(d[p][t], w[p], q);
        }
    }
}

/* The same of one panel, from memory. */
QN_INLINE void six_fresh(six_at to, const uint8_t *group, int head, int k,
                         const uint8_t *x, int64_t x_tok, __m512i *d,
                         const int T)
{
    __m512i w[4];

    six_fill(to, group, head, k, w);
    QN_UNROLL
    for (int t = 0; t < T; t++)
        d[t] = _mm512_set1_epi32(to.fix[t * (MANY_K / 16)]);
    QN_UNROLL
    for (int i = 0; i < 4; i++)
        QN_UNROLL
    for (int t = 0; t < T; t++)
        d[t] = _mm512_dpbusd_epi32(d[t], w[i], bytes4(x + t * x_tok + 4 * i));
}

/* A chunk of N panels with T tokens, t0 the first; group: the first one of panel
 * 0. */
QN_INLINE void six_tile(six_bytes *u, const uint8_t *group, many_ahead *a,
                        const qn_tile *t, int t0, int n_k, const int N,
                        const int T, const bool fresh)
{
    const int in_group = t->q->group, head = t->q->head;
    const uint8_t *x = t->x;
    six_at at = {u->v, u->scale, u->count, u->fix[t0]};
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
        __m512 s[2][MANY_PANEL][SIX_TOK];
        many_prefetch(a, N);
        QN_UNROLL
        for (int j = 0; j < SIX_B / 16; j++) {
            __m512i d[MANY_PANEL][SIX_TOK];
            if (!fresh)
                six_kept(at, x + 16 * j, t->x_tok, d, N, T);
            else
                QN_UNROLL
            for (int p = 0; p < N; p++)
                six_fresh((six_at){at.v + p * 256, at.scale + p, at.count + p,
                                   at.fix},
                          g + p * t->w_panel, head, k % in_group + 16 * j,
                          x + 16 * j, t->x_tok, d[p], T);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                QN_UNROLL
            for (int i = 0; i < T; i++) {
                __m512 *to = &s[j / 2][p][i];
                *to = j % 2 ? _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[p][i]),
                                              at.scale[p], *to)
                            : i8_weigh(d[p][i], at.scale[p], at.count[p]);
            }
            at = (six_at){at.v + N * 256, at.scale + N, at.count + N,
                          at.fix + 1};
        }
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            __m512 factor = i8_factors(g + p * t->w_panel);
            QN_UNROLL
            for (int i = 0; i < T; i++) {
                __m512 d = float1(x + i * t->x_tok + offsetof(qn_xsums, d));
                __m512 sum = _mm512_add_ps(s[0][p][i], s[1][p][i]);
                acc[p][i] = _mm512_fmadd_ps(sum, _mm512_mul_ps(factor, d),
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
                        const qn_tile *t, int t0, int n_k, const int N,
                        const bool fresh)
{
    switch (t->n_tok) {
    case 2: six_tile(u, group, a, t, t0, n_k, N, 2, fresh); break;
    case 3: six_tile(u, group, a, t, t0, n_k, N, 3, fresh); break;
    case 4: six_tile(u, group, a, t, t0, n_k, N, 4, fresh); break;
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
            six_some(u, group, &a, &part, t0, n_k, N, true);
        else
            six_some(u, group, &a, &part, t0, n_k, N, false);
    }
}

/* More than a few tokens, see the top. */
QN_INLINE void many_six(const qn_tile *t)
{
    six_bytes u;

    for (int k = 0; k < t->n_k; k += MANY_K) {
        int p = 0;
        six_fixes(&u, t, k, QN_MIN(MANY_K, t->n_k - k));
        for (; p + MANY_PANEL <= t->n_panel; p += MANY_PANEL)
            six_set(&u, t, k, p, MANY_PANEL);
        if (p < t->n_panel)
            six_set(&u, t, k, p, 1);
    }
}

#endif
