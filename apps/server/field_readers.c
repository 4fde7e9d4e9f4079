/* field_readers.c - fields whose values are more than a number or a string. */
#include "server/fields_int.h"

#include "base/map.h"
#include "server/messages.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define MAX_IDS 65536
#define MAX_STRING 4096 /* of stop strings, bad words, breakers */
#define MAX_WORDS 256
#define MAX_TOOLS 1024

/* ---- lists ------------------------------------------------------------- */

/* A string or an array of strings, copied into mem. */
static int read_strings(const qn_field_reader *r, const json_t *v, size_t max,
                        const char *const **out, size_t *n_out)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n > max)
        return qn_field_fail(r, "has %zu strings; at most %zu", n, max);
    const char **list = qn_arena_calloc(&r->f->mem, n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(s))
            return qn_field_fail(r, "must be a string or a list of strings");
        size_t len = json_string_length(s);
        if (len == 0 || len > MAX_STRING || strlen(json_string_value(s)) != len)
            return qn_field_fail(r,
                                 "string %zu has %zu bytes; use 1 to %d, and "
                                 "no NUL",
                                 i, len, MAX_STRING);
        list[i] = qn_arena_strndup(&r->f->mem, json_string_value(s), len);
    }
    *out = list;
    *n_out = n;
    return 0;
}

static int read_ids(const qn_field_reader *r, const json_t *v,
                    const int32_t **out, size_t *n_out)
{
    if (!json_is_array(v))
        return qn_field_fail(r, "must be a list of token ids");
    size_t n = json_array_size(v);
    if (n > MAX_IDS)
        return qn_field_fail(r, "has %zu ids; at most %d", n, MAX_IDS);
    int32_t *ids = qn_arena_calloc(&r->f->mem, n + 1, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, i);
        json_int_t id = json_integer_value(x);
        if (!json_is_integer(x) || id < 0 || id >= r->c->n_vocab)
            return qn_field_fail(r, "element %zu is not a token id below %d", i,
                                 r->c->n_vocab);
        ids[i] = (int32_t)id;
    }
    *out = ids;
    *n_out = n;
    return 0;
}

int qn_field_stop(const qn_field_reader *r, const json_t *v)
{
    return read_strings(r, v, (size_t)r->c->set->max_stop, &r->f->rp.stop,
                        &r->f->rp.n_stop);
}

int qn_field_bad_words(const qn_field_reader *r, const json_t *v)
{
    return read_strings(r, v, MAX_WORDS, &r->f->bad_words, &r->f->n_bad_words);
}

int qn_field_dry_breakers(const qn_field_reader *r, const json_t *v)
{
    return read_strings(r, v, MAX_WORDS, &r->f->dry_breakers,
                        &r->f->n_dry_breakers);
}

int qn_field_stop_ids(const qn_field_reader *r, const json_t *v)
{
    return read_ids(r, v, &r->f->rp.stop_ids, &r->f->rp.n_stop_ids);
}

int qn_field_allowed_ids(const qn_field_reader *r, const json_t *v)
{
    qn_sampling *s = &r->f->rp.sampling;
    int rc = read_ids(r, v, &s->allowed_ids, &s->n_allowed);
    if (rc == 0 && s->n_allowed == 0)
        return qn_field_fail(r, "allows no token at all");
    return rc;
}

int qn_field_logit_bias(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_object(v))
        return qn_field_fail(r, "must be an object of token id: bias");
    size_t n = json_object_size(v), i = 0;
    if (n > MAX_IDS)
        return qn_field_fail(r, "has %zu entries; at most %d", n, MAX_IDS);
    qn_logit_bias *b = qn_arena_calloc(&r->f->mem, n + 1, sizeof *b);
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)v, key, x)
    {
        char *end;
        errno = 0;
        long id = strtol(key, &end, 10);
        double bias = json_number_value(x);
        if (*end || end == key || errno || id < 0 || id >= r->c->n_vocab)
            return qn_field_fail(r, "\"%.40s\" is not a token id below %d", key,
                                 r->c->n_vocab);
        if (!json_is_number(x) || !(bias >= -100 && bias <= 100))
            return qn_field_fail(r, "the bias of %ld must be -100 to 100", id);
        b[i++] = (qn_logit_bias){(int32_t)id,
                                 bias == -100 ? -INFINITY : (float)bias};
    }
    r->f->rp.sampling.logit_bias = b;
    r->f->rp.sampling.n_logit_bias = n;
    return 0;
}

/* ---- the prompt -------------------------------------------------------- */

int qn_field_model(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_string(v))
        return qn_field_fail(r, "must be a string");
    if (strcmp(json_string_value(v), r->c->model_name) == 0)
        return 0;
    r->f->status = 404;
    r->f->code = "model_not_found";
    r->f->param = "model";
    return qn_fail(r->err, QN_ENOENT,
                   "model \"%.100s\" is not served here; this server has "
                   "\"%.200s\"",
                   json_string_value(v), r->c->model_name);
}

