/* roles.h - what a role's tensor must look like in a given network. */
#ifndef QN_MODEL_ROLES_H
#define QN_MODEL_ROLES_H

#include "model/hparams.h"
#include "model/names.h"

typedef enum qn_role_kind {
    QN_MATRIX, /* [n_out, n_in], goes to the backend packed          */
    QN_VECTOR, /* [n_out], small, f32: norms                         */
    QN_EXPERTS /* n_exp matrices, or one per head                    */
} qn_role_kind;

typedef struct qn_role_shape {
    qn_role_kind kind;
    int n_out, n_in; /* a vector's n_in is 1                                */
    int n_rows; /* vectors: n_rows of n_out / n_rows in the file; mostly 1  */
    bool bias;  /* has a bias of n_out                                      */
    int n_bias; /* ... or of so many, if not 0                              */
} qn_role_shape;

/* false: the network has no such role (in that layer; -1 for those of the
 * whole network). */
bool qn_role_shape_of(const qn_hparams *hp, qn_role role, int layer,
                      qn_role_shape *out);

/* How many matrices a role of the kind QN_EXPERTS has, and where they stand in
 * qn_parts.exp. Keys and values of latent attention are bound as one matrix
 * and taken apart by head then. */
#define QN_ROLE_STACKS 7
int qn_role_count(const qn_hparams *hp, qn_role role);
int qn_role_stack(qn_role role);

/* A norm's weight, unlike other vectors. */
bool qn_role_is_norm(qn_role role);

/* Where a role's rows lie in a tensor that was cut: row r of the role is row
 *     r / block * stride + offset + r % block
 * of the tensor, which has `total` rows. */
typedef struct qn_row_map {
    int64_t block, stride, offset, total;
} qn_row_map;

qn_row_map qn_role_rows(const qn_hparams *hp, qn_role role, qn_cut cut,
                        int64_t n_out);

#endif
