/* hub_http.h - GET and HEAD as the hub needs them.
 *
 * Redirects are followed here, not by libcurl, so that two things are certain:
 * the token goes to the endpoint's own scheme, host and port and to nobody
 * else, and https never becomes http. A connection serves one thread. */
#ifndef QN_HUB_HUB_HTTP_H
#define QN_HUB_HUB_HTTP_H

#include "hub/hub_curl.h"
#include "hub/hub_head.h"

#include <stdatomic.h>
#include <stdint.h>

#define QN_HTTP_ERROR_MAX ((size_t)4096) /* of an error's body, kept */

/* Where to, as whom. Immutable while connections use it. */
typedef struct qn_hub_site {
    const char *endpoint;      /* "https://host[:port][/path]", no '/' behind */
    const char *token;         /* or NULL */
    const atomic_bool *cancel; /* set by somebody: transfers end */
    int stall_s;               /* give up when no byte comes for so long */
} qn_hub_site;

/* Receives the body of a 2xx reply. Negative: stop, and that is the result.
 * `reply` has its headers. */
typedef int (*qn_http_sink)(void *user, const qn_http_reply *reply,
                            const void *p, size_t n, qn_err *err);

typedef struct qn_http qn_http;

int qn_http_new(qn_http **out, const qn_hub_site *site, qn_err *err);
void qn_http_free(qn_http *h);

/* 0 when an answer came, whatever its status; r is the caller's to deinit.
 * QN_EIO: the connection failed or was cut, QN_ECANCEL, or what the sink said.
 * head: no body is asked for, and redirects to other hosts are not followed
 * once the etag is known. from > 0: asks for the bytes from there on. */
int qn_http_get(qn_http *h, const char *url, bool head, uint64_t from,
                qn_http_sink sink, void *user, qn_http_reply *r, qn_err *err);

/* "scheme://host:port" of both is the same, default ports filled in. */
bool qn_http_same_origin(const char *a, const char *b);

#endif
