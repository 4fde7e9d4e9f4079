/* lookup.h - a table whose rows are only looked up, left in its file.
 *
 * An embedding that is not the head as well gives a row to each token, and no
 * product reads it: of a small model with a quantized head it is 40 % of all
 * bytes. It stays in the file, and the page cache has what is used of it. Rows
 * are read by position, so a file that shrinks is an error. One that is written
 * over is one, too: when its times have changed, some rows are compared with what
 * they were. One that is replaced or deleted is still the old one. */
#ifndef QN_MODEL_LOOKUP_H
#define QN_MODEL_LOOKUP_H

#include "ckpt/ckpt.h"

typedef struct qn_lookup qn_lookup;

/* The table's n_row rows of n_in elements lie back to back from byte `first` of
 * the tensor on. */
int qn_lookup_open(qn_lookup **out, const qn_ckpt *ck, const qn_tensor *t,
                   uint64_t first, int64_t n_row, int64_t n_in, qn_err *err);
void qn_lookup_close(qn_lookup *l); /* NULL is fine */

/* Bytes of a row in the file; 0 for NULL. */
size_t qn_lookup_row_bytes(const qn_lookup *l);
/* Rows ids[0, n) as f32, y [n, row length]; ids are rows of the table. raw: room
 * for a row's bytes. QN_EIO: what there is to read is not there any more. Any
 * thread. */
int qn_lookup_rows(qn_lookup *l, const int32_t *ids, int n, void *raw, float *y,
                   qn_err *err);

/* QN_EIO: the sample of its rows cannot be read, or is another one. Any thread. */
int qn_lookup_check(qn_lookup *l, qn_err *err);

#endif
