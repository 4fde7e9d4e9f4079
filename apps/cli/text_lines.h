/* text_lines.h - what tokenize, detokenize and template share: a model that is
 * opened for its text, words or a file, lines of JSON. */
#ifndef QN_CLI_TEXT_LINES_H
#define QN_CLI_TEXT_LINES_H

#include "cli/option.h"

/* The model is --model (or its environment), else the first operand; *first is
 * the first operand behind it. */
int qn_text_operands(const qn_args *a, size_t *first, qn_err *err);
int qn_open_text_model(qn_model **out, const qn_args *a, qn_err *err);

/* The one JSON value of a line, a bare string or number too; `where` is what
 * messages call it: "line 3". */
int qn_json_line(json_t **v, const char *line, size_t n, const char *where,
                 qn_err *err);

/* A command that prints what becomes of a text, with the options --file and
 * --jsonl: `whole` is called with the words behind the model or the file;
 * under --jsonl `line` is called with the JSON value of each line, up to the
 * first failure (`where` is "line 3"). */
typedef struct qn_text_work {
    const char *is_given; /* "the text is given": when that is so twice */
    int (*whole)(const qn_args *a, const qn_model *m, const char *text,
                 size_t n, qn_err *err);
    int (*line)(const qn_args *a, const qn_model *m, const json_t *v,
                const char *where, qn_err *err);
} qn_text_work;

int qn_text_work_run(const qn_text_work *work, const qn_args *a, qn_err *err);

#endif
