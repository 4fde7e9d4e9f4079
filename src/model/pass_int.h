/* pass_int.h - one forward, from the inside.
 *
 * forward.c turns a batch into a list of operations; the blocks (blk_*.c) add
 * a layer's part each, through the helpers of emit.c. A qn_fwd is the state of
 * that: which rows there are now, and where they lie. */
#ifndef QN_MODEL_PASS_INT_H
#define QN_MODEL_PASS_INT_H

#include "model/net_int.h"

struct qn_pass {
    qn_pass_observe_fn observe; /* or NULL */
    void *observe_user;
    qn_pass_stop_fn stop; /* or NULL */
    void *stop_user;
    qn_net *net;
    qn_pass_params par;
    qn_kv **kv;        /* [n_layer] */
    int32_t *kv_there; /* [n_layer] pages, from 0 on, that have their memory */

    /* workspace: backend memory, R = max_rows, O = max_out */
    void *ws;
    uint64_t ws_bytes;
    float *embed;         /* [R, d_embed], if projected                    */
    float *h, *h_out;     /* [R, d_model], [O, d_model] residual stream    */
    float *x, *x_out;     /* [R, d_model], [O, d_model] input of a block   */
    float *x2;            /* [R, d_model] second one: parallel blocks, scaled
                              inputs, experts beside */
    float *branch;        /* [R, d_model] result of a block before a norm  */
    float *q, *k, *v;     /* [R, n_head * d_head], [R, n_kv * d_head], ... */
    float *attn;          /* [R, n_head * d_v]                             */
    float *lat_q;         /* [R, q_rank], latent vectors                    */
    float *part;          /* [R, ...] keys, values or heads not yet in place */
    float *ple, *ple2;    /* [R, n_layer * d_ple] inputs of layers       */
    float *ple_out;       /* [O, d_ple] of the last                      */
    float *streams;       /* [n_alt][R, d_model]                         */
    int64_t stream_size;  /* floats of one                               */
    float *alt_m, *alt_c; /* [R, n_alt], [R, n_alt^2]                   */
    float *ff2;           /* [R, d_ff], where gate and up are apart      */
    float *gate;          /* [R, n_head * d_v], if heads are gated         */
    float *ff;            /* [R, the widest feed-forward of a row]         */
    float *table[QN_ROPE_KINDS];     /* [R, 2 n_freq] cos, sin          */
    float *table_out[QN_ROPE_KINDS]; /* [O, 2 n_freq]                   */
    float *freqs[QN_ROPE_KINDS];     /* [max_spans or 1, n_freq]        */
    float *route_logits;             /* [R, n_exp]                     */
    float *route_weights;            /* [R, n_exp_used]                */
    int32_t *route_ids;              /* [R, n_exp_used]                */
    void *exp_scratch;
    float *rec_in, *rec_conv, *rec_y; /* [R, columns], [R, convolved],
                                         [R, d_inner]                  */
    float *rec_params,
        *rec_dt;  /* mamba: [R, dt_rank + 2 d_state], [R, d_inner] */
    float *state; /* [n_slots, n_state], all layers      */
    uint64_t state_bytes;

    float *logits; /* [O, n_vocab], backend memory                   */
    uint64_t logits_bytes;
    float *host_logits; /* the same, NULL if the backend's is ours    */

    /* host memory */
    qn_op *ops;
    int max_ops;
    int32_t *pos_ids;   /* [R] */
    int32_t *ple_ids;   /* [R] */
    float *q_scale;     /* [R] by position */
    float *q_scale_out; /* [O] */
    qn_span *out_spans; /* [O] */
    qn_batch out;       /* the wanted rows; read while the list runs */
    float *host_freqs;  /* [max_spans, n_freq] */
    void *row;          /* one of a table in a file */
};

typedef struct qn_fwd {
    qn_pass *p;
    const qn_net *net;
    const qn_hparams *hp;
    qn_op *ops;
    int n_op;
    const qn_batch *all;   /* the whole batch */
    const qn_batch *batch; /* the rows of now */
    int n_row;
    float *h, *x;
    float eps; /* of norms */
    float *const *table;
    const float *q_scale;
    qn_batch *out; /* the wanted rows alone: pass->out */
} qn_fwd;

/* Room for everything that forward may put into the list. */
enum {
    QN_OPS_PER_LAYER = 48,
    QN_OPS_ENDS = 32
};

/* ---- emit.c ------------------------------------------------------------ */

/* A cleared operation at the end of the list. */
qn_op *qn_emit(qn_fwd *f, qn_op_kind kind);
/* The last operation and the next one touch different memory. */
void qn_emit_apart(qn_fwd *f);

/* y = norm(x) (+ residual), rows of `dim` */
void qn_emit_norm(qn_fwd *f, const qn_part *w, const float *x, float *y,
                  const float *residual, int dim);
