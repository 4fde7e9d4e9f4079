/* blk_rec.c - a recurrent layer:
 *
 *   x -> projections -> convolution -> state -> gate and norm -> projection
 *
 * The rows of a sequence go through convolution and state all of them, also in
 * the last layer: what follows needs the state behind every one. Only then are
 * the wanted rows picked (qn_blk_rec_out). */
#include "model/pass_int.h"
#include "model/rec.h"

typedef struct rec_ctx {
    qn_fwd *f;
    const qn_rec_hp *r;
    const qn_part *w; /* the layer's parts */
    qn_rec_cols c;
    qn_state state;
    float *in, *conv, *y; /* of this pass */
} rec_ctx;

/* Products of x with up to three matrices, into columns of p->rec_in. */
static void project(const rec_ctx *t, const float *x, const qn_role roles[3],
                    const int cols[3])
{
    qn_op_linear *op = &qn_emit(t->f, QN_OP_LINEAR)->u.linear;
    op->x = x;
    op->ldx = t->f->hp->d_model;
    op->n_row = t->f->n_row;
    op->scale = 1;
    for (int i = 0; i < 3; i++) {
        const qn_part *p = &t->w[roles[i]];
        if (!p->w)
            continue;
        int at = op->n_part++;
        op->part[at].w = p->w;
        op->part[at].bias = p->b;
        op->part[at].y = t->in + cols[i];
        op->part[at].ldy = t->c.total;
    }
}

/* y = act(x) * mul, columns of rows that are ldx, ldm and ldy wide. */
static void multiply(const rec_ctx *t, const float *x, int64_t ldx, qn_act act,
                     const float *mul, int64_t ldm, float *y, int64_t ldy)
{
    qn_emit(t->f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = x,
        .mul = mul,
        .y = y,
        .ldx = ldx,
        .ldm = ldm,
        .ldy = ldy,
        .n_row = t->f->n_row,
        .dim = t->r->d_inner,
        .act = act,
        .scale = 1,
    };
}

/* Falcon-H1 has a factor on each part of what was projected. */
static void scale_columns(const rec_ctx *t)
{
    const qn_rec_hp *r = t->r;
    int key = r->n_group * r->d_state;
    const int first[] = {t->c.z, 0, r->d_inner, r->d_inner + key, t->c.dt};
    const int dim[] = {r->d_inner, r->d_inner, key, key, r->n_head};
    bool any = false;
    for (int i = 0; i < 5; i++) {
        float *x = t->in + first[i];
        if (r->scale[i] == 1)
            continue;
        if (any)
            qn_emit_apart(t->f);
        any = true;
        qn_emit(t->f, QN_OP_MAP)->u.map = (qn_op_map){.x = x,
                                                      .y = x,
                                                      .ldx = t->c.total,
                                                      .ldy = t->c.total,
                                                      .n_row = t->f->n_row,
                                                      .dim = dim[i],
                                                      .act = QN_ACT_NONE,
                                                      .scale = r->scale[i]};
    }
}

static void convolve(const rec_ctx *t, float *y)
{
    const qn_part *w = &t->w[QN_R_REC_CONV];
    qn_emit(t->f, QN_OP_CONV)->u.conv = (qn_op_conv){
        .batch = t->f->batch,
        .state = t->state,
        .dim = t->c.n_conv,
        .n_tap = t->r->n_tap,
        .x = t->in,
        .y = y,
        .ldx = t->c.total,
        .ldy = t->c.n_conv,
        .w = w->v,
        .b = w->b,
        .act = t->r->act,
    };
}

/* Behind the convolution's, the state of the recurrence. */
static qn_state rec_state(const rec_ctx *t)
{
    return (qn_state){t->state.base + qn_rec_conv_state(t->r), t->state.stride};
}

/* ---- kinds ------------------------------------------------------------- */

