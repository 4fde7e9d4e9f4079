/* gguf.c: the tensors of a GGUF file, and of split ones.
 *
 *     header and pairs (gguf_meta.c)
 *     n_tensors times: string name | u32 n_dims | u64 dims[] innermost first
 *                      | u32 ggml type | u64 offset
 *     padding to general.alignment, then the data that offsets count from
 *
 * Rules held here: names are unique, offsets are multiples of the alignment,
 * rows are whole blocks, the data of no two tensors overlaps and all of it lies
 * inside the file. A ggml type that we do not know has no known size: its
 * tensor is listed as what lies before the next one (dtype QN_DTYPE_N), so that
 * a file in a newer format can be looked at; qn_ckpt_read refuses its data.
 *
 * A split model is x-00001-of-0000N.gguf to x-0000N-of-0000N.gguf, each a GGUF
 * file of its own; the first part's pairs are the model's. Any part may be
 * given.
 */
#include "ckpt/gguf_int.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

#define GGUF_EXT ".gguf"
#define DIMS_MAX 4 /* of the format */
#define ALIGN_DEFAULT 32
#define ALIGN_MAX ((uint64_t)1 << 20)

/* ---- one tensor's description ------------------------------------------ */

static int read_name(qn_ckpt *ck, qn_gguf_meta *m, qn_tensor *t, qn_err *err)
{
    qn_view name;

    QN_TRY(qn_gguf_read_str(m, &name, err));
    if (name.n == 0 || memchr(name.p, 0, name.n) ||
        !qn_utf8_valid(name.p, name.n))
        return qn_fail(err, QN_EFORMAT,
                       "%s: the tensor name before byte %" PRIu64
                       " is not a text; the file is damaged",
                       m->f->path, m->pos);
    t->name = qn_arena_strndup(&ck->arena, name.p, name.n);
    return 0;
}

static int read_shape(qn_gguf_meta *m, qn_tensor *t, qn_err *err)
{
    uint64_t dims[DIMS_MAX];
    uint32_t n;

    QN_TRY(qn_gguf_read_u32(m, &n, err));
    if (n > DIMS_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s has %" PRIu32 " dimensions, GGUF knows "
                       "at most %d; the file is damaged",
                       m->f->path, t->name, n, DIMS_MAX);
    t->n_dims = (int)n;
    t->n_elems = 1;
    for (uint32_t i = 0; i < n; i++) {
        QN_TRY(qn_gguf_read_u64(m, &dims[i], err));
        if (dims[i] > INT64_MAX ||
            !qn_mul_u64(t->n_elems, dims[i], &t->n_elems))
            return qn_fail(err, QN_EFORMAT,
                           "%s: tensor %s: its shape is larger than 64 bits "
                           "can count; the file is damaged",
                           m->f->path, t->name);
    }
    for (uint32_t i = 0; i < n; i++)
        t->shape[i] = (int64_t)dims[n - 1 - i];
    return 0;
}

static int read_format(qn_ckpt *ck, qn_gguf_meta *m, qn_tensor *t, qn_err *err)
{
    int64_t row = t->n_dims ? t->shape[t->n_dims - 1] : 1;
    const qn_dtype_row *f;
    uint32_t id;

    QN_TRY(qn_gguf_read_u32(m, &id, err));
    if (!qn_dtype_from_ggml(id, &t->dtype)) {
        char name[32];
        int n = snprintf(name, sizeof name, "ggml type %" PRIu32, id);
        t->dtype = QN_DTYPE_N;
        t->format = qn_arena_strndup(&ck->arena, name, (size_t)n);
        return 0;
    }
    f = qn_dtype_get(t->dtype);
    t->format = f->name;
    if (row % f->block_elems)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s: rows of %" PRId64 " elements are no "
                       "whole number of %s blocks (%d); the file is damaged",
                       m->f->path, t->name, row, f->name, f->block_elems);
    return qn_ckpt_measure(t, m->f->path, err);
}

