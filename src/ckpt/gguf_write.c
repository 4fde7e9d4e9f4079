/* gguf_write.c: see gguf_write.h. The layout is told at the head of gguf.c and
 * gguf_meta.c; general.alignment stays at its default. */
#include "ckpt/gguf_write.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "ckpt/ckpt_int.h"
#include "ckpt/outfile.h"

#include <inttypes.h>
#include <stdlib.h>

#define ALIGN 32
#define DIMS_MAX 4
/* As the reader has it. */
#define META_MAX ((size_t)256 << 20)
#define KEY_LEN_MAX 65535

struct qn_gguf_writer {
    qn_outfile out;
    qn_str pairs, tensors; /* as they will lie in the file */
    qn_map keys, names;
    qn_arena arena; /* of the keys and names */
    uint64_t n_pairs;
    QN_VEC(uint64_t) size; /* of each tensor's data */
    uint64_t offset;       /* of the next tensor to be declared */
    size_t at;             /* the tensor whose data is next */
    uint64_t given;        /* of that tensor */
    bool begun;            /* the header is written */
};

static int writer_new(qn_gguf_writer **out, const char *path, bool keep,
                      qn_err *err)
{
    qn_gguf_writer *w = qn_xcalloc(1, sizeof *w);
    int rc;

    qn_map_init(&w->keys, 0);
    qn_map_init(&w->names, 0);
    qn_arena_init(&w->arena);
    qn_str_init(&w->pairs);
    qn_str_init(&w->tensors);
    rc = keep ? qn_outfile_keep(&w->out, path, err)
              : qn_outfile_open(&w->out, path, err);
    if (rc < 0)
        qn_gguf_writer_free(w);
    else
        *out = w;
    return rc;
}

int qn_gguf_writer_new(qn_gguf_writer **out, const char *path, qn_err *err)
{
    return writer_new(out, path, false, err);
}

int qn_gguf_writer_keep(qn_gguf_writer **out, const char *path, qn_err *err)
{
    return writer_new(out, path, true, err);
}

static void add_le(qn_str *s, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        qn_str_addc(s, (char)(unsigned char)(v >> (8 * i)));
}

static void add_text(qn_str *s, qn_view v)
{
    add_le(s, v.n, 8);
    qn_str_addv(s, v);
}

/* ---- metadata ---------------------------------------------------------- */

/* The key and type of a pair of about n more bytes. */
static int begin_pair(qn_gguf_writer *w, qn_view key, qn_gguf_type type,
                      uint64_t n, qn_err *err)
{
    const char *own = qn_arena_strndup(&w->arena, key.p, key.n);

    if (w->begun)
        return qn_fail(err, QN_EINVAL, "%s: key %s comes after the first data",
                       w->out.path, own);
    if (key.n == 0 || key.n > KEY_LEN_MAX || memchr(key.p, 0, key.n) ||
        !qn_utf8_valid(key.p, key.n))
        return qn_fail(err, QN_EINVAL, "%s: key %s is no text of 1 to %d bytes",
                       w->out.path, own, KEY_LEN_MAX);
    if (!qn_map_add(&w->keys, own, key.n, 0))
        return qn_fail(err, QN_EINVAL, "%s: key %s is there already",
                       w->out.path, own);
    if (n > META_MAX || w->pairs.n > META_MAX - (size_t)n - key.n)
        return qn_fail(err, QN_ELIMIT, "%s: more than %zu MiB of metadata",
                       w->out.path, META_MAX >> 20);
    w->n_pairs++;
    add_text(&w->pairs, key);
    add_le(&w->pairs, type, 4);
    return 0;
}

static int put_number(qn_gguf_writer *w, qn_view key, qn_gguf_type type,
                      uint64_t bits, qn_err *err)
{
    QN_TRY(begin_pair(w, key, type, 8, err));
    add_le(&w->pairs, bits, qn_gguf_type_size(type));
    return 0;
}

int qn_gguf_put_u32(qn_gguf_writer *w, const char *key, uint32_t v, qn_err *err)
{
    return put_number(w, qn_view_cstr(key), QN_GGUF_U32, v, err);
}

int qn_gguf_put_f32(qn_gguf_writer *w, const char *key, float v, qn_err *err)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return put_number(w, qn_view_cstr(key), QN_GGUF_F32, bits, err);
}

int qn_gguf_put_bool(qn_gguf_writer *w, const char *key, bool v, qn_err *err)
{
    return put_number(w, qn_view_cstr(key), QN_GGUF_BOOL, v, err);
}

static int put_text(qn_gguf_writer *w, qn_view key, qn_view v, qn_err *err)
{
    QN_TRY(begin_pair(w, key, QN_GGUF_STR, v.n, err));
    add_text(&w->pairs, v);
    return 0;
}

int qn_gguf_put_str(qn_gguf_writer *w, const char *key, qn_view v, qn_err *err)
{
    return put_text(w, qn_view_cstr(key), v, err);
}

