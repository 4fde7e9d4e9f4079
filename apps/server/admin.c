/* admin.c - routes of the admin socket, a file that only its owner may use. */
#include "base/cpu.h"
#include "base/json.h"
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/server_int.h"

static void reply(qn_call *call, qn_str *out)
{
    qn_call_reply(call, 200, "application/json", out);
}

static const char *truth(bool v)
{
    return v ? "true" : "false";
}

static void add_text(qn_str *out, const char *s)
{
    if (s)
        qn_jsonout_cstr(out, s);
    else
        qn_str_adds(out, "null");
}

static void add_setting(const qn_settings *set, const qn_setting *row,
                        qn_str *out)
{
    const void *at = (const char *)set + row->offset;
    qn_str_addf(out, ",\"%s\":", row->name);
    switch (row->kind) {
    case QN_SETTING_TEXT:
    case QN_SETTING_FILE: add_text(out, *(char *const *)at); break;
    case QN_SETTING_INT:
    case QN_SETTING_SIZE:
        qn_str_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case QN_SETTING_REAL: qn_jsonout_real(out, *(const double *)at); break;
    case QN_SETTING_FLAG: qn_str_adds(out, truth(*(const bool *)at)); break;
    }
}

/* Under the names of the options, with what the server made of them. */
static void add_settings(const qn_server *srv, int64_t n_ctx, qn_str *out)
{
    const qn_engine_params *e = &srv->engine;
    int n = srv->open.n_threads ? srv->open.n_threads : qn_cpu_get()->n_cores;
    qn_str_addf(out,
                "{\"threads\":%d,\"context\":%lld,\"batch-size\":%d,"
                "\"chunk-size\":%d,\"max-prompt-rows\":%d,\"speculate\":%d,"
                "\"overcommit\":%s,\"swap-space\":%llu,"
                "\"prefix-caching\":%s,\"max-step-time\":",
                n, (long long)(n_ctx ? n_ctx : e->n_ctx), e->max_seqs,
                e->max_batch, e->max_prompt_rows, e->speculate,
                truth(e->overcommit), (unsigned long long)e->swap_bytes,
                truth(e->prefix_cache));
    qn_jsonout_real(out, e->max_step_ms * 1e-3);
    qn_settings now = srv->set;
    now.port = srv->port;
    now.log_level = qn_accesslog_get_level(srv->log);
    if (srv->max_model_len)
        now.max_model_len = srv->max_model_len;
    for (size_t i = 0; i < qn_setting_n_rows; i++)
        add_setting(&now, &qn_setting_rows[i], out);
    qn_str_addc(out, '}');
}

void qn_admin_status(qn_call *call)
{
    qn_server *srv = call->srv;
    qn_runner_stats s;
    bool loaded = srv->loaded;
    qn_runner_get_stats(srv->runner, &s);
    qn_str out = {0};
    qn_str_addf(&out, "{\"loaded\":%s,\"model\":", truth(loaded));
    add_text(&out, loaded ? srv->name : NULL);
    qn_str_adds(&out, ",\"path\":");
    add_text(&out, loaded ? srv->path : NULL);
    qn_str_addf(&out,
                ",\"draining\":%s,\"failing\":%s,\"connections\":%d,"
                "\"calls\":%d,"
                "\"running\":%d,\"waiting\":%d,\"kv_pages\":%lld,"
                "\"kv_pages_used\":%lld,\"kv_pages_cached\":%lld,"
                "\"body_bytes\":%zu,\"settings\":",
                truth(qn_server_draining(srv)), truth(qn_server_failing(srv)),
                qn_conns_count(srv->conns), atomic_load(&srv->n_calls),
                s.engine.n_running, qn_runner_waiting(srv->runner),
                (long long)s.engine.n_pages, (long long)s.engine.n_pages_used,
                (long long)s.engine.n_pages_cached,
                atomic_load(&srv->body_used));
    add_settings(srv, s.engine.n_ctx, &out);
    qn_str_addc(&out, '}');
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
