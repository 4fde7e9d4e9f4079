/* mix_avx512bf16.c - sums over cells of bf16 with the bf16 dot product.
 *
 *   acc[t][c] (+)= w[k][c] x[t][k] + w[k + 1][c] x[t][k + 1]   one vdpbf16ps
 *
 * x is rounded to bf16, in pairs. Tile: N panels of 16 columns x T tokens.
 * Bound: the 64 bytes of a panel and pair (few tokens), or N * T dot products
 * (many). Few tokens read page after page as they lie, which the processors that use
 * this (linear_avx512bf16.c) do best by themselves: attention of one row behind 8,192,
 * one core, 0.98 ms a layer with requests, 0.80 without. Subnormals count as zero.
 * Reference: mix_bf16_ref in ref/ref_mix.c on rounded x, tolerance gamma(n_k) sum |w x|.
 */
#if !defined(__AVX512BF16__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512bf16 (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

enum {
    TOK = 12
};

QN_INLINE void tile(const qn_mix *m, const int N, const int T)
{
    const uint8_t *row = m->w;
    const int32_t *x = (const int32_t *)(const void *)m->x;
    int64_t x_tok = m->x_tok / (int64_t)sizeof *x;
    int n_pair = (m->n_k + 1) / 2;
    __m512 acc[TOK][4];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        acc[t][p] = m->load ? _mm512_loadu_ps(m->acc + t * m->acc_tok +
                                              p * QN_PANEL)
                            : _mm512_setzero_ps();
    for (int k = 0; k < n_pair; k++, row += m->w_row, x++) {
        __m512i w[4];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            w[p] = _mm512_loadu_si512(row + p * 64);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m512i b = _mm512_set1_epi32(x[t * x_tok]);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                acc[t][p] = _mm512_dpbf16_ps(acc[t][p], (__m512bh)w[p],
                                             (__m512bh)b);
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        _mm512_storeu_ps(m->acc + t * m->acc_tok + p * QN_PANEL, acc[t][p]);
}

QN_INLINE void panels(const qn_mix *m, const int T)
{
    const int N = T <= 6 ? 4 : 2;
    qn_mix p = *m;

    for (; p.n_col >= N * QN_PANEL; qn_mix_skip(&p, N * QN_PANEL, 4))
        tile(&p, N, T);
    if (N > 2 && p.n_col >= 2 * QN_PANEL) {
        tile(&p, 2, T);
        qn_mix_skip(&p, 2 * QN_PANEL, 4);
    }
    for (; p.n_col > 0; qn_mix_skip(&p, QN_PANEL, 4))
        tile(&p, 1, T);
}

/* The most tokens are two halves with twice as many panels, as in
 * linear_avx512bf16.c: 10 loads for 24 products instead of 14. */
QN_INLINE void halves(const qn_mix *m)
{
    qn_mix half = *m;

    panels(&half, TOK / 2);
    half.x += TOK / 2 * m->x_tok;
    half.acc += TOK / 2 * m->acc_tok;
    panels(&half, TOK / 2);
}

static void mix_bf16_avx512bf16(const qn_mix *m)
{
    switch (m->n_tok) {
    case 1: panels(m, 1); break;
    case 2: panels(m, 2); break;
    case 3: panels(m, 3); break;
    case 4: panels(m, 4); break;
    case 5: panels(m, 5); break;
    case 6: panels(m, 6); break;
    case 7: panels(m, 7); break;
    case 8: panels(m, 8); break;
    case 9: panels(m, 9); break;
    case 10: panels(m, 10); break;
    case 11: panels(m, 11); break;
    case 12: halves(m); break;
    }
}

void qn_x86_mix_avx512bf16(qn_kernels *k)
{
    k->mix[QN_KV_CELL_BF16] = (qn_mix_kernel){"mix_bf16_avx512bf16",
                                              mix_bf16_avx512bf16,
                                              k->prep[QN_X_BF16].fn, TOK};
    k->kv_half = QN_KV_CELL_BF16;
}
