/* backend.h - where the arithmetic happens.
 *
 * A backend knows tensors and batches, not models. src/model writes one pass
 * as a list of coarse operations (qn_op) over buffers of the backend; the
 * backend executes the list in order. A list, not calls, so that the CPU can
 * run it in one dispatch of its threads with a barrier between operations,
 * and a GPU can capture it as a graph.
 *
 * Laws
 *  1. Row independence: row t of an output depends on row t of the inputs
 *     (and, for attention, on that sequence's KV) bit for bit, whatever other
 *     rows are in the batch, however many threads run, however a prompt is
 *     cut into chunks. Reduction orders are fixed per output element.
 *  2. Ops allocate nothing; the list's buffers come from buf_new, and what else
 *     it needs is there before it runs (exec, reserve).
 *  3. Shapes are checked once by the caller in src/model (the ops are
 *     programmer interface, not parser); kernels assert.
 *
 * Activations are f32, row-major [n_tok, dim] with a row stride (ld, in
 * elements). Weights are packed by the backend when they are loaded.
 *
 * Threads: exec and reserve from any number, which take turns (engines that share a model
 * share its backend); weight_put from any number, while nobody calls exec.
 */
#ifndef QN_BACKEND_BACKEND_H
#define QN_BACKEND_BACKEND_H

#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "tensor/dtype.h"
#include "tensor/qmat.h"

#include <stdbool.h>
#include <stdint.h>

#define QN_BACKEND_ABI 4

typedef struct qn_backend qn_backend;
typedef struct qn_weight qn_weight; /* a packed matrix            */
typedef struct qn_kv qn_kv;         /* one layer's KV pages       */

/* ---- batches ----------------------------------------------------------- */

#define QN_KV_GROUPS 2 /* page tables per sequence: full, sliding window */

/* Consecutive rows of the batch that belong to one sequence. */
typedef struct qn_span {
    int row0, n_row;  /* rows [row0, row0 + n_row) of the batch, n_row >= 1 */
    int64_t pos0;     /* position of the first row; row r is pos0 + r       */
    int64_t rope_len; /* length that length-dependent rope scalings look at:
                          the prompt's while in the prompt, else pos + 1     */
    const int32_t *pages[QN_KV_GROUPS]; /* page ids of positions 0.. ; entry
                          p/page_tokens holds position p; -1: given back     */
    int state_slot; /* of recurrent layers; no two spans share one          */
} qn_span;

typedef struct qn_batch {
    int n_row;             /* tokens in this step                            */
    const int32_t *tokens; /* [n_row]                                        */
    const int32_t *pos;    /* [n_row]                                        */
    int n_span;
    const qn_span *spans; /* in row order, covering all rows                */
    int n_out;            /* rows whose logits are wanted                   */
    const int32_t *out_rows; /* [n_out], ascending                           */
} qn_batch;

/* ---- operations -------------------------------------------------------- */

typedef enum qn_act {
    QN_ACT_NONE,
    QN_ACT_RELU,
    QN_ACT_RELU2, /* relu(x)^2                                  */
    QN_ACT_SILU,
    QN_ACT_GELU,       /* exact, erf                                 */
    QN_ACT_GELU_TANH,  /* gelu_new, gelu_pytorch_tanh                */
    QN_ACT_GELU_QUICK, /* x * sigmoid(1.702 x)                      */
    QN_ACT_SIGMOID,
    QN_ACT_TANH
} qn_act;

/* y[r] = scale * table[ids[r]] (+ y[r] if add); ids in [0, n_out of table). */
typedef struct qn_op_embed {
    const qn_weight *table;
    const int32_t *ids; /* [n_row] host memory */
    int n_row;
    float scale;
    bool add;
    float *y;
    int64_t ldy;
} qn_op_embed;

