/* line_reader.c - see line_reader.h. */
#include "cli/line_reader.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINE ((size_t)64 << 20)
#define PART ((size_t)1 << 16)

int qn_reader_open(qn_line_reader *r, const char *path, qn_err *err)
{
    bool own = path && strcmp(path, "-") != 0;
    *r = (qn_line_reader){.fd = STDIN_FILENO, .name = "standard input"};
    qn_str_init(&r->buf);
    if (!own)
        return 0;
    r->name = path;
    r->fd = open(path, O_RDONLY | O_CLOEXEC); /* a pipe waits for a writer */
    if (r->fd < 0 && qn_interrupted())
        return qn_fail(err, QN_ECANCEL, "interrupted");
    if (r->fd < 0)
        return qn_fail(err, QN_ENOENT, "%s: cannot open it: %s", path,
                       strerror(errno));
    return 0;
}

void qn_reader_close(qn_line_reader *r)
{
    if (r->fd > STDIN_FILENO)
        close(r->fd);
    qn_str_deinit(&r->buf);
}

/* Moves what is left to the front and reads more behind it. */
static int read_more(qn_line_reader *r, qn_err *err)
{
    if (r->at > 0) {
        r->buf.n -= r->at;
        memmove(r->buf.p, r->buf.p + r->at, r->buf.n);
        r->at = 0;
    }
    if (r->buf.n > MAX_LINE)
        return qn_fail(err, QN_ELIMIT, "%s: a line of more than %zu MiB",
                       r->name, MAX_LINE >> 20);
    qn_str_reserve(&r->buf, PART);
    ssize_t k;
    do
        k = read(r->fd, r->buf.p + r->buf.n, PART);
    while (k < 0 && errno == EINTR && !qn_interrupted());
    if (k < 0 && errno == EINTR)
        return qn_fail(err, QN_ECANCEL, "interrupted");
    if (k < 0)
        return qn_fail(err, QN_EIO, "%s: cannot read it: %s", r->name,
                       strerror(errno));
    r->buf.n += (size_t)k;
    r->end = k == 0;
    return 0;
}

/* The line that the buffer holds, up to `stop`. Editors of some systems begin
 * a UTF-8 file with a mark, which is no part of its first line. */
static int give_line(qn_line_reader *r, size_t stop, char **line, size_t *n)
{
    if (!r->begun && stop >= r->at + 3 &&
        memcmp(r->buf.p + r->at, "\xef\xbb\xbf", 3) == 0)
        r->at += 3;
    r->begun = true;
    *line = r->buf.p + r->at;
    *n = stop - r->at;
    r->buf.p[stop] = 0;
    r->at = QN_MIN(stop + 1, r->buf.n);
    return QN_READ_LINE;
}

int qn_reader_next(qn_line_reader *r, bool wait, char **line, size_t *n,
                   qn_err *err)
{
    size_t seen = r->at;
    for (;;) {
        const char *nl = seen < r->buf.n
                             ? memchr(r->buf.p + seen, '\n', r->buf.n - seen)
                             : NULL;
        if (nl)
            return give_line(r, (size_t)(nl - r->buf.p), line, n);
        if (r->end)
            return r->at == r->buf.n ? QN_READ_END
                                     : give_line(r, r->buf.n, line, n);
        struct pollfd p = {r->fd, POLLIN, 0};
        if (!wait && poll(&p, 1, 0) == 0)
            return QN_READ_LATER;
        if (wait && !qn_interrupt_wait(r->fd))
            return qn_fail(err, QN_ECANCEL, "interrupted");
        seen = r->buf.n - r->at;
        QN_TRY(read_more(r, err));
    }
}
