/* block_codes.h - block formats of GGUF as codes in groups, for backends that
 * keep them so. By the row's kind
 *
 *   book      x = scale * book[code]
 *   offsets   x = scale * code - offset
 *   neither   x = scale * (code - zero)
 *
 * and nothing is lost: computed in f32 in this order, x is what the format's
 * decode says (up to the sign of a zero). Pure functions, any thread. */
#ifndef QN_TENSOR_BLOCK_CODES_H
#define QN_TENSOR_BLOCK_CODES_H

#include "tensor/dtype.h"

#define QN_BLOCK_CODES_MAX 256 /* elements of a block */

typedef struct qn_block_codes {
    int group; /* elements of a scale: 16, 32, 64 or 128; divides the block */
    int bits;  /* of a code: 4 or 8                                */
    int zero;
    bool offsets;
    const float *book; /* [16] */
    /* One block: codes [block_elems], scales and offsets one a group (offsets
     * NULL without). */
    void (*unpack)(const uint8_t *block, uint8_t *codes, float *scales,
                   float *offsets);
} qn_block_codes;

/* NULL: the format has none. */
const qn_block_codes *qn_block_codes_get(qn_dtype t);

#endif
