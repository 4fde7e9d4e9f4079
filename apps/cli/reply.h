/* reply.h - what a server sends back for a streamed completion: the status,
 * the coding of the transfer, events and what they say, with the times at which
 * text came. No socket and no clock; `shot.c` feeds it.
 *
 * Whatever is at the other end is not trusted: a line has a longest length, and
 * what is not HTTP/1 or not an event of a completion is `broken`, or passed
 * over. Owns its memory; one thread. */
#ifndef QN_CLI_REPLY_H
#define QN_CLI_REPLY_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define QN_REPLY_LINE ((size_t)4 << 20) /* longest line, bytes */
#define QN_REPLY_RETRY 86400ul          /* longest Retry-After, s */
#define QN_REPLY_ERROR ((size_t)2048)   /* of an error's body, kept */

typedef struct qn_reply {
    int status;          /* HTTP; 0: none has come */
    bool broken;         /* it is not what it should be */
    bool done;           /* [DONE] came */
    bool ended;          /* nothing more belongs to it */
    int n_prompt, n_out; /* tokens, by its usage; 0: it tells none */
    int n_texts;         /* events with text */
    uint64_t first;      /* ns, when the first text came; 0: none has */
    double *gaps;        /* [n_gaps] s between events with text */
    int n_gaps;
    int retry_after; /* s, by the header of that name; 0: there is none */
    qn_str error;    /* the body of another status than 200, its beginning */

    /* where it stands */
    enum {
        QN_REPLY_STATUS,
        QN_REPLY_HEADER,
        QN_REPLY_SIZE, /* of a chunk */
        QN_REPLY_BODY,
        QN_REPLY_GAP /* behind a chunk */
    } at;
    bool chunked;
    uint64_t left; /* of the chunk */
    uint64_t last; /* ns, of the latest text */
    int cap;       /* of gaps */
    qn_str line, event;
} qn_reply;

/* Zero-initialized is empty. */
void qn_reply_deinit(qn_reply *a);
/* n more bytes, which came at `now` (ns); false: it is done, ended or broken,
 * and nothing more is wanted. */
bool qn_reply_feed(qn_reply *a, const char *p, size_t n, uint64_t now);
/* Why there was an error, in the server's words or the body's beginning, one
 * line; "" when it says nothing. Appended to out. */
void qn_reply_why(const qn_reply *a, qn_str *out);

#endif
