/* many_i8.h - products of more than a few tokens with weights of whole numbers,
 * all but Q6_K: the other half of dots_i8.h, whose sums these are bit for bit.
 *
 * Weights of MANY_K k's and two panels become unsigned bytes in the first-level
 * cache, with their scales, when the first tokens are multiplied with them. Tokens
 * come by seven: with two panels that makes 14 chains, which hide how long one product
 * takes (ten are just enough on Intel).
 *
 * While tokens are multiplied, the next weights are asked for, a few lines a
 * block: memory works all the time.
 *
 * Bound: of B k's, a token and a panel, B / 4 dot products and two more operations
 * of the same units: 80 % of the peak for blocks of 32, 89 % for 64; three where there
 * are minima, 73 %. Reference: panel_q in ref/ref_linear.c, ref/ref_coded.c.
 */
#ifndef QN_BACKEND_CPU_MANY_I8_H
#define QN_BACKEND_CPU_MANY_I8_H
#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__)
#error "compile this file with the flags of avx512vnni (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/i8_form.h"
#include "backend/cpu/x86/x86.h"

enum {
    MANY_K = 512,    /* of a chunk */
    MANY_TOK = 7,    /* at once    */
    MANY_DIRECT = 4, /* of them, see many_dots */
    MANY_PANEL = 2,
    MANY_BLOCKS = MANY_K / 16 * MANY_PANEL,
    MANY_OFFSET = 128 /* makes what is signed unsigned */
};

/* What is done about weights that are no plain unsigned numbers. */
typedef enum many_fix {
    MANY_FIX_Q,      /* x says it: qn_xq8.fix           */
    MANY_FIX_OFFSET, /* x says it: qn_xi8.fix           */
    MANY_FIX_LACK,   /* each row has a zero point       */
    MANY_FIX_MIN     /* minima                          */
} many_fix;

QN_INLINE many_fix many_fix_of(qn_layout l)
{
    return i8_is_q(l)          ? MANY_FIX_Q
           : qn_layout_mins(l) ? MANY_FIX_MIN
           : l == QN_LAYOUT_A8 ? MANY_FIX_LACK
                               : MANY_FIX_OFFSET;
}

/* Blocks of a chunk, the panels of one after the other. */
typedef struct many_bytes {
    QN_ALIGNED(64) uint8_t v[MANY_K * QN_PANEL * MANY_PANEL];
    __m512 scale[MANY_BLOCKS], count[MANY_BLOCKS], min[MANY_BLOCKS];
    __m512i lack[MANY_BLOCKS];
} many_bytes;

/* What is read next: some lines of N panels at a time. */
typedef struct many_ahead {
    const uint8_t *at;
    int64_t panel;
    int left, step; /* lines of a panel */
} many_ahead;

/* ---- weights ------------------------------------------------------------- */

/* Weights in memory: a block's codes and their group, of panel 0. */
typedef struct many_w {
    const uint8_t *group, *codes;
    int64_t w_panel;
    __m512i book;
    __m512 unit;
} many_w;

/* Where the bytes of a chunk are, when tokens are multiplied with them. */
typedef enum many_from {
    MANY_ONCE,  /* in memory, and no other tokens need them */
    MANY_FRESH, /* in memory, and become bytes for others   */
    MANY_KEPT   /* bytes already                            */
} many_from;

/* Each row's zero point in the four bytes of its lane. */
QN_INLINE __m512i many_zeros(const uint8_t *zeros)
{
    __m512i z = _mm512_cvtepu8_epi32(
        _mm_loadu_si128((const __m128i *)(const void *)zeros));

    return _mm512_mullo_epi32(z, _mm512_set1_epi32(0x01010101));
}

/* Scales and the like of block b, which is at k of its group. */
QN_INLINE void many_head(many_bytes *u, const many_w *w, qn_layout l, int b,
                         int k, const int N)
{
    QN_UNROLL
    for (int p = 0; p < N; p++) {
        const uint8_t *group = w->group + p * w->w_panel;
        __m512 scale = i8_scales(l, group, k, w->unit);
        u->scale[b * N + p] = scale;
        u->count[b * N + p] = i8_count(scale);
        if (qn_layout_mins(l))
            u->min[b * N + p] = i8_mins(l, group, k);
        if (l == QN_LAYOUT_A8)
            u->lack[b * N + p] = i8_lack(group);
    }
}

