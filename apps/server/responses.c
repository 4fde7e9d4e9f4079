/* responses.c - /v1/responses: OpenAI's newer API, of which what needs no
 * memory of former requests is here: one answer of text and calls.
 *
 * An answer is a list of items: thoughts, a message, calls. A stream tells of each that
 * it begins, grows and is whole, and ends with the answer as a whole:
 *
 *   created, in_progress
 *   output_item.added, content_part.added, output_text.delta ..., .done,
 *       content_part.done, output_item.done (thoughts: reasoning_text)
 *   output_item.added, function_call_arguments.delta ..., .done,
 *       output_item.done
 *   completed, or incomplete when max_output_tokens cut it */
#include "server/responses.h"

#include "base/mem.h"
#include "server/gen_tools.h"
#include "server/handlers.h"
#include "server/jsonout.h"
#include "server/server_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void qn_items_free(qn_items *t)
{
    if (!t)
        return;
    qn_str_deinit(&t->done);
    qn_str_deinit(&t->text);
    free(t->name);
    free(t);
}

/* ---- the answer as an object ------------------------------------------- */

static void add_usage(const qn_gen *g, qn_str *out)
{
    qn_gen_counts n = qn_gen_count(g);
    qn_str_addf(out,
                ",\"usage\":{\"input_tokens\":%d,\"input_tokens_details\":{"
                "\"cached_tokens\":%d,\"cache_write_tokens\":0},"
                "\"output_tokens\":%d,\"output_tokens_details\":{"
                "\"reasoning_tokens\":0},\"total_tokens\":%d}",
                n.prompt, n.cached, n.completion, n.prompt + n.completion);
}

/* `f` NONE: it has not ended. */
static void add_response(const qn_gen *g, qn_finish f, qn_str *out)
{
    bool ended = f != QN_FINISH_NONE, cut = f == QN_FINISH_LENGTH;
    const qn_sampling *s = &g->f.rp.sampling;
    qn_str_addf(out,
                "{\"id\":\"resp_%s\",\"object\":\"response\","
                "\"created_at\":%lld,\"status\":\"%s\",\"error\":null,"
                "\"incomplete_details\":%s",
                g->call->id, (long long)g->created,
                !ended ? "in_progress"
                : cut  ? "incomplete"
                       : "completed",
                cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
    if (ended && !cut)
        qn_str_addf(out, ",\"completed_at\":%lld", (long long)time(NULL));
    qn_str_adds(out, ",\"model\":");
    qn_jsonout_cstr(out, g->call->srv->name);
    qn_str_adds(out, ",\"temperature\":");
    qn_str_addf(
        out, "%.7g,\"top_p\":%.7g", (double)s->temperature,
        (double)s->top_p); /* as they were given: a float has 7 digits */
    qn_str_adds(out, g->asked);
    qn_str_adds(out, ",\"background\":false,\"store\":false,"
                     "\"previous_response_id\":null,"
                     "\"truncation\":\"disabled\",\"output\":[");
    if (ended && g->items->done.n)
        qn_str_add(out, g->items->done.p, g->items->done.n);
    qn_str_addc(out, ']');
    if (ended)
        add_usage(g, out);
    qn_str_addc(out, '}');
}

/* ---- events ------------------------------------------------------------ */

/* event: NAME / data: {"type": NAME, "sequence_number": N */
static void event_begin(qn_gen *g, const char *name, qn_str *out)
{
    qn_str_addf(out,
                "event: response.%s\ndata: {\"type\":\"response.%s\","
                "\"sequence_number\":%d",
                name, name, g->items->n_events++);
}

static void event_end(qn_str *out)
{
    qn_str_adds(out, "}\n\n");
}

static void event_of_response(qn_gen *g, const char *name, qn_finish f,
                              qn_str *out)
{
    event_begin(g, name, out);
    qn_str_adds(out, ",\"response\":");
    add_response(g, f, out);
    event_end(out);
}

/* By what is open. */
static const struct {
    const char *id, *type, *text; /* text: what its events say of it */
} kinds[] = {
    [QN_ITEM_THOUGHT] = {"rs", "reasoning", "reasoning_text"},
    [QN_ITEM_MESSAGE] = {"msg", "message", "output_text"},
    [QN_ITEM_CALL] = {"fc", "function_call", "function_call_arguments"},
};

static void add_item_id(const qn_gen *g, qn_str *out)
{
    const qn_items *t = g->items;
    qn_str_addf(out, "\"%s_%s_%d\"", kinds[t->open].id, g->call->id, t->n_done);
}

/* An event of the open item. */
static void event_of_item(qn_gen *g, const char *name, qn_str *out)
{
    event_begin(g, name, out);
    qn_str_adds(out, ",\"item_id\":");
    add_item_id(g, out);
    qn_str_addf(out, ",\"output_index\":%d", g->items->n_done);
    if (g->items->open != QN_ITEM_CALL)
        qn_str_adds(out, ",\"content_index\":0");
}

/* The same, of its text: output_text.delta and its like. */
static void event_of_text(qn_gen *g, const char *what, qn_str *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kinds[g->items->open].text, what);
    event_of_item(g, name, out);
    if (g->items->open == QN_ITEM_MESSAGE)
        qn_str_adds(out, ",\"logprobs\":[]");
}

