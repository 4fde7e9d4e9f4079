/* tok_dec_word.c - decoders of models that know words: WordPiece and CTC.
 *
 * "cleanup" takes back the blanks that such tokenizers put before English
 * punctuation and shortened words, by a fixed list of replacements, one after
 * the other, in each token. */
#include "base/json.h"
#include "text/tok_dec.h"

static const char *const word_cleanups[][2] = {
    {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
    {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
    {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* In place; what replaces is never longer than what is replaced. */
static void word_replace(qn_str *s, const char *from, size_t n_from,
                         const char *to)
{
    size_t n_to = strlen(to), out = 0, i = 0;
    while (i < s->n) {
        const char *hit = n_from > 0 ? memmem(s->p + i, s->n - i, from, n_from)
                                     : NULL;
        size_t e = hit ? (size_t)(hit - s->p) : s->n;
        memmove(s->p + out, s->p + i, e - i);
        out += e - i;
        i = e;
        if (hit) {
            memcpy(s->p + out, to, n_to);
            out += n_to;
            i += n_from;
        }
    }
    s->n = out;
}

static void word_cleanup(qn_str *s)
{
    for (size_t k = 0; k < QN_COUNTOF(word_cleanups); k++)
        word_replace(s, word_cleanups[k][0], strlen(word_cleanups[k][0]),
                     word_cleanups[k][1]);
}

/* ---- WordPiece: begun says that a token went before ---------------------- */

int qn_tok_dec_wordpiece_parse(qn_tok_step *s, const json_t *o, const char *doc,
                               qn_err *err)
{
    s->on = true;
    int rc = qn_json_bool(o, "cleanup", &s->on, doc, err);
    QN_TRY(rc);
    return qn_tok_step_text(s, o, "prefix", doc, err);
}

int qn_tok_dec_wordpiece_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                              bool ends)
{
    const qn_tok_step *s = &f->steps->v[k];
    qn_tok_flow_state *st = &f->state[k];
    qn_str_clear(&st->hold);
    if (st->begun && n >= s->text_n && memcmp(p, s->text, s->text_n) == 0) {
        p += s->text_n;
        n -= s->text_n;
    } else if (st->begun) {
        qn_str_addc(&st->hold, ' ');
    }
    qn_str_add(&st->hold, p, n);
    if (s->on)
        word_cleanup(&st->hold);
    st->begun = true;
    return qn_tok_flow_feed(f, k + 1, st->hold.p ? st->hold.p : "", st->hold.n,
                            ends);
}

/* ---- CTC: begun says that hold is the token before ----------------------- */

int qn_tok_dec_ctc_parse(qn_tok_step *s, const json_t *o, const char *doc,
                         qn_err *err)
{
    const json_t *mark = json_object_get(o, "word_delimiter_token");
    s->on = true;
    int rc = qn_json_bool(o, "cleanup", &s->on, doc, err);
    QN_TRY(rc);
    QN_TRY(qn_tok_step_text(s, o, "pad_token", doc, err));
    if (!json_is_string(mark) || json_string_length(mark) == 0)
        return qn_fail(err, QN_EFORMAT, "%s: no word_delimiter_token", doc);
    s->pattern.literal_n = json_string_length(mark);
    s->pattern.literal = qn_xstrndup(json_string_value(mark),
                                     s->pattern.literal_n);
    return QN_OK;
}

int qn_tok_dec_ctc_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                        bool ends)
{
    const qn_tok_step *s = &f->steps->v[k];
    qn_tok_flow_state *st = &f->state[k];
    if (st->begun && st->hold.n == n &&
        (n == 0 || memcmp(st->hold.p, p, n) == 0))
        return QN_OK; /* the same again */
    st->begun = true;
    qn_str_clear(&st->hold);
    qn_str_add(&st->hold, p, n);
    qn_str *text = &st->spare;
    qn_str_clear(text);
    qn_str_add(text, p, n);
    word_replace(text, s->text, s->text_n, "");
    if (s->on) {
        word_cleanup(text);
        word_replace(text, s->pattern.literal, s->pattern.literal_n, " ");
    }
    return text->n > 0 ? qn_tok_flow_feed(f, k + 1, text->p, text->n, ends)
                       : QN_OK;
}
