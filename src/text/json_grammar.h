/* json_grammar.h - JSON, and what a JSON schema allows of it, as a grammar.
 *
 * The texts are JSON that every reader takes: UTF-8, no surrogate without its
 * partner, no NUL, numbers of at most 15 digits and two of an exponent. Blanks
 * between tokens are bounded: at most one, or a new line and what is in front
 * of the next.
 *
 * Of a schema:
 *   type (also a list), enum, const, anyOf, allOf of one, $ref within the
 *   document; properties, required, additionalProperties; items, minItems,
 *   maxItems; minLength, maxLength, or pattern (regex_grammar.h); minimum and
 *   maximum of integers
 * Members come in the order of `properties`; others are written only where
 * `properties` is not there. Annotations (title, description, default, ...) are
 * passed over, and so is format, but for date, time, date-time, ipv4, uuid and
 * email of strings without pattern and length; any other keyword is QN_EUNSUP,
 * which names it and the place. */
#ifndef QN_TEXT_JSON_GRAMMAR_H
#define QN_TEXT_JSON_GRAMMAR_H

#include "text/grammar.h"

#include <stddef.h>

/* Any value; `object`: any object. */
qn_grammar *qn_json_grammar(bool object);
/* The schema is a JSON text of at most QN_SCHEMA_MAX bytes from outside. */
#define QN_SCHEMA_MAX ((size_t)1 << 20)
int qn_schema_grammar(qn_grammar **out, const char *schema, size_t n,
                      qn_err *err);

#endif