static int put_texts(qn_gguf_writer *w, qn_view key, const qn_view *v, size_t n,
                     qn_err *err)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += v[i].n + 8;
    QN_TRY(begin_pair(w, key, QN_GGUF_ARR, bytes, err));
    add_le(&w->pairs, QN_GGUF_STR, 4);
    add_le(&w->pairs, n, 8);
    for (size_t i = 0; i < n; i++)
        add_text(&w->pairs, v[i]);
    return 0;
}

int qn_gguf_put_strs(qn_gguf_writer *w, const char *key, const qn_view *v,
                     size_t n, qn_err *err)
{
    return put_texts(w, qn_view_cstr(key), v, n, err);
}

static int put_numbers(qn_gguf_writer *w, qn_view key, qn_gguf_type type,
                       const void *v, size_t n, qn_err *err)
{
    size_t bytes, size = (size_t)qn_gguf_type_size(type);

    if (!size || !qn_mul_size(n, size, &bytes))
        return qn_fail(err, QN_EINVAL, "%s: key %.*s: no array of numbers",
                       w->out.path, (int)key.n, key.p);
    QN_TRY(begin_pair(w, key, QN_GGUF_ARR, bytes, err));
    add_le(&w->pairs, type, 4);
    add_le(&w->pairs, n, 8);
    qn_str_add(&w->pairs, v, bytes);
    return 0;
}

int qn_gguf_put_array(qn_gguf_writer *w, const char *key, qn_gguf_type type,
                      const void *v, size_t n, qn_err *err)
{
    return put_numbers(w, qn_view_cstr(key), type, v, n, err);
}

/* The bits of a scalar, from the form in which the reader holds it. */
static uint64_t scalar_bits(const qn_gguf_kv *kv)
{
    uint64_t bits = kv->v.u;
    uint32_t low;
    float f;

    if (kv->type == QN_GGUF_F32) {
        f = (float)kv->v.f;
        memcpy(&low, &f, sizeof low);
        return low;
    }
    if (kv->type == QN_GGUF_F64)
        memcpy(&bits, &kv->v.f, sizeof bits);
    return bits;
}

int qn_gguf_put_kv(qn_gguf_writer *w, const qn_gguf_kv *kv, qn_err *err)
{
    if (kv->type == QN_GGUF_STR)
        return put_text(w, kv->key, kv->v.str, err);
    if (kv->type != QN_GGUF_ARR)
        return put_number(w, kv->key, kv->type, scalar_bits(kv), err);
    if (kv->elem_type == QN_GGUF_STR)
        return put_texts(w, kv->key, kv->v.strs, (size_t)kv->n, err);
    if (kv->elem_type == QN_GGUF_ARR)
        return qn_fail(err, QN_EUNSUP,
                       "%s: key %.*s: arrays of arrays are not written",
                       w->out.path, (int)kv->key.n, kv->key.p);
    return put_numbers(w, kv->key, kv->elem_type, kv->v.data, (size_t)kv->n,
                       err);
}

bool qn_gguf_has_key(const qn_gguf_writer *w, const char *key)
{
    uint64_t v;

    return qn_map_get(&w->keys, key, strlen(key), &v);
}

/* ---- tensors ----------------------------------------------------------- */

static int check_shape(const qn_gguf_writer *w, const char *name,
                       const qn_dtype_row *row, int n_dims,
                       const int64_t *shape, uint64_t *n, qn_err *err)
{
    *n = 1;
    if (n_dims < 0 || n_dims > DIMS_MAX)
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor %s has %d dimensions, GGUF knows at most %d",
                       w->out.path, name, n_dims, DIMS_MAX);
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 0 || !qn_mul_u64(*n, (uint64_t)shape[i], n))
            return qn_fail(err, QN_EINVAL, "%s: tensor %s: impossible shape",
                           w->out.path, name);
    if ((n_dims ? shape[n_dims - 1] : 1) % row->block_elems)
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor %s: rows of %" PRId64 " elements are no "
                       "whole number of %s blocks (%d)",
                       w->out.path, name, n_dims ? shape[n_dims - 1] : 1,
                       row->name, row->block_elems);
    return 0;
}

