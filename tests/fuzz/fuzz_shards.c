/* fuzz_shards.c: a checkpoint in parts. The input is the index on one line and
 * then the file a.safetensors; b.safetensors is whole and holds "b". */
#include "fuzz_ckpt.h"

#include "ckpt/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] = "{\"model_type\": \"llama\"}";
    static const char b[] =
        "\x38\0\0\0\0\0\0\0"
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  "
        "12345678";
    const uint8_t *line = memchr(data, '\n', size);
    qn_ckpt *ck;
    qn_err err;

    if (!line)
        return 0;
    fuzz_put("config.json", config, sizeof config - 1);
    fuzz_put("b.safetensors", b, sizeof b - 1);
    fuzz_put("model.safetensors.index.json", data, (size_t)(line - data));
    fuzz_put("a.safetensors", line + 1, size - (size_t)(line + 1 - data));
    if (qn_ckpt_open(&ck, fuzz_dir, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++)
        if (qn_ckpt_find(ck, qn_ckpt_tensor(ck, i)->name) == NULL)
            abort();
    qn_ckpt_close(ck);
    return 0;
}