static void add_text(const qn_items *t, qn_str *out)
{
    qn_jsonout_str(out, t->text.p ? t->text.p : "", t->text.n);
}

static void add_part(const qn_items *t, qn_str *out)
{
    qn_str_addf(out, "{\"type\":\"%s\",\"text\":", kinds[t->open].text);
    add_text(t, out);
    if (t->open == QN_ITEM_MESSAGE)
        qn_str_adds(out, ",\"annotations\":[],\"logprobs\":[]");
    qn_str_addc(out, '}');
}

/* The open item as it is. */
static void add_item(const qn_gen *g, const char *status, qn_str *out)
{
    const qn_items *t = g->items;
    qn_str_adds(out, "{\"id\":");
    add_item_id(g, out);
    qn_str_addf(out, ",\"status\":\"%s\",\"type\":\"%s\"", status,
                kinds[t->open].type);
    if (t->open == QN_ITEM_CALL) {
        qn_str_adds(out, ",\"call_id\":\"");
        qn_gen_call_id(g, &g->choices[0], t->call, out);
        qn_str_addf(out, "\",\"name\":%s,\"arguments\":", t->name);
        add_text(t, out);
        qn_str_addc(out, '}');
        return;
    }
    qn_str_adds(out, t->open == QN_ITEM_MESSAGE ? ",\"role\":\"assistant\""
                                                : ",\"summary\":[]");
    qn_str_adds(out, ",\"content\":[");
    if (strcmp(status, "in_progress") != 0)
        add_part(t, out);
    qn_str_adds(out, "]}");
}

static void event_with_item(qn_gen *g, const char *name, const char *status,
                            qn_str *out)
{
    event_begin(g, name, out);
    qn_str_addf(out, ",\"output_index\":%d,\"item\":", g->items->n_done);
    add_item(g, status, out);
    event_end(out);
}

/* ---- items ------------------------------------------------------------- */

static void tell_end(qn_gen *g, const char *status, qn_str *out)
{
    const qn_items *t = g->items;
    bool call = t->open == QN_ITEM_CALL;
    event_of_text(g, "done", out);
    if (call)
        qn_str_addf(out, ",\"name\":%s", t->name);
    qn_str_adds(out, call ? ",\"arguments\":" : ",\"text\":");
    add_text(t, out);
    event_end(out);
    if (!call) {
        event_of_item(g, "content_part.done", out);
        qn_str_adds(out, ",\"part\":");
        add_part(t, out);
        event_end(out);
    }
    event_with_item(g, "output_item.done", status, out);
}

/* `out` NULL, here and below: nobody is told, the answer comes as a whole. */
static void close_item(qn_gen *g, const char *status, qn_str *out)
{
    qn_items *t = g->items;
    if (t->open == QN_ITEM_NONE)
        return;
    if (out)
        tell_end(g, status, out);
    qn_str_adds(&t->done, t->n_done ? "," : "");
    add_item(g, status, &t->done);
    t->n_done++;
    t->open = QN_ITEM_NONE;
    qn_str_clear(&t->text);
}

static void open_item(qn_gen *g, int kind, qn_str *out)
{
    close_item(g, "completed", out);
    g->items->open = kind;
    if (!out)
        return;
    event_with_item(g, "output_item.added", "in_progress", out);
    if (kind == QN_ITEM_CALL)
        return;
    event_of_item(g, "content_part.added", out);
    qn_str_adds(out, ",\"part\":");
    add_part(g->items, out);
    event_end(out);
}

