/* format.h - response formats: what a completion's text has to be.
 *
 * A format is a grammar (text/grammar.h) and the masks of its states: which
 * tokens may come next. Requests with the same format share one, and one that
 * nobody uses is kept for a while.
 *
 * A sequence carries its state; a token leads to the next (qn_fmt_advance).
 * One thread at a time. */
#ifndef QN_ENGINE_FORMAT_H
#define QN_ENGINE_FORMAT_H

#include "base/err.h"
#include "text/tokenizer.h"

typedef struct qn_formats qn_formats; /* an engine's */
typedef struct qn_fmt qn_fmt;         /* one of them */

/* `tok` is borrowed; it is read when the first format is asked for. */
qn_formats *qn_formats_new(const qn_tok *tok, int n_vocab);
void qn_formats_free(qn_formats *f);

/* kind is not TEXT; `schema` (n bytes) for the kinds that need one. Errors name
 * what of it is not understood. */
int qn_formats_get(qn_formats *f, qn_format kind, const char *schema, size_t n,
                   qn_fmt **out, qn_err *err);
/* The same, without a tokenizer: whether it is understood. */
int qn_format_check(qn_format kind, const char *schema, size_t n, qn_err *err);
qn_fmt *qn_fmt_ref(qn_fmt *f);
void qn_fmt_unref(qn_fmt *f); /* NULL is fine */

uint32_t qn_fmt_begin(const qn_fmt *f);
uint32_t qn_fmt_advance(qn_fmt *f, uint32_t state, int32_t id);
/* The text is complete and cannot go on. */
bool qn_fmt_is_over(const qn_fmt *f, uint32_t state);
/* Bit id says whether token id may come next; *ends whether the text may end.
 * Borrowed until the next call. An error when nothing may. */
int qn_fmt_mask(qn_fmt *f, uint32_t state, const uint32_t **bits, bool *ends,
                qn_err *err);

#endif
