/* tok_step.h - the typed steps that a tokenizer definition is made of.
 *
 * Each stage (normalizer, pre-tokenizer, post-processor, decoder) is a list of
 * steps, and has a table of the kinds of steps it knows: a row names the type
 * as it stands in tokenizer.json, the fields that may stand beside it, and the
 * functions that read and run it. To support another type, add a row.
 * Sequences are flattened while they are read. */
#ifndef QN_TEXT_TOK_STEP_H
#define QN_TEXT_TOK_STEP_H

#include "text/tok_split.h"

typedef struct qn_tok_step qn_tok_step;
struct qn_tok_flow; /* decoders run on it: tok_dec.h */

typedef struct qn_tok_kind {
    const char *type;
    const char *fields; /* separated and surrounded by blanks */
    /* Reads the fields; NULL: there are none. `o` is an object. */
    int (*parse)(qn_tok_step *s, const json_t *o, const char *doc, qn_err *err);
    /* Normalizers, pre-tokenizers, post-processors. */
    int (*run)(const qn_tok_step *s, qn_tok_work *w);
    /* Decoders: a chunk of a piece, and the end of the text. */
    int (*feed)(struct qn_tok_flow *f, size_t k, const char *p, size_t n,
                bool ends);
    int (*finish)(struct qn_tok_flow *f, size_t k);
    bool whole; /* decoders: feed wants each piece at once */
} qn_tok_kind;

/* One step with its parameters; each kind says which of them it uses. */
struct qn_tok_step {
    const qn_tok_kind *kind;
    qn_tok_pattern pattern;
    qn_tok_behavior behavior;
    char *text; /* content, prefix or replacement, owned */
    size_t text_n;
    uint32_t cp;              /* a character                                  */
    unsigned form;            /* normalization form                           */
    size_t start, stop;       /* counts                                       */
    bool on, left, right;     /* switches                                     */
    bool raw;                 /* ByteLevel: the model reads bytes as they are */
    int scheme;               /* Metaspace: enum qn_tok_scheme                */
    struct qn_tok_trie *trie; /* words to leave alone, owned, or NULL     */
    int32_t *ids;             /* post-processors, owned                       */
    size_t n_ids;
};

enum qn_tok_scheme {
    QN_TOK_ALWAYS,
    QN_TOK_FIRST,
    QN_TOK_NEVER
};

typedef struct qn_tok_steps {
    qn_tok_step *v;
    size_t n, cap;
} qn_tok_steps;

typedef struct qn_tok_stage {
    const char *name; /* the key in tokenizer.json   */
    const char *list; /* the key inside a Sequence   */
    const qn_tok_kind *kinds;
    size_t n_kinds;
} qn_tok_stage;

extern const qn_tok_stage qn_tok_normalizers;
extern const qn_tok_stage qn_tok_pre_tokenizers;
extern const qn_tok_stage qn_tok_post_processors;
extern const qn_tok_stage qn_tok_decoders;
/* Its one row, "Join", is what decodes where a file names no decoder. */
extern const qn_tok_stage qn_tok_joiners;

/* Appends the steps that o (NULL and null: none) stands for. `name` is the
 * document. QN_EUNSUP names what is not understood. */
int qn_tok_steps_parse(qn_tok_steps *steps, const qn_tok_stage *stage,
                       const json_t *o, const char *name, qn_err *err);
/* A step made by hand: NULL only when the stage has no such kind. */
qn_tok_step *qn_tok_steps_add(qn_tok_steps *steps, const qn_tok_stage *stage,
                              const char *type);
void qn_tok_steps_deinit(qn_tok_steps *steps);
int qn_tok_steps_run(const qn_tok_steps *steps, qn_tok_work *w);
bool qn_tok_step_is(const qn_tok_step *s, const char *type);

/* Copies a JSON string into s->text. */
int qn_tok_step_text(qn_tok_step *s, const json_t *o, const char *key,
                     const char *doc, qn_err *err);
/* A string of exactly one character into s->cp. */
int qn_tok_step_char(qn_tok_step *s, const json_t *o, const char *key,
                     const char *doc, qn_err *err);
void qn_tok_step_set_text(qn_tok_step *s, const char *p, size_t n);

/* The character that stands for byte b in byte-level vocabularies, and back
 * (-1: none). */
uint32_t qn_tok_byte_char(uint8_t b);
int qn_tok_char_byte(uint32_t cp);
/* Rewrites every byte as its character. */
int qn_tok_spell_bytes(qn_tok_work *w);

/* The fields of Metaspace, which is a pre-tokenizer and a decoder. */
int qn_tok_meta_parse(qn_tok_step *s, const json_t *o, const char *doc,
                      qn_err *err);
#define QN_TOK_META_FIELDS \
    " replacement prepend_scheme add_prefix_space split str_rep "

#endif
