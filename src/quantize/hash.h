/* hash.h - XXH64 (Y. Collet; seed 0), which the xxhsum tool computes too, of
 * bytes and of files. */
#ifndef QN_QUANTIZE_HASH_H
#define QN_QUANTIZE_HASH_H

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "ckpt/ckpt.h"

#include <stddef.h>
#include <stdint.h>

/* init, add any pieces, end. */
typedef struct qn_xxh64 {
    uint64_t acc[4], n;
    uint8_t tail[32];
} qn_xxh64;
void qn_xxh64_init(qn_xxh64 *h);
void qn_xxh64_add(qn_xxh64 *h, const void *p, size_t n);
uint64_t qn_xxh64_end(const qn_xxh64 *h);

/* 16 hexadecimal digits. */
enum {
    QN_HASH_HEX = 17
};
void qn_hash_hex(uint64_t hash, char hex[QN_HASH_HEX]);

uint64_t qn_hash_bytes(const void *p, size_t n);
int qn_hash_file(const char *path, uint64_t *hash, qn_err *err);
/* [{name, bytes, xxh64}] of all files of a checkpoint, hashed by threads; xxh64
 * is null where a file cannot be read. */
json_t *qn_source_files(const qn_ckpt *ck, qn_pool *pool);

#endif
