/* hf_pack.c - compressed-tensors "pack-quantized": integers of 1 to 8 bits.
 *
 *   weight_packed      i32 [n_out, ceil(n_in / f)]    f = 32 / bits, whole
 *   weight_scale       [n_out, n_group], or one per row or matrix
 *   weight_zero_point  i32 [ceil(n_out / f), n_group] packed along n_out, or
 *                      absent: symmetric
 *   weight_shape       i64 [2] = n_out, n_in
 *   weight_g_idx       i32 [n_in], with activation order
 *
 * Signed q in [-2^(b-1), 2^(b-1)) is held as q + 2^(b-1); so are zero points.
 * f codes a word, the first lowest; bits beyond f * bits stay empty.
 *
 *   w = (q - zero) * scale */
#include "tensor/qscheme.h"

#include <string.h>

enum {
    P_PACKED,
    P_SCALE,
    P_SHAPE,
    P_ZERO,
    P_G_IDX
};

/* Whether a group of the configuration names the module. */
static bool names_module(const json_t *group, const char *module)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(group, "targets"), i, v)
    {
        const char *target = json_string_value(v);
        if (target && module && strcmp(target, module) == 0)
            return true;
    }
    return false;
}

/* Bits that the shapes agree with and that some group of the configuration
 * says: one that names the module if there is such a group, else (targets are
 * patterns, or kinds of modules) the one whose size of a group the scales agree
 * with, too. 0: none; -1: several, of rows that are short. */
static int pack_bits(const qn_qmat *m, const json_t *q, int64_t n_words,
                     int64_t n_group, int64_t *size)
{
    const json_t *groups = json_object_get(q, "config_groups");
    const char *key;
    json_t *g;
    int bits = 0;
    bool fit = false;
    json_object_foreach((json_t *)groups, key, g)
    {
        const json_t *w = json_object_get(g, "weights");
        json_int_t b = json_integer_value(json_object_get(w, "num_bits"));
        json_int_t n = json_integer_value(json_object_get(w, "group_size"));
        if (b < 1 || b > 8)
            continue;
        int64_t f = 32 / b;
        if ((m->n_in + f - 1) / f != n_words)
            continue;
        bool named = names_module(g, m->name);
        bool fits = n > 0 && n <= m->n_in ? (m->n_in + n - 1) / n == n_group
                                          : n_group == 1;
        if (!named && bits && !fits)
            continue;
        bits = !bits || bits == (int)b || named || !fit ? (int)b : -1;
        fit = fits;
        *size = n;
        if (named)
            break;
    }
    return bits;
}

static bool pack_is_main(const qn_qpart *p)
{
    return p->dtype == QN_I32;
}

static int pack_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    const qn_qpart *w = &m->part[P_PACKED], *s = &m->part[P_SCALE];
    int64_t dims[2], said = 0;
    QN_TRY(qn_qpart_want(m, P_SHAPE, QN_I64, err));
    QN_TRY(qn_qpart_want_float(m, P_SCALE, err));
    if (m->part[P_SHAPE].n_elems != 2)
        return qn_qpart_bad(m, P_SHAPE, "[2]", err);
    memcpy(dims, m->part[P_SHAPE].p, sizeof dims);
    if (w->n_dims != 2 || dims[0] != w->shape[0] || dims[1] < 1 ||
        dims[1] > INT32_MAX)
        return qn_qpart_bad(m, P_PACKED, "[n_out, n_in / (32 / bits)]", err);
    qn_qmat_shape2(m, dims[0], dims[1]);
    int64_t n_group = s->n_dims == 2 ? s->shape[1] : 1;
    m->bits = pack_bits(m, q, w->shape[1], n_group, &said);
    if (m->bits < 0)
        return qn_qpart_bad(m, P_PACKED,
                            "packed to bits that its rows leave no doubt "
                            "about, or named in the targets of a group",
                            err);
    if (!m->bits)
        return qn_qpart_bad(m, P_PACKED,
                            "packed to a num_bits of the "
                            "quantization_config",
                            err);
    m->block[0] = s->n_elems == 1 ? m->n_out : 1; /* rows of a scale */
    if (s->n_elems != (uint64_t)(n_group * (m->n_out / m->block[0])))
        return qn_qpart_bad(m, P_SCALE, "[n_out, n_group]", err);
    QN_TRY(qn_qmat_group(m, n_group, said, err));
    m->zero = (float)(1 << (m->bits - 1));
    int64_t f = 32 / m->bits;
    m->zeros = m->part[P_ZERO].name != NULL;
    if (m->zeros) {
        QN_TRY(qn_qpart_want(m, P_ZERO, QN_I32, err));
        if (!qn_qpart_is(&m->part[P_ZERO], 2, (m->n_out + f - 1) / f, n_group))
            return qn_qpart_bad(m, P_ZERO, "[n_out / (32 / bits), n_group]",
                                err);
    }
    if (m->part[P_G_IDX].name) {
        QN_TRY(qn_qpart_want(m, P_G_IDX, QN_I32, err));
        if (m->part[P_G_IDX].n_elems != (uint64_t)m->n_in)
            return qn_qpart_bad(m, P_G_IDX, "[n_in]", err);
        m->g_idx_part = P_G_IDX;
    }
    return QN_OK;
}

static uint8_t field(const qn_qpart *p, int64_t word, int64_t i, int bits)
{
    uint32_t v = (uint32_t)qn_qpart_i32(p, word);
    return (uint8_t)(v >> i * bits & ((1u << bits) - 1));
}

/* Codes of 4 bits fill their words: two a byte, a form that compilers make vectors
 * of. */