/* 4 k's of 16 rows, or 8 if they have 4 bits, from line i of a block's codes. */
QN_INLINE void many_line(const many_w *w, qn_layout l, int p, int i,
                         __m512i zeros, __m512i *fifth, __m512i *v)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i c = _mm512_loadu_si512(w->codes + p * w->w_panel + 64 * i);

    v[0] = c;
    if (!qn_layout_nibbles(l))
        return;
    v[0] = _mm512_and_si512(c, nibble);
    v[1] = _mm512_and_si512(_mm512_srli_epi16(c, 4), nibble);
    if (l == QN_LAYOUT_CB4) {
        v[0] = _mm512_shuffle_epi8(w->book, v[0]);
        v[1] = _mm512_shuffle_epi8(w->book, v[1]);
    } else if (l == QN_LAYOUT_A4) {
        v[0] = _mm512_add_epi8(v[0], zeros);
        v[1] = _mm512_add_epi8(v[1], zeros);
    } else if (l == QN_LAYOUT_K5) {
        i8_add_fifth(fifth, &v[0], &v[1]);
    }
}

/* ---- products ------------------------------------------------------------ */

QN_INLINE void many_prefetch(many_ahead *a, const int N)
{
    for (int i = 0; i < a->step && a->left > 0; i++, a->left--, a->at += 64)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        _mm_prefetch((const char *)a->at + p * a->panel, _MM_HINT_T1);
}

/* A block of the tokens that are multiplied next: chunks of 128 are more than the
 * first-level cache holds, and so many short streams no prefetcher follows. */
QN_INLINE void many_prefetch_x(const uint8_t *const *x, int64_t further,
                               const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++)
        _mm_prefetch((const char *)x[t] + further, _MM_HINT_T0);
}

/* What the sums of a block begin with. */
QN_INLINE void many_begin(many_fix fix, const __m512i *lack,
                          const uint8_t *const *x, __m512i (*s)[MANY_TOK],
                          const int B, const int N, const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++) {
        const uint8_t *b = x[t];
        __m512i first = _mm512_set1_epi32(QN_COUNT_BITS);
        if (fix == MANY_FIX_Q)
            first = bytes4(b + offsetof(qn_xq8, fix));
        if (fix == MANY_FIX_OFFSET)
            first = bytes4(b + B + offsetof(qn_xi8, fix));
        QN_UNROLL
        for (int p = 0; p < N; p++)
            s[p][t] =
                fix == MANY_FIX_LACK
                    ? _mm512_dpwssd_epi32(first, lack[p],
                                          bytes4(b + B + offsetof(qn_xi8, sum)))
                    : first;
    }
}

/* 4 k's of N panels with those of T tokens. A product that takes a token's from memory
 * itself is one operation for the front of a core; one that broadcasts them, for two
 * panels, and two products are three. A core whose other thread is busy has no more
 * than three a cycle. Three tokens of seven are broadcast, or loads would be what takes
 * the time. */
QN_INLINE void many_dots(const __m512i *w, const uint8_t *const *x,
                         const int at, __m512i (*s)[MANY_TOK], const int N,
                         const int T)
{
    const int direct = N > 1 ? T * MANY_DIRECT / MANY_TOK : T;

    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        s[p][t] = t < direct
                      ? I8_DOT_AT(s[p][t], w[p], x[t] + at)
                      : _mm512_dpbusd_epi32(s[p][t], w[p], bytes4(x[t] + at));
}

/* The sums of a block that is bytes already. */
QN_INLINE void many_kept(const uint8_t *v, const uint8_t *const *x,
                         __m512i (*s)[MANY_TOK], const int B, const int N,
                         const int T)
{
    QN_UNROLL
    for (int i = 0; i < B / 4; i++) {
        __m512i w[MANY_PANEL];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            w[p] = _mm512_load_si512(v + (p * B / 4 + i) * 64);
        many_dots(w, x, 4 * i, s, N, T);
    }
}

