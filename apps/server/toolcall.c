/* toolcall.c - see toolcall.h.
 *
 * Invariants
 *  1. in[0..at) is looked at; of it only the call being read is still held,
 *     and it begins at 0.
 *  2. A state function returns false when it needs more text. */
#include "server/toolcall.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_NAME 256
#define MAX_SPACE 256        /* that is held back because a call may follow */
#define BAR "\xef\xbd\x9c"   /* U+FF5C */
#define BLOCK "\xe2\x96\x81" /* U+2581 */
#define DS(what) "<" BAR "tool" BLOCK what BAR ">"

typedef struct format {
    const char *name;
    const char *open;    /* begins a call; NULL: the answer's beginning does */
    const char *sep;     /* between a bare name and its arguments, or NULL */
    const char *junk[4]; /* is not content, wherever it stands */
} format;

static const format formats[QN_TOOLCALL_N] = {
    [QN_TOOLCALL_NONE] = {"none", NULL, NULL, {NULL}},
    [QN_TOOLCALL_HERMES] = {"hermes",
                            "<tool_call>",
                            NULL,
                            {"</tool_call>", NULL}},
    [QN_TOOLCALL_MISTRAL] = {"mistral", "[TOOL_CALLS]", "[ARGS]", {NULL}},
    [QN_TOOLCALL_LLAMA3] = {"llama3_json",
                            NULL,
                            NULL,
                            {"<|python_tag|>", "<|eom_id|>", NULL}},
    [QN_TOOLCALL_APRIEL] = {"apriel",
                            "<tool_calls>",
                            NULL,
                            {"</tool_calls>", NULL}},
    [QN_TOOLCALL_DEEPSEEK] = {"deepseek_v31",
                              DS("call" BLOCK "begin"),
                              DS("sep"),
                              {DS("calls" BLOCK "begin"),
                               DS("call" BLOCK "end"), DS("calls" BLOCK "end"),
                               NULL}},
};

typedef enum state {
    START,  /* nothing but space has come */
    TEXT,   /* content */
    BODY,   /* behind the opening of a call */
    OBJECT, /* in {"name":..} */
    ARGS,   /* in the arguments behind a bare name */
    MARKUP, /* in a call that is not JSON */
    NEXT    /* behind a call: another one, or the end of the list */
} state;

typedef enum part { /* of an OBJECT, at its first level */
    KEY,
    COLON,
    VALUE,
    IN_VALUE,
    BEHIND /* a value whose end was seen: at value_end */
} part;

struct qn_toolcall {
    const format *fmt;
    const json_t *tools;
    state state;
    qn_str in;
    size_t at;
    int n_calls;
    bool list; /* in [ .. ] */

    /* the call being read */
    bool announced;
    int depth;
    bool in_string, escaped;
    part part;
    size_t key, n_key, value; /* where they begin */
    size_t value_end;
    bool is_args;  /* the value at hand is the arguments */
    bool has_args; /* they have begun */
    qn_str early;  /* arguments that came before the name */
    size_t passed; /* of the arguments: up to here */
    const struct markup *markup;
};

qn_toolcall *qn_toolcall_new(qn_toolcall_kind kind, const json_t *tools)
{
    qn_toolcall *t = qn_xcalloc(1, sizeof *t);
    t->fmt = &formats[kind];
    t->tools = tools;
    t->state = kind == QN_TOOLCALL_LLAMA3 ? START : TEXT;
    return t;
}

void qn_toolcall_free(qn_toolcall *t)
{
    if (!t)
        return;
    qn_str_deinit(&t->in);
    qn_str_deinit(&t->early);
    free(t);
}

int qn_toolcall_count(const qn_toolcall *t)
{
    return t->n_calls;
}

bool qn_toolcall_kind_of(const char *name, qn_toolcall_kind *kind)
{
    for (int k = 0; k < QN_TOOLCALL_N; k++)
        if (strcmp(formats[k].name, name) == 0) {
            *kind = (qn_toolcall_kind)k;
            return true;
        }
    return false;
}

/* ---- which format ------------------------------------------------------ */

/* The last `what` in [text, end), or NULL. */
static const char *last_before(const char *text, const char *end,
                               const char *what)
{
    const char *found = NULL;
    for (const char *p = text; (p = strstr(p, what)) && p < end; p++)
        found = p;
    return found;
}

