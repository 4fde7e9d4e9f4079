/* file.c - files over POSIX calls, with messages that name the path. */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most that one read or write call is asked for. */
#define FILE_CHUNK ((size_t)1 << 30)

static int file_errno(qn_err *err, const char *path, const char *what)
{
    int why = errno;
    int code = why == ENOENT || why == ENOTDIR ? QN_ENOENT
               : why == ENOMEM                 ? QN_ENOMEM
                                               : QN_EIO;
    return qn_fail(err, code, "%s: cannot %s: %s", path, what, strerror(why));
}

int qn_file_open(qn_file *f, const char *path, qn_err *err)
{
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return file_errno(err, path, "open");
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int rc = file_errno(err, path, "stat");
        close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return qn_fail(err, QN_EINVAL, "%s: is %s, not a regular file", path,
                       S_ISDIR(st.st_mode) ? "a directory"
                                           : "a device or pipe");
    }
    f->fd = fd;
    f->size = (uint64_t)st.st_size;
    f->path = qn_xstrdup(path);
    return QN_OK;
}

void qn_file_close(qn_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (qn_file){.fd = -1};
}

int qn_file_again(qn_file *f, const qn_file *of, qn_err *err)
{
    int fd = fcntl(of->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return file_errno(err, of->path, "open again");
    *f = *of;
    f->fd = fd;
    f->path = qn_xstrdup(of->path);
    return QN_OK;
}

int qn_file_changed(const qn_file *f, int64_t *ns, qn_err *err)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return file_errno(err, f->path, "stat");
    *ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    return QN_OK;
}

void qn_file_will_read(const qn_file *f, uint64_t offset, size_t n)
{
    posix_fadvise(f->fd, (off_t)offset, (off_t)n, POSIX_FADV_WILLNEED);
}

static int too_short(const qn_file *f, uint64_t offset, size_t n, qn_err *err)
{
    struct stat st;
    uint64_t end = fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : f->size;
    return qn_fail(err, QN_EFORMAT,
                   "%s: ends at byte %" PRIu64 ", but %zu bytes at %" PRIu64
                   " are wanted; is the file cut short?",
                   f->path, end, n, offset);
}

int qn_file_pread(const qn_file *f, void *dst, uint64_t offset, size_t n,
                  qn_err *err)
{
    uint64_t end;
    if (!qn_add_u64(offset, n, &end) || end > (uint64_t)INT64_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s: wants %zu bytes at %" PRIu64
                       ", which no file can have",
                       f->path, n, offset);
    char *p = dst;
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(f->fd, p + done, QN_MIN(n - done, FILE_CHUNK),
                          (off_t)(offset + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return file_errno(err, f->path, "read");
        if (r == 0)
            return too_short(f, offset, n, err);
        done += (size_t)r;
    }
    return QN_OK;
}

int qn_file_map(const qn_file *f, const void **p, qn_err *err)
{
    if (f->size == 0) {
        *p = NULL;
        return QN_OK;
    }
    if (f->size > SIZE_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: too large to map", f->path);
    void *m = mmap(NULL, (size_t)f->size, PROT_READ, MAP_SHARED, f->fd, 0);
    if (m == MAP_FAILED)
        return file_errno(err, f->path, "map");
    *p = m;
    return QN_OK;
}

void qn_file_unmap(const qn_file *f, const void *p)
{
    if (p)
        munmap((void *)(uintptr_t)p, (size_t)f->size);
}

bool qn_file_populate(const void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)p, first = at & ~(page - 1);
    return madvise((void *)first, at - first + n, MADV_POPULATE_READ) == 0;
}

void qn_file_release(const void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)p + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)p + n) & ~(page - 1);
    if (first < end) /* advice: what fails costs memory, nothing else */
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

int qn_file_slurp(char **out, size_t *n, const char *path, size_t max_bytes,
                  qn_err *err)
{
    qn_file f;
    QN_TRY(qn_file_open(&f, path, err));
    int rc = QN_OK;
    char *buf = NULL;
    if (f.size > max_bytes || f.size >= SIZE_MAX) {
        char is[32], max[32];
        QN_FAIL_OUT(QN_ELIMIT, "%s: has %s, the limit is %s", path,
                    qn_fmt_bytes(is, sizeof is, f.size),
                    qn_fmt_bytes(max, sizeof max, max_bytes));
    }
    buf = qn_alloc((size_t)f.size + 1, 1);
    if (!buf)
        QN_FAIL_OUT(QN_ENOMEM, "%s: no memory for its %" PRIu64 " bytes", path,
                    f.size);
    QN_TRY_OUT(qn_file_pread(&f, buf, 0, (size_t)f.size, err));
    *out = buf;
    *n = (size_t)f.size;
    buf = NULL;
out:
    free(buf);
    qn_file_close(&f);
    return rc;
}

