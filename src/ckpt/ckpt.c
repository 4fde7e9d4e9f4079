/* ckpt.c: one interface over all containers. See ckpt.h.
 *
 * Opening looks at what the path is (a directory, or a file by its first
 * bytes), lets that container's reader fill a qn_ckpt, and is done; reading is
 * a pread at a known position.
 *
 * Invariants after open
 *   1. tensors are sorted by (file, offset); by_name indexes all of them
 *   2. offset + n_bytes <= size of the file at the time of opening; of a view
 *      with strides, offset + span
 *   3. nothing changes any more: every function may run on any thread
 */
#include "ckpt/ckpt_int.h"
#include "ckpt/hub_cache.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

/* A read this large is a weight on its way into memory. Several threads do
 * that on one descriptor, each at a place of its own, which the kernel takes
 * for random access: so it is told what comes next, here or, where the reads
 * are smaller, by qn_ckpt_will_read. (Two threads, pieces of 4 MiB, 2 GiB from
 * a disk: 0.5 GB/s without, 1.3 with; no cost when cached.) */
#define ADVISE_MIN ((size_t)1 << 20)

/* What is not there is rather a file than a name on the hub. */
static bool names_file(const char *path)
{
    return qn_ends(path, ".gguf") || qn_ends(path, ".safetensors") ||
           qn_ends(path, ".bin");
}

/* No such file: maybe a name that the hub's cache knows. */
static int open_cached(qn_ckpt *ck, const char *path, qn_err *err)
{
    qn_hub_name name;
    char *snapshot;
    bool named = qn_hub_name_parse(path, &name);
    int rc = named ? qn_hub_find(&name, &snapshot, err) : QN_ENOENT;

    if (rc < 0 && (!named || names_file(path)))
        return qn_fail(err, QN_ENOENT,
                       "%s: no such file or directory; a model is a Hugging "
                       "Face directory, a .gguf or a .safetensors file, or a "
                       "name on the hub (org/name)",
                       path);
    QN_TRY(rc);
    rc = qn_hf_open_dir(ck, snapshot, err);
    qn_free(snapshot);
    return rc;
}

static int open_by_kind(qn_ckpt *ck, const char *path, qn_err *err)
{
    qn_sniff kind;

    if (qn_path_is_dir(path)) {
        int rc;
        char *snapshot = qn_hf_snapshot(path);
        rc = qn_hf_open_dir(ck, snapshot ? snapshot : path, err);
        qn_free(snapshot);
        return rc;
    }
    if (!qn_path_kind(path))
        return open_cached(ck, path, err);
    if (!qn_path_is_file(path))
        return qn_fail(err, QN_EINVAL,
                       "%s is %s; a model is read by position, from a file or "
                       "a directory",
                       path, qn_path_kind(path));
    QN_TRY(qn_ckpt_sniff(path, &kind, err));
    switch (kind) {
    case QN_SNIFF_GGUF: return qn_gguf_open(ck, path, err);
    case QN_SNIFF_TORCH:
    case QN_SNIFF_SAFETENSORS: return qn_hf_open_file(ck, path, kind, err);
    case QN_SNIFF_OTHER: break;
    }
    return qn_fail(err, QN_EFORMAT,
                   "%s: neither a GGUF nor a safetensors file, nor a model "
                   "directory",
                   path);
}

static qn_ckpt *new_ckpt(const char *path)
{
    qn_ckpt *ck = qn_xcalloc(1, sizeof *ck);

    ck->path = qn_xstrdup(path);
    qn_arena_init(&ck->arena);
    qn_map_init(&ck->by_name, 0);
    qn_map_init(&ck->kv_by_key, 0);
    return ck;
}

int qn_ckpt_open(qn_ckpt **out, const char *path, qn_err *err)
{
    qn_ckpt *ck;
    int rc;

    if (!path || !*path)
        return qn_fail(err, QN_EINVAL, "no model path given");
    ck = new_ckpt(path);
    rc = open_by_kind(ck, path, err);
    if (rc >= 0)
        rc = qn_ckpt_join_quantized(ck, err);
    if (rc < 0)
        qn_ckpt_close(ck);
    else
        *out = ck;
    return rc;
}

