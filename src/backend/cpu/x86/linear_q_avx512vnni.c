/* linear_q_avx512vnni.c - q8_0 and q4_0 weights with int8 dot products.
 *
 *   per block of 32:  i = fix + sum of (w + o) q       eight vpdpbusd
 *                     acc[t][l] += i * (d_w[l] * d_x)
 *
 * Layout: a zmm of the panel is 4 k's of 16 rows, unsigned; x is 4 signed
 * bytes of one token, broadcast by the memory operand. q4_0: one load gives
 * the low nibbles (group j) and the high ones (group j + 4). Tile: 1 panel x T
 * tokens, an integer and a float accumulator each. Bound: 8 T dot products per
 * block and panel (many tokens), or 544 / 288 bytes (few). Integer sums are
 * exact; reference: panel_q in ref/ref_linear.c.
 */
#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512vnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

enum {
    MAX_TOK = 12,
    /* With some tokens the hardware's own prefetcher falls behind: ask for
     * weights this many bytes ahead (measured: 4 to 12 tokens gain 20-60 %). */
    AHEAD = 4096,
    AHEAD_TOK = 3
};

/* One block: adds its eight groups to i[]. */
QN_INLINE void block_q8(const uint8_t *w, const uint8_t *x, int64_t x_tok,
                        __m512i *i, const int T)
{
    QN_UNROLL
    for (int j = 0; j < 8; j++) {
        __m512i wj = _mm512_loadu_si512(w + 64 * j);
        QN_UNROLL
        for (int t = 0; t < T; t++)
            i[t] = _mm512_dpbusd_epi32(
                i[t], wj,
                _mm512_set1_epi32(
                    *(const int32_t *)(const void *)(x + t * x_tok + 4 * j)));
    }
}

QN_INLINE void block_q4(const uint8_t *w, const uint8_t *x, int64_t x_tok,
                        __m512i *i, const int T)
{
    const __m512i nibble = _mm512_set1_epi8(15);

    QN_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i both = _mm512_loadu_si512(w + 64 * j);
        __m512i lo = _mm512_and_si512(both, nibble);
        __m512i hi = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        QN_UNROLL
        for (int t = 0; t < T; t++)
            i[t] = _mm512_dpbusd_epi32(
                i[t], lo,
                _mm512_set1_epi32(
                    *(const int32_t *)(const void *)(x + t * x_tok + 4 * j)));
        QN_UNROLL
        for (int t = 0; t < T; t++)
            i[t] = _mm512_dpbusd_epi32(
                i[t], hi,
                _mm512_set1_epi32(
                    *(const int32_t *)(const void *)(x + t * x_tok + 16 +
                                                     4 * j)));
    }
}

QN_INLINE void panel(const qn_tile *t, qn_layout l, const int T)
{
    const uint8_t *w = t->w, *x = t->x;
    int64_t x_tok = t->x_tok;
    const int bytes = l == QN_LAYOUT_Q8_0 ? 32 + 512 : 32 + 256;
    __m512 acc[MAX_TOK];

    QN_UNROLL
    for (int i = 0; i < T; i++)
        acc[i] = t->load ? _mm512_load_ps(t->acc + i * t->acc_tok)
                         : _mm512_setzero_ps();

    for (int k = 0; k < t->n_k; k += QN_QBLOCK, x += sizeof(qn_xq8)) {
        __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w));
        __m512i s[MAX_TOK];
        QN_UNROLL
        for (int i = 0; i < T; i++)
            s[i] = _mm512_set1_epi32(
                ((const qn_xq8 *)(const void *)(x + i * x_tok))->fix);
        if (l == QN_LAYOUT_Q8_0)
            block_q8(w + 32, x, x_tok, s, T);
        else
            block_q4(w + 32, x, x_tok, s, T);
        for (int j = 0; j < bytes && T >= AHEAD_TOK; j += 64)
            _mm_prefetch((const char *)w + AHEAD + j, _MM_HINT_T0);
        w += bytes;
        QN_UNROLL
        for (int i = 0; i < T; i++) {
            __m512 dx = _mm512_set1_ps(
                ((const qn_xq8 *)(const void *)(x + i * x_tok))->d);
            acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[i]),
                                     _mm512_mul_ps(d, dx), acc[i]);
        }
    }

    QN_UNROLL
    for (int i = 0; i < T; i++)
        _mm512_store_ps(t->acc + i * t->acc_tok, acc[i]);
}

QN_INLINE void panels(const qn_tile *t, qn_layout l, const int T)
{
    qn_tile p = *t;

    for (; p.n_panel > 0; p.n_panel--) {
        panel(&p, l, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

QN_INLINE void any_tok(const qn_tile *t, qn_layout l)
{
    switch (t->n_tok) {
    case 1: panels(t, l, 1); break;
    case 2: panels(t, l, 2); break;
    case 3: panels(t, l, 3); break;
    case 4: panels(t, l, 4); break;
    case 5: panels(t, l, 5); break;
    case 6: panels(t, l, 6); break;
    case 7: panels(t, l, 7); break;
    case 8: panels(t, l, 8); break;
    case 9: panels(t, l, 9); break;
    case 10: panels(t, l, 10); break;
    case 11: panels(t, l, 11); break;
    case 12: panels(t, l, 12); break;
    }
}

static void linear_q8_0_avx512vnni(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_Q8_0);
}

static void linear_q4_0_avx512vnni(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_Q4_0);
}

void qn_kernels_avx512vnni(qn_kernels *k)
{
    k->linear[QN_LAYOUT_Q8_0] = (qn_tile_kernel){"linear_q8_0_avx512vnni",
                                                 linear_q8_0_avx512vnni,
                                                 QN_X_Q8_O128, MAX_TOK};
    k->linear[QN_LAYOUT_Q4_0] = (qn_tile_kernel){"linear_q4_0_avx512vnni",
                                                 linear_q4_0_avx512vnni,
                                                 QN_X_Q8_O8, MAX_TOK};
    qn_vec_coded_avx512vnni(k);
}
