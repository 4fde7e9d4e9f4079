/* elem_tmpl.h - norms, activations, rope, softmax, epilogue: the body that
 * every x86 level compiles in its own words (v_*.h).
 *
 * Elementwise kernels use masks for the last lanes; reductions add the lanes
 * of fixed accumulators in a fixed tree. Polynomials are minimax fits of the
 * function named (Remez); the error in the comment is that of the fit, to
 * which come the roundings of its evaluation.
 */
#include "backend/cpu/kernels.h"

#include <math.h>

/* exp(x) within 2 ulp; inf for x > 88.7, gradual underflow. NaN stays. */
QN_INLINE vf v_exp(vf x)
{
    vf n, r, p;

    /* order of arguments: a NaN in x comes through */
    x = v_max(v_set1(-110), x);
    x = v_min(v_set1(90), x);
    n = v_round(v_mul(x, v_set1(0x1.715476p0f)));
    r = v_fnma(n, v_set1(0x1.62e4p-1f), x); /* ln 2, high part: exact */
    r = v_fnma(n, v_set1(0x1.7f7d1cp-20f), r);
    /* (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2: 3e-9 of e^r */
    p = v_set1(0x1.6a2352p-10f);
    p = v_fma(p, r, v_set1(0x1.123a6cp-7f));
    p = v_fma(p, r, v_set1(0x1.5558f4p-5f));
    p = v_fma(p, r, v_set1(0x1.555490p-3f));
    p = v_fma(p, r, v_set1(0x1.fffffcp-2f));
    p = v_fma(v_mul(p, r), r, r);
    return v_ldexp(v_add(p, v_set1(1)), n);
}

/* tanh(x), relative error of a few ulp also near 0. */
QN_INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), y = v_mul(x, x), p, big;

    /* (tanh(x) / x - 1) / x^2 on |x| <= 0.63: 5e-9 */
    p = v_set1(-0x1.7229b0p-8f);
    p = v_fma(p, y, v_set1(0x1.515892p-6f));
    p = v_fma(p, y, v_set1(-0x1.b81e04p-5f));
    p = v_fma(p, y, v_set1(0x1.110646p-3f));
    p = v_fma(p, y, v_set1(-0x1.55554ap-2f));
    p = v_fma(v_mul(p, y), x, x);
    /* 1 - 2 / (e^2|x| + 1) */
    big = v_exp(v_add(a, a));
    big = v_sub(v_set1(1), v_div(v_set1(2), v_add(big, v_set1(1))));
    return v_sel(v_lt(a, v_set1(0.625f)), p, v_copysign(big, x));
}

/* x / (1 + e^-u): x times the logistic function of u. */
QN_INLINE vf v_gate(vf x, vf u)
{
    vf e = v_exp(v_sub(v_zero(), u));

    return v_div(x, v_add(v_set1(1), e));
}

/* x * Phi(x), Phi the normal distribution function, from
 * erfc(z) = t P(t) e^(-z^2), t = 1 / (1 + 0.3 z), z = |x| / sqrt 2: 2e-8. */
QN_INLINE vf v_gelu(vf x)
{
    vf z = v_mul(v_abs(x), v_set1(0x1.6a09e6p-1f)), t, p, phi;

    t = v_div(v_set1(1), v_fma(z, v_set1(0.3f), v_set1(1)));
    p = v_set1(-0.12952273070523881f);
    p = v_fma(p, t, v_set1(0.48556236802276903f));
    p = v_fma(p, t, v_set1(-0.5122763572710995f));
    p = v_fma(p, t, v_set1(0.5477180584054033f));
    p = v_fma(p, t, v_set1(-0.09464937232440196f));
    p = v_fma(p, t, v_set1(0.21492548523165833f));
    p = v_fma(p, t, v_set1(0.1483393160247135f));
    p = v_fma(p, t, v_set1(0.170715206623587f));
    p = v_fma(p, t, v_set1(0.16918800640832235f));
    p = v_mul(v_mul(p, t), v_exp(v_mul(v_sub(v_zero(), z), z)));
    p = v_mul(p, v_set1(0.5f));
    phi = v_sel(v_lt(x, v_zero()), p, v_sub(v_set1(1), p));
    /* where Phi is 0, x may be -inf: the limit is -0 */
    return v_mul(v_max(v_set1(-0x1p100f), x), phi);
}

