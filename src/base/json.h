/* json.h - jansson with our limits and error messages.
 *
 * Documents from outside: size and depth bounded, duplicate keys refused,
 * NUL bytes inside strings allowed (vocabularies have them), UTF-8 checked.
 * An integer beyond 64 bits is read as a real, as other readers do. A tree
 * takes up to 40 times its text: bound the text (max_bytes) accordingly.
 * Results are owned by the caller (json_decref). */
#ifndef QN_BASE_JSON_H
#define QN_BASE_JSON_H

#include "base/err.h"

#include <jansson.h>

/* `name` is what error messages call the document (a path). */
int qn_json_parse(json_t **out, const char *text, size_t n, const char *name,
                  qn_err *err);
int qn_json_load(json_t **out, const char *path, size_t max_bytes, qn_err *err);

/* The same for what Python's json module writes (config.json): NaN is read as
 * null, Infinity as the largest double, which is infinite again as f32. */
int qn_json_parse_python(json_t **out, const char *text, size_t n,
                         const char *name, qn_err *err);
int qn_json_load_python(json_t **out, const char *path, size_t max_bytes,
                        qn_err *err);

/* What a value is, for messages: "a string". */
const char *qn_json_type_name(const json_t *v);
/* Typed reading of an object's member: 1 present and of the type, 0 absent or
 * null (out untouched), QN_EFORMAT of another type (message names `doc`.key).
 * qn_json_f64 takes integers too; qn_json_i64 takes integral reals too. */
int qn_json_i64(const json_t *o, const char *key, int64_t *out, const char *doc,
                qn_err *err);
int qn_json_f64(const json_t *o, const char *key, double *out, const char *doc,
                qn_err *err);
int qn_json_bool(const json_t *o, const char *key, bool *out, const char *doc,
                 qn_err *err);
int qn_json_str(const json_t *o, const char *key, const char **out,
                const char *doc, qn_err *err);

#endif
