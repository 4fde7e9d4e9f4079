/* tok_model.h - the kinds of models: what a word becomes.
 *
 * A row per type of tokenizer.json's "model". To support another one, write
 * its functions and add it to the table in tok_model.c. */
#ifndef QN_TEXT_TOK_MODEL_H
#define QN_TEXT_TOK_MODEL_H

#include "text/tok_work.h"

#include <jansson.h>

struct qn_tok_draft;

/* A model's JSON: its big members as text, the others read. */
typedef struct qn_tok_model_parts {
    const json_t *small;
    qn_view vocab, merges; /* p NULL: not there */
} qn_tok_model_parts;

typedef struct qn_tok_model {
    const char *type;
    const char *fields; /* of `small`, blanks around each */
    /* Fills the draft. */
    int (*read)(struct qn_tok_draft *d, const qn_tok_model_parts *m,
                qn_err *err);
    /* Makes what encode works with of the finished draft. */
    void *(*build)(struct qn_tok_draft *d);
    /* Emits the tokens of the word p[n], n > 0. Any thread. */
    int (*encode)(const void *impl, qn_tok_work *w, const char *p, size_t n);
    void (*free)(void *impl);
    /* Frees what encode left in w->model. */
    void (*work_free)(qn_tok_work *w);
} qn_tok_model;

extern const qn_tok_model qn_tok_model_bpe;
extern const qn_tok_model qn_tok_model_unigram;
extern const qn_tok_model qn_tok_model_wordpiece;
extern const qn_tok_model qn_tok_model_wordlevel;

/* The row of a model; old files do not name its type. NULL with QN_EUNSUP or
 * QN_EFORMAT in err. */
const qn_tok_model *qn_tok_model_of(const qn_tok_model_parts *m,
                                    const char *name, qn_err *err);

#endif
