/* qmat.c - the table of schemes, and decoding by any of them. */
#include "tensor/qmat.h"

#include "base/mem.h"
#include "base/str.h"
#include "tensor/half.h"
#include "tensor/qscheme.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* In order of trial: a module belongs to the first whose parts are there. */
static const qn_qscheme *const schemes[] = {
    &qn_bnb_nf4_scheme,        &qn_bnb_fp4_scheme,      &qn_bnb_i8_scheme,
    &qn_gptq_scheme,           &qn_awq_scheme,          &qn_ct_pack_scheme,
    &qn_ct_nvfp4_scheme,       &qn_ct_mxfp4_scheme,     &qn_ct_int8_scheme,
    &qn_ct_fp8_scheme,         &qn_fp8_block_scheme,    &qn_fp8_scheme,
    &qn_modelopt_nvfp4_scheme, &qn_modelopt_fp8_scheme, &qn_mxfp4_scheme,
};

const qn_qscheme *qn_qscheme_at(int i)
{
    return i >= 0 && (size_t)i < QN_COUNTOF(schemes) ? schemes[i] : NULL;
}

/* ---- what a configuration says ----------------------------------------- */

static void list_methods(qn_str *s)
{
    for (size_t i = 0; i < QN_COUNTOF(schemes); i++) {
        if (i == 0 || strcmp(schemes[i]->method, schemes[i - 1]->method) != 0)
            qn_str_addf(s, "%s%s", i ? ", " : "", schemes[i]->method);
    }
}

/* compressed-tensors: `format` names the packing, of all or of each group. */
static bool is_known_format(const char *f)
{
    static const char *const known[] = {
        "pack-quantized",       "int-quantized",        "float-quantized",
        "naive-quantized",      "nvfp4-pack-quantized", "dense",
        "mxfp4-pack-quantized", "mixed-precision",
    };
    for (size_t i = 0; i < QN_COUNTOF(known); i++) {
        if (strcmp(f, known[i]) == 0)
            return true;
    }
    return false;
}

static int check_ct(const json_t *q, qn_err *err)
{
    const char *f = json_string_value(json_object_get(q, "format"));
    if (f && !is_known_format(f))
        return qn_fail(err, QN_EUNSUP,
                       "quantization_config: format \"%s\" of "
                       "compressed-tensors cannot be read",
                       f);
    const json_t *t = json_object_get(q, "transform_config");
    if (json_object_size(json_object_get(t, "config_groups")) > 0)
        return qn_fail(err, QN_EUNSUP,
                       "quantization_config: transform_config (rotations of "
                       "activations) is not supported");
    const json_t *s = json_object_get(q, "sparsity_config");
    f = json_string_value(json_object_get(s, "format"));
    if (f && strcmp(f, "dense") != 0)
        return qn_fail(err, QN_EUNSUP,
                       "quantization_config: sparse weights of format \"%s\" "
                       "cannot be read",
                       f);
    return QN_OK;
}

static int check_awq(const json_t *q, qn_err *err)
{
    const char *v = json_string_value(json_object_get(q, "version"));
    if (!v || strcmp(v, "gemm") == 0 || strcmp(v, "GEMM") == 0)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP,
                   "quantization_config: version \"%s\" of awq cannot be read; "
                   "the common one is \"gemm\"",
                   v);
}

static int check_gptq(const json_t *q, qn_err *err)
{
    const char *f = json_string_value(json_object_get(q, "checkpoint_format"));
    if (!f || strcmp(f, "gptq") == 0 || strcmp(f, "gptq_v2") == 0)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP,
                   "quantization_config: checkpoint_format \"%s\" cannot be "
                   "read; \"gptq\" and \"gptq_v2\" can",
                   f);
}

