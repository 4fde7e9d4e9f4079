/* tok_words.h - the word patterns of well-known tokenizers, by hand.
 *
 * Each function is equal to a regular expression that always matches at the
 * current place, so that a text falls into words without gaps. They are
 * several times as fast as the regular expression. */
#ifndef QN_TEXT_TOK_WORDS_H
#define QN_TEXT_TOK_WORDS_H

#include <stddef.h>

typedef struct qn_tok_words {
    const char *name; /* "gpt2", "cl100k", ... */
    /* Where the word that begins at p[i] (i < n) ends. Valid UTF-8. */
    size_t (*next)(const struct qn_tok_words *w, const char *p, size_t n,
                   size_t i);
    unsigned max_digits; /* in a row, 0: any number */
    unsigned flags;
} qn_tok_words;

/* The words that a regular expression stands for; NULL when it is not known.
 * Spellings that differ without a difference in what they match are known. */
const qn_tok_words *qn_tok_words_of(const char *pattern, size_t n);
/* By name: "r50k", "p50k", "gpt2", "cl100k", "llama3", "qwen2", "o200k". */
const qn_tok_words *qn_tok_words_named(const char *name);

#endif
