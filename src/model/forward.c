/* forward.c - one pass of any family, as a list of operations.
 *
 *   embed -> layers -> final norm -> head
 *
 *   layer   sequential: h += attn(norm h), then h += mlp(norm h)
 *           parallel:   h += attn(norm h) + mlp(norm' h)
 *
 * where attn is attention, recurrence or both, and may be missing as mlp may.
 * Where the norms stand is emit.c's business (qn_emit_residual), what happens
 * inside of attention and feed-forward that of the blocks. What is asked here
 * is a feature of the network (hparams.h), never a family's name. */
#include "model/pass_int.h"
#include "model/rope.h"

/* ---- beginning --------------------------------------------------------- */

static void rope_tables(qn_fwd *f)
{
    for (int i = 0; i < f->hp->n_rope; i++) {
        const qn_rope_hp *r = &f->hp->rope[i];
        if (i > 0)
            qn_emit_apart(f);
        qn_emit(f, QN_OP_ROPE_TABLE)->u.rope_table = (qn_op_rope_table){
            .batch = f->batch,
            .inv_freq = f->p->freqs[i],
            .span_stride = qn_rope_by_length(r) ? r->n_freq : 0,
            .n_freq = r->n_freq,
            .scale = r->table_scale,
            .out = f->p->table[i],
        };
    }
}

static void embed(qn_fwd *f)
{
    const qn_hparams *hp = f->hp;
    const qn_part *top = f->net->top.p;
    bool projected = hp->d_embed != hp->d_model;
    float *y = projected ? f->p->embed : f->h;
    qn_emit_embed(f, &top[QN_R_EMBED], f->batch->tokens, hp->embed_scale, y,
                  hp->d_embed);
    if (hp->embed_norm)
        qn_emit_norm(f, &top[QN_R_EMBED_NORM], y, y, NULL, hp->d_embed);
    if (projected)
        qn_emit_linear(f, &top[QN_R_PROJ_IN], y, hp->d_embed, f->h, hp->d_model,
                       QN_EPI_STORE, QN_ACT_NONE, 1);
    if (hp->pos == QN_POS_LEARNED || hp->pos == QN_POS_SINUS)
        qn_emit(f, QN_OP_EMBED)->u.embed = (qn_op_embed){
            .table = top[QN_R_POS_EMBED].w,
            .ids = f->p->pos_ids,
            .n_row = f->n_row,
            .scale = 1,
            .add = true,
            .y = f->h,
            .ldy = hp->d_model,
        };
}

/* ---- layers ------------------------------------------------------------ */

/* What a branch reads: h, or a norm of it in y. */
static float *branch_input(qn_fwd *f, int layer, qn_role norm, float *y)
{
    qn_norm_place place = f->hp->norm_place;
    if (place == QN_NORM_POST || place == QN_NORM_POST_BRANCH)
        return f->h;
    if (place == QN_NORM_STREAM)
        y = f->h;
    qn_emit_norm(f, &f->net->layer[layer].p[norm], f->h, y, NULL,
                 f->hp->d_model);
    return y;
}

static const float *mlp_input(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    if (hp->norm_place == QN_NORM_PRE && hp->parallel && hp->shared_norm)
        return f->x;
    return branch_input(f, layer, QN_R_MLP_NORM,
                        hp->parallel ? f->p->x2 : f->x);
}

/* Rows that nothing behind this layer looks at are left out from where their
 * keys, values and states are stored. */
static void one_layer(qn_fwd *f, int i, bool last_mixer)
{
    const qn_hparams *hp = f->hp;
    const qn_layer_hp *l = &hp->layer[i];
    bool only_wanted = last_mixer && !hp->n_alt && f->out->n_row < f->n_row;
    const float *x = NULL;
    if (l->attn || l->rec) {
        float *y = branch_input(f, i, QN_R_ATTN_NORM, f->x);
        if (l->rec)
            qn_blk_rec(f, i, qn_emit_scaled(f, y, hp->rec.in_scale));
        if (l->attn)
            qn_blk_attn(f, i, qn_emit_scaled(f, y, hp->attn_in_scale),
                        only_wanted);
        else if (only_wanted)
            qn_emit_narrow(f, y);
        if (f->n_row == 0)
            return;
    }
    if (hp->parallel && l->ff) /* before attention is added to h */
        x = mlp_input(f, i);
    if (l->rec)
        qn_blk_rec_out(f, i, only_wanted);
    if (l->attn)
        qn_blk_attn_out(f, i);
    if (hp->laurel_rank)
        qn_blk_laurel(f, i);
    if (!l->ff)
        return;
    if (!hp->parallel)
        x = mlp_input(f, i);
    if (l->moe && hp->moe_beside)
        qn_blk_moe_beside(f, i, x);
    else if (l->moe)
        qn_blk_moe(f, i, x);
    else
        qn_blk_mlp(f, i, x);
}

/* What is round a layer in Gemma 3n and 4. */
static void layer_and_inputs(qn_fwd *f, int i, bool last_mixer)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[i].p;
    int d = hp->d_model;
    if (hp->n_alt)
        qn_blk_alt_predict(f, i);
    one_layer(f, i, last_mixer);
    if (f->n_row == 0)
        return;
    if (hp->n_alt) {
        qn_blk_alt_correct(f, i);
    } else if (hp->d_ple) {
        qn_blk_ple_mix(f, i, f->h);
        qn_emit_norm(f, &p[QN_R_PLE_POST_NORM], f->p->branch, f->h, f->h, d);
    }
    if (hp->layer_scale)
        qn_emit_scale(f, f->h, f->h, d, f->net->layer_scale[i]);
}