static void inner_norm(const rec_ctx *t, qn_role role, float *x, int dim)
{
    int64_t ld = t->r->dt_rank + 2 * t->r->d_state;
    qn_emit_norm(t->f, &t->w[role], x, x, NULL, dim);
    qn_op_norm *n = &t->f->ops[t->f->n_op - 1].u.norm;
    n->ldx = n->ldy = ld;
    n->eps = t->r->inner_eps;
}

static void mamba(const rec_ctx *t)
{
    const qn_rec_hp *r = t->r;
    float *params = t->f->p->rec_params, *dt = t->f->p->rec_dt;
    float *B = params + r->dt_rank, *C = B + r->d_state;
    int64_t ld = r->dt_rank + 2 * r->d_state;
    qn_emit_linear(t->f, &t->w[QN_R_REC_PARAMS], t->conv, r->d_inner, params,
                   (int)ld, QN_EPI_STORE, QN_ACT_NONE, 1);
    if (r->inner_norms) {
        inner_norm(t, QN_R_REC_DT_NORM, params, r->dt_rank);
        qn_emit_apart(t->f);
        inner_norm(t, QN_R_REC_B_NORM, B, r->d_state);
        qn_emit_apart(t->f);
        inner_norm(t, QN_R_REC_C_NORM, C, r->d_state);
    }
    /* its bias is added by the scan */
    qn_part up = {.w = t->w[QN_R_REC_DT_UP].w};
    qn_emit_linear(t->f, &up, params, r->dt_rank, dt, r->d_inner, QN_EPI_STORE,
                   QN_ACT_NONE, 1);
    t->f->ops[t->f->n_op - 1].u.linear.ldx = ld;
    qn_emit(t->f, QN_OP_SCAN)->u.scan = (qn_op_scan){
        .batch = t->f->batch,
        .state = rec_state(t),
        .by_channel = true,
        .n_head = r->n_head,
        .d_head = 1,
        .n_group = 1,
        .d_state = r->d_state,
        .x = t->conv,
        .dt = dt,
        .B = B,
        .C = C,
        .y = t->y,
        .ldx = t->c.n_conv,
        .lddt = r->d_inner,
        .ldb = ld,
        .ldc = ld,
        .ldy = r->d_inner,
        .a = t->w[QN_R_REC_A].v,
        .d = t->w[QN_R_REC_D].v,
        .dt_bias = t->w[QN_R_REC_DT_UP].b,
        .dt_min = r->dt_min,
        .dt_max = r->dt_max,
    };
}

static void mamba2(const rec_ctx *t)
{
    const qn_rec_hp *r = t->r;
    const float *B = t->conv + r->d_inner;
    qn_emit(t->f, QN_OP_SCAN)->u.scan = (qn_op_scan){
        .batch = t->f->batch,
        .state = rec_state(t),
        .n_head = r->n_head,
        .d_head = r->d_head,
        .n_group = r->n_group,
        .d_state = r->d_state,
        .x = t->conv,
        .dt = t->in + t->c.dt,
        .B = B,
        .C = B + r->n_group * r->d_state,
        .y = t->y,
        .ldx = t->c.n_conv,
        .lddt = t->c.total,
        .ldb = t->c.n_conv,
        .ldc = t->c.n_conv,
        .ldy = r->d_inner,
        .a = t->w[QN_R_REC_A].v,
        .d = t->w[QN_R_REC_D].v,
        .dt_bias = t->w[QN_R_REC_DT_BIAS].v,
        .dt_min = r->dt_min,
        .dt_max = r->dt_max,
    };
}

static void delta(const rec_ctx *t)
{
    const qn_rec_hp *r = t->r;
    qn_emit(t->f, QN_OP_DELTA)->u.delta = (qn_op_delta){
        .batch = t->f->batch,
        .state = rec_state(t),
        .by_turns = r->by_turns,
        .n_head = r->n_head,
        .n_group = r->n_group,
        .d_k = r->d_state,
        .d_v = r->d_head,
        .q = t->conv + t->c.q,
        .k = t->conv + t->c.k,
        .v = t->conv + t->c.x,
        .dt = t->in + t->c.dt,
        .beta = t->in + t->c.beta,
        .y = t->y,
        .ldq = t->c.n_conv,
        .ldk = t->c.n_conv,
        .ldv = t->c.n_conv,
        .lddt = t->c.total,
        .ldbeta = t->c.total,
        .ldy = r->d_inner,
        .a = t->w[QN_R_REC_A].v,
        .dt_bias = t->w[QN_R_REC_DT_BIAS].v,
    };
}

