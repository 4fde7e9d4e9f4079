/* loss.h - what a run cost, measured: source and output read a short text.
 *
 * Both are read layer by layer like a calibration text, so that neither is ever
 * in memory as a whole; kept are the source's logits of all
 * positions. quern eval measures the same on any text, with intervals. */
#ifndef QN_QUANTIZE_LOSS_H
#define QN_QUANTIZE_LOSS_H

#include "quantize/optimize_int.h"

/* Reads p->report_tokens tokens of p->report_text (NULL: a built-in text that
 * no method calibrates with). *out: {text, tokens, scored, context,
 * perplexity_before, perplexity_after, kl_divergence, top1_agreement, seconds},
 * or {failed: why}: a source without a tokenizer is no reason to lose the
 * output. Only QN_ECANCEL is returned. `path`: the output. */
int qn_loss_measure(json_t **out, const qn_optimize_params *p,
                    const qn_ckpt *source, const char *path,
                    const qn_watch *watch, qn_err *err);

#endif
