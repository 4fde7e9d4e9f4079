/* log.c - the log callback.
 *
 * The pair (function, user) is copied under a lock and called outside of it,
 * so that a callback may log or replace itself. A silent library pays one
 * atomic load per line. */
#include "base/log.h"

#include "base/err_int.h"
#include "quern.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static qn_log_fn log_fn;
static void *log_user;
static atomic_bool log_on;

void qn_set_log(qn_log_fn fn, void *user)
{
    pthread_mutex_lock(&log_lock);
    log_fn = fn;
    log_user = user;
    atomic_store_explicit(&log_on, fn != NULL, memory_order_relaxed);
    pthread_mutex_unlock(&log_lock);
}

void qn_log(int level, const char *fmt, ...)
{
    if (!atomic_load_explicit(&log_on, memory_order_relaxed))
        return;
    pthread_mutex_lock(&log_lock);
    qn_log_fn fn = log_fn;
    void *user = log_user;
    pthread_mutex_unlock(&log_lock);
    if (!fn)
        return;

    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    qn_format_line(line, sizeof line, fmt, ap);
    va_end(ap);
    fn(user, level, line);
}
