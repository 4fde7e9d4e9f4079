/* file.h - reading files whole, mapped, or by position; writing atomically. */
#ifndef QN_BASE_FILE_H
#define QN_BASE_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qn_file {
    int fd; /* -1: closed */
    uint64_t size;
    char *path;
} qn_file;

/* Regular files only (a directory or a pipe is QN_EINVAL). */
int qn_file_open(qn_file *f, const char *path, qn_err *err);
void qn_file_close(qn_file *f);
/* The same open file once more, to be closed by itself. */
int qn_file_again(qn_file *f, const qn_file *of, qn_err *err);
/* When it, or what the system notes of it, last changed, in ns since 1970 (ctime,
 * which nobody can put back). Another file in its place under its name does not
 * matter. */
int qn_file_changed(const qn_file *f, int64_t *ns, qn_err *err);
/* Exactly n bytes from offset, or QN_EIO / QN_EFORMAT (file too short).
 * Thread-safe. */
int qn_file_pread(const qn_file *f, void *dst, uint64_t offset, size_t n,
                  qn_err *err);
/* Advice: these bytes are about to be read. */
void qn_file_will_read(const qn_file *f, uint64_t offset, size_t n);
/* Read-only view of the whole file (size 0 gives p = NULL). */
int qn_file_map(const qn_file *f, const void **p, qn_err *err);
void qn_file_unmap(const qn_file *f, const void *p);
/* Brings n bytes of such a view into memory. false: they cannot be read, or
 * this kernel cannot do it (before Linux 5.14); then pread tells why. */
bool qn_file_populate(const void *p, size_t n);
/* Takes the pages that lie wholly inside out of this process again; the page
 * cache keeps them, and so may the view be read once more. */
void qn_file_release(const void *p, size_t n);

/* The whole file, NUL behind; QN_ELIMIT above max_bytes. qn_free it. */
int qn_file_slurp(char **out, size_t *n, const char *path, size_t max_bytes,
                  qn_err *err);
/* Where a file of that name is put: behind a link, which stays one. *direct: it
 * is a device, a pipe or a descriptor of this process, which is written to and
 * never replaced. free() it. */
char *qn_path_target(const char *path, bool *direct);
/* Writes a temporary file beside it, fsyncs, renames: the path holds the old
 * bytes or the new ones, never a part. What is no file gets the bytes. */
int qn_file_write(const char *path, const void *p, size_t n, qn_err *err);

/* All n bytes to an open descriptor; -1 with errno. */
int qn_fd_write(int fd, const void *p, size_t n);

/* Whether qn_file_write could put a file there now: for who is about to work
 * for what it is to hold. Writes nothing. */
int qn_file_check_write(const char *path, qn_err *err);

bool qn_path_is_file(const char *path);
bool qn_path_is_dir(const char *path);
/* A pipe, a terminal or another device: what is read once, to its end. */
bool qn_path_is_stream(const char *path);
/* "a file", "a directory", "a device", "a link that leads nowhere", ...; NULL:
 * there is nothing. */
const char *qn_path_kind(const char *path);
/* dir + "/" + name; qn_free it. */
char *qn_path_join(const char *dir, const char *name);
/* mkdir -p. */
int qn_mkdirs(const char *path, qn_err *err);

#endif
