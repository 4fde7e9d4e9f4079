/* task_lines.h - the tasks, and how a line of each is read. */
#ifndef QN_EVAL_TASK_LINES_H
#define QN_EVAL_TASK_LINES_H

#include "eval/task.h"

extern const qn_task qn_task_rows[]; /* name NULL behind the last */

/* Without white space at both ends. */
qn_view qn_task_strip(qn_view v);

#endif
