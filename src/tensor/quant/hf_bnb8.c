/* hf_bnb8.c - bitsandbytes' LLM.int8(): one scale per row.
 *
 *   weight         i8 [n_out, n_in]
 *   SCB            f32 [n_out], the row's absmax
 *   weight_format  u8 [], 0: row-major (older files have others)
 *
 *   w = q * SCB / 127
 *
 * The outlier columns of LLM.int8() are a matter of the activations: the
 * weights are all here. */
#include "tensor/qscheme.h"

#include <math.h>

enum {
    P_WEIGHT,
    P_SCB,
    P_FORMAT
};

static bool bnb8_is_main(const qn_qpart *p)
{
    return p->dtype == QN_I8 && p->n_dims == 2;
}

static int bnb8_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    (void)q;
    const qn_qpart *w = &m->part[P_WEIGHT], *f = &m->part[P_FORMAT];
    qn_qmat_shape2(m, w->shape[0], w->shape[1]);
    m->bits = 8;
    m->group = m->n_in;
    m->zero = 128;
    QN_TRY(qn_qpart_want_float(m, P_SCB, err));
    if (m->part[P_SCB].n_elems != (uint64_t)m->n_out)
        return qn_qpart_bad(m, P_SCB, "one element for each row", err);
    if (f->name &&
        (f->dtype != QN_U8 || f->n_bytes < 1 || *(const uint8_t *)f->p != 0))
        return qn_qpart_bad(m, P_FORMAT, "0 (row-major weights)", err);
    return QN_OK;
}

static void bnb8_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                        qn_qrows *out)
{
    const uint8_t *p = (const uint8_t *)m->part[P_WEIGHT].p + row * m->n_in;
    for (int64_t i = 0; i < n_row * m->n_in; i++)
        out->codes[i] = p[i] ^ 0x80;
    for (int64_t i = 0; i < n_row; i++)
        out->scales[i] = qn_qpart_at(&m->part[P_SCB], row + i) / 127.0f;
}

static int bnb8_lay(qn_qmat *m, qn_err *err)
{
    if (m->bits != 8)
        return qn_fail(err, QN_EUNSUP, "bitsandbytes int8 is 8 bits, not %d",
                       m->bits);
    m->group = m->n_in;
    m->zero = 128;
    qn_qpart_lay(m, P_WEIGHT, QN_I8, 2, m->n_out, m->n_in);
    qn_qpart_lay(m, P_SCB, QN_F32, 1, m->n_out, 0);
    qn_qpart_lay(m, P_FORMAT, QN_U8, 0, 0, 0);
    return QN_OK;
}

/* Gives the row's absmax as its scale: what pack wants. */
static void bnb8_quantize(const qn_qmat *m, const float *w, int64_t n_row,
                          qn_qrows *out)
{
    for (int64_t r = 0; r < n_row; r++, w += m->n_in) {
        float max = 0;
        for (int64_t i = 0; i < m->n_in; i++)
            max = fabsf(w[i]) > max ? fabsf(w[i]) : max;
        float f = max > 0 ? 127.0f / max : 0.0f;
        out->scales[r] = max;
        for (int64_t i = 0; i < m->n_in; i++) {
            float q = rintf(w[i] * f);
            q = q > -127 ? q : -127;
            out->codes[r * m->n_in + i] = (uint8_t)((q < 127 ? q : 127) + 128);
        }
    }
}

static void bnb8_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                      const qn_qrows *rows)
{
    uint8_t *p = (uint8_t *)m->part[P_WEIGHT].out + row * m->n_in;
    for (int64_t i = 0; i < n_row * m->n_in; i++)
        p[i] = rows->codes[i] ^ 0x80;
    for (int64_t r = 0; r < n_row; r++)
        qn_qpart_put(m, P_SCB, row + r, rows->scales[r]);
}

const qn_qscheme qn_bnb_i8_scheme = {
    .name = "bitsandbytes int8",
    .method = "bitsandbytes",
    .part = {{".weight", true, false},
             {".SCB", true, false},
             {".weight_format", false, true}},
    .is_main = bnb8_is_main,
    .plan = bnb8_plan,
    .unpack = bnb8_unpack,
    .lay = bnb8_lay,
    .quantize = bnb8_quantize,
    .pack = bnb8_pack,
};
