/* hub_blob.h - one file of the hub into the cache. */
#ifndef QN_HUB_HUB_BLOB_H
#define QN_HUB_HUB_BLOB_H

#include "hub/hub_ask.h"
#include "hub/hub_repo.h"

/* Where the files of one revision go; paths without '/' behind. */
typedef struct qn_hub_place {
    const char *commit;
    char *blobs, *snapshot, *locks;
} qn_hub_place;

/* Fetches a file unless its blob is there, checks it, and links it into the
 * snapshot. Fills in what the hub had not said of it. Whatever happens, the
 * bytes that arrived stay in <blobs>/<etag>.incomplete for the next attempt,
 * unless their checksum is wrong. Any thread, with its own h and file. */
int qn_hub_fetch(qn_hub_ctx *c, qn_http *h, const qn_hub_place *place,
                 qn_hub_file *file, qn_err *err);

#endif
