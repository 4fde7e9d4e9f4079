/* tok_spm.h - SentencePiece models: BPE, Unigram, Word and Char, with the
 * normalization that they carry. The same from a tokenizer.model and from the
 * arrays of a GGUF file. Source: sentencepiece_model.proto and the behaviour of
 * the library, version 0.2. */
#ifndef QN_TEXT_TOK_SPM_H
#define QN_TEXT_TOK_SPM_H

#include "text/tok_int.h"

enum qn_spm_type {
    QN_SPM_NORMAL = 1,
    QN_SPM_UNKNOWN = 2,
    QN_SPM_CONTROL = 3,
    QN_SPM_USER_DEFINED = 4,
    QN_SPM_UNUSED = 5,
    QN_SPM_BYTE = 6
};

enum qn_spm_kind {
    QN_SPM_UNIGRAM = 1,
    QN_SPM_BPE = 2,
    QN_SPM_WORD = 3,
    QN_SPM_CHAR = 4
};

/* A model; views are borrowed. */
typedef struct qn_spm {
    int64_t kind;
    size_t n;
    const qn_view *pieces; /* [n] */
    const float *scores;   /* [n] */
    const int32_t *types;  /* [n] enum qn_spm_type */
    qn_view charsmap;
    bool dummy_prefix, drop_extra, escape, byte_fallback;
    bool suffix;         /* the dummy prefix stands behind the text instead */
    qn_view unk_surface; /* what the unknown token decodes to */
    /* Control tokens in a text become their ids, for callers that ask; without
     * it they are ordinary text for everybody, as in SentencePiece. */
    bool parse_control;
} qn_spm;

/* Vocabulary, pipeline, model and added tokens of an empty draft. */
int qn_spm_fill(qn_tok_draft *d, const qn_spm *m, qn_err *err);
/* Scores as ranks: the best score is the lowest rank, equal stay equal. */
uint32_t qn_spm_rank(float score);

/* The normalizer, a stage with one row of which no tokenizer.json knows. In its
 * step: text, start, stop as the Precompiled normalizer has them; left: dummy
 * prefix; scheme: it stands behind; right: drop extra blanks; on: blanks become
 * U+2581; trie: what is not to be normalized. */
extern const qn_tok_stage qn_spm_normalizers;

/* Words, each from a U+2581 to before the next, are tokens or unknown. */
extern const qn_tok_model qn_tok_model_spm_word;

#endif
