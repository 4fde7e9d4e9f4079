/* op_linear.c - linear layers.
 *
 * First the activations are put into the form each part's kernel takes: once
 * per op into shared memory, threads sharing the rows and meeting; or, when
 * that is less work than meeting, by every thread for itself. Then threads
 * take items of the product from one queue.
 *
 * Many rows are done in stretches of STRETCH, which bounds the workspace.
 */
#include "backend/cpu/product.h"

#define STRETCH 512 /* rows prepared at a time */

/* How rows go into a kernel. */
typedef struct form {
    qn_xform x;
    const int32_t *order; /* of their elements before that, or NULL */
} form;

static bool same_order(const int32_t *a, const int32_t *b, int64_t n)
{
    return a == b || (a && b && memcmp(a, b, (size_t)n * sizeof *a) == 0);
}

/* The distinct forms that the parts need; whether one has an order. */
static int forms_of(const qn_cpu_backend *be, const qn_op_linear *op,
                    form *forms, int *form_of_part, bool *ordered)
{
    int n = 0;

    *ordered = false;
    for (int i = 0; i < op->n_part; i++) {
        const qn_weight *w = op->part[i].w;
        form f = {qn_product_kernel(be, w)->xform, w->order};
        int j = 0;
        while (j < n && (forms[j].x != f.x ||
                         !same_order(forms[j].order, f.order, w->n_in)))
            j++;
        if (j == n)
            forms[n++] = f;
        form_of_part[i] = j;
        *ordered = *ordered || w->order;
    }
    return n;
}

/* Bytes of a row in its order. */
static uint64_t turn_bytes(const qn_op_linear *op)
{
    return qn_round64((uint64_t)op->part[0].w->n_in * sizeof(float));
}

/* Rows of f32 that are few, or that do not collide in the cache, stay where
 * they are. */
static bool in_place(const qn_op_linear *op, form f)
{
    return f.x == QN_X_F32 && !f.order &&
           (op->n_row <= 4 || op->ldx / 16 % 2 == 1);
}

bool qn_op_linear_by_itself(const qn_op_linear *op)
{
    return (int64_t)op->n_row * op->part[0].w->n_in <= QN_BY_ITSELF;
}

void qn_op_linear_need(const qn_cpu_backend *be, const qn_op_linear *op,
                       qn_need *need)
{
    form forms[QN_LINEAR_PARTS];
    int form_of_part[QN_LINEAR_PARTS];
    bool ordered;
    int n = forms_of(be, op, forms, form_of_part, &ordered);
    int64_t n_in = op->part[0].w->n_in, row = 0;

    for (int j = 0; j < n; j++)
        if (!in_place(op, forms[j]))
            row += qn_product_stride(forms[j].x, n_in);
    /* also of fewer rows, which a thread may prepare by itself */
    need->own = QN_PRODUCT_ACC_BYTES + (ordered ? turn_bytes(op) : 0) +
                (uint64_t)(row * QN_MIN(op->n_row, QN_BY_ITSELF / n_in));
    need->shared = qn_op_linear_by_itself(op)
                       ? 0
                       : (uint64_t)(row * QN_MIN(op->n_row, STRETCH));
}

/* Rows [row0, row0 + n_row) of x in every form needed; where each form's
 * first row is, and its stride. */
static void prepare(const qn_op_linear *op, qn_worker *w, int row0, int n_row,
                    const form *forms, int n_form, bool ordered,
                    const uint8_t **x, int64_t *x_tok)
{
    bool own = qn_op_linear_by_itself(op);
    float *turned = (float *)(void *)(w->own + QN_PRODUCT_ACC_BYTES);
    uint8_t *mine = w->own + QN_PRODUCT_ACC_BYTES;
    uint8_t *to = !own ? w->shared : ordered ? mine + turn_bytes(op) : mine;
    int n_in = (int)op->part[0].w->n_in;
    int64_t begin = 0, end = n_row;

    if (!own)
        qn_pool_split(n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int j = 0; j < n_form; j++) {
        if (in_place(op, forms[j])) {
            x[j] = (const uint8_t *)(op->x + row0 * op->ldx);
            x_tok[j] = op->ldx * (int64_t)sizeof(float);
            continue;
        }
        x[j] = to;
        x_tok[j] = qn_product_stride(forms[j].x, n_in);
        for (int64_t r = begin; r < end; r++) {
            const float *row = op->x + (row0 + r) * op->ldx;
            for (int k = 0; forms[j].order && k < n_in; k++)
                turned[k] = row[forms[j].order[k]];
            w->kern->prep[forms[j].x].fn(forms[j].order ? turned : row, n_in,
                                         to + r * x_tok[j]);
        }
        to += n_row * x_tok[j];
    }
}

/* Rows [row0, row0 + n_row) of an op as a product, without its plan. */
static void product_of(const qn_op_linear *op, qn_worker *w, int row0,
                       int n_row, qn_product *p)
{
    form forms[QN_LINEAR_PARTS];
    int form_of_part[QN_LINEAR_PARTS];
    bool ordered;
    int n_form = forms_of(w->be, op, forms, form_of_part, &ordered);
    const uint8_t *x[QN_LINEAR_PARTS];
    int64_t x_tok[QN_LINEAR_PARTS];

    prepare(op, w, row0, n_row, forms, n_form, ordered, x, x_tok);
    *p = (qn_product){.n_row = n_row,
                      .n_part = op->n_part,
                      .epi = op->epi,
                      .act = op->act,
                      .scale = op->scale};
    for (int i = 0; i < op->n_part; i++) {
        p->part[i].w = op->part[i].w;
        p->part[i].kernel = qn_product_kernel(w->be, op->part[i].w);
        p->part[i].bias = op->part[i].bias;
        if (op->part[i].y) /* one that only gates another has none */
            p->part[i].y = op->part[i].y + row0 * op->part[i].ldy;
        p->part[i].ldy = op->part[i].ldy;
        p->part[i].x = x[form_of_part[i]];
        p->part[i].x_tok = x_tok[form_of_part[i]];
    }
}

void qn_op_linear_begin(const qn_op_linear *op, qn_worker *w, qn_product *p)
{
    product_of(op, w, 0, op->n_row, p);
}

void qn_op_linear_run(const qn_op_linear *op, qn_worker *w)
{
    qn_need need;

    qn_op_linear_need(w->be, op, &need);
    for (int row0 = 0; row0 < op->n_row; row0 += STRETCH) {
        qn_product p;

        if (row0 > 0)
            qn_worker_barrier(w); /* the last stretch has ended */
        product_of(op, w, row0, QN_MIN(STRETCH, op->n_row - row0), &p);
        if (need.shared)
            qn_worker_barrier(w);
        qn_product_plan(w->be, &p);
        qn_product_run(&p, w);
    }
}
