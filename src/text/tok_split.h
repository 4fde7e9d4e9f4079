/* tok_split.h - patterns, and what becomes of what they match. */
#ifndef QN_TEXT_TOK_SPLIT_H
#define QN_TEXT_TOK_SPLIT_H

#include "text/tok_threes.h"
#include "text/tok_work.h"

#include <jansson.h>

/* A string, or a regular expression; well-known ones run by hand. */
typedef struct qn_tok_pattern {
    char *literal; /* else NULL */
    size_t literal_n;
    const qn_tok_words *words; /* else NULL */
    const qn_tok_threes *threes;
    qn_tok_regex *regex;
} qn_tok_pattern;

/* {"String": "..."} or {"Regex": "..."}. */
int qn_tok_pattern_parse(qn_tok_pattern *pat, const json_t *o, const char *doc,
                         qn_err *err);
int qn_tok_pattern_regex(qn_tok_pattern *pat, const char *re, size_t n,
                         const char *doc, qn_err *err);
void qn_tok_pattern_deinit(qn_tok_pattern *pat);
/* Hits and gaps of p[n] in order, offsets counted from `base`. */
int qn_tok_pattern_find(const qn_tok_pattern *pat, qn_tok_work *w,
                        const char *p, size_t n, uint32_t base);

typedef enum qn_tok_behavior {
    QN_TOK_REMOVED,
    QN_TOK_ISOLATED,
    QN_TOK_MERGED_WITH_PREVIOUS,
    QN_TOK_MERGED_WITH_NEXT,
    QN_TOK_CONTIGUOUS
} qn_tok_behavior;
int qn_tok_behavior_parse(qn_tok_behavior *b, const char *name, const char *doc,
                          qn_err *err);

/* Divides every piece without an id. */
int qn_tok_split_pattern(qn_tok_work *w, const qn_tok_pattern *pat,
                         qn_tok_behavior behavior, bool invert);
/* The same, where each character with one of the flags is a hit, or each run
 * of such characters. ASCII punctuation counts as QN_UNI_PUNCT. */
void qn_tok_split_chars(qn_tok_work *w, unsigned flags,
                        qn_tok_behavior behavior);
/* Where the character itself is the hit. */
void qn_tok_split_char(qn_tok_work *w, uint32_t cp, qn_tok_behavior behavior);
/* Behind each `length` characters. */
void qn_tok_split_lengths(qn_tok_work *w, size_t length);
/* \w+|[^\w\s]+, without the rest. */
void qn_tok_split_word_runs(qn_tok_work *w);
/* Where the script changes. Characters of any script (blanks) belong to what
 * they follow; those before the first that has one are dropped. */
void qn_tok_split_scripts(qn_tok_work *w);
/* By qn_tok_words, isolated. */
void qn_tok_split_words(qn_tok_work *w, const qn_tok_words *words);

#endif
