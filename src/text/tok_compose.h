/* tok_compose.h - Unicode normalization that keeps track of alignments. */
#ifndef QN_TEXT_TOK_COMPOSE_H
#define QN_TEXT_TOK_COMPOSE_H

#include "text/tok_work.h"

/* Appends bytes [b, e) of the piece in the given form (QN_UNI_NFC, _NFD,
 * _NFKC or _NFKD). Before b and at e must be boundaries: characters that
 * neither change nor move under the form. */
void qn_tok_compose(qn_tok_work *w, const qn_tok_piece *pc, size_t b, size_t e,
                    unsigned form);

#endif
