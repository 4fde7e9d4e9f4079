/* responses.h - the two halves of /v1/responses: what is asked for
 * (responses_ask.c), and what is answered (responses.c). */
#ifndef QN_SERVER_RESPONSES_H
#define QN_SERVER_RESPONSES_H

#include "server/gen.h"

/* Makes a chat's request of a document; keeps in g->asked what the answer
 * repeats of it. */
int qn_responses_ask(qn_gen *g, json_t *doc, qn_err *err);

/* What has been answered so far: finished items, and the one that is open. */
typedef struct qn_items {
    qn_str done; /* finished ones, JSON, with commas between */
    int n_done;
    enum {
        QN_ITEM_NONE,
        QN_ITEM_THOUGHT,
        QN_ITEM_MESSAGE,
        QN_ITEM_CALL
    } open;
    qn_str text; /* of the open one: text, or arguments */
    char *name;  /* of the function, JSON, or NULL */
    int call;    /* its number */
    int n_events;
} qn_items;

void qn_items_free(qn_items *t); /* NULL is fine */

#endif
