/* openai.c - /v1/completions and /v1/chat/completions: how they are spelled.
 *
 * A stream is a sequence of `data: {json}` events: for chats first a chunk
 * with the role, then one per piece of text, one with the finish reason, one
 * with the usage if asked for, `data: [DONE]`. A whole answer is collected in
 * the choices and written at the end. With tools, text goes through a parser
 * first (toolcall.h), whose findings are what is streamed or collected. */
#include "server/gen_tools.h"
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

static void add_finish(const qn_gen *g, const qn_choice *c, qn_finish f,
                       qn_str *out)
{
    const char *name = qn_gen_finish_name(f);
    if (f == QN_FINISH_STOP && c->parser && qn_toolcall_count(c->parser) > 0)
        name = "tool_calls";
    qn_str_adds(out, ",\"finish_reason\":");
    if (name)
        qn_str_addf(out, "\"%s\"", name);
    else
        qn_str_adds(out, "null");
    if (!name)
        return;
    qn_str_adds(out, ",\"stop_reason\":");
    qn_gen_stop_reason(g, c, out);
}

/* ---- streams ----------------------------------------------------------- */

static void chunk_begin(const qn_gen *g, qn_str *out)
{
    qn_str_adds(out, "data: ");
    add_head(g, is_chat(g) ? "chat.completion.chunk" : "text_completion", out);
    qn_str_adds(out, "\"choices\":[");
}

static void add_prompt_ids(const qn_gen *g, const qn_choice *c, qn_str *out)
{
    const qn_prompt *q = &g->prompts[c->prompt];
    qn_str_adds(out, ",\"prompt_token_ids\":");
    qn_jsonout_ids(out, q->ids, q->n);
}

/* `first`: the choice whose first chunk it is, of a chat; else NULL. */
static void chunk_end(const qn_gen *g, const qn_choice *first, qn_str *out)
{
    qn_str_addc(out, ']');
    if (first && g->f.return_ids)
        add_prompt_ids(g, first, out);
    if (g->f.continuous_usage || g->f.include_usage) {
        qn_str_adds(out, ",\"usage\":");
        if (g->f.continuous_usage)
            qn_gen_usage(g, out);
        else
            qn_str_adds(out, "null");
    }
    qn_str_adds(out, "}\n\n");
}

/* Of completions the first chunk has the prompt's as well. */
static void add_ids(const qn_gen *g, const qn_choice *c, const qn_event *ev,
                    qn_str *out)
{
    if (!g->f.return_ids || !ev)
        return;
    qn_str_adds(out, ",\"token_ids\":");
    qn_jsonout_ids(out, &ev->id, ev->id >= 0);
    if (!is_chat(g) && c->n_tokens == 1)
        add_prompt_ids(g, c, out);
}

static void choice_begin(const qn_gen *g, const qn_choice *c, qn_str *out)
{
    chunk_begin(g, out);
    qn_str_addf(out, "{\"index\":%d", qn_gen_number(g, c));
}

static void choice_end(qn_gen *g, qn_choice *c, const qn_event *ev,
                       qn_finish finish, qn_str *out)
{
    qn_str_adds(out, ",\"logprobs\":");
    if (g->f.want_logprobs && ev && ev->id >= 0)
        qn_logprobs_one(g, c, ev, out);
    else
        qn_str_adds(out, "null");
    add_finish(g, c, finish, out);
    add_ids(g, c, ev, out);
    qn_str_addc(out, '}');
    chunk_end(g, NULL, out);
}

/* One chunk. `text` NULL: none of it (the chunk of the finish); `name`: what
 * the text is of a chat's message. */
static void add_piece(qn_gen *g, qn_choice *c, const char *name,
                      const char *text, size_t n, const qn_event *ev,
                      qn_finish finish, qn_str *out)
{
    choice_begin(g, c, out);
    if (is_chat(g)) {
        qn_str_adds(out, ",\"delta\":{");
        if (text) {
            qn_str_addf(out, "\"%s\":", name);
            qn_jsonout_str(out, text, n);
        }
        qn_str_addc(out, '}');
    } else {
        qn_str_adds(out, ",\"text\":");
        qn_jsonout_str(out, text ? text : "", n);
    }
    choice_end(g, c, ev, finish, out);
}

static void add_chunk(qn_gen *g, qn_choice *c, const char *text, size_t n,
                      const qn_event *ev, qn_finish finish, qn_str *out)
{
    add_piece(g, c, "content", text, n, ev, finish, out);
}

/* ---- what is found in a text ------------------------------------------- */

