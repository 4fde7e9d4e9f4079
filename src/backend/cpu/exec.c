/* exec.c - runs a list of operations in one dispatch of the pool.
 *
 * The list is planned by the caller's thread: how much workspace its ops need
 * (grown before the run, never inside it; nothing runs where it cannot grow),
 * and between which ops the threads must meet. Then every thread walks the list.
 *
 * Invariants
 *  1. Threads meet after an op unless the list says that the next one does
 *     not depend on it; and in any case before an op that prepares shared
 *     activations while another such op may still be reading its own.
 *     Two pairs of neighbours need no meeting: a rotation of keys and the
 *     writing of them, whose shares are the same rows and heads; and a norm of
 *     few rows and a product of it, where each thread does the norm by itself.
 *     Nor do they meet between the product of q, k and v and the attention,
 *     where both are small and done head by head (by_head.c).
 *     Two products of many rows, of which the first one's outputs are the second
 *     one's x and nothing else, are done as one: outputs are prepared where they
 *     are made.
 *  2. An op's counter is used by that op alone, so a thread that runs ahead
 *     cannot take another op's items.
 */
#include "backend/cpu/cpu_int.h"

#define END_OPS 64 /* may come on top of the layers that were reserved */

/* What was planned for an op, or for a norm and the product that it joins. */
typedef struct exec_step {
    bool joined;      /* with the next op                    */
    bool hands_on;    /* to the next op                      */
    bool meet_before; /* shared memory may still be read     */
    bool meet_after;
    int by_head;       /* ops done head by head, or 0         */
    uint64_t own_used; /* joined: the norm's output is behind */
    uint64_t attn_at;  /* by_head: the attention's scratch    */
} exec_step;

typedef struct exec_run {
    qn_cpu_backend *be;
    const qn_op *ops;
    int n_op;
    qn_ticket *tickets;     /* [n_op] */
    const exec_step *steps; /* [n_op], of the first op of each */
    uint8_t *shared, *own;
    uint64_t own_bytes;
} exec_run;

/* Of an op, or (true) of two, where it hands on; n_op: how many there are from it
 * on. */
static bool need_of(const qn_cpu_backend *be, const qn_op *op, int n_op,
                    qn_need *need)
{
    *need = (qn_need){0, 0};
    if (qn_op_linear_hands_on(be, op, n_op)) {
        qn_op_linear_two_need(be, &op->u.linear, &op[1].u.linear, need);
        return true;
    }
    if (op->kind == QN_OP_LINEAR)
        qn_op_linear_need(be, &op->u.linear, need);
    else if (op->kind == QN_OP_ATTN)
        qn_op_attn_need(be, &op->u.attn, need);
    else if (op->kind == QN_OP_ROUTE)
        qn_op_route_need(be, &op->u.route, need);
    else if (op->kind == QN_OP_EXPERTS)
        qn_op_experts_need(be, &op->u.experts, need);
    else if (op->kind == QN_OP_PICK)
        qn_op_pick_need(be, &op->u.pick, need);
    else if (op->kind == QN_OP_HEADS)
        qn_op_heads_need(be, &op->u.heads, need);
    return false;
}

