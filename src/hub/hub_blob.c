/* hub_blob.c: one file of the hub into the cache. See hub_blob.h.
 *
 *   absent -- lock --> <etag>.incomplete, grows -- all there, checksum right
 *     --> renamed to <etag> --> linked from snapshots/<commit>/<name>
 *
 * Invariants
 *   1. <etag> exists only whole and checked (rename is the last step)
 *   2. whoever writes <etag>.incomplete holds flock on <etag>.lock; so do the
 *      programs of huggingface_hub, which can run at the same time
 *   3. the digest has seen exactly the first `at` bytes of the file
 */
#include "hub/hub_blob.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "hub/hub_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_POLL_MS 200
#define READ_CHUNK ((size_t)1 << 20)

typedef struct fetch {
    qn_hub_ctx *ctx;
    const qn_hub_file *file;
    const char *path; /* of the incomplete file */
    int fd;
    uint64_t at;
    qn_digest digest;
    qn_digest_kind kind;
    bool begun; /* this attempt's first bytes were seen */
    bool fatal; /* no use in trying again */
} fetch;

/* ---- the incomplete file ----------------------------------------------- */

static int disk_error(const fetch *f, const char *verb, qn_err *err)
{
    char left[32];

    if (errno == ENOSPC || errno == EDQUOT)
        return qn_fail(err, QN_EIO,
                       "%s: no space left on the device, %s are still to come; "
                       "free some or set HF_HUB_CACHE to another place, then "
                       "run the command again: it continues",
                       f->path,
                       qn_fmt_bytes(left, sizeof left, f->file->size - f->at));
    return qn_fail(err, QN_EIO, "%s: cannot %s: %s", f->path, verb,
                   strerror(errno));
}

static int start_over(fetch *f, qn_err *err)
{
    atomic_fetch_sub(&f->ctx->done, f->at);
    f->at = 0;
    qn_digest_init(&f->digest, f->kind, f->file->size);
    if (ftruncate(f->fd, 0) != 0 && errno != EINVAL) /* a device */
        return disk_error(f, "cut it to nothing", err);
    if (lseek(f->fd, 0, SEEK_SET) < 0)
        return disk_error(f, "go to its beginning", err);
    return 0;
}

/* What an earlier attempt left goes through the digest. */
static int read_prefix(fetch *f, qn_err *err)
{
    char *buf = NULL;
    struct stat st;
    ssize_t n = 0;
    int rc = 0;

    qn_digest_init(&f->digest, f->kind, f->file->size);
    if (fstat(f->fd, &st) != 0)
        return disk_error(f, "look at it", err);
    if (!S_ISREG(st.st_mode))
        return 0;
    if (f->file->has_size && (uint64_t)st.st_size > f->file->size)
        return start_over(f, err);
    buf = qn_xmalloc(READ_CHUNK);
    while ((n = read(f->fd, buf, READ_CHUNK)) > 0) {
        qn_digest_add(&f->digest, buf, (size_t)n);
        f->at += (uint64_t)n;
        atomic_fetch_add(&f->ctx->done, (uint64_t)n);
        if (atomic_load(&f->ctx->stop))
            QN_FAIL_OUT(QN_ECANCEL, "%s: cancelled", f->ctx->name);
    }
    if (n < 0)
        rc = disk_error(f, "read", err);
out:
    qn_free(buf);
    return rc;
}