int qn_qscheme_check(const json_t *q, qn_err *err)
{
    static const struct {
        const char *method;
        int (*check)(const json_t *q, qn_err *err);
    } more[] = {
        {"compressed-tensors", check_ct},
        {"awq", check_awq},
        {"gptq", check_gptq},
    };
    const char *how = json_string_value(json_object_get(q, "quant_method"));
    bool known = false;
    for (size_t i = 0; how && i < QN_COUNTOF(schemes); i++)
        known |= strcmp(how, schemes[i]->method) == 0;
    if (!known) {
        qn_str s;
        qn_str_init(&s);
        list_methods(&s);
        bool mlx = !how && json_object_get(q, "group_size") &&
                   json_object_get(q, "bits");
        int rc = qn_fail(err, QN_EUNSUP,
                         "quantization_config: weights quantized by \"%s\" "
                         "cannot be read; these can: %s. Take another "
                         "quantized checkpoint, or the unquantized one",
                         how   ? how
                         : mlx ? "MLX"
                               : "an unnamed method",
                         s.p);
        qn_str_deinit(&s);
        return rc;
    }
    for (size_t i = 0; i < QN_COUNTOF(more); i++) {
        if (strcmp(how, more[i].method) == 0)
            return more[i].check(q, err);
    }
    return QN_OK;
}

/* ---- parts ------------------------------------------------------------- */

void qn_qpart_some(const qn_qpart *p, int64_t i, int64_t n, float *to)
{
    const qn_dtype_row *d = qn_dtype_get(p->dtype);
    if (d->decode && d->block_elems == 1)
        d->decode((const uint8_t *)p->p + i * d->block_bytes, to, (size_t)n);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

float qn_qpart_at(const qn_qpart *p, int64_t i)
{
    float v;
    qn_qpart_some(p, i, 1, &v);
    return v;
}

int32_t qn_qpart_i32(const qn_qpart *p, int64_t i)
{
    int32_t v;
    memcpy(&v, (const uint8_t *)p->p + i * 4, sizeof v);
    return v;
}

bool qn_qpart_is(const qn_qpart *p, int n_dims, int64_t d0, int64_t d1)
{
    return p->n_dims == n_dims && (n_dims < 1 || p->shape[0] == d0) &&
           (n_dims < 2 || p->shape[1] == d1);
}

int qn_qpart_bad(const qn_qmat *m, int part, const char *wanted, qn_err *err)
{
    const qn_qpart *p = &m->part[part];
    qn_str s;
    qn_str_init(&s);
    for (int i = 0; i < p->n_dims; i++)
        qn_str_addf(&s, "%s%" PRId64, i ? ", " : "", p->shape[i]);
    int rc = qn_fail(err, QN_EFORMAT, "tensor %s: %s [%s] where %s is %s",
                     p->name, qn_dtype_get(p->dtype)->name, s.n ? s.p : "",
                     m->scheme->name, wanted);
    qn_str_deinit(&s);
    return rc;
}

int qn_qpart_want_float(const qn_qmat *m, int part, qn_err *err)
{
    qn_dtype t = m->part[part].dtype;
    if (t == QN_F32 || t == QN_F16 || t == QN_BF16)
        return QN_OK;
    return qn_qpart_bad(m, part, "f32, f16 or bf16", err);
}

int qn_qpart_want(const qn_qmat *m, int part, qn_dtype t, qn_err *err)
{
    if (m->part[part].dtype == t)
        return QN_OK;
    return qn_qpart_bad(m, part, qn_dtype_get(t)->name, err);
}

void qn_qmat_shape2(qn_qmat *m, int64_t n_out, int64_t n_in)
{
    m->n_dims = 2;
    m->shape[0] = m->n_out = n_out;
    m->shape[1] = m->n_in = n_in;
}

int qn_qmat_group(qn_qmat *m, int64_t n_group, int64_t said, qn_err *err)
{
    int64_t g = said > 0 && said <= INT32_MAX ? said : m->n_in;
    if (n_group > 0 && (m->n_in + g - 1) / g != n_group)
        g = (m->n_in + n_group - 1) / n_group;
    if (n_group < 1 || (m->n_in + g - 1) / g != n_group)
        return qn_fail(err, QN_EFORMAT,
                       "%s: %" PRId64 " inputs in %" PRId64
                       " groups, group_size %" PRId64,
                       m->name, m->n_in, n_group, said);
    m->group = g;
    return QN_OK;
}

/* ---- matrices ---------------------------------------------------------- */

int64_t qn_qmat_n_group(const qn_qmat *m)
{
    return (m->n_in + m->group - 1) / m->group;
}

int qn_qmat_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    m->table_part = m->g_idx_part = -1;
    m->round = QN_F32;
    for (int i = 0; i < QN_QPARTS; i++) {
        if (m->part[i].name && m->part[i].n_elems < 1)
            return qn_qpart_bad(m, i, "not empty", err);
    }
    QN_TRY(m->scheme->plan(m, q, err));
    if (m->n_out < 1 || m->n_in < 1 || m->group < 1 || m->n_in > INT32_MAX ||
        m->n_out > INT64_MAX / 16 / m->n_in)
        return qn_fail(err, QN_EFORMAT,
                       "%s: a %s matrix of %" PRId64 " x %" PRId64 " elements",
                       m->name, m->scheme->name, m->n_out, m->n_in);
    return QN_OK;
}

