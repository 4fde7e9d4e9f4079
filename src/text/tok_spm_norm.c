/* tok_spm_norm.c - how SentencePiece prepares a text: its character map (the
 * longest key counts, unlike in Hugging Face's reading of the same map), user
 * defined symbols left as they are, blanks brought into order. */
#include "text/tok_charsmap.h"
#include "text/tok_spm.h"
#include "text/unicode.h"

#define SPM_BLANK "\xE2\x96\x81" /* U+2581 */

typedef struct spm_out {
    const qn_tok_step *s;
    qn_tok_work *w;
    bool after_blank; /* further ones are dropped */
    bool any;         /* there was something beside single blanks */
    size_t pending;   /* blanks that count only if something follows */
    qn_tok_al pending_al;
} spm_out;

static void spm_put_blank(const spm_out *o, qn_tok_al al)
{
    if (o->s->on)
        qn_tok_put(o->w, SPM_BLANK, 3, al);
    else
        qn_tok_put(o->w, " ", 1, al);
}

static void spm_flush(spm_out *o)
{
    for (; o->pending > 0; o->pending--)
        spm_put_blank(o, o->pending_al);
}

static void spm_blank(spm_out *o, qn_tok_al al)
{
    if (!o->s->right) {
        spm_put_blank(o, al);
        return;
    }
    o->pending++;
    o->pending_al = al;
}

/* What one step over the text became. */
static void spm_unit(spm_out *o, const char *p, size_t n, qn_tok_al al)
{
    size_t i = 0;
    while (o->s->right && o->after_blank && i < n && p[i] == ' ')
        i++;
    if (i == n)
        return;
    o->after_blank = p[n - 1] == ' ';
    while (i < n) {
        size_t b = i;
        bool mark = o->s->on && n - i >= 3 && memcmp(p + i, SPM_BLANK, 3) == 0;
        if (p[i] == ' ' || mark) {
            spm_blank(o, al);
            i += mark ? 3 : 1;
            continue;
        }
        do
            i++;
        while (i < n && p[i] != ' ' && p[i] != SPM_BLANK[0]);
        spm_flush(o);
        qn_tok_put(o->w, p + b, i - b, al);
    }
}

/* Bytes from i on that become themselves. */
static size_t spm_plain_run(const qn_tok_step *s, const char *p, size_t i,
                            size_t n)
{
    size_t b = i;
    while (s->text_n == 0 && i < n && p[i] != ' ' && p[i] != SPM_BLANK[0] &&
           !(s->trie && s->trie->root[(uint8_t)p[i]]))
        i++;
    return i - b;
}

static int spm_apply(const void *arg, qn_tok_work *w, const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    spm_out o = {.s = s, .w = w, .after_blank = s->right, .any = !s->right};
    uint32_t token;
    if (s->left && !s->scheme)
        spm_blank(&o, qn_tok_work_al(w, pc->b));
    for (size_t i = pc->b, e; i < pc->e; i = e) {
        size_t run = spm_plain_run(s, w->p, i, pc->e), used = 0;
        qn_view to = {NULL, 0};
        e = i + run;
        if (run > 0) {
            spm_flush(&o);
            qn_tok_keep(w, i, e);
            o.after_blank = false;
            o.any = true;
            continue;
        }
        if (s->trie)
            e = qn_tok_trie_match(s->trie, w->p, pc->e, i, &token);
        if (!s->trie || e == 0) {
            to = qn_tok_charsmap_longest(s, w->p + i, pc->e - i, &used);
            e = i + (to.p ? used : qn_uni_len(w->p[i]));
        }
        if (!to.p)
            to = qn_view_of(w->p + i, e - i);
        o.any |= to.n != 1 || *to.p != ' ';
        spm_unit(&o, to.p, to.n, qn_tok_work_al(w, i));
    }
    if (s->left && s->scheme && o.any) {
        uint32_t end = qn_tok_work_al(w, pc->e - 1).e;
        spm_put_blank(&o, (qn_tok_al){end, end});
    }
    return QN_OK;
}

static int spm_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, NULL, spm_apply};
    return qn_tok_work_rewrite(w, &how);
}

static const qn_tok_kind spm_kind = {
    "SentencePiece", "", NULL, spm_run, NULL, NULL, false};

const qn_tok_stage qn_spm_normalizers = {"normalizer", "normalizers", &spm_kind,
                                         1};
