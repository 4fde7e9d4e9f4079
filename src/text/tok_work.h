/* tok_work.h - a text on its way through the pipeline.
 *
 * The current text is divided into pieces that cover what is left of it, in
 * order. Normalizers rewrite it, pre-tokenizers rewrite and divide it; a piece
 * that an added token took has its id and is left alone from then on.
 *
 * Each byte of the current text knows which bytes of the original it came
 * from (its alignment). Alignments are kept only when the caller wants spans
 * or a step needs them; while nothing was rewritten they are implied.
 *
 * Invariants
 *   1. Pieces are not empty, and are cut between code points.
 *   2. Without `al`, either nothing was rewritten or nobody asks.
 *   3. One work belongs to one call of qn_tok_encode. */
#ifndef QN_TEXT_TOK_WORK_H
#define QN_TEXT_TOK_WORK_H

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "text/tok_regex.h"
#include "text/tok_words.h"
#include "text/tokenizer.h"

typedef struct qn_tok_al {
    uint32_t b, e; /* bytes of the original */
} qn_tok_al;

typedef struct qn_tok_piece {
    uint32_t b, e;   /* bytes of the current text                         */
    uint32_t origin; /* where it begins in the original; UINT32_MAX when
                        that is behind its beginning and nobody asked     */
    int32_t id;      /* of the added token that took it, or -1            */
} qn_tok_piece;

typedef QN_VEC(qn_tok_piece) qn_tok_pieces;

typedef struct qn_tok_match {
    uint32_t b, e;
    bool hit; /* else what lies between two hits */
} qn_tok_match;
typedef QN_VEC(qn_tok_match) qn_tok_matches;

/* Which bytes of its piece a token stands for. */
typedef struct qn_tok_range {
    uint32_t b, e;
} qn_tok_range;

/* A token of the result, before it is handed out. */
typedef struct qn_tok_mark {
    uint32_t b, e;       /* code points of the original               */
    uint32_t head, tail; /* blanks that its text begins and ends with */
} qn_tok_mark;

typedef struct qn_tok_work {
    const char *original;
    size_t original_n;
    const char *p; /* current text */
    size_t n;
    const qn_tok_al *al; /* [n] or NULL */
    bool want_al;
    bool rewritten;
    bool spans;     /* the caller wants them */
    unsigned flags; /* QN_TOK_*              */

    qn_tok_pieces pieces, next; /* next: being built */
    qn_tok_matches matches;
    qn_str text[2]; /* rewritten texts, in turn */
    QN_VEC(qn_tok_al) als[2];
    int turn; /* which of the two is being written */

    qn_tok_finder finder;
    void *model; /* the model's own scratch; it frees it */

    QN_VEC(int32_t) ids;         /* the result */
    QN_VEC(qn_tok_range) ranges; /* of each, while spans are wanted */
    uint32_t at;                 /* behind the last token of the piece */
    QN_VEC(qn_tok_mark) marks;
    size_t a_begin; /* where the text's own tokens begin, see tok_post.c */
    qn_err *err;
} qn_tok_work;

void qn_tok_work_init(qn_tok_work *w, const char *text, size_t n,
                      unsigned flags, qn_err *err);
void qn_tok_work_deinit(qn_tok_work *w);

/* Alignment of byte i of the current text. */
qn_tok_al qn_tok_work_al(const qn_tok_work *w, size_t i);

/* ---- rewriting ---- */

/* Pieces begin where the first byte that is left of them stood: what was taken
 * away before it counts. */
void qn_tok_work_origins(qn_tok_work *w);

/* Rewrites every piece without an id for which `touches` (NULL: always) is
 * true: `apply` appends what shall stand in its place with qn_tok_put and
 * qn_tok_keep. Nothing at all happens when no piece is touched. */
typedef struct qn_tok_rewrite {
    const void *arg;
    bool (*touches)(const void *arg, qn_tok_work *w, const qn_tok_piece *pc);
    int (*apply)(const void *arg, qn_tok_work *w, const qn_tok_piece *pc);
} qn_tok_rewrite;
int qn_tok_work_rewrite(qn_tok_work *w, const qn_tok_rewrite *how);
/* New bytes, all with one alignment. */
void qn_tok_put(qn_tok_work *w, const char *p, size_t n, qn_tok_al al);
void qn_tok_put_cp(qn_tok_work *w, uint32_t cp, qn_tok_al al);
/* Bytes [b, e) of the current text as they are. */
void qn_tok_keep(qn_tok_work *w, size_t b, size_t e);
/* `prefix` before the piece, aligned to its first character, then the piece
 * itself. */
void qn_tok_put_prefixed(qn_tok_work *w, const qn_tok_piece *pc, const char *p,
                         size_t n);

/* ---- dividing ---- */

/* Divides between qn_tok_divide_begin and _end, by naming every part to keep
 * in order. Parts may leave gaps. */
void qn_tok_divide_begin(qn_tok_work *w);
void qn_tok_divide_part(qn_tok_work *w, const qn_tok_piece *from, size_t b,
                        size_t e, int32_t id);
void qn_tok_divide_end(qn_tok_work *w);

/* ---- the result ---- */

/* A token for bytes [b, e) of the piece being encoded. */
static inline void qn_tok_emit_at(qn_tok_work *w, int32_t id, size_t b,
                                  size_t e)
{
    qn_vec_push(&w->ids, id);
    if (w->spans)
        qn_vec_push(&w->ranges, ((qn_tok_range){(uint32_t)b, (uint32_t)e}));
}

/* A token for the next `len` bytes of it. */
static inline void qn_tok_emit(qn_tok_work *w, int32_t id, size_t len)
{
    qn_tok_emit_at(w, id, w->at, w->at + len);
    w->at += (uint32_t)len;
}

#endif
