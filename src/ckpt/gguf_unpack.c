/* gguf_unpack.c: see gguf_unpack.h. The table of names and the orders of rows
 * are those of gguf_export.c. */
#include "ckpt/gguf_unpack.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/gguf_export_int.h"
#include "ckpt/safetensors_write.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_LEN 256
#define PIECE_ELEMS ((int64_t)1 << 20)

/* A tensor of the folder, or one expert of a stack. */
typedef struct unpacked {
    char *name;
    const qn_tensor *from;
    int64_t first; /* row of `from` */
    qn_dtype dtype;
    int n_dims;
    int64_t shape[2];
    qn_gguf_source how; /* order, n_head, add, mul */
} unpacked;

typedef struct unpack {
    const qn_gguf_unpack *how;
    qn_gguf_export e; /* of the file's own configuration */
    QN_VEC(unpacked) t;
    qn_err *err;
} unpack;

/* ---- names ------------------------------------------------------------- */

static const char *prefix_of(const unpack *u, const char *rest)
{
    const char *arch = u->e.row->arch;

    if (strcmp(rest, "lm_head") == 0 || strcmp(rest, "embed_out") == 0)
        return "";
    return strcmp(arch, "gpt2") == 0      ? "transformer."
           : strcmp(arch, "gptneox") == 0 ? "gpt_neox."
                                          : "model.";
}

/* "blk.3.attn_q.weight": 3, "attn_q", ".weight". */
static bool take_apart(const char *name, int *layer, char *rest,
                       const char **kind)
{
    int n = 0;

    *layer = -1;
    if (sscanf(name, "blk.%d.%n", layer, &n) == 1 && n > 0 && *layer >= 0)
        name += n;
    else
        *layer = -1;
    *kind = qn_ends(name, ".weight") ? ".weight"
            : qn_ends(name, ".bias") ? ".bias"
                                     : NULL;
    if (!*kind || strlen(name) >= NAME_LEN)
        return false;
    snprintf(rest, NAME_LEN, "%.*s", (int)(strlen(name) - strlen(*kind)), name);
    return true;
}

/* The whole name; expert -1: none. */
static char *full_name(const unpack *u, const char *hf, int layer, int expert,
                       const char *kind)
{
    qn_str s;
    const char *at = strstr(hf, ".experts.");

    qn_str_init(&s);
    qn_str_adds(&s, prefix_of(u, hf));
    if (layer >= 0) {
        const char *d = strstr(u->how->layer, "%d");
        qn_str_addf(&s, "%.*s%d%s", (int)(d - u->how->layer), u->how->layer,
                    layer, d + 2);
    }
    if (expert >= 0 && at)
        qn_str_addf(&s, "%.*s.experts.%d%s", (int)(at - hf), hf, expert,
                    at + strlen(".experts"));
    else
        qn_str_adds(&s, hf);
    qn_str_adds(&s, kind);
    return qn_str_take(&s, NULL);
}

/* ---- the list ---------------------------------------------------------- */

static int out_type(const unpack *u, const qn_tensor *t, qn_dtype *out)
{
    *out = t->dtype == QN_Q8_0 ? QN_F16 : t->dtype;
    if (*out == QN_F32 || *out == QN_F16 || *out == QN_BF16)
        return 0;
    return qn_fail(u->err, QN_EUNSUP,
                   "%s: tensor %s is %s already; start from a file in f32, "
                   "f16, bf16 or q8_0",
                   u->e.ck->path, t->name, t->format);
}

static int add_tensor(unpack *u, const qn_tensor *t, const char *hf, int layer,
                      const char *kind, const qn_gguf_source *how, bool stacked)
{
    int64_t n = stacked ? t->shape[0] : 1;
    unpacked x = {.from = t, .how = *how, .n_dims = stacked ? 2 : t->n_dims};

    QN_TRY(out_type(u, t, &x.dtype));
    if (t->n_dims != (stacked ? 3 : x.n_dims) || x.n_dims < 1 || x.n_dims > 2 ||
        n < 1 || n > INT32_MAX)
        return qn_fail(u->err, QN_EUNSUP,
                       "%s: tensor %s has %d dimensions, which its place does "
                       "not",
                       u->e.ck->path, t->name, t->n_dims);
    memcpy(x.shape, t->shape + stacked, sizeof x.shape);
    x.how.t.n_dims = x.n_dims;
    x.how.t.n_cols = x.shape[x.n_dims - 1];
    x.how.t.n_rows = x.n_dims == 2 ? x.shape[0] : 1;
    if (x.how.order == QN_GGUF_TRANSPOSED && x.n_dims == 2) {
        x.shape[0] = x.how.t.n_cols;
        x.shape[1] = x.how.t.n_rows;
    }
    QN_TRY(qn_gguf_source_check(&u->e, &x.how, t, u->err));
    for (int64_t i = 0; i < n; i++) {
        x.name = full_name(u, hf, layer, stacked ? (int)i : -1, kind);
        x.first = i * x.how.t.n_rows;
        qn_vec_push(&u->t, x);
    }
    return 0;
}

