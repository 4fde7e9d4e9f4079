/* gguf_write.h - writing one GGUF file (version 3), tensor after tensor,
 * without holding the data in memory.
 *
 *     new -> put* and declare*, in any order -> data* -> finish -> free
 *
 * Held in memory: the metadata (a vocabulary of 128k tokens is some 4 MB) and a
 * line per tensor. The file has its name only when it is whole (outfile.h): a
 * failure or a killed process leaves what was there before. Keys and strings
 * are copied. After a failure only qn_gguf_writer_free may follow. */
#ifndef QN_CKPT_GGUF_WRITE_H
#define QN_CKPT_GGUF_WRITE_H

#include "ckpt/ckpt.h"

typedef struct qn_gguf_writer qn_gguf_writer;

int qn_gguf_writer_new(qn_gguf_writer **out, const char *path, qn_err *err);
/* The same, but under path.part, which stays when it is given up: see resume. */
int qn_gguf_writer_keep(qn_gguf_writer **out, const char *path, qn_err *err);

/* ---- metadata: QN_EINVAL for a key that is there already, or after data ---- */

int qn_gguf_put_u32(qn_gguf_writer *w, const char *key, uint32_t v,
                    qn_err *err);
int qn_gguf_put_f32(qn_gguf_writer *w, const char *key, float v, qn_err *err);
int qn_gguf_put_bool(qn_gguf_writer *w, const char *key, bool v, qn_err *err);
int qn_gguf_put_str(qn_gguf_writer *w, const char *key, qn_view v, qn_err *err);
int qn_gguf_put_strs(qn_gguf_writer *w, const char *key, const qn_view *v,
                     size_t n, qn_err *err);
/* An array of numbers or truth values (one byte each): the elements of v are of
 * `type` and lie as C has them. */
int qn_gguf_put_array(qn_gguf_writer *w, const char *key, qn_gguf_type type,
                      const void *v, size_t n, qn_err *err);
/* Any pair as a checkpoint has it, to carry it over. */
int qn_gguf_put_kv(qn_gguf_writer *w, const qn_gguf_kv *kv, qn_err *err);
bool qn_gguf_has_key(const qn_gguf_writer *w, const char *key);

/* ---- tensors ------------------------------------------------------------ */

/* Data is to follow in the order of declaration. shape: outermost first, at
 * most four numbers, the last a multiple of the format's block. QN_EUNSUP for a
 * format that GGUF has not. */
int qn_gguf_declare(qn_gguf_writer *w, const char *name, qn_dtype dtype,
                    int n_dims, const int64_t *shape, qn_err *err);
/* The next n bytes of all tensors' data, in pieces of any size; the gaps that
 * alignment asks for are made here. */
int qn_gguf_data(qn_gguf_writer *w, const void *p, size_t n, qn_err *err);
/* Behind all pairs and declarations, of a file that was kept: it has them and
 * the data of the first n tensors, and data goes on behind. QN_EFORMAT when the
 * file is shorter. */
int qn_gguf_writer_resume(qn_gguf_writer *w, size_t n, qn_err *err);
/* All data so far, of whole tensors, reaches the disk. */
int qn_gguf_writer_sync(qn_gguf_writer *w, qn_err *err);
/* Fails when the bytes given do not add up to what was declared. */
int qn_gguf_writer_finish(qn_gguf_writer *w, qn_err *err);
/* After finish, or to give up (removes the temporary file). NULL is fine. */
void qn_gguf_writer_free(qn_gguf_writer *w);

#endif