/* t->offset is relative to the data for now. */
static int read_tensor(qn_ckpt *ck, qn_gguf_meta *m, uint64_t align,
                       qn_tensor *t, qn_err *err)
{
    QN_TRY(read_name(ck, m, t, err));
    QN_TRY(read_shape(m, t, err));
    QN_TRY(read_format(ck, m, t, err));
    QN_TRY(qn_gguf_read_u64(m, &t->offset, err));
    if (t->offset % align)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s: offset %" PRIu64
                       " is not aligned to %" PRIu64
                       " bytes; the file is damaged",
                       m->f->path, t->name, t->offset, align);
    return 0;
}

/* ---- one file ---------------------------------------------------------- */

static int read_align(const qn_gguf_meta *m, uint64_t *align, qn_err *err)
{
    *align = ALIGN_DEFAULT;
    for (size_t i = 0; i < m->n_kv_read; i++) {
        const qn_gguf_kv *kv = &m->kv[i];
        if (!qn_view_eqs(kv->key, "general.alignment"))
            continue;
        *align = kv->type == QN_GGUF_U32 ? kv->v.u : 0;
    }
    if (*align && *align <= ALIGN_MAX && !(*align & (*align - 1)))
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s: general.alignment is not a u32 that is a power of two "
                   "up to %" PRIu64,
                   m->f->path, ALIGN_MAX);
}

/* Makes offsets positions in the file and holds them against each other. */
static int place(const qn_file *f, qn_tensor *all, size_t n, uint64_t data,
                 qn_err *err)
{
    uint64_t end = data;

    qsort(all, n, sizeof *all, qn_ckpt_cmp_offset);
    for (size_t i = 0; i < n; i++) {
        qn_tensor *t = &all[i];
        uint64_t begin = end;

        if (!qn_add_u64(t->offset, data, &t->offset) || t->offset < begin)
            return qn_fail(err, QN_EFORMAT,
                           "%s: the data of tensor %s overlaps that of %s; the "
                           "file is damaged",
                           f->path, t->name,
                           i ? all[i - 1].name : "the header");
        if (t->dtype == QN_DTYPE_N) {
            uint64_t next = f->size;
            if (i + 1 < n &&
                all[i + 1].offset < f->size - QN_MIN(data, f->size))
                next = data + all[i + 1].offset;
            t->n_bytes = next > t->offset ? next - t->offset : 0;
        }
        if (!qn_add_u64(t->offset, t->n_bytes, &end))
            end = UINT64_MAX;
    }
    if (n == 0 || end <= f->size)
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s is cut short: its tensors need %" PRIu64
                   " bytes, the file has %" PRIu64
                   "; finish the download or fetch it again",
                   f->path, end, f->size);
}

static int read_tensors(qn_ckpt *ck, qn_gguf_meta *m, int file, qn_err *err)
{
    uint64_t align, data;
    qn_tensor *all;
    int rc;

    QN_TRY(read_align(m, &align, err));
    all = qn_alloc((size_t)m->n_tensors, sizeof *all);
    if (!all)
        return qn_fail(err, QN_ENOMEM,
                       "%s: no memory to list %" PRIu64 " tensors", m->f->path,
                       m->n_tensors);
    for (uint64_t i = 0; i < m->n_tensors; i++) {
        all[i].file = file;
        QN_TRY_OUT(read_tensor(ck, m, align, &all[i], err));
    }
    data = (m->pos + align - 1) & ~(align - 1);
    QN_TRY_OUT(place(m->f, all, (size_t)m->n_tensors, data, err));
    QN_TRY_OUT(qn_ckpt_reserve(ck, (size_t)m->n_tensors, err));
    for (uint64_t i = 0; i < m->n_tensors; i++)
        QN_TRY_OUT(qn_ckpt_add_tensor(ck, &all[i], err));
out:
    free(all);
    return rc;
}

