/* jinja_eval.h - walking the tree (private to jinja_*.c). */
#ifndef QN_TEXT_JINJA_EVAL_H
#define QN_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"
#include "text/jinja_rt.h"

/* ---- jinja_eval.c -------------------------------------------------------- */

/* The value of an expression. */
int qn_jrt_eval(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval *out);
/* The arguments of a CALL, FILTER or TEST; `extra` (may be NULL) is one more
 * keyword. */
int qn_jrt_eval_args(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                     const qn_jkw *extra, qn_jargs *out);
/* Stores into the variables of a target, unpacking tuples. */
int qn_jrt_assign(qn_jrt *rt, qn_jenv *env, const qn_jnode *target, qn_jval v);

static inline qn_jval *qn_jenv_at(qn_jenv *env, uint32_t up, uint32_t slot)
{
    while (up--)
        env = env->up;
    return &env->slot[slot];
}

/* ---- jinja_loop.c -------------------------------------------------------- */

/* What the loop variable knows. `it` is read through qn_jloop_next alone. */
typedef struct qn_jloop {
    qn_jiter *it;
    qn_jval over;   /* what is iterated, for its length         */
    int64_t length; /* -1: not asked for yet                    */
    int64_t index0;
    int64_t depth0;
    qn_jval after; /* read ahead, or MISSING                   */
    qn_jval current, before;
    qn_jval changed; /* arguments of the last changed(), a tuple */
    /* Recursive loops: to run the body again. */
    const qn_jnode *node;
    qn_jenv *env;
} qn_jloop;

int qn_jloop_new(qn_jrt *rt, qn_jval over, int64_t depth0, qn_jloop **out);
int qn_jloop_next(qn_jrt *rt, qn_jloop *l, qn_jval *out);

#endif
