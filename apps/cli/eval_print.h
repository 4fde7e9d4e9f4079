/* eval_print.h - a report of src/eval for people: text or Markdown. */
#ifndef QN_CLI_EVAL_PRINT_H
#define QN_CLI_EVAL_PRINT_H

#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

/* `report` of qn_eval_text, qn_eval_task or qn_eval_compare ("kind"). */
void qn_eval_print(const json_t *report, bool markdown, FILE *f);

#endif
