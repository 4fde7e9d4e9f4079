/* zip.c: see zip.h. Layout: APPNOTE.TXT 6.3 (PKWARE), little-endian.
 *
 *   entries | central directory | [zip64 end | its locator] | end
 *   end:       22 bytes + comment; where the directory lies, how many entries
 *   directory: per entry 46 bytes + name + extra + comment
 *   local:     30 bytes + name + extra, then the data
 *
 * A number that does not fit into the old fields is all ones there, and stands
 * in a zip64 record. Held here: the directory lies in front of its end, its
 * entries fill it exactly, names are unique, an entry's local header has the
 * same name, and its data lies in front of the directory. */
#include "ckpt/zip.h"

#include "base/mem.h"
#include "ckpt/le.h"

#include <inttypes.h>
#include <stdlib.h>

#define END_LEN 22
#define COMMENT_MAX 65535
#define LOCATOR_LEN 20
#define END64_LEN 56
#define CENTRAL_LEN 46
#define LOCAL_LEN 30
#define DIR_MAX ((uint64_t)256 << 20)
#define FLAG_ENCRYPTED 1u

static int damaged(const qn_zip *z, const char *what, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT,
                   "%s: %s; the download is not finished or the file is "
                   "damaged",
                   z->f->path, what);
}

typedef struct where {
    uint64_t offset, size, n; /* of the central directory */
} where;

/* ---- the end ------------------------------------------------------------ */

static int read_end64(const qn_zip *z, uint64_t end, where *w, qn_err *err)
{
    unsigned char loc[LOCATOR_LEN], rec[END64_LEN];
    uint64_t at;

    if (end < LOCATOR_LEN)
        return 0;
    QN_TRY(qn_file_pread(z->f, loc, end - LOCATOR_LEN, sizeof loc, err));
    if (memcmp(loc, "PK\6\7", 4) != 0)
        return 0;
    at = qn_le(loc + 8, 8);
    if (at > end - LOCATOR_LEN || end - LOCATOR_LEN - at < END64_LEN)
        return damaged(z, "its zip64 record lies outside of it", err);
    QN_TRY(qn_file_pread(z->f, rec, at, sizeof rec, err));
    if (memcmp(rec, "PK\6\6", 4) != 0)
        return damaged(z, "its zip64 record is not where it should be", err);
    *w = (where){qn_le(rec + 48, 8), qn_le(rec + 40, 8), qn_le(rec + 32, 8)};
    return 0;
}

/* The end record is the last one whose comment reaches the end of the file. */
static int read_end(const qn_zip *z, where *w, qn_err *err)
{
    uint64_t size = z->f->size;
    size_t n = size < END_LEN + COMMENT_MAX ? (size_t)size
                                            : END_LEN + COMMENT_MAX;
    unsigned char *tail = qn_alloc(n, 1);
    int rc = tail ? qn_file_pread(z->f, tail, size - n, n, err)
                  : qn_fail(err, QN_ENOMEM, "%s: no memory", z->f->path);
    bool found = false;

    for (size_t i = n < END_LEN ? 0 : n - END_LEN + 1; i-- > 0 && rc >= 0;) {
        const unsigned char *p = tail + i;
        if (memcmp(p, "PK\5\6", 4) != 0 || qn_le(p + 20, 2) != n - i - END_LEN)
            continue;
        *w = (where){qn_le(p + 16, 4), qn_le(p + 12, 4), qn_le(p + 10, 2)};
        found = true;
        rc = read_end64(z, size - n + i, w, err);
        break;
    }
    free(tail);
    if (rc >= 0 && !found)
        rc = damaged(z, "a zip archive without its end", err);
    return rc;
}

/* ---- the directory ------------------------------------------------------ */

/* The zip64 values of an entry, in this order, where the old field is full. */
static bool extra64(const unsigned char *extra, size_t n, uint64_t *size,
                    uint64_t *packed, uint64_t *header)
{
    uint64_t *want[] = {size, packed, header};

    while (n >= 4) {
        size_t len = (size_t)qn_le(extra + 2, 2);
        if (len > n - 4)
            return false;
        if (qn_le(extra, 2) == 1) {
            const unsigned char *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*want[i] != UINT32_MAX)
                    continue;
                if (len < 8)
                    return false;
                *want[i] = qn_le(p, 8);
                p += 8;
                len -= 8;
            }
            return true;
        }
        extra += 4 + len;
        n -= 4 + len;
    }
    return *size != UINT32_MAX && *packed != UINT32_MAX &&
           *header != UINT32_MAX;
}

