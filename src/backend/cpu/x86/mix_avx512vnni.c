/* mix_avx512vnni.c - sums over cells of int8 with vpdpbusd.
 *
 *   acc[t][c] (+)= d[t] * col[c] * (sum of (w[k][c] - 128) q[t][k])
 *
 * q, 16 bits, is 256 high + low, signed bytes both, so two products of 4 bytes
 * give its sum; what w has too much is 128 times the sum of q. Whole numbers
 * that fit 32 bits in the end may wrap on the way (qn_xquads). Tile: N panels
 * of 16 columns x T tokens, two sums each. Reference: mix_i8_ref in
 * ref/ref_mix.c, the same whole numbers.
 */
#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512vnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

enum {
    TOK = 8,
    FEW = 8
};

QN_INLINE __m512i bytes4(const uint8_t *p)
{
    return _mm512_set1_epi32(*(const int32_t *)(const void *)p);
}

QN_INLINE void tile(const qn_mix *m, const int N, const int T)
{
    const uint8_t *row = m->w, *ahead = m->ahead, *x = m->x;
    int n_quad = (m->n_k + 3) / 4;
    __m512i hi[TOK][4], lo[TOK][4];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        hi[t][p] = lo[t][p] = _mm512_setzero_si512();
    for (int k = 0; k < n_quad; k++, row += m->w_row, x += 8) {
        __m512i w[4];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            w[p] = _mm512_loadu_si512(row + p * 64);
        if (T <= FEW && ahead) {
            QN_UNROLL
            for (int p = 0; p < N; p++)
                QN_PREFETCH(ahead + p * 64);
            ahead += m->w_row;
        }
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m512i h = bytes4(x + t * m->x_tok);
            __m512i l = bytes4(x + t * m->x_tok + 4);
            QN_UNROLL
            for (int p = 0; p < N; p++) {
                hi[t][p] = _mm512_dpbusd_epi32(hi[t][p], w[p], h);
                lo[t][p] = _mm512_dpbusd_epi32(lo[t][p], w[p], l);
            }
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++) {
        const qn_xquads *q = (const void *)(x + t * m->x_tok);
        __m512i much = _mm512_set1_epi32((int)(128u * (uint32_t)q->sum));
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            float *acc = m->acc + t * m->acc_tok + p * QN_PANEL;
            __m512i s = _mm512_add_epi32(_mm512_slli_epi32(hi[t][p], 8),
                                         lo[t][p]);
            __m512 f =
                _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(s, much)),
                              _mm512_set1_ps(q->d));
            if (m->col)
                f = _mm512_mul_ps(f, _mm512_loadu_ps(m->col + p * QN_PANEL));
            if (m->load)
                f = _mm512_add_ps(_mm512_loadu_ps(acc), f);
            _mm512_storeu_ps(acc, f);
        }
    }
}

QN_INLINE void panels(const qn_mix *m, const int T)
{
    const int N = T <= 2 ? 4 : T <= 4 ? 2 : 1; /* what registers hold */
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

static void mix_i8_avx512vnni(const qn_mix *m)
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
    }
}

/* Four high bytes, then four low ones, of each quad. */
static void prep_quads_avx512vnni(const float *x, int n, void *dst)
{
    uint8_t *out = dst;
    int n4 = (n + 3) / 4 * 4;
    float limit = 32512.0f / (float)((n + 511) / 512), most;
    __m512 top = _mm512_setzero_ps(), bad = top;
    __m512i sum = _mm512_setzero_si512();
    qn_xquads *tail = (void *)(out + 2 * n4);

    for (int i = 0; i < n; i += 16) {
        __mmask16 in = (__mmask16)((1u << QN_MIN(n - i, 16)) - 1);
        __m512 v = _mm512_abs_ps(_mm512_maskz_loadu_ps(in, x + i));
        top = _mm512_max_ps(top, v);
        /* not a number, nor finite: minus itself it is not a number */
        bad = _mm512_add_ps(bad, _mm512_sub_ps(v, v));
    }
    most = _mm512_reduce_max_ps(top);
    tail->d = _mm512_reduce_add_ps(bad);
    tail->sum = 0;
    if (!(tail->d == 0 && most >= QN_QUADS_LEAST)) {
        memset(out, 0, (size_t)n4 * 2);
        return;
    }
    __m512 f = _mm512_set1_ps(limit / most);
    for (int i = 0; i < n4; i += 16) {
        __mmask16 in = (__mmask16)((1u << QN_MIN(n - i, 16)) - 1);
        __mmask8 quads = (__mmask8)((1u << QN_MIN((n4 - i) / 4, 4)) - 1);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(in, x + i), f);
        __m512i q = _mm512_cvtps_epi32(v);
        __m128i lo = _mm512_cvtepi32_epi8(q), hi;
        sum = _mm512_add_epi32(sum, q);
        q = _mm512_sub_epi32(q, _mm512_cvtepi8_epi32(lo));
        hi = _mm512_cvtepi32_epi8(_mm512_srai_epi32(q, 8));
        __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(
                                                   _mm_unpacklo_epi32(hi, lo)),
                                               _mm_unpackhi_epi32(hi, lo), 1);
        _mm256_mask_storeu_epi64(out + 2 * i, quads, both);
    }
    tail->sum = _mm512_reduce_add_epi32(sum);
    tail->d = most / limit;
}

void qn_x86_mix_avx512vnni(qn_kernels *k)
{
    k->mix[QN_KV_CELL_I8] = (qn_mix_kernel){"mix_int8_avx512vnni",
                                            mix_i8_avx512vnni,
                                            prep_quads_avx512vnni, TOK};
    k->mix_exact[QN_KV_CELL_I8] = k->mix[QN_KV_CELL_I8];
}
