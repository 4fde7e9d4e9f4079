/* ckpt.h - a checkpoint, whatever the container: named tensors + metadata.
 *
 * One interface over HF directories (safetensors or torch .bin, sharded or not)
 * and GGUF files, so that nothing above knows which it was. Reading the metadata never
 * touches tensor data; tensor bytes are read by position, from any thread.
 *
 * Ownership: everything borrowed from a qn_ckpt lives until qn_ckpt_close.
 * Threads: immutable after open.
 *
 * Shapes are in the order of PyTorch (outermost first); for GGUF, whose files
 * list the innermost first, they are turned round here. */
#ifndef QN_CKPT_CKPT_H
#define QN_CKPT_CKPT_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "tensor/dtype.h"
#include "tensor/qmat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QN_MAX_DIMS 8

typedef enum qn_container {
    QN_CKPT_HF,
    QN_CKPT_GGUF
} qn_container;

typedef struct qn_tensor {
    const char *name;
    /* QN_DTYPE_N: a GGUF type that this version does not know. Such a tensor
     * is listed (n_bytes: up to the next one), but cannot be read. */
    qn_dtype dtype;
    const char *format;         /* "bf16", "q4_0"; "ggml type 99" */
    int n_dims;                 /* 0: scalar */
    int64_t shape[QN_MAX_DIMS]; /* outermost first */
    uint64_t n_elems;
    uint64_t n_bytes;
    int file;        /* index into the checkpoint's files */
    uint64_t offset; /* of the first byte, from the start of that file */
    /* A quantized matrix that several tensors of the file make up: it stands
     * for them under the name that it has unquantized; file, offset and
     * n_bytes are those of its main part. dtype is QN_DTYPE_N: read it with
     * qn_ckpt_quant_open. NULL: an ordinary tensor. */
    const struct qn_ckpt_quant *quant;
    /* NULL: back to back from there on. Else a view of a larger array, as
     * torch.save may write one; qn_ckpt_read gathers its elements. */
    const struct qn_strided *strided;
} qn_tensor;

typedef struct qn_ckpt qn_ckpt;
struct qn_file;

/* `path`: an HF directory, a .gguf file (of a split one any part), or one
 * .safetensors or torch .bin file (then the directory it lies in provides config.json and
 * the tokenizer). A model folder of the hub's cache stands for its current
 * snapshot; a directory whose only weights are one GGUF stands for that. What
 * is no path but has the form org/name[@revision] is looked for in the hub's
 * cache (ckpt/hub_cache.h). */
int qn_ckpt_open(qn_ckpt **out, const char *path, qn_err *err);
/* One .safetensors or .gguf file as bare tensors (and pairs), without a
 * config. */
int qn_ckpt_open_tensors(qn_ckpt **out, const char *path, qn_err *err);
void qn_ckpt_close(qn_ckpt *ck); /* NULL is fine */

qn_container qn_ckpt_container(const qn_ckpt *ck);
/* The path as it was given. */
const char *qn_ckpt_path(const qn_ckpt *ck);
/* Files that hold the tensors (qn_tensor.file). */
int qn_ckpt_n_files(const qn_ckpt *ck);
const char *qn_ckpt_file_path(const qn_ckpt *ck, int i);
uint64_t qn_ckpt_file_size(const qn_ckpt *ck, int i);

size_t qn_ckpt_n_tensors(const qn_ckpt *ck);
/* In the order of the files (shards in name order, then by offset). */
const qn_tensor *qn_ckpt_tensor(const qn_ckpt *ck, size_t i);
/* NULL if there is none of that name. */
const qn_tensor *qn_ckpt_find(const qn_ckpt *ck, const char *name);

/* n bytes of a tensor's data from byte `offset` of it. Any thread. QN_EINVAL
 * outside of the tensor, QN_EUNSUP for dtype QN_DTYPE_N. */
int qn_ckpt_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                 void *dst, size_t n, qn_err *err);

/* Advice: these bytes are about to be read, in smaller pieces. Any thread. */
void qn_ckpt_will_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                       size_t n);

/* The file that the tensor's bytes lie in one after the other, from t->offset
 * on, for who reads them after qn_ckpt_close; qn_file_close it. QN_EUNSUP: they
 * do not lie so (quantized, or a view of others). */
int qn_ckpt_keep(const qn_ckpt *ck, const qn_tensor *t, struct qn_file *out,
                 qn_err *err);

/* The same bytes where the page cache has them, borrowed until qn_ckpt_close,
 * all of them in memory when this returns; NULL when they cannot be had so
 * (take qn_ckpt_read, which tells why). Any thread. To be used soon: should
 * the file be cut short meanwhile, touching them ends the program. */
const void *qn_ckpt_view(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                         size_t n);

