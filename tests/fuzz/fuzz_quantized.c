/* fuzz_quantized.c: a directory with quantized matrices: a line of
 * config.json, then a safetensors file. All that opens is decoded. */
#include "fuzz_ckpt.h"

#include "ckpt/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_ELEMS = 1 << 16
};

static void decode(const qn_ckpt *ck, const qn_tensor *t)
{
    qn_qmat m;
    void *mem;
    qn_err err;
    if (t->n_elems > MAX_ELEMS || qn_ckpt_quant_open(ck, t, &m, &mem, &err) < 0)
        return;
    float *f = malloc(t->n_elems * sizeof *f);
    void *scratch = malloc(qn_qmat_scratch(&m, m.n_out));
    qn_qmat_decode(&m, 0, m.n_out, scratch, f);
    free(scratch);
    free(f);
    qn_ckpt_quant_close(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    qn_ckpt *ck;
    qn_err err;
    if (!line)
        return 0;
    fuzz_put("config.json", data, (size_t)(line - data));
    fuzz_put("model.safetensors", line + 1, size - (size_t)(line + 1 - data));
    if (qn_ckpt_open(&ck, fuzz_dir, &err) < 0)
        return 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        if (qn_ckpt_find(ck, t->name) != t)
            abort();
        if (t->quant)
            decode(ck, t);
    }
    qn_ckpt_close(ck);
    return 0;
}
