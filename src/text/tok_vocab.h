/* tok_vocab.h - tokens by id and by text.
 *
 * Ownership: the vocabulary owns its bytes; views are borrowed from it and
 * stay valid once nothing is added any more. Reading is thread-safe then. */
#ifndef QN_TEXT_TOK_VOCAB_H
#define QN_TEXT_TOK_VOCAB_H

#include "base/err.h"
#include "base/str.h"

/* Ids beyond this are taken for a defect of the file. */
#define QN_VOCAB_MAX_ID ((1 << 22) - 1)

typedef struct qn_vocab_word {
    uint32_t off, len; /* len UINT32_MAX: no token has this id */
} qn_vocab_word;

typedef struct qn_vocab {
    qn_str text;         /* all tokens, one behind the other  */
    qn_vocab_word *word; /* [n_ids]                           */
    uint32_t n_ids;      /* highest id + 1                    */
    uint32_t cap_ids;
    uint32_t n;       /* tokens                            */
    uint32_t max_len; /* bytes of the longest one          */
    uint64_t *slots;  /* hash << 32 | id + 1, 0: empty     */
    uint32_t mask;    /* slots - 1                         */
    uint32_t n_slots; /* used ones                         */
    uint64_t seed;
} qn_vocab;

void qn_vocab_init(qn_vocab *v, size_t expected);
void qn_vocab_deinit(qn_vocab *v);

/* 0, or 1 when the text was there already (it then finds the new id), or
 * QN_EFORMAT: the id is taken or out of range. `name` is for the message. */
int qn_vocab_add(qn_vocab *v, qn_view text, int64_t id, const char *name,
                 qn_err *err);

/* -1 when there is none. */
int32_t qn_vocab_find(const qn_vocab *v, const char *p, size_t n);
/* p is NULL when there is none. */
qn_view qn_vocab_text(const qn_vocab *v, int64_t id);
/* Of the tokens that stand for bytes, "<0x00>" to "<0xFF>"; -1: none. */
void qn_vocab_hex(const qn_vocab *v, int32_t ids[256]);

#endif
