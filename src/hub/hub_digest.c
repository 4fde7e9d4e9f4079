/* hub_digest.c: sha256 and git's sha1 by nettle. See hub_digest.h. */
#include "hub/hub_digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

qn_digest_kind qn_digest_of(const char *etag)
{
    size_t n = strlen(etag);

    if (strspn(etag, "0123456789abcdef") != n)
        return QN_DIGEST_NONE;
    return n == 64   ? QN_DIGEST_SHA256
           : n == 40 ? QN_DIGEST_GIT
                     : QN_DIGEST_NONE;
}

void qn_digest_init(qn_digest *d, qn_digest_kind kind, uint64_t size)
{
    char head[32];
    int n;

    d->kind = kind;
    sha1_init(&d->sha1);
    sha256_init(&d->sha256);
    if (kind != QN_DIGEST_GIT)
        return;
    n = snprintf(head, sizeof head, "blob %" PRIu64, size);
    sha1_update(&d->sha1, (size_t)n + 1, (const uint8_t *)head);
}

void qn_digest_add(qn_digest *d, const void *p, size_t n)
{
    if (d->kind == QN_DIGEST_GIT)
        sha1_update(&d->sha1, n, p);
    else if (d->kind == QN_DIGEST_SHA256)
        sha256_update(&d->sha256, n, p);
}

void qn_digest_done(qn_digest *d, char hex[65])
{
    uint8_t raw[SHA256_DIGEST_SIZE];
    size_t n = 0;

    if (d->kind == QN_DIGEST_GIT)
        sha1_digest(&d->sha1, n = SHA1_DIGEST_SIZE, raw);
    else if (d->kind == QN_DIGEST_SHA256)
        sha256_digest(&d->sha256, n = SHA256_DIGEST_SIZE, raw);
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    hex[2 * n] = '\0';
}
