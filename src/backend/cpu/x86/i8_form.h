/* i8_form.h - where things are in the layouts whose products are made of int8
 * dot products: q8_0, q4_0 and those of codes (kernels.h draws them). */
#ifndef QN_BACKEND_CPU_I8_FORM_H
#define QN_BACKEND_CPU_I8_FORM_H

#include "backend/cpu/kernels.h"

#include <stddef.h>
#include <string.h>

/* Blocks with scales in f16, and the form of x that goes with them. */
QN_INLINE bool i8_is_q(qn_layout l)
{
    return l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0;
}

QN_INLINE bool i8_has_mins(qn_layout l)
{
    return l == QN_LAYOUT_M4 || l == QN_LAYOUT_M8;
}

/* Bytes of a block of x, and where its factor d is. */
QN_INLINE int i8_x_bytes(qn_layout l, int B)
{
    return i8_is_q(l) ? (int)sizeof(qn_xq8) : B + (int)sizeof(qn_xi8);
}

QN_INLINE int i8_x_d(qn_layout l, int B)
{
    return i8_is_q(l) ? (int)offsetof(qn_xq8, d) : B;
}

/* Bytes of 16 rows' codes for B k's. */
QN_INLINE int i8_code_bytes(qn_layout l, int B)
{
    return B * (qn_layout_nibbles(l) ? 8 : 16);
}

/* Bytes from a group to the next, before its codes, and k's of it. */
QN_INLINE int i8_group_bytes(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? 32 + i8_code_bytes(l, QN_QBLOCK) : t->q->bytes;
}

QN_INLINE int i8_head(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? 32 : t->q->head;
}

QN_INLINE int i8_group(const qn_tile *t, qn_layout l)
{
    return i8_is_q(l) ? QN_QBLOCK : t->q->group;
}

#endif
