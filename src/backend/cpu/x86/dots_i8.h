/* dots_i8.h - weights of whole numbers (q8_0, q4_0, Q6_K and the layouts of codes)
 * with int8 dot products: the body of linear_i8_avx512vnni.c,
 * coded_i8_avx512vnni.c and coded_mins_avx512vnni.c.
 *
 *   per block of x:  i = sum of v q,  v = points[code], code - zero or code
 *                    acc[t][l] += (i * scale[l]) * d_x
 *                    acc[t][l] -= min[l] * (d_x * sum of q)      where there are minima
 *   A6, a scale per 16 k's that is a whole number:
 *                    i = sum of scale v q
 *                    acc[t][l] += i * (factor[l] * d_x)
 *
 * A zmm of the panel is 4 k's of 16 rows; x is 4 signed bytes of one token,
 * broadcast by the memory operand. vpdpbusd wants v unsigned: what v then has
 * too much (a zero point, an offset) is taken off as a multiple of the sum of
 * q. Sums of a block are exact, so linear_i8_amx.c and linear_a6_amx.c have the
 * same bits.
 *
 * Tile: N panels x T tokens, sums in registers. More than QN_FEW tokens are for
 * many_i8.h and many_a6.h. Few are bound by memory: stream.h. Reference: panel_q in
 * ref/ref_linear.c, ref/ref_coded.c.
 */
#ifndef QN_BACKEND_CPU_DOTS_I8_H
#define QN_BACKEND_CPU_DOTS_I8_H
#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512vnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/i8_form.h"
#include "backend/cpu/x86/many_a6.h"
#include "backend/cpu/x86/stream.h"
#include "backend/cpu/x86/x86.h"

#include <string.h>

enum {
    MAX_TOK = 128, /* with many_* */
    MAX_PANEL = 4
};

/* What does not change within a tile. */
typedef struct consts {
    __m512i nibble, upper, book;
    __m512 unit;
} consts;

QN_INLINE consts consts_of(const qn_tile *t, qn_layout l)
{
    consts c = {.nibble = _mm512_set1_epi8(15), .upper = _mm512_set1_epi8(-16)};

    if (l == QN_LAYOUT_CB4) { /* unsigned: qn_xi8.fix makes up for it */
        __m128i b = _mm_loadu_si128(
            (const __m128i *)(const void *)t->q->points);
        c.book = _mm512_broadcast_i32x4(_mm_xor_si128(b, _mm_set1_epi8(-128)));
        c.unit = _mm512_set1_ps(t->q->unit);
    }
    return c;
}

/* Of A6: the scales of the 16 k's at k and of those at `next` of a group, in the
 * halves of lanes. */
QN_INLINE __m512i scales_six(const uint8_t *group, int k, int next)
{
    __m128i a = i8_six_scales(group, k), b = i8_six_scales(group, next);
    __m256i both = _mm256_set_m128i(_mm_unpackhi_epi8(a, b),
                                    _mm_unpacklo_epi8(a, b));

    return _mm512_cvtepi8_epi16(both);
}

/* What sums of A6 begin with, for the block at k of a group. */
QN_INLINE void begin_six(const uint8_t *group, int k, const uint8_t *x,
                         int64_t x_tok, __m512i *s, const int T)
{
    QN_UNROLL
    for (int j = 0; j < QN_SUMS_BLOCK / 32; j++) {
        int at = k + 32 * j;
        __m512i fix = _mm512_slli_epi16(scales_six(group, at, at + 16), 5);
        fix = _mm512_sub_epi16(_mm512_setzero_si512(), fix); /* -32 scale */
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            __m512i sums = bytes4(x + t * x_tok + offsetof(qn_xsums, sum) +
                                  4 * j);
            s[t] = j ? _mm512_dpwssd_epi32(s[t], fix, sums)
                     : _mm512_madd_epi16(fix, sums);
        }
    }
}

