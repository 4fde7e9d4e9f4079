/* call.c - see call.h. */
#include "server/call.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/gen.h"
#include "server/jsonout.h"
#include "server/server_int.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

qn_call *qn_call_new(struct qn_server *srv)
{
    qn_call *call = qn_xcalloc(1, sizeof *call);
    call->srv = srv;
    call->t_start = qn_now_ns();
    uint64_t n = atomic_fetch_add(&srv->next_id, 1);
    snprintf(call->id, sizeof call->id, "%08llx%08llx",
             (unsigned long long)(srv->id_seed & 0xffffffff),
             (unsigned long long)n);
    atomic_init(&call->refs, 1);
    atomic_init(&call->gone, false);
    pthread_mutex_init(&call->lock, NULL);
    return call;
}

void qn_call_ref(qn_call *call)
{
    atomic_fetch_add(&call->refs, 1);
}

void qn_call_unref(qn_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) > 1)
        return;
    qn_server_forget(call->srv, call);
    qn_gen_free(call->gen);
    qn_str_deinit(&call->body);
    qn_str_deinit(&call->out);
    pthread_mutex_destroy(&call->lock);
    free(call);
}

bool qn_call_name(qn_call *call, const char *id)
{
    size_t n = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");
    if (n == 0 || n >= sizeof call->id || id[n])
        return false;
    pthread_mutex_lock(&call->lock);
    if (!call->replied)
        memcpy(call->id, id, n + 1);
    pthread_mutex_unlock(&call->lock);
    return true;
}

/* Under lock. */
static void resume(qn_call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    MHD_resume_connection(call->conn);
}

void qn_call_reply(qn_call *call, int status, const char *type, qn_str *text)
{
    pthread_mutex_lock(&call->lock);
    if (!call->replied) {
        call->replied = call->done = true;
        call->status = status;
        call->content_type = type;
        qn_str_deinit(&call->out);
        call->out = *text;
        *text = (qn_str){0};
        resume(call);
    }
    pthread_mutex_unlock(&call->lock);
    qn_str_deinit(text);
}

static const char *error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

/* KServe's routes have errors of their own shape. */
static bool is_kserve(const qn_call *call)
{
    return qn_starts(call->target, "/v2") &&
           (call->target[3] == '/' || call->target[3] == 0);
}

static void add_field(qn_str *out, const char *name, const char *value)
{
    qn_str_addf(out, ",\"%s\":", name);
    if (value)
        qn_jsonout_cstr(out, value);
    else
        qn_str_adds(out, "null");
}

static void add_error(const qn_call *call, int status, const char *code,
                      const char *param, const char *message, qn_str *out)
{
    if (is_kserve(call)) {
        qn_str_adds(out, "{\"error\":");
        qn_jsonout_cstr(out, message);
        qn_str_addc(out, '}');
        return;
    }
    qn_str_adds(out, "{\"error\":{\"message\":");
    qn_jsonout_cstr(out, message);
    add_field(out, "type", error_type(status));
    add_field(out, "param", param);
    add_field(out, "code", code);
    qn_str_adds(out, "}}");
}

static void fail(qn_call *call, int status, const char *code, const char *param,
                 const char *fmt, va_list ap)
{
    qn_err err;
    qn_vfail(&err, QN_EINVAL, fmt, ap); /* one clean line, bounded */
    qn_str text = {0};
    pthread_mutex_lock(&call->lock);
    bool in_stream = call->replied && call->stream && !call->done;
    if (in_stream)
        call->error = code ? code : error_type(status);
    pthread_mutex_unlock(&call->lock);
    if (in_stream)
        qn_str_adds(&text, "data: ");
    add_error(call, status, code, param, err.msg, &text);
    if (!in_stream) {
        qn_call_reply(call, status, "application/json", &text);
        return;
    }
    qn_str_adds(&text, "\n\n");
    qn_call_write(call, text.p, text.n);
    qn_str_deinit(&text);
    qn_call_end(call);
}

void qn_call_fail(qn_call *call, int status, const char *code,
                  const char *param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(call, status, code, param, fmt, ap);
    va_end(ap);
}

void qn_call_break(qn_call *call, const char *why)
{
    qn_accesslog_say(call->srv->log, 0, "request %s: %s", call->id, why);
    qn_call_fail(call, 500, "engine_failed", NULL,
                 "the engine failed; the server's log says why (request %s)",
                 call->id);
}

int qn_call_json(const qn_call *call, json_t **doc, qn_err *err)
{
    return qn_json_parse(doc, call->body.p ? call->body.p : "", call->body.n,
                         "request", err);
}

bool qn_call_serves(qn_call *call, const char *name)
{
    if (strcmp(name, call->srv->name) == 0)
        return true;
    qn_call_fail(call, 404, "model_not_found", "model",
                 "model \"%.100s\" is not served here; this server has "
                 "\"%.200s\"",
                 name, call->srv->name);
    return false;
}

void qn_call_retry(qn_call *call, int status, int seconds, const char *fmt, ...)
{
    pthread_mutex_lock(&call->lock);
    call->retry_after = seconds;
    pthread_mutex_unlock(&call->lock);
    va_list ap;
    va_start(ap, fmt);
    fail(call, status, status == 429 ? "rate_limit_exceeded" : "unavailable",
         NULL, fmt, ap);
    va_end(ap);
}

void qn_call_stream(qn_call *call)
{
    pthread_mutex_lock(&call->lock);
    if (!call->replied) {
        call->replied = call->stream = true;
        call->status = 200;
        call->content_type = "text/event-stream; charset=utf-8";
        call->t_write = qn_now_ns();
        resume(call);
    }
    pthread_mutex_unlock(&call->lock);
}

bool qn_call_write(qn_call *call, const char *p, size_t n)
{
    if (atomic_load(&call->gone))
        return false;
    pthread_mutex_lock(&call->lock);
    if (!call->done) {
        if (call->taken == call->out.n) {
            qn_str_clear(&call->out);
            call->taken = 0;
        }
        qn_str_add(&call->out, p, n);
        call->t_write = qn_now_ns();
        if (!call->t_blocked &&
            call->out.n - call->taken > (size_t)call->srv->set.stream_buffer)
            call->t_blocked = call->t_write;
        resume(call);
    }
    pthread_mutex_unlock(&call->lock);
    return true;
}

void qn_call_end(qn_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->done = true;
    resume(call);
    pthread_mutex_unlock(&call->lock);
}

void qn_call_left(qn_call *call)
{
    if (atomic_exchange(&call->gone, true))
        return;
    pthread_mutex_lock(&call->lock);
    call->broken = true;
    resume(call);
    pthread_mutex_unlock(&call->lock);
    qn_server_wake(call->srv);
}

bool qn_call_behind(qn_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool behind = call->t_blocked != 0;
    pthread_mutex_unlock(&call->lock);
    return behind;
}

void qn_call_keep_alive(qn_call *call, uint64_t t)
{
    pthread_mutex_lock(&call->lock);
    bool silent = call->stream && !call->done && call->t_write < t &&
                  call->taken == call->out.n;
    pthread_mutex_unlock(&call->lock);
    if (silent)
        qn_call_write(call, ": keep-alive\n\n", 14);
}
