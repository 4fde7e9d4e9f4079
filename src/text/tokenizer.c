/* tokenizer.c - running a tokenizer: encoding, decoding, the vocabulary. */
#include "text/tokenizer.h"

#include "base/utf8.h"
#include "text/tok_dec.h"
#include "text/tok_int.h"
#include "text/unicode.h"

#include <stdlib.h>

void qn_tok_close(qn_tok *t)
{
    if (!t)
        return;
    if (t->impl)
        t->model->free(t->impl);
    qn_vocab_deinit(&t->vocab);
    qn_vocab_deinit(&t->raw);
    qn_tok_added_deinit(&t->added);
    qn_tok_steps_deinit(&t->norm);
    qn_tok_steps_deinit(&t->pre);
    qn_tok_steps_deinit(&t->post);
    qn_tok_steps_deinit(&t->dec);
    free(t);
}

/* ---- spans -------------------------------------------------------------- */

/* A place in the original, as byte and as code point. */
typedef struct tok_cursor {
    const char *p;
    size_t n, byte, cp;
} tok_cursor;

/* The number of the code point that byte i < n belongs to. */
static size_t tok_cursor_at(tok_cursor *c, size_t i)
{
    while (c->byte > i) {
        size_t b;
        (void)qn_uni_prev(c->p, c->byte, &b);
        c->byte = b;
        c->cp--;
    }
    for (size_t next; (next = c->byte + qn_uni_len(c->p[c->byte])) <= i;) {
        c->byte = next;
        c->cp++;
    }
    return c->cp;
}

static qn_tok_mark tok_mark(tok_cursor *c, size_t b, size_t e)
{
    qn_tok_mark m = {(uint32_t)b, (uint32_t)e, 0, 0};
    if (b >= c->n)
        return m;
    m.b = (uint32_t)tok_cursor_at(c, b);
    if (e < c->n)
        m.e = (uint32_t)tok_cursor_at(c, e);
    else if (e == c->n)
        m.e = (uint32_t)tok_cursor_at(c, e - 1) + 1;
    else
        m.e = m.b + 2;
    return m;
}

/* U+0120 is how byte-level vocabularies spell the blank. */
static bool tok_is_blank(uint32_t cp)
{
    return cp == 0x120 || (qn_uni(cp) & QN_UNI_SPACE);
}

static void tok_count_blanks(qn_tok_mark *m, qn_view text)
{
    size_t i = 0, e = text.n, b;
    while (i < text.n && tok_is_blank(qn_uni_next(text.p, &i)))
        m->head++;
    while (e > 0 && tok_is_blank(qn_uni_prev(text.p, e, &b))) {
        m->tail++;
        e = b;
    }
}

/* Marks for the tokens of one piece, which begin at ids.v[first]. Where a
 * model left characters out the spans shift, as they do in Hugging Face's. */
static void tok_mark_piece(const qn_tok *t, qn_tok_work *w, tok_cursor *c,
                           const qn_tok_piece *pc, size_t first)
{
    size_t n = pc->e - pc->b;
    for (size_t k = first; k < w->ids.n; k++) {
        size_t b = w->ranges.v[k].b, e = w->ranges.v[k].e;
        size_t from = b, to = e;
        if (b == e) {
            from = to = pc->origin + b;
        } else if (e <= n) {
            from = qn_tok_work_al(w, pc->b + b).b;
            to = qn_tok_work_al(w, pc->b + e - 1).e;
        }
        qn_tok_mark m = tok_mark(c, from, to);
        if (t->trims)
            tok_count_blanks(&m, pc->id >= 0
                                     ? qn_view_of(w->p + pc->b, n)
                                     : qn_vocab_text(&t->vocab, w->ids.v[k]));
        qn_vec_push(&w->marks, m);
    }
}

/* ---- encoding ----------------------------------------------------------- */

static int tok_encode_pieces(const qn_tok *t, qn_tok_work *w)
{
    tok_cursor c = {w->original, w->original_n, 0, 0};
    for (size_t k = 0; k < w->pieces.n; k++) {
        const qn_tok_piece *pc = &w->pieces.v[k];
        size_t first = w->ids.n;
        w->at = 0;
        if (pc->id >= 0)
            qn_tok_emit(w, pc->id, pc->e - pc->b);
        else
            QN_TRY(t->model->encode(t->impl, w, w->p + pc->b, pc->e - pc->b));
        if (w->spans)
            tok_mark_piece(t, w, &c, pc, first);
    }
    return QN_OK;
}

