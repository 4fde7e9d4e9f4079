/* corpus.h - a text as tokens, and the windows in which a model reads it.
 *
 *   text --split--> documents --tokenizer--> ids --context, stride--> windows
 *
 * Windows of `context` tokens begin every `stride` tokens of a document. A
 * window scores those of its tokens that no window before it has scored; its
 * first token is only scored when something of the window stands before it.
 * So each token but the first is scored once, by the window that has at least
 * context - stride tokens before it; with stride = context the first token of
 * every window is not scored. */
#ifndef QN_EVAL_CORPUS_H
#define QN_EVAL_CORPUS_H

#include "base/err.h"
#include "base/vec.h"
#include "text/tokenizer.h"

typedef enum qn_eval_bos {
    QN_BOS_AUTO, /* what the tokenizer itself adds to a text           */
    QN_BOS_NONE,
    QN_BOS_EACH /* the begin token before every window, not scored; the
                   windows have one token of the text less              */
} qn_eval_bos;

typedef struct qn_corpus_params {
    const char *path;
    const char *split;  /* documents are what is between, white space at
                             their ends left out; NULL: one document */
    size_t skip, limit; /* documents: the first ones not, then at most so
                             many; limit 0: all */
    int64_t max_tokens; /* of a document, the rest is left out; 0: all */
    int64_t context;    /* 0: QN_MIN(default_context, the longest document) */
    int64_t default_context;
    int64_t stride; /* 0: context */
    qn_eval_bos bos;
} qn_corpus_params;

typedef struct qn_doc {
    size_t at, n; /* of ids */
} qn_doc;

typedef struct qn_window {
    size_t at;    /* of ids: its first token */
    int n;        /* tokens of the text */
    int n_scored; /* the last so many */
} qn_window;

typedef struct qn_corpus {
    qn_tok_ids ids; /* of all documents */
    QN_VEC(qn_doc) docs;
    QN_VEC(qn_window) windows;
    size_t n_scored;
    int64_t context, stride; /* as they were chosen */
    int32_t bos;             /* before every window, or -1 */
    uint64_t n_bytes, hash;  /* of the file; FNV-1a, 64 bits */
} qn_corpus;

/* QN_EINVAL naming the file: it is empty, or has fewer tokens than a window
 * that was asked for. */
int qn_corpus_read(qn_corpus *c, const qn_tok *tok, const qn_corpus_params *p,
                   qn_err *err);
void qn_corpus_deinit(qn_corpus *c);

/* FNV-1a (Fowler, Noll, Vo), 64 bits; begins with QN_FNV_BASIS. */
#define QN_FNV_BASIS 14695981039346656037u
uint64_t qn_fnv(uint64_t h, const void *p, size_t n);

#endif