/* The sums of a block from memory, which becomes bytes at v, if they are kept. */
QN_INLINE void many_fresh(uint8_t *v, const many_w *w, qn_layout l,
                          const uint8_t *const *x, __m512i (*s)[MANY_TOK],
                          const int B, const int N, const int T,
                          const bool keep)
{
    const bool four = qn_layout_nibbles(l), q4 = l == QN_LAYOUT_Q4_0;
    const __m512i offset = _mm512_set1_epi8((char)MANY_OFFSET);
    __m512i zeros[MANY_PANEL] = {offset}, fifth[MANY_PANEL];

    QN_UNROLL
    for (int p = 0; p < N; p++)
        fifth[p] = i8_fifth_bits(l, w->codes + p * w->w_panel);
    if (l == QN_LAYOUT_A4)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        zeros[p] = _mm512_sub_epi8(offset,
                                   many_zeros(w->group + p * w->w_panel + 64));
    QN_UNROLL_TWICE
    for (int i = 0; i < i8_lines(l, B); i++) {
        const int at[2] = {four && !q4 ? 2 * i : i, q4 ? 4 + i : 2 * i + 1};
        __m512i wi[2][MANY_PANEL], line[2];
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            many_line(w, l, p, i, zeros[p], &fifth[p], line);
            QN_UNROLL
            for (int j = 0; j <= four; j++) {
                wi[j][p] = line[j];
                if (keep)
                    _mm512_store_si512(v + (p * B / 4 + at[j]) * 64, line[j]);
            }
        }
        QN_UNROLL
        for (int j = 0; j <= four; j++)
            many_dots(wi[j], x, 4 * at[j], s, N, T);
    }
}

/* n_block blocks of N panels and T tokens. */
QN_INLINE void many_tile(many_bytes *u, many_w w, many_ahead *a,
                         const qn_tile *t, qn_layout l, int k, int n_block,
                         const int B, const int N, const int T,
                         const many_from from)
{
    const bool fresh = from != MANY_KEPT;
    const many_fix fix = many_fix_of(l);
    const int x_bytes = i8_x_bytes(l, B), x_d = i8_x_d(l, B);
    const int in_group = i8_group(t, l);
    const uint8_t *x[MANY_TOK];
    __m512 acc[MANY_PANEL][MANY_TOK];

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        acc[p][i] = t->load
                        ? _mm512_load_ps(t->acc + i * t->acc_tok + p * QN_PANEL)
                        : _mm512_setzero_ps();

    QN_UNROLL
    for (int i = 0; i < T; i++)
        x[i] = t->x + i * t->x_tok;
    for (int b = 0; b < n_block; b++) {
        uint8_t *v = u->v + (int64_t)b * N * B * QN_PANEL;
        __m512i s[MANY_PANEL][MANY_TOK];
        many_prefetch(a, N);
        many_prefetch_x(x, T * t->x_tok, from == MANY_ONCE ? 0 : T);
        if (fresh)
            many_head(u, &w, l, b, k % in_group, N);
        many_begin(fix, u->lack + b * N, x, s, B, N, T);
        if (fresh)
            many_fresh(v, &w, l, x, s, B, N, T, from == MANY_FRESH);
        else
            many_kept(v, x, s, B, N, T);
        QN_UNROLL
        for (int i = 0; i < T; i++) {
            const uint8_t *d = x[i] + x_d;
            QN_UNROLL
            for (int p = 0; p < N; p++) {
                acc[p][i] = _mm512_fmadd_ps(
                    i8_weigh(s[p][i], u->scale[b * N + p], u->count[b * N + p]),
                    float1(d), acc[p][i]);
                if (fix == MANY_FIX_MIN)
                    acc[p][i] = _mm512_fnmadd_ps(u->min[b * N + p],
                                                 float1(d + 4), acc[p][i]);
            }
        }
        QN_UNROLL
        for (int i = 0; i < T; i++)
            x[i] += x_bytes;
        if (!fresh)
            continue;
        w.codes += i8_code_bytes(l, B);
        k += B;
        if (k % in_group == 0) {
            w.group += i8_group_bytes(t, l);
            w.codes += i8_head(t, l);
        }
    }

    QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int i = 0; i < T; i++)
        _mm512_store_ps(t->acc + i * t->acc_tok + p * QN_PANEL, acc[p][i]);
}

QN_INLINE void many_some(many_bytes *u, many_w w, many_ahead *a,
                         const qn_tile *t, qn_layout l, int k, int n_block,
                         const int B, const int N, const many_from from)
{
    switch (t->n_tok) {
    case 3: many_tile(u, w, a, t, l, k, n_block, B, N, 3, from); break;
    case 4: many_tile(u, w, a, t, l, k, n_block, B, N, 4, from); break;
    case 5: many_tile(u, w, a, t, l, k, n_block, B, N, 5, from); break;
    case 6: many_tile(u, w, a, t, l, k, n_block, B, N, 6, from); break;
    case 7: many_tile(u, w, a, t, l, k, n_block, B, N, 7, from); break;
    }
}

