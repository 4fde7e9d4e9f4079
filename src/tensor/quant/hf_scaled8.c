/* hf_scaled8.c - bytes with scales: FP8 (e4m3) and int8, as
 * compressed-tensors ("float-quantized", "int-quantized"), transformers' and
 * DeepSeek's fp8, AutoFP8 and ModelOpt store them.
 *
 *   weight             f8_e4m3 or i8 [n_out, n_in]
 *   weight_scale or
 *   weight_scale_inv   one element; or [n_out], [n_out, 1]; or
 *                      [n_out / b0, n_in / b1], rounded up
 *   weight_zero_point  i8, as the scale (int8 only), or absent
 *
 *   w = (q - zero) * scale      (weight_scale_inv, too, is a factor)
 *
 * input_scale belongs to activations, which are not quantized here. */
#include "tensor/qscheme.h"

#include "tensor/half.h"

#include <math.h>

enum {
    P_WEIGHT,
    P_SCALE,
    P_ZERO,
    P_INPUT
};

const float *qn_e4m3_table(void)
{
    static const float t[256] = {
#define E1(s, e, m)                     \
    ((s) ? -1.0f : 1.0f) *              \
        ((e) == 0 ? (float)(m) / 512.0f \
         : (e) == 15 && (m) == 7        \
             ? NAN                      \
             : (8.0f + (float)(m)) / 1024.0f * (float)(1 << (e)))
#define E8(s, e)                                                     \
    E1(s, e, 0), E1(s, e, 1), E1(s, e, 2), E1(s, e, 3), E1(s, e, 4), \
        E1(s, e, 5), E1(s, e, 6), E1(s, e, 7)
#define E128(s)                                                           \
    E8(s, 0), E8(s, 1), E8(s, 2), E8(s, 3), E8(s, 4), E8(s, 5), E8(s, 6), \
        E8(s, 7), E8(s, 8), E8(s, 9), E8(s, 10), E8(s, 11), E8(s, 12),    \
        E8(s, 13), E8(s, 14), E8(s, 15)
        E128(0), E128(1)};
    return t;
}

static bool is_fp8(const qn_qpart *p)
{
    return p->dtype == QN_F8_E4M3 && p->n_dims == 2;
}

static bool is_int8(const qn_qpart *p)
{
    return p->dtype == QN_I8 && p->n_dims == 2;
}

/* Rows and columns of a block, where the configuration names them. */
static void said_block(const json_t *q, int64_t block[2])
{
    const json_t *b = json_object_get(q, "weight_block_size");
    const json_t *groups = json_object_get(q, "config_groups");
    const char *key;
    json_t *g;
    block[0] = block[1] = 0;
    json_object_foreach((json_t *)groups, key, g)
    {
        const json_t *w = json_object_get(g, "weights");
        if (json_is_array(json_object_get(w, "block_structure")))
            b = json_object_get(w, "block_structure");
    }
    for (size_t i = 0; i < 2; i++)
        block[i] = QN_MIN(json_integer_value(json_array_get(b, i)), INT32_MAX);
}

static int scaled8_blocks(qn_qmat *m, const json_t *q, qn_err *err)
{
    const qn_qpart *s = &m->part[P_SCALE];
    int64_t n0 = s->n_dims > 0 ? s->shape[0] : 1;
    int64_t n1 = s->n_dims > 1 ? s->shape[1] : 1, said[2];
    if (s->n_dims > 2 || n0 < 1 || n1 < 1)
        return qn_qpart_bad(m, P_SCALE, "of one or two dimensions", err);
    said_block(q, said);
    int64_t b0 = n0 == 1 ? m->n_out : n0 == m->n_out ? 1 : said[0];
    int64_t b1 = n1 == 1 ? m->n_in : said[1];
    if (n1 > 1 && n0 == m->n_out && said[1] < 1)
        b1 = (m->n_in + n1 - 1) / n1;
    if (b0 < 1 || b1 < 1 || (m->n_out + b0 - 1) / b0 != n0 ||
        (m->n_in + b1 - 1) / b1 != n1)
        return qn_qpart_bad(m, P_SCALE,
                            "one scale for the matrix, each row, or each "
                            "block of the configuration's size",
                            err);
    m->block[0] = b0;
    m->group = b1;
    return QN_OK;
}