static int tok_encode_work(const qn_tok *t, qn_tok_work *w)
{
    w->want_al = w->spans || t->needs_al;
    qn_tok_added_split(&t->added, &t->added.plain, w);
    QN_TRY(qn_tok_steps_run(&t->norm, w));
    qn_tok_added_split(&t->added, &t->added.normalized, w);
    qn_tok_work_origins(w);
    QN_TRY(qn_tok_steps_run(&t->pre, w));
    QN_TRY(tok_encode_pieces(t, w));
    bool fit = w->flags & QN_TOK_FIT;
    if (fit)
        QN_TRY(qn_tok_fit_cut(&t->fit, &t->post, w));
    QN_TRY(qn_tok_steps_run(&t->post, w));
    if (fit)
        qn_tok_fit_fill(&t->fit, w);
    return QN_OK;
}

/* A copy of text with U+FFFD for what is no UTF-8. */
static void tok_repair(const char *text, size_t n, qn_str *out)
{
    size_t run = 0;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = qn_utf8_decode(text + i, n - i, &cp);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        qn_str_add(out, text + run, i - run);
        qn_str_adds(out, "\xEF\xBF\xBD");
        i += qn_utf8_bad_len(text + i, n - i);
        run = i;
    }
    qn_str_add(out, text + run, n - run);
}

int qn_tok_encode(const qn_tok *t, const char *text, size_t n, unsigned flags,
                  qn_tok_ids *ids, qn_tok_spans *spans, qn_err *err)
{
    if (n > QN_TOK_MAX_TEXT)
        return qn_fail(err, QN_ELIMIT,
                       "a text of %zu bytes is above the limit of %zu: divide "
                       "it",
                       n, QN_TOK_MAX_TEXT);
    qn_str repaired;
    qn_str_init(&repaired);
    if (!qn_utf8_valid(text, n)) {
        tok_repair(text, n, &repaired);
        text = repaired.p;
        n = repaired.n;
    }
    qn_tok_work w;
    qn_tok_work_init(&w, text, n, flags, err);
    w.spans = spans != NULL;
    int rc = tok_encode_work(t, &w);
    if (rc == 0 && w.ids.n > 0) {
        qn_vec_reserve(ids, ids->n + w.ids.n);
        memcpy(ids->v + ids->n, w.ids.v, w.ids.n * sizeof *w.ids.v);
        ids->n += w.ids.n;
        for (size_t k = 0; spans && k < w.marks.n; k++)
            qn_vec_push(spans, ((qn_tok_span){w.marks.v[k].b, w.marks.v[k].e}));
    }
    t->model->work_free(&w);
    qn_tok_work_deinit(&w);
    qn_str_deinit(&repaired);
    return rc;
}

/* ---- decoding ----------------------------------------------------------- */

struct qn_detok {
    const qn_tok *t;
    bool skip_special;
    qn_tok_flow flow;
    qn_str front; /* the end of the text before, which is still to come out */
};

static void tok_detok_init(qn_detok *d, const qn_tok *t, bool skip_special)
{
    d->t = t;
    d->skip_special = skip_special;
    qn_str_init(&d->front);
    qn_tok_flow_init(&d->flow, &t->dec);
}

static void tok_detok_deinit(qn_detok *d)
{
    qn_tok_flow_deinit(&d->flow);
    qn_str_deinit(&d->front);
}

/* What enters the decoders for an id; p is NULL when nothing does. */
static qn_view tok_decoder_text(const qn_detok *d, int32_t id)
{
    const qn_tok_added_token *tok = qn_tok_added_get(&d->t->added, id);
    if (!tok)
        return qn_vocab_text(&d->t->vocab, id);
    if (tok->special && d->skip_special)
        return qn_view_of(NULL, 0);
    return tok->form.p ? tok->form : tok->content;
}

/* Of what out has from byte `from` on, takes out what the text before ended
 * with. Where they differ, that was the beginning of a character, which is
 * complete now: it is new as a whole. */
static void tok_detok_cut(qn_detok *d, qn_str *out, size_t from)
{
    size_t n = out->n - from, same = 0;
    if (d->front.n == 0 || n == 0)
        return;
    char *p = out->p + from;
    n = QN_MIN(n, d->front.n);
    while (same < n && p[same] == d->front.p[same])
        same++;
    bool differ = same < n;
    while (differ && same > 0 && (p[same] & 0xc0) == 0x80)
        same--;
    out->n -= same;
    memmove(p, p + same, out->n - from + 1);
    d->front.n -= differ ? d->front.n : same;
    memmove(d->front.p, d->front.p + same, d->front.n);
}

