/* grammar.h - what a text has to be, as an automaton over its bytes.
 *
 * A grammar is built of nodes: sets of bytes, one after the other, one of
 * several, repeated, and rules that may use themselves. It is run as states:
 * the state behind a byte is worked out when it is first asked for and kept.
 *
 *     qn_gram_finish(g, start, "name", err)
 *     state = qn_gram_begin(g);
 *     state = qn_gram_next(g, state, byte);      QN_GRAM_DEAD: not allowed
 *     qn_gram_accepts(g, state)                  the text may end here
 *
 * How deep a text nests is bounded (qn_gram_nest), so that a writer who can go
 * on can also come to an end: where only deeper nesting would complete the
 * text, it is not begun.
 *
 * Limits: a grammar holds at most some ten MiB of states. Behind that every
 * step is dead and qn_gram_full tells why.
 * Ownership: nodes belong to their grammar. One thread at a time: asking for a
 * state may make it. */
#ifndef QN_TEXT_GRAMMAR_H
#define QN_TEXT_GRAMMAR_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct qn_grammar qn_grammar;
typedef uint32_t qn_gram_node;

#define QN_GRAM_DEPTH 32        /* nesting */
#define QN_GRAM_MANY UINT32_MAX /* repeated without end */
#define QN_GRAM_DEAD 0          /* the state that nothing leads out of */

qn_grammar *qn_grammar_new(void);
void qn_grammar_free(qn_grammar *g); /* NULL is fine */

/* ---- nodes ------------------------------------------------------------- */

/* The text without bytes; a byte of lo..hi; one of the bytes of a string; a
 * string. */
qn_gram_node qn_gram_empty(qn_grammar *g);
qn_gram_node qn_gram_range(qn_grammar *g, uint8_t lo, uint8_t hi);
qn_gram_node qn_gram_any_of(qn_grammar *g, const char *bytes);
qn_gram_node qn_gram_text(qn_grammar *g, const char *p, size_t n);
/* Of two nodes; of lists that end with QN_GRAM_END. */
qn_gram_node qn_gram_cat(qn_grammar *g, qn_gram_node a, qn_gram_node b);
qn_gram_node qn_gram_alt(qn_grammar *g, qn_gram_node a, qn_gram_node b);
#define QN_GRAM_END UINT32_MAX
qn_gram_node qn_gram_seq(qn_grammar *g, const qn_gram_node *list);
qn_gram_node qn_gram_one_of(qn_grammar *g, const qn_gram_node *list);
/* min to max times (QN_GRAM_MANY: any number). `a` is not the empty text. */
qn_gram_node qn_gram_repeat(qn_grammar *g, qn_gram_node a, uint32_t min,
                            uint32_t max);
/* The same, one level deeper. */
qn_gram_node qn_gram_nest(qn_grammar *g, qn_gram_node a);
/* A node that is defined later, maybe by itself. */
qn_gram_node qn_gram_rule(qn_grammar *g);
void qn_gram_define(qn_grammar *g, qn_gram_node rule, qn_gram_node a);
/* Nodes so far, to bound them. */
size_t qn_gram_n_nodes(const qn_grammar *g);

/* No more nodes from here on. QN_EINVAL when no text fits into the depth that
 * is allowed, or a rule may begin with itself; `name` is for the message. */
int qn_gram_finish(qn_grammar *g, qn_gram_node start, const char *name,
                   qn_err *err);

/* ---- states ------------------------------------------------------------ */

uint32_t qn_gram_begin(const qn_grammar *g);
uint32_t qn_gram_next(qn_grammar *g, uint32_t state, uint8_t byte);
/* The text is complete; and it cannot go on. */
bool qn_gram_accepts(const qn_grammar *g, uint32_t state);
bool qn_gram_is_over(const qn_grammar *g, uint32_t state);
/* There was no room for a state: dead is not dead any more. */
bool qn_gram_full(const qn_grammar *g);

#endif
