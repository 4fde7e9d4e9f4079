/* json_parts.h - the parts of JSON as nodes, for json_grammar.c and
 * json_schema.c. */
#ifndef QN_TEXT_JSON_PARTS_H
#define QN_TEXT_JSON_PARTS_H

#include "text/json_grammar.h"

typedef struct qn_json_parts {
    qn_grammar *g;
    qn_gram_node blank;     /* between tokens */
    qn_gram_node character; /* of a string    */
    qn_gram_node quote, string, integer, number, boolean, null;
    qn_gram_node value, object, array; /* any */
} qn_json_parts;

void qn_json_parts_make(qn_json_parts *p, qn_grammar *g);
/* open blank (first (blank , blank more)* blank)? close, one level deeper; of
 * all elements min to max. */
qn_gram_node qn_json_list(const qn_json_parts *p, const char *open,
                          qn_gram_node element, uint32_t min, uint32_t max,
                          const char *close);
qn_gram_node qn_json_word(const qn_json_parts *p, const char *word);
/* blank : blank */
qn_gram_node qn_json_mark(const qn_json_parts *p, const char *mark);
/* Integers of lo..hi, |lo|, |hi| < 10^15. */
qn_gram_node qn_json_range(const qn_json_parts *p, int64_t lo, int64_t hi);

#endif