static void run_op(const qn_op *op, qn_worker *w)
{
    switch (op->kind) {
    case QN_OP_EMBED: qn_op_embed_run(&op->u.embed, w); break;
    case QN_OP_NORM: qn_op_norm_run(&op->u.norm, w); break;
    case QN_OP_LINEAR: qn_op_linear_run(&op->u.linear, w); break;
    case QN_OP_ROPE_TABLE: qn_op_rope_table_run(&op->u.rope_table, w); break;
    case QN_OP_ROPE: qn_op_rope_run(&op->u.rope, w); break;
    case QN_OP_KV_APPEND: qn_op_kv_append_run(&op->u.kv_append, w); break;
    case QN_OP_ATTN: qn_op_attn_run(&op->u.attn, w); break;
    case QN_OP_MAP: qn_op_map_run(&op->u.map, w); break;
    case QN_OP_GATHER: qn_op_gather_run(&op->u.gather, w); break;
    case QN_OP_ROUTE: qn_op_route_run(&op->u.route, w); break;
    case QN_OP_EXPERTS: qn_op_experts_run(&op->u.experts, w); break;
    case QN_OP_CONV: qn_op_conv_run(&op->u.conv, w); break;
    case QN_OP_SCAN: qn_op_scan_run(&op->u.scan, w); break;
    case QN_OP_DELTA: qn_op_delta_run(&op->u.delta, w); break;
    case QN_OP_CURVE: qn_op_curve_run(&op->u.curve, w); break;
    case QN_OP_COPY: qn_op_copy_run(&op->u.copy, w); break;
    case QN_OP_DIFF: qn_op_diff_run(&op->u.diff, w); break;
    case QN_OP_PICK: qn_op_pick_run(&op->u.pick, w); break;
    case QN_OP_HEADS: qn_op_heads_run(&op->u.heads, w); break;
    case QN_OP_STREAMS: qn_op_streams_run(&op->u.streams, w); break;
    case QN_OP_MATCH: qn_op_match_run(&op->u.match, w); break;
    case QN_OP_N: break;
    }
}

/* Is op i a norm of rows that op i + 1 reads, and every thread prepares all of
 * them? What threads still read must not be what others write already. */
static bool joins(const qn_cpu_backend *be, const qn_op *ops, int n_op, int i)
{
    const qn_op_norm *n = &ops[i].u.norm;
    const qn_op_linear *l = &ops[QN_MIN(i + 1, n_op - 1)].u.linear;
    int64_t n_x, n_y;

    if (be->n_threads == 1 || i + 1 == n_op || ops[i].kind != QN_OP_NORM ||
        ops[i + 1].kind != QN_OP_LINEAR || ops[i].no_barrier ||
        ops[i + 1].no_barrier) /* what follows may read the norm, too */
        return false;
    if (l->x != n->y || l->n_row != n->n_row || n->n_group != 1 ||
        n->residual || n->ldy != n->dim || l->ldx != n->dim ||
        l->part[0].w->n_in != n->dim || !qn_op_linear_by_itself(l))
        return false;
    n_x = (n->n_row - 1) * n->ldx + n->dim;
    n_y = (int64_t)n->n_row * n->dim;
    if (qn_overlap(n->x, n_x, n->y, n_y))
        return false;
    for (int j = 0; j < l->n_part; j++) {
        const float *y = l->part[j].y;
        int64_t m = (l->n_row - 1) * l->part[j].ldy + l->part[j].w->n_out;
        if (qn_overlap(y, m, n->x, n_x) || qn_overlap(y, m, n->y, n_y))
            return false;
    }
    return true;
}

/* A norm and the product of it, by all threads at once; y is what others may
 * read afterwards. */
static void run_joined(const qn_op_norm *norm, const qn_op *product,
                       qn_worker *w, const exec_step *s)
{
    qn_op_norm n = *norm;
    qn_op_linear l = product->u.linear;
    qn_worker alone = *w;

    alone.thread = 0;
    alone.n_threads = 1;
    n.y = (float *)(void *)(w->own + s->own_used);
    qn_op_norm_run(&n, &alone);
    if (w->thread == 0)
        memcpy(norm->y, n.y, (size_t)n.n_row * (size_t)n.dim * sizeof(float));
    l.x = n.y;
    if (s->by_head)
        qn_by_head_run(&l, product, s->by_head, w, s->attn_at);
    else
        qn_op_linear_run(&l, w);
}

/* Does each thread write the keys that it has rotated? */
static bool same_shares(const qn_op *rope, const qn_op *append)
{
    const qn_op_rope *r = &rope->u.rope;
    const qn_op_kv_append *a = &append->u.kv_append;

    return rope->kind == QN_OP_ROPE && append->kind == QN_OP_KV_APPEND &&
           r->x == a->k && r->ldx == a->ldk && r->n_row == a->batch->n_row &&
           r->n_head == a->kv->desc.n_kv && r->d_head == a->kv->desc.d_k;
}

