/* cpu_int.h - the CPU backend's own types.
 *
 * exec plans a list once (workspace, barriers), then every thread of the pool
 * walks the whole list with a qn_worker, doing its part of each op. */
#ifndef QN_BACKEND_CPU_INT_H
#define QN_BACKEND_CPU_INT_H

#include "backend/cpu/kernels.h"

#include <pthread.h>
#include <stdatomic.h>

/* A counter, from which threads take work items. */
typedef struct qn_ticket {
    QN_ALIGNED(64) _Atomic int64_t next;
} qn_ticket;

typedef struct qn_cpu_backend {
    qn_backend base;
    qn_pool *pool;
    int n_threads;
    bool exact;
    qn_isa isa;
    int64_t l2; /* bytes per core */
    qn_kernels kern;
    pthread_mutex_t turn; /* of those who call exec: pool and ws are one's */
    uint8_t *ws;          /* grows to what the largest list needed */
    uint64_t ws_bytes;
    qn_ticket *begun; /* [n_begun][n_threads], see qn_worker_take_of */
    int n_begun;      /* ops of the longest list                     */
    int64_t n_run;
} qn_cpu_backend;

struct qn_weight {
    const qn_kernels *kern;
    qn_layout layout;
    qn_dtype dtype;
    qn_scaled scaled; /* of codes */
    int64_t n_out, n_in;
    int64_t n_panel, panel_bytes;
    int64_t file_row_bytes;
    uint64_t n_bytes;
    uint8_t *data;
    const int32_t *order; /* qn_weight_codes; behind the panels */
};

/* Page-major: a page holds, for each kv head,
 *   int8: the factors of its keys, then of its values, f32 [2][QN_PAGE];
 *   keys   [ceil(d_k / step)][QN_PAGE][step]: k is an element,
 *   values [QN_PAGE / step][v_col][step]:     k is a position,
 * where step k's lie together (qn_cell_step) and v_col is d_v up to whole
 * vectors. So scores and weighted sums are the same product (qn_mix), and read
 * their cells in the order in which they lie. int8 is stored with 128 added. */
struct qn_kv {
    qn_kv_desc desc;
    int step, v_col;
    int64_t k_row, v_row;   /* bytes of step k's                   */
    int64_t head_k, head_v; /* where a head's keys and values are  */
    int64_t head_bytes;
    int64_t page_bytes;
    uint64_t n_bytes;
    uint8_t *data;
};

/* One thread's view of the run. */
typedef struct qn_worker {
    const qn_cpu_backend *be;
    const qn_kernels *kern;
    int thread, n_threads;
    _Atomic int64_t *next; /* this op's counter                           */
    int64_t base;          /* first ticket of the current phase of the op */
    qn_ticket *begun;      /* [n_threads], of this op                     */
    uint8_t *shared;       /* prepared activations, all threads           */
    uint8_t *own;          /* this thread's scratch                       */
} qn_worker;

/* Takes items 0..n-1 of a phase: true and *i, or false when none is left.
 * Phases of one op are kept apart by barriers; each ends with exactly one
 * refusal per thread, which is what qn_worker_phase counts on. */
QN_INLINE bool qn_worker_take(qn_worker *w, int64_t n, int64_t *i)
{
    *i = atomic_fetch_add_explicit(w->next, 1, memory_order_relaxed) - w->base;
    return *i < n;
}

/* The next item of those that thread t begins with, of an op whose items are all
 * taken this way, in one phase. A counter tells by itself of which run it is, so that
 * nobody sets it to zero: it stays in the cache of the thread that it is for. */
QN_INLINE int64_t qn_worker_take_of(const qn_worker *w, int t)
{
    const int64_t zero = w->be->n_run * ((int64_t)1 << 24);
    _Atomic int64_t *next = &w->begun[t].next;
    int64_t was = atomic_load_explicit(next, memory_order_relaxed), i;

    do
        i = QN_MAX(was, zero);
    while (!atomic_compare_exchange_weak_explicit(next, &was, i + 1,
                                                  memory_order_relaxed,
                                                  memory_order_relaxed));
    return i - zero;
}

/* Piece i of n neighbours that a thread begins with: three quarters of what is left,
 * at most `most`, so that threads end together; all of it where there is one thread.
 * How many (0: there is no such piece), the first in *at. */
QN_INLINE int64_t qn_piece(int64_t n, int64_t most, int n_threads, int64_t i,
                           int64_t *at)
{
    int64_t piece = 0;

    *at = 0;
    do {
        int64_t left = n - (*at += piece);
        piece = QN_MIN(most, n_threads == 1 ? left : left - left / 4);
    } while (i-- > 0 && piece);
    return piece;
}

QN_INLINE void qn_worker_phase(qn_worker *w, int64_t n)
{
    w->base += n + w->n_threads;
}

QN_INLINE void qn_worker_barrier(const qn_worker *w)
{
    qn_pool_barrier(w->be->pool);
}

