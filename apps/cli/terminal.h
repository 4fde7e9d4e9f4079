/* terminal.h - where output goes: colour, width, progress, the log.
 *
 * Text that was asked for goes to stdout; everything else to stderr. Colour
 * and progress only where a person looks (a terminal, no NO_COLOR, TERM is not
 * dumb); a progress line wipes itself. */
#ifndef QN_CLI_TERMINAL_H
#define QN_CLI_TERMINAL_H

#include "base/compiler.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum qn_style {
    QN_STYLE_NONE, /* back to normal */
    QN_STYLE_BOLD,
    QN_STYLE_DIM,
    QN_STYLE_RED,
    QN_STYLE_GREEN,
    QN_STYLE_CYAN
} qn_style;

/* The escape sequence, or "" where there is no colour. */
const char *qn_style_on(FILE *f, qn_style s);
bool qn_is_terminal(FILE *f);
/* A terminal that understands escape sequences. */
bool qn_has_escapes(FILE *f);
/* Columns of the terminal on f, 80 when it is none. */
int qn_columns(FILE *f);

/* Writes text with control characters (but newline and tab) as "?", for bytes
 * that a model made and a terminal would obey. Where `f` is no terminal they
 * are written as they are. */
void qn_put_text(FILE *f, const char *text, size_t n);
/* The same of a formatted text, in which names from files may be. */
void qn_put_format(FILE *f, const char *fmt, va_list ap);

/* "quern run: text" on stderr. */
void qn_complain(const char *command, const char *text);
/* A remark on stderr, dim. */
void qn_note(const char *fmt, ...) QN_PRINTF(1, 2);

/* A bar on stderr, if that is a terminal and the task takes long enough for
 * anybody to see it. qn_progress_end wipes it. */
typedef struct qn_progress {
    const char *what;
    uint64_t t0, last;
    uint64_t from, t_from; /* what was done when it was first told, and when:
                              a job may go on where another one stopped */
    bool told, shown, off;
    bool bytes; /* amounts are bytes */
    bool parts; /* amounts mean nothing by themselves: only the part is shown */
} qn_progress;
void qn_progress_begin(qn_progress *p, const char *what, bool bytes, bool off);
void qn_progress_show(qn_progress *p, uint64_t done, uint64_t total);
void qn_progress_end(qn_progress *p);
/* Seconds that the rest will take at the pace since the first telling. */
double qn_progress_left(const qn_progress *p, uint64_t now, uint64_t done,
                        uint64_t total);

/* Lets the library's log lines of `level` and above (0 errors only .. 3 all)
 * go to stderr. */
void qn_show_log(int level);

#endif
