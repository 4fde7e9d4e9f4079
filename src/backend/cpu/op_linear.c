/* op_linear.c - linear layers.
 *
 * First the activations are put into the form each part's kernel takes: once
 * per op into shared memory, threads sharing the rows and meeting; or, when
 * that is less work than meeting, by every thread for itself. Then threads
 * take items of the product from one queue.
 *
 * Many rows are done in stretches of STRETCH, which bounds the workspace.
 *
 * Of two ops the first one may hand on its outputs: they are put into the second
 * one's form where they are made, while they are in the cache, and are never
 * written as f32 (a feed-forward's are four times as wide as a row of the stream).
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

/* Rows [row0, row0 + n_row) of an op as a product, without x and its plan. */
static void shape_of(const qn_op_linear *op, const qn_cpu_backend *be, int row0,
                     int n_row, qn_product *p)
{
    *p = (qn_product){.n_row = n_row,
                      .n_part = op->n_part,
                      .epi = op->epi,
                      .act = op->act,
                      .scale = op->scale};
    for (int i = 0; i < op->n_part; i++) {
        p->part[i].w = op->part[i].w;
        p->part[i].kernel = qn_product_kernel(be, op->part[i].w);
        p->part[i].bias = op->part[i].bias;
        if (op->part[i].y) /* one that only gates another has none */
            p->part[i].y = op->part[i].y + row0 * op->part[i].ldy;
        p->part[i].ldy = op->part[i].ldy;
    }
}

/* The same with x, which is prepared. */
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
    shape_of(op, w->be, row0, n_row, p);
    for (int i = 0; i < op->n_part; i++) {
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

/* ---- two of them ----------------------------------------------------------- */

static const qn_tile_kernel *reader(const qn_cpu_backend *be,
                                    const qn_op_linear *next)
{
    return qn_product_kernel(be, next->part[0].w);
}

/* Does the second one change what the first one has yet to read? Rows of the same
 * matrix are done with before. */
static bool disturbs(const qn_op_linear *op, const qn_op_linear *next)
{
    const int64_t n_in = op->part[0].w->n_in, n_out = next->part[0].w->n_out;
    const int64_t ldy = next->part[0].ldy;
    const float *y = next->part[0].y;

    return !(y == op->x && ldy == op->ldx) &&
           qn_overlap(op->x, (op->n_row - 1) * op->ldx + n_in, y,
                      (next->n_row - 1) * ldy + n_out);
}

bool qn_op_linear_hands_on(const qn_cpu_backend *be, const qn_op *ops, int n_op)
{
    const qn_op_linear *op = &ops[0].u.linear, *next = &ops[n_op > 1].u.linear;

    if (n_op < 2 || ops[0].kind != QN_OP_LINEAR || !op->hand_on ||
        ops[0].no_barrier || ops[1].kind != QN_OP_LINEAR)
        return false;
    if ((op->n_part > 1 && op->epi != QN_EPI_GLU) || op->epi == QN_EPI_ADD ||
        next->n_part > 1 || op->n_row <= QN_FEW || qn_op_linear_by_itself(op) ||
        op->part[0].w->n_out % QN_PRODUCT_COLUMNS)
        return false;
    return next->x == op->part[0].y && next->ldx == op->part[0].ldy &&
           next->n_row == op->n_row &&
           next->part[0].w->n_in == op->part[0].w->n_out &&
           !next->part[0].w->order && reader(be, next)->xform != QN_X_F32 &&
           !disturbs(op, next);
}

void qn_op_linear_two_need(const qn_cpu_backend *be, const qn_op_linear *op,
                           const qn_op_linear *next, qn_need *need)
{
    qn_need other;

    qn_op_linear_need(be, op, need);
    qn_op_linear_need(be, next, &other);
    need->shared = qn_round64(need->shared) +
                   (uint64_t)(qn_product_stride(reader(be, next)->xform,
                                                next->part[0].w->n_in) *
                              QN_MIN(op->n_row, STRETCH));
    need->own = QN_MAX(need->own, other.own);
}

void qn_op_linear_two_run(const qn_op_linear *op, const qn_op_linear *next,
                          qn_worker *w, qn_worker *w_next)
{
    const qn_tile_kernel *k = reader(w->be, next);
    const int64_t tok = qn_product_stride(k->xform, next->part[0].w->n_in);
    qn_need need;

    qn_op_linear_need(w->be, op, &need);
    uint8_t *between = w->shared + qn_round64(need.shared);
    for (int row0 = 0; row0 < op->n_row; row0 += STRETCH) {
        int n_row = QN_MIN(STRETCH, op->n_row - row0);
        qn_product p, q;

        product_of(op, w, row0, n_row, &p);
        p.prep = w->kern->prep[k->xform].fn;
        p.next_form = k->xform;
        p.next_x = between;
        p.next_tok = tok;
        qn_worker_barrier(w); /* all is prepared, and the last stretch ended */
        qn_product_plan(w->be, &p);
        qn_product_run(&p, w);
        shape_of(next, w->be, row0, n_row, &q);
        q.part[0].x = between;
        q.part[0].x_tok = tok;
        qn_worker_barrier(w);
        qn_product_plan(w->be, &q);
        qn_product_run(&q, w_next);
    }
}
