/* hf_bnb4.c - bitsandbytes' 4-bit floats, nf4 and fp4.
 *
 * The matrix is taken as one flat row of elements in blocks of `blocksize`
 * (32 .. 4096), whatever its shape; so a block may go on from one row to the
 * next.
 *
 *   weight       two codes a byte, the first in the high nibble; the storage
 *                type of the tensor means nothing
 *   quant_map    f32 [16], the code book
 *   absmax       f32 [n_block]; the block's scale
 *   or, double quantization, in blocks of nested_blocksize:
 *   absmax       u8 [n_block]: scale = nested_quant_map[absmax]
 *                * nested_absmax + nested_offset
 *   quant_state  a JSON text as bytes: blocksize, shape, dtype, ...
 *
 *   w = round(quant_map[code] * scale), to the dtype of the unquantized
 *   weights: the rounding is in bitsandbytes' own dequantization. */
#include "tensor/qscheme.h"

#include <string.h>

enum {
    P_WEIGHT,
    P_ABSMAX,
    P_MAP,
    P_STATE,
    P_NESTED_ABSMAX,
    P_NESTED_MAP,
    N_CODES = 16,
    STATE_MAX = 4096
};

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static int read_state(qn_qmat *m, const json_t *s, qn_err *err)
{
    const char *doc = m->part[P_STATE].name, *type = "float32";
    const json_t *shape = json_object_get(s, "shape");
    int64_t n_in = 1, block = 0;
    QN_TRY(qn_json_i64(s, "blocksize", &block, doc, err));
    QN_TRY(qn_json_str(s, "dtype", &type, doc, err));
    size_t n = json_array_size(shape);
    if (n < 2 || n > QN_QDIMS || block < 1 || block > 1 << 20)
        return qn_fail(err, QN_EFORMAT,
                       "tensor %s: needs a shape of 2 to %d dimensions and a "
                       "blocksize",
                       doc, QN_QDIMS);
    m->n_out = 1;
    m->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        int64_t d = json_integer_value(json_array_get(shape, i));
        int64_t *into = i + 1 < n ? &m->n_out : &n_in;
        if (d < 1 || d > INT32_MAX || *into > INT64_MAX / 1024 / d)
            return qn_fail(err, QN_EFORMAT, "tensor %s: bad shape", doc);
        *into *= d;
        m->shape[i] = d;
    }
    m->n_in = n_in;
    m->block[0] = block;
    m->group = gcd(n_in, block);
    m->round = strcmp(type, "bfloat16") == 0  ? QN_BF16
               : strcmp(type, "float16") == 0 ? QN_F16
                                              : QN_F32;
    if (m->part[P_NESTED_ABSMAX].name) {
        QN_TRY(qn_json_f64(s, "nested_offset", &m->extra, doc, err));
        m->block[1] = 256;
        QN_TRY(qn_json_i64(s, "nested_blocksize", &m->block[1], doc, err));
        if (m->block[1] < 1)
            return qn_fail(err, QN_EFORMAT, "tensor %s: nested_blocksize", doc);
    }
    return QN_OK;
}

static int check_parts(qn_qmat *m, qn_err *err)
{
    uint64_t n = (uint64_t)m->n_out * (uint64_t)m->n_in;
    uint64_t block = (uint64_t)m->block[0], blocks = (n + block - 1) / block;
    if (m->part[P_WEIGHT].n_bytes < (n + 1) / 2)
        return qn_qpart_bad(m, P_WEIGHT, "4 bits for each element", err);
    QN_TRY(qn_qpart_want(m, P_MAP, QN_F32, err));
    if (m->part[P_MAP].n_elems != N_CODES)
        return qn_qpart_bad(m, P_MAP, "16 elements", err);
    if (m->part[P_ABSMAX].n_elems != blocks)
        return qn_qpart_bad(m, P_ABSMAX, "one element for each block", err);
    if (!m->part[P_NESTED_ABSMAX].name)
        return qn_qpart_want_float(m, P_ABSMAX, err);
    QN_TRY(qn_qpart_want(m, P_ABSMAX, QN_U8, err));
    if (!m->part[P_NESTED_MAP].name || m->part[P_NESTED_MAP].n_elems != 256 ||
        m->part[P_NESTED_MAP].dtype != QN_F32)
        return qn_qpart_bad(m, P_ABSMAX,
                            "quantized by a nested_quant_map of "
                            "256 f32",
                            err);
    QN_TRY(qn_qpart_want_float(m, P_NESTED_ABSMAX, err));
    uint64_t nested = (uint64_t)m->block[1];
    if (m->part[P_NESTED_ABSMAX].n_elems != (blocks + nested - 1) / nested)
        return qn_qpart_bad(m, P_NESTED_ABSMAX,
                            "one element for each nested block", err);
    return QN_OK;
}

static int bnb4_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    (void)q;
    const qn_qpart *s = &m->part[P_STATE];
    json_t *state = NULL;
    if (s->n_bytes > STATE_MAX)
        return qn_qpart_bad(m, P_STATE, "a short JSON text", err);
    QN_TRY(qn_json_parse(&state, s->p, (size_t)s->n_bytes, s->name, err));
    int rc = json_is_object(state) ? read_state(m, state, err)
                                   : qn_qpart_bad(m, P_STATE, "an object", err);
    json_decref(state);
    QN_TRY(rc);
    m->bits = 4;
    m->table_part = P_MAP;
    return check_parts(m, err);
}

static float bnb4_scale(const qn_qmat *m, int64_t block)
{
    if (!m->part[P_NESTED_ABSMAX].name)
        return qn_qpart_at(&m->part[P_ABSMAX], block);
    uint8_t code = ((const uint8_t *)m->part[P_ABSMAX].p)[block];
    float v = qn_qpart_at(&m->part[P_NESTED_MAP], code) *
              qn_qpart_at(&m->part[P_NESTED_ABSMAX], block / m->block[1]);
    return v + (float)m->extra;
}

static void bnb4_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                        qn_qrows *out)
{
    const uint8_t *p = m->part[P_WEIGHT].p;
    int64_t at = row * m->n_in, n = n_row * m->n_in;
    for (int64_t i = 0; i < n; i++) {
        uint8_t b = p[(at + i) / 2];
        out->codes[i] = (at + i) & 1 ? b & 15 : b >> 4;
    }
    for (int64_t g = 0; g < n / m->group; g++)
        out->scales[g] = bnb4_scale(m, (at + g * m->group) / m->block[0]);
}

#define BNB4_PARTS(type)                                             \
    {                                                                \
        {".weight", true, false}, {".weight.absmax", true, false},   \
            {".weight.quant_map", true, false},                      \
            {".weight.quant_state.bitsandbytes__" type, true, true}, \
            {".weight.nested_absmax", false, false},                 \
        {                                                            \
            ".weight.nested_quant_map", false, false                 \
        }                                                            \
    }

const qn_qscheme qn_bnb_nf4_scheme = {
    .name = "bitsandbytes nf4",
    .method = "bitsandbytes",
    .part = BNB4_PARTS("nf4"),
    .plan = bnb4_plan,
    .unpack = bnb4_unpack,
};

const qn_qscheme qn_bnb_fp4_scheme = {
    .name = "bitsandbytes fp4",
    .method = "bitsandbytes",
    .part = BNB4_PARTS("fp4"),
    .plan = bnb4_plan,
    .unpack = bnb4_unpack,
};
