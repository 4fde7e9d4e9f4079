/* gguf_export.h - a Hugging Face checkpoint as the GGUF file that llama.cpp's
 * converter would make of it: names, order of rows, metadata, tokenizer.
 *
 * It says which tensors the file is to have and gives their rows as f32; the
 * caller chooses formats and writes:
 *
 *     qn_gguf_export_new(&e, ck)
 *     qn_gguf_writer_new(&w, path)
 *     qn_gguf_export_meta(e, w); qn_gguf_export_tokenizer(e, w);
 *     qn_gguf_put_u32(w, "general.file_type", ...)
 *     for each tensor i: qn_gguf_declare(w, t->name, dtype, t->n_dims, t->shape)
 *     for each tensor i: for pieces of rows: qn_gguf_export_rows, encode,
 *                        qn_gguf_data
 *     qn_gguf_writer_finish(w)
 *
 * Ownership: borrows the checkpoint, which must stay open. Threads: immutable
 * after new; rows may be read from several threads. */
#ifndef QN_CKPT_GGUF_EXPORT_H
#define QN_CKPT_GGUF_EXPORT_H

#include "ckpt/gguf_write.h"

typedef struct qn_gguf_export qn_gguf_export;

typedef struct qn_gguf_export_tensor {
    const char *name; /* "blk.0.attn_q.weight" */
    int n_dims;
    int64_t shape[4];   /* outermost first */
    int64_t n_rows;     /* all dimensions but the last, multiplied */
    int64_t n_cols;     /* the last */
    const char *source; /* the checkpoint's (first) tensor; NULL: computed */
    qn_dtype stored;    /* its format; QN_F32 for what is computed */
    bool whole;         /* all rows cost as much to read as one */
} qn_gguf_export_tensor;

/* QN_EUNSUP when the family, a tensor, a feature of the configuration or the
 * tokenizer has no counterpart in GGUF; the message says which. */
int qn_gguf_export_new(qn_gguf_export **out, const qn_ckpt *ck, qn_err *err);
void qn_gguf_export_free(qn_gguf_export *e); /* NULL is fine */

/* general.architecture, general.name and all of the architecture's keys; not
 * general.file_type and general.quantization_version, which depend on the
 * formats chosen. */
int qn_gguf_export_meta(const qn_gguf_export *e, qn_gguf_writer *w,
                        qn_err *err);

/* tokenizer.*, with the chat template. QN_EUNSUP when there is no
 * tokenizer.json or llama.cpp has no tokenizer like it. */
int qn_gguf_export_tokenizer(const qn_gguf_export *e, qn_gguf_writer *w,
                             qn_err *err);

size_t qn_gguf_export_n(const qn_gguf_export *e);
const qn_gguf_export_tensor *qn_gguf_export_at(const qn_gguf_export *e,
                                               size_t i);
/* Rows [row, row + n) of tensor i, n_cols numbers each. */
int qn_gguf_export_rows(const qn_gguf_export *e, size_t i, int64_t row,
                        int64_t n, float *dst, qn_err *err);
/* What the numbers of tensor i are the source's times of (1, mostly). */
float qn_gguf_export_scale(const qn_gguf_export *e, size_t i);
/* Where row `row` of tensor i comes from: the checkpoint's tensor, and its row
 * there (of a transposed one: its column). NULL for what is computed. */
const qn_tensor *qn_gguf_export_source(const qn_gguf_export *e, size_t i,
                                       int64_t row, int64_t *source_row);

#endif
