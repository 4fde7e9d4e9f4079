/* asked.h - what tests of src/eval share: models, texts, and an independent
 * way to logits (requests of quern.h, one sequence at a time). */
#ifndef TEST_EVAL_ASKED_H
#define TEST_EVAL_ASKED_H

#include "testing.h"

#include "base/json.h"
#include "quern.h"

/* Opens a model with one thread; NULL: the built-in one. Fails the test. */
qn_model *asked_open(const char *path, bool exact);

/* Logits f32 [n, n_vocab] of a sequence through an engine that computes
 * nothing else; the caller frees. */
float *asked_logits(qn_model *m, const int32_t *ids, size_t n);

/* log softmax of a row at an id, computed in the plainest way. */
double asked_logprob(const float *row, int n_vocab, int32_t id);
int asked_argmax(const float *row, int n_vocab);

/* A fresh file with this text; valid until the program ends. */
const char *asked_file(const char *name, const char *text);

/* A folder with the tiny network of tests/data, 2048 positions of it, and a
 * vocabulary of "the" (1) and one more word; valid until the program ends. */
const char *asked_words(const char *word, int id);

/* report.a.b as a number; fails when it is none. */
double asked_number(const json_t *report, const char *a, const char *b);

#endif