static void grow(qn_gen *g, const char *p, size_t n, qn_str *out)
{
    qn_str_add(&g->items->text, p, n);
    if (!out || n == 0)
        return;
    event_of_text(g, "delta", out);
    qn_str_adds(out, ",\"delta\":");
    qn_jsonout_str(out, p, n);
    event_end(out);
}

/* ---- what the model writes --------------------------------------------- */

typedef struct writing {
    qn_gen *g;
    qn_str *out;
} writing;

static void write_as(const writing *w, int kind, const char *p, size_t n)
{
    if (n == 0)
        return;
    if ((int)w->g->items->open != kind)
        open_item(w->g, kind, w->out);
    grow(w->g, p, n, w->out);
}

static void on_content(void *user, const char *p, size_t n)
{
    write_as(user, QN_ITEM_MESSAGE, p, n);
}

static void on_thought(void *user, const char *p, size_t n)
{
    write_as(user, QN_ITEM_THOUGHT, p, n);
}

static bool is_wanted(const qn_gen *g, int index)
{
    return index == 0 || g->f.parallel_calls;
}

static void on_call(void *user, int index, const char *name)
{
    const writing *w = user;
    qn_str json = {0};
    size_t n;
    if (!is_wanted(w->g, index))
        return;
    close_item(w->g, "completed", w->out);
    qn_jsonout_cstr(&json, name);
    free(w->g->items->name);
    w->g->items->name = qn_str_take(&json, &n);
    w->g->items->call = index;
    open_item(w->g, QN_ITEM_CALL, w->out);
}

static void on_args(void *user, int index, const char *p, size_t n)
{
    const writing *w = user;
    if (is_wanted(w->g, index))
        grow(w->g, p, n, w->out);
}

static void write_text(qn_gen *g, const char *p, size_t n, bool last,
                       qn_str *out)
{
    writing w = {g, g->f.stream ? out : NULL};
    qn_gen_sink sink = {{&w, on_content, on_call, on_args}, on_thought};
    qn_gen_tell(&g->choices[0], p, n, last, &sink);
}

/* The part of a call that stands in the prompt. */
static void write_forced(qn_gen *g, qn_str *out)
{
    if (g->forced && !g->choices[0].begun)
        write_text(g, g->forced, strlen(g->forced), false, out);
    g->choices[0].begun = true;
}

/* ---- the style --------------------------------------------------------- */

static void begin(qn_gen *g, qn_str *out)
{
    event_of_response(g, "created", QN_FINISH_NONE, out);
    event_of_response(g, "in_progress", QN_FINISH_NONE, out);
    write_forced(g, out);
}

static void event(qn_gen *g, qn_choice *c, const qn_event *ev, qn_str *out)
{
    (void)c;
    write_forced(g, out);
    write_text(g, ev->text, ev->text_len, ev->finish != QN_FINISH_NONE, out);
}

/* There is a message even where the model wrote nothing. */
static void close_all(qn_gen *g, qn_str *out)
{
    bool cut = g->choices[0].finish == QN_FINISH_LENGTH;
    if (g->items->open == QN_ITEM_NONE && g->items->n_done == 0)
        open_item(g, QN_ITEM_MESSAGE, out);
    close_item(g, cut ? "incomplete" : "completed", out);
}

static void end(qn_gen *g, qn_str *out)
{
    qn_finish f = g->choices[0].finish;
    close_all(g, out);
    event_of_response(g, f == QN_FINISH_LENGTH ? "incomplete" : "completed", f,
                      out);
}

static void whole(qn_gen *g, qn_str *out)
{
    close_all(g, NULL);
    add_response(g, g->choices[0].finish, out);
}

static int ask(qn_gen *g, json_t *doc, qn_err *err)
{
    g->items = qn_xcalloc(1, sizeof *g->items);
    return qn_responses_ask(g, doc, err);
}

static const char *const names[][2] = {
    {"messages", "input"},
    {"max_tokens", "max_output_tokens"},
    {"response_format", "text.format"},
    {"verbosity", "text.verbosity"},
    {"reasoning_effort", "reasoning.effort"},
    {NULL, NULL},
};

static const qn_style style = {.route = QN_FIELD_CHAT,
                               .input = "input",
                               .names = names,
                               .add_special = false,
                               .ask = ask,
                               .begin = begin,
                               .event = event,
                               .end = end,
                               .whole = whole};

void qn_openai_responses(qn_call *call)
{
    if (qn_gen_prepare(call, &style, false))
        qn_runner_push(call->srv->runner, call);
}
