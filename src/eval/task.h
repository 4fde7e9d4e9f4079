/* task.h - questions whose right answers are known, from the data sets' own
 * files: one JSON object in a line.
 *
 * The wording of prompts is that of EleutherAI's lm-evaluation-harness, so
 * that results can be compared with published ones; besides each data set's
 * own members those of MosaicML's collections are understood ("query",
 * "choices", "gold"; "context_options", "continuation"; "context").
 *
 *   hellaswag   "label: context" and four endings
 *   arc         "Question: ...\nAnswer:" and the choices
 *   piqa        "Question: ...\nAnswer:" and two solutions
 *   winogrande  two beginnings (the blank filled in) of one end
 *   lambada     a passage without its last word, and that word
 *   openbookqa  a beginning and its ends
 *   boolq       a passage, "Question: ...?\nAnswer:" and no, yes
 *   mmlu        a question with its choices A to D, "Answer:" and the letters,
 *               behind a sentence that names the subject
 *   gsm8k       "Question: ...\nAnswer:"; the answer is generated
 *
 * The reader is the parser of outside bytes here: a line that is not what the
 * task's lines are is QN_EFORMAT, naming file, line and member. */
#ifndef QN_EVAL_TASK_H
#define QN_EVAL_TASK_H

#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"

typedef struct qn_choice {
    char *context, *text; /* text follows the context as it is: " word" */
    size_t norm;          /* code points of the answer, for acc_norm    */
} qn_choice;

typedef struct qn_item {
    size_t line;               /* of the file, from 1 */
    QN_VEC(qn_choice) choices; /* generated: one, the model answer */
    int gold;
    char *answer; /* generated: the final answer, as it is compared */
    char *topic;  /* what stands before all questions of its kind, and keeps
                     solved ones of another kind away; or NULL */
} qn_item;

typedef struct qn_items {
    QN_VEC(qn_item) v;
} qn_items;

typedef struct qn_task {
    const char *name;
    int (*read)(qn_item *item, const json_t *line, const char *where,
                qn_err *err);
    bool normalize; /* acc_norm means something                     */
    bool greedy;    /* one choice: right when it is the likeliest   */
    bool generate;  /* the model writes the answer                  */
} qn_task;

/* NULL: there is none of that name. */
const qn_task *qn_task_find(const char *name);

/* All items of a text (the bytes of `path`, which only messages use). */
int qn_items_parse(qn_items *items, const qn_task *task, const char *path,
                   const char *text, size_t n, qn_err *err);
/* The items of a file; QN_EINVAL when it has none. */
int qn_items_read(qn_items *items, const qn_task *task, const char *path,
                  qn_err *err);
void qn_items_deinit(qn_items *items);

/* "context + text" of the right choice: what a solved example shows. */
void qn_item_solved(const qn_item *item, qn_str *out);

/* ---- answers of gsm8k (answer.c) ------------------------------------------ */

/* The number behind the first "#### ", or "" when there is none. */
void qn_answer_strict(qn_str *out, const char *text, size_t n);
/* The last number of the text, or "". */
void qn_answer_flexible(qn_str *out, const char *text, size_t n);

#endif
