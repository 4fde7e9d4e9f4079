/* gen_tools.c - see gen_tools.h. */
#include "server/gen_tools.h"

#include "base/map.h"
#include "base/mem.h"
#include "server/server_int.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME "quern_probe"
#define CALL(args)                                                       \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","    \
    "\"content\":\"\",\"tool_calls\":[{\"id\":\"call00001\","            \
    "\"type\":\"function\",\"function\":{\"name\":\"" NAME               \
    "\",\"arguments\":" args "}}]},{\"role\":\"tool\",\"tool_call_id\":" \
    "\"call00001\",\"name\":\"f\",\"content\":\"b\"}]"
#define TOOLS                                                               \
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":" \
    "\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"key\":{"   \
    "\"type\":\"string\",\"description\":\"d\"}},\"required\":[\"key\"]}}}]"
#define MAX_AFTER 40

/* Where a template does not tell: as the format is written by most. */
static void usual_shape(qn_call_shape *s)
{
    static const struct {
        const char *before, *after;
    } usual[QN_TOOLCALL_N] = {
        [QN_TOOLCALL_HERMES] = {"<tool_call>\n{\"name\": \"",
                                "\", \"arguments\":"},
        [QN_TOOLCALL_MISTRAL] = {"[TOOL_CALLS][{\"name\": \"",
                                 "\", \"arguments\":"},
        [QN_TOOLCALL_LLAMA3] = {"{\"name\": \"", "\", \"parameters\":"},
        [QN_TOOLCALL_APRIEL] = {"<tool_calls>[{\"name\": \"",
                                "\", \"arguments\":"},
    };
    if (!usual[s->kind].before)
        return;
    s->before = qn_xstrdup(usual[s->kind].before);
    s->after = qn_xstrdup(usual[s->kind].after);
    s->json = true;
}

/* What stands between the name and the arguments: up to a brace or the end of
 * the line; spaces at the end are the model's to write. */
static size_t length_after(const char *p)
{
    size_t n = 0;
    while (n < MAX_AFTER && p[n] && p[n] != '{')
        if (p[n++] == '\n')
            return n;
    while (n > 0 && p[n - 1] == ' ')
        n--;
    return n;
}

static void look_at(qn_call_shape *s, const char *text)
{
    const char *call = NULL;
    s->kind = qn_toolcall_detect(text, NAME, &call);
    if (s->kind == QN_TOOLCALL_NONE) {
        /* it does not render calls, but may tell the model of them */
        if (strstr(text, "<tool_call>"))
            s->kind = QN_TOOLCALL_HERMES;
        usual_shape(s);
        return;
    }
    const char *name = strstr(call, NAME), *after = name + strlen(NAME);
    s->before = qn_xstrndup(call, (size_t)(name - call));
    s->after = qn_xstrndup(after, length_after(after));
    const char *args = after + strlen(s->after);
    s->json = args[strspn(args, " ")] == '{';
}

int qn_call_shape_find(qn_call_shape *s, const qn_model *model,
                       const char *parser, qn_err *err)
{
    static const char *const talks[] = {CALL("{\"key\":\"v\"}"),
                                        CALL("\"{\\\"key\\\": \\\"v\\\"}\"")};
    *s = (qn_call_shape){0};
    bool any = !parser || strcmp(parser, "auto") == 0;
    qn_toolcall_kind wanted = QN_TOOLCALL_NONE;
    if (!any && !qn_toolcall_kind_of(parser, &wanted))
        return qn_fail(err, QN_EINVAL,
                       "tool-call-parser: there is no \"%.40s\"; see --help",
                       parser);
    for (size_t i = 0; i < QN_COUNTOF(talks) && s->kind == QN_TOOLCALL_NONE;
         i++) {
        char *text = NULL;
        size_t n;
        if (qn_chat_render(model, talks[i], TOOLS, false, NULL, &text, &n,
                           NULL) == 0)
            look_at(s, text);
        qn_free(text);
    }
    if (!any && s->kind != wanted) {
        qn_call_shape_deinit(s);
        s->kind = wanted;
        usual_shape(s);
    }
    return 0;
}

void qn_call_shape_deinit(qn_call_shape *s)
{
    free(s->before);
    free(s->after);
    *s = (qn_call_shape){0};
}

/* ---- requests ---------------------------------------------------------- */

/* What the arguments have to be: what the tool says, and an object. */
static json_t *args_schema(const json_t *tool)
{
    static const char *const kinds[] = {"type", "$ref", "anyOf", "allOf"};
    const json_t *given = json_object_get(json_object_get(tool, "function"),
                                          "parameters");
    json_t *s = json_is_object(given) ? json_deep_copy(given) : json_object();
    bool says = false;
    for (size_t i = 0; i < QN_COUNTOF(kinds); i++)
        says = says || json_object_get(s, kinds[i]);
    if (!says)
        json_object_set_new(s, "type", json_string("object"));
    return s;
}

static bool is_one_of(const char *s, const char *const *words)
{
    while (*words && strcmp(s, *words) != 0)
        words++;
    return *words;
}

/* A schema becomes part of another, where it stands at `at`: its references
 * are from there. `names`: v is no schema, but a schema for each name. */
static void move_refs(json_t *v, const char *at, bool names)
{
    static const char *const values[] = {"const", "enum", "default", "examples",
                                         NULL};
    static const char *const maps[] = {"properties", "patternProperties",
                                       "$defs", "definitions", NULL};
    const char *key;
    json_t *x;
    size_t i;
    json_object_foreach(v, key, x)
    {
        const char *ref = json_string_value(x);
        if (!names && is_one_of(key, values))
            continue;
        if (!ref || strcmp(key, "$ref") != 0 || ref[0] != '#') {
            move_refs(x, at, !names && is_one_of(key, maps));
            continue;
        }
        qn_str s = {0};
        qn_str_addf(&s, "%s%s", at, ref + 1);
        json_string_setn(x, s.p, s.n);
        qn_str_deinit(&s);
    }
    json_array_foreach(v, i, x) move_refs(x, at, false);
}

