/* coded_avx2.c - coded_tmpl.h with the byte products of AVX2.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs to 16 bits,
 * saturating. Nibbles: 15 * 127 * 2 = 3,810, of which eight fit, so 32 k's are
 * added up there. Bytes: |v| times q with v's sign; 128 * 127 * 2 = 32,512
 * fits, but no second one.
 */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include <stddef.h>

enum {
    TOK = 8,
    EXCESS_BOOK = 0,
    EXCESS_BYTE = -128
};

QN_INLINE vi v_points(const int8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* The hardware's prefetcher does. */
QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    (void)w;
    (void)bytes;
    (void)T;
}

#include "backend/cpu/x86/coded_tmpl.h"

QN_INLINE void dot_signed(vi v, const uint8_t *x, int64_t x_tok, vi *s,
                          const int T)
{
    const vi ones = _mm256_set1_epi16(1);
    vi mag = _mm256_abs_epi8(v);

    QN_UNROLL
    for (int t = 0; t < T; t++) {
        vi q = _mm256_sign_epi8(v_bytes4(x + t * x_tok), v);
        vi p = _mm256_maddubs_epi16(mag, q);
        s[t] = _mm256_add_epi32(s[t], _mm256_madd_epi16(p, ones));
    }
}

QN_INLINE void nibbles(const uint8_t *w, vi *lo, vi *hi)
{
    const vi nibble = _mm256_set1_epi8(15);
    vi d = _mm256_loadu_si256((const __m256i *)w);

    *lo = _mm256_and_si256(d, nibble);
    *hi = _mm256_and_si256(_mm256_srli_epi16(d, 4), nibble);
}

/* At most 32 k's of unsigned nibbles. */
QN_INLINE void dot_nibbles(const uint8_t *w, const uint8_t *x, int64_t x_tok,
                           vi *s, const int n, const int T)
{
    const vi ones = _mm256_set1_epi16(1);
    vi p[TOK], lo, hi;

    QN_UNROLL
    for (int i = 0; i < n / 8; i++) {
        nibbles(w + 64 * i, &lo, &hi);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            const uint8_t *q = x + t * x_tok + 8 * i;
            vi a = _mm256_maddubs_epi16(lo, v_bytes4(q));
            a = i ? _mm256_add_epi16(p[t], a) : a;
            p[t] = _mm256_add_epi16(a,
                                    _mm256_maddubs_epi16(hi, v_bytes4(q + 4)));
        }
    }
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = _mm256_add_epi32(s[t], _mm256_madd_epi16(p[t], ones));
}

QN_INLINE void dots(qn_layout l, vi book, const uint8_t *w, const uint8_t *x,
                    int64_t x_tok, vi *s, const int B, const int T)
{
    const vi top = _mm256_set1_epi8(-128);

    if (l == QN_LAYOUT_A4 || l == QN_LAYOUT_M4) {
        for (int k = 0; k < B; k += 32)
            dot_nibbles(w + 8 * k, x + k, x_tok, s, QN_MIN(B, 32), T);
    } else if (l == QN_LAYOUT_CB4) {
        for (int i = 0; i < B / 8; i++) {
            vi lo, hi;
            nibbles(w + 64 * i, &lo, &hi);
            dot_signed(_mm256_shuffle_epi8(book, lo), x + 8 * i, x_tok, s, T);
            dot_signed(_mm256_shuffle_epi8(book, hi), x + 8 * i + 4, x_tok, s,
                       T);
        }
    } else {
        for (int i = 0; i < B / 4; i++) {
            vi v = _mm256_loadu_si256((const __m256i *)(w + 64 * i));
            dot_signed(_mm256_xor_si256(v, top), x + 4 * i, x_tok, s, T);
        }
    }
}

/* ---- int8 activations ---------------------------------------------------- */

/* n <= B values: their int8, scale and sum. */
QN_INLINE void prep_block(const float *x, uint8_t *y, const int B)
{
    const vi order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const vi low = _mm256_set1_epi32(-127); /* what NaN becomes */
    vf v[8], top = v_zero();
    vi q[8], sum = _mm256_setzero_si256();
    float t, inv;
    qn_xi8 b;

    QN_UNROLL
    for (int i = 0; i < B / 8; i++) {
        v[i] = v_load(x + 8 * i);
        top = v_max(v_abs(v[i]), top); /* of NaN: the other */
    }
    t = v_top(top);
    b.d = t / 127;
    inv = b.d > 0 ? 127 / t : 0;
    QN_UNROLL
    for (int i = 0; i < B / 8; i++) {
        q[i] = _mm256_cvtps_epi32(v_mul(v[i], v_set1(inv)));
        q[i] = _mm256_max_epi32(q[i], low);
        sum = _mm256_add_epi32(sum, q[i]);
    }
    QN_UNROLL
    for (int i = 0; i < B / 8; i += 4) {
        vi a = _mm256_packs_epi32(q[i], q[i + 1]), c = a;
        if (B > 16)
            c = _mm256_packs_epi32(q[i + 2], q[i + 3]);
        a = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, c), order);
        if (B > 16)
            _mm256_storeu_si256((__m256i *)(y + 8 * i), a);
        else
            _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(a));
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum),
                              _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    b.sum = _mm_cvtsi128_si32(s);
    b.dsum = b.d * (float)b.sum;
    memcpy(y + B, &b, sizeof b);
}

QN_INLINE void prep_i8(const float *x, int n, uint8_t *y, const int B)
{
    for (; n >= B; n -= B, x += B, y += B + sizeof(qn_xi8))
        prep_block(x, y, B);
    if (n > 0) {
        float last[64] = {0};
        memcpy(last, x, (size_t)n * sizeof *x);
        prep_block(last, y, B);
    }
}

static void prep_i8_16_avx2(const float *x, int n, void *dst)
{
    prep_i8(x, n, dst, 16);
}

static void prep_i8_32_avx2(const float *x, int n, void *dst)
{
    prep_i8(x, n, dst, 32);
}

static void prep_i8_64_avx2(const float *x, int n, void *dst)
{
    prep_i8(x, n, dst, 64);
}

void qn_x86_prep_i8_avx2(qn_kernels *k)
{
    k->prep[QN_X_I8_16].fn = prep_i8_16_avx2;
    k->prep[QN_X_I8_16].name = "prep_i8_16_avx2";
    k->prep[QN_X_I8_32].fn = prep_i8_32_avx2;
    k->prep[QN_X_I8_32].name = "prep_i8_32_avx2";
    k->prep[QN_X_I8_64].fn = prep_i8_64_avx2;
    k->prep[QN_X_I8_64].name = "prep_i8_64_avx2";
}
