/* fuzz_quantized.c: a directory with quantized matrices: a line of
 * config.json, then a safetensors file. All that opens is decoded. */
#include "ckpt/ckpt.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_ELEMS = 1 << 16
};

static char dir[] = "/tmp/fuzz_quantizedXXXXXX";
static const char *const names[2] = {"config.json", "model.safetensors"};

static void remove_dir(void)
{
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* Both files live in memory, under names of one directory. */
static void put(int i, const uint8_t *data, size_t size)
{
    static int fd[2] = {-1, -1};
    if (fd[0] < 0) {
        if (!mkdtemp(dir))
            abort();
        atexit(remove_dir);
        for (int k = 0; k < 2; k++) {
            char from[64], to[128];
            fd[k] = memfd_create(names[k], MFD_CLOEXEC);
            snprintf(from, sizeof from, "/proc/self/fd/%d", fd[k]);
            snprintf(to, sizeof to, "%s/%s", dir, names[k]);
            if (fd[k] < 0 || symlink(from, to) != 0)
                abort();
        }
    }
    if (ftruncate(fd[i], (off_t)size) != 0 ||
        pwrite(fd[i], data, size, 0) != (ssize_t)size)
        abort();
}

static void decode(const qn_ckpt *ck, const qn_tensor *t)
{
    qn_qmat m;
    void *mem;
    qn_err err;
    if (t->n_elems > MAX_ELEMS || qn_ckpt_quant_open(ck, t, &m, &mem, &err) < 0)
        return;
    float *f = malloc(t->n_elems * sizeof *f);
    void *scratch = malloc(qn_qmat_scratch(&m, m.n_out));
    qn_qmat_decode(&m, 0, m.n_out, scratch, f);
    free(scratch);
    free(f);
    qn_ckpt_quant_close(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    qn_ckpt *ck;
    qn_err err;
    if (!line)
        return 0;
    put(0, data, (size_t)(line - data));
    put(1, line + 1, size - (size_t)(line + 1 - data));
    if (qn_ckpt_open(&ck, dir, &err) < 0)
        return 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        if (qn_ckpt_find(ck, t->name) != t)
            abort();
        if (t->quant)
            decode(ck, t);
    }
    qn_ckpt_close(ck);
    return 0;
}
