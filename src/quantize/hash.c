/* hash.c - see hash.h: a fast checksum (not a cryptographic one), enough to
 * tell which file something was made from. Written from its specification
 * (xxHash fast digest algorithm, doc/xxhash_spec.md, Y. Collet). */
#include "quantize/hash.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define HASH_PIECE ((size_t)1 << 20)

#define P1 0x9E3779B185EBCA87ull
#define P2 0xC2B2AE3D27D4EB4Full
#define P3 0x165667B19E3779F9ull
#define P4 0x85EBCA77C2B2AE63ull
#define P5 0x27D4EB2F165667C5ull

static uint64_t rol(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t mix(uint64_t acc, uint64_t lane)
{
    return rol(acc + lane * P2, 31) * P1;
}

static uint64_t merge(uint64_t h, uint64_t acc)
{
    return (h ^ mix(0, acc)) * P1 + P4;
}

void qn_xxh64_init(qn_xxh64 *h)
{
    *h = (qn_xxh64){.acc = {P1 + P2, P2, 0, 0 - P1}};
}

static void take_stripe(qn_xxh64 *h, const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        h->acc[i] = mix(h->acc[i], load64(p + 8 * i));
}

void qn_xxh64_add(qn_xxh64 *h, const void *data, size_t n)
{
    const uint8_t *p = data;
    size_t held = (size_t)(h->n % 32);
    h->n += n;
    if (held) {
        size_t k = QN_MIN(32 - held, n);
        memcpy(h->tail + held, p, k);
        p += k;
        n -= k;
        if (held + k < 32)
            return;
        take_stripe(h, h->tail);
    }
    for (; n >= 32; n -= 32, p += 32)
        take_stripe(h, p);
    if (n)
        memcpy(h->tail, p, n);
}

uint64_t qn_xxh64_end(const qn_xxh64 *s)
{
    const uint8_t *p = s->tail;
    size_t left = (size_t)(s->n % 32);
    uint64_t h = P5;
    if (s->n >= 32) {
        h = rol(s->acc[0], 1) + rol(s->acc[1], 7) + rol(s->acc[2], 12) +
            rol(s->acc[3], 18);
        for (int i = 0; i < 4; i++)
            h = merge(h, s->acc[i]);
    }
    h += s->n;
    for (; left >= 8; left -= 8, p += 8)
        h = rol(h ^ mix(0, load64(p)), 27) * P1 + P4;
    if (left >= 4) {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        h = rol(h ^ v * P1, 23) * P2 + P3;
        left -= 4;
        p += 4;
    }
    for (; left > 0; left--, p++)
        h = rol(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

void qn_hash_hex(uint64_t hash, char hex[QN_HASH_HEX])
{
    snprintf(hex, QN_HASH_HEX, "%016llx", (unsigned long long)hash);
}

/* ---- bytes and files ----------------------------------------------------- */

uint64_t qn_hash_bytes(const void *p, size_t n)
{
    qn_xxh64 h;
    qn_xxh64_init(&h);
    qn_xxh64_add(&h, p, n);
    return qn_xxh64_end(&h);
}

int qn_hash_file(const char *path, uint64_t *hash, qn_err *err)
{
    qn_file f;
    qn_xxh64 h;
    int rc = QN_OK;
    QN_TRY(qn_file_open(&f, path, err));
    void *buf = qn_xmalloc(HASH_PIECE);
    qn_xxh64_init(&h);
    for (uint64_t at = 0; at < f.size && rc == QN_OK; at += HASH_PIECE) {
        size_t n = (size_t)QN_MIN(f.size - at, HASH_PIECE);
        rc = qn_file_pread(&f, buf, at, n, err);
        if (rc == QN_OK)
            qn_xxh64_add(&h, buf, n);
    }
    *hash = qn_xxh64_end(&h);
    qn_free(buf);
    qn_file_close(&f);
    return rc;
}

typedef struct hash_job {
    const qn_ckpt *ck;
    qn_pool *pool;
    uint64_t *hash; /* [n_files]; 0: cannot be read */
} hash_job;

static void hash_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    hash_job *j = arg;
    for (int64_t i; (i = qn_pool_next(j->pool)) < qn_ckpt_n_files(j->ck);) {
        const char *path = qn_ckpt_file_path(j->ck, (int)i);
        if (qn_hash_file(path, &j->hash[i], NULL) < 0)
            j->hash[i] = 0;
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static json_t *hex_or_null(uint64_t v)
{
    char hex[QN_HASH_HEX];
    qn_hash_hex(v, hex);
    return v ? json_string(hex) : json_null();
}

json_t *qn_source_files(const qn_ckpt *ck, qn_pool *pool)
{
    int n = qn_ckpt_n_files(ck);
    hash_job j = {.ck = ck, .pool = pool};
    json_t *a = json_array();
    j.hash = qn_xcalloc((size_t)n, sizeof *j.hash);
    qn_pool_run(pool, hash_thread, &j);
    for (int i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:s, s:I, s:o}", "name",
                                           base_name(qn_ckpt_file_path(ck, i)),
                                           "bytes",
                                           (json_int_t)qn_ckpt_file_size(ck, i),
                                           "xxh64", hex_or_null(j.hash[i])));
    qn_free(j.hash);
    return a;
}
