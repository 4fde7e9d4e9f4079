/* vec.h - a growing array of one element type.
 *
 *     QN_VEC(int32_t) ids = {0};
 *     qn_vec_push(&ids, 7);
 *     for (size_t i = 0; i < ids.n; i++) use(ids.v[i]);
 *     qn_vec_deinit(&ids);
 */
#ifndef QN_BASE_VEC_H
#define QN_BASE_VEC_H

#include "base/mem.h"

#define QN_VEC(T)      \
    struct {           \
        T *v;          \
        size_t n, cap; \
    }

#define qn_vec_push(vec, x) \
    (*(__typeof__((vec)->v))qn_vec_slot_((void **)&(vec)->v, &(vec)->n, \
                                         &(vec)->cap, sizeof *(vec)->v) = (x))
#define qn_vec_reserve(vec, want) \
    qn_vec_reserve_((void **)&(vec)->v, &(vec)->cap, (want), sizeof *(vec)->v)
#define qn_vec_clear(vec) ((vec)->n = 0)
#define qn_vec_deinit(vec) (free((vec)->v), (vec)->v = NULL, (vec)->n = (vec)->cap = 0)

#include <stdlib.h>

void qn_vec_reserve_(void **v, size_t *cap, size_t want, size_t size);
/* Address of a new last element (uninitialized). */
void *qn_vec_slot_(void **v, size_t *n, size_t *cap, size_t size);

#endif