typedef struct finding {
    qn_gen *g;
    qn_choice *c;
    const qn_event *ev; /* until its token has been told */
    qn_str *out;
} finding;

static bool is_dropped(const finding *f, int index)
{
    return index > 0 && !f->g->f.parallel_calls;
}

static void add_call_head(const finding *f, int index, const char *name,
                          qn_str *out)
{
    qn_str_adds(out, "\"id\":\"");
    qn_gen_call_id(f->g, f->c, index, out);
    qn_str_adds(out, "\",\"type\":\"function\",\"function\":{\"name\":");
    qn_jsonout_cstr(out, name);
    qn_str_adds(out, ",\"arguments\":");
}

static void stream_content(void *user, const char *p, size_t n)
{
    finding *f = user;
    add_chunk(f->g, f->c, p, n, f->ev, QN_FINISH_NONE, f->out);
    f->ev = NULL;
}

static void stream_part(finding *f, int index, const char *name, const char *p,
                        size_t n)
{
    if (is_dropped(f, index))
        return;
    choice_begin(f->g, f->c, f->out);
    qn_str_addf(f->out, ",\"delta\":{\"tool_calls\":[{\"index\":%d,", index);
    if (name)
        add_call_head(f, index, name, f->out);
    else
        qn_str_adds(f->out, "\"function\":{\"arguments\":");
    qn_jsonout_str(f->out, p, n);
    qn_str_adds(f->out, "}}]}");
    choice_end(f->g, f->c, f->ev, QN_FINISH_NONE, f->out);
    f->ev = NULL;
}

static void stream_call(void *user, int index, const char *name)
{
    stream_part(user, index, name, "", 0);
}

static void stream_args(void *user, int index, const char *p, size_t n)
{
    stream_part(user, index, NULL, p, n);
}

static void keep_content(void *user, const char *p, size_t n)
{
    finding *f = user;
    qn_str_add(&f->c->text, p, n);
}

/* The arguments of the latest call are whole. */
static void close_call(qn_choice *c)
{
    if (c->calls.n == 0 || c->calls.p[c->calls.n - 1] == '}')
        return;
    qn_jsonout_str(&c->calls, c->args.p ? c->args.p : "", c->args.n);
    qn_str_adds(&c->calls, "}}");
    qn_str_clear(&c->args);
}

static void keep_call(void *user, int index, const char *name)
{
    finding *f = user;
    if (is_dropped(f, index))
        return;
    close_call(f->c);
    qn_str_adds(&f->c->calls, index ? ",{" : "{");
    add_call_head(f, index, name, &f->c->calls);
}

static void keep_args(void *user, int index, const char *p, size_t n)
{
    finding *f = user;
    if (!is_dropped(f, index))
        qn_str_add(&f->c->args, p, n);
}

static void find_thought(void *user, const char *p, size_t n)
{
    finding *f = user;
    if (!f->g->f.tells_thoughts)
        return;
    if (!f->g->f.stream) {
        qn_str_add(&f->c->thought, p, n);
        return;
    }
    add_piece(f->g, f->c, "reasoning_content", p, n, f->ev, QN_FINISH_NONE,
              f->out);
    f->ev = NULL;
}

static void look_into(finding *f, const char *p, size_t n, bool last)
{
    const qn_toolcall_sink streamed = {f, stream_content, stream_call,
                                       stream_args},
                           kept = {f, keep_content, keep_call, keep_args};
    qn_gen_sink sink = {f->g->f.stream ? streamed : kept, find_thought};
    qn_gen_tell(f->c, p, n, last, &sink);
}

/* The part of a call that stands in the prompt. */
static void parse_forced(qn_gen *g, qn_choice *c, qn_str *out)
{
    finding f = {g, c, NULL, out};
    if (c->parser && g->forced && !c->begun)
        look_into(&f, g->forced, strlen(g->forced), false);
    c->begun = true;
}

/* ---- begin and end of a stream ----------------------------------------- */

/* The prompt of a completion that echoes it; with log probabilities, when
 * they are known: at the choice's first event. */
static void stream_echo(qn_gen *g, qn_choice *c, qn_str *out)
{
    const qn_prompt *q = &g->prompts[c->prompt];
    if (c->begun || !g->f.echo)
        return;
    c->begun = true;
    if (!g->f.want_logprobs) {
        add_chunk(g, c, q->text, q->text_len, NULL, QN_FINISH_NONE, out);
        return;
    }
    qn_logprobs_echo(g, c);
    choice_begin(g, c, out);
    qn_str_adds(out, ",\"text\":");
    qn_jsonout_str(out, q->text, q->text_len);
    qn_str_adds(out, ",\"logprobs\":");
    qn_logprobs_all(g, c, out);
    add_finish(g, c, QN_FINISH_NONE, out);
    qn_str_addc(out, '}');
    chunk_end(g, NULL, out);
}

