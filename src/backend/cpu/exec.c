/* exec.c - runs a list of operations in one dispatch of the pool.
 *
 * The list is planned by the caller's thread: how much workspace its ops need
 * (grown before the run, never inside it), and between which ops the threads
 * must meet. Then every thread walks the list.
 *
 * Invariants
 *  1. Threads meet after an op unless the list says that the next one does
 *     not depend on it; and in any case before an op that prepares shared
 *     activations while another such op may still be reading its own.
 *  2. An op's counter is used by that op alone, so a thread that runs ahead
 *     cannot take another op's items.
 */
#include "backend/cpu/cpu_int.h"

#include <stdlib.h>

typedef struct exec_run {
    qn_cpu_backend *be;
    const qn_op *ops;
    int n_op;
    qn_ticket *tickets; /* [n_op] */
    uint8_t *shared, *own;
    uint64_t own_bytes;
} exec_run;

static void need_of(const qn_cpu_backend *be, const qn_op *op, qn_need *need)
{
    *need = (qn_need){0, 0};
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
    case QN_OP_STREAMS: qn_op_streams_run(&op->u.streams, w); break;
    case QN_OP_MATCH: qn_op_match_run(&op->u.match, w); break;
    case QN_OP_N: break;
    }
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
    bool shared_busy = false; /* others may read shared: all know the same */

    for (int i = 0; i < r->n_op; i++) {
        qn_need need;
        need_of(r->be, &r->ops[i], &need);
        if (need.shared && shared_busy) {
            qn_worker_barrier(&w);
            shared_busy = false;
        }
        w.next = &r->tickets[i].next;
        w.base = 0;
        run_op(&r->ops[i], &w);
        if (i + 1 == r->n_op)
            break;
        if (r->ops[i].no_barrier) {
            shared_busy = shared_busy || need.shared;
        } else {
            qn_worker_barrier(&w);
            shared_busy = false;
        }
    }
}

/* Workspaces are small beside weights and KV (the ops bound their needs), so
 * running out here ends the program, as qn_xmalloc would. */
static void grow(qn_cpu_backend *be, uint64_t n)
{
    void *p;

    if (n <= be->ws_bytes)
        return;
    qn_big_free(be->ws, be->ws_bytes, QN_MEM_WORKSPACE);
    be->ws_bytes = 0;
    n += n / 4;
    if (qn_big_alloc(&p, n, QN_MEM_WORKSPACE, NULL) < 0)
        abort();
    be->ws = p;
    be->ws_bytes = n;
}

void qn_cpu_exec(qn_backend *base, const qn_op *ops, int n_op)
{
    qn_cpu_backend *be = QN_CONTAINER_OF(base, qn_cpu_backend, base);
    uint64_t tickets = (uint64_t)n_op * sizeof(qn_ticket);
    qn_need max = {0, 0};
    exec_run r;

    if (n_op <= 0)
        return;
    for (int i = 0; i < n_op; i++) {
        qn_need need;
        need_of(be, &ops[i], &need);
        max.shared = QN_MAX(max.shared, qn_round64(need.shared));
        max.own = QN_MAX(max.own, qn_round64(need.own));
    }
    grow(be, tickets + max.shared + max.own * (uint64_t)be->n_threads);
    memset(be->ws, 0, tickets);

    r = (exec_run){.be = be,
                   .ops = ops,
                   .n_op = n_op,
                   .tickets = (qn_ticket *)(void *)be->ws,
                   .shared = be->ws + tickets,
                   .own = be->ws + tickets + max.shared,
                   .own_bytes = max.own};
    qn_pool_run(be->pool, walk, &r);
}
