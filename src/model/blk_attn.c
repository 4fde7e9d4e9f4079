/* blk_attn.c - attention: projections, norms and rotation of q and k, the
 * cache, the heads.
 *
 * In the last layer nobody looks at most rows of a prompt any more: their keys
 * and values must go into the cache, but queries, heads and all that follows
 * are computed for the wanted rows alone. Rows are independent (backend.h,
 * law 1), so the results are the same bits. */
#include "model/pass_int.h"

static void qk_norm(qn_fwd *f, const qn_part *w, float *x, int n_head)
{
    const qn_hparams *hp = f->hp;
    bool row = hp->qk_norm == QN_QK_ROW;
    int width = n_head * hp->d_head;
    qn_emit_norm(f, w, x, x, NULL, row ? width : hp->d_head);
    qn_op_norm *n = &f->ops[f->n_op - 1].u.norm;
    n->n_group = row ? 1 : n_head;
    n->w_per_group = hp->qk_norm == QN_QK_HEADS;
    n->ldx = n->ldy = width;
}

static void rotate(qn_fwd *f, int layer, float *x, int n_head)
{
    int kind = f->hp->layer[layer].rope;
    const qn_rope_hp *r = &f->hp->rope[kind];
    qn_emit(f, QN_OP_ROPE)->u.rope = (qn_op_rope){
        .table = f->table[kind],
        .n_freq = r->n_freq,
        .interleaved = r->interleaved,
        .n_row = f->n_row,
        .n_head = n_head,
        .d_head = f->hp->d_head,
        .x = x,
        .ldx = n_head * f->hp->d_head,
    };
}

/* Products of x with some of Wq, Wk, Wv. */
static void project(qn_fwd *f, int layer, const float *x, bool q, bool kv)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    qn_op_linear *op = &qn_emit(f, QN_OP_LINEAR)->u.linear;
    op->x = x;
    op->ldx = hp->d_model;
    op->n_row = f->n_row;
    op->scale = 1;
    const struct {
        bool on;
        qn_role role;
        float *y;
        int n_out;
    } parts[] = {
        {q, QN_R_Q, f->p->q, hp->n_head * hp->d_head},
        {kv, QN_R_K, f->p->k, hp->n_kv * hp->d_head},
        {kv, QN_R_V, f->p->v, hp->n_kv * hp->d_v},
    };
    for (int i = 0; i < 3; i++) {
        if (!parts[i].on)
            continue;
        int at = op->n_part++;
        op->part[at].w = p[parts[i].role].w;
        op->part[at].bias = p[parts[i].role].b;
        op->part[at].y = parts[i].y;
        op->part[at].ldy = parts[i].n_out;
    }
}

static void norms(qn_fwd *f, int layer, bool q, bool k)
{
    const qn_part *p = f->net->layer[layer].p;
    if (f->hp->qk_norm == QN_QK_NONE)
        return;
    if (q)
        qk_norm(f, &p[QN_R_Q_NORM], f->p->q, f->hp->n_head);
    if (q && k)
        qn_emit_apart(f);
    if (k)
        qk_norm(f, &p[QN_R_K_NORM], f->p->k, f->hp->n_kv);
}

/* Norm and rotation of q, k or both. */
static void prepare(qn_fwd *f, int layer, bool q, bool k)
{
    const qn_hparams *hp = f->hp;
    if (!hp->qk_norm_last)
        norms(f, layer, q, k);
    if (hp->layer[layer].rope >= 0) {
        if (q)
            rotate(f, layer, f->p->q, hp->n_head);
        if (q && k)
            qn_emit_apart(f);
        if (k)
            rotate(f, layer, f->p->k, hp->n_kv);
    }
    if (hp->qk_norm_last)
        norms(f, layer, q, k);
}

static void append(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    qn_emit(f, QN_OP_KV_APPEND)->u.kv_append = (qn_op_kv_append){
        .kv = f->p->kv[layer],
        .group = f->net->group[layer],
        .batch = f->batch,
        .k = f->p->k,
        .v = f->p->v,
        .ldk = hp->n_kv * hp->d_head,
        .ldv = hp->n_kv * hp->d_v,
    };
}

/* Heads' outputs times sigmoid(x Wg); the product stands before the heads. */
static void gate_product(qn_fwd *f, int layer, const float *x)
{
    const qn_hparams *hp = f->hp;
    if (hp->attn_gate)
        qn_emit_linear(f, &f->net->layer[layer].p[QN_R_ATTN_GATE], x,
                       hp->d_model, f->p->gate, hp->n_head * hp->d_v,
                       QN_EPI_STORE, QN_ACT_NONE, 1);
}

static void gate(qn_fwd *f)
{
    int width = f->hp->n_head * f->hp->d_v;
    if (f->hp->attn_gate)
        qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
            .x = f->p->gate,
            .mul = f->p->attn,
            .y = f->p->attn,
            .ldx = width,
            .ldm = width,
            .ldy = width,
            .n_row = f->n_row,
            .dim = width,
            .act = QN_ACT_SIGMOID,
            .scale = 1,
        };
}

void qn_blk_attn(qn_fwd *f, int layer, float *x, bool only_wanted)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[layer];
    if (only_wanted) {
        project(f, layer, x, false, true);
        prepare(f, layer, false, true);
        append(f, layer);
        if (f->out->n_row == 0) {
            f->n_row = 0;
            return;
        }
        x = qn_emit_narrow(f, x);
        project(f, layer, x, true, false);
        prepare(f, layer, true, false);
    } else {
        project(f, layer, x, true, true);
        prepare(f, layer, true, true);
        append(f, layer);
    }
    gate_product(f, layer, x);
    qn_emit(f, QN_OP_ATTN)->u.attn = (qn_op_attn){
        .kv = f->p->kv[layer],
        .group = f->net->group[layer],
        .batch = f->batch,
        .q = f->p->q,
        .out = f->p->attn,
        .ldq = hp->n_head * hp->d_head,
        .ldo = hp->n_head * hp->d_v,
        .n_head = hp->n_head,
        .scale = l->attn_scale,
        .softcap = hp->attn_softcap,
        .window = l->window,
        .chunk = l->chunk,
        .slopes = f->net->slopes,
    };
    gate(f);
}

void qn_blk_attn_out(qn_fwd *f, int layer)
{
    if (f->hp->sub_norm)
        qn_emit_norm(f, &f->net->layer[layer].p[QN_R_O_NORM], f->p->attn,
                     f->p->attn, NULL, f->hp->n_head * f->hp->d_v);
    qn_emit_residual(f, &f->net->layer[layer], QN_R_O, QN_R_ATTN_POST_NORM,
                     f->p->attn, f->hp->n_head * f->hp->d_v);
}