/* {"name": .., "arguments": ..} of any of the tools. */
static json_t *call_schema(const json_t *tools, const char *key)
{
    json_t *any = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        json_t *name = json_object_get(json_object_get(tool, "function"),
                                       "name");
        json_t *args = args_schema(tool);
        char at[64];
        snprintf(at, sizeof at, "#/anyOf/%zu/properties/%s", i, key);
        move_refs(args, at, false);
        json_array_append_new(any, json_pack("{s:s,s:{s:{s:O},s:o},s:[s,s]}",
                                             "type", "object", "properties",
                                             "name", "const", name, key, args,
                                             "required", "name", key));
    }
    return json_pack("{s:o}", "anyOf", any);
}

/* The tool that has to be called when there is no choice, or NULL. */
static const json_t *only_tool(const qn_gen *g)
{
    for (size_t i = 0; i < json_array_size(g->tools); i++) {
        const json_t *tool = json_array_get(g->tools, i);
        const char *name = json_string_value(
            json_object_get(json_object_get(tool, "function"), "name"));
        if (json_array_size(g->tools) == 1 ||
            (g->f.tool_name && strcmp(name, g->f.tool_name) == 0))
            return tool;
    }
    return NULL;
}

static void hold_to(qn_gen *g, json_t *schema)
{
    char *text = json_dumps(schema, JSON_COMPACT);
    g->f.rp.format = QN_FORMAT_JSON_SCHEMA;
    g->f.rp.n_schema = strlen(text);
    g->f.rp.schema = qn_arena_strndup(&g->f.mem, text, g->f.rp.n_schema);
    g->f.format_field = "tools";
    free(text);
    json_decref(schema);
}

/* With one tool the prompt ends before its arguments, with several before the
 * object that names one. */
static void demand(qn_gen *g, const qn_call_shape *s)
{
    const json_t *tool = only_tool(g);
    const char *key = strstr(s->after, "parameters") ? "parameters"
                                                     : "arguments";
    const char *brace = s->json ? strrchr(s->before, '{') : NULL;
    qn_str forced = {0};
    if (tool) {
        qn_str_adds(&forced, s->before);
        qn_str_adds(&forced, json_string_value(json_object_get(
                                 json_object_get(tool, "function"), "name")));
        qn_str_adds(&forced, s->after);
        if (s->json)
            hold_to(g, args_schema(tool));
    } else if (brace) {
        qn_str_add(&forced, s->before, (size_t)(brace - s->before));
        hold_to(g, call_schema(g->tools, key));
    } else {
        qn_str_adds(&forced, s->before);
    }
    g->forced = qn_str_take(&forced, &(size_t){0});
}

int qn_gen_tools_prepare(qn_gen *g, qn_str *text, qn_err *err)
{
    const qn_call_shape *s = &g->call->srv->call_shape;
    if (!g->f.tools)
        return 0;
    g->tools = json_incref(g->f.tools);
    /* marks of calls are special tokens in many vocabularies */
    if (s->kind != QN_TOOLCALL_NONE && s->kind != QN_TOOLCALL_LLAMA3)
        g->f.rp.skip_special = false;
    if (g->f.tool_choice != QN_TOOLS_REQUIRED)
        return 0;
    if (!s->before) {
        g->f.param = "tool_choice";
        return qn_fail(err, QN_EUNSUP,
                       "tool_choice: this model's chat template does not show "
                       "how it writes calls, so none can be demanded; use "
                       "\"auto\" (or start the server with "
                       "--tool-call-parser)");
    }
    demand(g, s);
    qn_str_adds(text, g->forced);
    return 0;
}

void qn_gen_tools_begin(qn_gen *g)
{
    if (!g->tools)
        return;
    for (int i = 0; i < g->n_choices; i++)
        g->choices[i].parser = qn_toolcall_new(g->call->srv->call_shape.kind,
                                               g->tools);
}

typedef struct telling {
    qn_choice *c;
    const qn_gen_sink *sink;
    bool last; /* of the answer */
} telling;

static void tell_thought(void *user, const char *p, size_t n)
{
    const telling *t = user;
    t->sink->thought(t->sink->answer.user, p, n);
}

static void tell_answer(void *user, const char *p, size_t n)
{
    const telling *t = user;
    if (t->c->parser)
        qn_toolcall_feed(t->c->parser, p, n, t->last, &t->sink->answer);
    else if (n > 0)
        t->sink->answer.content(t->sink->answer.user, p, n);
}

void qn_gen_tell(qn_choice *c, const char *p, size_t n, bool last,
                 const qn_gen_sink *sink)
{
    telling t = {c, sink, false};
    qn_reasoning_sink split = {&t, tell_thought, tell_answer};
    if (c->reasoning)
        qn_reasoning_feed(c->reasoning, p, n, last, &split);
    t.last = last;
    if (!c->reasoning)
        tell_answer(&t, p, n);
    else if (last)
        tell_answer(&t, "", 0);
}

void qn_gen_call_id(const qn_gen *g, const qn_choice *c, int index, qn_str *out)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    qn_str name = {0};
    qn_str_addf(&name, "%s.%d.%d", g->call->id, qn_gen_number(g, c), index);
    uint64_t h = qn_hash(name.p, name.n);
    qn_str_deinit(&name);
    for (int i = 0; i < 9; i++, h /= 36)
        qn_str_addc(out, digits[h % 36]);
}
