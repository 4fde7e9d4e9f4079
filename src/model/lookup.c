/* lookup.c - see lookup.h. */
#include "model/lookup.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 16 /* rows, spread over the table */
};

struct qn_lookup {
    qn_file file;
    char *name;
    qn_dtype dtype;
    uint64_t first; /* byte of the file where row 0 is */
    int64_t n_row;
    size_t n_in, row_bytes;
    atomic_int_least64_t changed; /* the file, when it was last looked at */
    uint8_t *sample;              /* [SAMPLES, row_bytes] of then */
};

static uint64_t place(const qn_lookup *l, int64_t row)
{
    return l->first + (uint64_t)row * l->row_bytes;
}

static int read_row(const qn_lookup *l, int64_t row, void *to, qn_err *err)
{
    return qn_file_pread(&l->file, to, place(l, row), l->row_bytes, err);
}

/* A row of the sample, as it is in the file now. */
static int read_sample(const qn_lookup *l, int i, void *to, qn_err *err)
{
    return read_row(l, i * (l->n_row - 1) / (SAMPLES - 1), to, err);
}

static int look_at(qn_lookup *l, const qn_ckpt *ck, const qn_tensor *t,
                   qn_err *err)
{
    int64_t changed;
    uint64_t bytes;
    QN_TRY(qn_ckpt_keep(ck, t, &l->file, err));
    QN_TRY(qn_dtype_bytes(l->dtype, l->n_in, &bytes, err));
    l->row_bytes = (size_t)bytes;
    l->sample = qn_xcalloc(SAMPLES, l->row_bytes);
    QN_TRY(qn_file_changed(&l->file, &changed, err));
    atomic_init(&l->changed, changed);
    for (int i = 0; i < SAMPLES; i++)
        QN_TRY(read_sample(l, i, l->sample + (size_t)i * l->row_bytes, err));
    return QN_OK;
}

int qn_lookup_open(qn_lookup **out, const qn_ckpt *ck, const qn_tensor *t,
                   uint64_t first, int64_t n_row, int64_t n_in, qn_err *err)
{
    qn_lookup *l = qn_xcalloc(1, sizeof *l);
    l->file.fd = -1;
    l->name = qn_xstrdup(t->name);
    l->dtype = t->dtype;
    l->first = t->offset + first;
    l->n_row = n_row;
    l->n_in = (size_t)n_in;
    int rc = look_at(l, ck, t, err);
    if (rc < 0)
        qn_lookup_close(l);
    else
        *out = l;
    return rc;
}

void qn_lookup_close(qn_lookup *l)
{
    if (!l)
        return;
    qn_file_close(&l->file);
    qn_free(l->name);
    qn_free(l->sample);
    free(l);
}

size_t qn_lookup_row_bytes(const qn_lookup *l)
{
    return l ? l->row_bytes : 0;
}

static int compare(const qn_lookup *l, void *raw, qn_err *err)
{
    size_t n = l->row_bytes;
    for (int i = 0; i < SAMPLES; i++) {
        QN_TRY(read_sample(l, i, raw, err));
        if (memcmp(raw, l->sample + (size_t)i * n, n) != 0)
            return qn_fail(err, QN_EIO, "%s: was written over", l->file.path);
    }
    return QN_OK;
}

/* Nobody has written to the file, or what is there is the same. */
static int check_same(qn_lookup *l, void *raw, qn_err *err)
{
    int64_t changed;
    QN_TRY(qn_file_changed(&l->file, &changed, err));
    if (changed == atomic_load(&l->changed))
        return QN_OK;
    QN_TRY(compare(l, raw, err));
    atomic_store(&l->changed, changed);
    return QN_OK;
}

/* What an error is about, and what to do. */
static int failed(const qn_lookup *l, qn_err *err)
{
    return qn_err_prefix(err, QN_EIO,
                         "rows of tensor %s, which are read as they are "
                         "needed; open the model again",
                         l->name);
}

int qn_lookup_check(qn_lookup *l, qn_err *err)
{
    void *raw = qn_xcalloc(1, l->row_bytes);
    int rc = compare(l, raw, err);
    qn_free(raw);
    return rc < 0 ? failed(l, err) : QN_OK;
}

static int read_rows(qn_lookup *l, const int32_t *ids, int n, void *raw,
                     float *y, qn_err *err)
{
    for (int i = 0; i < n && n > 1; i++) /* a disk takes many at once */
        qn_file_will_read(&l->file, place(l, ids[i]), l->row_bytes);
    for (int i = 0; i < n; i++, y += l->n_in) {
        QN_TRY(read_row(l, ids[i], raw, err));
        QN_TRY(qn_dtype_decode(l->dtype, raw, y, l->n_in, err));
    }
    return check_same(l, raw, err); /* behind what it is to vouch for */
}

int qn_lookup_rows(qn_lookup *l, const int32_t *ids, int n, void *raw, float *y,
                   qn_err *err)
{
    return read_rows(l, ids, n, raw, y, err) < 0 ? failed(l, err) : QN_OK;
}
