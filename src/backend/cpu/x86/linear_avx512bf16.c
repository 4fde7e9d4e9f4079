/* linear_avx512bf16.c - bf16 weights with the bf16 dot product.
 *
 *   acc[t][16 p + l] += w[k] x[k] + w[k + 1] x[k + 1]      one vdpbf16ps
 *
 * Layout: a zmm of the panel is the pair (k, k + 1) of 16 rows; x is the same
 * pair of one token, broadcast. Tile: N panels x T tokens. Bound: N * T dot
 * products per pair (many tokens; one per cycle on Zen 4), or 64 bytes per
 * panel and pair (few). The instruction adds both products in f32, each with
 * its rounding, subnormals as zero. Reference: panel_bf16 in
 * ref/ref_linear.c, tolerance gamma(n_k) sum |w x|.
 */
#if !defined(__AVX512BF16__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512bf16 (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

enum {
    MAX_TOK = 12,
    FEW_TOK = 4,
    FEW_PANEL = 4,
    MANY_PANEL = 2
};

QN_INLINE __m512 dot_pair(__m512 acc, __m512i w, __m512i x)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)w, (__m512bh)x);
}

QN_INLINE void tile(const qn_tile *t, const int N, const int T)
{
    const uint8_t *w = t->w;
    const int32_t *x = (const int32_t *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    int n_pair = (t->n_k + 1) / 2;
    __m512 acc[MAX_TOK][4];

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        acc[i][p] = t->load
                        ? _mm512_load_ps(t->acc + i * t->acc_tok + p * QN_PANEL)
                        : _mm512_setzero_ps();

    for (int k = 0; k < n_pair; k++, w += 64, x++) {
        __m512i wk[4];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            wk[p] = _mm512_loadu_si512(w + p * t->w_panel);
        QN_UNROLL
        for (int i = 0; i < T; i++) {
            __m512i xk = _mm512_set1_epi32(x[i * x_tok]);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                acc[i][p] = dot_pair(acc[i][p], wk[p], xk);
        }
    }

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        _mm512_store_ps(t->acc + i * t->acc_tok + p * QN_PANEL, acc[i][p]);
}

/* The most tokens are two halves with twice as many panels: 10 loads for 24
 * products instead of 14 (512 rows of 8192 x 2048, two threads: 410 and 424
 * GFLOP/s). */
QN_INLINE void tile_halves(const qn_tile *t)
{
    qn_tile half = *t;

    tile(&half, FEW_PANEL, MAX_TOK / 2);
    half.x += MAX_TOK / 2 * t->x_tok;
    half.acc += MAX_TOK / 2 * t->acc_tok;
    tile(&half, FEW_PANEL, MAX_TOK / 2);
}

QN_INLINE void panels(const qn_tile *t, const int T)
{
    const bool halves = T == MAX_TOK;
    const int N = halves || T <= FEW_TOK ? FEW_PANEL : MANY_PANEL;
    qn_tile p = *t;

    for (; p.n_panel >= N; p.n_panel -= N) {
        if (halves)
            tile_halves(&p);
        else
            tile(&p, N, T);
        p.w += N * p.w_panel;
        p.acc += N * QN_PANEL;
    }
    for (; p.n_panel > 0; p.n_panel--) {
        tile(&p, 1, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

static void linear_bf16_avx512bf16(const qn_tile *t)
{
    switch (t->n_tok) {
    case 1: panels(t, 1); break;
    case 2: panels(t, 2); break;
    case 3: panels(t, 3); break;
    case 4: panels(t, 4); break;
    case 5: panels(t, 5); break;
    case 6: panels(t, 6); break;
    case 7: panels(t, 7); break;
    case 8: panels(t, 8); break;
    case 9: panels(t, 9); break;
    case 10: panels(t, 10); break;
    case 11: panels(t, 11); break;
    case 12: panels(t, 12); break;
    }
}

/* Subnormals become zero, as in the dot product. */
static void prep_bf16_avx512bf16(const float *x, int n, void *dst)
{
    uint16_t *y = dst;
    int i = 0;

    for (; i + 32 <= n; i += 32) {
        __m512bh b = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16),
                                         _mm512_loadu_ps(x + i));
        _mm512_storeu_si512(y + i, (__m512i)b);
    }
    for (; i < n; i += 16) { /* odd n: the pair is completed by a zero */
        int left = QN_MIN(n - i, 16);
        __mmask16 in = (__mmask16)((1u << left) - 1);
        __mmask16 out = (__mmask16)((1u << (left + (left & 1))) - 1);
        __m256bh b = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(in, x + i));
        _mm256_mask_storeu_epi16(y + i, out, (__m256i)b);
    }
}

/* Processors of Intel take two cycles for this dot product and half a one for an fma of
 * f32, which has half of its operations: they keep the fmas, or have tiles
 * (docs/decisions/009-bf16-by-fma.md). Tiles prepare x as this does. */
void qn_kernels_avx512bf16(qn_kernels *k)
{
    k->prep[QN_X_BF16].fn = prep_bf16_avx512bf16;
    k->prep[QN_X_BF16].name = "prep_bf16_avx512bf16";
    if (!x86_is_amd())
        return;
    k->linear[QN_LAYOUT_BF16] = (qn_tile_kernel){"linear_bf16_avx512bf16",
                                                 linear_bf16_avx512bf16,
                                                 QN_X_BF16, MAX_TOK, 0};
    qn_x86_mix_avx512bf16(k);
}
