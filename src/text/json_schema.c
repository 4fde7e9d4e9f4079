/* json_schema.c - a JSON schema as a grammar; see json_grammar.h.
 *
 * Every schema that a $ref names is a rule, so that schemas may use
 * themselves; all others are nodes where they stand. */
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "text/json_parts.h"
#include "text/regex_grammar.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NODES ((size_t)1 << 17)
#define MAX_REFS 512
#define MAX_NEST 64 /* of the schema's text */
#define LIST(...) ((const qn_gram_node[]){__VA_ARGS__, QN_GRAM_END})

typedef struct schema_ref {
    const json_t *schema;
    const char *where; /* the $ref */
    qn_gram_node rule;
} schema_ref;

typedef struct schema_ctx {
    qn_json_parts p;
    const json_t *root;
    qn_str at; /* JSON pointer of what is compiled, which errors name */
    QN_VEC(schema_ref) refs;
    size_t n_done; /* of refs */
    qn_err *err;
} schema_ctx;

#define KINDS 7
static const char *const kind_names[KINDS] = {"object",  "array",  "string",
                                              "integer", "number", "boolean",
                                              "null"};

/* Keywords and what they are about: bits of kinds, or 0 for all. */
typedef struct keyword {
    const char *name;
    unsigned kinds;
} keyword;

enum {
    OBJECT = 1,
    ARRAY = 2,
    STRING = 4,
    INTEGER = 8,
    NUMBER = 16,
    ALL_KINDS = 127
};

static const keyword keywords[] = {
    {"type", 0},           {"properties", OBJECT},
    {"required", OBJECT},  {"additionalProperties", OBJECT},
    {"items", ARRAY},      {"minItems", ARRAY},
    {"maxItems", ARRAY},   {"minLength", STRING},
    {"maxLength", STRING}, {"minimum", INTEGER},
    {"maximum", INTEGER},  {"pattern", STRING},
};

static const char *const annotations[] = {
    "title",         "description", "default",         "examples",
    "$schema",       "$id",         "$comment",        "deprecated",
    "readOnly",      "writeOnly",   "$defs",           "definitions",
    "$anchor",       "format",      "contentEncoding", "contentMediaType",
    "contentSchema",
};

/* Values of "format", which is an annotation: those that are held to. */
#define DATE "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"
#define HOUR "([01]\\d|2[0-3]):[0-5]\\d"
#define TIME HOUR ":[0-5]\\d(\\.\\d{1,9})?(Z|[+-]" HOUR ")"
#define OCTET "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define HEX "[0-9a-fA-F]"
#define NAME "[A-Za-z0-9]+"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"ipv4", "^" OCTET "(\\." OCTET "){3}$"},
    {"uuid", "^" HEX "{8}(-" HEX "{4}){3}-" HEX "{12}$"},
    {"email",
     "^" NAME "([._%+-]" NAME ")*@" NAME "([.-]" NAME ")*\\.[A-Za-z]{2,}$"},
};

static int refuse(schema_ctx *c, const char *what)
{
    return qn_fail(c->err, QN_EUNSUP, "%s is not supported", what);
}

static bool is_annotation(const char *key)
{
    for (size_t i = 0; i < QN_COUNTOF(annotations); i++)
        if (strcmp(annotations[i], key) == 0)
            return true;
    return false;
}

/* Nothing but annotations beside `only`. */
static int check_alone(schema_ctx *c, const json_t *s, const char *only)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)s, key, v)
    {
        if (strcmp(key, only) != 0 && !is_annotation(key))
            return qn_fail(c->err, QN_EUNSUP,
                           "\"%.60s\" beside \"%s\" is not supported", key,
                           only);
    }
    return 0;
}

static int compile(schema_ctx *c, const json_t *s, int depth,
                   qn_gram_node *out);

/* A schema within one that stands at `depth`: under `step`, and there under
 * `key`. After an error c->at stays where that was. */
