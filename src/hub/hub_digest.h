/* hub_digest.h - the checksums that the hub names its files by: sha256 for
 * large files, git's sha1 ("blob <size>\0" before the bytes) for small ones. */
#ifndef QN_HUB_HUB_DIGEST_H
#define QN_HUB_HUB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nettle/sha1.h>
#include <nettle/sha2.h>

typedef enum qn_digest_kind {
    QN_DIGEST_NONE, /* nothing is known to compare with */
    QN_DIGEST_GIT,
    QN_DIGEST_SHA256
} qn_digest_kind;

typedef struct qn_digest {
    qn_digest_kind kind;
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
} qn_digest;

/* What an etag of the hub is: by its length in hex digits. */
qn_digest_kind qn_digest_of(const char *etag);
/* `size`: of the whole file, bytes. */
void qn_digest_init(qn_digest *d, qn_digest_kind kind, uint64_t size);
void qn_digest_add(qn_digest *d, const void *p, size_t n);
/* In lower-case hex; "" for NONE. */
void qn_digest_done(qn_digest *d, char hex[65]);

#endif
