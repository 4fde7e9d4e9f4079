/* hf_fp4.c - 4-bit floats (e2m1) in small groups along k: NVFP4 and MXFP4.
 *
 *   weight_packed  u8 [n_out, n_in / 2]   the first code in the low nibble
 *   weight_scale   f8_e4m3 [n_out, n_in / 16], or u8 (a power of two: 2^(b -
 *                  127)) [n_out, n_in / 32]
 *   weight_global_scale  one f32; the scale is divided by it
 *   (ModelOpt: weight, weight_scale_2, by which it is multiplied)
 *
 * GPT-OSS has its experts as
 *   X_blocks  u8 [n_exp, n_out, n_in / 32, 16]
 *   X_scales  u8 [n_exp, n_out, n_in / 32] */
#include "tensor/qscheme.h"

#include <math.h>
#include <string.h>

enum {
    P_CODES,
    P_SCALE,
    P_GLOBAL,
    P_INPUT,
    MX_GROUP = 32
};

const float qn_e2m1_table[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                 4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                 -2.0f, -3.0f, -4.0f, -6.0f};

static bool fp4_is_main(const qn_qpart *p)
{
    return p->dtype == QN_U8 && p->n_dims == 2;
}

static int fp4_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    (void)q;
    const qn_qpart *w = &m->part[P_CODES], *s = &m->part[P_SCALE];
    const qn_qpart *g = &m->part[P_GLOBAL];
    if (w->shape[1] > INT32_MAX / 2)
        return qn_qpart_bad(m, P_CODES, "[n_out, n_in / 2]", err);
    qn_qmat_shape2(m, w->shape[0], w->shape[1] * 2);
    m->bits = 4;
    m->table = qn_e2m1_table;
    if (s->dtype != QN_F8_E4M3 && s->dtype != QN_U8 && s->dtype != QN_F8_E8M0)
        return qn_qpart_bad(m, P_SCALE, "f8_e4m3 or u8", err);
    if (s->n_dims != 2 || s->shape[0] != m->n_out)
        return qn_qpart_bad(m, P_SCALE, "[n_out, n_group]", err);
    int64_t said = s->dtype == QN_F8_E4M3 ? 16 : MX_GROUP;
    QN_TRY(qn_qmat_group(m, s->shape[1], said, err));
    m->extra = 1;
    if (!g->name)
        return QN_OK;
    QN_TRY(qn_qpart_want(m, P_GLOBAL, QN_F32, err));
    if (g->n_elems != 1)
        return qn_qpart_bad(m, P_GLOBAL, "one element", err);
    float f = qn_qpart_at(g, 0);
    if (!isfinite(f) || f == 0)
        return qn_qpart_bad(m, P_GLOBAL, "a number other than zero", err);
    m->extra = (double)f;
    m->block[0] = strstr(g->name, "global") != NULL; /* divide */
    return QN_OK;
}

static float fp4_scale(const qn_qmat *m, int64_t i)
{
    const qn_qpart *s = &m->part[P_SCALE];
    if (s->dtype != QN_F8_E4M3) {
        uint8_t b = ((const uint8_t *)s->p)[i];
        return b == 255 ? NAN : ldexpf(1.0f, b - 127);
    }
    float v = qn_qpart_at(s, i), g = (float)m->extra;
    return m->block[0] ? v / g : v * g;
}

static void fp4_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                       qn_qrows *out)
{
    const uint8_t *p = (const uint8_t *)m->part[P_CODES].p + row * m->n_in / 2;
    int64_t n_group = qn_qmat_n_group(m);
    for (int64_t i = 0; i < n_row * m->n_in / 2; i++) {
        out->codes[2 * i] = p[i] & 15;
        out->codes[2 * i + 1] = p[i] >> 4;
    }
    for (int64_t i = 0; i < n_row * n_group; i++)
        out->scales[i] = fp4_scale(m, row * n_group + i);
}

static int mxfp4_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    (void)q;
    const qn_qpart *w = &m->part[P_CODES], *s = &m->part[P_SCALE];
    QN_TRY(qn_qpart_want(m, P_CODES, QN_U8, err));
    QN_TRY(qn_qpart_want(m, P_SCALE, QN_U8, err));
    if (w->n_dims != 4 || w->shape[3] != MX_GROUP / 2 ||
        w->shape[0] > INT32_MAX || w->shape[1] > INT32_MAX ||
        w->shape[2] > INT32_MAX / MX_GROUP)
        return qn_qpart_bad(m, P_CODES, "[n_exp, n_out, n_in / 32, 16]", err);
    if (s->n_dims != 3 || memcmp(s->shape, w->shape, 3 * sizeof *w->shape) != 0)
        return qn_qpart_bad(m, P_SCALE, "[n_exp, n_out, n_in / 32]", err);
    m->n_dims = 3;
    m->shape[0] = w->shape[0];
    m->shape[1] = w->shape[1];
    m->shape[2] = m->n_in = w->shape[2] * MX_GROUP;
    m->n_out = w->shape[0] * w->shape[1];
    m->bits = 4;
    m->group = MX_GROUP;
    m->table = qn_e2m1_table;
    return QN_OK;
}

const qn_qscheme qn_ct_nvfp4_scheme = {
    .name = "nvfp4",
    .method = "compressed-tensors",
    .part = {{".weight_packed", true, false},
             {".weight_scale", true, false},
             {".weight_global_scale", true, true},
             {".input_global_scale", false, false}},
    .is_main = fp4_is_main,
    .plan = fp4_plan,
    .unpack = fp4_unpack,
};

const qn_qscheme qn_ct_mxfp4_scheme = {
    .name = "mxfp4",
    .method = "compressed-tensors",
    .part = {{".weight_packed", true, false}, {".weight_scale", true, false}},
    .is_main = fp4_is_main,
    .plan = fp4_plan,
    .unpack = fp4_unpack,
};

const qn_qscheme qn_modelopt_nvfp4_scheme = {
    .name = "modelopt nvfp4",
    .method = "modelopt",
    .part = {{".weight", true, false},
             {".weight_scale", true, false},
             {".weight_scale_2", true, true},
             {".input_scale", false, false}},
    .is_main = fp4_is_main,
    .plan = fp4_plan,
    .unpack = fp4_unpack,
};

const qn_qscheme qn_mxfp4_scheme = {
    .name = "mxfp4 in blocks",
    .method = "mxfp4",
    .part = {{"_blocks", true, false}, {"_scales", true, false}},
    .plan = mxfp4_plan,
    .unpack = fp4_unpack,
};
