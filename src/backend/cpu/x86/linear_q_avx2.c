/* linear_q_avx2.c - q4_0 weights with the byte products of AVX2.
 *
 *   per block of 32:  i = sum of w q
 *                     acc[t][l] += (i * d_w[l]) * d_x
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs to 16 bits,
 * saturating: 15 * 127 * 2 * 8 groups = 30,480 fits, so all groups of a block
 * are added there. Tile: 1 panel (two ymm) x T tokens. Reference: panel_q in
 * ref/ref_linear.c; integer sums are exact.
 */
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with the flags of avx2 (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

enum {
    MAX_TOK = 4
};

QN_INLINE __m256i bytes_of(const uint8_t *x, int64_t at)
{
    return _mm256_set1_epi32(*(const int32_t *)(const void *)(x + at));
}

QN_INLINE void block_q4(const uint8_t *w, const uint8_t *x, int64_t x_tok,
                        __m256i s[][2], const int T)
{
    const __m256i ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
    __m256i p[MAX_TOK][2];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        p[t][0] = p[t][1] = _mm256_setzero_si256();
    for (int j = 0; j < 4; j++)
        QN_UNROLL
    for (int h = 0; h < 2; h++) {
        __m256i u = _mm256_loadu_si256((const __m256i *)(w + 64 * j + 32 * h));
        __m256i lo = _mm256_and_si256(u, nibble);
        __m256i hi = _mm256_and_si256(_mm256_srli_epi16(u, 4), nibble);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m256i a = _mm256_maddubs_epi16(lo,
                                             bytes_of(x, t * x_tok + 4 * j));
            __m256i b =
                _mm256_maddubs_epi16(hi, bytes_of(x, t * x_tok + 16 + 4 * j));
            p[t][h] = _mm256_add_epi16(p[t][h], _mm256_add_epi16(a, b));
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int h = 0; h < 2; h++)
        s[t][h] = _mm256_add_epi32(s[t][h], _mm256_madd_epi16(p[t][h], ones));
}

QN_INLINE void panel(const qn_tile *t, const int T)
{
    const uint8_t *w = t->w, *x = t->x;
    int64_t x_tok = t->x_tok;
    __m256 acc[MAX_TOK][2];

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int h = 0; h < 2; h++)
        acc[i][h] = t->load ? _mm256_load_ps(t->acc + i * t->acc_tok + 8 * h)
                            : _mm256_setzero_ps();

    for (int k = 0; k < t->n_k; k += QN_QBLOCK, x += sizeof(qn_xq8)) {
        __m256i s[MAX_TOK][2];
        QN_UNROLL
        for (int i = 0; i < T; i++) {
            const qn_xq8 *b = (const qn_xq8 *)(const void *)(x + i * x_tok);
            s[i][0] = s[i][1] = _mm256_set1_epi32(b->fix);
        }
        block_q4(w + 32, x, x_tok, s, T);
        QN_UNROLL
        for (int h = 0; h < 2; h++) {
            __m256 d = _mm256_cvtph_ps(
                _mm_loadu_si128((const __m128i *)(w + 16 * h)));
            __m256 count = _mm256_mul_ps(d, _mm256_set1_ps(QN_COUNT));
            QN_UNROLL
            for (int i = 0; i < T; i++) {
                const qn_xq8 *b = (const qn_xq8 *)(const void *)(x + i * x_tok);
                __m256 sum = _mm256_fmsub_ps(_mm256_castsi256_ps(s[i][h]), d,
                                             count);
                acc[i][h] = _mm256_fmadd_ps(sum, _mm256_set1_ps(b->d),
                                            acc[i][h]);
            }
        }
        w += 32 + 256;
    }

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int h = 0; h < 2; h++)
        _mm256_store_ps(t->acc + i * t->acc_tok + 8 * h, acc[i][h]);
}

static void linear_q4_0_avx2(const qn_tile *t)
{
    qn_tile p = *t;

    for (; p.n_panel > 0; p.n_panel--) {
        switch (t->n_tok) {
        case 1: panel(&p, 1); break;
        case 2: panel(&p, 2); break;
        case 3: panel(&p, 3); break;
        case 4: panel(&p, 4); break;
        }
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

/* ---- int8 activations ---------------------------------------------------- */

QN_INLINE float top_of(__m256 a)
{
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(a),
                          _mm256_extractf128_ps(a, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

QN_INLINE void prep_q8(const float *x, int n, qn_xq8 *y, int offset)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i low = _mm256_set1_epi32(-127); /* what NaN becomes */

    for (int b = 0; b < n / QN_QBLOCK; b++, x += QN_QBLOCK, y++) {
        __m256 v[4], top = _mm256_setzero_ps();
        __m256i q[4], sum;
        __m128i s;
        float t, inv;
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 8 * i);
            top = _mm256_max_ps(top, _mm256_andnot_ps(sign, v[i]));
        }
        t = top_of(top);
        y->d = t / 127;
        inv = y->d > 0 ? 127 / t : 0;
        for (int i = 0; i < 4; i++)
            q[i] = _mm256_max_epi32(
                _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inv))),
                low);
        sum = _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]),
                               _mm256_add_epi32(q[2], q[3]));
        q[0] = _mm256_packs_epi32(q[0], q[1]);
        q[2] = _mm256_packs_epi32(q[2], q[3]);
        q[0] = _mm256_packs_epi16(q[0], q[2]);
        q[0] = _mm256_permutevar8x32_epi32(q[0], order);
        _mm256_storeu_si256((__m256i *)y->q, q[0]);
        s = _mm_add_epi32(_mm256_castsi256_si128(sum),
                          _mm256_extracti128_si256(sum, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
        y->fix = QN_COUNT_BITS - offset * _mm_cvtsi128_si32(s);
    }
}

static void prep_q8_o128_avx2(const float *x, int n, void *dst)
{
    prep_q8(x, n, dst, 128);
}

static void prep_q8_o8_avx2(const float *x, int n, void *dst)
{
    prep_q8(x, n, dst, 8);
}

void qn_x86_linear_q_avx2(qn_kernels *k)
{
    k->linear[QN_LAYOUT_Q4_0] = (qn_tile_kernel){"linear_q4_0_avx2",
                                                 linear_q4_0_avx2, QN_X_Q8_O8,
                                                 MAX_TOK, 0};
    k->prep[QN_X_Q8_O128].fn = prep_q8_o128_avx2;
    k->prep[QN_X_Q8_O128].name = "prep_q8_o128_avx2";
    k->prep[QN_X_Q8_O8].fn = prep_q8_o8_avx2;
    k->prep[QN_X_Q8_O8].name = "prep_q8_o8_avx2";
}
