/* tok_compose.h - rewriting that keeps track of alignments character by
 * character, and Unicode normalization on top of it. */
#ifndef QN_TEXT_TOK_COMPOSE_H
#define QN_TEXT_TOK_COMPOSE_H

#include "text/tok_work.h"

/* A character of the result, and how it came about, as a number in the manner
 * of Hugging Face's normalizer, from which its alignment follows:
 *
 *     1     inserted: shares the alignment of the character before
 *    -n     took the place of one character and of n that follow it */
typedef struct qn_tok_change {
    uint32_t cp;
    int32_t change;
    int32_t class; /* combining class, while normalizing */
} qn_tok_change;

/* Appends the list in place of bytes [b, e) of the piece. */
void qn_tok_transform(qn_tok_work *w, const qn_tok_piece *pc, size_t b,
                      size_t e, const qn_tok_change *list, size_t n);

/* Appends bytes [b, e) of the piece in the given form (QN_UNI_NFC, _NFD,
 * _NFKC or _NFKD). Before b and at e must be boundaries: characters that
 * neither change nor move under the form. */
void qn_tok_compose(qn_tok_work *w, const qn_tok_piece *pc, size_t b, size_t e,
                    unsigned form);

#endif