/* What sums begin with. */
QN_INLINE void begin(qn_layout l, const uint8_t *group, const uint8_t *x,
                     int64_t x_tok, __m512i *s, const int B, const int T)
{
    const __m512i count = _mm512_set1_epi32(QN_COUNT_BITS);
    __m512i lack = qn_layout_zeros(l) ? i8_lack(group) : count;

    QN_UNROLL
    for (int t = 0; t < T; t++) {
        const uint8_t *b = x + t * x_tok;
        s[t] = i8_is_q(l)           ? bytes4(b + offsetof(qn_xq8, fix))
               : l == QN_LAYOUT_CB4 ? bytes4(b + B + offsetof(qn_xi8, fix))
               : qn_layout_mins(l)
                   ? count
                   : _mm512_dpwssd_epi32(count, lack,
                                         bytes4(b + B + offsetof(qn_xi8, sum)));
    }
}

QN_INLINE void dot(__m512i v, const uint8_t *x, int64_t x_tok, __m512i *s,
                   const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++)
        s[t] = _mm512_dpbusd_epi32(s[t], v, bytes4(x + t * x_tok));
}

/* The sums of the block of A6 at k of a group. Codes have 6 bits, so that four
 * products fit 16: their sums meet the scale in the dot product of 16 bits, with no
 * register for those of 16 k's. */
QN_INLINE void dots_six(const uint8_t *group, int k, const uint8_t *codes,
                        const uint8_t *x, int64_t x_tok, __m512i *s,
                        const int T)
{
    QN_UNROLL
    for (int j = 0; j < QN_SUMS_BLOCK; j += 16) {
        __m512i scale = scales_six(group, k + j, k + j), v[4];
        i8_six(codes + i8_code_bytes(QN_LAYOUT_A6, j), v);
        QN_UNROLL
        for (int i = 0; i < 4; i += 2)
            QN_UNROLL
        for (int t = 0; t < T; t++) {
            const uint8_t *at = x + t * x_tok + j + 4 * i;
            __m512i a = _mm512_maddubs_epi16(v[i], bytes4(at));
            __m512i b = _mm512_maddubs_epi16(v[i + 1], bytes4(at + 4));
            s[t] = _mm512_dpwssd_epi32(s[t], _mm512_add_epi16(a, b), scale);
        }
    }
}

/* Of A6 and one token: what sums of 16 k's begin with, for all panels. */
QN_INLINE void fixes_six(const uint8_t *x, __m512i *fix)
{
    QN_UNROLL
    for (int j = 0; j < QN_SUMS_BLOCK / 16; j++) {
        int16_t sum;
        memcpy(&sum, x + offsetof(qn_xsums, sum) + 2 * j, sizeof sum);
        fix[j] = _mm512_set1_epi32(-32 * sum);
    }
}

/* The same sums for one token: there are registers for those of 16 k's, which
 * takes half of the instructions. */
QN_INLINE __m512i sum_six(const uint8_t *group, int k, const uint8_t *codes,
                          const uint8_t *x, const __m512i *fix)
{
    __m512i s = _mm512_setzero_si512();

    QN_UNROLL
    for (int j = 0; j < QN_SUMS_BLOCK; j += 16) {
        __m512i scale = _mm512_cvtepi8_epi32(i8_six_scales(group, k + j));
        __m512i a = fix[j / 16], v[4];
        i8_six(codes + i8_code_bytes(QN_LAYOUT_A6, j), v);
        QN_UNROLL
        for (int i = 0; i < 4; i++)
            a = _mm512_dpbusd_epi32(a, v[i], bytes4(x + j + 4 * i));
        s = _mm512_add_epi32(s, _mm512_mullo_epi32(a, scale));
    }
    return s;
}

