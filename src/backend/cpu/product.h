/* product.h - y_i = epilogue(x W_i^T) as a queue of independent items.
 *
 * An item is a few panels of a part times a block of tokens; of few rows, pieces of
 * stretches that threads have to themselves (docs/decisions/008-lanes.md). K is walked in
 * blocks, so that the tokens' prepared activations and the panels' weights
 * stay in the second-level cache; sums wait in the thread's scratch between
 * K blocks, which changes no bit of them. Used by the linear and experts ops.
 */
#ifndef QN_BACKEND_CPU_PRODUCT_H
#define QN_BACKEND_CPU_PRODUCT_H

#include "backend/cpu/cpu_int.h"

typedef struct qn_product {
    int n_row, n_part;
    struct {
        const qn_weight *w;
        const qn_tile_kernel *kernel;
        const float *bias;
        float *y; /* row 0 */
        int64_t ldy;
        const uint8_t *x; /* row 0, prepared for this part's kernel */
        int64_t x_tok;
    } part[QN_LINEAR_PARTS];
    qn_epilogue epi;
    qn_act act;
    float scale;
    bool alone; /* one thread does all of it */
    /* Of one part (or two, and a gate): outputs are not stored in y, but prepared
     * as x of the product that follows, row 0 at next_x. NULL: stored. */
    qn_prep_fn prep;
    qn_xform next_form;
    uint8_t *next_x;
    int64_t next_tok; /* bytes from a row to the next */

    /* set by qn_product_plan */
    int tok_block, k_block, n_tok_block;
    int group[QN_LINEAR_PARTS];       /* panels per item          */
    int64_t n_group[QN_LINEAR_PARTS]; /* items per token block    */
    int64_t n_item;
} qn_product;

/* Bytes of scratch an item needs. */
#define QN_PRODUCT_ACC_BYTES (36864 * sizeof(float))

/* Columns of an item of such a product are a multiple of this, as are blocks of
 * every form. */
#define QN_PRODUCT_COLUMNS 64

/* The kernel for a weight, as the backend was opened. */
const qn_tile_kernel *qn_product_kernel(const qn_cpu_backend *be,
                                        const qn_weight *w);
/* Bytes from one prepared row to the next: an odd number of cache lines, so
 * that the same k of consecutive tokens does not fall on one cache set. */
int64_t qn_product_stride(qn_xform form, int64_t n_in);
/* The largest of them. */
int64_t qn_product_widest(int64_t n_in);

/* How the product is cut; the same on every thread. */
void qn_product_plan(const qn_cpu_backend *be, qn_product *p);
/* Computes one item; acc is QN_PRODUCT_ACC_BYTES of the thread's own. `next`:
 * the item that this thread takes afterwards, whose weights may be asked for
 * already; negative: none that is known. */
void qn_product_item(const qn_cpu_backend *be, const qn_product *p, int64_t i,
                     int64_t next, float *acc);
/* All items of the queue of an op, of which each thread takes some. */
void qn_product_run(const qn_product *p, qn_worker *w);
/* Shares [i, i + m) of n of every part's columns, whole panels, by this thread
 * alone. */
void qn_product_share(const qn_product *p, const qn_worker *w, int64_t i,
                      int64_t m, int64_t n);

/* op_linear.c: all rows of an op that threads prepare by themselves, in the
 * worker's own memory; p lacks its plan. */
void qn_op_linear_begin(const qn_op_linear *op, qn_worker *w, qn_product *p);

#endif