/* ---- the gate ---------------------------------------------------------- */

static void gate(const rec_ctx *t)
{
    qn_act act = t->r->kind == QN_REC_CONV ? QN_ACT_NONE : QN_ACT_SILU;
    multiply(t, t->in + t->c.z, t->c.total, act, t->y, t->r->d_inner, t->y,
             t->r->d_inner);
}

static void norm(const rec_ctx *t)
{
    const qn_rec_hp *r = t->r;
    int dim = r->d_inner / r->norm_groups;
    qn_emit_norm(t->f, &t->w[QN_R_REC_NORM], t->y, t->y, NULL, dim);
    qn_op_norm *n = &t->f->ops[t->f->n_op - 1].u.norm;
    n->n_group = r->norm_groups;
    n->w_per_group = !r->norm_shared;
    n->ldx = n->ldy = r->d_inner;
}

static void gate_and_norm(const rec_ctx *t)
{
    if (t->r->norm == QN_REC_NORM_BEFORE_GATE)
        norm(t);
    gate(t);
    if (t->r->norm == QN_REC_NORM_AFTER_GATE)
        norm(t);
}

/* ---- the layer --------------------------------------------------------- */

void qn_blk_rec(qn_fwd *f, int layer, const float *x)
{
    static const qn_role first[] = {QN_R_REC_X, QN_R_REC_Q, QN_R_REC_K};
    static const qn_role second[] = {QN_R_REC_Z, QN_R_REC_DT, QN_R_REC_BETA};
    static const qn_role conv[] = {QN_R_REC_X, QN_R_REC_B, QN_R_REC_Z};
    qn_pass *p = f->p;
    const qn_rec_hp *r = &f->hp->rec;
    rec_ctx t = {
        .f = f,
        .r = r,
        .w = f->net->layer[layer].p,
        .c = qn_rec_columns(r),
        .state = {p->state + f->net->state_at[layer], f->net->n_state},
        .in = p->rec_in,
        .conv = p->rec_conv,
        .y = p->rec_y,
    };
    if (r->kind == QN_REC_CONV) {
        project(&t, x, conv, (int[]){t.c.x, t.c.b, t.c.z});
        multiply(&t, t.in + t.c.b, t.c.total, QN_ACT_NONE, t.in, t.c.total,
                 t.in, t.c.total);
        convolve(&t, t.y);
        gate(&t);
        return;
    }
    project(&t, x, first, (int[]){t.c.x, t.c.q, t.c.k});
    qn_emit_apart(f);
    project(&t, x, second, (int[]){t.c.z, t.c.dt, t.c.beta});
    if (r->kind == QN_REC_MAMBA2)
        scale_columns(&t);
    convolve(&t, t.conv);
    if (r->kind == QN_REC_MAMBA)
        mamba(&t);
    else if (r->kind == QN_REC_MAMBA2)
        mamba2(&t);
    else
        delta(&t);
    gate_and_norm(&t);
}

void qn_blk_rec_out(qn_fwd *f, int layer, bool narrowed)
{
    qn_pass *p = f->p;
    int dim = f->hp->rec.d_inner;
    const float *y = p->rec_y;
    if (narrowed) { /* the convolution's rows are not needed any more */
        qn_emit_gather(f, p->rec_y, p->rec_conv, dim);
        y = p->rec_conv;
    }
    qn_emit_residual(f, &f->net->layer[layer], QN_R_REC_OUT,
                     QN_R_ATTN_POST_NORM, y, dim);
}
