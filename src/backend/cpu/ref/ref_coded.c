/* ref_coded.c - products of codes with int8 activations, in plain C.
 *
 *   per block of x:  i = sum of v q,  v = points[code], code - zero or code
 *                    acc[t][l] += (i * scale[l]) * d_x
 *                    acc[t][l] -= min[l] * (d_x * sum of q)      where there are minima
 *
 * The sums i are exact, so that every instruction set has the same. A block
 * of x lies inside of one group of the weights.
 */
#include "backend/cpu/cpu_int.h"
#include "backend/cpu/ref/ref.h"
#include "tensor/half.h"

#include <math.h>

static int32_t block_sum(qn_layout l, const qn_scaled *s, const uint8_t *group,
                         int lane, int k, const int8_t *q, int n)
{
    int zero = qn_scaled_zero(l, group, lane);
    int32_t sum = 0;

    for (int i = 0; i < n; i++) {
        int c = qn_scaled_code(s, l, group, lane, k + i);
        sum += (l == QN_LAYOUT_CB4 ? s->points[c] : c - zero) * q[i];
    }
    return sum;
}

static void one_block(qn_layout l, const qn_tile *t, const uint8_t *w, int k,
                      const uint8_t *x, int n, float *acc)
{
    const uint8_t *group = w + k / t->q->group * t->q->bytes;
    qn_xi8 b;

    memcpy(&b, x + n, sizeof b);
    for (int i = 0; i < QN_PANEL; i++) {
        int32_t sum = block_sum(l, t->q, group, i, k % t->q->group,
                                (const int8_t *)x, n);
        float scale = qn_scaled_scale(l, group, i, k % t->q->group);
        if (l == QN_LAYOUT_CB4)
            scale *= t->q->unit;
        acc[i] += (float)sum * scale * b.d;
        if (qn_layout_mins(l))
            acc[i] -= qn_scaled_min(l, group, i, k % t->q->group) * b.dsum;
    }
}

static void run(const qn_tile *t, qn_layout l)
{
    int n = t->q->block;

    for (int p = 0; p < t->n_panel; p++)
        for (int j = 0; j < t->n_tok; j++) {
            const uint8_t *x = t->x + j * t->x_tok;
            float *acc = t->acc + j * t->acc_tok + p * QN_PANEL;
            for (int i = 0; i < QN_PANEL && !t->load; i++)
                acc[i] = 0;
            for (int k = 0; k < t->n_k; k += n) {
                one_block(l, t, t->w + p * t->w_panel, k, x, n, acc);
                x += n + (int)sizeof(qn_xi8);
            }
        }
}

static void coded_cb4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_CB4);
}

static void coded_a4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_A4);
}

static void coded_a8_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_A8);
}

static void coded_m4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_M4);
}

static void coded_m8_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_M8);
}

static void coded_k4_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_K4);
}

static void coded_k5_ref(const qn_tile *t)
{
    run(t, QN_LAYOUT_K5);
}

/* A6: scales are whole numbers within the sum.
 *
 *   per block of x:  i = sum of scale[l] v q,  v = code - zero
 *                    acc[t][l] += i * (factor[l] * d_x)
 */
static void block_a6(const qn_tile *t, const uint8_t *group, int k,
                     const qn_xsums *x, float *acc)
{
    for (int i = 0; i < QN_PANEL; i++) {
        int32_t sum = 0;
        uint16_t factor;
        for (int j = 0; j < QN_SUMS_BLOCK; j += 16)
            sum += (int8_t)group[32 + k + j + i] *
                   block_sum(QN_LAYOUT_A6, t->q, group, i, k + j, x->q + j, 16);
        memcpy(&factor, group + 2 * i, sizeof factor);
        acc[i] += (float)sum * (qn_f32_of_f16(factor) * x->d);
    }
}

static void linear_a6_ref(const qn_tile *t)
{
    for (int p = 0; p < t->n_panel; p++)
        for (int j = 0; j < t->n_tok; j++) {
            const uint8_t *x = t->x + j * t->x_tok, *w = t->w + p * t->w_panel;
            float *acc = t->acc + j * t->acc_tok + p * QN_PANEL;
            for (int i = 0; i < QN_PANEL && !t->load; i++)
                acc[i] = 0;
            for (int k = 0; k < t->n_k;
                 k += QN_SUMS_BLOCK, x += sizeof(qn_xsums)) {
                qn_xsums b;
                memcpy(&b, x, sizeof b);
                block_a6(t, w + k / 256 * t->q->bytes, k % 256, &b, acc);
            }
        }
}

