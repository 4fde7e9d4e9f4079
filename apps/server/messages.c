/* messages.c - see messages.h. */
#include "server/messages.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES 65536
#define MAX_TAIL 4096 /* of a template, behind the last message */

/* Text parts become one string, since that is what templates expect. */
static int flatten(json_t *message, size_t index, qn_err *err)
{
    json_t *parts = json_object_get(message, "content");
    qn_str text = {0};
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *s = json_object_get(part, "text");
        if (!type || strcmp(type, "text") != 0 || !json_is_string(s)) {
            qn_str_deinit(&text);
            return qn_fail(err, QN_EINVAL,
                           "messages[%zu].content[%zu]: only parts of type "
                           "text are supported",
                           index, i);
        }
        if (i > 0)
            qn_str_addc(&text, '\n');
        qn_str_add(&text, json_string_value(s), json_string_length(s));
    }
    json_object_set_new(message, "content",
                        json_stringn(text.p ? text.p : "", text.n));
    qn_str_deinit(&text);
    return 0;
}

/* OpenAI's newer name, which few templates know. */
static void name_role(json_t *message, const char *role)
{
    if (strcmp(role, "developer") == 0)
        json_object_set_new(message, "role", json_string("system"));
}

/* Templates want the arguments of former calls as objects; the API has them
 * as text. */
static void unfold_calls(json_t *message)
{
    json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *f = json_object_get(json_array_get(calls, i), "function");
        const json_t *text = json_object_get(f, "arguments");
        json_t *args = json_is_string(text)
                           ? json_loadb(json_string_value(text),
                                        json_string_length(text), 0, NULL)
                           : NULL;
        if (json_is_object(args))
            json_object_set(f, "arguments", args);
        json_decref(args);
    }
}

static int prepare_one(json_t *m, size_t i, qn_err *err)
{
    const char *role = json_string_value(json_object_get(m, "role"));
    const json_t *content = json_object_get(m, "content");
    bool calls = json_is_array(json_object_get(m, "tool_calls"));
    if (!role)
        return qn_fail(err, QN_EINVAL, "messages[%zu] needs a role", i);
    name_role(m, role);
    unfold_calls(m);
    if (json_is_array(content))
        return flatten(m, i, err);
    if (!json_is_string(content) && !calls)
        return qn_fail(err, QN_EINVAL,
                       "messages[%zu].content must be a string or a list of "
                       "text parts",
                       i);
    return 0;
}

int qn_messages_prepare(json_t *list, qn_err *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > MAX_MESSAGES)
        return qn_fail(err, QN_EINVAL, "must be a list of 1 to %d messages",
                       MAX_MESSAGES);
    for (size_t i = 0; i < n; i++)
        QN_TRY(prepare_one(json_array_get(list, i), i, err));
    return 0;
}

int qn_messages_render(const qn_model *model, const json_t *messages,
                       const json_t *tools, const json_t *kwargs,
                       bool generation_prompt, char **text, size_t *n,
                       qn_err *err)
{
    char *m = json_dumps(messages, JSON_COMPACT);
    char *t = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    char *k = kwargs ? json_dumps(kwargs, JSON_COMPACT) : NULL;
    int rc = qn_chat_render(model, m, t, generation_prompt, k, text, n, err);
    free(m);
    free(t);
    free(k);
    if (rc == QN_EUNSUP)
        return qn_err_prefix(err, rc,
                             "no conversation with this model; "
                             "/v1/completions goes on from a text");
    return rc;
}

int qn_messages_cut(const json_t *list, const char *text, size_t *n,
                    qn_err *err)
{
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    const json_t *content = json_object_get(last, "content");
    const char *s = json_string_value(content);
    size_t len = json_string_length(content);
    while (len > 0 && strchr(" \t\r\n", s[len - 1])) /* templates trim */
        len--;
    for (size_t end = *n; len && end >= len && *n - end <= MAX_TAIL; end--)
        if (memcmp(text + end - len, s, len) == 0) {
            *n = end;
            return 0;
        }
    return qn_fail(err, QN_EUNSUP,
                   "continue_final_message: the chat template does not render "
                   "the last message's text as it is");
}