static void stream_begin(qn_gen *g, qn_str *out)
{
    for (int i = 0; i < g->n_choices; i++) {
        qn_choice *c = &g->choices[i];
        if (!g->f.want_logprobs)
            stream_echo(g, c, out);
        if (!is_chat(g))
            continue;
        chunk_begin(g, out);
        qn_str_addf(out,
                    "{\"index\":%d,\"delta\":{\"role\":\"assistant\","
                    "\"content\":\"\"},\"logprobs\":null,"
                    "\"finish_reason\":null}",
                    qn_gen_number(g, c));
        chunk_end(g, c, out);
        parse_forced(g, c, out);
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
    if (c->parser || c->reasoning) {
        finding f = {g, c, NULL, NULL};
        look_into(&f, ev->text, ev->text_len, ev->finish != QN_FINISH_NONE);
    } else {
        qn_str_add(&c->text, ev->text, ev->text_len);
    }
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
        if (g->f.echo && g->f.want_logprobs && !c->begun)
            qn_logprobs_echo(g, c);
        parse_forced(g, c, out);
        keep(g, c, ev);
        return;
    }
    stream_echo(g, c, out);
    bool tells = ev->id >= 0 && (g->f.want_logprobs || g->f.return_ids);
    finding f = {g, c, ev, out};
    bool looks = c->parser || c->reasoning;
    if (looks)
        look_into(&f, ev->text, ev->text_len, ev->finish != QN_FINISH_NONE);
    bool says = looks ? tells && f.ev : tells || ev->text_len > 0;
    if (says && looks)
        add_chunk(g, c, NULL, 0, ev, QN_FINISH_NONE, out);
    else if (says)
        add_chunk(g, c, ev->text, ev->text_len, ev, QN_FINISH_NONE, out);
    if (ev->finish != QN_FINISH_NONE)
        add_chunk(g, c, NULL, 0, NULL, ev->finish, out);
}

static void add_message(qn_choice *c, qn_str *out)
{
    close_call(c);
    qn_str_adds(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
    if (c->calls.n && c->text.n == 0)
        qn_str_adds(out, "null");
    else
        qn_jsonout_str(out, c->text.p ? c->text.p : "", c->text.n);
    qn_str_adds(out, ",\"refusal\":null");
    if (c->reasoning) {
        qn_str_adds(out, ",\"reasoning_content\":");
        if (c->thought.n)
            qn_jsonout_str(out, c->thought.p, c->thought.n);
        else
            qn_str_adds(out, "null");
    }
    if (c->calls.n)
        qn_str_addf(out, ",\"tool_calls\":[%s]", c->calls.p);
    qn_str_addc(out, '}');
}

static void add_choice(qn_gen *g, int i, qn_str *out)
{
    qn_choice *c = qn_gen_shown(g, i);
    const qn_prompt *q = &g->prompts[c->prompt];
    const char *text = c->text.p ? c->text.p : "";
    qn_str_addf(out, "%s{\"index\":%d", i ? "," : "", i);
    if (is_chat(g)) {
        add_message(c, out);
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
    add_finish(g, c, c->finish, out);
    if (g->f.prompt_logprobs >= 0 && !is_chat(g)) {
        qn_str_adds(out, ",\"prompt_logprobs\":");
        qn_logprobs_prompt(g, q, out);
    }
    if (g->f.return_ids)
        qn_str_addf(out, ",\"token_ids\":[%s]", c->ids.p ? c->ids.p : "");
    if (g->f.return_ids && !is_chat(g))
        add_prompt_ids(g, c, out);
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
    if (g->f.prompt_logprobs >= 0 && is_chat(g)) {
        qn_str_adds(out, ",\"prompt_logprobs\":");
        qn_logprobs_prompt(g, &g->prompts[0], out);
    }
    if (g->f.return_ids && is_chat(g))
        add_prompt_ids(g, &g->choices[0], out);
    qn_str_addc(out, '}');
}

static const qn_style completions = {.route = QN_FIELD_COMPLETION,
                                     .input = "prompt",
                                     .add_special = true,
                                     .begin = stream_begin,
                                     .event = event,
                                     .end = stream_end,
                                     .whole = whole};
static const qn_style chats = {.route = QN_FIELD_CHAT,
                               .input = "messages",
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