/* A book's values have to be numbers: all weights are made of them. */
static int check_table(const qn_qmat *m, qn_err *err)
{
    for (int i = 0; m->table_part >= 0 && i < 1 << m->bits; i++) {
        float v = qn_qpart_at(&m->part[m->table_part], i);
        if (!isfinite(v))
            return qn_fail(err, QN_EFORMAT,
                           "tensor %s: element %d is %g, expected a number; "
                           "fetch the file again",
                           m->part[m->table_part].name, i, (double)v);
    }
    return QN_OK;
}

int qn_qmat_check(const qn_qmat *m, qn_err *err)
{
    QN_TRY(check_table(m, err));
    if (m->g_idx_part < 0)
        return QN_OK;
    const qn_qpart *p = &m->part[m->g_idx_part];
    int64_t n_group = qn_qmat_n_group(m);
    for (int64_t k = 0; k < m->n_in; k++) {
        int32_t g = qn_qpart_i32(p, k);
        if (g < 0 || g >= n_group)
            return qn_fail(err, QN_EFORMAT,
                           "tensor %s: element %" PRId64 " is %d, there are "
                           "%" PRId64 " groups",
                           p->name, k, (int)g, n_group);
    }
    return QN_OK;
}

size_t qn_qmat_scratch(const qn_qmat *m, int64_t n_row)
{
    size_t n_group = (size_t)qn_qmat_n_group(m);
    return (size_t)n_row *
           (n_group * 2 * sizeof(float) + (size_t)m->n_in + sizeof(float));
}

float qn_rounded(float v, qn_dtype t)
{
    return t == QN_BF16  ? qn_f32_of_bf16(qn_bf16_of_f32(v))
           : t == QN_F16 ? qn_f32_of_f16(qn_f16_of_f32(v))
                         : v;
}

static void decode_row(const qn_qmat *m, const float *table,
                       const uint8_t *codes, const float *scales,
                       const float *zeros, float *dst)
{
    const qn_qpart *idx = m->g_idx_part < 0 ? NULL : &m->part[m->g_idx_part];
    for (int64_t k = 0; k < m->n_in; k++) {
        int64_t g = idx ? qn_qpart_i32(idx, k) : k / m->group;
        float v = table ? table[codes[k]]
                        : (float)codes[k] - (m->zeros ? zeros[g] : m->zero);
        dst[k] = qn_rounded(v * scales[g], m->round);
    }
}

void qn_qmat_decode(const qn_qmat *m, int64_t row, int64_t n_row, void *scratch,
                    float *dst)
{
    int64_t n_group = qn_qmat_n_group(m);
    qn_qrows r = {.scales = scratch};
    float table[256], *t = NULL;
    r.zeros = r.scales + n_row * n_group;
    r.codes = (uint8_t *)(r.zeros + n_row * n_group);
    m->scheme->unpack(m, row, n_row, &r);
    if (m->table_part >= 0) {
        for (int i = 0; i < 1 << m->bits; i++)
            table[i] = qn_qpart_at(&m->part[m->table_part], i);
        t = table;
    }
    for (int64_t i = 0; i < n_row; i++)
        decode_row(m, t ? t : m->table, r.codes + i * m->n_in,
                   r.scales + i * n_group, r.zeros + i * n_group,
                   dst + i * m->n_in);
}

/* ---- writing ------------------------------------------------------------- */

void qn_qpart_lay(qn_qmat *m, int part, qn_dtype t, int n_dims, int64_t d0,
                  int64_t d1)
{
    qn_qpart *p = &m->part[part];
    *p = (qn_qpart){.name = m->scheme->part[part].suffix,
                    .dtype = t,
                    .n_dims = n_dims,
                    .shape = {d0, d1},
                    .n_elems = 1};
    for (int i = 0; i < n_dims; i++)
        p->n_elems *= (uint64_t)p->shape[i];
    p->n_bytes = p->n_elems * (uint64_t)qn_dtype_get(t)->block_bytes;
}

