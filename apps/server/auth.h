/* auth.h - API keys.
 *
 * A file with one key per line, `name:key` or `key` alone ('#' begins a
 * comment), and the environment variable QUERN_API_KEYS (the same, separated
 * by commas). Kept as SHA-256; a key that is presented is hashed and compared
 * with every one of them in constant time. Keys are tenants 1, 2, ... in
 * order; without keys everybody is tenant 0. Thread-safe. */
#ifndef QN_SERVER_AUTH_H
#define QN_SERVER_AUTH_H

#include "base/err.h"

#include <stdbool.h>

#define QN_AUTH_MAX_KEYS 4096

typedef struct qn_auth qn_auth;

int qn_auth_new(qn_auth **out, const char *file, qn_err *err);
void qn_auth_free(qn_auth *a);
/* Reads file and environment again; on failure the keys stay as they are. A
 * key that was there before keeps its tenant number; that of one that is gone
 * is not given again. */
int qn_auth_reload(qn_auth *a, qn_err *err);
/* Whether there are keys at all. */
bool qn_auth_on(qn_auth *a);
/* `header`: the Authorization header or NULL. Its tenant, or -1. */
int qn_auth_check(qn_auth *a, const char *header);
/* One more generation of the tenant begins; how many ran before. Each ends,
 * also when the key is gone meanwhile. */
int qn_auth_begin(qn_auth *a, int tenant);
void qn_auth_end(qn_auth *a, int tenant);
/* The tenant's name ("key-3" for one without) into buf. */
void qn_auth_name(qn_auth *a, int tenant, char *buf, size_t cap);

#endif
