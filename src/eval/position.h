/* position.h - what a row of logits says of the token that came next, alone
 * and beside the row of a base model. Natural logarithms, in double. */
#ifndef QN_EVAL_POSITION_H
#define QN_EVAL_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#define QN_EVAL_TOP 5

typedef struct qn_position {
    double nll; /* -log p(next token) */
    bool hit; /* the next token was the likeliest; of equals the first counts */
    /* beside a base: */
    double base_nll;
    double kl;         /* sum over tokens of p_base * log(p_base / p), nats   */
    float dp;          /* p - p_base of the next token                        */
    bool same_top;     /* the likeliest token is the same                     */
    uint8_t same_top5; /* of the base's QN_EVAL_TOP likeliest, how many are
                          among the model's */
} qn_position;

/* logits [n_vocab]. What is not a number, or a next token that is impossible,
 * shows as nll not finite. */
void qn_position_of(qn_position *out, const float *logits, int n_vocab,
                    int32_t next);
void qn_position_beside(qn_position *out, const float *logits,
                        const float *base, int n_vocab, int32_t next);

#endif
