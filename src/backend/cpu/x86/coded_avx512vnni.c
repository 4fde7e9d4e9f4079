/* coded_avx512vnni.c - coded_tmpl.h with vpdpbusd: v + excess is unsigned, x
 * is 4 signed bytes of one token, broadcast by the memory operand. */
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
    EXCESS_BOOK = 128,
    EXCESS_BYTE = 0,
    AHEAD = 4096, /* see linear_q_avx512vnni.c */
    AHEAD_TOK = 3
};

QN_INLINE vi v_points(const int8_t *p)
{
    __m128i b = _mm_loadu_si128((const __m128i *)p);

    return _mm512_broadcast_i32x4(_mm_xor_si128(b, _mm_set1_epi8(-128)));
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    for (int i = 0; i < bytes && T >= AHEAD_TOK; i += 64)
        _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);
}

#include "backend/cpu/x86/coded_tmpl.h"

QN_INLINE void dot(vi v, const uint8_t *x, int64_t x_tok, vi *s, const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = _mm512_dpbusd_epi32(s[t], v, v_bytes4(x + t * x_tok));
}

QN_INLINE void dots(qn_layout l, vi book, const uint8_t *w, const uint8_t *x,
                    int64_t x_tok, vi *s, const int B, const int T)
{
    const vi nibble = _mm512_set1_epi8(15);

    for (int i = 0; i < B / (is_nibbles(l) ? 8 : 4); i++) {
        vi v = _mm512_loadu_si512(w + 64 * i);
        if (!is_nibbles(l)) {
            dot(v, x + 4 * i, x_tok, s, T);
            continue;
        }
        vi lo = _mm512_and_si512(v, nibble);
        vi hi = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
        if (l == QN_LAYOUT_CB4) {
            lo = _mm512_shuffle_epi8(book, lo);
            hi = _mm512_shuffle_epi8(book, hi);
        }
        dot(lo, x + 8 * i, x_tok, s, T);
        dot(hi, x + 8 * i + 4, x_tok, s, T);
    }
}
