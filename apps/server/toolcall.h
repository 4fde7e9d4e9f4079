/* toolcall.h - finds the calls of tools in what a model writes.
 *
 * A model that was given tools writes its calls as text, each family in its
 * own way. The text comes in pieces; what is certain goes out at once:
 *
 *   TEXT --open--> BODY --name and arguments--> ARGS --> NEXT --> TEXT
 *                    \-- it was no call: goes out as content --/
 *
 * Nothing is lost: what looked like a call and was none is content again,
 * unless its name had already gone out. Arguments are passed on as the model
 * wrote them, which need not be valid JSON.
 *
 * Ownership: the parser owns its buffers, borrows the tools.
 * Cost: linear in the text; memory as much as one call. */
#ifndef QN_SERVER_TOOLCALL_H
#define QN_SERVER_TOOLCALL_H

#include "base/str.h"

#include <jansson.h>

typedef enum qn_toolcall_kind {
    QN_TOOLCALL_NONE, /* everything is content */
    /* <tool_call>{"name": .., "arguments": {..}}</tool_call>, or inside it
     * <function=NAME><parameter=KEY>VALUE</parameter></function>, or
     * NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value> */
    QN_TOOLCALL_HERMES,
    /* [TOOL_CALLS][{"name": .., "arguments": {..}}], or
     * [TOOL_CALLS]NAME[ARGS]{..} */
    QN_TOOLCALL_MISTRAL,
    /* the whole answer is {"name": .., "parameters": {..}}; more behind ; */
    QN_TOOLCALL_LLAMA3,
    /* <tool_calls>[{"name": .., "arguments": {..}}]</tool_calls> */
    QN_TOOLCALL_APRIEL,
    /* <|tool_call_begin|>NAME<|tool_sep|>{..}<|tool_call_end|>, with wide bars
     * and low blocks for spaces */
    QN_TOOLCALL_DEEPSEEK,
    QN_TOOLCALL_N
} qn_toolcall_kind;

/* "hermes", ... as in --tool-call-parser; false: unknown. */
bool qn_toolcall_kind_of(const char *name, qn_toolcall_kind *kind);
/* Which one a chat template uses: `text` is a rendered conversation with a
 * call of `name`. On success *call is where that call begins in the text. */
qn_toolcall_kind qn_toolcall_detect(const char *text, const char *name,
                                    const char **call);

/* Where findings go. Texts are borrowed. */
typedef struct qn_toolcall_sink {
    void *user;
    void (*content)(void *user, const char *p, size_t n);
    /* a call begins; they are numbered from 0 */
    void (*call)(void *user, int index, const char *name);
    /* more of the arguments of the latest call */
    void (*args)(void *user, int index, const char *p, size_t n);
} qn_toolcall_sink;

typedef struct qn_toolcall qn_toolcall;

/* `tools`: the request's, for the types of arguments that are not written as
 * JSON; may be NULL. */
qn_toolcall *qn_toolcall_new(qn_toolcall_kind kind, const json_t *tools);
void qn_toolcall_free(qn_toolcall *t); /* NULL is fine */
/* `last`: nothing will follow. */
void qn_toolcall_feed(qn_toolcall *t, const char *p, size_t n, bool last,
                      const qn_toolcall_sink *sink);
/* Calls that have begun. */
int qn_toolcall_count(const qn_toolcall *t);

#endif