int qn_field_prompt(const qn_field_reader *r, const json_t *v)
{
    r->f->prompt = (json_t *)(uintptr_t)v;
    if (json_is_string(v) || (json_is_array(v) && json_array_size(v) > 0))
        return 0;
    return qn_field_fail(r, "must be a string, a list of strings, a list of "
                            "token ids, or a list of such lists");
}

int qn_field_messages(const qn_field_reader *r, const json_t *v)
{
    qn_err err;
    r->f->messages = (json_t *)(uintptr_t)v;
    return qn_messages_prepare(r->f->messages, &err) < 0
               ? qn_field_fail(r, "%s", err.msg)
               : 0;
}

static bool is_named(const json_t *v, const char *name)
{
    const char *s = json_string_value(v);
    return s && strcmp(s, name) == 0;
}

/* Or nothing at all: no parameters. */
static bool is_object_schema(const json_t *s)
{
    const json_t *type = json_object_get(s, "type"), *v;
    bool one_of = false;
    size_t i;
    json_array_foreach(type, i, v) one_of |= is_named(v, "object");
    return !s || json_is_null(s) ||
           (json_is_object(s) && (!type || one_of || is_named(type, "object")));
}

int qn_field_tools(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_array(v) || json_array_size(v) > MAX_TOOLS)
        return qn_field_fail(r, "must be a list of at most %d tools",
                             MAX_TOOLS);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *tool = json_array_get(v, i);
        const char *type = json_string_value(json_object_get(tool, "type"));
        const json_t *name = json_object_get(json_object_get(tool, "function"),
                                             "name");
        const char *s = json_string_value(name);
        if (!type || strcmp(type, "function") != 0 || !s || !*s ||
            strlen(s) > 256 || strpbrk(s, "\"\\{}<>\n\r\t"))
            return qn_field_fail(r,
                                 "tools[%zu] must have type \"function\" and "
                                 "a function with a plain name",
                                 i);
        if (!is_object_schema(json_object_get(json_object_get(tool, "function"),
                                              "parameters")))
            return qn_field_fail(r,
                                 "tools[%zu]: the parameters of %.100s must be "
                                 "the schema of an object",
                                 i, s);
    }
    if (json_array_size(v) > 0)
        r->f->tools = (json_t *)(uintptr_t)v;
    return 0;
}

int qn_field_tool_choice(const qn_field_reader *r, const json_t *v)
{
    const char *s = json_string_value(v);
    const json_t *f = json_object_get(v, "function");
    const json_t *name = json_object_get(f, "name");
    const char *type = json_string_value(json_object_get(v, "type"));
    if (s && strcmp(s, "none") == 0) {
        r->f->tool_choice = QN_TOOLS_NONE;
    } else if (s && strcmp(s, "required") == 0) {
        r->f->tool_choice = QN_TOOLS_REQUIRED;
    } else if (type && strcmp(type, "function") == 0 && json_is_string(name)) {
        r->f->tool_choice = QN_TOOLS_REQUIRED;
        r->f->tool_name = qn_arena_strndup(&r->f->mem, json_string_value(name),
                                           json_string_length(name));
    } else if (!s || strcmp(s, "auto") != 0) {
        return qn_field_fail(r, "must be \"none\", \"auto\", \"required\" or "
                                "{\"type\": \"function\", \"function\": "
                                "{\"name\": ..}}");
    }
    return 0;
}

int qn_field_kwargs(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_object(v))
        return qn_field_fail(r, "must be an object");
    r->f->template_kwargs = (json_t *)(uintptr_t)v;
    return 0;
}

int qn_field_side(const qn_field_reader *r, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || (strcmp(s, "left") != 0 && strcmp(s, "right") != 0))
        return qn_field_fail(r, "must be \"left\" or \"right\"");
    r->f->truncate_right = s[0] == 'r';
    return 0;
}

/* ---- the answer -------------------------------------------------------- */

/* What the text has to be; one field may say it. */
static int set_format(const qn_field_reader *r, qn_format format,
                      const char *schema, size_t n)
{
    qn_request_params *rp = &r->f->rp;
    if (rp->format != QN_FORMAT_TEXT)
        return qn_field_fail(r, "asks for a format, and another field does, "
                                "too");
    rp->format = format;
    rp->n_schema = n;
    rp->schema = schema ? qn_arena_strndup(&r->f->mem, schema, n) : NULL;
    return 0;
}

/* JSON: a schema, as an object or its text. */
int qn_field_guided_json(const qn_field_reader *r, const json_t *v)
{
    char *made = json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;
    const char *text = made ? made : json_string_value(v);
    if (!text)
        return qn_field_fail(r, "the schema must be an object");
    int rc = set_format(r, QN_FORMAT_JSON_SCHEMA, text,
                        made ? strlen(made) : json_string_length(v));
    free(made);
    return rc;
}

static int read_text(const qn_field_reader *r, const json_t *v,
                     qn_format format, const char *refusal)
{
    if (!json_is_string(v))
        return qn_field_fail(r, "%s", refusal);
    return set_format(r, format, json_string_value(v), json_string_length(v));
}