void qn_qpart_put(const qn_qmat *m, int part, int64_t i, float v)
{
    const qn_qpart *p = &m->part[part];
    const qn_dtype_row *d = qn_dtype_get(p->dtype);
    d->encode(&v, (uint8_t *)p->out + i * d->block_bytes, 1);
}

uint64_t qn_qmat_bytes(const qn_qmat *m)
{
    uint64_t n = 0;
    for (int i = 0; i < QN_QPARTS; i++)
        n += m->part[i].name ? m->part[i].n_bytes : 0;
    return n;
}

int qn_qmat_lay(qn_qmat *m, qn_err *err)
{
    memset(m->part, 0, sizeof m->part);
    m->work_bytes = 0;
    m->table_part = m->g_idx_part = -1;
    if (!m->scheme->lay)
        return qn_fail(err, QN_EUNSUP, "weights are not written as %s",
                       m->scheme->name);
    if (m->n_out < 1 || m->n_in < 1 || m->n_out > INT32_MAX ||
        m->n_in > INT32_MAX)
        return qn_fail(err, QN_EUNSUP,
                       "%s: a matrix of %" PRId64 " x %" PRId64 " elements",
                       m->scheme->name, m->n_out, m->n_in);
    return m->scheme->lay(m, err);
}

int64_t qn_qmat_row_unit(const qn_qmat *m)
{
    if (m->scheme->row_unit == -2)
        return QN_MAX(m->block[0], 1);
    if (m->scheme->row_unit >= 0)
        return QN_MAX(m->scheme->row_unit, 1);
    int64_t a = m->n_in, b = m->block[0]; /* least rows of whole blocks */
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return m->block[0] / a;
}

/* The least and the largest of n weights and 0, some side by side. */
static void ends_of(const float *w, int64_t n, float *least, float *largest)
{
    enum {
        SIDE = 8
    };
    float lo[SIDE] = {0}, hi[SIDE] = {0};
    int64_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        for (int k = 0; k < SIDE; k++) {
            lo[k] = w[i + k] < lo[k] ? w[i + k] : lo[k];
            hi[k] = w[i + k] > hi[k] ? w[i + k] : hi[k];
        }
    for (; i < n; i++) {
        lo[0] = w[i] < lo[0] ? w[i] : lo[0];
        hi[0] = w[i] > hi[0] ? w[i] : hi[0];
    }
    for (int k = 1; k < SIDE; k++) {
        lo[0] = lo[k] < lo[0] ? lo[k] : lo[0];
        hi[0] = hi[k] > hi[0] ? hi[k] : hi[0];
    }
    *least = lo[0];
    *largest = hi[0];
}

void qn_affine_fit(const qn_qmat *m, const float *w, int64_t n, float *scale,
                   float *zero)
{
    float lo, hi, max = (float)((1 << m->bits) - 1);
    ends_of(w, n, &lo, &hi);
    float range = m->zeros ? hi - lo : 2 * fmaxf(hi, -lo);
    float s = qn_rounded(range / max, m->stored);
    if (!(s > 0) || !isfinite(s))
        s = 1;
    *scale = s;
    *zero = m->zeros ? fminf(fmaxf(rintf(-lo / s), 0), max) : m->zero;
}

void qn_affine_quantize(const qn_qmat *m, const float *w, int64_t n_row,
                        qn_qrows *out)
{
    int64_t n_group = qn_qmat_n_group(m);
    float max = (float)((1 << m->bits) - 1);
    for (int64_t r = 0; r < n_row; r++, w += m->n_in) {
        for (int64_t g = 0; g < n_group; g++) {
            int64_t k0 = g * m->group, n = QN_MIN(m->group, m->n_in - k0);
            uint8_t *c = out->codes + r * m->n_in + k0;
            float *s = &out->scales[r * n_group + g], zero;
            qn_affine_fit(m, w + k0, n, s, &zero);
            if (m->zeros)
                out->zeros[r * n_group + g] = zero;
            float inv = 1.0f / *s;
            for (int64_t i = 0; i < n; i++) {
                float q = rintf(w[k0 + i] * inv) + zero;
                q = q > 0 ? q : 0; /* a NaN becomes 0 */
                c[i] = (uint8_t)(q < max ? q : max);
            }
        }
    }
}
