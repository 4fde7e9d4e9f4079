/* gguf_meta.c: the header and the key-value pairs of a GGUF file.
 *
 *     "GGUF" | u32 version | u64 n_tensors | u64 n_kv
 *     n_kv times: string key | u32 type | value
 *     string: u64 length | bytes        array: u32 type | u64 n | n values
 *
 * (ggml's docs/gguf.md, versions 2 and 3; version 1 had 32-bit lengths.)
 *
 * Everything is little-endian and nothing is aligned. Counts and lengths are
 * held against the bytes that are left before anything is allocated for them,
 * so memory stays within a small multiple of the file's own size.
 */
#include "ckpt/gguf_int.h"

#include "base/utf8.h"
#include "ckpt/le.h"

#include <inttypes.h>
#include <stdlib.h>

/* Vocabularies of 262,144 pieces with merges and scores take some 20 MB. */
#define META_MAX ((uint64_t)256 << 20)
#define READ_AHEAD ((uint64_t)256 << 10)
#define NAME_MAX_LEN 65535
/* Arrays of arrays have a place in the format and none in any model. */
#define ARRAY_DEPTH_MAX 4

/* Least bytes of a pair (length, type, value) and of a tensor's description
 * (length, dimensions, type, offset). */
#define KV_MIN 13
#define TENSOR_MIN 24

/* ---- cursor ------------------------------------------------------------ */

static int cut_short(const qn_gguf_meta *m, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT,
                   "%s is cut short or damaged: its metadata goes on at byte "
                   "%" PRIu64 ", the file has %" PRIu64
                   "; finish the download or fetch it again",
                   m->f->path, m->pos, m->f->size);
}

/* Makes the next n bytes readable at buf + pos. */
static int need(qn_gguf_meta *m, uint64_t n, qn_err *err)
{
    uint64_t end, upto;

    if (n > m->f->size - m->pos)
        return cut_short(m, err);
    end = m->pos + n;
    if (end > m->room)
        return qn_fail(err, QN_ELIMIT,
                       "%s: more than %" PRIu64 " MiB of metadata", m->f->path,
                       META_MAX >> 20);
    if (end <= m->have)
        return 0;
    upto = QN_MIN(QN_MAX(end, m->have + READ_AHEAD), m->room);
    QN_TRY(qn_file_pread(m->f, m->buf + m->have, m->have,
                         (size_t)(upto - m->have), err));
    m->have = upto;
    return 0;
}

static int read_le(qn_gguf_meta *m, int n, uint64_t *out, qn_err *err)
{
    QN_TRY(need(m, (uint64_t)n, err));
    *out = qn_le(m->buf + m->pos, n);
    m->pos += (uint64_t)n;
    return 0;
}

int qn_gguf_read_u32(qn_gguf_meta *m, uint32_t *out, qn_err *err)
{
    uint64_t v;

    QN_TRY(read_le(m, 4, &v, err));
    *out = (uint32_t)v;
    return 0;
}

int qn_gguf_read_u64(qn_gguf_meta *m, uint64_t *out, qn_err *err)
{
    return read_le(m, 8, out, err);
}

int qn_gguf_read_str(qn_gguf_meta *m, qn_view *out, qn_err *err)
{
    uint64_t n;

    QN_TRY(qn_gguf_read_u64(m, &n, err));
    QN_TRY(need(m, n, err));
    *out = qn_view_of(m->buf + m->pos, (size_t)n);
    m->pos += n;
    return 0;
}

/* ---- values ------------------------------------------------------------ */

static int read_type(qn_gguf_meta *m, qn_gguf_type *type, qn_err *err)
{
    uint32_t v;

    QN_TRY(qn_gguf_read_u32(m, &v, err));
    if (v > QN_GGUF_F64)
        return qn_fail(err, QN_EFORMAT,
                       "%s: value type %" PRIu32 " at byte %" PRIu64
                       " is none that GGUF has; the file is damaged",
                       m->f->path, v, m->pos - 4);
    *type = (qn_gguf_type)v;
    return 0;
}

