/* safetensors.c: reading the header of a safetensors file.
 *
 *     u64 n (little-endian) | n bytes of JSON | data
 *     {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [from, to]},
 *      ..., "__metadata__": {"string": "string"}}
 *
 * The rules are those of the reference implementation (the Rust crate
 * `safetensors`, Metadata::validate and its README), because a file on which
 * two readers disagree is a way to smuggle weights:
 *   1. n <= 100,000,000, and the header is all there
 *   2. strict JSON, UTF-8, no key twice, an object
 *   3. in the order of offsets the tensors follow each other without a hole
 *      or an overlap, begin at 0 and end at the end of the file
 *   4. shape x dtype is exactly the bytes between the offsets, without
 *      overflow; sub-byte types fill whole bytes
 *   5. __metadata__ holds strings alone
 * Stricter than the reference in what no writer needs: a tensor's name twice
 * is refused (its README forbids it, its code takes the last), names hold no
 * NUL, and a shape has at most QN_MAX_DIMS numbers, each below 2^63.
 */
#include "ckpt/ckpt_int.h"

#include "ckpt/le.h"

#include <inttypes.h>
#include <stdlib.h>

#define HEADER_MAX 100000000u
#define HEAD_LEN 8

static int bad(const qn_file *f, const char *name, const char *what,
               qn_err *err)
{
    return qn_fail(err, QN_EFORMAT, "%s: tensor %s: %s", f->path, name, what);
}

/* One array of `n` integers that are not negative. */
static bool read_ints(const json_t *a, int64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return false;
        out[i] = json_integer_value(v);
    }
    return true;
}

/* t->offset is relative to the data for now. */
static int read_tensor(const qn_file *f, const char *name, const json_t *o,
                       qn_tensor *t, qn_err *err)
{
    const json_t *dtype = json_object_get(o, "dtype");
    const json_t *shape = json_object_get(o, "shape");
    const json_t *offsets = json_object_get(o, "data_offsets");
    int64_t range[2];

    if (!json_is_object(o))
        return bad(f, name, "its entry is not an object", err);
    if (!json_is_string(dtype))
        return bad(f, name, "no \"dtype\"", err);
    if (!qn_dtype_from_safetensors(json_string_value(dtype), &t->dtype))
        return qn_fail(err, QN_EFORMAT, "%s: tensor %s: unknown dtype %s",
                       f->path, name, json_string_value(dtype));
    t->format = qn_dtype_get(t->dtype)->name;
    if (!json_is_array(shape))
        return bad(f, name, "no \"shape\"", err);
    if (json_array_size(shape) > QN_MAX_DIMS)
        return qn_fail(err, QN_EUNSUP,
                       "%s: tensor %s has %zu dimensions, at most %d are "
                       "supported",
                       f->path, name, json_array_size(shape), QN_MAX_DIMS);
    t->n_dims = (int)json_array_size(shape);
    if (!read_ints(shape, t->shape, (size_t)t->n_dims))
        return bad(f, name, "a dimension is not a whole number", err);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_ints(offsets, range, 2) || range[1] < range[0])
        return bad(f, name, "\"data_offsets\" are not [begin, end]", err);
    QN_TRY(qn_ckpt_measure(t, f->path, err));
    t->offset = (uint64_t)range[0];
    if (t->n_bytes != (uint64_t)(range[1] - range[0]))
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s: shape and dtype make %" PRIu64
                       " bytes, data_offsets %" PRId64,
                       f->path, name, t->n_bytes, range[1] - range[0]);
    return 0;
}

static int check_metadata(const qn_file *f, const json_t *o, qn_err *err)
{
    const char *key;
    json_t *value;

    if (json_is_null(o))
        return 0;
    if (!json_is_object(o))
        return qn_fail(err, QN_EFORMAT, "%s: __metadata__ is not an object",
                       f->path);
    json_object_foreach((json_t *)o, key, value)
    {
        if (!json_is_string(value))
            return qn_fail(err, QN_EFORMAT,
                           "%s: __metadata__.%s is not a string", f->path, key);
    }
    return 0;
}

/* Every entry of the header into `all` (room for json_object_size). */
static int read_entries(qn_ckpt *ck, const qn_file *f, json_t *header,
                        qn_tensor *all, size_t *n, qn_err *err)
{
    const char *key;
    json_t *value;

    *n = 0;
    json_object_foreach(header, key, value)
    {
        qn_tensor t = {.file = (int)ck->files.n - 1};

        if (strcmp(key, "__metadata__") == 0) {
            QN_TRY(check_metadata(f, value, err));
            continue;
        }
        t.name = qn_arena_strndup(&ck->arena, key, strlen(key));
        QN_TRY(read_tensor(f, t.name, value, &t, err));
        all[(*n)++] = t;
    }
    return 0;
}