static int compile_in(schema_ctx *c, const json_t *s, int depth,
                      const char *step, const char *key, qn_gram_node *out)
{
    size_t n = c->at.n;
    qn_str_addf(&c->at, "/%s", step);
    if (key)
        qn_str_addf(&c->at, "/%.60s", key);
    QN_TRY(compile(c, s, depth + 1, out));
    c->at.n = n;
    c->at.p[n] = 0;
    return 0;
}

/* ---- references ---------------------------------------------------------- */

/* One step of a JSON pointer: t[n] unescaped. */
static const json_t *step_into(const json_t *at, const char *t, size_t n)
{
    char key[256];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        char ch = t[i];
        if (ch == '~' && i + 1 < n)
            ch = t[++i] == '0' ? '~' : '/';
        if (m + 1 >= sizeof key)
            return NULL;
        key[m++] = ch;
    }
    key[m] = 0;
    if (!json_is_array(at))
        return json_object_get(at, key);
    char *end;
    long i = strtol(key, &end, 10);
    return *end || i < 0 ? NULL : json_array_get(at, (size_t)i);
}

static int find_ref(schema_ctx *c, const char *ref, const json_t **out)
{
    const json_t *at = c->root;
    const char *p = ref;
    if (*p++ != '#' || (*p && *p != '/'))
        return qn_fail(c->err, QN_EUNSUP,
                       "$ref \"%.80s\": only references within the "
                       "document (#/...) are supported",
                       ref);
    while (at && *p == '/') {
        size_t n = strcspn(++p, "/");
        at = step_into(at, p, n);
        p += n;
    }
    if (!at)
        return qn_fail(c->err, QN_EINVAL, "$ref \"%.80s\" names nothing", ref);
    *out = at;
    return 0;
}

static int compile_ref(schema_ctx *c, const json_t *s, const json_t *ref,
                       qn_gram_node *out)
{
    const json_t *target;
    if (!json_is_string(ref))
        return qn_fail(c->err, QN_EINVAL, "$ref is not a string");
    QN_TRY(check_alone(c, s, "$ref"));
    QN_TRY(find_ref(c, json_string_value(ref), &target));
    for (size_t i = 0; i < c->refs.n; i++)
        if (c->refs.v[i].schema == target) {
            *out = c->refs.v[i].rule;
            return 0;
        }
    if (c->refs.n == MAX_REFS)
        return qn_fail(c->err, QN_ELIMIT, "more than %d definitions are used",
                       MAX_REFS);
    *out = qn_gram_rule(c->p.g);
    qn_vec_push(&c->refs, ((schema_ref){target, json_string_value(ref), *out}));
    return 0;
}

/* ---- values that are listed ---------------------------------------------- */

static int add_value(schema_ctx *c, const json_t *v, qn_gram_node *out)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text)
        return qn_fail(c->err, QN_EINVAL, "a value cannot be written");
    qn_gram_node n = qn_json_word(&c->p, text);
    free(text);
    *out = *out == QN_GRAM_END ? n : qn_gram_alt(c->p.g, n, *out);
    return 0;
}

static bool is_kind(const json_t *v, int kind)
{
    switch (kind) {
    case 0: return json_is_object(v);
    case 1: return json_is_array(v);
    case 2: return json_is_string(v);
    case 3: return json_is_integer(v);
    case 4: return json_is_number(v);
    case 5: return json_is_boolean(v);
    default: return json_is_null(v);
    }
}

static bool has_kind(unsigned kinds, const json_t *v)
{
    for (int k = 0; k < KINDS; k++)
        if (kinds >> k & 1 && is_kind(v, k))
            return true;
    return false;
}