static int scaled8_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    const qn_qpart *w = &m->part[P_WEIGHT], *z = &m->part[P_ZERO];
    qn_qmat_shape2(m, w->shape[0], w->shape[1]);
    if (m->n_out < 1 || m->n_in < 1)
        return qn_qpart_bad(m, P_WEIGHT, "not empty", err);
    m->bits = 8;
    QN_TRY(qn_qpart_want_float(m, P_SCALE, err));
    QN_TRY(scaled8_blocks(m, q, err));
    if (w->dtype == QN_F8_E4M3) {
        m->table = qn_e4m3_table();
        return QN_OK;
    }
    m->zero = 128;
    m->zeros = z->name != NULL;
    if (m->zeros &&
        (z->dtype != QN_I8 || z->n_elems != m->part[P_SCALE].n_elems))
        return qn_qpart_bad(m, P_ZERO, "i8, one for each scale", err);
    return QN_OK;
}

static void scaled8_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                           qn_qrows *out)
{
    const uint8_t *p = (const uint8_t *)m->part[P_WEIGHT].p + row * m->n_in;
    int64_t n_group = qn_qmat_n_group(m);
    uint8_t flip = m->table ? 0 : 0x80;
    for (int64_t i = 0; i < n_row * m->n_in; i++)
        out->codes[i] = p[i] ^ flip;
    for (int64_t r = 0; r < n_row; r++) {
        int64_t s = (row + r) / m->block[0] * n_group;
        for (int64_t g = 0; g < n_group; g++) {
            int64_t at = r * n_group + g;
            out->scales[at] = qn_qpart_at(&m->part[P_SCALE], s + g);
            if (m->zeros)
                out->zeros[at] = 128 + qn_qpart_at(&m->part[P_ZERO], s + g);
        }
    }
}

/* ---- writing ----------------------------------------------------------- */

/* m->block: rows and columns that share a scale; 0: all of them. */
static int scaled8_lay(qn_qmat *m, qn_err *err)
{
    bool is_float = m->scheme->is_main == is_fp8;
    if (m->bits != 8)
        return qn_fail(err, QN_EUNSUP, "%s is 8 bits, not %d", m->scheme->name,
                       m->bits);
    int64_t b0 = m->block[0] > 0 ? m->block[0] : m->n_out;
    int64_t b1 = m->block[1] > 0 ? m->block[1] : m->n_in;
    int64_t n0 = (m->n_out + b0 - 1) / b0, n1 = (m->n_in + b1 - 1) / b1;
    bool blocks = b0 > 1 && b1 < m->n_in;
    m->block[0] = b0;
    m->group = b1;
    m->zeros = false;
    m->zero = 128;
    m->table = is_float ? qn_e4m3_table() : NULL;
    qn_qpart_lay(m, P_WEIGHT, is_float ? QN_F8_E4M3 : QN_I8, 2, m->n_out,
                 m->n_in);
    bool one = b0 == m->n_out && !blocks; /* for the whole tensor: [1] */
    qn_qpart_lay(m, P_SCALE, blocks ? QN_F32 : m->round, one ? 1 : 2,
                 one ? 1 : n0, n1);
    return QN_OK;
}

static float block_absmax(const float *w, int64_t ld, int64_t rows, int64_t n)
{
    float max = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            max = fabsf(w[r * ld + i]) > max ? fabsf(w[r * ld + i]) : max;
    return max;
}

