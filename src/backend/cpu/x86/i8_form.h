/* i8_form.h - where things are in the layouts whose products are made of int8
 * dot products: q8_0, q4_0 and those of codes (kernels.h draws them). */
#ifndef QN_BACKEND_CPU_I8_FORM_H
#define QN_BACKEND_CPU_I8_FORM_H

#include "backend/cpu/kernels.h"

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

/* Blocks with scales in f16, and the form of x that goes with them. */
QN_INLINE bool i8_is_q(qn_layout l)
{
    return l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0;
}

/* Bytes of a block of x, and where its factor d is. */
QN_INLINE int i8_x_bytes(qn_layout l, int B)
{
    return i8_is_q(l)          ? (int)sizeof(qn_xq8)
           : l == QN_LAYOUT_A6 ? (int)sizeof(qn_xsums)
                               : B + (int)sizeof(qn_xi8);
}

QN_INLINE int i8_x_d(qn_layout l, int B)
{
    return i8_is_q(l) ? (int)offsetof(qn_xq8, d) : B;
}

/* A8 whose zero points are all 128, as rounding to nearest makes them: a layout of
 * kernels alone. */
#define I8_A8_PLAIN QN_LAYOUT_N

/* Bytes of 16 rows' codes for B k's. */
QN_INLINE int i8_code_bytes(qn_layout l, int B)
{
    return B * (l == QN_LAYOUT_K5      ? 10
                : qn_layout_nibbles(l) ? 8
                : l == QN_LAYOUT_A6    ? 12
                                       : 16);
}

/* Lines of them with 8 k's of a row, or 4 that have 8 bits. */
QN_INLINE int i8_lines(qn_layout l, int B)
{
    return B / (qn_layout_nibbles(l) ? 8 : 4);
}

/* Bytes from a group to the next, before its codes, and k's of it. */
QN_INLINE int i8_group_bytes(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? 32 + i8_code_bytes(l, QN_QBLOCK) : t->q->bytes;
}

/* Four bytes, or a float, of activations for all rows. */
QN_INLINE __m512i bytes4(const uint8_t *x)
{
    int32_t v;

    memcpy(&v, x, sizeof v);
    return _mm512_set1_epi32(v);
}

/* s and the products of w with four bytes at x, in one instruction. (gcc broadcasts
 * with one of its own. Tests on other machines have theirs.) */
#ifndef I8_DOT_AT
#define I8_DOT_AT i8_dot_at
QN_INLINE __m512i i8_dot_at(__m512i s, __m512i w, const uint8_t *x)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(s)
            : "v"(w), "m"(*(const uint8_t(*)[4])(const void *)x));
    return s;
}
#endif

QN_INLINE __m512 float1(const uint8_t *x)
{
    float v;

    memcpy(&v, x, sizeof v);
    return _mm512_set1_ps(v);
}

/* Factors of 16 rows in f16. */
QN_INLINE __m512 i8_factors(const uint8_t *group)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)group));
}

/* Of K4, K5: factors at `group` times bytes. */
QN_INLINE __m512 i8_times_bytes(const uint8_t *group, const uint8_t *bytes)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)bytes);

    return _mm512_mul_ps(i8_factors(group),
                         _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(b)));
}

/* What sums of 16 rows at k of a group are multiplied with; unit: of CB4. Factors of
 * 11 bits times bytes have less than the 22 that QN_COUNT allows. */
QN_INLINE __m512 i8_scales(qn_layout l, const uint8_t *group, int k,
                           __m512 unit)
{
    __m512 scale;

    if (qn_layout_two_levels(l))
        return i8_times_bytes(group, group + 64 + k);
    if (i8_is_q(l) || l == QN_LAYOUT_A6)
        return i8_factors(group);
    scale = _mm512_loadu_ps(group);
    if (l == QN_LAYOUT_CB4)
        scale = _mm512_mul_ps(scale, unit);
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_castps_si512(scale),
                         _mm512_set1_epi32(QN_COUNT_SCALE)));
}

/* What i8_weigh takes off. */
QN_INLINE __m512 i8_count(__m512 scale)
{
    return _mm512_mul_ps(scale, _mm512_set1_ps(QN_COUNT));
}

