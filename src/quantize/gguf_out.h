/* gguf_out.h - a checkpoint as one GGUF file: which tensors it is to have, the
 * format of each, and their rows as f32.
 *
 * The source is a Hugging Face directory (ckpt/gguf_export.h says what its
 * tensors are called there) or a GGUF file, whose tensors and metadata are
 * carried over.
 *
 * Ownership: borrows checkpoint and network. Threads: after open, rows may be
 * read from several threads. */
#ifndef QN_QUANTIZE_GGUF_OUT_H
#define QN_QUANTIZE_GGUF_OUT_H

#include "ckpt/gguf_export.h"
#include "quantize/optimize_int.h"

/* A type as people name it: one format, or one with more bits where they tell
 * most (the mixtures called *_m). */
typedef struct qn_gguf_kind {
    const char *name; /* "q4_k_m" */
    qn_dtype dtype;
    bool more;     /* value and down projections of some layers in q6_k */
    int file_type; /* general.file_type (llama.cpp's LLAMA_FTYPE) */
    int bits;      /* --quantization-bits chooses the first of so many */
} qn_gguf_kind;

/* NULL behind the last. */
const qn_gguf_kind *qn_gguf_kind_at(size_t i);
void qn_gguf_kind_names(qn_str *out); /* "f32, f16, ..." */
/* What the parameters ask for. QN_EUNSUP with the names that there are. */
int qn_gguf_kind_pick(const qn_optimize_params *p, const qn_gguf_kind **out,
                      qn_err *err);
/* A format of GGUF that can be encoded, by its name. */
bool qn_gguf_type_named(const char *name, qn_dtype *out);
/* The format itself, or the nearest with blocks that fill rows of n_cols. */
qn_dtype qn_gguf_type_fitting(qn_dtype t, int64_t n_cols);

typedef enum qn_gq_what {
    QN_GQ_STAYS, /* norms, biases, routers, tables of positions */
    QN_GQ_LINEAR,
    QN_GQ_EMBED, /* the embeddings, where the head is apart */
    QN_GQ_HEAD   /* the output head, or the table that is both */
} qn_gq_what;

typedef struct qn_gq_tensor {
    const char *name;   /* in the file */
    const char *source; /* the checkpoint's (first) tensor, NULL: computed */
    int role, layer;    /* qn_role (model/names.h); -1: none */
    int n_dims;
    int64_t shape[4], n_rows, n_cols;
    qn_dtype stored, dtype; /* before, and in the file */
    uint64_t n_bytes;       /* in the file */
    qn_gq_what what;
    bool whole;  /* all rows cost as much to read as one */
    bool kept;   /* by a rule of the caller */
    bool fitted; /* in another type than was asked for, which fills rows */
    const struct qn_imatrix_row *importance; /* imatrix.h; or NULL */
} qn_gq_tensor;

typedef struct qn_gq {
    const qn_ckpt *ck;
    qn_gguf_export *e; /* NULL: the source is GGUF */
    QN_VEC(qn_gq_tensor) t;
} qn_gq;

/* Lists the tensors; formats are as stored until qn_gq_choose. */
int qn_gq_open(qn_gq *g, const qn_ckpt *ck, const qn_net *net,
               const qn_optimize_params *p, qn_err *err);
void qn_gq_deinit(qn_gq *g);
/* One type for all that is quantized, but for the parameters' rules. */
int qn_gq_choose(qn_gq *g, const qn_optimize_params *p,
                 const qn_gguf_kind *kind, qn_err *err);
/* Sets the format of a tensor, or the nearest that fits its rows. */
int qn_gq_set(qn_gq_tensor *t, qn_dtype dtype, qn_err *err);
/* A type that the parameters give this tensor, whatever the others get:
 * QN_DTYPE_N if they do not. */
int qn_gq_said(const qn_gq_tensor *t, const qn_optimize_params *p,
               qn_dtype *out, qn_err *err);
/* Counts bytes and parameters. */
void qn_gq_report(const qn_gq *g, qn_optimize_report *r);
/* Rows [row, row + n) as f32. */
int qn_gq_rows(const qn_gq *g, const qn_gq_tensor *t, int64_t row, int64_t n,
               float *dst, qn_err *err);

/* The importance of a row's columns, or NULL. */
const float *qn_gq_importance(const qn_gq_tensor *t, int64_t row);

/* n rows x from `row` on as `dtype`, with the tensor's importance. */
int qn_gq_encode(const qn_gq_tensor *t, qn_dtype dtype, int64_t row, int64_t n,
                 const float *x, void *out, qn_err *err);

#endif