char *qn_path_target(const char *path, bool *direct)
{
    struct stat st;
    bool link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
    *direct = qn_starts(path, "/dev/fd/") || qn_starts(path, "/dev/std") ||
              qn_starts(path, "/proc/") || qn_path_is_stream(path);
    char *behind = link && !*direct ? realpath(path, NULL) : NULL;
    return behind ? behind : qn_xstrdup(path);
}

int qn_fd_write(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t w = write(fd, p, QN_MIN(n, FILE_CHUNK));
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -1;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

/* To what no file can be put in place of. */
static int file_write_direct(const char *path, const void *p, size_t n,
                             qn_err *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return file_errno(err, path, "open");
    int rc = qn_fd_write(fd, p, n) == 0 ? QN_OK
                                        : file_errno(err, path, "write");
    close(fd);
    return rc;
}

int qn_file_write(const char *path, const void *p, size_t n, qn_err *err)
{
    static atomic_uint serial; /* two threads may write one path */
    bool direct;
    char *target = qn_path_target(path, &direct);
    qn_str tmp = {0};
    qn_str_addf(&tmp, "%s.tmp.%ld.%u", target, (long)getpid(),
                atomic_fetch_add(&serial, 1));
    int rc = QN_OK;
    if (direct) {
        rc = file_write_direct(path, p, n, err);
        goto out;
    }
    int fd = open(tmp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        rc = file_errno(err, path, "create");
        goto out;
    }
    bool ok = qn_fd_write(fd, p, n) == 0 && fsync(fd) == 0;
    if (!ok)
        rc = file_errno(err, path, "write");
    if (close(fd) != 0 && ok)
        rc = file_errno(err, path, "write");
    if (rc == QN_OK && rename(tmp.p, target) != 0)
        rc = file_errno(err, path, "replace");
    if (rc != QN_OK)
        unlink(tmp.p);
out:
    qn_str_deinit(&tmp);
    free(target);
    return rc;
}

int qn_file_check_write(const char *path, qn_err *err)
{
    bool direct;
    char *target = qn_path_target(path, &direct);
    char *slash = strrchr(target, '/');
    int rc = QN_OK;
    if (qn_path_is_dir(path)) {
        errno = EISDIR;
        rc = file_errno(err, path, "write");
    } else if (direct && access(target, W_OK) != 0) {
        rc = file_errno(err, path, "write");
    } else if (!direct) { /* a file beside it takes its place */
        if (slash)
            slash[slash == target] = 0;
        if (access(slash ? target : ".", W_OK | X_OK) != 0)
            rc = file_errno(err, path, "create");
    }
    free(target);
    return rc;
}

bool qn_path_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool qn_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool qn_path_is_stream(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

const char *qn_path_kind(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return lstat(path, &st) == 0 && S_ISLNK(st.st_mode)
                   ? "a link that leads nowhere"
                   : NULL;
    return S_ISREG(st.st_mode)    ? "a file"
           : S_ISDIR(st.st_mode)  ? "a directory"
           : S_ISFIFO(st.st_mode) ? "a pipe"
           : S_ISSOCK(st.st_mode) ? "a socket"
                                  : "a device";
}

char *qn_path_join(const char *dir, const char *name)
{
    qn_str s = {0};
    qn_str_adds(&s, dir);
    if (s.n > 0 && s.p[s.n - 1] != '/')
        qn_str_addc(&s, '/');
    qn_str_adds(&s, name);
    return qn_str_take(&s, NULL);
}

int qn_mkdirs(const char *path, qn_err *err)
{
    char *p = qn_xstrdup(path);
    int rc = QN_OK;
    for (char *s = p; rc == QN_OK; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char saved = *s;
        *s = '\0';
        if (*p && mkdir(p, 0777) != 0 && !qn_path_is_dir(p)) {
            if (errno == EEXIST)
                errno = ENOTDIR;
            rc = file_errno(err, p, "make the directory");
        }
        *s = saved;
        if (saved == '\0')
            break;
    }
    free(p);
    return rc;
}
