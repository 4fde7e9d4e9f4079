/* linear_tmpl.h - products with f32 activations, for every layout: the body
 * that the instruction sets compile in their own words (v_*.h).
 *
 *   acc[t][16 p + l] += w[p][k][l] * x[t][k]     one fma per k, k upward
 *
 * Tile: N panels x T tokens of accumulators in registers; per k the weights
 * of N panels are loaded (and expanded) once and each x is broadcast once.
 * Bound: N * T fmas of 16 lanes per k (many tokens), or the bytes of w (few).
 * Reference: panel_f32 in ref/ref_linear.c, tolerance gamma(n_k) sum |w x|.
 *
 * N and T are constants where the body is expanded (always-inline functions,
 * called with literals), so the loops over them unroll and the arrays live in
 * registers.
 */
#include "backend/cpu/vec/madd_tmpl.h"

/* Few tokens: memory is asked for before the processor sees the stream. */
QN_INLINE void ahead(const uint8_t *at, const int T)
{
    if (T <= 2)
        QN_PREFETCH(at + 512);
}

/* Layouts with one k after the other. */
QN_INLINE void walk_k(vf acc[][4][VP], const qn_tile *t, qn_layout l,
                      const int N, const int T)
{
    const float *x = (const float *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    const int step = l == QN_LAYOUT_F32 ? 64 : 32;
    const uint8_t *wp[4] = {t->w, t->w + t->w_panel, t->w + 2 * t->w_panel,
                            t->w + 3 * t->w_panel};

    for (int k = 0; k < t->n_k; k++, x++) {
        vf w[4][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            const uint8_t *at = wp[p] + (int64_t)k * step;
            ahead(at, T);
            if (l == QN_LAYOUT_F32)
                v_panel_f32(at, w[p]);
            else
                v_panel_f16(at, w[p]);
        }
        madd(acc, w, x, x_tok, N, T);
    }
}

/* bf16 in pairs of k. */
QN_INLINE void walk_pairs(vf acc[][4][VP], const qn_tile *t, const int N,
                          const int T)
{
    const float *x = (const float *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    vi d[4][VP];
    vf w[4][VP];

    for (int k = 0; k < t->n_k; k += 2, x += 2) {
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            const uint8_t *at = t->w + p * t->w_panel + (int64_t)k * 32;
            ahead(at, T);
            v_dwords(at, d[p]);
            QN_UNROLL
            for (int v = 0; v < VP; v++)
                w[p][v] = v_low_bf16(d[p][v]);
        }
        madd(acc, w, x, x_tok, N, T);
        if (k + 1 == t->n_k)
            break; /* odd: x ends here, though w is padded */
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int v = 0; v < VP; v++)
            w[p][v] = v_high_bf16(d[p][v]);
        madd(acc, w, x + 1, x_tok, N, T);
    }
}

/* Blocks of 32 with a scale per row: fields of `bits` in dwords; dword group j
 * of a block begins at k = 4 j. */
