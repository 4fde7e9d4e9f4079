/* outfile.h - a file that has its name only when it is whole.
 *
 * Until it is finished it is path.tmp.PID; given up, or on a failure, that is
 * removed and what was at the path before stays. Not thread-safe. */
#ifndef QN_CKPT_OUTFILE_H
#define QN_CKPT_OUTFILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

typedef struct qn_outfile {
    char *path, *tmp;
    FILE *f; /* NULL once finished */
} qn_outfile;

/* On failure too the caller ends it with qn_outfile_deinit. */
int qn_outfile_open(qn_outfile *o, const char *path, qn_err *err);
int qn_outfile_write(qn_outfile *o, const void *p, size_t n, qn_err *err);
int qn_outfile_zeros(qn_outfile *o, size_t n, qn_err *err);
/* Flush, fsync, rename. */
int qn_outfile_finish(qn_outfile *o, qn_err *err);
void qn_outfile_deinit(qn_outfile *o);

#endif
