/* gguf_kv.c: asking for GGUF metadata by key, and reading its values. */
#include "ckpt/ckpt_int.h"

#include "ckpt/le.h"

#include <stdlib.h>

static const unsigned char type_size[] = {
    [QN_GGUF_U8] = 1,  [QN_GGUF_I8] = 1,  [QN_GGUF_U16] = 2, [QN_GGUF_I16] = 2,
    [QN_GGUF_U32] = 4, [QN_GGUF_I32] = 4, [QN_GGUF_F32] = 4, [QN_GGUF_BOOL] = 1,
    [QN_GGUF_STR] = 0, [QN_GGUF_ARR] = 0, [QN_GGUF_U64] = 8, [QN_GGUF_I64] = 8,
    [QN_GGUF_F64] = 8,
};

int qn_gguf_type_size(qn_gguf_type type)
{
    return type_size[type];
}

void qn_gguf_scalar(qn_gguf_type type, const char *p, qn_gguf_kv *out)
{
    uint64_t raw = qn_le(p, type_size[type]);
    uint32_t bits;
    float f;

    out->type = out->elem_type = type;
    out->n = 0;
    switch (type) {
    case QN_GGUF_I8: out->v.i = (int8_t)raw; break;
    case QN_GGUF_I16: out->v.i = (int16_t)raw; break;
    case QN_GGUF_I32: out->v.i = (int32_t)raw; break;
    case QN_GGUF_I64: out->v.i = (int64_t)raw; break;
    case QN_GGUF_F32:
        bits = (uint32_t)raw;
        memcpy(&f, &bits, sizeof f);
        out->v.f = (double)f;
        break;
    case QN_GGUF_F64: memcpy(&out->v.f, &raw, sizeof raw); break;
    default: out->v.u = raw; break;
    }
}

void qn_gguf_kv_free(qn_gguf_kv *kv, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (kv[i].type == QN_GGUF_ARR && kv[i].elem_type == QN_GGUF_STR)
            free((void *)kv[i].v.strs);
    free(kv);
}

/* ---- values ------------------------------------------------------------ */

bool qn_gguf_as_u64(const qn_gguf_kv *kv, uint64_t *out)
{
    switch (kv->type) {
    case QN_GGUF_U8:
    case QN_GGUF_U16:
    case QN_GGUF_U32:
    case QN_GGUF_U64:
    case QN_GGUF_BOOL: *out = kv->v.u; return true;
    case QN_GGUF_I8:
    case QN_GGUF_I16:
    case QN_GGUF_I32:
    case QN_GGUF_I64:
        if (kv->v.i < 0)
            return false;
        *out = (uint64_t)kv->v.i;
        return true;
    default: return false;
    }
}

bool qn_gguf_as_f64(const qn_gguf_kv *kv, double *out)
{
    switch (kv->type) {
    case QN_GGUF_F32:
    case QN_GGUF_F64: *out = kv->v.f; return true;
    case QN_GGUF_U8:
    case QN_GGUF_U16:
    case QN_GGUF_U32:
    case QN_GGUF_U64: *out = (double)kv->v.u; return true;
    case QN_GGUF_I8:
    case QN_GGUF_I16:
    case QN_GGUF_I32:
    case QN_GGUF_I64: *out = (double)kv->v.i; return true;
    default: return false;
    }
}

bool qn_gguf_elem(const qn_gguf_kv *kv, uint64_t i, qn_gguf_kv *out)
{
    if (kv->type != QN_GGUF_ARR || kv->elem_type == QN_GGUF_ARR || i >= kv->n)
        return false;
    *out = (qn_gguf_kv){.key = kv->key};
    if (kv->elem_type == QN_GGUF_STR) {
        out->type = out->elem_type = QN_GGUF_STR;
        out->v.str = kv->v.strs[i];
    } else {
        qn_gguf_scalar(kv->elem_type,
                       (const char *)kv->v.data + i * type_size[kv->elem_type],
                       out);
    }
    return true;
}

/* ---- by key ------------------------------------------------------------ */

size_t qn_ckpt_gguf_n_kv(const qn_ckpt *ck)
{
    return ck->n_kv;
}

const qn_gguf_kv *qn_ckpt_gguf_kv_at(const qn_ckpt *ck, size_t i)
{
    return i < ck->n_kv ? &ck->kv[i] : NULL;
}

const qn_gguf_kv *qn_ckpt_gguf_kv(const qn_ckpt *ck, const char *key)
{
    uint64_t i;

    if (!qn_map_get(&ck->kv_by_key, key, strlen(key), &i))
        return NULL;
    return &ck->kv[i];
}

bool qn_ckpt_gguf_u64(const qn_ckpt *ck, const char *key, uint64_t *out)
{
    const qn_gguf_kv *kv = qn_ckpt_gguf_kv(ck, key);

    return kv && qn_gguf_as_u64(kv, out);
}

bool qn_ckpt_gguf_f64(const qn_ckpt *ck, const char *key, double *out)
{
    const qn_gguf_kv *kv = qn_ckpt_gguf_kv(ck, key);

    return kv && qn_gguf_as_f64(kv, out);
}

bool qn_ckpt_gguf_str(const qn_ckpt *ck, const char *key, qn_view *out)
{
    const qn_gguf_kv *kv = qn_ckpt_gguf_kv(ck, key);

    if (!kv || kv->type != QN_GGUF_STR)
        return false;
    *out = kv->v.str;
    return true;
}
