/* coded_avx2.c - coded_tmpl.h with the products of AVX2.
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs to 16 bits,
 * saturating. A4, M4: 15 * 127 * 2 = 3,810, of which eight fit, so 32 k's are
 * added up there. CB4: |v| times q with v's sign; 127 * 127 * 2 = 32,258 fits,
 * but no second one.
 *
 * A8, M8, q8_0: vpmaddwd with 16 bits on both sides costs no more than that, and x
 * keeps 12 bits. Four values are neighbours in a lane, 4 k's of a row: two
 * lanes of sums per row, which meet at the end of a block.
 */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include <stddef.h>
#include <string.h>

enum {
    TOK = 6,
    AHEAD = 1024 /* bytes of weights asked for: the hardware's prefetcher alone
                  * leaves a decode with bytes at 0.6 of its speed */
};

QN_INLINE int at_once(int T)
{
    (void)T;
    return 1;
}

QN_INLINE int streams(int T)
{
    (void)T;
    return 1;
}

QN_INLINE vi load_book(const qn_scaled *q)
{
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)q->points));
}

QN_INLINE int x_bytes(qn_layout l)
{
    return qn_layout_nibbles(l) ? 1 : 2;
}

QN_INLINE vi v_bytes8(const uint8_t *p)
{
    long long eight; /* blocks of activations are aligned to 4 bytes */

    memcpy(&eight, p, sizeof eight);
    return _mm256_set1_epi64x(eight);
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    (void)T;
    for (int i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);
}

QN_INLINE void nibbles(const uint8_t *w, vi *lo, vi *hi)
{
    const vi nibble = _mm256_set1_epi8(15);
    vi d = _mm256_loadu_si256((const __m256i *)w);

    *lo = _mm256_and_si256(d, nibble);
    *hi = _mm256_and_si256(_mm256_srli_epi16(d, 4), nibble);
}

/* ---- nibbles times int8 -------------------------------------------------- */

/* s = n k's, 32 at most. */
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

/* The zero point, of 16 bits, times the sum of q, which fits, too. */
QN_INLINE void dots_nibbles(const qn_tile *t, qn_layout l, const uint8_t *zeros,
                            const uint8_t *codes, const uint8_t *x, vi *s,
                            const int B, const int T)
{
    vi fix = _mm256_setzero_si256();

    if (l == QN_LAYOUT_A4)
        fix = _mm256_and_si256(_mm256_sub_epi32(fix, v_widen_u8(zeros)),
                               _mm256_set1_epi32(0xffff));
    QN_UNROLL
    for (int i = 0; i < T; i++)
        s[i] = _mm256_madd_epi16(fix, v_bytes4(x + i * t->x_tok + B +
                                               offsetof(qn_xi8, sum)));
    for (int k = 0; k < B; k += 32)
        dot_nibbles(codes + 8 * k, x + k, t->x_tok, s, QN_MIN(B, 32), T);
}

/* ---- points times int8 --------------------------------------------------- */

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

QN_INLINE void dots_book(vi book, const uint8_t *codes, const uint8_t *x,
                         int64_t x_tok, vi *s, const int B, const int T)
{
    QN_UNROLL
    for (int i = 0; i < T; i++)
        s[i] = _mm256_setzero_si256();
    for (int i = 0; i < B / 8; i++) {
        vi lo, hi;
        nibbles(codes + 64 * i, &lo, &hi);
        dot_signed(_mm256_shuffle_epi8(book, lo), x + 8 * i, x_tok, s, T);
        dot_signed(_mm256_shuffle_epi8(book, hi), x + 8 * i + 4, x_tok, s, T);
    }
}

/* ---- bytes times int16 --------------------------------------------------- */

/* Zero points, one a lane. */
QN_INLINE vi load_zeros(qn_layout l, const uint8_t *p)
{
    return l == QN_LAYOUT_Q8_0 ? _mm256_set1_epi32(128)
           : l == QN_LAYOUT_A8 ? v_widen_u8(p)
                               : _mm256_setzero_si256();
}

/* Sums begin with minus zero point times sum of q, in one of a row's lanes. */
QN_INLINE void begin_sums(vi zero, const uint8_t *sum, int64_t x_tok, vi s[][2],
                          const int T)
{
    const vi none = _mm256_setzero_si256();
    vi z = _mm256_sub_epi32(none, zero);
    vi lo = _mm256_unpacklo_epi32(z, none), hi = _mm256_unpackhi_epi32(z, none);

    QN_UNROLL
    for (int i = 0; i < T; i++) {
        vi q = v_bytes4(sum + i * x_tok);
        s[i][0] = _mm256_mullo_epi32(lo, q);
        s[i][1] = _mm256_mullo_epi32(hi, q);
    }
}

/* The zero point goes off the sums where few tokens share a weight, else off
 * the weights: the same whole numbers. */
QN_INLINE void dots_bytes(const qn_tile *t, qn_layout l, const uint8_t *zeros,
                          const uint8_t *codes, const uint8_t *x, vi *out,
                          const int B, const int T)
{
    const bool from_sums = l != QN_LAYOUT_M8 && T <= 2 && B >= 32;
    const vi none = _mm256_setzero_si256();
    vi zero = load_zeros(l, zeros), z2, z[2], s[TOK][2];

    z2 = _mm256_or_si256(zero, _mm256_slli_epi32(zero, 16));
    z[0] = from_sums ? none : _mm256_unpacklo_epi32(z2, z2);
    z[1] = from_sums ? none : _mm256_unpackhi_epi32(z2, z2);
    QN_UNROLL
    for (int i = 0; i < T; i++)
        s[i][0] = s[i][1] = none;
    if (from_sums)
        begin_sums(zero, x + 2 * B + offsetof(qn_xi8, sum), t->x_tok, s, T);
    for (int i = 0; i < B / 4; i++) {
        vi d = _mm256_loadu_si256((const __m256i *)(codes + 64 * i));
        vi a = _mm256_sub_epi16(_mm256_unpacklo_epi8(d, none), z[0]);
        vi b = _mm256_sub_epi16(_mm256_unpackhi_epi8(d, none), z[1]);
        QN_UNROLL
        for (int j = 0; j < T; j++) {
            vi q = v_bytes8(x + j * t->x_tok + 8 * i);
            s[j][0] = _mm256_add_epi32(s[j][0], _mm256_madd_epi16(a, q));
            s[j][1] = _mm256_add_epi32(s[j][1], _mm256_madd_epi16(b, q));
        }
    }
    QN_UNROLL
    for (int i = 0; i < T; i++) /* of rows 0, 1, 4, 5 and 2, 3, 6, 7 */
        out[i] = _mm256_hadd_epi32(s[i][0], s[i][1]);
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    const uint8_t *zeros = group + 64 + v * VL;

    if (l == QN_LAYOUT_CB4)
        dots_book(book, codes, x, t->x_tok, s, B, T);
    else if (qn_layout_nibbles(l))
        dots_nibbles(t, l, zeros, codes, x, s, B, T);
    else
        dots_bytes(t, l, zeros, codes, x, s, B, T);
}

#include "backend/cpu/vec/coded_tmpl.h"
