/* tok_dec.h - decoders as a flow.
 *
 * Tokens enter at step 0, each as one piece of text; a step passes on what is
 * certain. A piece may arrive in chunks (whole code points); the last one
 * says so. Decoding a list and decoding token by token are the same flow, so
 * they cannot differ. */
#ifndef QN_TEXT_TOK_DEC_H
#define QN_TEXT_TOK_DEC_H

#include "text/tok_step.h"

typedef struct qn_tok_flow_state {
    qn_str
        gather;  /* a piece that came in chunks, for steps that want it whole */
    qn_str hold; /* what is not certain yet */
    qn_str spare;           /* for one call            */
    qn_tok_matches matches; /* of this step, while others look for theirs */
    size_t count; /* of what, each kind says                             */
    size_t held;
    bool begun;
} qn_tok_flow_state;

typedef struct qn_tok_flow {
    const qn_tok_steps *steps;
    qn_tok_flow_state *state; /* [steps->n] */
    qn_str *out;
    qn_tok_work work; /* for patterns */
} qn_tok_flow;

void qn_tok_flow_init(qn_tok_flow *f, const qn_tok_steps *steps);
void qn_tok_flow_deinit(qn_tok_flow *f);
/* Hands a chunk to step k; behind the last step is f->out. */
int qn_tok_flow_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                     bool ends);
/* The text ends: step k and all behind it pass on what they hold. */
int qn_tok_flow_finish(qn_tok_flow *f, size_t k);
void qn_tok_flow_reset(qn_tok_flow *f);

/* Rows that have a file of their own, tok_dec_word.c. */
int qn_tok_dec_wordpiece_parse(qn_tok_step *s, const json_t *o, const char *doc,
                               qn_err *err);
int qn_tok_dec_wordpiece_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                              bool ends);
int qn_tok_dec_ctc_parse(qn_tok_step *s, const json_t *o, const char *doc,
                         qn_err *err);
int qn_tok_dec_ctc_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                        bool ends);

#endif
