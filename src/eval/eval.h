/* eval.h - how good a model is, and what making it small cost.
 *
 * Two measurements: qn_eval_text reads a text and says how well each next
 * token was foreseen, alone and beside a base model; qn_eval_task puts
 * questions whose right answers are known. Reports are JSON objects, the
 * caller's; docs/quantization.md tells their members.
 *
 * Threads: one measurement at a time per model. */
#ifndef QN_EVAL_EVAL_H
#define QN_EVAL_EVAL_H

#include "base/json.h"
#include "eval/corpus.h"

/* Work done of all of it; false cancels (QN_ECANCEL). */
typedef bool (*qn_eval_progress_fn)(void *user, uint64_t done, uint64_t total);

/* ---- texts ----------------------------------------------------------------- */

/* Logits of a text in memory, to compare several models with one base. */
typedef struct qn_eval_rows {
    float *v; /* [n, n_vocab]; NULL: none, or they would not have fitted */
    size_t n;
    int n_vocab;
    uint64_t tokens; /* FNV-1a of what was scored */
    json_t *model;   /* whose they are, as qn_eval_model says it */
} qn_eval_rows;

void qn_eval_rows_free(qn_eval_rows *r);

typedef struct qn_eval_text_params {
    qn_model *model;
    qn_model *base;          /* to compare with, or NULL                     */
    const char *base_logits; /* ... or a file of its logits, or NULL         */
    const qn_eval_rows *base_rows; /* ... or kept rows, or NULL */
    qn_eval_rows *keep; /* gets the rows if they take no more than a third of
                           the memory that is left; or NULL */
    const char *save_logits; /* where the model's own logits go, or NULL     */
    const char *positions;   /* CSV with a line for each position, or NULL   */
    qn_corpus_params text;
    qn_kv_type kv;
    int n_threads; /* for the statistics; 0: what the machine grants */
    qn_eval_progress_fn progress; /* counts tokens; may be NULL */
    void *progress_user;
} qn_eval_text_params;

/* QN_EINVAL when the two models do not have the same vocabulary;
 * QN_EFORMAT when logits are not numbers. */
int qn_eval_text(json_t **report, const qn_eval_text_params *p, qn_err *err);

/* ---- tasks ----------------------------------------------------------------- */

typedef struct qn_eval_task_params {
    qn_model *model;
    const char *task;         /* a name of qn_eval_task_names           */
    const char *data;         /* its items, one JSON object in a line   */
    const char *fewshot_data; /* solved items; NULL: the first of `data`,
                                 which are then not asked               */
    size_t fewshot;           /* solved items before each question      */
    size_t skip, limit;       /* items: the first ones not, then at most so
                                 many; limit 0: all                     */
    const char *samples;      /* JSON lines with what came of each item, or
                                 NULL                                   */
    qn_eval_bos bos;          /* QN_BOS_AUTO or QN_BOS_NONE             */
    qn_kv_type kv;
    int n_threads;
    int max_new_tokens; /* of a generated answer; 0: 256          */
    int batch;          /* answers that are generated together; 0: 16 */
    bool chat;          /* generated: ask through the chat template */
    qn_eval_progress_fn progress; /* counts items; may be NULL */
    void *progress_user;
} qn_eval_task_params;

/* All tasks: "hellaswag|arc|piqa|...". */
extern const char qn_eval_task_names[];

/* Errors in the data name its file and line. */
int qn_eval_task(json_t **report, const qn_eval_task_params *p, qn_err *err);

/* ---- models ---------------------------------------------------------------- */

/* What reports say of a model: "path", "family", "parameters", "exact",
 * "bits_per_weight", "weight_bytes" and "file_bytes" (of the files that hold
 * the weights), "n_vocab", "tokenizer" (FNV-1a of all spellings). */
int qn_eval_model(json_t **out, const qn_model *model, qn_err *err);

#endif