/* Views of those bytes, or of a quantized tensor's parts, are done with: they
 * no longer count as memory of this process. They stay readable. */
void qn_ckpt_view_end(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                      size_t n);
void qn_ckpt_quant_view_end(const qn_ckpt *ck, const qn_tensor *t);

/* ---- quantized matrices ------------------------------------------------ */

/* What t->quant says of itself; its parts are named but not in memory. */
const qn_qmat *qn_ckpt_quant(const qn_tensor *t);
/* Bytes of all parts in the files. */
uint64_t qn_ckpt_quant_bytes(const qn_tensor *t);
/* *m with all parts in memory and checked (qn_qmat_decode may be called),
 * where the page cache has them or, failing that, in *mem. Any thread. The
 * rule of qn_ckpt_view holds: to be used soon. */
int qn_ckpt_quant_open(const qn_ckpt *ck, const qn_tensor *t, qn_qmat *m,
                       void **mem, qn_err *err);
void qn_ckpt_quant_close(void *mem);
/* The tensors that quantized ones are made of, as they lie in the files; the
 * list of qn_ckpt_tensor does not have them. */
size_t qn_ckpt_n_parts(const qn_ckpt *ck);
const qn_tensor *qn_ckpt_part(const qn_ckpt *ck, size_t i);

/* config.json as it is written, but for Infinity and NaN, which come as
 * transformers 5 writes them ({"__float__": "Infinity"}). For GGUF: the same
 * keys, mapped from the metadata (ckpt/gguf_arch.c is the table), so that
 * src/model has one reader. NULL after qn_ckpt_open_tensors. */
const json_t *qn_ckpt_config(const qn_ckpt *ck);
/* generation_config.json, or NULL. GGUF: NULL. */
const json_t *qn_ckpt_generation_config(const qn_ckpt *ck);

/* ---- text ------------------------------------------------------------- */

/* A side file of an HF directory ("tokenizer.json", "vocab.json",
 * "merges.txt", "tokenizer_config.json", "chat_template.jinja", ...), read
 * whole, NUL behind; qn_free it. QN_ENOENT without a message when it is absent
 * (for GGUF always: its vocabulary is in the metadata). */
int qn_ckpt_side_file(const qn_ckpt *ck, const char *name, char **out,
                      size_t *n, qn_err *err);

/* ---- GGUF metadata ---------------------------------------------------- */

typedef enum qn_gguf_type {
    QN_GGUF_U8,
    QN_GGUF_I8,
    QN_GGUF_U16,
    QN_GGUF_I16,
    QN_GGUF_U32,
    QN_GGUF_I32,
    QN_GGUF_F32,
    QN_GGUF_BOOL,
    QN_GGUF_STR,
    QN_GGUF_ARR,
    QN_GGUF_U64,
    QN_GGUF_I64,
    QN_GGUF_F64
} qn_gguf_type;

typedef struct qn_gguf_kv {
    qn_view key;
    qn_gguf_type type;
    qn_gguf_type elem_type; /* of an array */
    uint64_t n;             /* elements of an array */
    union {
        uint64_t u;          /* U8 U16 U32 U64 BOOL */
        int64_t i;           /* I8 I16 I32 I64 */
        double f;            /* F32 F64 */
        qn_view str;         /* any bytes, not NUL-terminated */
        const qn_view *strs; /* array of strings */
        /* Array of numbers: little-endian, packed, maybe unaligned (see
         * qn_gguf_elem). Array of arrays: as the file encodes them. */
        const void *data;
    } v;
} qn_gguf_kv;

/* A number as the type asked for; false when it is of another kind (u64 takes
 * bool and any integer that is not negative, f64 any number). */
bool qn_gguf_as_u64(const qn_gguf_kv *kv, uint64_t *out);
bool qn_gguf_as_f64(const qn_gguf_kv *kv, double *out);
/* Element i of an array as a scalar (out->key is the array's); false when kv is
 * no array, is one of arrays, or is shorter. */
bool qn_gguf_elem(const qn_gguf_kv *kv, uint64_t i, qn_gguf_kv *out);

/* In the file's order, for listing. */
size_t qn_ckpt_gguf_n_kv(const qn_ckpt *ck);
const qn_gguf_kv *qn_ckpt_gguf_kv_at(const qn_ckpt *ck, size_t i);
/* NULL when the checkpoint is not GGUF or has no such key. */
const qn_gguf_kv *qn_ckpt_gguf_kv(const qn_ckpt *ck, const char *key);
/* Scalar readers by key: false when absent or of another kind. */
bool qn_ckpt_gguf_u64(const qn_ckpt *ck, const char *key, uint64_t *out);
bool qn_ckpt_gguf_f64(const qn_ckpt *ck, const char *key, double *out);
bool qn_ckpt_gguf_str(const qn_ckpt *ck, const char *key, qn_view *out);

#endif
