/* tok_regex.h - the regular expressions of tokenizer files, run by PCRE2.
 *
 * Files are written for Oniguruma's Ruby syntax; qn_onig_to_pcre rewrites what
 * PCRE2 reads otherwise. A compiled regex is immutable and may be used by
 * several threads, each with its own qn_tok_finder.
 * Errors: QN_EUNSUP for constructs that have no equal, QN_EFORMAT for what is
 * no regular expression, QN_ELIMIT when a search backtracks too much. */
#ifndef QN_TEXT_TOK_REGEX_H
#define QN_TEXT_TOK_REGEX_H

#include "base/err.h"
#include "base/str.h"

/* Appends the pattern as PCRE2 must read it (UTF, UCP, MULTILINE). */
int qn_onig_to_pcre(qn_view pattern, qn_str *out, const char *doc, qn_err *err);

typedef struct qn_tok_regex qn_tok_regex;
int qn_tok_regex_new(qn_tok_regex **out, qn_view pattern, const char *doc,
                     qn_err *err);
void qn_tok_regex_free(qn_tok_regex *re);

/* What one thread needs to search; starts zeroed, serves every regex. */
typedef struct qn_tok_finder {
    void *match, *context, *stack;
} qn_tok_finder;
void qn_tok_finder_deinit(qn_tok_finder *f);

/* The next match of valid UTF-8 text p[n] at or behind *at, which moves to
 * where the one after it is to be looked for. `last` is where the previous
 * match ended or SIZE_MAX: an empty match there is passed over, as in
 * Oniguruma's iterators. 1 found, 0 none, QN_ELIMIT. */
int qn_tok_regex_next(const qn_tok_regex *re, qn_tok_finder *f, const char *p,
                      size_t n, size_t *at, size_t last, size_t *begin,
                      size_t *end, qn_err *err);

#endif
