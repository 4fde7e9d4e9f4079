/* tok_fit.h - the "truncation" and "padding" sections of a tokenizer.json: how
 * whoever saved the file wanted texts to be of one length.
 *
 * Obeyed only where asked for (QN_TOK_FIT): a prompt is never cut. */
#ifndef QN_TEXT_TOK_FIT_H
#define QN_TEXT_TOK_FIT_H

#include "text/tok_step.h"

typedef struct qn_tok_fit {
    bool cuts, cuts_left, wants_pair;
    size_t length, stride; /* of what stays, the post-processor's included */
    bool fills, fills_left;
    size_t fill_to, fill_unit; /* 0: no least length; no unit */
    int32_t pad;
} qn_tok_fit;

/* `parts`: the file's small members. */
int qn_tok_fit_parse(qn_tok_fit *f, const json_t *parts, const char *doc,
                     qn_err *err);
/* Between the model and `post`. */
int qn_tok_fit_cut(const qn_tok_fit *f, const qn_tok_steps *post,
                   qn_tok_work *w);
/* Behind them. */
void qn_tok_fit_fill(const qn_tok_fit *f, qn_tok_work *w);

#endif
