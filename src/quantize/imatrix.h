/* imatrix.h - an importance matrix: what the columns of each matrix meet, as
 * the mean square of the activations. Encoders that have a choice (dtype.h,
 * encode_weighted) lose least where it is large.
 *
 * On disk it is the GGUF file that llama.cpp's imatrix tool writes and reads:
 * NAME.in_sum2 f32 [n_mat, n_cols] and NAME.counts f32 [n_mat, 1], NAME being
 * the tensor's in GGUF. Its older files (imatrix_old.c) are read, too. */
#ifndef QN_QUANTIZE_IMATRIX_H
#define QN_QUANTIZE_IMATRIX_H

#include "quantize/gguf_out.h"

typedef struct qn_imatrix_row {
    char *name;           /* of the tensor in GGUF */
    int64_t n_mat, n_col; /* experts of a stack; 1 */
    float *mean;          /* [n_mat, n_col] */
    float *count;         /* [n_mat] rows seen; 0: nothing is known */
} qn_imatrix_row;

typedef struct qn_imatrix {
    QN_VEC(qn_imatrix_row) rows;
    int64_t n_chunks, chunk; /* samples, tokens of each */
    bool old; /* of a file that does not say where a stack has its columns */
} qn_imatrix;

/* Reads the text of the parameters through the network. */
int qn_imatrix_collect(qn_imatrix *im, const qn_gq *g,
                       const qn_optimize_params *p, const qn_watch *watch,
                       qn_err *err);
int qn_imatrix_load(qn_imatrix *im, const char *path, qn_err *err);
int qn_imatrix_save(const qn_imatrix *im, const char *path, const char *text,
                    qn_err *err);
void qn_imatrix_deinit(qn_imatrix *im);

/* Adds a row of zeros; its name has `len` bytes. */
int qn_imatrix_add(qn_imatrix *im, const char *name, size_t len, int64_t n_mat,
                   int64_t n_col, qn_imatrix_row **out, qn_err *err);
/* The bytes of an older file; `path` is for messages. */
int qn_imatrix_parse_old(qn_imatrix *im, const char *path, const void *bytes,
                         size_t n, qn_err *err);

/* The weights of a tensor's rows [n_mat, n_col], NULL: unknown. Row r of
 * n_rows belongs to matrix r * n_mat / n_rows; one whose count is 0 has no
 * weights. QN_EFORMAT when the shapes do not agree. */
int qn_imatrix_find(qn_imatrix *im, const qn_gq_tensor *t,
                    const qn_imatrix_row **out, qn_err *err);

#endif