/* enum or const, those of the kinds that `type` allows. */
static int compile_values(schema_ctx *c, const json_t *s, unsigned kinds,
                          qn_gram_node *out)
{
    const json_t *one = json_object_get(s, "const");
    const json_t *list = json_object_get(s, "enum");
    *out = QN_GRAM_END;
    if (one && list)
        return refuse(c, "\"enum\" beside \"const\"");
    if (list && !json_is_array(list))
        return qn_fail(c->err, QN_EINVAL, "enum is not a list");
    if (one && has_kind(kinds, one))
        QN_TRY(add_value(c, one, out));
    for (size_t i = 0; i < json_array_size(list); i++)
        if (has_kind(kinds, json_array_get(list, i)))
            QN_TRY(add_value(c, json_array_get(list, i), out));
    if (*out == QN_GRAM_END)
        return qn_fail(c->err, QN_EINVAL,
                       "no value of enum or const is of its type");
    return 0;
}

/* ---- kinds ---------------------------------------------------------------- */

/* A count: *out is left when it is not there. */
static int count_of(schema_ctx *c, const json_t *s, const char *key,
                    uint32_t *out)
{
    const json_t *v = json_object_get(s, key);
    if (!v)
        return 0;
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (n < 0 || n > INT32_MAX)
        return qn_fail(c->err, QN_EINVAL, "%s has to be an integer of 0 to %d",
                       key, INT32_MAX);
    *out = (uint32_t)n;
    return 0;
}

static int range_of(schema_ctx *c, const json_t *s, const char *min_key,
                    const char *max_key, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = QN_GRAM_MANY;
    QN_TRY(count_of(c, s, min_key, min));
    QN_TRY(count_of(c, s, max_key, max));
    if (*min > *max)
        return qn_fail(c->err, QN_EINVAL, "%s is above %s", min_key, max_key);
    return 0;
}

/* Beside a pattern or a length a format stays an annotation. */
static qn_view pattern_of_format(const json_t *s)
{
    const char *name = json_string_value(json_object_get(s, "format"));
    for (size_t i = 0; name && i < QN_COUNTOF(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return qn_view_of(formats[i].pattern, strlen(formats[i].pattern));
    return (qn_view){0};
}

static int compile_string(schema_ctx *c, const json_t *s, qn_gram_node *out)
{
    uint32_t min, max;
    const json_t *pattern = json_object_get(s, "pattern");
    QN_TRY(range_of(c, s, "minLength", "maxLength", &min, &max));
    qn_gram_node body = 0;
    if (pattern && (min > 0 || max != QN_GRAM_MANY))
        return refuse(c, "a pattern beside a length");
    if (pattern && !json_is_string(pattern))
        return qn_fail(c->err, QN_EINVAL, "pattern must be a string");
    qn_view regex = {0};
    if (pattern)
        regex = qn_view_of(json_string_value(pattern),
                           json_string_length(pattern));
    else if (min == 0 && max == QN_GRAM_MANY)
        regex = pattern_of_format(s);
    if (regex.p)
        QN_TRY(qn_regex_json_node(c->p.g, regex.p, regex.n, &body, c->err));
    else if (max > 0)
        body = qn_gram_repeat(c->p.g, c->p.character, min, max);
    *out = qn_gram_seq(c->p.g, LIST(c->p.quote, body, c->p.quote));
    return 0;
}

#define MAX_INTEGER 999999999999999 /* 15 digits */

static int bound_of(schema_ctx *c, const json_t *s, const char *key,
                    int64_t *out)
{
    const json_t *v = json_object_get(s, key);
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) > MAX_INTEGER ||
        json_integer_value(v) < -MAX_INTEGER)
        return qn_fail(c->err, QN_EUNSUP,
                       "%s that is not an integer of at most 15 "
                       "digits is not supported",
                       key);
    *out = json_integer_value(v);
    return 0;
}

static int compile_integer(schema_ctx *c, const json_t *s, qn_gram_node *out)
{
    int64_t lo = -MAX_INTEGER, hi = MAX_INTEGER;
    *out = c->p.integer;
    if (!json_object_get(s, "minimum") && !json_object_get(s, "maximum"))
        return 0;
    QN_TRY(bound_of(c, s, "minimum", &lo));
    QN_TRY(bound_of(c, s, "maximum", &hi));
    if (lo > hi)
        return qn_fail(c->err, QN_EINVAL, "minimum is above maximum");
    *out = qn_json_range(&c->p, lo, hi);
    return 0;
}

