/* elem_tmpl.h - norms, activations, rope, softmax, epilogue: the body that
 * every instruction set compiles in its own words (v_*.h).
 *
 * Elementwise kernels use masks for the last lanes; reductions add the lanes
 * of fixed accumulators in a fixed tree.
 */
#include "backend/cpu/vec/act_tmpl.h"

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
void FN(qn_vec_elem)(qn_kernels *k)
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
