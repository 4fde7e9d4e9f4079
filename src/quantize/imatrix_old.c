/* imatrix_old.c - the files that llama.cpp's imatrix tool wrote before it wrote
 * GGUF (most that are on the hub, called imatrix.dat):
 *
 *   i32 entries, then for each
 *     i32 length, the tensor's name; i32 calls; i32 n, f32[n]
 *   and maybe
 *     i32 chunks; i32 length, the text's name
 *
 * little-endian. A number is `calls` times the mean square of its column. Of a
 * stack of experts n counts the columns of all, and what came to none of them
 * stands there as zeros. */
#include "quantize/imatrix.h"

#include "base/compiler.h"

#include <math.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 4096
};

typedef struct old_file {
    const char *path;
    const uint8_t *p;
    size_t left;
    qn_err *err;
} old_file;

static int cut_off(const old_file *f, const char *what)
{
    return qn_fail(f->err, QN_EFORMAT,
                   "%s: neither a GGUF file nor one of llama.cpp's older "
                   "importance matrices: %s",
                   f->path, what);
}

static int take_i32(old_file *f, int64_t lo, int64_t hi, const char *what,
                    int32_t *out)
{
    if (f->left < 4)
        return cut_off(f, what);
    memcpy(out, f->p, 4);
    f->p += 4;
    f->left -= 4;
    return *out >= lo && *out <= hi ? QN_OK : cut_off(f, what);
}

static int take_entry(old_file *f, qn_imatrix *im)
{
    int32_t len, calls, n;
    QN_TRY(take_i32(f, 1, NAME_MAX_BYTES, "the length of a name", &len));
    if (f->left < (size_t)len)
        return cut_off(f, "a name");
    const char *name = (const char *)f->p;
    f->p += len;
    f->left -= (size_t)len;
    QN_TRY(take_i32(f, INT32_MIN, INT32_MAX, "a number of calls", &calls));
    QN_TRY(take_i32(f, 1, INT32_MAX, "a number of columns", &n));
    if (f->left / 4 < (size_t)n)
        return cut_off(f, "the columns of a tensor");
    qn_imatrix_row *r;
    QN_TRY(qn_imatrix_add(im, name, (size_t)len, 1, n, &r, f->err));
    r->count[0] = 1;
    for (int32_t k = 0; k < n; k++, f->p += 4) {
        float v;
        memcpy(&v, f->p, 4);
        v /= (float)QN_MAX(calls, 1);
        if (!(v >= 0) || isinf(v))
            return cut_off(f, "a mean square");
        r->mean[k] = v;
    }
    f->left -= (size_t)n * 4;
    return QN_OK;
}

int qn_imatrix_parse_old(qn_imatrix *im, const char *path, const void *bytes,
                         size_t n, qn_err *err)
{
    old_file f = {path, bytes, n, err};
    int32_t entries, chunks, len;
    QN_TRY(
        take_i32(&f, 1, (int64_t)(n / 17), "the number of tensors", &entries));
    im->old = true;
    for (int32_t i = 0; i < entries; i++)
        QN_TRY(take_entry(&f, im));
    if (f.left == 0)
        return QN_OK;
    QN_TRY(take_i32(&f, 0, INT32_MAX, "the number of chunks", &chunks));
    QN_TRY(take_i32(&f, 0, INT32_MAX, "the text's name", &len));
    im->n_chunks = chunks;
    return f.left == (size_t)len ? QN_OK : cut_off(&f, "the text's name");
}
