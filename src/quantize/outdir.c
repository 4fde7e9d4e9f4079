/* outdir.c - see outdir.h. */
#include "quantize/outdir.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_NAME ".lock"
#define COPY_BYTES ((size_t)1 << 20)

static int os_fail(const char *path, const char *what, qn_err *err)
{
    int e = errno;
    return qn_fail(err, QN_EIO, "%s: cannot %s: %s%s", path, what, strerror(e),
                   e == ENOSPC || e == EDQUOT ? "; free some space or choose "
                                                "another --output_dir"
                                              : "");
}

/* 1: there and empty, 0: not there, else an error. */
static int look_at(const char *path, qn_err *err)
{
    DIR *d = opendir(path);
    if (!d && errno == ENOENT)
        return 0;
    if (!d)
        return errno == ENOTDIR ? qn_fail(err, QN_EINVAL,
                                          "%s is a file, not a directory", path)
                                : os_fail(path, "open it", err);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    if (n)
        return qn_fail(err, QN_EINVAL,
                       "%s is not empty; name a new directory, or remove that "
                       "one first",
                       path);
    return 1;
}

static bool is_any(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_ours(const char *name)
{
    return name[0] == '.' && is_any(name);
}

static bool is_not_lock(const char *name)
{
    return is_any(name) && strcmp(name, LOCK_NAME) != 0;
}

/* Removes what `which` takes of a directory of ours, and of those in it. */
static void clear_to(const char *path, bool (*which)(const char *name),
                     int depth)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        if (!which(e->d_name) || unlinkat(dirfd(d), e->d_name, 0) == 0 ||
            (errno != EISDIR && errno != EPERM) || depth == 0)
            continue;
        char *sub = qn_path_join(path, e->d_name);
        clear_to(sub, is_any, depth - 1);
        rmdir(sub);
        qn_free(sub);
    }
    closedir(d);
}

static void clear(const char *path, bool (*which)(const char *name))
{
    clear_to(path, which, 1);
}

static int take_lock(qn_outdir *o, qn_err *err)
{
    char *name = qn_path_join(o->partial, LOCK_NAME);
    o->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int rc = o->lock < 0 ? os_fail(name, "create it", err) : QN_OK;
    if (rc == QN_OK && flock(o->lock, LOCK_EX | LOCK_NB) != 0) {
        rc = qn_fail(err, QN_EIO,
                     "%s is being written by another run; wait for it or "
                     "choose another directory",
                     o->path);
        close(o->lock); /* and so it is not ours to remove */
        o->lock = -1;
    }
    qn_free(name);
    return rc;
}

/* A folder of that name that was there: empty, or with the lock that every run
 * begins with. What somebody else keeps under it is not ours to empty. */
static int check_partial(const qn_outdir *o, qn_err *err)
{
    struct stat st;
    bool empty = true, ours = false;
    DIR *d = lstat(o->partial, &st) == 0 && S_ISDIR(st.st_mode)
                 ? opendir(o->partial)
                 : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        empty = empty && !is_any(e->d_name);
        ours = ours || strcmp(e->d_name, LOCK_NAME) == 0;
    }
    if (d)
        closedir(d);
    if (d && (empty || ours))
        return QN_OK;
    return qn_fail(err, QN_EINVAL,
                   "%s is in the way, and no run of quern optimize left it; "
                   "remove it or name another directory",
                   o->partial);
}

static int open_partial(qn_outdir *o, qn_err *err)
{
    if (mkdir(o->partial, 0777) != 0) {
        if (errno != EEXIST)
            return os_fail(o->partial, "create it", err);
        QN_TRY(check_partial(o, err));
    }
    return take_lock(o, err);
}

void qn_outdir_empty(const qn_outdir *o)
{
    clear(o->partial, is_not_lock);
}

void qn_outdir_remove(const qn_outdir *o, const char *name)
{
    char *path = qn_outdir_file(o, name);
    unlink(path);
    qn_free(path);
}

/* A link stands for what it leads to: a folder cannot take the place of one. */
static int follow_link(qn_outdir *o, qn_err *err)
{
    struct stat st;
    if (lstat(o->path, &st) != 0 || !S_ISLNK(st.st_mode))
        return QN_OK;
    char *real = realpath(o->path, NULL);
    if (!real)
        return qn_fail(err, QN_EINVAL,
                       "%s is a link that leads nowhere; remove it or name "
                       "another directory",
                       o->path);
    qn_free(o->path);
    o->path = real;
    return QN_OK;
}

/* The last slash before s, or the path's beginning. */
static char *slash_before(const qn_outdir *o, char *s)
{
    while (s > o->path && *--s != '/')
        ;
    return s;
}

/* The folders above it, and how much of the path was there before. */
static int make_parents(qn_outdir *o, qn_err *err)
{
    char *end = slash_before(o, o->path + strlen(o->path));
    for (char *s = end; s > o->path; s = slash_before(o, s)) {
        *s = '\0';
        bool is = qn_path_is_dir(o->path);
        *s = '/';
        o->there = (size_t)(s - o->path);
        if (is)
            break;
        o->there = 0;
    }
    if (end == o->path)
        return QN_OK;
    *end = '\0';
    int rc = qn_mkdirs(o->path, err);
    *end = '/';
    return rc;
}

/* Those of them that were not there, where nothing else is in them. */
static void drop_parents(qn_outdir *o)
{
    char *end = o->path + strlen(o->path);
    while ((end = slash_before(o, end)) > o->path + o->there) {
        *end = '\0';
        rmdir(o->path);
    }
}