/* The sums of one block of B k's of a panel. */
QN_INLINE void dots(const consts *c, qn_layout l, const uint8_t *codes,
                    const uint8_t *x, int64_t x_tok, __m512i *s, const int B,
                    const int T)
{
    /* high halves that are numbers stay where they are, as 16 times as much */
    const bool apart = qn_layout_nibbles(l) && l != QN_LAYOUT_CB4 &&
                       l != QN_LAYOUT_K5;
    __m512i fifth = i8_fifth_bits(l, codes), high[QN_FEW];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        high[t] = _mm512_setzero_si512();
    QN_UNROLL_TWICE
    for (int i = 0; i < i8_lines(l, B); i++) {
        __m512i w = _mm512_loadu_si512(codes + 64 * i), lo, hi;
        if (!qn_layout_nibbles(l)) {
            dot(w, x + 4 * i, x_tok, s, T);
            continue;
        }
        lo = _mm512_and_si512(w, c->nibble);
        hi = apart ? _mm512_and_si512(w, c->upper)
                   : _mm512_and_si512(_mm512_srli_epi16(w, 4), c->nibble);
        if (l == QN_LAYOUT_K5)
            i8_add_fifth(&fifth, &lo, &hi);
        if (l == QN_LAYOUT_CB4) {
            lo = _mm512_shuffle_epi8(c->book, lo);
            hi = _mm512_shuffle_epi8(c->book, hi);
        }
        dot(lo, x + (l == QN_LAYOUT_Q4_0 ? 4 : 8) * i, x_tok, s, T);
        dot(hi, x + (l == QN_LAYOUT_Q4_0 ? 16 + 4 * i : 8 * i + 4), x_tok,
            apart ? high : s, T);
    }
    QN_UNROLL
    for (int t = 0; t < T && apart; t++)
        s[t] = _mm512_add_epi32(s[t], _mm512_srai_epi32(high[t], 4));
}

/* The block at k of a group of a panel into acc[t]; fix: of fixes_six. */
QN_INLINE void block(const consts *c, qn_layout l, const uint8_t *group, int k,
                     const uint8_t *codes, const uint8_t *x, int64_t x_tok,
                     const __m512i *fix, __m512 *acc, const int B, const int T)
{
    __m512 scale = i8_scales(l, group, k, c->unit), count = i8_count(scale);
    __m512i s[QN_FEW];

    if (l == QN_LAYOUT_A6 && T == 1) {
        s[0] = sum_six(group, k, codes, x, fix);
    } else if (l == QN_LAYOUT_A6) {
        begin_six(group, k, x, x_tok, s, T);
        dots_six(group, k, codes, x, x_tok, s, T);
    } else {
        begin(l, group, x, x_tok, s, B, T);
        dots(c, l, codes, x, x_tok, s, B, T);
    }
    QN_UNROLL
    for (int t = 0; t < T; t++) {
        const uint8_t *d = x + t * x_tok + i8_x_d(l, B);
        acc[t] = l == QN_LAYOUT_A6
                     ? _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[t]),
                                       _mm512_mul_ps(scale, float1(d)), acc[t])
                     : _mm512_fmadd_ps(i8_weigh(s[t], scale, count), float1(d),
                                       acc[t]);
        if (qn_layout_mins(l))
            acc[t] = _mm512_fnmadd_ps(i8_mins(l, group, k), float1(d + 4),
                                      acc[t]);
    }
}

/* N panels at w; `next` is read afterwards. */
QN_INLINE void tile(const qn_tile *t, const uint8_t *w, float *sums,
                    const uint8_t *next, qn_layout l, const int B, const int N,
                    const int T, bool ask)
{
    const consts c = consts_of(t, l);
    const int step = i8_code_bytes(l, B), in_group = i8_group(t, l);
    const int far = stream_far(N);
    const int head = i8_head(t, l), group_bytes = i8_group_bytes(t, l);
    const uint8_t *x = t->x, *group = w;
    const uint8_t *end = group + (int64_t)((t->n_k + in_group - 1) / in_group) *
                                     group_bytes;
    const int64_t beyond = qn_tile_beyond(group, end - group, next);
    __m512 acc[MAX_PANEL][QN_FEW];

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        acc[p][i] = t->load
                        ? _mm512_load_ps(sums + i * t->acc_tok + p * QN_PANEL)
                        : _mm512_setzero_ps();
    if (!ask && next && next != end)
        stream_begin(next);

    for (int k = 0; k < t->n_k; group += group_bytes) {
        const uint8_t *codes = group + head;
        int in = 0;
        if (ask)
            QN_UNROLL
        for (int p = 0; p < N; p++)
            stream_ask(group + p * t->w_panel, end - group, beyond, head, far);
        for (; in < in_group && k < t->n_k; in += B, k += B) {
            __m512i fix[QN_SUMS_BLOCK / 16];
            if (l == QN_LAYOUT_A6 && T == 1)
                fixes_six(x, fix);
            QN_UNROLL
            for (int p = 0; p < N; p++) {
                int64_t at = p * t->w_panel;
                if (ask)
                    stream_ask(codes + at, end - codes, beyond, step, far);
                block(&c, l, group + at, in, codes + at, x, t->x_tok, fix,
                      acc[p], B, T);
            }
            codes += step;
            x += i8_x_bytes(l, B);
        }
    }

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        _mm512_store_ps(sums + i * t->acc_tok + p * QN_PANEL, acc[p][i]);
}

