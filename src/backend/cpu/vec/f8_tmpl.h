/* f8_tmpl.h - products of f8_e4m3 (layout F8) with f32 activations: the body that
 * the instruction sets compile in their own words.
 *
 *   per group:  sum = sum of value(code) * x      one fma per k
 *               acc[t][l] += sum * scale[l]
 *
 * A code whose bits stand where an f32 has its sign, the end of its exponent and
 * the beginning of its mantissa is its value times 2^-120, also where that is
 * subnormal: four codes are two shifts and two masks, and then each is one as for
 * bf16. So that sums are normal numbers there, x is taken times 2^60 for one token,
 * or the weights are for several, which gives the same bits for |x| below 2^67; the
 * group's scale has the rest. (By an fma: AMD's Zen multiplies subnormals slowly and
 * has no such trouble with them in an fma.) Where V_E4M3_UNIT is 1, nothing of that
 * is done. A NaN among codes is told by the group's scale.
 *
 * Tile: N panels x T tokens of sums; the sums over groups wait in t->acc. Bound:
 * 3 operations for 16 weights of one token, or the bytes of w. Reference:
 * panel_coded in ref/ref_linear.c, tolerance gamma(n_k) sum |w x|.
 */
#include "backend/cpu/kernels.h"

enum {
    F8_TOK = 6,
    F8_PANEL = VP == 1 ? 4 : 2, /* for one token: an fma waits for the last */
    F8_GROUP = 128,             /* the most k's of a group */
    F8_AHEAD = 1024
};
/* Twice of it, 1 / V_E4M3_UNIT. */
#define F8_HALF (V_E4M3_UNIT < 1 ? 0x1p60f : 1.0f)

/* One dword of codes per lane: 4 k's. */
QN_INLINE void f8_dword(vf sum[][F8_PANEL][VP], const uint8_t *at,
                        int64_t w_panel, const float *x, int64_t x_tok,
                        const int N, const int T)
{
    vi even[F8_PANEL][VP], odd[F8_PANEL][VP];

    QN_UNROLL
    for (int p = 0; p < N; p++) {
        QN_PREFETCH(at + p * w_panel + F8_AHEAD);
        v_e4m3_pairs(at + p * w_panel, even[p], odd[p]);
    }
    QN_UNROLL
    for (int j = 0; j < 4; j++) {
        vf w[F8_PANEL][VP];
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int v = 0; v < VP; v++) {
            vi pair = j % 2 ? odd[p][v] : even[p][v];
            w[p][v] = j < 2 ? v_low_bf16(pair) : v_high_bf16(pair);
            if (T > 1 && V_E4M3_UNIT < 1)
                w[p][v] = v_fma(w[p][v], v_set1(F8_HALF), v_zero());
        }
        QN_UNROLL
        for (int t = 0; t < T; t++) {
            vf b = v_set1(x[t * x_tok + j]);
            QN_UNROLL
            for (int p = 0; p < N; p++)
                QN_UNROLL
            for (int v = 0; v < VP; v++)
                sum[t][p][v] = v_fma(w[p][v], b, sum[t][p][v]);
        }
    }
}

/* A group's sums meet their scales. */
QN_INLINE void f8_finish(vf sum[][F8_PANEL][VP], const qn_tile *t,
                         const uint8_t *group, bool load, const int N,
                         const int T)
{
    QN_UNROLL
    for (int p = 0; p < N; p++) {
        vf scale[VP];
        v_panel_f32(group + p * t->w_panel, scale);
        QN_UNROLL
        for (int v = 0; v < VP; v++) {
            vf s = v_mul(scale[v], v_set1(F8_HALF));
            QN_UNROLL
            for (int i = 0; i < T; i++) {
                float *to = t->acc + i * t->acc_tok + p * QN_PANEL + v * VL;
                v_store(to,
                        v_fma(sum[i][p][v], s, load ? v_load(to) : v_zero()));
            }
        }
    }
}

/* The sums of n k's of a group whose codes are at `at`. */
QN_INLINE void f8_group(vf sum[][F8_PANEL][VP], const uint8_t *at,
                        int64_t w_panel, const float *x, int64_t x_tok, int n,
                        const int N, const int T)
{
    float up[F8_GROUP];

    for (int i = 0; i < n && T == 1; i++)
        up[i] = x[i] * F8_HALF;
    QN_UNROLL
    for (int i = 0; i < T; i++)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_UNROLL
    for (int v = 0; v < VP; v++)
        sum[i][p][v] = v_zero();
    for (int k = 0; k < n; k += 4, at += 64)
        f8_dword(sum, at, w_panel, T == 1 ? up + k : x + k, x_tok, N, T);
}

QN_INLINE void f8_tile(const qn_tile *t, const int N, const int T)
{
    const float *x = (const float *)(const void *)t->x;
    int64_t x_tok = t->x_tok / (int64_t)sizeof *x;
    const uint8_t *g = t->w;
    bool load = t->load;

    for (int k = 0; k < t->n_k; k += t->q->group, load = true) {
        int n = QN_MIN(t->n_k - k, t->q->group);
        vf sum[F8_TOK][F8_PANEL][VP];
        f8_group(sum, g + t->q->head, t->w_panel, x + k, x_tok, n, N, T);
        f8_finish(sum, t, g, load, N, T);
        g += t->q->bytes;
    }
}

QN_INLINE void f8_panels(const qn_tile *t, const int T)
{
    const int N = T == 1 ? F8_PANEL : 1;
    qn_tile p = *t;

    for (; p.n_panel >= N; p.n_panel -= N) {
        f8_tile(&p, N, T);
        p.w += N * p.w_panel;
        p.acc += N * QN_PANEL;
    }
    for (; p.n_panel > 0; p.n_panel--) {
        f8_tile(&p, 1, T);
        p.w += p.w_panel;
        p.acc += QN_PANEL;
    }
}

static void FN(linear_f8)(const qn_tile *t)
{
    switch (t->n_tok) {
    case 1: f8_panels(t, 1); break;
    case 2: f8_panels(t, 2); break;
    case 3: f8_panels(t, 3); break;
    case 4: f8_panels(t, 4); break;
    case 5: f8_panels(t, 5); break;
    case 6: f8_panels(t, 6); break;
    }
}

void FN(qn_vec_f8)(qn_kernels *k)
{
    k->exact[QN_LAYOUT_F8] = k->linear[QN_LAYOUT_F8] = (qn_tile_kernel){
        FN_NAME("linear_f8"), FN(linear_f8), QN_X_F32, F8_TOK, 0};
}