/* ---- end --------------------------------------------------------------- */

static void head(qn_fwd *f)
{
    const qn_hparams *hp = f->hp;
    const qn_part *top = f->net->top.p;
    const float *x = f->h;
    if (hp->final_norm) {
        qn_emit_norm(f, &top[QN_R_FINAL_NORM], x, f->x, NULL, hp->d_model);
        x = f->x;
    }
    if (hp->d_embed != hp->d_model) {
        qn_emit_linear(f, &top[QN_R_PROJ_OUT], x, hp->d_model, f->p->embed,
                       hp->d_embed, QN_EPI_STORE, QN_ACT_NONE, 1);
        x = f->p->embed;
    }
    int n = (int)(f->net->head_n ? f->net->head_n : hp->n_vocab);
    qn_part rows = top[QN_R_HEAD]; /* all, or those that are loaded */
    if (rows.b)
        rows.b += f->net->head_from;
    qn_emit_linear(f, &rows, x, hp->d_embed, f->p->logits, n, QN_EPI_STORE,
                   QN_ACT_NONE, hp->logit_scale);
    if (hp->logit_softcap > 0)
        qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
            .x = f->p->logits,
            .y = f->p->logits,
            .ldx = n,
            .ldy = n,
            .n_row = f->n_row,
            .dim = n,
            .act = QN_ACT_NONE,
            .scale = 1,
            .cap = hp->logit_softcap,
        };
}

/* The wanted rows as a batch of their own: neighbours of one sequence stay
 * together. */
static void wanted_rows(qn_fwd *f, const qn_batch *b)
{
    qn_span *out = f->p->out_spans;
    int n = 0, s = 0, prev = -2, prev_span = -1;
    for (int i = 0; i < b->n_out; i++) {
        int row = b->out_rows[i];
        while (row >= b->spans[s].row0 + b->spans[s].n_row)
            s++;
        if (row == prev + 1 && s == prev_span) {
            out[n - 1].n_row++;
        } else {
            out[n] = b->spans[s];
            out[n].row0 = i;
            out[n].n_row = 1;
            out[n].pos0 += row - b->spans[s].row0;
            n++;
        }
        prev = row;
        prev_span = s;
    }
    for (int i = 0; i < b->n_out; i++)
        f->p->q_scale_out[i] = f->p->q_scale[b->out_rows[i]];
    *f->out = (qn_batch){.n_row = b->n_out, .n_span = n, .spans = out};
}

static qn_fwd fwd_of(qn_pass *p, const qn_batch *batch)
{
    return (qn_fwd){
        .p = p,
        .net = p->net,
        .hp = &p->net->hp,
        .ops = p->ops,
        .all = batch,
        .batch = batch,
        .n_row = batch->n_row,
        .h = p->h,
        .x = p->x,
        .eps = p->net->hp.norm_eps,
        .table = p->table,
        .q_scale = p->q_scale,
        .out = &p->out,
    };
}

static void begin(qn_fwd *f)
{
    embed(f);
    if (f->hp->layer_norm_eps > 0)
        f->eps = f->hp->layer_norm_eps;
    if (f->hp->d_ple)
        qn_blk_ple_inputs(f);
    if (f->hp->n_alt)
        qn_blk_alt_split(f);
}

static void layers(qn_fwd *f, int from, int to)
{
    int last_mixer = f->hp->n_layer - 1;
    while (!f->hp->layer[last_mixer].attn && !f->hp->layer[last_mixer].rec)
        last_mixer--;
    for (int i = from; i < to && f->n_row > 0; i++)
        layer_and_inputs(f, i, i == last_mixer);
}

int qn_forward_build(qn_pass *p, const qn_batch *batch)
{
    qn_fwd f = fwd_of(p, batch);
    wanted_rows(&f, batch);
    rope_tables(&f);
    begin(&f);
    layers(&f, 0, f.hp->n_layer);
    if (f.hp->n_alt) {
        qn_blk_alt_join(&f);
        if (f.out->n_row < f.n_row)
            qn_emit_narrow(&f, f.h);
    }
    f.eps = f.hp->norm_eps;
    if (f.n_row > 0)
        head(&f);
    return f.n_op;
}

int qn_forward_layers(qn_pass *p, const qn_batch *batch, int from, int to)
{
    qn_fwd f = fwd_of(p, batch);
    *f.out = (qn_batch){.n_row = batch->n_row}; /* nothing is left out */
    rope_tables(&f);
    if (from == 0 && batch->tokens)
        begin(&f);
    else if (f.hp->layer_norm_eps > 0)
        f.eps = f.hp->layer_norm_eps;
    layers(&f, from, to);
    if (f.hp->n_alt)
        qn_blk_alt_join(&f);
    return f.n_op;
}

int qn_forward_begin(qn_pass *p, const qn_batch *batch)
{
    qn_fwd f = fwd_of(p, batch);
    begin(&f);
    return f.n_op;
}

int qn_forward_head(qn_pass *p, const qn_batch *batch)
{
    qn_fwd f = fwd_of(p, batch);
    head(&f);
    return f.n_op;
}
