/* gbnf.h - a grammar in the notation that llama.cpp calls GBNF.
 *
 *     # a comment
 *     root  ::= "yes" | "no" reason?
 *     reason ::= ", because " [a-z ]{3,40} ("." | "!")
 *
 * A rule's text ends with its line, except within parentheses and behind | and
 * ::=. Names are letters, digits, - and _; there has to be a rule root. Texts
 * in quotes and classes have the escapes of regular expressions (char_reader.h).
 * A rule that begins with itself is refused: turn it round.
 *
 * Limits: QN_GBNF_MAX bytes, 1,024 rules, parentheses nested 64 deep. */
#ifndef QN_TEXT_GBNF_H
#define QN_TEXT_GBNF_H

#include "text/grammar.h"

#include <stddef.h>

#define QN_GBNF_MAX ((size_t)1 << 18)

int qn_gbnf_grammar(qn_grammar **out, const char *text, size_t n, qn_err *err);

#endif