static void walk(void *arg, int thread, int n_threads)
{
    const exec_run *r = arg;
    qn_worker w = {.be = r->be,
                   .kern = &r->be->kern,
                   .thread = thread,
                   .n_threads = n_threads,
                   .shared = r->shared,
                   .own = r->own + (uint64_t)thread * r->own_bytes};

    for (int i = 0; i < r->n_op; i++) {
        const exec_step *s = &r->steps[i];
        if (s->meet_before)
            qn_worker_barrier(&w);
        w.base = 0;
        w.next = &r->tickets[i].next;
        w.begun = r->be->begun + (int64_t)i * n_threads;
        if (s->hands_on) {
            qn_worker after = w;
            after.next = &r->tickets[i + 1].next;
            qn_op_linear_two_run(&r->ops[i].u.linear, &r->ops[i + 1].u.linear,
                                 &w, &after);
            i++;
        } else if (s->joined) {
            run_joined(&r->ops[i].u.norm, &r->ops[i + 1], &w, s);
            i++;
        } else if (s->by_head) {
            qn_by_head_run(&r->ops[i].u.linear, &r->ops[i], s->by_head, &w,
                           s->attn_at);
        } else {
            run_op(&r->ops[i], &w);
        }
        i += QN_MAX(s->by_head - 1, 0);
        if (s->meet_after)
            qn_worker_barrier(&w);
    }
}

/* Plans the list; what the most demanding step needs. */
static qn_need plan(const qn_cpu_backend *be, const qn_op *ops, int n_op,
                    exec_step *steps)
{
    qn_need max = {0, 0};
    bool shared_busy = false; /* others may read shared */

    for (int i = 0; i < n_op; i++) {
        exec_step *s = &steps[i];
        qn_need need;
        *s = (exec_step){.joined = joins(be, ops, n_op, i)};
        if (s->joined)
            i++;
        s->by_head = qn_by_head_count(be, &ops[i], n_op - i,
                                      s->joined ? &ops[i - 1].u.norm : NULL);
        s->hands_on = need_of(be, &ops[i], n_op - i, &need);
        s->own_used = qn_round64(need.own);
        i += s->hands_on;
        if (s->joined)
            need.own = s->own_used +
                       (uint64_t)(ops[i].u.linear.n_row * ops[i].u.linear.ldx) *
                           sizeof(float);
        if (s->by_head) {
            qn_need attn;
            i += s->by_head - 1;
            need_of(be, &ops[i], n_op - i, &attn);
            s->attn_at = qn_round64(need.own);
            need.own = s->attn_at + attn.own;
        }
        max.shared = QN_MAX(max.shared, qn_round64(need.shared));
        max.own = QN_MAX(max.own, qn_round64(need.own));
        s->meet_before = need.shared && shared_busy;
        s->meet_after = i + 1 < n_op && !ops[i].no_barrier &&
                        !same_shares(&ops[i], &ops[i + 1]);
        shared_busy = !s->meet_after &&
                      (need.shared || (shared_busy && !s->meet_before));
    }
    return max;
}

/* What there is stays where there is no more. */
static int grow(qn_cpu_backend *be, uint64_t n, qn_err *err)
{
    void *p;

    if (n <= be->ws_bytes)
        return QN_OK;
    n += n / 4;
    QN_TRY(qn_big_alloc(&p, n, QN_MEM_WORKSPACE, err));
    qn_big_free(be->ws, be->ws_bytes, QN_MEM_WORKSPACE);
    be->ws = p;
    be->ws_bytes = n;
    return QN_OK;
}

/* Bytes of tickets and of the plan, which are before everything else. */
static uint64_t tickets_of(int n_op)
{
    return (uint64_t)n_op * sizeof(qn_ticket);
}

