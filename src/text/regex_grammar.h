/* regex_grammar.h - a regular expression, or a list of texts, as a grammar.
 *
 * The text has to match from its first to its last byte. Of the usual syntax
 * there is what says something about the text alone:
 *   a | b   (a)  (?:a)  (?<name>a)  (?P<name>a)   ^ at the start, $ at the end
 *   a* a+ a? a{m} a{m,} a{,n} a{m,n}, with ? behind (the same texts)
 *   .  any character but a new line     [a-z]  [^a-z]  classes
 *   \d \w \s \D \W \S (of ASCII)  \n \r \t \f \v  \xHH \uHHHH \u{H..} \x{H..}
 *   \ before any other character that is no letter or digit: that character
 * Anything else (references, lookaround, boundaries, flags, properties) is
 * QN_EUNSUP, which says where it stands. Characters are code points of UTF-8.
 *
 * Limits: QN_REGEX_MAX bytes, groups nested 64 deep, counts to 10,000. */
#ifndef QN_TEXT_REGEX_GRAMMAR_H
#define QN_TEXT_REGEX_GRAMMAR_H

#include "text/grammar.h"

#include <stddef.h>

#define QN_REGEX_MAX ((size_t)1 << 16)

int qn_regex_grammar(qn_grammar **out, const char *pattern, size_t n,
                     qn_err *err);

/* What stands in a JSON string that has a match of the pattern in it (schemas'
 * "pattern": ^ and $ are needed to hold the ends). */
int qn_regex_json_node(qn_grammar *g, const char *pattern, size_t n,
                       qn_gram_node *out, qn_err *err);

/* One of the strings of a JSON array, 1 to QN_CHOICES_MAX of them. */
#define QN_CHOICES_MAX 1024
int qn_choice_grammar(qn_grammar **out, const char *json, size_t n,
                      qn_err *err);

#endif
