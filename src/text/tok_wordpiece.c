/* tok_wordpiece.c - models that look whole pieces of a word up.
 *
 * WordPiece takes the longest token that begins the word, then the longest
 * that continues it, spelled with a prefix, and so on; a word with a part that
 * is no token is unknown as a whole. WordLevel knows whole words only. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"
#include "text/unicode.h"

#include <stdlib.h>

typedef struct wordpiece {
    const qn_vocab *vocab;
    int32_t unk;
    size_t max_chars; /* longer words are unknown */
    char prefix[64];
    size_t prefix_n;
} wordpiece;

static int wordpiece_unknown(const wordpiece *m, qn_tok_work *w, size_t n)
{
    if (m->unk < 0)
        return qn_fail(w->err, QN_EFORMAT,
                       "the text has a word that the vocabulary lacks, and it "
                       "lacks the unknown token as well");
    qn_tok_emit_at(w, m->unk, 0, n);
    return QN_OK;
}

/* The longest token at p[b]: where it ends, or b. `text` has room for the
 * prefix and the longest token. */
static size_t wordpiece_longest(const wordpiece *m, const char *p, size_t n,
                                size_t b, char *text, int32_t *id)
{
    size_t prefix = b > 0 ? m->prefix_n : 0;
    size_t end = QN_MIN(n, b + m->vocab->max_len);
    while (end > b && end < n && ((uint8_t)p[end] & 0xC0) == 0x80)
        end--;
    memcpy(text, m->prefix, prefix);
    memcpy(text + prefix, p + b, end - b);
    while (end > b) {
        *id = qn_vocab_find(m->vocab, text, prefix + end - b);
        if (*id >= 0)
            return end;
        (void)qn_uni_prev(p, end, &end);
    }
    return b;
}

static int wordpiece_encode(const void *impl, qn_tok_work *w, const char *p,
                            size_t n)
{
    const wordpiece *m = impl;
    size_t chars = 0, first = w->ids.n, ranges = w->ranges.n;
    for (size_t i = 0; i < n && chars <= m->max_chars; chars++)
        i += qn_uni_len(p[i]);
    if (chars > m->max_chars)
        return wordpiece_unknown(m, w, n);
    char *text = qn_xmalloc(m->prefix_n + m->vocab->max_len + 1);
    size_t i = 0;
    while (i < n) {
        int32_t id = -1;
        size_t end = wordpiece_longest(m, p, n, i, text, &id);
        if (end == i)
            break;
        qn_tok_emit_at(w, id, i, end);
        i = end;
    }
    free(text);
    if (i == n)
        return QN_OK;
    w->ids.n = first;
    w->ranges.n = ranges;
    return wordpiece_unknown(m, w, n);
}

static int wordlevel_encode(const void *impl, qn_tok_work *w, const char *p,
                            size_t n)
{
    const wordpiece *m = impl;
    int32_t id = qn_vocab_find(m->vocab, p, n);
    if (id < 0)
        return wordpiece_unknown(m, w, n);
    qn_tok_emit_at(w, id, 0, n);
    return QN_OK;
}

/* ---- reading ------------------------------------------------------------- */

static int wordlevel_read(qn_tok_draft *d, const qn_tok_model_parts *m,
                          qn_err *err)
{
    qn_scan s;
    const char *unk = NULL;
    int rc = qn_json_str(m->small, "unk_token", &unk, d->name, err);
    QN_TRY(rc);
    if (!m->vocab.p)
        return qn_fail(err, QN_EFORMAT, "%s: the model lacks vocab", d->name);
    qn_scan_init(&s, m->vocab, d->name, err);
    qn_vocab_init(&d->t->vocab, m->vocab.n / 16);
    QN_TRY(qn_tok_read_vocab(&d->t->vocab, &s, d->name, err));
    if (unk)
        d->o.unk = qn_vocab_find(&d->t->vocab, unk, strlen(unk));
    return QN_OK;
}

static int wordpiece_read(qn_tok_draft *d, const qn_tok_model_parts *m,
                          qn_err *err)
{
    const char *prefix = "##";
    int64_t max_chars = 100;
    int rc = qn_json_str(m->small, "continuing_subword_prefix", &prefix,
                         d->name, err);
    if (rc >= 0)
        rc = qn_json_i64(m->small, "max_input_chars_per_word", &max_chars,
                         d->name, err);
    QN_TRY(rc);
    if (max_chars < 0 || max_chars > INT32_MAX)
        return qn_fail(err, QN_EFORMAT, "%s: max_input_chars_per_word is %lld",
                       d->name, (long long)max_chars);
    d->o.prefix = qn_view_cstr(prefix);
    d->max_chars = (size_t)max_chars;
    return wordlevel_read(d, m, err);
}

static void *wordpiece_build(qn_tok_draft *d)
{
    wordpiece *m = qn_xcalloc(1, sizeof *m);
    m->vocab = &d->t->vocab;
    m->unk = d->o.unk;
    m->max_chars = d->max_chars;
    m->prefix_n = QN_MIN(d->o.prefix.n, sizeof m->prefix);
    if (m->prefix_n > 0)
        memcpy(m->prefix, d->o.prefix.p, m->prefix_n);
    return m;
}

static void wordpiece_work_free(qn_tok_work *w)
{
    (void)w;
}

const qn_tok_model qn_tok_model_wordpiece = {
    "WordPiece",
    " unk_token continuing_subword_prefix max_input_chars_per_word ",
    wordpiece_read,
    wordpiece_build,
    wordpiece_encode,
    free,
    wordpiece_work_free};

const qn_tok_model qn_tok_model_wordlevel = {
    "WordLevel",      " unk_token ", wordlevel_read,     wordpiece_build,
    wordlevel_encode, free,          wordpiece_work_free};