/* Per row and group of `dim` elements (group g starts at g * dim):
 *   rms:   n = x / sqrt(mean(x^2) + eps)
 *   layer: n = (x - mean) / sqrt(var + eps)
 *   y = n * w + b (+ residual)      w, b [dim] or NULL
 * y may be x, and y may be residual. `w_per_group`: w, b are
 * [n_group, dim]. */
typedef struct qn_op_norm {
    bool rms;
    float eps;
    int n_row, n_group, dim;
    const float *x, *w, *b, *residual;
    float *y;
    int64_t ldx, ldy, ldr;
    bool w_per_group;
} qn_op_norm;

typedef enum qn_epilogue {
    QN_EPI_STORE, /* part i: y_i = act(scale * (x W_i^T + b_i))             */
    QN_EPI_ADD,   /* part i: y_i += scale * (x W_i^T + b_i)                 */
    QN_EPI_GLU    /* two parts: y_0 = act(x W_0^T + b_0) * (x W_1^T + b_1)  */
} qn_epilogue;

#define QN_LINEAR_PARTS 3

/* Several products with one x: q,k,v; gate,up; or a single one.
 * Accumulation of an output element runs over k in one fixed order. */
typedef struct qn_op_linear {
    const float *x; /* [n_row, n_in] */
    int64_t ldx;
    int n_row;
    int n_part;
    struct {
        const qn_weight *w; /* [n_out_i, n_in]  */
        const float *bias;  /* [n_out_i] or NULL */
        float *y;           /* [n_row, n_out_i] */
        int64_t ldy;
    } part[QN_LINEAR_PARTS];
    qn_epilogue epi;
    qn_act act;
    float scale;
    bool
        hand_on; /* y_0 is for the next op alone, as its x: afterwards it may be
                     anything */
} qn_op_linear;

/* cos and sin of every row's angles, once per pass and rope kind:
 *   a = pos * inv_freq[span][i] (in f32, as the reference implementation),
 *   out[r] = { scale * cos(a_0..a_n-1), scale * sin(a_0..a_n-1) } */
typedef struct qn_op_rope_table {
    const qn_batch *batch;
    const float *inv_freq; /* [n_freq], or one row per span: span_stride */
    int64_t span_stride;   /* 0: the same for all spans */
    int n_freq;
    float scale;
    float *out; /* [n_row, 2 * n_freq] */
} qn_op_rope_table;

/* Rotates, in place, the first 2 * n_freq elements of each head:
 * half style pairs (i, i + n_freq), interleaved pairs (2i, 2i + 1). */
typedef struct qn_op_rope {
    const float *table; /* from rope_table */
    int n_freq;
    bool interleaved;
    int n_row, n_head, d_head;
    float *x; /* [n_row, n_head * d_head] */
    int64_t ldx;
} qn_op_rope;

/* Writes this step's keys and values to their pages. */
typedef struct qn_op_kv_append {
    qn_kv *kv;
    int group;
    const qn_batch *batch;
    const float *k, *v; /* [n_row, n_kv * d_k], [n_row, n_kv * d_v] */
    int64_t ldk, ldv;
} qn_op_kv_append;

/* Causal attention of each row over its sequence's pages, grouped queries:
 *   s_j = softcap(scale * q.k_j) + slope_h * (j - i)     j <= i
 *   window > 0: only i - window < j
 *   chunk > 0:  only j / chunk == i / chunk
 *   out = softmax(s, with the sink as one more logit) . v
 * Blocks of KV are visited in page order and combined in that order. */
typedef struct qn_op_attn {
    const qn_kv *kv;
    int group;
    const qn_batch *batch;
    const float *q; /* [n_row, n_head * d_k] */
    float *out;     /* [n_row, n_head * d_v] */
    int64_t ldq, ldo;
    int n_head;
    float scale;
    float softcap;        /* 0: none */
    int64_t window;       /* 0: none */
    int64_t chunk;        /* 0: none */
    const float *slopes;  /* ALiBi [n_head] or NULL */
    const float *sinks;   /* [n_head] or NULL       */
    const float *q_scale; /* [n_row] host memory, factors on q, or NULL */
} qn_op_attn;