/* ---- activations --------------------------------------------------------- */

static void prep(const float *x, int n, uint8_t *y, int block, int most)
{
    for (int at = 0; at < n; at += block) {
        int m = QN_MIN(block, n - at);
        float top = 0, inv;
        qn_xi8 b = {0};
        for (int i = 0; i < m; i++)
            top = fmaxf(top, fabsf(x[at + i]));
        b.d = top / (float)most;
        inv = b.d > 0 ? (float)most / top : 0;
        for (int i = 0; i < block; i++) {
            float v = i < m ? rintf(x[at + i] * inv) : 0;
            int16_t q = (int16_t)(v > (float)most     ? most
                                  : v >= -(float)most ? (int)v
                                                      : -most);
            int8_t byte = (int8_t)q;
            b.sum += q;
            if (most > 127)
                memcpy(y + 2 * i, &q, 2);
            else
                memcpy(y + i, &byte, 1);
        }
        b.dsum = b.d * (float)b.sum;
        b.fix = QN_COUNT_BITS - 128 * b.sum;
        y += most > 127 ? 2 * block : block;
        memcpy(y, &b, sizeof b);
        y += sizeof b;
    }
}

static void prep_i8_16_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, 127);
}

static void prep_i8_32_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, 127);
}

static void prep_i8_64_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, 127);
}

static void prep_i16_16_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, QN_X_I16_TOP);
}

static void prep_i16_32_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, QN_X_I16_TOP);
}

static void prep_i16_64_ref(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, QN_X_I16_TOP);
}

static void prep_i8_sums_ref(const float *x, int n, void *dst)
{
    uint8_t block[QN_SUMS_BLOCK + sizeof(qn_xi8)];
    uint8_t *y = dst;

    for (int at = 0; at < n; at += QN_SUMS_BLOCK, y += sizeof(qn_xsums)) {
        qn_xsums b = {.d = 0};
        qn_xi8 whole;
        prep(x + at, QN_MIN(QN_SUMS_BLOCK, n - at), block, QN_SUMS_BLOCK, 127);
        memcpy(b.q, block, sizeof b.q);
        memcpy(&whole, block + QN_SUMS_BLOCK, sizeof whole);
        b.d = whole.d;
        for (int i = 0; i < QN_SUMS_BLOCK; i++)
            b.sum[i / 16] = (int16_t)(b.sum[i / 16] + b.q[i]);
        memcpy(y, &b, sizeof b);
    }
}

#define MAX_TOK 16

void qn_ref_coded(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        qn_tile_kernel kernel;
    } rows[] = {
        {QN_LAYOUT_CB4,
         {"coded_cb4_ref", coded_cb4_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_A4, {"coded_a4_ref", coded_a4_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_A8, {"coded_a8_ref", coded_a8_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_M4, {"coded_m4_ref", coded_m4_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_M8, {"coded_m8_ref", coded_m8_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_K4, {"coded_k4_ref", coded_k4_ref, QN_X_I8_16, MAX_TOK, 0}},
        {QN_LAYOUT_K5, {"coded_k5_ref", coded_k5_ref, QN_X_I8_16, MAX_TOK, 0}},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout, rows[i].kernel);
    k->linear[QN_LAYOUT_A6] = (qn_tile_kernel){"linear_a6_ref", linear_a6_ref,
                                               QN_X_I8_SUMS, MAX_TOK, 0};
    k->prep[QN_X_I8_SUMS].fn = prep_i8_sums_ref;
    k->prep[QN_X_I8_SUMS].name = "prep_i8_sums_ref";
    k->prep[QN_X_I8_16].fn = prep_i8_16_ref;
    k->prep[QN_X_I8_16].name = "prep_i8_16_ref";
    k->prep[QN_X_I8_32].fn = prep_i8_32_ref;
    k->prep[QN_X_I8_32].name = "prep_i8_32_ref";
    k->prep[QN_X_I8_64].fn = prep_i8_64_ref;
    k->prep[QN_X_I8_64].name = "prep_i8_64_ref";
    k->prep[QN_X_I16_16].fn = prep_i16_16_ref;
    k->prep[QN_X_I16_16].name = "prep_i16_16_ref";
    k->prep[QN_X_I16_32].fn = prep_i16_32_ref;
    k->prep[QN_X_I16_32].name = "prep_i16_32_ref";
    k->prep[QN_X_I16_64].fn = prep_i16_64_ref;
    k->prep[QN_X_I16_64].name = "prep_i16_64_ref";
}
