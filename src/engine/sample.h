/* sample.h - from one row of logits to one token.
 *
 * The order of the steps is the contract (quern.h, qn_sampling):
 *
 *   format, allowed / banned ids, logit_bias  edits of the row
 *   repetition, presence, frequency, DRY    edits of the row
 *   min_new_tokens                          end tokens are masked
 *   temperature (0: the largest wins, done)
 *   top_k, top_n_sigma, typical_p, top_p,   each keeps a part of what is left
 *   min_p, XTC                              and the rest is renormalized
 *   the draw, or mirostat v2 instead of everything from top_k on
 *
 * Ties: equal logits keep the order of their ids everywhere.
 *
 * Draws are a function of (seed, completion index, token number) alone, so a
 * request gives the same tokens in any batch.
 *
 * Ownership: a sampler copies its parameters. One thread at a time. */
#ifndef QN_ENGINE_SAMPLE_H
#define QN_ENGINE_SAMPLE_H

#include "base/err.h"

typedef struct qn_sampler qn_sampler;

/* `prompt` seeds the penalties' history. `stream` is the completion's index.
 * `end_ids` are masked while fewer than min_new tokens were accepted.
 * QN_EINVAL names the parameter that is out of range. */
typedef struct qn_sampler_init {
    const qn_sampling *params;
    int n_vocab;
    int stream;
    const int32_t *prompt;
    size_t n_prompt;
    const int32_t *end_ids;
    size_t n_end_ids;
    int min_new;
    int max_new; /* room that is made at once; more may follow */
    bool masked; /* qn_sampler_mask comes before every pick */
} qn_sampler_init;

int qn_sampler_new(qn_sampler **out, const qn_sampler_init *init, qn_err *err);
/* A copy with its own history (n > 1, beams) that draws from `stream`. */
qn_sampler *qn_sampler_fork(const qn_sampler *s, int stream);
void qn_sampler_free(qn_sampler *s);

/* For the next pick: only tokens whose bit is set, and end tokens if `ends`.
 * Borrowed until then. */
void qn_sampler_mask(qn_sampler *s, const uint32_t *bits, bool ends);
/* Chooses from logits [n_vocab]; does not change them. The choice is not
 * remembered until qn_sampler_accept. -1 when every token is forbidden. */
int32_t qn_sampler_pick(qn_sampler *s, const float *logits);
void qn_sampler_accept(qn_sampler *s, int32_t id);

/* The row after all edits and before temperature (what beam search ranks):
 * borrowed until the next call; it is `logits` itself when nothing edits. */
const float *qn_sampler_edit(qn_sampler *s, const float *logits);

/* Checks ranges without building anything. */
int qn_sampling_check(const qn_sampling *p, int n_vocab, qn_err *err);

/* log softmax of a row: the log of its normalizer, to subtract. */
double qn_log_sum_exp(const float *logits, int n);

/* The k largest of a row, by falling logit: ids into out (k of them at most
 * n); returns how many. */
int qn_top_k(const float *logits, int n, int k, int32_t *out);

#endif