/* y = act(x) * mul * scale  (mul NULL: 1), elementwise [n_row, dim]; then, if
 * cap > 0, y = cap * tanh(y / cap); then, if add, + what y held. */
typedef struct qn_op_map {
    const float *x, *mul;
    float *y;
    int64_t ldx, ldm, ldy;
    int n_row, dim;
    qn_act act;
    float scale, cap;
    bool add;
} qn_op_map;

/* y[i] = x[rows[i]]. */
typedef struct qn_op_gather {
    const float *x;
    const int32_t *rows; /* [n_out] host memory */
    float *y;
    int64_t ldx, ldy;
    int n_out, dim;
} qn_op_gather;

typedef enum qn_route {
    QN_ROUTE_SOFTMAX,      /* softmax over all, then top k               */
    QN_ROUTE_TOPK_SOFTMAX, /* top k, then softmax over those             */
    QN_ROUTE_SIGMOID,      /* sigmoid each, then top k                   */
    QN_ROUTE_SPARSEMIX     /* SparseMixer (Liu et al. 2024): the best, with
                              its softmax among those close to it, again and
                              again without those chosen before */
} qn_route;

/* Chooses experts: ids and weights [n_row, k], by falling score, ties to the
 * lower id. */
typedef struct qn_op_route {
    const float *logits; /* [n_row, n_exp] */
    int64_t ldl;
    int n_row, n_exp, k;
    qn_route kind;
    const float *expert_scale; /* [n_exp] on the weights, or NULL */
    bool renormalize;          /* weights of the k sum to 1                */
    float renorm_p;            /* ... or their p-norm; 0: 1                */
    float jitter;         /* SPARSEMIX: close is (best - x) / max(|x|, best)
                             <= 2 jitter                              */
    float scale;          /* factor on the weights                    */
    const float *bias;    /* [n_exp] added for the choice only, or NULL */
    int n_group, k_group; /* choose among the best k_group of n_group
                             groups (0: no groups); a group's score is
                             the sum of its two best                */
    bool group_max;       /* ... or its best alone                  */
    int32_t *ids;
    float *weights;
} qn_op_route;

/* y[r] (+)= sum_j weights[r][j] * down_e( act(gate_e x) * up_e x ), e =
 * ids[r][j], summed in the order j = 0..k-1. gate NULL: act(up_e x).
 *   x_weighted   the weight is on x instead of on what comes out
 *   limit > 0    gate_e x at most limit, up_e x within +-limit
 *   up_offset    added to up_e x (after the limit)
 * With limit or up_offset, scratch is for 2 * d_ff. */
typedef struct qn_op_experts {
    const float *x; /* [n_row, d_model] */
    float *y;
    int64_t ldx, ldy;
    int n_row, n_exp, k, d_ff;
    const int32_t *ids;
    const float *weights;
    const qn_weight *const *gate, *const *up, *const *down; /* [n_exp] */
    const float *gate_bias, *up_bias, *down_bias; /* [n_exp, ...] or NULL */
    const float *bias; /* [d_model] on the sum, or NULL */
    qn_act act;
    float limit, up_offset;
    bool x_weighted;
    bool add;
    void *scratch; /* experts_scratch(n_row, k, d_model, d_ff) bytes */
} qn_op_experts;

/* ---- recurrent layers --------------------------------------------------
 *
 * What a sequence carries from row to row beside its KV pages: the state. It
 * lies in a slot of a buffer that the caller has (buf_new), f32. An op that
 * keeps one takes the rows of a span one after the other, in an order of
 * operations that is the same for every row, and leaves in span.state_slot
 * what follows the last; so where a sequence is cut cannot change a bit
 * (law 1). A span with pos0 == 0 begins from zeros, whatever the slot holds. */
