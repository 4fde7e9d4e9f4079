/* rec_tmpl.h - convolution, selective scan, delta rule: the body that every
 * instruction set compiles in its own words (v_*.h).
 *
 * Lanes are channels, which do not touch each other; sums over taps, states
 * and keys run upward in one accumulator per lane. So neither the number of
 * channels in a call nor their place changes a bit. Several vectors of
 * channels are in flight at once, since one sum waits for itself.
 */
#include "backend/cpu/vec/act_tmpl.h"

#include <string.h>

enum {
    FLIGHT = 4
};

/* The lanes of FLIGHT vectors from channel i of n on. */
QN_INLINE void FN(flight)(int n, int i, vm m[FLIGHT])
{
    for (int k = 0; k < FLIGHT; k++) {
        int left = n - i - k * VL;
        m[k] = v_first(left < 0 ? 0 : left < VL ? left : VL);
    }
}

/* With a constant `full`: masked stores cost several times as much. */
QN_INLINE vf FN(load)(const float *p, vm m, bool full)
{
    return full ? v_load(p) : v_load_m(p, m);
}
QN_INLINE void FN(store)(float *p, vf v, vm m, bool full)
{
    if (full)
        v_store(p, v);
    else
        v_store_m(p, v, m);
}

/* log(1 + e^x) = max(x, 0) + log(1 + u), u = e^-|x|, by the series of
 * 2 atanh(s), s = u / (2 + u) <= 1/3: 2e-9 of it. */
QN_INLINE vf v_softplus(vf x)
{
    vf u = v_exp(v_sub(v_zero(), v_abs(x)));
    vf s = v_div(u, v_add(v_set1(2), u)), y = v_mul(s, s), p;

    p = v_set1(1.0f / 15);
    p = v_fma(p, y, v_set1(1.0f / 13));
    p = v_fma(p, y, v_set1(1.0f / 11));
    p = v_fma(p, y, v_set1(1.0f / 9));
    p = v_fma(p, y, v_set1(1.0f / 7));
    p = v_fma(p, y, v_set1(1.0f / 5));
    p = v_fma(p, y, v_set1(1.0f / 3));
    p = v_fma(v_mul(p, y), s, s);
    return v_add(v_max(v_zero(), x), v_add(p, p));
}

/* ---- convolution -------------------------------------------------------- */

QN_INLINE void FN(conv_lanes)(const qn_conv_args *a, int i, bool full)
{
    int keep = a->n_tap - 1;
    vm m = lanes(a->n, i);

    for (int r = 0; r < a->n_row; r++) {
        vf v = a->b ? FN(load)(a->b + i, m, full) : v_zero();
        for (int j = 0; j <= keep; j++) {
            int at = r - keep + j; /* the state ends with row -1 */
            const float *x = at < 0 ? a->s + (keep + at) * a->ldw
                                    : a->x + at * a->ldx;
            v = v_fma(FN(load)(a->w + j * a->ldw + i, m, full),
                      FN(load)(x + i, m, full), v);
        }
        FN(store)(a->y + r * a->ldy + i, FN(v_act)(a->act, v), m, full);
    }
}

static void FN(conv)(const qn_conv_args *a)
{
    int keep = a->n_tap - 1;

    for (int t = 0; a->zero && t < keep; t++)
        memset(a->s + t * a->ldw, 0, (size_t)a->n * sizeof *a->s);
    for (int i = 0; i < a->n; i += VL) {
        if (a->n - i >= VL)
            FN(conv_lanes)(a, i, true);
        else
            FN(conv_lanes)(a, i, false);
    }
    /* upward: what is read of the state lies behind what is written */
    for (int t = 0; t < keep; t++) {
        int at = a->n_row - keep + t;
        const float *x = at < 0 ? a->s + (keep + at) * a->ldw
                                : a->x + at * a->ldx;
        memmove(a->s + t * a->ldw, x, (size_t)a->n * sizeof *a->s);
    }
}

