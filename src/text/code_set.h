/* code_set.h - sets of code points, and the bytes that spell their members:
 * characters of a regular expression, as UTF-8 or within a JSON string.
 *
 * Members are 1 .. 0x10ffff without surrogates. Ownership: the ranges are the
 * set's; qn_code_set_deinit frees them. */
#ifndef QN_TEXT_CODE_SET_H
#define QN_TEXT_CODE_SET_H

#include "base/vec.h"
#include "text/grammar.h"

typedef struct qn_code_range {
    uint32_t lo, hi;
} qn_code_range;

typedef struct qn_code_set {
    QN_VEC(qn_code_range) v;
} qn_code_set;

void qn_code_set_deinit(qn_code_set *s);
void qn_code_set_add(qn_code_set *s, uint32_t lo, uint32_t hi);
void qn_code_set_add_all(qn_code_set *s, const qn_code_set *other);
/* What is not in it. */
void qn_code_set_negate(qn_code_set *s);
/* Ranges in order, apart from each other. */
void qn_code_set_order(qn_code_set *s);

/* One member's bytes; `json`: as they stand in a JSON string, characters that
 * may not stand there as their escapes. The set is ordered by this.
 * QN_GRAM_END: it has no members. */
qn_gram_node qn_code_set_node(qn_code_set *s, qn_grammar *g, bool json);

#endif
