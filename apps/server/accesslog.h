/* accesslog.h - one JSON line per request, and the server's own messages.
 * Prompts are never written unless --log-prompts asks for it. Thread-safe. */
#ifndef QN_SERVER_ACCESSLOG_H
#define QN_SERVER_ACCESSLOG_H

#include "base/err.h"
#include "server/call.h"

typedef struct qn_accesslog qn_accesslog;

/* path "-": standard error; "none" or NULL: no log of requests. */
int qn_accesslog_new(qn_accesslog **out, const char *path, qn_err *err);
void qn_accesslog_free(qn_accesslog *log);
/* Levels 0 error .. 3 debug; those above are not written. */
void qn_accesslog_level(qn_accesslog *log, int level);
int qn_accesslog_get_level(const qn_accesslog *log);
/* Lines of requests that could not be written: a full disk stops nobody. */
uint64_t qn_accesslog_lost(const qn_accesslog *log);
void qn_accesslog_request(qn_accesslog *log, qn_call *call, bool whole);
void qn_accesslog_say(qn_accesslog *log, int level, const char *fmt, ...)
    QN_PRINTF(3, 4);

#endif
