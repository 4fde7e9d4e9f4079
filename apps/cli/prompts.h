/* prompts.h - where the prompts of `quern run` come from: the command line,
 * a file, standard input, or a file of JSON lines. */
#ifndef QN_CLI_PROMPTS_H
#define QN_CLI_PROMPTS_H

#include "cli/job.h"

typedef struct qn_prompts qn_prompts;

/* Finds the one source that `a` names; QN_USAGE for none or two. Reads a
 * single prompt, opens a batch. `a` is borrowed. */
int qn_prompts_open(qn_prompts **out, const qn_args *a, qn_err *err);
void qn_prompts_close(qn_prompts *p); /* NULL is fine */
bool qn_prompts_is_batch(const qn_prompts *p);

/* A single prompt that ends with a question mark. */
bool qn_prompts_is_question(const qn_prompts *p);

/* The next prompt as a job, not yet submitted: QN_READ_LINE; QN_READ_END; or,
 * without `wait`, QN_READ_LATER (line_reader.h). A line of a
 * batch that is wrong is a failed job; *own are the options of such a line (to
 * be deinited and freed), NULL when they are those of the command line. */
int qn_prompts_next(qn_prompts *p, const qn_model *m, bool wait, qn_job **job,
                    qn_args **own, qn_err *err);

/* {"role": role, "content": text} at the end of the array. */
void qn_add_message(json_t *messages, const char *role, const char *text,
                    size_t n);

/* All of a file, of what a shell puts in place of one, or ("-") of standard
 * input; NUL behind, qn_free it. */
int qn_read_input(const char *path, char **text, size_t *n, qn_err *err);

#endif