/* ---- selective scan ----------------------------------------------------- */

QN_INLINE vf FN(time_step)(const qn_scan_args *a, vf dt, vf bias)
{
    vf t = v_softplus(v_add(dt, bias));

    t = v_max(v_set1(a->dt_min), t);
    return v_min(v_set1(a->dt_max), t);
}

QN_INLINE void FN(scan_lanes)(const qn_scan_args *a, int i, bool full)
{
    vm m = lanes(a->n, i);
    vf bias = FN(load)(a->dt_bias + i, m, full);
    vf d = FN(load)(a->d + i, m, full);

    for (int r = 0; r < a->n_row; r++) {
        const float *B = a->B + r * a->ldb, *C = a->C + r * a->ldc;
        vf x = FN(load)(a->x + r * a->ldx + i, m, full), y = v_zero();
        vf t = FN(load)(a->dt + r * a->lddt + i, m, full), tx;
        t = FN(time_step)(a, t, bias);
        tx = v_mul(t, x);
        for (int n = 0; n < a->d_state; n++) {
            float *p = a->s + n * a->lda + i;
            vf s = v_mul(tx, v_set1(B[n]));
            if (!a->zero || r > 0) {
                vf at = v_mul(t, FN(load)(a->a + n * a->lda + i, m, full));
                s = v_fma(v_exp(at), FN(load)(p, m, full), s);
            }
            FN(store)(p, s, m, full);
            y = v_fma(s, v_set1(C[n]), y);
        }
        FN(store)(a->y + r * a->ldy + i, v_fma(d, x, y), m, full);
    }
}

static void FN(scan_channels)(const qn_scan_args *a)
{
    for (int i = 0; i < a->n; i += VL) {
        if (a->n - i >= VL)
            FN(scan_lanes)(a, i, true);
        else
            FN(scan_lanes)(a, i, false);
    }
}

/* One row of a head: FLIGHT vectors of its channels from i on. */
QN_INLINE void FN(scan_row)(const qn_scan_args *a, int r, int i, vf t, vf decay,
                            bool fresh, bool full)
{
    const float *B = a->B + r * a->ldb, *C = a->C + r * a->ldc;
    const float *x = a->x + r * a->ldx + i;
    vf tx[FLIGHT], y[FLIGHT];
    vm m[FLIGHT];

    FN(flight)(a->n, i, m);
    for (int k = 0; k < FLIGHT; k++) {
        tx[k] = v_mul(t, FN(load)(x + k * VL, m[k], full));
        y[k] = v_zero();
    }
    for (int n = 0; n < a->d_state; n++) {
        float *p = a->s + (int64_t)n * a->n + i;
        vf b = v_set1(B[n]), c = v_set1(C[n]);
        for (int k = 0; k < FLIGHT; k++) {
            vf s = v_mul(tx[k], b);
            if (!fresh)
                s = v_fma(decay, FN(load)(p + k * VL, m[k], full), s);
            FN(store)(p + k * VL, s, m[k], full);
            y[k] = v_fma(s, c, y[k]);
        }
    }
    for (int k = 0; k < FLIGHT; k++)
        FN(store)
    (a->y + r * a->ldy + i + k * VL,
     v_fma(v_set1(a->d[0]), FN(load)(x + k * VL, m[k], full), y[k]), m[k],
     full);
}

static void FN(scan_head)(const qn_scan_args *a)
{
    for (int r = 0; r < a->n_row; r++) {
        vf t = FN(time_step)(a, v_set1(a->dt[r * a->lddt]),
                             v_set1(a->dt_bias[0]));
        vf decay = v_exp(v_mul(t, v_set1(a->a[0])));
        bool fresh = a->zero && r == 0;
        for (int i = 0; i < a->n; i += FLIGHT * VL) {
            if (fresh || a->n - i < FLIGHT * VL)
                FN(scan_row)(a, r, i, t, decay, fresh, false);
            else
                FN(scan_row)(a, r, i, t, decay, false, true);
        }
    }
}

