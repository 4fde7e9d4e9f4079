/* eval_task_int.h - a task that runs: what its two kinds share. */
#ifndef QN_EVAL_EVAL_TASK_INT_H
#define QN_EVAL_EVAL_TASK_INT_H

#include "eval/eval.h"
#include "eval/eval_int.h"
#include "eval/task.h"

#include <stdio.h>

/* Solved items, before every question of their topic. */
typedef struct qn_shots {
    char *topic; /* NULL: the task has none */
    qn_str text;
    size_t n;
} qn_shots;

typedef struct qn_task_run {
    const qn_eval_task_params *p;
    const qn_task *task;
    const qn_tok *tok;
    qn_items items; /* those that are asked */
    QN_VEC(qn_shots) shots;
    size_t done;
} qn_task_run;

/* ---- eval_task.c ----------------------------------------------------------- */

/* `done` items are through; -1: as many as before. false: stop. */
bool qn_task_progress(qn_task_run *t, int64_t done);
/* What stands before an item's context: its topic, solved items. */
void qn_task_prompt(const qn_task_run *t, const qn_item *item, qn_str *out);
/* {"value", "stderr", "ci95", "right"} of `right` among n. */
json_t *qn_task_rate(double right, double n);
/* *f NULL: no samples are wanted. */
int qn_task_open_samples(const qn_task_run *t, FILE **f, qn_err *err);
/* Writes o as a line and gives it up. */
int qn_task_sample(const qn_task_run *t, FILE *f, json_t *o, qn_err *err);

/* ---- task_choice.c, task_generate.c ------------------------------------------ */

/* Asks all items and adds what came of it to a report. */
int qn_task_choices(qn_task_run *t, json_t *into, qn_err *err);
int qn_task_generate(qn_task_run *t, json_t *into, qn_err *err);

#endif
