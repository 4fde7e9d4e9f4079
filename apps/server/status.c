/* status.c - what the server says of itself. */
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/server_int.h"

#define JSON "application/json"

/* Alive: the I/O thread answers, and what it would answer is not only errors. */
void qn_status_health(qn_call *call)
{
    bool failing = qn_server_failing(call->srv);
    qn_str out = {0};
    qn_str_addf(&out, "{\"status\":\"%s\"}", failing ? "failing" : "ok");
    qn_call_reply(call, failing ? 503 : 200, JSON, &out);
}

/* A model is loaded and nobody drains. */
void qn_status_ready(qn_call *call)
{
    bool draining = qn_server_draining(call->srv);
    bool ready = qn_server_ready(call->srv);
    qn_str out = {0};
    qn_str_addf(&out, "{\"status\":\"%s\"}",
                ready                          ? "ready"
                : draining                     ? "draining"
                : qn_server_failing(call->srv) ? "failing"
                                               : "no model");
    qn_call_reply(call, ready ? 200 : 503, JSON, &out);
}

void qn_status_version(qn_call *call)
{
    qn_str out = {0};
    qn_str_addf(&out, "{\"version\":\"%s\"}", qn_version());
    qn_call_reply(call, 200, JSON, &out);
}

void qn_status_metrics(qn_call *call)
{
    qn_str out = {0};
    qn_metrics_write(call->srv, &out);
    qn_call_reply(call, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static void add_model(qn_server *srv, qn_str *out)
{
    qn_str_adds(out, "{\"id\":");
    qn_jsonout_cstr(out, srv->name);
    qn_str_addf(out,
                ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"quern\","
                "\"max_model_len\":%lld}",
                (long long)srv->created, (long long)srv->max_model_len);
}

void qn_status_models(qn_call *call)
{
    qn_str out = {0};
    qn_str_adds(&out, "{\"object\":\"list\",\"data\":[");
    if (call->srv->loaded)
        add_model(call->srv, &out);
    qn_str_adds(&out, "]}");
    qn_call_reply(call, 200, JSON, &out);
}

void qn_status_model(qn_call *call)
{
    if (!call->srv->loaded || strcmp(call->arg, call->srv->name) != 0) {
        qn_call_fail(call, 404, "model_not_found", "model",
                     "model \"%s\" is not served here; this server has \"%s\"",
                     call->arg, call->srv->name);
        return;
    }
    qn_str out = {0};
    add_model(call->srv, &out);
    qn_call_reply(call, 200, JSON, &out);
}
