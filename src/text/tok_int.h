/* tok_int.h - what a tokenizer is inside, and how openers build one.
 *
 * An opener fills a qn_tok_draft: the vocabulary, the pipeline, the merges;
 * qn_tok_build checks it as a whole and makes the tokenizer of it. */
#ifndef QN_TEXT_TOK_INT_H
#define QN_TEXT_TOK_INT_H

#include "text/tok_added.h"
#include "text/tok_bpe.h"
#include "text/tok_fit.h"
#include "text/tok_model.h"
#include "text/tok_step.h"
#include "text/tok_vocab.h"
#include "text/tokenizer.h"

struct qn_tok {
    qn_vocab vocab; /* as spelled                                       */
    qn_vocab raw;   /* the same as bytes, when the model works on bytes */
    bool bytes;     /* it does                                          */
    const qn_tok_model *model;
    void *impl; /* of the model */
    qn_tok_added added;
    qn_tok_steps norm, pre, post, dec;
    qn_tok_fit fit;
    bool needs_al; /* a step asks where a piece began, after rewrites */
    bool trims;    /* a post-processor trims spans                    */
    uint32_t n_vocab;
    int32_t role[QN_TOK_N_ROLE];
};

typedef struct qn_tok_merge {
    int32_t left, right, id;
} qn_tok_merge;

typedef struct qn_tok_draft {
    qn_tok *t;
    const char *name;
    const qn_tok_model *model;
    qn_bpe_options o;            /* but for vocab and bytes */
    QN_VEC(double) scores;       /* Unigram: by id; -INFINITY: never used */
    bool float_scores;           /* Unigram: sums are rounded to float     */
    size_t max_chars;            /* WordPiece: of a word */
    QN_VEC(qn_tok_merge) merges; /* by rank */
    bool keep_first;             /* of equal pairs; else the last counts  */
    const uint32_t *ranks;       /* by_text: [vocab.n_ids]                */
    uint32_t *own_ranks;         /* the same when the draft owns it       */
    const json_t *added;         /* list of added tokens as in
                                    tokenizer.json, or NULL               */
} qn_tok_draft;

void qn_tok_draft_init(qn_tok_draft *d, const char *name);
/* Also closes what was not built. */
void qn_tok_draft_deinit(qn_tok_draft *d);
/* A merge by the spelling of its two parts. QN_EFORMAT when a part or the
 * result is no token, unless `lenient`: then it is passed over. */
int qn_tok_draft_merge(qn_tok_draft *d, qn_view left, qn_view right,
                       bool lenient, qn_err *err);
/* The same from "left right". */
int qn_tok_draft_merge_text(qn_tok_draft *d, qn_view text, qn_err *err);
/* Adds the tokens of a JSON list {"content": ..., "special": ...}; their ids
 * are those that the vocabulary gives them or the next free ones. */
int qn_tok_draft_added(qn_tok_draft *d, const json_t *list, qn_err *err);
/* One token with a given id. Its normalized form is worked out here: the
 * normalizer must be complete. */
int qn_tok_draft_add(qn_tok_draft *d, qn_tok_added_token *tok, qn_err *err);
int qn_tok_build(qn_tok_draft *d, qn_tok **out, qn_err *err);

/* bos_token and so on, as strings or objects with "content". Tokens that the
 * vocabulary lacks are left at -1. */
void qn_tok_read_roles(qn_tok *t, const json_t *config);
/* Adds "added_tokens_decoder" of a tokenizer_config.json: {"id": token}. */
int qn_tok_read_decoder_tokens(qn_tok_draft *d, const json_t *config,
                               qn_err *err);
/* TemplateProcessing by hand: bos (-1 none), text, eos (-1 none). */
void qn_tok_add_template(qn_tok *t, int32_t bos, int32_t eos);

/* Whether a text begins as a rank file does. */
bool qn_tok_is_tiktoken(qn_view text);
/* A rank file by its name or by how many ranks it has: the pattern and the
 * special tokens of the encodings that are known. QN_EUNSUP for others. */
int qn_tok_open_ranks(qn_tok **out, qn_view ranks, const char *path,
                      const json_t *config, qn_err *err);

/* How Kimi's tokenization_kimi.py divides text. */
#define QN_TOK_KIMI_CASED(upper, lower)                                             \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]" upper \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]" lower                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define QN_TOK_KIMI                                                           \
    "[\\p{Han}]+|" QN_TOK_KIMI_CASED("*", "+") "|" QN_TOK_KIMI_CASED(         \
        "+", "*") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" \
                  "|\\s+(?!\\S)|\\s+"

/* A token by its bytes in base64. scratch: what one token after the other is
 * written to. */
int qn_tok_draft_bytes(qn_tok_draft *d, qn_view base64, int64_t id,
                       qn_str scratch[2], qn_err *err);
/* Of tokens given so, whose ids say in which order pairs merge. */
int qn_tok_build_ranks(qn_tok_draft *d, const char *pattern,
                       const qn_tok_special *special, size_t n_special,
                       qn_tok **out, qn_err *err);

/* vocab.json's object at the reader's place. */
struct qn_scan;
int qn_tok_read_vocab(qn_vocab *v, struct qn_scan *s, const char *name,
                      qn_err *err);

#endif
