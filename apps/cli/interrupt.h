/* interrupt.h - Ctrl-C and SIGTERM ask for an end; the work that runs looks
 * here between two steps. A second one while the first is unanswered ends the
 * program at once. */
#ifndef QN_CLI_INTERRUPT_H
#define QN_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on the signals only ask; one that is ignored stays ignored. */
void qn_interrupt_watch(void);
bool qn_interrupted(void);
/* It was SIGTERM: whoever asked wants the program to end. */
bool qn_interrupt_final(void);
/* Answers: the next one asks anew. */
void qn_interrupt_clear(void);
/* Waits until fd has something to read: true; or false when a signal asked for
 * an end, were it one instruction before the wait. */
bool qn_interrupt_wait(int fd);

#endif