static int check_bool(const qn_gguf_meta *m, uint64_t v, qn_err *err)
{
    if (v <= 1)
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s: a truth value at byte %" PRIu64 " is %" PRIu64
                   ", not 0 or 1; the file is damaged",
                   m->f->path, m->pos - 1, v);
}

static int read_number(qn_gguf_meta *m, qn_gguf_kv *kv, qn_err *err)
{
    uint64_t size = (uint64_t)qn_gguf_type_size(kv->type);

    QN_TRY(need(m, size, err));
    qn_gguf_scalar(kv->type, m->buf + m->pos, kv);
    m->pos += size;
    return kv->type == QN_GGUF_BOOL ? check_bool(m, kv->v.u, err) : 0;
}

/* Type and count of an array at the cursor; the count fits what is left. */
static int read_array_head(qn_gguf_meta *m, qn_gguf_type *type, uint64_t *n,
                           qn_err *err)
{
    uint64_t least;

    QN_TRY(read_type(m, type, err));
    QN_TRY(qn_gguf_read_u64(m, n, err));
    least = *type == QN_GGUF_STR   ? 8
            : *type == QN_GGUF_ARR ? 12
                                   : (uint64_t)qn_gguf_type_size(*type);
    if (*n > (m->f->size - m->pos) / least)
        return cut_short(m, err);
    return 0;
}

static int read_strings(qn_gguf_meta *m, qn_gguf_kv *kv, qn_err *err)
{
    qn_view *strs;

    /* Before the allocation: all n lengths must lie within the limit. */
    QN_TRY(need(m, kv->n * 8, err));
    strs = qn_alloc((size_t)kv->n, sizeof *strs);
    if (!strs)
        return qn_fail(err, QN_ENOMEM, "%s: no memory for %" PRIu64 " strings",
                       m->f->path, kv->n);
    kv->v.strs = strs;
    for (uint64_t i = 0; i < kv->n; i++)
        QN_TRY(qn_gguf_read_str(m, &strs[i], err));
    return 0;
}

/* Moves over the n values of an array; nested ones have no better reader. */
static int skip_values(qn_gguf_meta *m, qn_gguf_type type, uint64_t n,
                       int depth, qn_err *err)
{
    qn_view s;

    if (qn_gguf_type_size(type)) {
        uint64_t bytes = n * (uint64_t)qn_gguf_type_size(type);
        QN_TRY(need(m, bytes, err));
        m->pos += bytes;
        return 0;
    }
    if (depth == ARRAY_DEPTH_MAX)
        return qn_fail(
            err, QN_EFORMAT,
            "%s: arrays nested deeper than %d levels at byte %" PRIu64,
            m->f->path, ARRAY_DEPTH_MAX, m->pos);
    for (uint64_t i = 0; i < n; i++) {
        if (type == QN_GGUF_STR) {
            QN_TRY(qn_gguf_read_str(m, &s, err));
        } else {
            qn_gguf_type inner;
            uint64_t n_inner;
            QN_TRY(read_array_head(m, &inner, &n_inner, err));
            QN_TRY(skip_values(m, inner, n_inner, depth + 1, err));
        }
    }
    return 0;
}

static int read_array(qn_gguf_meta *m, qn_gguf_kv *kv, qn_err *err)
{
    uint64_t begin;

    QN_TRY(read_array_head(m, &kv->elem_type, &kv->n, err));
    if (kv->elem_type == QN_GGUF_STR)
        return read_strings(m, kv, err);
    begin = m->pos;
    kv->v.data = m->buf + begin;
    QN_TRY(skip_values(m, kv->elem_type, kv->n, 1, err));
    if (kv->elem_type == QN_GGUF_BOOL)
        for (uint64_t i = 0; i < kv->n; i++)
            QN_TRY(check_bool(m, (unsigned char)m->buf[begin + i], err));
    return 0;
}