/* Up to so many elements of x, each thread prepares them all for a product. */
#define QN_BY_ITSELF 16384

/* What an op needs of the workspace. */
typedef struct qn_need {
    uint64_t shared, own;
} qn_need;

QN_INLINE uint64_t qn_round64(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

QN_INLINE bool qn_overlap(const float *a, int64_t n_a, const float *b,
                          int64_t n_b)
{
    return (uintptr_t)a < (uintptr_t)(b + n_b) &&
           (uintptr_t)b < (uintptr_t)(a + n_a);
}

/* weight.c */
bool qn_cpu_weight_supports(const qn_backend *be, qn_dtype dtype);
uint64_t qn_cpu_weight_bytes(const qn_backend *be, const qn_weight_desc *d);
int qn_cpu_weight_new(qn_backend *be, const qn_weight_desc *d, qn_weight **out,
                      qn_err *err);
void qn_cpu_weight_put(qn_weight *w, int64_t row0, int64_t n_row,
                       const void *rows);
void qn_cpu_weight_free(qn_backend *be, qn_weight *w);
/* weight_codes.c: the same of a matrix in the layouts of codes. */
void qn_weight_put_codes(qn_weight *w, int64_t row0, int64_t n_row,
                         const void *rows);
/* Bytes from a panel's start to k. */
int64_t qn_weight_offset(const qn_weight *w, int64_t k);

/* scaled.c: the layouts of codes. */
qn_layout qn_scaled_init(qn_scaled *q, const qn_weight_codes *c);
/* book: of CB4. */
void qn_scaled_make(qn_scaled *q, qn_layout l, int group, qn_dtype round,
                    const float *book);
int64_t qn_scaled_panel_bytes(const qn_scaled *q, int64_t n_in);
/* Row i of `rows` into a lane of a panel. */
void qn_scaled_put(const qn_scaled *q, qn_layout l, const qn_qrows *rows,
                   int64_t i, int64_t n_in, uint8_t *panel, int64_t lane);
/* The scale of a group with these codes: NaN if one of them is, which makes its
 * products NaN, whatever x is, and kernels need not look at each code. */
float qn_scaled_group_scale(qn_layout l, const uint8_t *codes, int64_t n,
                            float scale);
/* What stands before a group's codes; offset: zero point or minimum. */
void qn_scaled_put_head(qn_layout l, float scale, float offset, uint8_t *group,
                        int64_t lane);
/* n codes (a multiple of 8) of one row, and their head. */
void qn_scaled_put_group(const qn_scaled *q, qn_layout l, const uint8_t *codes,
                         int64_t n, float scale, float offset, uint8_t *group,
                         int64_t lane);
/* Q6_K's, one block of a row. */
void qn_scaled_put_q6_k(const uint8_t *block, uint8_t *group, int64_t lane);
/* Q4_K's and Q5_K's, whose 256 codes were unpacked; they lose their fifth bits.
 * `whole`: their low bits are left for what packs all 16 rows, from head on
 * qn_scaled_k_step() bytes for 32 k's. */
void qn_scaled_put_k(qn_layout l, const uint8_t *block, uint8_t *codes,
                     uint8_t *group, int64_t lane, bool whole);
int qn_scaled_k_step(qn_layout l);
/* Of a row in a group: its zero point, what is multiplied at k of it, and what is
 * taken off there. */
int qn_scaled_zero(qn_layout l, const uint8_t *group, int64_t lane);
float qn_scaled_scale(qn_layout l, const uint8_t *group, int64_t lane,
                      int64_t k);
float qn_scaled_min(qn_layout l, const uint8_t *group, int64_t lane, int64_t k);
/* The code, and the weight, at k. */
int qn_scaled_code(const qn_scaled *q, qn_layout l, const uint8_t *group,
                   int64_t lane, int64_t k);
float qn_scaled_at(const qn_scaled *q, qn_layout l, const uint8_t *panel,
                   int64_t lane, int64_t k);

/* y = scale * row (+ y). */
void qn_weight_row(const qn_weight *w, int64_t row, float scale, bool add,
                   float *y);

/* kv.c */
uint64_t qn_cpu_kv_bytes(const qn_backend *be, const qn_kv_desc *d);
int qn_cpu_kv_new(qn_backend *be, const qn_kv_desc *d, qn_kv **out,
                  qn_err *err);
void qn_cpu_kv_free(qn_backend *be, qn_kv *kv);
void qn_cpu_kv_populate(qn_backend *be, qn_kv *kv, int32_t first, int32_t n);
void qn_cpu_kv_copy_page(qn_backend *be, qn_kv *kv, int32_t dst, int32_t src);
uint64_t qn_cpu_kv_page_bytes(const qn_kv *kv);
void qn_cpu_kv_read_page(qn_backend *be, const qn_kv *kv, int32_t page,
                         void *host);
void qn_cpu_kv_write_page(qn_backend *be, qn_kv *kv, int32_t page,
                          const void *host);
void qn_op_kv_append_run(const qn_op_kv_append *op, qn_worker *w);
/* One head of all rows, by the calling thread. */
void qn_op_kv_append_head(const qn_op_kv_append *op, const qn_kernels *k,
                          int head);

/* by_head.c: ops from the product at ops[0] up to an attention that are done
 * together, head by head; 0: none. norm: joined with the product, or NULL. */
int qn_by_head_count(const qn_cpu_backend *be, const qn_op *ops, int n_op,
                     const qn_op_norm *norm);
/* l: the product as it is to be done. The attention's scratch is own_used bytes
 * behind the worker's own. */
void qn_by_head_run(const qn_op_linear *l, const qn_op *ops, int n,
                    qn_worker *w, uint64_t own_used);

/* exec.c; bytes of the counters `begun` for lists of n_op. */
uint64_t qn_cpu_begun_bytes(const qn_cpu_backend *be, int n_op);
int qn_cpu_exec(qn_backend *be, const qn_op *ops, int n_op, qn_err *err);
int qn_cpu_reserve(qn_backend *be, const qn_op *ops, int n_op, qn_err *err);

/* The ops: what each needs, and a thread's part of it. */
void qn_op_embed_run(const qn_op_embed *op, qn_worker *w);
void qn_op_norm_run(const qn_op_norm *op, qn_worker *w);
void qn_op_rope_table_run(const qn_op_rope_table *op, qn_worker *w);
void qn_op_rope_run(const qn_op_rope *op, qn_worker *w);
void qn_op_map_run(const qn_op_map *op, qn_worker *w);
void qn_op_gather_run(const qn_op_gather *op, qn_worker *w);
void qn_op_linear_need(const qn_cpu_backend *be, const qn_op_linear *op,
                       qn_need *need);
void qn_op_linear_run(const qn_op_linear *op, qn_worker *w);
/* Two products, of which the first one hands on its outputs: do ops[0] and ops[1]
 * allow it? Then what both need, and their run; w_next has the counter of the
 * second one. */
bool qn_op_linear_hands_on(const qn_cpu_backend *be, const qn_op *ops,
                           int n_op);
void qn_op_linear_two_need(const qn_cpu_backend *be, const qn_op_linear *op,
                           const qn_op_linear *next, qn_need *need);
void qn_op_linear_two_run(const qn_op_linear *op, const qn_op_linear *next,
                          qn_worker *w, qn_worker *w_next);
/* Does every thread prepare all rows, instead of its share of them? */
bool qn_op_linear_by_itself(const qn_op_linear *op);
void qn_op_attn_need(const qn_cpu_backend *be, const qn_op_attn *op,
                     qn_need *need);
/* The most that one of the same or fewer rows, in any number of spans at the same
 * or earlier positions, needs. (Of other ops, those of fewer rows need less.) */
void qn_op_attn_most(const qn_cpu_backend *be, const qn_op_attn *op,
                     qn_need *need);
void qn_op_attn_run(const qn_op_attn *op, qn_worker *w);
/* Can kv heads be done one by one? One of them, by the calling thread. */
bool qn_op_attn_by_head(const qn_cpu_backend *be, const qn_op_attn *op);
void qn_op_attn_head(const qn_op_attn *op, qn_worker *w, int head);
void qn_op_route_need(const qn_cpu_backend *be, const qn_op_route *op,
                      qn_need *need);
void qn_op_route_run(const qn_op_route *op, qn_worker *w);
uint64_t qn_cpu_experts_scratch(const qn_backend *be, int n_row, int k,
                                int d_model, int d_ff);
void qn_op_experts_need(const qn_cpu_backend *be, const qn_op_experts *op,
                        qn_need *need);
void qn_op_experts_run(const qn_op_experts *op, qn_worker *w);
void qn_op_conv_run(const qn_op_conv *op, qn_worker *w);
void qn_op_scan_run(const qn_op_scan *op, qn_worker *w);
void qn_op_delta_run(const qn_op_delta *op, qn_worker *w);
void qn_op_curve_run(const qn_op_curve *op, qn_worker *w);
void qn_op_copy_run(const qn_op_copy *op, qn_worker *w);
void qn_op_diff_run(const qn_op_diff *op, qn_worker *w);
void qn_op_pick_need(const qn_cpu_backend *be, const qn_op_pick *op,
                     qn_need *need);
void qn_op_pick_run(const qn_op_pick *op, qn_worker *w);
void qn_op_heads_need(const qn_cpu_backend *be, const qn_op_heads *op,
                      qn_need *need);
void qn_op_heads_run(const qn_op_heads *op, qn_worker *w);
void qn_op_streams_run(const qn_op_streams *op, qn_worker *w);
void qn_op_match_run(const qn_op_match *op, qn_worker *w);

#endif