qn_toolcall_kind qn_toolcall_detect(const char *text, const char *name,
                                    const char **call)
{
    static const char bare[] = "{\"name\": \"";
    const char *at = last_before(text, text + strlen(text), name);
    qn_toolcall_kind best = QN_TOOLCALL_NONE;
    if (!at)
        return best;
    for (int k = 1; k < QN_TOOLCALL_N; k++) {
        const char *open = formats[k].open;
        const char *p = open ? last_before(text, at, open) : NULL;
        if (p && k == QN_TOOLCALL_DEEPSEEK && at != p + strlen(open))
            continue; /* an older form of it */
        if (p && at - p < 80 && (best == QN_TOOLCALL_NONE || p > *call)) {
            best = (qn_toolcall_kind)k;
            *call = p;
        }
    }
    size_t n = strlen(name);
    if (best == QN_TOOLCALL_NONE && at - text >= (int)sizeof bare - 1 &&
        qn_starts(at - (sizeof bare - 1), bare) &&
        qn_starts(at + n, "\", \"parameters\":")) {
        best = QN_TOOLCALL_LLAMA3;
        *call = at - (sizeof bare - 1);
    }
    return best;
}

/* ---- the buffer -------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_space(qn_toolcall *t)
{
    while (t->at < t->in.n && is_space(t->in.p[t->at]))
        t->at++;
}

static void drop(qn_toolcall *t, size_t n)
{
    if (n == 0)
        return;
    memmove(t->in.p, t->in.p + n, t->in.n - n + 1);
    t->in.n -= n;
    t->at -= QN_MIN(n, t->at);
}

/* 1: `what` stands at `at`; 0: it may be on its way; -1: something else. */
static int stands_at(const qn_toolcall *t, size_t at, const char *what)
{
    size_t left = t->in.n - at, n = strlen(what);
    if (memcmp(t->in.p + at, what, QN_MIN(left, n)) != 0)
        return -1;
    return left >= n;
}

/* ---- text -------------------------------------------------------------- */

static void content(qn_toolcall *t, size_t n, const qn_toolcall_sink *sink)
{
    if (n)
        sink->content(sink->user, t->in.p, n);
    drop(t, n);
}

/* Space before `end`, which belongs to a call that follows rather than to the
 * content. */
static size_t without_space(const qn_toolcall *t, size_t end)
{
    size_t most = end > MAX_SPACE ? end - MAX_SPACE : 0;
    while (end > most && is_space(t->in.p[end - 1]))
        end--;
    return end;
}

static void begin_call(qn_toolcall *t)
{
    t->announced = t->is_args = t->has_args = false;
    t->in_string = t->escaped = false;
    t->depth = 0;
    t->part = KEY;
    t->passed = 0;
    t->value = SIZE_MAX;
    qn_str_clear(&t->early);
}

/* The first mark at or behind `at`: whole (its length), or begun (0). */
static size_t find_mark(const qn_toolcall *t, size_t *where, bool *open)
{
    for (size_t i = t->at; i < t->in.n; i++) {
        const char *marks[6] = {t->fmt->open};
        memcpy(marks + 1, t->fmt->junk, sizeof t->fmt->junk);
        for (int k = 0; k < 5; k++) {
            int r = marks[k] ? stands_at(t, i, marks[k]) : -1;
            if (r < 0)
                continue;
            *where = i;
            *open = k == 0;
            return r ? strlen(marks[k]) : 0;
        }
    }
    *where = t->in.n;
    return 0;
}

static bool read_text(qn_toolcall *t, bool last, const qn_toolcall_sink *sink)
{
    size_t where;
    bool open = false;
    t->at = 0;
    size_t n = find_mark(t, &where, &open);
    if (n == 0) {
        size_t sure = without_space(t, where);
        if (last)
            sure = t->n_calls && sure == 0 && where == t->in.n ? 0 : t->in.n;
        content(t, sure, sink);
        t->at = 0;
        return false;
    }
    content(t, without_space(t, where), sink);
    t->at = 0;
    skip_space(t);
    t->at += n;
    if (open) {
        begin_call(t);
        t->list = false;
        t->state = BODY;
    } else {
        drop(t, t->at);
    }
    return true;
}

/* It was no call. */
static void give_up(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    if (t->announced)
        drop(t, t->at);
    else
        content(t, QN_MAX(t->at, (size_t)1), sink);
    t->state = TEXT;
}

/* ---- names and arguments ----------------------------------------------- */

static void pass_args(qn_toolcall *t, const char *p, size_t n,
                      const qn_toolcall_sink *sink)
{
    if (n == 0)
        return;
    t->has_args = true;
    if (t->announced)
        sink->args(sink->user, t->n_calls - 1, p, n);
    else
        qn_str_add(&t->early, p, n);
}

