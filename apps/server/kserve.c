/* kserve.c - the KServe v2 / Triton routes: metadata, health, generate.
 *
 * generate takes {"text_input": "...", "parameters": {...}} with the fields of
 * a completion as parameters. */
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/server_int.h"

static void reply(qn_call *call, int status, qn_str *text)
{
    qn_call_reply(call, status, "application/json", text);
}

void qn_kserve_server(qn_call *call)
{
    qn_str out = {0};
    qn_str_addf(&out,
                "{\"name\":\"quern\",\"version\":\"%s\","
                "\"extensions\":[\"generate\"]}",
                qn_version());
    reply(call, 200, &out);
}

void qn_kserve_live(qn_call *call)
{
    qn_str out = {0};
    bool live = !qn_server_failing(call->srv);
    qn_str_addf(&out, "{\"live\":%s}", live ? "true" : "false");
    reply(call, live ? 200 : 503, &out);
}

void qn_kserve_ready(qn_call *call)
{
    bool ready = qn_server_ready(call->srv);
    qn_str out = {0};
    qn_str_addf(&out, "{\"ready\":%s}", ready ? "true" : "false");
    reply(call, ready ? 200 : 503, &out);
}

void qn_kserve_model_ready(qn_call *call)
{
    if (!qn_call_serves(call, call->arg))
        return;
    bool ready = qn_server_ready(call->srv);
    qn_str out = {0};
    qn_str_adds(&out, "{\"name\":");
    qn_jsonout_cstr(&out, call->srv->name);
    qn_str_addf(&out, ",\"ready\":%s}", ready ? "true" : "false");
    reply(call, ready ? 200 : 503, &out);
}

void qn_kserve_model(qn_call *call)
{
    if (!qn_call_serves(call, call->arg))
        return;
    qn_str out = {0};
    qn_str_adds(&out, "{\"name\":");
    qn_jsonout_cstr(&out, call->srv->name);
    qn_str_adds(&out,
                ",\"versions\":[\"1\"],\"platform\":\"quern\",\"inputs\":["
                "{\"name\":\"text_input\",\"datatype\":\"BYTES\","
                "\"shape\":[1]}],\"outputs\":[{\"name\":\"text_output\","
                "\"datatype\":\"BYTES\",\"shape\":[1]}]}");
    reply(call, 200, &out);
}

/* ---- generate ---------------------------------------------------------- */

static void add_answer(qn_gen *g, const char *text, size_t n, qn_finish f,
                       qn_str *out)
{
    const char *why = qn_gen_finish_name(f);
    qn_str_addc(out, '{');
    if (g->f.id) {
        qn_str_adds(out, "\"id\":");
        qn_jsonout_cstr(out, g->f.id);
        qn_str_addc(out, ',');
    }
    qn_str_adds(out, "\"model_name\":");
    qn_jsonout_cstr(out, g->call->srv->name);
    qn_str_adds(out, ",\"model_version\":\"1\",\"text_output\":");
    qn_jsonout_str(out, text, n);
    if (why)
        qn_str_addf(out, ",\"finish_reason\":\"%s\"", why);
    qn_str_addc(out, '}');
}

static void begin(qn_gen *g, qn_str *out)
{
    (void)g;
    (void)out;
}

static void event(qn_gen *g, qn_choice *c, const qn_event *ev, qn_str *out)
{
    if (!g->f.stream) {
        qn_str_add(&c->text, ev->text, ev->text_len);
        return;
    }
    if (ev->text_len == 0 && ev->finish == QN_FINISH_NONE)
        return;
    qn_str_adds(out, "data: ");
    add_answer(g, ev->text, ev->text_len, ev->finish, out);
    qn_str_adds(out, "\n\n");
}

static void whole(qn_gen *g, qn_str *out)
{
    qn_choice *c = &g->choices[0];
    add_answer(g, c->text.p ? c->text.p : "", c->text.n, c->finish, out);
}

static int refuse(qn_gen *g, qn_err *err, const char *field, const char *why)
{
    g->f.param = field;
    return qn_fail(err, QN_EINVAL, "field %s: %s", field, why);
}

/* Everything but the text stands in an object of its own. Two fields of
 * Triton's say what the route says, or what is so in any case. */
static int ask(qn_gen *g, json_t *doc, qn_err *err)
{
    json_t *more = json_object_get(doc, "parameters");
    const char *name;
    json_t *v;
    json_object_foreach(more, name, v)
    {
        const json_t *beside = json_object_get(doc, name);
        if (json_is_null(v))
            continue;
        if (beside && !json_is_null(beside)) {
            g->f.param = qn_arena_strndup(&g->f.mem, name,
                                          QN_MIN(strlen(name), (size_t)100));
            return qn_fail(err, QN_EINVAL,
                           "field %s: stands in parameters and beside them",
                           g->f.param);
        }
        json_object_set(doc, name, v);
    }
    if (json_is_object(more))
        json_object_del(doc, "parameters");
    if (json_is_true(json_object_get(doc, "stream")) && !g->f.stream)
        return refuse(g, err, "stream",
                      "this route gives one answer; generate_stream gives "
                      "events");
    if (json_is_false(json_object_get(doc, "exclude_input_in_output")))
        return refuse(g, err, "exclude_input_in_output",
                      "the output is what was written, without the input");
    json_object_del(doc, "stream");
    json_object_del(doc, "exclude_input_in_output");
    return 0;
}

static const qn_style style = {.route = QN_FIELD_KSERVE,
                               .input = "text_input",
                               .ask = ask,
                               .add_special = true,
                               .begin = begin,
                               .event = event,
                               .end = begin,
                               .whole = whole};

static void generate(qn_call *call, bool stream)
{
    if (qn_call_serves(call, call->arg) && qn_gen_prepare(call, &style, stream))
        qn_runner_push(call->srv->runner, call);
}

void qn_kserve_generate(qn_call *call)
{
    generate(call, false);
}

void qn_kserve_generate_stream(qn_call *call)
{
    generate(call, true);
}
