/* coded_tmpl.h - products of coded weights (layouts CB4 to M8, q8_0, and q4_0 if
 * the including file wants it: whole_tmpl.h) with whole numbers for activations:
 * the body that the instruction sets compile in their own words.
 *
 *   per block of x:  i = sum of v q,  v = points[code], code - zero or code
 *                    acc[t][l] += (i * scale[l]) * d_x
 *                    acc[t][l] -= min[l] * (d_x * sum of q)      M4, M8
 *
 * The including file has
 *   TOK          the most tokens
 *   x_bytes      of one q: int8 or int16
 *   load_book    the whole numbers of CB4
 *   at_once      vectors of rows to take at once for T tokens
 *   dots         their sums i, [at_once(T)][TOK], which are exact
 *   streams      panels to read side by side for T tokens: one core reads more
 *                streams faster than one
 *   ahead        prefetch
 * The sums over blocks wait in t->acc.
 *
 * Bound: the dot products of B * T * 16 weights per block (many tokens), the
 * bytes of w (few). Reference: ref/ref_coded.c; the sums over blocks differ by
 * the roundings of one fma, tolerance gamma(2 n_block) sum |i scale d_x|.
 */
#include "backend/cpu/kernels.h"

/* Scales of VL rows of a panel. */
QN_INLINE vf scales(qn_layout l, const uint8_t *group, const int v)
{
    vf w[VP];

    if (l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0)
        v_panel_f16(group, w);
    else
        v_panel_f32(group, w);
    return w[v];
}

/* Adds the sums s of a block of B k's for VL rows, the lanes from v * VL. */
QN_INLINE void add_block(const qn_tile *t, qn_layout l, const uint8_t *group,
                         const uint8_t *x, const vi *s, float *acc, const int v,
                         const int B, const int T)
{
    const int64_t x_tok = t->x_tok, acc_tok = t->acc_tok;
    const float *mins = (const float *)(const void *)(group + 64) + v * VL;
    vf scale = scales(l, group, v);

    if (l == QN_LAYOUT_CB4)
        scale = v_mul(scale, v_set1(t->q->unit));
    QN_UNROLL
    for (int i = 0; i < T; i++) {
        const float *b = (const float *)(const void *)(x + i * x_tok +
                                                       B * x_bytes(l));
        float *to = acc + i * acc_tok + v * VL;
        vf a = v_fma(v_mul(v_of_int(s[i]), scale), v_set1(b[0]), v_load(to));
        if (qn_layout_mins(l))
            a = v_fnma(v_load(mins), v_set1(b[1]), a);
        v_store(to, a);
    }
}

/* One block for W vectors of rows, from v on. */
QN_INLINE void block(const qn_tile *t, qn_layout l, vi book,
                     const uint8_t *group, const uint8_t *codes,
                     const uint8_t *x, float *acc, const int v, const int B,
                     const int T)
{
    const int W = at_once(T);
    vi s[VP * TOK];

    dots(t, l, book, group, codes + 64 * v * VL / 16, x, s, v, B, T);
    QN_UNROLL
    for (int w = 0; w < W; w++)
        add_block(t, l, group, x, s + w * TOK, acc, v + w, B, T);
}

/* The block at `codes` of a group, of a panel. */
QN_INLINE void one_block(const qn_tile *t, qn_layout l, vi book,
                         const uint8_t *group, const uint8_t *codes,
                         const uint8_t *x, float *acc, const int B, const int T)
{
    ahead(codes, B * (qn_layout_nibbles(l) ? 8 : 16), T);
    QN_UNROLL
    for (int v = 0; v < VP; v += at_once(T))
        block(t, l, book, group, codes, x, acc, v, B, T);
}

/* N panels. */
QN_INLINE void panel(const qn_tile *t, qn_layout l, const int B, const int N,
                     const int T)
{
    const int step = B * (qn_layout_nibbles(l) ? 8 : 16);
    const vi book = load_book(t->q);
    const uint8_t *x = t->x, *group = t->w;

    for (int i = 0; i < T && !t->load; i++)
        for (int l0 = 0; l0 < N * QN_PANEL; l0 += VL)
            v_store(t->acc + i * t->acc_tok + l0, v_zero());
    for (int k = 0; k < t->n_k; group += t->q->bytes) {
        const uint8_t *codes = group + t->q->head;
        int end = QN_MIN(t->n_k, k + t->q->group);
        for (; k < end; k += B) {
            QN_UNROLL
            for (int n = 0; n < N; n++)
                one_block(t, l, book, group + n * t->w_panel,
                          codes + n * t->w_panel, x, t->acc + n * QN_PANEL, B,
                          T);
            codes += step;
            x += B * x_bytes(l) + (int)sizeof(qn_xi8);
        }
    }
}

