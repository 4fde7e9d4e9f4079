/* outfile.c: see outfile.h. */
#include "ckpt/outfile.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)1 << 20)

static int failed(const qn_outfile *o, const char *what, qn_err *err)
{
    return qn_fail(err, QN_EIO, "%s: cannot %s: %s", o->path, what,
                   strerror(errno));
}

static int open_tmp(qn_outfile *o, const char *path, int flags, qn_err *err)
{
    int fd;

    o->path = qn_xstrdup(path);
    fd = open(o->tmp, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
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

int qn_outfile_open(qn_outfile *o, const char *path, qn_err *err)
{
    char *target = qn_path_target(path, &o->direct);
    qn_str tmp;

    qn_str_init(&tmp);
    qn_str_adds(&tmp, target);
    if (!o->direct)
        qn_str_addf(&tmp, ".tmp.%ld", (long)getpid());
    o->tmp = qn_str_take(&tmp, NULL);
    int rc = open_tmp(o, target, o->direct ? O_APPEND : O_TRUNC, err);
    free(target);
    return rc;
}

int qn_outfile_keep(qn_outfile *o, const char *path, qn_err *err)
{
    qn_str tmp;

    qn_str_init(&tmp);
    qn_str_addf(&tmp, "%s.part", path);
    o->tmp = qn_str_take(&tmp, NULL);
    o->keep = true;
    if (access(o->tmp, F_OK) != 0)
        rename(path, o->tmp); /* finished before, and to be gone on with */
    return open_tmp(o, path, 0, err);
}

int qn_outfile_seek(qn_outfile *o, uint64_t at, qn_err *err)
{
    int fd = fileno(o->f);
    struct stat st;

    if (fflush(o->f) != 0 || fstat(fd, &st) != 0)
        return failed(o, "write", err);
    if ((uint64_t)st.st_size < at)
        return qn_fail(err, QN_EFORMAT,
                       "%s has %llu bytes, which should be %llu at least",
                       o->tmp, (unsigned long long)st.st_size,
                       (unsigned long long)at);
    if (ftruncate(fd, (off_t)at) != 0 || fseeko(o->f, (off_t)at, SEEK_SET) != 0)
        return failed(o, "cut it", err);
    return 0;
}

int qn_outfile_sync(qn_outfile *o, qn_err *err)
{
    if (fflush(o->f) != 0 || fdatasync(fileno(o->f)) != 0)
        return failed(o, "write", err);
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
    bool ok = fflush(o->f) == 0 && (o->direct || fsync(fileno(o->f)) == 0);

    if (!ok)
        return failed(o, "write", err);
    ok = fclose(o->f) == 0;
    o->f = NULL;
    if (o->direct)
        return ok ? 0 : failed(o, "write", err);
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
        if (!o->keep && !o->direct)
            unlink(o->tmp);
    }
    qn_free(o->path);
    qn_free(o->tmp);
    *o = (qn_outfile){0};
}
