/* ref_rec.c - convolution, selective scan and delta rule in plain C, as their
 * definitions in backend.h say. The state is f32 between rows, since it is
 * stored there when a sequence is cut; sums inside of a row are double. */
#include "backend/cpu/ref/ref.h"

#include <math.h>
#include <string.h>

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Input of channel c, `back` rows before row r of the span. */
static float conv_input(const qn_conv_args *a, int r, int back, int c)
{
    if (back <= r)
        return a->x[(r - back) * a->ldx + c];
    /* the state ends with row -1 */
    return a->s[(a->n_tap - 1 + r - back) * a->ldw + c];
}

static void conv_ref(const qn_conv_args *a)
{
    int keep = a->n_tap - 1;

    for (int t = 0; a->zero && t < keep; t++)
        memset(a->s + t * a->ldw, 0, (size_t)a->n * sizeof *a->s);
    for (int r = 0; r < a->n_row; r++)
        for (int c = 0; c < a->n; c++) {
            double v = a->b ? a->b[c] : 0;
            for (int j = 0; j < a->n_tap; j++)
                v += (double)a->w[j * a->ldw + c] *
                     conv_input(a, r, keep - j, c);
            a->y[r * a->ldy + c] = (float)qn_ref_act(a->act, v);
        }
    /* upward: what is read of the state lies behind what is written */
    for (int t = 0; t < keep; t++)
        for (int c = 0; c < a->n; c++)
            a->s[t * a->ldw + c] = conv_input(a, a->n_row - 1, keep - 1 - t, c);
}

static double time_step(const qn_scan_args *a, int r, int h)
{
    double t = softplus((double)a->dt[r * a->lddt + h] + a->dt_bias[h]);

    return fmin(fmax(t, a->dt_min), a->dt_max);
}

static void scan_channels_ref(const qn_scan_args *a)
{
    for (int c = 0; c < a->n; c++)
        for (int r = 0; r < a->n_row; r++) {
            double t = time_step(a, r, c), x = a->x[r * a->ldx + c], y = 0;
            for (int n = 0; n < a->d_state; n++) {
                float *s = &a->s[n * a->lda + c];
                double was = a->zero && r == 0 ? 0 : *s;
                *s = (float)(exp(t * a->a[n * a->lda + c]) * was +
                             t * x * a->B[r * a->ldb + n]);
                y += (double)*s * a->C[r * a->ldc + n];
            }
            a->y[r * a->ldy + c] = (float)(y + a->d[c] * x);
        }
}

static void scan_head_ref(const qn_scan_args *a)
{
    for (int r = 0; r < a->n_row; r++) {
        double t = time_step(a, r, 0), decay = exp(t * a->a[0]);
        for (int i = 0; i < a->n; i++) {
            double x = a->x[r * a->ldx + i], y = 0;
            for (int n = 0; n < a->d_state; n++) {
                float *s = &a->s[n * a->n + i];
                double was = a->zero && r == 0 ? 0 : *s;
                *s = (float)(decay * was + t * x * a->B[r * a->ldb + n]);
                y += (double)*s * a->C[r * a->ldc + n];
            }
            a->y[r * a->ldy + i] = (float)(y + a->d[0] * x);
        }
    }
}

static double inverse_length(const float *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return 1 / sqrt(sum + 1e-6);
}

static void delta_ref(const qn_delta_args *a)
{
    for (int r = 0; r < a->n_row; r++) {
        const float *q = a->q + r * a->ldq, *k = a->k + r * a->ldk;
        double iq = inverse_length(q, a->d_k) / sqrt(a->d_k);
        double ik = inverse_length(k, a->d_k);
        double t = softplus((double)a->dt[r * a->lddt] + a->dt_bias);
        double decay = a->zero && r == 0 ? 0 : exp(a->a * t);
        double beta = sigmoid(a->beta[r * a->ldbeta]);
        if (a->zero && r == 0)
            memset(a->s, 0, (size_t)a->d_k * (size_t)a->d_v * sizeof *a->s);
        for (int j = 0; j < a->d_v; j++) {
            double held = 0, y = 0, u;
            for (int i = 0; i < a->d_k; i++)
                held += decay * a->s[i * a->d_v + j] * (k[i] * ik);
            u = beta * (a->v[r * a->ldv + j] - held);
            for (int i = 0; i < a->d_k; i++) {
                float *s = &a->s[i * a->d_v + j];
                *s = (float)(decay * *s + k[i] * ik * u);
                y += *s * (q[i] * iq);
            }
            a->y[r * a->ldy + j] = (float)y;
        }
    }
}

void qn_ref_rec(qn_kernels *k)
{
    k->conv.fn = conv_ref;
    k->conv.name = "conv_ref";
    k->scan_channels.fn = scan_channels_ref;
    k->scan_channels.name = "scan_channels_ref";
    k->scan_head.fn = scan_head_ref;
    k->scan_head.name = "scan_head_ref";
    k->delta.fn = delta_ref;
    k->delta.name = "delta_ref";
}
