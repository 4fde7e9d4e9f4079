/* tls.h - certificate and key of the HTTPS listener, which can be renewed
 * while the server runs. One per process: the library that asks for them
 * passes no context along. */
#ifndef QN_SERVER_TLS_H
#define QN_SERVER_TLS_H

#include "base/err.h"

typedef struct qn_tls qn_tls;
struct MHD_OptionItem;

int qn_tls_new(qn_tls **out, const char *cert, const char *key, qn_err *err);
/* After the daemon has stopped. */
void qn_tls_free(qn_tls *tls);
/* Reads both files again; on failure the old ones stay. Connections that are
 * open keep theirs. */
int qn_tls_reload(qn_tls *tls, qn_err *err);
/* Fills options (room for 2) and returns the daemon's flags. */
unsigned qn_tls_options(qn_tls *tls, struct MHD_OptionItem *items);

#endif
