/* conns.h - the connections, and the thread that watches over them.
 *
 *   HEADER  a header is being received (or none has begun)   deadline
 *   BODY    its body is                                      deadline
 *   WORK    the request is being answered          watched for the client
 *           leaving (EPOLLRDHUP): libmicrohttpd does not look at the socket
 *           of a suspended connection
 *
 * A connection past its deadline has its socket shut down, which
 * libmicrohttpd sees as the client leaving. When there are more connections
 * than allowed, the one that has been in HEADER for longest goes.
 *
 * Invariants
 *  1. A connection is in the table from libmicrohttpd's STARTED to its CLOSED,
 *     which comes before the descriptor is closed: under the table's lock a
 *     descriptor is always the connection's own.
 *  2. Events of the watcher carry slot and generation, so a late one finds
 *     either its connection or nothing. */
#ifndef QN_SERVER_CONNS_H
#define QN_SERVER_CONNS_H

#include "base/err.h"
#include "server/call.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct qn_conns qn_conns;
typedef struct qn_conn qn_conn;

int qn_conns_new(qn_conns **out, struct qn_server *srv, qn_err *err);
/* After the daemons have stopped. */
void qn_conns_free(qn_conns *c);

/* I/O threads. NULL when there is no room for one more. */
qn_conn *qn_conns_open(qn_conns *c, int fd);
void qn_conns_close(qn_conns *c, qn_conn *conn);
void qn_conns_header(qn_conns *c, qn_conn *conn); /* waits for the next one */
void qn_conns_body(qn_conns *c, qn_conn *conn);
void qn_conns_work(qn_conns *c, qn_conn *conn, qn_call *call);

int qn_conns_count(qn_conns *c);
/* Cuts every connection off: what is in WORK breaks. */
void qn_conns_cut_all(qn_conns *c);

#endif
