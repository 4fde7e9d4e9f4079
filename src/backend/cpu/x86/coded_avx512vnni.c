/* coded_avx512vnni.c - coded_tmpl.h with vpdpbusd: x is 4 signed bytes of one
 * token, broadcast by the memory operand; v is made unsigned. What it then has
 * too much (a zero point, an offset) is taken off as a multiple of the sum of
 * q: both fit 16 bits. */
#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512vnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

#include <stddef.h>

#undef FN
#undef FN_NAME
#define FN(name) name##_avx512vnni
#define FN_NAME(name) name "_avx512vnni"

enum {
    TOK = 12,
    BOOK_OFFSET = 128,
    AHEAD = 4096, /* see linear_q_avx512vnni.c */
    AHEAD_TOK = 3
};

QN_INLINE vi load_book(const qn_scaled *q)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)q->points);

    return _mm512_broadcast_i32x4(_mm_xor_si128(b, _mm_set1_epi8(-128)));
}

QN_INLINE int x_bytes(qn_layout l)
{
    (void)l;
    return 1;
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    for (int i = 0; i < bytes && T >= AHEAD_TOK; i += 64)
        _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);
}

QN_INLINE void dot(vi v, const uint8_t *x, int64_t x_tok, vi *s, const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = _mm512_dpbusd_epi32(s[t], v, v_bytes4(x + t * x_tok));
}

/* Minus what v has too much, in the low halves of lanes. */
QN_INLINE vi lack(qn_layout l, const uint8_t *zeros)
{
    vi much = _mm512_setzero_si512();

    if (l == QN_LAYOUT_CB4)
        much = _mm512_set1_epi32(BOOK_OFFSET);
    else if (l == QN_LAYOUT_A4 || l == QN_LAYOUT_A8)
        much = v_widen_u8(zeros);
    return _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), much),
                            _mm512_set1_epi32(0xffff));
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    const vi nibble = _mm512_set1_epi8(15), fix = lack(l, group + 64);
    const int64_t x_tok = t->x_tok;

    (void)v;
    QN_UNROLL
    for (int i = 0; i < T; i++)
        s[i] = _mm512_madd_epi16(fix, v_bytes4(x + i * x_tok + B +
                                               offsetof(qn_xi8, sum)));
    for (int i = 0; i < B / (qn_layout_nibbles(l) ? 8 : 4); i++) {
        vi w = _mm512_loadu_si512(codes + 64 * i);
        if (!qn_layout_nibbles(l)) {
            dot(w, x + 4 * i, x_tok, s, T);
            continue;
        }
        vi lo = _mm512_and_si512(w, nibble);
        vi hi = _mm512_and_si512(_mm512_srli_epi16(w, 4), nibble);
        if (l == QN_LAYOUT_CB4) {
            lo = _mm512_shuffle_epi8(book, lo);
            hi = _mm512_shuffle_epi8(book, hi);
        }
        dot(lo, x + 8 * i, x_tok, s, T);
        dot(hi, x + 8 * i + 4, x_tok, s, T);
    }
}

#include "backend/cpu/vec/coded_tmpl.h"
