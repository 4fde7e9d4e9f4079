/* auto.h - method auto: how many bits each matrix gets.
 *
 * Every matrix is rounded alone to few bits, and the KL divergence that this
 * makes at the network's output is measured on the text. For other bits it is
 * taken to go with the square of the rounding error. Divergences of different
 * matrices add up as long as they are small; so bits are bought where a byte
 * saves most of them, until the target is reached. */
#ifndef QN_QUANTIZE_AUTO_H
#define QN_QUANTIZE_AUTO_H

#include "quantize/resume.h"

/* Lays the plan's matrices out anew with the bits chosen, counts again, and
 * gives the report its table. `resume`: as qn_sensitivity_run has it. */
int qn_auto_allot(const qn_optimize_params *p, const qn_ckpt *ck,
                  const qn_qmat *like, qn_opt_plan *plan, qn_resume *resume,
                  const qn_watch *watch, qn_err *err);
/* The same from the table of an earlier run. QN_EFORMAT: it is of another. */
int qn_auto_apply(const qn_qmat *like, qn_opt_plan *plan, const json_t *table,
                  qn_err *err);

/* ---- the choice alone, for tests ------------------------------------------ */

enum {
    QN_AUTO_BITS = 6,   /* 2, 3, 4, 5, 6 and 8 */
    QN_AUTO_CHOICES = 8 /* at most, of any format */
};

typedef struct qn_auto_row {
    uint64_t bytes[QN_AUTO_CHOICES]; /* growing; 0: cannot be had */
    double loss[QN_AUTO_CHOICES];
    int pick; /* index, chosen */
} qn_auto_row;

/* Chooses so that the sum of bytes is at most max_bytes (0: no limit) and, if
 * max_loss > 0, as few bytes as reach it. false: not even the smallest fit. */
bool qn_auto_choose(qn_auto_row *rows, size_t n, uint64_t max_bytes,
                    double max_loss);
extern const int qn_auto_bits[QN_AUTO_BITS];

#endif
