/* scaled_tmpl.h - products of coded weights (layouts CB4 to M8) with f32
 * activations: the body that the instruction sets compile in their own words.
 *
 *   w = round(value(code) * scale)      acc += w * x      one fma per k
 *
 * Tile: N panels x T tokens of accumulators. Codes come 8 or 4 of a lane in a
 * dword; a book of 16 lies in one register or two, so that looking a value up
 * is a permutation. Bound: the arithmetic of expanding (3 to 10 operations per
 * 16 weights) for few tokens, the fmas for many.
 * Reference: panel_coded in ref/ref_linear.c, tolerance gamma(n_k) sum |w x|.
 */
#include "backend/cpu/kernels.h"

QN_INLINE int per_dword(qn_layout l)
{
    return qn_layout_nibbles(l) ? 8 : 4;
}

/* Weight j of a dword; zero: the zero point or the minimum. */
QN_INLINE vf weight(qn_layout l, v_book book, vi d, vf scale, vf zero,
                    const int j)
{
    const int nibble = 8 * (j % 4) + j / 4 * 4;
    vf v;

    if (l == QN_LAYOUT_CB4)
        return v_mul(v_lookup(book, d, nibble), scale);
    v = per_dword(l) == 8 ? v_field(d, nibble, 15, 0)
                          : v_field(d, 8 * j, 255, 0);
    if (qn_layout_mins(l))
        return v_sub(v_mul(v, scale), zero);
    return v_mul(v_sub(v, zero), scale);
}

QN_INLINE vf rounded(vf w, const qn_dtype round)
{
    return round == QN_BF16  ? v_round_bf16(w)
           : round == QN_F16 ? v_round_f16(w)
                             : w;
}

/* One dword of codes per lane: 8 or 4 k's. */
QN_INLINE void dword(vf acc[][4][VP], const uint8_t *at, int64_t w_panel,
                     const float *x, int64_t x_tok, vf scale[4][VP],
                     vf zero[4][VP], v_book book, qn_layout l,
                     const qn_dtype round, const int N, const int T)
{
    const int per = per_dword(l);
    vi d[4][VP];

    QN_UNROLL
    for (int p = 0; p < N; p++)
        v_dwords(at + p * w_panel, d[p]);
    QN_UNROLL
    for (int j = 0; j < per; j++) {
        vf w[4][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int v = 0; v < VP; v++)
            w[p][v] = rounded(weight(l, book, d[p][v], scale[p][v], zero[p][v],
                                     j),
                              round);
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            vf b = v_set1(x[t * x_tok + j]);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                QN_UNROLL
            for (int v = 0; v < VP; v++)
                acc[t][p][v] = v_fma(w[p][v], b, acc[t][p][v]);
        }
    }
}

QN_INLINE void groups(vf acc[][4][VP], const qn_tile *t, qn_layout l,
                      const qn_dtype round, const int N, const int T)
{
    const int per = per_dword(l);
    const float *x = (const float *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    const uint8_t *g = t->w;
    v_book book = v_book_load(t->q->book);

    for (int k = 0; k < t->n_k; g += t->q->bytes) {
        int end = QN_MIN(t->n_k, k + t->q->group);
        const uint8_t *at = g + t->q->head;
        vf scale[4][VP], zero[4][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++) {
            v_panel_f32(g + p * t->w_panel, scale[p]);
            if (qn_layout_zeros(l))
                v_panel_u8(g + 64 + p * t->w_panel, zero[p]);
            else if (qn_layout_mins(l))
                v_panel_f32(g + 64 + p * t->w_panel, zero[p]);
            else
                for (int v = 0; v < VP; v++)
                    zero[p][v] = v_zero();
        }
        for (; k < end; k += per, x += per, at += 64)
            dword(acc, at, t->w_panel, x, x_tok, scale, zero, book, l, round, N,
                  T);
    }
}

QN_INLINE void tile(const qn_tile *t, qn_layout l, const qn_dtype round,
                    const int N, const int T)
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
    groups(acc, t, l, round, N, T);
    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        v_store(t->acc + i * t->acc_tok + p * QN_PANEL + v * VL, acc[i][p][v]);
}

/* Two panels at once for one token (an fma waits for the one before), else
 * one: the registers are needed for tokens. */
QN_INLINE void panels(const qn_tile *t, qn_layout l, const qn_dtype round,
                      const int T)
{
    const int N = T == 1 ? 2 : 1;
    qn_tile p = *t;

    for (; p.n_panel >= N; p.n_panel -= N) {
        tile(&p, l, round, N, T);
        p.w += N * p.w_panel;
        p.acc += N * QN_PANEL;
    }
    for (; N > 1 && p.n_panel > 0; p.n_panel--) {
        tile(&p, l, round, 1, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

/* Tokens in parts of 6 at most, and then of one. */
enum {
    CODED_TOK = 6
};
QN_INLINE void any_tok(const qn_tile *t, qn_layout l, const qn_dtype round)
{
    switch (t->n_tok) {
    case 1: panels(t, l, round, 1); break;
    case 2: panels(t, l, round, 2); break;
    case 3: panels(t, l, round, 3); break;
    case 4: panels(t, l, round, 4); break;
    case 5: panels(t, l, round, 5); break;
    case 6: panels(t, l, round, 6); break;
    }
}

static void FN(linear_cb4)(const qn_tile *t)
{
    if (t->q->round == QN_BF16)
        any_tok(t, QN_LAYOUT_CB4, QN_BF16);
    else if (t->q->round == QN_F16)
        any_tok(t, QN_LAYOUT_CB4, QN_F16);
    else
        any_tok(t, QN_LAYOUT_CB4, QN_F32);
}

static void FN(linear_a4)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_A4, QN_F32);
}

static void FN(linear_a8)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_A8, QN_F32);
}

static void FN(linear_m4)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_M4, QN_F32);
}

static void FN(linear_m8)(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_M8, QN_F32);
}

void FN(qn_vec_scaled)(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        qn_tile_kernel kernel;
    } rows[] = {
        {QN_LAYOUT_CB4,
         {FN_NAME("linear_cb4"), FN(linear_cb4), QN_X_F32, CODED_TOK, 0}},
        {QN_LAYOUT_A4,
         {FN_NAME("linear_a4"), FN(linear_a4), QN_X_F32, CODED_TOK, 0}},
        {QN_LAYOUT_A8,
         {FN_NAME("linear_a8"), FN(linear_a8), QN_X_F32, CODED_TOK, 0}},
        {QN_LAYOUT_M4,
         {FN_NAME("linear_m4"), FN(linear_m4), QN_X_F32, CODED_TOK, 0}},
        {QN_LAYOUT_M8,
         {FN_NAME("linear_m8"), FN(linear_m8), QN_X_F32, CODED_TOK, 0}},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        k->exact[rows[i].layout] = k->linear[rows[i].layout] = rows[i].kernel;
}
