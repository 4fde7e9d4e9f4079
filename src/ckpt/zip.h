/* zip.h - the table of contents of a zip archive whose entries are stored as
 * they are, without compression: what torch.save makes.
 *
 * Own code instead of libzip: the data of an entry is read by position and
 * mapped, which needs its offset, and libzip gives streams alone. Compressed
 * and encrypted entries are listed, and refused when they are asked for. */
#ifndef QN_CKPT_ZIP_H
#define QN_CKPT_ZIP_H

#include "base/file.h"
#include "base/map.h"
#include "base/str.h"

typedef struct qn_zip_entry {
    qn_view name; /* into the archive's copy of its directory */
    uint64_t size;
    uint64_t header; /* where the local header lies */
    unsigned method, flags;
} qn_zip_entry;

typedef struct qn_zip {
    const qn_file *f; /* borrowed */
    char *dir;        /* the central directory */
    size_t n;
    qn_zip_entry *entries;
    qn_map by_name; /* name -> index */
} qn_zip;

/* QN_EFORMAT for what is no archive, or one that contradicts itself. On
 * failure too the caller ends it with qn_zip_deinit. */
int qn_zip_open(qn_zip *z, const qn_file *f, qn_err *err);
void qn_zip_deinit(qn_zip *z);
/* NULL when there is none of that name. */
const qn_zip_entry *qn_zip_find(const qn_zip *z, const char *name, size_t n);
/* Where the data of an entry begins: its size lies inside the file, stored. */
int qn_zip_data(const qn_zip *z, const qn_zip_entry *e, uint64_t *offset,
                qn_err *err);

#endif
