/* le.h - whole numbers as files have them. */
#ifndef QN_CKPT_LE_H
#define QN_CKPT_LE_H

#include "base/compiler.h"

#include <stdint.h>

/* The number whose n <= 8 bytes stand at p, the lowest first. */
QN_INLINE uint64_t qn_le(const void *p, int n)
{
    const unsigned char *b = p;
    uint64_t v = 0;

    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | b[i];
    return v;
}

#endif
