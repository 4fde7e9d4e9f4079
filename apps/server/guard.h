/* guard.h - what of a header is refused before anybody acts on it.
 *
 * libmicrohttpd takes several things that another server in front of it may
 * read differently (RFC 9112, 6.3 and 11.2): a length and a chunked body
 * together, two lengths that differ, names with blanks. Here each is a 400 and
 * the end of the connection. */
#ifndef QN_SERVER_GUARD_H
#define QN_SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qn_guard {
    int n_lengths, n_codings, n_hosts, n_auth;
    uint64_t length;  /* of the body, if n_lengths */
    const char *flaw; /* NULL: nothing is wrong so far */
} qn_guard;

/* Each header in turn; value NULL means empty. */
void qn_guard_header(qn_guard *g, const char *name, size_t name_len,
                     const char *value, size_t value_len);
/* After the last one: the flaw as a sentence, or NULL. `http11`: the request
 * says HTTP/1.1. */
const char *qn_guard_verdict(const qn_guard *g, bool http11);
/* Names of headers, separated by commas. */
bool qn_guard_names(const char *list);
/* The path of a request target. One that names scheme and host, as clients of
 * proxies send it, has to name the host of the header: else NULL. */
const char *qn_guard_path(const char *target, const char *host);
/* A path that is safe to match and to log. */
bool qn_guard_target(const char *path);

#endif
