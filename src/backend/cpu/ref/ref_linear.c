/* ref_linear.c - products of every layout in plain C, and the forms of x.
 *
 * The obvious loops: decode one k of a panel to 16 floats, multiply, add.
 * Quantized products follow the fast arithmetic exactly: integer sums per
 * block of 32, scaled and added in block order.
 */
#include "backend/cpu/cpu_int.h"
#include "backend/cpu/ref/ref.h"
#include "tensor/half.h"

#include <math.h>

/* The 16 weights at k of a panel. */
static void weights_at(qn_layout l, const uint8_t *panel, int k, float *w)
{
    const uint8_t *p = panel + qn_panel_offset(l, k);
    const uint16_t *h = (const uint16_t *)p;
    int r = k % QN_QBLOCK, b = r % 4;

    switch (l) {
    case QN_LAYOUT_F32: memcpy(w, p, QN_PANEL * sizeof *w); break;
    case QN_LAYOUT_F16:
        for (int i = 0; i < QN_PANEL; i++)
            w[i] = qn_f32_of_f16(h[i]);
        break;
    case QN_LAYOUT_BF16:
        for (int i = 0; i < QN_PANEL; i++)
            w[i] = qn_f32_of_bf16(h[2 * i + k % 2]);
        break;
    case QN_LAYOUT_Q8_0:
        for (int i = 0; i < QN_PANEL; i++) {
            int q = p[32 + (r / 4 * QN_PANEL + i) * 4 + b];
            w[i] = qn_f32_of_f16(h[i]) * (float)(q - 128);
        }
        break;
    case QN_LAYOUT_Q4_0:
        for (int i = 0; i < QN_PANEL; i++) {
            int q = p[32 + (r % 16 / 4 * QN_PANEL + i) * 4 + b];
            q = r < 16 ? q & 15 : q >> 4;
            w[i] = qn_f32_of_f16(h[i]) * (float)(q - 8);
        }
        break;
    default: break; /* codes: see coded_ref */
    }
}

/* One k after the other of a panel of codes; the sum goes on from acc. */
static void panel_coded(qn_layout l, const qn_tile *t, const uint8_t *w,
                        const float *x, float *acc)
{
    for (int k = 0; k < t->n_k; k++)
        for (int i = 0; i < QN_PANEL; i++)
            acc[i] += qn_scaled_at(t->q, l, w, i, k) * x[k];
}

static void panel_f32(qn_layout l, const uint8_t *w, const float *x, int n_k,
                      float *acc)
{
    for (int k = 0; k < n_k; k++) {
        float wk[QN_PANEL];
        weights_at(l, w, k, wk);
        for (int i = 0; i < QN_PANEL; i++)
            acc[i] += wk[i] * x[k];
    }
}

static void panel_bf16(qn_layout l, const uint8_t *w, const uint16_t *x,
                       int n_k, float *acc)
{
    for (int k = 0; k < n_k; k++) {
        float wk[QN_PANEL];
        weights_at(l, w, k, wk);
        for (int i = 0; i < QN_PANEL; i++)
            acc[i] += wk[i] * qn_f32_of_bf16(x[k]);
    }
}

/* sum over the block of (w + offset) * q, for lane i. */
static int32_t block_dot(qn_layout l, const uint8_t *block, int i,
                         const int8_t *q)
{
    int32_t sum = 0;

    for (int k = 0; k < QN_QBLOCK; k++) {
        if (l == QN_LAYOUT_Q8_0) {
            sum += block[32 + (k / 4 * QN_PANEL + i) * 4 + k % 4] * q[k];
        } else {
            int b = block[32 + (k % 16 / 4 * QN_PANEL + i) * 4 + k % 4];
            sum += (k < 16 ? b & 15 : b >> 4) * q[k];
        }
    }
    return sum;
}

static void panel_q(qn_layout l, const uint8_t *w, const qn_xq8 *x, int n_k,
                    float *acc)
{
    for (int b = 0; b < n_k / QN_QBLOCK; b++, x++) {
        const uint8_t *block = w + qn_panel_offset(l, b * QN_QBLOCK);
        const uint16_t *d = (const uint16_t *)block;
        for (int i = 0; i < QN_PANEL; i++) {
            int32_t sum = block_dot(l, block, i, x->q) +
                          (x->fix - QN_COUNT_BITS);
            acc[i] += (float)sum * qn_f32_of_f16(d[i]) * x->d;
        }
    }
}

static void run(const qn_tile *t, qn_layout l, qn_xform form)
{
    for (int p = 0; p < t->n_panel; p++) {
        const uint8_t *w = t->w + p * t->w_panel;
        for (int j = 0; j < t->n_tok; j++) {
            const void *x = t->x + j * t->x_tok;
            float *acc = t->acc + j * t->acc_tok + p * QN_PANEL;
            for (int i = 0; i < QN_PANEL && !t->load; i++)
                acc[i] = 0;
            if (form == QN_X_BF16)
                panel_bf16(l, w, x, t->n_k, acc);
            else if (l >= QN_LAYOUT_CB4)
                panel_coded(l, t, w, x, acc);
            else if (form == QN_X_F32)
                panel_f32(l, w, x, t->n_k, acc);
            else
                panel_q(l, w, x, t->n_k, acc);
        }
    }
}

static void linear_f32_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_F32, QN_X_F32);
}

static void linear_f16_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_F16, QN_X_F32);
}

static void linear_bf16_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_BF16, QN_X_BF16);
}

static void linear_q8_0_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_Q8_0, QN_X_Q8_O128);
}

static void linear_q4_0_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_Q4_0, QN_X_Q8_O8);
}

static void linear_cb4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_CB4, QN_X_F32);
}

static void linear_a4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_A4, QN_X_F32);
}

