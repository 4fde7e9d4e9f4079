/* line_reader.h - lines of a file or of standard input, without waiting when
 * the caller has other work, and with Ctrl-C looked after while it waits. */
#ifndef QN_CLI_LINE_READER_H
#define QN_CLI_LINE_READER_H

#include "base/err.h"
#include "base/str.h"

typedef struct qn_line_reader {
    int fd;
    const char *name; /* for messages; borrowed */
    bool end, begun;  /* read to its end; the first line was given */
    qn_str buf;
    size_t at; /* the next line begins here */
} qn_line_reader;

/* NULL or "-" is standard input. */
int qn_reader_open(qn_line_reader *r, const char *path, qn_err *err);
void qn_reader_close(qn_line_reader *r);

enum {
    QN_READ_END = 0,
    QN_READ_LINE = 1,
    QN_READ_LATER = 2 /* nothing there yet; only without `wait` */
};

/* *line is without its newline and, the first, without a byte order mark;
 * NUL behind, valid until the next call.
 * QN_ECANCEL when a signal asked for an end; QN_ELIMIT above 64 MiB. */
int qn_reader_next(qn_line_reader *r, bool wait, char **line, size_t *n,
                   qn_err *err);

#endif
