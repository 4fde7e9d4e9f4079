/* blk_alt.c - alternating updates (Baykal et al. 2023), as Gemma 3n has them:
 * n residual streams, of which a layer computes with one. Before it, all are
 * mixed; behind it, what it changed in its own corrects the others. Beside
 * attention runs a low-rank path (LAuReL, Menghani et al. 2024). */
#include "model/pass_int.h"

#include <math.h>

static float *stream(const qn_fwd *f, int j)
{
    return f->p->streams + (int64_t)j * f->p->stream_size;
}

static void scaled(qn_fwd *f, const float *x, float *y, float scale, bool add)
{
    int d = f->hp->d_model;
    qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
        .x = x,
        .y = y,
        .ldx = d,
        .ldy = d,
        .n_row = f->n_row,
        .dim = d,
        .scale = scale,
        .add = add,
    };
}

/* x, of the size of t. */
static void match(qn_fwd *f, float *x, const float *t)
{
    int d = f->hp->d_model;
    qn_emit(f, QN_OP_MATCH)->u.match = (qn_op_match){
        .x = x,
        .t = t,
        .y = x,
        .ldx = d,
        .ldt = d,
        .ldy = d,
        .n_row = f->n_row,
        .dim = d,
        .eps = 1e-5f,
    };
}

/* Coefficients from x, [n_row, n_out] in p->alt_c. */
static void coefficients(qn_fwd *f, int layer, const float *x, qn_role role,
                         int n_out)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int d = hp->d_model, n = hp->n_alt;
    qn_emit_norm(f, &p[QN_R_ALT_ROUTER_NORM], x, f->x, NULL, d);
    qn_emit_linear(f, &p[QN_R_ALT_ROUTER], f->x, d, f->p->alt_m, n,
                   QN_EPI_STORE, QN_ACT_TANH, 1 / (float)d);
    qn_emit_linear(f, &p[role], f->p->alt_m, n, f->p->alt_c, n_out,
                   QN_EPI_STORE, QN_ACT_NONE, 1);
}

static void update(qn_fwd *f, const float *a, int n_coef)
{
    const qn_hparams *hp = f->hp;
    qn_emit(f, QN_OP_STREAMS)->u.streams = (qn_op_streams){
        .y = f->p->streams,
        .stride = f->p->stream_size,
        .ldy = hp->d_model,
        .n = hp->n_alt,
        .active = hp->alt_active,
        .n_row = f->n_row,
        .dim = hp->d_model,
        .c = f->p->alt_c,
        .a = a,
        .ldc = n_coef,
        .lda = hp->d_model,
    };
}

void qn_blk_alt_split(qn_fwd *f)
{
    scaled(f, f->h, stream(f, 0), 1, false);
    for (int j = 1; j < f->hp->n_alt; j++) {
        qn_part w = {.w = f->net->top.exp[0][j - 1]};
        qn_emit_linear(f, &w, f->h, f->hp->d_model, stream(f, j),
                       f->hp->d_model, QN_EPI_STORE, QN_ACT_NONE, 1);
        match(f, stream(f, j), f->h);
    }
}

void qn_blk_alt_predict(qn_fwd *f, int layer)
{
    int n = f->hp->n_alt;
    coefficients(f, layer, stream(f, f->hp->alt_active), QN_R_ALT_PREDICT,
                 n * n);
    update(f, NULL, n * n);
    scaled(f, stream(f, f->hp->alt_active), f->h, 1, false);
}

void qn_blk_laurel(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int d = hp->d_model;
    float half = (float)sqrt(0.5);
    qn_emit_linear(f, &p[QN_R_LAUREL_LEFT], f->x, d, f->p->ff, hp->laurel_rank,
                   QN_EPI_STORE, QN_ACT_NONE, 1);
    qn_emit_linear(f, &p[QN_R_LAUREL_RIGHT], f->p->ff, hp->laurel_rank,
                   f->p->branch, d, QN_EPI_STORE, QN_ACT_NONE, 1);
    qn_emit_norm(f, &p[QN_R_LAUREL_NORM], f->p->branch, f->p->branch, f->x, d);
    scaled(f, f->h, f->h, half, false);
    scaled(f, f->p->branch, f->h, half, true);
}

void qn_blk_alt_correct(qn_fwd *f, int layer)
{
    const qn_hparams *hp = f->hp;
    const qn_part *p = f->net->layer[layer].p;
    int d = hp->d_model;
    const float *first = stream(f, hp->alt_active);
    coefficients(f, layer, f->h, QN_R_ALT_CORRECT, hp->n_alt);
    update(f, f->h, hp->n_alt);
    if (hp->alt_scale) {
        qn_emit(f, QN_OP_MAP)->u.map = (qn_op_map){
            .x = first,
            .mul = p[QN_R_ALT_SCALE].v, /* the same for every row */
            .y = f->x,
            .ldx = d,
            .ldy = d,
            .n_row = f->n_row,
            .dim = d,
            .scale = 1,
        };
        first = f->x;
    }
    qn_blk_ple_mix(f, layer, first);
    qn_emit_norm(f, &p[QN_R_PLE_POST_NORM], f->p->branch, f->p->branch, NULL,
                 d);
    for (int j = 1; j < hp->n_alt; j++)
        scaled(f, f->p->branch, stream(f, j), 1, true);
}

void qn_blk_alt_join(qn_fwd *f)
{
    int n = f->hp->n_alt, d = f->hp->d_model;
    scaled(f, stream(f, 0), f->h, 1 / (float)n, false);
    for (int j = 1; j < n; j++) {
        qn_part w = {.w = f->net->top.exp[1][j - 1]};
        qn_emit_linear(f, &w, stream(f, j), d, f->p->branch, d, QN_EPI_STORE,
                       QN_ACT_NONE, 1);
        match(f, f->p->branch, stream(f, 0));
        scaled(f, f->p->branch, f->h, 1 / (float)n, true);
    }
}