static bool is_name(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (iscntrl((unsigned char)p[i]) || strchr("\"{}<>", p[i]))
            return false;
    return n > 0 && n <= MAX_NAME;
}

static bool announce(qn_toolcall *t, const char *p, size_t n,
                     const qn_toolcall_sink *sink)
{
    char name[MAX_NAME + 1];
    if (t->announced || !is_name(p, n))
        return false;
    memcpy(name, p, n);
    name[n] = 0;
    t->announced = true;
    sink->call(sink->user, t->n_calls++, name);
    pass_args(t, t->early.p, t->early.n, sink);
    return true;
}

static void end_call(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    if (!t->has_args)
        pass_args(t, "{}", 2, sink);
    drop(t, t->at);
    begin_call(t);
    t->state = NEXT;
}

/* ---- {"name": .., "arguments": ..} ------------------------------------- */

/* The text of the JSON string in [from, to), or NULL; json_decref it. */
static json_t *string_of(const qn_toolcall *t, size_t from, size_t to)
{
    json_t *v = json_loadb(t->in.p + from, to - from, JSON_DECODE_ANY, NULL);
    if (!json_is_string(v)) {
        json_decref(v);
        return NULL;
    }
    return v;
}

static bool key_is(const qn_toolcall *t, const char *name)
{
    return qn_view_eqs(qn_view_of(t->in.p + t->key, t->n_key), name);
}

/* The value that ends at `at` is whole; false: it makes no sense. */
static bool end_value(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    bool ok = true;
    size_t end = t->part == BEHIND ? t->value_end : t->at;
    if (t->is_args && t->in.p[t->value] == '"') { /* JSON inside of a string */
        json_t *s = string_of(t, t->value, end);
        ok = s != NULL;
        if (s)
            pass_args(t, json_string_value(s), json_string_length(s), sink);
        json_decref(s);
    } else if (t->is_args && t->in.p[t->value] == '{') {
        if (end > t->passed)
            pass_args(t, t->in.p + t->passed, end - t->passed, sink);
    } else if (key_is(t, "name")) {
        json_t *s = string_of(t, t->value, end);
        ok = s &&
             announce(t, json_string_value(s), json_string_length(s), sink);
        json_decref(s);
    }
    t->is_args = false;
    return ok;
}

static bool begin_value(qn_toolcall *t)
{
    t->value = t->passed = t->at;
    t->is_args = !t->has_args &&
                 (key_is(t, "arguments") || key_is(t, "parameters"));
    t->part = IN_VALUE;
    return !t->is_args || strchr("{\"n", t->in.p[t->at]); /* n: null */
}

/* One character outside of strings at the object's first level. */
static bool take_mark(qn_toolcall *t, char c, const qn_toolcall_sink *sink)
{
    if (is_space(c))
        return true;
    if (t->part == VALUE && !begin_value(t))
        return false;
    switch (c) {
    case '"':
        t->in_string = true;
        if (t->part == KEY)
            t->key = t->at + 1;
        return t->part == KEY || t->at == t->value;
    case ':':
        if (t->part != COLON)
            return false;
        t->part = VALUE;
        return true;
    case ',':
        if (t->part < IN_VALUE || t->at == t->value || !end_value(t, sink))
            return false;
        t->part = KEY;
        return true;
    case '}':
        if (t->part >= IN_VALUE)
            return t->at > t->value && end_value(t, sink) && t->depth-- > 0;
        return t->part == KEY && t->depth-- > 0;
    case '{':
    case '[': t->depth++; return t->part == IN_VALUE && t->at == t->value;
    default: return t->part == IN_VALUE;
    }
}

static void end_seen(qn_toolcall *t)
{
    t->part = BEHIND;
    t->value_end = t->at + 1;
}

/* Strings and nesting; true when the character was dealt with. */
static bool inside(qn_toolcall *t, char c)
{
    if (t->in_string) {
        if (!t->escaped && c == '"') {
            t->in_string = false;
            if (t->depth == 1 && t->part == KEY) {
                t->n_key = t->at - t->key;
                t->part = COLON;
            } else if (t->depth == 1) {
                end_seen(t);
            }
        }
        t->escaped = !t->escaped && c == '\\';
        return true;
    }
    if (t->depth < 2)
        return false;
    if (c == '"')
        t->in_string = true;
    else if (c == '{' || c == '[')
        t->depth++;
    else if ((c == '}' || c == ']') && --t->depth == 1)
        end_seen(t);
    return true;
}