/* All tokens of t with a chunk of N panels. */
QN_INLINE void many_tokens(many_bytes *u, many_w w, many_ahead *a,
                           const qn_tile *t, qn_layout l, int k, int n_block,
                           const int B, const int N)
{
    const int n_part = (t->n_tok + MANY_TOK - 1) / MANY_TOK;

    if (n_part == 1) {
        many_some(u, w, a, t, l, k, n_block, B, N, MANY_ONCE);
        return;
    }
    for (int i = 0; i < n_part; i++) {
        int t0 = t->n_tok * i / n_part, t1 = t->n_tok * (i + 1) / n_part;
        qn_tile part = *t;
        part.x += t0 * t->x_tok;
        part.acc += t0 * t->acc_tok;
        part.n_tok = t1 - t0;
        if (i == 0)
            many_some(u, w, a, &part, l, k, n_block, B, N, MANY_FRESH);
        else
            many_some(u, w, a, &part, l, k, n_block, B, N, MANY_KEPT);
    }
}

/* Where the chunk at k of a panel begins, and lines of it. */
QN_INLINE const uint8_t *many_chunk(const qn_tile *t, qn_layout l,
                                    const uint8_t *panel, int k, int *lines)
{
    const int group = i8_group(t, l), n = QN_MIN(MANY_K, t->n_k - k);

    *lines = (n + group - 1) / group * i8_group_bytes(t, l) / 64 + 1;
    return panel + (int64_t)(k / group) * i8_group_bytes(t, l);
}

/* What is read after the chunk at k of N panels from number p on, `steps` times a
 * part of it. */
QN_INLINE many_ahead many_next(const qn_tile *t, qn_layout l, int k, int p,
                               const int N, int steps)
{
    many_ahead a = {.panel = t->w_panel};

    if (p + N < t->n_panel)
        a.at = many_chunk(t, l, t->w + (p + N) * t->w_panel, k, &a.left);
    else if (k + MANY_K < t->n_k)
        a.at = many_chunk(t, l, t->w, k + MANY_K, &a.left);
    else if (t->next)
        a.at = many_chunk(t, l, t->next, 0, &a.left);
    a.step = (a.left + steps - 1) / steps;
    return a;
}

/* A chunk of N panels from number p on. */
QN_INLINE void many_set(many_bytes *u, const qn_tile *t, qn_layout l, int k,
                        int p, const int B, const int N)
{
    const int n_block = (QN_MIN(MANY_K, t->n_k - k) + B - 1) / B;
    const int n_part = (t->n_tok + MANY_TOK - 1) / MANY_TOK;
    const int in_group = i8_group(t, l);
    const uint8_t *w = t->w + p * t->w_panel;
    many_ahead a = many_next(t, l, k, p, N, n_part * n_block);
    qn_tile part = *t;
    const uint8_t *group = w + (int64_t)(k / in_group) * i8_group_bytes(t, l);
    many_w from = {
        .group = group,
        .codes = group + i8_head(t, l) + i8_code_bytes(l, k % in_group),
        .w_panel = t->w_panel,
    };
    if (l == QN_LAYOUT_CB4) {
        __m128i points = _mm_loadu_si128(
            (const __m128i *)(const void *)t->q->points);
        from.book = _mm512_xor_si512(_mm512_set1_epi8((char)MANY_OFFSET),
                                     _mm512_broadcast_i32x4(points));
        from.unit = _mm512_set1_ps(t->q->unit);
    }
    part.x += (int64_t)(k / B) * i8_x_bytes(l, B);
    part.acc += p * QN_PANEL;
    part.load |= k > 0;
    if (i8_is_plain(t, l, w, k, n_block * B, N))
        many_tokens(u, from, &a, &part, I8_A8_PLAIN, k, n_block, B, N);
    else
        many_tokens(u, from, &a, &part, l, k, n_block, B, N);
}

/* More than a few tokens, see the top. */
QN_INLINE void many(const qn_tile *t, qn_layout l, const int B)
{
    many_bytes u;

    for (int k = 0; k < t->n_k; k += MANY_K) {
        int p = 0;
        for (; p + MANY_PANEL <= t->n_panel; p += MANY_PANEL)
            many_set(&u, t, l, k, p, B, MANY_PANEL);
        if (p < t->n_panel)
            many_set(&u, t, l, k, p, B, 1);
    }
}

#endif
