/* coded_avxvnni.c - whole_tmpl.h with the dot product of bytes that processors
 * without AVX-512 have: vpdpbusd in 256 bits.
 *
 * A vector of the panel is 4 k's of 8 rows, unsigned; x is 4 signed bytes of
 * one token, broadcast, for both vectors of a panel. What the bytes have too
 * much (a zero point, an offset) is taken off as a multiple of the sum of x.
 */
#if !defined(__AVXVNNI__)
#error "compile this file with the flags of avxvnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include <stddef.h>
#include <string.h>

#undef FN
#undef FN_NAME
#define FN(name) name##_avxvnni
#define FN_NAME(name) name "_avxvnni"

enum {
    TOK = 6,
    AHEAD = 1024 /* bytes of weights asked for */
};

QN_INLINE int at_once(int T)
{
    (void)T;
    return VP;
}

QN_INLINE int x_bytes(qn_layout l)
{
    (void)l;
    return 1;
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    (void)T;
    for (int i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);
}

/* The points, made unsigned. */
QN_INLINE vi load_book(const qn_scaled *q)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)q->points);

    return _mm256_broadcastsi128_si256(_mm_xor_si128(b, _mm_set1_epi8(-128)));
}

/* Minus what 8 rows' bytes have too much, in the low halves of lanes. */
QN_INLINE vi lack(qn_layout l, const uint8_t *zeros)
{
    vi much = _mm256_set1_epi32(l == QN_LAYOUT_Q4_0 ? 8
                                : l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_CB4
                                    ? 128
                                    : 0);
    if (qn_layout_zeros(l))
        much = v_widen_u8(zeros);
    return _mm256_and_si256(_mm256_sub_epi32(_mm256_setzero_si256(), much),
                            _mm256_set1_epi32(0xffff));
}

/* 4 k's of a panel times those of x. */
QN_INLINE void dot(const vi w[VP], const uint8_t *x, int64_t x_tok, vi *s,
                   const int T)
{
    QN_UNROLL
    for (int j = 0; j < T; j++) {
        vi q = v_bytes4(x + j * x_tok);
        QN_UNROLL
        for (int i = 0; i < VP; i++)
            s[i * TOK + j] = _mm256_dpbusd_avx_epi32(s[i * TOK + j], w[i], q);
    }
}

/* A line of 64 bytes of codes: 4 k's of a panel, or 8 as nibbles of which the
 * high ones are those from `high` bytes of x on. */
QN_INLINE void line(qn_layout l, vi book, const uint8_t *codes,
                    const uint8_t *x, const int high, int64_t x_tok, vi *s,
                    const int T)
{
    const vi nibble = _mm256_set1_epi8(15);
    vi w[VP], hi[VP];

    v_dwords(codes, w);
    if (!qn_layout_nibbles(l)) {
        dot(w, x, x_tok, s, T);
        return;
    }
    QN_UNROLL
    for (int i = 0; i < VP; i++) {
        hi[i] = _mm256_and_si256(_mm256_srli_epi16(w[i], 4), nibble);
        w[i] = _mm256_and_si256(w[i], nibble);
        if (l == QN_LAYOUT_CB4) {
            w[i] = _mm256_shuffle_epi8(book, w[i]);
            hi[i] = _mm256_shuffle_epi8(book, hi[i]);
        }
    }
    dot(w, x, x_tok, s, T);
    dot(hi, x + high, x_tok, s, T);
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    const int n_line = B / (qn_layout_nibbles(l) ? 8 : 4);

    QN_UNROLL
    for (int i = 0; i < VP; i++) {
        vi fix = lack(l, group + 64 + (v + i) * VL);
        QN_UNROLL
        for (int j = 0; j < T; j++)
            s[i * TOK + j] = _mm256_madd_epi16(
                fix, v_bytes4(x + j * t->x_tok + B + offsetof(qn_xi8, sum)));
    }
    QN_UNROLL_TWICE
    for (int i = 0; i < n_line; i++) {
        if (l == QN_LAYOUT_Q4_0)
            line(l, book, codes + 64 * i, x + 4 * i, 16, t->x_tok, s, T);
        else
            line(l, book, codes + 64 * i, x + B / n_line * i, 4, t->x_tok, s,
                 T);
    }
}

#include "backend/cpu/vec/whole_tmpl.h"

void qn_kernels_avxvnni(qn_kernels *k)
{
    qn_vec_whole_avxvnni(k);
}
