/* openai.c - /v1/completions and /v1/chat/completions: how they are spelled.
 *
 * A stream is a sequence of `data: {json}` events: for chats first a chunk
 * with the role, then one per piece of text, one with the finish reason, one
 * with the usage if asked for, `data: [DONE]`. A whole answer is collected in
 * the choices and written at the end. */
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/logprobs.h"
#include "server/server_int.h"

#include <stdlib.h>

static bool is_chat(const qn_gen *g)
{
    return g->style->route == QN_FIELD_CHAT;
}

/* {"id":...,"model":..., */
static void add_head(const qn_gen *g, const char *object, qn_str *out)
{
    qn_str_addf(out, "{\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":%lld,",
                is_chat(g) ? "chatcmpl" : "cmpl", g->call->id, object,
                (long long)g->created);
    qn_str_adds(out, "\"model\":");
    qn_jsonout_cstr(out, g->call->srv->name);
    qn_str_addf(out, ",\"system_fingerprint\":\"quern-%s\",", qn_version());
}

static void add_finish(qn_finish f, qn_str *out)
{
    const char *name = qn_gen_finish_name(f);
    qn_str_adds(out, ",\"finish_reason\":");
    if (name)
        qn_str_addf(out, "\"%s\"", name);
    else
        qn_str_adds(out, "null");
}

/* ---- streams ----------------------------------------------------------- */

static void chunk_begin(const qn_gen *g, qn_str *out)
{
    qn_str_adds(out, "data: ");
    add_head(g, is_chat(g) ? "chat.completion.chunk" : "text_completion", out);
    qn_str_adds(out, "\"choices\":[");
}

static void chunk_end(const qn_gen *g, qn_str *out)
{
    qn_str_addc(out, ']');
    if (g->f.continuous_usage || g->f.include_usage) {
        qn_str_adds(out, ",\"usage\":");
        if (g->f.continuous_usage)
            qn_gen_usage(g, out);
        else
            qn_str_adds(out, "null");
    }
    qn_str_adds(out, "}\n\n");
}

static void add_ids(const qn_gen *g, const qn_event *ev, qn_str *out)
{
    if (!g->f.return_ids || !ev)
        return;
    qn_str_adds(out, ",\"token_ids\":");
    qn_jsonout_ids(out, &ev->id, ev->id >= 0);
}

/* One chunk. `text` NULL: none of it (the chunk of the finish). */
static void add_chunk(qn_gen *g, qn_choice *c, const char *text, size_t n,
                      const qn_event *ev, qn_finish finish, qn_str *out)
{
    chunk_begin(g, out);
    qn_str_addf(out, "{\"index\":%d", qn_gen_number(g, c));
    if (is_chat(g)) {
        qn_str_adds(out, ",\"delta\":{");
        if (text) {
            qn_str_adds(out, "\"content\":");
            qn_jsonout_str(out, text, n);
        }
        qn_str_addc(out, '}');
    } else {
        qn_str_adds(out, ",\"text\":");
        qn_jsonout_str(out, text ? text : "", n);
    }
    qn_str_adds(out, ",\"logprobs\":");
    if (g->f.want_logprobs && ev && ev->id >= 0)
        qn_logprobs_one(g, c, ev, out);
    else
        qn_str_adds(out, "null");
    add_finish(finish, out);
    add_ids(g, ev, out);
    qn_str_addc(out, '}');
    chunk_end(g, out);
}

static void stream_begin(qn_gen *g, qn_str *out)
{
    for (int i = 0; i < g->n_choices; i++) {
        qn_choice *c = &g->choices[i];
        const qn_prompt *q = &g->prompts[c->prompt];
        if (g->f.echo)
            add_chunk(g, c, q->text, q->text_len, NULL, QN_FINISH_NONE, out);
        if (!is_chat(g))
            continue;
        chunk_begin(g, out);
        qn_str_addf(out,
                    "{\"index\":%d,\"delta\":{\"role\":\"assistant\","
                    "\"content\":\"\"},\"logprobs\":null,"
                    "\"finish_reason\":null}",
                    qn_gen_number(g, c));
        chunk_end(g, out);
    }
}

