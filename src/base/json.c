/* json.c - jansson behind a depth check.
 *
 * jansson recurses per level (it stops at 2048 by itself), and so does every
 * walk over its result; a flat scan refuses deep documents before either. */
#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    JSON_MAX_DEPTH = 256
};

/* Behind the string whose opening quote is at p[-1]. */
static const char *json_skip_string(const char *p, const char *end)
{
    for (;;) {
        const char *q = memchr(p, '"', (size_t)(end - p));
        if (!q)
            return end;
        size_t slashes = 0;
        while (q - slashes > p && q[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        p = q + 1;
        if (slashes % 2 == 0)
            return p;
    }
}

static int json_check_depth(const char *text, size_t n, const char *name,
                            qn_err *err)
{
    int depth = 0;
    const char *end = text + n;
    for (const char *p = text; p < end;) {
        char c = *p++;
        if (c == '"') {
            p = json_skip_string(p, end);
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_MAX_DEPTH)
                return qn_fail(err, QN_EFORMAT,
                               "%s: JSON nested deeper than %d levels at "
                               "byte %zu",
                               name, JSON_MAX_DEPTH, (size_t)(p - 1 - text));
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return QN_OK;
}

int qn_json_parse(json_t **out, const char *text, size_t n, const char *name,
                  qn_err *err)
{
    QN_TRY(json_check_depth(text, n, name, err));
    json_error_t je;
    json_t *v = json_loadb(text, n,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL |
                               JSON_DECODE_ANY,
                           &je);
    if (!v)
        return qn_fail(err,
                       json_error_code(&je) == json_error_out_of_memory
                           ? QN_ENOMEM
                           : QN_EFORMAT,
                       "%s:%d:%d: not valid JSON: %s", name, je.line, je.column,
                       je.text);
    *out = v;
    return QN_OK;
}

int qn_json_load(json_t **out, const char *path, size_t max_bytes, qn_err *err)
{
    char *text;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, max_bytes, err));
    int rc = qn_json_parse(out, text, n, path, err);
    free(text);
    return rc;
}

/* ---- typed members ----------------------------------------------------- */

static const char *json_type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "a truth value";
    case JSON_NULL: return "null";
    }
    return "unknown";
}

static int json_wrong(const json_t *v, const char *key, const char *want,
                      const char *doc, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT, "%s: \"%s\" should be %s, is %s", doc, key,
                   want, json_type_name(v));
}

static const json_t *json_member(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && !json_is_null(v) ? v : NULL;
}

int qn_json_i64(const json_t *o, const char *key, int64_t *out, const char *doc,
                qn_err *err)
{
    const json_t *v = json_member(o, key);
    if (!v)
        return 0;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return 1;
    }
    double d = json_is_real(v) ? json_real_value(v) : NAN;
    if (!(d >= -0x1p63 && d < 0x1p63) || d != floor(d))
        return json_wrong(v, key, "an integer of 64 bits", doc, err);
    *out = (int64_t)d;
    return 1;
}

int qn_json_f64(const json_t *o, const char *key, double *out, const char *doc,
                qn_err *err)
{
    const json_t *v = json_member(o, key);
    if (!v)
        return 0;
    if (!json_is_number(v))
        return json_wrong(v, key, "a number", doc, err);
    *out = json_number_value(v);
    return 1;
}

int qn_json_bool(const json_t *o, const char *key, bool *out, const char *doc,
                 qn_err *err)
{
    const json_t *v = json_member(o, key);
    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return json_wrong(v, key, "true or false", doc, err);
    *out = json_is_true(v);
    return 1;
}

int qn_json_str(const json_t *o, const char *key, const char **out,
                const char *doc, qn_err *err)
{
    const json_t *v = json_member(o, key);
    if (!v)
        return 0;
    if (!json_is_string(v))
        return json_wrong(v, key, "a string", doc, err);
    *out = json_string_value(v);
    return 1;
}