static int append(fetch *f, const char *p, size_t n, qn_err *err)
{
    while (n > 0) {
        ssize_t w = write(f->fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return disk_error(f, "write", err);
        qn_digest_add(&f->digest, p, (size_t)w);
        f->at += (uint64_t)w;
        atomic_fetch_add(&f->ctx->done, (uint64_t)w);
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

/* ---- transfer ---------------------------------------------------------- */

/* The first bytes of an answer: do they continue where we are? */
static int begin_body(fetch *f, const qn_http_reply *r, qn_err *err)
{
    f->begun = true;
    if (r->status == 206 && r->has_range && r->range_at == f->at)
        return 0;
    if (r->status == 200)
        return f->at ? start_over(f, err) : 0;
    return qn_fail(err, QN_EIO,
                   "%s: asked for the bytes from %" PRIu64
                   " on, the server answers %ld and sends others",
                   f->file->name, f->at, r->status);
}

static int on_bytes(void *user, const qn_http_reply *r, const void *p, size_t n,
                    qn_err *err)
{
    fetch *f = user;
    int rc = f->begun ? 0 : begin_body(f, r, err);

    if (rc == 0 && f->file->has_size && n > f->file->size - f->at)
        rc = qn_fail(err, QN_EFORMAT,
                     "%s: the server sends more than the %" PRIu64
                     " bytes that the hub says it has",
                     f->file->name, f->file->size);
    if (rc == 0)
        rc = append(f, p, n, err);
    f->fatal = rc < 0;
    return rc;
}

static bool all_there(const fetch *f)
{
    /* An empty file is only known to be one when the server says so. */
    return f->file->has_size && f->at == f->file->size && f->at > 0;
}

/* All bytes are there; or an error. */
static int transfer(fetch *f, qn_http *h, const char *url, qn_err *err)
{
    for (int tries = -1; !all_there(f);) {
        uint64_t before = f->at;
        qn_http_reply r = {0};
        int rc, again = 0;
        f->begun = false;
        rc = qn_http_get(h, url, false, f->at, on_bytes, f, &r, err);
        if (f->fatal)
            return rc;
        if (rc == 0 && r.status == 200 && f->at == f->file->size) {
            qn_http_reply_deinit(&r);
            return 0;
        }
        if (rc == 0 && r.status == 416 && f->at > 0) {
            again = start_over(f, err);
            before = 0;
            r.status = 200; /* as if it had been cut */
        }
        tries = f->at > before ? 0 : tries + 1;
        if (again == 0 && !all_there(f))
            again = qn_hub_again(f->ctx, rc, &r, f->file->name, tries, err);
        if (rc == 0)
            qn_http_reply_deinit(&r);
        if (again < 0)
            return again;
    }
    return 0;
}

static int check_digest(fetch *f, qn_err *err)
{
    char hex[65];

    qn_digest_done(&f->digest, hex);
    if (f->kind == QN_DIGEST_NONE || strcmp(hex, f->file->etag) == 0)
        return 0;
    qn_digest_init(&f->digest, f->kind, f->file->size);
    return qn_fail(err, QN_EFORMAT,
                   "%s: its checksum is %s, the hub says %s; what came was "
                   "thrown away, run the command again",
                   f->file->name, hex, f->file->etag);
}

/* Fetches and checks. Bytes from an earlier run may be what is wrong, so then
 * there is a second attempt from nothing. */
static int fetch_checked(fetch *f, qn_http *h, const char *url, qn_err *err)
{
    int rc;

    QN_TRY(read_prefix(f, err));
    for (bool resumed = f->at > 0;; resumed = false) {
        QN_TRY(transfer(f, h, url, err));
        rc = check_digest(f, err);
        if (rc == 0)
            return 0;
        QN_TRY(start_over(f, NULL));
        if (!resumed)
            break;
        qn_log(1,
               "%s: what was left of an earlier download is damaged, "
               "fetching it again",
               f->file->name);
    }
    unlink(f->path);
    return rc;
}

/* ---- locking ----------------------------------------------------------- */

/* An open, locked descriptor. Waits for whoever has it. */
static int take_lock(qn_hub_ctx *c, const char *path, const char *file,
                     int *out, qn_err *err)
{
    for (;;) {
        struct stat st;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return qn_fail(err, QN_EIO, "%s: cannot create: %s", path,
                           strerror(errno));
        while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int rc = errno == EWOULDBLOCK || errno == EINTR
                         ? 0
                         : qn_fail(err, QN_EIO, "%s: cannot lock: %s", path,
                                   strerror(errno));
            qn_hub_note(c, "another download has %.120s, waiting", file);
            if (rc == 0)
                rc = qn_hub_sleep(c, LOCK_POLL_MS, err);
            qn_hub_note(c, NULL);
            if (rc < 0) {
                close(fd);
                return rc;
            }
        }
        /* Some programs delete the file when they are done with it. */
        if (fstat(fd, &st) == 0 && st.st_nlink > 0) {
            *out = fd;
            return 0;
        }
        close(fd);
    }
}

/* ---- the snapshot ------------------------------------------------------ */

static int make_parents(const char *path, qn_err *err)
{
    char *dir = qn_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = qn_mkdirs(dir, err);

    qn_free(dir);
    return rc;
}

/* snapshots/<commit>/<name> -> ../../blobs/<etag>, one .. more per folder in
 * the name; where there are no links, the file itself moves there. */
static int link_snapshot(const qn_hub_place *place, const qn_hub_file *file,
                         const char *blob, qn_err *err)
{
    char *path = qn_path_join(place->snapshot, file->name);
    qn_str target, tmp;
    int rc;

    qn_str_init(&target);
    qn_str_init(&tmp);
    qn_str_adds(&target, "../../");
    for (const char *p = file->name; *p; p++)
        if (*p == '/')
            qn_str_adds(&target, "../");
    qn_str_addf(&target, "blobs/%s", file->etag);
    qn_str_addf(&tmp, "%s.%ld.link", path, (long)getpid());
    QN_TRY_OUT(make_parents(path, err));
    if (symlink(target.p, tmp.p) == 0) {
        if (rename(tmp.p, path) == 0)
            goto out;
        unlink(tmp.p);
    } else if ((errno == EPERM || errno == ENOTSUP) &&
               rename(blob, path) == 0) {
        goto out;
    }
    rc = qn_fail(err, QN_EIO, "%s: cannot create: %s", path, strerror(errno));
out:
    qn_str_deinit(&tmp);
    qn_str_deinit(&target);
    qn_free(path);
    return rc;
}

/* ---- a file ------------------------------------------------------------ */

static char *make_url(const qn_hub_ctx *c, const qn_hub_place *place,
                      const char *name)
{
    qn_str s;

    qn_str_init(&s);
    qn_str_addf(&s, "%s/%s/resolve/%s/", c->site.endpoint, c->repo,
                place->commit);
    qn_hub_add_encoded(&s, name, true);
    return qn_str_take(&s, NULL);
}

/* Size and checksum, where the listing did not have them. */
static int ask_metadata(qn_hub_ctx *c, qn_http *h, const char *url,
                        qn_hub_file *file, qn_err *err)
{
    qn_http_reply r;

    if (file->etag[0] && file->has_size)
        return 0;
    QN_TRY(qn_hub_ask(c, h, url, file->name, 0, NULL, NULL, &r, err));
    if (!file->etag[0] && qn_hub_etag_ok(r.etag))
        strcpy(file->etag, r.etag);
    if (!file->has_size && r.has_size) {
        file->has_size = true;
        file->size = r.size;
        atomic_fetch_add(&c->total, r.size);
    }
    qn_http_reply_deinit(&r);
    if (!file->etag[0] || !file->has_size)
        return qn_fail(err, QN_EIO,
                       "%s: the server does not tell its %s; is HF_ENDPOINT a "
                       "hub?",
                       file->name, file->etag[0] ? "size" : "etag");
    return 0;
}

static bool is_whole(const char *blob, const qn_hub_file *file)
{
    struct stat st;

    return stat(blob, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == file->size;
}

/* Holding the lock: the blob, from wherever it stands. */
static int complete_blob(qn_hub_ctx *c, qn_http *h, const char *url,
                         const qn_hub_file *file, const char *blob, qn_err *err)
{
    fetch f = {.ctx = c, .file = file, .kind = qn_digest_of(file->etag)};
    qn_str path;
    int rc = 0;

    if (is_whole(blob, file)) {
        atomic_fetch_add(&c->done, file->size);
        return 0;
    }
    qn_str_init(&path);
    qn_str_addf(&path, "%s.incomplete", blob);
    f.path = path.p;
    f.fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (f.fd < 0)
        QN_FAIL_OUT(QN_EIO, "%s: cannot create: %s", path.p, strerror(errno));
    rc = fetch_checked(&f, h, url, err);
    if (close(f.fd) != 0 && rc == 0)
        rc = disk_error(&f, "write", err);
    if (rc == 0 && rename(path.p, blob) != 0)
        rc = disk_error(&f, "rename", err);
out:
    qn_str_deinit(&path);
    return rc;
}

int qn_hub_fetch(qn_hub_ctx *c, qn_http *h, const qn_hub_place *place,
                 qn_hub_file *file, qn_err *err)
{
    char *url = make_url(c, place, file->name), *blob = NULL, *lock = NULL;
    qn_str lock_name;
    int rc, fd = -1;

    qn_str_init(&lock_name);
    QN_TRY_OUT(ask_metadata(c, h, url, file, err));
    blob = qn_path_join(place->blobs, file->etag);
    qn_str_addf(&lock_name, "%s.lock", file->etag);
    lock = qn_path_join(place->locks, lock_name.p);
    QN_TRY_OUT(take_lock(c, lock, file->name, &fd, err));
    QN_TRY_OUT(complete_blob(c, h, url, file, blob, err));
    QN_TRY_OUT(link_snapshot(place, file, blob, err));
    atomic_fetch_add(&c->files_done, 1);
out:
    if (fd >= 0)
        close(fd);
    qn_str_deinit(&lock_name);
    qn_free(lock);
    qn_free(blob);
    qn_free(url);
    return rc;
}
