/* messages.h - the messages of a conversation, as templates want them. */
#ifndef QN_SERVER_MESSAGES_H
#define QN_SERVER_MESSAGES_H

#include "base/json.h"

/* Checks a list of messages and changes it in place: text parts become one
 * text, arguments of former calls objects, the role "developer" "system".
 * QN_EINVAL names the message. */
int qn_messages_prepare(json_t *list, qn_err *err);

/* What the model's template makes of messages, which have been prepared, and
 * tools and further variables, which may be NULL. qn_free *text. */
int qn_messages_render(const qn_model *model, const json_t *messages,
                       const json_t *tools, const json_t *kwargs,
                       bool generation_prompt, char **text, size_t *n,
                       qn_err *err);

/* Cuts a rendered conversation of n bytes behind the text of its last message,
 * which the model is to go on with. */
int qn_messages_cut(const json_t *list, const char *text, size_t *n,
                    qn_err *err);

#endif
