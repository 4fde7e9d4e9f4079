/* hub_head.h - what the headers of an answer say, one line at a time.
 *
 * Lines come from whoever answers at that address: each is read within its
 * length, a value that is too long or makes no sense counts as absent. */
#ifndef QN_HUB_HUB_HEAD_H
#define QN_HUB_HUB_HEAD_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* What came back, redirects followed. Of an earlier hop are kept: the etag and
 * size of a linked file, the commit and the error code. */
typedef struct qn_http_reply {
    long status;
    char etag[130];    /* x-linked-etag, else etag; without quotes; or "" */
    char commit[48];   /* x-repo-commit */
    char code[64];     /* x-error-code: "GatedRepo", ... */
    bool has_size;     /* of the whole file, */
    uint64_t size;     /* from x-linked-size, content-range or -length */
    bool has_range;    /* content-range was there, and */
    uint64_t range_at; /* the body begins at this byte */
    bool has_wait;     /* retry-after, */
    long wait_s;       /* in seconds from now */
    qn_str error;      /* the body when status is not 2xx, cut short */
} qn_http_reply;

void qn_http_reply_deinit(qn_http_reply *r);

/* While the headers of one answer after another come in. */
typedef struct qn_hub_head {
    long status; /* of the answer that is coming */
    bool linked; /* etag and size come from the x-linked- headers */
} qn_hub_head;

/* One line, with its end or without; no NUL behind it is needed. A status line
 * begins the next answer. */
void qn_hub_head_line(qn_hub_head *h, qn_http_reply *r, const char *line,
                      size_t n);

#endif