/* y = scale * rows of a table, beside what the operation before does; of a table in
 * a file (w->w NULL) they are in y already, unscaled (pass.c). */
void qn_emit_embed(qn_fwd *f, const qn_part *w, const int32_t *ids, float scale,
                   float *y, int dim);
/* y = act(scale * (x W^T + b)) or y += ... */
void qn_emit_linear(qn_fwd *f, const qn_part *w, const float *x, int n_in,
                    float *y, int n_out, qn_epilogue epi, qn_act act,
                    float scale);
/* The wanted rows of x, which has those of the whole batch. */
void qn_emit_gather(qn_fwd *f, const float *x, float *y, int dim);
/* From here on only the wanted rows of h and x; returns x's. */
float *qn_emit_narrow(qn_fwd *f, float *x);

/* y = scale * x, rows of `dim` */
void qn_emit_scale(qn_fwd *f, const float *x, float *y, int dim, float scale);
/* x times scale: x itself, or in p->x2. */
float *qn_emit_scaled(qn_fwd *f, float *x, float scale);
/* Adds what `w` makes of x to the residual stream, where the family's norms
 * want it. */
void qn_emit_residual(qn_fwd *f, const qn_parts *layer, qn_role role,
                      qn_role post_norm, const float *x, int n_in);
/* The norms that follow once the branch is in p->branch, or was added to h. */
void qn_emit_post(qn_fwd *f, const qn_parts *layer, qn_role norm,
                  qn_role post_norm);
/* Rotates heads of d_head elements, at x + r * ldx + h * d_head. */
void qn_emit_rope(qn_fwd *f, int layer, float *x, int64_t ldx, int n_head,
                  int d_head);
/* y[r][g] = x[r][g]: backend.h, qn_op_copy. */
void qn_emit_copy(qn_fwd *f, qn_op_copy how);
/* Logits of experts, and the choice. */
void qn_emit_route(qn_fwd *f, const qn_part *router, const float *bias,
                   const float *x);
/* Does a block write to p->branch (true), or add to h? */
bool qn_emit_to_branch(const qn_fwd *f);

/* ---- blocks ------------------------------------------------------------ */

/* Of x up to the heads' outputs in p->attn. With only_wanted, from then on f
 * has the rows whose logits are wanted, and no others. */
void qn_blk_attn(qn_fwd *f, int layer, float *x, bool only_wanted);
/* Multi-head latent attention: queries and keys, values of x, before and in
 * their places. */
void qn_blk_mla_queries(qn_fwd *f, int layer, const float *x);
void qn_blk_mla_keys(qn_fwd *f, int layer, const float *x);
/* What the heads found, from the latent space into f->p->part. */
void qn_blk_mla_values(qn_fwd *f, int layer);
void qn_blk_attn_out(qn_fwd *f, int layer);
/* Of x up to the gated outputs in p->rec_y, of all rows. */
void qn_blk_rec(qn_fwd *f, int layer, const float *x);
/* `narrowed`: f has only the wanted rows since then. */
void qn_blk_rec_out(qn_fwd *f, int layer, bool narrowed);
void qn_blk_mlp(qn_fwd *f, int layer, const float *x);
/* Adds the expert that every row visits with weight 1. */
void qn_blk_shared_expert(qn_fwd *f, int layer, const float *x);
/* Into p->branch, without a residual. */
void qn_blk_mlp_branch(qn_fwd *f, int layer, const float *x);
void qn_blk_moe_beside(qn_fwd *f, int layer, const float *x);
/* Inputs of all layers; one layer's mixed with x, into p->branch. */
void qn_blk_ple_inputs(qn_fwd *f);
void qn_blk_ple_mix(qn_fwd *f, int layer, const float *x);
/* Streams: out of h; mixed, the active one in h; corrected by h; into h. */
void qn_blk_alt_split(qn_fwd *f);
void qn_blk_alt_predict(qn_fwd *f, int layer);
void qn_blk_alt_correct(qn_fwd *f, int layer);
void qn_blk_alt_join(qn_fwd *f);
/* h and the low-rank path of x. */
void qn_blk_laurel(qn_fwd *f, int layer);
void qn_blk_moe(qn_fwd *f, int layer, const float *x);

/* Builds the list for a batch; returns the number of operations. */
int qn_forward_build(qn_pass *p, const qn_batch *batch);
/* The list of layers [from, to) alone, all rows, from and to p->h; what comes
 * before layer 0 with it, if the batch has tokens. */
int qn_forward_layers(qn_pass *p, const qn_batch *batch, int from, int to);
/* The list of what comes before the layers, all rows, to p->h. */
int qn_forward_begin(qn_pass *p, const qn_batch *batch);
/* The list of what follows the layers, all rows, of p->h. */
int qn_forward_head(qn_pass *p, const qn_batch *batch);

#endif