static int add(unpack *u, const qn_tensor *t)
{
    char rest[NAME_LEN];
    const char *kind, *hf;
    qn_gguf_source how;
    bool stacked;
    int layer;

    if (strcmp(t->name, "rope_freqs.weight") == 0 ||
        qn_starts(t->name, "rope_factors_"))
        return 0; /* in the configuration */
    if (take_apart(t->name, &layer, rest, &kind))
        for (size_t k = 0; (hf = qn_gguf_source_find(&u->e, rest, layer >= 0, k,
                                                     &how, &stacked));
             k++)
            if (u->how->is_name(u->how->user, hf, layer >= 0))
                return add_tensor(u, t, hf, layer, kind, &how, stacked);
    return qn_fail(u->err, QN_EUNSUP,
                   "%s: tensor %s has no counterpart in a Hugging Face folder "
                   "of model_type %s",
                   u->e.ck->path, t->name, u->e.row->model_type);
}

/* ---- numbers ----------------------------------------------------------- */

/* n rows of the file's tensor from `row` on, as the folder has the numbers. */
static int read_rows(const unpack *u, const unpacked *x, int64_t row, int64_t n,
                     float *dst)
{
    const qn_tensor *t = x->from;
    const qn_dtype_row *d = qn_dtype_get(t->dtype);
    int64_t cols = x->how.t.n_cols, count = n * cols;
    uint64_t bytes = (uint64_t)(cols / d->block_elems) *
                     (uint64_t)d->block_bytes;
    void *raw = qn_alloc((size_t)n, (size_t)bytes);
    int rc = raw ? qn_ckpt_read(u->e.ck, t, (uint64_t)(x->first + row) * bytes,
                                raw, (size_t)((uint64_t)n * bytes), u->err)
                 : qn_fail(u->err, QN_ENOMEM, "tensor %s: no memory", t->name);

    if (rc >= 0)
        rc = qn_dtype_decode(t->dtype, raw, dst, (size_t)count, u->err);
    for (int64_t i = 0; i < count && rc >= 0; i++)
        dst[i] = dst[i] / x->how.mul - x->how.add;
    qn_free(raw);
    return rc;
}

static int put(const unpack *u, qn_st_writer *w, const unpacked *x,
               const float *v, int64_t n)
{
    size_t size = (size_t)qn_dtype_get(x->dtype)->block_bytes;
    void *raw = qn_alloc((size_t)n, size);
    int rc = raw ? qn_dtype_encode(x->dtype, v, raw, (size_t)n, u->err)
                 : qn_fail(u->err, QN_ENOMEM, "tensor %s: no memory", x->name);

    if (rc >= 0)
        rc = qn_st_writer_data(w, raw, (size_t)n * size, u->err);
    qn_free(raw);
    return rc;
}

/* All of it at once: what is turned, and vectors. */
static int put_whole(const unpack *u, qn_st_writer *w, const unpacked *x)
{
    int64_t rows = x->how.t.n_rows, cols = x->how.t.n_cols, n = rows * cols;
    float *a = qn_alloc((size_t)n, sizeof *a),
          *b = qn_alloc((size_t)n, sizeof *b);
    int rc = a && b
                 ? read_rows(u, x, 0, rows, a)
                 : qn_fail(u->err, QN_ENOMEM, "tensor %s: no memory", x->name);

    for (int64_t r = 0; x->n_dims == 2 && r < rows && rc >= 0; r++)
        for (int64_t c = 0; c < cols; c++)
            b[c * rows + r] = a[r * cols + c];
    for (int64_t i = 0; x->n_dims == 1 && i < n && rc >= 0; i++)
        b[qn_gguf_source_row(&x->how, i)] = a[i];
    if (rc >= 0)
        rc = put(u, w, x, b, n);
    qn_free(a);
    qn_free(b);
    return rc;
}

