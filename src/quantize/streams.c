/* streams.c - see streams.h. */
#include "quantize/streams.h"

#include "base/mem.h"
#include "quantize/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int streams_fail(const qn_streams *s, const char *doing, qn_err *err)
{
    return qn_fail(err, QN_EIO, "%s: cannot %s: %s", s->path, doing,
                   strerror(errno));
}

static int open_as(qn_streams *s, const char *path, size_t n, int flags,
                   qn_err *err)
{
    *s = (qn_streams){.path = qn_xstrdup(path), .n = n};
    s->fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);
    if (s->fd >= 0)
        return QN_OK;
    int rc = streams_fail(s, "open it", err);
    qn_free(s->path);
    s->path = NULL;
    return rc;
}

int qn_streams_new(qn_streams *s, const char *path, size_t n, qn_err *err)
{
    return open_as(s, path, n, O_CREAT | O_TRUNC, err);
}

int qn_streams_open(qn_streams *s, const char *path, size_t n, qn_err *err)
{
    return open_as(s, path, n, 0, err);
}

void qn_streams_close(qn_streams *s)
{
    if (!s->path)
        return;
    close(s->fd);
    qn_free(s->path);
    s->path = NULL;
}

int qn_streams_put(const qn_streams *s, size_t piece, const float *x,
                   qn_err *err)
{
    const char *p = (const char *)x;
    size_t left = s->n * sizeof *x;
    uint64_t at = (uint64_t)piece * left;
    while (left) {
        ssize_t n = pwrite(s->fd, p, left, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return streams_fail(s, "write it", err);
        p += n;
        at += (uint64_t)n;
        left -= (size_t)n;
    }
    return QN_OK;
}

int qn_streams_get(const qn_streams *s, size_t piece, size_t first, size_t n,
                   float *x, qn_err *err)
{
    char *p = (char *)x;
    size_t left = n * sizeof *x;
    uint64_t at = ((uint64_t)piece * s->n + first) * sizeof *x;
    while (left) {
        ssize_t got = pread(s->fd, p, left, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            return qn_fail(err, QN_EFORMAT, "%s: the file is too short",
                           s->path);
        if (got < 0)
            return streams_fail(s, "read it", err);
        p += got;
        at += (uint64_t)got;
        left -= (size_t)got;
    }
    return QN_OK;
}

int qn_streams_sync(const qn_streams *s, uint64_t *hash, qn_err *err)
{
    if (fsync(s->fd) != 0)
        return streams_fail(s, "write it", err);
    return qn_hash_file(s->path, hash, err);
}
