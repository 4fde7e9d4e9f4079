/* streams.h - numbers that wait in a file while others are computed with.
 *
 * A file of pieces of the same size, each written and read as a whole. It is
 * read and written, never mapped: mapped pages count as memory of ours.
 *
 * Threads: one at a time. */
#ifndef QN_QUANTIZE_STREAMS_H
#define QN_QUANTIZE_STREAMS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qn_streams {
    char *path; /* NULL: not open */
    size_t n;   /* floats of a piece */
    int fd;
} qn_streams;

/* A new file in the place of what may be there, or one that is there. */
int qn_streams_new(qn_streams *s, const char *path, size_t n, qn_err *err);
int qn_streams_open(qn_streams *s, const char *path, size_t n, qn_err *err);
void qn_streams_close(qn_streams *s); /* one that is not open is fine */

int qn_streams_put(const qn_streams *s, size_t piece, const float *x,
                   qn_err *err);
/* Numbers [first, first + n) of a piece. */
int qn_streams_get(const qn_streams *s, size_t piece, size_t first, size_t n,
                   float *x, qn_err *err);
/* What was put has reached the disk; *hash: of the whole file. */
int qn_streams_sync(const qn_streams *s, uint64_t *hash, qn_err *err);

#endif