/* Piece by piece, rows where the folder has them. */
static int put_matrix(const unpack *u, qn_st_writer *w, const unpacked *x)
{
    int64_t rows = x->how.t.n_rows, cols = x->how.t.n_cols;
    int64_t step = QN_MIN(QN_MAX(PIECE_ELEMS / QN_MAX(cols, 1), 1), rows);
    int64_t *from = qn_alloc((size_t)rows, sizeof *from);
    float *v = qn_alloc((size_t)step, (size_t)cols * sizeof *v);
    int rc = from && v
                 ? 0
                 : qn_fail(u->err, QN_ENOMEM, "tensor %s: no memory", x->name);

    for (int64_t r = 0; r < rows && rc >= 0; r++)
        from[qn_gguf_source_row(&x->how, r)] = r;
    for (int64_t r = 0; r < rows && rc >= 0; r += step) {
        int64_t n = QN_MIN(step, rows - r);
        if (x->how.order == QN_GGUF_AS_IS)
            rc = read_rows(u, x, r, n, v);
        for (int64_t i = 0; x->how.order != QN_GGUF_AS_IS && i < n && rc >= 0;
             i++)
            rc = read_rows(u, x, from[r + i], 1, v + i * cols);
        if (rc >= 0)
            rc = put(u, w, x, v, n * cols);
    }
    qn_free(from);
    qn_free(v);
    return rc;
}

static int write_tensors(const unpack *u, const char *dir)
{
    char *path = qn_path_join(dir, "model.safetensors");
    qn_st_writer *w = NULL;
    int rc = qn_st_writer_new(&w, path, u->err);

    for (size_t i = 0; i < u->t.n && rc >= 0; i++) {
        const unpacked *x = &u->t.v[i];
        rc = qn_st_writer_declare(w, x->name, x->dtype, x->n_dims, x->shape,
                                  u->err);
    }
    for (size_t i = 0; i < u->t.n && rc >= 0; i++) {
        const unpacked *x = &u->t.v[i];
        bool whole = x->n_dims == 1 || x->how.order == QN_GGUF_TRANSPOSED;
        rc = whole ? put_whole(u, w, x) : put_matrix(u, w, x);
    }
    if (rc >= 0)
        rc = qn_st_writer_finish(w, u->err);
    qn_st_writer_free(w);
    qn_free(path);
    return rc;
}

/* ---- all of it --------------------------------------------------------- */

static int write_config(const unpack *u, const char *dir)
{
    json_t *c = json_deep_copy(u->e.config);
    static const char *const names[] = {"float32", "float16", "bfloat16"};
    int kind = 0;
    uint64_t n[3] = {0};

    for (size_t i = 0; i < u->t.n; i++)
        n[u->t.v[i].dtype == QN_F32   ? 0
          : u->t.v[i].dtype == QN_F16 ? 1
                                      : 2] += u->t.v[i].from->n_elems;
    for (int i = 1; i < 3; i++)
        kind = n[i] > n[kind] ? i : kind;
    json_object_set_new(c, "torch_dtype", json_string(names[kind]));
    char *text = json_dumps(c, JSON_INDENT(2));
    char *path = qn_path_join(dir, "config.json");
    int rc = text ? qn_file_write(path, text, strlen(text), u->err)
                  : qn_fail(u->err, QN_EINTERNAL, "config.json: no text");
    free(text);
    qn_free(path);
    json_decref(c);
    return rc;
}

static int run(unpack *u, const char *dir)
{
    QN_TRY(qn_gguf_export_check(&u->e, u->err));
    for (size_t i = 0; i < qn_ckpt_n_tensors(u->e.ck); i++)
        QN_TRY(add(u, qn_ckpt_tensor(u->e.ck, i)));
    QN_TRY(qn_mkdirs(dir, u->err));
    QN_TRY(write_tensors(u, dir));
    return write_config(u, dir);
}

int qn_gguf_unpack_run(const qn_ckpt *ck, const char *dir,
                       const qn_gguf_unpack *how, qn_err *err)
{
    unpack u = {.how = how, .err = err};

    if (qn_ckpt_container(ck) != QN_CKPT_GGUF || !qn_ckpt_config(ck))
        return qn_fail(err, QN_EINVAL, "%s: only a GGUF file is unpacked",
                       qn_ckpt_path(ck));
    u.e.ck = ck;
    u.e.config = qn_ckpt_config(ck);
    int rc = run(&u, dir);
    for (size_t i = 0; i < u.t.n; i++)
        qn_free(u.t.v[i].name);
    qn_vec_deinit(&u.t);
    return rc;
}
