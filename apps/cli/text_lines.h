/* text_lines.h - what tokenize, detokenize and template share: a model that is
 * opened for its text, words or a file, lines of JSON. */
#ifndef QN_CLI_TEXT_LINES_H
#define QN_CLI_TEXT_LINES_H

#include "cli/option.h"

/* The model is --model (or its environment), else the first operand; *first is
 * the first operand behind it. */
int qn_text_operands(const qn_args *a, size_t *first, qn_err *err);
int qn_open_text_model(qn_model **out, const qn_args *a, qn_err *err);

/* The operands from `first` on, a blank between them, else the file (NULL or
 * "-": standard input) as it is; qn_free it. */
int qn_words_or_file(const qn_args *a, size_t first, const char *path,
                     char **text, size_t *n, qn_err *err);

/* Calls fn with the JSON value of each line of a file (NULL or "-": standard
 * input), and writes out what it printed. Stops at the first failure; `where`
 * is "line 3". */
int qn_each_line(const char *path,
                 int (*fn)(void *user, const json_t *v, const char *where,
                           qn_err *err),
                 void *user, qn_err *err);

#endif
