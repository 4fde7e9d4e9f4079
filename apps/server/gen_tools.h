/* gen_tools.h - tools of chats: how this model writes calls, and answers that
 * begin with one because the request demands it. */
#ifndef QN_SERVER_GEN_TOOLS_H
#define QN_SERVER_GEN_TOOLS_H

#include "server/gen.h"

/* How calls look: {before}NAME{after}{"key": ..}. */
typedef struct qn_call_shape {
    qn_toolcall_kind kind;
    char *before, *after; /* owned */
    bool json;            /* arguments are a JSON object */
} qn_call_shape;

/* `parser`: --tool-call-parser. With "auto" the model's chat template renders
 * a conversation that has a call, and what it writes tells. */
int qn_call_shape_find(qn_call_shape *s, const qn_model *model,
                       const char *parser, qn_err *err);
void qn_call_shape_deinit(qn_call_shape *s);

/* Worker: what the tools mean for the request; `text` is the rendered prompt,
 * which grows by the beginning of a call that is demanded. What follows is held
 * to the tool's schema, where calls are JSON. */
int qn_gen_tools_prepare(qn_gen *g, qn_str *text, qn_err *err);
/* Its choices get their parsers. */
void qn_gen_tools_begin(qn_gen *g);
/* What a choice writes, told apart: thoughts first, then calls in what is left.
 * Texts are borrowed. */
typedef struct qn_gen_sink {
    qn_toolcall_sink answer; /* its user is the user of both */
    void (*thought)(void *user, const char *p, size_t n);
} qn_gen_sink;

/* More of it; `last`: nothing will follow. */
void qn_gen_tell(qn_choice *c, const char *p, size_t n, bool last,
                 const qn_gen_sink *sink);
/* The id of the index-th call of a choice: nine letters and digits, which is
 * what Mistral's templates insist on. */
void qn_gen_call_id(const qn_gen *g, const qn_choice *c, int index,
                    qn_str *out);

#endif