static void pass_so_far(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    bool raw = t->state == ARGS || (t->is_args && t->in.p[t->value] == '{');
    size_t end = t->part == BEHIND && t->state == OBJECT ? t->value_end : t->at;
    if (!raw || end <= t->passed)
        return;
    pass_args(t, t->in.p + t->passed, end - t->passed, sink);
    t->passed = end;
}

static bool read_object(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    for (; t->at < t->in.n; t->at++) {
        char c = t->in.p[t->at];
        if (inside(t, c))
            continue;
        if (t->depth == 0) { /* its own brace */
            t->depth = 1;
            continue;
        }
        if (!take_mark(t, c, sink)) {
            pass_so_far(t, sink);
            give_up(t, sink);
            return true;
        }
        if (t->depth > 0)
            continue;
        t->at++;
        if (t->announced)
            end_call(t, sink);
        else
            give_up(t, sink);
        return true;
    }
    pass_so_far(t, sink);
    return false;
}

/* ---- NAME sep {..} ----------------------------------------------------- */

static bool read_args(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    if (t->depth == 0) {
        skip_space(t);
        if (t->at == t->in.n)
            return false;
        t->passed = t->at;
        if (t->in.p[t->at++] != '{') {
            t->at--;
            give_up(t, sink);
            return true;
        }
        t->depth = 2; /* as `inside` counts */
    }
    for (; t->at < t->in.n; t->at++) {
        inside(t, t->in.p[t->at]);
        if (t->depth > 1)
            continue;
        t->at++;
        pass_so_far(t, sink);
        end_call(t, sink);
        return true;
    }
    pass_so_far(t, sink);
    return false;
}

/* ---- markup ------------------------------------------------------------ */

/* open NAME name_end {key KEY key_end value VALUE value_end}.. close */
typedef struct markup {
    const char *open, *name_end, *key, *key_end, *value, *value_end, *close;
} markup;

static const markup markups[] = {
    {"<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>"},
    {"", "<arg_key>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
     "</tool_call>"},
};

/* The function of one of the request's tools, or NULL. */
static const json_t *tool_named(const qn_toolcall *t, qn_view wanted)
{
    for (size_t i = 0; i < json_array_size(t->tools); i++) {
        const json_t *f = json_object_get(json_array_get(t->tools, i),
                                          "function");
        const char *name = json_string_value(json_object_get(f, "name"));
        if (name && qn_view_eqs(wanted, name))
            return f;
    }
    return NULL;
}

/* The type that a tool's schema gives to a parameter, or NULL. */
static const char *type_of(const qn_toolcall *t, qn_view tool, const char *key)
{
    const json_t *f = tool_named(t, tool);
    const json_t *all = json_object_get(json_object_get(f, "parameters"),
                                        "properties");
    return json_string_value(
        json_object_get(json_object_get(all, key), "type"));
}

static json_t *typed(const char *type, const char *p, size_t n)
{
    json_t *v = NULL;
    if (!type || strcmp(type, "string") != 0)
        v = json_loadb(p, n, JSON_DECODE_ANY, NULL);
    return v ? v : json_stringn(p, n);
}

static const char *find(const char *p, const char *end, const char *what)
{
    return memmem(p, (size_t)(end - p), what, strlen(what));
}

/* What stands in [p, end) as an object. */
static json_t *parameters(const qn_toolcall *t, qn_view tool, const char *p,
                          const char *end)
{
    const markup *m = t->markup;
    json_t *args = json_object();
    while ((p = find(p, end, m->key)) != NULL) {
        char key[MAX_NAME + 1];
        p += strlen(m->key);
        const char *key_end = find(p, end, m->key_end);
        if (!key_end || key_end - p > MAX_NAME)
            break;
        snprintf(key, sizeof key, "%.*s", (int)(key_end - p), p);
        p = find(key_end + strlen(m->key_end), end, m->value);
        const char *stop = p ? find(p, end, m->value_end) : NULL;
        if (!stop)
            break;
        p += strlen(m->value);
        const char *q = stop;
        if (p < q && *p == '\n')
            p++;
        if (q > p && q[-1] == '\n')
            q--;
        json_object_set_new(args, key,
                            typed(type_of(t, tool, key), p, (size_t)(q - p)));
        p = stop;
    }
    return args;
}

/* The name in [p, end), without the space around it. */
static qn_view name_in(const qn_toolcall *t, const char *p, const char *end)
{
    const char *stop = find(p, end, t->markup->name_end);
    stop = stop ? stop : end;
    while (p < stop && is_space(*p))
        p++;
    while (p < stop && is_space(stop[-1]))
        stop--;
    return qn_view_of(p, (size_t)(stop - p));
}