int qn_detok_push(qn_detok *d, int32_t id, qn_str *out, qn_err *err)
{
    qn_view text = tok_decoder_text(d, id);
    size_t from = out->n;
    if (!text.p)
        return QN_OK;
    d->flow.out = out;
    d->flow.work.err = err;
    QN_TRY(qn_tok_flow_feed(&d->flow, 0, text.p, text.n, true));
    tok_detok_cut(d, out, from);
    return QN_OK;
}

int qn_detok_flush(qn_detok *d, qn_str *out, qn_err *err)
{
    size_t from = out->n;
    d->flow.out = out;
    d->flow.work.err = err;
    int rc = qn_tok_flow_finish(&d->flow, 0);
    qn_tok_flow_reset(&d->flow);
    tok_detok_cut(d, out, from);
    qn_str_clear(&d->front);
    return rc;
}

/* How many of the first ids need not be looked at: the others are enough to
 * say how the next one is read. Their first one does not go on a run of byte
 * tokens, which are a text together or none. */
static size_t tok_detok_far(const qn_detok *d, const int32_t *ids, size_t n)
{
    int left = 32;
    for (; n > 0; n--) {
        qn_view v = tok_decoder_text(d, ids[n - 1]);
        bool byte = v.n == 6 && memcmp(v.p, "<0x", 3) == 0;
        if (left == 0 && !byte)
            break;
        left -= left > 0 && v.n > 0;
    }
    return n;
}

int qn_detok_follow(qn_detok *d, const int32_t *ids, size_t n, qn_err *err)
{
    bool skip_special = d->skip_special;
    qn_str certain = {0}, all = {0};
    d->skip_special = true;
    size_t far = tok_detok_far(d, ids, n);
    int rc = qn_tok_decode(d->t, ids + far, n - far, true, &all, err);
    for (size_t k = far; k < n && rc == 0; k++)
        rc = qn_detok_push(d, ids[k], &certain, err);
    if (rc == 0 && all.n > certain.n)
        qn_str_add(&d->front, all.p + certain.n, all.n - certain.n);
    d->skip_special = skip_special;
    qn_str_deinit(&certain);
    qn_str_deinit(&all);
    return rc;
}

qn_detok *qn_detok_new(const qn_tok *t, bool skip_special)
{
    qn_detok *d = qn_xcalloc(1, sizeof *d);
    tok_detok_init(d, t, skip_special);
    return d;
}

void qn_detok_free(qn_detok *d)
{
    if (!d)
        return;
    tok_detok_deinit(d);
    free(d);
}

int qn_tok_decode(const qn_tok *t, const int32_t *ids, size_t n,
                  bool skip_special, qn_str *out, qn_err *err)
{
    qn_detok d;
    size_t before = out->n;
    tok_detok_init(&d, t, skip_special);
    int rc = QN_OK;
    for (size_t k = 0; k < n && rc == 0; k++)
        rc = qn_detok_push(&d, ids[k], out, err);
    if (rc == 0)
        rc = qn_detok_flush(&d, out, err);
    if (rc < 0 && out->p)
        out->p[out->n = before] = '\0';
    tok_detok_deinit(&d);
    return rc;
}

/* ---- the vocabulary ------------------------------------------------------ */

size_t qn_tok_n_vocab(const qn_tok *t)
{
    return t->n_vocab;
}

qn_view qn_tok_text(const qn_tok *t, int32_t id)
{
    const qn_tok_added_token *tok = qn_tok_added_get(&t->added, id);
    return tok ? tok->content : qn_vocab_text(&t->vocab, id);
}

int32_t qn_tok_id(const qn_tok *t, const char *text, size_t n)
{
    int32_t id = qn_tok_added_find(&t->added, text, n);
    return id >= 0 ? id : qn_vocab_find(&t->vocab, text, n);
}

bool qn_tok_is_special(const qn_tok *t, int32_t id)
{
    const qn_tok_added_token *tok = qn_tok_added_get(&t->added, id);
    return tok && tok->special;
}

int32_t qn_tok_role_id(const qn_tok *t, qn_tok_role role)
{
    return role < QN_TOK_N_ROLE ? t->role[role] : -1;
}
