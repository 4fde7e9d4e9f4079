/* samples.h - the text that calibrates, as tokens, and the pieces of it.
 *
 *   text --split--> documents --tokenizer--> ids --samples, length--> pieces
 *
 * Pieces are spread evenly over the text. Of a text with documents each begins
 * where a document does, if there is one that no other piece begins with, and
 * goes on into the next ones. */
#ifndef QN_QUANTIZE_SAMPLES_H
#define QN_QUANTIZE_SAMPLES_H

#include "base/vec.h"
#include "quantize/optimize_int.h"
#include "text/tokenizer.h"

typedef struct qn_samples {
    qn_tok_ids ids;        /* of all of the text */
    QN_VEC(size_t) docs;   /* where documents begin; none: it was not split */
    QN_VEC(size_t) starts; /* [n] of each piece */
    int n, len;            /* pieces; tokens of each */
} qn_samples;

/* p's calibration_ids, or the text that it names, or the built-in one. */
int qn_samples_read(qn_samples *s, const qn_optimize_params *p,
                    const qn_ckpt *ck, qn_err *err);
/* Pieces as p wants them, each no longer than `limit`; of tokens as many as
 * twice `widest`, at least eight pieces, where p does not say how many.
 * QN_EINVAL: too few tokens. */
int qn_samples_cut(qn_samples *s, const qn_optimize_params *p, int64_t widest,
                   int64_t limit, qn_err *err);
void qn_samples_deinit(qn_samples *s);

#endif