static bool read_markup(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    const char *close = t->markup->close, *all = t->in.p + t->in.n;
    size_t back = QN_MIN(t->at - t->value, strlen(close));
    const char *end = find(t->in.p + t->at - back, all, close);
    if (!end) {
        t->at = t->in.n;
        return false;
    }
    const char *p = t->in.p + t->value + strlen(t->markup->open);
    qn_view tool = name_in(t, p, end);
    t->at = (size_t)(end - t->in.p) + strlen(close);
    /* a word alone may be anything */
    bool sure = find(p, end, t->markup->name_end) || tool_named(t, tool);
    if (!sure || !announce(t, tool.p, tool.n, sink)) {
        give_up(t, sink);
        return true;
    }
    json_t *args = parameters(t, tool, tool.p + tool.n, end);
    char *text = json_dumps(args, 0);
    if (text)
        pass_args(t, text, strlen(text), sink);
    free(text);
    json_decref(args);
    end_call(t, sink);
    return true;
}

static bool begin_markup(qn_toolcall *t, const markup *m)
{
    t->markup = m;
    t->value = t->at;
    t->state = MARKUP;
    return true;
}

/* ---- between ----------------------------------------------------------- */

/* A bare name up to its separator. */
static bool read_name(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    const char *sep = t->fmt->sep, *p = t->in.p + t->at;
    const char *found = sep ? memmem(p, t->in.n - t->at, sep, strlen(sep))
                            : NULL;
    if (!found && sep && t->in.n - t->at < MAX_NAME + strlen(sep))
        return false;
    size_t n = found ? (size_t)(found - p) : 0;
    if (!found || !announce(t, p, n, sink)) {
        give_up(t, sink);
        return true;
    }
    t->at += n + strlen(sep);
    t->state = ARGS;
    return true;
}

static bool read_body(qn_toolcall *t, const qn_toolcall_sink *sink)
{
    skip_space(t);
    if (t->at == t->in.n)
        return false;
    char c = t->in.p[t->at];
    if (c == '[' && !t->list) {
        t->list = true;
        t->at++;
        return true;
    }
    if (c == ']' && t->list) {
        t->at++;
        give_up(t, sink); /* an empty list */
        return true;
    }
    if (c == '{') {
        t->state = OBJECT;
        return true;
    }
    if (t->fmt != &formats[QN_TOOLCALL_HERMES])
        return read_name(t, sink);
    int function = stands_at(t, t->at, markups[0].open);
    return function && begin_markup(t, &markups[function < 0]);
}

static bool read_next(qn_toolcall *t)
{
    skip_space(t);
    if (t->at == t->in.n)
        return false;
    char c = t->in.p[t->at];
    bool more = t->list ? c == ',' : t->fmt->open == NULL && c == ';';
    if (more || (t->list && c == ']'))
        drop(t, t->at + 1);
    t->at = 0;
    t->state = more ? BODY : TEXT;
    return true;
}

/* Where calls have no opening, the answer's first character tells. */
static bool read_start(qn_toolcall *t)
{
    skip_space(t);
    if (t->at == t->in.n)
        return false;
    int tag = stands_at(t, t->at, t->fmt->junk[0]);
    if (tag == 0)
        return false;
    bool call = tag > 0 || t->in.p[t->at] == '{';
    if (tag > 0)
        t->at += strlen(t->fmt->junk[0]);
    begin_call(t);
    t->state = call ? BODY : TEXT;
    return true;
}

static bool advance(qn_toolcall *t, bool last, const qn_toolcall_sink *sink)
{
    switch (t->state) {
    case START: return read_start(t);
    case TEXT: return read_text(t, last, sink);
    case BODY: return read_body(t, sink);
    case OBJECT: return read_object(t, sink);
    case ARGS: return read_args(t, sink);
    case MARKUP: return read_markup(t, sink);
    case NEXT: return read_next(t);
    }
    return false;
}

void qn_toolcall_feed(qn_toolcall *t, const char *p, size_t n, bool last,
                      const qn_toolcall_sink *sink)
{
    if (t->fmt == &formats[QN_TOOLCALL_NONE]) {
        if (n)
            sink->content(sink->user, p, n);
        return;
    }
    qn_str_add(&t->in, p, n);
    while (advance(t, last, sink))
        ;
    if (last && !t->announced && t->state != NEXT && t->state != TEXT)
        content(t, t->in.n, sink); /* a call that never became one */
}
