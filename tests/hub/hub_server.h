/* hub_server.h: a hub on loopback, for the tests, and what goes wrong there.
 *
 * It speaks the part of the protocol that downloads use: the description of a
 * revision, /resolve/ with etags, large files by redirect to a second port (as
 * the hub's are to another host), ranges. Faults are put before the ordinary
 * answer; what was asked is kept. */
#ifndef QN_TEST_HUB_SERVER_H
#define QN_TEST_HUB_SERVER_H

#include "testing.h"

#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567"

typedef struct hub_file {
    const char *name;
    const char *data;
    size_t n;
    bool lfs; /* by redirect, named by sha256 */
    char etag[65];
} hub_file;

typedef enum hub_fault_kind {
    FAULT_STATUS,     /* answers `arg`, with `text` as further headers */
    FAULT_CUT,        /* closes after `arg` bytes of the body */
    FAULT_SHORT,      /* announces and sends `arg` bytes of it, no more */
    FAULT_LONGER,     /* sends `arg` bytes more than there are */
    FAULT_WRONG,      /* changes a byte */
    FAULT_WHOLE,      /* ignores the range */
    FAULT_OTHER_RANGE /* sends another range than was asked for */
} hub_fault_kind;

typedef struct hub_fault {
    const char *path; /* part of the path */
    hub_fault_kind kind;
    int times;
    long arg;
    const char *text;
} hub_fault;

typedef struct hub_seen {
    int port; /* 0: the hub, 1: where large files are */
    bool head, token;
    long from; /* of the range; -1: none */
    char path[256];
} hub_seen;

typedef struct hub_server hub_server;

/* Serves these files as `repo` (and any revision of it); they live longer. The
 * environment is set so that downloads come here, into an empty cache without
 * a token. */
hub_server *hub_server_start(const char *repo, hub_file *files, size_t n);
void hub_server_stop(hub_server *s);

/* Leaves sizes and checksums out of the description. */
void hub_server_terse(hub_server *s, bool terse);
/* Only requests with this token are answered; NULL: all. */
void hub_server_token(hub_server *s, const char *token);
void hub_server_fault(hub_server *s, hub_fault f);
/* Forgets faults and what was seen. */
void hub_server_clear(hub_server *s);
/* Requests whose path has `part` in it; with `out`, the i-th such. */
int hub_server_seen(hub_server *s, const char *part, int i, hub_seen *out);
const char *hub_server_cache(hub_server *s);

#endif
