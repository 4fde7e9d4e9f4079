/* matmul.c - see matmul.h. w becomes a weight of the backend, as the layers have
 * them, and the product is one of its linear operations. */
#include "quantize/matmul.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct put_job {
    const qn_matmul *p;
    qn_backend *be;
    qn_weight *w;
    qn_pool *pool;
} put_job;

enum {
    ROWS = 16 /* a panel of the backend */
};

/* n rows of w from r on, one behind the other. */
static void take_rows(const qn_matmul *p, int64_t r, int64_t n, float *rows)
{
    for (int64_t i = 0; i < n && !p->turned; i++)
        memcpy(rows + i * p->n_in, p->w + (r + i) * p->ldw,
               (size_t)p->n_in * sizeof *rows);
    for (int64_t k = 0; k < p->n_in && p->turned; k++)
        for (int64_t i = 0; i < n; i++)
            rows[i * p->n_in + k] = p->w[k * p->ldw + r + i];
}

static void put_thread(void *arg, int thread, int n_threads)
{
    const put_job *j = arg;
    const qn_matmul *p = j->p;
    size_t n_in = (size_t)p->n_in;
    float *rows = qn_xcalloc(n_in, ROWS * sizeof *rows);
    uint16_t *some = qn_xcalloc(n_in, ROWS * sizeof *some);
    int64_t begin, end;
    qn_pool_split(p->n_out, 64, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r += ROWS) {
        int64_t n = QN_MIN((int64_t)ROWS, end - r);
        take_rows(p, r, n, rows);
        if (p->rounded)
            qn_dtype_get(QN_BF16)->encode(rows, some, (size_t)n * n_in);
        j->be->api->weight_put(j->w, r, n, p->rounded ? (void *)some : rows);
    }
    free(rows);
    free(some);
}

int qn_matmul_run(qn_backend *be, const qn_matmul *p, qn_err *err)
{
    qn_weight_desc d = {.n_out = p->n_out,
                        .n_in = p->n_in,
                        .dtype = p->rounded ? QN_BF16 : QN_F32};
    put_job j = {.p = p, .be = be, .pool = be->api->pool(be)};
    QN_TRY(be->api->weight_new(be, &d, &j.w, err));
    qn_pool_run(j.pool, put_thread, &j);
    qn_op op = {.kind = QN_OP_LINEAR};
    op.u.linear = (qn_op_linear){
        .x = p->x,
        .ldx = p->ldx,
        .n_row = (int)p->n_row,
        .n_part = 1,
        .part = {{j.w, NULL, p->y, p->ldy}},
        .epi = p->add ? QN_EPI_ADD : QN_EPI_STORE,
        .scale = p->scale,
    };
    int rc = be->api->exec(be, &op, 1, err);
    be->api->weight_free(be, j.w);
    return rc;
}
