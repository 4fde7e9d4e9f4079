/* act_tmpl.h - exp, tanh, the activations: what the other templates compute
 * with, in the words of v_*.h.
 *
 * Polynomials are minimax fits of the function named (Remez) unless they say
 * otherwise; the error in the comment is that of the fit, to which come the
 * roundings of its evaluation.
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

/* exp(x) for x <= 0, within 2 ulp; where it would be less than 2^-126, that.
 * NaN stays. */
QN_INLINE vf v_exp_neg(vf x)
{
    const float magic = 0x1.8p23f + 127;
    vf t, n, r, p;

    x = v_max(v_set1(-87.3f), x);
    /* a sum whose last bit counts ones: what to multiply 2 with, + 127 */
    t = v_fma(x, v_set1(0x1.715476p0f), v_set1(magic));
    n = v_sub(t, v_set1(magic));
    r = v_fnma(n, v_set1(0x1.62e4p-1f), x); /* as in v_exp */
    r = v_fnma(n, v_set1(0x1.7f7d1cp-20f), r);
    p = v_set1(0x1.6a2352p-10f);
    p = v_fma(p, r, v_set1(0x1.123a6cp-7f));
    p = v_fma(p, r, v_set1(0x1.5558f4p-5f));
    p = v_fma(p, r, v_set1(0x1.555490p-3f));
    p = v_fma(p, r, v_set1(0x1.fffffcp-2f));
    p = v_fma(v_fma(p, r, v_set1(1)), r, v_set1(1));
    return v_mul(p, v_exponent(t));
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

/* Lanes [i, min(i + VL, n)) of a row of n. Masked access is slow on some
 * processors, so only the last vector has it. */
QN_INLINE vf load_at(const float *x, int n, int i)
{
    return n - i >= VL ? v_load(x + i) : v_load_m(x + i, lanes(n, i));
}
QN_INLINE void store_at(float *y, vf v, int n, int i)
{
    if (n - i >= VL)
        v_store(y + i, v);
    else
        v_store_m(y + i, v, lanes(n, i));
}