int qn_ckpt_open_tensors(qn_ckpt **out, const char *path, qn_err *err)
{
    qn_ckpt *ck = new_ckpt(path);
    int rc = qn_ends(path, ".gguf")
                 ? qn_gguf_open_bare(ck, path, err)
                 : qn_safetensors_add(ck, path, NULL, NULL, err);

    if (rc < 0)
        qn_ckpt_close(ck);
    else
        *out = ck;
    return rc;
}

void qn_ckpt_close(qn_ckpt *ck)
{
    if (!ck)
        return;
    for (size_t i = 0; i < ck->files.n; i++) {
        qn_file_unmap(&ck->files.v[i], ck->views.v[i]);
        qn_file_close(&ck->files.v[i]);
    }
    qn_vec_deinit(&ck->files);
    qn_vec_deinit(&ck->views);
    qn_gguf_kv_free(ck->kv, ck->n_kv);
    free(ck->meta);
    free(ck->tensors);
    free(ck->parts);
    qn_map_deinit(&ck->kv_by_key);
    qn_map_deinit(&ck->by_name);
    qn_arena_deinit(&ck->arena);
    json_decref(ck->config);
    json_decref(ck->generation_config);
    qn_free(ck->dir);
    qn_free(ck->path);
    free(ck);
}

/* ---- building ---------------------------------------------------------- */

int qn_ckpt_add_file(qn_ckpt *ck, const char *path, int *index, qn_err *err)
{
    const void *view;
    qn_file f;

    QN_TRY(qn_file_open(&f, path, err));
    if (qn_file_map(&f, &view, NULL) < 0)
        view = NULL;
    *index = (int)ck->files.n;
    qn_vec_push(&ck->files, f);
    qn_vec_push(&ck->views, view);
    return 0;
}

int qn_ckpt_reserve(qn_ckpt *ck, size_t n, qn_err *err)
{
    size_t want, bytes;
    qn_tensor *t;

    if (!qn_add_size(ck->n_tensors, n, &want))
        return qn_fail(err, QN_ENOMEM, "%s: too many tensors", ck->path);
    if (want <= ck->cap_tensors)
        return 0;
    if (ck->n_tensors) /* shards come one by one */
        want = QN_MAX(want, ck->cap_tensors * 2);
    if (!qn_mul_size(want, sizeof *t, &bytes) ||
        !(t = qn_alloc(want, sizeof *t)))
        return qn_fail(err, QN_ENOMEM, "%s: no memory to list %zu tensors",
                       ck->path, want);
    if (ck->n_tensors)
        memcpy(t, ck->tensors, ck->n_tensors * sizeof *t);
    free(ck->tensors);
    ck->tensors = t;
    ck->cap_tensors = want;
    return 0;
}

int qn_ckpt_add_tensor(qn_ckpt *ck, const qn_tensor *t, qn_err *err)
{
    if (!qn_map_add(&ck->by_name, t->name, strlen(t->name), ck->n_tensors))
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s is there a second time; the file or the "
                       "set of files is damaged",
                       ck->files.v[t->file].path, t->name);
    ck->tensors[ck->n_tensors++] = *t;
    return 0;
}

int qn_ckpt_measure(qn_tensor *t, const char *file, qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(t->dtype);
    uint64_t n = 1, block = (uint64_t)row->block_elems;

    for (int i = 0; i < t->n_dims; i++)
        if (!qn_mul_u64(n, (uint64_t)t->shape[i], &n))
            goto overflow;
    if (n % block)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s: %llu elements are no whole number of "
                       "%s blocks (%d)",
                       file, t->name, (unsigned long long)n, t->format,
                       row->block_elems);
    t->n_elems = n;
    if (qn_mul_u64(n / block, (uint64_t)row->block_bytes, &t->n_bytes))
        return 0;
overflow:
    return qn_fail(err, QN_EFORMAT,
                   "%s: tensor %s: its shape is larger than 64 bits can count",
                   file, t->name);
}

int qn_ckpt_cmp_offset(const void *a, const void *b)
{
    const qn_tensor *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->n_bytes != y->n_bytes)
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* ---- reading ----------------------------------------------------------- */