/* Rule 3; turns offsets into positions in the file. */
static int check_cover(const qn_file *f, qn_tensor *all, size_t n,
                       uint64_t data, qn_err *err)
{
    uint64_t end = 0, room = f->size - data;

    qsort(all, n, sizeof *all, qn_ckpt_cmp_offset);
    for (size_t i = 0; i < n; i++) {
        if (all[i].offset != end)
            return qn_fail(err, QN_EFORMAT,
                           "%s: tensor %s begins at byte %" PRIu64
                           " of the data, the one before ends at %" PRIu64,
                           f->path, all[i].name, all[i].offset, end);
        end += all[i].n_bytes; /* both below 2^63 */
        all[i].offset += data;
    }
    if (end > room)
        return qn_fail(err, QN_EFORMAT,
                       "%s is cut short: its header describes %" PRIu64
                       " bytes, the file has %" PRIu64
                       "; finish the download or fetch it again",
                       f->path, data + end, f->size);
    if (end < room)
        return qn_fail(err, QN_EFORMAT,
                       "%s has %" PRIu64 " bytes more than its header "
                       "describes (%" PRIu64 "); fetch it again",
                       f->path, room - end, data + end);
    return 0;
}

static int read_header(const qn_file *f, json_t **header, uint64_t *data,
                       qn_err *err)
{
    unsigned char head[HEAD_LEN];
    uint64_t n;
    char *text;
    int rc;

    if (f->size < HEAD_LEN) {
        QN_TRY(qn_ckpt_explain(f, "a safetensors file", err));
        return qn_fail(err, QN_EFORMAT,
                       "%s: %" PRIu64 " bytes are too few for a safetensors "
                       "file; fetch it again",
                       f->path, f->size);
    }
    QN_TRY(qn_file_pread(f, head, 0, HEAD_LEN, err));
    n = qn_le(head, HEAD_LEN);
    if (n > HEADER_MAX || n > f->size - HEAD_LEN)
        QN_TRY(qn_ckpt_explain(f, "a safetensors file", err));
    if (n > HEADER_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s is not a safetensors file (a header of %" PRIu64
                       " bytes, the limit is %u)",
                       f->path, n, HEADER_MAX);
    if (n > f->size - HEAD_LEN)
        return qn_fail(err, QN_EFORMAT,
                       "%s is cut short inside its header: %" PRIu64
                       " bytes expected, the file has %" PRIu64
                       "; finish the download or fetch it again",
                       f->path, n + HEAD_LEN, f->size);
    text = qn_alloc((size_t)n + 1, 1);
    if (!text)
        return qn_fail(err, QN_ENOMEM, "%s: no memory for its header", f->path);
    rc = qn_file_pread(f, text, HEAD_LEN, (size_t)n, err);
    if (rc >= 0)
        rc = qn_json_parse(header, text, (size_t)n, f->path, err);
    free(text);
    *data = HEAD_LEN + n;
    return rc;
}

/* The tensors that this shard is to provide. */
static int add_mine(qn_ckpt *ck, const qn_tensor *all, size_t n,
                    const json_t *weight_map, const char *shard, qn_err *err)
{
    QN_TRY(qn_ckpt_reserve(ck, n, err));
    for (size_t i = 0; i < n; i++) {
        const char *home = json_string_value(
            json_object_get(weight_map, all[i].name));
        if (!home || strcmp(home, shard) == 0)
            QN_TRY(qn_ckpt_add_tensor(ck, &all[i], err));
    }
    return 0;
}

int qn_safetensors_add(qn_ckpt *ck, const char *path, const json_t *weight_map,
                       const char *shard, qn_err *err)
{
    json_t *header = NULL;
    qn_tensor *all = NULL;
    const qn_file *f;
    uint64_t data = 0;
    size_t n;
    int file, rc;

    QN_TRY(qn_ckpt_add_file(ck, path, &file, err));
    f = &ck->files.v[file];
    QN_TRY_OUT(read_header(f, &header, &data, err));
    if (!json_is_object(header))
        QN_FAIL_OUT(QN_EFORMAT, "%s: its header is not a JSON object", f->path);
    all = qn_alloc(json_object_size(header), sizeof *all);
    if (!all)
        QN_FAIL_OUT(QN_ENOMEM, "%s: no memory to list %zu tensors", f->path,
                    json_object_size(header));
    QN_TRY_OUT(read_entries(ck, f, header, all, &n, err));
    QN_TRY_OUT(check_cover(f, all, n, data, err));
    QN_TRY_OUT(add_mine(ck, all, n, weight_map, shard, err));
out:
    free(all);
    json_decref(header);
    return rc;
}
