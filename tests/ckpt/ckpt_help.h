/* ckpt_help.h: makes checkpoints for the tests, right and wrong ones. */
#ifndef QN_TEST_CKPT_HELP_H
#define QN_TEST_CKPT_HELP_H

#include "testing.h"

#include "ckpt/ckpt.h"

/* "dir/name"; lives until the program ends. */
const char *help_path(const char *dir, const char *name);
/* A text file dir/name. */
void help_write(const char *dir, const char *name, const char *text);
/* A safetensors file with this header and n_data bytes i % 251. */
void help_safetensors(const char *path, const char *header, size_t n_data);

/* Files of a folder, whose names do not begin with a dot. */
int help_n_entries(const char *dir);

/* Opening must fail with `code` and a message that has every one of the words
 * (a NULL-terminated list) in it. */
void help_refused(const char *path, int code, const char *const *words);
/* The same for qn_ckpt_open_tensors. */
void help_refused_tensors(const char *path, int code, const char *const *words);
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- GGUF, byte by byte ------------------------------------------------ */

typedef struct gguf_out {
    qn_str s;
    size_t data; /* where the tensor data begins, once it does */
} gguf_out;

void out_begin(gguf_out *o, uint32_t version, uint64_t n_tensors,
               uint64_t n_kv);
void out_u8(gguf_out *o, unsigned v);
void out_u16(gguf_out *o, unsigned v);
void out_u32(gguf_out *o, uint32_t v);
void out_u64(gguf_out *o, uint64_t v);
void out_f32(gguf_out *o, float v);
void out_f64(gguf_out *o, double v);
void out_str(gguf_out *o, const char *s);
/* Key and type of a pair; the value follows. */
void out_key(gguf_out *o, const char *key, qn_gguf_type type);
void out_kv_u32(gguf_out *o, const char *key, uint32_t v);
void out_kv_f32(gguf_out *o, const char *key, float v);
void out_kv_str(gguf_out *o, const char *key, const char *v);
void out_kv_bool(gguf_out *o, const char *key, bool v);
/* A tensor's description; dims innermost first, as the file has them. */
void out_tensor(gguf_out *o, const char *name, uint32_t type, int n_dims,
                const uint64_t *dims, uint64_t offset);
/* Pads to `align`, adds n bytes i % 251, writes the file and frees o. */
void out_finish(gguf_out *o, const char *path, size_t align, size_t n);

#endif
