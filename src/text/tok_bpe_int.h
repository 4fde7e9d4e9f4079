/* tok_bpe_int.h - the parts of the BPE model: tables (tok_bpe.c), the merging
 * of symbols (tok_bpe_merge.c). */
#ifndef QN_TEXT_TOK_BPE_INT_H
#define QN_TEXT_TOK_BPE_INT_H

#include "text/tok_bpe.h"

#include <stdatomic.h>

enum {
    BPE_TABLE = 0x3000, /* characters whose ids are in an array */
    BPE_AFFIX_MAX = 64, /* bytes of a prefix or suffix          */
    BPE_NONE = -1
};
#define BPE_NO_RANK UINT32_MAX

typedef struct bpe_slot {
    uint32_t left, right; /* left is id + 1, 0: empty */
    uint32_t rank;
    int32_t id;
} bpe_slot;

struct qn_bpe {
    qn_bpe_options o;
    char affixes[3 * BPE_AFFIX_MAX]; /* prefix, suffix, name of unk */
    bpe_slot *slots;
    uint32_t mask;
    uint64_t seed;
    uint32_t *rank;         /* by_text: [vocab->n_ids]           */
    int32_t byte_id[256];   /* of a single byte                  */
    int32_t hex_id[256];    /* of "<0xHH>"                       */
    int32_t *char_id;       /* [BPE_TABLE]                       */
    _Atomic uint8_t *whole; /* [vocab->n_ids] enum bpe_whole     */
    uint8_t *joins;         /* [vocab->n_ids] is part of a merge */
    uint64_t *bridges;      /* see tok_bpe_merge.c; NULL: no cuts */
    uint32_t bridge_mask;   /* bits - 1                          */
};

enum bpe_whole {
    BPE_WHOLE_UNKNOWN,
    BPE_WHOLE_YES,
    BPE_WHOLE_NO
};

typedef struct bpe_symbol {
    int32_t id;
    uint32_t len; /* bytes of the word; 0: gone */
    uint32_t pos; /* where they begin           */
    int32_t prev, next;
} bpe_symbol;

typedef struct bpe_candidate {
    uint32_t rank, pos; /* symbol on the left */
    uint32_t size;      /* bytes of both      */
    int32_t id;
} bpe_candidate;

typedef struct bpe_scratch {
    QN_VEC(bpe_symbol) symbols;
    QN_VEC(bpe_candidate) heap;
} bpe_scratch;

const bpe_slot *qn_bpe_slot(const qn_bpe *b, int32_t left, int32_t right);
/* Notes that symbols may become one across the border of two characters. */
void qn_bpe_bridge(qn_bpe *b, uint32_t before, uint32_t behind);
/* Makes room for about n bridges. */
void qn_bpe_bridges_init(qn_bpe *b, size_t n);
/* Merges x->symbols of the word p and emits the tokens. */
void qn_bpe_merge_symbols(const qn_bpe *b, qn_tok_work *w, bpe_scratch *x,
                          const char *p);

#endif
