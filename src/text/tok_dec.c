/* tok_dec.c - decoder rows; see tok_dec.h for how they work together. */
#include "text/tok_dec.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>

#define DEC_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

void qn_tok_flow_init(qn_tok_flow *f, const qn_tok_steps *steps)
{
    memset(f, 0, sizeof *f);
    f->steps = steps;
    f->state = qn_xcalloc(steps->n + 1, sizeof *f->state);
}

void qn_tok_flow_deinit(qn_tok_flow *f)
{
    for (size_t k = 0; k < f->steps->n; k++) {
        qn_str_deinit(&f->state[k].gather);
        qn_str_deinit(&f->state[k].hold);
        qn_str_deinit(&f->state[k].spare);
        qn_vec_deinit(&f->state[k].matches);
    }
    free(f->state);
    qn_tok_work_deinit(&f->work);
}

void qn_tok_flow_reset(qn_tok_flow *f)
{
    for (size_t k = 0; k < f->steps->n; k++) {
        qn_tok_flow_state *st = &f->state[k];
        qn_str_clear(&st->gather);
        qn_str_clear(&st->hold);
        st->count = st->held = 0;
        st->begun = false;
    }
}

int qn_tok_flow_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                     bool ends)
{
    if (k == f->steps->n) {
        qn_str_add(f->out, p, n);
        return QN_OK;
    }
    const qn_tok_kind *kind = f->steps->v[k].kind;
    qn_str *gather = &f->state[k].gather;
    if (!kind->whole || (ends && gather->n == 0))
        return kind->feed(f, k, p, n, ends);
    qn_str_add(gather, p, n);
    if (!ends)
        return QN_OK;
    int rc = kind->feed(f, k, gather->p, gather->n, true);
    qn_str_clear(gather);
    return rc;
}

int qn_tok_flow_finish(qn_tok_flow *f, size_t k)
{
    if (k == f->steps->n)
        return QN_OK;
    return f->steps->v[k].kind->finish(f, k);
}

static int dec_finish_next(qn_tok_flow *f, size_t k)
{
    return qn_tok_flow_finish(f, k + 1);
}

/* ---- ByteLevel ---------------------------------------------------------- */

/* Passes on the first n bytes held, with U+FFFD for what is no UTF-8. */
static int dec_bytes_flush(qn_tok_flow *f, size_t k, size_t n)
{
    qn_str *hold = &f->state[k].hold;
    size_t i = 0, run = 0;
    uint32_t cp;
    while (i < n) {
        int len = qn_utf8_decode(hold->p + i, n - i, &cp);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        QN_TRY(qn_tok_flow_feed(f, k + 1, hold->p + run, i - run, false));
        QN_TRY(qn_tok_flow_feed(f, k + 1, DEC_REPLACEMENT, 3, false));
        i += qn_utf8_bad_len(hold->p + i, n - i);
        run = i;
    }
    if (run < n)
        QN_TRY(qn_tok_flow_feed(f, k + 1, hold->p + run, n - run, false));
    memmove(hold->p, hold->p + n, hold->n - n);
    hold->n -= n;
    return QN_OK;
}

/* A token whose characters all stand for bytes gives these bytes, any other
 * one itself. */
static int dec_bytes_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                          bool ends)
{
    (void)ends;
    qn_str *hold = &f->state[k].hold;
    size_t before = hold->n;
    for (size_t i = 0; i < n;) {
        int b = qn_tok_char_byte(qn_uni_next(p, &i));
        if (b < 0) {
            hold->n = before;
            qn_str_add(hold, p, n);
            break;
        }
        qn_str_addc(hold, (char)b);
    }
    if (hold->n == 0)
        return QN_OK;
    return dec_bytes_flush(f, k, hold->n - qn_utf8_tail(hold->p, hold->n));
}

static int dec_bytes_finish(qn_tok_flow *f, size_t k)
{
    qn_str *hold = &f->state[k].hold;
    if (hold->n > 0)
        QN_TRY(dec_bytes_flush(f, k, hold->n));
    QN_TRY(qn_tok_flow_feed(f, k + 1, "", 0, true));
    return dec_finish_next(f, k);
}

