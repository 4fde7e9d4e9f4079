/* plain.c - types of one element per block: floats of 16 to 64 bits, integers.
 *
 * Integers wider than 24 bits are rounded to the nearest f32. A truth value is
 * 0 or 1, whatever non-zero byte says "true". */
#include "tensor/codec.h"

#include "tensor/half.h"

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "file bytes are little-endian and are used in place");

void qn_f32_decode(const void *src, float *dst, size_t n)
{
    if (n)
        memcpy(dst, src, n * sizeof *dst);
}

void qn_f32_encode(const float *src, void *dst, size_t n)
{
    if (n)
        memcpy(dst, src, n * sizeof *src);
}

#define DECODE_NAME qn_f16_decode
#define DECODE_TYPE uint16_t
#define DECODE_F32(x) qn_f32_of_f16(x)
#include "tensor/decode_tmpl.h"

#define ENCODE_NAME qn_f16_encode
#define ENCODE_TYPE uint16_t
#define ENCODE_F32(f) qn_f16_of_f32(f)
#include "tensor/encode_tmpl.h"

#define DECODE_NAME qn_bf16_decode
#define DECODE_TYPE uint16_t
#define DECODE_F32(x) qn_f32_of_bf16(x)
#include "tensor/decode_tmpl.h"

#define ENCODE_NAME qn_bf16_encode
#define ENCODE_TYPE uint16_t
#define ENCODE_F32(f) qn_bf16_of_f32(f)
#include "tensor/encode_tmpl.h"

#define DECODE_NAME qn_f64_decode
#define DECODE_TYPE double
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define ENCODE_NAME qn_f64_encode
#define ENCODE_TYPE double
#define ENCODE_F32(f) (double)(f)
#include "tensor/encode_tmpl.h"

#define DECODE_NAME qn_i8_decode
#define DECODE_TYPE int8_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_u8_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_i16_decode
#define DECODE_TYPE int16_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_u16_decode
#define DECODE_TYPE uint16_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_i32_decode
#define DECODE_TYPE int32_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_u32_decode
#define DECODE_TYPE uint32_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_i64_decode
#define DECODE_TYPE int64_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_u64_decode
#define DECODE_TYPE uint64_t
#define DECODE_F32(x) (float)(x)
#include "tensor/decode_tmpl.h"

#define DECODE_NAME qn_bool_decode
#define DECODE_TYPE uint8_t
#define DECODE_F32(x) ((x) != 0 ? 1.0f : 0.0f)
#include "tensor/decode_tmpl.h"
