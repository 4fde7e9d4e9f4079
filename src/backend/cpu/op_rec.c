/* op_rec.c - ops that carry a state along the sequence: convolution, selective
 * scan, delta rule.
 *
 * Rows of a span follow each other; spans, heads and channels do not touch, so
 * an item of work is a span and some channels (or one head), from its first
 * row to its last. Items are taken from the op's counter.
 *
 * Invariant: a channel's result does not depend on which channels share its
 * item (kernels.h, the law of one order). */
#include "backend/cpu/cpu_int.h"

#include <assert.h>

#define STRETCH 64 /* channels of an item: whole cache lines of every row */

typedef struct rec_item {
    const qn_span *span;
    int first, n; /* channels, or first: the head */
} rec_item;

/* The next span and stretch of `dim` channels. */
static bool take(qn_worker *w, const qn_batch *b, int dim, int stretch,
                 rec_item *it)
{
    int per_span = (dim + stretch - 1) / stretch;
    int64_t i;

    if (!qn_worker_take(w, (int64_t)b->n_span * per_span, &i))
        return false;
    it->span = &b->spans[i / per_span];
    it->first = (int)(i % per_span) * stretch;
    it->n = QN_MIN(stretch, dim - it->first);
    assert(it->span->state_slot >= 0);
    return true;
}

static float *slot(const qn_state *s, const qn_span *span)
{
    return s->base + span->state_slot * s->stride;
}

void qn_op_conv_run(const qn_op_conv *op, qn_worker *w)
{
    rec_item it;

    while (take(w, op->batch, op->dim, STRETCH, &it)) {
        int64_t r = it.span->row0;
        qn_conv_args a = {
            .x = op->x + r * op->ldx + it.first,
            .w = op->w + it.first,
            .b = op->b ? op->b + it.first : NULL,
            .y = op->y + r * op->ldy + it.first,
            .s = slot(&op->state, it.span) + it.first,
            .ldx = op->ldx,
            .ldy = op->ldy,
            .ldw = op->dim,
            .n_row = it.span->n_row,
            .n = it.n,
            .n_tap = op->n_tap,
            .zero = it.span->pos0 == 0,
            .act = op->act,
        };
        w->kern->conv.fn(&a);
    }
}

static void scan_args(const qn_op_scan *op, const rec_item *it, qn_scan_args *a)
{
    int64_t r = it->span->row0;
    int h = it->first;

    *a = (qn_scan_args){
        .x = op->x + r * op->ldx + (int64_t)h * op->d_head,
        .dt = op->dt + r * op->lddt + h,
        .B = op->B + r * op->ldb,
        .C = op->C + r * op->ldc,
        .a = op->a + h,
        .d = op->d + h,
        .dt_bias = op->dt_bias + h,
        .y = op->y + r * op->ldy + (int64_t)h * op->d_head,
        .ldx = op->ldx,
        .lddt = op->lddt,
        .ldb = op->ldb,
        .ldc = op->ldc,
        .ldy = op->ldy,
        .n_row = it->span->n_row,
        .d_state = op->d_state,
        .dt_min = op->dt_min,
        .dt_max = op->dt_max,
        .zero = it->span->pos0 == 0,
    };
}

void qn_op_scan_run(const qn_op_scan *op, qn_worker *w)
{
    rec_item it;
    qn_scan_args a;

    while (take(w, op->batch, op->n_head, op->by_channel ? STRETCH : 1, &it)) {
        scan_args(op, &it, &a);
        a.s = slot(&op->state, it.span);
        if (op->by_channel) {
            a.s += it.first;
            a.n = it.n;
            a.lda = op->n_head;
            w->kern->scan_channels.fn(&a);
        } else {
            int g = it.first / (op->n_head / op->n_group);
            a.s += (int64_t)it.first * op->d_state * op->d_head;
            a.B += (int64_t)g * op->d_state;
            a.C += (int64_t)g * op->d_state;
            a.n = op->d_head;
            w->kern->scan_head.fn(&a);
        }
    }
}

void qn_op_delta_run(const qn_op_delta *op, qn_worker *w)
{
    rec_item it;

    while (take(w, op->batch, op->n_head, 1, &it)) {
        int64_t r = it.span->row0, h = it.first;
        int64_t g = op->by_turns ? h % op->n_group
                                 : h / (op->n_head / op->n_group);
        qn_delta_args a = {
            .q = op->q + r * op->ldq + g * op->d_k,
            .k = op->k + r * op->ldk + g * op->d_k,
            .v = op->v + r * op->ldv + h * op->d_v,
            .dt = op->dt + r * op->lddt + h,
            .beta = op->beta + r * op->ldbeta + h,
            .y = op->y + r * op->ldy + h * op->d_v,
            .s = slot(&op->state, it.span) + h * op->d_k * op->d_v,
            .ldq = op->ldq,
            .ldk = op->ldk,
            .ldv = op->ldv,
            .lddt = op->lddt,
            .ldbeta = op->ldbeta,
            .ldy = op->ldy,
            .n_row = it.span->n_row,
            .d_k = op->d_k,
            .d_v = op->d_v,
            .a = op->a[h],
            .dt_bias = op->dt_bias[h],
            .zero = it.span->pos0 == 0,
        };
        w->kern->delta.fn(&a);
    }
}