int qn_outdir_open(qn_outdir *o, const char *path, qn_err *err)
{
    memset(o, 0, sizeof *o);
    o->lock = -1;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0 || (n == 1 && path[0] == '/') || strcmp(path, ".") == 0)
        return qn_fail(err, QN_EINVAL,
                       "\"%s\" cannot be the output directory; name a new one",
                       path);
    o->path = qn_xstrndup(path, n);
    int rc = follow_link(o, err);
    if (rc >= 0)
        rc = look_at(o->path, err);
    o->there = rc >= 0 ? 0 : strlen(o->path);
    if (rc >= 0)
        rc = make_parents(o, err);
    if (rc >= 0) {
        qn_str s;
        qn_str_init(&s);
        qn_str_addf(&s, "%s.partial", o->path);
        o->partial = qn_str_take(&s, NULL);
        rc = open_partial(o, err);
    }
    if (rc < 0)
        qn_outdir_discard(o);
    return rc;
}

int qn_outdir_room(const qn_outdir *o, uint64_t bytes, qn_err *err)
{
    struct statvfs st;
    char need[32], has[32];
    if (statvfs(o->partial, &st) != 0 || st.f_blocks == 0)
        return QN_OK;
    uint64_t room = (uint64_t)st.f_bavail * st.f_frsize;
    if (bytes <= room)
        return QN_OK;
    return qn_fail(err, QN_EIO,
                   "%s: no space left: %s are to be written there, %s are "
                   "free; free some space or choose another --output_dir",
                   o->path, qn_fmt_bytes(need, sizeof need, bytes),
                   qn_fmt_bytes(has, sizeof has, room));
}

char *qn_outdir_file(const qn_outdir *o, const char *name)
{
    return qn_path_join(o->partial, name);
}

int qn_outdir_json(const qn_outdir *o, const char *name, const json_t *v,
                   qn_err *err)
{
    char *text = json_dumps(v, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!text)
        return qn_fail(err, QN_EINTERNAL, "%s cannot be written as JSON", name);
    qn_str s;
    qn_str_init(&s);
    qn_str_addf(&s, "%s\n", text);
    free(text);
    char *path = qn_outdir_file(o, name);
    int rc = qn_file_write(path, s.p, s.n, err);
    qn_free(path);
    qn_str_deinit(&s);
    return rc;
}

/* ---- copies ------------------------------------------------------------ */

static int copy_bytes(const char *from, int fd, const char *to, qn_err *err)
{
    qn_file f;
    int rc = QN_OK;
    QN_TRY(qn_file_open(&f, from, err));
    char *buf = qn_xmalloc(COPY_BYTES);
    for (uint64_t at = 0; at < f.size && rc == QN_OK;) {
        size_t n = (size_t)QN_MIN(f.size - at, COPY_BYTES);
        rc = qn_file_pread(&f, buf, at, n, err);
        if (rc == QN_OK && qn_fd_write(fd, buf, n) != 0)
            rc = os_fail(to, "write it", err);
        at += n;
    }
    qn_free(buf);
    qn_file_close(&f);
    return rc;
}

static int copy_file(const qn_outdir *o, const char *source, const char *name,
                     qn_err *err)
{
    char *from = qn_path_join(source, name), *to = qn_outdir_file(o, name);
    int rc = QN_OK;
    if (qn_path_is_file(from)) {
        int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                      0666);
        rc = fd < 0 ? os_fail(to, "create it", err)
                    : copy_bytes(from, fd, to, err);
        if (fd >= 0 && rc == QN_OK && fsync(fd) != 0)
            rc = os_fail(to, "write it", err);
        if (fd >= 0)
            close(fd);
    }
    qn_free(from);
    qn_free(to);
    return rc;
}

int qn_outdir_copy(const qn_outdir *o, const char *source,
                   bool (*skip)(const char *name), qn_err *err)
{
    DIR *d = opendir(source);
    int rc = QN_OK;
    if (!d)
        return os_fail(source, "open it", err);
    for (struct dirent *e; rc == QN_OK && (e = readdir(d));) {
        if (e->d_name[0] != '.' && !skip(e->d_name))
            rc = copy_file(o, source, e->d_name, err);
    }
    closedir(d);
    return rc;
}

/* ---- the end ----------------------------------------------------------- */

static void sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static void forget(qn_outdir *o)
{
    if (o->lock >= 0)
        close(o->lock);
    qn_free(o->partial);
    qn_free(o->path);
    memset(o, 0, sizeof *o);
    o->lock = -1;
}

int qn_outdir_close(qn_outdir *o, qn_err *err)
{
    clear(o->partial, is_ours);
    sync_dir(o->partial);
    if (rename(o->partial, o->path) != 0) {
        int rc = os_fail(o->path, "put it in place", err);
        qn_outdir_discard(o);
        return rc;
    }
    char *slash = strrchr(o->path, '/');
    if (slash)
        slash[slash == o->path] = '\0';
    sync_dir(slash ? o->path : ".");
    forget(o);
    return QN_OK;
}

void qn_outdir_discard(qn_outdir *o)
{
    if (!o->path)
        return;
    if (o->partial && o->lock >= 0) {
        clear(o->partial, is_any);
        rmdir(o->partial);
    }
    drop_parents(o);
    forget(o);
}

void qn_outdir_leave(qn_outdir *o)
{
    if (o->path)
        forget(o);
}
