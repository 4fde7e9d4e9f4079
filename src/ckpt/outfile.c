/* outfile.c: see outfile.h. */
#include "ckpt/outfile.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)1 << 20)

static int failed(const qn_outfile *o, const char *what, qn_err *err)
{
    return qn_fail(err, QN_EIO, "%s: cannot %s: %s", o->path, what,
                   strerror(errno));
}

int qn_outfile_open(qn_outfile *o, const char *path, qn_err *err)
{
    qn_str tmp;
    int fd;

    qn_str_init(&tmp);
    qn_str_addf(&tmp, "%s.tmp.%ld", path, (long)getpid());
    o->path = qn_xstrdup(path);
    o->tmp = qn_str_take(&tmp, NULL);
    fd = open(o->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    o->f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!o->f) {
        int rc = failed(o, "create it", err);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    setvbuf(o->f, NULL, _IOFBF, BUFFER_SIZE);
    return 0;
}

int qn_outfile_write(qn_outfile *o, const void *p, size_t n, qn_err *err)
{
    if (n && fwrite(p, 1, n, o->f) != n)
        return failed(o, "write", err);
    return 0;
}

int qn_outfile_zeros(qn_outfile *o, size_t n, qn_err *err)
{
    static const char zeros[256];

    for (; n > sizeof zeros; n -= sizeof zeros)
        QN_TRY(qn_outfile_write(o, zeros, sizeof zeros, err));
    return qn_outfile_write(o, zeros, n, err);
}

int qn_outfile_finish(qn_outfile *o, qn_err *err)
{
    bool ok = fflush(o->f) == 0 && fsync(fileno(o->f)) == 0;

    if (!ok)
        return failed(o, "write", err);
    ok = fclose(o->f) == 0;
    o->f = NULL;
    if (!ok || rename(o->tmp, o->path) != 0) {
        int rc = failed(o, "put it in place", err);
        unlink(o->tmp);
        return rc;
    }
    return 0;
}

void qn_outfile_deinit(qn_outfile *o)
{
    if (o->f) {
        fclose(o->f);
        unlink(o->tmp);
    }
    qn_free(o->path);
    qn_free(o->tmp);
    *o = (qn_outfile){0};
}