static int compile_array(schema_ctx *c, const json_t *s, int depth,
                         qn_gram_node *out)
{
    uint32_t min, max;
    const json_t *items = json_object_get(s, "items");
    qn_gram_node element = c->p.value;
    if (json_is_array(items))
        return refuse(c, "\"items\" as a list");
    QN_TRY(range_of(c, s, "minItems", "maxItems", &min, &max));
    if (items)
        QN_TRY(compile_in(c, items, depth, "items", NULL, &element));
    *out = qn_json_list(&c->p, "[", element, min, max, "]");
    return 0;
}

static bool is_required(const json_t *required, const char *key)
{
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *k = json_string_value(json_array_get(required, i));
        if (k && strcmp(k, key) == 0)
            return true;
    }
    return false;
}

static int check_required(schema_ctx *c, const json_t *required,
                          const json_t *properties)
{
    if (required && !json_is_array(required))
        return qn_fail(c->err, QN_EINVAL, "required is not a list");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *k = json_string_value(json_array_get(required, i));
        if (!k)
            return qn_fail(c->err, QN_EINVAL,
                           "required holds something that is no "
                           "string");
        if (!json_object_get(properties, k))
            return qn_fail(c->err, QN_EUNSUP,
                           "\"%.60s\" is required but not among the "
                           "properties, which is not supported",
                           k);
    }
    return 0;
}

/* Members of which some have to be there: behind[i] are the ways to go on
 * with property i behind a member, ahead[i] those with none before. */
static int compile_members(schema_ctx *c, const json_t *properties,
                           const json_t *required, int depth, qn_gram_node *out)
{
    typedef struct prop {
        qn_gram_node member;
        bool required;
    } prop;
    QN_VEC(prop) v = {0};
    qn_grammar *g = c->p.g;
    const char *key;
    json_t *s;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)properties, key, s)
    {
        qn_gram_node value, name = QN_GRAM_END;
        json_t *k = json_string(key);
        rc = k ? add_value(c, k, &name) : QN_EINVAL;
        json_decref(k);
        if (rc == 0)
            rc = compile_in(c, s, depth, "properties", key, &value);
        if (rc < 0)
            break;
        qn_vec_push(
            &v,
            ((prop){qn_gram_seq(g, LIST(name, qn_json_mark(&c->p, ":"), value)),
                    is_required(required, key)}));
    }
    qn_gram_node behind = c->p.blank, ahead = 0;
    qn_gram_node comma = qn_json_mark(&c->p, ",");
    for (size_t i = v.n; rc == 0 && i > 0; i--) {
        const prop *p = &v.v[i - 1];
        qn_gram_node first = qn_gram_cat(g, p->member, behind);
        qn_gram_node later = qn_gram_cat(g, comma, first);
        ahead = p->required ? first : qn_gram_alt(g, first, ahead);
        behind = p->required ? later : qn_gram_alt(g, later, behind);
    }
    qn_vec_deinit(&v);
    *out = ahead;
    return rc;
}

static int compile_object(schema_ctx *c, const json_t *s, int depth,
                          qn_gram_node *out)
{
    const json_t *properties = json_object_get(s, "properties");
    const json_t *required = json_object_get(s, "required");
    const json_t *more = json_object_get(s, "additionalProperties");
    if (properties && !json_is_object(properties))
        return qn_fail(c->err, QN_EINVAL, "properties is not an object");
    if (more && !json_is_boolean(more) && !json_is_object(more))
        return qn_fail(c->err, QN_EINVAL, "additionalProperties is no schema");
    QN_TRY(check_required(c, required, properties));
    qn_gram_node members = 0, value = c->p.value;
    if (json_object_size(properties) == 0 && !json_is_false(more)) {
        if (json_is_object(more))
            QN_TRY(compile_in(c, more, depth, "additionalProperties", NULL,
                              &value));
        *out = qn_json_list(&c->p, "{",
                            qn_gram_seq(c->p.g,
                                        LIST(c->p.string,
                                             qn_json_mark(&c->p, ":"), value)),
                            0, QN_GRAM_MANY, "}");
        return 0;
    }
    QN_TRY(compile_members(c, properties, required, depth, &members));
    *out = qn_gram_nest(c->p.g,
                        qn_gram_seq(c->p.g,
                                    LIST(qn_json_word(&c->p, "{"), c->p.blank,
                                         members, qn_json_word(&c->p, "}"))));
    return 0;
}

