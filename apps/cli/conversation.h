/* conversation.h - what has been said in `quern chat`, and asking on.
 *
 * The messages are {"role", "content"} in order, the system message first if
 * there is one. A turn is a user's message with the answer to it. */
#ifndef QN_CLI_CONVERSATION_H
#define QN_CLI_CONVERSATION_H

#include "cli/job.h"

typedef struct qn_talk {
    qn_args *args; /* changed by /set */
    qn_model *model;
    qn_engine *engine;
    int64_t n_ctx;  /* tokens that a conversation may have */
    json_t *said;   /* messages */
    char *kwargs;   /* template variables, or NULL */
    int64_t n_used; /* tokens of the conversation after the last answer */
    qn_request_stats stats;
    uint64_t seed;
} qn_talk;

/* Engine and an empty conversation; `args` is borrowed. */
int qn_talk_open(qn_talk *t, qn_args *args, qn_err *err);
void qn_talk_close(qn_talk *t);

/* Asks and writes the answer to stdout as it comes. Ctrl-C ends the answer: it
 * stays as far as it came, and *cut is true. On failure the question is taken
 * back. */
int qn_talk_ask(qn_talk *t, const char *text, bool *cut, qn_err *err);
/* The last question once more, with another seed. QN_ENOENT: there is none. */
int qn_talk_again(qn_talk *t, bool *cut, qn_err *err);

/* Forgets the last turn; false when there is none. */
bool qn_talk_undo(qn_talk *t);
/* Forgets all but the system message. */
void qn_talk_clear(qn_talk *t);
/* NULL or "" removes it. */
void qn_talk_set_system(qn_talk *t, const char *text);
const char *qn_talk_system(const qn_talk *t); /* NULL when there is none */

/* The messages as a JSON file. */
int qn_talk_save(const qn_talk *t, const char *path, qn_err *err);
int qn_talk_load(qn_talk *t, const char *path, qn_err *err);

#endif