/* One entry at p of the n bytes left; its length, or 0 when it is wrong. */
static size_t read_entry(const unsigned char *p, size_t n, qn_zip_entry *e)
{
    size_t name, extra, len;
    uint64_t packed;

    if (n < CENTRAL_LEN || memcmp(p, "PK\1\2", 4) != 0)
        return 0;
    name = (size_t)qn_le(p + 28, 2);
    extra = (size_t)qn_le(p + 30, 2);
    len = CENTRAL_LEN + name + extra + (size_t)qn_le(p + 32, 2);
    if (len > n || name == 0)
        return 0;
    *e = (qn_zip_entry){.name = qn_view_of((const char *)p + CENTRAL_LEN, name),
                        .size = qn_le(p + 24, 4),
                        .header = qn_le(p + 42, 4),
                        .method = (unsigned)qn_le(p + 10, 2),
                        .flags = (unsigned)qn_le(p + 8, 2)};
    packed = qn_le(p + 20, 4);
    if (!extra64(p + CENTRAL_LEN + name, extra, &e->size, &packed, &e->header))
        return 0;
    return e->method == 0 && packed != e->size ? 0 : len;
}

static int read_dir(qn_zip *z, const where *w, qn_err *err)
{
    size_t left, len;
    const unsigned char *p;

    if (w->offset > z->f->size || w->size > z->f->size - w->offset)
        return damaged(z, "its directory lies outside of it", err);
    if (w->size > DIR_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: a directory of %" PRIu64 " bytes",
                       z->f->path, w->size);
    if (w->n > w->size / CENTRAL_LEN)
        return damaged(z, "its directory is shorter than its entries", err);
    left = (size_t)w->size;
    z->dir = qn_alloc(left, 1);
    z->entries = qn_alloc((size_t)w->n, sizeof *z->entries);
    if (!z->dir || !z->entries)
        return qn_fail(err, QN_ENOMEM, "%s: no memory for its directory",
                       z->f->path);
    QN_TRY(qn_file_pread(z->f, z->dir, w->offset, left, err));
    p = (const unsigned char *)z->dir;
    for (uint64_t i = 0; i < w->n; i++, p += len, left -= len) {
        qn_zip_entry *e = &z->entries[i];
        len = read_entry(p, left, e);
        if (len == 0)
            return damaged(z, "its directory is no directory", err);
        if (e->header > w->offset ||
            (e->method == 0 && e->size > w->offset - e->header))
            return damaged(z, "an entry reaches into the directory", err);
        if (!qn_map_add(&z->by_name, e->name.p, e->name.n, i))
            return qn_fail(err, QN_EFORMAT,
                           "%s: entry %.*s is there a second time", z->f->path,
                           (int)(e->name.n < 200 ? e->name.n : 200), e->name.p);
        z->n++;
    }
    return left == 0
               ? 0
               : damaged(z, "its directory is longer than its entries", err);
}

int qn_zip_open(qn_zip *z, const qn_file *f, qn_err *err)
{
    where w = {0};

    *z = (qn_zip){.f = f};
    qn_map_init(&z->by_name, 0);
    QN_TRY(read_end(z, &w, err));
    return read_dir(z, &w, err);
}

void qn_zip_deinit(qn_zip *z)
{
    qn_map_deinit(&z->by_name);
    free(z->entries);
    free(z->dir);
    *z = (qn_zip){0};
}

const qn_zip_entry *qn_zip_find(const qn_zip *z, const char *name, size_t n)
{
    uint64_t i;

    return qn_map_get(&z->by_name, name, n, &i) ? &z->entries[i] : NULL;
}

int qn_zip_data(const qn_zip *z, const qn_zip_entry *e, uint64_t *offset,
                qn_err *err)
{
    unsigned char head[LOCAL_LEN];
    char *name;
    uint64_t at;
    bool same;
    int rc;

    if (e->method != 0 || e->flags & FLAG_ENCRYPTED)
        return qn_fail(err, QN_EUNSUP,
                       "%s: entry %.*s is %s; torch.save stores entries as "
                       "they are",
                       z->f->path, (int)e->name.n, e->name.p,
                       e->method != 0 ? "compressed" : "encrypted");
    if (z->f->size - e->header < LOCAL_LEN)
        return damaged(z, "an entry lies outside of it", err);
    QN_TRY(qn_file_pread(z->f, head, e->header, sizeof head, err));
    if (memcmp(head, "PK\3\4", 4) != 0 || qn_le(head + 26, 2) != e->name.n)
        return damaged(z, "an entry is not where the directory says", err);
    at = e->header + LOCAL_LEN;
    if (e->name.n > z->f->size - at)
        return damaged(z, "an entry lies outside of it", err);
    name = qn_xmalloc(e->name.n);
    rc = qn_file_pread(z->f, name, at, e->name.n, err);
    same = rc >= 0 && memcmp(name, e->name.p, e->name.n) == 0;
    qn_free(name);
    QN_TRY(rc);
    at += e->name.n + qn_le(head + 28, 2);
    if (!same || at > z->f->size || e->size > z->f->size - at)
        return damaged(z, "an entry is not what the directory says", err);
    *offset = at;
    return 0;
}