static vf FN(v_act)(qn_act act, vf x)
{
    vf r = v_max(v_zero(), x), u; /* NaN stays */

    switch (act) {
    case QN_ACT_NONE: return x;
    case QN_ACT_RELU: return r;
    case QN_ACT_RELU2: return v_mul(r, r);
    case QN_ACT_SILU: return v_gate(x, x);
    case QN_ACT_GELU: return v_gelu(x);
    case QN_ACT_GELU_TANH:
        /* 1 + tanh(u) = 2 / (1 + e^(-2u)), 2u = x (c + d x^2) */
        u = v_fma(v_mul(x, x), v_set1(0.07135481627f), v_set1(1.595769122f));
        return v_gate(x, v_mul(x, u));
    case QN_ACT_GELU_QUICK: return v_gate(x, v_mul(x, v_set1(1.702f)));
    case QN_ACT_SIGMOID: return v_gate(v_set1(1), x);
    case QN_ACT_TANH: return v_tanh(x);
    }
    return x;
}

/* Lanes [i, min(i + VL, n)). */
QN_INLINE vm lanes(int n, int i)
{
    return v_first(n - i < VL ? n - i : VL);
}

/* ---- epilogue ----------------------------------------------------------- */

static void FN(epilogue)(const qn_epilogue_args *a)
{
    vf scale = v_set1(a->scale);

    for (int t = 0; t < a->n_tok; t++) {
        const float *acc = a->acc + t * a->acc_tok;
        const float *acc1 = a->acc1 + t * a->acc_tok;
        float *y = a->y + t * a->ldy;
        for (int i = 0; i < a->n_col; i += VL) {
            vm m = lanes(a->n_col, i);
            vf v = v_load_m(acc + i, m), u;
            if (a->bias)
                v = v_add(v, v_load_m(a->bias + i, m));
            switch (a->kind) {
            case QN_EPI_STORE: v = FN(v_act)(a->act, v_mul(v, scale)); break;
            case QN_EPI_ADD:
                v = v_add(v_load_m(y + i, m), v_mul(v, scale));
                break;
            case QN_EPI_GLU:
                u = v_load_m(acc1 + i, m);
                if (a->bias1)
                    u = v_add(u, v_load_m(a->bias1 + i, m));
                v = v_mul(FN(v_act)(a->act, v), u);
                break;
            }
            v_store_m(y + i, v, m);
        }
    }
}

/* ---- norm --------------------------------------------------------------- */

enum {
    SUMS = 4
}; /* independent accumulators of a reduction */

/* Sum of (x - mean)^2, or of x (square false). */
QN_INLINE float norm_sum(const float *x, int n, float mean, bool square)
{
    vf s[SUMS], mu = v_set1(mean), v;
    int i = 0;

    for (int j = 0; j < SUMS; j++)
        s[j] = v_zero();
    for (; i + SUMS * VL <= n; i += SUMS * VL)
        for (int j = 0; j < SUMS; j++) {
            v = v_sub(v_load(x + i + j * VL), mu);
            s[j] = square ? v_fma(v, v, s[j]) : v_add(v, s[j]);
        }
    for (int j = 0; i < n; i += VL, j++) {
        vm m = lanes(n, i);
        v = v_sel(m, v_sub(v_load_m(x + i, m), mu), v_zero());
        s[j] = square ? v_fma(v, v, s[j]) : v_add(v, s[j]);
    }
    return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));
}

static void FN(norm)(const qn_norm_args *a)
{
    float mean = 0, inv;
    vf mu, in;

    if (!a->rms)
        mean = norm_sum(a->x, a->n, 0, false) / (float)a->n;
    inv = norm_sum(a->x, a->n, mean, true) / (float)a->n;
    inv = 1 / sqrtf(inv + a->eps);
    mu = v_set1(mean);
    in = v_set1(inv);
    for (int i = 0; i < a->n; i += VL) {
        vm m = lanes(a->n, i);
        vf v = v_mul(v_sub(v_load_m(a->x + i, m), mu), in);
        if (a->w)
            v = v_mul(v, v_load_m(a->w + i, m));
        if (a->b)
            v = v_add(v, v_load_m(a->b + i, m));
        if (a->residual)
            v = v_add(v, v_load_m(a->residual + i, m));
        v_store_m(a->y + i, v, m);
    }
}

/* ---- elementwise -------------------------------------------------------- */

static void FN(map)(const qn_map_args *a)
{
    vf scale = v_set1(a->scale), cap = v_set1(a->cap);

    for (int i = 0; i < a->n; i += VL) {
        vm m = lanes(a->n, i);
        vf v = FN(v_act)(a->act, v_load_m(a->x + i, m));
        if (a->mul)
            v = v_mul(v, v_load_m(a->mul + i, m));
        v = v_mul(v, scale);
        if (a->cap > 0)
            v = v_mul(cap, v_tanh(v_div(v, cap)));
        if (a->add)
            v = v_add(v_load_m(a->y + i, m), v);
        v_store_m(a->y + i, v, m);
    }
}

