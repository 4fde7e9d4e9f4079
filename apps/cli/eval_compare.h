/* eval_compare.h - several models side by side: size, quality, speed. */
#ifndef QN_CLI_EVAL_COMPARE_H
#define QN_CLI_EVAL_COMPARE_H

#include "eval/eval.h"

typedef struct qn_eval_compare_params {
    const char *const
        *paths; /* the first is what the others are held against */
    size_t n_paths;
    qn_model_params model;
    bool base_exact; /* the first is computed exactly where it is the base */
    qn_corpus_params text;
    qn_kv_type kv;
    bool speed; /* prefill and decode, each model alone in memory */
    qn_eval_progress_fn progress; /* may be NULL */
    void *progress_user;
} qn_eval_compare_params;

/* {"kind": "compare", "text", "rows": [{"model", "perplexity", "kl",
 * "perplexity_ratio", "top1_agreement", "made_seconds", "prefill", "decode"}]}.
 * The first row has no kl unless the base is exact. */
int qn_eval_compare(json_t **report, const qn_eval_compare_params *p,
                    qn_err *err);

#endif
