/* iq_signs.h - signs of eight elements in seven bits: the number of minus
 * signs is even, so the eighth follows. */
#ifndef QN_TENSOR_IQ_SIGNS_H
#define QN_TENSOR_IQ_SIGNS_H

static inline unsigned iq_signs(unsigned seven)
{
    unsigned odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return seven | (odd & 1) << 7;
}

#endif