/* ---- ByteFallback ------------------------------------------------------- */

/* The byte that "<0xHH>" names, else -1. */
static int dec_byte_token(const char *p, size_t n)
{
    if (n != 6 || memcmp(p, "<0x", 3) != 0 || p[5] != '>')
        return -1;
    int high = p[3] == '+' ? 0 : qn_hex_digit(p[3]), low = qn_hex_digit(p[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of byte tokens is text as a whole, or each of them is U+FFFD. So the
 * run is held until something else follows it. */
static int dec_fallback_flush(qn_tok_flow *f, size_t k)
{
    qn_str *hold = &f->state[k].hold;
    size_t n = hold->n;
    if (n == 0)
        return QN_OK;
    hold->n = 0;
    if (qn_utf8_valid(hold->p, n))
        return qn_tok_flow_feed(f, k + 1, hold->p, n, true);
    for (size_t i = 0; i < n; i++)
        QN_TRY(qn_tok_flow_feed(f, k + 1, DEC_REPLACEMENT, 3, true));
    return QN_OK;
}

static int dec_fallback_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                             bool ends)
{
    int b = dec_byte_token(p, n);
    if (b >= 0) {
        qn_str_addc(&f->state[k].hold, (char)b);
        return QN_OK;
    }
    QN_TRY(dec_fallback_flush(f, k));
    return qn_tok_flow_feed(f, k + 1, p, n, ends);
}

static int dec_fallback_finish(qn_tok_flow *f, size_t k)
{
    QN_TRY(dec_fallback_flush(f, k));
    return dec_finish_next(f, k);
}

/* ---- Fuse --------------------------------------------------------------- */

static int dec_fuse_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                         bool ends)
{
    (void)ends;
    return qn_tok_flow_feed(f, k + 1, p, n, false);
}

static int dec_fuse_finish(qn_tok_flow *f, size_t k)
{
    QN_TRY(qn_tok_flow_feed(f, k + 1, "", 0, true));
    return dec_finish_next(f, k);
}

/* ---- Strip --------------------------------------------------------------
 *
 * count: how many were cut from the front; begun: the front is over;
 * held: how many of the character are held back since they may be the end. */

static int dec_strip_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    int64_t start = 0, stop = 0;
    int rc = qn_json_i64(o, "start", &start, doc, err);
    if (rc >= 0)
        rc = qn_json_i64(o, "stop", &stop, doc, err);
    QN_TRY(rc);
    if (start < 0 || stop < 0 || start > INT32_MAX || stop > INT32_MAX)
        return qn_fail(err, QN_EFORMAT, "%s: a negative or huge count", doc);
    s->start = (size_t)start;
    s->stop = (size_t)stop;
    return qn_tok_step_char(s, o, "content", doc, err);
}

static int dec_strip_release(qn_tok_flow *f, size_t k, size_t n)
{
    const qn_tok_step *s = &f->steps->v[k];
    for (; n > 0; n--, f->state[k].held--)
        QN_TRY(qn_tok_flow_feed(f, k + 1, s->text, s->text_n, false));
    return QN_OK;
}

static int dec_strip_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                          bool ends)
{
    const qn_tok_step *s = &f->steps->v[k];
    qn_tok_flow_state *st = &f->state[k];
    size_t i = 0, run;
    while (!st->begun && i < n) {
        size_t j = i;
        if (qn_uni_next(p, &j) != s->cp || st->count == s->start) {
            st->begun = true;
        } else {
            st->count++;
            i = j;
        }
    }
    run = i;
    while (i < n && s->stop > 0) {
        size_t b = i;
        if (qn_uni_next(p, &i) == s->cp) {
            QN_TRY(qn_tok_flow_feed(f, k + 1, p + run, b - run, false));
            run = i;
            st->held++;
            QN_TRY(dec_strip_release(f, k, st->held > s->stop));
        } else {
            QN_TRY(dec_strip_release(f, k, st->held));
        }
    }
    if (run < n)
        QN_TRY(qn_tok_flow_feed(f, k + 1, p + run, n - run, false));
    if (!ends)
        return QN_OK;
    st->count = st->held = 0;
    st->begun = false;
    return qn_tok_flow_feed(f, k + 1, "", 0, true);
}