static void nibbles_get(const uint8_t *from, int64_t n, uint8_t *to)
{
    for (int64_t i = 0; i < n / 2; i++) {
        to[2 * i] = from[i] & 15;
        to[2 * i + 1] = from[i] >> 4;
    }
    if (n % 2)
        to[n - 1] = from[n / 2] & 15;
}

static void nibbles_put(const uint8_t *from, int64_t n, uint8_t *to)
{
    for (int64_t i = 0; i < n / 2; i++)
        to[i] = (uint8_t)(from[2 * i] | from[2 * i + 1] << 4);
    if (n % 2)
        to[n / 2] = from[n - 1];
}

/* The n codes of a row, from its first word on. */
static void row_get(const qn_qpart *p, int64_t word, int bits, int64_t n,
                    uint8_t *to)
{
    const uint8_t *from = (const uint8_t *)p->p + word * 4;
    int64_t f = 32 / bits;
    if (bits == 8)
        memcpy(to, from, (size_t)n);
    else if (bits == 4)
        nibbles_get(from, n, to);
    else
        for (int64_t k = 0; k < n; k++)
            to[k] = field(p, word + k / f, k % f, bits);
}

static void pack_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                        qn_qrows *out)
{
    int64_t n_group = qn_qmat_n_group(m), f = 32 / m->bits;
    int64_t words = m->part[P_PACKED].shape[1];
    for (int64_t r = 0; r < n_row; r++) {
        row_get(&m->part[P_PACKED], (row + r) * words, m->bits, m->n_in,
                out->codes + r * m->n_in);
        qn_qpart_some(&m->part[P_SCALE], (row + r) / m->block[0] * n_group,
                      n_group, out->scales + r * n_group);
        for (int64_t g = 0; m->zeros && g < n_group; g++)
            out->zeros[r * n_group + g] = field(&m->part[P_ZERO],
                                                (row + r) / f * n_group + g,
                                                (row + r) % f, m->bits);
    }
}

static int pack_lay(qn_qmat *m, qn_err *err)
{
    int64_t g = m->group > 0 ? m->group : m->n_in;
    if (m->bits < 2 || m->bits > 8)
        return qn_fail(err, QN_EUNSUP,
                       "packed integers have 2 to 8 bits, not "
                       "%d",
                       m->bits);
    if (m->n_in % g)
        return qn_fail(err, QN_EUNSUP,
                       "rows of %lld elements are not whole groups of %lld",
                       (long long)m->n_in, (long long)g);
    int64_t f = 32 / m->bits, n_group = m->n_in / g;
    m->group = g;
    m->stored = m->round;
    m->zero = (float)(1 << (m->bits - 1));
    m->block[0] = 1;
    qn_qpart_lay(m, P_PACKED, QN_I32, 2, m->n_out, (m->n_in + f - 1) / f);
    qn_qpart_lay(m, P_SCALE, m->round, 2, m->n_out, n_group);
    qn_qpart_lay(m, P_SHAPE, QN_I64, 1, 2, 0);
    if (m->zeros)
        qn_qpart_lay(m, P_ZERO, QN_I32, 2, (m->n_out + f - 1) / f, n_group);
    return QN_OK;
}

static void field_put(const qn_qpart *p, int64_t word, int64_t i, int bits,
                      uint32_t code)
{
    uint8_t *at = (uint8_t *)p->out + word * 4;
    uint32_t v;
    memcpy(&v, at, sizeof v);
    v |= code << i * bits;
    memcpy(at, &v, sizeof v);
}

static void row_put(const qn_qpart *p, int64_t word, int bits, int64_t n,
                    const uint8_t *codes)
{
    uint8_t *to = (uint8_t *)p->out + word * 4;
    int64_t f = 32 / bits;
    if (bits == 8)
        memcpy(to, codes, (size_t)n);
    else if (bits == 4)
        nibbles_put(codes, n, to);
    else
        for (int64_t k = 0; k < n; k++)
            field_put(p, word + k / f, k % f, bits, codes[k]);
}

static void pack_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                      const qn_qrows *rows)
{
    int64_t n_group = qn_qmat_n_group(m), f = 32 / m->bits;
    int64_t words = m->part[P_PACKED].shape[1];
    for (int64_t r = 0; r < n_row; r++) {
        row_put(&m->part[P_PACKED], (row + r) * words, m->bits, m->n_in,
                rows->codes + r * m->n_in);
        for (int64_t g = 0; g < n_group; g++) {
            int64_t at = r * n_group + g;
            qn_qpart_put(m, P_SCALE, (row + r) * n_group + g, rows->scales[at]);
            if (m->zeros)
                field_put(&m->part[P_ZERO], (row + r) / f * n_group + g,
                          (row + r) % f, m->bits, (uint32_t)rows->zeros[at]);
        }
    }
}

static void pack_finish(const qn_qmat *m)
{
    memcpy(m->part[P_SHAPE].out, (int64_t[2]){m->n_out, m->n_in},
           2 * sizeof(int64_t));
}

const qn_qscheme qn_ct_pack_scheme = {
    .name = "compressed-tensors packed",
    .method = "compressed-tensors",
    .part = {{".weight_packed", true, false},
             {".weight_scale", true, false},
             {".weight_shape", true, true},
             {".weight_zero_point", false, false},
             {".weight_g_idx", false, false}},
    .is_main = pack_is_main,
    .plan = pack_plan,
    .unpack = pack_unpack,
    .lay = pack_lay,
    .quantize = qn_affine_quantize,
    .pack = pack_pack,
    .finish = pack_finish,
    .row_unit = 240, /* whole words of zero points, whatever the bits */
};
