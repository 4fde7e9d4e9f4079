/* mix_avx2.c - mix_tmpl.h in avx2, and cells of int8 with vpmaddwd.
 *
 *   acc[t][c] (+)= d[t] * col[c] * (sum of (w[k][c] - 128) q[t][k])
 *
 * w: 4 bytes of 8 columns in a vector; widened to 16 bits they are those of
 * columns 0, 1, 4, 5 and 2, 3, 6, 7. q: 4 int16 of one token, broadcast. What w
 * has too much is 128 times the sum of q. Whole numbers that fit 32 bits in the
 * end may wrap on the way (qn_xquads). Tile: N vectors of 8 columns x T tokens, two sums
 * each. Reference: mix_i8_ref in ref/ref_mix.c, the same whole numbers.
 */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    MIX_TOK = 6,
    MIX_FEW = 4,
    MIX_WIDE = 48,
    I8_TOK = 4
};
/* What 16 registers hold; cells of bf16 take two of them each. */
QN_INLINE int mix_in_flight(int T, qn_kv_dtype c)
{
    if (c == QN_KV_CELL_BF16)
        return T <= 2 ? 2 : 1;
    return T == 1 ? 4 : T <= 3 ? 2 : 1;
}

#include "backend/cpu/vec/mix_tmpl.h"

QN_INLINE void i8_tile(const qn_mix *m, const int N, const int T)
{
    const vi none = _mm256_setzero_si256();
    const uint8_t *row = m->w, *ahead = m->ahead, *x = m->x;
    int n_quad = (m->n_k + 3) / 4;
    vi s[I8_TOK][4][2];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int n = 0; n < N; n++)
        s[t][n][0] = s[t][n][1] = none;
    for (int k = 0; k < n_quad; k++, row += m->w_row, x += 8) {
        mix_ahead(ahead, N * 32, T);
        ahead = ahead ? ahead + m->w_row : NULL;
        QN_UNROLL
        for (int n = 0; n < N; n++) {
            vi d = _mm256_loadu_si256((const __m256i *)(row + 32 * n));
            vi a = _mm256_unpacklo_epi8(d, none);
            vi b = _mm256_unpackhi_epi8(d, none);
            QN_UNROLL
            for (int t = 0; t < T; t++) {
                vi q = _mm256_set1_epi64x(
                    *(const int64_t *)(const void *)(x + t * m->x_tok));
                s[t][n][0] = _mm256_add_epi32(s[t][n][0],
                                              _mm256_madd_epi16(a, q));
                s[t][n][1] = _mm256_add_epi32(s[t][n][1],
                                              _mm256_madd_epi16(b, q));
            }
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++) {
        qn_xquads q;
        memcpy(&q, x + t * m->x_tok, sizeof q);
        vi much = _mm256_set1_epi32((int)(128u * (uint32_t)q.sum));
        QN_UNROLL
        for (int n = 0; n < N; n++) {
            float *acc = m->acc + t * m->acc_tok + n * VL;
            vi all = _mm256_hadd_epi32(s[t][n][0], s[t][n][1]);
            vf f = v_mul(v_of_int(_mm256_sub_epi32(all, much)), v_set1(q.d));
            if (m->col)
                f = v_mul(f, v_load(m->col + n * VL));
            v_store(acc, m->load ? v_add(v_load(acc), f) : f);
        }
    }
}

QN_INLINE void i8_columns(const qn_mix *m, const int T)
{
    const int N = T == 1 ? 4 : T == 2 ? 2 : 1; /* n_col: multiple of 16 */
    qn_mix p = *m;

    while (p.n_col > 0) {
        int n = p.n_col >= N * VL ? N : 2;
        if (n == N)
            i8_tile(&p, N, T);
        else
            i8_tile(&p, 2, T);
        qn_mix_skip(&p, n * VL, 4);
    }
}

static void mix_i8_avx2(const qn_mix *m)
{
    switch (m->n_tok) {
    case 1: i8_columns(m, 1); break;
    case 2: i8_columns(m, 2); break;
    case 3: i8_columns(m, 3); break;
    case 4: i8_columns(m, 4); break;
    }
}

/* Eight of x times f, as int16, zeros from n on. */
QN_INLINE __m128i quads_of(const float *x, int i, int n, vf f)
{
    vf v = i + VL <= n ? v_load(x + i) : v_load_m(x + i, v_first(n - i));
    vi q = _mm256_cvtps_epi32(v_mul(v, f));

    return _mm_packs_epi32(_mm256_castsi256_si128(q),
                           _mm256_extracti128_si256(q, 1));
}

static void prep_quads_avx2(const float *x, int n, void *dst)
{
    int16_t *q = dst;
    int n4 = (n + 3) / 4 * 4;
    float limit = 32512.0f / (float)((n + 511) / 512), most;
    vf top = v_zero(), bad = v_zero();
    vi sum = _mm256_setzero_si256();
    qn_xquads tail = {0, 0};

    for (int i = 0; i < n; i += VL) {
        vf v = v_abs(i + VL <= n ? v_load(x + i)
                                 : v_load_m(x + i, v_first(n - i)));
        top = v_max(top, v);
        /* not a number, nor finite: minus itself it is not a number */
        bad = v_add(bad, v_sub(v, v));
    }
    most = v_top(top);
    tail.d = v_sum(bad);
    if (tail.d == 0 && most >= QN_QUADS_LEAST) {
        vf f = v_set1(limit / most);
        const vi ones = _mm256_set1_epi16(1);
        for (int i = 0; i < n4; i += VL) {
            __m128i v = quads_of(x, i, n, f);
            sum = _mm256_add_epi32(sum,
                                   _mm256_madd_epi16(_mm256_zextsi128_si256(v),
                                                     ones));
            if (i + VL <= n4)
                _mm_storeu_si128((__m128i *)(void *)(q + i), v);
            else
                _mm_storel_epi64((__m128i *)(void *)(q + i), v);
        }
        sum = _mm256_hadd_epi32(sum, sum);
        sum = _mm256_hadd_epi32(sum, sum);
        tail.sum = _mm256_cvtsi256_si32(sum);
        tail.d = most / limit;
    } else {
        memset(q, 0, (size_t)n4 * sizeof *q);
    }
    memcpy(q + n4, &tail, sizeof tail);
}

void qn_x86_mix_i8_avx2(qn_kernels *k)
{
    k->mix[QN_KV_CELL_I8] = (qn_mix_kernel){"mix_int8_avx2", mix_i8_avx2,
                                            prep_quads_avx2, I8_TOK};
    k->mix_exact[QN_KV_CELL_I8] = k->mix[QN_KV_CELL_I8];
}