/* ---- Replace ------------------------------------------------------------ */

static int dec_replace_parse(qn_tok_step *s, const json_t *o, const char *doc,
                             qn_err *err)
{
    QN_TRY(qn_tok_step_text(s, o, "content", doc, err));
    return qn_tok_pattern_parse(&s->pattern, json_object_get(o, "pattern"), doc,
                                err);
}

/* How many bytes at the end of p[n] a later match may begin with. */
static size_t dec_replace_tail(const qn_tok_pattern *pat, const char *p,
                               size_t n)
{
    if (pat->literal_n == 0)
        return 0;
    for (size_t tail = QN_MIN(n, pat->literal_n - 1); tail > 0; tail--)
        if (memcmp(p + n - tail, pat->literal, tail) == 0)
            return tail;
    return 0;
}

/* Passes on p[n] with the matches replaced; when the piece goes on, up to
 * what may be the beginning of a match. Returns the bytes passed in *used. */
static int dec_replace_text(qn_tok_flow *f, size_t k, const char *p, size_t n,
                            bool ends, size_t *used)
{
    const qn_tok_step *s = &f->steps->v[k];
    qn_tok_matches *own = &f->state[k].matches, found;
    QN_TRY(qn_tok_pattern_find(&s->pattern, &f->work, p, n, 0));
    found = f->work.matches; /* the next step may be of this kind, too */
    f->work.matches = *own;
    *own = found;
    size_t done = 0;
    for (size_t i = 0; i < own->n; i++) {
        qn_tok_match m = own->v[i];
        size_t e = m.e;
        if (!m.hit && !ends && i + 1 == own->n)
            e -= dec_replace_tail(&s->pattern, p + m.b, m.e - m.b);
        done = e;
        if (m.hit)
            QN_TRY(qn_tok_flow_feed(f, k + 1, s->text, s->text_n, false));
        else
            QN_TRY(qn_tok_flow_feed(f, k + 1, p + m.b, e - m.b, false));
    }
    *used = done;
    return ends ? qn_tok_flow_feed(f, k + 1, "", 0, true) : QN_OK;
}

static int dec_replace_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                            bool ends)
{
    const qn_tok_pattern *pat = &f->steps->v[k].pattern;
    qn_str *hold = &f->state[k].hold;
    size_t used = 0;
    if (hold->n == 0 && ends) {
        if (pat->literal && !(pat->literal_n > 0 && n >= pat->literal_n &&
                              memmem(p, n, pat->literal, pat->literal_n)))
            return qn_tok_flow_feed(f, k + 1, p, n, true);
        return dec_replace_text(f, k, p, n, true, &used);
    }
    qn_str_add(hold, p, n);
    if (!ends && !pat->literal) /* a regular expression may look at anything */
        return QN_OK;
    QN_TRY(
        dec_replace_text(f, k, hold->p ? hold->p : "", hold->n, ends, &used));
    if (ends)
        used = hold->n;
    if (used > 0)
        memmove(hold->p, hold->p + used, hold->n - used);
    hold->n -= used;
    return QN_OK;
}

/* ---- Metaspace ----------------------------------------------------------
 *
 * begun: the first token is over. In it the mark is dropped. */

static int dec_meta_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                         bool ends)
{
    const qn_tok_step *s = &f->steps->v[k];
    bool drop = !f->state[k].begun && s->scheme != QN_TOK_NEVER;
    for (size_t i = 0, e; i < n; i = e) {
        const char *mark = memmem(p + i, n - i, s->text, s->text_n);
        e = mark ? (size_t)(mark - p) : n;
        QN_TRY(qn_tok_flow_feed(f, k + 1, p + i, e - i, false));
        if (mark)
            e += s->text_n;
        if (mark && !drop)
            QN_TRY(qn_tok_flow_feed(f, k + 1, " ", 1, false));
    }
    f->state[k].begun |= ends;
    return ends ? qn_tok_flow_feed(f, k + 1, "", 0, true) : QN_OK;
}

