/* rec.h - recurrent layers: from config keys to features, and what follows
 * from those: shapes, the columns of a row on its way, the state's size.
 *
 * Four kinds, one frame (blk_rec.c): project, convolve, carry a state along,
 * gate, project back. Sources: Gu and Dao 2023 (Mamba), Dao and Gu 2024
 * (Mamba 2), Lieber et al. 2024 (Jamba), Yang et al. 2024 (gated delta rule);
 * defaults are those of transformers' configuration classes. */
#ifndef QN_MODEL_REC_H
#define QN_MODEL_REC_H

#include "model/families.h"
#include "model/roles.h"

/* Fills hp->rec, if the family has such layers; hp's sizes are there. */
int qn_rec_read(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                qn_err *err);
/* The activation that a key names (hparams.c). */
int qn_act_read(const qn_value *v, qn_act *out, qn_err *err);
/* Which layers attend, which recur, which have a feed-forward. */
int qn_rec_layers(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                  qn_err *err);

/* A row behind the projections: what is convolved comes first. */
typedef struct qn_rec_cols {
    int n_x, n_conv; /* outputs of REC_X; convolved in all           */
    int q, k, x, b, z, dt, beta; /* where each begins; unused ones are 0      */
    int total;
} qn_rec_cols;

qn_rec_cols qn_rec_columns(const qn_rec_hp *r);

/* Floats of state of one sequence in one layer: the convolution's, all. */
int64_t qn_rec_conv_state(const qn_rec_hp *r);
int64_t qn_rec_state(const qn_rec_hp *r);

/* roles.h, for the roles QN_R_REC_* */
bool qn_rec_shape(const qn_hparams *hp, qn_role role, qn_role_shape *out);
qn_row_map qn_rec_rows(const qn_hparams *hp, qn_role role, qn_cut cut,
                       int64_t n_out);

#endif