static void rope_pairs(float *x, const float *c, const float *s, int n)
{
    int i = 0;

    for (; i + VL / 2 <= n; i += VL / 2)
        v_store(x + 2 * i,
                v_rotate_pairs(v_load(x + 2 * i), v_load_twice(c + i),
                               v_load_twice(s + i)));
    if (i < n) { /* the same words on padded copies */
        float px[VL] = {0}, pc[VL / 2] = {0}, ps[VL / 2] = {0};
        size_t left = (size_t)(n - i) * sizeof(float);
        memcpy(px, x + 2 * i, 2 * left);
        memcpy(pc, c + i, left);
        memcpy(ps, s + i, left);
        v_store(px,
                v_rotate_pairs(v_load(px), v_load_twice(pc), v_load_twice(ps)));
        memcpy(x + 2 * i, px, 2 * left);
    }
}

static void FN(rope)(float *x, const float *cs, int n, bool interleaved)
{
    const float *c = cs, *s = cs + n;

    if (interleaved) {
        rope_pairs(x, c, s, n);
        return;
    }
    for (int i = 0; i < n; i += VL) {
        vm m = lanes(n, i);
        vf a = v_load_m(x + i, m), b = v_load_m(x + n + i, m);
        vf co = v_load_m(c + i, m), si = v_load_m(s + i, m);
        v_store_m(x + i, v_sub(v_mul(a, co), v_mul(b, si)), m);
        v_store_m(x + n + i, v_add(v_mul(b, co), v_mul(a, si)), m);
    }
}

static void FN(scale)(float *y, int n, float f)
{
    vf s = v_set1(f);

    for (int i = 0; i < n; i += VL) {
        vm m = lanes(n, i);
        v_store_m(y + i, v_mul(v_load_m(y + i, m), s), m);
    }
}

static void FN(axpy)(float *y, const float *x, int n, float f)
{
    vf s = v_set1(f);

    for (int i = 0; i < n; i += VL) {
        vm m = lanes(n, i);
        v_store_m(y + i, v_fma(s, v_load_m(x + i, m), v_load_m(y + i, m)), m);
    }
}

/* ---- softmax ------------------------------------------------------------ */

static float FN(softmax)(float *s, const qn_softmax_args *a, float *m, float *l)
{
    vf scale = v_set1(a->scale), slope = v_set1(a->slope);
    vf cap = v_set1(a->softcap), low = v_set1(-INFINITY);
    vf top = low, sum = v_zero(), at = v_add(v_set1(a->rel0), v_iota());
    float t, factor[VL];

    for (int i = 0; i < a->n; i += VL) {
        vm in = lanes(a->n, i);
        vf v = v_mul(v_load_m(s + i, in), scale);
        if (a->softcap > 0)
            v = v_mul(cap, v_tanh(v_div(v, cap)));
        v = v_add(v, v_mul(slope, at));
        at = v_add(at, v_set1(VL));
        v_store_m(s + i, v, in);
        top = v_max(v_sel(in, v, low), top);
    }
    t = v_top(top);
    t = t > *m ? t : *m;
    top = v_set1(t);
    for (int i = 0; i < a->n; i += VL) {
        vm in = lanes(a->n, i);
        vf v = v_exp(v_sub(v_load_m(s + i, in), top));
        v_store_m(s + i, v, in);
        sum = v_add(sum, v_sel(in, v, v_zero()));
    }
    v_store(factor, v_exp(v_sub(v_set1(*m), top)));
    *l = *l * factor[0] + v_sum(sum);
    *m = t;
    return factor[0];
}

/* ---- forms of x --------------------------------------------------------- */

static void FN(prep_f32_bf16)(const float *x, int n, void *dst)
{
    float *y = dst;

    for (int i = 0; i < n; i += VL) {
        vm m = lanes(n, i);
        v_store_m(y + i, v_round_bf16(v_load_m(x + i, m)), m);
    }
}

/* The kernels of this file into the table. */
void FN(qn_x86_elem)(qn_kernels *k)
{
    k->epilogue.fn = FN(epilogue);
    k->epilogue.name = FN_NAME("epilogue");
    k->norm.fn = FN(norm);
    k->norm.name = FN_NAME("norm");
    k->map.fn = FN(map);
    k->map.name = FN_NAME("map");
    k->rope.fn = FN(rope);
    k->rope.name = FN_NAME("rope");
    k->scale.fn = FN(scale);
    k->scale.name = FN_NAME("scale");
    k->axpy.fn = FN(axpy);
    k->axpy.name = FN_NAME("axpy");
    k->softmax.fn = FN(softmax);
    k->softmax.name = FN_NAME("softmax");
    k->prep[QN_X_F32_BF16].fn = FN(prep_f32_bf16);
    k->prep[QN_X_F32_BF16].name = FN_NAME("prep_f32_bf16");
}