/* ---- BPEDecoder ---------------------------------------------------------
 *
 * The suffix of every token but the last becomes a blank. begun: a token is
 * held. */

static int dec_suffix_parse(qn_tok_step *s, const json_t *o, const char *doc,
                            qn_err *err)
{
    return qn_tok_step_text(s, o, "suffix", doc, err);
}

static int dec_suffix_release(qn_tok_flow *f, size_t k, const char *blank)
{
    const qn_tok_step *s = &f->steps->v[k];
    const qn_str *hold = &f->state[k].hold;
    const char *p = hold->p ? hold->p : "";
    for (size_t i = 0; i < hold->n;) {
        const char *hit = s->text_n
                              ? memmem(p + i, hold->n - i, s->text, s->text_n)
                              : NULL;
        size_t e = hit ? (size_t)(hit - p) : hold->n;
        QN_TRY(qn_tok_flow_feed(f, k + 1, p + i, e - i, false));
        i = e;
        if (hit) {
            QN_TRY(qn_tok_flow_feed(f, k + 1, blank, strlen(blank), false));
            i += s->text_n;
        }
    }
    return qn_tok_flow_feed(f, k + 1, "", 0, true);
}

static int dec_suffix_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                           bool ends)
{
    (void)ends;
    qn_tok_flow_state *st = &f->state[k];
    if (st->begun)
        QN_TRY(dec_suffix_release(f, k, " "));
    qn_str_clear(&st->hold);
    qn_str_add(&st->hold, p, n);
    st->begun = true;
    return QN_OK;
}

static int dec_suffix_finish(qn_tok_flow *f, size_t k)
{
    if (f->state[k].begun)
        QN_TRY(dec_suffix_release(f, k, ""));
    return dec_finish_next(f, k);
}

/* ---- no decoder: tokens with a blank between them ----------------------- */

static int dec_join_feed(qn_tok_flow *f, size_t k, const char *p, size_t n,
                         bool ends)
{
    qn_tok_flow_state *st = &f->state[k];
    if (st->begun && st->count == 0)
        QN_TRY(qn_tok_flow_feed(f, k + 1, " ", 1, false));
    st->begun = true;
    st->count = ends ? 0 : 1; /* 1: inside a token */
    return qn_tok_flow_feed(f, k + 1, p, n, false);
}

/* ---- the rows ----------------------------------------------------------- */

static const qn_tok_kind dec_kinds[] = {
    {"ByteLevel", " add_prefix_space trim_offsets use_regex ", NULL, NULL,
     dec_bytes_feed, dec_bytes_finish, true},
    {"ByteFallback", "", NULL, NULL, dec_fallback_feed, dec_fallback_finish,
     true},
    {"Fuse", "", NULL, NULL, dec_fuse_feed, dec_fuse_finish, false},
    {"Strip", " content start stop ", dec_strip_parse, NULL, dec_strip_feed,
     dec_finish_next, false},
    {"Replace", " pattern content ", dec_replace_parse, NULL, dec_replace_feed,
     dec_finish_next, false},
    {"Metaspace", QN_TOK_META_FIELDS, qn_tok_meta_parse, NULL, dec_meta_feed,
     dec_finish_next, false},
    {"BPEDecoder", " suffix ", dec_suffix_parse, NULL, dec_suffix_feed,
     dec_suffix_finish, true},
    {"WordPiece", " prefix cleanup ", qn_tok_dec_wordpiece_parse, NULL,
     qn_tok_dec_wordpiece_feed, dec_finish_next, true},
    {"CTC", " pad_token word_delimiter_token cleanup ", qn_tok_dec_ctc_parse,
     NULL, qn_tok_dec_ctc_feed, dec_finish_next, true},
};

const qn_tok_stage qn_tok_decoders = {"decoder", "decoders", dec_kinds,
                                      QN_COUNTOF(dec_kinds)};

static const qn_tok_kind dec_join = {
    "Join", "", NULL, NULL, dec_join_feed, dec_finish_next, false};

const qn_tok_stage qn_tok_joiners = {"decoder", "decoders", &dec_join, 1};