QN_INLINE void walk_blocks(vf acc[][4][VP], const qn_tile *t, qn_layout l,
                           const int T)
{
    const float *x = (const float *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    const bool q8 = l == QN_LAYOUT_Q8_0;
    const uint8_t *block = t->w;

    for (int k = 0; k < t->n_k; k += QN_QBLOCK, x += QN_QBLOCK) {
        vf scale[VP], w[4][VP];
        v_panel_f16(block, scale);
        for (int j = 0; j < 8; j++) {
            vi d[VP];
            int nibble = q8 ? 0 : j / 4 * 4;
            v_dwords(block + 32 + (q8 ? j : j % 4) * 64, d);
            QN_UNROLL
            for (int b = 0; b < 4; b++) {
                QN_UNROLL
                for (int v = 0; v < VP; v++) {
                    vf q = q8 ? v_field(d[v], 8 * b, 255, 128)
                              : v_field(d[v], 8 * b + nibble, 15, 8);
                    w[0][v] = v_mul(q, scale[v]);
                }
                madd(acc, w, x + 4 * j + b, x_tok, 1, T);
            }
        }
        block += q8 ? 32 + 512 : 32 + 256;
    }
}

/* One register tile: N panels, T tokens, all of n_k. */
QN_INLINE void tile(const qn_tile *t, qn_layout l, const int N, const int T)
{
    vf acc[MAX_TOK][4][VP];

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        acc[i][p][v] = t->load ? v_load(t->acc + i * t->acc_tok + p * QN_PANEL +
                                        v * VL)
                               : v_zero();

    if (l == QN_LAYOUT_BF16)
        walk_pairs(acc, t, N, T);
    else if (l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0)
        walk_blocks(acc, t, l, T);
    else
        walk_k(acc, t, l, N, T);

    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        v_store(t->acc + i * t->acc_tok + p * QN_PANEL + v * VL, acc[i][p][v]);
}

/* All panels of a tile: as many at once as are good for T, then one by one. */
QN_INLINE void panels(const qn_tile *t, qn_layout l, const int T)
{
    const bool block = l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0;
    const int N = block ? 1 : in_flight(T);
    qn_tile p = *t;

    for (; p.n_panel >= N; p.n_panel -= N) {
        tile(&p, l, N, T);
        p.w += N * p.w_panel;
        p.acc += N * QN_PANEL;
    }
    if (N == 1)
        return;
    for (; p.n_panel > 0; p.n_panel--) {
        tile(&p, l, 1, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

QN_INLINE void any_tok(const qn_tile *t, qn_layout l)
{
    switch (t->n_tok) {
    case 1: panels(t, l, 1); break;
    case 2: panels(t, l, 2); break;
    case 3: panels(t, l, 3); break;
    case 4: panels(t, l, 4); break;
    case 5: panels(t, l, 5); break;
    case 6: panels(t, l, 6); break;
    }
    if (MAX_TOK <= 6)
        return;
    switch (t->n_tok) {
    case 7: panels(t, l, MAX_TOK > 6 ? 7 : 1); break;
    case 8: panels(t, l, MAX_TOK > 6 ? 8 : 1); break;
    case 9: panels(t, l, MAX_TOK > 6 ? 9 : 1); break;
    case 10: panels(t, l, MAX_TOK > 6 ? 10 : 1); break;
    case 11: panels(t, l, MAX_TOK > 6 ? 11 : 1); break;
    case 12: panels(t, l, MAX_TOK > 6 ? 12 : 1); break;
    }
}

static void FN(linear_f32)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_F32);
}

static void FN(linear_f16)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_F16);
}

static void FN(exact_bf16)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_BF16);
}

static void FN(exact_q8_0)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_Q8_0);
}

static void FN(exact_q4_0)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_Q4_0);
}

void FN(qn_vec_linear)(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        qn_tile_kernel kernel;
    } rows[] = {
        {QN_LAYOUT_F32,
         {FN_NAME("linear_f32"), FN(linear_f32), QN_X_F32, MAX_TOK, 0}},
        {QN_LAYOUT_F16,
         {FN_NAME("linear_f16"), FN(linear_f16), QN_X_F32, MAX_TOK, 0}},
        {QN_LAYOUT_BF16,
         {FN_NAME("exact_bf16"), FN(exact_bf16), QN_X_F32, MAX_TOK, 0}},
        {QN_LAYOUT_Q8_0,
         {FN_NAME("exact_q8_0"), FN(exact_q8_0), QN_X_F32, MAX_TOK, 0}},
        {QN_LAYOUT_Q4_0,
         {FN_NAME("exact_q4_0"), FN(exact_q4_0), QN_X_F32, MAX_TOK, 0}},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        k->exact[rows[i].layout] = rows[i].kernel;
    k->linear[QN_LAYOUT_F32] = k->exact[QN_LAYOUT_F32];
    k->linear[QN_LAYOUT_F16] = k->exact[QN_LAYOUT_F16];
    /* without a bf16 dot product: the same kernel on rounded activations */
    k->linear[QN_LAYOUT_BF16] = k->exact[QN_LAYOUT_BF16];
    k->linear[QN_LAYOUT_BF16].name = FN_NAME("linear_bf16");
    k->linear[QN_LAYOUT_BF16].xform = QN_X_F32_BF16;
}
