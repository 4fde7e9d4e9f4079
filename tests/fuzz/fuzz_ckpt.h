/* fuzz_ckpt.h: a checkpoint, one file or a folder, out of the fuzzer's bytes. */
#ifndef QN_FUZZ_CKPT_H
#define QN_FUZZ_CKPT_H

#include "ckpt/ckpt.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file in memory, kept for all runs, and what it holds in this one. */
typedef struct fuzz_mem {
    int fd; /* + 1; 0: not there yet */
    char path[64];
} fuzz_mem;

static inline void fuzz_fill(fuzz_mem *m, const void *data, size_t size)
{
    if (!m->fd) {
        m->fd = memfd_create("fuzz", MFD_CLOEXEC) + 1;
        snprintf(m->path, sizeof m->path, "/proc/self/fd/%d", m->fd - 1);
    }
    if (!m->fd || ftruncate(m->fd - 1, (off_t)size) != 0 ||
        pwrite(m->fd - 1, data, size, 0) != (ssize_t)size)
        abort();
}

/* One file; its path. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static fuzz_mem file;

    fuzz_fill(&file, data, size);
    return file.path;
}

/* A folder whose files lie in memory. */
enum {
    FUZZ_FILES = 8
};

static char fuzz_dir[] = "/tmp/fuzz-XXXXXX";
static char fuzz_links[FUZZ_FILES][96];

static inline void fuzz_remove_dir(void)
{
    for (int i = 0; i < FUZZ_FILES && fuzz_links[i][0]; i++)
        unlink(fuzz_links[i]);
    rmdir(fuzz_dir);
}

static inline void fuzz_put(const char *name, const void *data, size_t size)
{
    static fuzz_mem files[FUZZ_FILES];
    char link[96];
    int i = 0;

    if (!fuzz_links[0][0]) {
        if (!mkdtemp(fuzz_dir))
            abort();
        atexit(fuzz_remove_dir);
    }
    snprintf(link, sizeof link, "%s/%s", fuzz_dir, name);
    while (i < FUZZ_FILES && fuzz_links[i][0] && strcmp(fuzz_links[i], link))
        i++;
    if (i == FUZZ_FILES)
        abort();
    fuzz_fill(&files[i], data, size);
    if (!fuzz_links[i][0]) {
        memcpy(fuzz_links[i], link, sizeof link);
        if (symlink(files[i].path, link) != 0)
            abort();
    }
}

/* Asks for all that an open checkpoint can tell. What open accepted must hold
 * together: the invariants at the head of ckpt.c. */
static inline void fuzz_use(const qn_ckpt *ck)
{
    const qn_tensor *prev = NULL;
    char buf[64];

    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        uint64_t size = qn_ckpt_file_size(ck, t->file);
        if (t->n_bytes > size || t->offset > size - t->n_bytes)
            abort();
        /* a number of GGUF's keys may be that of every layer */
        if (prev && t->offset < prev->offset + prev->n_bytes &&
            !(strstr(t->name, ".xielu_") && t->offset == prev->offset))
            abort();
        if (qn_ckpt_find(ck, t->name) != t || !t->format)
            abort();
        if (t->dtype != QN_DTYPE_N && t->n_bytes) {
            size_t n = t->n_bytes < sizeof buf ? (size_t)t->n_bytes
                                               : sizeof buf;
            if (qn_ckpt_read(ck, t, t->n_bytes - n, buf, n, NULL) < 0)
                abort();
        }
        prev = t;
    }
}

#endif