static void scaled8_code(const qn_qmat *m, const float *w, int64_t n, float inv,
                         uint8_t *codes)
{
    float top = m->table ? 448.0f : 127.0f;
    for (int64_t i = 0; i < n; i++) {
        float v = w[i] * inv;
        v = v < top ? v : top;
        v = v > -top ? v : -top;
        codes[i] = m->table ? qn_e4m3_of_f32(v)
                            : (uint8_t)((int)rintf(v) + 128);
    }
}

/* Pieces of rows are whole blocks (row_unit), but for the last. */
static void scaled8_quantize(const qn_qmat *m, const float *w, int64_t n_row,
                             qn_qrows *out)
{
    int64_t n_group = qn_qmat_n_group(m);
    float top = m->table ? 448.0f : 127.0f;
    for (int64_t r0 = 0; r0 < n_row; r0 += m->block[0]) {
        int64_t rows = QN_MIN(m->block[0], n_row - r0);
        for (int64_t g = 0; g < n_group; g++) {
            int64_t k = g * m->group, n = QN_MIN(m->group, m->n_in - k);
            const float *from = w + r0 * m->n_in + k;
            float max = block_absmax(from, m->n_in, rows, n);
            float s = qn_rounded(max / top, m->part[P_SCALE].dtype);
            s = s > 0 && isfinite(s) ? s : 1;
            for (int64_t r = 0; r < rows; r++) {
                scaled8_code(m, from + r * m->n_in, n, 1 / s,
                             out->codes + (r0 + r) * m->n_in + k);
                out->scales[(r0 + r) * n_group + g] = s;
            }
        }
    }
}

static void scaled8_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                         const qn_qrows *rows)
{
    uint8_t *p = (uint8_t *)m->part[P_WEIGHT].out + row * m->n_in;
    int64_t n_group = qn_qmat_n_group(m);
    uint8_t flip = m->table ? 0 : 0x80;
    for (int64_t i = 0; i < n_row * m->n_in; i++)
        p[i] = rows->codes[i] ^ flip;
    for (int64_t r = 0; r < n_row; r += m->block[0])
        for (int64_t g = 0; g < n_group; g++)
            qn_qpart_put(m, P_SCALE, (row + r) / m->block[0] * n_group + g,
                         rows->scales[r * n_group + g]);
}

#define SCALED8_WRITE                                                       \
    .lay = scaled8_lay, .quantize = scaled8_quantize, .pack = scaled8_pack, \
    .row_unit = -2

const qn_qscheme qn_ct_int8_scheme = {
    .name = "compressed-tensors int8",
    .method = "compressed-tensors",
    .part = {{".weight", true, false},
             {".weight_scale", true, false},
             {".weight_zero_point", false, false},
             {".input_scale", false, false},
             {".input_zero_point", false, false}},
    .is_main = is_int8,
    .plan = scaled8_plan,
    .unpack = scaled8_unpack,
    SCALED8_WRITE,
};

#define FP8_SCHEME(what, how, scale)                                       \
    {                                                                      \
        .name = what, .method = how,                                       \
        .part = {{".weight", true, false},                                 \
                 {scale, true, false},                                     \
                 {".weight_zero_point", false, false},                     \
                 {".input_scale", false, false}},                          \
        .is_main = is_fp8, .plan = scaled8_plan, .unpack = scaled8_unpack, \
        SCALED8_WRITE,                                                     \
    }

const qn_qscheme qn_ct_fp8_scheme =
    FP8_SCHEME("compressed-tensors fp8", "compressed-tensors", ".weight_scale");
const qn_qscheme qn_fp8_scheme = FP8_SCHEME("fp8", "fp8", ".weight_scale");
const qn_qscheme qn_fp8_block_scheme = FP8_SCHEME("fp8 in blocks", "fp8",
                                                  ".weight_scale_inv");
const qn_qscheme qn_modelopt_fp8_scheme = FP8_SCHEME("modelopt fp8", "modelopt",
                                                     ".weight_scale");
