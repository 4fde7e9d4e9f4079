/* fuzz_gguf.c: one GGUF file of any bytes, to its configuration. */
#include "fuzz_ckpt.h"

#include "ckpt/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sum_bytes(qn_view v)
{
    size_t sum = 0;

    for (size_t i = 0; i < v.n; i++)
        sum += (unsigned char)v.p[i];
    return sum;
}

/* Touches every byte that the pairs point to. */
static size_t use_metadata(const qn_ckpt *ck)
{
    size_t sum = 0;

    for (size_t i = 0; i < qn_ckpt_gguf_n_kv(ck); i++) {
        const qn_gguf_kv *kv = qn_ckpt_gguf_kv_at(ck, i);
        qn_gguf_kv e;
        uint64_t u;
        double f;
        sum += sum_bytes(kv->key);
        if (kv->type == QN_GGUF_STR)
            sum += sum_bytes(kv->v.str);
        sum += qn_gguf_as_u64(kv, &u) + qn_gguf_as_f64(kv, &f);
        for (uint64_t j = 0; qn_gguf_elem(kv, j, &e); j++)
            sum += e.type == QN_GGUF_STR ? sum_bytes(e.v.str)
                                         : qn_gguf_as_f64(&e, &f);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    qn_ckpt *ck;
    qn_err err;
    char *text;

    if (size < 4 || memcmp(data, "GGUF", 4) != 0)
        return 0; /* sniffed as something else */
    if (qn_ckpt_open(&ck, path, &err) < 0)
        return 0;
    fuzz_use(ck);
    if (use_metadata(ck) == SIZE_MAX) /* so that it is computed */
        abort();
    text = json_dumps(qn_ckpt_config(ck), 0);
    if (!text)
        abort();
    free(text);
    qn_ckpt_close(ck);
    return 0;
}