typedef struct qn_state {
    float *base;    /* this layer's part of slot 0    */
    int64_t stride; /* floats from a slot to the next */
} qn_state;

/* Convolution along the sequence, each channel by itself:
 *   y[r][c] = act(b[c] + sum over j of w[j][c] * x[r - n_tap + 1 + j][c])
 * with j upward and zeros before the sequence. y is not x.
 * State: the last inputs, [n_tap - 1, dim]. */
typedef struct qn_op_conv {
    const qn_batch *batch;
    qn_state state;
    int dim, n_tap; /* n_tap >= 1 */
    const float *x; /* [n_row, dim] */
    float *y;
    int64_t ldx, ldy;
    const float *w; /* [n_tap, dim]  */
    const float *b; /* [dim] or NULL */
    qn_act act;
} qn_op_conv;

/* Selective state space (Gu and Dao 2023; Dao and Gu 2024). Head h owns the
 * channels c = h * d_head + i and reads group g = h / (n_head / n_group):
 *   t       = softplus(dt[r][h] + dt_bias[h]) within [dt_min, dt_max]
 *   S[n][c] = exp(t * a[h]) * S[n][c] + t * x[r][c] * B[r][g][n]
 *   y[r][c] = sum over n of S[n][c] * C[r][g][n] + d[h] * x[r][c]
 * by_channel (Mamba 1; d_head and n_group are 1): a[n][h] in place of a[h].
 * State: [n_head, d_state, d_head]; by_channel [d_state, n_head]. */
typedef struct qn_op_scan {
    const qn_batch *batch;
    qn_state state;
    bool by_channel;
    int n_head, d_head, n_group, d_state;
    const float *x, *dt, *B, *C; /* [n_row, ...] */
    float *y;                    /* [n_row, n_head * d_head] */
    int64_t ldx, lddt, ldb, ldc, ldy;
    const float *a, *d; /* [n_head] (a: see above); a is negative */
    const float *dt_bias;
    float dt_min, dt_max;
} qn_op_scan;

/* Gated delta rule (Yang et al. 2024). Value head h (width d_v) uses key head
 * g = h / (n_head / n_group), by_turns: h % n_group (width d_k):
 *   q = q[r][g] / |q[r][g]| / sqrt(d_k), k = k[r][g] / |k[r][g]|
 *   S[i][j] = exp(a[h] * softplus(dt[r][h] + dt_bias[h])) * S[i][j]
 *   u[j]    = sigmoid(beta[r][h]) * (v[r][h][j] - sum over i of S[i][j] k[i])
 *   S[i][j] = S[i][j] + k[i] * u[j]
 *   y[r][h][j] = sum over i of S[i][j] * q[i]
 * where |x| = sqrt(sum x^2 + 1e-6). State: [n_head, d_k, d_v]. */
typedef struct qn_op_delta {
    const qn_batch *batch;
    qn_state state;
    bool by_turns;
    int n_head, n_group, d_k, d_v;
    const float *q, *k, *v, *dt, *beta; /* [n_row, ...] */
    float *y;                           /* [n_row, n_head * d_v] */
    int64_t ldq, ldk, ldv, lddt, ldbeta, ldy;
    const float *a, *dt_bias; /* [n_head]; a is negative */
} qn_op_delta;

typedef enum qn_curve {
    QN_CURVE_CLIP, /* x within +-limit                                  */
    QN_CURVE_TOP,  /* max(x - (mean + limit * deviation of the row), 0) */
    QN_CURVE_XIELU /* xIELU (Huang 2024). param[0..3]: alpha_p and alpha_n
                      before their softplus, beta, eps:
                        x > 0: p x^2 + beta x
                        else:  n (expm1(min(x, eps)) - x) + beta x
                      p = softplus(alpha_p), n = beta + softplus(alpha_n) */
} qn_curve;

