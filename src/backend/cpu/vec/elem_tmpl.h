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
            int64_t at = i / QN_PANEL * (a->acc_panel - QN_PANEL);
            vf v = load_at(acc + at, a->n_col, i), u;
            if (a->bias)
                v = v_add(v, load_at(a->bias, a->n_col, i));
            switch (a->kind) {
            case QN_EPI_STORE: v = FN(v_act)(a->act, v_mul(v, scale)); break;
            case QN_EPI_ADD:
                v = v_add(load_at(y, a->n_col, i), v_mul(v, scale));
                break;
            case QN_EPI_GLU:
                u = load_at(acc1 + at, a->n_col, i);
                if (a->bias1)
                    u = v_add(u, load_at(a->bias1, a->n_col, i));
                v = v_mul(FN(v_act)(a->act, v), u);
                break;
            }
            store_at(y, v, a->n_col, i);
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
        vf v = v_mul(v_sub(load_at(a->x, a->n, i), mu), in);
        if (a->w)
            v = v_mul(v, load_at(a->w, a->n, i));
        if (a->b)
            v = v_add(v, load_at(a->b, a->n, i));
        if (a->residual)
            v = v_add(v, load_at(a->residual, a->n, i));
        store_at(a->y, v, a->n, i);
    }
}

/* ---- elementwise -------------------------------------------------------- */

static void FN(map)(const qn_map_args *a)
{
    vf scale = v_set1(a->scale), cap = v_set1(a->cap);

    for (int i = 0; i < a->n; i += VL) {
        vf v = FN(v_act)(a->act, load_at(a->x, a->n, i));
        if (a->mul)
            v = v_mul(v, load_at(a->mul, a->n, i));
        v = v_mul(v, scale);
        if (a->cap > 0)
            v = v_mul(cap, v_tanh(v_div(v, cap)));
        if (a->add)
            v = v_add(load_at(a->y, a->n, i), v);
        store_at(a->y, v, a->n, i);
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
        vf a = load_at(x, n, i), b = load_at(x + n, n, i);
        vf co = load_at(c, n, i), si = load_at(s, n, i);
        store_at(x, v_sub(v_mul(a, co), v_mul(b, si)), n, i);
        store_at(x + n, v_add(v_mul(b, co), v_mul(a, si)), n, i);
    }
}

static void FN(scale)(float *y, int n, float f)
{
    vf s = v_set1(f);

    for (int i = 0; i < n; i += VL) {
        store_at(y, v_mul(load_at(y, n, i), s), n, i);
    }
}

static void FN(axpy)(float *y, const float *x, int n, float f)
{
    vf s = v_set1(f);

    for (int i = 0; i < n; i += VL) {
        store_at(y, v_fma(s, load_at(x, n, i), load_at(y, n, i)), n, i);
    }
}

/* ---- softmax ------------------------------------------------------------ */

/* Scores with a cap or a slope, in place; afterwards their scale is 1. */
static void FN(bend_scores)(float *s, const qn_softmax_args *a)
{
    vf scale = v_set1(a->scale), slope = v_set1(a->slope);
    vf cap = v_set1(a->softcap), at = v_add(v_set1(a->rel0), v_iota());

    for (int i = 0; i < a->n; i += VL) {
        vf v = v_mul(load_at(s, a->n, i), scale);
        if (a->softcap > 0)
            v = v_mul(cap, v_tanh(v_div(v, cap)));
        v = v_add(v, v_mul(slope, at));
        at = v_add(at, v_set1(VL));
        store_at(s, v, a->n, i);
    }
}

static float FN(softmax)(float *s, const qn_softmax_args *a, float *m, float *l)
{
    float scale = a->scale, t, factor[VL];
    vf low = v_set1(-INFINITY), top = low, sum = v_zero(), c, off;
    int i = 0;

    if (a->softcap > 0 || a->slope != 0 || !(scale > 0)) {
        FN(bend_scores)(s, a);
        scale = 1;
    }
    for (; i + VL <= a->n; i += VL)
        top = v_max(v_load(s + i), top);
    if (i < a->n) {
        vm in = lanes(a->n, i);
        top = v_max(v_sel(in, v_load_m(s + i, in), low), top);
    }
    t = v_top(top) * scale;
    t = t > *m ? t : *m;
    c = v_set1(scale);
    off = v_set1(-t);
    for (i = 0; i + VL <= a->n; i += VL) {
        vf v = v_exp_neg(v_fma(v_load(s + i), c, off));
        v_store(s + i, v);
        sum = v_add(sum, v);
    }
    if (i < a->n) {
        vm in = lanes(a->n, i);
        vf v = v_exp_neg(v_fma(v_load_m(s + i, in), c, off));
        v_store_m(s + i, v, in);
        sum = v_add(sum, v_sel(in, v, v_zero()));
    }
    /* exp() takes hundreds of cycles for what is below all numbers */
    factor[0] = t == *m ? 1 : 0;
    if (t != *m && *m != -INFINITY)
        v_store(factor, v_exp(v_set1(*m - t)));
    *l = *l * factor[0] + v_sum(sum);
    *m = t;
    return factor[0];
}

/* ---- cells -------------------------------------------------------------- */

static void FN(f16_cells)(const float *x, int n, uint16_t *y)
{
    for (int i = 0; i < n; i += VL) {
        vf v = load_at(x, n, i);
        vf near = v_copysign(v_min(v_abs(v), v_set1(65504)), v);
        uint16_t last[VL];
        v = v_sel(v_lt(v_abs(v), v_set1(INFINITY)), near, v);
        if (i + VL <= n) {
            v_store_f16(y + i, v);
            continue;
        }
        v_store_f16(last, v);
        memcpy(y + i, last, (size_t)(n - i) * sizeof *y);
    }
}

/* ---- forms of x --------------------------------------------------------- */

static void FN(prep_f32_bf16)(const float *x, int n, void *dst)
{
    float *y = dst;

    for (int i = 0; i < n; i += VL) {
        store_at(y, v_round_bf16(load_at(x, n, i)), n, i);
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
    k->f16_cells.fn = FN(f16_cells);
    k->f16_cells.name = FN_NAME("f16_cells");
    k->prep[QN_X_F32_BF16].fn = FN(prep_f32_bf16);
    k->prep[QN_X_F32_BF16].name = FN_NAME("prep_f32_bf16");
}