/* A sum that began with QN_COUNT_BITS, times scale. */
QN_INLINE __m512 i8_weigh(__m512i sum, __m512 scale, __m512 count)
{
    return _mm512_fmsub_ps(_mm512_castsi512_ps(sum), scale, count);
}

/* What is taken off there, times the sum of x. */
QN_INLINE __m512 i8_mins(qn_layout l, const uint8_t *group, int k)
{
    return qn_layout_two_levels(l)
               ? i8_times_bytes(group + 32, group + 64 + k + 16)
               : _mm512_loadu_ps(group + 64);
}

/* Of A6: the whole scales of 16 rows for the 16 k's at k of a group. */
QN_INLINE __m128i i8_six_scales(const uint8_t *group, int k)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(group + 32 + k));
}

/* 16 k's of A6 of 16 rows, 4 a line. */
QN_INLINE void i8_six(const uint8_t *codes, __m512i *v)
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(48);
    __m512i a = _mm512_loadu_si512(codes), b = _mm512_loadu_si512(codes + 64);
    __m512i h = _mm512_loadu_si512(codes + 128);

    v[0] = _mm512_and_si512(_mm512_slli_epi16(h, 4), high);
    v[1] = _mm512_and_si512(_mm512_slli_epi16(h, 2), high);
    v[2] = _mm512_and_si512(h, high);
    v[3] = _mm512_and_si512(_mm512_srli_epi16(h, 2), high);
    /* (a & b) | c */
    v[0] = _mm512_ternarylogic_epi32(a, low, v[0], 0xea);
    v[1] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(a, 4), low, v[1], 0xea);
    v[2] = _mm512_ternarylogic_epi32(b, low, v[2], 0xea);
    v[3] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(b, 4), low, v[3], 0xea);
}

/* Of K5: 4 k's of 16 rows, whose fifth bits are the lowest of the bytes of h
 * shifted to the left by 4. */
QN_INLINE __m512i i8_five(__m512i h, __m512i low)
{
    return _mm512_ternarylogic_epi32(h, _mm512_set1_epi8(16), low, 0xea);
}

/* The fifth bits of the B = 32 k's at `codes`. */
QN_INLINE __m512i i8_fifth_bits(qn_layout l, const uint8_t *codes)
{
    return l == QN_LAYOUT_K5 ? _mm512_loadu_si512(codes + 256)
                             : _mm512_setzero_si512();
}

/* 8 k's of 16 rows with their fifth bits, which are the next two of h. */
QN_INLINE void i8_add_fifth(__m512i *h, __m512i *lo, __m512i *hi)
{
    *lo = i8_five(_mm512_slli_epi16(*h, 4), *lo);
    *hi = i8_five(_mm512_slli_epi16(*h, 3), *hi);
    *h = _mm512_srli_epi16(*h, 2);
}

QN_INLINE int i8_head(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? 32 : t->q->head;
}

QN_INLINE int i8_group(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? QN_QBLOCK : t->q->group;
}

/* Minus the zero points of a group's rows, in the low halves of lanes: for
 * _mm512_madd_epi16 with the sum of q. */
QN_INLINE __m512i i8_lack(const uint8_t *group)
{
    __m512i z = _mm512_cvtepu8_epi32(
        _mm_loadu_si128((const __m128i *)(const void *)(group + 64)));

    return _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), z),
                            _mm512_set1_epi32(0xffff));
}

/* Is l A8 that is plain in k's [k, k + n) of N panels? */
QN_INLINE bool i8_is_plain(const qn_tile *t, qn_layout l, const uint8_t *panel,
                           int k, int n, const int N)
{
    const int in_group = i8_group(t, l);

    if (l != QN_LAYOUT_A8)
        return false;
    for (int p = 0; p < N; p++)
        for (int g = k / in_group; g * in_group < k + n; g++) {
            const uint8_t *zeros = panel + p * t->w_panel +
                                   (int64_t)g * i8_group_bytes(t, l) + 64;
            __m128i z = _mm_loadu_si128((const __m128i *)(const void *)zeros);
            z = _mm_cmpeq_epi8(z, _mm_set1_epi8(-128));
            if (_mm_movemask_epi8(z) != 0xffff)
                return false;
        }
    return true;
}

#endif
