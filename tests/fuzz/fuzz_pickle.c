/* fuzz_pickle.c: a pickle of any bytes. What was read is walked over. */
#include "fuzz_ckpt.h"

#include "base/file.h"
#include "ckpt/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds of every tensor: its elements lie in its storage. */
static void use_tensor(const qn_pickle_tensor *t)
{
    uint64_t last = t->offset;

    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] == 0)
            return;
        last += (uint64_t)(t->shape[i] - 1) * (uint64_t)t->stride[i];
    }
    uint64_t size = (uint64_t)qn_dtype_get(t->dtype)->block_bytes;
    uint64_t room = t->storage->numel *
                    (uint64_t)qn_dtype_get(t->storage->dtype)->block_bytes;
    if (last >= room || (last + 1) * size > room)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_pickle_value *v;
    qn_pickle p;
    qn_file f;

    if (qn_file_open(&f, fuzz_file(data, size), NULL) < 0)
        return 0;
    if (qn_pickle_init(&p, &f, 0, f.size, "fuzz", NULL) >= 0) {
        while (qn_pickle_read(&p, &v, NULL) >= 0) {
            for (size_t i = 0; v->kind == QN_PK_DICT && i < v->u.list.n; i++)
                if (v->u.list.v[i]->kind == QN_PK_TENSOR)
                    use_tensor(v->u.list.v[i]->u.tensor);
            qn_pickle_get(v, "x");
        }
    }
    qn_pickle_deinit(&p);
    qn_file_close(&f);
    return 0;
}