/* ---- delta rule --------------------------------------------------------- */

static float FN(inverse_length)(const float *x, int n)
{
    vf sum = v_zero();

    for (int i = 0; i < n; i += VL) {
        vf v = v_load_m(x + i, lanes(n, i));
        sum = v_fma(v, v, sum);
    }
    return 1 / sqrtf(v_sum(sum) + 1e-6f);
}

typedef struct FN(delta_row) {
    const float *q, *k, *v;
    float *y;
    float iq, ik;
    vf decay, beta;
} FN(delta_row);

/* FLIGHT vectors of columns of the state from j on. */
QN_INLINE void FN(delta_columns)(const qn_delta_args *a,
                                 const FN(delta_row) * w, int j, bool full)
{
    vf held[FLIGHT], u[FLIGHT], y[FLIGHT];
    vm m[FLIGHT];

    FN(flight)(a->d_v, j, m);
    for (int k = 0; k < FLIGHT; k++)
        held[k] = y[k] = v_zero();
    for (int i = 0; i < a->d_k; i++) {
        const float *p = a->s + (int64_t)i * a->d_v + j;
        vf key = v_set1(w->k[i] * w->ik);
        for (int k = 0; k < FLIGHT; k++)
            held[k] = v_fma(FN(load)(p + k * VL, m[k], full), key, held[k]);
    }
    for (int k = 0; k < FLIGHT; k++)
        u[k] = v_mul(w->beta, v_fnma(w->decay, held[k],
                                     FN(load)(w->v + j + k * VL, m[k], full)));
    for (int i = 0; i < a->d_k; i++) {
        float *p = a->s + (int64_t)i * a->d_v + j;
        vf key = v_set1(w->k[i] * w->ik), query = v_set1(w->q[i] * w->iq);
        for (int k = 0; k < FLIGHT; k++) {
            vf s = v_mul(w->decay, FN(load)(p + k * VL, m[k], full));
            s = v_fma(key, u[k], s);
            FN(store)(p + k * VL, s, m[k], full);
            y[k] = v_fma(s, query, y[k]);
        }
    }
    for (int k = 0; k < FLIGHT; k++)
        FN(store)(w->y + j + k * VL, y[k], m[k], full);
}

static void FN(delta)(const qn_delta_args *a)
{
    float scale = 1 / sqrtf((float)a->d_k);

    if (a->zero)
        memset(a->s, 0, (size_t)a->d_k * (size_t)a->d_v * sizeof *a->s);
    for (int r = 0; r < a->n_row; r++) {
        const float *q = a->q + r * a->ldq, *k = a->k + r * a->ldk;
        vf t = v_softplus(v_set1(a->dt[r * a->lddt] + a->dt_bias));
        FN(delta_row)
        w = {
            .q = q,
            .k = k,
            .v = a->v + r * a->ldv,
            .y = a->y + r * a->ldy,
            .iq = FN(inverse_length)(q, a->d_k) * scale,
            .ik = FN(inverse_length)(k, a->d_k),
            .decay = v_exp(v_mul(v_set1(a->a), t)),
            .beta = v_gate(v_set1(1), v_set1(a->beta[r * a->ldbeta])),
        };
        for (int j = 0; j < a->d_v; j += FLIGHT * VL) {
            if (a->d_v - j >= FLIGHT * VL)
                FN(delta_columns)(a, &w, j, true);
            else
                FN(delta_columns)(a, &w, j, false);
        }
    }
}

void FN(qn_vec_rec)(qn_kernels *k)
{
    k->conv.fn = FN(conv);
    k->conv.name = FN_NAME("conv");
    k->scan_channels.fn = FN(scan_channels);
    k->scan_channels.name = FN_NAME("scan_channels");
    k->scan_head.fn = FN(scan_head);
    k->scan_head.name = FN_NAME("scan_head");
    k->delta.fn = FN(delta);
    k->delta.name = FN_NAME("delta");
}
