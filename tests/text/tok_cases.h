/* tok_cases.h - reference cases of tokenizers, counted and written down. */
#ifndef QN_TEST_TOK_CASES_H
#define QN_TEST_TOK_CASES_H

#include "testing.h"

#include "text/tokenizer.h"

/* What came of a group of cases. */
typedef struct tok_score {
    const char *name;
    size_t passed, total;
} tok_score;

/* One comparison: counts it, and prints the first few that fail. */
void tok_score_add(tok_score *s, bool ok, const char *what, const char *text);
/* Fails the test unless all passed. A row of the conformance page, unless
 * notes is NULL. */
void tok_score_end(const tok_score *s, const char *notes);

/* Everything in a reference.json: encode cases (ids with and without special
 * tokens, spans, both decodings) and decode_random. With `stream`, decoding
 * also goes token by token. */
void tok_run_reference(tok_score *s, const qn_tok *t, const json_t *ref);

json_t *tok_read_json(const char *path);
qn_tok *tok_open_json_file(const char *path);
bool tok_ids_equal(const qn_tok_ids *ids, const json_t *want);
/* Decodes token by token. Fails when half a code point comes out. */
void tok_decode_stream(const qn_tok *t, const int32_t *ids, size_t n,
                       bool skip_special, qn_str *out);

#endif