int qn_field_guided_regex(const qn_field_reader *r, const json_t *v)
{
    return read_text(r, v, QN_FORMAT_REGEX,
                     "the regular expression must be a string");
}

int qn_field_guided_grammar(const qn_field_reader *r, const json_t *v)
{
    return read_text(r, v, QN_FORMAT_GRAMMAR, "the grammar must be a string");
}

int qn_field_guided_choice(const qn_field_reader *r, const json_t *v)
{
    char *made = json_is_array(v) ? json_dumps(v, JSON_COMPACT) : NULL;
    if (!made)
        return qn_field_fail(r, "the choices must be a list of strings");
    int rc = set_format(r, QN_FORMAT_CHOICE, made, strlen(made));
    free(made);
    return rc;
}

int qn_field_response_format(const qn_field_reader *r, const json_t *v)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    const json_t *inner = json_object_get(v, "json_schema");
    if (!type)
        return qn_field_fail(r, "must be an object with a type");
    if (strcmp(type, "text") == 0)
        return 0;
    const json_t *bare = json_object_get(v, "schema"); /* as llama.cpp has it */
    if (strcmp(type, "json_object") == 0 && json_is_object(bare))
        return qn_field_guided_json(r, bare);
    if (strcmp(type, "json_object") == 0)
        return set_format(r, QN_FORMAT_JSON_OBJECT, NULL, 0);
    if (strcmp(type, "json_schema") != 0)
        return qn_field_fail(r,
                             "there is no type \"%.40s\"; use text, "
                             "json_object or json_schema",
                             type);
    if (!json_is_object(json_object_get(inner, "schema")))
        return qn_field_fail(r, "json_schema.schema must be an object");
    return qn_field_guided_json(r, json_object_get(inner, "schema"));
}

static int read_json_object(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_boolean(v))
        return qn_field_fail(r, "json_object must be true or false");
    return json_is_true(v) ? set_format(r, QN_FORMAT_JSON_OBJECT, NULL, 0) : 0;
}

/* vLLM's, which has had all of these as fields of their own before. */
int qn_field_structured(const qn_field_reader *r, const json_t *v)
{
    static const struct {
        const char *name;
        qn_field_fn read;
    } parts[] = {
        {"json", qn_field_guided_json},
        {"regex", qn_field_guided_regex},
        {"choice", qn_field_guided_choice},
        {"grammar", qn_field_guided_grammar},
        {"json_object", read_json_object},
    };
    const char *name;
    json_t *x;
    if (!json_is_object(v))
        return qn_field_fail(r, "must be an object");
    json_object_foreach((json_t *)(uintptr_t)v, name, x)
    {
        size_t i = 0;
        if (json_is_null(x))
            continue;
        while (i < QN_COUNTOF(parts) && strcmp(parts[i].name, name) != 0)
            i++;
        if (i == QN_COUNTOF(parts))
            return qn_field_fail(r,
                                 "%.40s is not supported; json, regex, choice, "
                                 "grammar and json_object are",
                                 name);
        QN_TRY(parts[i].read(r, x));
    }
    return 0;
}

int qn_field_modalities(const qn_field_reader *r, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));
        if (!s || strcmp(s, "text") != 0)
            return qn_field_fail(r, "only text is supported");
    }
    return json_is_array(v) ? 0 : qn_field_fail(r, "must be a list");
}

int qn_field_stream_options(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_object(v))
        return qn_field_fail(r, "must be an object");
    const char *name;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)v, name, x)
    {
        if (json_is_null(x))
            continue;
        if (!json_is_boolean(x))
            return qn_field_fail(r, "%.60s must be true or false", name);
        if (strcmp(name, "include_usage") == 0)
            r->f->include_usage = json_is_true(x);
        else if (strcmp(name, "continuous_usage_stats") == 0)
            r->f->continuous_usage = json_is_true(x);
        else if (strcmp(name, "include_obfuscation") != 0)
            return qn_field_fail(r, "has no option %.60s", name);
    }
    return 0;
}

/* A number for completions, true or false for chats. */
int qn_field_logprobs(const qn_field_reader *r, const json_t *v)
{
    if (r->c->route == QN_FIELD_CHAT) {
        if (!json_is_boolean(v))
            return qn_field_fail(r, "must be true or false here; the number "
                                    "is top_logprobs");
        r->f->want_logprobs = json_is_true(v);
        return 0;
    }
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > 1024)
        return qn_field_fail(r, "must be a whole number, 0 to %lld",
                             (long long)r->c->set->max_logprobs);
    r->f->logprobs = n;
    r->f->want_logprobs = true;
    return 0;
}

int qn_field_seed(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_integer(v))
        return qn_field_fail(r, "must be a whole number of 64 bits");
    r->f->rp.sampling.seed = (uint64_t)json_integer_value(v);
    return 0;
}

/* The hash is keyed per process: nobody can aim at another's part. */
int qn_field_salt(const qn_field_reader *r, const json_t *v)
{
    if (!json_is_string(v))
        return qn_field_fail(r, "must be a string");
    r->f->rp.cache_salt = qn_hash(json_string_value(v), json_string_length(v));
    return 0;
}
