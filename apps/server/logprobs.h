/* logprobs.h - log probabilities as OpenAI spells them: for chats a list of
 * objects per token, for completions four lists side by side. */
#ifndef QN_SERVER_LOGPROBS_H
#define QN_SERVER_LOGPROBS_H

#include "server/gen.h"

/* The object of one event (a stream's chunk). */
void qn_logprobs_one(qn_gen *g, qn_choice *c, const qn_event *ev, qn_str *out);
/* Keeps an event's part in the choice; qn_logprobs_all makes the object. */
void qn_logprobs_keep(qn_gen *g, qn_choice *c, const qn_event *ev);
void qn_logprobs_all(qn_gen *g, qn_choice *c, qn_str *out);

#endif
