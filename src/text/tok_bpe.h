/* tok_bpe.h - byte pair encoding of one word.
 *
 * A word begins as symbols (characters or bytes); again and again the pair of
 * neighbours with the lowest rank, leftmost first, becomes one symbol. What a
 * pair becomes, and its rank, comes from a list of merges or from the text of
 * both together (SentencePiece's scores, tiktoken's ranks).
 * Immutable once filled; encoding is thread-safe. */
#ifndef QN_TEXT_TOK_BPE_H
#define QN_TEXT_TOK_BPE_H

#include "text/tok_vocab.h"
#include "text/tok_work.h"

typedef struct qn_bpe qn_bpe;

typedef struct qn_bpe_options {
    const qn_vocab *vocab; /* borrowed; spelled as the words will be */
    bool bytes;            /* symbols are bytes, not characters      */
    bool by_text;          /* pairs by text; ranks by qn_bpe_rank    */
    bool ignore_merges;    /* a word of the vocabulary is its token  */
    bool fuse_unk, byte_fallback;
    bool late_unknown;      /* unknown characters may still merge; what is
                          left of them becomes bytes at the end      */
    int32_t unk;            /* -1 none: unknown characters are left out   */
    qn_view unk_name;       /* when it names a token that is not there    */
    qn_view prefix, suffix; /* of inner and of last symbols; copied  */
} qn_bpe_options;

/* Bytes spelled "<0x00>" .. "<0xFF>" in the vocabulary are found here. */
qn_bpe *qn_bpe_new(const qn_bpe_options *o, size_t n_merges);
void qn_bpe_free(qn_bpe *b);
/* Two symbols that become `id`. A pair given again gets the later rank, or
 * keeps the earlier one. */
void qn_bpe_merge(qn_bpe *b, int32_t left, int32_t right, int32_t id,
                  uint32_t rank, bool keep_first);
/* by_text: the rank of becoming token id. */
void qn_bpe_rank(qn_bpe *b, int32_t id, uint32_t rank);

/* Emits the tokens of p[n]. */
int qn_bpe_encode(const qn_bpe *b, qn_tok_work *w, const char *p, size_t n);
/* Frees what encoding left in w->model. */
void qn_bpe_work_free(qn_tok_work *w);

#endif