/* Of panels from `first` on of a set at w N at once, while there are so many; which is
 * the first that was not taken. */
QN_INLINE int some(const qn_tile *t, const uint8_t *w, float *sums, int first,
                   const uint8_t *next, qn_layout l, const int B, const int N,
                   const int T, bool ask)
{
    for (; first + N <= t->n_panel; first += N) {
        const uint8_t *after = w + (first + N) * t->w_panel;
        tile(t, w + first * t->w_panel, sums + first * QN_PANEL,
             first + N < t->n_panel ? after : next, l, B, N, T, ask);
    }
    return first;
}

/* The fields of t are read one by one: a copy of it would wait until its caller's
 * stores have left the pipeline, and with them all loads of weights before. */
QN_INLINE void panels(const qn_tile *t, qn_layout l, const int B, const int T)
{
    const bool ask = stream_asks();
    const uint8_t *w = t->w;
    float *sums = t->acc;

    for (int more = t->n_more; more >= 0; more--) {
        const uint8_t *next = more ? w + t->w_more : t->next;
        int n = some(t, w, sums, 0, next, l, B, MAX_PANEL, T, ask);
        some(t, w, sums, n, next, l, B, 1, T, ask);
        w = next;
        sums += t->n_panel * QN_PANEL;
    }
}

QN_INLINE void few(const qn_tile *t, qn_layout l, const int B)
{
    switch (t->n_tok) {
    case 1: panels(t, l, B, 1); break;
    case 2: panels(t, l, B, 2); break;
    case 3: panels(t, l, B, 3); break;
    case 4: panels(t, l, B, 4); break;
    }
}

QN_INLINE void more(const qn_tile *t, qn_layout l, const int B)
{
    if (l == QN_LAYOUT_A6)
        many_six(t);
    else
        many(t, l, B);
}

/* The kernel of a layout with blocks of B k's. Few tokens and many are functions of
 * their own: in one, gcc has no patience for the registers of the second (4-bit
 * integers, 5 tokens: 116 and 82 tokens/s). */
#define DOTS_KERNEL(linkage, name, l, B)                  \
    static QN_NOINLINE void name##_few(const qn_tile *t)  \
    {                                                     \
        few(t, l, B);                                     \
    }                                                     \
    static QN_NOINLINE void name##_more(const qn_tile *t) \
    {                                                     \
        more(t, l, B);                                    \
    }                                                     \
    linkage void name(const qn_tile *t)                   \
    {                                                     \
        if (t->n_tok <= QN_FEW)                           \
            name##_few(t);                                \
        else                                              \
            name##_more(t);                               \
    }

/* The same, of whatever block; those of 64, which most weights have, are worth loops of
 * their own length (nf4, 128 tokens, one core: 382 to 393 Gop/s, probe 468). */
#define DOTS_KERNEL_ANY(name, l)                    \
    DOTS_KERNEL(static, name##_64, l, 64)           \
    DOTS_KERNEL(static, name##_any, l, t->q->block) \
    void name(const qn_tile *t)                     \
    {                                               \
        if (t->q->block == 64)                      \
            name##_64(t);                           \
        else                                        \
            name##_any(t);                          \
    }

#endif
