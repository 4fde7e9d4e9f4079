/* mix_tmpl.h - sums over the cells of a cache with f32 x: the body that the
 * levels of instructions compile in their own words (v_*.h).
 *
 *   acc[t][c] (+)= x[t][k] * w[k][c]     one fma per k, k upward
 *
 * Tile: N panels of 16 columns x T tokens of accumulators in registers; per k
 * the cells of N panels are loaded (and expanded) once and each x is broadcast
 * once. All columns of a row of cells lie side by side, so with few tokens,
 * where N is large, memory is read as one stream; and while a row is read, as
 * many bytes of what comes next are asked for. Bound: the bytes of w (few
 * tokens), or N * T fmas of 16 lanes per k (many). Reference: ref/ref_mix.c,
 * tolerance gamma(n_k) sum |w x|.
 *
 * Where expanding f16 takes of the units that multiply, cells of more than MIX_TOK
 * tokens, up to MIX_WIDE, are expanded once for all of them.
 */
#include "backend/cpu/vec/madd_tmpl.h"

enum {
    MIX_COL = 64, /* columns that are expanded at once, */
    MIX_K = 128,  /* and rows                           */
    MIX_PART = 6  /* tokens that then take turns        */
};

QN_INLINE void mix_ahead(const uint8_t *ahead, int bytes, const int T)
{
    if (T > MIX_FEW || !ahead)
        return;
    for (int i = 0; i < bytes; i += 64)
        QN_PREFETCH(ahead + i);
}

/* Rows of one k each. */
QN_INLINE void mix_singles(vf acc[][4][VP], const qn_mix *m, qn_kv_dtype c,
                           const int N, const int T)
{
    const float *x = (const float *)(const void *)m->x;
    int64_t x_tok = m->x_tok / (int64_t)sizeof *x;
    const int bytes = c == QN_KV_CELL_F32 ? 64 : 32;
    const uint8_t *row = m->w, *ahead = m->ahead;

    for (int k = 0; k < m->n_k; k++, x++, row += m->w_row) {
        vf w[4][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            if (c == QN_KV_CELL_F32)
                v_panel_f32(row + p * bytes, w[p]);
            else
                v_panel_f16(row + p * bytes, w[p]);
        }
        mix_ahead(ahead, N * bytes, T);
        ahead = ahead ? ahead + m->w_row : NULL;
        madd(acc, w, x, x_tok, N, T);
    }
}

/* Rows of pairs of bf16. */
QN_INLINE void mix_pairs(vf acc[][4][VP], const qn_mix *m, const int N,
                         const int T)
{
    const float *x = (const float *)(const void *)m->x;
    int64_t x_tok = m->x_tok / (int64_t)sizeof *x;
    const uint8_t *row = m->w, *ahead = m->ahead;

    for (int k = 0; k < m->n_k; k += 2, x += 2, row += m->w_row) {
        vi d[4][VP];
        vf w[4][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            v_dwords(row + p * 64, d[p]);
            QN_UNROLL
            for (int v = 0; v < VP; v++)
                w[p][v] = v_low_bf16(d[p][v]);
        }
        mix_ahead(ahead, N * 64, T);
        ahead = ahead ? ahead + m->w_row : NULL;
        madd(acc, w, x, x_tok, N, T);
        if (k + 1 == m->n_k)
            break; /* odd: x may end here */
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int v = 0; v < VP; v++)
            w[p][v] = v_high_bf16(d[p][v]);
        madd(acc, w, x + 1, x_tok, N, T);
    }
}

