/* outfile.h - a file that has its name only when it is whole.
 *
 * Until it is finished it is path.tmp.PID; given up, or on a failure, that is
 * removed and what was at the path before stays. One that is kept is path.part
 * instead, and stays when it is given up: a later run goes on behind what is
 * known to be right in it (or in the finished file, which is taken back). Not thread-safe. */
#ifndef QN_CKPT_OUTFILE_H
#define QN_CKPT_OUTFILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct qn_outfile {
    char *path, *tmp;
    FILE *f; /* NULL once finished */
    bool keep;
    bool direct; /* a device or pipe: written to, never replaced */
} qn_outfile;

/* On failure too the caller ends it with qn_outfile_deinit. */
int qn_outfile_open(qn_outfile *o, const char *path, qn_err *err);
int qn_outfile_keep(qn_outfile *o, const char *path, qn_err *err);
/* Goes on at byte `at`; what followed is cut off. QN_EFORMAT: the file ends
 * before. */
int qn_outfile_seek(qn_outfile *o, uint64_t at, qn_err *err);
/* What was written so far reaches the disk. */
int qn_outfile_sync(qn_outfile *o, qn_err *err);
int qn_outfile_write(qn_outfile *o, const void *p, size_t n, qn_err *err);
int qn_outfile_zeros(qn_outfile *o, size_t n, qn_err *err);
/* Flush, fsync, rename. */
int qn_outfile_finish(qn_outfile *o, qn_err *err);
void qn_outfile_deinit(qn_outfile *o);

#endif