/* y = f(x), elementwise [n_row, dim]: functions with parameters, which few
 * networks have. y may be x. */
typedef struct qn_op_curve {
    const float *x;
    float *y;
    int64_t ldx, ldy;
    int n_row, dim;
    qn_curve kind;
    float limit;
    const float *param[4];
} qn_op_curve;

/* y[r][g] = x[r][g], groups of dim elements; gx, gy: from a group to the next
 * (gx 0: the same for all). */
typedef struct qn_op_copy {
    const float *x;
    float *y;
    int64_t ldx, gx, ldy, gy;
    int n_row, n_group, dim;
} qn_op_copy;

/* Differential attention (Ye et al. 2024): y = a - l b, where x holds a and
 * behind it b, [dim] each, and
 *   l = exp(q1 . k1) - exp(q2 . k2) + init */
typedef struct qn_op_diff {
    const float *x; /* [n_row, 2 * dim] */
    float *y;       /* [n_row, dim]     */
    int64_t ldx, ldy;
    int n_row, dim;
    const float *q1, *k1, *q2, *k2; /* [n_lambda] */
    int n_lambda;
    float init;
} qn_op_diff;

/* One product per row and chosen expert, e = ids[r][j]:
 *   weights NULL: y[r][j] = W_e x[r]                  x [n_row, n_in]
 *   else:         y[r] = add y[r] + bias + sum_j weights[r][j] * W_e x[r][j] */
typedef struct qn_op_pick {
    const float *x, *bias;
    float *y;
    int64_t ldx, ldy;
    int n_row, k;
    const int32_t *ids;
    const float *weights;
    const qn_weight *const *w; /* [n_exp], each [n_out, n_in] */
    bool add;
} qn_op_pick;

/* A product for each head: y[r][h] = W_h x[r][h], with gx and gy from a head
 * to the next. */
typedef struct qn_op_heads {
    const float *x;
    float *y;
    int64_t ldx, gx, ldy, gy;
    int n_row, n_head;
    const qn_weight *const *w; /* [n_head], [n_out, n_in] of one type */
} qn_op_heads;

/* Alternating updates (Baykal et al. 2023): n streams of rows, stream j at
 * y + j * stride. With a NULL, they are mixed, z being what they were:
 *   y_j[r] = z_j[r] + sum_i c[r][j * n + i] z_i[r]
 * else corrected by what became of the active one:
 *   y_j[r] = z_j[r] + (1 + c[r][j]) * (a[r] - z_active[r]) */
typedef struct qn_op_streams {
    float *y;
    int64_t stride, ldy;
    int n, active; /* n <= QN_MAX_STREAMS */
    int n_row, dim;
    const float *c, *a;
    int64_t ldc, lda;
} qn_op_streams;

#define QN_MAX_STREAMS 8

/* y[r] = x[r] * sqrt(mean t[r]^2) / sqrt(max(mean x[r]^2, eps)). y may be x. */
typedef struct qn_op_match {
    const float *x, *t;
    float *y;
    int64_t ldx, ldt, ldy;
    int n_row, dim;
    float eps;
} qn_op_match;

typedef enum qn_op_kind {
    QN_OP_EMBED,
    QN_OP_NORM,
    QN_OP_LINEAR,
    QN_OP_ROPE_TABLE,
    QN_OP_ROPE,
    QN_OP_KV_APPEND,
    QN_OP_ATTN,
    QN_OP_MAP,
    QN_OP_GATHER,
    QN_OP_ROUTE,
    QN_OP_EXPERTS,
    QN_OP_CONV,
    QN_OP_SCAN,
    QN_OP_DELTA,
    QN_OP_CURVE,
    QN_OP_COPY,
    QN_OP_DIFF,
    QN_OP_PICK,
    QN_OP_HEADS,
    QN_OP_STREAMS,
    QN_OP_MATCH,
    QN_OP_N
} qn_op_kind;