/* Makes the pairs of a file those of the checkpoint. */
static int take_meta(qn_ckpt *ck, qn_gguf_meta *m, qn_err *err)
{
    for (size_t i = 0; i < m->n_kv_read; i++)
        if (!qn_map_add(&ck->kv_by_key, m->kv[i].key.p, m->kv[i].key.n, i))
            return qn_fail(err, QN_EFORMAT,
                           "%s: key %.*s is there a second time; the file is "
                           "damaged",
                           m->f->path, (int)m->kv[i].key.n, m->kv[i].key.p);
    ck->meta = m->buf;
    ck->kv = m->kv;
    ck->n_kv = m->n_kv_read;
    *m = (qn_gguf_meta){0};
    return 0;
}

static int open_part(qn_ckpt *ck, const char *path, bool first, qn_err *err)
{
    qn_gguf_meta m;
    int file, rc;

    QN_TRY(qn_ckpt_add_file(ck, path, &file, err));
    QN_TRY_OUT(qn_gguf_meta_read(&m, &ck->files.v[file], err));
    if (first)
        QN_TRY_OUT(qn_gguf_add_numbers(ck, &m, file, err));
    QN_TRY_OUT(read_tensors(ck, &m, file, err));
    if (first)
        QN_TRY_OUT(take_meta(ck, &m, err));
out:
    qn_gguf_meta_deinit(&m);
    return rc;
}

/* ---- split models ------------------------------------------------------ */

static int open_parts(qn_ckpt *ck, const char *path, size_t stem, int n,
                      qn_err *err)
{
    for (int i = 1; i <= n; i++) {
        qn_str s;
        int rc;

        qn_str_init(&s);
        qn_str_addf(&s, "%.*s-%05d-of-%05d" GGUF_EXT, (int)stem, path, i, n);
        if (!qn_path_is_file(s.p))
            rc = qn_fail(err, QN_ENOENT,
                         "%s: part %d of %d of the model is missing (%s); "
                         "finish the download",
                         path, i, n, s.p);
        else
            rc = open_part(ck, s.p, i == 1, err);
        qn_str_deinit(&s);
        QN_TRY(rc);
    }
    return 0;
}

static int check_count(const qn_ckpt *ck, const char *path, int n_parts,
                       qn_err *err)
{
    uint64_t count, tensors;

    if (qn_ckpt_gguf_u64(ck, "split.count", &count) && count > 1 &&
        count != (uint64_t)n_parts)
        return qn_fail(err, QN_EFORMAT,
                       "%s is part of a model in %" PRIu64 " files; give it "
                       "its name back (...-00001-of-%05" PRIu64 GGUF_EXT
                       ") and put the other parts beside it",
                       path, count, count);
    if (qn_ckpt_gguf_u64(ck, "split.tensors.count", &tensors) &&
        tensors != ck->n_tensors - ck->n_numbers)
        return qn_fail(err, QN_EFORMAT,
                       "%s: its parts have %zu tensors, %" PRIu64
                       " are announced; fetch all parts again",
                       path, ck->n_tensors - ck->n_numbers, tensors);
    return 0;
}

int qn_gguf_open_bare(qn_ckpt *ck, const char *path, qn_err *err)
{
    size_t stem;
    int part, n = 1;

    ck->container = QN_CKPT_GGUF;
    qn_free(ck->dir);
    ck->dir = NULL;
    if (qn_hf_part_name(path, GGUF_EXT, &stem, &part, &n) && n > 1)
        QN_TRY(open_parts(ck, path, stem, n, err));
    else
        QN_TRY(open_part(ck, path, true, err));
    return check_count(ck, path, n, err);
}

int qn_gguf_open(qn_ckpt *ck, const char *path, qn_err *err)
{
    QN_TRY(qn_gguf_open_bare(ck, path, err));
    return qn_gguf_make_config(ck, err);
}
