/* vec.c - growth policy of QN_VEC: half as much again, at least 8. */
#include "base/vec.h"

void *qn_vec_grow_(void *v, size_t *cap, size_t want, size_t size)
{
    size_t c = *cap + *cap / 2;
    if (c < 8)
        c = 8;
    if (c < want)
        c = want;
    v = qn_xreallocarray(v, c, size);
    *cap = c;
    return v;
}