QN_INLINE void mix_tile(const qn_mix *m, qn_kv_dtype c, const int N,
                        const int T)
{
    vf acc[MIX_TOK][4][VP];

    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        acc[t][p][v] = m->load ? v_load(m->acc + t * m->acc_tok + p * QN_PANEL +
                                        v * VL)
                               : v_zero();
    if (c == QN_KV_CELL_BF16)
        mix_pairs(acc, m, N, T);
    else
        mix_singles(acc, m, c, N, T);
    QN_UNROLL
    for (int t = 0; t < T; t++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        v_store(m->acc + t * m->acc_tok + p * QN_PANEL + v * VL, acc[t][p][v]);
}

QN_INLINE void mix_panels(const qn_mix *m, qn_kv_dtype c, const int T)
{
    const int N = mix_in_flight(T, c), bytes = c == QN_KV_CELL_F16 ? 2 : 4;
    qn_mix p = *m;

    for (; p.n_col >= N * QN_PANEL; qn_mix_skip(&p, N * QN_PANEL, bytes))
        mix_tile(&p, c, N, T);
    if (N > 2 && p.n_col >= 2 * QN_PANEL) {
        mix_tile(&p, c, 2, T);
        qn_mix_skip(&p, 2 * QN_PANEL, bytes);
    }
    if (N > 1)
        for (; p.n_col > 0; qn_mix_skip(&p, QN_PANEL, bytes))
            mix_tile(&p, c, 1, T);
}

QN_INLINE void mix_any(const qn_mix *m, qn_kv_dtype c)
{
    switch (m->n_tok) {
    case 1: mix_panels(m, c, 1); break;
    case 2: mix_panels(m, c, 2); break;
    case 3: mix_panels(m, c, 3); break;
    case 4: mix_panels(m, c, 4); break;
    case 5: mix_panels(m, c, 5); break;
    case 6: mix_panels(m, c, 6); break;
    }
    if (MIX_TOK <= 6)
        return;
    switch (m->n_tok) {
    case 7: mix_panels(m, c, MIX_TOK > 6 ? 7 : 1); break;
    case 8: mix_panels(m, c, MIX_TOK > 6 ? 8 : 1); break;
    case 9: mix_panels(m, c, MIX_TOK > 6 ? 9 : 1); break;
    case 10: mix_panels(m, c, MIX_TOK > 6 ? 10 : 1); break;
    case 11: mix_panels(m, c, MIX_TOK > 6 ? 11 : 1); break;
    case 12: mix_panels(m, c, MIX_TOK > 6 ? 12 : 1); break;
    }
}

static void FN(mix_f32)(const qn_mix *m)
{
    mix_any(m, QN_KV_CELL_F32);
}

/* Rows [k0, k0 + n) of at most four panels of f16, expanded. */
QN_INLINE void mix_widen(const qn_mix *m, int k0, int n, int n_col, float *to)
{
    for (int k = 0; k < n; k++)
        for (int c = 0; c < n_col; c += QN_PANEL) {
            vf w[VP];
            v_panel_f16(m->w + (k0 + k) * m->w_row + 2 * c, w);
            QN_UNROLL
            for (int v = 0; v < VP; v++)
                v_store(to + k * MIX_COL + c + v * VL, w[v]);
        }
}

/* More than MIX_TOK tokens, their sums in the same order. */
static void FN(mix_wide)(const qn_mix *m)
{
    QN_ALIGNED(64) float cells[MIX_K * MIX_COL];
    const qn_mix_kernel wide = {.fn = FN(mix_f32), .max_tok = MIX_PART};
    qn_mix p = *m;

    for (; p.n_col > 0; qn_mix_skip(&p, QN_MIN(p.n_col, MIX_COL), 2))
        for (int k0 = 0; k0 < m->n_k; k0 += MIX_K) {
            qn_mix part = p;
            part.n_k = QN_MIN(m->n_k - k0, MIX_K);
            part.n_col = QN_MIN(p.n_col, MIX_COL);
            part.load |= k0 > 0;
            part.ahead = NULL;
            mix_widen(&p, k0, part.n_k, part.n_col, cells);
            part.w = (const uint8_t *)cells;
            part.w_row = MIX_COL * (int64_t)sizeof *cells;
            part.x += k0 * (int64_t)sizeof(float);
            qn_mix_run(&wide, &part);
        }
}

static void FN(mix_f16)(const qn_mix *m)
{
    if (m->n_tok > MIX_TOK)
        FN(mix_wide)(m);
    else
        mix_any(m, QN_KV_CELL_F16);
}

static void FN(mix_bf16)(const qn_mix *m)
{
    mix_any(m, QN_KV_CELL_BF16);
}

/* The kernels of this file into the table. */
void FN(qn_vec_mix)(qn_kernels *k)
{
    k->mix_exact[QN_KV_CELL_F32] = (qn_mix_kernel){FN_NAME("mix_f32"),
                                                   FN(mix_f32), NULL, MIX_TOK};
    k->mix_exact[QN_KV_CELL_F16] = (qn_mix_kernel){FN_NAME("mix_f16"),
                                                   FN(mix_f16), NULL, MIX_WIDE};
    k->mix_exact[QN_KV_CELL_BF16] =
        (qn_mix_kernel){FN_NAME("mix_bf16"), FN(mix_bf16), NULL, MIX_TOK};
    for (int c = 0; c <= QN_KV_CELL_BF16; c++)
        k->mix[c] = k->mix_exact[c];
}
