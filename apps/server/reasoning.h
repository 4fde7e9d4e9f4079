/* reasoning.h - tells what a model thinks aloud from what it answers.
 *
 *   TAGS      <think> .. </think>, then the answer. The beginning may stand in
 *             the prompt; without one the text is all answer.
 *   CHANNELS  <|channel|>analysis<|message|> .. <|end|>, then
 *             <|start|>assistant<|channel|>final<|message|> the answer
 *
 * The text comes in pieces; what is certain goes out at once. White space at
 * both ends of a thought, and before the answer behind it, is nobody's.
 * Cost: linear in the text; memory as much as a mark and the space before. */
#ifndef QN_SERVER_REASONING_H
#define QN_SERVER_REASONING_H

#include "base/str.h"

typedef enum qn_reasoning_kind {
    QN_REASONING_NONE, /* everything is the answer */
    QN_REASONING_TAGS,
    QN_REASONING_CHANNELS
} qn_reasoning_kind;

/* "think", ... as in --reasoning-parser; false: unknown. */
bool qn_reasoning_kind_of(const char *name, qn_reasoning_kind *kind);
/* What a model with this prompt begins with: a prompt that ends with <think>
 * is of one that thinks. */
bool qn_reasoning_begun(qn_reasoning_kind kind, const char *prompt, size_t n);

/* Where it goes. Texts are borrowed, and never empty. */
typedef struct qn_reasoning_sink {
    void *user;
    void (*thought)(void *user, const char *p, size_t n);
    void (*answer)(void *user, const char *p, size_t n);
} qn_reasoning_sink;

typedef struct qn_reasoning qn_reasoning;

qn_reasoning *qn_reasoning_new(qn_reasoning_kind kind, bool begun);
void qn_reasoning_free(qn_reasoning *r); /* NULL is fine */
/* `last`: nothing will follow. */
void qn_reasoning_feed(qn_reasoning *r, const char *p, size_t n, bool last,
                       const qn_reasoning_sink *sink);

#endif
