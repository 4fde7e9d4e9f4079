/* gguf_types.c - the types of GGUF files by their names. */
#include "quantize/gguf_out.h"

#include <string.h>

/* Numbers: enum llama_ftype of llama.cpp's include/llama.h. */
static const qn_gguf_kind gguf_kinds[] = {
    {"f32", QN_F32, false, 0, 0},        {"f16", QN_F16, false, 1, 0},
    {"bf16", QN_BF16, false, 32, 0},     {"q8_0", QN_Q8_0, false, 7, 8},
    {"q4_k", QN_Q4_K, false, 14, 4},     {"q4_k_m", QN_Q4_K, true, 15, 0},
    {"q4_0", QN_Q4_0, false, 2, 0},      {"q4_1", QN_Q4_1, false, 3, 0},
    {"q5_k", QN_Q5_K, false, 16, 5},     {"q5_k_m", QN_Q5_K, true, 17, 0},
    {"q5_0", QN_Q5_0, false, 8, 0},      {"q5_1", QN_Q5_1, false, 9, 0},
    {"q6_k", QN_Q6_K, false, 18, 6},     {"q2_k", QN_Q2_K, false, 10, 2},
    {"q3_k", QN_Q3_K, false, 11, 3},     {"iq4_nl", QN_IQ4_NL, false, 25, 0},
    {"iq4_xs", QN_IQ4_XS, false, 30, 0},
};

const qn_gguf_kind *qn_gguf_kind_at(size_t i)
{
    return i < QN_COUNTOF(gguf_kinds) ? &gguf_kinds[i] : NULL;
}

void qn_gguf_kind_names(qn_str *out)
{
    for (size_t i = 0; i < QN_COUNTOF(gguf_kinds); i++)
        qn_str_addf(out, "%s%s", i ? ", " : "", gguf_kinds[i].name);
}

/* The bits of a weight that its name says. */
static int named_bits(const qn_gguf_kind *k)
{
    return k->dtype == QN_F32 ? 32
           : k->dtype == QN_F16 || k->dtype == QN_BF16
               ? 16
               : *strpbrk(k->name, "2345678") - '0';
}

static int no_kind(const qn_optimize_params *p, int bits, qn_err *err)
{
    qn_str s;
    qn_str_init(&s);
    qn_gguf_kind_names(&s);
    int rc = p->type
                 ? qn_fail(err, QN_EUNSUP,
                           "method gguf has no \"%s\"; it has %s", p->type, s.p)
                 : qn_fail(err, QN_EUNSUP,
                           "method gguf has no type of %d bits; name one "
                           "with --quant-type: %s",
                           bits, s.p);
    qn_str_deinit(&s);
    return rc;
}

int qn_gguf_kind_pick(const qn_optimize_params *p, const qn_gguf_kind **out,
                      qn_err *err)
{
    int bits = p->bits ? p->bits : 4;
    for (size_t i = 0; i < QN_COUNTOF(gguf_kinds); i++) {
        const qn_gguf_kind *k = &gguf_kinds[i];
        *out = k;
        if (!p->type && k->bits == bits)
            return QN_OK;
        if (!p->type || strcmp(p->type, k->name) != 0)
            continue;
        if (p->bits && p->bits != named_bits(k))
            return qn_fail(err, QN_EINVAL, "%s has %d bits, not %d", k->name,
                           named_bits(k), p->bits);
        return QN_OK;
    }
    return no_kind(p, bits, err);
}

bool qn_gguf_type_named(const char *name, qn_dtype *out)
{
    for (size_t i = 0; i < QN_COUNTOF(gguf_kinds); i++) {
        *out = gguf_kinds[i].dtype;
        if (strcmp(gguf_kinds[i].name, name) == 0 && !gguf_kinds[i].more)
            return true;
    }
    return false;
}

qn_dtype qn_gguf_type_fitting(qn_dtype t, int64_t n_cols)
{
    /* Super-blocks of 256 to blocks of 32 with as many bits, or one more. */
    static const struct {
        qn_dtype super, block;
    } smaller[] = {
        {QN_Q2_K, QN_IQ4_NL}, {QN_Q3_K, QN_IQ4_NL},   {QN_Q4_K, QN_IQ4_NL},
        {QN_Q5_K, QN_Q5_1},   {QN_IQ4_XS, QN_IQ4_NL}, {QN_Q6_K, QN_Q8_0},
    };
    if (n_cols % qn_dtype_get(t)->block_elems == 0)
        return t;
    for (size_t i = 0; i < QN_COUNTOF(smaller); i++)
        if (smaller[i].super == t && n_cols % 32 == 0)
            return smaller[i].block;
    return QN_F16;
}
