/* fields.h - what a request for text may ask for: one row per field.
 *
 * A row names the field, the routes that have it, how its value is read, its
 * bounds and where it goes. A field that is null counts as absent. One that
 * is in no row is refused (or logged, with --lenient-fields): silence would
 * pretend that it was obeyed. */
#ifndef QN_SERVER_FIELDS_H
#define QN_SERVER_FIELDS_H

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "server/settings.h"

enum { /* routes */
    QN_FIELD_COMPLETION = 1,
    QN_FIELD_CHAT = 2,
    QN_FIELD_KSERVE = 4
};

/* Ownership: everything is in `mem`, but for the JSON values, which are
 * borrowed from the request's document. */
typedef struct qn_fields {
    qn_arena mem;
    qn_request_params rp; /* pointers into mem */

    const char *model;
    bool stream, include_usage, continuous_usage;
    bool echo, beam, want_logprobs, return_ids;
    bool tokens_as_ids; /* in log probabilities */
    bool tells_thoughts;
    int64_t max_tokens, max_completion_tokens;       /* -1: not given */
    int n, best_of;                                  /* 0: not given */
    int64_t logprobs, top_logprobs, prompt_logprobs; /* -1: not given */
    int64_t truncate;                                /* 0: no; -1: to fit */
    bool truncate_right;
    int add_special; /* -1: the route's default */
    bool add_generation_prompt, continue_final;
    enum {
        QN_TOOLS_AUTO,
        QN_TOOLS_NONE,
        QN_TOOLS_REQUIRED
    } tool_choice;
    const char *tool_name; /* the one that has to be called, or NULL */
    bool parallel_calls;

    json_t *prompt, *messages, *tools, *template_kwargs;
    const char *text_input;
    const char *id;               /* the request's, or NULL */
    const char *format_field;     /* what rp.format comes from, or NULL */
    const char *const *bad_words; /* ids are found with the tokenizer */
    size_t n_bad_words;
    const char *const *dry_breakers;
    size_t n_dry_breakers;

    /* what the API at hand calls some fields, {ours, its}, ended by NULL; or
     * NULL: as they are */
    const char *const (*names)[2];

    /* of a refusal */
    int status;        /* 0: 400 */
    const char *code;  /* or NULL */
    const char *param; /* field's name, or NULL */
} qn_fields;

typedef struct qn_field_context {
    const qn_settings *set;
    const char *model_name;
    int n_vocab;    /* ids of tokens are below */
    unsigned route; /* QN_FIELD_* */
    /* with lenient fields: an unknown one was met */
    void (*on_unknown)(void *user, const char *name);
    void *user;
} qn_field_context;

/* `f` has to hold defaults in rp. On failure f->status/code/param say more. */
int qn_fields_parse(qn_fields *f, const json_t *doc, const qn_field_context *c,
                    qn_err *err);
/* What the request calls the field `name`. */
const char *qn_fields_spell(const qn_fields *f, const char *name);
/* Sets f->param to the field that a message of the library is about, which
 * begins with its name; NULL where it does not. */
void qn_fields_blame(qn_fields *f, unsigned route, const char *message);
void qn_fields_init(qn_fields *f);
void qn_fields_deinit(qn_fields *f);

typedef struct qn_field_info { /* of a row, for the API reference */
    const char *name;
    unsigned routes;
    const char *type;    /* of JSON; "": the sentence of the field says it */
    double low, high;    /* bounds of a number                             */
    const char *refused; /* why any value but a neutral one is refused  */
    bool ignored;        /* taken, without effect on the text           */
} qn_field_info;

/* The i-th row; false when there are no more. */
bool qn_fields_describe(size_t i, qn_field_info *info);

#endif
