/* q8_sums.c - ggml's 8-bit blocks that carry sums of their elements: made for
 * activations in the middle of a product, and hardly ever found in a file.
 *
 *   q8_1   block of 32, 36 bytes:    | d: f16 | s: f16 | q[32]: int8 |
 *   q8_k   block of 256, 292 bytes:  | d: f32 | q[256]: int8 | sums[16]: i16 |
 *   x[i] = d * q[i]                    (the sums follow from q) */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <stdint.h>
#include <string.h>

typedef struct q8_1_block {
    uint16_t d, s;
    int8_t q[32];
} q8_1_block;
_Static_assert(sizeof(q8_1_block) == 36, "as in the file");

typedef struct q8_k_block {
    float d;
    int8_t q[256];
    int16_t sums[16];
} q8_k_block;
_Static_assert(sizeof(q8_k_block) == 292, "as in the file");

static void q8_1_values(const q8_1_block *b, float *x)
{
    float d = qn_f32_of_f16(b->d);
    for (int i = 0; i < 32; i++)
        x[i] = d * (float)b->q[i];
}

static void q8_k_values(const q8_k_block *b, float *x)
{
    for (int i = 0; i < 256; i++)
        x[i] = b->d * (float)b->q[i];
}

#define BLOCK_NAME qn_q8_1_decode
#define BLOCK_TYPE q8_1_block
#define BLOCK_ELEMS 32
#define BLOCK_DECODE q8_1_values
#include "tensor/decode_block_tmpl.h"

#define BLOCK_NAME qn_q8_k_decode
#define BLOCK_TYPE q8_k_block
#define BLOCK_ELEMS 256
#define BLOCK_DECODE q8_k_values
#include "tensor/decode_block_tmpl.h"
