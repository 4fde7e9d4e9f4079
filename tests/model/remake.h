/* remake.h - checkpoints made from a checkpoint: its tensors in memory as f32,
 * changed by a test, written as an HF directory or a GGUF file. */
#ifndef TEST_MODEL_REMAKE_H
#define TEST_MODEL_REMAKE_H

#include "testing.h"

#include "base/json.h"
#include "base/vec.h"
#include "tensor/dtype.h"

typedef struct rm_tensor {
    char name[160];
    int n_dims;
    int64_t shape[4];
    size_t n;
    float *v;
} rm_tensor;

typedef struct remake {
    QN_VEC(rm_tensor) t;
    json_t *config;
} remake;

void remake_open(remake *r, const char *dir);
void remake_close(remake *r);

/* The test fails if there is none. */
rm_tensor *remake_get(remake *r, const char *fmt, ...) QN_PRINTF(2, 3);
bool remake_has(remake *r, const char *name);
/* A new tensor of zeros. */
rm_tensor *remake_add(remake *r, const char *name, int n_dims,
                      const int64_t *shape);
void remake_drop(remake *r, const char *name);
/* Replaces a part of every name. */
void remake_rename(remake *r, const char *from, const char *to);

/* A directory with config.json and model.safetensors; tensors whose name ends
 * with `as` (NULL: all) are written as `type` (zeros if it cannot be encoded),
 * the others as f32. */
char *remake_save(remake *r, qn_dtype type, const char *as);

/* A GGUF file of f32 tensors. `meta` is an object: strings, booleans, integers
 * (u32), reals (f32) and arrays of one of those. */
char *remake_gguf(remake *r, const json_t *meta);

#endif
