/* vec.h - a growing array of one element type.
 *
 *     QN_VEC(int32_t) ids = {0};
 *     qn_vec_push(&ids, 7);
 *     for (size_t i = 0; i < ids.n; i++) use(ids.v[i]);
 *     qn_vec_deinit(&ids);
 *
 * Invariants: n <= cap; v is NULL exactly while cap is 0. The macros evaluate
 * `vec` several times and are statements. Memory that runs out ends the
 * program (base/mem.h), so that lengths from outside must be bounded first. */
#ifndef QN_BASE_VEC_H
#define QN_BASE_VEC_H

#include "base/mem.h"

#include <stdlib.h>

#define QN_VEC(T)      \
    struct {           \
        T *v;          \
        size_t n, cap; \
    }

/* Appends a copy. The value is computed before the array moves, so it may
 * name an element of the same array. */
#define qn_vec_push(vec, ...)                                            \
    do {                                                                 \
        __typeof__(*(vec)->v) qn_vec_x_ = __VA_ARGS__;                   \
        if ((vec)->n == (vec)->cap)                                      \
            (vec)->v = qn_vec_grow_((vec)->v, &(vec)->cap, (vec)->n + 1, \
                                    sizeof *(vec)->v);                   \
        (vec)->v[(vec)->n++] = qn_vec_x_;                                \
    } while (0)

/* Room for at least `want` elements in all. */
#define qn_vec_reserve(vec, want)                                     \
    do {                                                              \
        size_t qn_vec_w_ = (want);                                    \
        if (qn_vec_w_ > (vec)->cap)                                   \
            (vec)->v = qn_vec_grow_((vec)->v, &(vec)->cap, qn_vec_w_, \
                                    sizeof *(vec)->v);                \
    } while (0)

#define qn_vec_clear(vec) ((void)((vec)->n = 0))

#define qn_vec_deinit(vec)         \
    do {                           \
        free((vec)->v);            \
        (vec)->v = NULL;           \
        (vec)->n = (vec)->cap = 0; \
    } while (0)

/* Moves v to room for `want` (> *cap) elements, at least half as many again
 * as before; updates *cap. */
void *qn_vec_grow_(void *v, size_t *cap, size_t want, size_t size);

#endif
