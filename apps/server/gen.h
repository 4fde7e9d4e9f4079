/* gen.h - a call that generates text: its prompts, its completions.
 *
 *   worker   qn_gen_prepare: body -> fields -> prompts of token ids
 *   engine   runner.c submits one qn_request per prompt, feeds their events
 *            to the style's functions, which write the answer
 *
 * Ownership: the call owns its gen. Until qn_runner_push the worker may touch
 * it, from then on the engine thread alone. */
#ifndef QN_SERVER_GEN_H
#define QN_SERVER_GEN_H

#include "server/fields.h"
#include "server/call.h"
#include "server/reasoning.h"
#include "server/toolcall.h"

struct qn_gen;
struct qn_choice;

/* How an answer is spelled. Texts are appended to `out`. */
typedef struct qn_style {
    unsigned route;                /* QN_FIELD_* */
    const char *input;             /* the field that has the prompt */
    const char *const (*names)[2]; /* as in qn_fields */
    bool add_special; /* the tokenizer adds BOS etc., unless told otherwise */
    /* changes the request's document into what the fields of `route` are; NULL:
     * that is what it is */
    int (*ask)(struct qn_gen *g, json_t *doc, qn_err *err);
    /* stream: before the first event */
    void (*begin)(struct qn_gen *g, qn_str *out);
    /* stream: what one event adds; whole answer: kept in the choice */
    void (*event)(struct qn_gen *g, struct qn_choice *c, const qn_event *ev,
                  qn_str *out);
    /* stream: after the last event */
    void (*end)(struct qn_gen *g, qn_str *out);
    /* the whole answer */
    void (*whole)(struct qn_gen *g, qn_str *out);
} qn_style;

typedef struct qn_prompt {
    int32_t *ids;
    size_t n;
    char *text; /* for echo, else NULL */
    size_t text_len;
    bool bare;       /* with logprobs: it has no text */
    qn_request *req; /* engine thread */
    qn_request_stats stats;
} qn_prompt;

typedef struct qn_choice {
    int prompt, index; /* index: of the completion of its prompt */
    qn_str text;
    qn_str tokens, token_lps, tops, offsets; /* parts of logprobs, JSON */
    qn_str ids;                              /* token ids, JSON */
    qn_toolcall *parser;                     /* with tools, else NULL */
    qn_reasoning *reasoning; /* of a model that thinks aloud, else NULL */
    qn_str thought;          /* what it thought */
    bool begun;              /* the parser has what the prompt ends with */
    qn_str calls, args;      /* JSON of calls; arguments of the latest */
    size_t n_chars;          /* of text so far, code points that are whole */
    char part[4];            /* beginning of the next one */
    size_t n_part;
    bool at_start; /* no text yet: the blank of a first word is left out */
    int n_tokens;
    double sum_logprob;
    qn_finish finish;
    int stop;        /* which stop string ended it; -1: none */
    int32_t last_id; /* its last token */
    uint64_t t_last; /* when that came */
} qn_choice;

typedef struct qn_gen {
    qn_call *call;
    const qn_style *style;
    qn_fields f;
    qn_prompt *prompts;
    int n_prompts;
    qn_choice *choices;            /* [n_prompts * n_per] */
    int n_choices, n_per, n_shown; /* n_shown of n_per are answered */
    int64_t created;               /* seconds since 1970 */
    json_t *tools;                 /* a reference, or NULL */
    bool thinks, thinks_first;     /* aloud; the prompt ends in a thought */
    char *forced;                  /* beginning of a call that the prompt ends
                                      with, or NULL */
    char *asked; /* responses.c: what the answer repeats of the request  */
    struct qn_items *items; /* responses.c, else NULL */

    /* engine thread */
    bool submitted, admitted, streaming, paused;
    int n_open; /* choices without a finish */
    uint64_t t_submit;
} qn_gen;

/* Parses and tokenizes call->body. On failure the call has been answered and
 * NULL comes back. */
qn_gen *qn_gen_prepare(qn_call *call, const qn_style *style, bool stream);
/* NULL is fine. Its requests must have been freed. */
void qn_gen_free(qn_gen *g);

/* Answers with what a call of the library said. */
void qn_gen_fail(qn_call *call, const qn_fields *f, const qn_err *err);

/* ---- for styles -------------------------------------------------------- */

/* "stop", "length", "abort", or NULL while it runs */
const char *qn_gen_finish_name(qn_finish f);
/* What the i-th shown choice is, best first when there are more than shown. */
qn_choice *qn_gen_shown(qn_gen *g, int i);
/* Its number in the answer. */
int qn_gen_number(const qn_gen *g, const qn_choice *c);
/* What made it stop: a stop string, or one of stop_token_ids; else null. */
void qn_gen_stop_reason(const qn_gen *g, const qn_choice *c, qn_str *out);
/* Tokens, so far. */
typedef struct qn_gen_counts {
    int prompt, cached, completion;
} qn_gen_counts;
qn_gen_counts qn_gen_count(const qn_gen *g);
/* {"prompt_tokens":..,...} */
void qn_gen_usage(const qn_gen *g, qn_str *out);
/* What one token adds to a text, as qn_token_bytes says; qn_free it. */
char *qn_gen_token_bytes(const qn_gen *g, int32_t id, size_t *n);

#endif
