/* safetensors_write.h - writing one safetensors file, tensor after tensor,
 * without holding the data in memory. */
#ifndef QN_CKPT_SAFETENSORS_WRITE_H
#define QN_CKPT_SAFETENSORS_WRITE_H

#include "base/err.h"
#include "tensor/dtype.h"

typedef struct qn_st_writer qn_st_writer;

/* Writes to path.tmp.PID; declare every tensor first (data follows in the same
 * order), then add data in any piece sizes, then finish (fsync, rename). */
int qn_st_writer_new(qn_st_writer **out, const char *path, qn_err *err);
/* The same, but under path.part, which stays when it is given up: see resume. */
int qn_st_writer_keep(qn_st_writer **out, const char *path, qn_err *err);
int qn_st_writer_declare(qn_st_writer *w, const char *name, qn_dtype dtype,
                         int n_dims, const int64_t *shape, qn_err *err);
int qn_st_writer_data(qn_st_writer *w, const void *p, size_t n, qn_err *err);
/* Behind the declarations, of a file that was kept: its header and the first n
 * bytes of data are taken as they are, and data goes on behind them. QN_EFORMAT
 * when the file is shorter. */
int qn_st_writer_resume(qn_st_writer *w, uint64_t n, qn_err *err);
/* All data so far reaches the disk. */
int qn_st_writer_sync(qn_st_writer *w, qn_err *err);
/* Fails when the bytes given do not add up to what was declared. */
int qn_st_writer_finish(qn_st_writer *w, qn_err *err);
/* After finish, or to give up (removes the temporary file). */
void qn_st_writer_free(qn_st_writer *w);

#endif
