/* auto_gguf.h - method auto for a GGUF file: a format for each tensor.
 *
 * As auto.h has it for bits: every tensor is rounded alone to one format and
 * the divergence measured; for others it is taken to go with the square of the
 * rounding error, columns weighed by their importance. Embeddings and output
 * head take part, unless an option names their format. */
#ifndef QN_QUANTIZE_AUTO_GGUF_H
#define QN_QUANTIZE_AUTO_GGUF_H

#include "quantize/gguf_out.h"
#include "quantize/resume.h"

/* *table: [{tensor, type, bits_per_weight, probe, kl_probe, kl_expected}] of
 * all that has a choice. `resume`, `beside`: as qn_sensitivity_run has them. */
int qn_gq_allot(const qn_gq *g, const qn_optimize_params *p, json_t **table,
                qn_resume *resume, const json_t *beside, const qn_watch *watch,
                qn_err *err);
/* Gives the tensors the formats of a table. */
int qn_gq_apply(qn_gq *g, const json_t *table, qn_err *err);
/* general.file_type of what most weights have. */
int qn_gq_file_type(const qn_gq *g);

#endif
