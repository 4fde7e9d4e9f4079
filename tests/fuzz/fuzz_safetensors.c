/* fuzz_safetensors.c: one safetensors file of any bytes. */
#include "fuzz_ckpt.h"

#include "ckpt/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    qn_ckpt *ck;
    qn_err err;

    if (qn_ckpt_open_tensors(&ck, path, &err) < 0)
        return 0;
    fuzz_use(ck);
    qn_ckpt_close(ck);
    return 0;
}
