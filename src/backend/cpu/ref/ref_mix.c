/* ref_mix.c - sums over cells of a cache in plain C. */
#include "backend/cpu/ref/ref.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>

static float cell_at(const uint8_t *row, qn_kv_dtype t, int k, int c)
{
    const uint16_t *h = (const uint16_t *)(const void *)row;
    float f;

    switch (t) {
    case QN_KV_CELL_F16: return qn_f32_of_f16(h[c]);
    case QN_KV_CELL_BF16: return qn_f32_of_bf16(h[2 * c + k % 2]);
    default: memcpy(&f, row + 4 * c, sizeof f); return f;
    }
}

static void mix(const qn_mix *m, qn_kv_dtype t)
{
    int step = qn_cell_step(t);

    for (int i = 0; i < m->n_tok && !m->load; i++)
        memset(m->acc + i * m->acc_tok, 0, (size_t)m->n_col * sizeof *m->acc);
    for (int k = 0; k < m->n_k; k++)
        for (int c = 0; c < m->n_col; c++) {
            float w = cell_at(m->w + k / step * m->w_row, t, k, c);
            for (int i = 0; i < m->n_tok; i++) {
                const float *x = (const void *)(m->x + i * m->x_tok);
                m->acc[i * m->acc_tok + c] += w * x[k];
            }
        }
}

static void mix_f32_ref(const qn_mix *m)
{
    mix(m, QN_KV_CELL_F32);
}

static void mix_f16_ref(const qn_mix *m)
{
    mix(m, QN_KV_CELL_F16);
}

static void mix_bf16_ref(const qn_mix *m)
{
    mix(m, QN_KV_CELL_BF16);
}

static void mix_i8_ref(const qn_mix *m)
{
    int n_quad = (m->n_k + 3) / 4;

    for (int i = 0; i < m->n_tok; i++) {
        const uint8_t *at = m->x + i * m->x_tok;
        const int16_t *q = (const int16_t *)(const void *)at;
        qn_xquads x;
        float *acc = m->acc + i * m->acc_tok;
        memcpy(&x, at + 8 * n_quad, sizeof x);
        for (int c = 0; c < m->n_col; c++) {
            int32_t sum = 0;
            for (int k = 0; k < 4 * n_quad; k++)
                sum += (m->w[k / 4 * m->w_row + 4 * c + k % 4] - 128) * q[k];
            float f = (float)sum * x.d;
            if (m->col)
                f *= m->col[c];
            acc[c] = m->load ? acc[c] + f : f;
        }
    }
}

/* What is not finite makes d NaN, and so every sum. */
static void prep_quads_ref(const float *x, int n, void *dst)
{
    int16_t *q = dst;
    int n_quad = (n + 3) / 4;
    float limit = 32512.0f / (float)((n + 511) / 512), top = 0;
    qn_xquads tail = {0, 0};
    bool finite = true;

    for (int i = 0; i < n; i++) {
        finite = finite && fabsf(x[i]) <= FLT_MAX;
        top = fmaxf(top, fabsf(x[i]));
    }
    bool some = finite && top >= QN_QUADS_LEAST;
    for (int i = 0; i < 4 * n_quad; i++) {
        q[i] = some && i < n ? (int16_t)rintf(x[i] * (limit / top)) : 0;
        tail.sum += q[i];
    }
    tail.d = some ? top / limit : finite ? 0 : NAN;
    memcpy(q + 4 * n_quad, &tail, sizeof tail);
}

void qn_ref_mix(qn_kernels *k)
{
    static const qn_mix_kernel all[QN_KV_CELLS] = {
        [QN_KV_CELL_F32] = {"mix_f32_ref", mix_f32_ref, NULL, 16},
        [QN_KV_CELL_F16] = {"mix_f16_ref", mix_f16_ref, NULL, 16},
        [QN_KV_CELL_BF16] = {"mix_bf16_ref", mix_bf16_ref, NULL, 16},
        [QN_KV_CELL_I8] = {"mix_int8_ref", mix_i8_ref, prep_quads_ref, 16},
    };

    memcpy(k->mix, all, sizeof all);
    memcpy(k->mix_exact, all, sizeof all);
    k->kv_half = QN_KV_CELL_F16;
}