static int compile_kind(schema_ctx *c, const json_t *s, int kind, int depth,
                        qn_gram_node *out)
{
    switch (kind) {
    case 0: return compile_object(c, s, depth, out);
    case 1: return compile_array(c, s, depth, out);
    case 2: return compile_string(c, s, out);
    case 3: return compile_integer(c, s, out);
    case 4: *out = c->p.number; return 0;
    case 5: *out = c->p.boolean; return 0;
    default: *out = c->p.null; return 0;
    }
}

/* ---- a schema -------------------------------------------------------------- */

static int kind_bit(schema_ctx *c, const json_t *v, unsigned *kinds)
{
    const char *name = json_string_value(v);
    for (int k = 0; name && k < KINDS; k++)
        if (strcmp(name, kind_names[k]) == 0) {
            *kinds |= 1u << k;
            return 0;
        }
    return qn_fail(c->err, QN_EINVAL, "type \"%.40s\" is not known",
                   name ? name : "(no string)");
}

/* The kinds that `type` allows. Without it those that the keywords are about,
 * since that is what their writers mean; else all. */
static int kinds_of(schema_ctx *c, const json_t *s, unsigned about,
                    unsigned *kinds)
{
    const json_t *type = json_object_get(s, "type");
    *kinds = type ? 0 : about ? about : ALL_KINDS & ~(unsigned)INTEGER;
    if (json_is_array(type)) {
        for (size_t i = 0; i < json_array_size(type); i++)
            QN_TRY(kind_bit(c, json_array_get(type, i), kinds));
        if (*kinds == 0)
            return qn_fail(c->err, QN_EINVAL, "type is an empty list");
    } else if (type) {
        QN_TRY(kind_bit(c, type, kinds));
    }
    return 0;
}

/* Every keyword is one that is understood, and about a kind that is allowed;
 * *about collects what kinds they are about. */
static int check_keywords(schema_ctx *c, const json_t *s, unsigned *about)
{
    const char *key;
    json_t *v;
    *about = 0;
    json_object_foreach((json_t *)(uintptr_t)s, key, v)
    {
        size_t i = 0;
        if (is_annotation(key) || strcmp(key, "enum") == 0 ||
            strcmp(key, "const") == 0)
            continue;
        while (i < QN_COUNTOF(keywords) && strcmp(keywords[i].name, key) != 0)
            i++;
        if (i == QN_COUNTOF(keywords))
            return qn_fail(c->err, QN_EUNSUP,
                           "keyword \"%.60s\" is not supported", key);
        *about |= keywords[i].kinds;
    }
    return 0;
}

static int compile_any_of(schema_ctx *c, const json_t *s, const json_t *list,
                          const char *key, int depth, qn_gram_node *out)
{
    QN_TRY(check_alone(c, s, key));
    size_t n = json_array_size(list);
    if (n == 0)
        return qn_fail(c->err, QN_EINVAL, "%s is no list of schemas", key);
    if (strcmp(key, "allOf") == 0 && n > 1)
        return refuse(c, "\"allOf\" of several");
    *out = QN_GRAM_END;
    for (size_t i = n; i > 0; i--) {
        qn_gram_node one;
        char number[24];
        snprintf(number, sizeof number, "%zu", i - 1);
        QN_TRY(compile_in(c, json_array_get(list, i - 1), depth, key, number,
                          &one));
        *out = *out == QN_GRAM_END ? one : qn_gram_alt(c->p.g, one, *out);
    }
    return 0;
}

