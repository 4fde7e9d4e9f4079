/* fuzz_ckpt.h: a checkpoint file out of the fuzzer's bytes. */
#ifndef QN_FUZZ_CKPT_H
#define QN_FUZZ_CKPT_H

#include "ckpt/ckpt.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One file in memory for all runs; its path. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0 ||
        pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return path;
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
