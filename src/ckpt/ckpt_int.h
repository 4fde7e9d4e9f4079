/* ckpt_int.h - what the containers share: the checkpoint under construction.
 *
 * A container's reader adds files, then tensors; ckpt.c owns everything that
 * was added and frees it, whether opening succeeded or not. So a reader that
 * fails just returns. */
#ifndef QN_CKPT_CKPT_INT_H
#define QN_CKPT_CKPT_INT_H

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"
#include "ckpt/ckpt.h"

/* Largest JSON side file of a directory that is read: config, index. */
#define QN_CKPT_JSON_MAX ((size_t)64 << 20)
/* Largest side file: a tokenizer.json is some 10 to 35 MB. */
#define QN_CKPT_SIDE_MAX ((size_t)512 << 20)

struct qn_ckpt {
    qn_container container;
    char *path; /* as given */
    char *dir;  /* where the side files lie; NULL: there are none */
    qn_arena arena;
    QN_VEC(qn_file) files;
    QN_VEC(const void *) views; /* of the files; NULL: could not be mapped */
    qn_tensor *tensors;
    size_t n_tensors, cap_tensors;
    qn_map by_name;   /* name -> index into tensors */
    qn_tensor *parts; /* of quantized tensors */
    size_t n_parts;
    json_t *config, *generation_config;

    /* GGUF: the first part's metadata. Keys and values point into meta. */
    char *meta;
    qn_gguf_kv *kv;
    size_t n_kv;
    qn_map kv_by_key; /* key -> index into kv */
    size_t n_numbers; /* tensors that are metadata in the file */
};

/* ---- ckpt.c ------------------------------------------------------------ */

/* Opens a file of tensors and gives it the next index. */
int qn_ckpt_add_file(qn_ckpt *ck, const char *path, int *index, qn_err *err);
/* Makes room for n more tensors (QN_ENOMEM). */
int qn_ckpt_reserve(qn_ckpt *ck, size_t n, qn_err *err);
/* Adds one; room must have been reserved. t->name must live as long as the
 * checkpoint. QN_EFORMAT when there is one of that name already. */
int qn_ckpt_add_tensor(qn_ckpt *ck, const qn_tensor *t, qn_err *err);
/* n_elems and n_bytes from dtype and shape. */
int qn_ckpt_measure(qn_tensor *t, const char *file, qn_err *err);
/* For qsort: by file, offset, length, name. */
int qn_ckpt_cmp_offset(const void *a, const void *b);

/* ---- strided.c --------------------------------------------------------- */

/* How a view lies: strides in bytes, and the bytes from its first element to
 * the end of its last. */
typedef struct qn_strided {
    uint64_t stride[QN_MAX_DIMS], span;
} qn_strided;

/* n bytes from byte `offset` of the elements in their order. */
int qn_strided_read(const qn_ckpt *ck, const qn_tensor *t, uint64_t offset,
                    void *dst, size_t n, qn_err *err);

/* What a file is, by its first bytes. */
typedef enum qn_sniff {
    QN_SNIFF_SAFETENSORS,
    QN_SNIFF_GGUF,
    QN_SNIFF_TORCH,
    QN_SNIFF_OTHER
} qn_sniff;

/* ---- containers -------------------------------------------------------- */

/* Adds a safetensors file. When `weight_map` is not NULL (the index of a
 * sharded set), tensors that it assigns to another shard than `shard` are
 * left out. */
int qn_safetensors_add(qn_ckpt *ck, const char *path, const json_t *weight_map,
                       const char *shard, qn_err *err);
/* The same of a file that torch.save made. */
int qn_torch_add(qn_ckpt *ck, const char *path, const json_t *weight_map,
                 const char *shard, qn_err *err);
/* Fills ck from a GGUF file (all parts of a split one). */
int qn_gguf_open(qn_ckpt *ck, const char *path, qn_err *err);
/* Tensors and pairs, without a configuration. */
int qn_gguf_open_bare(qn_ckpt *ck, const char *path, qn_err *err);
/* ck->config from ck->kv and the tensors. */
int qn_gguf_make_config(qn_ckpt *ck, qn_err *err);
/* The scalar of a fixed-size type whose little-endian bytes are at p. */
void qn_gguf_scalar(qn_gguf_type type, const char *p, qn_gguf_kv *out);
/* Bytes of a fixed-size type; 0 for strings and arrays. */
int qn_gguf_type_size(qn_gguf_type type);
/* Frees pairs and the arrays of strings that they own. */
void qn_gguf_kv_free(qn_gguf_kv *kv, size_t n);
/* Joins the parts of quantized matrices, if the config has a
 * quantization_config (quantized.c). */
int qn_ckpt_join_quantized(qn_ckpt *ck, qn_err *err);
/* Fills ck from an HF directory. */
int qn_hf_open_dir(qn_ckpt *ck, const char *dir, qn_err *err);
/* The same from one .safetensors or .bin file of such a directory. */
int qn_hf_open_file(qn_ckpt *ck, const char *path, qn_sniff kind, qn_err *err);

/* ---- recognizing things (sniff.c) -------------------------------------- */

/* By content. */
int qn_ckpt_sniff(const char *path, qn_sniff *kind, qn_err *err);
/* Fails with what the file is instead of `wanted` ("a safetensors file"),
 * if its first bytes tell; 0 when they do not. */
int qn_ckpt_explain(const qn_file *f, const char *wanted, qn_err *err);
/* QN_EFORMAT with the remedy when the n bytes are a git-lfs pointer. */
int qn_ckpt_check_lfs(const char *path, const char *text, size_t n,
                      qn_err *err);

/* ---- finding weights in a directory (hf_find.c) ------------------------ */

typedef enum qn_hf_weights {
    QN_HF_SINGLE, /* one .safetensors             */
    QN_HF_INDEX,  /* *.safetensors.index.json     */
    QN_HF_SHARDS, /* x-00001-of-0000N.safetensors */
    QN_HF_GGUF    /* one GGUF, split or not       */
} qn_hf_weights;

typedef struct qn_hf_found {
    qn_hf_weights kind;
    QN_VEC(char *) names; /* files in order; SHARDS: all N */
} qn_hf_found;

/* The weights of a directory, or why there are none that can be read. */
int qn_hf_find(const char *dir, qn_hf_found *found, qn_err *err);
void qn_hf_found_deinit(qn_hf_found *found);
/* A hub cache folder's current snapshot (qn_free it), or NULL when `dir` is
 * no such folder. */
char *qn_hf_snapshot(const char *dir);
/* Splits "stem-00002-of-00005.ext": the length of stem, and both numbers. */
bool qn_hf_part_name(const char *name, const char *ext, size_t *stem, int *i,
                     int *n);

#endif
