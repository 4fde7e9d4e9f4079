/* fuzz_torch.c: one file of torch.save of any bytes: archive, pickle, tensors.
 * Tensors may overlap and have strides, so the invariants are their own. */
#include "fuzz_ckpt.h"

#include "base/mem.h"
#include "ckpt/ckpt_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_ckpt *ck = qn_xcalloc(1, sizeof *ck);
    char buf[64];

    ck->path = qn_xstrdup("fuzz");
    qn_arena_init(&ck->arena);
    qn_map_init(&ck->by_name, 0);
    qn_map_init(&ck->kv_by_key, 0);
    if (qn_torch_add(ck, fuzz_file(data, size), NULL, NULL, NULL) >= 0) {
        for (size_t i = 0; i < ck->n_tensors; i++) {
            const qn_tensor *t = &ck->tensors[i];
            uint64_t span = t->strided ? t->strided->span : t->n_bytes;
            if (t->offset > size || span > size - t->offset)
                abort();
            size_t n = t->n_bytes < sizeof buf ? (size_t)t->n_bytes
                                               : sizeof buf;
            if (qn_ckpt_read(ck, t, t->n_bytes - n, buf, n, NULL) < 0)
                abort();
        }
    }
    qn_ckpt_close(ck);
    return 0;
}
