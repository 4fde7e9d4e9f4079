/* ref_elem.c - norms, activations, rope, softmax in plain C, inner values in
 * double precision. */
#include "backend/cpu/ref/ref.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>

double qn_ref_act(qn_act act, double x)
{
    switch (act) {
    case QN_ACT_NONE: return x;
    case QN_ACT_RELU: return x > 0 ? x : 0;
    case QN_ACT_RELU2: return x > 0 ? x * x : 0;
    case QN_ACT_SILU: return x / (1 + exp(-x));
    case QN_ACT_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
    case QN_ACT_GELU_TANH:
        return 0.5 * x *
               (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case QN_ACT_GELU_QUICK: return x / (1 + exp(-1.702 * x));
    case QN_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case QN_ACT_TANH: return tanh(x);
    }
    return x;
}

static void epilogue_ref(const qn_epilogue_args *a)
{
    for (int t = 0; t < a->n_tok; t++) {
        float *y = a->y + t * a->ldy;
        for (int i = 0; i < a->n_col; i++) {
            int64_t at = t * a->acc_tok + i / QN_PANEL * a->acc_panel +
                         i % QN_PANEL;
            float v = a->acc[at], u;
            if (a->bias)
                v += a->bias[i];
            switch (a->kind) {
            case QN_EPI_STORE:
                y[i] = (float)qn_ref_act(a->act, a->scale * v);
                break;
            case QN_EPI_ADD: y[i] += a->scale * v; break;
            case QN_EPI_GLU:
                u = a->acc1[at];
                if (a->bias1)
                    u += a->bias1[i];
                y[i] = (float)qn_ref_act(a->act, v) * u;
                break;
            }
        }
    }
}

static void norm_ref(const qn_norm_args *a)
{
    double mean = 0, var = 0, inv;

    for (int i = 0; i < a->n && !a->rms; i++)
        mean += a->x[i];
    mean /= a->n;
    for (int i = 0; i < a->n; i++)
        var += (a->x[i] - mean) * (a->x[i] - mean);
    inv = 1 / sqrt(var / a->n + a->eps);

    for (int i = 0; i < a->n; i++) {
        float v = (float)((a->x[i] - mean) * inv);
        if (a->w)
            v *= a->w[i];
        if (a->b)
            v += a->b[i];
        if (a->residual)
            v += a->residual[i];
        a->y[i] = v;
    }
}

static void map_ref(const qn_map_args *a)
{
    for (int i = 0; i < a->n; i++) {
        float v = (float)qn_ref_act(a->act, a->x[i]);
        if (a->mul)
            v *= a->mul[i];
        v *= a->scale;
        if (a->cap > 0)
            v = a->cap * (float)tanh(v / a->cap);
        a->y[i] = a->add ? a->y[i] + v : v;
    }
}

static void rope_ref(float *x, const float *cs, int n, bool interleaved)
{
    for (int i = 0; i < n; i++) {
        float *p = interleaved ? x + 2 * i : x + i;
        float *q = interleaved ? x + 2 * i + 1 : x + i + n;
        float a = *p, b = *q, c = cs[i], s = cs[n + i];
        *p = a * c - b * s;
        *q = b * c + a * s;
    }
}

static float softmax_ref(float *s, const qn_softmax_args *a, float *m, float *l)
{
    float top = *m, factor;
    double sum = 0;

    for (int j = 0; j < a->n; j++) {
        s[j] *= a->scale;
        if (a->softcap > 0)
            s[j] = a->softcap * (float)tanh(s[j] / a->softcap);
        s[j] += a->slope * (a->rel0 + (float)j);
        top = s[j] > top ? s[j] : top;
    }
    for (int j = 0; j < a->n; j++) {
        s[j] = (float)exp(s[j] - top);
        sum += s[j];
    }
    factor = (float)exp(*m - top);
    *l = *l * factor + (float)sum;
    *m = top;
    return factor;
}

static void scale_ref(float *y, int n, float f)
{
    for (int i = 0; i < n; i++)
        y[i] *= f;
}

static void axpy_ref(float *y, const float *x, int n, float f)
{
    for (int i = 0; i < n; i++)
        y[i] += f * x[i];
}

static void f16_cells_ref(const float *x, int n, uint16_t *y)
{
    for (int i = 0; i < n; i++) {
        bool top = fabsf(x[i]) > 65504 && fabsf(x[i]) <= FLT_MAX;
        y[i] = qn_f16_of_f32(top ? copysignf(65504, x[i]) : x[i]);
    }
}

void qn_ref_elem(qn_kernels *k)
{
    k->epilogue.fn = epilogue_ref;
    k->epilogue.name = "epilogue_ref";
    k->norm.fn = norm_ref;
    k->norm.name = "norm_ref";
    k->map.fn = map_ref;
    k->map.name = "map_ref";
    k->rope.fn = rope_ref;
    k->rope.name = "rope_ref";
    k->softmax.fn = softmax_ref;
    k->softmax.name = "softmax_ref";
    k->scale.fn = scale_ref;
    k->scale.name = "scale_ref";
    k->axpy.fn = axpy_ref;
    k->axpy.name = "axpy_ref";
    k->f16_cells.fn = f16_cells_ref;
    k->f16_cells.name = "f16_cells_ref";
}
