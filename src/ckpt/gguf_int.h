/* gguf_int.h - the metadata of one GGUF file, as gguf_meta.c reads it. */
#ifndef QN_CKPT_GGUF_INT_H
#define QN_CKPT_GGUF_INT_H

#include "ckpt/ckpt_int.h"

/* The part of the file before its tensor data, in memory.
 *
 * `buf` has room for all that may be metadata and is filled as the cursor
 * moves on; it never moves, so keys and strings point into it. Room that is
 * not reached is never touched, and so costs address space alone. */
typedef struct qn_gguf_meta {
    const qn_file *f;
    char *buf;
    uint64_t room; /* bytes of buf: the file, or the limit on metadata */
    uint64_t have; /* bytes of the file in buf */
    uint64_t pos;  /* cursor: the next byte to be read */

    uint32_t version;
    uint64_t n_tensors;
    uint64_t n_kv;
    qn_gguf_kv *kv; /* [n_kv_read] */
    size_t n_kv_read;
} qn_gguf_meta;

/* Reads the header and all pairs; the cursor is then at the first tensor's
 * description. On failure too the caller ends it with qn_gguf_meta_deinit. */
int qn_gguf_meta_read(qn_gguf_meta *m, const qn_file *f, qn_err *err);
void qn_gguf_meta_deinit(qn_gguf_meta *m);

/* Numbers that are pairs here and tensors elsewhere, as tensors
 * (gguf_numbers.c); ck->n_numbers counts them. */
int qn_gguf_add_numbers(qn_ckpt *ck, const qn_gguf_meta *m, int file,
                        qn_err *err);

/* The primitives of the format, at the cursor. */
int qn_gguf_read_u32(qn_gguf_meta *m, uint32_t *out, qn_err *err);
int qn_gguf_read_u64(qn_gguf_meta *m, uint64_t *out, qn_err *err);
int qn_gguf_read_str(qn_gguf_meta *m, qn_view *out, qn_err *err);

#endif