int qn_gguf_declare(qn_gguf_writer *w, const char *name, qn_dtype dtype,
                    int n_dims, const int64_t *shape, qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(dtype);
    const char *own = qn_arena_strndup(&w->arena, name, strlen(name));
    uint64_t n, bytes, end;

    if (w->begun)
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor %s is declared after the first data",
                       w->out.path, name);
    if (!row->gguf)
        return qn_fail(err, QN_EUNSUP,
                       "%s: tensor %s: GGUF has no format for %s", w->out.path,
                       name, row->name);
    if (!*name || !qn_utf8_valid(name, strlen(name)) ||
        !qn_map_add(&w->names, own, strlen(own), 0))
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor name \"%s\" is taken, or no name",
                       w->out.path, name);
    QN_TRY(check_shape(w, name, row, n_dims, shape, &n, err));
    QN_TRY(qn_dtype_bytes(dtype, n, &bytes, err));
    if (!qn_add_u64(w->offset, bytes, &end) || end > INT64_MAX - ALIGN)
        return qn_fail(err, QN_ELIMIT, "%s: more than 2^63 bytes", w->out.path);
    add_text(&w->tensors, qn_view_cstr(name));
    add_le(&w->tensors, (uint64_t)n_dims, 4);
    for (int i = n_dims - 1; i >= 0; i--)
        add_le(&w->tensors, (uint64_t)shape[i], 8);
    add_le(&w->tensors, (uint64_t)row->ggml, 4);
    add_le(&w->tensors, w->offset, 8);
    w->offset = (end + ALIGN - 1) / ALIGN * ALIGN;
    qn_vec_push(&w->size, bytes);
    return 0;
}

static int pad(qn_gguf_writer *w, uint64_t n, qn_err *err)
{
    return qn_outfile_zeros(&w->out, (size_t)(-n & (ALIGN - 1)), err);
}

static int begin_data(qn_gguf_writer *w, qn_err *err)
{
    qn_str head;
    int rc;

    if (w->begun)
        return 0;
    w->begun = true;
    if (w->out.keep)
        QN_TRY(qn_outfile_seek(&w->out, 0, err));
    qn_str_init(&head);
    qn_str_adds(&head, "GGUF");
    add_le(&head, 3, 4);
    add_le(&head, w->size.n, 8);
    add_le(&head, w->n_pairs, 8);
    QN_TRY_OUT(qn_outfile_write(&w->out, head.p, head.n, err));
    QN_TRY_OUT(qn_outfile_write(&w->out, w->pairs.p, w->pairs.n, err));
    QN_TRY_OUT(qn_outfile_write(&w->out, w->tensors.p, w->tensors.n, err));
    QN_TRY_OUT(pad(w, head.n + w->pairs.n + w->tensors.n, err));
out:
    qn_str_deinit(&head);
    return rc;
}

/* Moves on from tensors whose data is all there. */
static int end_tensors(qn_gguf_writer *w, qn_err *err)
{
    while (w->at < w->size.n && w->given == w->size.v[w->at]) {
        QN_TRY(pad(w, w->given, err));
        w->at++;
        w->given = 0;
    }
    return 0;
}

int qn_gguf_data(qn_gguf_writer *w, const void *p, size_t n, qn_err *err)
{
    const char *from = p;

    QN_TRY(begin_data(w, err));
    for (;;) {
        uint64_t room;
        size_t take;

        QN_TRY(end_tensors(w, err));
        if (n == 0)
            return 0;
        if (w->at == w->size.n)
            return qn_fail(err, QN_EINVAL,
                           "%s: %zu bytes of data more than were declared",
                           w->out.path, n);
        room = w->size.v[w->at] - w->given;
        take = n < room ? n : (size_t)room;
        QN_TRY(qn_outfile_write(&w->out, from, take, err));
        w->given += take;
        from += take;
        n -= take;
    }
}

int qn_gguf_writer_resume(qn_gguf_writer *w, size_t n, qn_err *err)
{
    uint64_t at = 24 + (uint64_t)w->pairs.n + w->tensors.n; /* begin_data */

    if (w->begun || n > w->size.n)
        return qn_fail(err, QN_EINVAL,
                       "%s: cannot go on behind %zu tensors of %zu",
                       w->out.path, n, w->size.n);
    at = (at + ALIGN - 1) / ALIGN * ALIGN;
    for (size_t i = 0; i < n; i++)
        at += (w->size.v[i] + ALIGN - 1) / ALIGN * ALIGN;
    w->begun = true;
    w->at = n;
    return qn_outfile_seek(&w->out, at, err);
}

int qn_gguf_writer_sync(qn_gguf_writer *w, qn_err *err)
{
    QN_TRY(qn_gguf_data(w, NULL, 0, err));
    return qn_outfile_sync(&w->out, err);
}

int qn_gguf_writer_finish(qn_gguf_writer *w, qn_err *err)
{
    QN_TRY(qn_gguf_data(w, NULL, 0, err));
    if (w->at < w->size.n)
        return qn_fail(err, QN_EINVAL,
                       "%s: data of %zu tensors was declared, that of the "
                       "first %zu and %" PRIu64 " bytes given",
                       w->out.path, w->size.n, w->at, w->given);
    return qn_outfile_finish(&w->out, err);
}

void qn_gguf_writer_free(qn_gguf_writer *w)
{
    if (!w)
        return;
    qn_map_deinit(&w->keys);
    qn_map_deinit(&w->names);
    qn_arena_deinit(&w->arena);
    qn_str_deinit(&w->pairs);
    qn_str_deinit(&w->tensors);
    qn_vec_deinit(&w->size);
    qn_outfile_deinit(&w->out);
    free(w);
}
