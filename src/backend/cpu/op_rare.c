/* op_rare.c - ops that few networks have, as their definitions say. They are
 * small beside the products round them; no instruction set has its own. */
#include "backend/cpu/product.h"

#include <math.h>

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

static void xielu(const qn_op_curve *op, const float *x, float *y)
{
    float beta = *op->param[2], eps = *op->param[3];
    float p = softplus(*op->param[0]), n = beta + softplus(*op->param[1]);

    for (int i = 0; i < op->dim; i++) {
        float v = x[i], low = v < eps ? v : eps;
        y[i] = v > 0 ? p * v * v + beta * v : (expm1f(low) - v) * n + beta * v;
    }
}

static void clip(const qn_op_curve *op, const float *x, float *y)
{
    for (int i = 0; i < op->dim; i++)
        y[i] = fminf(fmaxf(x[i], -op->limit), op->limit);
}

static void top(const qn_op_curve *op, const float *x, float *y)
{
    double mean = 0, var = 0;
    float cut;

    for (int i = 0; i < op->dim; i++)
        mean += (double)x[i];
    mean /= op->dim;
    for (int i = 0; i < op->dim; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean);
    cut = (float)(mean + sqrt(var / op->dim) * (double)op->limit);
    for (int i = 0; i < op->dim; i++)
        y[i] = fmaxf(x[i] - cut, 0);
}

void qn_op_curve_run(const qn_op_curve *op, qn_worker *w)
{
    int64_t begin, end;

    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *x = op->x + r * op->ldx;
        float *y = op->y + r * op->ldy;
        switch (op->kind) {
        case QN_CURVE_CLIP: clip(op, x, y); break;
        case QN_CURVE_TOP: top(op, x, y); break;
        case QN_CURVE_XIELU: xielu(op, x, y); break;
        }
    }
}

void qn_op_copy_run(const qn_op_copy *op, qn_worker *w)
{
    int64_t begin, end;

    qn_pool_split((int64_t)op->n_row * op->n_group, 1, w->thread, w->n_threads,
                  &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t r = i / op->n_group, g = i % op->n_group;
        memcpy(op->y + r * op->ldy + g * op->gy,
               op->x + r * op->ldx + g * op->gx,
               (size_t)op->dim * sizeof(float));
    }
}

void qn_op_diff_run(const qn_op_diff *op, qn_worker *w)
{
    int64_t begin, end;
    double s1 = 0, s2 = 0;
    float lambda;

    for (int i = 0; i < op->n_lambda; i++) {
        s1 += (double)op->q1[i] * (double)op->k1[i];
        s2 += (double)op->q2[i] * (double)op->k2[i];
    }
    lambda = (float)(exp(s1) - exp(s2) + (double)op->init);
    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *a = op->x + r * op->ldx, *b = a + op->dim;
        float *y = op->y + r * op->ldy;
        for (int i = 0; i < op->dim; i++)
            y[i] = a[i] - lambda * b[i];
    }
}

/* One row's element i in all streams. */
static void mix(const qn_op_streams *op, const float *c, float *y, int i)
{
    float z[QN_MAX_STREAMS];

    for (int j = 0; j < op->n; j++)
        z[j] = y[j * op->stride + i];
    for (int j = 0; j < op->n; j++) {
        float sum = 0;
        for (int k = 0; k < op->n; k++)
            sum += c[j * op->n + k] * z[k];
        y[j * op->stride + i] = z[j] + sum;
    }
}

void qn_op_streams_run(const qn_op_streams *op, qn_worker *w)
{
    int64_t begin, end;

    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *c = op->c + r * op->ldc;
        float *y = op->y + r * op->ldy;
        for (int i = 0; i < op->dim; i++) {
            if (!op->a) {
                mix(op, c, y, i);
                continue;
            }
            float by = op->a[r * op->lda + i] - y[op->active * op->stride + i];
            for (int j = 0; j < op->n; j++)
                y[j * op->stride + i] += (1 + c[j]) * by;
        }
    }
}

static double mean_square(const float *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / n;
}

void qn_op_match_run(const qn_op_match *op, qn_worker *w)
{
    int64_t begin, end;

    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *x = op->x + r * op->ldx;
        double want = mean_square(op->t + r * op->ldt, op->dim);
        double have = fmax(mean_square(x, op->dim), (double)op->eps);
        float f = (float)sqrt(want / have);
        for (int i = 0; i < op->dim; i++)
            op->y[r * op->ldy + i] = x[i] * f;
    }
}

/* ---- products with picked matrices --------------------------------------- */

void qn_op_pick_need(const qn_cpu_backend *be, const qn_op_pick *op,
                     qn_need *need)
{
    (void)be;
    need->own = QN_PRODUCT_ACC_BYTES +
                (uint64_t)qn_product_widest(op->w[0]->n_in) +
                qn_round64((uint64_t)op->w[0]->n_out * sizeof(float));
}

/* y = W x by this thread alone. */
static void one_product(qn_worker *w, const qn_weight *m, const float *x,
                        float *y, uint8_t *prepared)
{
    const qn_tile_kernel *k = qn_product_kernel(w->be, m);
    qn_product p = {
        .n_row = 1,
        .n_part = 1,
        .part = {{.w = m,
                  .kernel = k,
                  .y = y,
                  .ldy = m->n_out,
                  .x = prepared,
                  .x_tok = qn_product_stride(k->xform, m->n_in)}},
        .epi = QN_EPI_STORE,
        .act = QN_ACT_NONE,
        .scale = 1,
    };

    w->kern->prep[k->xform].fn(x, (int)m->n_in, prepared);
    qn_product_plan(w->be, &p);
    for (int64_t i = 0; i < p.n_item; i++)
        qn_product_item(w->be, &p, i, i + 1 < p.n_item ? i + 1 : -1,
                        (float *)(void *)w->own);
}

void qn_op_pick_run(const qn_op_pick *op, qn_worker *w)
{
    int n_in = (int)op->w[0]->n_in, n_out = (int)op->w[0]->n_out;
    uint8_t *prepared = w->own + QN_PRODUCT_ACC_BYTES;
    float *sum = (float *)(void *)(prepared + qn_product_widest(n_in));
    int64_t r;

    while (qn_worker_take(w, op->n_row, &r)) {
        float *y = op->y + r * op->ldy;
        if (op->weights && !op->add)
            memset(y, 0, (size_t)n_out * sizeof *y);
        if (op->weights && op->bias)
            w->kern->axpy.fn(y, op->bias, n_out, 1);
        for (int j = 0; j < op->k; j++) {
            const qn_weight *m = op->w[op->ids[r * op->k + j]];
            const float *x = op->x + r * op->ldx;
            if (op->weights) {
                one_product(w, m, x + (int64_t)j * n_in, sum, prepared);
                w->kern->axpy.fn(y, sum, n_out, op->weights[r * op->k + j]);
            } else {
                one_product(w, m, x, y + (int64_t)j * n_out, prepared);
            }
        }
    }
}