static void stream_end(qn_gen *g, qn_str *out)
{
    if (g->f.include_usage) {
        qn_str_adds(out, "data: ");
        add_head(g, is_chat(g) ? "chat.completion.chunk" : "text_completion",
                 out);
        qn_str_adds(out, "\"choices\":[],\"usage\":");
        qn_gen_usage(g, out);
        qn_str_adds(out, "}\n\n");
    }
    qn_str_adds(out, "data: [DONE]\n\n");
}

/* ---- whole answers ----------------------------------------------------- */

static void keep(qn_gen *g, qn_choice *c, const qn_event *ev)
{
    qn_str_add(&c->text, ev->text, ev->text_len);
    if (ev->id < 0)
        return;
    if (g->f.want_logprobs)
        qn_logprobs_keep(g, c, ev);
    if (g->f.return_ids)
        qn_str_addf(&c->ids, c->ids.n ? ",%d" : "%d", (int)ev->id);
}

static void event(qn_gen *g, qn_choice *c, const qn_event *ev, qn_str *out)
{
    if (!g->f.stream) {
        keep(g, c, ev);
        return;
    }
    bool says = ev->text_len > 0 ||
                (ev->id >= 0 && (g->f.want_logprobs || g->f.return_ids));
    if (says)
        add_chunk(g, c, ev->text, ev->text_len, ev, QN_FINISH_NONE, out);
    if (ev->finish != QN_FINISH_NONE)
        add_chunk(g, c, NULL, 0, NULL, ev->finish, out);
}

static void add_choice(qn_gen *g, int i, qn_str *out)
{
    qn_choice *c = qn_gen_shown(g, i);
    const qn_prompt *q = &g->prompts[c->prompt];
    const char *text = c->text.p ? c->text.p : "";
    qn_str_addf(out, "%s{\"index\":%d", i ? "," : "", i);
    if (is_chat(g)) {
        qn_str_adds(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
        qn_jsonout_str(out, text, c->text.n);
        qn_str_adds(out, ",\"refusal\":null}");
    } else {
        qn_str echo = {0};
        if (g->f.echo)
            qn_str_add(&echo, q->text, q->text_len);
        qn_str_add(&echo, text, c->text.n);
        qn_str_adds(out, ",\"text\":");
        qn_jsonout_str(out, echo.p, echo.n);
        qn_str_deinit(&echo);
    }
    qn_str_adds(out, ",\"logprobs\":");
    if (g->f.want_logprobs)
        qn_logprobs_all(g, c, out);
    else
        qn_str_adds(out, "null");
    add_finish(c->finish, out);
    if (g->f.return_ids)
        qn_str_addf(out, ",\"token_ids\":[%s]", c->ids.p ? c->ids.p : "");
    if (g->f.return_ids && !is_chat(g)) {
        qn_str_adds(out, ",\"prompt_token_ids\":");
        qn_jsonout_ids(out, q->ids, q->n);
    }
    qn_str_addc(out, '}');
}

static void whole(qn_gen *g, qn_str *out)
{
    add_head(g, is_chat(g) ? "chat.completion" : "text_completion", out);
    qn_str_adds(out, "\"choices\":[");
    for (int i = 0; i < g->n_prompts * g->n_shown; i++)
        add_choice(g, i, out);
    qn_str_adds(out, "],\"usage\":");
    qn_gen_usage(g, out);
    if (g->f.return_ids && is_chat(g)) {
        qn_str_adds(out, ",\"prompt_token_ids\":");
        qn_jsonout_ids(out, g->prompts[0].ids, g->prompts[0].n);
    }
    qn_str_addc(out, '}');
}

static const qn_style completions = {.route = QN_FIELD_COMPLETION,
                                     .add_special = true,
                                     .begin = stream_begin,
                                     .event = event,
                                     .end = stream_end,
                                     .whole = whole};
static const qn_style chats = {.route = QN_FIELD_CHAT,
                               .add_special = false,
                               .begin = stream_begin,
                               .event = event,
                               .end = stream_end,
                               .whole = whole};

void qn_openai_completions(qn_call *call)
{
    if (qn_gen_prepare(call, &completions, false))
        qn_runner_push(call->srv->runner, call);
}

void qn_openai_chat(qn_call *call)
{
    if (qn_gen_prepare(call, &chats, false))
        qn_runner_push(call->srv->runner, call);
}
