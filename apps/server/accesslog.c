/* accesslog.c - see accesslog.h. */
#include "server/accesslog.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/auth.h"
#include "server/jsonout.h"
#include "server/server_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOG_BODY_MAX 4096

struct qn_accesslog {
    int fd; /* of requests; -1: none */
    atomic_int level;
    atomic_uint_fast64_t lost; /* lines of requests */

    pthread_mutex_t lock;
    uint64_t lost_before; /* when lines were last written */
    bool torn;            /* the last one was written in part */
};

int qn_accesslog_new(qn_accesslog **out, const char *path, qn_err *err)
{
    qn_accesslog *log = qn_xcalloc(1, sizeof *log);
    log->fd = -1;
    atomic_init(&log->level, 2);
    pthread_mutex_init(&log->lock, NULL);
    if (path && (!*path || strcmp(path, "none") == 0))
        path = NULL;
    if (path && strcmp(path, "-") == 0)
        log->fd = STDERR_FILENO;
    else if (path)
        log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (path && log->fd < 0) {
        pthread_mutex_destroy(&log->lock);
        free(log);
        return qn_fail(err, QN_EIO, "access log %s: %s", path, strerror(errno));
    }
    *out = log;
    return 0;
}

void qn_accesslog_free(qn_accesslog *log)
{
    if (!log)
        return;
    if (log->fd > STDERR_FILENO)
        close(log->fd);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void qn_accesslog_level(qn_accesslog *log, int level)
{
    atomic_store(&log->level, level);
}

int qn_accesslog_get_level(const qn_accesslog *log)
{
    return atomic_load(&log->level);
}

uint64_t qn_accesslog_lost(const qn_accesslog *log)
{
    return atomic_load(&log->lost);
}

/* One write per line: lines of several threads do not mix. 0, or why it could
 * not be written. Under lock. */
static int put(qn_accesslog *log, const qn_str *line)
{
    struct iovec v[] = {{"\n", log->torn}, {line->p, line->n}};
    size_t whole = log->torn + line->n;
    ssize_t n = writev(log->fd, v, QN_COUNTOF(v));
    if (n > 0)
        log->torn = (size_t)n < whole && !(log->torn && n == 1);
    if (n < 0)
        return errno;
    return (size_t)n < whole ? ENOSPC : 0;
}

/* A log that cannot be written says so in the other one, when that begins and
 * when it is over. */
static void put_or_say(qn_accesslog *log, const qn_str *line)
{
    pthread_mutex_lock(&log->lock);
    int why = put(log, line);
    uint64_t lost = atomic_load(&log->lost) - log->lost_before;
    if (why)
        atomic_fetch_add(&log->lost, 1);
    else
        log->lost_before += lost;
    pthread_mutex_unlock(&log->lock);
    if (why && !lost)
        qn_accesslog_say(log, 0, "access log: lines are being lost: %s",
                         strerror(why));
    if (!why && lost)
        qn_accesslog_say(log, 0,
                         "access log: lines are written again; %llu were lost",
                         (unsigned long long)lost);
}

static void add_time(qn_str *out)
{
    struct timespec ts;
    struct tm tm;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    qn_str_addf(out, "{\"time\":\"%s.%03ldZ\"", text, ts.tv_nsec / 1000000);
}

static void add_text(qn_str *out, const char *name, const char *value)
{
    qn_str_addf(out, ",\"%s\":", name);
    qn_jsonout_cstr(out, value);
}

/* Balancers and Prometheus ask for these all the time; of interest when the
 * answer is another than that all is well. */
static bool probe(const qn_call *call)
{
    static const char *const paths[] = {"/health", "/ready", "/metrics",
                                        "/v2/health/live", "/v2/health/ready"};
    for (size_t i = 0; call->status == 200 && i < QN_COUNTOF(paths); i++)
        if (strcmp(call->target, paths[i]) == 0)
            return true;
    return false;
}

void qn_accesslog_request(qn_accesslog *log, qn_call *call, bool whole)
{
    if (log->fd < 0 || atomic_load(&log->level) < (probe(call) ? 3 : 2))
        return;
    qn_str line = {0};
    char key[64];
    qn_auth_name(call->srv->auth, call->tenant, key, sizeof key);
    add_time(&line);
    add_text(&line, "id", call->id);
    add_text(&line, "key", key);
    add_text(&line, "method", call->method);
    add_text(&line, "path", call->target);
    qn_str_addf(&line, ",\"status\":%d,\"ms\":%.1f", call->status,
                qn_ms_since(call->t_start));
    if (!whole)
        qn_str_adds(&line, ",\"cut\":true");
    pthread_mutex_lock(&call->lock);
    int n_prompt = call->n_prompt, n_completion = call->n_completion;
    const char *error = call->error;
    pthread_mutex_unlock(&call->lock);
    if (error)
        add_text(&line, "error", error);
    if (n_prompt)
        qn_str_addf(&line, ",\"prompt_tokens\":%d,\"completion_tokens\":%d",
                    n_prompt, n_completion);
    if (call->srv->set.log_prompts && call->dispatched && call->body.n) {
        qn_str_adds(&line, ",\"body\":");
        qn_jsonout_str(&line, call->body.p,
                       QN_MIN(call->body.n, (size_t)LOG_BODY_MAX));
    }
    qn_str_adds(&line, "}\n");
    put_or_say(log, &line);
    qn_str_deinit(&line);
}

void qn_accesslog_say(qn_accesslog *log, int level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > atomic_load(&log->level))
        return;
    qn_err text;
    va_list ap;
    va_start(ap, fmt);
    qn_vfail(&text, QN_EINVAL, fmt, ap);
    va_end(ap);
    qn_str line = {0};
    add_time(&line);
    add_text(&line, "level", names[level]);
    add_text(&line, "message", text.msg);
    qn_str_adds(&line, "}\n");
    ssize_t n = write(STDERR_FILENO, line.p, line.n);
    (void)n; /* there is nowhere else to say it */
    qn_str_deinit(&line);
}
