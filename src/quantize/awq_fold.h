/* awq_fold.h - which matrices share scaled columns, and who divides. */
#ifndef QN_QUANTIZE_AWQ_FOLD_H
#define QN_QUANTIZE_AWQ_FOLD_H

#include "quantize/optimize_int.h"

enum {
    QN_FOLD_READERS = 6
};

/* Rows of `by` (elements, where it is a vector) and of its bias are divided by
 * what the columns of the readers are multiplied with. */
typedef struct qn_fold {
    int layer;
    int n_reader;
    qn_opt_item *reader[QN_FOLD_READERS];
    qn_opt_item *by, *bias; /* bias may be NULL */
    bool plus_one;          /* the vector holds one less than it means */
} qn_fold;

typedef QN_VEC(qn_fold) qn_folds;

/* The folds of one layer, appended. Items point into the plan. */
void qn_folds_find(qn_folds *out, const qn_net *net, qn_opt_plan *plan,
                   int layer);

#endif