static int read_kv(qn_gguf_meta *m, qn_gguf_kv *kv, qn_err *err)
{
    QN_TRY(qn_gguf_read_str(m, &kv->key, err));
    if (kv->key.n == 0 || kv->key.n > NAME_MAX_LEN ||
        memchr(kv->key.p, 0, kv->key.n) || !qn_utf8_valid(kv->key.p, kv->key.n))
        return qn_fail(err, QN_EFORMAT,
                       "%s: the key before byte %" PRIu64 " is not a text of 1 "
                       "to %d bytes; the file is damaged",
                       m->f->path, m->pos, NAME_MAX_LEN);
    QN_TRY(read_type(m, &kv->type, err));
    kv->elem_type = kv->type;
    if (kv->type == QN_GGUF_STR)
        return qn_gguf_read_str(m, &kv->v.str, err);
    if (kv->type == QN_GGUF_ARR)
        return read_array(m, kv, err);
    return read_number(m, kv, err);
}

/* ---- the whole --------------------------------------------------------- */

static int read_header(qn_gguf_meta *m, qn_err *err)
{
    const char *path = m->f->path;

    if (m->f->size < 4 || need(m, 4, err) < 0 || memcmp(m->buf, "GGUF", 4)) {
        QN_TRY(qn_ckpt_explain(m->f, "a GGUF file", err));
        return qn_fail(err, QN_EFORMAT, "%s is not a GGUF file", path);
    }
    m->pos = 4;
    QN_TRY(qn_gguf_read_u32(m, &m->version, err));
    if ((m->version & 0xffff) == 0)
        return qn_fail(err, QN_EUNSUP,
                       "%s is a big-endian GGUF file; use the little-endian "
                       "one",
                       path);
    if (m->version == 1)
        return qn_fail(err, QN_EUNSUP,
                       "%s is GGUF version 1, which is no longer used; fetch "
                       "or convert the model again",
                       path);
    if (m->version > 3)
        return qn_fail(err, QN_EUNSUP,
                       "%s is GGUF version %" PRIu32 "; versions 2 and 3 are "
                       "supported",
                       path, m->version);
    QN_TRY(qn_gguf_read_u64(m, &m->n_tensors, err));
    QN_TRY(qn_gguf_read_u64(m, &m->n_kv, err));
    if (m->n_kv > m->room / KV_MIN || m->n_tensors > m->room / TENSOR_MIN)
        return qn_fail(err, QN_EFORMAT,
                       "%s: %" PRIu64 " pairs and %" PRIu64 " tensors do not "
                       "fit into its %" PRIu64 " bytes; the file is damaged",
                       path, m->n_kv, m->n_tensors, m->f->size);
    return 0;
}

int qn_gguf_meta_read(qn_gguf_meta *m, const qn_file *f, qn_err *err)
{
    *m = (qn_gguf_meta){.f = f, .room = QN_MIN(f->size, META_MAX)};
    m->buf = qn_alloc((size_t)m->room, 1);
    if (!m->buf)
        return qn_fail(err, QN_ENOMEM, "%s: no memory for its metadata",
                       f->path);
    QN_TRY(read_header(m, err));
    m->kv = qn_alloc((size_t)m->n_kv, sizeof *m->kv);
    if (!m->kv)
        return qn_fail(err, QN_ENOMEM, "%s: no memory for %" PRIu64 " pairs",
                       f->path, m->n_kv);
    while (m->n_kv_read < m->n_kv) {
        qn_gguf_kv *kv = &m->kv[m->n_kv_read++];
        int rc = read_kv(m, kv, err);
        if (rc < 0)
            return kv->key.n
                       ? qn_err_prefix(err, rc, "key %.*s",
                                       (int)QN_MIN(kv->key.n, 64), kv->key.p)
                       : rc;
    }
    return 0;
}

void qn_gguf_meta_deinit(qn_gguf_meta *m)
{
    qn_gguf_kv_free(m->kv, m->n_kv_read);
    free(m->buf);
    *m = (qn_gguf_meta){0};
}
