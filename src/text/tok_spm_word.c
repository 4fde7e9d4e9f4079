/* tok_spm_word.c - SentencePiece's Word model: the text is cut before every
 * U+2581, and each part is a token or unknown. Neighbouring unknown words are
 * one unknown token, or all of them the tokens of their bytes. The library cuts
 * there even if blanks are to stand behind words. */
#include "text/tok_spm.h"

#include <math.h>
#include <stdlib.h>

#define SPM_BLANK "\xE2\x96\x81" /* U+2581 */

typedef struct spm_word {
    const qn_vocab *vocab;
    double *scores; /* by id; -INFINITY: never in a text */
    int32_t unk;
    bool byte_fallback;
    int32_t hex_id[256];
} spm_word;

static int32_t spm_word_find(const spm_word *m, const char *p, size_t n)
{
    int32_t id = qn_vocab_find(m->vocab, p, n);
    return id < 0 || m->scores[id] == -INFINITY ? m->unk : id;
}

static void spm_word_unknown(const spm_word *m, qn_tok_work *w, const char *p,
                             size_t b, size_t e)
{
    if (!m->byte_fallback) {
        qn_tok_emit_at(w, m->unk, b, e);
        return;
    }
    for (size_t k = b; k < e; k++) {
        int32_t id = m->hex_id[(uint8_t)p[k]];
        qn_tok_emit_at(w, id < 0 ? m->unk : id, b, e);
    }
}

static int spm_word_encode(const void *impl, qn_tok_work *w, const char *p,
                           size_t n)
{
    const spm_word *m = impl;
    size_t unknown = 0; /* where a run of unknown words began */
    for (size_t b = 0, e; b < n; b = e) {
        const char *mark = memmem(p + b + 1, n - b - 1, SPM_BLANK, 3);
        e = mark ? (size_t)(mark - p) : n;
        int32_t id = spm_word_find(m, p + b, e - b);
        if (id == m->unk)
            continue;
        if (unknown < b)
            spm_word_unknown(m, w, p, unknown, b);
        qn_tok_emit_at(w, id, b, e);
        unknown = e;
    }
    if (unknown < n)
        spm_word_unknown(m, w, p, unknown, n);
    return QN_OK;
}

static void *spm_word_build(qn_tok_draft *d)
{
    spm_word *m = qn_xcalloc(1, sizeof *m);
    m->vocab = &d->t->vocab;
    m->unk = d->o.unk;
    m->byte_fallback = d->o.byte_fallback;
    m->scores = d->scores.v;
    memset(&d->scores, 0, sizeof d->scores);
    qn_vocab_hex(m->vocab, m->hex_id);
    return m;
}

static void spm_word_free(void *impl)
{
    spm_word *m = impl;
    free(m->scores);
    free(m);
}

static void spm_word_work_free(qn_tok_work *w)
{
    (void)w;
}

const qn_tok_model qn_tok_model_spm_word = {"SentencePiece Word",
                                            "",
                                            NULL,
                                            spm_word_build,
                                            spm_word_encode,
                                            spm_word_free,
                                            spm_word_work_free};
