/* score.h - logits of given sequences, many rows at a time.
 *
 * A list of sequences is fed to the network as one stream that is cut into
 * batches: a batch ends one sequence, holds others whole and begins a last
 * one. Rows of logits come out in the order of the sequences and of their
 * positions, whatever the batches were.
 *
 *     begin(list) -> step: rows -> step: rows -> ... -> step: 0
 *
 * Ownership: the list and its ids are borrowed until its last step; the model
 * outlives the scorer. Threads: one at a time. */
#ifndef QN_EVAL_SCORE_H
#define QN_EVAL_SCORE_H

#include "base/err.h"

typedef struct qn_scorer qn_scorer;

typedef struct qn_score_seq {
    const int32_t *ids; /* [n] what is fed                                  */
    int n;
    int from;         /* logits are wanted at positions from .. n-1, from < n */
    int64_t rope_len; /* length of the whole, where rotations depend on it  */
    int shared;       /* tokens that it begins with as the one before it does:
                         what is computed of them need not be again         */
} qn_score_seq;

/* For sequences of up to max_len tokens. QN_ELIMIT: longer than the network
 * can compute. */
int qn_scorer_new(qn_scorer **out, const qn_model *model, int64_t max_len,
                  qn_kv_type kv, qn_err *err);
void qn_scorer_free(qn_scorer *s); /* NULL is fine */

/* QN_EINVAL: an id that the network has no embedding for. */
int qn_scorer_begin(qn_scorer *s, const qn_score_seq *seqs, size_t n,
                    qn_err *err);
/* The next rows, f32 [*n, n_vocab], borrowed until the next step. 1, or 0
 * when there are no more. */
int qn_scorer_step(qn_scorer *s, const float **rows, int *n, qn_err *err);
/* Tokens that were computed so far, of all lists. */
uint64_t qn_scorer_n_computed(const qn_scorer *s);

#endif
