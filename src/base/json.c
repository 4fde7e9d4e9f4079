/* json.c - jansson behind a depth check.
 *
 * jansson recurses per level (it stops at 2048 by itself), and so does every
 * walk over its result; a flat scan refuses deep documents before either. It
 * costs 4 % of the parse, the check for duplicate keys another 3 %.
 *
 * Two things that stand in checkpoints are no JSON for jansson: integers
 * beyond 64 bits (the tokenizer_config.json of many models says "no limit" as
 * 1000000000000000019884624838656), and Python's NaN and Infinity. A document
 * that fails for one of them is copied with these replaced and read again. */
#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
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

/* What jansson does not look at: depth, and a NUL behind a number, which it
 * skips. */
static int json_scan(const char *text, size_t n, const char *name, qn_err *err)
{
    int depth = 0;
    const char *end = text + n;
    const char *nul = n ? memchr(text, '\0', n) : NULL;
    if (nul)
        return qn_fail(err, QN_EFORMAT,
                       "%s: not valid JSON: NUL byte at byte %zu", name,
                       (size_t)(nul - text));
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

/* ---- numbers that jansson refuses -------------------------------------- */

/* Length of the integer at p (optional minus, digits, and no fraction or
 * exponent behind) if it does not fit 64 bits, else 0. */
static size_t json_big_integer(const char *p, const char *end)
{
    const char *q = p + (*p == '-');
    const char *digits = q;
    while (q < end && *q >= '0' && *q <= '9')
        q++;
    if (q - digits < 19 || (q < end && (*q == '.' || *q == 'e' || *q == 'E')))
        return 0;
    char buf[24];
    if (q - digits == 19) {
        memcpy(buf, p, (size_t)(q - p));
        buf[q - p] = '\0';
        errno = 0;
        (void)strtoll(buf, NULL, 10);
        if (errno == 0)
            return 0;
    }
    return (size_t)(q - p);
}

typedef struct json_word {
    const char *from, *to;
} json_word;

/* Words of Python's dialect. An infinite double has no place in JSON; the
 * largest finite one becomes infinite again when it is narrowed to f32. */
static const json_word json_python_words[] = {
    {"NaN", "null"},
    {"Infinity", "1.7976931348623157e308"},
};

static const json_word *json_python_word(const char *p, const char *end)
{
    for (size_t i = 0; i < QN_COUNTOF(json_python_words); i++) {
        size_t n = strlen(json_python_words[i].from);
        if ((size_t)(end - p) >= n &&
            memcmp(p, json_python_words[i].from, n) == 0)
            return &json_python_words[i];
    }
    return NULL;
}

/* No replacement grows a document beyond this factor. */
enum {
    JSON_REWRITE_GROWTH = 3
};

/* Copies text[n] to dst (room JSON_REWRITE_GROWTH * n): integers beyond 64
 * bits become reals, and Python's words what they mean. Returns the length. */
static size_t json_rewrite(char *dst, const char *text, size_t n, bool python)
{
    const char *end = text + n;
    char *w = dst;
    for (const char *p = text; p < end;) {
        const char *start = p;
        const char *tail = "";
        const json_word *word = python ? json_python_word(p, end) : NULL;
        if (word) {
            start = p += strlen(word->from);
            tail = word->to;
        } else if (*p == '"') {
            p = json_skip_string(p + 1, end);
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            size_t len = json_big_integer(p, end);
            tail = len ? ".0" : "";
            if (len == 0) {
                len = 1;
                while (p + len < end && strchr("0123456789.eE+-", p[len]) &&
                       p[len])
                    len++;
            }
            p += len;
        } else {
            p++;
        }
        memcpy(w, start, (size_t)(p - start));
        w += p - start;
        w = stpcpy(w, tail);
    }
    return (size_t)(w - dst);
}

/* ---- parsing ----------------------------------------------------------- */

static json_t *json_read(const char *text, size_t n, json_error_t *je)
{
    return json_loadb(text, n,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
                      je);
}

/* Second attempt, for documents that are fine but for their numbers. */
static json_t *json_read_rewritten(const char *text, size_t n, bool python,
                                   json_error_t *je)
{
    size_t room;
    char *copy = NULL;
    if (qn_mul_size(n, JSON_REWRITE_GROWTH, &room) &&
        qn_add_size(room, 1, &room))
        copy = qn_alloc(room, 1);
    if (!copy)
        return NULL;
    json_t *v = json_read(copy, json_rewrite(copy, text, n, python), je);
    free(copy);
    return v;
}

static int json_parse(json_t **out, const char *text, size_t n, bool python,
                      const char *name, qn_err *err)
{
    QN_TRY(json_scan(text, n, name, err));
    json_error_t je;
    json_t *v = json_read(text, n, &je);
    enum json_error_code why = v ? json_error_unknown : json_error_code(&je);
    if (why == json_error_numeric_overflow ||
        (why == json_error_invalid_syntax && python))
        v = json_read_rewritten(text, n, python, &je);
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

int qn_json_parse(json_t **out, const char *text, size_t n, const char *name,
                  qn_err *err)
{
    return json_parse(out, text, n, false, name, err);
}

int qn_json_parse_python(json_t **out, const char *text, size_t n,
                         const char *name, qn_err *err)
{
    return json_parse(out, text, n, true, name, err);
}

static int json_load(json_t **out, const char *path, size_t max_bytes,
                     bool python, qn_err *err)
{
    char *text;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, max_bytes, err));
    int rc = json_parse(out, text, n, python, path, err);
    free(text);
    return rc;
}

int qn_json_load(json_t **out, const char *path, size_t max_bytes, qn_err *err)
{
    return json_load(out, path, max_bytes, false, err);
}

int qn_json_load_python(json_t **out, const char *path, size_t max_bytes,
                        qn_err *err)
{
    return json_load(out, path, max_bytes, true, err);
}

/* ---- typed members ----------------------------------------------------- */

const char *qn_json_type_name(const json_t *v)
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
                   want, qn_json_type_name(v));
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
