/* eval_int.h - what the files of src/eval share. */
#ifndef QN_EVAL_EVAL_INT_H
#define QN_EVAL_EVAL_INT_H

#include "base/err.h"
#include "base/json.h"
#include "eval/summary.h"
#include "text/tokenizer.h"

/* ---- eval_model.c ---------------------------------------------------------- */

/* FNV-1a of every id's spelling. */
uint64_t qn_eval_tokenizer_hash(const qn_tok *tok);
json_t *qn_eval_hex(uint64_t v);
/* QN_EFORMAT where a token is none of the model's: rows of logits are looked at
 * by these. */
int qn_eval_check_ids(const int32_t *ids, size_t n, int n_vocab, qn_err *err);

/* ---- eval_report.c --------------------------------------------------------- */

/* {"value", "ci95": [lo, hi]} */
json_t *qn_estimate_json(qn_estimate e);
/* {"mean", "mean_ci95", "median", "median_ci95", ..., "min", "max"} */
json_t *qn_summary_json(const qn_summary *s);
/* "quern", "date" */
void qn_eval_stamp(json_t *report);

#endif
