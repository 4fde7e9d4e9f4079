/* schema.c - see schema.h.
 *
 * Draft 7, which every editor knows. An option is a definition; its names, with
 * dashes and with underscores, refer to it. null is "not set", as in the
 * program. What the program checks beyond the shape of a value (that two
 * settings agree) is for --check-config. */
#include "cli/schema.h"

#include "cli/commands.h"
#include "cli/option_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *of_type(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *with_bounds(json_t *s, const qn_opt *o)
{
    if (o->hi <= o->lo)
        return s;
    if (o->type == QN_OPT_REAL) {
        json_object_set_new(s, "minimum", json_real(o->lo));
        json_object_set_new(s, "maximum", json_real(o->hi));
        return s;
    }
    json_object_set_new(s, "minimum", json_integer((json_int_t)o->lo));
    json_object_set_new(s, "maximum", json_integer((json_int_t)o->hi));
    return s;
}

static json_t *choices(const qn_opt *o)
{
    json_t *all = json_array();
    char buf[64];
    for (size_t i = 0; qn_choice_at(o->arg, i, buf, sizeof buf); i++)
        json_array_append_new(all, json_string(buf));
    return json_pack("{s:o}", "enum", all);
}

/* Text, a list of texts or numbers, or an object for pairs such as "5=-1". */
static json_t *list(void)
{
    return json_pack("{s:[s,s,s,s],s:{s:[s,s]},s:{s:[s,s]}}", "type", "string",
                     "number", "array", "object", "items", "type", "string",
                     "number", "additionalProperties", "type", "string",
                     "number");
}

static json_t *of_value(const qn_opt *o)
{
    switch (o->type) {
    case QN_OPT_FLAG: return of_type("boolean");
    case QN_OPT_INT: return with_bounds(of_type("integer"), o);
    case QN_OPT_REAL: return with_bounds(of_type("number"), o);
    case QN_OPT_CHOICE: return choices(o);
    case QN_OPT_LIST: return list();
    case QN_OPT_SIZE:
        return json_pack("{s:[s,s],s:i,s:s}", "type", "integer", "string",
                         "minimum", 0, "pattern",
                         "^[0-9.]+([kKmMgGtT]i?B?|B)?$");
    case QN_OPT_IDS:
        return json_pack("{s:[s,s],s:{s:s,s:i}}", "type", "string", "array",
                         "items", "type", "integer", "minimum", 0);
    case QN_OPT_JSON:
        return json_pack("{s:[s,s,s,s]}", "type", "string", "object", "array",
                         "boolean");
    case QN_OPT_TEXT:
    case QN_OPT_SOURCE:
    case QN_OPT_FILE:
    case QN_OPT_DIR: break;
    }
    return of_type("string");
}

/* A default in the type of its option. */
static json_t *of_default(const qn_opt *o)
{
    if (!o->def)
        return NULL;
    if (o->type == QN_OPT_FLAG)
        return json_boolean(strcmp(o->def, "true") == 0);
    char *end;
    long long whole = strtoll(o->def, &end, 10);
    bool number = o->type == QN_OPT_INT || o->type == QN_OPT_REAL;
    if (number && !*end)
        return json_integer(whole);
    return number ? json_real(strtod(o->def, NULL)) : json_string(o->def);
}

static json_t *definition(const qn_opt *o)
{
    json_t *value = of_value(o);
    json_t *s = json_pack("{s:s,s:[o,{s:s}]}", "description", o->help, "anyOf",
                          value, "type", "null");
    json_t *def = of_default(o);
    if (def)
        json_object_set_new(s, "default", def);
    return s;
}

typedef struct schema {
    json_t *definitions, *properties;
} schema;

static void refer(schema *s, const char *name, size_t n, const char *to)
{
    char key[80], ref[100];
    snprintf(ref, sizeof ref, "#/definitions/%s", to);
    snprintf(key, sizeof key, "%.*s", (int)n, name);
    json_object_set_new(s->properties, key, json_pack("{s:s}", "$ref", ref));
    if (!strchr(key, '-'))
        return;
    for (char *p = key; *p; p++)
        if (*p == '-')
            *p = '_';
    json_object_set_new(s->properties, key, json_pack("{s:s}", "$ref", ref));
}

static void add(void *user, const char *title, const qn_opt *o)
{
    schema *s = user;
    (void)title;
    if (qn_opt_only_typed(o))
        return;
    json_object_set_new(s->definitions, o->name, definition(o));
    refer(s, o->name, strlen(o->name), o->name);
    for (const char *p = o->also; p && *p;) {
        size_t n = strcspn(p, " ");
        refer(s, p, n, o->name);
        p += n + (p[n] == ' ');
    }
}

int qn_schema_print(const char *command, qn_err *err)
{
    const qn_command *cmd = NULL;
    for (size_t i = 0; qn_commands[i] && !cmd; i++)
        if (strcmp(qn_commands[i]->name, command) == 0)
            cmd = qn_commands[i];
    if (!cmd)
        return qn_usage(err, "there is no command '%.60s'", command);
    schema s = {json_object(), json_object()};
    char title[100];
    snprintf(title, sizeof title, "Settings of quern %s", cmd->name);
    qn_command_each(cmd, add, &s);
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:{s:{}},s:b,s:o}", "$schema",
        "http://json-schema.org/draft-07/schema#", "title", title,
        "description",
        "Read with --config FILE; --check-config says what comes of it. Made "
        "from the option table by quern --generate-schema.",
        "type", "object", "properties", s.properties, "patternProperties",
        "^\\$", "additionalProperties", 0, "definitions", s.definitions);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    puts(text);
    free(text);
    json_decref(root);
    return 0;
}