int qn_ckpt_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                 void *dst, size_t n, qn_err *err)
{
    const qn_file *f = &ck->files.v[t->file];
    int rc;

    if (t->quant)
        return qn_fail(err, QN_EUNSUP,
                       "%s: tensor %s is quantized (%s), its bytes are no "
                       "elements",
                       f->path, t->name, t->format);
    if (t->dtype == QN_DTYPE_N)
        return qn_fail(err, QN_EUNSUP,
                       "%s: tensor %s is of %s, which this version of quern "
                       "does not know",
                       f->path, t->name, t->format);
    if (offset > t->n_bytes || n > t->n_bytes - offset)
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor %s: bytes %llu + %zu asked for, it has %llu",
                       f->path, t->name, (unsigned long long)offset, n,
                       (unsigned long long)t->n_bytes);
    if (t->strided) {
        rc = qn_strided_read(ck, t, offset, dst, n, err);
        return rc < 0 ? qn_err_prefix(err, rc, "tensor %s", t->name) : rc;
    }
    if (n >= ADVISE_MIN)
        qn_file_will_read(f, t->offset + offset, n);
    rc = qn_file_pread(f, dst, t->offset + offset, n, err);
    return rc < 0 ? qn_err_prefix(err, rc, "tensor %s", t->name) : rc;
}

void qn_ckpt_will_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                       size_t n)
{
    if (!t->strided && offset <= t->n_bytes && n <= t->n_bytes - offset)
        qn_file_will_read(&ck->files.v[t->file], t->offset + offset, n);
}

int qn_ckpt_keep(const qn_ckpt *ck, const qn_tensor *t, qn_file *out,
                 qn_err *err)
{
    if (t->quant || t->strided || t->dtype == QN_DTYPE_N)
        return qn_fail(err, QN_EUNSUP, "tensor %s: is not bytes in a row",
                       t->name);
    return qn_file_again(out, &ck->files.v[t->file], err);
}

const void *qn_ckpt_view(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                         size_t n)
{
    const uint8_t *p = ck->views.v[t->file];

    if (!p || t->dtype == QN_DTYPE_N || t->strided || offset > t->n_bytes ||
        n > t->n_bytes - offset)
        return NULL;
    assert(t->offset + offset + n <= ck->files.v[t->file].size);
    p += t->offset + offset;
    return qn_file_populate(p, n) ? p : NULL;
}

void qn_ckpt_view_end(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                      size_t n)
{
    const uint8_t *p = ck->views.v[t->file];

    if (p && offset <= t->n_bytes && n <= t->n_bytes - offset)
        qn_file_release(p + t->offset + offset, n);
}

int qn_ckpt_side_file(const qn_ckpt *ck, const char *name, char **out,
                      size_t *n, qn_err *err)
{
    char *path, *text = NULL;
    size_t len;
    int rc = QN_ENOENT;

    if (!ck->dir || strchr(name, '/'))
        return QN_ENOENT;
    path = qn_path_join(ck->dir, name);
    if (qn_path_is_file(path))
        rc = qn_file_slurp(&text, &len, path, QN_CKPT_SIDE_MAX, err);
    if (rc >= 0)
        rc = qn_ckpt_check_lfs(path, text, len, err);
    qn_free(path);
    if (rc < 0) {
        qn_free(text);
        return rc;
    }
    *out = text;
    *n = len;
    return 0;
}

/* ---- asking ------------------------------------------------------------ */

qn_container qn_ckpt_container(const qn_ckpt *ck)
{
    return ck->container;
}

const char *qn_ckpt_path(const qn_ckpt *ck)
{
    return ck->path;
}

int qn_ckpt_n_files(const qn_ckpt *ck)
{
    return (int)ck->files.n;
}

const char *qn_ckpt_file_path(const qn_ckpt *ck, int i)
{
    return ck->files.v[i].path;
}

uint64_t qn_ckpt_file_size(const qn_ckpt *ck, int i)
{
    return ck->files.v[i].size;
}

size_t qn_ckpt_n_tensors(const qn_ckpt *ck)
{
    return ck->n_tensors;
}

const qn_tensor *qn_ckpt_tensor(const qn_ckpt *ck, size_t i)
{
    return i < ck->n_tensors ? &ck->tensors[i] : NULL;
}

const qn_tensor *qn_ckpt_find(const qn_ckpt *ck, const char *name)
{
    uint64_t i;

    if (!qn_map_get(&ck->by_name, name, strlen(name), &i))
        return NULL;
    return &ck->tensors[i];
}

const json_t *qn_ckpt_config(const qn_ckpt *ck)
{
    return ck->config;
}

const json_t *qn_ckpt_generation_config(const qn_ckpt *ck)
{
    return ck->generation_config;
}
