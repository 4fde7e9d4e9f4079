/* lookup.c - see lookup.h. */
#include "model/lookup.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/net_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 16 /* rows, spread over the table */
};

struct qn_lookup {
    qn_file file;
    atomic_int_least64_t changed; /* the file, when it was last looked at */
    uint8_t *sample;              /* [SAMPLES, bytes of a row] of then */
    qn_slot slot;     /* where rows lie: of its tensor, which is the next */
    qn_tensor tensor; /* without its name */
    char *name;
};

static uint64_t place(const qn_lookup *l, int64_t row)
{
    return l->tensor.offset + qn_slot_row_at(&l->slot, row);
}

/* A row of the sample, as it is in the file now. */
static int read_sample(const qn_lookup *l, int i, void *to, qn_err *err)
{
    return qn_file_pread(&l->file, to,
                         place(l, i * (l->slot.n_out - 1) / (SAMPLES - 1)),
                         qn_slot_row_bytes(&l->slot), err);
}

static int look_at(qn_lookup *l, const qn_ckpt *ck, qn_err *err)
{
    size_t n = qn_slot_row_bytes(&l->slot);
    int64_t changed;
    QN_TRY(qn_ckpt_keep(ck, l->slot.t, &l->file, err));
    l->sample = qn_xcalloc(SAMPLES, n);
    QN_TRY(qn_file_changed(&l->file, &changed, err));
    atomic_init(&l->changed, changed);
    for (int i = 0; i < SAMPLES; i++)
        QN_TRY(read_sample(l, i, l->sample + (size_t)i * n, err));
    return QN_OK;
}

int qn_lookup_open(qn_lookup **out, const qn_ckpt *ck, const qn_slot *s,
                   qn_err *err)
{
    qn_lookup *l = qn_xcalloc(1, sizeof *l);
    l->file.fd = -1;
    l->slot = *s;
    l->tensor = *s->t;
    l->slot.t = &l->tensor;
    l->name = qn_xstrdup(s->name);
    int rc = look_at(l, ck, err);
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
    return l ? qn_slot_row_bytes(&l->slot) : 0;
}

static int compare(const qn_lookup *l, void *raw, qn_err *err)
{
    size_t n = qn_slot_row_bytes(&l->slot);
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
    void *raw = qn_xcalloc(1, qn_slot_row_bytes(&l->slot));
    int rc = compare(l, raw, err);
    qn_free(raw);
    return rc < 0 ? failed(l, err) : QN_OK;
}

static int read_rows(qn_lookup *l, const int32_t *ids, int n, void *raw,
                     float *y, qn_err *err)
{
    size_t bytes = qn_slot_row_bytes(&l->slot), n_in = (size_t)l->slot.n_in;
    for (int i = 0; i < n && n > 1; i++) /* a disk takes many at once */
        qn_file_will_read(&l->file, place(l, ids[i]), bytes);
    for (int i = 0; i < n; i++, y += n_in) {
        QN_TRY(qn_file_pread(&l->file, raw, place(l, ids[i]), bytes, err));
        QN_TRY(qn_dtype_decode(l->tensor.dtype, raw, y, n_in, err));
    }
    return check_same(l, raw, err); /* behind what it is to vouch for */
}

int qn_lookup_rows(qn_lookup *l, const int32_t *ids, int n, void *raw, float *y,
                   qn_err *err)
{
    return read_rows(l, ids, n, raw, y, err) < 0 ? failed(l, err) : QN_OK;
}