static int compile_kinds(schema_ctx *c, const json_t *s, int depth,
                         qn_gram_node *out)
{
    unsigned kinds, about;
    QN_TRY(check_keywords(c, s, &about));
    QN_TRY(kinds_of(c, s, about, &kinds));
    if (json_object_get(s, "enum") || json_object_get(s, "const")) {
        if (about)
            return refuse(c, "\"enum\" or \"const\" beside other keywords");
        return compile_values(c, s, kinds, out);
    }
    if ((about & INTEGER) && (kinds & NUMBER))
        return refuse(c, "\"minimum\" or \"maximum\" of what may be no "
                         "integer");
    *out = QN_GRAM_END;
    for (int k = KINDS; k > 0; k--) {
        qn_gram_node one;
        if (!(kinds >> (k - 1) & 1))
            continue;
        QN_TRY(compile_kind(c, s, k - 1, depth, &one));
        *out = *out == QN_GRAM_END ? one : qn_gram_alt(c->p.g, one, *out);
    }
    return 0;
}

static int compile(schema_ctx *c, const json_t *s, int depth, qn_gram_node *out)
{
    static const char *const lists[] = {"anyOf", "allOf"};
    if (depth > MAX_NEST || qn_gram_n_nodes(c->p.g) > MAX_NODES)
        return qn_fail(c->err, QN_ELIMIT, "too large, or nested deeper than %d",
                       MAX_NEST);
    if (json_is_true(s)) {
        *out = c->p.value;
        return 0;
    }
    if (!json_is_object(s))
        return json_is_false(s)
                   ? refuse(c, "false")
                   : qn_fail(c->err, QN_EINVAL, "a schema is an object");
    const json_t *ref = json_object_get(s, "$ref");
    if (ref)
        return compile_ref(c, s, ref, out);
    for (size_t i = 0; i < QN_COUNTOF(lists); i++) {
        const json_t *list = json_object_get(s, lists[i]);
        if (list)
            return compile_any_of(c, s, list, lists[i], depth, out);
    }
    return compile_kinds(c, s, depth, out);
}

/* What is referred to, which may refer to more. */
static int compile_refs(schema_ctx *c)
{
    for (; c->n_done < c->refs.n; c->n_done++) {
        qn_gram_node n;
        qn_str_clear(&c->at);
        qn_str_adds(&c->at, c->refs.v[c->n_done].where);
        QN_TRY(compile(c, c->refs.v[c->n_done].schema, 0, &n));
        qn_gram_define(c->p.g, c->refs.v[c->n_done].rule, n);
    }
    return 0;
}

int qn_schema_grammar(qn_grammar **out, const char *schema, size_t n,
                      qn_err *err)
{
    json_t *root = NULL;
    schema_ctx c = {.err = err};
    qn_gram_node start;
    if (n > QN_SCHEMA_MAX)
        return qn_fail(err, QN_ELIMIT, "schema: %zu bytes; at most %zu", n,
                       QN_SCHEMA_MAX);
    QN_TRY(qn_json_parse(&root, schema, n, "schema", err));
    c.root = root;
    qn_str_adds(&c.at, "#");
    qn_json_parts_make(&c.p, qn_grammar_new());
    int rc = compile(&c, root, 0, &start);
    if (rc == 0)
        rc = compile_refs(&c);
    if (rc < 0)
        qn_err_prefix(err, rc, "schema%s%s", c.at.n > 1 ? " at " : "",
                      c.at.n > 1 ? c.at.p : "");
    else
        rc = qn_gram_finish(c.p.g, qn_gram_cat(c.p.g, c.p.blank, start),
                            "schema", err);
    qn_vec_deinit(&c.refs);
    qn_str_deinit(&c.at);
    json_decref(root);
    if (rc < 0) {
        qn_grammar_free(c.p.g);
        return rc;
    }
    *out = c.p.g;
    return 0;
}