QN_INLINE void panels(const qn_tile *t, qn_layout l, const int B, const int T)
{
    const int N = streams(T);
    qn_tile p = *t;

    for (; p.n_panel >= N; p.n_panel -= N) {
        panel(&p, l, B, N, T);
        p.w += N * p.w_panel;
        p.acc += N * QN_PANEL;
    }
    for (; p.n_panel > 0; p.n_panel--) {
        panel(&p, l, B, 1, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

/* Numbers of tokens that a level does not take at once are never asked for. */
QN_INLINE void any_tok(const qn_tile *t, qn_layout l, const int B)
{
    switch (t->n_tok) {
    case 1: panels(t, l, B, 1); break;
    case 2: panels(t, l, B, 2); break;
    case 3: panels(t, l, B, 3); break;
    case 4: panels(t, l, B, 4); break;
    case 5: panels(t, l, B, 5); break;
    case 6: panels(t, l, B, 6); break;
    }
    if (TOK <= 6)
        return;
    switch (t->n_tok) {
    case 7: panels(t, l, B, TOK > 6 ? 7 : 1); break;
    case 8: panels(t, l, B, TOK > 6 ? 8 : 1); break;
    }
}

QN_INLINE void any_block(const qn_tile *t, qn_layout l)
{
    switch (t->q->block) {
    case 16: any_tok(t, l, 16); break;
    case 32: any_tok(t, l, 32); break;
    default: any_tok(t, l, 64); break;
    }
}

QN_INLINE void blocks_of_32(const qn_tile *t, qn_layout l, const qn_scaled *q)
{
    qn_tile p = *t;

    p.q = q;
    any_tok(&p, l, QN_QBLOCK);
}

static void FN(linear_q8_0)(const qn_tile *t)
{
    static const qn_scaled q = {.group = 32, .head = 32, .bytes = 32 + 512};

    blocks_of_32(t, QN_LAYOUT_Q8_0, &q);
}

static void FN(coded_cb4)(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_CB4);
}

static void FN(coded_a4)(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_A4);
}

static void FN(coded_a8)(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_A8);
}

static void FN(coded_m4)(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_M4);
}

static void FN(coded_m8)(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_M8);
}

void FN(qn_vec_coded)(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_tile_fn fn;
    } rows[] = {
        {QN_LAYOUT_CB4, FN_NAME("coded_cb4"), FN(coded_cb4)},
        {QN_LAYOUT_A4, FN_NAME("coded_a4"), FN(coded_a4)},
        {QN_LAYOUT_A8, FN_NAME("coded_a8"), FN(coded_a8)},
        {QN_LAYOUT_M4, FN_NAME("coded_m4"), FN(coded_m4)},
        {QN_LAYOUT_M8, FN_NAME("coded_m8"), FN(coded_m8)},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout,
                         (qn_tile_kernel){rows[i].name, rows[i].fn,
                                          x_bytes(rows[i].layout) == 1
                                              ? QN_X_I8_16
                                              : QN_X_I16_16,
                                          TOK, 0});
    k->linear[QN_LAYOUT_Q8_0] = (qn_tile_kernel){
        FN_NAME("linear_q8_0"), FN(linear_q8_0),
        x_bytes(QN_LAYOUT_Q8_0) == 1 ? QN_X_I8_32 : QN_X_I16_32, TOK, 0};
    /* Arithmetic is what takes the time here: Q6_K stays in bytes, scales in f32. */
    k->linear[QN_LAYOUT_A6] = (qn_tile_kernel){0};
    qn_kernels_coded(k, QN_LAYOUT_K4, (qn_tile_kernel){0});
    qn_kernels_coded(k, QN_LAYOUT_K5, (qn_tile_kernel){0});
}
