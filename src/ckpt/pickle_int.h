/* pickle_int.h - between pickle.c (the machine) and pickle_torch.c (what may
 * be called, and what comes of it). */
#ifndef QN_CKPT_PICKLE_INT_H
#define QN_CKPT_PICKLE_INT_H

#include "ckpt/pickle.h"

typedef enum qn_pickle_call {
    QN_PK_NO_CALL, /* a type that is only named */
    QN_PK_ORDERED_DICT,
    QN_PK_TENSOR_V1,
    QN_PK_TENSOR_V2,
    QN_PK_TENSOR_V3,
    QN_PK_PARAMETER
} qn_pickle_call;

typedef struct qn_pickle_global {
    const char *module, *name;
    qn_pickle_call call;
    qn_dtype dtype; /* of a storage class or a torch.dtype; else QN_DTYPE_N */
} qn_pickle_global;

/* NULL: it may not be asked for. */
const qn_pickle_global *qn_pickle_find(qn_view module, qn_view name);
/* What module.name(*args) returns. */
int qn_pickle_reduce(qn_pickle *p, const qn_pickle_value *callee,
                     const qn_pickle_value *args, qn_pickle_value **out,
                     qn_err *err);
/* The storage that a persistent id stands for. */
int qn_pickle_persistent(qn_pickle *p, const qn_pickle_value *id,
                         qn_pickle_value **out, qn_err *err);
/* Counts n values more against the limit. */
int qn_pickle_count(qn_pickle *p, size_t n, qn_err *err);
int qn_pickle_new(qn_pickle *p, qn_pickle_kind kind, qn_pickle_value **out,
                  qn_err *err);

#endif