typedef struct qn_op {
    qn_op_kind kind;
    bool no_barrier; /* the next op does not read what this one writes and
                        may start before it has ended everywhere */
    union {
        qn_op_embed embed;
        qn_op_norm norm;
        qn_op_linear linear;
        qn_op_rope_table rope_table;
        qn_op_rope rope;
        qn_op_kv_append kv_append;
        qn_op_attn attn;
        qn_op_map map;
        qn_op_gather gather;
        qn_op_route route;
        qn_op_experts experts;
        qn_op_conv conv;
        qn_op_scan scan;
        qn_op_delta delta;
        qn_op_curve curve;
        qn_op_copy copy;
        qn_op_diff diff;
        qn_op_pick pick;
        qn_op_heads heads;
        qn_op_streams streams;
        qn_op_match match;
    } u;
} qn_op;

/* ---- weights and KV ---------------------------------------------------- */

/* Quantized weights as codes with a scale, and maybe a zero point, for each
 * `group` of elements of a row (tensor/qmat.h):
 *   w = round(book[code] * scale)    or    w = (code - zero) * scale */
typedef enum qn_code_kind {
    QN_CODE_BOOK4, /* 4 bits, book                       */
    QN_CODE_INT4,  /* below 16, zero in 0..15            */
    QN_CODE_INT8,  /* below 256, zero in 0..255          */
    QN_CODE_FP8    /* f8_e4m3 bytes, which are the value */
} qn_code_kind;

typedef struct qn_weight_codes {
    qn_code_kind kind;
    int group;      /* 16, 32, 64 or 128; the last of a row may be shorter */
    qn_dtype round; /* QN_F32 (not at all), QN_BF16 or QN_F16         */
    float book[16];
    /* [n_in] or NULL: column k of the rows handed over is multiplied by
     * x[order[k]], a permutation. Read by weight_new. Such a weight can go into
     * QN_OP_LINEAR alone. */
    const int32_t *order;
} qn_weight_codes;

typedef struct qn_weight_desc {
    int64_t n_out, n_in;
    qn_dtype dtype; /* as the rows will be handed to weight_put */
    /* Or, if not NULL: rows are handed over as qn_qrows (zeros for the two
     * integer kinds), n_in is a multiple of 8, dtype means nothing. */
    const qn_weight_codes *codes;
    bool sparse; /* few of the rows will be put, and no others read */
} qn_weight_desc;

typedef enum qn_kv_dtype {
    QN_KV_CELL_F32,
    QN_KV_CELL_F16, /* what is too large becomes the largest          */
    QN_KV_CELL_BF16,
    QN_KV_CELL_I8, /* round(x / d), d = absmax / 127 of a head's key or
                        value at one position                          */
    QN_KV_CELLS
} qn_kv_dtype;

typedef struct qn_kv_desc {
    int n_kv, d_k, d_v;
    qn_kv_dtype dtype;
    int n_pages;
} qn_kv_desc;

/* ---- the table --------------------------------------------------------- */

typedef struct qn_backend_params {
    int n_threads; /* 0: what the machine grants */
    qn_isa isa;    /* cap; QN_ISA_N - 1: no cap   */
    /* Products of 16-bit and quantized weights with unrounded f32
     * activations, the weights expanded: what the format's definition says,
     * slower. Otherwise activations are rounded to what the fast dot
     * instructions take (bf16; int8 or int16 in blocks, decision 005). */
    bool exact;
} qn_backend_params;

