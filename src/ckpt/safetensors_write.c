/* safetensors_write.c: see safetensors_write.h.
 *
 *     declare* -> data* -> finish -> free
 *
 * The header is made while tensors are declared and written with the first
 * data (or at the end, when there is none). It says {"format": "pt"}, without
 * which transformers refuses the file, and is padded with blanks so that the
 * data begins on a multiple of 8. */
#include "ckpt/safetensors_write.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/outfile.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#define HEADER_MAX 100000000u

struct qn_st_writer {
    qn_outfile out;
    qn_str header;
    qn_map names;
    qn_arena arena;    /* of the names */
    uint64_t promised; /* bytes of data that were declared */
    uint64_t given;
    bool begun; /* the header is written */
};

static int writer_new(qn_st_writer **out, const char *path, bool keep,
                      qn_err *err)
{
    qn_st_writer *w = qn_xcalloc(1, sizeof *w);
    int rc;

    qn_map_init(&w->names, 0);
    qn_arena_init(&w->arena);
    qn_str_init(&w->header);
    qn_str_adds(&w->header, "{\"__metadata__\":{\"format\":\"pt\"}");
    rc = keep ? qn_outfile_keep(&w->out, path, err)
              : qn_outfile_open(&w->out, path, err);
    if (rc < 0)
        qn_st_writer_free(w);
    else
        *out = w;
    return rc;
}

int qn_st_writer_new(qn_st_writer **out, const char *path, qn_err *err)
{
    return writer_new(out, path, false, err);
}

int qn_st_writer_keep(qn_st_writer **out, const char *path, qn_err *err)
{
    return writer_new(out, path, true, err);
}

static int add_entry(qn_st_writer *w, const char *name, const char *dtype,
                     int n_dims, const int64_t *shape, uint64_t end,
                     qn_err *err)
{
    json_t *s = json_string(name);
    char *quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;

    json_decref(s);
    if (!quoted)
        return qn_fail(err, QN_EINVAL, "%s: tensor name %s is not UTF-8",
                       w->out.path, name);
    qn_str_addf(&w->header, ",%s:{\"dtype\":\"%s\",\"shape\":[", quoted, dtype);
    free(quoted);
    for (int i = 0; i < n_dims; i++)
        qn_str_addf(&w->header, "%s%" PRId64, i ? "," : "", shape[i]);
    qn_str_addf(&w->header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                w->promised, end);
    return 0;
}

int qn_st_writer_declare(qn_st_writer *w, const char *name, qn_dtype dtype,
                         int n_dims, const int64_t *shape, qn_err *err)
{
    const qn_dtype_row *row = qn_dtype_get(dtype);
    uint64_t n = 1, bytes, end;
    const char *own;

    if (w->begun)
        return qn_fail(err, QN_EINVAL,
                       "%s: tensor %s is declared after the first data",
                       w->out.path, name);
    if (!row->safetensors)
        return qn_fail(err, QN_EUNSUP,
                       "%s: tensor %s: safetensors has no format for %s",
                       w->out.path, name, row->name);
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 0 || !qn_mul_u64(n, (uint64_t)shape[i], &n))
            return qn_fail(err, QN_EINVAL, "%s: tensor %s: impossible shape",
                           w->out.path, name);
    QN_TRY(qn_dtype_bytes(dtype, n, &bytes, err));
    if (!qn_add_u64(w->promised, bytes, &end) || end > INT64_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: more than 2^63 bytes", w->out.path);
    own = qn_arena_strndup(&w->arena, name, strlen(name));
    if (strcmp(name, "__metadata__") == 0 ||
        !qn_map_add(&w->names, own, strlen(own), 0))
        return qn_fail(err, QN_EINVAL, "%s: tensor name %s is taken",
                       w->out.path, name);
    QN_TRY(add_entry(w, name, row->safetensors, n_dims, shape, end, err));
    w->promised = end;
    if (w->header.n > HEADER_MAX - 16)
        return qn_fail(err, QN_ELIMIT,
                       "%s: a header of more than %u bytes; use several files",
                       w->out.path, HEADER_MAX);
    return 0;
}

static void end_header(qn_st_writer *w)
{
    w->begun = true;
    qn_str_addc(&w->header, '}');
    while (w->header.n % 8)
        qn_str_addc(&w->header, ' ');
}

static int begin(qn_st_writer *w, qn_err *err)
{
    unsigned char len[8];

    if (w->begun)
        return 0;
    end_header(w);
    if (w->out.keep)
        QN_TRY(qn_outfile_seek(&w->out, 0, err));
    for (int i = 0; i < 8; i++)
        len[i] = (unsigned char)((uint64_t)w->header.n >> (8 * i));
    QN_TRY(qn_outfile_write(&w->out, len, sizeof len, err));
    return qn_outfile_write(&w->out, w->header.p, w->header.n, err);
}

int qn_st_writer_data(qn_st_writer *w, const void *p, size_t n, qn_err *err)
{
    if (n > w->promised - w->given)
        return qn_fail(err, QN_EINVAL,
                       "%s: more data than the %" PRIu64 " bytes declared",
                       w->out.path, w->promised);
    QN_TRY(begin(w, err));
    QN_TRY(qn_outfile_write(&w->out, p, n, err));
    w->given += n;
    return 0;
}

int qn_st_writer_resume(qn_st_writer *w, uint64_t n, qn_err *err)
{
    if (w->begun || n > w->promised)
        return qn_fail(err, QN_EINVAL,
                       "%s: cannot go on behind %" PRIu64 " bytes of data",
                       w->out.path, n);
    end_header(w);
    w->given = n;
    return qn_outfile_seek(&w->out, 8 + (uint64_t)w->header.n + n, err);
}

int qn_st_writer_sync(qn_st_writer *w, qn_err *err)
{
    QN_TRY(begin(w, err));
    return qn_outfile_sync(&w->out, err);
}

int qn_st_writer_finish(qn_st_writer *w, qn_err *err)
{
    if (w->given != w->promised)
        return qn_fail(err, QN_EINVAL,
                       "%s: %" PRIu64 " bytes of data given, %" PRIu64
                       " declared",
                       w->out.path, w->given, w->promised);
    QN_TRY(begin(w, err));
    return qn_outfile_finish(&w->out, err);
}

void qn_st_writer_free(qn_st_writer *w)
{
    if (!w)
        return;
    qn_map_deinit(&w->names);
    qn_arena_deinit(&w->arena);
    qn_str_deinit(&w->header);
    qn_outfile_deinit(&w->out);
    free(w);
}
