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
/* Keeps those of the prompt's tokens, of completions that echo it; before any
 * other of the choice. */
void qn_logprobs_echo(qn_gen *g, qn_choice *c);
/* vLLM's prompt_logprobs: a list of null and {"id": {..}} per token. */
void qn_logprobs_prompt(const qn_gen *g, const qn_prompt *q, qn_str *out);

#endif
