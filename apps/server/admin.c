/* admin.c - routes of the admin socket, a file that only its owner may use. */
#include "base/json.h"
#include "server/handlers.h"
#include "server/server_int.h"

static void reply(qn_call *call, qn_str *out)
{
    qn_call_reply(call, 200, "application/json", out);
}

void qn_admin_status(qn_call *call)
{
    qn_runner_stats s;
    qn_runner_get_stats(call->srv->runner, &s);
    qn_str out = {0};
    qn_str_addf(&out,
                "{\"loaded\":%s,\"draining\":%s,\"connections\":%d,"
                "\"calls\":%d,"
                "\"running\":%d,\"waiting\":%d,\"kv_pages\":%lld,"
                "\"kv_pages_used\":%lld,\"kv_pages_cached\":%lld,"
                "\"body_bytes\":%zu}",
                call->srv->loaded ? "true" : "false",
                qn_server_draining(call->srv) ? "true" : "false",
                qn_conns_count(call->srv->conns),
                atomic_load(&call->srv->n_calls), s.engine.n_running,
                qn_runner_waiting(call->srv->runner),
                (long long)s.engine.n_pages, (long long)s.engine.n_pages_used,
                (long long)s.engine.n_pages_cached,
                atomic_load(&call->srv->body_used));
    reply(call, &out);
}

void qn_admin_drain(qn_call *call)
{
    qn_server_drain(call->srv);
    qn_admin_status(call);
}

void qn_admin_unload(qn_call *call)
{
    qn_reload_unload(call->srv);
    qn_accesslog_say(call->srv->log, 2, "the model is unloaded");
    qn_admin_status(call);
}

/* A member that is not understood is refused, not ignored; *other is it. */
static int only(const json_t *doc, const char *known, const char **other,
                qn_err *err)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)doc, name, v)
    {
        if (strcmp(name, known) == 0)
            continue;
        *other = name;
        return qn_fail(err, QN_EINVAL,
                       "unknown field \"%.100s\": the body has %s and nothing "
                       "else",
                       name, known);
    }
    return 0;
}

static int read_path(const json_t *doc, const char **path, qn_err *err)
{
    int rc = qn_json_str(doc, "model", path, "request", err);
    return rc ? rc : qn_fail(err, QN_EINVAL, "request: model is missing");
}

void qn_admin_load(qn_call *call)
{
    qn_err err;
    json_t *doc = NULL;
    const char *path = NULL, *param = "model";
    int rc = qn_call_json(call, &doc, &err);
    if (rc == 0)
        rc = only(doc, "model", &param, &err);
    if (rc == 0)
        rc = read_path(doc, &path, &err);
    if (rc < 0) {
        qn_call_fail(call, 400, NULL, param, "%s", err.msg);
    } else if (call->srv->loaded) {
        qn_call_fail(call, 409, "model_loaded", NULL,
                     "a model is loaded; POST /admin/unload first");
    } else if (qn_reload_model(call->srv, path, &err) < 0) {
        qn_accesslog_say(call->srv->log, 0, "nothing is loaded: %s", err.msg);
        qn_call_fail(call, 400, "load_failed", "model", "%s", err.msg);
    } else {
        qn_accesslog_say(call->srv->log, 2, "%s is loaded", path);
        qn_admin_status(call);
    }
    json_decref(doc);
}

void qn_admin_reload(qn_call *call)
{
    qn_err err;
    if (qn_server_reload(call->srv, &err) < 0)
        qn_call_fail(call, 500, "reload_failed", NULL, "%s", err.msg);
    else
        qn_admin_status(call);
}

void qn_admin_log_level(qn_call *call)
{
    qn_err err;
    json_t *doc = NULL;
    const char *param = "level";
    int64_t level = -1;
    if (qn_call_json(call, &doc, &err) < 0 ||
        only(doc, "level", &param, &err) < 0 ||
        qn_json_i64(doc, "level", &level, "request", &err) < 0) {
        qn_call_fail(call, 400, NULL, param, "%s", err.msg);
    } else if (level < 0 || level > 3) {
        qn_call_fail(call, 400, NULL, "level", "level must be 0 to 3");
    } else {
        qn_accesslog_level(call->srv->log, (int)level);
        qn_admin_status(call);
    }
    json_decref(doc);
}
