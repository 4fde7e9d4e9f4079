/* op_heads.c - a product for each head, of its own part of the rows.
 *
 * Pairs (head, row) are brought into the kernel's form in shared memory, the
 * threads sharing them; then the items of all heads' products go through one
 * queue. Many rows are done in stretches, which bounds the workspace. */
#include "backend/cpu/product.h"

#define HEAD_ROWS 64 /* prepared at a time */

static int64_t stride_of(const qn_cpu_backend *be, const qn_op_heads *op)
{
    return qn_product_stride(qn_product_kernel(be, op->w[0])->xform,
                             op->w[0]->n_in);
}

void qn_op_heads_need(const qn_cpu_backend *be, const qn_op_heads *op,
                      qn_need *need)
{
    need->own = QN_PRODUCT_ACC_BYTES;
    need->shared = (uint64_t)op->n_head *
                   (uint64_t)QN_MIN(op->n_row, HEAD_ROWS) *
                   (uint64_t)stride_of(be, op);
}

/* Rows [row0, row0 + n_row): head h of row r at (h * n_row + r) * stride. */
static void prepare_heads(const qn_op_heads *op, qn_worker *w, int row0,
                          int n_row, int64_t stride)
{
    qn_xform f = qn_product_kernel(w->be, op->w[0])->xform;
    int64_t begin, end;

    qn_pool_split((int64_t)op->n_head * n_row, 1, w->thread, w->n_threads,
                  &begin, &end);
    for (int64_t i = begin; i < end; i++)
        w->kern->prep[f].fn(op->x + (row0 + i % n_row) * op->ldx +
                                i / n_row * op->gx,
                            (int)op->w[0]->n_in, w->shared + i * stride);
}

/* That of the first head; the others are planned alike, w being of one type. */
static qn_product first_product(const qn_op_heads *op, const qn_worker *w,
                                int row0, int n_row, int64_t stride)
{
    return (qn_product){
        .n_row = n_row,
        .n_part = 1,
        .part = {{.w = op->w[0],
                  .kernel = qn_product_kernel(w->be, op->w[0]),
                  .y = op->y + row0 * op->ldy,
                  .ldy = op->ldy,
                  .x = w->shared,
                  .x_tok = stride}},
        .epi = QN_EPI_STORE,
        .act = QN_ACT_NONE,
        .scale = 1,
    };
}

void qn_op_heads_run(const qn_op_heads *op, qn_worker *w)
{
    int64_t stride = stride_of(w->be, op);

    for (int row0 = 0; row0 < op->n_row; row0 += HEAD_ROWS) {
        int n_row = QN_MIN(HEAD_ROWS, op->n_row - row0);
        qn_product p = first_product(op, w, row0, n_row, stride);
        int64_t i, n_item;

        if (row0 > 0)
            qn_worker_barrier(w); /* the last stretch has ended */
        prepare_heads(op, w, row0, n_row, stride);
        qn_worker_barrier(w);
        qn_product_plan(w->be, &p);
        n_item = p.n_item * op->n_head;
        while (qn_worker_take(w, n_item, &i)) {
            int64_t head = i / p.n_item;
            qn_product one = p;
            one.part[0].w = op->w[head];
            one.part[0].y += head * op->gy;
            one.part[0].x += head * n_row * stride;
            qn_product_item(w->be, &one, i % p.n_item, -1,
                            (float *)(void *)w->own);
        }
        qn_worker_phase(w, n_item);
    }
}
