/* line_edit.h - lines from a person: editing, history, Ctrl-C; or from a pipe,
 * then just lines. */
#ifndef QN_CLI_LINE_EDIT_H
#define QN_CLI_LINE_EDIT_H

#include "base/err.h"

#include <stdbool.h>

typedef struct qn_lines qn_lines;

/* `history`: whether earlier lines are kept in a file of the user's state
 * folder ($XDG_STATE_HOME/quern/history). Never fails: without a terminal or a
 * place for the file it does with less. */
qn_lines *qn_lines_open(bool history);
void qn_lines_close(qn_lines *l); /* writes the history; NULL is fine */

typedef enum qn_line_kind {
    QN_LINE,
    QN_LINE_PASTED,     /* a line of a paste, of which more follows */
    QN_LINE_END,        /* Ctrl-D, or the end of the input */
    QN_LINE_INTERRUPTED /* Ctrl-C; see interrupt.h         */
} qn_line_kind;

/* *line (without its newline) is valid until the next call. */
qn_line_kind qn_lines_read(qn_lines *l, const char *prompt, const char **line);
/* For the history; what is read is not remembered by itself. */
void qn_lines_remember(qn_lines *l, const char *line);

#endif