static uint64_t head_of(int n_op)
{
    return tickets_of(n_op) + qn_round64((uint64_t)n_op * sizeof(exec_step));
}

uint64_t qn_cpu_begun_bytes(const qn_cpu_backend *be, int n_op)
{
    return (uint64_t)n_op * (uint64_t)be->n_threads * sizeof(qn_ticket);
}

/* Workspace of n bytes, and counters for a list of n_op. */
static int grow_for(qn_cpu_backend *be, uint64_t n, int n_op, qn_err *err)
{
    void *p;

    if (n_op > be->n_begun) {
        n_op += n_op / 4 + END_OPS;
        QN_TRY(qn_big_alloc(&p, qn_cpu_begun_bytes(be, n_op), QN_MEM_WORKSPACE,
                            err));
        qn_big_free(be->begun, qn_cpu_begun_bytes(be, be->n_begun),
                    QN_MEM_WORKSPACE);
        be->begun = p;
        be->n_begun = n_op;
    }
    return grow(be, n, err);
}

static int exec(qn_cpu_backend *be, const qn_op *ops, int n_op, qn_err *err)
{
    uint64_t head = head_of(n_op), all;
    exec_step *steps;
    qn_need max;
    exec_run r;

    QN_TRY(grow_for(be, head, n_op, err));
    steps = (exec_step *)(void *)(be->ws + tickets_of(n_op));
    max = plan(be, ops, n_op, steps);
    all = head + max.shared + max.own * (uint64_t)be->n_threads;
    if (be->ws_bytes < all) {
        QN_TRY(grow(be, all, err));
        steps = (exec_step *)(void *)(be->ws + tickets_of(n_op));
        plan(be, ops, n_op, steps);
    }
    memset(be->ws, 0, tickets_of(n_op));

    r = (exec_run){.be = be,
                   .ops = ops,
                   .n_op = n_op,
                   .tickets = (qn_ticket *)(void *)be->ws,
                   .steps = steps,
                   .shared = be->ws + head,
                   .own = be->ws + head + max.shared,
                   .own_bytes = max.own};
    be->n_run++;
    qn_pool_run(be->pool, walk, &r);
    return QN_OK;
}

int qn_cpu_exec(qn_backend *base, const qn_op *ops, int n_op, qn_err *err)
{
    qn_cpu_backend *be = QN_CONTAINER_OF(base, qn_cpu_backend, base);
    int rc;

    if (n_op <= 0)
        return QN_OK;
    pthread_mutex_lock(&be->turn);
    rc = exec(be, ops, n_op, err);
    pthread_mutex_unlock(&be->turn);
    return rc;
}

/* Whatever is joined with or done by the head of what: a norm's rows, a
 * product's and an attention's scratch. */
int qn_cpu_reserve(qn_backend *base, const qn_op *ops, int n_op, qn_err *err)
{
    qn_cpu_backend *be = QN_CONTAINER_OF(base, qn_cpu_backend, base);
    qn_need attn = {0, 0}, other = {0, 0}, need;
    uint64_t own;
    int rc;

    for (int i = 0; i < n_op; i++) {
        qn_need *most = ops[i].kind == QN_OP_ATTN ? &attn : &other;
        if (ops[i].kind == QN_OP_ATTN)
            qn_op_attn_most(be, &ops[i].u.attn, &need);
        else
            need_of(be, &ops[i], n_op - i, &need);
        most->own = QN_MAX(most->own, qn_round64(need.own));
        most->shared = QN_MAX(most->shared, qn_round64(need.shared));
    }
    own = other.own + attn.own + QN_BY_ITSELF * sizeof(float);
    pthread_mutex_lock(&be->turn);
    rc = grow_for(be,
                  head_of(n_op) + QN_MAX(other.shared, attn.shared) +
                      own * (uint64_t)be->n_threads,
                  n_op, err);
    pthread_mutex_unlock(&be->turn);
    return rc;
}
