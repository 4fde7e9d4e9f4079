/* by_head.c - from the product of q, k and v to the heads' outputs, head by head.
 *
 * What a kv head and the query heads that share it go through (the product's
 * columns, norms and rotations of heads, the cache, attention) depends on no
 * other head. So a thread takes a head and does all of it, and threads meet once
 * instead of after each op, unless they would wait longer in the end: where a head
 * is much work and threads have few. Every number is made by the same operations
 * as when the ops run one by one.
 */
#include "backend/cpu/product.h"

#define MOST_BYTES (256 << 10) /* of weights, a head: as an item of a product */
#define MANY_HEADS 4           /* of a thread */
#define MOST_BETWEEN 8         /* ops between the product and the cache */

enum {
    PARTS = 3 /* q, k, v */
};

/* Heads of a part. */
static int heads_of(const qn_op_attn *a, int part)
{
    return part == 0 ? a->n_head : a->kv->desc.n_kv;
}

/* The part of the product that begins at x, or PARTS. */
static int part_at(const qn_op_linear *l, const float *x)
{
    int i = 0;

    while (i < PARTS && l->part[i].y != x)
        i++;
    return i;
}

/* Does an op change each head of a part by itself? */
static bool is_of_heads(const qn_op *op, const qn_op_linear *l,
                        const qn_op_attn *a)
{
    const qn_op_norm *n = &op->u.norm;
    const qn_op_rope *r = &op->u.rope;
    int part = part_at(l, op->kind == QN_OP_NORM ? n->x : r->x);

    if (part == PARTS)
        return false;
    if (op->kind == QN_OP_ROPE)
        return r->n_row == l->n_row && r->ldx == l->part[part].ldy &&
               r->n_head == heads_of(a, part) &&
               (int64_t)r->n_head * r->d_head == l->part[part].w->n_out;
    return n->y == n->x && !n->residual && n->n_row == l->n_row &&
           n->ldx == l->part[part].ldy && n->ldy == n->ldx &&
           n->n_group == heads_of(a, part) &&
           (int64_t)n->n_group * n->dim == l->part[part].w->n_out;
}

/* Are the parts those that cache and attention take, a head whole panels, and
 * are threads about equally busy with them? */
static bool fits(const qn_cpu_backend *be, const qn_op_linear *l,
                 const qn_op_kv_append *to, const qn_op_attn *a)
{
    const qn_kv_desc *d = &a->kv->desc;
    const int width[PARTS] = {d->d_k, d->d_k, d->d_v};
    int64_t bytes = 0;

    if (l->part[0].y != a->q || l->part[1].y != to->k ||
        l->part[2].y != to->v || l->part[0].ldy != a->ldq ||
        l->part[1].ldy != to->ldk || l->part[2].ldy != to->ldv ||
        to->kv != a->kv || to->batch != a->batch || to->group != a->group ||
        a->batch->n_row != l->n_row || a->n_head % d->n_kv)
        return false;
    for (int i = 0; i < PARTS; i++) {
        const qn_weight *w = l->part[i].w;
        int64_t n = heads_of(a, i) / d->n_kv * width[i];
        if (w->n_out != n * d->n_kv || n % QN_PANEL)
            return false;
        bytes += (int64_t)w->n_bytes;
    }
    bool small = bytes / d->n_kv <= MOST_BYTES;
    bool even = d->n_kv % be->n_threads == 0;
    bool many = d->n_kv >= MANY_HEADS * be->n_threads;
    return small + even + many >= 2;
}

int qn_by_head_count(const qn_cpu_backend *be, const qn_op *ops, int n_op,
                     const qn_op_norm *norm)
{
    const qn_op_linear *l = &ops[0].u.linear;
    int n = 1;

    if (be->n_threads == 1 || ops[0].kind != QN_OP_LINEAR ||
        ops[0].no_barrier || l->n_part != PARTS || l->epi == QN_EPI_GLU ||
        !qn_op_linear_by_itself(l))
        return 0;
    while (n < n_op && n <= MOST_BETWEEN && ops[n].kind != QN_OP_KV_APPEND)
        n++;
    if (n + 1 >= n_op || ops[n].kind != QN_OP_KV_APPEND ||
        ops[n + 1].kind != QN_OP_ATTN)
        return 0;
    const qn_op_kv_append *to = &ops[n].u.kv_append;
    const qn_op_attn *a = &ops[n + 1].u.attn;
    int64_t n_out = (l->n_row - 1) * a->ldo +
                    (int64_t)a->n_head * a->kv->desc.d_v;
    for (int i = 1; i < n; i++)
        if ((ops[i].kind != QN_OP_NORM && ops[i].kind != QN_OP_ROPE) ||
            !is_of_heads(&ops[i], l, a))
            return 0;
    if (!fits(be, l, to, a) || !qn_op_attn_by_head(be, a))
        return 0;
    /* others may still read what goes in, while a thread has its first output */
    if (qn_overlap(l->x, (l->n_row - 1) * l->ldx + l->part[0].w->n_in, a->out,
                   n_out))
        return 0;
    if (norm &&
        (qn_overlap(norm->x, (norm->n_row - 1) * norm->ldx + norm->dim, a->out,
                    n_out) ||
         qn_overlap(norm->y, (int64_t)norm->n_row * norm->dim, a->out, n_out)))
        return 0;
    return n + 2;
}

/* A norm or a rotation, of one of n_kv heads. */
static void one_head(const qn_op *op, int head, int n_kv, qn_worker *alone)
{
    qn_op_norm n = op->u.norm;
    qn_op_rope r = op->u.rope;

    if (op->kind == QN_OP_ROPE) {
        r.n_head /= n_kv;
        r.x += (int64_t)head * r.n_head * r.d_head;
        qn_op_rope_run(&r, alone);
        return;
    }
    n.n_group /= n_kv;
    int64_t at = (int64_t)head * n.n_group * n.dim;
    n.x += at;
    n.y += at;
    if (n.w_per_group && n.w)
        n.w += at;
    if (n.w_per_group && n.b)
        n.b += at;
    qn_op_norm_run(&n, alone);
}

void qn_by_head_run(const qn_op_linear *l, const qn_op *ops, int n,
                    qn_worker *w, uint64_t own_used)
{
    const qn_op_attn *a = &ops[n - 1].u.attn;
    int n_kv = a->kv->desc.n_kv;
    qn_worker alone = *w, attn = *w;
    qn_product p;

    alone.thread = 0;
    alone.n_threads = 1;
    attn.own += own_used;
    qn_op_linear_begin(l, w, &p);
    for (int j = 0; j < w->n_threads; j++) {
        int s = (w->thread + j) % w->n_threads;
        int64_t begin, end, first, n_head;
        qn_pool_split(n_kv, 1, s, w->n_threads, &begin, &end);
        while ((n_head = qn_piece(end - begin, n_kv, w->n_threads,
                                  qn_worker_take_of(w, s), &first))) {
            first += begin;
            qn_product_share(&p, w, first, n_head, n_kv);
            for (int64_t h = first; h < first + n_head; h++) {
                for (int i = 1; i < n - 2; i++)
                    one_head(&ops[i], (int)h, n_kv, &alone);
                qn_op_kv_append_head(&ops[n - 2].u.kv_append, w->kern, (int)h);
                qn_op_attn_head(a, &attn, (int)h);
            }
        }
    }
}
