/* strided.c: reading a tensor that is a view of a larger array.
 *
 * Rare: a matrix that was transposed before it was saved, a slice. Elements are
 * picked one by one from where the page cache has the view's span, or from a
 * copy of it. */
#include "ckpt/ckpt_int.h"

#include <stdlib.h>

/* Where element `index` of t lies, in bytes behind the first. */
static uint64_t position(const qn_tensor *t, uint64_t index)
{
    uint64_t at = 0;

    for (int i = t->n_dims - 1; i >= 0; i--) {
        uint64_t n = (uint64_t)t->shape[i];
        at += index % n * t->strided->stride[i];
        index /= n;
    }
    return at;
}

static void gather(const qn_tensor *t, const uint8_t *span, uint64_t offset,
                   uint8_t *dst, size_t n)
{
    size_t size = (size_t)qn_dtype_get(t->dtype)->block_bytes;

    while (n) { /* the first and the last element may be wanted in part */
        size_t from = (size_t)(offset % size), take = QN_MIN(size - from, n);
        memcpy(dst, span + position(t, offset / size) + from, take);
        dst += take;
        offset += take;
        n -= take;
    }
}

int qn_strided_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                    void *dst, size_t n, qn_err *err)
{
    const uint8_t *view = ck->views.v[t->file];
    uint64_t span = t->strided->span;
    uint8_t *copy;
    int rc;

    if (n == 0)
        return 0;
    if (view && span <= SIZE_MAX &&
        qn_file_populate(view + t->offset, (size_t)span)) {
        gather(t, view + t->offset, offset, dst, n);
        return 0;
    }
    copy = span <= SIZE_MAX ? qn_alloc((size_t)span, 1) : NULL;
    if (!copy)
        return qn_fail(err, QN_ENOMEM, "no memory to gather its elements");
    rc = qn_file_pread(&ck->files.v[t->file], copy, t->offset, (size_t)span,
                       err);
    if (rc >= 0)
        gather(t, copy, offset, dst, n);
    free(copy);
    return rc;
}
