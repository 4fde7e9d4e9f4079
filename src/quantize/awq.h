/* awq.h - activation-aware scales and clipping before rounding to nearest
 * (Lin et al. 2023, "AWQ", https://arxiv.org/abs/2306.00978).
 *
 * Columns that meet large activations are multiplied by s > 1 before they are
 * rounded, and what makes those activations is divided by s: the norm before,
 * the value projection, the up projection. Where nothing before can take the
 * division, columns stay. Then each group's range is shortened if that leaves
 * less error in the outputs. Both are chosen by trying, on rows of the text. */
#ifndef QN_QUANTIZE_AWQ_H
#define QN_QUANTIZE_AWQ_H

#include "quantize/calibrate.h"

/* Finds what can be scaled, and gives the items that will be divided their
 * stage. */
void qn_awq_prepare(const qn_cal *cal, qn_opt_plan *plan);

/* Makes all items of a stage that is loaded. */
int qn_awq_stage(qn_cal *cal, const qn_ckpt *ck, qn_opt_plan *plan, int stage,
                 const qn_watch *watch, qn_err *err);

#endif