typedef struct qn_backend_api {
    uint32_t abi; /* QN_BACKEND_ABI */
    const char *name;
    int page_tokens; /* KV positions per page */

    int (*open)(qn_backend **out, const qn_backend_params *p, qn_err *err);
    void (*close)(qn_backend *be);
    int (*n_threads)(const qn_backend *be);
    /* Products take the rows of a pass in tiles of so many: one row more than
     * a number of whole tiles costs as much as a tile more. 1: it does not. */
    int (*row_tile)(const qn_backend *be);
    /* One line per kernel choice as a JSON array. */
    void (*describe)(const qn_backend *be, qn_str *json);

    /* false: the dtype must be decoded to f32 by the caller first. */
    bool (*weight_supports)(const qn_backend *be, qn_dtype dtype);
    uint64_t (*weight_bytes)(const qn_backend *be, const qn_weight_desc *d);
    int (*weight_new)(qn_backend *be, const qn_weight_desc *d, qn_weight **out,
                      qn_err *err);
    /* Rows [row0, row0 + n_row) as they lie in the file (desc.dtype, n_in
     * elements each, back to back; or a qn_qrows). Distinct rows from any
     * threads. */
    void (*weight_put)(qn_weight *w, int64_t row0, int64_t n_row,
                       const void *rows);
    void (*weight_free)(qn_backend *be, qn_weight *w);

    /* The one of the two types of 16 bits that attention is faster with. */
    qn_kv_dtype (*kv_half)(const qn_backend *be);
    uint64_t (*kv_bytes)(const qn_backend *be, const qn_kv_desc *d);
    int (*kv_new)(qn_backend *be, const qn_kv_desc *d, qn_kv **out,
                  qn_err *err);
    void (*kv_free)(qn_backend *be, qn_kv *kv);
    /* The system gives memory when it is first written to, which may take long:
     * has it give that of pages [first, first + n) now. NULL: it is there. */
    void (*kv_populate)(qn_backend *be, qn_kv *kv, int32_t first, int32_t n);
    void (*kv_copy_page)(qn_backend *be, qn_kv *kv, int32_t dst, int32_t src);
    /* A page as bytes, in the backend's own layout; how many they are. */
    uint64_t (*kv_page_bytes)(const qn_kv *kv);
    void (*kv_read_page)(qn_backend *be, const qn_kv *kv, int32_t page,
                         void *host);
    void (*kv_write_page)(qn_backend *be, qn_kv *kv, int32_t page,
                          const void *host);

    /* Activation and workspace memory, 64-byte aligned. */
    int (*buf_new)(qn_backend *be, uint64_t n_bytes, qn_purpose purpose,
                   void **out, qn_err *err);
    void (*buf_free)(qn_backend *be, void *p, uint64_t n_bytes,
                     qn_purpose purpose);
    void (*write)(qn_backend *be, void *dst, const void *host, uint64_t n);
    void (*read)(qn_backend *be, void *host, const void *src, uint64_t n);
    /* Inside of buffers, without overlap. */
    void (*copy)(qn_backend *be, void *dst, const void *src, uint64_t n);

    /* Bytes of scratch for an experts op. */
    uint64_t (*experts_scratch)(const qn_backend *be, int n_row, int k,
                                int d_model, int d_ff);

    /* Runs the list in order and returns when the results are readable.
     * QN_ENOMEM when it needs workspace that is not there: nothing of it has
     * run. */
    int (*exec)(qn_backend *be, const qn_op *ops, int n_op, qn_err *err);
    /* Workspace for the list, and for every part of it with the same or fewer
     * rows at the same or earlier positions, in any number of spans: exec of
     * such a list cannot fail. */
    int (*reserve)(qn_backend *be, const qn_op *ops, int n_op, qn_err *err);

    /* The threads, for loading (NULL: none of its own). */
    qn_pool *(*pool)(qn_backend *be);

    /* Buffers are memory that the caller may read and write itself. */
    bool host_memory;
} qn_backend_api;

struct qn_backend {
    const qn_backend_api *api;
};

/* Linked into every build. */
extern const qn_backend_api qn_cpu_backend_api;

/* "cpu", later "cuda" (a plugin found beside the program). */
int qn_backend_open(qn_backend **out, const char *name,
                    const qn_backend_params *p, qn_err *err);
void qn_backend_close(qn_backend *be);

#endif
