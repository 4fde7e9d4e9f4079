/* line_keys.h - what is typed on a terminal, character by character, and what
 * is pasted there: the terminal puts marks around it (bracketed paste), and
 * between them no byte is a command, and a newline no end of the question. */
#ifndef QN_CLI_LINE_KEYS_H
#define QN_CLI_LINE_KEYS_H

#include <stdbool.h>
#include <wchar.h>

typedef struct qn_keys {
    mbstate_t mb;
    char ahead[8]; /* read in vain for a mark, to be taken again */
    int n_ahead, at;
    bool pasting; /* between the marks */
    bool more;    /* the line ended within a paste: the next belongs to it */
    wchar_t held; /* comes next, 0: nothing */
} qn_keys;

/* A line begins: marks are wanted from here on. It ends. */
void qn_keys_begin(qn_keys *k);
void qn_keys_end(const qn_keys *k);
/* One character: 1, 0 at the end of the input, -1 when interrupted. Of control
 * characters in a paste only newlines come, and tabs behind a ^V, by which
 * libedit inserts them. */
int qn_keys_next(qn_keys *k, wchar_t *out);

#endif