static void linear_a8_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_A8, QN_X_F32);
}

static void linear_m4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_M4, QN_X_F32);
}

static void linear_m8_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_M8, QN_X_F32);
}

static void linear_f8_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_F8, QN_X_F32);
}

static void exact_bf16_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_BF16, QN_X_F32);
}

static void exact_q8_0_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_Q8_0, QN_X_F32);
}

static void exact_a6_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_A6, QN_X_F32);
}

static void exact_k4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_K4, QN_X_F32);
}

static void exact_k5_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_K5, QN_X_F32);
}

static void exact_q4_0_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_Q4_0, QN_X_F32);
}

/* ---- forms of x ---------------------------------------------------------- */

static void prep_f32_ref(const float *x, int n, void *dst)
{
    memcpy(dst, x, (size_t)n * sizeof *x);
}

static void prep_f32_bf16_ref(const float *x, int n, void *dst)
{
    float *y = dst;

    for (int i = 0; i < n; i++)
        y[i] = qn_f32_of_bf16(qn_bf16_of_f32(x[i]));
}

static void prep_bf16_ref(const float *x, int n, void *dst)
{
    uint16_t *y = dst;

    for (int i = 0; i < n; i++)
        y[i] = qn_bf16_of_f32(x[i]);
    if (n & 1)
        y[n] = 0;
}

static void prep_q8(const float *x, int n, qn_xq8 *y, int offset)
{
    for (int b = 0; b < n / QN_QBLOCK; b++, x += QN_QBLOCK, y++) {
        float absmax = 0, inv;
        int32_t sum = 0;
        for (int i = 0; i < QN_QBLOCK; i++)
            absmax = fmaxf(absmax, fabsf(x[i]));
        y->d = absmax / 127;
        inv = y->d > 0 ? 127 / absmax : 0;
        for (int i = 0; i < QN_QBLOCK; i++) {
            float q = rintf(x[i] * inv);
            y->q[i] = (int8_t)(q > 127 ? 127 : q >= -127 ? q : -127);
            sum += y->q[i];
        }
        y->fix = QN_COUNT_BITS - offset * sum;
    }
}

static void prep_q8_o128_ref(const float *x, int n, void *dst)
{
    prep_q8(x, n, dst, 128);
}

static void prep_q8_o8_ref(const float *x, int n, void *dst)
{
    prep_q8(x, n, dst, 8);
}

#define MAX_TOK 16

void qn_ref_linear(qn_kernels *k)
{
    static const qn_tile_kernel fast[QN_LAYOUT_N] = {
        [QN_LAYOUT_F32] = {"linear_f32_ref", linear_f32_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_F16] = {"linear_f16_ref", linear_f16_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_BF16] = {"linear_bf16_ref", linear_bf16_ref, QN_X_BF16,
                            MAX_TOK},
        [QN_LAYOUT_Q8_0] = {"linear_q8_0_ref", linear_q8_0_ref, QN_X_Q8_O128,
                            MAX_TOK},
        [QN_LAYOUT_Q4_0] = {"linear_q4_0_ref", linear_q4_0_ref, QN_X_Q8_O8,
                            MAX_TOK},
        [QN_LAYOUT_CB4] = {"linear_cb4_ref", linear_cb4_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_A4] = {"linear_a4_ref", linear_a4_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_A8] = {"linear_a8_ref", linear_a8_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_M4] = {"linear_m4_ref", linear_m4_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_M8] = {"linear_m8_ref", linear_m8_ref, QN_X_F32, MAX_TOK},
        [QN_LAYOUT_F8] = {"linear_f8_ref", linear_f8_ref, QN_X_F32, MAX_TOK},
    };

    memcpy(k->linear, fast, sizeof fast);
    memcpy(k->exact, fast, sizeof fast);
    k->exact[QN_LAYOUT_BF16] = (qn_tile_kernel){"exact_bf16_ref",
                                                exact_bf16_ref, QN_X_F32,
                                                MAX_TOK, 0};
    k->exact[QN_LAYOUT_Q8_0] = (qn_tile_kernel){"exact_q8_0_ref",
                                                exact_q8_0_ref, QN_X_F32,
                                                MAX_TOK, 0};
    k->exact[QN_LAYOUT_Q4_0] = (qn_tile_kernel){"exact_q4_0_ref",
                                                exact_q4_0_ref, QN_X_F32,
                                                MAX_TOK, 0};
    k->exact[QN_LAYOUT_K4] = (qn_tile_kernel){"exact_k4_ref", exact_k4_ref,
                                              QN_X_F32, MAX_TOK, 0};
    k->exact[QN_LAYOUT_K5] = (qn_tile_kernel){"exact_k5_ref", exact_k5_ref,
                                              QN_X_F32, MAX_TOK, 0};
    k->exact[QN_LAYOUT_A6] = (qn_tile_kernel){"exact_a6_ref", exact_a6_ref,
                                              QN_X_F32, MAX_TOK, 0};

    k->prep[QN_X_F32].fn = prep_f32_ref;
    k->prep[QN_X_F32].name = "prep_f32_ref";
    k->prep[QN_X_F32_BF16].fn = prep_f32_bf16_ref;
    k->prep[QN_X_F32_BF16].name = "prep_f32_bf16_ref";
    k->prep[QN_X_BF16].fn = prep_bf16_ref;
    k->prep[QN_X_BF16].name = "prep_bf16_ref";
    k->prep[QN_X_Q8_O128].fn = prep_q8_o128_ref;
    k->prep[QN_X_Q8_O128].name = "prep_q8_o128_ref";
    k->prep[QN_X_Q8_O8].fn = prep_q8_o8_ref;
    k->prep[QN_X_Q8_O8].name = "prep_q8_o8_ref";
}
