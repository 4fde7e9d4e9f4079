/* walking.h - what tests of grammars share: chance, and whether a text is one
 * of the grammar's. */
#ifndef QN_TESTS_WALKING_H
#define QN_TESTS_WALKING_H

#include "testing.h"

#include "text/grammar.h"

/* The next of a fixed sequence of numbers below n; *x is not 0. */
uint32_t random_below(uint32_t *x, uint32_t n);
/* Fails the test when the grammar has run out of states. */
bool accepts_n(qn_grammar *g, const char *p, size_t n);
bool accepts(qn_grammar *g, const char *text);

#endif
